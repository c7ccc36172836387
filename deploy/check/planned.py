"""What `onsale plan` foretells, held against load runs: how long a line takes, and when all is sold. Within a tenth."""

import re
import subprocess

SHARE = 0.1
BUYERS, RATE, WITHIN = 6000, 150, 2
# Everybody of onsale-load wants one seat or two, and pays at once; nobody leaves.
CROWD = ["--within", WITHIN, "--choose", 0, "--pay", 0, "--abandon", 0, "--leave", 0, "--wants", 1.5]


def foretold(binary, line, *flags):
    told = subprocess.run([binary, "plan", *map(str, [*CROWD, *flags])], capture_output=True, text=True, check=True, cwd="/").stdout
    after = re.search(rf"{line} +(?:(\d+) min )?([\d.]+) s", told)
    assert after, told
    return 60 * int(after.group(1) or 0) + float(after.group(2))


def seconds_until(run, is_last):
    """From the first who came until the last line of which that is true; lines are a second apart."""
    first = next(line for line in run.embedded if "WaitingRoomTime" in line)
    last = [line for line in run.embedded if is_last(line)][-1]
    return (last["_aws"]["Timestamp"] - first["_aws"]["Timestamp"]) / 1000 + 0.5


def compare_plans(field, table):
    binary, crowd = field.binaries / "onsale", ["--buyers", BUYERS, "--arrive", WITHIN, "--rate", RATE]

    drain = field.run("drain", "queue", *crowd, "--opens-after", 0, "--leave", 0, "--silent", 0, "--seconds", 120)
    plan = foretold(binary, "the line is empty after", "--buyers", BUYERS, "--rate", RATE, "--seats", 4 * BUYERS)
    took = seconds_until(drain, lambda line: line["PeopleWaiting"] > 0)
    table.near("drain", "`onsale plan`: the line is empty after, s", plan, took, SHARE * plan, "within 10 %")

    sold = field.run("sold out", "purchase", *crowd, "--seats", BUYERS, "--seconds", 45)
    plan = foretold(binary, "every seat is paid for after", "--buyers", BUYERS, "--rate", RATE, "--seats", BUYERS)
    took = seconds_until(sold, lambda line: "PaymentSuccess" in line)
    table.near("sold out", "`onsale plan`: every seat is paid for after, s", plan, took, SHARE * plan, "within 10 %")

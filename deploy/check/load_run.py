"""A real load against a real server: what onsale-load counted, held against what the stand-in of CloudWatch tells of the ten
metrics, and the table of service levels. Ends with 1 when a count differs, with --levels also when a level is missed.

Usage: load_run.py FOLDER_OF_BINARIES [--levels] [--storage embedded|postgres] [--buyers N] [--rate N] [--seconds N] ...
"""

import argparse
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cloudwatch import NAMESPACE, CloudWatch, percentile, told_at  # noqa: E402
from levels import levels, unanswered  # noqa: E402
from planned import compare_plans  # noqa: E402
from postgres import Postgres, Redis  # noqa: E402
from server import SECRET, Server, scrape  # noqa: E402

# Upper bounds of the server's buckets, in milliseconds: docs/metrics.md.
BUCKETS = [0.25, 0.5, 1, 2.5, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 10_000, 20_000]
ALL = "/onsale/all"


class Run:
    """One scenario: the report of the generator, and what CloudWatch tells of the same time."""

    def __init__(self, name, report, lines, cloud, begin, end):
        self.name, self.report = name, report
        self.cloud, self.begin, self.end = cloud, begin, end
        first = next(at for at, line in enumerate(lines) if told_at(line) >= begin)
        self.embedded, self.before = [line for line in lines[first:] if told_at(line) < end], lines[first - 1]

    def points(self, metric):
        return self.cloud.points(metric, self.begin, self.end)

    def total(self, metric, statistic):
        return sum(point[statistic] for point in self.points(metric))

    def average(self, metric):
        count = self.total(metric, "SampleCount")
        return self.total(metric, "Sum") / count if count else None

    def most(self, metric):
        return max((point["Maximum"] for point in self.points(metric)), default=None)

    def p95(self, metric):
        return percentile(self.embedded, metric, 0.95)

    def call(self, name):
        return next((row for row in self.report["calls"] if row["name"] == name), None)

    def let_in(self):
        """How many, by the rates that were told and the time between two of them; and how fast while people waited."""
        people, seconds, busy = 0.0, 0.0, 0.0
        for before, now in zip([self.before, *self.embedded], self.embedded):
            took = (now["_aws"]["Timestamp"] - before["_aws"]["Timestamp"]) / 1000
            people += now["AdmissionRate"] * took
            # Not the second in which it began, nor the one in which it ended.
            if before["AdmissionRate"] > 0 < now["AdmissionRate"] and min(before["PeopleWaiting"], now["PeopleWaiting"]) > 0:
                seconds, busy = seconds + took, busy + now["AdmissionRate"] * took
        return people, busy / seconds if seconds else None


class Table:
    def __init__(self):
        self.rows, self.differ = [], []

    def add(self, run, metric, told, read, agrees, words):
        shown = [f"{value:,.2f}".rstrip("0").rstrip(".") if isinstance(value, float) else f"{value:,}" for value in (told, read)]
        self.rows.append((run, metric, *shown, words if agrees else f"**differs** ({words})"))
        if not agrees:
            self.differ.append(f"{run}: {metric}: {told} counted, {read} read back")

    def equal(self, run, metric, told, read, words="equal"):
        self.add(run, metric, told, read, abs(told - read) < 1e-6, words)

    def near(self, run, metric, told, read, margin, words):
        self.add(run, metric, told, read, read is not None and abs(told - read) <= margin, words)

    def within(self, run, metric, told_ms, read):
        """The server's time is a part of what the generator waited, and is told as its bucket's upper bound. Requests beside the
        crowd's may move a percentile by a little."""
        bucket = lambda millis: next((at for at, bound in enumerate(BUCKETS) if millis <= bound), len(BUCKETS) - 1)
        below = bucket(told_ms) - BUCKETS.index(read)
        words = f"{below} bucket{'s' * (below > 1)} below: the way there and back" if below > 0 else "the same bucket" if below == 0 else "the next one"
        self.add(run, metric, told_ms, float(read), BUCKETS.index(read) <= bucket(1.05 * told_ms), words)

    def print(self):
        print("\n| run | metric | the generator's count | read back | |\n|---|---|--:|--:|---|")
        for row in self.rows:
            print(f"| {' | '.join(row)} |")


def compare(run, table):
    report, name = run.report, run.name
    requests = report["requests"]
    answers = requests["answered"] + report["beside"]
    read, lost = int(run.total("ResponseTime", "SampleCount")), unanswered(run)
    words = f"equal, but for {lost} whose answers were lost on their way" if lost else "equal"
    table.add(name, "requests: `ResponseTime` SampleCount", answers, read, answers <= read <= answers + lost, words)
    table.within(name, "response time: `ResponseTime` p95, ms", requests["p95Ms"], run.p95("ResponseTime"))
    errors = 100.0 * requests["failuresOfTheServer"] / answers
    table.equal(name, "error rate: `ErrorRate` Average, %", errors, run.average("ErrorRate"))
    if enter := run.call("enter"):
        tries = enter["done"] + enter["refused"] + enter["failed"]
        table.equal(name, "entered: `WaitingRoomTime` SampleCount", tries, int(run.total("WaitingRoomTime", "SampleCount")))
        table.within(name, "entering: `WaitingRoomTime` p95, ms", enter["p95Ms"], run.p95("WaitingRoomTime"))
        compare_line(run, table)
    for call, metric, words in [("hold", "HoldSuccess", "holds"), ("confirm", "PaymentSuccess", "payments")]:
        if row := run.call(call):
            table.equal(name, f"{words} tried: `{metric}` SampleCount", row["done"] + row["refused"] + row["failed"], int(run.total(metric, "SampleCount")))
            table.equal(name, f"{words} made: `{metric}` Sum", row["done"], int(run.total(metric, "Sum")))
    if event := run.call("event"):
        # Each reads the event and its venue, which are looked up once.
        reads = event["done"] + 1
        table.near(name, "cache: `CacheHitRate` Average, %", 100.0 * (1 - 1 / reads), run.average("CacheHitRate"), 5, "as far as intervals weigh alike")


def compare_line(run, table):
    report, pace = run.report, run.report["pace"]
    if run.name != "purchase":  # There the line changes all the time, so two who look once a second see different lines.
        waiting = max(second["waiting"] for second in report["seconds"])
        table.near(run.name, "people waiting: `PeopleWaiting` Maximum", waiting, int(run.most("PeopleWaiting")), max(2, waiting * 0.01), "within 1 %")
    people, rate = run.let_in()
    if report["seconds"][-1]["waiting"] == 0:  # Otherwise the last to be let in had not asked yet.
        left = int(dict(map(tuple, report["story"])).get("left", 0))
        words = f"within 1 %, and {left} who left, some of them when they had just been let in" if left else "within 1 %"
        table.near(run.name, "let in: `AdmissionRate`, times time", pace["admitted"], round(people), left + max(2, pace["admitted"] * 0.01), words)
    if rate and run.name != "full room":  # There the line is empty between two tries, which nobody in it can know.
        table.near(run.name, "a second, while people waited: `AdmissionRate` Average", pace["rate"], rate, pace["rate"] * 0.05, "within 5 %")


def compare_stores(server, run, table):
    """What the generator cannot know, by the stores' own account."""
    own = open_databases(server) if server.postgres is None else server.postgres.connections("onsale")
    whose = "files of `/proc`" if server.postgres is None else "`pg_stat_activity`"
    table.near(run.name, f"connections, by {whose}: `DatabaseConnections`, last", own, int(run.embedded[-1]["DatabaseConnections"]), 1, "as many, or one that came or went")
    told = run.report["story"]
    tickets = int(dict(map(tuple, told))["tickets"])
    lag = int(run.embedded[-1]["OutboxLag"])
    table.equal(run.name, "tickets in the tables, when `OutboxLag` was 0 again", tickets, tickets_in_tables(server) if lag == 0 else -1)


def open_databases(server):
    files = [file.resolve() for file in Path(f"/proc/{server.child.pid}/fd").iterdir() if file.exists()]
    return sum(file.suffix == ".db" for file in files)


def tickets_in_tables(server):
    query = "SELECT count(*) FROM reservations WHERE status = 'CONFIRMED'"
    if server.postgres:
        return int(server.postgres.ask("onsale", query))
    with sqlite3.connect(f"file:{server.folder / 'data' / 'library.db'}?mode=ro", uri=True) as library:
        return library.execute(query).fetchone()[0]


class Field:
    """The server, the stand-in, and the generator that is set on the one and held against the other."""

    def __init__(self, folder, storage):
        self.binaries, self.storage = folder, storage
        self.scratch = Path(tempfile.mkdtemp(prefix="onsale-load-run-"))
        settings = {"ONSALE__LOG__ACCESS_ONE_IN": "100", "ONSALE__SERVER__REQUEST_TIMEOUT_MS": "5000", "ONSALE__SERVER__MAX_CONNECTIONS": "20000"}
        self.stores = []
        if storage == "postgres":
            self.stores = [Postgres(), Redis()]
            settings |= {"ONSALE__STORAGE__KIND": "postgres", "ONSALE__POSTGRES__URL": self.stores[0].url("onsale"), "ONSALE__REDIS__URL": self.stores[1].url}
        self.server = Server(folder / "onsale", **settings)
        self.server.postgres = self.stores[0] if self.stores else None
        self.cloud = CloudWatch()

    def run(self, name, scenario, *flags):
        time.sleep(1.2)  # what was before is told
        begin = datetime.now(timezone.utc).replace(microsecond=0)
        told = self.scratch / f"{name.replace(' ', '-')}.json"
        server = self.server
        command = [self.binaries / "onsale-load", scenario, "--url", server.base, "--secret", SECRET, "--pid", str(server.child.pid), "--json", told, *map(str, flags)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), f"{name}: {done.stdout[-3000:]}{done.stderr[-1000:]}"
        print(f"{name}: {' '.join(map(str, [scenario, *flags]))}")
        for line in done.stdout.splitlines():
            if line.startswith("failed:"):
                print(f"    {line}", flush=True)
        time.sleep(2.2)  # two intervals of the server's metrics
        self.cloud.ship_as_told(server.folder / "log")
        end = datetime.now(timezone.utc) + timedelta(seconds=1)
        lines = [json.loads(line) for line in self.cloud.lines(ALL) if '"_aws"' in line]
        return Run(name, json.loads(told.read_text()), lines, self.cloud, begin, end)

    def close(self):
        self.server.child.kill()
        self.server.child.wait()
        self.cloud.child.kill()
        for store in self.stores:
            store.stop()
        shutil.rmtree(self.scratch)
        shutil.rmtree(self.server.folder, ignore_errors=True)


def runs(field, size):
    """A crowd that buys, readers, a room that is too small, so that there are errors to count, and last a crowd that waits, because
    its line goes on when nobody looks any more. After half a minute those of it who are not heard of lose their places, so the
    plans, which take longer, may follow."""
    yield field.run("purchase", "purchase", "--buyers", size.purchases, "--arrive", 5, "--rate", size.purchases // 6)
    yield field.run("catalogue", "catalogue", "--phases", size.phases)
    full = ["--buyers", 300, "--capacity", 250, "--arrive", 2, "--rate", 200, "--opens-after", 4, "--leave", 0, "--silent", 0, "--errors", 100_000]
    yield field.run("full room", "queue", *full)
    opens = round(size.arrive) + 4
    queue = ["--buyers", size.buyers, "--arrive", size.arrive, "--rate", size.rate, "--seconds", size.seconds]
    yield field.run("queue", "queue", *queue, "--opens-after", opens, "--absent-after", max(opens + 1, 30), "--silent", size.silent)


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("binaries", type=Path, help="the folder with onsale and onsale-load")
    flags.add_argument("--storage", choices=["embedded", "postgres"], default="embedded", help="postgres: with Redis, both of its own")
    flags.add_argument("--levels", action="store_true", help="end with 1 when a service level was missed, too")
    flags.add_argument("--plan", action="store_true", help="also hold two load runs against onsale plan, which takes two minutes")
    flags.add_argument("--buyers", type=int, default=2000, help="in the waiting room")
    flags.add_argument("--arrive", type=float, default=4, help="seconds in which they come")
    flags.add_argument("--rate", type=int, default=400, help="let in a second")
    flags.add_argument("--seconds", type=int, default=30, help="how long the line is watched after the opening")
    flags.add_argument("--silent", type=float, default=0, help="of a hundred, so many fall silent and lose their place")
    flags.add_argument("--purchases", type=int, default=600, help="buyers who buy")
    flags.add_argument("--phases", default="200x3", help="reads of the catalogue: a second x seconds")
    size = flags.parse_args()
    field, table, made = Field(size.binaries.resolve(), size.storage), Table(), []
    try:
        for run in runs(field, size):
            compare(run, table)
            made.append(run)
            if run.name == "purchase":
                compare_stores(field.server, run, table)
        if size.plan:
            compare_plans(field, table)
        told = field.cloud.metrics.list_metrics(Namespace=NAMESPACE)["Metrics"]
        table.equal("all", "metrics, each with one dimension", 10, len({(metric["MetricName"], str(metric["Dimensions"])) for metric in told}))
        table.print()
        missed = levels(made, scrape(field.server.base), size)
    finally:
        field.close()
    for words in table.differ + [f"missed: {words}" for words in missed]:
        print(words, file=sys.stderr)
    sys.exit(1 if table.differ or (missed and size.levels) else 0)


if __name__ == "__main__":
    main()

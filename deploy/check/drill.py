"""The recovery drill: a server that sells, backups of it, a disaster, the steps of restoring, and what came of it.

Usage: drill.py ONSALE_BINARY [SECONDS_OF_SELLING]

Prints the table of docs/operations.md: time to recover (from the disaster to the first purchase on the restored server), what
was acknowledged, what of it was lost. Ends with 1 when anything is lost that was acknowledged before the backup began.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timezone
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from postgres import Postgres  # noqa: E402
from server import Server  # noqa: E402

SELLERS = 4


class Sold:
    """What was acknowledged: when, to whom, and the reservation as it was told last."""

    def __init__(self):
        self.answers, self.lock, self.stop = [], threading.Lock(), False

    def sell(self, server, event):
        while not self.stop:
            try:
                bearer, status, held = server.hold(event)
                if status != 201:
                    continue
                status, paid = server.pay(bearer, held, "sim_ok")
                if status == 200:
                    with self.lock:
                        self.answers.append((datetime.now(timezone.utc), bearer, held["reservationId"], "CONFIRMED"))
            except (OSError, AssertionError, KeyError, ValueError):
                # The disaster, for whoever was in the middle of something: not acknowledged.
                time.sleep(0.01)


def selling(server, event):
    sold = Sold()
    threads = [threading.Thread(target=sold.sell, args=(server, event), daemon=True) for _ in range(SELLERS)]
    for thread in threads:
        thread.start()
    return sold, threads


def ended(sold, threads):
    sold.stop = True
    for thread in threads:
        thread.join(30)
    return sold.answers


def lost(server, answers):
    """Acknowledged answers that the server does not give any more."""
    def is_lost(answer):
        _, bearer, reservation, expected = answer
        status, told = server.call("GET", f"/reservations/{reservation}", bearer=bearer)
        return status != 200 or told["status"] != expected

    return [answer for answer in answers if is_lost(answer)]


def onsale(binary, *arguments):
    done = subprocess.run([binary, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
    return done.stdout.strip()


def first_purchase(server, event):
    status = None
    while status != 201:
        bearer, status, held = server.hold(event)
        assert status in (201, 503, 504), held
    status, paid = server.pay(bearer, held, "sim_ok")
    assert status == 200, paid


def crash(binary, seconds):
    """The process dies, its disk does not."""
    server = Server(binary)
    event = server.event(100, 100)
    sold, threads = selling(server, event)
    time.sleep(seconds)
    disaster = time.monotonic()
    server.child.kill()
    server.child.wait()
    again = Server(binary, folder=server.folder)
    first_purchase(again, event)
    recovered = time.monotonic() - disaster
    answers = ended(sold, threads)
    gone = lost(again, answers)
    again.stop()
    shutil.rmtree(server.folder)
    return {"disaster": "kill -9, disk intact", "recovered": recovered, "acknowledged": len(answers), "before": gone, "after": [], "window": 0.0}


def disk(binary, seconds):
    """The disk is gone; there are backups, the last of them made while the server sold."""
    server = Server(binary)
    event = server.event(100, 100)
    backups = Path(tempfile.mkdtemp(prefix="onsale-backups-"))
    sold, threads = selling(server, event)
    time.sleep(seconds / 2)
    print(onsale(binary, "backup", "--from", server.folder / "data", "--into", backups, "--label", "automatic"))
    time.sleep(seconds / 2)
    disaster, at = time.monotonic(), datetime.now(timezone.utc)
    server.child.kill()
    server.child.wait()
    shutil.rmtree(server.folder / "data")

    # 1: the newest backup. 2: restore it, which verifies. 3: start on it. 4: let clients find it.
    backup = max(backups.iterdir(), key=lambda path: path.name)
    taken_at = datetime.fromisoformat(json.loads((backup / "backup.json").read_text())["takenAt"].replace("Z", "+00:00")[:26] + "+00:00")
    print(onsale(binary, "restore", backup, "--to", server.folder / "data"))
    again = Server(binary, folder=server.folder)
    first_purchase(again, event)
    recovered = time.monotonic() - disaster

    answers = ended(sold, threads)
    gone = lost(again, answers)
    again.stop()
    print(onsale(binary, "verify", server.folder / "data"))
    shutil.rmtree(server.folder)
    shutil.rmtree(backups)
    before = [answer for answer in gone if answer[0] < taken_at]
    return {
        "disaster": "disk lost, newest backup restored", "recovered": recovered, "acknowledged": len(answers),
        "before": before, "after": [answer for answer in gone if answer[0] >= taken_at], "window": (at - taken_at).total_seconds(),
    }


def database(binary, seconds):
    """The database is gone; there is a dump of it, made while the server sold."""
    first, scripts = Postgres(), Path(__file__).resolve().parent.parent / "postgres"
    settings = lambda postgres: {"ONSALE__STORAGE__KIND": "postgres", "ONSALE__POSTGRES__URL": postgres.url("onsale")}
    server = Server(binary, **settings(first))
    event = server.event(100, 100)
    backups = Path(tempfile.mkdtemp(prefix="onsale-dumps-"))
    sold, threads = selling(server, event)
    time.sleep(seconds / 2)
    taken_at = datetime.now(timezone.utc)
    run(scripts / "backup", backups, "automatic", env=first.environment | {"PGDATABASE": "onsale"})
    time.sleep(seconds / 2)
    disaster, at = time.monotonic(), datetime.now(timezone.utc)
    server.child.kill()
    server.child.wait()
    first.stop()

    # 1: the newest dump. 2: restore it into a new instance. 3: start on its endpoint. 4: let clients find it.
    second = Postgres()
    backup = max(backups.iterdir(), key=lambda path: path.name)
    run(scripts / "restore", backup, env=second.environment | {"PGDATABASE": "onsale"})
    again = Server(binary, folder=server.folder, **settings(second))
    first_purchase(again, event)
    recovered = time.monotonic() - disaster
    answers = ended(sold, threads)
    gone = lost(again, answers)
    again.stop()
    second.stop()
    shutil.rmtree(server.folder)
    shutil.rmtree(backups)
    return {
        "disaster": "database lost, newest dump restored", "recovered": recovered, "acknowledged": len(answers),
        "before": [answer for answer in gone if answer[0] < taken_at],
        "after": [answer for answer in gone if answer[0] >= taken_at], "window": (at - taken_at).total_seconds(),
    }


def run(*command, env):
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    print(done.stdout.strip())


def main(binary, seconds):
    rows = [crash(binary, seconds), disk(binary, seconds), database(binary, seconds)]
    print("\n| disaster | until the first purchase again | acknowledged | lost of what was acknowledged before the backup | lost after it, in a window of |")
    print("|---|---|---|---|---|")
    for row in rows:
        assert row["acknowledged"] > 20, "nothing was sold"
        window = f"{len(row['after'])}, {row['window']:.1f} s" if row["window"] else "–"
        print(f"| {row['disaster']} | {row['recovered']:.1f} s | {row['acknowledged']} | {len(row['before'])} | {window} |")
    sys.exit(1 if any(row["before"] for row in rows) else 0)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 4.0)

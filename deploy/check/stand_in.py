"""A real server's logs and metrics, shipped as the agent's configuration says to a stand-in of CloudWatch (moto), read
back, and held against what was sent; then each alarm's condition is produced, and its metric must cross the threshold.

Usage: stand_in.py ONSALE_BINARY

Every phase is shipped into minutes of its own.
"""

import fnmatch
import json
import shutil
import sqlite3
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from cloudwatch import NAMESPACE, SERVICE, TOLD_BY_AWS, CloudWatch, alarms, is_breached  # noqa: E402
from server import Server, until  # noqa: E402


def locked(path):
    """Nobody else may write to this database until the answer is closed."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("BEGIN IMMEDIATE")
    return connection


def won(server, event):
    """A hold; a disk that stood still for a moment is asked again, as a buyer would."""
    for _ in range(5):
        bearer, status, held = server.hold(event)
        if status == 201:
            return bearer, held
    raise AssertionError(held)


def good_load(server, event, room):
    """A crowd that buys; a few are refused."""
    server.many(lambda: server.call("GET", f"/events/{event}"), 40)
    server.many(lambda: server.enter(room), 25, at_once=2)
    for bearer, held in server.many(lambda: won(server, event), 20, at_once=4):
        status, paid = server.pay(bearer, held, "sim_ok")
        assert status == 200, paid
    server.many(lambda: server.hold(event, seats=99), 2)


def main(binary):
    cloud, server = CloudWatch(), Server(binary)
    folder = server.folder / "log"
    rules, rows = alarms(), []
    event, room = server.event(60, 50), server.event(1, 10, required=True, ratePerSecond=1)

    def phase(words, expected):
        """Ships what the phase wrote; exactly the expected alarms of ours must be breached. Where this machine was too slow
        for the waiting room by the callers' own clock, its alarm may be, too."""
        slow, server.slowest = server.slowest > 0.1, 0
        time.sleep(2)  # an interval of the server's metrics, and some
        embedded = cloud.ship(folder)
        for name, alarm in rules.items():
            if alarm["Namespace"] == NAMESPACE:
                breached, value = is_breached(cloud, alarm, embedded)
                may = name == "waiting-room" and slow
                assert breached == (name in expected) or may, f"{words}: {name} is {value}, threshold {alarm['Threshold']}"
                if name in expected:
                    rows.append((name, words, value, alarm["Threshold"]))
        return embedded

    try:
        for name, alarm in rules.items():
            cloud.metrics.put_metric_alarm(**alarm)
        told = cloud.metrics.describe_alarms()["MetricAlarms"]
        assert len(told) == len(rules) <= 10, told

        good_load(server, event, room)
        good = phase("a crowd that buys", set())
        # The ten metrics, and what was sent.
        metrics = cloud.metrics.list_metrics(Namespace=NAMESPACE)["Metrics"]
        distinct = {(metric["MetricName"], json.dumps(metric["Dimensions"], sort_keys=True)) for metric in metrics}
        assert len(distinct) == 10, distinct
        read = lambda name: cloud.read({"Namespace": NAMESPACE, "MetricName": name, "Dimensions": [{"Name": "Service", "Value": SERVICE}]})
        table = [
            ("requests", "ResponseTime", "SampleCount", server.sent["requests"]),
            ("error rate, of", "ErrorRate", "SampleCount", server.sent["requests"]),
            ("entered", "WaitingRoomTime", "SampleCount", server.sent["entered"]),
            ("holds tried", "HoldSuccess", "SampleCount", server.sent["holds tried"]),
            ("holds won", "HoldSuccess", "Sum", server.sent["holds won"]),
            ("payments tried", "PaymentSuccess", "SampleCount", server.sent["payments tried"]),
            ("payments made", "PaymentSuccess", "Sum", server.sent["payments won"]),
        ]
        for words, name, statistic, sent in table:
            told = read(name)[statistic]
            print(f"{words:16} sent {sent:5}  read back {told:7.0f}  ({name}, {statistic})")
            assert told == sent, (words, told, sent)
        for name in ["PeopleWaiting", "AdmissionRate", "DatabaseConnections", "CacheHitRate", "OutboxLag"]:
            print(f"{name:20} {read(name)['Maximum']:.1f}")

        # A room that is full does what it was told: nobody is called for errors, but for the room.
        full = server.event(1, 10, required=True, ratePerSecond=1, capacity=40)
        refused = [status for status, _ in server.many(lambda: server.enter(full), 80, at_once=4) if status == 503]
        assert 0 < len(refused) <= 40, refused
        phase("a room is full, and a third of all answers say so", {"capacity"})
        status, told = server.call("POST", f"/admin/events/{full}/cancel", {}, server.admin)
        assert status == 200, told
        time.sleep(2)
        cloud.ship(folder)

        # A stopped database: what writes is refused or unknown. The commit log takes facts until it is noticed that they cannot
        # be checkpointed; the next writer waits. Nobody else shall: admission is paused.
        status, told = server.call("PATCH", f"/admin/events/{room}/admission", {"paused": True}, server.admin)
        assert status == 200, told
        journal = locked(server.folder / "data" / "journal.db")
        assert server.hold(event)[1] == 201
        until(lambda: any("could not be checkpointed" in path.read_text() for path in folder.iterdir()), "it is not noticed")
        server.many(lambda: server.enter(room), 12)
        server.many(lambda: server.hold(event), 4)
        journal.close()
        phase("the journal's database is stopped", {"error-rate", "waiting-room"})

        until(lambda: server.hold(event)[1] == 201, "the journal does not come back")
        time.sleep(2)
        cloud.ship(folder)
        for bearer, held in server.many(lambda: won(server, event), 5, at_once=2):
            server.pay(bearer, held, "sim_decline")
        phase("payments are declined", {"payment-failures"})

        # The tables cannot be written, while the sale goes on.
        library = locked(server.folder / "data" / "library.db")
        held = server.many(lambda: server.hold(event), 1100, at_once=12)
        assert sum(status == 201 for _, status, _ in held) > 1000, "too few facts"
        phase("the tables' database is stopped", {"outbox-lag"})
        library.close()

        server.stop()
        cloud.ship(folder)  # what it told at its end
        phase("the server is stopped", {"health"})

        # What AWS tells itself.
        for name, value in TOLD_BY_AWS.items():
            alarm = rules[name]
            data = {"MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"], "Timestamp": cloud.phase, "Value": value}
            cloud.metrics.put_metric_data(Namespace=alarm["Namespace"], MetricData=[data])
        # A day that is a thousand times this run.
        written = sum(path.stat().st_size for path in folder.iterdir() if path.name.startswith("all."))
        day = {"MetricName": "IncomingBytes", "Dimensions": rules["log-volume"]["Dimensions"], "Timestamp": cloud.phase, "Value": written * 1000}
        cloud.metrics.put_metric_data(Namespace="AWS/Logs", MetricData=[day])
        for name in [*TOLD_BY_AWS, "log-volume"]:
            breached, value = is_breached(cloud, rules[name], [])
            assert breached, f"{name}: {value}"
            words = "a thousand times this run's log" if name == "log-volume" else "as AWS would tell it"
            rows.append((name, words, value, rules[name]["Threshold"]))
        assert {row[0] for row in rows} == set(rules), "an alarm's condition was not produced"

        for file in cloud.files:
            pattern = Path(file["file_path"]).name
            lines = sum(len(path.read_text().splitlines()) for path in folder.iterdir() if fnmatch.fnmatch(path.name, pattern))
            assert cloud.count_lines(file["log_group_name"]) == lines > 0, file["log_group_name"]
            print(f"{file['log_group_name']:20} {lines} lines, read back")
        print("\n| alarm | produced by | value | threshold |\n|---|---|---|---|")
        for name, words, value, threshold in rows:
            shown = "no data" if value is None else f"{value:g}"
            print(f"| {name} | {words} | {shown} | {threshold} |")
        assert good, "no embedded metrics were written"
    finally:
        cloud.child.kill()
        server.child.kill()
    shutil.rmtree(server.folder)


if __name__ == "__main__":
    main(sys.argv[1])

"""A real server's logs and metrics, shipped as the agent's configuration says to a stand-in of CloudWatch (moto), read
back, and held against what was sent; then each alarm's condition is produced, and its metric must cross the threshold.

Usage: stand_in.py ONSALE_BINARY

moto takes metrics, logs and alarms; it neither extracts embedded metrics nor evaluates alarms, so both are done here, from
the template's own numbers. Every phase is shipped into minutes of its own.
"""

import fnmatch
import json
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3

sys.path.insert(0, str(Path(__file__).parent))
from server import Server, free_port, until  # noqa: E402

DEPLOY = Path(__file__).resolve().parent.parent
NAMESPACE, SERVICE = "Onsale", "onsale"
KEYS = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
PARAMETERS = {"Service": SERVICE, "Instance": "i-1", "DatabaseInstance": "db-1", "CacheCluster": "cache-1", "CostAlarmDollars": 20,
              "AllLogs": f"/{SERVICE}/all", "AlarmTopic": "arn:aws:sns:us-east-1:123456789012:onsale-alarms"}
# Alarms on what AWS itself measures: values as it would tell them, because here is no AWS.
TOLD_BY_AWS = {"database-cpu": 85, "cache-memory": 91, "machine-cpu": 72, "cost": 21}


def resolve(value):
    """A template's value with its parameters put in."""
    if isinstance(value, dict) and "Ref" in value:
        return PARAMETERS[value["Ref"]]
    if isinstance(value, dict) and "Fn::Sub" in value:
        return value["Fn::Sub"].replace("${Service}", SERVICE)
    if isinstance(value, dict):
        return {name: resolve(inner) for name, inner in value.items()}
    return [resolve(inner) for inner in value] if isinstance(value, list) else value


def alarms():
    resources = json.loads((DEPLOY / "cloudwatch" / "template.json").read_text())["Resources"].values()
    found = [resolve(resource["Properties"]) for resource in resources if resource["Type"] == "AWS::CloudWatch::Alarm"]
    return {alarm["AlarmName"].removeprefix(f"{SERVICE}-"): alarm for alarm in found}


class CloudWatch:
    """The stand-in, and an agent that ships to it."""

    def __init__(self):
        port = free_port()
        command = [sys.executable, "-m", "moto.server", "--port", str(port)]
        self.child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        until(self.is_up, "moto does not answer")
        self.metrics = boto3.client("cloudwatch", endpoint_url=self.url, **KEYS)
        self.logs = boto3.client("logs", endpoint_url=self.url, **KEYS)
        config = json.loads((DEPLOY / "cloudwatch" / "agent-free.json").read_text())
        self.files = config["logs"]["logs_collected"]["files"]["collect_list"]
        for file in self.files:
            self.logs.create_log_group(logGroupName=file["log_group_name"])
            self.logs.put_retention_policy(logGroupName=file["log_group_name"], retentionInDays=file["retention_in_days"])
            self.logs.create_log_stream(logGroupName=file["log_group_name"], logStreamName="i-1")
        self.shipped = defaultdict(int)
        # Each phase has ten minutes, beginning an hour ago.
        self.phase = datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(hours=3)

    def is_up(self):
        try:
            return urllib.request.urlopen(self.url, timeout=1).status == 200
        except OSError:
            return False

    def ship(self, folder):
        """A new phase: all lines that were written since the last. Answers those that have embedded metrics."""
        self.phase += timedelta(minutes=10)
        embedded = []
        for file in self.files:
            pattern = Path(file["file_path"]).name
            for path in sorted(path for path in folder.iterdir() if fnmatch.fnmatch(path.name, pattern)):
                lines = path.read_text().splitlines()
                new, self.shipped[path] = lines[self.shipped[path]:], len(lines)
                at = int(time.time() * 1000)
                for first in range(0, len(new), 1000):
                    events = [{"timestamp": at, "message": line} for line in new[first:first + 1000]]
                    self.logs.put_log_events(logGroupName=file["log_group_name"], logStreamName="i-1", logEvents=events)
                embedded += [json.loads(line) for line in new if '"_aws"' in line]
        for line in embedded:
            self.extract(line)
        return embedded

    def extract(self, line):
        """What CloudWatch makes of a line: its metrics, with every set of dimensions."""
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                data = []
                for metric in directive["Metrics"]:
                    value = line[metric["Name"]]
                    told = {"Values": value["Values"], "Counts": value["Counts"]} if isinstance(value, dict) else {"Value": value}
                    named = [{"Name": name, "Value": line[name]} for name in dimensions]
                    data.append({"MetricName": metric["Name"], "Unit": metric["Unit"], "Dimensions": named, "Timestamp": self.phase} | told)
                self.metrics.put_metric_data(Namespace=directive["Namespace"], MetricData=data)

    def read(self, alarm):
        """The statistics of an alarm's metric in this phase; none where nothing was told."""
        asked = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"]}
        span = {"StartTime": self.phase, "EndTime": self.phase + timedelta(minutes=1), "Period": 60}
        names = ["SampleCount", "Sum", "Average", "Maximum"]
        points = self.metrics.get_metric_statistics(Statistics=names, **asked, **span)["Datapoints"]
        return points[0] if points else None

    def count_lines(self, group):
        paginator = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return sum(len(page["events"]) for page in paginator)


def percentile(embedded, name, share):
    """Of values with counts, as CloudWatch would of what these lines tell."""
    samples = sorted(
        (value, count) for line in embedded if name in line and isinstance(line[name], dict)
        for value, count in zip(line[name]["Values"], line[name]["Counts"])
    )
    samples += [(line[name], 1) for line in embedded if isinstance(line.get(name), (int, float))]
    samples.sort()
    needed, seen = share * sum(count for _, count in samples), 0
    for value, count in samples:
        seen += count
        if seen >= needed:
            return value
    return None


def is_breached(cloud, alarm, embedded):
    """Whether the alarm's condition holds in this phase, and the value that says so."""
    point = cloud.read(alarm)
    if point is None:
        return alarm["TreatMissingData"] == "breaching", None
    if "ExtendedStatistic" in alarm:
        value = percentile(embedded, alarm["MetricName"], float(alarm["ExtendedStatistic"][1:]) / 100)
    else:
        value = point[alarm["Statistic"]]
    compare = {
        "GreaterThanThreshold": lambda: value > alarm["Threshold"],
        "GreaterThanOrEqualToThreshold": lambda: value >= alarm["Threshold"],
        "LessThanThreshold": lambda: value < alarm["Threshold"],
    }[alarm["ComparisonOperator"]]
    return value is not None and compare(), value


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

        # A stopped database: what writes is refused or unknown. The commit log takes facts until it is noticed that they cannot
        # be filed; whoever writes next waits. Nobody else shall: admission is paused.
        status, told = server.call("PATCH", f"/admin/events/{room}/admission", {"paused": True}, server.admin)
        assert status == 200, told
        journal = locked(server.folder / "data" / "journal.db")
        assert server.hold(event)[1] == 201
        until(lambda: any("could not be filed" in path.read_text() for path in folder.iterdir()), "it is not noticed")
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

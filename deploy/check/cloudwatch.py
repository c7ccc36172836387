"""The stand-in of CloudWatch (moto), an agent that ships a server's logs and metrics to it as the agent's configuration says, and
what reads them back: statistics, alarms of the template. moto takes metrics, logs and alarms; it neither extracts embedded
metrics nor tells percentiles nor evaluates alarms, so these are done here, from the lines and the template's own numbers."""

import fnmatch
import json
import subprocess
import sys
import time
import urllib.request
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from pathlib import Path

import boto3

from server import free_port, until

DEPLOY = Path(__file__).resolve().parent.parent
NAMESPACE, SERVICE = "Onsale", "onsale"
KEYS = {"aws_access_key_id": "none", "aws_secret_access_key": "none", "region_name": "us-east-1"}
PARAMETERS = {"Service": SERVICE, "Instance": "i-1", "DatabaseInstance": "db-1", "CacheCluster": "cache-1", "CostAlarmDollars": 20, "CapacityAlarmPeople": 40,
              "AllLogs": f"/{SERVICE}/all", "AlarmTopic": "arn:aws:sns:us-east-1:123456789012:onsale-alarms"}
# Alarms on what AWS itself measures: values as it would tell them, because here is no AWS.
TOLD_BY_AWS = {"database-cpu": 85, "cache-memory": 91, "cost": 21}


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
        # Each phase has ten minutes, beginning three hours ago.
        self.phase = datetime.now(timezone.utc).replace(second=0, microsecond=0) - timedelta(hours=3)

    def is_up(self):
        try:
            return urllib.request.urlopen(self.url, timeout=1).status == 200
        except OSError:
            return False

    def ship(self, folder):
        """A new phase: all lines that were written since the last. Answers those that have embedded metrics."""
        self.phase += timedelta(minutes=10)
        return self.ship_lines(folder, lambda line: self.phase)

    def ship_as_told(self, folder):
        """The same, but every metric at the moment that its line names."""
        return self.ship_lines(folder, told_at)

    def ship_lines(self, folder, moment):
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
            self.extract(line, moment(line))
        return embedded

    def extract(self, line, moment):
        """What CloudWatch makes of a line: its metrics, with every set of dimensions. A value that came often is put as a set of
        statistics, because moto keeps every sample by itself."""
        for directive in line["_aws"]["CloudWatchMetrics"]:
            for dimensions in directive["Dimensions"]:
                data = []
                for metric in directive["Metrics"]:
                    named = [{"Name": name, "Value": line[name]} for name in dimensions]
                    about = {"MetricName": metric["Name"], "Unit": metric["Unit"], "Dimensions": named, "Timestamp": moment}
                    for value, count in samples(line[metric["Name"]]):
                        statistics = {"SampleCount": count, "Sum": value * count, "Minimum": value, "Maximum": value}
                        data.append(about | {"StatisticValues": statistics})
                self.metrics.put_metric_data(Namespace=directive["Namespace"], MetricData=data)

    def read(self, alarm):
        """The statistics of an alarm's metric in this phase; none where nothing was told."""
        asked = {"Namespace": alarm["Namespace"], "MetricName": alarm["MetricName"], "Dimensions": alarm["Dimensions"]}
        span = {"StartTime": self.phase, "EndTime": self.phase + timedelta(minutes=1), "Period": 60}
        names = ["SampleCount", "Sum", "Average", "Maximum"]
        points = self.metrics.get_metric_statistics(Statistics=names, **asked, **span)["Datapoints"]
        return points[0] if points else None

    def points(self, name, begin, end):
        """The minutes of a metric of ours, each with its statistics."""
        asked = {"Namespace": NAMESPACE, "MetricName": name, "Dimensions": [{"Name": "Service", "Value": SERVICE}]}
        names = ["SampleCount", "Sum", "Average", "Maximum"]
        span = {"StartTime": begin, "EndTime": end, "Period": 60}
        return self.metrics.get_metric_statistics(Statistics=names, **asked, **span)["Datapoints"]

    def lines(self, group):
        """Every line of a group, read back."""
        pages = self.logs.get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def count_lines(self, group):
        return len(self.lines(group))


def told_at(line):
    return datetime.fromtimestamp(line["_aws"]["Timestamp"] / 1000, timezone.utc)


def samples(value):
    """What a line tells of a metric: values, and how often each."""
    return list(zip(value["Values"], value["Counts"])) if isinstance(value, dict) else [(value, 1)]


def percentile(embedded, name, share):
    """Of values with counts, as CloudWatch would of what these lines tell."""
    counted = sorted(sample for line in embedded if name in line for sample in samples(line[name]))
    needed, seen = share * sum(count for _, count in counted), 0
    for value, count in counted:
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

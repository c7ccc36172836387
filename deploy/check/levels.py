"""The table of service levels: each with its target, how it is read in CloudWatch, what the generator measured, and what was
read back. Judges runs that were made; starts nothing."""

import re

# By the runs of load_run.py that they are measured in.
ENTRY_MS, READ_MS, LAG_FACTS, HELD = 100, 50, 1000, 0.99
READS = ["status", "stream", "live seats", "ticket", "events", "event", "seat map"]


def levels(runs, metrics, size):
    """Prints the table; answers those that were missed."""
    by_name = {run.name: run for run in runs}
    good = [run for run in runs if run.name != "full room"]
    queue = by_name["queue"]
    rows = [
        available(good),
        entering(queue),
        *reading(good, metrics),
        admission(queue),
        outbox(good),
        cache(queue, metrics),
    ]
    print("\n| level | target | read in CloudWatch as | alarm | the generator | read back | |\n|---|---|---|---|--:|--:|---|")
    for level, target, read_as, alarm, told, read, met in rows:
        verdict = {True: "met", False: "**missed**", None: "not here"}[met]
        print(f"| {level} | {target} | {read_as} | {alarm} | {told} | {read} | {verdict} |")
    return [f"{row[0]}: {row[4]}, read back {row[5]}" for row in rows if row[-1] is False]


def available(runs):
    """Of the minutes of these runs; what a month is like is told by what failures cost (docs/operations.md)."""
    answered = sum(run.report["requests"]["answered"] for run in runs)
    failed = sum(run.report["requests"]["failuresOfTheServer"] + unanswered(run) for run in runs)
    minutes = [point for run in runs for point in run.points("ErrorRate")]
    good = sum(point["Average"] < 5 for point in minutes)
    share = 100 * good / len(minutes)
    told = f"{100 - 100 * failed / max(1, answered):.2f} % of {answered:,} answers"
    target = "99.5 % of minutes; 99.9 % with two zones"
    read_as = "minutes with `ErrorRate` Average < 5 and `PeopleWaiting` told"
    return ("available", target, read_as, "error-rate, health", told, f"{share:.1f} % of {len(minutes)} minutes", share >= 99.9)


def unanswered(run):
    return sum(row["times"] for row in run.report["failures"] if row["code"] == "no answer" or row["code"].startswith("connection"))


def entering(queue):
    told, read = queue.call("enter")["p95Ms"], queue.p95("WaitingRoomTime")
    return ("entering the waiting room", f"p95 < {ENTRY_MS} ms", "`WaitingRoomTime` p95", "waiting-room", f"{told:.1f} ms", f"≤ {read:g} ms", told < ENTRY_MS and read <= ENTRY_MS)


def reading(runs, metrics):
    """All requests are read from CloudWatch; reads alone from Prometheus, which has every route."""
    rows = [row for run in runs for row in run.report["calls"] if row["name"] in READS]
    worst = max(rows, key=lambda row: row["p95Ms"])
    read = max(run.p95("ResponseTime") for run in runs)
    told = f"{worst['p95Ms']:.1f} ms ({worst['name']}, the slowest)"
    yield ("reads", f"p95 < {READ_MS} ms", "`ResponseTime` p95 (all requests)", "– (dashboard)", told, f"≤ {read:g} ms", worst["p95Ms"] < READ_MS)
    route, bound = max(slowest_reads(metrics).items(), key=lambda row: row[1])
    met = bound <= READ_MS
    yield ("reads, by route", f"p95 < {READ_MS} ms", "Logs Insights *slowest*; Prometheus `onsale_http_request_seconds`", "–", "the same", f"≤ {bound:g} ms ({route})", met)


def slowest_reads(metrics):
    """The bucket of the p95 of each route that is read, from the text of /metrics, in milliseconds."""
    pattern = re.compile(r'onsale_http_request_seconds_bucket\{method="GET",route="(/api[^"]*)",le="([^"]+)"\} (\d+)')
    routes = {}
    for route, bound, count in pattern.findall(metrics):
        routes.setdefault(route, []).append((float(bound.replace("+Inf", "inf")) * 1000, int(count)))
    return {route: next(bound for bound, count in buckets if count >= 0.95 * buckets[-1][1]) for route, buckets in routes.items()}


def admission(queue):
    asked, pace = queue.report["rate"], queue.report["pace"]
    _, read = queue.let_in()
    target = f"{asked} a second (36,000/h is 10), never more in any second"
    window = next(level for level in queue.report["levels"] if level["name"] == "the rate is never exceeded")
    told = f"{pace['rate']:.2f}/s = {pace['rate'] * 3600:,.0f}/h, {window['measured']}"
    # Whoever leaves just when let in was never told of it.
    met = window["met"] and max(pace["rate"], read or 0) >= HELD * asked
    shown = f"{read:.2f}/s = {read * 3600:,.0f}/h" if read else "too short"
    return ("admission", target, "`AdmissionRate` Average, while `PeopleWaiting` > 0", "– (dashboard)", told, shown, met)


def outbox(runs):
    most = max(run.most("OutboxLag") for run in runs)
    target = f"< {LAG_FACTS:,} facts, so 36,000/h reach the outbox as they come"
    return ("tables and outbox", target, "`OutboxLag` Maximum", "outbox-lag", "–", f"{most:g} facts", most < LAG_FACTS)


def cache(queue, metrics):
    told = re.search(r"^onsale_redis_outages_total (\d+)", metrics, re.M)
    target, read_as = "99.9 %; without it sales go on", "ElastiCache's own; Prometheus `onsale_redis_up`"
    if not told:
        return ("Redis", target, read_as, "cache-memory", "–", "no Redis in this run", None)
    up = re.search(r"^onsale_redis_up (\d)", metrics, re.M).group(1) == "1"
    return ("Redis", target, read_as, "cache-memory", "–", f"{'up' if up else 'away'}, {told.group(1)} outages", up and told.group(1) == "0")

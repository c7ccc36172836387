//! The catalogue: every metric by name, unit and meaning, for Prometheus and for CloudWatch. `docs/metrics.md` says the
//! same and a test holds them together, as another holds what a server publishes against this. Must never count anything.

use std::fmt::Write;

/// What a Prometheus family is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows, from the start of the process.
    Counter,
    /// As it is now.
    Gauge,
    /// Counts by upper bound, sum and count.
    Histogram,
}

impl Kind {
    /// As in a `# TYPE` line.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A family of series at `/metrics`.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The label that distinguishes its series; empty for one series.
    pub labels: &'static str,
    /// What it means to an operator.
    pub meaning: &'static str,
}

const fn family(name: &'static str, kind: Kind, labels: &'static str, meaning: &'static str) -> Family {
    Family { name, kind, labels, meaning }
}

/// Everything at `/metrics`.
pub const PROMETHEUS: &[Family] = &[
    family(
        "onsale_invariant_violations",
        Kind::Gauge,
        "",
        "Rules of seats, places and money that do not hold, checked every ten seconds. Must be 0.",
    ),
    family("onsale_journal_up", Kind::Gauge, "", "1 while the journal takes facts; 0: what writes answers 503."),
    family("onsale_facts_total", Kind::Counter, "", "Facts committed."),
    family("onsale_batches_total", Kind::Counter, "", "Batches (commits) of the journal."),
    family(
        "onsale_projection_lag_facts",
        Kind::Gauge,
        "",
        "Committed facts that are not in the tables and the outbox yet.",
    ),
    family("onsale_actor_rebuilds_total", Kind::Counter, "", "Actors rebuilt after a panic or a lost epoch."),
    family(
        "onsale_unmatched_outcomes_total",
        Kind::Counter,
        "",
        "Charges and refunds by which the provider moved money that no payment accounts for. Must not rise.",
    ),
    family(
        "onsale_events_unserved",
        Kind::Gauge,
        "",
        "Events whose journal is damaged or whose actor failed too often.",
    ),
    family(
        "onsale_events",
        Kind::Gauge,
        "state",
        "Events in memory (`loaded`), and those that are over and were taken out of it (`unloaded`).",
    ),
    family(
        "onsale_event_loads_total",
        Kind::Counter,
        "",
        "Events that were read into memory again because somebody asked for them.",
    ),
    family("onsale_log_lines_dropped_total", Kind::Counter, "", "Log lines that nobody read fast enough."),
    family("onsale_log_bytes_total", Kind::Counter, "", "Bytes written to the log, all files together."),
    family("onsale_revoked_tokens", Kind::Gauge, "", "Revoked access tokens that have not expired yet."),
    family("onsale_database_connections", Kind::Gauge, "", "Open connections to the databases."),
    family(
        "onsale_storage_reserve",
        Kind::Gauge,
        "",
        "1 while the data directory holds room for a start on a full disk.",
    ),
    family(
        "onsale_cache_reads_total",
        Kind::Counter,
        "outcome",
        "Reads of events, venues, halls and lists of events: `hit`, answered from memory or from Redis, or `miss`, read from the tables.",
    ),
    family(
        "onsale_seats",
        Kind::Gauge,
        "event, state",
        "Seats: `available`, `held`, `sold`, `blocked`; the first 100 events in memory.",
    ),
    family("onsale_buyers", Kind::Gauge, "event, state", "Buyers: `waiting`, `active`, and `admitted` so far."),
    family("onsale_rate_limited_total", Kind::Counter, "family", "Requests refused with RATE_LIMITED."),
    family(
        "onsale_rate_uncounted_total",
        Kind::Counter,
        "",
        "Requests let through uncounted because too many buyers or addresses were remembered.",
    ),
    family("onsale_connections", Kind::Gauge, "", "Open connections."),
    family(
        "onsale_connections_refused_total",
        Kind::Counter,
        "limit",
        "Connections not taken: `all` were at `server.max_connections`, or those of their `address` at its own limit.",
    ),
    family(
        "onsale_connections_ended_total",
        Kind::Counter,
        "reason",
        "Connections ended: a `head` that did not come to its end, or an answer that stayed `unread`.",
    ),
    family("onsale_streams", Kind::Gauge, "", "Open event streams."),
    family(
        "onsale_streams_ended_total",
        Kind::Counter,
        "code",
        "Event streams that this server ended, by the code that they were sent; clients that went away are not counted.",
    ),
    family("onsale_http_requests_total", Kind::Counter, "method, route, status", "Requests by class of status."),
    family(
        "onsale_http_failures_total",
        Kind::Counter,
        "",
        "Answers with 5xx but `QUEUE_FULL` and `OVERLOADED`: failures of ours.",
    ),
    family(
        "onsale_http_shed_total",
        Kind::Counter,
        "",
        "Answers with `QUEUE_FULL` or `OVERLOADED`: more people than there is room for.",
    ),
    family(
        "onsale_holds_total",
        Kind::Counter,
        "outcome",
        "Holds: `won`, or `refused` by the sale (409) or by a failure (5xx).",
    ),
    family(
        "onsale_payments_total",
        Kind::Counter,
        "outcome",
        "Confirmations of payments: `made`, or `failed` (402, 409, 5xx).",
    ),
    family("onsale_http_request_seconds", Kind::Histogram, "method, route", "Time to the first byte of an answer."),
];

/// What is published beside [`PROMETHEUS`] where nodes share a Redis.
pub const REDIS: &[Family] = &[
    family(
        "onsale_redis_up",
        Kind::Gauge,
        "",
        "1 while Redis answers; 0: this node goes on by itself, and readiness says `redis`.",
    ),
    family("onsale_redis_outages_total", Kind::Counter, "", "How often Redis went away."),
    family(
        "onsale_redis_unanswered_total",
        Kind::Counter,
        "",
        "Calls of Redis that got no answer, or were not made because it was away.",
    ),
    family(
        "onsale_redis_cache_hits_total",
        Kind::Counter,
        "",
        "Hits of the catalogue's cache that Redis answered; the others this process did.",
    ),
    family(
        "onsale_redis_copies_total",
        Kind::Counter,
        "",
        "Journeys that brought copies of lines, holds and counts to Redis.",
    ),
    family("onsale_redis_copies_whole_total", Kind::Counter, "", "Copies of events that were written whole."),
    family(
        "onsale_redis_copy_lag_seconds",
        Kind::Gauge,
        "",
        "From the commit of a fact until it was in the copy, the last time.",
    ),
];

/// A metric of the `cloudwatch` profile.
#[derive(Clone, Copy, Debug)]
pub struct CloudWatchMetric {
    /// Its name.
    pub name: &'static str,
    /// Its unit, in CloudWatch's words.
    pub unit: &'static str,
    /// How it is read.
    pub meaning: &'static str,
}

const fn metric(name: &'static str, unit: &'static str, meaning: &'static str) -> CloudWatchMetric {
    CloudWatchMetric { name, unit, meaning }
}

/// Where the profile's metrics are.
pub const NAMESPACE: &str = "Onsale";
/// The one dimension of each of them: the configured name of the service.
pub const DIMENSION: &str = "Service";
/// What CloudWatch gives away in a month.
pub const FREE_METRICS: usize = 10;

/// The `cloudwatch` profile, in the order of [`crate::metrics::profile::Profile`]. One dimension set each, so these are
/// all that is ever counted.
pub const CLOUDWATCH: [CloudWatchMetric; FREE_METRICS] = [
    metric(
        "ResponseTime",
        "Milliseconds",
        "Time to the first byte of an answer, every request but probes: p95, p99; **SampleCount is the number of requests**.",
    ),
    metric(
        "ErrorRate",
        "Percent",
        "100 for each answer with 5xx but `QUEUE_FULL` and `OVERLOADED`, 0 for every other: Average is the error rate.",
    ),
    metric("WaitingRoomTime", "Milliseconds", "The same as ResponseTime, of entering the waiting room alone."),
    metric("PeopleWaiting", "Count", "People in all waiting rooms, also before the opening: Maximum."),
    metric("AdmissionRate", "Count/Second", "People let in, a second, over the interval: Average."),
    metric(
        "HoldSuccess",
        "None",
        "1 for each hold won, 0 for each that the sale refused (409) or that failed (5xx): Sum is successes, SampleCount attempts.",
    ),
    metric(
        "PaymentSuccess",
        "None",
        "1 for each payment confirmed, 0 for each declined (402), refused by the sale (409) or failed (5xx): Sum is successes, SampleCount attempts.",
    ),
    metric("DatabaseConnections", "Count", "Open connections to the databases: Maximum."),
    metric(
        "CacheHitRate",
        "Percent",
        "Reads of events, venues, halls and lists of events that memory or Redis answered, not the tables, over the interval: Average.",
    ),
    metric("OutboxLag", "Count", "Committed facts that are not in the tables and the outbox yet: Maximum."),
];

/// The two tables of `docs/metrics.md`.
#[must_use]
pub fn tables() -> String {
    let mut out = String::from("| Prometheus | kind | labels | meaning |\n|---|---|---|---|\n");
    for Family { name, kind, labels, meaning } in PROMETHEUS.iter().chain(REDIS) {
        let _ = writeln!(out, "| `{name}` | {} | {labels} | {meaning} |", kind.word());
    }
    out.push_str("\n| CloudWatch | unit | meaning |\n|---|---|---|\n");
    for CloudWatchMetric { name, unit, meaning } in CLOUDWATCH {
        let _ = writeln!(out, "| `{name}` | {unit} | {meaning} |");
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn the_document_has_the_catalogues_tables() {
        let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md")).unwrap();
        let (_, rest) = document.split_once("<!-- catalogue -->\n").unwrap();
        let (documented, _) = rest.split_once("<!-- end -->").unwrap();
        assert!(documented == tables(), "docs/metrics.md must have, between its marks:\n{}", tables());
    }

    #[test]
    fn names_stand_once() {
        let mut names: Vec<&str> = PROMETHEUS.iter().chain(REDIS).map(|family| family.name).collect();
        names.extend(CLOUDWATCH.iter().map(|metric| metric.name));
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}

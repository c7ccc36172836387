//! What is counted: requests by route and class of status, and their latency; in Prometheus text, and summed up for
//! CloudWatch. Fixed series only (routes are patterns), so that what a scrape returns is bounded; counting is a few
//! relaxed atomic additions.

pub mod catalogue;
mod connections;
mod emf;
pub mod profile;
pub mod reporter;
mod statsd;

pub use connections::Connections;

use crate::http::Router;
use catalogue::{Family, PROMETHEUS, REDIS};
use http::StatusCode;
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_MICROS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

/// The bucket of what took longer than the last bound stands for this long, in microseconds.
const BEYOND_MICROS: u64 = 20_000_000;

/// A latency histogram.
#[derive(Default)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS_MICROS.len()],
    count: AtomicU64,
    sum_micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub fn record(&self, elapsed: Duration) {
        let micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS_MICROS.partition_point(|&bound| bound < micros);
        if let Some(bucket) = self.buckets.get(at) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many fell into each bucket; the last one is beyond every bound.
    fn add_to(&self, counts: &mut Latencies) {
        let mut within = 0;
        for (bucket, sum) in self.buckets.iter().zip(&mut counts.0) {
            let count = bucket.load(Ordering::Relaxed);
            within += count;
            *sum += count;
        }
        // Counted after its bucket by a thread that is counting now, so never negative.
        counts.0[BUCKETS_MICROS.len()] += self.count.load(Ordering::Relaxed).saturating_sub(within);
    }

    fn write(&self, out: &mut String, name: &str, labels: &str) {
        let mut running = 0;
        for (bucket, bound) in self.buckets.iter().zip(BUCKETS_MICROS) {
            running += bucket.load(Ordering::Relaxed);
            let seconds = bound as f64 / 1e6;
            let _ = writeln!(out, "{name}_bucket{{{labels},le=\"{seconds}\"}} {running}");
        }
        let count = self.count.load(Ordering::Relaxed);
        let sum = self.sum_micros.load(Ordering::Relaxed) as f64 / 1e6;
        let _ = writeln!(out, "{name}_bucket{{{labels},le=\"+Inf\"}} {count}");
        let _ = writeln!(out, "{name}_sum{{{labels}}} {sum}");
        let _ = writeln!(out, "{name}_count{{{labels}}} {count}");
    }
}

/// Requests by how long they took: one count for each bucket, and one beyond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Latencies([u64; BUCKETS_MICROS.len() + 1]);

impl Latencies {
    /// What came since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Self {
        let mut left = *self;
        left.0.iter_mut().zip(before.0).for_each(|(now, before)| *now = now.saturating_sub(before));
        left
    }

    /// Every bucket that has any: its upper bound in milliseconds, and how many.
    pub fn millis(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let bounds = BUCKETS_MICROS.into_iter().chain([BEYOND_MICROS]);
        bounds.zip(self.0).filter(|(_, count)| *count > 0).map(|(bound, count)| (bound as f64 / 1e3, count))
    }
}

/// What every route together has counted since the start; probes and scrapes are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests answered.
    pub requests: u64,
    /// Of them, failures of ours: 5xx, without refusals that are the sale's right answer ([`IN_ORDER`]).
    pub failed: u64,
    /// Answered with one of [`IN_ORDER`].
    pub shed: u64,
    /// How long they took.
    pub latency: Latencies,
    /// How long entering the waiting room took.
    pub entering: Latencies,
    /// Holds that were won.
    pub holds_won: u64,
    /// Holds that the sale refused (402, 409) or that failed; what was wrong with the request itself (other 4xx) is no attempt.
    pub holds_refused: u64,
    /// Confirmations of payments that were answered with success.
    pub payments_made: u64,
    /// Those that were declined, refused by the sale, or failed, in the same sense; what is still pending counts as neither.
    pub payments_failed: u64,
}

/// Codes of 503 that are no failure: a full waiting room, and load that is shed by design.
pub const IN_ORDER: [&str; 2] = ["QUEUE_FULL", "OVERLOADED"];

/// What a route means to the totals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Meaning {
    Probe,
    #[default]
    Other,
    Entering,
    Hold,
    Payment,
}

impl Meaning {
    fn of(method: &http::Method, path: &str) -> Self {
        match (method.as_str(), path) {
            (_, "/health/live" | "/health/ready" | "/metrics") => Self::Probe,
            ("POST", "/api/v1/queue/enter") => Self::Entering,
            ("POST", "/api/v1/reservations/hold") => Self::Hold,
            ("POST", "/api/v1/payments/confirm") => Self::Payment,
            _ => Self::Other,
        }
    }
}

/// Requests by route and class of status.
pub struct HttpMetrics {
    routes: Vec<RouteMetrics>,
    /// What is counted of connections.
    pub connections: Arc<Connections>,
}

#[derive(Default)]
struct RouteMetrics {
    labels: String,
    meaning: Meaning,
    /// Answered with 202: not decided yet.
    accepted: AtomicU64,
    /// Refused by the sale's rules or the payment's provider: 402 and 409.
    by_rule: AtomicU64,
    /// Answered with 503 and one of [`IN_ORDER`].
    in_order: AtomicU64,
    classes: [AtomicU64; 5],
    latency: Histogram,
}

impl HttpMetrics {
    /// Series for every route, and one for requests that match none.
    #[must_use]
    pub fn new(router: &Router) -> Self {
        let routes = router.patterns().map(|(method, path)| {
            let labels = format!("method=\"{method}\",route=\"{path}\"");
            RouteMetrics { labels, meaning: Meaning::of(method, path), ..RouteMetrics::default() }
        });
        let unmatched =
            RouteMetrics { labels: "method=\"\",route=\"unmatched\"".to_owned(), ..RouteMetrics::default() };
        Self { routes: routes.chain([unmatched]).collect(), connections: Arc::default() }
    }

    /// Counts an answer, with the code of its problem if it is one; `None` is no route.
    pub fn count(&self, route: Option<usize>, status: StatusCode, code: Option<&str>, elapsed: Duration) {
        let Some(route) = self.routes.get(route.unwrap_or(self.routes.len() - 1)) else { return };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        route.classes[class].fetch_add(1, Ordering::Relaxed);
        match status {
            StatusCode::ACCEPTED => drop(route.accepted.fetch_add(1, Ordering::Relaxed)),
            StatusCode::PAYMENT_REQUIRED | StatusCode::CONFLICT => drop(route.by_rule.fetch_add(1, Ordering::Relaxed)),
            StatusCode::SERVICE_UNAVAILABLE if code.is_some_and(|code| IN_ORDER.contains(&code)) => {
                route.in_order.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
        route.latency.record(elapsed);
    }

    /// What all routes have counted together.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let mut totals = Totals::default();
        for route in self.routes.iter().filter(|route| route.meaning != Meaning::Probe) {
            let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let classes: Vec<u64> = route.classes.iter().map(|class| class.load(Ordering::Relaxed)).collect();
            let all: u64 = classes.iter().sum();
            // Each answer is counted by its class first, so there are never fewer of these than of those.
            let done = classes[1].saturating_sub(read(&route.accepted));
            let shed = read(&route.in_order);
            let failed = classes[4].saturating_sub(shed);
            let not_done = read(&route.by_rule) + failed;
            totals.requests += all;
            totals.failed += failed;
            totals.shed += shed;
            route.latency.add_to(&mut totals.latency);
            match route.meaning {
                Meaning::Entering => route.latency.add_to(&mut totals.entering),
                Meaning::Hold => (totals.holds_won, totals.holds_refused) = (done, not_done),
                Meaning::Payment => (totals.payments_made, totals.payments_failed) = (done, not_done),
                Meaning::Probe | Meaning::Other => {}
            }
        }
        totals
    }

    /// Writes what was counted; series that never counted are left out.
    pub fn write(&self, out: &mut String) {
        self.connections.write(out);
        write_head(out, "onsale_http_requests_total");
        for route in &self.routes {
            for (class, count) in route.classes.iter().enumerate() {
                let (labels, class, count) = (&route.labels, class + 1, count.load(Ordering::Relaxed));
                if count > 0 {
                    let _ = writeln!(out, "onsale_http_requests_total{{{labels},status=\"{class}xx\"}} {count}");
                }
            }
        }
        self.write_outcomes(out);
        write_head(out, "onsale_http_request_seconds");
        for route in self.routes.iter().filter(|route| route.latency.count.load(Ordering::Relaxed) > 0) {
            route.latency.write(out, "onsale_http_request_seconds", &route.labels);
        }
    }
}

impl HttpMetrics {
    /// What alarms are made of: failures of ours, load that was shed by design, and what became of holds and payments.
    fn write_outcomes(&self, out: &mut String) {
        let totals = self.totals();
        write_single(out, "onsale_http_failures_total", totals.failed);
        write_single(out, "onsale_http_shed_total", totals.shed);
        let mut outcomes = |name: &str, counts: [(&str, u64); 2]| {
            write_head(out, name);
            for (outcome, count) in counts {
                let _ = writeln!(out, "{name}{{outcome=\"{outcome}\"}} {count}");
            }
        };
        outcomes("onsale_holds_total", [("won", totals.holds_won), ("refused", totals.holds_refused)]);
        outcomes("onsale_payments_total", [("made", totals.payments_made), ("failed", totals.payments_failed)]);
    }
}

/// Writes what the catalogue says of a family: its series follow.
pub fn write_head(out: &mut String, name: &str) {
    if let Some(Family { name, kind, meaning, .. }) = PROMETHEUS.iter().chain(REDIS).find(|family| family.name == name)
    {
        let _ = writeln!(out, "# HELP {name} {meaning}\n# TYPE {name} {}", kind.word());
    }
}

/// Writes a family of the catalogue that has one series.
pub fn write_single(out: &mut String, name: &str, value: impl std::fmt::Display) {
    write_head(out, name);
    let _ = writeln!(out, "{name} {value}");
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn what_the_sale_rightly_refuses_is_no_failure() {
        let route = |meaning| RouteMetrics { meaning, ..RouteMetrics::default() };
        let routes = vec![route(Meaning::Entering), route(Meaning::Hold), route(Meaning::Payment)];
        let metrics = HttpMetrics { routes, connections: Arc::default() };
        let count = |route: usize, answers: &[(u16, Option<&str>)]| {
            for (status, code) in answers {
                let status = StatusCode::from_u16(*status).unwrap();
                metrics.count(Some(route), status, *code, Duration::from_millis(1));
            }
        };
        // Eleven answers, three of them QUEUE_FULL, as in a room that is full.
        count(0, &[(200, None); 8]);
        count(0, &[(503, Some("QUEUE_FULL")); 3]);
        assert_eq!((metrics.totals().requests, metrics.totals().failed), (11, 0));
        count(0, &[(503, Some("STORAGE_UNAVAILABLE")), (504, Some("DEADLINE_EXCEEDED")), (503, Some("OVERLOADED"))]);
        count(0, &[(500, Some("INTERNAL"))]);
        assert_eq!((metrics.totals().failed, metrics.totals().shed), (3, 4));

        count(1, &[(201, None), (409, Some("SEAT_UNAVAILABLE")), (503, Some("STORAGE_UNAVAILABLE"))]);
        count(1, &[(400, Some("VALIDATION_FAILED")), (401, Some("UNAUTHENTICATED")), (429, Some("RATE_LIMITED"))]);
        count(1, &[(404, Some("SEAT_NOT_FOUND")), (503, Some("OVERLOADED"))]);
        assert_eq!((metrics.totals().holds_won, metrics.totals().holds_refused), (1, 2));

        count(2, &[(200, None), (202, None), (402, Some("PAYMENT_DECLINED")), (409, Some("HOLD_EXPIRED"))]);
        count(2, &[(429, Some("RATE_LIMITED")), (422, Some("IDEMPOTENCY_KEY_REUSED")), (401, None), (400, None)]);
        assert_eq!((metrics.totals().payments_made, metrics.totals().payments_failed), (1, 2));
    }

    #[test]
    fn a_histogram_is_cumulative() {
        let histogram = Histogram::default();
        for micros in [100, 250, 251, 60_000_000] {
            histogram.record(Duration::from_micros(micros));
        }
        let mut out = String::new();
        histogram.write(&mut out, "x", "a=\"b\"");
        assert!(out.contains("x_bucket{a=\"b\",le=\"0.00025\"} 2\n"), "{out}");
        assert!(out.contains("x_bucket{a=\"b\",le=\"0.0005\"} 3\n"), "{out}");
        assert!(out.contains("x_bucket{a=\"b\",le=\"10\"} 3\n"), "{out}");
        assert!(out.contains("x_bucket{a=\"b\",le=\"+Inf\"} 4\n"), "{out}");
        assert!(out.contains("x_count{a=\"b\"} 4\n"), "{out}");
    }
}

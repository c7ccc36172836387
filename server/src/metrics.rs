//! Counters and histograms in Prometheus text. Fixed series only (routes are patterns), so that what a scrape returns
//! is bounded; counting is a few relaxed atomic additions.

use crate::http::Router;
use http::StatusCode;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the latency buckets, in microseconds.
const BUCKETS_MICROS: [u64; 14] = [
    250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000, 10_000_000,
];

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

/// Requests by route and class of status.
pub struct HttpMetrics {
    routes: Vec<RouteMetrics>,
}

#[derive(Default)]
struct RouteMetrics {
    labels: String,
    classes: [AtomicU64; 5],
    latency: Histogram,
}

impl HttpMetrics {
    /// Series for every route, and one for requests that match none.
    #[must_use]
    pub fn new(router: &Router) -> Self {
        let labels = router.patterns().map(|(method, path)| format!("method=\"{method}\",route=\"{path}\""));
        let labels = labels.chain(["method=\"\",route=\"unmatched\"".to_owned()]);
        Self { routes: labels.map(|labels| RouteMetrics { labels, ..RouteMetrics::default() }).collect() }
    }

    /// Counts an answer; `None` is no route.
    pub fn count(&self, route: Option<usize>, status: StatusCode, elapsed: Duration) {
        let Some(route) = self.routes.get(route.unwrap_or(self.routes.len() - 1)) else { return };
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        route.classes[class].fetch_add(1, Ordering::Relaxed);
        route.latency.record(elapsed);
    }

    /// Writes what was counted; series that never counted are left out.
    pub fn write(&self, out: &mut String) {
        out.push_str("# HELP onsale_http_requests_total Requests answered, by route and class of status.\n");
        out.push_str("# TYPE onsale_http_requests_total counter\n");
        for route in &self.routes {
            for (class, count) in route.classes.iter().enumerate() {
                let (labels, class, count) = (&route.labels, class + 1, count.load(Ordering::Relaxed));
                if count > 0 {
                    let _ = writeln!(out, "onsale_http_requests_total{{{labels},status=\"{class}xx\"}} {count}");
                }
            }
        }
        out.push_str("# HELP onsale_http_request_seconds Time to the first byte of an answer.\n");
        out.push_str("# TYPE onsale_http_request_seconds histogram\n");
        for route in self.routes.iter().filter(|route| route.latency.count.load(Ordering::Relaxed) > 0) {
            route.latency.write(out, "onsale_http_request_seconds", &route.labels);
        }
    }
}

/// Writes one gauge or counter without labels.
pub fn write_single(out: &mut String, kind: &str, name: &str, help: &str, value: impl std::fmt::Display) {
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}");
}

#[cfg(test)]
mod tests {
    use super::*;

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

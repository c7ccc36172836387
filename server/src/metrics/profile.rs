//! The `cloudwatch` profile: what an interval looked like, in ten metrics that fit CloudWatch's free tier. Made of the
//! difference between two readings; must never be on the path of a request.

use crate::metrics::Totals;
use crate::metrics::catalogue::{CLOUDWATCH, CloudWatchMetric, FREE_METRICS};
use std::time::Duration;

/// What the process has counted since its start, and how it is now.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Requests.
    pub http: Totals,
    /// People in all waiting rooms.
    pub waiting: u64,
    /// People let in since the events began.
    pub admitted: u64,
    /// Open connections to databases.
    pub database_connections: u64,
    /// Reads of the catalogue that memory or Redis answered.
    pub cache_hits: u64,
    /// Those that it did not.
    pub cache_misses: u64,
    /// Committed facts that are not in the outbox yet.
    pub outbox_lag: u64,
}

/// What was measured of one metric: values, and how often each. Empty: not measured.
pub type Samples = Vec<(f64, u64)>;

/// One interval.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    samples: [Samples; FREE_METRICS],
}

impl Profile {
    /// What happened between two readings, `after` apart.
    #[must_use]
    pub fn between(before: &Reading, now: &Reading, after: Duration) -> Self {
        let (http, http_before) = (&now.http, &before.http);
        let since = |now: u64, before: u64| now.saturating_sub(before);
        let failed = since(http.failed, http_before.failed);
        let answered = since(http.requests, http_before.requests).saturating_sub(failed);
        let admitted = since(now.admitted, before.admitted) as f64 / after.as_secs_f64().max(f64::MIN_POSITIVE);
        let hits = since(now.cache_hits, before.cache_hits);
        let misses = since(now.cache_misses, before.cache_misses);
        let hit_rate = (hits + misses > 0).then(|| (100.0 * hits as f64 / (hits + misses) as f64, 1));
        Self {
            samples: [
                http.latency.since(&http_before.latency).millis().collect(),
                counted([(100.0, failed), (0.0, answered)]),
                http.entering.since(&http_before.entering).millis().collect(),
                vec![(now.waiting as f64, 1)],
                vec![(admitted, 1)],
                counted([
                    (1.0, since(http.holds_won, http_before.holds_won)),
                    (0.0, since(http.holds_refused, http_before.holds_refused)),
                ]),
                counted([
                    (1.0, since(http.payments_made, http_before.payments_made)),
                    (0.0, since(http.payments_failed, http_before.payments_failed)),
                ]),
                vec![(now.database_connections as f64, 1)],
                hit_rate.into_iter().collect(),
                vec![(now.outbox_lag as f64, 1)],
            ],
        }
    }

    /// Every metric that was measured.
    pub fn metrics(&self) -> impl Iterator<Item = (&'static CloudWatchMetric, &Samples)> {
        CLOUDWATCH.iter().zip(&self.samples).filter(|(_, samples)| !samples.is_empty())
    }

    /// The samples of one metric, by name.
    #[must_use]
    pub fn of(&self, name: &str) -> &[(f64, u64)] {
        self.metrics().find(|(metric, _)| metric.name == name).map_or(&[], |(_, samples)| samples)
    }
}

fn counted(samples: [(f64, u64); 2]) -> Samples {
    samples.into_iter().filter(|(_, count)| *count > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Histogram;

    fn latencies(millis: &[u64]) -> crate::metrics::Latencies {
        let (histogram, mut sum) = (Histogram::default(), crate::metrics::Latencies::default());
        millis.iter().for_each(|&millis| histogram.record(Duration::from_millis(millis)));
        histogram.add_to(&mut sum);
        sum
    }

    #[test]
    fn an_interval_is_the_difference_of_two_readings() {
        let http = |requests, failed, millis: &[u64]| Totals {
            requests,
            failed,
            latency: latencies(millis),
            holds_won: requests / 10,
            ..Totals::default()
        };
        let before = Reading { http: http(100, 1, &[1]), admitted: 40, cache_hits: 5, ..Reading::default() };
        let now = Reading {
            http: http(200, 6, &[1, 40, 70, 30_000]),
            waiting: 7,
            admitted: 640,
            cache_hits: 8,
            cache_misses: 1,
            ..Reading::default()
        };
        let profile = Profile::between(&before, &now, Duration::from_secs(60));
        assert_eq!(profile.of("ErrorRate"), [(100.0, 5), (0.0, 95)]);
        assert_eq!(profile.of("ResponseTime"), [(50.0, 1), (100.0, 1), (20_000.0, 1)]);
        assert_eq!(profile.of("PeopleWaiting"), [(7.0, 1)]);
        assert_eq!(profile.of("AdmissionRate"), [(10.0, 1)]);
        assert_eq!(profile.of("HoldSuccess"), [(1.0, 10)]);
        assert_eq!(profile.of("CacheHitRate"), [(75.0, 1)]);
        assert_eq!(profile.of("PaymentSuccess"), []);
    }
}

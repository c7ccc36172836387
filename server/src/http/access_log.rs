//! Decides which requests are logged, and writes their lines: every 5xx, every slow answer and every change, each up to a number
//! a second; of everything else all requests of one buyer in so many, so that the log has whole sessions. Must never log a path
//! as it was requested, a query, or anything of a body.

use crate::http::problem::Problem;
use crate::http::router::{Access, Route};
use crate::logging::IMPORTANT;
use http::{Method, StatusCode};
use onsale_engine::id::BuyerId;
use onsale_engine::ports::Clock;
use onsale_engine::trace::Scope;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Failed requests logged in any one second; more are only counted.
const FAILURES_PER_SECOND: u32 = 100;
/// Changes logged in any one second; of more than that, one buyer's in so many, as of everything else.
const CHANGES_PER_SECOND: u32 = 50;

/// Slow answers logged in any one second; when everything is slow, more lines would say no more.
const SLOW_PER_SECOND: u32 = 20;

/// The content of a request's line.
pub(in crate::http) struct Line<'a> {
    pub route: Option<&'a Route>,
    pub status: StatusCode,
    pub refusal: Option<Refusal>,
    /// Who calls.
    pub buyer: Option<BuyerId>,
    /// Request, trace and event that it belongs to.
    pub scope: &'a Scope,
    pub elapsed: Duration,
    /// Read only where the second matters.
    pub clock: &'a dyn Clock,
}

impl Line<'_> {
    /// Unix time in seconds.
    fn second(&self) -> i64 {
        self.clock.now().0.div_euclid(1_000_000)
    }
}

/// A problem as the log has it.
pub(in crate::http) struct Refusal {
    code: &'static str,
    cause: Option<String>,
}

impl Refusal {
    pub(in crate::http) fn of(problem: &Problem) -> Self {
        Self { code: problem.code(), cause: problem.cause().map(str::to_owned) }
    }

    /// The problem's code.
    pub(in crate::http) fn code(&self) -> &'static str {
        self.code
    }
}

/// See the module.
pub(in crate::http) struct AccessLog {
    one_in: AtomicU32,
    /// Microseconds from which on an answer is slow, before the route's own factor; 0 is never.
    slow_micros: AtomicU64,
    anonymous: AtomicU64,
    failures: Budget<FAILURES_PER_SECOND>,
    slow: Budget<SLOW_PER_SECOND>,
    changes: Budget<CHANGES_PER_SECOND>,
}

/// Why a request is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Failure {
        unlogged: u32,
    },
    /// It took longer than its route should.
    Slow {
        unlogged: u32,
    },
    /// An administrator's.
    Order,
    Change,
    Sample,
    Debugging,
}

impl AccessLog {
    /// Logs failures, changes and administrators' requests until it is tuned.
    pub(in crate::http) fn new() -> Self {
        Self {
            one_in: AtomicU32::new(0),
            slow_micros: AtomicU64::new(0),
            anonymous: AtomicU64::new(0),
            failures: Budget::default(),
            slow: Budget::default(),
            changes: Budget::default(),
        }
    }

    /// Everything of one buyer in `one_in` is logged, and what takes `slow` or longer; 0 is none of them.
    pub(in crate::http) fn tune(&self, one_in: u32, slow: Duration) {
        self.one_in.store(one_in, Ordering::Relaxed);
        self.slow_micros.store(u64::try_from(slow.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(in crate::http) fn log(&self, line: &Line<'_>) {
        let Some(reason) = self.reason(line) else { return };
        let (method, path) = line.route.map_or(("", "unmatched"), |route| (route.method.as_str(), route.path));
        let micros = u64::try_from(line.elapsed.as_micros()).unwrap_or(u64::MAX);
        let origin = &line.scope.origin;
        let request_id = origin.request.as_ref().map(tracing::field::display);
        let trace_id = origin.trace.map(|trace| tracing::field::display(trace.trace));
        let (code, cause) =
            line.refusal.as_ref().map_or((None, None), |refusal| (Some(refusal.code), refusal.cause.as_deref()));
        let status = line.status.as_u16();
        let event_id = line.scope.event.map(tracing::field::display);
        let buyer_id = line.buyer.map(tracing::field::display);
        // The target and the level of a line are fixed where it stands.
        macro_rules! log_line {
            ($level:expr, $target:expr, $reason:literal, $words:literal $(, $more:ident)*) => {
                tracing::event!(
                    target: $target, $level,
                    method, path, status, micros, request_id, trace_id, event_id, buyer_id, code, cause, reason = $reason,
                    $($more,)* $words
                )
            };
        }
        match reason {
            Reason::Failure { unlogged } => {
                log_line!(tracing::Level::WARN, "onsale::access", "failed", "request failed", unlogged);
            }
            Reason::Slow { unlogged } => {
                log_line!(tracing::Level::WARN, "onsale::access", "slow", "slow request", unlogged);
            }
            Reason::Order => log_line!(tracing::Level::INFO, IMPORTANT, "operator", "an administrator's request"),
            Reason::Change => log_line!(tracing::Level::INFO, "onsale::access", "change", "request"),
            Reason::Sample => log_line!(tracing::Level::INFO, "onsale::access", "sample", "request"),
            Reason::Debugging => log_line!(tracing::Level::DEBUG, "onsale::access", "debug", "request"),
        }
    }

    fn reason(&self, line: &Line<'_>) -> Option<Reason> {
        // A failing readiness check is an answer, not a failure.
        let is_probe = line.refusal.as_ref().is_some_and(|refusal| matches!(refusal.code, "STARTING" | "DRAINING"));
        if line.status.is_server_error() && !is_probe {
            return self.failures.take(line.second()).map(|unlogged| Reason::Failure { unlogged });
        }
        let is_change = line.route.is_some_and(|route| route.method != Method::GET && route.access != Access::Public);
        if is_change && line.route.is_some_and(|route| route.access == Access::Admin) {
            return Some(Reason::Order);
        }
        if self.is_slow(line)
            && let Some(unlogged) = self.slow.take(line.second())
        {
            return Some(Reason::Slow { unlogged });
        }
        if tracing::enabled!(target: "onsale::access", tracing::Level::DEBUG) {
            return Some(Reason::Debugging);
        }
        if !tracing::enabled!(target: "onsale::access", tracing::Level::INFO) {
            return None;
        }
        if is_change && !is_frequent(line.route) && self.changes.take(line.second()).is_some() {
            return Some(Reason::Change);
        }
        self.is_sampled(line).then_some(Reason::Sample)
    }

    fn is_slow(&self, line: &Line<'_>) -> bool {
        let limit = self.slow_micros.load(Ordering::Relaxed);
        let times = line.route.map_or(1, |route| u64::from(route.slow_times));
        limit > 0 && line.elapsed.as_micros() >= u128::from(limit.saturating_mul(times))
    }

    fn is_sampled(&self, line: &Line<'_>) -> bool {
        let one_in = u64::from(self.one_in.load(Ordering::Relaxed));
        if one_in == 0 || line.route.is_some_and(|route| is_probe(route.path)) {
            return false;
        }
        let number = match line.buyer {
            // The last bits of an id are random, whatever its version.
            Some(buyer) => buyer.0.as_u64_pair().1,
            None => self.anonymous.fetch_add(1, Ordering::Relaxed),
        };
        number % one_in == 0
    }
}

/// Changes that thousands of buyers make at once.
fn is_frequent(route: Option<&Route>) -> bool {
    route.is_some_and(|route| route.path.starts_with("/api/v1/queue/"))
}

fn is_probe(path: &str) -> bool {
    matches!(path, "/health/live" | "/health/ready" | "/metrics")
}

/// Lines that may still be logged in this second. Approximate under contention, which only bounds less sharply.
#[derive(Default)]
pub(crate) struct Budget<const PER_SECOND: u32> {
    second: AtomicI64,
    used: AtomicU32,
}

impl<const PER_SECOND: u32> Budget<PER_SECOND> {
    /// `Some` when a line may be written: how many of the last second were not.
    pub(crate) fn take(&self, second: i64) -> Option<u32> {
        if self.second.load(Ordering::Relaxed) != second && self.second.swap(second, Ordering::Relaxed) != second {
            let before = self.used.swap(1, Ordering::Relaxed);
            return Some(before.saturating_sub(PER_SECOND));
        }
        let used = self.used.fetch_add(1, Ordering::Relaxed);
        (used < PER_SECOND).then_some(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_logged_within_a_budget_that_counts_what_it_dropped() {
        let budget = Budget::<100>::default();
        assert_eq!((0..150).filter_map(|_| budget.take(5)).count(), 100);
        assert_eq!(budget.take(6), Some(50));
    }
}

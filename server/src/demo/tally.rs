//! What the crowd has seen: requests, how long they took, how they were refused, and what was bought. Shared by all of
//! the crowd; must never block a buyer who counts.

use crate::client::{Answered, CallError};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// The longest answer time that is distinguished, in microseconds.
const LONGEST_MICROS: u64 = 60_000_000;

/// Figures of a demo.
pub(super) struct Tally {
    requests: AtomicU64,
    times: Mutex<Histogram<u64>>,
    refused: Mutex<BTreeMap<String, u64>>,
    /// Buyers who have finished, with or without a ticket.
    pub done: AtomicU64,
    /// Buyers with a ticket that stands.
    pub bought: AtomicU64,
    /// Tickets that were cancelled again.
    pub cancelled: AtomicU64,
    /// Buyers who left without one.
    pub without: AtomicU64,
    /// Seats of tickets that stand.
    pub seats: AtomicU64,
    /// Money taken and not given back, in minor units.
    pub revenue: AtomicI64,
}

/// How long answers took, in milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    pub p50: f64,
    pub p95: f64,
    pub max: f64,
}

impl Tally {
    pub(super) fn new() -> io::Result<Self> {
        let times = Histogram::new_with_max(LONGEST_MICROS, 3).map_err(io::Error::other)?;
        Ok(Self {
            requests: AtomicU64::new(0),
            times: Mutex::new(times),
            refused: Mutex::new(BTreeMap::new()),
            done: AtomicU64::new(0),
            bought: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            without: AtomicU64::new(0),
            seats: AtomicU64::new(0),
            revenue: AtomicI64::new(0),
        })
    }

    /// Counts a request that took so long.
    pub(super) fn count(&self, took: Duration, answer: &Result<Answered, CallError>) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let micros = u64::try_from(took.as_micros()).unwrap_or(LONGEST_MICROS).clamp(1, LONGEST_MICROS);
        self.times.lock().saturating_record(micros);
        let code = match answer {
            Ok(answer) if answer.is_success() => return,
            Ok(answer) => answer.code(),
            Err(_) => "NO_ANSWER".to_owned(),
        };
        *self.refused.lock().entry(code).or_default() += 1;
    }

    pub(super) fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }

    pub(super) fn times(&self) -> Times {
        let times = self.times.lock();
        let millis = |micros: u64| micros as f64 / 1000.0;
        Times {
            p50: millis(times.value_at_quantile(0.5)),
            p95: millis(times.value_at_quantile(0.95)),
            max: millis(times.max()),
        }
    }

    /// Refusals by code, the most frequent first.
    pub(super) fn refused(&self) -> Vec<(String, u64)> {
        let mut codes: Vec<_> = self.refused.lock().iter().map(|(code, times)| (code.clone(), *times)).collect();
        codes.sort_by_key(|(_, times)| std::cmp::Reverse(*times));
        codes
    }

    /// Refusals in one line.
    pub(super) fn refused_in_words(&self) -> String {
        let codes: Vec<_> = self.refused().iter().map(|(code, times)| format!("{code} {times}")).collect();
        if codes.is_empty() { "none".to_owned() } else { codes.join(", ") }
    }
}

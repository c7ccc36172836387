//! The outcome of a simulated on-sale, by the second and in total, and the load that it puts on a machine.

use crate::config::Config;
use std::time::Duration;

/// Bytes of one line of the access log, as `server/tests/it/log_volume.rs` measures them, rounded up.
pub const LOG_LINE_BYTES: u64 = 450;
/// Bytes of one line of embedded metrics, likewise.
pub const METRICS_LINE_BYTES: u64 = 2_000;
/// What a kept connection costs, as `config.toml` says of `server.max_connections`.
const CONNECTION_BYTES: u64 = 10 * 1024;
/// A server with nothing to do, and what its databases cache.
const IDLE_BYTES: u64 = 64 << 20;
/// Requests beside those that a step stands for: the event, its seat map, and the seats that are free.
const READS_BEFORE_WAITING: u64 = 2;

/// One second of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Second {
    /// People who came.
    pub entered: u64,
    /// Status reads.
    pub polls: u64,
    /// Tries to hold seats.
    pub holds: u64,
    /// Payments: each is two requests.
    pub payments: u64,
    /// In the line at its end.
    pub waiting: u64,
    /// Shopping at its end.
    pub active: u64,
    /// Seats sold at its end.
    pub sold: u64,
}

impl Second {
    /// Requests of it.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.entered * (1 + READS_BEFORE_WAITING) + self.polls + 2 * self.holds + 2 * self.payments
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Seats of the hall.
    pub seats: u64,
    /// People let in a second.
    pub rate: u32,
    /// Until nobody waited any more.
    pub drained_after: Option<Duration>,
    /// Until every seat was paid for.
    pub sold_out_after: Option<Duration>,
    /// Seats sold.
    pub sold: u64,
    /// People let in.
    pub admitted: u64,
    /// People for whom the line was full.
    pub refused_at_the_door: u64,
    /// People who left the line.
    pub left: u64,
    /// People who were still in the line when everything was sold.
    pub left_without: u64,
    /// People who were let in and found nothing.
    pub went_without: u64,
    /// Holds won.
    pub holds_won: u64,
    /// Holds refused; one person may try several.
    pub holds_refused: u64,
    /// Holds that were never paid.
    pub holds_expired: u64,
    /// Reservations paid.
    pub paid: u64,
    /// Payments that came after the hold was over.
    pub paid_too_late: u64,
    /// Facts in the journal.
    pub facts: u64,
    /// Bytes of one copy of the sale when most people were in it, if measured.
    pub sale_bytes: Option<u64>,
    /// Invariants that did not hold; must be empty.
    pub violations: Vec<String>,
    seconds: Vec<Second>,
}

impl Outcome {
    pub(super) fn new(seats: u64, rate: u32) -> Self {
        Self {
            seats,
            rate,
            drained_after: None,
            sold_out_after: None,
            sold: 0,
            admitted: 0,
            refused_at_the_door: 0,
            left: 0,
            left_without: 0,
            went_without: 0,
            holds_won: 0,
            holds_refused: 0,
            holds_expired: 0,
            paid: 0,
            paid_too_late: 0,
            facts: 0,
            sale_bytes: None,
            violations: Vec::new(),
            seconds: Vec::new(),
        }
    }

    /// The second that an instant after the opening lies in; those skipped have the value of the last one.
    pub(super) fn second(&mut self, after: Duration) -> &mut Second {
        let at = usize::try_from(after.as_secs()).unwrap_or(usize::MAX).min(48 * 3600 + 1);
        while self.seconds.len() <= at {
            let last = self.seconds.last().copied().unwrap_or_default();
            self.seconds.push(Second { entered: 0, holds: 0, payments: 0, ..last });
        }
        &mut self.seconds[at]
    }

    /// Second by second, from the opening.
    #[must_use]
    pub fn seconds(&self) -> &[Second] {
        &self.seconds
    }

    /// The most requests in one second.
    #[must_use]
    pub fn peak_requests(&self) -> u64 {
        self.seconds.iter().map(Second::requests).max().unwrap_or(0)
    }

    /// All requests.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.seconds.iter().map(Second::requests).sum()
    }

    /// The most people in the line and shopping at the same time.
    #[must_use]
    pub fn peak_people(&self) -> u64 {
        self.seconds.iter().map(|second| second.waiting + second.active).max().unwrap_or(0)
    }

    /// Memory that the server needs: the actor's copy of the sale and the readers', and its connections.
    #[must_use]
    pub fn memory_bytes(&self, config: &Config) -> Option<u64> {
        let connections = self.peak_people().min(config.server.max_connections as u64);
        Some(IDLE_BYTES + 2 * self.sale_bytes? + connections * CONNECTION_BYTES)
    }

    /// Bytes of log: all payments and holds up to their budget, one buyer's requests in so many of the rest, metrics.
    #[must_use]
    pub fn log_bytes(&self, config: &Config) -> u64 {
        let changes: u64 = self.seconds.iter().map(|second| (second.holds + 2 * second.payments).min(50)).sum();
        let one_in = u64::from(config.log.access_one_in);
        let sampled = self.requests().checked_div(one_in).unwrap_or(0);
        let intervals = self.seconds.len() as u64 / config.metrics.interval.as_secs().max(1);
        (changes + sampled) * LOG_LINE_BYTES + intervals * METRICS_LINE_BYTES
    }
}

//! Whether the journal takes facts, and how much it does: written by its thread, read by the threads that submit, decide, or write
//! behind. Must never hold a lock.

use crate::runtime::health::JournalHealth;
use crate::time::Timestamp;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

/// See the module.
pub(crate) struct JournalStatus {
    /// When the running commit began, in microseconds; 0 when none is running.
    committing_since: AtomicI64,
    /// Until when it counts as busy, in microseconds.
    busy_until: AtomicI64,
    failing: AtomicBool,
    fatal: AtomicBool,
    /// See [`crate::limits::COMMIT_STALL`].
    stall: Duration,
    facts: AtomicU64,
    batches: AtomicU64,
}

impl JournalStatus {
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            committing_since: AtomicI64::new(0),
            busy_until: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            fatal: AtomicBool::new(false),
            stall,
            facts: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// Whether something that writes may be decided: no failed batch, and none without an answer for too long.
    pub(crate) fn is_writable(&self, now: Timestamp) -> bool {
        if self.failing.load(Ordering::Acquire) {
            return false;
        }
        match self.committing_since.load(Ordering::Acquire) {
            0 => true,
            since => now.since(Timestamp(since)) < self.stall,
        }
    }

    /// Whether many are being answered, so that what is written behind should step back.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        now.0 < self.busy_until.load(Ordering::Relaxed)
    }

    pub(crate) fn health(&self, now: Timestamp) -> JournalHealth {
        if self.fatal.load(Ordering::Acquire) {
            JournalHealth::Fatal
        } else if self.is_writable(now) {
            JournalHealth::Good
        } else {
            JournalHealth::Failing
        }
    }

    /// Facts and batches committed since the start.
    pub(crate) fn committed(&self) -> (u64, u64) {
        (self.facts.load(Ordering::Relaxed), self.batches.load(Ordering::Relaxed))
    }

    /// A batch is being committed. Its silence counts from the first attempt.
    pub(crate) fn attempt_begins(&self, now: Timestamp) {
        let _ = self.committing_since.compare_exchange(0, now.0.max(1), Ordering::AcqRel, Ordering::Relaxed);
    }

    /// The batch is durable; whether the attempt before it had failed.
    pub(crate) fn attempt_succeeds(&self) -> bool {
        self.committing_since.store(0, Ordering::Release);
        self.failing.swap(false, Ordering::AcqRel)
    }

    /// It is not, or that is unknown; whether the attempt before it had failed too.
    pub(crate) fn attempt_fails(&self) -> bool {
        self.failing.swap(true, Ordering::AcqRel)
    }

    /// Nothing is committed any more.
    pub(crate) fn ends_fatally(&self) {
        self.failing.store(true, Ordering::Release);
        self.fatal.store(true, Ordering::Release);
    }

    /// Many are about to be answered.
    pub(crate) fn is_busy_until(&self, until: Timestamp) {
        self.busy_until.store(until.0, Ordering::Relaxed);
    }

    /// Counts a batch of so many facts; one without facts only answers.
    pub(crate) fn count(&self, facts: usize) {
        self.facts.fetch_add(facts as u64, Ordering::Relaxed);
        self.batches.fetch_add(u64::from(facts > 0), Ordering::Relaxed);
    }
}

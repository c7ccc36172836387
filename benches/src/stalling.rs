//! A journal that stalls now and then, as disks of laptops and network volumes do. Must never lose or change what it is given.

use onsale_engine::id::{Epoch, EventId};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often a journal has stalled.
#[derive(Clone, Debug, Default)]
pub struct Stalls(Arc<AtomicU64>);

impl Stalls {
    /// So often by now.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// See the module.
pub struct Stalling {
    inner: Box<dyn Journal>,
    stall: Duration,
    every: Duration,
    next: Instant,
    stalls: Stalls,
}

impl Stalling {
    /// A journal of which one write takes `stall` longer, once in `every`; the first one after `stall`.
    #[must_use]
    pub fn new(inner: Box<dyn Journal>, stall: Duration, every: Duration) -> (Self, Stalls) {
        let stalls = Stalls::default();
        (Self { inner, stall, every, next: Instant::now() + stall, stalls: stalls.clone() }, stalls)
    }
}

impl Journal for Stalling {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        if Instant::now() >= self.next {
            self.next += self.every;
            std::thread::sleep(self.stall);
            self.stalls.0.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.append(batch)
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        self.inner.raise_epoch(event)
    }
}

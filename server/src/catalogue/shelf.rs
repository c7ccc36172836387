//! The descriptive part of events in memory, because a popular event is read thousands of times a second and changes
//! once a day. Only this process writes the catalogue, so what it changes it also takes off the shelf. Must never
//! hold what is live: seats, admission and status come from the sale.

use onsale_engine::id::EventId;
use onsale_engine::ports::StoreError;
use onsale_engine::ports::catalogue::{Catalogue, Event};
use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Events kept; beyond them all are let go and read again.
const EVENTS: usize = 10_000;

/// The events in memory.
#[derive(Default)]
pub struct Shelf {
    kept: Mutex<Kept>,
    hits: AtomicU64,
    misses: AtomicU64,
}

#[derive(Default)]
struct Kept {
    events: HashMap<EventId, Arc<Event>>,
    /// Grows with every change, so that what was read before one is not kept after it.
    changes: u64,
}

impl Shelf {
    /// Reads so far: those that memory answered, and those that it did not.
    #[must_use]
    pub fn reads(&self) -> (u64, u64) {
        (self.hits.load(Ordering::Relaxed), self.misses.load(Ordering::Relaxed))
    }

    /// An event, from memory or from the catalogue; none if there is none.
    ///
    /// # Errors
    /// If the catalogue does not answer.
    pub async fn event(&self, id: EventId, catalogue: &dyn Catalogue) -> Result<Option<Arc<Event>>, StoreError> {
        let changes = {
            let kept = self.kept.lock();
            if let Some(event) = kept.events.get(&id) {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok(Some(Arc::clone(event)));
            }
            kept.changes
        };
        self.misses.fetch_add(1, Ordering::Relaxed);
        let Some(event) = catalogue.event(id).await?.map(Arc::new) else { return Ok(None) };
        let mut kept = self.kept.lock();
        if kept.changes == changes {
            if kept.events.len() >= EVENTS {
                kept.events.clear();
            }
            kept.events.insert(id, Arc::clone(&event));
        }
        Ok(Some(event))
    }

    /// To be called after an event was changed or deleted.
    pub fn take_off(&self, id: EventId) {
        let mut kept = self.kept.lock();
        kept.changes += 1;
        kept.events.remove(&id);
    }

    /// To be called after a venue was changed, whose name its events carry.
    pub fn clear(&self) {
        let mut kept = self.kept.lock();
        kept.changes += 1;
        kept.events.clear();
    }
}

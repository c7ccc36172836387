//! Events that are not in memory: what is known of each, and which of them are on their way into memory or out of it, one move
//! at a time each, so that those who ask for the same event share one load. Must never load one itself.

use crate::id::EventId;
use crate::limits::LOADS_AT_ONCE;
use crate::runtime::answer::Refusal;
use crate::sale::SaleSummary;
use crate::shared_map::SharedMap;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// How a move ended; `None` until then.
pub(crate) type Moved = Option<Result<(), Refusal>>;

/// See the module.
pub(crate) struct Unloaded {
    summaries: SharedMap<EventId, Arc<SaleSummary>>,
    /// Those of them that another node has taken: their summaries may be old.
    elsewhere: Mutex<HashSet<EventId>>,
    /// Events that are being loaded or unloaded, one at a time each.
    moving: Mutex<HashMap<EventId, watch::Receiver<Moved>>>,
    /// Who loads an event, once the engine has started.
    loader: OnceLock<Box<dyn Fn(Moving) + Send + Sync>>,
    slots: Arc<Semaphore>,
    loads: AtomicU64,
    stopped: Mutex<bool>,
    stops: Condvar,
}

impl Default for Unloaded {
    fn default() -> Self {
        Self {
            summaries: SharedMap::default(),
            elsewhere: Mutex::default(),
            moving: Mutex::default(),
            loader: OnceLock::new(),
            slots: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
            loads: AtomicU64::new(0),
            stopped: Mutex::new(false),
            stops: Condvar::new(),
        }
    }
}

impl Unloaded {
    pub(crate) fn put(&self, event: EventId, summary: SaleSummary) {
        self.summaries.insert(event, Arc::new(summary));
    }

    /// The event has a route now.
    pub(crate) fn forget(&self, event: EventId) {
        self.summaries.remove(&event);
        self.elsewhere.lock().remove(&event);
    }

    pub(crate) fn summary(&self, event: EventId) -> Option<Arc<SaleSummary>> {
        self.summaries.get(&event).map(|summary| Arc::clone(&summary))
    }

    pub(crate) fn all(&self) -> Vec<(EventId, Arc<SaleSummary>)> {
        self.summaries.iter().map(|entry| (*entry.key(), Arc::clone(entry.value()))).collect()
    }

    pub(crate) fn count(&self) -> usize {
        self.summaries.len()
    }

    /// Events that were loaded again since the start.
    pub(crate) fn loads(&self) -> u64 {
        self.loads.load(Ordering::Relaxed)
    }

    /// An event was loaded again.
    pub(crate) fn count_load(&self) {
        self.loads.fetch_add(1, Ordering::Relaxed);
    }

    /// Another node has taken the event: its summary is not believed until it could be loaded.
    pub(crate) fn lose(&self, event: EventId) {
        if self.summaries.contains_key(&event) {
            self.elsewhere.lock().insert(event);
        }
    }

    /// Whether another node is known to have taken the event.
    pub(crate) fn is_elsewhere(&self, event: EventId) -> bool {
        self.elsewhere.lock().contains(&event)
    }

    /// Waits so long; false at once when the engine stops.
    pub(crate) fn pause(&self, pause: Duration) -> bool {
        let mut stopped = self.stopped.lock();
        if !*stopped {
            self.stops.wait_for(&mut stopped, pause);
        }
        !*stopped
    }

    pub(crate) fn stop(&self) {
        *self.stopped.lock() = true;
        self.stops.notify_all();
    }

    /// Who loads events from now on. Once only.
    pub(crate) fn set_loader(&self, load: impl Fn(Moving) + Send + Sync + 'static) {
        let _ = self.loader.set(Box::new(load));
    }

    /// Begins to load the event of a move; it has failed if nobody loads events yet.
    pub(crate) fn load(&self, mut moving: Moving) {
        moving.ended = Err(Refusal::StorageUnavailable);
        if let Some(load) = self.loader.get() {
            load(moving);
        }
    }

    /// One of a few loads at once; none once the engine stops.
    pub(crate) async fn slot(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.slots).acquire_owned().await.ok()
    }

    /// The move of the event that is under way.
    pub(crate) fn moving(&self, event: EventId) -> Option<watch::Receiver<Moved>> {
        self.moving.lock().get(&event).cloned()
    }

    /// Begins to move an event; none while another is moving it.
    pub(crate) fn begin_move(self: &Arc<Self>, event: EventId) -> Option<Moving> {
        let mut moving = self.moving.lock();
        if moving.contains_key(&event) {
            return None;
        }
        let (done, moved) = watch::channel(None);
        moving.insert(event, moved);
        Some(Moving { unloaded: Arc::clone(self), event, done, ended: Ok(()) })
    }

    /// Waits until nothing is being loaded, and lets nothing begin.
    pub(crate) async fn end_loads(&self) {
        let all = u32::try_from(LOADS_AT_ONCE).unwrap_or(u32::MAX);
        let _ended = self.slots.acquire_many(all).await;
        self.slots.close();
    }
}

/// An event on its way into memory or out of it; over when dropped, and then all who wait are sent how it ended.
pub(crate) struct Moving {
    unloaded: Arc<Unloaded>,
    event: EventId,
    done: watch::Sender<Moved>,
    pub(crate) ended: Result<(), Refusal>,
}

impl Moving {
    pub(crate) fn event(&self) -> EventId {
        self.event
    }

    /// For a caller that waits for its end.
    pub(crate) fn end(&self) -> watch::Receiver<Moved> {
        self.done.subscribe()
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.unloaded.moving.lock().remove(&self.event);
        self.done.send_replace(Some(self.ended.clone()));
    }
}

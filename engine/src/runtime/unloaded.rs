//! Events that are not in memory: what is known of each, and loading one again when somebody asks for it. Loading raises
//! the event's epoch and reads it back, as a start does, off the threads that answer; those who ask for the same event
//! share one load. Must never serve what was not read back from the journal.

use crate::id::EventId;
use crate::limits::LOADS_AT_ONCE;
use crate::ports::{JournalError, ReadError};
use crate::runtime::answer::Refusal;
use crate::runtime::engine::Core;
use crate::runtime::handle::SaleHandle;
use crate::runtime::recovery::{Recovery, recover};
use crate::sale::SaleSummary;
use crate::shared_map::SharedMap;
use crate::trace::Scope;
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Semaphore, watch};

/// An event that the engine knows.
#[derive(Clone, Debug)]
pub enum Found {
    /// In memory.
    Loaded(Arc<SaleHandle>),
    /// Over, and not in memory.
    Unloaded(Arc<SaleSummary>),
}

/// How a move ended; `None` until then.
type Moved = Option<Result<(), Refusal>>;

/// See the module.
pub(crate) struct Unloaded {
    summaries: SharedMap<EventId, Arc<SaleSummary>>,
    /// Those of them that another node has taken: their summaries may be old.
    elsewhere: Mutex<HashSet<EventId>>,
    /// Events that are being loaded or unloaded, one at a time each.
    moving: Mutex<HashMap<EventId, watch::Receiver<Moved>>>,
    loads: Arc<Semaphore>,
    loaded: AtomicU64,
    stopped: Mutex<bool>,
    stops: Condvar,
}

impl Default for Unloaded {
    fn default() -> Self {
        Self {
            summaries: SharedMap::default(),
            elsewhere: Mutex::default(),
            moving: Mutex::default(),
            loads: Arc::new(Semaphore::new(LOADS_AT_ONCE)),
            loaded: AtomicU64::new(0),
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
    pub(crate) fn loaded(&self) -> u64 {
        self.loaded.load(Ordering::Relaxed)
    }

    /// Another node has taken the event: its summary is not believed until it could be loaded.
    pub(crate) fn lose(&self, event: EventId) {
        if self.summaries.contains_key(&event) {
            self.elsewhere.lock().insert(event);
        }
    }

    fn is_elsewhere(&self, event: EventId) -> bool {
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

    /// Waits until nothing is being loaded, and lets nothing begin.
    pub(crate) async fn end_loads(&self) {
        let all = u32::try_from(LOADS_AT_ONCE).unwrap_or(u32::MAX);
        let _ended = self.loads.acquire_many(all).await;
        self.loads.close();
    }
}

/// An event on its way into memory or out of it; over when dropped, and then whoever waits is sent how it ended.
pub(crate) struct Moving {
    core: Arc<Core>,
    event: EventId,
    done: watch::Sender<Moved>,
    pub(crate) ended: Result<(), Refusal>,
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.core.unloaded.moving.lock().remove(&self.event);
        self.done.send_replace(Some(self.ended.clone()));
    }
}

/// What somebody who wants an event in memory finds.
enum Wanted {
    Served(Arc<SaleHandle>),
    Moves(watch::Receiver<Moved>),
    Unknown,
}

impl Core {
    /// What is known of an event, without loading it.
    pub(crate) fn find(&self, event: EventId) -> Option<Found> {
        let route = || self.sale(event).map(Found::Loaded);
        let unloaded = || self.unloaded.summary(event).map(Found::Unloaded);
        // It may be loaded between the first look and the second, and a route is there before its summary is gone.
        route().or_else(unloaded).or_else(route)
    }

    /// Begins to move an event; none while another is moving it.
    pub(super) fn begin_move(self: &Arc<Self>, event: EventId) -> Option<Moving> {
        let mut moving = self.unloaded.moving.lock();
        if moving.contains_key(&event) {
            return None;
        }
        let (done, moved) = watch::channel(None);
        moving.insert(event, moved);
        Some(Moving { core: Arc::clone(self), event, done, ended: Ok(()) })
    }

    /// The route to an event's sale, which is loaded if it is not in memory; none if there is no such event. Cancel safe:
    /// a load that has begun is carried out.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`] when it could not be read, or another node owns it; [`Refusal::Unserved`] when the
    /// engine is stopping.
    pub(crate) async fn load(self: &Arc<Self>, event: EventId) -> Result<Option<Arc<SaleHandle>>, Refusal> {
        loop {
            let mut moves = match self.want(event)? {
                Wanted::Served(handle) => return Ok(Some(handle)),
                Wanted::Unknown => return Ok(None),
                Wanted::Moves(moves) => moves,
            };
            match moves.wait_for(Option::is_some).await.as_deref() {
                Ok(Some(Err(refusal))) => return Err(refusal.clone()),
                Ok(_) => {}
                Err(_) => return Err(Refusal::StorageUnavailable),
            }
        }
    }

    fn want(self: &Arc<Self>, event: EventId) -> Result<Wanted, Refusal> {
        let served = || self.sale(event).filter(|handle| !handle.is_unloaded());
        if let Some(handle) = served() {
            handle.touch();
            return Ok(Wanted::Served(handle));
        }
        if let Some(moves) = self.unloaded.moving.lock().get(&event) {
            return Ok(Wanted::Moves(moves.clone()));
        }
        if self.is_stopping() {
            return Err(Refusal::Unserved);
        }
        let Some(moving) = self.begin_move(event) else { return self.want(event) };
        // Nobody else moves it from here on.
        if let Some(handle) = served() {
            handle.touch();
            return Ok(Wanted::Served(handle));
        }
        if self.unloaded.summary(event).is_none() {
            return Ok(Wanted::Unknown);
        }
        let moves = moving.done.subscribe();
        let load = Scope::carry_future(Arc::clone(self).load_in_turn(event, moving));
        self.effects.tokio().spawn(load);
        Ok(Wanted::Moves(moves))
    }

    async fn load_in_turn(self: Arc<Self>, event: EventId, mut moving: Moving) {
        moving.ended = Err(Refusal::StorageUnavailable);
        let Ok(_slot) = Arc::clone(&self.unloaded.loads).acquire_owned().await else { return };
        let loaded = tokio::task::spawn_blocking(Scope::carry(move || self.load_now(event))).await;
        moving.ended = loaded.unwrap_or(Err(Refusal::StorageUnavailable));
    }

    fn load_now(self: &Arc<Self>, event: EventId) -> Result<(), Refusal> {
        // While the journal fails an epoch would be waited for until it takes something again.
        if self.is_stopping() || !self.journal.is_writable(self.clock.now()) {
            return Err(Refusal::StorageUnavailable);
        }
        let raised = self.journal.raise_epoch(event);
        if matches!(raised, Err(JournalError::Elsewhere)) {
            self.unloaded.lose(event);
        }
        let raised = raised.map_err(|error| ReadError::Unavailable(error.to_string()));
        match raised.and_then(|epoch| recover(&*self.reader, event).map(|read| (read, epoch))) {
            Ok((Recovery { sale, traces, .. }, epoch)) => {
                tracing::info!(event_id = %event, seq = sale.seq().0, epoch = epoch.0, "the event is loaded again");
                self.unloaded.loaded.fetch_add(1, Ordering::Relaxed);
                let handle = self.route(event, sale.clone());
                *handle.money_traces.lock() = traces;
                self.serve(&handle, sale, epoch, 0);
                self.unloaded.forget(event);
                Ok(())
            }
            Err(ReadError::Damaged { seq, reason, .. }) => {
                self.damaged(event, &format!("seq {}: {reason}", seq.0));
                Ok(())
            }
            Err(error @ ReadError::Unavailable(_)) => {
                tracing::warn!(event_id = %event, %error, "the event is not loaded");
                Err(Refusal::StorageUnavailable)
            }
        }
    }

    /// Whether another node is known to have taken an event that is not in memory here.
    pub(crate) fn is_unloaded_elsewhere(&self, event: EventId) -> bool {
        self.unloaded.is_elsewhere(event)
    }
}

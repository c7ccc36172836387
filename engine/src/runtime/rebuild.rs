//! Rebuilding actors behind their routes, after a panic or when another owner has fenced them: raise the epoch through the
//! journal's own queue, read, serve. A few threads work through one queue, in which an event stands once, however many
//! are lost at the same time. Must never serve what was not read back from the journal.

use crate::id::{Epoch, EventId};
use crate::limits::{JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN, REBUILD_WINDOW, REBUILDS_BEFORE_QUARANTINE};
use crate::ports::{JournalError, ReadError};
use crate::runtime::engine::Core;
use crate::runtime::handle::SaleHandle;
use crate::runtime::journal::Turn;
use crate::runtime::recovery::{Recovery, recover};
use crate::runtime::service::Service;
use crate::runtime::supervision::panic_message;
use crate::sale::Sale;
use crate::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
#[cfg(any(test, feature = "fakes"))]
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// An actor to be rebuilt.
struct Rebuild {
    handle: Arc<SaleHandle>,
    /// How long is waited after the next attempt that fails; none before the first one.
    pause: Option<Duration>,
}

#[derive(Default)]
struct Waiting {
    /// By when each is due, and in the order in which they came. The state of its route keeps an event from standing here
    /// twice, so there are never more than there are events.
    by_time: BTreeMap<(Instant, u64), Rebuild>,
    serial: u64,
    stopped: bool,
}

/// The queue of rebuilds.
#[derive(Default)]
pub(crate) struct Rebuilds {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    recent: Mutex<HashMap<EventId, VecDeque<Timestamp>>>,
    count: AtomicU64,
}

impl Rebuilds {
    /// Actors rebuilt since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    fn push(&self, rebuild: Rebuild, at: Instant) {
        let mut waiting = self.waiting.lock();
        waiting.serial += 1;
        let serial = waiting.serial;
        waiting.by_time.insert((at, serial), rebuild);
        drop(waiting);
        self.changed.notify_one();
    }

    /// Those who wait are not rebuilt any more.
    pub(crate) fn stop(&self) {
        self.waiting.lock().stopped = true;
        self.changed.notify_all();
    }

    /// The next one that is due; waits for it. None once stopped.
    fn next(&self) -> Option<Rebuild> {
        let mut waiting = self.waiting.lock();
        while !waiting.stopped {
            match waiting.by_time.first_key_value().map(|((at, _), _)| *at) {
                Some(at) if at <= Instant::now() => return waiting.by_time.pop_first().map(|(_, rebuild)| rebuild),
                Some(at) => drop(self.changed.wait_until(&mut waiting, at)),
                None => self.changed.wait(&mut waiting),
            }
        }
        None
    }

    fn is_too_often(&self, event: EventId, now: Timestamp) -> bool {
        let mut rebuilds = self.recent.lock();
        let recent = rebuilds.entry(event).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.since(*first) > REBUILD_WINDOW) {
            recent.pop_front();
        }
        recent.len() >= REBUILDS_BEFORE_QUARANTINE
    }
}

/// What became of an attempt.
enum Attempt {
    Over,
    /// To be tried again.
    NotYet(String),
}

impl Core {
    /// Another owner has the event: what was decided with the old epoch is not in the journal, and what is known of it here
    /// is old, so it is not served before it is owned again.
    pub(crate) fn fenced(self: &Arc<Self>, handle: &Arc<SaleHandle>) {
        tracing::warn!(event_id = %handle.event(), "another owner has raised the event's epoch");
        handle.disown();
        handle.set_post(None);
        if handle.change_service(Service::Serving, Service::Elsewhere) {
            self.rebuilds.push(Rebuild { handle: Arc::clone(handle), pause: None }, Instant::now());
        } else {
            // It is being rebuilt; until that is done what is known is old all the same.
            handle.change_service(Service::Rebuilding, Service::Elsewhere);
        }
    }

    /// A turn whose facts are in no journal: who waits for it is answered that nothing was done. If it took an outcome of a
    /// charge with it, the actor that was rebuilt meanwhile may have asked for that too early, so it is asked again.
    pub(crate) fn drop_stale(self: &Arc<Self>, turn: Turn) {
        let sale = Arc::clone(&turn.sale);
        drop(turn);
        if sale.service() == Service::Serving {
            let core = Arc::clone(self);
            self.in_background(move || core.effects.reconcile(&sale));
        }
    }

    /// An actor has panicked: it is rebuilt behind its route.
    pub(crate) fn rebuild(self: &Arc<Self>, handle: &Arc<SaleHandle>) {
        if !self.is_stopping() && handle.change_service(Service::Serving, Service::Rebuilding) {
            self.rebuilds.push(Rebuild { handle: Arc::clone(handle), pause: None }, Instant::now());
        }
    }

    /// A thread that rebuilds what is due until the engine stops.
    pub(crate) fn run_rebuilds(self: &Arc<Self>) {
        while let Some(Rebuild { handle, pause }) = self.rebuilds.next() {
            let event = handle.event();
            if pause.is_none() && self.begin_rebuild(&handle) {
                continue;
            }
            let losses = handle.losses();
            let raised = self.journal.raise_epoch(event);
            self.end_rebuild(Rebuild { handle, pause }, losses, raised);
        }
    }

    /// What follows on the raising of the epoch: the event is read and served, or this is tried again later.
    fn end_rebuild(self: &Arc<Self>, rebuild: Rebuild, losses: u64, raised: Result<Epoch, JournalError>) {
        let Rebuild { handle, pause } = rebuild;
        let event = handle.event();
        let attempt = catch_unwind(AssertUnwindSafe(|| self.try_rebuild(&handle, losses, raised)));
        match attempt {
            Ok(Attempt::Over) => {}
            Ok(Attempt::NotYet(reason)) => {
                if handle.service() != Service::Elsewhere {
                    tracing::warn!(event_id = %event, reason, "the actor is not rebuilt yet");
                }
                let waited = pause.unwrap_or(JOURNAL_RETRY_MIN);
                let next = Rebuild { handle, pause: Some((waited * 2).min(JOURNAL_RETRY_MAX)) };
                self.rebuilds.push(next, Instant::now() + waited);
            }
            Err(panic) => self.damaged(event, &format!("replay panicked: {}", panic_message(&*panic))),
        }
    }

    /// Counts a rebuild; true when there were too many of this event, and it is quarantined.
    fn begin_rebuild(&self, handle: &SaleHandle) -> bool {
        self.rebuilds.count.fetch_add(1, Ordering::Relaxed);
        let is_too_often = self.rebuilds.is_too_often(handle.event(), self.clock.now());
        if is_too_often {
            tracing::error!(event_id = %handle.event(), "the actor failed too often; the event is quarantined");
            handle.set_service(Service::Quarantined);
        }
        is_too_often
    }

    fn try_rebuild(
        self: &Arc<Self>,
        handle: &Arc<SaleHandle>,
        losses: u64,
        raised: Result<Epoch, JournalError>,
    ) -> Attempt {
        let event = handle.event();
        let epoch = match raised {
            Ok(epoch) => epoch,
            Err(error) => {
                if matches!(error, JournalError::Elsewhere) && handle.service() != Service::Elsewhere {
                    tracing::warn!(event_id = %event, "another node owns the event; it is not served here");
                    handle.set_service(Service::Elsewhere);
                }
                return Attempt::NotYet(error.to_string());
            }
        };
        match recover(&*self.reader, event) {
            Ok(Recovery { sale, traces, .. }) => {
                if handle.losses() != losses {
                    return Attempt::NotYet("it was lost again meanwhile".to_owned());
                }
                tracing::warn!(event_id = %event, seq = sale.seq().0, epoch = epoch.0, "the actor is rebuilt");
                // What was there may be large: it is dropped when the lock is free again.
                let copy = sale.clone();
                let before = handle.show(|view| std::mem::replace(view, copy));
                self.release_gone(handle, &before, &sale);
                *handle.money_traces.lock() = traces;
                if !self.serve(handle, sale, epoch, losses) {
                    return Attempt::NotYet("it was lost again meanwhile".to_owned());
                }
                Attempt::Over
            }
            Err(ReadError::Damaged { seq, reason, .. }) => {
                self.damaged(event, &format!("seq {}: {reason}", seq.0));
                Attempt::Over
            }
            Err(error @ ReadError::Unavailable(_)) => Attempt::NotYet(error.to_string()),
        }
    }
}

impl Core {
    /// Buyers whose places have ended at another owner are not claimed by the event any more.
    fn release_gone(&self, handle: &SaleHandle, before: &Sale, now: &Sale) {
        for buyer in before.everyone_in_room().into_iter().filter(|buyer| !now.is_in_room(*buyer)) {
            if self.claims.release(buyer, handle.event()) {
                handle.release_everywhere(buyer);
            }
            handle.unhear(buyer);
        }
    }
}

/// A rebuild that waits for its epoch, in the hands of a test.
#[cfg(any(test, feature = "fakes"))]
pub(crate) struct Raising {
    rebuild: Rebuild,
    losses: u64,
    raised: mpsc::Receiver<Result<Epoch, JournalError>>,
}

#[cfg(any(test, feature = "fakes"))]
impl Core {
    /// Begins the rebuild that has waited longest, whether it is due or not: its epoch is ordered. None when there is none, or it
    /// is over at once.
    pub(crate) fn begin_rebuild_by_hand(&self) -> Option<Raising> {
        let mut waiting = self.rebuilds.waiting.lock();
        let first = waiting.by_time.keys().copied().min_by_key(|(_, serial)| *serial)?;
        let rebuild = waiting.by_time.remove(&first)?;
        drop(waiting);
        if rebuild.pause.is_none() && self.begin_rebuild(&rebuild.handle) {
            return None;
        }
        let (losses, raised) = (rebuild.handle.losses(), self.journal.order_epoch(rebuild.handle.event()));
        Some(Raising { rebuild, losses, raised })
    }

    /// Goes on with it if the epoch is raised, or could not be; else it goes on waiting.
    pub(crate) fn end_rebuild_by_hand(self: &Arc<Self>, raising: Raising) -> Option<Raising> {
        match raising.raised.try_recv() {
            Ok(raised) => {
                self.end_rebuild(raising.rebuild, raising.losses, raised);
                None
            }
            Err(_) => Some(raising),
        }
    }

    /// Rebuilds that wait to be begun.
    pub(crate) fn waiting_rebuilds(&self) -> usize {
        self.rebuilds.waiting.lock().by_time.len()
    }
}

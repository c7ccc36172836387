//! Actors that are to be rebuilt, after a panic or when another owner has fenced them: one queue, in which an event stands once,
//! however many are lost at the same time. Must never be waited for by who puts one in.

use crate::id::EventId;
use crate::limits::{REBUILD_WINDOW, REBUILDS_BEFORE_QUARANTINE};
use crate::runtime::handle::SaleHandle;
use crate::runtime::service::Service;
use crate::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// An actor to be rebuilt.
pub(crate) struct Rebuild {
    pub(crate) handle: Arc<SaleHandle>,
    /// How long is waited after the next attempt that fails; none before the first one.
    pub(crate) pause: Option<Duration>,
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
pub(crate) struct RebuildQueue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    recent: Mutex<HashMap<EventId, VecDeque<Timestamp>>>,
    count: AtomicU64,
}

impl RebuildQueue {
    /// Actors rebuilt since the start.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    pub(crate) fn push(&self, rebuild: Rebuild, at: Instant) {
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
    pub(crate) fn next(&self) -> Option<Rebuild> {
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

    /// Counts a rebuild of the event; whether there were too many lately.
    pub(crate) fn is_too_often(&self, event: EventId, now: Timestamp) -> bool {
        self.count.fetch_add(1, Ordering::Relaxed);
        let mut rebuilds = self.recent.lock();
        let recent = rebuilds.entry(event).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.since(*first) > REBUILD_WINDOW) {
            recent.pop_front();
        }
        recent.len() >= REBUILDS_BEFORE_QUARANTINE
    }

    /// Another owner has the event: what was decided with the old epoch is not in the journal, and what is known of it here
    /// is old, so it is not served before it is owned again.
    pub(crate) fn fenced(&self, handle: &Arc<SaleHandle>) {
        tracing::warn!(event_id = %handle.event(), "another owner has raised the event's epoch");
        handle.ownership.disown();
        handle.set_mailbox(None);
        if handle.change_service(Service::Serving, Service::Elsewhere) {
            self.push(Rebuild { handle: Arc::clone(handle), pause: None }, Instant::now());
        } else {
            // It is being rebuilt; until that is done what is known is old all the same.
            handle.change_service(Service::Rebuilding, Service::Elsewhere);
        }
    }

    /// An actor has panicked: it is rebuilt behind its route.
    pub(crate) fn rebuild(&self, handle: &Arc<SaleHandle>) {
        if !handle.shared.is_stopping() && handle.change_service(Service::Serving, Service::Rebuilding) {
            self.push(Rebuild { handle: Arc::clone(handle), pause: None }, Instant::now());
        }
    }
}

#[cfg(any(test, feature = "fakes"))]
impl RebuildQueue {
    /// The one that has waited longest, whether it is due or not, for a test that drives the engine by hand.
    pub(crate) fn pop(&self) -> Option<Rebuild> {
        let mut waiting = self.waiting.lock();
        let first = waiting.by_time.keys().copied().min_by_key(|(_, serial)| *serial)?;
        waiting.by_time.remove(&first)
    }

    /// Rebuilds that wait to be begun.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.lock().by_time.len()
    }
}

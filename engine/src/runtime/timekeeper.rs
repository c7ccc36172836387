//! Wakes actors when time does something to their sale: one thread and one ordered set for all events, no timer each.
//! A late wake costs nothing but time: deadlines are compared with `now` when used.

use crate::id::EventId;
use crate::ports::Clock;
use crate::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::{Condvar, Mutex};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The longest sleep, so that a clock that is set forward is noticed.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// The shortest sleep, so that a fast admission wakes its actor a few hundred times a second, not more.
const SHORTEST_SLEEP: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Alarms {
    by_time: BTreeSet<(Timestamp, EventId)>,
    by_event: HashMap<EventId, Timestamp>,
    stopped: bool,
}

impl Alarms {
    fn pop_due(&mut self, now: Timestamp) -> Option<EventId> {
        let (at, event) = self.by_time.first().copied().filter(|(at, _)| *at <= now)?;
        self.by_time.remove(&(at, event));
        self.by_event.remove(&event);
        Some(event)
    }
}

/// When each event wants to be woken.
#[derive(Default)]
pub(crate) struct Timekeeper {
    alarms: Mutex<Alarms>,
    changed: Condvar,
}

impl Timekeeper {
    /// Wakes the event at `at`, and at no other time set before; never for `None`.
    pub(crate) fn set(&self, event: EventId, at: Option<Timestamp>) {
        let mut alarms = self.alarms.lock();
        let before = match at {
            Some(at) => alarms.by_event.insert(event, at),
            None => alarms.by_event.remove(&event),
        };
        if before == at {
            return;
        }
        if let Some(before) = before {
            alarms.by_time.remove(&(before, event));
        }
        if let Some(at) = at {
            alarms.by_time.insert((at, event));
            if alarms.by_time.first() == Some(&(at, event)) {
                self.changed.notify_one();
            }
        }
    }

    pub(crate) fn stop(&self) {
        self.alarms.lock().stopped = true;
        self.changed.notify_one();
    }

    /// Events whose time has come, earliest first; they are not due again before they are set.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn due(&self, now: Timestamp) -> Vec<EventId> {
        let mut alarms = self.alarms.lock();
        std::iter::from_fn(|| alarms.pop_due(now)).collect()
    }

    /// When the next event is due.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn next(&self) -> Option<Timestamp> {
        self.alarms.lock().by_time.first().map(|(at, _)| *at)
    }

    /// The thread: calls `wake` for every event whose time has come.
    pub(crate) fn run(&self, clock: &Arc<dyn Clock>, wake: impl Fn(EventId)) {
        let mut due = Vec::new();
        let mut alarms = self.alarms.lock();
        while !alarms.stopped {
            let now = clock.now();
            due.extend(std::iter::from_fn(|| alarms.pop_due(now)));
            if !due.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut alarms, || due.drain(..).for_each(&wake));
            }
            let sleep = alarms.by_time.first().map_or(LONGEST_SLEEP, |(at, _)| at.since(now));
            self.changed.wait_for(&mut alarms, sleep.clamp(SHORTEST_SLEEP, LONGEST_SLEEP));
        }
    }
}

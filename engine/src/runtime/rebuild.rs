//! Rebuilding actors behind their routes: raise the epoch through the journal's own queue, read, serve. A few threads work through
//! the queue of rebuilds. Must never serve what was not read back from the journal.

use crate::id::Epoch;
use crate::limits::{JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN};
use crate::ports::{JournalError, ReadError};
use crate::runtime::handle::SaleHandle;
use crate::runtime::rebuild_queue::{Rebuild, RebuildQueue};
use crate::runtime::recovery::{Recovery, recover};
use crate::runtime::serve::Serving;
use crate::runtime::service::Service;
use crate::runtime::supervision::panic_message;
use crate::sale::Sale;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
#[cfg(any(test, feature = "fakes"))]
use std::sync::mpsc;
use std::time::Instant;

/// What became of an attempt.
enum Attempt {
    Over,
    /// To be tried again.
    NotYet(String),
}

/// Who rebuilds.
pub(crate) struct Rebuilder {
    pub(crate) serving: Arc<Serving>,
    pub(crate) queue: Arc<RebuildQueue>,
}

impl Rebuilder {
    /// A thread that rebuilds what is due until the engine stops.
    pub(crate) fn run(&self) {
        while let Some(Rebuild { handle, pause }) = self.queue.next() {
            let event = handle.event();
            if pause.is_none() && self.begin_rebuild(&handle) {
                continue;
            }
            let losses = handle.ownership.losses();
            let raised = self.serving.batch.raise_epoch(event);
            self.end_rebuild(Rebuild { handle, pause }, losses, raised);
        }
    }

    /// What follows on the raising of the epoch: the event is read and served, or this is tried again later.
    fn end_rebuild(&self, rebuild: Rebuild, losses: u64, raised: Result<Epoch, JournalError>) {
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
                self.queue.push(next, Instant::now() + waited);
            }
            Err(panic) => self.serving.damaged(event, &format!("replay panicked: {}", panic_message(&*panic))),
        }
    }

    /// Counts a rebuild; true when there were too many of this event, and it is quarantined.
    fn begin_rebuild(&self, handle: &SaleHandle) -> bool {
        let is_too_often = self.queue.is_too_often(handle.event(), handle.shared.clock.now());
        if is_too_often {
            tracing::error!(event_id = %handle.event(), "the actor failed too often; the event is quarantined");
            handle.set_service(Service::Quarantined);
        }
        is_too_often
    }

    fn try_rebuild(&self, handle: &Arc<SaleHandle>, losses: u64, raised: Result<Epoch, JournalError>) -> Attempt {
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
        match recover(&*self.serving.reader, event) {
            Ok(Recovery { sale, traces, .. }) => {
                if handle.ownership.losses() != losses {
                    return Attempt::NotYet("it was lost again meanwhile".to_owned());
                }
                tracing::warn!(event_id = %event, seq = sale.seq().0, epoch = epoch.0, "the actor is rebuilt");
                // What was there may be large: it is dropped when the lock is free again.
                let copy = sale.clone();
                let before = handle.publish(|view| std::mem::replace(view, copy));
                release_gone(handle, &before, &sale);
                *handle.money_traces.lock() = traces;
                if !self.serving.serve(handle, sale, epoch, losses) {
                    return Attempt::NotYet("it was lost again meanwhile".to_owned());
                }
                Attempt::Over
            }
            Err(ReadError::Damaged { seq, reason, .. }) => {
                self.serving.damaged(event, &format!("seq {}: {reason}", seq.0));
                Attempt::Over
            }
            Err(error @ ReadError::Unavailable(_)) => Attempt::NotYet(error.to_string()),
        }
    }
}

/// Buyers whose places have ended at another owner are not claimed by the event any more.
fn release_gone(handle: &SaleHandle, before: &Sale, now: &Sale) {
    for buyer in before.everyone_in_room().into_iter().filter(|buyer| !now.is_in_room(*buyer)) {
        handle.shared.claims.end_place(buyer, handle.event());
        handle.forget_heartbeat(buyer);
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
impl Rebuilder {
    /// Begins the rebuild that has waited longest, whether it is due or not: its epoch is ordered. None when there is none, or it
    /// is over at once.
    pub(crate) fn begin_by_hand(&self) -> Option<Raising> {
        let rebuild = self.queue.pop()?;
        if rebuild.pause.is_none() && self.begin_rebuild(&rebuild.handle) {
            return None;
        }
        let (losses, raised) =
            (rebuild.handle.ownership.losses(), self.serving.batch.order_epoch(rebuild.handle.event()));
        Some(Raising { rebuild, losses, raised })
    }

    /// Goes on with it if the epoch is raised, or could not be; else it goes on waiting.
    pub(crate) fn end_by_hand(&self, raising: Raising) -> Option<Raising> {
        match raising.raised.try_recv() {
            Ok(raised) => {
                self.end_rebuild(raising.rebuild, raising.losses, raised);
                None
            }
            Err(_) => Some(raising),
        }
    }
}

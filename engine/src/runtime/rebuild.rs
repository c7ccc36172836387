//! Rebuilding an actor behind its route, after a panic or when another owner fenced it: raise the epoch through the
//! journal's own queue, read, serve. Must never serve what was not read back from the journal.

use crate::id::EventId;
use crate::limits::{JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN, REBUILD_WINDOW, REBUILDS_BEFORE_QUARANTINE};
use crate::ports::{JournalError, ReadError};
use crate::runtime::engine::Core;
use crate::runtime::handle::{SaleHandle, Service};
use crate::runtime::recovery::recover;
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Core {
    /// Another owner has the event: what was written with the old epoch is not in the journal.
    pub(crate) fn fenced(self: &Arc<Self>, handle: &Arc<SaleHandle>) {
        tracing::warn!(event = %handle.event(), "another owner has raised the event's epoch");
        handle.set_post(None);
        self.rebuild(handle);
    }

    /// Rebuilds an actor behind its route: raise the epoch through the journal's queue, read, serve.
    pub(crate) fn rebuild(self: &Arc<Self>, handle: &Arc<SaleHandle>) {
        if self.is_stopping() || handle.service() != Service::Serving {
            return;
        }
        let (core, handle) = (Arc::clone(self), Arc::clone(handle));
        handle.set_service(Service::Rebuilding);
        let thread = std::thread::Builder::new().name("onsale-rebuild".into());
        let spawned = thread.spawn({
            let handle = Arc::clone(&handle);
            move || core.rebuild_now(&handle)
        });
        if let Err(error) = spawned {
            tracing::error!(event = %handle.event(), %error, "an actor could not be rebuilt");
            handle.set_service(Service::Quarantined);
        }
    }

    fn rebuild_now(self: &Arc<Self>, handle: &Arc<SaleHandle>) {
        let event = handle.event();
        self.rebuilt.fetch_add(1, Ordering::Relaxed);
        if self.too_many_rebuilds(event) {
            tracing::error!(%event, "the actor failed too often; the event is quarantined");
            handle.set_service(Service::Quarantined);
            return;
        }
        let mut pause = JOURNAL_RETRY_MIN;
        loop {
            let raised = self.journal.raise_epoch(event);
            if matches!(raised, Err(JournalError::Elsewhere)) && handle.service() != Service::Elsewhere {
                tracing::warn!(%event, "another node owns the event; it is not served here");
                handle.set_service(Service::Elsewhere);
            }
            let rebuilt = raised.map_err(|error| ReadError::Unavailable(error.to_string()));
            match rebuilt.and_then(|epoch| recover(&*self.reader, event).map(|(sale, _)| (sale, epoch))) {
                Ok((sale, epoch)) => {
                    tracing::warn!(%event, seq = sale.seq().0, epoch = epoch.0, "the actor is rebuilt");
                    handle.show(|view| *view = sale.clone());
                    return self.serve(handle, sale, epoch);
                }
                Err(ReadError::Damaged { seq, reason, .. }) => {
                    return self.damaged(event, &format!("seq {}: {reason}", seq.0));
                }
                Err(error @ ReadError::Unavailable(_)) => {
                    if handle.service() != Service::Elsewhere {
                        tracing::warn!(%event, %error, "the actor is not rebuilt yet");
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(JOURNAL_RETRY_MAX);
                }
            }
            if self.is_stopping() {
                return;
            }
        }
    }

    fn too_many_rebuilds(&self, event: EventId) -> bool {
        let now = self.clock.now();
        let mut rebuilds = self.rebuilds.lock();
        let recent = rebuilds.entry(event).or_default();
        recent.push_back(now);
        while recent.front().is_some_and(|first| now.since(*first) > REBUILD_WINDOW) {
            recent.pop_front();
        }
        recent.len() >= REBUILDS_BEFORE_QUARANTINE
    }
}

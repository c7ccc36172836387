//! Taking events out of memory that are over, have nothing pending and are quiet. What is left on disk is read back
//! before the sale in memory is given up, so that nothing depends on it any more. In this order: read back, keep a
//! snapshot, stop the actor, keep the summary, change the route. A crash between any two of them leaves an event that the
//! next start recovers from its journal. Must never give up a sale that somebody uses, or that differs from its journal.

use crate::id::{Epoch, EventId, Seq};
use crate::ports::ReadError;
use crate::runtime::engine::Core;
use crate::runtime::handle::SaleHandle;
use crate::runtime::recovery::{Recovery, recover};
use crate::runtime::service::Service;
use crate::sale::{Sale, SalePhase, SaleSummary};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Sweeps at which an event must have been found quiet: two full pauses lie between the first and the last.
const QUIET_SWEEPS: u8 = 3;
/// Who holds the route of an event that nobody uses: the routes, the actor, and whoever counts.
const HOLDERS: usize = 3;

impl Core {
    /// The thread: unloads what is quiet, until the engine stops.
    pub(super) fn unload_quiet(self: &Arc<Self>, unloaded_after: Duration) {
        while self.unloaded.pause(unloaded_after / 2) {
            for event in self.events_quiet_for(QUIET_SWEEPS) {
                if self.is_stopping() {
                    return;
                }
                match self.unload(event) {
                    Ok(_) => {}
                    // Its next start will tell; what is in memory is good.
                    Err(error @ ReadError::Damaged { .. }) => tracing::error!(%error, "the event stays in memory"),
                    Err(error @ ReadError::Unavailable(_)) => {
                        tracing::warn!(event_id = %event, %error, "the event is not unloaded");
                        break;
                    }
                }
            }
        }
    }

    /// Unloads an event if it is over, has nothing pending and nobody uses it; whether it did. Blocks; never on a thread
    /// that answers.
    pub(crate) fn unload(self: &Arc<Self>, event: EventId) -> Result<bool, ReadError> {
        let Some(handle) = self.sale(event) else { return Ok(false) };
        let now = self.clock.now();
        let seq = handle.view().seq();
        if !may_be_over(&handle, now) || handle.in_flight() > 0 || !self.projector.has_written(event, seq) {
            return Ok(false);
        }
        let Some(ready) = self.read_back(event, seq, now)? else { return Ok(false) };
        let Some(_moving) = self.begin_move(event) else { return Ok(false) };
        if Arc::strong_count(&handle) > HOLDERS {
            return Ok(false);
        }
        let Some(epoch) = handle.release(seq) else { return Ok(false) };
        Ok(self.change_route(handle, ready, epoch))
    }

    /// The sale as the storage has it, and its summary, once a snapshot holds all of it; none if that is not what is in
    /// memory, or not over.
    fn read_back(&self, event: EventId, seq: Seq, now: Timestamp) -> Result<Option<(Sale, SaleSummary)>, ReadError> {
        let Recovery { sale, snapshot: kept, .. } = recover(&*self.reader, event)?;
        let Some(summary) = sale.summary().filter(|_| sale.seq() == seq && sale.is_over(now)) else { return Ok(None) };
        if kept != Some(seq) {
            self.reader.keep_snapshot(event, &sale.snapshot())?;
        }
        Ok(Some((sale, summary)))
    }

    /// The actor has stopped: from here on the event is known by its summary. Whoever has taken hold of the route
    /// meanwhile, to read or to listen, keeps the event in memory.
    fn change_route(self: &Arc<Self>, handle: Arc<SaleHandle>, ready: (Sale, SaleSummary), epoch: Epoch) -> bool {
        let (event, (sale, summary)) = (handle.event(), ready);
        if let Err(error) = self.reader.keep_summary(event, epoch, &summary) {
            tracing::warn!(event_id = %event, %error, "no summary was kept; the next start recovers the event");
        }
        let seq = summary.seq.0;
        self.unloaded.put(event, summary);
        self.take_route(event);
        if Arc::strong_count(&handle) == 1 {
            tracing::info!(event_id = %event, seq, "the event is unloaded");
            return true;
        }
        self.put_route(&handle);
        let losses = handle.losses();
        let raised = self.journal.raise_epoch(event);
        if !raised.is_ok_and(|epoch| self.serve(&handle, sale, epoch, losses)) {
            handle.set_service(Service::Serving);
            self.rebuild(&handle);
        }
        self.unloaded.forget(event);
        false
    }
}

/// What can be seen without a lock; [`Sale::is_over`] says the rest.
fn may_be_over(handle: &SaleHandle, now: Timestamp) -> bool {
    let has_ended = handle.standing().is_some_and(|standing| match standing.phase {
        SalePhase::Unconfigured => false,
        SalePhase::Scheduled => standing.config.sale_ends_at <= now,
        SalePhase::Cancelled | SalePhase::Retired => true,
    });
    has_ended && handle.service() == Service::Serving
}

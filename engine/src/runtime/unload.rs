//! Taking events out of memory that are over, have nothing pending and are quiet. What is left on disk is read back
//! before the sale in memory is given up, so that nothing depends on it any more. In this order: read back, keep a
//! snapshot, stop the actor, keep the summary, change the route. A crash between any two of them leaves an event that the
//! next start recovers from its journal. Must never give up a sale that somebody uses, or that differs from its journal.

use crate::id::{Epoch, EventId, Seq};
use crate::ports::ReadError;
use crate::runtime::handle::SaleHandle;
use crate::runtime::projector::ProjectorFront;
use crate::runtime::rebuild_queue::RebuildQueue;
use crate::runtime::recovery::{Recovery, recover};
use crate::runtime::serve::Serving;
use crate::runtime::service::Service;
use crate::sale::{Sale, SalePhase, SaleSummary};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// Sweeps at which an event must have been found quiet: two full pauses lie between the first and the last.
const QUIET_SWEEPS: u8 = 3;
/// Who holds the route of an event that nobody uses: the routes, the actor, and the one that counts.
const HOLDERS: usize = 3;

/// Who takes events out of memory.
pub(crate) struct Unloader {
    pub(crate) serving: Arc<Serving>,
    pub(crate) projector: Arc<ProjectorFront>,
    pub(crate) rebuilds: Arc<RebuildQueue>,
}

impl Unloader {
    /// The thread: unloads what is quiet, until the engine stops.
    pub(crate) fn run(&self, unloaded_after: Duration) {
        while self.serving.shared.unloaded.pause(unloaded_after / 2) {
            for event in self.quiet_events() {
                if self.serving.shared.is_stopping() {
                    return;
                }
                match self.unload(event) {
                    Ok(_) => {}
                    // Its next start will report it; what is in memory is good.
                    Err(error @ ReadError::Damaged { .. }) => tracing::error!(%error, "the event stays in memory"),
                    Err(error @ ReadError::Unavailable(_)) => {
                        tracing::warn!(event_id = %event, %error, "the event is not unloaded");
                        break;
                    }
                }
            }
        }
    }

    /// The events in memory that nobody has asked for at enough sweeps in a row, this one among them.
    fn quiet_events(&self) -> Vec<EventId> {
        let mut quiet = Vec::new();
        self.serving.shared.routes.each(|sale| {
            if sale.count_quiet_sweep() >= QUIET_SWEEPS {
                quiet.push(sale.event());
            }
        });
        quiet
    }

    /// Unloads an event if it is over, has nothing pending and nobody uses it; whether it did. Blocks; never on a thread
    /// that answers.
    pub(crate) fn unload(&self, event: EventId) -> Result<bool, ReadError> {
        let Some(handle) = self.serving.shared.routes.get(event) else { return Ok(false) };
        let now = self.serving.shared.clock.now();
        let seq = handle.view().seq();
        if !may_be_over(&handle, now) || handle.in_flight() > 0 || !self.projector.has_written(event, seq) {
            return Ok(false);
        }
        let Some(ready) = self.read_back(event, seq, now)? else { return Ok(false) };
        let Some(_moving) = self.serving.shared.unloaded.begin_move(event) else { return Ok(false) };
        if Arc::strong_count(&handle) > HOLDERS {
            return Ok(false);
        }
        let Some(epoch) = handle.release(seq) else { return Ok(false) };
        Ok(self.change_route(handle, ready, epoch))
    }

    /// The sale as the storage has it, and its summary, once a snapshot holds all of it; none if that is not what is in
    /// memory, or not over.
    fn read_back(&self, event: EventId, seq: Seq, now: Timestamp) -> Result<Option<(Sale, SaleSummary)>, ReadError> {
        let Recovery { sale, snapshot: kept, .. } = recover(&*self.serving.reader, event)?;
        let Some(summary) = sale.summary().filter(|_| sale.seq() == seq && sale.is_over(now)) else { return Ok(None) };
        if kept != Some(seq) {
            self.serving.reader.keep_snapshot(event, &sale.snapshot())?;
        }
        Ok(Some((sale, summary)))
    }

    /// The actor has stopped: from here on the event is known by its summary. A caller that has taken the route
    /// meanwhile, to read or to listen, keeps the event in memory.
    fn change_route(&self, handle: Arc<SaleHandle>, ready: (Sale, SaleSummary), epoch: Epoch) -> bool {
        let (event, (sale, summary)) = (handle.event(), ready);
        if let Err(error) = self.serving.reader.keep_summary(event, epoch, &summary) {
            tracing::warn!(event_id = %event, %error, "no summary was kept; the next start recovers the event");
        }
        let seq = summary.seq.0;
        self.serving.shared.unloaded.put(event, summary);
        self.serving.shared.routes.remove(event);
        if Arc::strong_count(&handle) == 1 {
            tracing::info!(event_id = %event, seq, "the event is unloaded");
            return true;
        }
        self.serving.shared.routes.put(event, Arc::clone(&handle));
        let losses = handle.ownership.losses();
        let raised = self.serving.batch.raise_epoch(event);
        if !raised.is_ok_and(|epoch| self.serving.serve(&handle, sale, epoch, losses)) {
            handle.set_service(Service::Serving);
            self.rebuilds.rebuild(&handle);
        }
        self.serving.shared.unloaded.forget(event);
        false
    }
}

/// What can be seen without a lock; [`Sale::is_over`] says the rest.
fn may_be_over(handle: &SaleHandle, now: Timestamp) -> bool {
    let has_ended = handle.info().is_some_and(|info| match info.phase {
        SalePhase::Unconfigured => false,
        SalePhase::Scheduled => info.config.sale_ends_at <= now,
        SalePhase::Cancelled | SalePhase::Retired => true,
    });
    has_ended && handle.service() == Service::Serving
}

//! Bringing an event into service, however it came: a route, an actor behind it, and what its state asks for outside. Must never
//! serve what was not read back from the journal, nor an event whose journal is damaged.

use crate::id::{Epoch, EventId};
use crate::ports::JournalReader;
use crate::runtime::actor::Host;
use crate::runtime::batch::OpenBatch;
use crate::runtime::effects::Effects;
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::service::Service;
use crate::runtime::turn::{SaleActor, TurnContext};
use crate::sale::Sale;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// What it takes to read events and to serve them.
pub(crate) struct Serving {
    pub(crate) shared: Arc<Shared>,
    pub(crate) turns: Arc<TurnContext>,
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) reader: Arc<dyn JournalReader>,
    pub(crate) host: Arc<dyn Host>,
}

impl Serving {
    /// A route to a sale of which that is committed.
    pub(crate) fn route(&self, event: EventId, committed: Sale) -> Arc<SaleHandle> {
        let seq = committed.seq().0;
        let handle = Arc::new(SaleHandle::new(event, Arc::clone(&self.shared), committed));
        handle.snapshot_at.store(seq, Ordering::Relaxed);
        self.shared.routes.put(event, Arc::clone(&handle));
        handle
    }

    /// A route and an actor for an event without facts.
    pub(crate) fn serve_new(&self, event: EventId, epoch: Epoch) -> Arc<SaleHandle> {
        let handle = self.route(event, Sale::new());
        self.serve(&handle, Sale::new(), epoch, 0);
        handle
    }

    /// Starts the actor behind a route, and what its state asks for outside; false when the event was lost to another owner
    /// since `losses` were counted.
    pub(crate) fn serve(&self, handle: &Arc<SaleHandle>, sale: Sale, epoch: Epoch, losses: u64) -> bool {
        if !handle.ownership.own(epoch, losses) {
            return false;
        }
        for buyer in sale.everyone_in_room() {
            self.shared.claims.confirm(buyer, handle.event());
        }
        handle.set_service(Service::Serving);
        let actor = SaleActor::new(Arc::clone(&self.turns), Arc::clone(handle), sale, epoch);
        handle.set_mailbox(Some(self.host.start(actor)));
        self.effects.reconcile(handle);
        true
    }

    /// The event's journal is damaged: it has a route, and is not served.
    pub(crate) fn damaged(&self, event: EventId, what: &str) {
        tracing::error!(event_id = %event, what, "the journal is damaged; the event is not served");
        let handle = self.shared.routes.get(event).unwrap_or_else(|| self.route(event, Sale::new()));
        *handle.damage.lock() = Some(what.to_owned());
        handle.set_mailbox(None);
        handle.set_service(Service::Damaged);
        self.shared.unloaded.forget(event);
    }
}

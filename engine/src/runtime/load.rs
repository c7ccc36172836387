//! Loading an event that was taken out of memory, when somebody asks for it: raises its epoch and reads it back, as a start does,
//! off the threads that answer. Must never serve what was not read back from the journal.

use crate::id::EventId;
use crate::ports::{JournalError, ReadError};
use crate::runtime::answer::Refusal;
use crate::runtime::recovery::{Recovery, recover};
use crate::runtime::serve::Serving;
use crate::runtime::unloaded::Moving;
use crate::trace::Scope;
use std::sync::Arc;

/// Loads events from now on, for as long as they are served.
pub(crate) fn load_on_request(serving: &Arc<Serving>) {
    let loader = Arc::downgrade(serving);
    serving.shared.unloaded.set_loader(move |moving| {
        let Some(serving) = loader.upgrade() else { return };
        let runtime = serving.shared.background.runtime().clone();
        runtime.spawn(Scope::carry_future(load_in_order(serving, moving)));
    });
}

async fn load_in_order(serving: Arc<Serving>, mut moving: Moving) {
    let event = moving.event();
    let Some(_slot) = serving.shared.unloaded.slot().await else { return };
    let loaded = tokio::task::spawn_blocking(Scope::carry(move || load_now(&serving, event))).await;
    moving.ended = loaded.unwrap_or(Err(Refusal::StorageUnavailable));
}

fn load_now(serving: &Serving, event: EventId) -> Result<(), Refusal> {
    let shared = &serving.shared;
    // While the journal fails an epoch would be waited for until it takes something again.
    if shared.is_stopping() || !shared.journal.is_writable(shared.clock.now()) {
        return Err(Refusal::StorageUnavailable);
    }
    let raised = serving.batch.raise_epoch(event);
    if matches!(raised, Err(JournalError::Elsewhere)) {
        shared.unloaded.lose(event);
    }
    let raised = raised.map_err(|error| ReadError::Unavailable(error.to_string()));
    match raised.and_then(|epoch| recover(&*serving.reader, event).map(|read| (read, epoch))) {
        Ok((Recovery { sale, traces, .. }, epoch)) => {
            tracing::info!(event_id = %event, seq = sale.seq().0, epoch = epoch.0, "the event is loaded again");
            shared.unloaded.count_load();
            let handle = serving.route(event, sale.clone());
            *handle.money_traces.lock() = traces;
            serving.serve(&handle, sale, epoch, 0);
            shared.unloaded.forget(event);
            Ok(())
        }
        Err(ReadError::Damaged { seq, reason, .. }) => {
            serving.damaged(event, &format!("seq {}: {reason}", seq.0));
            Ok(())
        }
        Err(error @ ReadError::Unavailable(_)) => {
            tracing::warn!(event_id = %event, %error, "the event is not loaded");
            Err(Refusal::StorageUnavailable)
        }
    }
}

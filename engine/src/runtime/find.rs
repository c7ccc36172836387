//! Finding an event's sale wherever it is, and waiting for one that has to be read into memory again. Must never walk all events.

use crate::id::EventId;
use crate::runtime::answer::Refusal;
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::unloaded::Moved;
use crate::sale::SaleSummary;
use std::sync::Arc;
use tokio::sync::watch;

/// An event that the engine knows.
#[derive(Clone, Debug)]
pub enum Found {
    /// In memory.
    Loaded(Arc<SaleHandle>),
    /// Over, and not in memory.
    Unloaded(Arc<SaleSummary>),
}

/// What somebody who wants an event in memory finds.
enum Wanted {
    Served(Arc<SaleHandle>),
    Moves(watch::Receiver<Moved>),
    Unknown,
}

/// What is known of an event, without loading it.
pub(crate) fn find(shared: &Shared, event: EventId) -> Option<Found> {
    let route = || shared.routes.get(event).map(Found::Loaded);
    let unloaded = || shared.unloaded.summary(event).map(Found::Unloaded);
    // It may be loaded between the first look and the second, and a route is there before its summary is gone.
    route().or_else(unloaded).or_else(route)
}

/// The route to an event's sale, if that is in memory; it stays there, since somebody asks for it.
pub(crate) fn served(shared: &Shared, event: EventId) -> Option<Arc<SaleHandle>> {
    let sale = shared.routes.get(event).filter(|sale| !sale.is_unloaded());
    if let Some(sale) = &sale {
        sale.touch();
    }
    sale
}

/// The route to an event's sale, which is loaded if it is not in memory; none if there is no such event. Cancel safe: a load
/// that has begun is carried out.
///
/// # Errors
/// [`Refusal::StorageUnavailable`] when it could not be read, or another node owns it; [`Refusal::Unserved`] when the engine is
/// stopping.
pub(crate) async fn load(shared: &Shared, event: EventId) -> Result<Option<Arc<SaleHandle>>, Refusal> {
    loop {
        let mut moves = match want(shared, event)? {
            Wanted::Served(sale) => return Ok(Some(sale)),
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

fn want(shared: &Shared, event: EventId) -> Result<Wanted, Refusal> {
    if let Some(sale) = served(shared, event) {
        return Ok(Wanted::Served(sale));
    }
    if let Some(moves) = shared.unloaded.moving(event) {
        return Ok(Wanted::Moves(moves));
    }
    if shared.is_stopping() {
        return Err(Refusal::Unserved);
    }
    let Some(moving) = shared.unloaded.begin_move(event) else { return want(shared, event) };
    // Nobody else moves it from here on.
    if let Some(sale) = served(shared, event) {
        return Ok(Wanted::Served(sale));
    }
    if shared.unloaded.summary(event).is_none() {
        return Ok(Wanted::Unknown);
    }
    let moves = moving.end();
    shared.unloaded.load(moving);
    Ok(Wanted::Moves(moves))
}

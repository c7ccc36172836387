//! What prevents the deletion of an account: tickets of future events, and charges whose outcome may still make one. Must never
//! rely on a table that lags behind.

use crate::http::{Context, Problem};
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::runtime::Found;
use onsale_engine::sale::SalePhase;

/// Events that the refusal names.
const NAMED: usize = 20;

/// Whether the buyer has no ticket of an event to come. A hold that is not being charged is none: nobody can pay it any more
/// once the account is gone, and it expires by itself.
///
/// # Errors
/// 409 `ACCOUNT_HAS_TICKETS`; 503 while the tables do not have what the buyer has received.
pub(super) async fn check(ctx: &Context, buyer: BuyerId) -> Result<(), Problem> {
    let app = &ctx.app;
    if !app.readers.read_your_writes.wait(buyer, app).await {
        return Err(Problem::storage_unavailable());
    }
    let holdings = app.search.holdings(buyer).await?;
    let mut events = Vec::new();
    for event in holdings.confirmed {
        if is_to_come(ctx, event).await? {
            events.push(event);
        }
    }
    if !events.is_empty() {
        let detail =
            "it has tickets of events to come; with ?force=true it is deleted all the same, and they stay valid";
        return Err(refused(detail, &events));
    }
    if !holdings.charging.is_empty() {
        let detail = "a payment of it is being charged; try again when that is settled, or with ?force=true";
        return Err(refused(detail, &holdings.charging));
    }
    Ok(())
}

/// Whether an event has neither ended nor been cancelled or deleted.
async fn is_to_come(ctx: &Context, event: EventId) -> Result<bool, Problem> {
    let phase = match ctx.app.engine.find(event) {
        Some(Found::Loaded(sale)) => Some(sale.phase()),
        Some(Found::Unloaded(summary)) => Some(summary.phase),
        None => None,
    };
    let is_over = phase.is_some_and(|phase| matches!(phase, SalePhase::Cancelled | SalePhase::Retired));
    let described = ctx.app.readers.cache.event(event).await?;
    let now = ctx.now();
    Ok(!is_over && described.is_some_and(|event| event.ends_at > now && !event.cancelled))
}

fn refused(detail: &'static str, events: &[EventId]) -> Problem {
    let events: Vec<String> = events.iter().take(NAMED).map(ToString::to_string).collect();
    Problem::conflict("ACCOUNT_HAS_TICKETS", detail).with("eventIds", events)
}

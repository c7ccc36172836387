//! Payments of all buyers, as lists by event, status and what a buyer knows of it. Must never be reached without the role of an
//! administrator.

use crate::http::{Context, Problem, Request, Response, response};
use crate::operators::forms::{AdminPaymentJson, BuyerJson, ListedPaymentJson};
use crate::operators::search::Listing;
use crate::operators::{reservations, search};
use crate::reservations::{PageJson, past_terms};
use onsale_engine::id::EventId;
use onsale_engine::money::Currency;
use onsale_engine::ports::search::{PaymentState, Search};
use onsale_engine::runtime::Found;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

const STATUSES: [(&str, PaymentState); 4] = [
    ("PENDING", PaymentState::Pending),
    ("SUCCESS", PaymentState::Success),
    ("FAILED", PaymentState::Failed),
    ("REFUNDED", PaymentState::Refunded),
];

pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let query = request.query();
    let Listing { event, status, text, page } = Listing::read(&query, &STATUSES)?;
    search::settle(&ctx, event).await?;
    let named = match text {
        Some(text) => Some(search::named(&ctx, event, text).await?),
        None => None,
    };
    let listed = ctx.app.search.find_payments(Search { event, status, named }, page).await?;
    let mut currencies: HashMap<EventId, Currency> = HashMap::new();
    for record in &listed.items {
        if let Entry::Vacant(unknown) = currencies.entry(record.event) {
            unknown.insert(currency(&ctx, record.event).await?);
        }
    }
    let buyers = reservations::buyers(&ctx, listed.items.iter().map(|record| record.view.buyer)).await?;
    let item = |record| {
        let (record, currency): (&onsale_engine::ports::rows::PaymentRecord, _) = record;
        ListedPaymentJson {
            payment: AdminPaymentJson::new(record, currency),
            event_id: record.event.to_string(),
            buyer: BuyerJson::new(record.view.buyer, &buyers),
        }
    };
    let known = listed.items.iter().filter_map(|record| Some((record, currencies.get(&record.event)?)));
    response::ok(&PageJson::of(known.map(item).collect(), page, listed.total))
}

/// The currency of an event, without its hall where that can be.
async fn currency(ctx: &Context, event: EventId) -> Result<Currency, Problem> {
    let known = match ctx.app.engine.find(event) {
        Some(Found::Loaded(sale)) => sale.view().config().map(|config| config.currency),
        Some(Found::Unloaded(summary)) => Some(summary.config.currency),
        None => None,
    };
    match known {
        Some(currency) => Ok(currency),
        None => Ok(past_terms(&ctx.app, event).await?.currency),
    }
}

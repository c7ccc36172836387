//! One's own payments: one of them from the owner's read view, or from the tables when it is no longer in memory; lists
//! from the tables, once they have what the buyer has received. Another buyer's is not found.

use crate::http::{Context, Mistakes, Problem, Request, Response, response};
use crate::payments::view::PaymentJson;
use crate::reservations::{PageJson, past_terms, unpayable};
use crate::sales;
use onsale_engine::id::{EventTag, PaymentId, ReservationId};
use onsale_engine::money::Currency;
use onsale_engine::runtime::{Found, SaleHandle};
use onsale_engine::sale::PaymentView;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A buyer's own payment.
pub(super) enum Own {
    /// In memory: it can be asked about and confirmed.
    Live(Arc<SaleHandle>, PaymentView),
    /// Over for so long that memory has let it go.
    Past(PaymentView, Currency),
}

impl Own {
    pub(super) fn view(&self) -> &PaymentView {
        match self {
            Self::Live(_, view) | Self::Past(view, _) => view,
        }
    }
}

/// The caller's payment of that id.
///
/// # Errors
/// 404 when there is none, or it is somebody else's.
pub(super) async fn find(ctx: &Context, id: PaymentId) -> Result<Own, Problem> {
    let buyer = ctx.buyer()?;
    if let Some(sale) = sales::by_tag(&ctx.app, id.tag()).await? {
        let found = sale.view().payment(id);
        if let Some(view) = found {
            return if view.buyer == buyer { Ok(Own::Live(sale, view)) } else { Err(sales::no_payment()) };
        }
    }
    let view = ctx.app.records.payment(id).await?;
    let view = view.filter(|view| view.buyer == buyer).ok_or_else(sales::no_payment)?;
    let currency = currency_of(ctx, &view).await?;
    Ok(Own::Past(view, currency))
}

/// The sale of the caller's reservation, if that can still be paid as far as memory knows.
///
/// # Errors
/// 404, or 409 `RESERVATION_NOT_PENDING` or `SALE_CANCELLED` when it was over long ago.
pub(super) async fn payable(ctx: &Context, id: ReservationId) -> Result<Arc<SaleHandle>, Problem> {
    let buyer = ctx.buyer()?;
    if let Some(sale) = sales::by_tag(&ctx.app, id.tag()).await? {
        let owner = sale.view().reservation(id).map(|view| view.buyer);
        if let Some(owner) = owner {
            return if owner == buyer { Ok(sale) } else { Err(sales::no_reservation()) };
        }
    }
    match ctx.app.records.reservation(id).await? {
        Some(record) if record.reservation.buyer == buyer => Err(unpayable(&ctx.app, &record)),
        Some(_) | None => Err(sales::no_reservation()),
    }
}

/// The currency of a payment: that of the sale which its id names, or else of its reservation's event.
async fn currency_of(ctx: &Context, view: &PaymentView) -> Result<Currency, Problem> {
    let event = ctx.app.engine.event_of(view.id.tag());
    let known = match event.and_then(|event| sales::authoritative(&ctx.app, event)) {
        Some(Found::Loaded(sale)) => sale.view().config().map(|config| config.currency),
        Some(Found::Unloaded(summary)) => Some(summary.config.currency),
        None => None,
    };
    if let Some(currency) = known {
        return Ok(currency);
    }
    let record = ctx.app.records.reservation(view.reservation).await?;
    let record = record.ok_or_else(Problem::storage_unavailable)?;
    Ok(past_terms(&ctx.app, record.event).await?.currency)
}

pub(super) async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    match find(&ctx, PaymentId(request.path_id("id")?)).await? {
        Own::Live(sale, view) => response::ok(&PaymentJson::new(&view, &super::currency(&sale)?)),
        Own::Past(view, currency) => response::ok(&PaymentJson::new(&view, &currency)),
    }
}

pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let page = request.query().page(&mut mistakes);
    mistakes.check()?;
    let buyer = ctx.buyer()?;
    ctx.app.readers.read_your_writes.wait(buyer, &ctx.app).await;
    let listed = ctx.app.records.payments(buyer, page).await?;
    let mut currencies: HashMap<EventTag, Currency> = HashMap::new();
    for view in &listed.items {
        if let Entry::Vacant(unknown) = currencies.entry(view.id.tag()) {
            unknown.insert(currency_of(&ctx, view).await?);
        }
    }
    let items: Vec<PaymentJson<'_>> =
        listed.items.iter().filter_map(|view| Some(PaymentJson::new(view, currencies.get(&view.id.tag())?))).collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

//! One's own reservations: one of them from the owner's read view, or from the tables when it is no longer in memory;
//! lists from the tables, once they have what the buyer has received. Another buyer's is not found.

use crate::app::App;
use crate::http::{Context, Mistakes, Problem, Request, Response, response};
use crate::reservations::view::{ReservationJson, Terms};
use crate::sales;
use onsale_engine::id::{BuyerId, EventId, ReservationId, Seq};
use onsale_engine::ports::catalogue::{Listed, Page};
use onsale_engine::ports::records::ReservationRecord;
use onsale_engine::runtime::{Found, SaleHandle};
use onsale_engine::sale::ReservationView;
use onsale_engine::trace::Scope;
use serde::Serialize;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// A buyer's own reservation.
pub(super) enum Own {
    /// In memory: it can be asked about and changed.
    Live(Arc<SaleHandle>, ReservationView),
    /// Over for so long that memory has let it go.
    Past(ReservationRecord),
}

/// A page of a list, as every list is answered.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PageJson<T> {
    items: Vec<T>,
    page: u32,
    size: u32,
    total_elements: u64,
}

impl<T> PageJson<T> {
    /// A page of things that are written down already, out of `total`.
    #[must_use]
    pub fn of(items: Vec<T>, page: Page, total: u64) -> Self {
        Self { items, page: page.number, size: page.size, total_elements: total }
    }
}

/// Records that the caller receives everything up to `seq`.
pub fn note(ctx: &Context, event: EventId, seq: Seq) -> Result<(), Problem> {
    let app = &ctx.app;
    app.readers.read_your_writes.record(ctx.buyer()?, event, seq, app.records.as_ref());
    Ok(())
}

/// The caller's reservation of that id.
///
/// # Errors
/// 404 when there is none, or it is somebody else's.
pub(super) async fn find(ctx: &Context, id: ReservationId) -> Result<Own, Problem> {
    let buyer = ctx.buyer()?;
    if let Some(sale) = sales::by_tag(&ctx.app, id.tag()).await? {
        let found = sale.view().reservation(id);
        if let Some(view) = found {
            return if view.buyer == buyer { Ok(Own::Live(sale, view)) } else { Err(sales::no_reservation()) };
        }
    }
    let record = ctx.app.records.reservation(id).await?;
    record.filter(|record| record.reservation.buyer == buyer).map(Own::Past).ok_or_else(sales::no_reservation)
}

pub(super) async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    let id = ReservationId(request.path_id("id")?);
    let (view, terms) = match find(&ctx, id).await? {
        Own::Live(sale, view) => (view, sales::terms(&sale).ok_or_else(Problem::not_found)?),
        Own::Past(record) => (record.reservation, past_terms(&ctx.app, record.event).await?),
    };
    response::ok(&ReservationJson::new(&view, &terms, &ctx.app.signer))
}

pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let page = request.query().page(&mut mistakes);
    mistakes.check()?;
    let listed = settled_list(&ctx, ctx.buyer()?, page).await?;
    let mut terms: HashMap<EventId, Terms> = HashMap::new();
    for record in &listed.items {
        if let Entry::Vacant(unknown) = terms.entry(record.event) {
            unknown.insert(past_terms(&ctx.app, record.event).await?);
        }
    }
    let items: Vec<ReservationJson<'_>> = listed
        .items
        .iter()
        .filter_map(|record| {
            Some(ReservationJson::new(&record.reservation, terms.get(&record.event)?, &ctx.app.signer))
        })
        .collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

async fn settled_list(ctx: &Context, buyer: BuyerId, page: Page) -> Result<Listed<ReservationRecord>, Problem> {
    ctx.app.readers.read_your_writes.wait(buyer, &ctx.app).await;
    Ok(ctx.app.records.reservations(buyer, page).await?)
}

/// What the seats of an event are called and cost: from its sale, or from the catalogue when it has none (any more).
///
/// # Errors
/// 503 when neither knows.
pub async fn past_terms(app: &App, event: EventId) -> Result<Terms, Problem> {
    // Of an event that was deleted the catalogue knows nothing any more.
    let (hash, config) = match app.engine.find(event) {
        Some(Found::Loaded(sale)) if sale.info().is_some() => {
            return sales::terms(&sale).ok_or_else(Problem::storage_unavailable);
        }
        Some(Found::Unloaded(summary)) => (summary.plan, summary.config.clone()),
        Some(Found::Loaded(_)) | None => {
            let described = app.readers.cache.event(event).await?;
            let described = described.ok_or_else(Problem::storage_unavailable)?;
            (described.plan, described.sale.clone())
        }
    };
    let plans = Arc::clone(&app.plans);
    let plan =
        tokio::task::spawn_blocking(Scope::carry(move || plans.plan(hash))).await.map_err(|_| Problem::internal())?;
    match plan {
        Ok(Some(plan)) => Ok(Terms::new(event, &plan, &config)),
        Ok(None) => Err(Problem::storage_unavailable()),
        Err(error) => {
            tracing::warn!(%error, "a plan could not be read");
            Err(Problem::storage_unavailable())
        }
    }
}

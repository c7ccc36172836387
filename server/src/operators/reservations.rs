//! Reservations of all buyers: lists by event, status and what a buyer knows of it, one of them with its history, and cancelling
//! one with a reason. Every answer is personal; must never be reached without the role of an administrator.

use crate::http::{Context, Mistakes, Object, Problem, Request, Response, response};
use crate::operators::forms::{AdminReservationJson, Beside, Buyers};
use crate::operators::search::Listing;
use crate::operators::{history, search};
use crate::reservations::{PageJson, Terms, note, past_terms};
use crate::sales;
use onsale_engine::id::{BuyerId, EventId, ReservationId};
use onsale_engine::limits::{MAX_MESSAGE_BYTES, MAX_SEATS_PER_HOLD};
use onsale_engine::plan::Plan;
use onsale_engine::ports::rows::PaymentRecord;
use onsale_engine::ports::search::Search;
use onsale_engine::runtime::{Found as Known, Refusal, SaleHandle};
use onsale_engine::sale::{
    Command, OperatorCancel, PaymentRow, Rejection, ReservationState, ReservationStatus, ReservationView,
};
use serde::Serialize;
use serde_json::Value;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

/// Words of a reservation's status.
pub(super) const STATUSES: [(&str, ReservationStatus); 4] = [
    ("PENDING", ReservationStatus::Pending),
    ("CONFIRMED", ReservationStatus::Confirmed),
    ("CANCELLED", ReservationStatus::Cancelled),
    ("EXPIRED", ReservationStatus::Expired),
];
/// Characters of a seat's id.
const SEAT_CHARS: std::ops::RangeInclusive<usize> = 1..=100;

/// Somebody's reservation.
enum Found {
    /// In memory.
    Live(Arc<SaleHandle>, ReservationView, Vec<PaymentRecord>),
    /// Of an event that is not in memory, or over for so long that memory has let it go.
    Past(EventId, ReservationView),
}

pub(super) async fn list(ctx: Context, request: Request) -> Result<Response, Problem> {
    let query = request.query();
    let Listing { event, status, text, page } = Listing::read(&query, &STATUSES)?;
    search::settle(&ctx, event).await?;
    let named = match text {
        Some(text) => Some(search::named_reservations(&ctx, event, text).await?),
        None => None,
    };
    let listed = ctx.app.search.find_reservations(Search { event, status, named }, page).await?;
    let mut terms: HashMap<EventId, Terms> = HashMap::new();
    for record in &listed.items {
        if let Entry::Vacant(unknown) = terms.entry(record.event) {
            unknown.insert(past_terms(&ctx.app, record.event).await?);
        }
    }
    let buyers = buyers(&ctx, listed.items.iter().map(|record| record.reservation.buyer)).await?;
    let ids = listed.items.iter().map(|record| record.reservation.id).collect();
    let payments = by_reservation(ctx.app.search.payments_of(ids).await?);
    let beside = Beside { buyers: &buyers, payments: &payments, signer: &ctx.app.signer };
    let items: Vec<AdminReservationJson<'_>> = listed
        .items
        .iter()
        .filter_map(|record| Some(AdminReservationJson::new(&record.reservation, terms.get(&record.event)?, &beside)))
        .collect();
    response::ok(&PageJson::of(items, page, listed.total))
}

/// The accounts of these buyers, as far as they have one.
pub(super) async fn buyers(ctx: &Context, ids: impl Iterator<Item = BuyerId>) -> Result<Buyers, Problem> {
    let mut ids: Vec<BuyerId> = ids.collect();
    ids.sort_unstable();
    ids.dedup();
    let accounts = ctx.app.accounts.by_ids(ids).await?;
    Ok(accounts.into_iter().map(|account| (account.id, account)).collect())
}

fn by_reservation(payments: Vec<PaymentRecord>) -> HashMap<ReservationId, Vec<PaymentRecord>> {
    let mut of: HashMap<ReservationId, Vec<PaymentRecord>> = HashMap::new();
    for payment in payments {
        of.entry(payment.view.reservation).or_default().push(payment);
    }
    of
}

/// The reservation of that id, without reading its event into memory.
///
/// # Errors
/// 404; 503 while nothing true is known of its event here.
async fn find(ctx: &Context, id: ReservationId) -> Result<Found, Problem> {
    let app = &ctx.app;
    let sale = match app.engine.event_of(id.tag()).and_then(|event| sales::authoritative(app, event)) {
        Some(Known::Loaded(sale)) => Some(sale),
        Some(Known::Unloaded(_)) => None,
        None => sales::by_tag(app, id.tag()).await?,
    };
    if let Some(sale) = sale
        && let Some(found) = live(&sale, id)
    {
        return Ok(found);
    }
    let record = app.records.reservation(id).await?.ok_or_else(Problem::not_found)?;
    Ok(Found::Past(record.event, record.reservation))
}

fn live(sale: &Arc<SaleHandle>, id: ReservationId) -> Option<Found> {
    let view = sale.view();
    let reservation = view.reservation(id)?;
    let event = sale.event();
    let record = |row: PaymentRow| {
        let PaymentRow { view, transaction, unknown, captured, .. } = row;
        PaymentRecord { event, view, transaction, unknown, captured }
    };
    let payments = view.payments_of(id).into_iter().map(record).collect();
    Some(Found::Live(Arc::clone(sale), reservation, payments))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithStoryJson<'a> {
    #[serde(flatten)]
    reservation: AdminReservationJson<'a>,
    #[serde(flatten)]
    story: history::StoryJson,
}

pub(super) async fn read(ctx: Context, request: Request) -> Result<Response, Problem> {
    let id = ReservationId(request.path_id("id")?);
    let found = find(&ctx, id).await?;
    let event = match &found {
        Found::Live(sale, ..) => sale.event(),
        Found::Past(event, _) => *event,
    };
    search::settle(&ctx, Some(event)).await?;
    let (view, terms, payments) = described(&ctx, found).await?;
    let story = history::of(&ctx, event, id, &terms).await?;
    let buyers = buyers(&ctx, std::iter::once(view.buyer)).await?;
    let payments = HashMap::from([(id, payments)]);
    let beside = Beside { buyers: &buyers, payments: &payments, signer: &ctx.app.signer };
    response::ok(&WithStoryJson { reservation: AdminReservationJson::new(&view, &terms, &beside), story })
}

/// A reservation with the names of its seats and its payments.
async fn described(ctx: &Context, found: Found) -> Result<(ReservationView, Terms, Vec<PaymentRecord>), Problem> {
    match found {
        Found::Live(sale, view, payments) => Ok((view, sales::terms(&sale).ok_or_else(Problem::not_found)?, payments)),
        Found::Past(event, view) => {
            let payments = ctx.app.search.payments_of(vec![view.id]).await?;
            Ok((view, past_terms(&ctx.app, event).await?, payments))
        }
    }
}

/// What an administrator asks for, read and valid.
struct Asked<'a> {
    seats: Option<Vec<&'a str>>,
    reason: Box<str>,
}

impl<'a> Asked<'a> {
    /// What `json` asks for; `by_seat` where seats may be named.
    fn read(json: &'a Value, by_seat: bool, mistakes: &mut Mistakes) -> Option<Self> {
        let body = Object::strict_root(json, mistakes);
        let reason = body.text(mistakes, "reason", 1..=MAX_MESSAGE_BYTES);
        if reason.is_some_and(|text| text.len() > MAX_MESSAGE_BYTES) {
            mistakes.add("reason", format!("at most {MAX_MESSAGE_BYTES} bytes"));
        }
        let seats = match by_seat && body.value("seatIds").is_some() {
            true => body.texts(mistakes, "seatIds", 1..=MAX_SEATS_PER_HOLD, SEAT_CHARS),
            false => None,
        };
        body.refuse_unknown(json, mistakes);
        Some(Self { seats, reason: reason?.into() })
    }
}

/// `POST /admin/reservations/{id}/refund`: what was paid is cancelled and given back.
pub(super) async fn refund(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let asked = Asked::read(&json.value, true, &mut mistakes);
    request.query().refuse_unknown(&mut mistakes, &[]);
    mistakes.check()?;
    let Some(Asked { seats, reason }) = asked else { return Err(mistakes.refuse()) };
    let id = ReservationId(request.path_id("id")?);
    let found = find(&ctx, id).await?;
    if let Some(seats) = seats {
        let (view, terms, _) = described(&ctx, found).await?;
        check_all_seats(&seats, &view, &terms.plan)?;
    }
    end(&ctx, id, reason, true).await
}

/// `POST /admin/reservations/{id}/cancel`: what is pending is released, what was paid refunded.
pub(super) async fn cancel(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let asked = Asked::read(&json.value, false, &mut mistakes);
    request.query().refuse_unknown(&mut mistakes, &[]);
    mistakes.check()?;
    let Some(Asked { reason, .. }) = asked else { return Err(mistakes.refuse()) };
    end(&ctx, ReservationId(request.path_id("id")?), reason, false).await
}

/// Whether these are all seats of the reservation.
///
/// # Errors
/// 400: a part of a reservation is not refunded by this call.
fn check_all_seats(seats: &[&str], view: &ReservationView, plan: &Plan) -> Result<(), Problem> {
    let own: Vec<&str> = view.seats.iter().filter(|seat| plan.has(**seat)).map(|seat| plan.seat_id(*seat)).collect();
    let mut mistakes = Mistakes::default();
    for (number, seat) in seats.iter().enumerate() {
        if !own.contains(seat) {
            mistakes.add(format!("seatIds[{number}]"), "not a seat of this reservation");
        } else if seats[..number].contains(seat) {
            mistakes.add(format!("seatIds[{number}]"), "the same seat twice");
        }
    }
    if mistakes.is_empty() && !own.iter().all(|seat| seats.contains(seat)) {
        let whole = "only a whole reservation can be refunded: leave seatIds out, or name all of its seats";
        mistakes.add("seatIds", whole);
    }
    mistakes.check()
}

async fn end(ctx: &Context, id: ReservationId, reason: Box<str>, only_paid: bool) -> Result<Response, Problem> {
    let by = ctx.buyer()?;
    let sale = sales::by_tag(&ctx.app, id.tag()).await?;
    let Some(sale) = sale.filter(|sale| live(sale, id).is_some()) else {
        return ended_long_ago(ctx, id, only_paid).await;
    };
    let command = Command::CancelByOperator(OperatorCancel { reservation: id, by, reason, only_paid });
    let answer = sale.submit(command, ctx.deadline).await.map_err(sales::refused)?;
    note(ctx, sale.event(), answer.seq)?;
    // What is committed is in the view before it is answered.
    let found = live(&sale, id).ok_or_else(Problem::storage_unavailable)?;
    if let Found::Live(_, view, _) = &found {
        // The buyer may list at once, informed by the operator: their lists wait for it, too.
        let app = &ctx.app;
        app.readers.read_your_writes.record(view.buyer, sale.event(), answer.seq, app.records.as_ref());
    }
    answered(ctx, found).await
}

/// Memory lets go of what has ended alone: there is nothing left to do.
async fn ended_long_ago(ctx: &Context, id: ReservationId, only_paid: bool) -> Result<Response, Problem> {
    let record = ctx.app.records.reservation(id).await?.ok_or_else(Problem::not_found)?;
    let view = record.reservation;
    match view.status {
        ReservationStatus::Pending | ReservationStatus::Confirmed => Err(Problem::storage_unavailable()),
        ReservationStatus::Cancelled | ReservationStatus::Expired if only_paid && view.confirmed_at.is_none() => {
            Err(sales::refused(Refusal::Rejected(Rejection::NotCancellable(ReservationState::of(&view)))))
        }
        ReservationStatus::Cancelled | ReservationStatus::Expired => {
            answered(ctx, Found::Past(record.event, view)).await
        }
    }
}

async fn answered(ctx: &Context, found: Found) -> Result<Response, Problem> {
    let (view, terms, payments) = described(ctx, found).await?;
    let buyers = buyers(ctx, std::iter::once(view.buyer)).await?;
    let payments = HashMap::from([(view.id, payments)]);
    let beside = Beside { buyers: &buyers, payments: &payments, signer: &ctx.app.signer };
    response::ok(&AdminReservationJson::new(&view, &terms, &beside))
}

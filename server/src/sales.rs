//! Finding the sale that a request is about, and what its answers have in common: the queue token, and refusals in
//! the words of the HTTP contract. Must never decide what only the sale may decide.

use crate::app::App;
use crate::http::{Context, Problem, Request, Stored, note_event};
use crate::reservations::Terms;
use http::StatusCode;
use onsale_engine::id::{BuyerId, EventId, EventTag, Slot};
use onsale_engine::plan::Plan;
use onsale_engine::runtime::{Refusal, SaleHandle};
use onsale_engine::sale::{PlaceStatus, Rejection, RequestKey, SalePhase, Seats};
use onsale_engine::time::Timestamp;
use std::sync::Arc;

/// The sale of an event that exists.
///
/// # Errors
/// 404; 503 while nothing true is known of it here: its journal is damaged, or another node owns it.
pub fn of(app: &App, event: EventId) -> Result<Arc<SaleHandle>, Problem> {
    note_event(event);
    readable(app, app.engine.sale(event))?.filter(|sale| stands(sale)).ok_or_else(Problem::not_found)
}

/// The sale that a reservation or payment of ours names by its tag; none for an id that no event here has. What memory has
/// let go of is then in the tables; what another node owns is not answered from them, because they may lag behind it.
///
/// # Errors
/// 503 while nothing true is known of its event here.
pub fn by_tag(app: &App, tag: EventTag) -> Result<Option<Arc<SaleHandle>>, Problem> {
    let sale = readable(app, app.engine.sale_by_tag(tag))?;
    if let Some(sale) = &sale {
        note_event(sale.event());
    }
    Ok(sale)
}

/// Every sale of which something true is known here.
#[must_use]
pub fn all(app: &App) -> Vec<Arc<SaleHandle>> {
    let mut sales = app.engine.sales();
    sales.retain(|sale| sale.is_readable());
    sales
}

/// Lets through what is true: a sale that is read here, or that there is none, if this node is the one that would have it.
fn readable(app: &App, sale: Option<Arc<SaleHandle>>) -> Result<Option<Arc<SaleHandle>>, Problem> {
    let is_true = match &sale {
        Some(sale) => sale.is_readable(),
        None => app.node.as_ref().is_none_or(|node| node.is_active()),
    };
    if is_true { Ok(sale) } else { Err(Problem::storage_unavailable()) }
}

fn stands(sale: &SaleHandle) -> bool {
    match sale.phase() {
        SalePhase::Scheduled | SalePhase::Cancelled => true,
        SalePhase::Unconfigured | SalePhase::Retired => false,
    }
}

/// What a sale's seats are called and cost.
#[must_use]
pub fn terms(sale: &SaleHandle) -> Option<Terms> {
    let standing = sale.standing()?;
    Some(Terms::new(sale.event(), &standing.plan, &standing.config))
}

/// What the sale remembers of this key. A stored answer is given before any limit is looked at.
#[must_use]
pub fn stored(sale: &SaleHandle, key: Option<RequestKey>) -> Stored {
    match key.and_then(|key| Some((key, sale.view().remembered(key.scope)?))) {
        None => Stored::Nothing,
        Some((key, (body, _))) if body == key.body => Stored::Answer,
        Some(_) => Stored::Other,
    }
}

/// The slot that the request's queue token names, if its seal fits this event and buyer. Whether it lives is the
/// sale's to say.
#[must_use]
pub fn slot(ctx: &Context, request: &Request, event: EventId, buyer: BuyerId) -> Option<Slot> {
    let token = request.header("x-queue-token")?;
    ctx.app.seals.read_queue_token(token, event, buyer).map(|(slot, _)| slot)
}

/// For reads that only admitted buyers may make: whether the token's slot lives, where one is needed. It does as long as a
/// pending hold keeps its buyer's place, also when no new hold is made with it any more.
///
/// # Errors
/// 401 `QUEUE_TOKEN_INVALID`.
pub fn check_admitted(sale: &SaleHandle, buyer: BuyerId, slot: Option<Slot>, now: Timestamp) -> Result<(), Problem> {
    let view = sale.view();
    if !view.steering().is_some_and(|view| view.steering.required) {
        return Ok(());
    }
    match view.place(buyer, now).map(|place| place.status) {
        Some(PlaceStatus::Active { slot: lives, .. }) if lives.is_some() && lives == slot => Ok(()),
        Some(_) | None => Err(Problem::queue_token_invalid()),
    }
}

/// Why a command was not taken, without a hall to name seats by.
#[must_use]
pub fn refused(refusal: Refusal) -> Problem {
    refusal_problem(refusal, None)
}

/// Why a command was not taken, seats named as in `plan`.
pub fn refused_at(plan: &Plan) -> impl Fn(Refusal) -> Problem + '_ {
    move |refusal| refusal_problem(refusal, Some(plan))
}

fn refusal_problem(refusal: Refusal, plan: Option<&Plan>) -> Problem {
    match refusal {
        Refusal::Rejected(rejection) => rejected(rejection, plan),
        Refusal::QueuedElsewhere => {
            Problem::conflict("ALREADY_QUEUED_ELSEWHERE", "you wait or shop at another event; leave it first")
        }
        Refusal::Overloaded => Problem::overloaded(),
        Refusal::StorageUnavailable | Refusal::Unserved => Problem::storage_unavailable(),
        Refusal::DeadlineExceeded => Problem::deadline_exceeded(),
    }
}

/// The table of the domain's reasons in HTTP: every one has its line.
fn rejected(rejection: Rejection, plan: Option<&Plan>) -> Problem {
    let not_found = |code, detail| Problem::new(StatusCode::NOT_FOUND, code, detail);
    match rejection {
        Rejection::KeyReused => Problem::key_reused(),
        Rejection::NoSale | Rejection::ReservationNotFound | Rejection::PaymentNotFound => Problem::not_found(),
        Rejection::SeatNotFound => not_found("SEAT_NOT_FOUND", "the hall has no such seat"),
        Rejection::CategoryNotFound => not_found("NOT_FOUND", "the hall has no such category"),
        Rejection::NoSlot => Problem::queue_token_invalid(),
        Rejection::TicketSpent => not_found("NOT_IN_QUEUE", "the ticket's place was given up or used"),
        Rejection::SaleNotOpen => Problem::conflict("SALE_NOT_OPEN", "it has not opened yet"),
        Rejection::SaleClosed => Problem::conflict("SALE_CLOSED", "it is over"),
        Rejection::SaleStarted => {
            Problem::conflict("SALE_STARTED", "once the sale has opened only title, artist and description change")
        }
        Rejection::HasReservations => {
            Problem::conflict("EVENT_HAS_RESERVATIONS", "seats are pending or confirmed; cancel the event instead")
        }
        Rejection::QueueFull => Problem::unavailable("QUEUE_FULL", "the line is full; try again later", 30),
        Rejection::NotPending => Problem::conflict("RESERVATION_NOT_PENDING", "it is not pending any more"),
        Rejection::HoldExpired => Problem::conflict("HOLD_EXPIRED", "the hold was over before it was paid"),
        Rejection::PaymentInProgress => Problem::conflict("PAYMENT_IN_PROGRESS", "a payment of it is being charged"),
        Rejection::AmountMismatch => {
            Problem::new(StatusCode::BAD_REQUEST, "AMOUNT_MISMATCH", "the amount is not what the seats cost")
        }
        Rejection::PaymentAttemptsExceeded => {
            Problem::conflict("PAYMENT_ATTEMPTS_EXCEEDED", "too many charges of this hold were declined")
        }
        Rejection::NotCancellable => Problem::conflict("NOT_CANCELLABLE", "it is not confirmed"),
        Rejection::CancellationClosed => {
            Problem::conflict("CANCELLATION_CLOSED", "it is too late: the day of the event has begun")
        }
        Rejection::SeatLimitExceeded { limit, has } => {
            let detail = format!("one buyer may have {limit} seats of this event, and you have {has}");
            Problem::conflict("SEAT_LIMIT_EXCEEDED", detail).with("limit", limit).with("has", has)
        }
        Rejection::HoldLimitExceeded { limit } => {
            let detail = format!("{limit} holds were made with this admission, which is as many as may be");
            Problem::conflict("HOLD_LIMIT_EXCEEDED", detail).with("limit", limit)
        }
        Rejection::SeatUnavailable { taken, alternative } => {
            let problem = Problem::conflict("SEAT_UNAVAILABLE", "some of the seats are taken");
            with_alternative(problem.with("unavailableSeatIds", seat_ids(&taken, plan)), alternative, plan)
        }
        Rejection::OrphanSeat { orphans, alternative } => {
            let problem = Problem::conflict("ORPHAN_SEAT", "a single seat would be left free");
            with_alternative(problem.with("orphanSeatIds", seat_ids(&orphans, plan)), alternative, plan)
        }
    }
}

/// 402: no money was taken, the hold stays until it expires.
#[must_use]
pub fn payment_declined() -> Problem {
    let detail = "the payment was not made; the seats stay held until the hold expires";
    Problem::new(StatusCode::PAYMENT_REQUIRED, "PAYMENT_DECLINED", detail)
}

fn with_alternative(problem: Problem, alternative: Option<Seats>, plan: Option<&Plan>) -> Problem {
    match alternative {
        Some(seats) => problem.with("alternative", serde_json::json!({ "seatIds": seat_ids(&seats, plan) })),
        None => problem,
    }
}

fn seat_ids(seats: &Seats, plan: Option<&Plan>) -> Vec<String> {
    let Some(plan) = plan else { return Vec::new() };
    seats.iter().filter(|seat| plan.has(**seat)).map(|seat| plan.seat_id(*seat).to_owned()).collect()
}

//! Finding the sale that a request is about, and what its answers have in common: the queue token, and refusals in
//! the words of the HTTP contract. Must never decide what only the sale may decide.

mod reasons;

use crate::app::App;
use crate::http::{Context, Problem, Request, Stored};
use crate::reservations::Terms;
use http::StatusCode;
use onsale_engine::id::{BuyerId, EventId, EventTag, Slot};
use onsale_engine::plan::Plan;
use onsale_engine::runtime::{Found, Refusal, SaleHandle};
use onsale_engine::sale::{PlaceStatus, Rejection, RequestKey, ReservationState, SalePhase, SaleSummary, Seats};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use std::sync::Arc;

/// The sale of an event that exists.
///
/// # Errors
/// 404; 503 while nothing true is known of it here: its journal is damaged, another node owns it, or it has left memory and
/// could not be read again.
pub async fn of(app: &App, event: EventId) -> Result<Arc<SaleHandle>, Problem> {
    Scope::note_event(event);
    let sale = match app.engine.sale(event) {
        Some(sale) => Some(sale),
        // What was taken off the catalogue is not loaded only to be not found.
        None if is_retired(authoritative(app, event).as_ref()) => None,
        None => app.engine.load(event).await.map_err(refused)?,
    };
    existing(app, sale)
}

/// What is known of an event that exists, for what need not have it in memory.
///
/// # Errors
/// As [`of`].
pub async fn known(app: &App, event: EventId) -> Result<Found, Problem> {
    Scope::note_event(event);
    match authoritative(app, event) {
        Some(Found::Unloaded(summary)) if exists(summary.phase) => Ok(Found::Unloaded(summary)),
        Some(Found::Loaded(_) | Found::Unloaded(_)) | None => of(app, event).await.map(Found::Loaded),
    }
}

/// An event of which this node is the authority, in memory or not.
#[must_use]
pub fn authoritative(app: &App, event: EventId) -> Option<Found> {
    app.engine.find(event).filter(|found| match found {
        Found::Loaded(sale) => sale.is_readable(),
        Found::Unloaded(_) => !may_be_old(app, event),
    })
}

/// Whether an event that is not in memory may have changed at another node. Loading it makes it ours again, or is answered 503.
fn may_be_old(app: &App, event: EventId) -> bool {
    !is_active(app) || app.engine.is_unloaded_elsewhere(event)
}

/// Whether this node is the one that would have an event.
fn is_active(app: &App) -> bool {
    app.node.as_ref().is_none_or(|node| node.is_active())
}

fn is_retired(found: Option<&Found>) -> bool {
    matches!(found, Some(Found::Unloaded(summary)) if !exists(summary.phase))
}

fn existing(app: &App, sale: Option<Arc<SaleHandle>>) -> Result<Arc<SaleHandle>, Problem> {
    readable(app, sale)?.filter(|sale| exists(sale.phase())).ok_or_else(no_event)
}

/// The sale that a reservation or payment of ours names by its tag; none for an id that no event here has. What is no
/// longer in memory is then in the tables; what another node owns is not answered from them, because they may lag behind it.
///
/// # Errors
/// 503 while nothing true is known of its event here.
pub async fn by_tag(app: &App, tag: EventTag) -> Result<Option<Arc<SaleHandle>>, Problem> {
    let Some(event) = app.engine.event_of(tag) else { return readable(app, None) };
    Scope::note_event(event);
    readable(app, app.engine.load(event).await.map_err(refused)?)
}

/// Every sale in memory of which something true is known here.
#[must_use]
pub fn all(app: &App) -> Vec<Arc<SaleHandle>> {
    let mut sales = app.engine.sales();
    sales.retain(|sale| sale.is_readable());
    sales
}

/// Every event that is over and not in memory, of which something true is known here.
#[must_use]
pub fn all_unloaded(app: &App) -> Vec<(EventId, Arc<SaleSummary>)> {
    let mut events = app.engine.unloaded();
    events.retain(|(event, _)| !may_be_old(app, *event));
    events
}

/// Lets through what is true: a sale that is read here, or that there is none, if this node is the one that would have it.
fn readable(app: &App, sale: Option<Arc<SaleHandle>>) -> Result<Option<Arc<SaleHandle>>, Problem> {
    let is_true = sale.as_ref().map_or_else(|| is_active(app), |sale| sale.is_readable());
    if is_true { Ok(sale) } else { Err(Problem::storage_unavailable()) }
}

fn exists(phase: SalePhase) -> bool {
    match phase {
        SalePhase::Scheduled | SalePhase::Cancelled => true,
        SalePhase::Unconfigured | SalePhase::Retired => false,
    }
}

/// What a sale's seats are called and cost.
#[must_use]
pub fn terms(sale: &SaleHandle) -> Option<Terms> {
    let info = sale.info()?;
    Some(Terms::new(sale.event(), &info.plan, &info.config))
}

/// The same of an event that need not be in memory.
///
/// # Errors
/// As [`of`]; 503 also when the hall cannot be read.
pub async fn terms_of(app: &App, event: EventId) -> Result<Terms, Problem> {
    match known(app, event).await? {
        Found::Loaded(sale) => terms(&sale).ok_or_else(Problem::not_found),
        Found::Unloaded(summary) => {
            let (plans, hash) = (Arc::clone(&app.plans), summary.plan);
            let plan = tokio::task::spawn_blocking(Scope::carry(move || plans.plan(hash)))
                .await
                .map_err(|_| Problem::internal())?;
            let plan = plan.map_err(|error| Problem::storage_unavailable().because(error))?;
            Ok(Terms::new(event, &plan.ok_or_else(Problem::storage_unavailable)?, &summary.config))
        }
    }
}

/// What the sale remembers of this key. A stored answer is given before any limit is checked.
#[must_use]
pub fn stored(sale: &SaleHandle, key: Option<RequestKey>) -> Stored {
    match key.and_then(|key| Some((key, sale.view().remembered(key.scope)?))) {
        None => Stored::Nothing,
        Some((key, (body, _))) if body == key.body => Stored::Answer,
        Some(_) => Stored::Other,
    }
}

/// The slot that the request's queue token names, if it was signed for this event and buyer. Whether it exists is the
/// sale's to say.
#[must_use]
pub fn slot(ctx: &Context, request: &Request, event: EventId, buyer: BuyerId) -> Option<Slot> {
    let token = request.header("x-queue-token")?;
    ctx.app.signer.read_queue_token(token, event, buyer).map(|(slot, _)| slot)
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
        Rejection::NoSale => no_event(),
        Rejection::ReservationNotFound => no_reservation(),
        Rejection::PaymentNotFound => no_payment(),
        Rejection::SeatNotFound => not_found("SEAT_NOT_FOUND", "the hall has no such seat"),
        Rejection::CategoryNotFound => {
            not_found("NOT_FOUND", "the hall has no such category").with("reason", "CATEGORY")
        }
        Rejection::SectionNotFound => {
            not_found("NOT_FOUND", "the hall has no section of that name").with("reason", "SECTION")
        }
        Rejection::SaleCancelled => {
            Problem::conflict("SALE_CANCELLED", "the event was cancelled; whatever was paid is given back")
        }
        Rejection::NoSlot => Problem::queue_token_invalid(),
        Rejection::TicketSpent => not_found("NOT_IN_QUEUE", "the ticket's place was given up or used"),
        Rejection::SaleNotOpen => Problem::conflict("SALE_NOT_OPEN", "it has not opened yet"),
        Rejection::SaleClosed(closed) => {
            let (reason, detail) = reasons::closed(closed);
            Problem::conflict("SALE_CLOSED", detail).with("reason", reason)
        }
        Rejection::SaleStarted => {
            Problem::conflict("SALE_STARTED", "once the sale has opened only title, artist and description change")
        }
        Rejection::HasReservations => {
            Problem::conflict("EVENT_HAS_RESERVATIONS", "seats are pending or confirmed; cancel the event instead")
        }
        Rejection::QueueFull => Problem::unavailable("QUEUE_FULL", "the line is full; try again later", 30),
        Rejection::NotPending(state) => over("RESERVATION_NOT_PENDING", state),
        Rejection::HoldExpired(state) => over("HOLD_EXPIRED", state),
        Rejection::PaymentInProgress => Problem::conflict("PAYMENT_IN_PROGRESS", "a payment of it is being charged"),
        Rejection::AmountMismatch => {
            Problem::new(StatusCode::BAD_REQUEST, "AMOUNT_MISMATCH", "the amount is not what the seats cost")
        }
        Rejection::PaymentAttemptsExceeded => {
            Problem::conflict("PAYMENT_ATTEMPTS_EXCEEDED", "too many charges of this hold were declined")
        }
        Rejection::NotCancellable(state) => over("NOT_CANCELLABLE", state),
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
        Rejection::CategoryNotForSale => {
            let problem = Problem::conflict("SEAT_UNAVAILABLE", "seats of this category are not for sale");
            problem.with("unavailableSeatIds", Vec::<String>::new()).with("reason", "SOLD_OUT").with("longestBlock", 0)
        }
        Rejection::SeatsNotForSale { seats } => {
            let detail = "their category has no price; only seats of a category that is for sale can be freed";
            Problem::conflict("SEAT_NOT_FOR_SALE", detail).with("seatIds", seat_ids(&seats, plan))
        }
        Rejection::BlockLimitExceeded { limit } => {
            let detail =
                format!("{limit} seats of one event may be blocked one by one; leave categories without a price");
            Problem::conflict("BLOCK_LIMIT_EXCEEDED", detail).with("limit", limit)
        }
        Rejection::PairSplit { missing, alternative } => {
            let problem =
                Problem::conflict("SEATS_SOLD_IN_PAIRS", "some of the seats are only sold with the one beside them");
            with_alternative(problem.with("missingSeatIds", seat_ids(&missing, plan)), alternative, plan)
        }
        Rejection::SeatUnavailable { reason, taken, longest_block, alternative } => {
            let (reason, detail) = reasons::unavailable(reason);
            let problem = Problem::conflict("SEAT_UNAVAILABLE", detail).with("reason", reason);
            let problem =
                problem.with("unavailableSeatIds", seat_ids(&taken, plan)).with("longestBlock", longest_block);
            with_alternative(problem, alternative, plan)
        }
        Rejection::OrphanSeat { orphans, alternative } => {
            let problem = Problem::conflict("ORPHAN_SEAT", "a single seat would be left free");
            with_alternative(problem.with("orphanSeatIds", seat_ids(&orphans, plan)), alternative, plan)
        }
    }
}

/// 409 of a reservation that is not as it must be.
fn over(code: &'static str, state: ReservationState) -> Problem {
    let (reason, detail) = reasons::state(state);
    Problem::conflict(code, detail).with("reason", reason)
}

/// 402: no money was taken, or it goes back; the hold stays until it expires. The reason says which of these it is.
#[must_use]
pub fn not_paid(reason: &'static str) -> Problem {
    let detail = reasons::not_paid(reason);
    Problem::new(StatusCode::PAYMENT_REQUIRED, "PAYMENT_DECLINED", detail).with("reason", reason)
}

/// 404: no such event, or one that was taken off the catalogue.
#[must_use]
pub fn no_event() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such event").with("reason", "EVENT")
}

/// 404: no such reservation, or another buyer's.
#[must_use]
pub fn no_reservation() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such reservation of yours").with("reason", "RESERVATION")
}

/// 404: no such payment, or another buyer's.
#[must_use]
pub fn no_payment() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such payment of yours").with("reason", "PAYMENT")
}

/// Says of a refused queue token what is the matter with it: whether it was sent, is one, and has ended.
#[must_use]
pub fn with_token_reason(problem: Problem, request: &Request, slot: Option<Slot>) -> Problem {
    if problem.code() != "QUEUE_TOKEN_INVALID" {
        return problem;
    }
    let is_sent = request.header("x-queue-token").is_some_and(|token| !token.is_empty());
    problem.with(
        "reason",
        match slot {
            Some(_) => "EXPIRED",
            None if is_sent => "INVALID",
            None => "MISSING",
        },
    )
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

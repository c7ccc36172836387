//! Seats and reservations over HTTP: what is free, holding, changing, giving back, cancelling, and one's own
//! reservations. Must never decide who gets a seat.

mod feed;
mod former_accounts;
mod live;
mod own;
mod past;
mod read_your_writes;
mod seats;
mod view;

pub use feed::Feeds;
pub use live::{CategoryJson, CountsJson, LiveSeats, categories_json};
pub use onsale_engine::ticket_number::{read_ticket_number, ticket_number};
pub use own::{PageJson, note, past_terms};
pub use past::unpayable;
pub use read_your_writes::{ReadYourWrites, until_written};
pub use view::{ReservationJson, Terms, status_word};

use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, Stored, read_id, read_json, response};
use crate::limits::Family;
use crate::sales;
use http::StatusCode;
use onsale_engine::id::{CategoryIndex, EventId, ReservationId, SeatIndex};
use onsale_engine::limits::MAX_SEATS_PER_HOLD;
use onsale_engine::plan::{Plan, SeatKind};
use onsale_engine::runtime::Refusal;
use onsale_engine::sale::{
    Among, ChangeHold, Command, Hold, Rejection, Reply, ReservationStatus, ReservationView, Seats, Selection,
};
use onsale_engine::text::{decomposed, is_composed, same};
use own::Own;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Characters of a seat's id or a category's name.
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=100;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::get("/api/v1/reservations/seats/{eventId}", seats::now).limited(Family::Read),
        Route::get("/api/v1/events/{id}/seats/stream", seats::follow).limited(Family::Status),
        Route::post("/api/v1/reservations/hold", hold).keyed().limited(Family::Hold),
        Route::put("/api/v1/reservations/hold/{id}", change).limited(Family::Hold),
        Route::delete("/api/v1/reservations/hold/{id}", release).limited(Family::Hold),
        Route::get("/api/v1/reservations", own::list).limited(Family::Read),
        Route::get("/api/v1/reservations/{id}", own::read).limited(Family::Read),
        Route::delete("/api/v1/reservations/{id}", cancel).limited(Family::Hold),
    ]
}

/// What a hold asks for, as the caller names it.
enum Wanted<'a> {
    These(Vec<&'a str>),
    Best { category: &'a str, quantity: u16, section: Option<&'a str>, kind: Option<SeatKind> },
}

/// A hold of named seats as nearly all callers ask for it, read without making a tree of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PlainHold<'a> {
    #[serde(borrow)]
    event_id: &'a str,
    #[serde(borrow)]
    seat_ids: Vec<&'a str>,
    category: Option<IgnoredAny>,
    quantity: Option<IgnoredAny>,
    section: Option<IgnoredAny>,
    kind: Option<IgnoredAny>,
}

impl<'a> PlainHold<'a> {
    /// `None` for anything that is unusual, or a mistake.
    fn read(body: &'a [u8]) -> Option<(EventId, Wanted<'a>)> {
        // What has to be composed is unusual, too; escapes cannot be borrowed.
        if !is_composed(body) {
            return None;
        }
        let Self { event_id, seat_ids, category: None, quantity: None, section: None, kind: None } =
            serde_json::from_slice(body).ok()?
        else {
            return None;
        };
        let fits = (1..=MAX_SEATS_PER_HOLD).contains(&seat_ids.len())
            && seat_ids.iter().all(|id| NAME_CHARS.contains(&id.chars().count()))
            && repeated(&seat_ids).next().is_none();
        fits.then_some((EventId(read_id(event_id)?), Wanted::These(seat_ids)))
    }
}

/// What the body asks for, whatever its shape; with every mistake named.
fn asked<'a>(json: &'a Value) -> Result<(EventId, Wanted<'a>), Problem> {
    let mut mistakes = Mistakes::default();
    let body = Object::root(json, &mut mistakes);
    let event = body.id(&mut mistakes, "eventId").map(EventId);
    let wanted = wanted(&body, &mut mistakes);
    mistakes.check()?;
    event.zip(wanted).ok_or_else(|| mistakes.refuse())
}

async fn hold(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let body = request.json_bytes().await?;
    let json;
    let (event, wanted) = match PlainHold::read(&body) {
        Some(plain) => plain,
        None => {
            json = read_json(&body)?;
            asked(&json)?
        }
    };

    let buyer = ctx.buyer()?;
    let key = ctx.request_key(&request, &body)?;
    let sale = sales::of(&ctx.app, event).await?;
    let terms = sales::terms(&sale).ok_or_else(Problem::not_found)?;
    let selection = selection(&terms.plan, &wanted)?;
    let reservation = ReservationId::new(event, ctx.now().unix_millis(), rand::random());
    let slot = sales::slot(&ctx, &request, event, buyer);
    let stored = sales::stored(&sale, key);
    ctx.looked_up(stored).await?;
    let quantity = match &selection {
        // A stored answer takes nothing.
        _ if stored == Stored::Answer => 0,
        Selection::These(seats) => seats.len(),
        Selection::Best { quantity, .. } => usize::from(*quantity),
    };
    let command = Command::Hold(Hold { reservation, buyer, selection, slot, key });
    let answer = former_accounts::take(&ctx, &sale, &terms, (buyer, quantity, 0), command).await;
    let answer = answer.map_err(|problem| sales::with_token_reason(problem, &request, slot))?;
    own::note(&ctx, event, answer.seq)?;
    let view = reservation_of(answer.reply)?;
    let location = format!("/api/v1/reservations/{}", view.id);
    response::created(location, &ReservationJson::new(&view, &terms, &ctx.app.signer))
}

fn wanted<'a>(body: &Object<'a>, mistakes: &mut Mistakes) -> Option<Wanted<'a>> {
    let best = ["category", "quantity", "section", "kind"].iter().any(|member| body.value(member).is_some());
    if body.value("seatIds").is_some() && best {
        mistakes.add("seatIds", "either seatIds, or category and quantity");
        return None;
    }
    if !best {
        return seat_ids(body, "seatIds", mistakes).map(Wanted::These);
    }
    let category = body.text(mistakes, "category", NAME_CHARS);
    let quantity = body.integer(mistakes, "quantity", 1..=MAX_SEATS_PER_HOLD as i64);
    let section = body.optional_text(mistakes, "section", NAME_CHARS);
    let kind = kind(body, mistakes);
    Some(Wanted::Best { category: category?, quantity: u16::try_from(quantity?).ok()?, section, kind })
}

/// The kind of seats asked for, if any is.
fn kind(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<SeatKind> {
    let word = body.optional_text(mistakes, "kind", NAME_CHARS)?;
    let kind = SeatKind::of_word(word);
    if kind.is_none() {
        mistakes.add(body.at("kind"), format!("one of {}", SeatKind::ALL.map(SeatKind::word).join(", ")));
    }
    kind
}

/// A list of seat ids, none of them twice.
fn seat_ids<'a>(body: &Object<'a>, member: &str, mistakes: &mut Mistakes) -> Option<Vec<&'a str>> {
    let ids = body.texts(mistakes, member, 1..=MAX_SEATS_PER_HOLD, NAME_CHARS)?;
    for number in repeated(&ids) {
        mistakes.add(format!("{}[{number}]", body.at(member)), "the same seat twice");
    }
    Some(ids)
}

/// Where seats stand that were named before.
fn repeated<'a>(ids: &'a [&str]) -> impl Iterator<Item = usize> + 'a {
    (1..ids.len()).filter(|&number| ids[..number].contains(&ids[number]))
}

fn selection(plan: &Plan, wanted: &Wanted<'_>) -> Result<Selection, Problem> {
    match wanted {
        Wanted::These(ids) => seats_of(plan, ids).map(Selection::These),
        Wanted::Best { category, quantity, section, kind } => {
            let found = plan.category(category).or_else(|| older_category(plan, category));
            let category = found.ok_or_else(|| sales::refused(Refusal::Rejected(Rejection::CategoryNotFound)))?;
            let no_section = || sales::refused(Refusal::Rejected(Rejection::SectionNotFound));
            let section = section.map(|name| plan.section(name).ok_or_else(no_section)).transpose()?;
            let among = Among { section, kind: *kind };
            Ok(Selection::Best { category, quantity: *quantity, among })
        }
    }
}

fn seats_of(plan: &Plan, ids: &[&str]) -> Result<Seats, Problem> {
    let mut seats = Seats::new();
    for id in ids {
        let found = match seats.last() {
            Some(&neighbour) => plan.seat_beside(neighbour, id),
            None => plan.seat(id),
        };
        match found.or_else(|| older_seat(plan, id)) {
            Some(seat) => seats.push(seat),
            None => return Err(unknown_seats(plan, ids)),
        }
    }
    Ok(seats)
}

/// A seat of a plan that was kept before ids were composed: what clients send is composed by now.
fn older_seat(plan: &Plan, id: &str) -> Option<SeatIndex> {
    let apart = decomposed(id);
    if *apart == *id { None } else { plan.seat(&apart) }
}

/// The same for a category.
fn older_category(plan: &Plan, name: &str) -> Option<CategoryIndex> {
    let at = plan.categories().iter().position(|category| same(&category.name, name))?;
    Some(CategoryIndex(u16::try_from(at).ok()?))
}

/// The refusal that names every seat which the plan does not have.
fn unknown_seats(plan: &Plan, ids: &[&str]) -> Problem {
    let unknown: Vec<&str> =
        ids.iter().copied().filter(|id| plan.seat(id).or_else(|| older_seat(plan, id)).is_none()).collect();
    sales::refused(Refusal::Rejected(Rejection::SeatNotFound)).with("unknownSeatIds", unknown)
}

async fn change(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let ids = seat_ids(&Object::root(&json.value, &mut mistakes), "newSeatIds", &mut mistakes);
    mistakes.check()?;
    let Some(ids) = ids else { return Err(mistakes.refuse()) };

    let (reservation, buyer) = (ReservationId(request.path_id("id")?), ctx.buyer()?);
    let (sale, own) = match own::find(&ctx, reservation).await? {
        Own::Live(sale, view) => (sale, view.seats.len()),
        Own::Past(record) => return Err(past::unchangeable(&ctx.app, &record)),
    };
    let terms = sales::terms(&sale).ok_or_else(Problem::not_found)?;
    let seats = seats_of(&terms.plan, &ids)?;
    let quantity = seats.len();
    let command = Command::ChangeHold(ChangeHold { buyer, reservation, seats });
    let answer = former_accounts::take(&ctx, &sale, &terms, (buyer, quantity, own), command).await?;
    own::note(&ctx, sale.event(), answer.seq)?;
    let view = reservation_of(answer.reply)?;
    response::ok(&ReservationJson::new(&view, &terms, &ctx.app.signer))
}

async fn release(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (reservation, buyer) = (ReservationId(request.path_id("id")?), ctx.buyer()?);
    match own::find(&ctx, reservation).await? {
        Own::Live(sale, _) => {
            let command = Command::ReleaseHold { buyer, reservation };
            let answer = sale.submit(command, ctx.deadline).await.map_err(sales::refused)?;
            own::note(&ctx, sale.event(), answer.seq)?;
        }
        Own::Past(record) => match record.reservation.status {
            ReservationStatus::Cancelled | ReservationStatus::Expired => {}
            ReservationStatus::Pending | ReservationStatus::Confirmed => {
                return Err(past::unreleasable(&record));
            }
        },
    }
    Ok(response::no_content())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CancelledJson<'a> {
    reservation_id: String,
    status: &'a str,
    refund_amount: i64,
    currency: &'a str,
}

async fn cancel(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (reservation, buyer) = (ReservationId(request.path_id("id")?), ctx.buyer()?);
    let sale = match own::find(&ctx, reservation).await? {
        Own::Live(sale, _) => sale,
        Own::Past(record) => return Err(past::uncancellable(&ctx.app, &record)),
    };
    let terms = sales::terms(&sale).ok_or_else(Problem::not_found)?;
    let command = Command::CancelReservation { buyer, reservation };
    let answer = sale.submit(command, ctx.deadline).await.map_err(sales::refused)?;
    own::note(&ctx, sale.event(), answer.seq)?;
    let cancelled = reservation_of(answer.reply)?;
    response::json(
        StatusCode::OK,
        &CancelledJson {
            reservation_id: cancelled.id.to_string(),
            status: view::status_word(cancelled.status),
            refund_amount: cancelled.refund.unwrap_or_default().0,
            currency: terms.currency.code(),
        },
    )
}

/// The reservation of an answer that must have one.
fn reservation_of(reply: Reply) -> Result<ReservationView, Problem> {
    match reply {
        Reply::Reservation(view) => Ok(*view),
        Reply::Done | Reply::Payment(_) | Reply::Place(_) | Reply::Steering(_) => {
            tracing::error!("a sale answered something else than a reservation");
            Err(Problem::internal())
        }
    }
}

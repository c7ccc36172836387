//! The waiting room over HTTP: enter, status, stream, leave. Reads come from the committed view and take no hop into
//! the sale. Must never decide who is let in.

mod draw;
mod hub;
mod notice;
mod pace;
mod place;

pub use draw::{DrawJson, ProofJson, StepJson};
pub use hub::Hubs;
pub use notice::{Notice, Notices};
pub use pace::Paces;
pub use place::{PlaceJson, Room};

use crate::http::{Context, Mistakes, Object, Problem, Request, Response, Route, event_stream, response};
use crate::limits::Family;
use crate::sales;
use http::StatusCode;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::runtime::{Answer, Refusal, SaleHandle};
use onsale_engine::sale::{Command, PlaceStatus, PlaceView, Reply};
use onsale_engine::time::Timestamp;
use std::sync::Arc;

/// A stream that broke off comes back after so long, and up to twice that, so that not all come back at once.
const RETRY_MILLIS: u32 = 2000;

/// The routes of this family.
#[must_use]
pub fn routes() -> Vec<Route> {
    vec![
        Route::post("/api/v1/queue/enter", enter).limited(Family::Enter),
        Route::get("/api/v1/queue/status", status).limited(Family::Status),
        Route::get("/api/v1/queue/stream", follow).limited(Family::Status),
        Route::delete("/api/v1/queue/leave", leave).limited(Family::Enter),
        Route::get("/api/v1/queue/proof", draw::proof).limited(Family::Read),
        Route::get("/api/v1/events/{id}/draw", draw::published).public(),
    ]
}

async fn enter(ctx: Context, mut request: Request) -> Result<Response, Problem> {
    let json = request.json().await?;
    let mut mistakes = Mistakes::default();
    let Some(event) = Object::root(&json.value, &mut mistakes).id(&mut mistakes, "eventId").map(EventId) else {
        return Err(mistakes.refuse());
    };
    let (buyer, sale) = (ctx.buyer()?, sales::of(&ctx.app, event).await?);
    if let Some(place) = restored(&ctx, &sale, &request, buyer).await? {
        let room = room_of(&ctx, &sale).ok_or_else(Problem::not_found)?;
        return Ok(place_answer(&ctx, &place, &room, ctx.now()));
    }
    let answer = sale.submit(Command::Enter { buyer }, ctx.deadline).await;
    let answer = answer.map_err(|refusal| refused_entry(&ctx, buyer, refusal))?;
    let Reply::Place(place) = answer.reply else { return Err(not_in_queue()) };
    let now = ctx.now();
    heartbeat(&sale, &place, now);
    let room = room_of(&ctx, &sale).ok_or_else(Problem::not_found)?;
    Ok(place_answer(&ctx, &place, &room, now))
}

fn place_answer(ctx: &Context, place: &PlaceView, room: &Room, now: Timestamp) -> Response {
    response::ok_text(PlaceJson::new(place, room, &ctx.app.signer, now).to_json())
}

/// Names the event that the buyer is in, unless only another node knows it.
fn refused_entry(ctx: &Context, buyer: BuyerId, refusal: Refusal) -> Problem {
    let is_elsewhere = refusal == Refusal::QueuedElsewhere;
    let problem = sales::refused(refusal);
    match ctx.app.engine.claims().of(buyer).filter(|_| is_elsewhere) {
        Some(event) => problem.with("eventId", event.to_string()),
        None => problem,
    }
}

async fn status(ctx: Context, request: Request) -> Result<Response, Problem> {
    let (sale, buyer) = (sale_of_query(&ctx, &request).await?, ctx.buyer()?);
    // Read once: an answer is of one instant, and a clock costs more than a rank.
    let mut now = ctx.now();
    let (place, room) = match look_up(&ctx, &sale, buyer, now) {
        Ok(found) => found,
        Err(lost) => {
            restored(&ctx, &sale, &request, buyer).await?.ok_or(lost)?;
            now = ctx.now();
            look_up(&ctx, &sale, buyer, now)?
        }
    };
    heartbeat(&sale, &place, now);
    Ok(place_answer(&ctx, &place, &room, now))
}

async fn follow(ctx: Context, request: Request) -> Result<Response, Problem> {
    let sale = sale_of_query(&ctx, &request).await?;
    let now = ctx.now();
    let (place, room) = look_up(&ctx, &sale, ctx.buyer()?, now)?;
    heartbeat(&sale, &place, now);
    let first = PlaceJson::new(&place, &room, &ctx.app.signer, now).to_json();
    let first = String::from_utf8(first).map_err(|error| Problem::internal().because(error))?;
    let (hubs, caller) = (&ctx.app.readers.hubs, *ctx.caller()?);
    let subscription = hubs.listen(&ctx.app, &sale, caller, (place, &room));
    let retry = RETRY_MILLIS + rand::random_range(0..=RETRY_MILLIS);
    event_stream::events(&ctx, |events| async move {
        events.retry_after_millis(retry).await;
        events.send(None, &first).await;
        loop {
            match subscription.next().await {
                Ok(event) => events.send_written(event).await,
                Err(end) => return end,
            }
        }
    })
}

async fn leave(ctx: Context, request: Request) -> Result<Response, Problem> {
    let mut mistakes = Mistakes::default();
    let event = request.query().required_id(&mut mistakes, "eventId");
    let Some(event) = event.map(EventId) else { return Err(mistakes.refuse()) };
    // Also of an event that was deleted meanwhile, which would keep its buyers from every other one.
    let buyer = ctx.buyer()?;
    let sale = ctx.app.engine.load(event).await.map_err(sales::refused)?.ok_or_else(Problem::not_found)?;
    sale.submit(Command::Leave { buyer }, ctx.deadline).await.map_err(sales::refused)?;
    Ok(response::no_content())
}

/// The place that the request's ticket puts its buyer back into, if they have none and the engine has lost it. A ticket
/// that is forged, foreign, spent or of no use is as if there were none.
///
/// # Errors
/// Those of a sale that takes no commands now: the ticket may be shown again.
async fn restored(
    ctx: &Context,
    sale: &Arc<SaleHandle>,
    request: &Request,
    buyer: BuyerId,
) -> Result<Option<PlaceView>, Problem> {
    let Some(ticket) = request.header("x-queue-ticket") else { return Ok(None) };
    let read = ctx.app.signer.read_place_ticket(ticket, sale.event(), buyer);
    let fits = |(_, incarnation): &(_, u64)| *incarnation == sale.view().incarnation();
    let Some((ordinal, _)) = read.filter(fits) else { return Ok(None) };
    if !sale.view().restores(ordinal) || sale.view().is_in_room(buyer) {
        return Ok(None);
    }
    match sale.submit(Command::Restore { buyer, ordinal }, ctx.deadline).await {
        Ok(Answer { reply: Reply::Place(place), .. }) => {
            heartbeat(sale, &place, ctx.now());
            Ok(Some(place))
        }
        Ok(_) | Err(Refusal::Rejected(_) | Refusal::QueuedElsewhere) => Ok(None),
        Err(refusal) => Err(sales::refused(refusal)),
    }
}

async fn sale_of_query(ctx: &Context, request: &Request) -> Result<Arc<SaleHandle>, Problem> {
    let mut mistakes = Mistakes::default();
    match request.query().required_id(&mut mistakes, "eventId") {
        Some(event) => sales::of(&ctx.app, EventId(event)).await,
        None => Err(mistakes.refuse()),
    }
}

/// The buyer's place and its surroundings, as committed.
fn look_up(ctx: &Context, sale: &SaleHandle, buyer: BuyerId, now: Timestamp) -> Result<(PlaceView, Room), Problem> {
    let view = sale.view();
    let place = view.place(buyer, now).ok_or_else(not_in_queue)?;
    let room = Room::of(sale.event(), &view, &ctx.app.readers.paces, now).ok_or_else(Problem::not_found)?;
    Ok((place, room))
}

fn room_of(ctx: &Context, sale: &SaleHandle) -> Option<Room> {
    Room::of(sale.event(), &sale.view(), &ctx.app.readers.paces, ctx.now())
}

/// A poll says that somebody in the line is still there.
fn heartbeat(sale: &SaleHandle, place: &PlaceView, now: Timestamp) {
    match place.status {
        PlaceStatus::PreQueue { .. } | PlaceStatus::Waiting { .. } => sale.heartbeat(place.buyer, now),
        PlaceStatus::Active { .. } | PlaceStatus::Expired => {}
    }
}

fn not_in_queue() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "NOT_IN_QUEUE", "no place of yours at this event")
}

//! A venue's time zone is corrected: until when tickets of its coming events can be cancelled follows from it, as a fact of each
//! sale. Must never move that under somebody who has bought, unless an administrator says so and why.
//!
//! The venue's row is written first, with who did it and whether it was forced; then each event, one after the other. What a crash
//! leaves undone the next start finishes, and so does the same call again.

use crate::app::App;
use crate::catalogue::sync_with_sale::follow_sale;
use crate::http::Problem;
use crate::member_changes::MemberChange;
use crate::sales;
use crate::time::midnight_before;
use http::StatusCode;
use jiff::tz::TimeZone;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::catalogue::{Event, EventOrder, EventQuery, Page, Venue};
use onsale_engine::ports::shared::Described;
use onsale_engine::runtime::{Found, Refusal};
use onsale_engine::sale::{Command, MoveCancellation, Rejection, Schedule};
use onsale_engine::time::Timestamp;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Events of one page of a venue's: so many are in memory at a time.
const AT_ONCE: u32 = 100;
/// Events that a refusal names; it says how many there are.
const NAMED: usize = 100;
/// How long the sale of an event is waited for when the storage makes trouble.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Changes of a venue that are searched for the last one of its zone.
const MOST_READ: u32 = 1000;

/// The member of a venue that says where its clocks stand.
const ZONE: &str = "timeZone";
/// The members of the record of a change that was forced.
pub(super) const FORCE: &str = "force";
pub(super) const REASON: &str = "reason";

/// Who moves what follows from a zone, and whether also where somebody has bought.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) by: BuyerId,
    pub(super) force: bool,
    pub(super) reason: Option<String>,
}

/// Events that somebody has bought under the old zone.
#[derive(Default)]
struct Bought {
    named: Vec<Value>,
    count: u64,
}

impl Bought {
    fn add(&mut self, event: &Event) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.push(json!({ "id": event.id.to_string(), "title": event.title }));
        }
    }

    fn check(self, detail: &'static str) -> Result<(), Problem> {
        if self.count == 0 {
            return Ok(());
        }
        let problem = Problem::new(StatusCode::CONFLICT, "VENUE_HAS_RESERVATIONS", detail);
        Err(problem.with("eventCount", self.count).with("events", self.named))
    }
}

/// Refuses a change of zone while seats of an event that is not over, and that it concerns, are pending or confirmed.
///
/// # Errors
/// 409 `VENUE_HAS_RESERVATIONS`, naming the events; 503 while one cannot be asked.
pub(super) async fn check(app: &App, venue: &Venue) -> Result<(), Problem> {
    let (zone, mut bought) = (zone_of(venue), Bought::default());
    let mut page = 0;
    while let Some(events) = events_of(app, venue, page).await? {
        for event in &events {
            if is_stale(app, event, &zone).await? == Some(true) {
                bought.add(event);
            }
        }
        page += 1;
    }
    bought.check("tickets were bought under the old zone; with ?force=true and a reason their buyers get other times")
}

/// Moves what follows from the venue's zone, which is written already, for every event that is not over. Said again, it does
/// what is left.
///
/// # Errors
/// 409 `VENUE_HAS_RESERVATIONS` for those that were bought since it was checked; 504 when some may be left.
pub(super) async fn follow(app: &Arc<App>, venue: &Venue, order: &Order) -> Result<(), Problem> {
    let (zone, mut bought) = (zone_of(venue), Bought::default());
    let mut page = 0;
    while let Some(events) = events_of(app, venue, page).await.map_err(left_over)? {
        for event in &events {
            match follow_one(app, event, &zone, order).await {
                Ok(()) => {}
                Err(Refused::Bought) => bought.add(event),
                Err(Refused::Otherwise(problem)) => return Err(left_over(problem)),
            }
        }
        page += 1;
    }
    bought.check("the zone is changed; these were bought meanwhile and keep their times, unless it is forced")
}

/// Venues that were read, for a pass through all events.
#[derive(Default)]
pub struct Venues(HashMap<Uuid, Option<Venue>>);

impl Venues {
    async fn of(&mut self, app: &App, id: Uuid) -> Result<Option<&Venue>, Problem> {
        Ok(match self.0.entry(id) {
            Entry::Occupied(known) => known.into_mut().as_ref(),
            Entry::Vacant(place) => place.insert(app.catalogue.venue(id).await?).as_ref(),
        })
    }
}

/// At a start: what a crash left undone of one event. Nothing where the zone was changed without force and somebody has bought.
///
/// # Errors
/// When the sale or the storage does not answer.
pub(super) async fn finish(app: &Arc<App>, event: &Event, venues: &mut Venues) -> Result<(), Problem> {
    let (id, Some(venue)) = (event.id, venues.of(app, event.venue).await?) else { return Ok(()) };
    let zone = zone_of(venue);
    if is_stale(app, event, &zone).await?.is_none() {
        return Ok(());
    }
    let order = last_order(app, venue).await?.unwrap_or(Order { by: event.created_by, force: false, reason: None });
    match follow_one(app, event, &zone, &order).await {
        Ok(()) => {
            tracing::info!(event_id = %id, zone = %venue.time_zone, "the end of cancelling follows the venue's zone");
            Ok(())
        }
        Err(Refused::Bought) => {
            tracing::warn!(event_id = %id, zone = %venue.time_zone, "the end of cancelling is another zone's: seats were bought under it");
            Ok(())
        }
        Err(Refused::Otherwise(problem)) => Err(problem),
    }
}

/// Who changed the venue's zone last, as the record of it says.
async fn last_order(app: &App, venue: &Venue) -> Result<Option<Order>, Problem> {
    let changes = app.catalogue.changes(Described::Venue(venue.id), MOST_READ).await?;
    let order = changes.iter().find_map(|change| {
        let members: Vec<MemberChange> = serde_json::from_str(&change.members).unwrap_or_default();
        let to = |name: &str| members.iter().find(|change| change.member == name).map(|change| &change.to);
        let force = to(FORCE).is_some_and(|to| *to == Value::Bool(true));
        // A change that was forced once more names no zone: it is the same.
        (force || to(ZONE).is_some()).then(|| Order {
            by: change.by,
            force,
            reason: to(REASON).and_then(Value::as_str).map(str::to_owned),
        })
    });
    Ok(order)
}

enum Refused {
    /// Seats are pending or confirmed.
    Bought,
    Otherwise(Problem),
}

async fn follow_one(app: &Arc<App>, event: &Event, zone: &TimeZone, order: &Order) -> Result<(), Refused> {
    let _changes = app.event_changes.lock().await;
    match is_stale(app, event, zone).await.map_err(Refused::Otherwise)? {
        None => return Ok(()),
        Some(true) if !order.force => return Err(Refused::Bought),
        Some(_) => {}
    }
    let sale = sales::of(app, event.id).await.map_err(Refused::Otherwise)?;
    let midnight = midnight_of(event, sale.view().schedule(), zone);
    let Order { by, force: even_if_bought, reason } = order.clone();
    let command = MoveCancellation { midnight, even_if_bought, by, reason: reason.map(Box::from) };
    match sale.ask(Command::MoveCancellation(command), app.clock.now() + TIMEOUT).await {
        Ok(_) => follow_sale(app, event.id).await.map_err(Refused::Otherwise),
        Err(Refusal::Rejected(Rejection::HasReservations)) => Err(Refused::Bought),
        // It was cancelled, or taken off the catalogue, meanwhile.
        Err(Refusal::Rejected(Rejection::SaleCancelled | Rejection::NoSale)) => Ok(()),
        Err(refusal) => Err(Refused::Otherwise(sales::refused(refusal))),
    }
}

/// Whether cancelling ends at another time than it would by this zone, and then whether seats are pending or confirmed.
async fn is_stale(app: &App, event: &Event, zone: &TimeZone) -> Result<Option<bool>, Problem> {
    let midnight = midnight_before(event.starts_at, zone);
    let sale = match sales::known(app, event.id).await {
        Ok(Found::Unloaded(summary)) if summary.config.cancellation_closes_at == midnight => return Ok(None),
        Ok(Found::Loaded(sale)) => sale,
        Ok(Found::Unloaded(_)) => sales::of(app, event.id).await?,
        Err(problem) if problem.status() == StatusCode::NOT_FOUND => return Ok(None),
        Err(problem) => return Err(problem),
    };
    let view = sale.view();
    let Some(config) = view.config() else { return Ok(None) };
    let midnight = midnight_of(event, view.schedule(), zone);
    let is_so = view.cancellation_by(midnight) == config.cancellation_closes_at;
    Ok((!is_so).then(|| view.has_live_reservations()))
}

/// The sale knows of a postponement before the row does.
fn midnight_of(event: &Event, schedule: Option<&Schedule>, zone: &TimeZone) -> Timestamp {
    midnight_before(schedule.map_or(event.starts_at, |has| has.starts_at), zone)
}

/// A page of the events of a venue that are not over; `None` behind the last one.
async fn events_of(app: &App, venue: &Venue, page: u32) -> Result<Option<Vec<Event>>, Problem> {
    let now: Timestamp = app.clock.now();
    let query = EventQuery {
        status: None,
        text: None,
        from: None,
        to: None,
        venue: Some(venue.id),
        order: EventOrder::CreatedAt,
        descending: false,
        page: Page { number: page, size: AT_ONCE },
        now,
    };
    let mut events = app.catalogue.events(&query).await?.items;
    if events.is_empty() {
        return Ok(None);
    }
    events.retain(|event| !event.cancelled && event.ends_at > now);
    Ok(Some(events))
}

fn zone_of(venue: &Venue) -> TimeZone {
    TimeZone::get(&venue.time_zone).unwrap_or(TimeZone::UTC)
}

/// The venue's row is changed already, so "not done" would be wrong: asking again does the rest.
fn left_over(problem: Problem) -> Problem {
    if problem.status().is_server_error() { Problem::deadline_exceeded().because(problem.code()) } else { problem }
}

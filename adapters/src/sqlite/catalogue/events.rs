//! Events in SQLite, and their lists. Every function is one step inside the caller's transaction.

use super::super::library::{Failure, uuid_at};
use super::done::Done;
use super::halls;
use super::listing::Listing;
use crate::sale_form;
use onsale_engine::id::{BuyerId, EventId, PlanHash};
use onsale_engine::money::Amount;
use onsale_engine::ports::catalogue::{Event, EventOrder, EventQuery, EventStatus, Listed};
use onsale_engine::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Row, Transaction, named_params};
use uuid::Uuid;

const SELECT: &str = "e.id, e.title, e.artist, e.description, e.hall_id, e.venue_id, v.name, e.starts_at, e.ends_at, \
     e.sale, e.plan, e.created_by, e.created_at, e.cancelled, e.min_price, e.max_price \
     FROM events e JOIN venues v ON v.id = e.venue_id";

/// Whether the projection has seen every seat of `e` sold. Worded as the index `seats_gone` is.
const ALL_SOLD: &str = "(SELECT count(*) >= e.capacity AND sum(s.status = 'SOLD') > 0 FROM seats s
    WHERE s.event_id = e.id AND (s.status = 'SOLD' OR s.status = 'BLOCKED'))";

pub(super) fn insert(transaction: &Transaction<'_>, event: &Event) -> Result<Done, Failure> {
    let mut statement = transaction.prepare_cached("SELECT 1 FROM events WHERE tag = ?1")?;
    if statement.exists([tag(event)])? {
        return Ok(Done::InUse("event tag"));
    }
    write(transaction, event)?;
    Ok(Done::Yes)
}

/// Everything but its id, its maker and when it was made.
pub(super) fn update(transaction: &Transaction<'_>, event: &Event) -> Result<bool, Failure> {
    let mut statement = transaction.prepare_cached("SELECT 1 FROM events WHERE id = ?1 AND deleted_at IS NULL")?;
    let exists = statement.exists([event.id.0.into_bytes()])?;
    if exists {
        write(transaction, event)?;
    }
    Ok(exists)
}

/// Writes a row, or what may change of the row that is there.
fn write(transaction: &Transaction<'_>, event: &Event) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO events (id, tag, title, title_key, artist, search, description, hall_id, venue_id, plan,
                 capacity, starts_at, ends_at, sale_starts_at, sale_ends_at, sale, min_price, max_price, cancelled,
                 created_by, created_at)
             VALUES (:id, :tag, :title, :title_key, :artist, :search, :description, :hall_id, :venue_id, :plan,
                 :capacity, :starts_at, :ends_at, :sale_starts_at, :sale_ends_at, :sale, :min_price, :max_price,
                 :cancelled, :created_by, :created_at)
             ON CONFLICT DO UPDATE SET title = excluded.title, title_key = excluded.title_key,
                 artist = excluded.artist, search = excluded.search, description = excluded.description,
                 hall_id = excluded.hall_id, venue_id = excluded.venue_id, plan = excluded.plan,
                 capacity = excluded.capacity, starts_at = excluded.starts_at, ends_at = excluded.ends_at,
                 sale_starts_at = excluded.sale_starts_at, sale_ends_at = excluded.sale_ends_at,
                 sale = excluded.sale, min_price = excluded.min_price, max_price = excluded.max_price,
                 cancelled = excluded.cancelled",
        )?
        .execute(named_params! {
            ":id": event.id.0.into_bytes(),
            ":tag": tag(event),
            ":title": event.title,
            ":title_key": event.title.to_lowercase(),
            ":artist": event.artist,
            ":search": searched(event),
            ":description": event.description,
            ":hall_id": event.hall.into_bytes(),
            ":venue_id": event.venue.into_bytes(),
            ":plan": event.plan.0,
            ":capacity": capacity(transaction, event.hall)?,
            ":starts_at": event.starts_at.0,
            ":ends_at": event.ends_at.0,
            ":sale_starts_at": event.sale.sale_starts_at.0,
            ":sale_ends_at": event.sale.sale_ends_at.0,
            ":sale": sale_form::write(&event.sale)?,
            ":min_price": event.price_range.0.0,
            ":max_price": event.price_range.1.0,
            ":cancelled": event.cancelled,
            ":created_by": event.created_by.0.into_bytes(),
            ":created_at": event.created_at.0,
        })?;
    Ok(())
}

fn tag(event: &Event) -> i64 {
    // 40 bits.
    event.id.tag().0 as i64
}

pub(super) fn one(transaction: &Transaction<'_>, id: EventId) -> Result<Option<Event>, Failure> {
    transaction
        .prepare_cached(&format!("SELECT {SELECT} WHERE e.id = ?1 AND e.deleted_at IS NULL"))?
        .query_and_then([id.0.into_bytes()], event)?
        .next()
        .transpose()
}

/// In the order in which they were made.
pub(super) fn all(transaction: &Transaction<'_>) -> Result<Vec<Event>, Failure> {
    transaction
        .prepare_cached(&format!("SELECT {SELECT} WHERE e.deleted_at IS NULL ORDER BY e.created_at, e.id"))?
        .query_and_then([], event)?
        .collect()
}

pub(super) fn list(transaction: &Transaction<'_>, query: &EventQuery) -> Result<Listed<Event>, Failure> {
    let mut filter = Filter { conditions: vec!["e.deleted_at IS NULL".to_owned()], values: Vec::new() };
    if let Some(venue) = query.venue {
        filter.add("e.venue_id = ?", [Value::Blob(venue.as_bytes().to_vec())]);
    }
    if let Some(from) = query.from {
        filter.add("e.starts_at >= ?", [Value::Integer(from.0)]);
    }
    if let Some(to) = query.to {
        filter.add("e.starts_at < ?", [Value::Integer(to.0)]);
    }
    if let Some(text) = &query.text {
        filter.add("instr(e.search, ?) > 0", [Value::Text(text.to_lowercase())]);
    }
    if let Some(status) = query.status {
        filter.add_status(status, query.now);
    }
    let direction = if query.descending { "DESC" } else { "ASC" };
    let column = match query.order {
        EventOrder::StartsAt => "starts_at",
        EventOrder::CreatedAt => "created_at",
        EventOrder::Title => "title_key",
    };
    let listing = Listing {
        select: SELECT,
        condition: &filter.conditions.join(" AND "),
        values: filter.values,
        order: &format!("e.{column} {direction}, e.id {direction}"),
        page: query.page,
    };
    listing.read(transaction, event)
}

struct Filter {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Filter {
    fn add<const N: usize>(&mut self, condition: &str, values: [Value; N]) {
        self.conditions.push(condition.to_owned());
        self.values.extend(values);
    }

    /// The ladder of states, as it is computed for one event.
    fn add_status(&mut self, status: EventStatus, now: Timestamp) {
        if status == EventStatus::Cancelled {
            return self.add("e.cancelled = 1", []);
        }
        self.add("e.cancelled = 0", []);
        let now = Value::Integer(now.0);
        match status {
            EventStatus::Cancelled => {}
            EventStatus::Upcoming => self.add("e.sale_starts_at > ?", [now]),
            EventStatus::Ended => self.add("e.sale_starts_at <= ? AND e.sale_ends_at <= ?", [now.clone(), now]),
            EventStatus::OnSale | EventStatus::SoldOut => {
                self.add("e.sale_starts_at <= ? AND e.sale_ends_at > ?", [now.clone(), now]);
                let wanted = if status == EventStatus::SoldOut { "" } else { "NOT " };
                self.add(&format!("{wanted}{ALL_SOLD}"), []);
            }
        }
    }
}

/// What a search reads; the unit separator keeps a find from reaching over both.
fn searched(event: &Event) -> String {
    format!("{}\u{1f}{}", event.title, event.artist).to_lowercase()
}

fn capacity(transaction: &Transaction<'_>, hall: Uuid) -> Result<u32, Failure> {
    halls::capacity(transaction, hall)?.ok_or_else(|| Failure::new("the hall has just been deleted"))
}

fn event(row: &Row<'_>) -> Result<Event, Failure> {
    let sale: String = row.get(9)?;
    Ok(Event {
        id: EventId(uuid_at(row, 0)?),
        title: row.get(1)?,
        artist: row.get(2)?,
        description: row.get(3)?,
        hall: uuid_at(row, 4)?,
        venue: uuid_at(row, 5)?,
        venue_name: row.get(6)?,
        starts_at: Timestamp(row.get(7)?),
        ends_at: Timestamp(row.get(8)?),
        sale: sale_form::read(&sale)?,
        plan: PlanHash(row.get(10)?),
        created_by: BuyerId(uuid_at(row, 11)?),
        created_at: Timestamp(row.get(12)?),
        cancelled: row.get(13)?,
        price_range: (Amount(row.get(14)?), Amount(row.get(15)?)),
    })
}

//! Events in Postgres, and their lists. Every function is one statement, inside the caller's transaction where there is
//! one.

use super::super::failure::Failure;
use super::super::records::{listed, page_of};
use super::super::session::{Params, Session};
use super::super::values::At;
use super::halls::plan_hash;
use crate::sale_form;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::money::Amount;
use onsale_engine::ports::catalogue::{Event, EventOrder, EventQuery, EventStatus, Listed};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

const COLUMNS: &str = "e.id, e.title, e.artist, e.description, e.hall_id, e.venue_id, v.name, e.starts_at, e.ends_at,
    e.sale, e.plan, e.created_by, e.created_at, e.cancelled, e.min_price, e.max_price, e.title_key";
const TABLES: &str = "events AS e JOIN venues AS v ON v.id = e.venue_id";

/// A hall that has just been deleted gives no row; it stays until the transaction ends.
const INSERT: &str = "WITH hall AS (SELECT capacity FROM halls WHERE id = $2 AND deleted_at IS NULL FOR SHARE)
    INSERT INTO events (id, hall_id, venue_id, plan, title, title_key, artist, search, description, starts_at, ends_at,
        sale_starts_at, sale_ends_at, sale, min_price, max_price, cancelled, tag, created_by, created_at, capacity)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, hall.capacity
    FROM hall ON CONFLICT DO NOTHING";
const HALL: &str = "SELECT 1 FROM halls WHERE id = $1 AND deleted_at IS NULL";
const UPDATE: &str =
    "UPDATE events SET hall_id = $2, venue_id = $3, plan = $4, title = $5, title_key = $6, artist = $7,
        search = $8, description = $9, starts_at = $10, ends_at = $11, sale_starts_at = $12, sale_ends_at = $13,
        sale = $14, min_price = $15, max_price = $16, cancelled = $17,
        capacity = (SELECT capacity FROM halls WHERE id = $2)
    WHERE id = $1 AND deleted_at IS NULL";

/// Whether the projection has seen every seat of `e` sold.
const ALL_SOLD: &str = "(SELECT count(*) >= e.capacity AND count(*) FILTER (WHERE s.status = 'SOLD') > 0
    FROM seats AS s WHERE s.event_id = e.id AND s.status IN ('SOLD', 'BLOCKED'))";

/// An event's members, as parameters 1 to 20 of the statements above; `UPDATE` has no use for the last three.
struct Written {
    title_key: String,
    search: String,
    sale: String,
    tag: i64,
}

impl Written {
    fn of(event: &Event) -> Result<Self, Failure> {
        Ok(Self {
            title_key: event.title.to_lowercase(),
            search: searched(event),
            sale: sale_form::write(&event.sale)?,
            // 40 bits.
            tag: event.id.tag().0 as i64,
        })
    }
}

/// False if its tag is in use.
pub(super) async fn insert(session: &Session, event: &Event) -> Result<bool, Failure> {
    let written = Written::of(event)?;
    let inserted = write(session, INSERT, event, &written, true).await?;
    if inserted == 0 && session.query_opt(HALL, &[&event.hall]).await?.is_none() {
        return Err(Failure::new("the hall has just been deleted"));
    }
    Ok(inserted == 1)
}

/// Everything but its id, its maker and when it was made.
pub(super) async fn update(session: &Session, event: &Event) -> Result<bool, Failure> {
    Ok(write(session, UPDATE, event, &Written::of(event)?, false).await? == 1)
}

async fn write(session: &Session, sql: &str, event: &Event, written: &Written, whole: bool) -> Result<u64, Failure> {
    let (plan, sale) = (&event.plan.0[..], &event.sale);
    let times = [event.starts_at, event.ends_at, sale.sale_starts_at, sale.sale_ends_at, event.created_at].map(At);
    let members: Params<'_> = &[
        &event.id.0,
        &event.hall,
        &event.venue,
        &plan,
        &event.title,
        &written.title_key,
        &event.artist,
        &written.search,
        &event.description,
        &times[0],
        &times[1],
        &times[2],
        &times[3],
        &written.sale,
        &event.price_range.0.0,
        &event.price_range.1.0,
        &event.cancelled,
        &written.tag,
        &event.created_by.0,
        &times[4],
    ];
    let members = if whole { members } else { &members[..17] };
    Ok(session.execute(sql, members).await?)
}

pub(super) async fn one(session: &Session, id: EventId) -> Result<Option<Event>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE e.id = $1 AND e.deleted_at IS NULL");
    session.query_opt(&sql, &[&id.0]).await?.map(|row| event(&row, 0)).transpose()
}

/// In the order in which they were made.
pub(super) async fn all(session: &Session) -> Result<Vec<Event>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM {TABLES} WHERE e.deleted_at IS NULL ORDER BY e.created_at, e.id");
    session.query(&sql, &[]).await?.iter().map(|row| event(row, 0)).collect()
}

pub(super) async fn list(session: &Session, query: &EventQuery) -> Result<Listed<Event>, Failure> {
    let mut filter = Filter { conditions: vec!["e.deleted_at IS NULL".to_owned()], values: Vec::new() };
    if let Some(venue) = query.venue {
        filter.add("e.venue_id = ?", venue);
    }
    if let Some(from) = query.from {
        filter.add("e.starts_at >= ?", At(from));
    }
    if let Some(to) = query.to {
        filter.add("e.starts_at < ?", At(to));
    }
    if let Some(text) = &query.text {
        filter.add("strpos(e.search, ?) > 0", text.to_lowercase());
    }
    if let Some(status) = query.status {
        filter.add_status(status, At(query.now));
    }
    let direction = if query.descending { "DESC" } else { "ASC" };
    let column = match query.order {
        EventOrder::StartsAt => "e.starts_at",
        EventOrder::CreatedAt => "e.created_at",
        EventOrder::Title => "e.title_key",
    };
    let order = [(column, direction), ("e.id", direction)];
    let limit = filter.values.len() + 1;
    let sql = page_of(COLUMNS, TABLES, &filter.conditions.join(" AND "), &order, limit);
    let (size, skipped) = (i64::from(query.page.size), i64::from(query.page.number) * i64::from(query.page.size));
    let mut values: Vec<&(dyn ToSql + Sync)> = filter.values.iter().map(|value| &**value as _).collect();
    values.extend([&size as &(dyn ToSql + Sync), &skipped]);
    listed(&session.query(&sql, &values).await?, |row| event(row, 1))
}

struct Filter {
    conditions: Vec<String>,
    values: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Filter {
    /// `condition` with a `?` for the value; the same one for each `?`.
    fn add(&mut self, condition: &str, value: impl ToSql + Sync + Send + 'static) {
        self.values.push(Box::new(value));
        self.conditions.push(condition.replace('?', &format!("${}", self.values.len())));
    }

    /// The ladder of states, as it is computed for one event.
    fn add_status(&mut self, status: EventStatus, now: At) {
        if status == EventStatus::Cancelled {
            return self.conditions.push("e.cancelled".to_owned());
        }
        self.conditions.push("NOT e.cancelled".to_owned());
        match status {
            EventStatus::Cancelled => {}
            EventStatus::Upcoming => self.add("e.sale_starts_at > ?", now),
            EventStatus::Ended => self.add("e.sale_starts_at <= ? AND e.sale_ends_at <= ?", now),
            EventStatus::OnSale | EventStatus::SoldOut => {
                self.add("e.sale_starts_at <= ? AND e.sale_ends_at > ?", now);
                let wanted = if status == EventStatus::SoldOut { "" } else { "NOT " };
                self.conditions.push(format!("{wanted}{ALL_SOLD}"));
            }
        }
    }
}

/// What a search reads; the unit separator keeps a find from reaching over both.
fn searched(event: &Event) -> String {
    format!("{}\u{1f}{}", event.title, event.artist).to_lowercase()
}

fn event(row: &Row, first: usize) -> Result<Event, Failure> {
    let at = |column: usize| row.get::<_, At>(first + column).0;
    Ok(Event {
        id: EventId(row.get(first)),
        title: row.get(first + 1),
        artist: row.get(first + 2),
        description: row.get(first + 3),
        hall: row.get(first + 4),
        venue: row.get(first + 5),
        venue_name: row.get(first + 6),
        starts_at: at(7),
        ends_at: at(8),
        sale: sale_form::read(row.get(first + 9))?,
        plan: plan_hash(row, first + 10)?,
        created_by: BuyerId(row.get(first + 11)),
        created_at: at(12),
        cancelled: row.get(first + 13),
        price_range: (Amount(row.get(first + 14)), Amount(row.get(first + 15))),
    })
}

//! Port `RecordSearch` on SQLite: what operators look up in the projections. Every statement reads as much of an index
//! as it answers; a list's total is counted by the projector. Only reads.

use super::library::{Failure, uuid_at};
use super::projection::{SqliteRecords, offset};
use super::tables::{self, PAYMENT_COLUMNS};
use crate::status_names;
use crate::stored::decode_seqs;
use onsale_engine::id::{BuyerId, EventId, ReservationId, Seq, TicketSerial};
use onsale_engine::ports::catalogue::{Listed, Page};
use onsale_engine::ports::records::ReservationRecord;
use onsale_engine::ports::rows::PaymentRecord;
use onsale_engine::ports::search::{ExportPart, Holdings, Named, PaymentState, RecordSearch, Search};
use onsale_engine::ports::{Later, StoreError};
use onsale_engine::sale::{ReservationStatus, ReservationView};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Transaction, params, params_from_iter};
use uuid::Uuid;

const RESERVATION_WORDS: [&str; 4] = ["PENDING", "CONFIRMED", "CANCELLED", "EXPIRED"];
const PAYMENT_WORDS: [&str; 4] = ["PENDING", "SUCCESS", "FAILED", "REFUNDED"];

const BY_TICKET: &str = "SELECT id FROM reservations WHERE event_id = ?1 AND ticket_number = ?2";
const BY_SEAT: &str = "SELECT reservation_id FROM seats WHERE event_id = ?1 AND seat_id = ?2
    AND reservation_id IS NOT NULL";
const STORY: &str = "SELECT story FROM reservations WHERE id = ?1
    UNION ALL SELECT story FROM payments WHERE reservation_id = ?1";
/// The index by user is what makes it few rows; the plus keeps SQLite from the one by status.
const CONFIRMED: &str = "SELECT DISTINCT event_id FROM reservations WHERE user_id = ?1 AND +status = 'CONFIRMED'";
const CHARGING: &str = "SELECT DISTINCT event_id FROM payments
    WHERE user_id = ?1 AND (stage = 'CHARGING' OR stage = 'UNKNOWN')";

/// A statement and its parameters while it is put together.
#[derive(Default)]
struct Statement {
    sql: String,
    params: Vec<Value>,
}

impl Statement {
    /// Adds a parameter; answers its name.
    fn param(&mut self, value: impl Into<Value>) -> String {
        self.params.push(value.into());
        format!("?{}", self.params.len())
    }

    fn id(&mut self, id: Uuid) -> String {
        self.param(id.into_bytes().to_vec())
    }

    /// A list of ids in brackets; none is in an empty one.
    fn ids(&mut self, ids: impl Iterator<Item = Uuid>) -> String {
        let names: Vec<String> = ids.map(|id| self.id(id)).collect();
        format!("({})", names.join(", "))
    }
}

/// Which rows of `table` a page of a search consists of, newest first: `id IN (…)` and its parameters.
fn page_of(table: &str, names: &[&'static str; 4], search: &Search<&'static str>, page: Page) -> Statement {
    let mut statement = Statement::default();
    let (skip, size) = (offset(page), u64::from(page.size));
    if let Some(named) = &search.named {
        let named = among(&mut statement, table, named);
        let narrowed = narrowed(&mut statement, search);
        let (size, skip) = (statement.param(size.cast_signed()), statement.param(skip.cast_signed()));
        statement.sql = format!(
            "id IN (SELECT id FROM {table} WHERE ({named}){narrowed} ORDER BY created_at DESC, id DESC
             LIMIT {size} OFFSET {skip})"
        );
        return statement;
    }
    // One read of an index for each status, each no longer than the page needs.
    let deepest = statement.param(skip.saturating_add(size).cast_signed());
    let event = search.event.map(|event| statement.id(event.0));
    let wanted = search.status.as_ref().map_or(&names[..], std::slice::from_ref);
    let branch = |word: &&str| {
        let event = event.as_ref().map_or_else(String::new, |event| format!("event_id = {event} AND "));
        format!(
            "SELECT * FROM (SELECT id, created_at FROM {table} WHERE {event}status = '{word}'
             ORDER BY created_at DESC, id DESC LIMIT {deepest})"
        )
    };
    let branches: Vec<String> = wanted.iter().map(branch).collect();
    let (size, skip) = (statement.param(size.cast_signed()), statement.param(skip.cast_signed()));
    statement.sql = format!(
        "id IN (SELECT id FROM ({}) ORDER BY created_at DESC, id DESC LIMIT {size} OFFSET {skip})",
        branches.join(" UNION ALL "),
    );
    statement
}

/// That a row is one of the named ones, each alternative with an index of its own.
fn among(statement: &mut Statement, table: &str, named: &Named) -> String {
    let Named { reservations, payments, buyers } = named;
    let (reservations, payments, buyers): (Vec<_>, Vec<_>, Vec<_>) = (
        reservations.iter().map(|id| id.0).collect(),
        payments.iter().map(|id| id.0).collect(),
        buyers.iter().map(|id| id.0).collect(),
    );
    let alternatives = match table {
        "reservations" => vec![("id", reservations), ("user_id", buyers)],
        _ => vec![("id", payments), ("reservation_id", reservations), ("user_id", buyers)],
    };
    let alternatives = alternatives.into_iter().filter(|(_, ids)| !ids.is_empty());
    let alternatives: Vec<String> =
        alternatives.map(|(column, ids)| format!("{column} IN {}", statement.ids(ids.into_iter()))).collect();
    alternatives.join(" OR ")
}

/// Whether nothing can be among the named ones; a condition without alternatives would read everything.
fn is_nothing(table: &str, named: Option<&Named>) -> bool {
    named.is_some_and(|Named { reservations, payments, buyers }| {
        reservations.is_empty() && buyers.is_empty() && (table == "reservations" || payments.is_empty())
    })
}

fn narrowed(statement: &mut Statement, search: &Search<&'static str>) -> String {
    let event = search.event.map(|event| format!(" AND event_id = {}", statement.id(event.0)));
    let status = search.status.map(|word| format!(" AND status = '{word}'"));
    event.unwrap_or_default() + &status.unwrap_or_default()
}

/// How many rows a search has in all.
fn total(connection: &Connection, table: &str, search: &Search<&'static str>) -> rusqlite::Result<u64> {
    let mut statement = Statement::default();
    let sql = match &search.named {
        Some(named) => {
            let named = among(&mut statement, table, named);
            format!("SELECT count(*) FROM {table} WHERE ({named}){}", narrowed(&mut statement, search))
        }
        None => {
            let what = if table == "reservations" { "RESERVATION" } else { "PAYMENT" };
            let narrowed = narrowed(&mut statement, search);
            format!("SELECT coalesce(sum(count), 0) FROM record_counts WHERE what = '{what}'{narrowed}")
        }
    };
    let counted = connection.prepare_cached(&sql)?.query_row(params_from_iter(statement.params), |row| row.get(0));
    counted.map(i64::cast_unsigned)
}

fn reservations(
    connection: &Connection,
    search: &Search<&'static str>,
    page: Page,
) -> rusqlite::Result<Listed<ReservationRecord>> {
    if is_nothing("reservations", search.named.as_ref()) {
        return Ok(Listed { items: Vec::new(), total: 0 });
    }
    let Statement { sql, params } = page_of("reservations", &RESERVATION_WORDS, search, page);
    let clause = format!("WHERE {sql} ORDER BY created_at DESC, id DESC");
    let items = tables::reservations(connection, &clause, params_from_iter(params))?;
    Ok(Listed { items: items.into_iter().map(record).collect(), total: total(connection, "reservations", search)? })
}

fn payments(
    connection: &Connection,
    search: &Search<&'static str>,
    page: Page,
) -> rusqlite::Result<Listed<PaymentRecord>> {
    if is_nothing("payments", search.named.as_ref()) {
        return Ok(Listed { items: Vec::new(), total: 0 });
    }
    let Statement { sql, params } = page_of("payments", &PAYMENT_WORDS, search, page);
    let sql = format!("SELECT {PAYMENT_COLUMNS} FROM payments WHERE {sql} ORDER BY created_at DESC, id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let items = statement.query_map(params_from_iter(params), tables::payment_record)?;
    let items = items.collect::<rusqlite::Result<_>>()?;
    Ok(Listed { items, total: total(connection, "payments", search)? })
}

fn record((event, reservation): (EventId, ReservationView)) -> ReservationRecord {
    ReservationRecord { event, reservation }
}

/// A piece of an export: of each status as much of the index as could be needed, the oldest of it.
fn export(connection: &Connection, part: &ExportPart) -> rusqlite::Result<Vec<ReservationRecord>> {
    let (sql, params) = export_statement(part);
    let clause = format!("WHERE {sql} ORDER BY created_at, id");
    Ok(tables::reservations(connection, &clause, params_from_iter(params))?.into_iter().map(record).collect())
}

fn export_statement(part: &ExportPart) -> (String, Vec<Value>) {
    let mut statement = Statement::default();
    let event = statement.id(part.event.0);
    let until = statement.param(part.until.0);
    let limit = statement.param(i64::from(part.limit));
    let after = part.after.map(|(at, id)| {
        let (at, id) = (statement.param(at.0), statement.id(id.0));
        format!(" AND (created_at, id) > ({at}, {id})")
    });
    let after = after.unwrap_or_default();
    let branch = |word: &str| {
        format!(
            "SELECT * FROM (SELECT id, created_at FROM reservations WHERE event_id = {event} AND status = '{word}'
             AND created_at <= {until}{after} ORDER BY created_at, id LIMIT {limit})"
        )
    };
    let branches: Vec<String> = match part.status {
        Some(status) => vec![branch(status_names::reservation_status(status))],
        None => RESERVATION_WORDS.map(branch).to_vec(),
    };
    let branches = branches.join(" UNION ALL ");
    (format!("id IN (SELECT id FROM ({branches}) ORDER BY created_at, id LIMIT {limit})"), statement.params)
}

fn story(transaction: &Transaction<'_>, id: ReservationId) -> Result<Vec<Seq>, Failure> {
    let mut statement = transaction.prepare_cached(STORY)?;
    let stories = statement.query_map([id.0.as_bytes()], |row| row.get::<_, Vec<u8>>(0))?;
    let mut seqs = Vec::new();
    for stored in stories {
        seqs.extend(decode_seqs(&stored?).map_err(|error| Failure::new(error.to_string()))?);
    }
    seqs.sort_unstable();
    Ok(seqs)
}

fn events(transaction: &Transaction<'_>, sql: &str, buyer: BuyerId) -> rusqlite::Result<Vec<EventId>> {
    let mut statement = transaction.prepare_cached(sql)?;
    let events = statement.query_map([buyer.0.as_bytes()], |row| uuid_at(row, 0).map(EventId))?;
    let mut events: Vec<EventId> = events.collect::<rusqlite::Result<_>>()?;
    events.sort_unstable();
    Ok(events)
}

impl RecordSearch for SqliteRecords {
    fn find_reservations(
        &self,
        search: Search<ReservationStatus>,
        page: Page,
    ) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        let Search { event, status, named } = search;
        let search = Search { event, status: status.map(status_names::reservation_status), named };
        Box::pin(self.library.read(move |transaction| Ok(reservations(transaction, &search, page)?)))
    }

    fn find_payments(
        &self,
        search: Search<PaymentState>,
        page: Page,
    ) -> Later<'_, Result<Listed<PaymentRecord>, StoreError>> {
        let Search { event, status, named } = search;
        let search = Search { event, status: status.map(status_names::payment_state), named };
        Box::pin(self.library.read(move |transaction| Ok(payments(transaction, &search, page)?)))
    }

    fn payments_of(&self, reservations: Vec<ReservationId>) -> Later<'_, Result<Vec<PaymentRecord>, StoreError>> {
        Box::pin(self.library.read(move |transaction| {
            let sql =
                format!("SELECT {PAYMENT_COLUMNS} FROM payments WHERE reservation_id = ?1 ORDER BY created_at, id");
            let (mut statement, mut found) = (transaction.prepare_cached(&sql)?, Vec::new());
            for id in &reservations {
                for record in statement.query_map([id.0.as_bytes()], tables::payment_record)? {
                    found.push(record?);
                }
            }
            found.sort_by_key(|record: &PaymentRecord| (record.view.created_at, record.view.id));
            Ok(found)
        }))
    }

    fn by_ticket(&self, event: EventId, ticket: TicketSerial) -> Later<'_, Result<Option<ReservationId>, StoreError>> {
        Box::pin(self.library.read(move |transaction| {
            let mut statement = transaction.prepare_cached(BY_TICKET)?;
            let of = params![event.0.as_bytes(), ticket.0.cast_signed()];
            Ok(statement.query_row(of, |row| uuid_at(row, 0).map(ReservationId)).optional()?)
        }))
    }

    fn by_seats(&self, event: EventId, seats: Vec<String>) -> Later<'_, Result<Vec<ReservationId>, StoreError>> {
        Box::pin(self.library.read(move |transaction| {
            let (mut statement, mut found) = (transaction.prepare_cached(BY_SEAT)?, Vec::new());
            for seat in &seats {
                let owner = statement.query_row(params![event.0.as_bytes(), seat], |row| uuid_at(row, 0));
                found.extend(owner.optional()?.map(ReservationId));
            }
            found.sort_unstable();
            found.dedup();
            Ok(found)
        }))
    }

    fn story(&self, reservation: ReservationId) -> Later<'_, Result<Vec<Seq>, StoreError>> {
        Box::pin(self.library.read(move |transaction| story(transaction, reservation)))
    }

    fn export(&self, part: ExportPart) -> Later<'_, Result<Vec<ReservationRecord>, StoreError>> {
        Box::pin(self.library.read(move |transaction| Ok(export(transaction, &part)?)))
    }

    fn holdings(&self, buyer: BuyerId) -> Later<'_, Result<Holdings, StoreError>> {
        Box::pin(self.library.read(move |transaction| {
            let (confirmed, charging) = (events(transaction, CONFIRMED, buyer)?, events(transaction, CHARGING, buyer)?);
            Ok(Holdings { confirmed, charging })
        }))
    }
}

#[cfg(test)]
mod tests;

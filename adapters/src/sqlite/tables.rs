//! The projections' rows in `library.db`: how reservations and payments are written and read back, for the projector
//! and for lists alike. Must never begin or end a transaction.

use super::library::uuid_at;
use crate::status_names::{self, PaymentWords};
use crate::stored::encode_seqs;
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, TicketSerial};
use onsale_engine::money::{Amount, Currency};
use onsale_engine::plan::Plan;
use onsale_engine::ports::rows::{PaymentChange, PaymentRecord, ReservationChange};
use onsale_engine::ports::search::{Counted, STORY_BYTES};
use onsale_engine::sale::{PaymentView, ReservationView, Seats};
use onsale_engine::time::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

const RESERVATION_COLUMNS: &str =
    "id, event_id, user_id, status, amount, hold_expires_at, created_at, confirmed_at, ticket_number, refund_amount";
pub(super) const PAYMENT_COLUMNS: &str =
    "id, event_id, reservation_id, user_id, stage, amount, captured, transaction_id,
    created_at, paid_at, failure, failure_detail, refund_reason";

const INSERT_RESERVATION: &str = "INSERT INTO reservations (id, event_id, user_id, status, amount, currency,
    hold_expires_at, created_at, confirmed_at, ticket_number, refund_amount, story)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)";
/// A story that is long already grows only when the status changes.
const UPDATE_RESERVATION: &str = "UPDATE reservations SET status = ?2, amount = ?3, confirmed_at = ?4,
    ticket_number = ?5, refund_amount = ?6,
    story = CASE WHEN length(story) < ?8 OR status <> ?2 THEN CAST(story || ?7 AS BLOB) ELSE story END WHERE id = ?1";
const INSERT_SEAT: &str = "INSERT INTO reservation_seats (reservation_id, position, seat_id, seat_index)
    VALUES (?1, ?2, ?3, ?4)";
const INSERT_PAYMENT: &str = "INSERT INTO payments (id, event_id, reservation_id, user_id, status, stage, amount,
    captured, currency, transaction_id, created_at, paid_at, failure, failure_detail, refund_reason, story)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)";
const UPDATE_PAYMENT: &str = "UPDATE payments SET status = ?2, stage = ?3, captured = ?4, transaction_id = ?5,
    paid_at = ?6, failure = ?7, failure_detail = ?8, refund_reason = ?9, story = CAST(story || ?10 AS BLOB)
    WHERE id = ?1";
const COUNT: &str = "INSERT INTO record_counts (event_id, what, status, count) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (event_id, what, status) DO UPDATE SET count = count + excluded.count";

/// A word in a column that no version has written.
#[derive(Debug, thiserror::Error)]
#[error("no version has written {0:?}")]
struct UnknownWord(String);

fn unknown_word(column: usize, word: &str) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(UnknownWord(word.to_owned())))
}

fn timestamp(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Timestamp>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(Timestamp))
}

/// The reservation in a row of `RESERVATION_COLUMNS`, its seats yet to be read.
fn reservation_without_seats(row: &Row<'_>) -> rusqlite::Result<(EventId, ReservationView)> {
    let word: String = row.get(3)?;
    let view = ReservationView {
        id: ReservationId(uuid_at(row, 0)?),
        buyer: BuyerId(uuid_at(row, 2)?),
        status: status_names::parse_reservation_status(&word).ok_or_else(|| unknown_word(3, &word))?,
        seats: Seats::new(),
        amount: Amount(row.get(4)?),
        hold_expires_at: Timestamp(row.get(5)?),
        created_at: Timestamp(row.get(6)?),
        confirmed_at: timestamp(row, 7)?,
        ticket: row.get::<_, Option<i64>>(8)?.map(|serial| TicketSerial(serial.cast_unsigned())),
        refund: row.get::<_, Option<i64>>(9)?.map(Amount),
    };
    Ok((EventId(uuid_at(row, 1)?), view))
}

pub(super) fn payment_record(row: &Row<'_>) -> rusqlite::Result<PaymentRecord> {
    let stage: String = row.get(4)?;
    let (failure, detail, reason): (Option<String>, Option<String>, Option<String>) =
        (row.get(10)?, row.get(11)?, row.get(12)?);
    let state = PaymentWords {
        stage: &stage,
        failure: failure.as_deref(),
        failure_detail: detail.as_deref(),
        refund_reason: reason.as_deref(),
    };
    let (status, unknown) = state.parse().ok_or_else(|| unknown_word(4, &format!("{state:?}")))?;
    let view = PaymentView {
        id: PaymentId(uuid_at(row, 0)?),
        reservation: ReservationId(uuid_at(row, 2)?),
        buyer: BuyerId(uuid_at(row, 3)?),
        amount: Amount(row.get(5)?),
        status,
        created_at: Timestamp(row.get(8)?),
        paid_at: timestamp(row, 9)?,
    };
    let transaction = row.get::<_, Option<String>>(7)?.map(String::into_boxed_str);
    Ok(PaymentRecord { event: EventId(uuid_at(row, 1)?), view, transaction, unknown, captured: Amount(row.get(6)?) })
}

fn seats_of(connection: &Connection, reservation: ReservationId) -> rusqlite::Result<Seats> {
    let sql = "SELECT seat_index FROM reservation_seats WHERE reservation_id = ?1 ORDER BY position";
    let mut statement = connection.prepare_cached(sql)?;
    statement.query_map([reservation.0.as_bytes()], |row| row.get(0).map(SeatIndex))?.collect()
}

/// Reservations that `clause` picks, with their seats.
pub(super) fn reservations(
    connection: &Connection,
    clause: &str,
    of: impl Params,
) -> rusqlite::Result<Vec<(EventId, ReservationView)>> {
    let mut statement =
        connection.prepare_cached(&format!("SELECT {RESERVATION_COLUMNS} FROM reservations {clause}"))?;
    let mut found: Vec<_> = statement.query_map(of, reservation_without_seats)?.collect::<rusqlite::Result<_>>()?;
    for (_, view) in &mut found {
        view.seats = seats_of(connection, view.id)?;
    }
    Ok(found)
}

/// One reservation and its event.
pub(super) fn reservation(
    connection: &Connection,
    id: ReservationId,
) -> rusqlite::Result<Option<(EventId, ReservationView)>> {
    Ok(reservations(connection, "WHERE id = ?1", [id.0.as_bytes()])?.pop())
}

/// A page of a buyer's reservations, newest first, and how many there are.
pub(super) fn reservations_of(
    connection: &Connection,
    buyer: BuyerId,
    limit: u32,
    offset: u64,
) -> rusqlite::Result<(Vec<(EventId, ReservationView)>, u64)> {
    let clause = "WHERE user_id = ?1 ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3";
    let page = reservations(connection, clause, params![buyer.0.as_bytes(), limit, offset.cast_signed()])?;
    Ok((page, count(connection, "SELECT count(*) FROM reservations WHERE user_id = ?1", buyer)?))
}

/// One payment.
pub(super) fn payment(connection: &Connection, id: PaymentId) -> rusqlite::Result<Option<PaymentRecord>> {
    let mut statement = connection.prepare_cached(&format!("SELECT {PAYMENT_COLUMNS} FROM payments WHERE id = ?1"))?;
    statement.query_row([id.0.as_bytes()], payment_record).optional()
}

/// A page of a buyer's payments, newest first, and how many there are.
pub(super) fn payments_of(
    connection: &Connection,
    buyer: BuyerId,
    limit: u32,
    offset: u64,
) -> rusqlite::Result<(Vec<PaymentView>, u64)> {
    let sql = format!(
        "SELECT {PAYMENT_COLUMNS} FROM payments WHERE user_id = ?1
         ORDER BY created_at DESC, id DESC LIMIT ?2 OFFSET ?3"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let of = params![buyer.0.as_bytes(), limit, offset.cast_signed()];
    let page = statement.query_map(of, |row| payment_record(row).map(|record| record.view))?;
    let page = page.collect::<rusqlite::Result<_>>()?;
    Ok((page, count(connection, "SELECT count(*) FROM payments WHERE user_id = ?1", buyer)?))
}

fn count(connection: &Connection, sql: &str, buyer: BuyerId) -> rusqlite::Result<u64> {
    let counted = connection.prepare_cached(sql)?.query_row([buyer.0.as_bytes()], |row| row.get::<_, i64>(0))?;
    Ok(counted.cast_unsigned())
}

/// Every reservation of an event, by id.
pub(super) fn reservations_of_event(connection: &Connection, event: EventId) -> rusqlite::Result<Vec<ReservationView>> {
    let found = reservations(connection, "WHERE event_id = ?1 ORDER BY id", [event.0.as_bytes()])?;
    Ok(found.into_iter().map(|(_, view)| view).collect())
}

/// Every payment of an event, by id.
pub(super) fn payments_of_event(connection: &Connection, event: EventId) -> rusqlite::Result<Vec<PaymentRecord>> {
    let sql = format!("SELECT {PAYMENT_COLUMNS} FROM payments WHERE event_id = ?1 ORDER BY id");
    let mut statement = connection.prepare(&sql)?;
    statement.query_map([event.0.as_bytes()], payment_record)?.collect()
}

/// Writes a reservation's final row, and its seats if they are other ones.
pub(super) fn write_reservation(
    connection: &Connection,
    change: &ReservationChange,
    currency: Currency,
    plan: &Plan,
) -> rusqlite::Result<()> {
    let view = &change.view;
    let id = view.id.0.as_bytes();
    let (status, amount) = (status_names::reservation_status(view.status), view.amount.0);
    let (confirmed_at, refund) = (view.confirmed_at.map(|at| at.0), view.refund.map(|amount| amount.0));
    let ticket = view.ticket.map(|ticket| ticket.0.cast_signed());
    if change.is_new {
        connection.prepare_cached(INSERT_RESERVATION)?.execute(params![
            id,
            change.event.0.as_bytes(),
            view.buyer.0.as_bytes(),
            status,
            amount,
            currency.code(),
            view.hold_expires_at.0,
            view.created_at.0,
            confirmed_at,
            ticket,
            refund,
            encode_seqs(&change.seqs),
        ])?;
    } else {
        let (story, longest) = (encode_seqs(&change.seqs), STORY_BYTES as i64);
        let row = params![id, status, amount, confirmed_at, ticket, refund, story, longest];
        connection.prepare_cached(UPDATE_RESERVATION)?.execute(row)?;
    }
    if !change.has_new_seats {
        return Ok(());
    }
    if !change.is_new {
        connection.prepare_cached("DELETE FROM reservation_seats WHERE reservation_id = ?1")?.execute([id])?;
    }
    let mut insert = connection.prepare_cached(INSERT_SEAT)?;
    for (position, seat) in view.seats.iter().enumerate().filter(|(_, seat)| plan.has(**seat)) {
        insert.execute(params![id, position as i64, plan.seat_id(*seat), seat.0])?;
    }
    Ok(())
}

/// Writes a payment's final row.
pub(super) fn write_payment(
    connection: &Connection,
    change: &PaymentChange,
    currency: Currency,
) -> rusqlite::Result<()> {
    let PaymentRecord { event, view, transaction, unknown, captured } = &change.record;
    let id = view.id.0.as_bytes();
    let status = status_names::payment_status(&view.status);
    let PaymentWords { stage, failure, failure_detail, refund_reason } = PaymentWords::of(&view.status, *unknown);
    let (transaction, paid_at) = (transaction.as_deref(), view.paid_at.map(|at| at.0));
    if change.is_new {
        connection.prepare_cached(INSERT_PAYMENT)?.execute(params![
            id,
            event.0.as_bytes(),
            view.reservation.0.as_bytes(),
            view.buyer.0.as_bytes(),
            status,
            stage,
            view.amount.0,
            captured.0,
            currency.code(),
            transaction,
            view.created_at.0,
            paid_at,
            failure,
            failure_detail,
            refund_reason,
            encode_seqs(&change.seqs),
        ])?;
    } else {
        let (captured, story) = (captured.0, encode_seqs(&change.seqs));
        let row =
            params![id, status, stage, captured, transaction, paid_at, failure, failure_detail, refund_reason, story];
        connection.prepare_cached(UPDATE_PAYMENT)?.execute(row)?;
    }
    Ok(())
}

/// Counts so many rows more, or fewer.
pub(super) fn write_count(connection: &Connection, event: EventId, what: Counted, by: i64) -> rusqlite::Result<()> {
    let (what, status) = status_names::counted(what);
    connection.prepare_cached(COUNT)?.execute(params![event.0.as_bytes(), what, status, by])?;
    Ok(())
}

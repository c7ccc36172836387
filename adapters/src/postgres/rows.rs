//! The projections' rows in Postgres: how reservations and payments are read back, and how whole batches of them are
//! written, each kind with one statement. Must never begin or end a transaction.

use super::failure::Failure;
use super::session::{Params, Session};
use super::values::At;
use crate::status_names::{self, PaymentWords};
use crate::stored::encode_seqs;
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, TicketSerial};
use onsale_engine::money::{Amount, Currency};
use onsale_engine::plan::Plan;
use onsale_engine::ports::OutboxMessage;
use onsale_engine::ports::rows::{PaymentChange, PaymentRecord, ReservationChange, SeatRecord};
use onsale_engine::ports::search::{Counted, STORY_BYTES};
use onsale_engine::sale::{PaymentView, ReservationView};
use onsale_engine::time::Timestamp;
use tokio_postgres::{Error, Row};
use uuid::Uuid;

/// A reservation with its seats, from `reservations AS r`.
pub(super) const RESERVATION: &str = "r.id, r.event_id, r.user_id, r.status, r.amount, r.hold_expires_at, r.created_at,
    r.confirmed_at, r.ticket_number, r.refund_amount,
    (SELECT array_agg(s.seat_index ORDER BY s.position) FROM reservation_seats AS s WHERE s.reservation_id = r.id)
    AS seats";
/// A payment, from `payments AS p`.
pub(super) const PAYMENT: &str = "p.id, p.event_id, p.reservation_id, p.user_id, p.stage, p.amount, p.captured,
    p.transaction_id, p.created_at, p.paid_at, p.failure, p.failure_detail, p.refund_reason";

/// A story that is long already grows only when the status changes.
const RESERVATIONS: &str =
    "INSERT INTO reservations AS known (id, event_id, user_id, status, amount, currency, hold_expires_at,
        created_at, confirmed_at, ticket_number, refund_amount, story)
    SELECT * FROM UNNEST ($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::text[], $7::timestamptz[],
        $8::timestamptz[], $9::timestamptz[], $10::bigint[], $11::bigint[], $12::bytea[])
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, amount = excluded.amount,
        confirmed_at = excluded.confirmed_at, ticket_number = excluded.ticket_number,
        refund_amount = excluded.refund_amount,
        story = CASE WHEN octet_length(known.story) < $13 OR known.status <> excluded.status
            THEN known.story || excluded.story ELSE known.story END";
const FORGET_SEATS: &str = "DELETE FROM reservation_seats WHERE reservation_id = ANY ($1)";
const RESERVATION_SEATS: &str = "INSERT INTO reservation_seats (reservation_id, position, seat_id, seat_index)
    SELECT * FROM UNNEST ($1::uuid[], $2::integer[], $3::text[], $4::bigint[])";
const PAYMENTS: &str = "INSERT INTO payments AS known (id, event_id, reservation_id, user_id, status, stage, amount,
        captured, currency, transaction_id, created_at, paid_at, failure, failure_detail, refund_reason, story)
    SELECT * FROM UNNEST ($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::bigint[],
        $8::bigint[], $9::text[], $10::text[], $11::timestamptz[], $12::timestamptz[], $13::text[], $14::text[],
        $15::text[], $16::bytea[])
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, stage = excluded.stage, captured = excluded.captured,
        transaction_id = excluded.transaction_id, paid_at = excluded.paid_at, failure = excluded.failure,
        failure_detail = excluded.failure_detail, refund_reason = excluded.refund_reason,
        story = known.story || excluded.story";
const COUNTS: &str = "INSERT INTO record_counts AS known (event_id, what, status, count)
    SELECT * FROM UNNEST ($1::uuid[], $2::text[], $3::text[], $4::bigint[])
    ON CONFLICT (event_id, what, status) DO UPDATE SET count = known.count + excluded.count";
const SEATS: &str = "INSERT INTO seats (event_id, seat_id, status, reservation_id)
    SELECT * FROM UNNEST ($1::uuid[], $2::text[], $3::text[], $4::uuid[])
    ON CONFLICT (event_id, seat_id) DO UPDATE
    SET status = excluded.status, reservation_id = excluded.reservation_id";
const MESSAGES: &str = "INSERT INTO outbox_events (event_id, seq, topic, key, payload, created_at, traceparent)
    SELECT * FROM UNNEST ($1::uuid[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::text[])";

fn unknown_word(word: &str) -> Failure {
    Failure::new(format!("no version has written {word:?}"))
}

fn instant(row: &Row, column: usize) -> Option<Timestamp> {
    row.get::<_, Option<At>>(column).map(|At(at)| at)
}

/// The reservation in the columns of [`RESERVATION`], which begin at `first`.
pub(super) fn reservation(row: &Row, first: usize) -> Result<(EventId, ReservationView), Failure> {
    let word: &str = row.get(first + 3);
    let seats: Option<Vec<i64>> = row.get(first + 10);
    let view = ReservationView {
        id: ReservationId(row.get(first)),
        buyer: BuyerId(row.get(first + 2)),
        status: status_names::parse_reservation_status(word).ok_or_else(|| unknown_word(word))?,
        seats: seats.unwrap_or_default().into_iter().map(|index| SeatIndex(index as u32)).collect(),
        amount: Amount(row.get(first + 4)),
        hold_expires_at: row.get::<_, At>(first + 5).0,
        created_at: row.get::<_, At>(first + 6).0,
        confirmed_at: instant(row, first + 7),
        ticket: row.get::<_, Option<i64>>(first + 8).map(|serial| TicketSerial(serial.cast_unsigned())),
        refund: row.get::<_, Option<i64>>(first + 9).map(Amount),
    };
    Ok((EventId(row.get(first + 1)), view))
}

/// The payment in the columns of [`PAYMENT`], which begin at `first`.
pub(super) fn payment(row: &Row, first: usize) -> Result<PaymentRecord, Failure> {
    let state = PaymentWords {
        stage: row.get(first + 4),
        failure: row.get(first + 10),
        failure_detail: row.get(first + 11),
        refund_reason: row.get(first + 12),
    };
    let (status, unknown) = state.parse().ok_or_else(|| unknown_word(&format!("{state:?}")))?;
    let view = PaymentView {
        id: PaymentId(row.get(first)),
        reservation: ReservationId(row.get(first + 2)),
        buyer: BuyerId(row.get(first + 3)),
        amount: Amount(row.get(first + 5)),
        status,
        created_at: row.get::<_, At>(first + 8).0,
        paid_at: instant(row, first + 9),
    };
    let transaction = row.get::<_, Option<String>>(first + 7).map(String::into_boxed_str);
    let captured = Amount(row.get(first + 6));
    Ok(PaymentRecord { event: EventId(row.get(first + 1)), view, transaction, unknown, captured })
}

/// Reservations of a batch, column by column.
#[derive(Default)]
pub(super) struct ReservationRows<'a> {
    ids: Vec<Uuid>,
    events: Vec<Uuid>,
    users: Vec<Uuid>,
    statuses: Vec<&'static str>,
    amounts: Vec<i64>,
    currencies: Vec<String>,
    expiries: Vec<At>,
    created: Vec<At>,
    confirmed: Vec<Option<At>>,
    tickets: Vec<Option<i64>>,
    refunds: Vec<Option<i64>>,
    stories: Vec<Vec<u8>>,
    /// Reservations that have other seats than before.
    reseated: Vec<Uuid>,
    seats: ReservationSeatRows<'a>,
}

#[derive(Default)]
struct ReservationSeatRows<'a> {
    reservations: Vec<Uuid>,
    positions: Vec<i32>,
    seat_ids: Vec<&'a str>,
    indexes: Vec<i64>,
}

impl<'a> ReservationRows<'a> {
    pub(super) fn push(&mut self, change: &ReservationChange, currency: Currency, plan: &'a Plan) {
        let view = &change.view;
        self.ids.push(view.id.0);
        self.events.push(change.event.0);
        self.users.push(view.buyer.0);
        self.statuses.push(status_names::reservation_status(view.status));
        self.amounts.push(view.amount.0);
        self.currencies.push(currency.code().to_owned());
        self.expiries.push(At(view.hold_expires_at));
        self.created.push(At(view.created_at));
        self.confirmed.push(view.confirmed_at.map(At));
        self.tickets.push(view.ticket.map(|ticket| ticket.0.cast_signed()));
        self.refunds.push(view.refund.map(|amount| amount.0));
        self.stories.push(encode_seqs(&change.seqs));
        if !change.has_new_seats {
            return;
        }
        if !change.is_new {
            self.reseated.push(view.id.0);
        }
        for (position, seat) in view.seats.iter().enumerate().filter(|(_, seat)| plan.has(**seat)) {
            self.seats.reservations.push(view.id.0);
            self.seats.positions.push(position as i32);
            self.seats.seat_ids.push(plan.seat_id(*seat));
            self.seats.indexes.push(i64::from(seat.0));
        }
    }

    pub(super) async fn write(&self, session: &Session) -> Result<(), Error> {
        if self.ids.is_empty() {
            return Ok(());
        }
        let columns: Params<'_> = &[
            &self.ids,
            &self.events,
            &self.users,
            &self.statuses,
            &self.amounts,
            &self.currencies,
            &self.expiries,
            &self.created,
            &self.confirmed,
            &self.tickets,
            &self.refunds,
            &self.stories,
            &(STORY_BYTES as i32),
        ];
        session.execute(RESERVATIONS, columns).await.map(drop)
    }

    pub(super) async fn write_seats(&self, session: &Session) -> Result<(), Error> {
        if !self.reseated.is_empty() {
            session.execute(FORGET_SEATS, &[&self.reseated]).await?;
        }
        let ReservationSeatRows { reservations, positions, seat_ids, indexes } = &self.seats;
        if reservations.is_empty() {
            return Ok(());
        }
        session.execute(RESERVATION_SEATS, &[reservations, positions, seat_ids, indexes]).await.map(drop)
    }
}

/// Payments of a batch, column by column.
#[derive(Default)]
pub(super) struct PaymentRows<'a> {
    ids: [Vec<Uuid>; 4],
    statuses: Vec<&'static str>,
    stages: Vec<&'a str>,
    amounts: [Vec<i64>; 2],
    currencies: Vec<String>,
    transactions: Vec<Option<&'a str>>,
    created: Vec<At>,
    paid: Vec<Option<At>>,
    reasons: [Vec<Option<&'a str>>; 3],
    stories: Vec<Vec<u8>>,
}

impl<'a> PaymentRows<'a> {
    pub(super) fn push(&mut self, change: &'a PaymentChange, currency: Currency) {
        let PaymentRecord { event, view, transaction, unknown, captured } = &change.record;
        self.stories.push(encode_seqs(&change.seqs));
        let names = [view.id.0, event.0, view.reservation.0, view.buyer.0];
        self.ids.iter_mut().zip(names).for_each(|(column, id)| column.push(id));
        let state = PaymentWords::of(&view.status, *unknown);
        self.statuses.push(status_names::payment_status(&view.status));
        self.stages.push(state.stage);
        self.amounts.iter_mut().zip([view.amount.0, captured.0]).for_each(|(column, amount)| column.push(amount));
        self.currencies.push(currency.code().to_owned());
        self.transactions.push(transaction.as_deref());
        self.created.push(At(view.created_at));
        self.paid.push(view.paid_at.map(At));
        let reasons = [state.failure, state.failure_detail, state.refund_reason];
        self.reasons.iter_mut().zip(reasons).for_each(|(column, reason)| column.push(reason));
    }

    pub(super) async fn write(&self, session: &Session) -> Result<(), Error> {
        if self.statuses.is_empty() {
            return Ok(());
        }
        let columns: Params<'_> = &[
            &self.ids[0],
            &self.ids[1],
            &self.ids[2],
            &self.ids[3],
            &self.statuses,
            &self.stages,
            &self.amounts[0],
            &self.amounts[1],
            &self.currencies,
            &self.transactions,
            &self.created,
            &self.paid,
            &self.reasons[0],
            &self.reasons[1],
            &self.reasons[2],
            &self.stories,
        ];
        session.execute(PAYMENTS, columns).await.map(drop)
    }
}

/// How many rows more, or fewer, there are of each kind, column by column.
#[derive(Default)]
pub(super) struct CountRows {
    events: Vec<Uuid>,
    whats: Vec<&'static str>,
    statuses: Vec<&'static str>,
    counts: Vec<i64>,
}

impl CountRows {
    pub(super) fn push(&mut self, event: EventId, what: Counted, by: i64) {
        let (what, status) = status_names::counted(what);
        self.events.push(event.0);
        self.whats.push(what);
        self.statuses.push(status);
        self.counts.push(by);
    }

    pub(super) async fn write(&self, session: &Session) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        session.execute(COUNTS, &[&self.events, &self.whats, &self.statuses, &self.counts]).await.map(drop)
    }
}

/// Seats of a batch, column by column.
#[derive(Default)]
pub(super) struct SeatRows<'a> {
    events: Vec<Uuid>,
    ids: Vec<&'a str>,
    statuses: Vec<&'static str>,
    owners: Vec<Option<Uuid>>,
}

impl<'a> SeatRows<'a> {
    pub(super) fn push(&mut self, event: EventId, seat: SeatIndex, record: &SeatRecord, plan: &'a Plan) {
        if plan.has(seat) {
            self.events.push(event.0);
            self.ids.push(plan.seat_id(seat));
            self.statuses.push(status_names::seat_status(record.status));
            self.owners.push(record.reservation.map(|id| id.0));
        }
    }

    pub(super) async fn write(&self, session: &Session) -> Result<(), Error> {
        if self.events.is_empty() {
            return Ok(());
        }
        session.execute(SEATS, &[&self.events, &self.ids, &self.statuses, &self.owners]).await.map(drop)
    }
}

/// Writes messages in their order.
pub(super) async fn write_messages(session: &Session, messages: &[(OutboxMessage, Timestamp)]) -> Result<(), Error> {
    if messages.is_empty() {
        return Ok(());
    }
    let events: Vec<Uuid> = messages.iter().map(|(message, _)| message.event.0).collect();
    let seqs: Vec<i64> = messages.iter().map(|(message, _)| message.seq.0.cast_signed()).collect();
    let topics: Vec<&str> = messages.iter().map(|(message, _)| message.topic).collect();
    let keys: Vec<&str> = messages.iter().map(|(message, _)| &*message.key).collect();
    let payloads: Vec<&str> = messages.iter().map(|(message, _)| &*message.payload).collect();
    let times: Vec<At> = messages.iter().map(|(_, at)| At(*at)).collect();
    let traces: Vec<Option<String>> =
        messages.iter().map(|(message, _)| message.trace.map(|trace| trace.to_string())).collect();
    session.execute(MESSAGES, &[&events, &seqs, &topics, &keys, &payloads, &times, &traces]).await.map(drop)
}

//! The form of the messages that other systems get: what happened, and the thing as it stood right after it, in the
//! words of the HTTP contract. Members are only ever added. Must never carry personal data beyond the buyer's id.

use crate::{rfc3339, status_names};
use onsale_engine::id::EventId;
use onsale_engine::money::Currency;
use onsale_engine::plan::Plan;
use onsale_engine::ports::OutboxMessage;
use onsale_engine::ports::rows::{Notice, Subject};
use onsale_engine::sale::{PaymentView, ReservationView};
use onsale_engine::ticket_number::ticket_number;
use onsale_engine::time::Timestamp;
use serde::Serialize;

/// Bytes that a message is expected to take: a hold of four seats.
const PAYLOAD_BYTES: usize = 768;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Message<'a> {
    r#type: &'a str,
    event_id: String,
    seq: u64,
    at: String,
    /// Why, in an administrator's words, if one did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reservation: Option<Reservation<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment: Option<Payment<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    postponement: Option<Postponed<'a>>,
}

/// When the event is now, and until when its tickets can be cancelled.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Postponed<'a> {
    starts_at: String,
    ends_at: String,
    cancellation_closes_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reservation<'a> {
    reservation_id: String,
    event_id: String,
    user_id: String,
    status: &'a str,
    seats: Vec<Seat<'a>>,
    total_amount: i64,
    currency: &'a str,
    hold_expires_at: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_amount: Option<i64>,
}

/// As in the contract, but for the price, which stands in the total.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Seat<'a> {
    seat_id: &'a str,
    label: String,
    category: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Payment<'a> {
    payment_id: String,
    reservation_id: String,
    user_id: String,
    status: &'a str,
    amount: i64,
    currency: &'a str,
    method: &'a str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

fn time(at: Timestamp) -> String {
    rfc3339::write(at).unwrap_or_else(|| at.0.to_string())
}

fn reservation<'a>(
    event: EventId,
    view: &'a ReservationView,
    currency: &'a Currency,
    plan: &'a Plan,
) -> Reservation<'a> {
    let seats = view.seats.iter().filter(|seat| plan.has(**seat)).map(|&seat| Seat {
        seat_id: plan.seat_id(seat),
        label: plan.full_label(seat),
        category: plan.categories().get(plan.seat_category(seat).at()).map_or("", |category| &category.name),
    });
    Reservation {
        reservation_id: view.id.to_string(),
        event_id: event.to_string(),
        user_id: view.buyer.to_string(),
        status: status_names::reservation_status(view.status),
        seats: seats.collect(),
        total_amount: view.amount.0,
        currency: currency.code(),
        hold_expires_at: time(view.hold_expires_at),
        created_at: time(view.created_at),
        confirmed_at: view.confirmed_at.map(time),
        ticket_number: view.ticket.map(|serial| ticket_number(event.tag(), serial)),
        refund_amount: view.refund.map(|amount| amount.0),
    }
}

fn payment<'a>(view: &'a PaymentView, currency: &'a Currency) -> Payment<'a> {
    Payment {
        payment_id: view.id.to_string(),
        reservation_id: view.reservation.to_string(),
        user_id: view.buyer.to_string(),
        status: status_names::payment_status(&view.status),
        amount: view.amount.0,
        currency: currency.code(),
        method: status_names::PAYMENT_METHOD,
        created_at: time(view.created_at),
        paid_at: view.paid_at.map(time),
        failure: status_names::payment_failure(&view.status),
    }
}

/// The message of a notice.
///
/// # Errors
/// What `serde_json` says; strings and numbers have never failed it.
pub(crate) fn message(notice: &Notice, currency: Currency, plan: &Plan) -> serde_json::Result<OutboxMessage> {
    let (reservation_json, payment_json) = match &notice.subject {
        Subject::Reservation(view) => (Some(reservation(notice.event, view, &currency, plan)), None),
        Subject::Payment(view) => (None, Some(payment(view, &currency))),
        Subject::Event(_) => (None, None),
    };
    let postponement = notice.postponement.as_ref().map(|to| Postponed {
        starts_at: time(to.starts_at),
        ends_at: time(to.ends_at),
        cancellation_closes_at: time(to.cancellation_closes_at),
        reason: to.reason.as_deref(),
    });
    let message = Message {
        r#type: notice.kind,
        event_id: notice.event.to_string(),
        seq: notice.seq.0,
        at: time(notice.at),
        reason: notice.reason.as_deref(),
        reservation: reservation_json,
        payment: payment_json,
        postponement,
    };
    let mut payload = Vec::with_capacity(PAYLOAD_BYTES);
    serde_json::to_writer(&mut payload, &message)?;
    Ok(OutboxMessage {
        topic: notice.subject.topic(),
        key: notice.subject.key().to_string(),
        event: notice.event,
        seq: notice.seq,
        trace: notice.trace,
        payload: String::from_utf8(payload).map_err(serde::ser::Error::custom)?,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use onsale_engine::fakes::small_plan;
    use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, Seq, TicketSerial};
    use onsale_engine::money::Amount;
    use onsale_engine::ports::rows::Postponement;
    use onsale_engine::sale::{PaymentFailure, PaymentStatus, ReservationStatus};
    use onsale_engine::trace::TraceContext;
    use serde_json::json;
    use uuid::Uuid;

    const AT: Timestamp = Timestamp::from_secs(1_780_000_000);

    fn message_of(subject: Subject, kind: &'static str) -> (OutboxMessage, serde_json::Value) {
        let postponement = kind.ends_with(".postponed").then(|| Postponement {
            starts_at: AT,
            ends_at: AT,
            cancellation_closes_at: AT,
            reason: matches!(subject, Subject::Event(_)).then(|| "flood".into()),
        });
        let event = EventId(Uuid::from_u128(1));
        let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let notice = Notice { event, seq: Seq(7), at: AT, trace, kind, subject, reason: None, postponement };
        let message = message(&notice, "KRW".parse().unwrap(), &small_plan(1, 4)).unwrap();
        assert_eq!(message.trace, trace, "beside the payload");
        let payload = serde_json::from_str(&message.payload).unwrap();
        (message, payload)
    }

    /// Other systems parse these: members are added, never changed.
    #[test]
    fn messages_keep_their_form() {
        let view = ReservationView {
            id: ReservationId(Uuid::from_u128(2)),
            buyer: BuyerId(Uuid::from_u128(3)),
            status: ReservationStatus::Confirmed,
            seats: [SeatIndex(0), SeatIndex(1)].into_iter().collect(),
            amount: Amount(300_000),
            hold_expires_at: AT,
            created_at: AT,
            confirmed_at: Some(AT),
            ticket: Some(TicketSerial(1)),
            refund: None,
        };
        let (message, payload) = message_of(Subject::Reservation(Box::new(view)), "reservation.confirmed");
        assert_eq!(message.topic, "reservation.events");
        assert_eq!(message.key, "00000000-0000-0000-0000-000000000002");
        assert_eq!(
            payload,
            json!({
                "type": "reservation.confirmed", "eventId": "00000000-0000-0000-0000-000000000001", "seq": 7,
                "at": "2026-05-28T20:26:40Z",
                "reservation": {
                    "reservationId": "00000000-0000-0000-0000-000000000002",
                    "userId": "00000000-0000-0000-0000-000000000003",
                    "eventId": "00000000-0000-0000-0000-000000000001", "status": "CONFIRMED",
                    "seats": [
                        { "seatId": "A-1", "label": "A-1", "category": "VIP" },
                        { "seatId": "A-2", "label": "A-2", "category": "VIP" },
                    ],
                    "totalAmount": 300_000, "currency": "KRW",
                    "holdExpiresAt": "2026-05-28T20:26:40Z", "createdAt": "2026-05-28T20:26:40Z",
                    "confirmedAt": "2026-05-28T20:26:40Z", "ticketNumber": "00000001-000001",
                },
            })
        );
        let (message, payload) = message_of(Subject::Event(EventId(Uuid::from_u128(1))), "event.postponed");
        assert_eq!((message.topic, message.key.as_str()), ("event.events", "00000000-0000-0000-0000-000000000001"));
        let moved = json!({
            "startsAt": "2026-05-28T20:26:40Z", "endsAt": "2026-05-28T20:26:40Z",
            "cancellationClosesAt": "2026-05-28T20:26:40Z", "reason": "flood",
        });
        assert_eq!(payload["postponement"], moved);
        assert_eq!((payload.get("reservation"), payload.get("payment")), (None, None));
        let view = PaymentView {
            id: PaymentId(Uuid::from_u128(4)),
            reservation: ReservationId(Uuid::from_u128(2)),
            buyer: BuyerId(Uuid::from_u128(3)),
            amount: Amount(300_000),
            status: PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into())),
            created_at: AT,
            paid_at: None,
        };
        let (message, payload) = message_of(Subject::Payment(Box::new(view)), "payment.failed");
        assert_eq!((message.topic, message.key.as_str()), ("payment.events", "00000000-0000-0000-0000-000000000002"));
        assert_eq!(
            payload["payment"],
            json!({
                "paymentId": "00000000-0000-0000-0000-000000000004",
                "reservationId": "00000000-0000-0000-0000-000000000002",
                "userId": "00000000-0000-0000-0000-000000000003",
                "status": "FAILED", "amount": 300_000, "currency": "KRW",
                "method": "CARD", "createdAt": "2026-05-28T20:26:40Z", "failure": "DECLINED:no_funds",
            })
        );
    }
}

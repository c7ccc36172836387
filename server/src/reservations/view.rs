//! A reservation as its buyer reads it. Owns its JSON; must never look anything up.

use crate::auth::TokenSigner;
use crate::time::rfc3339;
use onsale_engine::id::EventId;
use onsale_engine::money::{Amount, Currency};
use onsale_engine::plan::Plan;
use onsale_engine::sale::{ReservationStatus, ReservationView, SaleConfig};
use onsale_engine::ticket_number::ticket_number;
use serde::Serialize;
use smallvec::SmallVec;
use std::sync::Arc;
use uuid::Uuid;

/// What seats are called and cost: enough of a sale to write its reservations down, without holding on to it.
/// Prices stand still from the opening on, so a copy is as good as the original.
#[derive(Clone, Debug)]
pub struct Terms {
    /// The event.
    pub event: EventId,
    /// The hall.
    pub plan: Arc<Plan>,
    /// The price of each category, in the plan's order; one without is not for sale.
    pub prices: SmallVec<[Option<Amount>; 8]>,
    /// The currency of all amounts.
    pub currency: Currency,
}

impl Terms {
    /// The terms of a sale.
    #[must_use]
    pub fn new(event: EventId, plan: &Arc<Plan>, config: &SaleConfig) -> Self {
        Self { event, plan: Arc::clone(plan), prices: SmallVec::from_slice(&config.prices), currency: config.currency }
    }
}

/// A reservation in every answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservationJson<'a> {
    reservation_id: Uuid,
    event_id: Uuid,
    status: &'static str,
    seats: Vec<SeatJson<'a>>,
    total_amount: i64,
    currency: &'a str,
    hold_expires_at: String,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirmed_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ticket_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    qr_data: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_amount: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SeatJson<'a> {
    seat_id: &'a str,
    label: String,
    category: &'a str,
    price: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    section: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    row: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<&'a str>,
}

impl<'a> ReservationJson<'a> {
    /// Writes a reservation down.
    #[must_use]
    pub fn new(view: &ReservationView, terms: &'a Terms, signer: &TokenSigner) -> Self {
        // A ticket that was given back opens no door.
        let ticket = view.ticket.filter(|_| view.status == ReservationStatus::Confirmed);
        Self {
            reservation_id: view.id.0,
            event_id: terms.event.0,
            status: status_word(view.status),
            seats: seats_json(view, terms, false),
            total_amount: view.amount.0,
            currency: terms.currency.code(),
            hold_expires_at: rfc3339(view.hold_expires_at),
            created_at: rfc3339(view.created_at),
            confirmed_at: view.confirmed_at.map(rfc3339),
            ticket_number: view.ticket.map(|serial| ticket_number(terms.event.tag(), serial)),
            qr_data: ticket.map(|serial| signer.qr_data(terms.event, view.id, serial)),
            refund_amount: view.refund.map(|amount| amount.0),
        }
    }

    /// Writes a reservation down with section, row and number of each seat.
    #[must_use]
    pub fn with_places(view: &ReservationView, terms: &'a Terms, signer: &TokenSigner) -> Self {
        Self { seats: seats_json(view, terms, true), ..Self::new(view, terms, signer) }
    }
}

/// The seats of a reservation; `placed` adds where each is.
fn seats_json<'a>(view: &ReservationView, terms: &'a Terms, placed: bool) -> Vec<SeatJson<'a>> {
    let Terms { plan, prices, .. } = terms;
    let known = view.seats.iter().copied().filter(|seat| plan.has(*seat));
    let seats = known.map(|seat| {
        let category = plan.seat_category(seat);
        let row = placed.then(|| plan.seat_row(seat));
        SeatJson {
            seat_id: plan.seat_id(seat),
            label: plan.full_label(seat),
            category: crate::catalogue::category_name(plan, category),
            price: prices.get(category.at()).copied().flatten().map_or(0, |price| price.0),
            section: row.map(|row| &*plan.sections()[row.section as usize].name),
            row: row.map(|row| &*row.label),
            number: placed.then(|| plan.seat_label(seat)),
        }
    });
    seats.collect()
}

/// API.md's word for it.
#[must_use]
pub fn status_word(status: ReservationStatus) -> &'static str {
    match status {
        ReservationStatus::Pending => "PENDING",
        ReservationStatus::Confirmed => "CONFIRMED",
        ReservationStatus::Cancelled => "CANCELLED",
        ReservationStatus::Expired => "EXPIRED",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{BuyerId, PlanHash, ReservationId, SeatIndex, TicketSerial};
    use onsale_engine::plan::{Category, PlanDraft, RowDraft, SeatDraft, SectionDraft};
    use onsale_engine::time::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    fn terms() -> Terms {
        let seat = |label: &str| SeatDraft {
            id: format!("S-A-{label}"),
            label: label.into(),
            category: "VIP".into(),
            ..SeatDraft::default()
        };
        let draft = PlanDraft {
            size: (1.0, 1.0),
            categories: vec![Category { name: "VIP".into(), color: "#fff".into() }],
            sections: vec![SectionDraft {
                name: "Stalls".into(),
                rows: vec![RowDraft { label: "A".into(), seats: vec![seat("1"), seat("2")], ..RowDraft::default() }],
                ..SectionDraft::default()
            }],
            ..PlanDraft::default()
        };
        Terms {
            event: EventId(Uuid::from_u128(0x1f)),
            plan: Arc::new(Plan::compile(&draft, PlanHash([0; 32])).unwrap()),
            prices: SmallVec::from_slice(&[Some(Amount(150_000))]),
            currency: "KRW".parse().unwrap(),
        }
    }

    #[test]
    fn a_reservation_has_the_members_of_the_contract() {
        let (terms, signer) = (terms(), TokenSigner::new(b"an example secret of 32 bytes or more"));
        let mut view = ReservationView {
            id: ReservationId(Uuid::from_u128(7)),
            buyer: BuyerId(Uuid::nil()),
            status: ReservationStatus::Pending,
            seats: [SeatIndex(1)].into_iter().collect(),
            amount: Amount(150_000),
            hold_expires_at: Timestamp::from_secs(1_780_308_300),
            created_at: Timestamp::from_secs(1_780_308_000),
            confirmed_at: None,
            ticket: None,
            refund: None,
        };
        let pending = json!({
            "reservationId": "00000000-0000-0000-0000-000000000007",
            "eventId": "00000000-0000-0000-0000-00000000001f",
            "status": "PENDING",
            "seats": [{ "seatId": "S-A-2", "label": "Stalls A-2", "category": "VIP", "price": 150_000 }],
            "totalAmount": 150_000,
            "currency": "KRW",
            "holdExpiresAt": "2026-06-01T10:05:00Z",
            "createdAt": "2026-06-01T10:00:00Z",
        });
        assert_eq!(serde_json::to_value(ReservationJson::new(&view, &terms, &signer)).unwrap(), pending);

        view.status = ReservationStatus::Confirmed;
        view.confirmed_at = Some(Timestamp::from_secs(1_780_308_060));
        view.ticket = Some(TicketSerial(12));
        let confirmed = serde_json::to_value(ReservationJson::new(&view, &terms, &signer)).unwrap();
        assert_eq!(confirmed["ticketNumber"], "0000000Z-000012");
        assert_eq!(confirmed["confirmedAt"], "2026-06-01T10:01:00Z");
        assert!(signer.fits_qr_data(confirmed["qrData"].as_str().unwrap(), terms.event, view.id, TicketSerial(12)));

        view.status = ReservationStatus::Cancelled;
        view.refund = Some(Amount(150_000));
        let cancelled = serde_json::to_value(ReservationJson::new(&view, &terms, &signer)).unwrap();
        assert_eq!((&cancelled["refundAmount"], &cancelled["qrData"]), (&json!(150_000), &json!(null)));
        assert_eq!(cancelled["seats"], pending["seats"], "its seats stay listed when it is over");
    }
}

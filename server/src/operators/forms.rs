//! Reservations and payments as operators read them: with what their buyers see, the buyers, and the requests to the provider.
//! Owns the JSON; must never look anything up.

use crate::auth::TokenSigner;
use crate::payments::PaymentJson;
use crate::reservations::{ReservationJson, Terms};
use onsale_engine::id::{BuyerId, ReservationId};
use onsale_engine::money::Currency;
use onsale_engine::ports::accounts::Account;
use onsale_engine::ports::rows::PaymentRecord;
use onsale_engine::sale::{PaymentStatus, ReservationView};
use serde::Serialize;
use std::collections::HashMap;

/// The accounts of buyers.
pub(super) type Buyers = HashMap<BuyerId, Account>;

/// Who bought: the id alone for those who have no account, or none any more.
#[derive(Serialize)]
pub(super) struct BuyerJson<'a> {
    id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
}

impl<'a> BuyerJson<'a> {
    pub(super) fn new(id: BuyerId, buyers: &'a Buyers) -> Self {
        let account = buyers.get(&id);
        let (email, name) = (account.map(|account| &*account.email), account.map(|account| &*account.name));
        Self { id: id.to_string(), email, name }
    }
}

/// A payment of a reservation.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminPaymentJson<'a> {
    #[serde(flatten)]
    payment: PaymentJson<'a>,
    /// `OPEN`, `CHARGING`, `UNKNOWN` or `SETTLED`.
    state: &'static str,
    /// The provider's name for the charge, once it was asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id: Option<&'a str>,
    captured_amount: i64,
    /// Whether the provider has given the money back, of a payment that is to be refunded.
    #[serde(skip_serializing_if = "Option::is_none")]
    refund_settled: Option<bool>,
}

impl<'a> AdminPaymentJson<'a> {
    pub(super) fn new(record: &'a PaymentRecord, currency: &'a Currency) -> Self {
        let (state, refund_settled) = match &record.view.status {
            PaymentStatus::Opened => ("OPEN", None),
            PaymentStatus::Charging if record.unknown => ("UNKNOWN", None),
            PaymentStatus::Charging => ("CHARGING", None),
            PaymentStatus::Captured | PaymentStatus::Failed(_) => ("SETTLED", None),
            PaymentStatus::Refunded { settled, .. } => ("SETTLED", Some(*settled)),
        };
        Self {
            payment: PaymentJson::new(&record.view, currency),
            state,
            transaction_id: record.transaction.as_deref(),
            captured_amount: record.captured.0,
            refund_settled,
        }
    }
}

/// A payment in a list of its own.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ListedPaymentJson<'a> {
    #[serde(flatten)]
    pub(super) payment: AdminPaymentJson<'a>,
    pub(super) event_id: String,
    pub(super) buyer: BuyerJson<'a>,
}

/// A reservation with its buyer and its payments.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AdminReservationJson<'a> {
    #[serde(flatten)]
    reservation: ReservationJson<'a>,
    buyer: BuyerJson<'a>,
    payments: Vec<AdminPaymentJson<'a>>,
}

/// What reservations are written down with.
pub(super) struct Beside<'a> {
    pub(super) buyers: &'a Buyers,
    /// The payments of all of them, the oldest first.
    pub(super) payments: &'a HashMap<ReservationId, Vec<PaymentRecord>>,
    pub(super) signer: &'a TokenSigner,
}

impl<'a> AdminReservationJson<'a> {
    pub(super) fn new(view: &ReservationView, terms: &'a Terms, beside: &Beside<'a>) -> Self {
        let payments = beside.payments.get(&view.id).map(Vec::as_slice).unwrap_or_default();
        Self {
            reservation: ReservationJson::with_places(view, terms, beside.signer),
            buyer: BuyerJson::new(view.buyer, beside.buyers),
            payments: payments.iter().map(|payment| AdminPaymentJson::new(payment, &terms.currency)).collect(),
        }
    }
}

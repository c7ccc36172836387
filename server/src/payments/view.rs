//! A payment as its buyer reads it. Owns its JSON; must never look anything up.

use crate::auth::TokenSigner;
use crate::time::rfc3339;
use onsale_adapters::{PAYMENT_METHOD, payment_failure};
use onsale_engine::money::Currency;
use onsale_engine::sale::{PaymentStatus, PaymentView};
use serde::Serialize;

/// A payment in every answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PaymentJson<'a> {
    payment_id: String,
    reservation_id: String,
    amount: i64,
    currency: &'a str,
    method: &'static str,
    status: &'static str,
    created_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    paid_at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// A payment that was opened: what is needed to go on.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OpenedJson<'a> {
    #[serde(flatten)]
    payment: PaymentJson<'a>,
    payment_key: String,
    provider: &'a str,
    checkout: Checkout<'a>,
}

/// A payment whose provider has not answered yet.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnsettledJson<'a> {
    #[serde(flatten)]
    payment: PaymentJson<'a>,
    poll_after_seconds: u32,
}

/// What the provider's browser kit needs.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Checkout<'a> {
    provider: &'a str,
    order_name: String,
    /// What `simulated` decides by, for trying it out; other providers make their own transactions.
    #[serde(skip_serializing_if = "Option::is_none")]
    transaction_id_prefixes: Option<[Prefix; 5]>,
}

#[derive(Serialize)]
struct Prefix {
    prefix: &'static str,
    outcome: &'static str,
}

const PREFIXES: [Prefix; 5] = [
    Prefix { prefix: "sim_ok", outcome: "succeeds" },
    Prefix { prefix: "sim_decline", outcome: "is declined" },
    Prefix { prefix: "sim_timeout", outcome: "never answers" },
    Prefix { prefix: "sim_flaky", outcome: "fails once, then succeeds" },
    Prefix { prefix: "sim_wrong_amount", outcome: "reports another amount" },
];

impl<'a> PaymentJson<'a> {
    /// Writes a payment down.
    #[must_use]
    pub fn new(view: &PaymentView, currency: &'a Currency) -> Self {
        Self {
            payment_id: view.id.to_string(),
            reservation_id: view.reservation.to_string(),
            amount: view.amount.0,
            currency: currency.code(),
            method: PAYMENT_METHOD,
            status: status_word(&view.status),
            created_at: rfc3339(view.created_at),
            paid_at: view.paid_at.map(rfc3339),
            failure: payment_failure(&view.status),
        }
    }
}

impl<'a> OpenedJson<'a> {
    /// Writes a payment down as it was when it was opened, whatever has become of it, with its key: the same request
    /// is given the same answer.
    #[must_use]
    pub fn new(view: &PaymentView, currency: &'a Currency, provider: &'a str, signer: &TokenSigner) -> Self {
        let view = &PaymentView { status: PaymentStatus::Opened, paid_at: None, ..view.clone() };
        let checkout = Checkout {
            provider,
            order_name: format!("Reservation {}", view.reservation),
            transaction_id_prefixes: (provider == "simulated").then_some(PREFIXES),
        };
        let payment_key = signer.payment_key(view.id, view.buyer);
        Self { payment: PaymentJson::new(view, currency), payment_key, provider, checkout }
    }
}

/// A payment as it was when it had been paid, whatever has become of it since.
#[must_use]
pub fn as_paid(view: &PaymentView) -> PaymentView {
    PaymentView { status: PaymentStatus::Captured, ..view.clone() }
}

impl<'a> UnsettledJson<'a> {
    /// Writes a payment down that the buyer should ask about again.
    #[must_use]
    pub fn new(view: &PaymentView, currency: &'a Currency, poll_after_seconds: u32) -> Self {
        Self { payment: PaymentJson::new(view, currency), poll_after_seconds }
    }
}

/// API.md's word for it.
#[must_use]
pub fn status_word(status: &PaymentStatus) -> &'static str {
    match status {
        PaymentStatus::Opened | PaymentStatus::Charging => "PENDING",
        PaymentStatus::Captured => "SUCCESS",
        PaymentStatus::Failed(_) => "FAILED",
        PaymentStatus::Refunded { .. } => "REFUNDED",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{BuyerId, PaymentId, ReservationId};
    use onsale_engine::money::Amount;
    use onsale_engine::sale::{PaymentFailure, RefundReason};
    use onsale_engine::time::Timestamp;
    use serde_json::json;
    use uuid::Uuid;

    fn view(status: PaymentStatus) -> PaymentView {
        PaymentView {
            id: PaymentId(Uuid::from_u128(8)),
            reservation: ReservationId(Uuid::from_u128(7)),
            buyer: BuyerId(Uuid::nil()),
            amount: Amount(150_000),
            status,
            created_at: Timestamp::from_secs(1_780_308_000),
            paid_at: None,
        }
    }

    #[test]
    fn an_opened_payment_has_the_members_of_the_contract() {
        let signer = TokenSigner::new(b"an example secret of 32 bytes or more");
        let (currency, view) = ("KRW".parse().unwrap(), view(PaymentStatus::Opened));
        let opened = serde_json::to_value(OpenedJson::new(&view, &currency, "simulated", &signer)).unwrap();
        let members = json!({
            "paymentId": "00000000-0000-0000-0000-000000000008",
            "reservationId": "00000000-0000-0000-0000-000000000007",
            "amount": 150_000, "currency": "KRW", "method": "CARD", "status": "PENDING",
            "createdAt": "2026-06-01T10:00:00Z", "provider": "simulated",
        });
        for (name, value) in members.as_object().unwrap() {
            assert_eq!(&opened[name], value, "{name}");
        }
        assert!(signer.fits_payment_key(opened["paymentKey"].as_str().unwrap(), view.id, view.buyer));
        assert_eq!(opened["checkout"]["transactionIdPrefixes"][0]["prefix"], "sim_ok");
    }

    #[test]
    fn every_ending_has_its_word_and_its_reason() {
        let check = |status: PaymentStatus, word: &str, reason: Option<&str>| {
            assert_eq!((status_word(&status), payment_failure(&status).as_deref()), (word, reason));
        };
        let refunded = |reason| PaymentStatus::Refunded { reason, settled: false };
        check(PaymentStatus::Charging, "PENDING", None);
        check(PaymentStatus::Captured, "SUCCESS", None);
        check(PaymentStatus::Failed(PaymentFailure::Declined("X".into())), "FAILED", Some("DECLINED:X"));
        check(PaymentStatus::Failed(PaymentFailure::NotCharged), "FAILED", Some("NOT_CHARGED"));
        check(refunded(RefundReason::TooLate), "REFUNDED", Some("HOLD_EXPIRED"));
        check(refunded(RefundReason::BuyerCancelled), "REFUNDED", Some("BUYER_CANCELLED"));
        check(refunded(RefundReason::OperatorCancelled), "REFUNDED", Some("OPERATOR_CANCELLED"));
    }
}

//! The provider's outcomes: declined, another amount, repeated, not ordered.

use crate::id::PaymentId;
use crate::money::Amount;
use crate::sale::tests::stage::Stage;
use crate::sale::{ChargeOutcome, Fact, PaymentFailure, PaymentStatus, RefundReason, ReservationStatus};

fn refunds_ordered(stage: &Stage) -> Vec<(PaymentId, i64, RefundReason)> {
    let order = |entry: &crate::sale::Entry| match &entry.fact {
        Fact::RefundOrdered { payment, amount, reason } => Some((*payment, amount.0, *reason)),
        _ => None,
    };
    stage.journal.iter().filter_map(order).collect()
}

#[test]
fn a_decline_keeps_the_hold_until_it_expires() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.at("10:01:00").buyer(1).starts_paying(hold);
    stage.at("10:01:02").declines(payment).shows("A", "hh........");
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into())));
    let second = stage.buyer(1).opens_payment(hold);
    assert_ne!(second, payment);
    stage.buyer(1).confirms(second);
    stage.captures(second).shows("A", "ss........");
    let (mut stage, hold) = Stage::holding();
    let payment = stage.at("10:01:00").buyer(1).starts_paying(hold);
    stage.declines(payment).at("10:05:00").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn another_amount_is_given_back_and_the_hold_stays() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Captured { amount: Amount(150) }).shows("A", "hh........");
    assert_eq!(refunds_ordered(&stage), [(payment, 150, RefundReason::AmountMismatch)]);
    stage.refunds(payment);
    let settled = PaymentStatus::Refunded { reason: RefundReason::AmountMismatch, settled: true };
    assert_eq!(stage.payment(payment), settled);
    let again = stage.buyer(1).starts_paying(hold);
    stage.provider_says(again, ChargeOutcome::Captured { amount: Amount(201) }).shows("A", "hh........");
    assert_eq!(stage.payment(again), PaymentStatus::Refunded { reason: RefundReason::AmountMismatch, settled: false });
    stage.buyer(1).pays(hold);
    stage.shows("A", "ss........");
}

#[test]
fn repeated_outcomes_are_harmless() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.captures(payment);
    let seq = stage.sale.seq();
    stage.captures(payment).declines(payment);
    stage.provider_says(payment, ChargeOutcome::NotCharged).provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.sale.seq(), seq);
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured, "and so is asking");
    stage.buyer(1).cancels(hold);
    stage.captures(payment).refunds(payment);
    let seq = stage.sale.seq();
    stage.refunds(payment).captures(payment);
    assert_eq!(stage.sale.seq(), seq);
}

#[test]
fn a_repeated_decline_is_harmless() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.declines(payment);
    let seq = stage.sale.seq();
    stage.declines(payment).provider_says(payment, ChargeOutcome::NotCharged);
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.sale.seq(), seq);
}

#[test]
fn a_capture_that_was_not_ordered_yet_counts_too() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.captures(payment).shows("A", "ss........");
    assert_eq!(stage.status(hold), ReservationStatus::Confirmed);
    assert_eq!(stage.payment(payment), PaymentStatus::Captured);
}

//! Paying for a hold: opening, confirming, and everything that the provider may answer in time.

use crate::id::{PaymentId, ReservationId, TicketSerial};
use crate::money::Amount;
use crate::sale::stage::{Stage, time};
use crate::sale::{
    ChargeOutcome, Fact, PaymentFailure, PaymentStatus, RefundReason, Rejection, ReservationState, ReservationStatus,
};

/// Buyer 1 holds two seats for 200.
fn holding() -> (Stage, ReservationId) {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    let hold = stage.buyer(1).holds(["A-1", "A-2"]);
    (stage, hold)
}

fn refunds_ordered(stage: &Stage) -> Vec<(PaymentId, i64, RefundReason)> {
    let order = |entry: &crate::sale::Entry| match &entry.fact {
        Fact::RefundOrdered { payment, amount, reason } => Some((*payment, amount.0, *reason)),
        _ => None,
    };
    stage.journal.iter().filter_map(order).collect()
}

#[test]
fn a_payment_that_succeeds_sells_the_seats() {
    let (mut stage, hold) = holding();
    let payment = stage.at("10:01:00").buyer(1).opens_payment(hold);
    assert_eq!(stage.payment(payment), PaymentStatus::Opened);
    assert_eq!(stage.at("10:02:00").buyer(1).confirms(payment), PaymentStatus::Charging);
    stage.shows("A", "hh........");
    stage.at("10:02:03").captures(payment).shows("A", "ss........");
    let view = stage.reservation(hold);
    assert_eq!((view.status, view.ticket), (ReservationStatus::Confirmed, Some(TicketSerial(1))));
    assert_eq!(view.confirmed_at, Some(time("10:02:03")));
    assert_eq!(stage.sale.payment(payment).unwrap().paid_at, Some(time("10:02:03")));
    assert_eq!(stage.payment(payment), PaymentStatus::Captured);
    stage.at("10:30:00").shows("A", "ss........");
}

#[test]
fn tickets_are_numbered() {
    let (mut stage, hold) = holding();
    let other = stage.buyer(2).holds(["B-1"]);
    stage.buyer(2).pays(other);
    stage.buyer(1).pays(hold);
    assert_eq!(stage.reservation(other).ticket, Some(TicketSerial(1)));
    assert_eq!(stage.reservation(hold).ticket, Some(TicketSerial(2)));
}

#[test]
fn opening_again_gives_the_same_payment() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    let seq = stage.sale.seq();
    assert_eq!(stage.buyer(1).opens_payment(hold), payment);
    assert_eq!(stage.sale.seq(), seq);
    stage.buyer(1).confirms(payment);
    assert_eq!(stage.buyer(1).opens_payment(hold), payment, "also while it is charged");
}

#[test]
fn the_amount_must_be_what_the_seats_cost() {
    let (mut stage, hold) = holding();
    stage.buyer(1).cannot_open_payment(hold, 199).because(Rejection::AmountMismatch);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(payment, hold, 199).because(Rejection::AmountMismatch);
    stage.buyer(1).confirms(payment);
    stage.buyer(1).cannot_confirm_with(payment, hold, 199).because(Rejection::AmountMismatch);
}

#[test]
fn a_payment_belongs_to_its_reservation() {
    let (mut stage, hold) = holding();
    let other = stage.buyer(1).holds(["B-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(payment, other, 200).because(Rejection::PaymentNotFound);
    let nobodys = PaymentId(stage.next());
    stage.buyer(1).cannot_confirm_with(nobodys, hold, 200).because(Rejection::PaymentNotFound);
    let settle = crate::sale::Command::SettleCharge { payment: nobodys, outcome: ChargeOutcome::Unknown };
    assert_eq!(stage.tell(&settle), Err(Rejection::PaymentNotFound));
}

#[test]
fn only_pending_holds_in_time_are_paid() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage
        .unattended_at("10:05:00")
        .buyer(1)
        .cannot_confirm(payment)
        .because(Rejection::HoldExpired(ReservationState::Expired));
    stage.buyer(1).cannot_open_payment(hold, 200).because(Rejection::NotPending(ReservationState::Expired));
    stage.timers_ring();
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    stage.buyer(1).cannot_confirm(payment).because(Rejection::HoldExpired(ReservationState::Expired));
    let released = stage.buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(released);
    stage.buyer(1).releases(released);
    stage.buyer(1).cannot_confirm(payment).because(Rejection::HoldExpired(ReservationState::Released));
    let paid = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).pays(paid);
    stage.buyer(1).cannot_open_payment(paid, 100).because(Rejection::NotPending(ReservationState::Confirmed));
}

#[test]
fn a_changed_hold_fails_its_opened_payment() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).changes(hold, ["A-3", "A-4"]);
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    let status = stage.buyer(1).confirms(payment);
    assert_eq!(status, PaymentStatus::Failed(PaymentFailure::HoldEnded), "asking again tells the same");
    assert_ne!(stage.buyer(1).opens_payment(hold), payment);
    stage.buyer(1).pays(hold);
}

#[test]
fn a_decline_keeps_the_hold_until_it_expires() {
    let (mut stage, hold) = holding();
    let payment = stage.at("10:01:00").buyer(1).starts_paying(hold);
    stage.at("10:01:02").declines(payment).shows("A", "hh........");
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into())));
    let second = stage.buyer(1).opens_payment(hold);
    assert_ne!(second, payment);
    stage.buyer(1).confirms(second);
    stage.captures(second).shows("A", "ss........");
    let (mut stage, hold) = holding();
    let payment = stage.at("10:01:00").buyer(1).starts_paying(hold);
    stage.declines(payment).at("10:05:00").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn while_charging_the_hold_is_untouchable() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.buyer(1).cannot_change(hold, ["A-3"]).because(Rejection::PaymentInProgress);
    stage.buyer(1).cannot_release(hold).because(Rejection::PaymentInProgress);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Pending));
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Charging, "asking again starts nothing");
    stage.declines(payment).buyer(1).changes(hold, ["A-3"]);
}

#[test]
fn a_charge_keeps_its_hold_from_expiring_until_the_outcome() {
    let (mut stage, hold) = holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:05:30").shows("A", "hh........");
    stage.buyer(1).cannot_change(hold, ["A-3"]).because(Rejection::PaymentInProgress);
    stage.captures(payment).shows("A", "ss........");
}

#[test]
fn but_no_longer_than_the_timeout_and_a_minute() {
    let (mut stage, hold) = holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:06:08.999999").shows("A", "hh........");
    stage.at("10:06:09").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    assert_eq!(stage.payment(payment), PaymentStatus::Charging, "what became of the money is not known yet");
}

#[test]
fn a_charge_declined_after_the_hold_was_over_ends_it_at_once() {
    let (mut stage, hold) = holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:05:10").declines(payment);
    assert_eq!(stage.sale.next_deadline(), Some(time("10:05:00")));
    stage.timers_ring().shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn an_early_charge_does_not_shorten_the_hold() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.at("10:02:00").shows("A", "hh........");
    stage.declines(payment).at("10:04:59").shows("A", "hh........");
    stage.at("10:05:00").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn an_unknown_outcome_is_a_state_and_a_capture_settles_it() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.payment(payment), PaymentStatus::Charging);
    let seq = stage.sale.seq();
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.sale.seq(), seq, "it is told once");
    assert_eq!(stage.sale.open_money().0.len(), 1);
    stage.captures(payment).shows("A", "ss........");
    assert_eq!(stage.sale.open_money().0.len(), 0);
}

#[test]
fn an_unknown_outcome_that_was_no_charge_frees_the_hold_for_another() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Unknown).provider_says(payment, ChargeOutcome::NotCharged);
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::NotCharged));
    stage.buyer(1).pays(hold);
}

#[test]
fn another_amount_is_given_back_and_the_hold_stays() {
    let (mut stage, hold) = holding();
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
fn outcomes_told_again_are_harmless() {
    let (mut stage, hold) = holding();
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
fn a_declined_charge_told_again_is_harmless() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.declines(payment);
    let seq = stage.sale.seq();
    stage.declines(payment).provider_says(payment, ChargeOutcome::NotCharged);
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!(stage.sale.seq(), seq);
}

#[test]
fn a_capture_that_nobody_asked_for_yet_counts_too() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.captures(payment).shows("A", "ss........");
    assert_eq!(stage.status(hold), ReservationStatus::Confirmed);
    assert_eq!(stage.payment(payment), PaymentStatus::Captured);
}

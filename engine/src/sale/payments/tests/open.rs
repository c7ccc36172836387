//! Opening a payment: of a pending hold, for what its seats cost, once.

use crate::id::PaymentId;
use crate::sale::tests::stage::Stage;
use crate::sale::{ChargeOutcome, PaymentFailure, PaymentStatus, Rejection, ReservationState};

#[test]
fn opening_again_gives_the_same_payment() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).opens_payment(hold);
    let seq = stage.sale.seq();
    assert_eq!(stage.buyer(1).opens_payment(hold), payment);
    assert_eq!(stage.sale.seq(), seq);
    stage.buyer(1).confirms(payment);
    assert_eq!(stage.buyer(1).opens_payment(hold), payment, "also while it is charged");
}

#[test]
fn the_amount_must_be_what_the_seats_cost() {
    let (mut stage, hold) = Stage::holding();
    stage.buyer(1).cannot_open_payment(hold, 199).because(Rejection::AmountMismatch);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(payment, hold, 199).because(Rejection::AmountMismatch);
    stage.buyer(1).confirms(payment);
    stage.buyer(1).cannot_confirm_with(payment, hold, 199).because(Rejection::AmountMismatch);
}

#[test]
fn a_payment_belongs_to_its_reservation() {
    let (mut stage, hold) = Stage::holding();
    let other = stage.buyer(1).holds(["B-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(payment, other, 200).because(Rejection::PaymentNotFound);
    let nobodys = PaymentId(stage.next());
    stage.buyer(1).cannot_confirm_with(nobodys, hold, 200).because(Rejection::PaymentNotFound);
    let settle = crate::sale::Command::SettleCharge { payment: nobodys, outcome: ChargeOutcome::Unknown };
    assert_eq!(stage.submit(&settle), Err(Rejection::PaymentNotFound));
}

#[test]
fn only_pending_holds_in_time_are_paid() {
    let (mut stage, hold) = Stage::holding();
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
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).changes(hold, ["A-3", "A-4"]);
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    let status = stage.buyer(1).confirms(payment);
    assert_eq!(status, PaymentStatus::Failed(PaymentFailure::HoldEnded), "a repeat gets the same answer");
    assert_ne!(stage.buyer(1).opens_payment(hold), payment);
    stage.buyer(1).pays(hold);
}

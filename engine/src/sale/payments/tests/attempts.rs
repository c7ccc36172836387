//! Card testing: a hold may be charged again after a decline, but not for ever.

use crate::id::{PaymentId, ReservationId};
use crate::sale::tests::stage::Stage;
use crate::sale::{ChargeOutcome, PaymentFailure, PaymentStatus, Rejection, ReservationStatus, Sale};

/// Buyer 1 holds a seat, and so many charges of it were declined; the last of them.
fn declined(times: usize) -> (Stage, ReservationId, PaymentId) {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let mut last = None;
    for _ in 0..times {
        let payment = stage.buyer(1).starts_paying(hold);
        stage.declines(payment);
        last = Some(payment);
    }
    (stage, hold, last.expect("at least one"))
}

#[test]
fn the_fifth_declined_charge_is_the_last() {
    let (mut stage, hold, _) = declined(4);
    let last = stage.buyer(1).starts_paying(hold);
    stage.declines(last);
    stage.buyer(1).cannot_open_payment(hold, 100).because(Rejection::PaymentAttemptsExceeded);
    stage.buyer(1).cannot_confirm_by("sim_another", last).because(Rejection::PaymentAttemptsExceeded);
    assert!(matches!(stage.buyer(1).confirms(last), PaymentStatus::Failed(_)), "a repeat is answered as before");
    assert_eq!(stage.status(hold), ReservationStatus::Pending, "the seats stay until the hold ends");
}

#[test]
fn four_are_not_too_many() {
    let (mut stage, hold, last) = declined(4);
    assert!(matches!(stage.buyer(1).confirms(last), PaymentStatus::Failed(_)));
    stage.buyer(1).pays(hold);
}

#[test]
fn changing_the_hold_does_not_reset_the_count_but_another_hold_does() {
    let (mut stage, hold, _) = declined(5);
    stage.buyer(1).changes(hold, ["A-2"]);
    stage.buyer(1).cannot_open_payment(hold, 100).because(Rejection::PaymentAttemptsExceeded);
    let other = stage.buyer(1).holds(["A-3"]);
    stage.buyer(1).pays(other);
}

#[test]
fn only_what_was_declined_counts() {
    let (mut stage, hold, _) = declined(4);
    for _ in 0..3 {
        let payment = stage.buyer(1).starts_paying(hold);
        stage.provider_says(payment, ChargeOutcome::NotCharged);
        assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::NotCharged));
    }
    let payment = stage.buyer(1).starts_paying(hold);
    stage.declines(payment).declines(payment);
    stage.buyer(1).cannot_open_payment(hold, 100).because(Rejection::PaymentAttemptsExceeded);
    // The provider was wrong about one of them: its money came after all.
    stage.captures(payment);
    assert_eq!(stage.status(hold), ReservationStatus::Confirmed);
}

#[test]
fn the_count_outlives_a_restart_from_facts_and_from_a_snapshot() {
    let (mut stage, hold, _) = declined(5);
    stage.restarts().buyer(1).cannot_open_payment(hold, 100).because(Rejection::PaymentAttemptsExceeded);
    stage.sale = Sale::from_snapshot(stage.sale.snapshot());
    stage.buyer(1).cannot_open_payment(hold, 100).because(Rejection::PaymentAttemptsExceeded);
}

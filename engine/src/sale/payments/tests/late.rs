//! Money that comes after its hold has ended: the same seats, else an equal block, else it is given back; once.

use crate::id::{PaymentId, ReservationId};
use crate::sale::tests::stage::Stage;
use crate::sale::{
    ChargeOutcome, PaymentFailure, PaymentStatus, RefundReason, Rejection, ReservationState, ReservationStatus,
};

/// Buyer 1's hold of has expired while its charge was unknown.
fn expired() -> (Stage, ReservationId, PaymentId) {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    let payment = stage.at("10:04:00").buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Unknown).at("10:10:00").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    (stage, hold, payment)
}

fn refunded(reason: RefundReason) -> PaymentStatus {
    PaymentStatus::Refunded { reason, settled: false }
}

#[test]
fn the_same_seats_if_they_are_free() {
    let (mut stage, hold, payment) = expired();
    stage.captures(payment).shows("A", "ss........");
    assert_eq!((stage.status(hold), stage.payment(payment)), (ReservationStatus::Confirmed, PaymentStatus::Captured));
    assert_eq!(stage.buyer(1).cancels(hold).0, 200);
}

#[test]
fn else_an_equal_block() {
    let (mut stage, hold, payment) = expired();
    stage.buyer(2).holds(["A-2"]);
    stage.captures(payment).shows("A", ".hss......");
    assert_eq!(stage.seats_of(hold), ["A-3", "A-4"]);
    assert_eq!(stage.status(hold), ReservationStatus::Confirmed);
}

#[test]
fn else_it_is_given_back() {
    let (mut stage, hold, payment) = expired();
    stage.begins_with("A", ".h.h.h.h.h");
    stage.captures(payment);
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Expired, refunded(RefundReason::TooLate))
    );
    stage.captures(payment).captures(payment).refunds(payment);
    let settled = PaymentStatus::Refunded { reason: RefundReason::TooLate, settled: true };
    assert_eq!(stage.payment(payment), settled);
}

#[test]
fn an_equal_block_is_of_the_same_category() {
    let (mut stage, hold, payment) = expired();
    stage.begins_with("A", "hhhhhhhhhh");
    stage.captures(payment).shows("B", "..........");
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Expired, refunded(RefundReason::TooLate))
    );
}

#[test]
fn seats_of_two_categories_have_no_equal_block() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "B-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.at("10:10:00").buyer(2).holds(["B-1"]);
    stage.captures(payment);
    assert_eq!(stage.payment(payment), refunded(RefundReason::TooLate));
    let again = stage.buyer(1).holds(["A-1", "B-2"]);
    let payment = stage.buyer(1).starts_paying(again);
    stage.at("10:20:00").captures(payment).shows("A", "s.........").shows("B", ".s........");
    assert_eq!(stage.status(again), ReservationStatus::Confirmed);
}

#[test]
fn not_beyond_the_limit() {
    let (mut stage, hold, payment) = expired();
    stage.buyer(1).holds(["B-1", "B-2", "B-3"]);
    stage.captures(payment);
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Expired, refunded(RefundReason::TooLate))
    );
}

#[test]
fn a_late_decline_changes_no_seats() {
    let (mut stage, hold, payment) = expired();
    stage.declines(payment).shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into())));
}

#[test]
fn money_after_a_failure_still_buys_the_hold() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::NotCharged).captures(payment).shows("A", "s.........");
    assert_eq!((stage.status(hold), stage.payment(payment)), (ReservationStatus::Confirmed, PaymentStatus::Captured));
}

#[test]
fn money_after_a_failure_is_given_back_when_the_hold_was_released() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::NotCharged).buyer(1).releases(hold);
    stage.captures(payment).shows("A", "..........");
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Cancelled, refunded(RefundReason::TooLate))
    );
}

#[test]
fn money_for_a_hold_that_has_changed_its_price_is_given_back() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.declines(payment).buyer(1).changes(hold, ["B-1"]);
    stage.captures(payment).shows("B", "h.........");
    assert_eq!(stage.payment(payment), refunded(RefundReason::TooLate));
}

#[test]
fn of_two_payments_that_both_come_one_is_given_back() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let first = stage.buyer(1).starts_paying(hold);
    stage.provider_says(first, ChargeOutcome::NotCharged);
    let second = stage.buyer(1).starts_paying(hold);
    stage.captures(first).captures(second);
    assert_eq!(stage.payment(first), PaymentStatus::Captured);
    assert_eq!(stage.payment(second), refunded(RefundReason::TooLate));
    assert_eq!(stage.buyer(1).cancels(hold).0, 100);
    assert_eq!(stage.payment(first), refunded(RefundReason::BuyerCancelled));
}

#[test]
fn while_its_outcome_is_open_an_ended_reservation_is_kept() {
    let (stage, hold, payment) = expired();
    let (charging, refunding) = stage.sale.open_money();
    assert_eq!((charging.len(), refunding.len()), (1, 0));
    assert_eq!((charging[0].view.id, charging[0].view.reservation), (payment, hold));
}

#[test]
fn a_payment_that_is_not_needed_any_more_fails() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let first = stage.buyer(1).starts_paying(hold);
    stage.provider_says(first, ChargeOutcome::NotCharged);
    let second = stage.buyer(1).opens_payment(hold);
    stage.captures(first);
    assert_eq!(stage.payment(second), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    stage.buyer(1).cannot_confirm(second).because(Rejection::HoldExpired(ReservationState::Confirmed));
}

#[test]
fn ended_reservations_are_forgotten_beyond_a_bound_but_not_while_money_is_open() {
    let (mut stage, hold, payment) = expired();
    let other = stage.buyer(3).holds(["A-5"]);
    stage.buyer(3).releases(other);
    stage.churns(crate::limits::ENDED_RESERVATIONS_KEPT - 2);
    for _ in 0..6 {
        stage.churns(1);
        let snapshot = stage.sale.snapshot();
        let mut restored = crate::sale::Sale::from_snapshot(snapshot.clone());
        assert!(restored.snapshot() == snapshot);
        let before = stage.journal.len();
        stage.churns(1);
        stage.journal[before..].iter().for_each(|entry| restored.apply(entry));
        assert!(restored.snapshot() == stage.sale.snapshot(), "it goes on from a snapshot as if nothing had happened");
    }
    assert!(stage.sale.reservation(other).is_none(), "forgotten");
    assert!(stage.sale.reservation(hold).is_some(), "its money is open");
    stage.captures(payment);
    assert_eq!(stage.status(hold), ReservationStatus::Confirmed);
    stage.churns(100);
    assert!(stage.sale.snapshot().reservations.len() <= crate::limits::ENDED_RESERVATIONS_KEPT + 1);
}

//! The end of a hold by time, and the charge that extends it.

use crate::sale::tests::stage::{Stage, time};
use crate::sale::{PaymentStatus, Rejection, ReservationState, ReservationStatus};

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn an_expiry_is_taken_late_but_seats_are_not_given_away_before_it() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.unattended_at("10:20:00").buyer(2).cannot_hold(["A-1"]).taken(["A-1"]);
    stage.buyer(1).cannot_open_payment(hold, 100).because(Rejection::NotPending(ReservationState::Expired));
    stage.timers_ring().buyer(2).holds(["A-1"]);
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn holds_end_in_the_order_of_their_making_whatever_happened_between() {
    let mut stage = on_sale();
    let first = stage.buyer(1).holds(["A-1"]);
    let second = stage.at("10:01:00").buyer(2).holds(["A-2"]);
    let third = stage.at("10:02:00").buyer(3).holds(["A-3"]);
    stage.buyer(2).releases(second);
    assert_eq!(stage.sale.next_deadline(), Some(time("10:05:00")));
    stage.at("10:06:00").shows("A", "..h.......");
    assert_eq!(stage.status(first), ReservationStatus::Expired);
    stage.at("10:07:00").shows("A", "..........");
    assert_eq!(stage.status(third), ReservationStatus::Expired);
    assert_eq!(stage.sale.next_deadline(), None);
}

#[test]
fn a_charge_keeps_its_hold_from_expiring_until_the_outcome() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:05:30").shows("A", "hh........");
    stage.buyer(1).cannot_change(hold, ["A-3"]).because(Rejection::PaymentInProgress);
    stage.captures(payment).shows("A", "ss........");
}

#[test]
fn but_no_longer_than_the_timeout_and_a_minute() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:06:08.999999").shows("A", "hh........");
    stage.at("10:06:09").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    assert_eq!(stage.payment(payment), PaymentStatus::Charging, "what became of the money is not known yet");
}

#[test]
fn a_charge_declined_after_the_hold_was_over_ends_it_at_once() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.at("10:04:59").buyer(1).starts_paying(hold);
    stage.at("10:05:10").declines(payment);
    assert_eq!(stage.sale.next_deadline(), Some(time("10:05:00")));
    stage.timers_ring().shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

#[test]
fn an_early_charge_does_not_shorten_the_hold() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.at("10:02:00").shows("A", "hh........");
    stage.declines(payment).at("10:04:59").shows("A", "hh........");
    stage.at("10:05:00").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

//! Charging a payment, and what the hold may not do meanwhile.

use crate::id::TicketSerial;
use crate::sale::tests::stage::{Stage, time};
use crate::sale::{PaymentStatus, Rejection, ReservationState, ReservationStatus};

#[test]
fn a_payment_that_succeeds_sells_the_seats() {
    let (mut stage, hold) = Stage::holding();
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
    let (mut stage, hold) = Stage::holding();
    let other = stage.buyer(2).holds(["B-1"]);
    stage.buyer(2).pays(other);
    stage.buyer(1).pays(hold);
    assert_eq!(stage.reservation(other).ticket, Some(TicketSerial(1)));
    assert_eq!(stage.reservation(hold).ticket, Some(TicketSerial(2)));
}

#[test]
fn while_charging_the_hold_is_untouchable() {
    let (mut stage, hold) = Stage::holding();
    let payment = stage.buyer(1).starts_paying(hold);
    stage.buyer(1).cannot_change(hold, ["A-3"]).because(Rejection::PaymentInProgress);
    stage.buyer(1).cannot_release(hold).because(Rejection::PaymentInProgress);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Pending));
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Charging, "asking again starts nothing");
    stage.declines(payment).buyer(1).changes(hold, ["A-3"]);
}

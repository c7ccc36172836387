//! Cancelling a sale: everybody is refunded in bounded steps, and nothing is begun any more.

use crate::sale::tests::stage::{Stage, admin};
use crate::sale::{
    Closed, Command, Fact, PaymentFailure, PaymentStatus, PlaceStatus, RefundReason, Rejection, ReservationStatus,
    SalePhase,
};

fn refunded(reason: RefundReason) -> PaymentStatus {
    PaymentStatus::Refunded { reason, settled: false }
}

#[test]
fn a_cancelled_sale_refunds_everyone_in_steps() {
    let mut stage = Stage::with_room();
    for buyer in 1..=6 {
        stage.buyer(buyer).enters();
    }
    stage.at("10:00:00.25").pauses(true);
    let (paid, held, opened) =
        (stage.buyer(1).holds(["A-1"]), stage.buyer(2).holds(["A-2"]), stage.buyer(3).holds(["A-3"]));
    let payment = stage.buyer(1).pays(paid);
    let second = stage.buyer(3).opens_payment(opened);
    stage.cancels_the_sale().shows("A", "shh.......");
    assert_eq!(stage.sale.phase(), SalePhase::Cancelled);
    let mut steps = 0;
    while stage.sale.next_deadline().is_some_and(|due| due <= stage.now) {
        assert!(stage.step().len() <= 2, "a step is small");
        steps += 1;
    }
    assert_eq!(steps, 3 + 3 + 2, "three reservations, three who wait, two who shop");
    stage.shows("A", "..........");
    for id in [paid, held, opened] {
        assert_eq!(stage.status(id), ReservationStatus::Cancelled);
    }
    assert_eq!(stage.payment(payment), refunded(RefundReason::SaleCancelled));
    assert_eq!(stage.payment(second), PaymentStatus::Failed(PaymentFailure::SaleCancelled));
    assert_eq!(stage.buyer(5).place(), Some(PlaceStatus::Expired));
    assert_eq!(stage.sale.next_deadline(), None);
    stage.buyer(1).with_token(crate::id::Slot(1)).cannot_hold(["A-1"]).because(Rejection::SaleCancelled);
    stage.buyer(1).cannot_enter().because(Rejection::SaleClosed(Closed::Cancelled));
}

#[test]
fn one_that_is_being_charged_waits_for_its_outcome() {
    let mut stage = Stage::theatre();
    let (first, second) = (stage.at("10:00:00").buyer(1).holds(["A-1"]), stage.buyer(2).holds(["A-2"]));
    let third = stage.buyer(3).holds(["A-3"]);
    let (captured, declined) = (stage.buyer(1).starts_paying(first), stage.buyer(2).starts_paying(second));
    stage.cancels_the_sale().timers_ring().shows("A", "hh........");
    assert_eq!(stage.status(third), ReservationStatus::Cancelled);
    stage.captures(captured).timers_ring().shows("A", ".h........");
    assert_eq!(stage.payment(captured), refunded(RefundReason::SaleCancelled));
    assert_eq!(stage.status(first), ReservationStatus::Cancelled);
    stage.declines(declined).timers_ring().shows("A", "..........");
    assert_eq!(stage.sale.next_deadline(), None);
}

#[test]
fn a_charge_that_is_never_answered_does_not_keep_a_cancelled_sale() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.at("10:04:30").buyer(1).starts_paying(hold);
    stage.cancels_the_sale().at("10:05:40").shows("A", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    stage.captures(payment);
    assert_eq!(stage.payment(payment), refunded(RefundReason::SaleCancelled));
}

#[test]
fn a_cancelled_sale_goes_on_clearing_after_a_restart() {
    let mut stage = Stage::theatre();
    for (buyer, seat) in (1..=3).zip(["A-1", "A-2", "A-3"]) {
        let hold = stage.at("10:00:00").buyer(buyer).holds([seat]);
        stage.buyer(buyer).pays(hold);
    }
    stage.cancels_the_sale();
    assert!(matches!(stage.step()[..], [Fact::ReservationCancelled { .. }, Fact::RefundOrdered { .. }]));
    stage.restarts().timers_ring().shows("A", "..........");
    assert_eq!(stage.sale.open_money().1.len(), 3);
}

#[test]
fn nothing_is_begun_in_a_cancelled_sale() {
    let mut stage = Stage::theatre();
    let (one, two) = (stage.at("10:00:00").buyer(1).holds(["A-1"]), stage.buyer(2).holds(["A-2"]));
    let opened = stage.buyer(1).opens_payment(one);
    stage.cancels_the_sale();
    stage.buyer(1).cannot_confirm(opened).because(Rejection::SaleCancelled);
    stage.buyer(2).cannot_open_payment(two, 100).because(Rejection::SaleCancelled);
    stage.buyer(2).cannot_change(two, ["A-3"]).because(Rejection::SaleCancelled);
    stage.buyer(3).cannot_hold(["A-3"]).because(Rejection::SaleCancelled);
    stage.buyer(2).releases(two);
    let seq = stage.sale.seq();
    stage.cancels_the_sale();
    assert_eq!(stage.sale.seq(), seq, "cancelling again is no fact");
    let change = crate::sale::SteeringChange { paused: Some(true), ..Default::default() };
    assert_eq!(stage.submit(&Command::Steer { change, by: admin() }), Err(Rejection::SaleClosed(Closed::Cancelled)));
    assert_eq!(stage.reconfigures(|_| ()), Err(Rejection::SaleClosed(Closed::Cancelled)));
}

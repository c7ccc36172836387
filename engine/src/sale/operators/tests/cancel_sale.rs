//! Cancelling: a buyer's own reservation within its window, the whole sale in bounded steps, an event without
//! reservations; and changing the rules before the sale opens.

use crate::money::Amount;
use crate::sale::stage::{Stage, admin, time};
use crate::sale::{
    Closed, Command, Fact, PaymentFailure, PaymentStatus, PlaceStatus, RefundReason, Rejection, ReservationState,
    ReservationStatus, SalePhase,
};

fn refunded(reason: RefundReason) -> PaymentStatus {
    PaymentStatus::Refunded { reason, settled: false }
}

fn retire(stage: &mut Stage) -> Result<crate::sale::Reply, Rejection> {
    stage.tell(&Command::Retire { by: admin() })
}

#[test]
fn a_buyer_cancels_and_is_refunded() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    let payment = stage.buyer(1).pays(hold);
    assert_eq!(stage.buyer(1).cancels(hold), Amount(200));
    stage.shows("A", "..........");
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Cancelled, refunded(RefundReason::BuyerCancelled))
    );
    assert_eq!(stage.sale.open_money().1.len(), 1);
    stage.refunds(payment);
    assert_eq!(stage.sale.open_money().1.len(), 0);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Cancelled));
    stage.buyer(2).holds(["A-1", "A-2"]);
}

#[test]
fn only_what_is_confirmed_and_only_until_the_day_of_the_event() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Pending));
    stage.buyer(1).pays(hold);
    stage.at("18:00:00").buyer(1).cannot_cancel(hold).because(Rejection::CancellationClosed);
    stage.at("17:59:59.999999").buyer(1).cancels(hold);
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
fn an_event_without_reservations_can_be_retired() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    assert_eq!(retire(&mut stage), Err(Rejection::HasReservations));
    stage.buyer(1).releases(hold);
    retire(&mut stage).unwrap();
    assert_eq!(stage.sale.phase(), SalePhase::Retired);
    stage.buyer(1).cannot_hold(["A-1"]).because(Rejection::NoSale);
    stage.buyer(1).cannot_enter().because(Rejection::NoSale);
    assert_eq!(stage.reconfigures(|_| ()), Err(Rejection::NoSale));
    assert_eq!(retire(&mut stage), Err(Rejection::NoSale));
    assert_eq!(stage.tell(&Command::CancelSale { by: admin() }), Err(Rejection::NoSale));
}

#[test]
fn a_retired_event_lets_go_of_everyone_in_its_room() {
    let mut stage = Stage::with_room();
    stage.pauses(true).at("10:00:00").buyer(1).enters();
    stage.buyer(2).enters();
    retire(&mut stage).unwrap();
    stage.timers_ring();
    assert!(stage.sale.everyone_in_room().is_empty(), "they may wait elsewhere");
}

#[test]
fn the_rules_change_until_the_sale_opens() {
    let mut stage = Stage::theatre();
    stage.at("09:59:59").reconfigures(|config| config.max_seats_per_buyer = 1).unwrap();
    stage.at("10:00:00");
    assert_eq!(stage.reconfigures(|config| config.max_seats_per_buyer = 2), Err(Rejection::SaleStarted));
    stage.buyer(1).cannot_hold(["A-1", "A-2"]).because(Rejection::SeatLimitExceeded { limit: 1, has: 0 });
}

#[test]
fn changed_rules_keep_what_an_operator_has_switched() {
    let mut stage = Stage::with_room();
    stage.pauses(true).reconfigures(|config| config.admission.rate_per_second = 3).unwrap();
    let steering = stage.sale.steering().unwrap().steering;
    assert_eq!((steering.paused, steering.rate_per_second), (true, 3));
}

#[test]
fn another_hall_may_be_chosen_before_the_opening() {
    let mut stage = Stage::theatre();
    let plan = crate::plan::Plan::compile(&crate::sale::stage::drawn(&["VV"]), crate::id::PlanHash([9; 32])).unwrap();
    let config = Box::new(crate::sale::stage::rules(1));
    stage.tell(&Command::Configure { config, plan: plan.into(), by: admin() }).unwrap();
    stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    assert_eq!(stage.sale.counts().available, 0);
    stage.buyer(1).cannot_hold(["B-1"]).because(Rejection::SeatNotFound);
    stage.at("10:00:01");
    assert_eq!(stage.now, time("10:00:01"));
}

#[test]
fn before_it_is_made_there_is_no_sale() {
    let mut sale = crate::sale::Sale::new();
    let enter = Command::Enter { buyer: admin() };
    assert_eq!(sale.decide(&enter, time("10:00:00"), crate::id::Epoch(1)).unwrap_err(), Rejection::NoSale);
    assert!(sale.next_deadline().is_none() && sale.config().is_none() && sale.steering().is_none());
    assert!(sale.place(admin(), time("10:00:00")).is_none() && sale.check_invariants().is_empty());
    sale = crate::sale::Sale::from_snapshot(sale.snapshot());
    assert_eq!(sale.snapshot(), crate::sale::Sale::default().snapshot());
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
    assert_eq!(stage.tell(&Command::Steer { change, by: admin() }), Err(Rejection::SaleClosed(Closed::Cancelled)));
    assert_eq!(stage.reconfigures(|_| ()), Err(Rejection::SaleClosed(Closed::Cancelled)));
}

//! Changing the rules or the hall before the sale opens.

use crate::sale::tests::stage::{Stage, admin, time};
use crate::sale::{Command, Rejection};

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
    let plan =
        crate::plan::Plan::compile(&crate::sale::tests::stage::drawn(&["VV"]), crate::id::PlanHash([9; 32])).unwrap();
    let config = Box::new(crate::sale::tests::stage::rules(1));
    stage.submit(&Command::Configure { config, plan: plan.into(), by: admin() }).unwrap();
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

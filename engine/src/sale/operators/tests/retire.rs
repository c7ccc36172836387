//! Retiring an event without reservations.

use crate::sale::tests::stage::{Stage, admin};
use crate::sale::{Command, Rejection, SalePhase};

fn retire(stage: &mut Stage) -> Result<crate::sale::Reply, Rejection> {
    stage.submit(&Command::Retire { by: admin() })
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
    assert_eq!(stage.submit(&Command::CancelSale { by: admin() }), Err(Rejection::NoSale));
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

//! Steering: switches of the waiting room, and when they hold.

use crate::sale::tests::stage::Stage;
use crate::sale::{Closed, PlaceStatus, Rejection, SteeringChange};

fn close(stage: &mut Stage, closed: bool) {
    stage.steer(SteeringChange { closed: Some(closed), ..SteeringChange::default() });
}

#[test]
fn a_closed_room_keeps_its_line_and_its_shoppers() {
    let mut stage = Stage::crowd();
    stage.at("10:00:00");
    close(&mut stage, true);
    stage.at("10:00:10");
    assert!(stage.buyer(1).is_active());
    assert_eq!(stage.buyer(2).rank(), Some(1), "nobody is admitted");
    stage.buyer(4).cannot_enter().because(Rejection::SaleClosed(Closed::ByOperator));
    assert_eq!(stage.buyer(2).enters(), PlaceStatus::Waiting { rank: 1 }, "a place that stands is answered");
    stage.buyer(1).holds(["A-1"]);
    close(&mut stage, false);
    stage.at("10:00:11");
    assert!(stage.buyer(2).is_active() && stage.buyer(3).is_active());
}

#[test]
fn the_switch_of_required_holds_at_once() {
    let mut stage = Stage::crowd();
    stage.at("10:00:00");
    stage.buyer(2).cannot_hold(["A-2"]).because(Rejection::NoSlot);
    stage.requires(false).buyer(2).holds(["A-2"]);
    assert!(stage.buyer(3).is_active());
    stage.at("10:01:00").requires(true);
    assert_eq!(stage.buyer(3).rank(), Some(2), "the line has stood still");
    stage.buyer(3).cannot_hold(["A-3"]).because(Rejection::NoSlot);
    stage.at("10:01:01").buyer(3).holds(["A-3"]);
}

#[test]
fn steering_to_what_is_already_so_is_no_fact() {
    let mut stage = Stage::crowd();
    stage.pauses(true);
    let seq = stage.sale.seq();
    stage.pauses(true);
    assert_eq!(stage.sale.seq(), seq);
    let steering = stage.steer(SteeringChange { message: Some(Some("soon".into())), ..SteeringChange::default() });
    assert_eq!((steering.paused, steering.message.as_deref()), (true, Some("soon")));
}

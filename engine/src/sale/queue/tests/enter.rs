//! Entering the line and leaving it: order, capacity, times.

use crate::sale::tests::stage::Stage;
use crate::sale::{Closed, PlaceStatus, Rejection};

#[test]
fn first_come_first_in_line() {
    let mut stage = Stage::crowd();
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::PreQueue { rank: Some(1) }));
    assert_eq!(stage.buyer(3).place(), Some(PlaceStatus::PreQueue { rank: Some(3) }));
    assert_eq!(stage.buyer(4).place(), None);
    assert_eq!(stage.sale.place(crate::sale::tests::stage::buyer(1), stage.now).unwrap().total_in_queue, 3);
}

#[test]
fn entering_again_gives_the_same_place() {
    let mut stage = Stage::crowd();
    let seq = stage.sale.seq();
    assert_eq!(stage.buyer(2).enters(), PlaceStatus::PreQueue { rank: Some(2) });
    assert_eq!(stage.sale.seq(), seq);
    stage.at("10:00:00.1");
    assert_eq!(stage.buyer(2).place(), stage.buyer(2).enters().into());
    assert!(stage.buyer(2).is_active());
}

#[test]
fn who_leaves_makes_room_for_those_behind_and_joins_at_the_end_again() {
    let mut stage = Stage::crowd();
    stage.buyer(1).leaves();
    assert_eq!((stage.buyer(1).place(), stage.buyer(2).rank(), stage.buyer(3).rank()), (None, Some(1), Some(2)));
    stage.buyer(1).enters();
    assert_eq!(stage.buyer(1).rank(), Some(3));
    stage.buyer(9).leaves();
}

#[test]
fn an_expired_place_can_be_left() {
    let mut stage = Stage::crowd();
    stage.buyer(1).goes_silent();
    stage.buyer(2).goes_silent();
    stage.buyer(2).leaves();
    stage.buyer(1).leaves();
    assert_eq!((stage.buyer(1).place(), stage.buyer(2).place()), (None, None));
}

#[test]
fn the_room_is_full_at_its_capacity() {
    let mut stage = Stage::with_room().rules(|config| config.admission.capacity = 2);
    stage.buyer(1).enters();
    stage.buyer(2).enters();
    stage.buyer(3).cannot_enter().because(Rejection::QueueFull);
    stage.buyer(1).enters();
    stage.buyer(2).leaves();
    stage.buyer(3).enters();
    stage.at("10:00:00").buyer(4).enters();
    stage.buyer(5).cannot_enter().because(Rejection::QueueFull);
}

#[test]
fn the_room_may_open_later_than_the_event_is_made() {
    let mut stage = Stage::with_room()
        .rules(|config| config.admission.room_opens_at = Some(crate::sale::tests::stage::time("09:45:00")));
    stage.at("09:44:59.999999").buyer(1).cannot_enter().because(Rejection::SaleNotOpen);
    stage.at("09:45:00").buyer(1).enters();
}

#[test]
fn nobody_enters_when_the_sale_is_over() {
    let mut stage = Stage::crowd();
    stage.at("12:00:00").buyer(4).cannot_enter().because(Rejection::SaleClosed(Closed::Ended));
}

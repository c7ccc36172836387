//! The waiting room: entering, ranks, leaving, absence, how long an expired place is told of, and the operator's
//! switches for it.

use crate::id::Ordinal;
use crate::limits::{LOST_ORDINALS, ORDINAL_BLOCK};
use crate::sale::stage::Stage;
use crate::sale::{Closed, Fact, PlaceStatus, Rejection, SteeringChange};

/// Three buyers wait for ten o'clock.
fn crowd() -> Stage {
    let mut stage = Stage::with_room();
    for buyer in 1..=3 {
        stage.at("09:30:00").buyer(buyer).enters();
    }
    stage
}

fn close(stage: &mut Stage, closed: bool) {
    stage.steer(SteeringChange { closed: Some(closed), ..SteeringChange::default() });
}

#[test]
fn first_come_first_in_line() {
    let mut stage = crowd();
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::PreQueue { rank: Some(1) }));
    assert_eq!(stage.buyer(3).place(), Some(PlaceStatus::PreQueue { rank: Some(3) }));
    assert_eq!(stage.buyer(4).place(), None);
    assert_eq!(stage.sale.place(crate::sale::stage::buyer(1), stage.now).unwrap().total_in_queue, 3);
}

#[test]
fn entering_again_gives_the_same_place() {
    let mut stage = crowd();
    let seq = stage.sale.seq();
    assert_eq!(stage.buyer(2).enters(), PlaceStatus::PreQueue { rank: Some(2) });
    assert_eq!(stage.sale.seq(), seq);
    stage.at("10:00:00.1");
    assert_eq!(stage.buyer(2).place(), stage.buyer(2).enters().into());
    assert!(stage.buyer(2).is_active());
}

#[test]
fn who_leaves_makes_room_for_those_behind_and_joins_at_the_end_again() {
    let mut stage = crowd();
    stage.buyer(1).leaves();
    assert_eq!((stage.buyer(1).place(), stage.buyer(2).rank(), stage.buyer(3).rank()), (None, Some(1), Some(2)));
    stage.buyer(1).enters();
    assert_eq!(stage.buyer(1).rank(), Some(3));
    stage.buyer(9).leaves();
}

#[test]
fn who_is_not_heard_of_is_expired_and_joins_at_the_end() {
    let mut stage = crowd();
    stage.buyer(1).goes_silent();
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
    assert_eq!(stage.buyer(2).rank(), Some(1));
    stage.buyer(1).enters();
    assert_eq!(stage.buyer(1).rank(), Some(3));
    stage.at("10:00:00.5").buyer(2).goes_silent();
    assert!(stage.buyer(2).is_active(), "who shops is not absent");
}

#[test]
fn an_expired_place_is_told_of_for_ten_minutes() {
    let mut stage = crowd();
    stage.buyer(1).goes_silent();
    stage.at("09:39:59.999999");
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
    stage.at("09:40:00");
    assert_eq!(stage.buyer(1).place(), None);
    stage.buyer(4).enters();
    assert_eq!(stage.buyer(1).place(), None);
    assert_eq!(stage.sale.snapshot().room.places.len(), 3, "and then forgotten");
}

#[test]
fn an_expired_place_can_be_left() {
    let mut stage = crowd();
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
    let mut stage =
        Stage::with_room().rules(|config| config.admission.room_opens_at = Some(crate::sale::stage::time("09:45:00")));
    stage.at("09:44:59.999999").buyer(1).cannot_enter().because(Rejection::SaleNotOpen);
    stage.at("09:45:00").buyer(1).enters();
}

#[test]
fn nobody_enters_when_the_sale_is_over() {
    let mut stage = crowd();
    stage.at("12:00:00").buyer(4).cannot_enter().because(Rejection::SaleClosed(Closed::Ended));
}

#[test]
fn a_closed_room_keeps_its_line_and_its_shoppers() {
    let mut stage = crowd();
    stage.at("10:00:00");
    close(&mut stage, true);
    stage.at("10:00:10");
    assert!(stage.buyer(1).is_active());
    assert_eq!(stage.buyer(2).rank(), Some(1), "nobody is admitted");
    stage.buyer(4).cannot_enter().because(Rejection::SaleClosed(Closed::ByOperator));
    assert_eq!(stage.buyer(2).enters(), PlaceStatus::Waiting { rank: 1 }, "a place that stands is told");
    stage.buyer(1).holds(["A-1"]);
    close(&mut stage, false);
    stage.at("10:00:11");
    assert!(stage.buyer(2).is_active() && stage.buyer(3).is_active());
}

#[test]
fn where_admission_is_not_required_everyone_is_in() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    let PlaceStatus::Active { slot: None, .. } = stage.buyer(1).enters() else { panic!("not let in") };
    assert_eq!(stage.sale.steering().unwrap().active, 0, "and counts nowhere");
    stage.buyer(1).without_token().holds(["A-1"]);
}

#[test]
fn the_switch_of_required_holds_at_once() {
    let mut stage = crowd();
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
fn with_a_draw_no_rank_is_told_before_the_opening() {
    let mut stage = Stage::with_room().rules(|config| config.admission.draw = true);
    assert_eq!(stage.buyer(1).enters(), PlaceStatus::PreQueue { rank: None });
}

#[test]
fn ordinals_are_reserved_in_blocks_and_never_issued_twice() {
    let mut stage = crowd();
    let reserved = |stage: &Stage| {
        let block = |entry: &crate::sale::Entry| match entry.fact {
            Fact::OrdinalsReserved { first, last, .. } => Some((first.0, last.0)),
            _ => None,
        };
        stage.journal.iter().filter_map(block).collect::<Vec<_>>()
    };
    assert_eq!(reserved(&stage), [(1, ORDINAL_BLOCK)]);
    stage.restarts().buyer(4).enters();
    // Room for what may be lost, should the journal be an older copy.
    let first = ORDINAL_BLOCK + LOST_ORDINALS + 1;
    assert_eq!(reserved(&stage), [(1, ORDINAL_BLOCK), (first, first - 1 + ORDINAL_BLOCK)]);
    let ordinal = stage.sale.place(crate::sale::stage::buyer(4), stage.now).unwrap().ordinal;
    assert_eq!(ordinal, Some(Ordinal(first)));
    assert_eq!(stage.buyer(4).rank(), Some(4), "ranks know no gaps");
    stage.buyer(5).enters();
    assert_eq!(reserved(&stage).len(), 2);
}

#[test]
fn a_block_that_is_used_up_is_followed_by_the_next() {
    let mut stage = Stage::with_room();
    for buyer in 1..=u128::from(ORDINAL_BLOCK) + 1 {
        let entering = stage.buyer(buyer);
        let id = entering.id;
        let decision = entering.stage.sale.decide(
            &crate::sale::Command::Enter { buyer: id },
            entering.stage.now,
            crate::id::Epoch(1),
        );
        decision.unwrap().facts.into_iter().for_each(|fact| entering.stage.happens(fact));
    }
    let last = stage.sale.place(crate::sale::stage::buyer(u128::from(ORDINAL_BLOCK) + 1), stage.now).unwrap();
    assert_eq!(last.ordinal, Some(Ordinal(ORDINAL_BLOCK + 1)));
    assert_eq!(last.status, PlaceStatus::PreQueue { rank: Some(ORDINAL_BLOCK + 1) });
}

#[test]
fn steering_to_what_is_already_so_is_no_fact() {
    let mut stage = crowd();
    stage.pauses(true);
    let seq = stage.sale.seq();
    stage.pauses(true);
    assert_eq!(stage.sale.seq(), seq);
    let steering = stage.steer(SteeringChange { message: Some(Some("soon".into())), ..SteeringChange::default() });
    assert_eq!((steering.paused, steering.message.as_deref()), (true, Some("soon")));
}

#[test]
fn the_line_ends_with_the_sale() {
    let mut stage = crowd();
    stage.at("10:00:00").pauses(true).at("11:59:59");
    assert_eq!(stage.buyer(2).rank(), Some(1));
    stage.at("12:00:00");
    assert_eq!(stage.buyer(2).place(), Some(PlaceStatus::Expired), "there is nothing to wait for");
    assert_eq!(stage.sale.steering().unwrap().waiting, 0);
    stage.at("12:10:00");
    assert_eq!(stage.buyer(2).place(), None);
    assert_eq!(stage.sale.next_deadline(), None);
}

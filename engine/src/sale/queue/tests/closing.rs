//! The end of a sale ends what depends on it: places and slots go by facts, one at a time, and who is in the middle of paying
//! goes on until that ends.

use crate::id::Slot;
use crate::sale::tests::stage::{Stage, admin, replayed, time};
use crate::sale::{Closed, Command, Fact, PlaceStatus, Rejection, ReservationStatus, Sale};
use std::time::Duration;

/// A sale until twelve whose slots last for a day: three shop since ten, two wait because no more may shop.
fn on_sale() -> Stage {
    let mut stage = Stage::with_room().rules(|config| {
        config.admission.token = Duration::from_secs(24 * 3600);
        config.admission.active_limit = Some(3);
    });
    for who in 1..=5 {
        stage.buyer(who).enters();
    }
    stage.at("10:00:01");
    assert_eq!((stage.active(), stage.sale.waiting().count()), (3, 2));
    stage
}

fn facts_since(stage: &Stage, before: usize) -> Vec<&'static str> {
    let word = |fact: &Fact| match fact {
        Fact::SlotExpired { .. } => "slot",
        Fact::PlaceExpired { .. } => "place",
        Fact::HoldExpired { .. } => "hold",
        Fact::ReservationConfirmed { .. } => "sold",
        _ => "other",
    };
    stage.journal[before..].iter().map(|entry| word(&entry.fact)).collect()
}

#[test]
fn the_end_of_a_sale_ends_every_place_and_every_slot() {
    let mut stage = on_sale();
    assert_eq!(stage.sale.next_deadline(), Some(time("12:00:00")));
    stage.at("11:59:59.999999");
    let before = stage.journal.len();
    stage.at("12:00:00");
    assert_eq!(facts_since(&stage, before), ["slot", "slot", "slot", "place", "place"], "one at a time");
    assert!(stage.sale.everyone_in_room().is_empty(), "everybody may go elsewhere");
    assert_eq!((stage.active(), stage.sale.next_deadline()), (0, None));
    for who in 1..=5 {
        assert_eq!(stage.buyer(who).place(), Some(PlaceStatus::Expired));
    }
    assert!(stage.sale.is_over(stage.now), "and the sale may leave memory");
    stage.at("12:10:00");
    assert_eq!(stage.buyer(1).place(), None, "it was shown for ten minutes");
}

#[test]
fn what_is_read_does_not_wait_for_the_timer() {
    let mut stage = on_sale();
    let slot = stage.buyer(1).slot().unwrap();
    stage.unattended_at("12:00:00");
    for who in 1..=5 {
        assert_eq!(stage.buyer(who).place(), Some(PlaceStatus::Expired));
        stage.buyer(who).cannot_enter().because(Rejection::SaleClosed(Closed::Ended));
    }
    stage.buyer(1).with_token(slot).cannot_hold(["A-1"]).because(Rejection::SaleClosed(Closed::Ended));
    stage.timers_ring();
    stage.buyer(1).with_token(slot).cannot_hold(["A-1"]).because(Rejection::SaleClosed(Closed::Ended));
    stage.buyer(1).without_token().cannot_hold(["A-1"]).because(Rejection::NoSlot);
}

#[test]
fn a_slot_is_said_to_end_with_its_sale() {
    let mut stage = on_sale();
    let expires_at = time("12:00:00");
    let shops = PlaceStatus::Active { slot: Some(Slot(1)), expires_at, may_hold: true };
    assert_eq!(stage.buyer(1).place(), Some(shops));
}

#[test]
fn a_pending_hold_stays_payable_and_keeps_its_slot_without_a_right_to_another() {
    let mut stage = on_sale();
    let hold = stage.at("11:58:00").buyer(1).holds(["A-1"]);
    let slot = stage.buyer(1).slot().unwrap();
    stage.at("12:00:00");
    let expires_at = time("12:00:00");
    let keeps = PlaceStatus::Active { slot: Some(slot), expires_at, may_hold: false };
    assert_eq!((stage.buyer(1).place(), stage.active()), (Some(keeps), 1));
    assert_eq!(stage.buyer(1).enters(), keeps, "asked again");
    stage.buyer(1).cannot_hold(["A-2"]).because(Rejection::SaleClosed(Closed::Ended));
    stage.buyer(1).changes(hold, ["A-3"]);
    let before = stage.journal.len();
    stage.at("12:02:00").buyer(1).pays(hold);
    assert_eq!(facts_since(&stage, before).last(), Some(&"sold"));
    assert_eq!((stage.buyer(1).place(), stage.active()), (None, 0));
    stage.shows("A", "..s.......");
}

#[test]
fn a_slot_goes_with_the_hold_that_kept_it() {
    let mut stage = on_sale();
    let hold = stage.at("11:58:00").buyer(1).holds(["A-1"]);
    let released = stage.buyer(2).holds(["A-2"]);
    let before = stage.at("12:00:00").journal.len();
    stage.at("12:01:00").buyer(2).releases(released);
    assert!(stage.sale.next_deadline().is_some_and(|due| due <= stage.now), "at once");
    stage.timers_ring().at("12:03:00");
    assert_eq!(facts_since(&stage, before), ["other", "slot", "hold", "slot"]);
    assert_eq!((stage.status(hold), stage.active()), (ReservationStatus::Expired, 0));
    assert!(stage.sale.everyone_in_room().is_empty());
}

/// Journals of before kept slots beyond the end of their sale: they end at the next check of the time, and replay stays the same.
#[test]
fn a_slot_that_outlived_its_sale_ends_after_a_start() {
    let mut stage = on_sale();
    stage.unattended_at("13:00:00");
    let (old, now) = (replayed(&stage.journal).snapshot(), stage.now);
    assert_eq!(old, stage.sale.snapshot(), "time alone changes nothing");
    let restored = Sale::from_snapshot(old);
    assert_eq!(restored.next_deadline(), Some(time("12:00:00")));
    assert!(restored.place(stage.buyer(1).id, now).is_some_and(|place| place.status == PlaceStatus::Expired));
    stage.restarts().timers_ring();
    assert_eq!((stage.active(), stage.sale.next_deadline()), (0, None));
}

#[test]
fn a_cancelled_sale_has_no_places_from_that_moment_and_lets_go_of_them_step_by_step() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.cancels_the_sale();
    for who in 1..=5 {
        assert_eq!(stage.buyer(who).place(), Some(PlaceStatus::Expired), "{who}");
    }
    assert_eq!(stage.status(hold), ReservationStatus::Pending, "not swept yet");
    stage.timers_ring();
    assert_eq!(stage.status(hold), ReservationStatus::Cancelled);
    assert!(stage.sale.everyone_in_room().is_empty());
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
}

#[test]
fn a_hold_that_is_being_charged_keeps_its_slot_until_the_outcome() {
    let mut stage = on_sale();
    let hold = stage.at("11:59:30").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.at("12:00:30");
    assert_eq!(stage.active(), 1);
    stage.declines(payment);
    assert_eq!(stage.active(), 1, "another card may be tried");
    stage.at("12:04:30");
    assert_eq!((stage.active(), stage.status(hold)), (0, ReservationStatus::Expired));
}

#[test]
fn where_no_admission_is_required_a_place_ends_with_the_sale_too() {
    let mut stage = Stage::theatre();
    assert!(stage.at("11:59:59").buyer(1).is_active());
    stage.at("12:00:00");
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
    stage.buyer(1).cannot_enter().because(Rejection::SaleClosed(Closed::Ended));
}

#[test]
fn a_closed_room_is_not_the_end_of_anything() {
    let mut stage = on_sale();
    let closed = crate::sale::SteeringChange { closed: Some(true), ..Default::default() };
    stage.submit(&Command::Steer { change: closed, by: admin() }).unwrap();
    stage.at("11:00:00");
    assert_eq!((stage.active(), stage.sale.waiting().count()), (3, 2), "who shops goes on, who waits waits");
    stage.buyer(1).holds(["A-1"]);
}

#[test]
fn the_line_ends_with_the_sale() {
    let mut stage = Stage::crowd();
    stage.at("10:00:00").pauses(true).at("11:59:59");
    assert_eq!(stage.buyer(2).rank(), Some(1));
    stage.at("12:00:00");
    assert_eq!(stage.buyer(2).place(), Some(PlaceStatus::Expired), "there is nothing to wait for");
    assert_eq!(stage.sale.steering().unwrap().waiting, 0);
    stage.at("12:10:00");
    assert_eq!(stage.buyer(2).place(), None);
    assert_eq!(stage.sale.next_deadline(), None);
}

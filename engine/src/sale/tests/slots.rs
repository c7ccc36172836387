//! Slots: who was let in may hold seats, for so long, though a slot never ends while its buyer has a pending hold.

use super::stage::{Stage, time};
use crate::id::Slot;
use crate::sale::{PlaceStatus, Rejection};

/// Buyer 1 is let in at ten.
fn let_in() -> Stage {
    let mut stage = Stage::with_room();
    stage.at("09:30:00").buyer(1).enters();
    stage.at("10:00:00");
    assert!(stage.buyer(1).is_active());
    stage
}

#[test]
fn holding_needs_ones_own_slot() {
    let mut stage = let_in();
    stage.buyer(1).without_token().cannot_hold(["A-1"]).because(Rejection::NoSlot);
    stage.buyer(1).with_token(Slot(2)).cannot_hold(["A-1"]).because(Rejection::NoSlot);
    stage.buyer(2).with_token(Slot(1)).cannot_hold(["A-1"]).because(Rejection::NoSlot);
    stage.buyer(1).with_token(Slot(1)).holds(["A-1"]);
}

#[test]
fn waiting_is_not_enough() {
    let mut stage = Stage::with_room().rules(|config| config.admission.active_limit = Some(1));
    stage.at("10:00:00").buyer(1).enters();
    stage.buyer(2).enters();
    stage.at("10:00:01").buyer(1).holds(["A-1"]);
    stage.buyer(2).cannot_hold(["A-2"]).because(Rejection::NoSlot);
}

#[test]
fn a_slot_ends_by_time() {
    let mut stage = let_in();
    stage.at("10:09:59.999999").buyer(1).holds(["A-1"]);
    let mut other = let_in();
    let slot = other.buyer(1).slot().unwrap();
    other.unattended_at("10:10:00").buyer(1).with_token(slot).cannot_hold(["A-1"]).because(Rejection::NoSlot);
    assert_eq!(other.buyer(1).place(), Some(PlaceStatus::Expired));
    other.timers_ring();
    assert_eq!(other.buyer(1).place(), Some(PlaceStatus::Expired));
    assert_eq!(other.active(), 0);
}

#[test]
fn but_never_while_a_hold_is_pending() {
    let mut stage = let_in();
    let hold = stage.at("10:09:00").buyer(1).holds(["A-1"]);
    stage.at("10:13:59");
    assert!(stage.buyer(1).is_active(), "the slot's ten minutes are over, the hold's five are not");
    stage.buyer(1).holds(["A-2"]);
    stage.buyer(1).releases(hold);
    assert!(stage.buyer(1).is_active(), "there is another hold");
    stage.at("10:18:59");
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired), "with the last hold the slot ends at once");
    assert_eq!(stage.active(), 0);
}

#[test]
fn a_released_hold_lets_a_slot_whose_time_is_over_end() {
    let mut stage = let_in();
    let hold = stage.at("10:09:00").buyer(1).holds(["A-1"]);
    stage.at("10:12:00").buyer(1).releases(hold);
    assert_eq!(stage.sale.next_deadline(), Some(time("10:10:00")));
    stage.timers_ring();
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired));
}

#[test]
fn a_hold_released_in_time_leaves_the_slot_its_rest() {
    let mut stage = let_in();
    let hold = stage.at("10:01:00").buyer(1).holds(["A-1"]);
    stage.buyer(1).releases(hold);
    stage.at("10:09:59").buyer(1).holds(["A-2"]);
}

#[test]
fn a_slot_ends_with_a_confirmed_reservation() {
    let mut stage = let_in();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).pays(hold);
    assert_eq!(stage.buyer(1).place(), None, "the place is gone");
    assert_eq!(stage.active(), 0);
    stage.buyer(1).with_token(Slot(1)).cannot_hold(["A-2"]).because(Rejection::NoSlot);
}

#[test]
fn the_hold_itself_is_the_proof_once_seats_are_held() {
    let mut stage = let_in();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).leaves();
    assert_eq!(stage.buyer(1).place(), None);
    stage.buyer(1).changes(hold, ["A-2"]);
    stage.buyer(1).pays(hold);
    stage.shows("A", ".s........");
}

#[test]
fn an_old_slot_is_worth_nothing_after_entering_again() {
    let mut stage = let_in();
    stage.buyer(1).leaves();
    stage.buyer(1).enters();
    stage.at("10:00:01");
    assert_eq!(stage.buyer(1).slot(), Some(Slot(2)));
    stage.buyer(1).with_token(Slot(1)).cannot_hold(["A-1"]).because(Rejection::NoSlot);
    stage.buyer(1).holds(["A-1"]);
}

#[test]
fn a_slot_counts_from_when_it_was_due() {
    let mut stage = Stage::with_room();
    stage.at("09:30:00").buyer(1).enters();
    stage.unattended_at("10:00:00.400").timers_ring();
    let place = stage.buyer(1).place();
    assert_eq!(place, Some(PlaceStatus::Active { slot: Some(Slot(1)), expires_at: time("10:10:00") }));
}

//! Slots: who was let in may hold seats, for so long and so often. A pending hold keeps the place until it ends, but no new
//! hold is made when the slot's time is over.

use crate::id::Slot;
use crate::sale::tests::stage::{Stage, time};
use crate::sale::{Entry, Fact, PlaceStatus, Rejection, ReservationStatus, Selection};
use std::time::Duration;

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

/// Buyer 1's place as long as only a pending hold keeps it.
const KEPT_BY_A_HOLD: fn() -> PlaceStatus =
    || PlaceStatus::Active { slot: Some(Slot(1)), expires_at: time("10:10:00"), may_hold: false };

#[test]
fn a_pending_hold_keeps_the_place_but_no_new_hold_is_made() {
    let mut stage = let_in();
    let hold = stage.at("10:08:00").buyer(1).holds(["A-1"]);
    let other = stage.at("10:09:00").buyer(1).holds(["A-2"]);
    assert!(matches!(stage.buyer(1).place(), Some(PlaceStatus::Active { may_hold: true, .. })));
    stage.at("10:10:00");
    assert_eq!(stage.buyer(1).place(), Some(KEPT_BY_A_HOLD()), "the slot's ten minutes are over, the holds' are not");
    stage.buyer(1).cannot_hold(["A-3"]).because(Rejection::NoSlot);
    assert_eq!(stage.buyer(1).enters(), KEPT_BY_A_HOLD(), "nor is there another place");
    stage.buyer(1).changes(hold, ["A-4"]);
    stage.buyer(1).releases(hold);
    assert_eq!(stage.buyer(1).place(), Some(KEPT_BY_A_HOLD()), "there is another hold");
    assert_eq!(stage.active(), 1, "the slot is not given back");
    stage.at("10:13:59");
    assert_eq!(stage.buyer(1).place(), Some(KEPT_BY_A_HOLD()));
    stage.at("10:14:00");
    assert_eq!(stage.status(other), ReservationStatus::Expired);
    assert_eq!(stage.buyer(1).place(), Some(PlaceStatus::Expired), "with the last hold the slot ends at once");
    assert_eq!(stage.active(), 0);
}

#[test]
fn a_hold_that_outlives_its_slot_is_paid() {
    let mut stage = let_in();
    let hold = stage.at("10:09:00").buyer(1).holds(["A-1"]);
    stage.at("10:12:00").buyer(1).pays(hold);
    assert_eq!((stage.buyer(1).place(), stage.active()), (None, 0));
}

/// Two buyers who always hold something stopped a sale for ever: nobody else was let in.
#[test]
fn staggered_holds_do_not_keep_a_slot_for_ever() {
    let mut stage = Stage::with_room().rules(|config| {
        config.admission.active_limit = Some(1);
        config.admission.token = Duration::from_secs(4);
        config.hold = Duration::from_secs(3);
    });
    stage.at("09:30:00").buyer(1).enters();
    stage.at("09:30:01").buyer(2).enters();
    let slot = stage.at("10:00:00").buyer(1).slot().unwrap();
    let mut made = 0;
    for second in 0..21 {
        stage.at(&format!("10:00:{second:02}"));
        let seat = format!("B-{}", second % 4 + 1);
        let selection = Selection::These(stage.seats(&[&seat]));
        made += usize::from(stage.buyer(1).with_token(slot).tries(selection).is_ok());
    }
    assert_eq!(made, 4, "none when the four seconds are over");
    let admitted = |entry: &&Entry| matches!(entry.fact, Fact::Admitted { .. });
    let at: Vec<_> = stage.journal.iter().filter(admitted).map(|entry| entry.at).collect();
    assert_eq!(at, [time("10:00:00"), time("10:00:06")], "when the last hold has ended");
}

#[test]
fn a_slot_is_good_for_so_many_holds() {
    let mut stage = Stage::with_room().rules(|config| config.admission.max_holds_per_slot = 3);
    stage.at("09:30:00").buyer(1).enters();
    stage.at("10:00:00");
    let first = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).cannot_hold(["Z-1"]);
    stage.buyer(1).changes(first, ["A-2"]);
    stage.buyer(1).releases(first);
    stage.buyer(1).with_key(1, 1).holds(["A-1"]);
    stage.buyer(1).with_key(1, 1).holds(["A-1"]);
    stage.at("10:06:00").buyer(1).holds(["A-3"]);
    let limit = || Rejection::HoldLimitExceeded { limit: 3 };
    stage.buyer(1).cannot_hold(["A-1"]).because(limit());
    stage.buyer(1).cannot_hold_best("V", 1).because(limit());
    stage.restarts().buyer(1).cannot_hold(["A-1"]).because(limit());
    // What was held with the slot can still be paid, and another slot begins at zero.
    stage.buyer(1).leaves();
    stage.buyer(1).enters();
    stage.at("10:06:01").buyer(1).holds(["A-1"]);
}

#[test]
fn without_admission_there_is_no_slot_and_no_such_limit() {
    let mut stage = Stage::theatre().rules(|config| config.admission.max_holds_per_slot = 1);
    stage.at("10:00:00");
    for _ in 0..5 {
        let hold = stage.buyer(1).holds(["A-1"]);
        stage.buyer(1).releases(hold);
    }
    // Nor do holds count that were made while no slot was needed.
    let mut stage = Stage::with_room().rules(|config| config.admission.max_holds_per_slot = 1);
    stage.at("09:30:00").buyer(1).enters();
    stage.at("10:00:00").requires(false).buyer(1).holds(["A-1"]);
    stage.requires(true).buyer(1).holds(["A-2"]);
    stage.buyer(1).cannot_hold(["A-3"]).because(Rejection::HoldLimitExceeded { limit: 1 });
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
    assert_eq!(place, Some(PlaceStatus::Active { slot: Some(Slot(1)), expires_at: time("10:10:00"), may_hold: true }));
}

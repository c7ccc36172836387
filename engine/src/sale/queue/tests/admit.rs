//! The admission window: how fast and how many are let in, what stops it and what sets it going again.

use crate::sale::SteeringChange;
use crate::sale::tests::stage::{Stage, time};
use crate::time::Timestamp;
use std::time::Duration;

fn crowd(number: u128, rate: u32, limit: Option<u64>) -> Stage {
    let mut stage = Stage::with_room().rules(|config| {
        config.admission.rate_per_second = rate;
        config.admission.active_limit = limit;
    });
    for buyer in 1..=number {
        stage.at("09:30:00").buyer(buyer).enters();
    }
    stage
}

/// No second sees more than the rate: the n-th is due at least a second after the (n − rate)-th.
fn keeps_to(dues: &[Timestamp], rate: usize) {
    assert!(dues.windows(rate + 1).all(|pair| pair[rate].since(pair[0]) >= Duration::from_secs(1)), "{dues:?}");
}

#[test]
fn nobody_is_let_in_before_the_opening() {
    let mut stage = crowd(3, 10, None);
    stage.at("09:59:59.999999");
    assert_eq!(stage.active(), 0);
    stage.at("10:00:00");
    assert!(stage.buyer(1).is_active());
}

#[test]
fn so_many_a_second_evenly_and_in_order() {
    let mut stage = crowd(25, 10, None);
    stage.at("10:00:00.95");
    assert_eq!(stage.active(), 10);
    stage.at("10:00:01.95");
    assert_eq!(stage.active(), 20);
    assert!(stage.buyer(20).is_active());
    assert_eq!(stage.buyer(21).rank(), Some(1));
    let dues = stage.dues();
    keeps_to(&dues, 10);
    assert_eq!(dues[3], time("10:00:00.3"));
}

#[test]
fn a_late_timer_neither_breaks_the_window_nor_loses_rate() {
    let mut stage = crowd(100, 10, None);
    stage.at("10:00:00").unattended_at("10:00:00.9").timers_ring();
    assert_eq!(stage.active(), 10);
    stage.unattended_at("10:00:01.85").timers_ring();
    assert_eq!(stage.active(), 19);
    keeps_to(&stage.dues(), 10);
}

#[test]
fn what_is_later_than_a_second_is_lost() {
    let mut stage = crowd(100, 10, None);
    stage.unattended_at("10:00:30").timers_ring();
    assert_eq!(stage.active(), 11, "the second that is over, not the half minute");
    keeps_to(&stage.dues(), 10);
}

#[test]
fn never_more_shop_than_the_limit() {
    let mut stage = crowd(5, 10, Some(2));
    stage.at("10:00:10");
    assert_eq!(stage.active(), 2);
    stage.buyer(1).leaves();
    stage.timers_ring();
    assert!(stage.buyer(3).is_active());
    let hold = stage.buyer(2).holds(["A-1"]);
    stage.buyer(2).pays(hold);
    stage.at("10:00:10.1");
    assert!(stage.buyer(4).is_active());
    assert_eq!(stage.active(), 2);
    stage.at("10:10:10");
    assert!(stage.buyer(5).is_active(), "a slot whose time is over returns too");
}

#[test]
fn a_lowered_limit_sends_nobody_away() {
    let mut stage = crowd(5, 10, None);
    stage.at("10:00:00.25").limits_active(Some(1));
    assert_eq!(stage.active(), 3);
    stage.buyer(1).leaves();
    stage.buyer(2).leaves();
    stage.at("10:00:05");
    assert_eq!(stage.active(), 1, "still as many as the limit");
    stage.limits_active(None).at("10:00:06");
    assert_eq!(stage.active(), 3);
}

#[test]
fn a_pause_stops_it_and_does_not_save_rate_up() {
    let mut stage = crowd(100, 10, None);
    stage.at("10:00:00.95").pauses(true).at("10:00:30");
    assert_eq!(stage.active(), 10);
    stage.pauses(false).at("10:00:30.95");
    assert_eq!(stage.active(), 20);
    keeps_to(&stage.dues(), 10);
}

#[test]
fn a_new_rate_holds_at_once() {
    let mut stage = crowd(100, 10, None);
    stage.at("10:00:01.95");
    stage.steer(SteeringChange { rate_per_second: Some(2), ..SteeringChange::default() });
    stage.at("10:00:03.95");
    let slow = stage.active();
    assert!((22..=24).contains(&slow), "{slow}");
    keeps_to(&stage.dues()[20..], 2);
    stage.steer(SteeringChange { rate_per_second: Some(20), ..SteeringChange::default() });
    stage.at("10:00:04.95");
    assert!(stage.active() >= slow + 19);
}

#[test]
fn a_rate_that_does_not_divide_a_second_is_kept_too() {
    let mut stage = crowd(60, 7, None);
    stage.at("10:00:05");
    keeps_to(&stage.dues(), 7);
    assert!(stage.active() >= 35);
}

#[test]
fn nobody_is_let_in_when_all_is_taken_and_freed_seats_set_it_going() {
    let mut stage = crowd(5, 10, Some(2)).rules(|config| config.max_seats_per_buyer = 30);
    stage.at("10:00:01");
    let mut one = stage.buyer(1);
    let all = crate::sale::Selection::These((0..30).map(crate::id::SeatIndex).collect());
    let hold = one.tries(all).unwrap().id;
    stage.buyer(2).leaves();
    stage.at("10:01:00");
    assert_eq!((stage.active(), stage.sale.next_deadline()), (1, Some(time("10:05:01"))), "sold out for now");
    stage.buyer(1).releases(hold);
    stage.timers_ring();
    assert!(stage.buyer(3).is_active());
    assert_eq!(stage.dues().last(), Some(&time("10:01:00")));
}

#[test]
fn a_reservation_that_is_cancelled_sets_it_going_too() {
    let mut stage = Stage::hall(&["VV"]).rules(|config| config.admission.required = true);
    for buyer in 1..=3 {
        stage.buyer(buyer).enters();
    }
    stage.at("10:00:00");
    let hold = stage.buyer(1).holds(["A-1", "A-2"]);
    stage.buyer(1).pays(hold);
    stage.at("10:01:00");
    assert_eq!(stage.active(), 0);
    stage.buyer(1).cancels(hold);
    stage.timers_ring();
    assert!(stage.buyer(2).is_active());
}

#[test]
fn an_opening_that_is_moved_moves_the_first_admission() {
    let mut stage = crowd(3, 10, None);
    stage.reconfigures(|config| config.sale_starts_at = time("10:30:00")).unwrap();
    stage.at("10:29:59");
    assert_eq!(stage.active(), 0);
    stage.at("10:30:00");
    assert_eq!(stage.active(), 1);
    let mut earlier = crowd(3, 10, None);
    earlier.reconfigures(|config| config.sale_starts_at = time("09:45:00")).unwrap();
    earlier.at("09:45:00");
    assert_eq!(earlier.active(), 1);
}

#[test]
fn holds_and_slots_end_after_the_sale_even_if_its_end_was_slept_through() {
    let mut stage = crowd(3, 1, None);
    stage.at("10:00:00").pauses(true).at("11:59:58");
    stage.pauses(false).at("11:59:58.5");
    assert!(stage.buyer(2).is_active(), "two of three wait no more");
    let hold = stage.buyer(2).holds(["A-1"]);
    stage.unattended_at("12:30:00").timers_ring();
    stage.shows("A", "..........");
    assert_eq!(stage.status(hold), crate::sale::ReservationStatus::Expired);
    assert_eq!((stage.active(), stage.sale.steering().unwrap().waiting), (0, 0));
    assert_eq!(stage.buyer(3).place(), Some(crate::sale::PlaceStatus::Expired));
}

#[test]
fn nobody_is_let_in_once_the_sale_is_over_however_late_the_timer() {
    let mut stage = crowd(100, 10, None);
    stage.pauses(true).at("11:59:59.95").pauses(false);
    let before = stage.sale.steering().unwrap().admitted_total;
    stage.unattended_at("12:00:05").timers_ring();
    assert_eq!(stage.sale.steering().unwrap().admitted_total, before);
    assert_eq!(stage.sale.next_deadline(), None);
}

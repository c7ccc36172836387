//! The order in which refusals are checked: each reason hides behind the ones before it. Callers rely on it, because
//! a request that is wrong in two ways gets the same answer everywhere.

use crate::sale::tests::stage::Stage;
use crate::sale::{Closed, Rejection, ReservationState, Seats, Unavailable};
use std::time::Duration;

/// The reasons in their order; a new variant must be put where it is checked, here too.
fn place(rejection: &Rejection) -> usize {
    match rejection {
        Rejection::KeyReused => 0,
        Rejection::NoSale => 1,
        Rejection::ReservationNotFound => 2,
        Rejection::PaymentNotFound => 3,
        Rejection::SeatNotFound => 4,
        Rejection::CategoryNotFound => 5,
        Rejection::SectionNotFound => 6,
        Rejection::SaleCancelled => 7,
        Rejection::NoSlot => 8,
        Rejection::TicketSpent => 9,
        Rejection::SaleNotOpen => 10,
        Rejection::SaleClosed(_) => 11,
        Rejection::SaleStarted => 12,
        Rejection::HasReservations => 13,
        Rejection::QueueFull => 14,
        Rejection::NotPending(_) => 15,
        Rejection::HoldExpired(_) => 16,
        Rejection::PaymentInProgress => 17,
        Rejection::AmountMismatch => 18,
        Rejection::PaymentAttemptsExceeded => 19,
        Rejection::NotCancellable(_) => 20,
        Rejection::CancellationClosed => 21,
        Rejection::SeatLimitExceeded { .. } => 22,
        Rejection::HoldLimitExceeded { .. } => 23,
        Rejection::CategoryNotForSale => 24,
        Rejection::SeatsNotForSale { .. } => 25,
        Rejection::BlockLimitExceeded { .. } => 26,
        Rejection::PairSplit { .. } => 27,
        Rejection::SeatUnavailable { .. } => 28,
        Rejection::OrphanSeat { .. } => 29,
    }
}

#[test]
fn the_variants_stand_in_the_order_in_which_they_are_checked() {
    let source = include_str!("../rejection.rs");
    let body = source.split_once("pub enum Rejection {").unwrap().1.split_once("\n}").unwrap().0;
    let variants: Vec<&str> = body
        .lines()
        .filter(|line| {
            line.starts_with("    ") && !line.starts_with("     ") && line.trim_start().starts_with(char::is_uppercase)
        })
        .map(|line| line.trim().split(['(', '{', ',', ' ']).next().unwrap())
        .collect();
    let seats = Seats::new;
    let all = [
        Rejection::KeyReused,
        Rejection::NoSale,
        Rejection::ReservationNotFound,
        Rejection::PaymentNotFound,
        Rejection::SeatNotFound,
        Rejection::CategoryNotFound,
        Rejection::SectionNotFound,
        Rejection::SaleCancelled,
        Rejection::NoSlot,
        Rejection::TicketSpent,
        Rejection::SaleNotOpen,
        Rejection::SaleClosed(Closed::Ended),
        Rejection::SaleStarted,
        Rejection::HasReservations,
        Rejection::QueueFull,
        Rejection::NotPending(ReservationState::Confirmed),
        Rejection::HoldExpired(ReservationState::Expired),
        Rejection::PaymentInProgress,
        Rejection::AmountMismatch,
        Rejection::PaymentAttemptsExceeded,
        Rejection::NotCancellable(ReservationState::Pending),
        Rejection::CancellationClosed,
        Rejection::SeatLimitExceeded { limit: 1, has: 1 },
        Rejection::HoldLimitExceeded { limit: 1 },
        Rejection::CategoryNotForSale,
        Rejection::SeatsNotForSale { seats: seats() },
        Rejection::BlockLimitExceeded { limit: 1 },
        Rejection::PairSplit { missing: seats(), alternative: None },
        Rejection::SeatUnavailable { reason: Unavailable::Taken, taken: seats(), longest_block: 0, alternative: None },
        Rejection::OrphanSeat { orphans: seats(), alternative: None },
    ];
    let names: Vec<String> =
        all.iter().map(|no| format!("{no:?}").split([' ', '{', '(']).next().unwrap().to_owned()).collect();
    assert_eq!(variants, names);
    assert!(all.iter().map(place).eq(0..variants.len()));
}

/// A hold that is wrong in every way is set right, one way at a time: the reasons come in their order.
#[test]
fn a_hold_wrong_in_every_way_is_noted_one_reason_after_the_other() {
    let mut stage = Stage::with_room().rules(|config| {
        config.no_orphans = true;
        config.admission.max_holds_per_slot = 1;
        config.admission.token = Duration::from_secs(3 * 3600);
    });
    stage.buyer(1).enters();
    stage.buyer(2).enters();
    let mut noted = Vec::new();
    let mut note = |refusal: crate::sale::tests::stage::buyer::Refusal| noted.push(refusal.rejection);
    stage.at("10:00:00.2");
    stage.buyer(2).with_key(1, 1).holds(["A-1", "A-2"]);
    let (slot, second) = (stage.buyer(1).slot().unwrap(), stage.buyer(2).slot().unwrap());
    note(stage.buyer(2).with_key(1, 2).cannot_hold(["Z-1", "A-1", "A-2", "A-3", "A-4"]));
    note(stage.buyer(1).without_token().cannot_hold(["Z-1", "A-1", "A-2", "A-3", "A-4"]));
    stage.unattended_at("12:00:00");
    note(stage.buyer(1).without_token().cannot_hold(["B-9", "A-1", "A-2", "A-3", "A-4"]));
    note(stage.buyer(2).with_token(second).cannot_hold(["B-9", "A-1", "A-2", "A-3", "A-4"]));
    stage.unattended_at("10:00:01");
    note(stage.buyer(1).with_token(slot).cannot_hold(["B-9", "A-1", "A-2", "A-3", "A-4"]));
    note(stage.buyer(2).with_token(second).cannot_hold(["B-9", "A-2"]));
    note(stage.buyer(1).with_token(slot).cannot_hold(["B-9", "A-2", "A-3"]));
    note(stage.buyer(1).with_token(slot).cannot_hold(["B-9", "B-8"]));
    let order: Vec<usize> = noted.iter().map(place).collect();
    assert_eq!(order, [0, 4, 8, 11, 22, 23, 28, 29], "{noted:?}");
}

#[test]
fn so_is_a_change() {
    let mut stage = Stage::theatre().rules(|config| config.no_orphans = true);
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    stage.buyer(2).holds(["A-3", "A-4"]);
    let mut noted = vec![stage.buyer(2).cannot_change(hold, ["Z-1"]).rejection];
    noted.push(stage.buyer(1).cannot_change(hold, ["Z-1", "A-3", "A-4", "A-5", "A-6"]).rejection);
    stage.unattended_at("10:05:00");
    noted.push(stage.buyer(1).cannot_change(hold, ["A-9", "A-3", "A-4", "A-5", "A-6"]).rejection);
    stage.unattended_at("10:01:00");
    let payment = stage.buyer(1).starts_paying(hold);
    noted.push(stage.buyer(1).cannot_change(hold, ["A-9", "A-3", "A-4", "A-5", "A-6"]).rejection);
    stage.declines(payment);
    noted.push(stage.buyer(1).cannot_change(hold, ["A-9", "A-3", "A-4", "A-5", "A-6"]).rejection);
    noted.push(stage.buyer(1).cannot_change(hold, ["A-9", "A-3"]).rejection);
    noted.push(stage.buyer(1).cannot_change(hold, ["A-9", "A-8"]).rejection);
    let order: Vec<usize> = noted.iter().map(place).collect();
    assert_eq!(order, [2, 4, 16, 17, 22, 28, 29], "{noted:?}");
}

#[test]
fn and_a_confirmation() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    let unknown = crate::id::PaymentId(stage.next());
    let mut noted = vec![stage.buyer(2).cannot_confirm_with(unknown, hold, 1).rejection];
    noted.push(stage.buyer(1).cannot_confirm_with(unknown, hold, 1).rejection);
    stage.unattended_at("10:05:00");
    noted.push(stage.buyer(1).cannot_confirm_with(payment, hold, 1).rejection);
    stage.unattended_at("10:01:00");
    noted.push(stage.buyer(1).cannot_confirm_with(payment, hold, 1).rejection);
    for _ in 0..4 {
        let declined = stage.buyer(1).starts_paying(hold);
        stage.declines(declined);
    }
    let last = stage.buyer(1).starts_paying(hold);
    stage.declines(last);
    noted.push(stage.buyer(1).cannot_confirm_with(last, hold, 1).rejection);
    noted.push(stage.buyer(1).cannot_confirm_by("sim_other", last).rejection);
    let order: Vec<usize> = noted.iter().map(place).collect();
    assert_eq!(order, [2, 3, 16, 18, 18, 19], "{noted:?}");
}

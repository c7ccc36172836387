//! Changing a hold: its seats are exchanged, its end stays.

use crate::money::Amount;
use crate::sale::tests::stage::{Stage, time};
use crate::sale::{Rejection, ReservationState};

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn changing_gives_the_old_seats_back_and_keeps_the_expiry() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-3", "A-4"]);
    stage.at("10:02:00").buyer(1).changes(hold, ["A-4", "B-7", "B-8"]);
    stage.shows("A", "...h......").shows("B", "......hh..");
    assert_eq!(stage.reservation(hold).amount, Amount(500));
    assert_eq!(stage.reservation(hold).hold_expires_at, time("10:05:00"));
    stage.buyer(2).holds(["A-3"]);
    stage.at("10:05:00").shows("A", "..h.......").shows("B", "..........");
}

#[test]
fn a_change_that_fails_keeps_the_old_seats() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-3", "A-4"]);
    stage.buyer(2).holds(["A-6"]);
    stage.buyer(1).cannot_change(hold, ["A-5", "A-6"]).taken(["A-6"]).try_instead(["A-7", "A-8"]);
    stage.shows("A", "..hh.h....");
    stage.buyer(1).changes(hold, ["A-7", "A-8"]);
    stage.shows("A", ".....hhh..");
}

#[test]
fn changing_to_the_same_seats_changes_nothing() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-3", "A-4"]);
    let seq = stage.sale.seq();
    let mut again = stage.buyer(1);
    let seats = again.stage.seats(&["A-4", "A-3"]);
    let change = crate::sale::ChangeHold { buyer: again.id, reservation: hold, seats };
    again.does(|_| crate::sale::Command::ChangeHold(change)).unwrap();
    assert_eq!(stage.sale.seq(), seq);
}

#[test]
fn a_hold_is_changed_only_in_time_and_while_pending() {
    let mut stage = on_sale();
    let (late, released, paid) =
        (stage.buyer(1).holds(["A-1"]), stage.buyer(2).holds(["A-2"]), stage.buyer(3).holds(["A-3"]));
    stage.buyer(2).releases(released);
    stage.buyer(2).cannot_change(released, ["A-5"]).because(Rejection::NotPending(ReservationState::Released));
    stage.buyer(3).pays(paid);
    stage.buyer(3).cannot_change(paid, ["A-5"]).because(Rejection::NotPending(ReservationState::Confirmed));
    stage
        .unattended_at("10:05:00")
        .buyer(1)
        .cannot_change(late, ["A-5"])
        .because(Rejection::HoldExpired(ReservationState::Expired));
    stage
        .timers_ring()
        .buyer(1)
        .cannot_change(late, ["A-5"])
        .because(Rejection::HoldExpired(ReservationState::Expired));
}

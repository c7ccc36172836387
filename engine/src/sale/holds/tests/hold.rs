//! Making a hold: all seats or none, in the times of the sale, and what a refusal offers.

use crate::money::Amount;
use crate::sale::tests::stage::{Stage, time};
use crate::sale::{Closed, Rejection, ReservationState, ReservationStatus, SeatCounts};

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn a_hold_takes_its_seats_for_five_minutes() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-3", "A-4", "B-1"]);
    stage.shows("A", "..hh......").shows("B", "h.........");
    let view = stage.reservation(hold);
    assert_eq!((view.amount, view.hold_expires_at), (Amount(400), time("10:05:00")));
    assert_eq!(stage.sale.counts(), SeatCounts { total: 30, available: 27, held: 3, sold: 0, blocked: 0 });
    assert_eq!(stage.sale.category_counts()[0], SeatCounts { total: 10, available: 8, held: 2, sold: 0, blocked: 0 });
    stage.at("10:04:59.999999").shows("A", "..hh......");
    stage.at("10:05:00").shows("A", "..........").shows("B", "..........");
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    assert_eq!(stage.seats_of(hold), ["A-3", "A-4", "B-1"], "its seats stay listed");
}

#[test]
fn all_seats_or_none() {
    let mut stage = on_sale();
    stage.buyer(1).holds(["A-3", "A-4"]);
    stage.buyer(2).cannot_hold(["A-2", "A-3", "A-4", "A-5"]).taken(["A-3", "A-4"]);
    stage.shows("A", "..hh......");
    stage.buyer(2).holds(["A-2", "A-5"]);
    stage.shows("A", ".hhhh.....");
}

#[test]
fn a_refusal_names_the_nearest_block_and_that_block_can_be_had() {
    let mut stage = on_sale();
    stage.buyer(1).holds(["A-3", "A-4"]);
    stage.buyer(2).cannot_hold(["A-4", "A-5"]).taken(["A-4"]).try_instead(["A-5", "A-6"]);
    stage.buyer(2).holds(["A-5", "A-6"]);
    stage.begins_with("A", "..hhhhhhhh");
    stage.buyer(3).cannot_hold(["A-9", "A-10"]).taken(["A-9", "A-10"]).try_instead(["A-1", "A-2"]);
    stage.buyer(3).cannot_hold(["A-8", "A-9", "A-10"]).taken(["A-8", "A-9", "A-10"]).nothing_instead();
}

#[test]
fn a_seat_that_the_hall_does_not_have_is_not_found() {
    let mut stage = on_sale();
    stage.buyer(1).cannot_hold(["A-1", "Z-1"]).because(Rejection::SeatNotFound);
    stage.buyer(1).cannot_hold_best("Z", 2).because(Rejection::CategoryNotFound);
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).cannot_change(hold, ["A-1", "Z-1"]).because(Rejection::SeatNotFound);
}

#[test]
fn holds_begin_at_the_opening_and_end_with_the_sale() {
    let mut stage = Stage::theatre();
    stage.at("09:59:59.999999").buyer(1).cannot_hold(["A-1"]).because(Rejection::SaleNotOpen);
    stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.at("11:59:59.999999").buyer(2).holds(["A-2"]);
    stage.at("12:00:00").buyer(3).cannot_hold(["A-3"]).because(Rejection::SaleClosed(Closed::Ended));
}

#[test]
fn a_hold_made_before_the_end_may_be_paid_after_it() {
    let mut stage = on_sale();
    let hold = stage.at("11:59:00").buyer(1).holds(["A-1"]);
    stage.at("12:03:00").buyer(1).pays(hold);
    stage.shows("A", "s.........");
}

#[test]
fn nobody_touches_anothers_reservation() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(2).cannot_change(hold, ["A-2"]).because(Rejection::ReservationNotFound);
    stage.buyer(2).cannot_release(hold).because(Rejection::ReservationNotFound);
    stage.buyer(2).cannot_open_payment(hold, 100).because(Rejection::ReservationNotFound);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(2).cannot_confirm(payment).because(Rejection::ReservationNotFound);
    stage.buyer(1).pays(hold);
    stage.buyer(2).cannot_cancel(hold).because(Rejection::ReservationNotFound);
}

#[test]
fn an_id_is_never_used_for_two_reservations() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    let again = crate::sale::Hold {
        reservation: hold,
        buyer: crate::sale::tests::stage::buyer(2),
        selection: crate::sale::Selection::These(stage.seats(&["A-2"])),
        slot: None,
        key: None,
    };
    assert_eq!(stage.submit(&crate::sale::Command::Hold(again)), Err(Rejection::NotPending(ReservationState::Pending)));
}

#[test]
fn no_seats_are_no_hold() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).cannot_change(hold, []).because(Rejection::SeatNotFound);
    stage.buyer(1).cannot_hold([]).because(Rejection::SeatNotFound);
}

#[test]
fn a_price_too_many_makes_no_category() {
    let mut stage = Stage::theatre().rules(|config| config.prices.push(Some(Amount(300))));
    let category = crate::id::CategoryIndex(2);
    let best = crate::sale::Selection::best(category, 1);
    assert_eq!(stage.at("10:00:00").buyer(1).tries(best), Err(Rejection::CategoryNotFound));
}

//! The no-orphan rule: no hold may leave a single free seat between taken ones, unless nothing else could be sold.

use crate::sale::Rejection;
use crate::sale::tests::stage::Stage;

fn on_sale(rows: &[&str]) -> Stage {
    let mut stage = Stage::hall(rows).rules(|config| config.no_orphans = true);
    stage.at("10:00:00");
    stage
}

#[test]
fn a_single_seat_is_not_left_at_the_end_of_a_row() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.buyer(1).cannot_hold(["A-2", "A-3"]).orphans(["A-1"]).try_instead(["A-3", "A-4"]);
    stage.buyer(1).holds(["A-3", "A-4"]);
    stage.shows("A", "..hh......");
}

#[test]
fn nor_between_two_holds() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.buyer(1).holds(["A-1", "A-2"]);
    stage.buyer(2).cannot_hold(["A-4", "A-5"]).orphans(["A-3"]).try_instead(["A-5", "A-6"]);
    stage.buyer(2).holds(["A-3", "A-4"]);
}

#[test]
fn nor_beside_an_aisle_or_another_category() {
    let mut stage = on_sale(&["VVVV_VVVV", "VVVRRR"]);
    stage.buyer(1).cannot_hold(["A-1", "A-2", "A-3"]).orphans(["A-4"]);
    stage.buyer(1).cannot_hold(["B-1", "B-2"]).orphans(["B-3"]);
    stage.buyer(1).holds(["A-3", "A-4"]);
}

#[test]
fn nor_within_the_hold_itself() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.buyer(1).cannot_hold(["A-4", "A-6"]).orphans(["A-5"]);
    stage.buyer(1).cannot_hold(["A-2", "A-9"]).orphans(["A-1", "A-10"]);
}

#[test]
fn a_seat_that_stood_alone_before_is_nobodys_fault() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.begins_with("A", "hh.h......");
    stage.buyer(1).holds(["A-5", "A-6"]);
    stage.buyer(2).holds(["A-3"]);
}

#[test]
fn without_the_rule_single_seats_are_left() {
    let mut stage = Stage::hall(&["VVVVVVVVVV"]);
    stage.at("10:00:00").buyer(1).holds(["A-2", "A-3"]);
    stage.shows("A", ".hh.......");
}

#[test]
fn when_nothing_else_can_be_sold_a_block_may_leave_one() {
    let mut stage = on_sale(&["VVV"]);
    stage.buyer(1).cannot_hold(["A-1", "A-3"]).orphans(["A-2"]).try_instead(["A-1", "A-2"]);
    stage.buyer(1).holds(["A-1", "A-2"]);
    stage.buyer(2).holds(["A-3"]);
}

#[test]
fn while_another_block_can_be_sold_none_may() {
    let mut stage = on_sale(&["VVV", "VVVV"]);
    stage.buyer(1).cannot_hold(["A-1", "A-2"]).orphans(["A-3"]).try_instead(["B-3", "B-4"]);
    stage.buyer(1).holds(["B-3", "B-4"]);
    stage.buyer(2).holds(["B-1", "B-2"]);
    stage.buyer(3).holds(["A-1", "A-2"]);
}

#[test]
fn the_best_seats_leave_none_while_they_can() {
    let mut stage = on_sale(&["VVVVV", "VVVV"]);
    stage.buyer(1).gets_best("V", ["A-3", "A-4", "A-5"]);
    stage.buyer(2).gets_best("V", ["B-1", "B-2", "B-3", "B-4"]);
    stage.buyer(3).gets_best("V", ["A-2"]);
}

#[test]
fn a_smaller_row_that_fits_is_better_than_a_nearer_one_that_leaves_one() {
    let mut stage = on_sale(&["VVV", "VVV", "VV"]);
    stage.buyer(1).gets_best("V", ["C-1", "C-2"]);
    stage.buyer(2).gets_best("V", ["A-1", "A-2"]);
}

#[test]
fn a_change_may_not_leave_one_of_its_own_seats_behind() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.begins_with("A", "hh.....hhh");
    let hold = stage.buyer(1).holds(["A-3", "A-4", "A-5"]);
    stage.buyer(1).cannot_change(hold, ["A-3", "A-5"]).orphans(["A-4"]);
    stage.buyer(1).cannot_change(hold, ["A-4", "A-5"]).orphans(["A-3"]).try_instead(["A-6", "A-7"]);
    stage.buyer(1).changes(hold, ["A-5", "A-6", "A-7"]);
    stage.shows("A", "hh..hhhhhh");
}

#[test]
fn the_rule_does_not_bind_releases_and_expiries() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.begins_with("A", "......hhhh");
    let first = stage.buyer(1).holds(["A-1", "A-2"]);
    stage.at("10:01:00").buyer(2).holds(["A-3", "A-4", "A-5", "A-6"]);
    stage.buyer(1).releases(first);
    stage.buyer(3).holds(["A-2", "A-1"]);
    stage.at("10:06:00").shows("A", "......hhhh");
}

#[test]
fn an_alternative_for_a_change_can_be_had() {
    let mut stage = on_sale(&["VVVVVVVVVV", "VVVVV"]);
    stage.begins_with("A", "h.........").begins_with("B", "hhhhh");
    let hold = stage.buyer(1).holds(["A-2"]);
    let refused = stage.buyer(1).cannot_change(hold, ["A-2", "A-4"]).orphans(["A-3"]);
    let Rejection::OrphanSeat { alternative: Some(seats), .. } = refused.rejection else { panic!("no alternative") };
    let names = stage.names(&seats);
    stage.buyer(1).changes(hold, [names[0].as_str(), names[1].as_str()]);
}

#[test]
fn where_only_blocks_that_leave_one_are_left_the_alternative_is_one_of_them() {
    let mut stage = on_sale(&["VVVVV"]);
    stage.begins_with("A", "hh...");
    stage.buyer(1).cannot_hold(["A-2", "A-3"]).taken(["A-2"]).try_instead(["A-3", "A-4"]);
    stage.buyer(1).holds(["A-3", "A-4"]);
}

#[test]
fn a_holder_of_a_single_seat_may_still_change_away_from_it() {
    let mut stage = on_sale(&["VVVVVVVVVV"]);
    stage.begins_with("A", "h.h.......");
    let hold = stage.buyer(1).holds(["A-2"]);
    stage.buyer(1).changes(hold, ["A-4"]);
    stage.shows("A", "h.hh......");
}

//! Why seats cannot be had, and what could be had instead: a refusal names the reason, the longest block and other seats.

use crate::money::Amount;
use crate::sale::Rejection;
use crate::sale::Unavailable::{NoBlock, SoldOut, Taken};
use crate::sale::tests::stage::Stage;

fn on_sale(rows: &[&str]) -> Stage {
    let mut stage = Stage::hall(rows).rules(|config| config.max_seats_per_buyer = 40);
    stage.at("10:00:00");
    stage
}

fn without_orphans(rows: &[&str]) -> Stage {
    let mut stage = Stage::hall(rows).rules(|config| (config.max_seats_per_buyer, config.no_orphans) = (40, true));
    stage.at("10:00:00");
    stage
}

#[test]
fn no_two_together_and_sold_out_are_two_reasons() {
    let mut stage = on_sale(&["VVVVVV", "RR"]);
    stage.begins_with("A", ".h.h.h");
    stage.buyer(1).cannot_hold_best("V", 2).taken([]).says(NoBlock, 1).try_instead(["A-1", "A-3"]);
    stage.buyer(1).cannot_hold_best("V", 3).says(NoBlock, 1).try_instead(["A-1", "A-3", "A-5"]);
    stage.buyer(1).cannot_hold_best("V", 4).says(NoBlock, 1).nothing_instead();
    let last = stage.buyer(1).holds(["A-1", "A-3", "A-5"]);
    stage.buyer(2).cannot_hold_best("V", 2).taken([]).says(SoldOut, 0).nothing_instead();
    stage.buyer(2).cannot_hold_best("V", 1).says(SoldOut, 0).nothing_instead();
    stage.buyer(2).gets_best("R", ["B-1", "B-2"]);
    stage.buyer(1).releases(last);
    stage.buyer(2).gets_best("V", ["A-3"]);
}

#[test]
fn seats_apart_are_whole_runs_from_the_longest_one_outwards() {
    let mut stage = on_sale(&["VVVVVVVV", "VVVVVVVV", "VVVVVVVV", "VVVVVVVV"]);
    stage
        .begins_with("A", ".hhhhhhh")
        .begins_with("B", "hhhhhh.h")
        .begins_with("C", "h...hh.h")
        .begins_with("D", "hhhh..hh");
    let refused = stage.buyer(1).cannot_hold_best("V", 4);
    refused.says(NoBlock, 3).try_instead(["C-2", "C-3", "C-4", "C-7"]);
    stage.buyer(1).cannot_hold_best("V", 6).try_instead(["C-2", "C-3", "C-4", "C-7", "D-5", "D-6"]);
    stage
        .buyer(1)
        .cannot_hold_best("V", 8)
        .says(NoBlock, 3)
        .try_instead(["A-1", "B-7", "C-2", "C-3", "C-4", "C-7", "D-5", "D-6"]);
}

#[test]
fn seats_apart_leave_no_single_seat_where_none_may_be_left() {
    let mut stage = without_orphans(&["VVVVVVVV", "VVVVVVVV"]);
    stage.begins_with("A", "....hhhh").begins_with("B", "..hhhhhh");
    // Four and one would leave one of the two behind.
    stage.buyer(1).cannot_hold_best("V", 5).says(NoBlock, 4).nothing_instead();
    stage.buyer(1).cannot_hold_best("V", 6).try_instead(["A-1", "A-2", "A-3", "A-4", "B-1", "B-2"]);
    let mut stage = without_orphans(&["VVVVVVVV", "VVVVVVVV"]);
    stage.begins_with("A", "...hhhhh").begins_with("B", ".hh.....");
    stage.buyer(1).cannot_hold_best("V", 6).says(NoBlock, 5).try_instead(["B-1", "B-4", "B-5", "B-6", "B-7", "B-8"]);
}

#[test]
fn named_seats_are_taken_or_the_hall_is_sold_out() {
    let mut stage = on_sale(&["VVVV", "RR"]);
    let held = stage.buyer(1).holds(["A-1", "A-2", "A-3", "A-4"]);
    stage.buyer(2).cannot_hold(["A-1", "B-1"]).taken(["A-1"]).says(Taken, 0).nothing_instead();
    let both = stage.buyer(3).holds(["B-1", "B-2"]);
    stage.buyer(2).cannot_hold(["A-1", "B-1"]).taken(["A-1", "B-1"]).says(SoldOut, 0).nothing_instead();
    stage.buyer(1).changes(held, ["A-1", "A-3", "A-4"]);
    stage.buyer(2).cannot_hold(["A-1"]).says(Taken, 1).try_instead(["A-2"]);
    stage.buyer(3).cannot_change(both, ["A-1", "A-2"]).taken(["A-1"]).says(Taken, 1).nothing_instead();
    stage.buyer(1).changes(held, ["A-1", "A-3"]);
    // No block of two: the two that are left, near the first that was asked for.
    stage.buyer(2).cannot_hold(["A-1", "A-2"]).says(Taken, 1).try_instead(["A-2", "A-4"]);
}

#[test]
fn long_blocks_are_counted_exactly_and_named_seats_count_up_to_sixteen() {
    let (row, longer) = ("V".repeat(30), "V".repeat(37));
    let mut stage = on_sale(&[&row, &longer]);
    stage.buyer(1).cannot_hold_best("V", 40).says(NoBlock, 37);
    stage.buyer(1).cannot_hold_best("V", 38).says(NoBlock, 37);
    stage.buyer(1).holds(["A-1"]);
    stage.buyer(2).cannot_hold(["A-1"]).says(Taken, 16).try_instead(["A-2"]);
    stage.buyer(2).cannot_hold_best("V", 38).says(NoBlock, 37);
    stage.buyer(2).holds(["B-19"]);
    stage.buyer(3).cannot_hold_best("V", 30).says(NoBlock, 29);
    stage.buyer(3).cannot_hold_best("V", 31).says(NoBlock, 29);
}

#[test]
fn no_seats_apart_beyond_the_limit_of_a_buyer_are_offered() {
    let mut stage = Stage::hall(&["VVVVV"]);
    stage.at("10:00:00").begins_with("A", ".h.h.");
    stage.buyer(1).cannot_hold_best("V", 5).because(Rejection::SeatLimitExceeded { limit: 4, has: 0 });
    let refused = stage.buyer(1).cannot_hold_best("V", 3);
    refused.says(NoBlock, 1).try_instead(["A-1", "A-3", "A-5"]);
    let held = stage.buyer(1).holds(["A-1", "A-3", "A-5"]);
    assert_eq!(stage.reservation(held).amount, Amount(300));
}

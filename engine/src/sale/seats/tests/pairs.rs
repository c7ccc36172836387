//! Pairs: never split, neither by name nor by the best seats.

use super::marked::{best, mark, of_kind, on_sale};
use crate::plan::SeatKind;
use crate::sale::Among;
use crate::sale::Unavailable::{NoBlock, SoldOut};
use crate::sale::tests::stage::Stage;

#[test]
fn a_pair_is_held_whole_or_not_at_all() {
    let mut stage = on_sale(&["VVVVVV"], |draft| mark(draft, 0, 3, "pp"));
    stage.buyer(1).cannot_hold(["A-3"]).splits(["A-4"]).try_instead(["A-3", "A-4"]);
    stage.buyer(1).cannot_hold(["A-2", "A-3"]).splits(["A-4"]).try_instead(["A-2", "A-3", "A-4"]);
    let hold = stage.buyer(1).holds(["A-3", "A-4"]);
    stage.buyer(1).cannot_change(hold, ["A-4"]).splits(["A-3"]).try_instead(["A-3", "A-4"]);
    stage.buyer(1).changes(hold, ["A-1"]);
    stage.buyer(2).holds(["A-2", "A-3", "A-4"]);
    stage.buyer(3).cannot_hold(["A-3"]).splits(["A-4"]).try_instead(["A-5"]);
}

#[test]
fn the_best_seats_never_split_a_pair() {
    let mut stage = on_sale(&["VVVVVVVV", "VVV"], |draft| mark(draft, 0, 1, "pppppppp"));
    assert_eq!(best(&mut stage, 1, 1, Among::default()).unwrap(), ["B-3"], "there are no pairs of one");
    assert_eq!(best(&mut stage, 2, 2, Among::default()).unwrap(), ["A-3", "A-4"]);
    assert_eq!(best(&mut stage, 3, 3, Among::default()), Err(NoBlock));
    assert_eq!(best(&mut stage, 3, 4, Among::default()).unwrap(), ["A-5", "A-6", "A-7", "A-8"]);
    assert_eq!(best(&mut stage, 4, 2, Among::default()).unwrap(), ["A-1", "A-2"]);
    assert_eq!(best(&mut stage, 5, 2, Among::default()).unwrap(), ["B-1", "B-2"]);
    assert_eq!(best(&mut stage, 6, 2, Among::default()), Err(SoldOut));
}

#[test]
fn of_a_pair_and_two_single_seats_the_nearer_ones_are_given() {
    let mut stage = on_sale(&["VVVV", "VVVV"], |draft| mark(draft, 1, 1, "pppp"));
    assert_eq!(best(&mut stage, 1, 4, Among::default()).unwrap(), ["A-1", "A-2", "A-3", "A-4"]);
    assert_eq!(best(&mut stage, 2, 4, Among::default()).unwrap(), ["B-1", "B-2", "B-3", "B-4"]);
}

#[test]
fn a_wheelchair_and_the_seat_beside_it_may_be_a_pair() {
    let mut stage = on_sale(&["VVVV"], |draft| {
        mark(draft, 0, 2, "wc");
        mark(draft, 0, 2, "pp");
    });
    assert_eq!(best(&mut stage, 1, 1, of_kind(SeatKind::Wheelchair)), Err(NoBlock));
    assert_eq!(best(&mut stage, 1, 2, of_kind(SeatKind::Wheelchair)).unwrap(), ["A-2", "A-3"]);
}

#[test]
fn a_pair_that_is_left_is_no_orphan() {
    let mut draft = crate::sale::tests::stage::drawn(&["VVVVVV"]);
    mark(&mut draft, 0, 1, "pppp");
    let mut stage = Stage::of(&draft).rules(|config| config.no_orphans = true);
    stage.at("10:00:00").buyer(1).holds(["A-3", "A-4"]);
    stage.buyer(2).holds(["A-1", "A-2"]);
}

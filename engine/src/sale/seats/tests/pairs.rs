//! Pairs: never split, neither by name nor by the best seats.

use crate::plan::{PlanDraft, SeatKind};
use crate::sale::Unavailable::{NoBlock, SoldOut};
use crate::sale::tests::stage::Stage;
use crate::sale::{Among, Rejection, Selection, Unavailable};

fn on_sale(rows: &[&str], change: impl FnOnce(&mut PlanDraft)) -> Stage {
    let mut draft = crate::sale::tests::stage::drawn(rows);
    change(&mut draft);
    let mut stage = Stage::of(&draft).rules(|config| config.max_seats_per_buyer = 100);
    stage.at("10:00:00");
    stage
}

/// Row `row`'s seats from `first` on, as many as there are letters: `w`heelchair, `c`ompanion, `r`estricted view, `p`air.
fn mark(draft: &mut PlanDraft, row: usize, first: usize, letters: &str) {
    let seats = &mut draft.sections[0].rows[row].seats;
    for (at, letter) in letters.chars().enumerate() {
        let seat = &mut seats[first - 1 + at];
        match letter {
            'w' => seat.kind = SeatKind::Wheelchair,
            'c' => seat.kind = SeatKind::Companion,
            'r' => seat.kind = SeatKind::RestrictedView,
            _ => seat.pair = Some(format!("pair {}", at / 2)),
        }
    }
}

/// The best seats, or why there are none.
fn best(stage: &mut Stage, buyer: u128, quantity: u16, among: Among) -> Result<Vec<String>, Unavailable> {
    let category = stage.sale.plan().unwrap().category("V").unwrap();
    match stage.buyer(buyer).tries(Selection::Best { category, quantity, among }) {
        Ok(view) => Ok(stage.names(&view.seats)),
        Err(Rejection::SeatUnavailable { reason, .. }) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

fn of_kind(kind: SeatKind) -> Among {
    Among { kind: Some(kind), section: None }
}

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

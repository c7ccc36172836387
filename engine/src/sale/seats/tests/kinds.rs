//! Kinds of seats: who gets which without asking for it.

use super::marked::{best, mark, of_kind, on_sale};
use crate::plan::SeatKind;
use crate::sale::Unavailable::{NoBlock, SoldOut};
use crate::sale::tests::stage::Stage;
use crate::sale::{Among, Rejection, Selection};

#[test]
fn nobody_gets_a_place_for_a_wheelchair_without_asking_and_who_asks_gets_no_other() {
    let mut stage = on_sale(&["VVVVV", "VV"], |draft| mark(draft, 0, 2, "wcw"));
    assert_eq!(best(&mut stage, 1, 2, Among::default()).unwrap(), ["B-1", "B-2"]);
    assert_eq!(best(&mut stage, 2, 1, of_kind(SeatKind::Wheelchair)).unwrap(), ["A-2"]);
    assert_eq!(best(&mut stage, 3, 1, of_kind(SeatKind::Companion)).unwrap(), ["A-3"]);
    assert_eq!(best(&mut stage, 4, 1, of_kind(SeatKind::Companion)), Err(SoldOut));
    assert_eq!(best(&mut stage, 5, 1, Among::default()).unwrap(), ["A-1"]);
    assert_eq!(best(&mut stage, 6, 1, Among::default()).unwrap(), ["A-5"]);
    assert_eq!(best(&mut stage, 7, 1, Among::default()), Err(SoldOut), "a wheelchair's place is left");
}

#[test]
fn seats_with_a_restricted_view_come_last_unless_they_are_asked_for() {
    let mut stage = on_sale(&["VVVV", "VVVV"], |draft| mark(draft, 0, 1, "rrrr"));
    assert_eq!(best(&mut stage, 1, 2, Among::default()).unwrap(), ["B-2", "B-3"]);
    assert_eq!(best(&mut stage, 2, 2, of_kind(SeatKind::RestrictedView)).unwrap(), ["A-2", "A-3"]);
    assert_eq!(best(&mut stage, 3, 1, Among::default()).unwrap(), ["B-1"]);
    assert_eq!(best(&mut stage, 4, 1, Among::default()).unwrap(), ["B-4"]);
    assert_eq!(best(&mut stage, 5, 1, of_kind(SeatKind::Standard)), Err(SoldOut));
    assert_eq!(best(&mut stage, 6, 1, Among::default()).unwrap(), ["A-1"]);
}

#[test]
fn a_restricted_view_serves_instead_and_a_wheelchairs_place_does_not() {
    let mut stage = on_sale(&["VVVV"], |draft| mark(draft, 0, 2, "rrw"));
    stage.begins_with("A", "h...");
    stage.buyer(1).cannot_hold(["A-1"]).taken(["A-1"]).try_instead(["A-2"]);
    stage.buyer(2).holds(["A-2", "A-3"]);
    stage.buyer(1).cannot_hold(["A-1"]).taken(["A-1"]).nothing_instead();
}

#[test]
fn only_seats_of_the_section_that_is_asked_for() {
    let mut stage = on_sale(&["VVVV", "VVVV", "VVVV"], |draft| {
        let mut behind = draft.sections[0].clone();
        behind.rows.remove(0);
        draft.sections[0].rows.truncate(1);
        (draft.sections[0].name, behind.name) = ("Front".to_owned(), "Back".to_owned());
        draft.sections.push(behind);
    });
    let section = |stage: &Stage, name: &str| Among { section: stage.sale.plan().unwrap().section(name), kind: None };
    let (front, back) = (section(&stage, "Front"), section(&stage, "Back"));
    assert_eq!(best(&mut stage, 1, 2, back).unwrap(), ["B-2", "B-3"]);
    assert_eq!(best(&mut stage, 2, 4, back).unwrap(), ["C-1", "C-2", "C-3", "C-4"]);
    assert_eq!(best(&mut stage, 3, 2, back), Err(NoBlock));
    assert_eq!(best(&mut stage, 4, 4, front).unwrap(), ["A-1", "A-2", "A-3", "A-4"]);
    let nowhere = Among { section: Some(crate::id::SectionIndex(2)), kind: None };
    let category = stage.sale.plan().unwrap().category("V").unwrap();
    let refused = stage.buyer(5).tries(Selection::Best { category, quantity: 1, among: nowhere });
    assert_eq!(refused.unwrap_err(), Rejection::SectionNotFound);
}

//! The order of seats, rows and sections follows from where they lie, whatever the order of the lists.

use super::*;
use proptest::prelude::*;
use proptest::sample::Index;

#[test]
fn a_row_listed_by_number_is_compiled_as_it_is_drawn() {
    let places = [("A1", 0.0), ("A2", 25.0), ("A3", -25.0), ("A4", 50.0), ("A5", -50.0), ("A6", 75.0)];
    let seats = places.iter().map(|(id, x)| seat(id, *x, 0.0)).collect();
    let plan = compiled(&draft(vec![section("", vec![row("A", seats)])]));
    assert_eq!(ids(&plan, 0..6), ["A5", "A3", "A1", "A2", "A4", "A6"]);
    assert_eq!(plan.segments().len(), 1);
}

#[test]
fn a_gap_wider_than_the_usual_step_ends_a_segment() {
    let aisle = vec![seat("4", 100.0, 0.0), seat("1", 0.0, 0.0), seat("3", 75.0, 0.0), seat("2", 25.0, 0.0)];
    let plan = compiled(&draft(vec![section("", vec![row("A", aisle)])]));
    assert_eq!(best(&plan), [["1", "2"], ["3", "4"]]);
}

#[test]
fn two_seats_at_either_end_of_a_hall_are_no_neighbours() {
    let ends = row("A", vec![seat("A-1", 0.0, 0.0), seat("A-2", 225.0, 0.0)]);
    let plan = compiled(&draft(vec![section("", vec![ends, straight("", "B", 10, (0.0, 30.0))])]));
    assert_eq!(plan.segments().len(), 3);
    let wide = row("A", vec![seat("A-1", 0.0, 0.0), seat("A-2", 40.0, 0.0)]);
    let plan = compiled(&draft(vec![section("", vec![wide, straight("", "B", 10, (0.0, 30.0))])]));
    assert_eq!(plan.segments().len(), 2, "a little wider than elsewhere they still are");
}

#[test]
fn seats_of_another_category_or_kind_end_a_segment() {
    let mut seats = straight("", "A", 6, (0.0, 0.0)).seats;
    seats[2].category = "B".to_owned();
    seats[4].kind = SeatKind::Wheelchair;
    let plan = compiled(&draft(vec![section("", vec![row("A", seats)])]));
    let lengths: Vec<_> = plan.segments().iter().map(|segment| segment.seats.len()).collect();
    assert_eq!(lengths, [2, 1, 1, 1, 1]);
    assert_eq!(plan.seat_kind(SeatIndex(4)), SeatKind::Wheelchair);
    assert_eq!(plan.seat_kind(SeatIndex(5)), SeatKind::Standard);
}

#[test]
fn halves_of_a_row_that_are_listed_apart_are_one_row() {
    let left = straight("l", "A", 4, (0.0, 0.0));
    let right = straight("r", "A", 4, (100.0, 0.0));
    let far = straight("f", "A", 4, (400.0, 0.0));
    let behind = straight("b", "A", 4, (0.0, 30.0));
    let plan = compiled(&draft(vec![section("", vec![right, behind, far, left])]));
    assert_eq!(plan.rows().len(), 2, "the one behind is a row of its own");
    let row = &plan.rows()[0];
    assert_eq!(ids(&plan, row.seats.clone())[2..6], ["lA-3", "lA-4", "rA-1", "rA-2"]);
    let lengths: Vec<_> = plan.segments().iter().map(|segment| segment.seats.len()).collect();
    assert_eq!(lengths, [8, 4, 4], "an aisle still parts them");
}

#[test]
fn rows_one_behind_the_other_are_never_one() {
    let rows = vec![straight("1", "A", 2, (0.0, 0.0)), straight("2", "A", 2, (0.0, 300.0))];
    assert_eq!(compiled(&draft(vec![section("", rows)])).rows().len(), 2);
}

#[test]
fn categories_stand_in_the_order_of_their_best_seats_and_colours_follow() {
    let rows = [("1", "S", 0.0), ("2", "VIP", 30.0), ("3", "B", 60.0)].map(|(label, category, y)| {
        let mut row = straight("", label, 3, (0.0, y));
        row.seats.iter_mut().for_each(|seat| seat.category = category.to_owned());
        row
    });
    let mut plan = draft(vec![section("", rows.to_vec())]);
    plan.categories.insert(0, Category { name: "none".to_owned(), color: "#000".to_owned() });
    let plan = compiled(&plan);
    let names: Vec<_> = plan.categories().iter().map(|category| category.name.as_str()).collect();
    assert_eq!(names, ["S", "VIP", "B", "none"]);
    let colors: Vec<_> = plan.categories().iter().map(|category| category.color.as_str()).collect();
    assert_eq!(colors, ["#8a2be2", "#c0392b", "#d9822b", "#000"]);
}

#[test]
fn what_has_no_seats_is_left_out() {
    let empty = section("empty", vec![row("1", vec![])]);
    let plan = compiled(&draft(vec![empty, section("", vec![row("0", vec![]), straight("", "1", 2, (0.0, 0.0))])]));
    assert_eq!((plan.sections().len(), plan.rows().len()), (1, 1));
}

#[test]
fn a_compiled_plan_compiles_to_itself() {
    let mut hall = hall(false);
    hall.sections[3].priority = None;
    let plan = compiled(&hall);
    let again = compiled(&plan.draft());
    assert_eq!((again.draft(), again.layout()), (plan.draft(), plan.layout()));
    let assembled = Plan::assemble(&plan.draft(), &plan.layout(), PlanHash([1; 32])).unwrap();
    assert_eq!((assembled.draft(), assembled.layout()), (plan.draft(), plan.layout()));
}

#[test]
fn a_layout_that_does_not_fit_is_no_plan() {
    let plan = compiled(&hall(false));
    let (draft, good) = (plan.draft(), plan.layout());
    let broken = |change: &dyn Fn(&mut Layout)| {
        let mut layout = good.clone();
        change(&mut layout);
        Plan::assemble(&draft, &layout, PlanHash([1; 32])).is_none()
    };
    assert!(!broken(&|_| {}));
    assert!(broken(&|layout| layout.segments[0].seats += 1));
    assert!(broken(&|layout| layout.segments[0].seats = 0));
    assert!(broken(&|layout| layout.ranking[0] = layout.ranking[1]));
    assert!(broken(&|layout| layout.ranking[0] = 1_000_000));
    assert!(broken(&|layout| layout.ranking.truncate(1)));
    assert!(broken(&|layout| layout.segments.truncate(1)));
}

/// A hall with everything in it: curved and straight and slanted rows, halves, aisles, kinds, pairs, equal labels, coincident
/// seats, two sections of one name, areas.
fn hall(named_stage: bool) -> PlanDraft {
    let curved = |label: &str, radius: f32| {
        let at = |n: usize| {
            let turn = (0.2 + 0.05 * n as f32) * std::f32::consts::PI;
            seat(&format!("c{label}-{n}"), (300.0 - radius * turn.cos()).round(), (radius * turn.sin()).round())
        };
        row(label, (0..13).map(at).collect())
    };
    let mut stalls = vec![
        curved("1", 200.0),
        curved("2", 230.0),
        straight("s", "3", 9, (100.0, 300.0)),
        straight("t", "3", 4, (400.0, 300.0)),
    ];
    stalls[0].seats[3].category = "B".to_owned();
    stalls[2].seats[0].kind = SeatKind::Wheelchair;
    stalls[2].seats[1].kind = SeatKind::Companion;
    for at in [4, 5] {
        stalls[1].seats[at].pair = Some("sofa".to_owned());
    }
    let slanted = |name: &str, x: f32| {
        let at = |r: usize, n: usize| {
            seat(
                &format!("{name}{r}-{n}"),
                x + 20.0 * n as f32 + 12.0 * r as f32,
                400.0 + 10.0 * n as f32 + 30.0 * r as f32,
            )
        };
        let rows = (0..3).map(|r| row(&format!("{r}"), (0..5).map(|n| at(r, n)).collect()));
        section("Side", rows.collect())
    };
    let twins =
        section("Box", vec![row("", vec![seat("x", 900.0, 500.0), seat("y", 900.0, 500.0), seat("z", 925.0, 500.0)])]);
    let mut sections = vec![section("Stalls", stalls), slanted("l", 0.0), slanted("r", 600.0), twins];
    sections[3].priority = Some(2);
    let mut plan = draft(sections);
    let text = if named_stage { "Stage" } else { "" };
    plan.areas = vec![
        Area { centre: (300.0, 20.0), extent: (300.0, 40.0), text: text.to_owned() },
        Area { centre: (800.0, 20.0), extent: (30.0, 40.0), text: "Bar".to_owned() },
    ];
    plan
}

/// Moves the items of a list about, as `swaps` say.
fn shuffle<T>(list: &mut [T], swaps: &mut impl Iterator<Item = Index>) {
    for at in 0..list.len() {
        if let Some(other) = swaps.next() {
            list.swap(at, other.index(list.len()));
        }
    }
}

proptest! {
    #[test]
    fn any_order_of_the_lists_gives_the_same_plan(swaps in prop::collection::vec(any::<Index>(), 200), named in any::<bool>()) {
        let plan = compiled(&hall(named));
        let mut shuffled = hall(named);
        let mut swaps = swaps.into_iter();
        shuffle(&mut shuffled.sections, &mut swaps);
        shuffle(&mut shuffled.categories, &mut swaps);
        shuffle(&mut shuffled.areas, &mut swaps);
        for section in &mut shuffled.sections {
            shuffle(&mut section.rows, &mut swaps);
            section.rows.iter_mut().for_each(|row| shuffle(&mut row.seats, &mut swaps));
        }
        let other = compiled(&shuffled);
        prop_assert_eq!(other.draft(), plan.draft());
        prop_assert_eq!(other.layout(), plan.layout());
    }
}

//! Where the stage is taken to be.

use super::*;

fn stage_of(draft: &PlanDraft) -> (f32, f32, StageSource) {
    let stage = compiled(draft).stage().unwrap();
    (stage.x, stage.y, stage.source)
}

/// Rows A to D of so many seats, `back` apart from row to row.
fn block(section_name: &str, seats: usize, from: (f32, f32), back: f32) -> SectionDraft {
    let rows = ["A", "B", "C", "D"].iter().enumerate();
    section(
        section_name,
        rows.map(|(n, label)| straight(section_name, label, seats, (from.0, from.1 + back * n as f32))).collect(),
    )
}

#[test]
fn a_stage_that_is_given_wins_over_one_that_is_drawn_and_that_over_where_rows_face() {
    let mut plan = draft(vec![block("", 9, (0.0, 100.0), 30.0)]);
    // Half as far ahead as the hall is wide.
    assert_eq!(stage_of(&plan), (100.0, 0.0, StageSource::Facing));
    plan.areas = vec![Area { centre: (50.0, 500.0), extent: (90.0, 20.0), text: "BÜHNE".to_owned() }];
    assert_eq!(stage_of(&plan), (50.0, 500.0, StageSource::Area));
    plan.stage = Some(Stage { x: 7.0, y: 8.0, source: StageSource::Given });
    assert_eq!(stage_of(&plan), (7.0, 8.0, StageSource::Given));
}

#[test]
fn row_a_is_in_front_wherever_it_is_drawn() {
    assert_eq!(stage_of(&draft(vec![block("", 9, (0.0, 0.0), -30.0)])), (100.0, 100.0, StageSource::Facing));
    let upright = |back: f32| {
        let at = |n: usize, s: usize| seat(&format!("{n}-{s}"), back * n as f32, 25.0 * s as f32);
        let rows = (1..4).map(|n| row(&n.to_string(), (0..9).map(|s| at(n, s)).collect()));
        stage_of(&draft(vec![section("", rows.collect())]))
    };
    assert_eq!(upright(30.0), (-70.0, 100.0, StageSource::Facing));
    assert_eq!(upright(-30.0), (70.0, 100.0, StageSource::Facing));
}

#[test]
fn rows_of_different_lengths_still_face_straight_ahead() {
    let rows = [("A", 4), ("B", 8), ("C", 16)].iter().enumerate();
    let rows = rows.map(|(n, (label, seats))| straight("", label, *seats, (0.0, 100.0 + 30.0 * n as f32))).collect();
    let (x, _, _) = stage_of(&draft(vec![section("", rows)]));
    assert_eq!(x, 187.5, "the middle of the widest");
}

#[test]
fn rows_without_numbers_face_the_centre_that_they_bend_around() {
    let arc = |radius: f32, up: f32| {
        let at = |n: usize| {
            let turn = (0.3 + 0.05 * n as f32) * std::f32::consts::PI;
            seat(&format!("{radius}-{n}"), 500.0 + radius * turn.cos(), 500.0 + up * radius * turn.sin())
        };
        row("", (0..9).map(at).collect())
    };
    let facing = |up: f32| {
        let (x, y, _) = stage_of(&draft(vec![section("", vec![arc(300.0, up), arc(330.0, up)])]));
        assert!((x - 500.0).abs() < 1.0, "{x}");
        y
    };
    assert!(facing(1.0) < 740.0, "the seats lie below their centre");
    assert!(facing(-1.0) > 260.0, "above it");
}

#[test]
fn without_a_hint_the_stage_is_at_the_top() {
    let rows = vec![straight("1", "", 5, (0.0, 100.0)), straight("2", "", 5, (0.0, 130.0))];
    assert_eq!(stage_of(&draft(vec![section("", rows)])), (50.0, 50.0, StageSource::Facing));
}

#[test]
fn sections_all_around_face_the_middle() {
    let around = |turn: usize| {
        let (cos, sin) = [(1.0, 0.0), (0.0, 1.0), (-1.0, 0.0), (0.0, -1.0)][turn];
        let at = |r: usize, s: usize| {
            let (out, side) = (200.0 + 30.0 * r as f32, 25.0 * s as f32 - 100.0);
            seat(&format!("{turn}{r}-{s}"), 500.0 + out * cos - side * sin, 500.0 + out * sin + side * cos)
        };
        section(&turn.to_string(), (1..5).map(|r| row(&r.to_string(), (0..9).map(|s| at(r, s)).collect())).collect())
    };
    let (x, y, _) = stage_of(&draft((0..4).map(around).collect()));
    assert!((x - 500.0).abs() < 0.5 && (y - 500.0).abs() < 0.5, "{x} {y}");
}

#[test]
fn between_stands_that_face_each_other() {
    let (north, south) = (block("N", 9, (0.0, 100.0), -30.0), block("S", 5, (50.0, 300.0), 30.0));
    let (x, y, _) = stage_of(&draft(vec![north, south]));
    assert_eq!((x, y), (100.0, 200.0));
}

#[test]
fn an_area_without_words_is_the_stage_if_it_can_be_nothing_else() {
    let mut plan = draft(vec![block("", 9, (0.0, 200.0), 30.0)]);
    let area =
        |x: f32, y: f32, wide: f32, text: &str| Area { centre: (x, y), extent: (wide, 20.0), text: text.to_owned() };
    let with = |plan: &mut PlanDraft, areas: &[Area]| {
        plan.areas = areas.to_vec();
        let (x, y, source) = stage_of(plan);
        (source == StageSource::Area).then_some((x, y))
    };
    assert_eq!(with(&mut plan, &[area(90.0, 60.0, 150.0, "")]), Some((90.0, 60.0)));
    assert_eq!(with(&mut plan, &[area(90.0, 60.0, 10.0, "")]), None, "too small");
    assert_eq!(with(&mut plan, &[area(90.0, 400.0, 150.0, "")]), None, "behind the seats");
    assert_eq!(with(&mut plan, &[area(90.0, 60.0, 150.0, "Bar")]), None, "something else");
    assert_eq!(with(&mut plan, &[area(90.0, 60.0, 150.0, ""), area(90.0, 100.0, 99.0, "")]), None, "which of them?");
    let words = Area { centre: (80.0, 65.0), extent: (0.0, 0.0), text: "Stage".to_owned() };
    assert_eq!(with(&mut plan, &[words, area(90.0, 60.0, 150.0, "")]), Some((90.0, 60.0)), "the shape under the word");
    let two = [area(90.0, 60.0, 150.0, "Stage door"), area(0.0, 500.0, 150.0, "stage"), area(9.0, 9.0, 9.0, "B stage")];
    assert_eq!(with(&mut plan, &two), Some((0.0, 500.0)), "the one that is called nothing else");
}

//! Which seats are the best.

use super::*;

fn stalls_and_balcony() -> [SectionDraft; 2] {
    let rows = |name: &str, y: f32| {
        let labels = ["A", "B", "C", "D"].iter().enumerate();
        section(name, labels.map(|(n, label)| straight(name, label, 4, (25.0, y + 30.0 * n as f32))).collect())
    };
    [rows("Stalls ", 30.0), rows("Balcony ", 1030.0)]
}

#[test]
fn all_stalls_come_before_the_balcony_however_they_are_listed() {
    let expected = ["Stalls A", "Stalls B", "Stalls C", "Stalls D", "Balcony A", "Balcony B", "Balcony C", "Balcony D"];
    let [stalls, balcony] = stalls_and_balcony();
    assert_eq!(best_rows(&compiled(&draft(vec![stalls.clone(), balcony.clone()]))), expected);
    assert_eq!(best_rows(&compiled(&draft(vec![balcony, stalls]))), expected);
}

#[test]
fn a_priority_wins_over_the_distance_and_that_of_a_row_over_its_sections() {
    let [mut stalls, mut balcony] = stalls_and_balcony();
    balcony.priority = Some(1);
    stalls.rows[3].priority = Some(0);
    let rows = best_rows(&compiled(&draft(vec![stalls, balcony])));
    assert_eq!(rows[..3], ["Stalls D", "Balcony A", "Balcony B"]);
    assert_eq!(rows[5..], ["Stalls A", "Stalls B", "Stalls C"], "what has none comes last");
}

#[test]
fn the_nearest_row_is_the_best_wherever_the_stage_is() {
    let [stalls, balcony] = stalls_and_balcony();
    let mut plan = draft(vec![stalls, balcony]);
    plan.stage = Some(Stage { x: 60.0, y: 2000.0, source: StageSource::Given });
    let rows = best_rows(&compiled(&plan));
    assert_eq!((rows[0].as_str(), rows[7].as_str()), ("Balcony D", "Stalls A"));
}

#[test]
fn wings_of_a_row_are_better_than_the_middle_of_the_next_one() {
    let mut front = straight("", "A", 12, (0.0, 0.0));
    front.seats[..4].iter_mut().for_each(|seat| seat.x -= 50.0);
    front.seats[8..].iter_mut().for_each(|seat| seat.x += 50.0);
    let plan = compiled(&draft(vec![section("", vec![front, straight("", "B", 12, (0.0, 30.0))])]));
    let first: Vec<&str> = best(&plan).iter().map(|seats| seats[0]).collect();
    assert_eq!(first, ["A-5", "A-1", "A-9", "B-1"]);
}

#[test]
fn the_far_end_of_a_row_along_the_side_is_not_as_good_as_its_near_end() {
    // The stage is at the top; one row runs along the side, parted by an aisle far down.
    let side: Vec<SeatDraft> = (0..16)
        .map(|n| seat(&format!("side-{}", n + 1), -100.0, 25.0 * n as f32 + if n < 8 { 0.0 } else { 50.0 }))
        .collect();
    let rows = ["A", "B", "C"].iter().enumerate().map(|(n, label)| straight("", label, 9, (0.0, 30.0 * n as f32)));
    let mut plan = draft(vec![section("", rows.collect()), section("side", vec![row("", side)])]);
    plan.stage = Some(Stage { x: 100.0, y: -60.0, source: StageSource::Given });
    let first: Vec<String> = best(&compiled(&plan)).iter().map(|seats| seats[0].to_owned()).collect();
    assert_eq!(first, ["A-1", "B-1", "C-1", "side-1", "side-9"]);
}

#[test]
fn blocks_grow_around_the_seat_nearest_to_the_stage() {
    let mut plan =
        draft(vec![section("", vec![straight("", "A", 9, (0.0, 100.0)), straight("", "B", 9, (0.0, 130.0))])]);
    let centre = |plan: &PlanDraft| compiled(plan).segments()[0].centre;
    assert_eq!(centre(&plan), 4.0);
    plan.stage = Some(Stage { x: 30.0, y: 0.0, source: StageSource::Given });
    let aside = centre(&plan);
    assert!((1.0..2.0).contains(&aside), "between the second and the third seat: {aside}");
    plan.stage = Some(Stage { x: 500.0, y: 100.0, source: StageSource::Given });
    assert_eq!(centre(&plan), 8.0, "beside the hall");
}

#[test]
fn of_sections_as_near_the_first_by_name_is_better() {
    let left = section("1 left", vec![straight("l", "A", 4, (0.0, 0.0))]);
    let right = section("2 right", vec![straight("r", "A", 4, (125.0, 0.0))]);
    let plan = compiled(&draft(vec![right, left]));
    assert_eq!(best_rows(&plan), ["1 leftA", "2 rightA"]);
}

#[test]
fn a_pair_must_be_two_neighbours() {
    let found = |change: &dyn Fn(&mut Vec<SeatDraft>)| {
        let mut seats = straight("", "A", 6, (0.0, 0.0)).seats;
        change(&mut seats);
        let compiled = Plan::compile(&draft(vec![section("", vec![row("A", seats)])]), PlanHash([1; 32]));
        compiled.map(|_| 0).unwrap_or_else(|mistakes| {
            assert_eq!((mistakes.len(), mistakes[0].member), (1, "pair"));
            mistakes[0].places.len()
        })
    };
    let pair =
        |seats: &mut Vec<SeatDraft>, at: &[usize]| at.iter().for_each(|&at| seats[at].pair = Some("x".to_owned()));
    assert_eq!(found(&|seats| pair(seats, &[1, 2])), 0);
    assert_eq!(found(&|seats| pair(seats, &[1])), 1);
    assert_eq!(found(&|seats| pair(seats, &[1, 3])), 2);
    assert_eq!(found(&|seats| pair(seats, &[1, 2, 3])), 3);
    assert_eq!(
        found(&|seats| {
            pair(seats, &[1, 2]);
            seats[2].category = "B".to_owned();
        }),
        2
    );
    assert_eq!(
        found(&|seats| {
            pair(seats, &[2, 3]);
            seats[3..].iter_mut().for_each(|seat| seat.x += 60.0);
        }),
        2,
        "an aisle lies between them"
    );
}

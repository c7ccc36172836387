//! The best seats of the three real halls: the first two that are given of each category are among the nearest to the stage.
//! Prints the table of `docs/halls.md`.
#![allow(clippy::print_stdout, reason = "the table is for a document")]

use crate::support::NOON;
use onsale_adapters::pretix;
use onsale_engine::fakes::small_config;
use onsale_engine::id::{BuyerId, CategoryIndex, Epoch, ReservationId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::plan::{Plan, Stage, StageSource};
use onsale_engine::sale::{Command, Entry, Fact, Hold, Sale, Selection};
use std::sync::Arc;
use uuid::Uuid;

/// What was given before distances counted: hall, category, and the first two of its best seats.
const BEFORE: [(&str, &str, [&str; 2]); 14] = [
    ("theatre", "VIP", ["S-A-8", "S-A-9"]),
    ("theatre", "S", ["S-E-10", "S-E-11"]),
    ("theatre", "A", ["B-BA-12", "B-BA-13"]),
    ("theatre", "B", ["B-BC-13", "B-BC-14"]),
    ("arena", "VIP", ["F13-1-1", "F13-1-2"]),
    ("arena", "R", ["F12-5-3", "F12-5-4"]),
    ("arena", "S", ["L12-1-7", "L12-1-8"]),
    ("arena", "A", ["U12-1-14", "U12-1-15"]),
    ("arena", "B", ["U01-1-1", "U01-1-2"]),
    ("stadium", "VIP", ["110-1-5", "110-1-6"]),
    ("stadium", "R", ["110-7-6", "110-7-7"]),
    ("stadium", "S", ["210-1-11", "210-1-12"]),
    ("stadium", "A", ["211-1-1", "211-1-2"]),
    ("stadium", "B", ["310-1-18", "310-1-19"]),
];

fn read(hall: &str, stage: Option<Stage>) -> Arc<Plan> {
    let json = std::fs::read(format!("{}/../halls/{hall}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    pretix::import_plan(&json, stage).unwrap().plan
}

/// A sale of the hall, open.
fn sale(plan: &Arc<Plan>) -> Sale {
    let mut config = small_config(NOON);
    config.prices = vec![Some(Amount(1)); plan.categories().len()];
    let mut sale = Sale::new();
    let (config, by) = (Box::new(config), BuyerId(Uuid::from_u128(1)));
    run(&mut sale, &Command::Configure { config, plan: Arc::clone(plan), by });
    sale
}

fn run(sale: &mut Sale, command: &Command) -> Vec<Fact> {
    let facts = sale.decide(command, NOON, Epoch(1)).unwrap().facts;
    for fact in &facts {
        let entry = Entry { seq: sale.seq().next(), epoch: Epoch(1), at: NOON, trace: None, fact: fact.clone() };
        sale.apply(&entry);
    }
    facts.to_vec()
}

fn best_two(sale: &mut Sale, category: CategoryIndex) -> Vec<SeatIndex> {
    let (reservation, buyer) = (ReservationId(Uuid::from_u128(7)), BuyerId(Uuid::from_u128(2)));
    let selection = Selection::best(category, 2);
    let hold = Command::Hold(Hold { reservation, buyer, selection, slot: None, key: None });
    let held = run(sale, &hold)
        .into_iter()
        .find_map(|fact| if let Fact::SeatsHeld { seats, .. } = fact { Some(seats.to_vec()) } else { None });
    held.expect("a hold")
}

/// How many pairs of neighbours of the category are nearer to the stage than these, and how many there are.
fn rank(plan: &Plan, category: CategoryIndex, seats: &[SeatIndex]) -> (usize, usize) {
    let stage = plan.stage().unwrap();
    let distance = |seat: SeatIndex| {
        let (x, y) = plan.seat_position(seat);
        (f64::from(x - stage.x)).hypot(f64::from(y - stage.y))
    };
    let of = |pair: [SeatIndex; 2]| distance(pair[0]) + distance(pair[1]);
    let segments = plan.segments().iter().filter(|segment| segment.category == category);
    let pairs: Vec<f64> = segments
        .flat_map(|segment| {
            (segment.seats.start + 1..segment.seats.end).map(|seat| of([SeatIndex(seat - 1), SeatIndex(seat)]))
        })
        .collect();
    let own = of([seats[0], seats[1]]);
    (1 + pairs.iter().filter(|other| **other < own - 1.0).count(), pairs.len())
}

#[test]
fn the_best_seats_of_the_real_halls_are_the_nearest_to_their_stage() {
    println!("| hall, stage | category | before | now | of |\n|---|---|--:|--:|--:|");
    let at = |x: f32, y: f32| Some(Stage { x, y, source: StageSource::Given });
    let places = [
        ("theatre", "assumed", None),
        ("theatre", "at the bottom", at(499.0, 880.0)),
        ("arena", "assumed", None),
        ("arena", "at the left end", at(900.0, 1590.0)),
        ("stadium", "assumed", None),
        ("stadium", "at the top", at(3413.0, 1500.0)),
    ];
    let mut far: Vec<String> = Vec::new();
    for (hall, place, stage) in places {
        let plan = read(hall, stage);
        for (_, name, before) in BEFORE.iter().filter(|(of, ..)| *of == hall) {
            let category = plan.category(name).unwrap();
            let now = best_two(&mut sale(&plan), category);
            let before = before.map(|id| plan.seat(id).unwrap());
            let ((was, _), (is, of)) = (rank(&plan, category, &before), rank(&plan, category, &now));
            println!("| {hall}, {place} | {name} | {was} | {is} | {of} |");
            far.extend((is > 5.max(of / 500)).then(|| format!("{hall}, {place}, {name}: only the {is}th of {of}")));
        }
        println!("stage {:?}", plan.stage().unwrap());
    }
    assert_eq!(far, Vec::<String>::new());
}

#[test]
fn a_stadium_is_compiled_in_a_moment() {
    let json = std::fs::read(format!("{}/../halls/stadium.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let began = std::time::Instant::now();
    let plan = pretix::import_plan(&json, None).unwrap().plan;
    println!("{} seats in {:?}", plan.capacity(), began.elapsed());
    assert_eq!(plan.capacity(), 56_670);
}

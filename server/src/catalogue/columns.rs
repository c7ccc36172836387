//! A plan as columns: the form of a seat map for pages that draw tens of thousands of seats. Everything in it is in the order of
//! the plan's seats. Must never hold live state.
//!
//! Positions are whole numbers of `unit`. `dx` and `dy` go from seat to seat across the whole plan, the first one from 0; from a
//! row's third seat on they are differences of differences, which are 0 in a straight row. `cat`, `rank` and `kinds` are runs:
//! a value and how many seats in a row of the list have it. A row is `[label, seats, first, step]` where its seats are numbered evenly, else
//! `[label, seats, [number, …]]`. `ids` has for each section a pattern such as `"101-{row}-{seat}"` that fits all of its seats,
//! else a list of lists, by row.

use crate::catalogue::seat_map::{Coordinate, SizeDocument};
use onsale_engine::id::{CategoryIndex, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::plan::{Plan, Row, SeatKind, Section, Stage};
use serde::Serialize;
use serde_json::{Value, json};

/// See the module.
#[derive(Serialize)]
pub struct Columns<'a> {
    version: u8,
    size: SizeDocument,
    unit: f64,
    categories: Vec<CategoryColumns<'a>>,
    shapes: &'a [Value],
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<StageJson>,
    sections: Vec<SectionColumns<'a>>,
    dx: Vec<i64>,
    dy: Vec<i64>,
    cat: Vec<(u16, u32)>,
    ids: Vec<Value>,
    /// How good the seats are, within their category: that of the best ones is 0.
    rank: Vec<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kinds: Option<Vec<(&'static str, u32)>>,
    /// The first seats of pairs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pairs: Vec<u32>,
}

#[derive(Serialize)]
struct CategoryColumns<'a> {
    name: &'a str,
    color: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    price: Option<i64>,
}

#[derive(Serialize)]
struct SectionColumns<'a> {
    name: &'a str,
    rows: Vec<Value>,
}

/// A stage as answers show it.
#[derive(Serialize, Clone, Copy)]
pub struct StageJson {
    x: f32,
    y: f32,
    source: &'static str,
}

impl From<Stage> for StageJson {
    fn from(stage: Stage) -> Self {
        Self { x: stage.x, y: stage.y, source: stage.source.word() }
    }
}

impl<'a> Columns<'a> {
    /// The columns of a plan. `prices` are in the order of its categories, or empty where it is not on sale.
    #[must_use]
    pub fn new(plan: &'a Plan, prices: &[Option<Amount>], shapes: &'a [Value]) -> Self {
        let (width, height) = plan.size();
        let unit = unit(plan);
        let (dx, dy) = differences(plan, unit);
        let category = |(number, category): (usize, &'a onsale_engine::plan::Category)| CategoryColumns {
            name: &category.name,
            color: &category.color,
            price: prices.get(number).copied().flatten().map(|price| price.0),
        };
        let seats = || (0..plan.capacity() as u32).map(SeatIndex);
        let ranks = ranks(plan);
        let has_kinds = seats().any(|seat| plan.seat_kind(seat) != SeatKind::Standard);
        Self {
            version: 1,
            size: SizeDocument { width: Coordinate(width), height: Coordinate(height) },
            unit,
            categories: plan.categories().iter().enumerate().map(category).collect(),
            shapes,
            stage: plan.stage().map(StageJson::from),
            sections: plan.sections().iter().map(|section| section_columns(plan, section)).collect(),
            dx,
            dy,
            cat: runs(seats().map(|seat| plan.seat_category(seat).0)),
            ids: plan.sections().iter().map(|section| ids(plan, section)).collect(),
            rank: runs(seats().map(|seat| ranks[plan.seat_segment(seat) as usize])),
            kinds: has_kinds.then(|| runs(seats().map(|seat| plan.seat_kind(seat).word()))),
            pairs: seats()
                .filter(|seat| plan.pair(*seat).is_some_and(|(other, _)| other > *seat))
                .map(|seat| seat.0)
                .collect(),
        }
    }
}

/// The rank of each segment within its category.
fn ranks(plan: &Plan) -> Vec<u32> {
    let mut ranks = vec![0; plan.segments().len()];
    for category in (0..plan.categories().len()).filter_map(|at| u16::try_from(at).ok()) {
        for (rank, &segment) in (0..).zip(plan.best_segments(CategoryIndex(category))) {
            ranks[segment as usize] = rank;
        }
    }
    ranks
}

fn runs<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<(T, u32)> {
    let mut runs: Vec<(T, u32)> = Vec::new();
    for value in values {
        match runs.last_mut() {
            Some((last, count)) if *last == value => *count += 1,
            Some(_) | None => runs.push((value, 1)),
        }
    }
    runs
}

/// 1 where all positions are whole, else a hundredth, or less in a small drawing.
fn unit(plan: &Plan) -> f64 {
    let positions = || (0..plan.capacity() as u32).map(|seat| plan.seat_position(SeatIndex(seat)));
    if positions().all(|(x, y)| x.fract() == 0.0 && y.fract() == 0.0) {
        return 1.0;
    }
    let extent = positions().map(|(x, y)| f64::from(x.abs().max(y.abs()))).fold(0.0, f64::max);
    [0.01, 0.001, 0.0001].into_iter().find(|unit| extent / unit >= 10_000.0).unwrap_or(0.000_01)
}

fn differences(plan: &Plan, unit: f64) -> (Vec<i64>, Vec<i64>) {
    let (mut dx, mut dy) = (Vec::with_capacity(plan.capacity()), Vec::with_capacity(plan.capacity()));
    let whole = |value: f32| (f64::from(value) / unit).round() as i64;
    let (mut last, mut step) = ((0, 0), (0, 0));
    for row in plan.rows() {
        for (at, seat) in row.seats.clone().enumerate() {
            let (x, y) = plan.seat_position(SeatIndex(seat));
            let place = (whole(x), whole(y));
            let next = (place.0 - last.0, place.1 - last.1);
            let known = if at >= 2 { step } else { (0, 0) };
            dx.push(next.0 - known.0);
            dy.push(next.1 - known.1);
            (last, step) = (place, next);
        }
    }
    (dx, dy)
}

fn rows_of<'a>(plan: &'a Plan, section: &Section) -> &'a [Row] {
    plan.rows().get(section.rows.start as usize..section.rows.end as usize).unwrap_or(&[])
}

fn section_columns<'a>(plan: &'a Plan, section: &'a Section) -> SectionColumns<'a> {
    let row = |row: &Row| {
        let numbers: Vec<&str> = row.seats.clone().map(|seat| plan.seat_label(SeatIndex(seat))).collect();
        match evenly(&numbers) {
            Some((first, step)) => json!([row.label, numbers.len(), first, step]),
            None => json!([row.label, numbers.len(), numbers]),
        }
    };
    SectionColumns { name: &section.name, rows: rows_of(plan, section).iter().map(row).collect() }
}

/// The first number and the step of numbers that are evenly apart.
fn evenly(numbers: &[&str]) -> Option<(i64, i64)> {
    let number = |text: &&str| text.parse::<i64>().ok().filter(|number| number.to_string() == **text);
    let read: Vec<i64> = numbers.iter().map(number).collect::<Option<_>>()?;
    let first = *read.first()?;
    let step = read.get(1).map_or(Some(1), |second| second.checked_sub(first))?;
    read.windows(2).all(|pair| pair[1].checked_sub(pair[0]) == Some(step)).then_some((first, step))
}

/// A pattern that makes the ids of all seats of a section of their rows' labels and their own numbers, or the ids.
fn ids(plan: &Plan, section: &Section) -> Value {
    let rows = rows_of(plan, section);
    let seats = |row: &Row| row.seats.clone().map(SeatIndex);
    let fits = |pattern: &String| {
        rows.iter().all(|row| {
            let of_row = pattern.replace("{row}", &row.label);
            seats(row).all(|seat| of_row.replace("{seat}", plan.seat_label(seat)) == plan.seat_id(seat))
        })
    };
    match patterns(plan, rows).into_iter().find(fits) {
        Some(pattern) => pattern.into(),
        None => rows.iter().map(|row| seats(row).map(|seat| plan.seat_id(seat)).collect::<Value>()).collect(),
    }
}

/// What may be the pattern, by the first seat: its number last, its row's label somewhere before.
fn patterns(plan: &Plan, rows: &[Row]) -> Vec<String> {
    let first = rows.first().map(|row| (row, SeatIndex(row.seats.start)));
    let Some((row, seat)) = first.filter(|(_, seat)| plan.has(*seat)) else { return Vec::new() };
    let (id, number) = (plan.seat_id(seat), plan.seat_label(seat));
    let Some(before) = id.strip_suffix(number).filter(|before| !number.is_empty() && !before.contains(['{', '}']))
    else {
        return Vec::new();
    };
    let label = &*row.label;
    let mut found: Vec<String> = Vec::new();
    if !label.is_empty() && !label.contains(['{', '}']) {
        let places = before.rmatch_indices(label).map(|(at, _)| at);
        found.extend(places.map(|at| format!("{}{{row}}{}{{seat}}", &before[..at], &before[at + label.len()..])));
    }
    found.push(format!("{before}{{seat}}"));
    found
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_adapters::pretix;

    /// What a page makes of the columns: id, number, position, category and rank of every seat.
    fn decoded(columns: &Value) -> Vec<(String, String, f64, f64, String, u64)> {
        let unit = columns["unit"].as_f64().unwrap();
        let spread = |runs: &Value| -> Vec<u64> {
            let runs = runs.as_array().unwrap().iter();
            runs.flat_map(|run| std::iter::repeat_n(run[0].as_u64().unwrap(), run[1].as_u64().unwrap() as usize))
                .collect()
        };
        let (categories, ranks) = (spread(&columns["cat"]), spread(&columns["rank"]));
        let (mut seats, mut last, mut step) = (Vec::new(), [0, 0], [0, 0]);
        for (number, section) in columns["sections"].as_array().unwrap().iter().enumerate() {
            for (row_number, row) in section["rows"].as_array().unwrap().iter().enumerate() {
                for at in 0..row[1].as_u64().unwrap() as usize {
                    let index = seats.len();
                    let known = if at >= 2 { step } else { [0, 0] };
                    let next = ["dx", "dy"].map(|name| columns[name][index].as_i64().unwrap());
                    step = [next[0] + known[0], next[1] + known[1]];
                    last = [last[0] + step[0], last[1] + step[1]];
                    let label = match row[2].as_array() {
                        Some(labels) => labels[at].as_str().unwrap().to_owned(),
                        None => (row[2].as_i64().unwrap() + at as i64 * row[3].as_i64().unwrap()).to_string(),
                    };
                    let ids = &columns["ids"][number];
                    let id = match ids.as_str() {
                        Some(pattern) => pattern.replace("{row}", row[0].as_str().unwrap()).replace("{seat}", &label),
                        None => ids[row_number][at].as_str().unwrap().to_owned(),
                    };
                    let category =
                        columns["categories"][categories[index] as usize]["name"].as_str().unwrap().to_owned();
                    seats.push((id, label, last[0] as f64 * unit, last[1] as f64 * unit, category, ranks[index]));
                }
            }
        }
        seats
    }

    fn check(plan: &Plan) -> Value {
        let columns = serde_json::to_value(Columns::new(plan, &[], &[])).unwrap();
        let seats = decoded(&columns);
        assert_eq!(seats.len(), plan.capacity());
        for (seat, (id, label, x, y, category, rank)) in (0..).map(SeatIndex).zip(seats) {
            assert_eq!((id.as_str(), label.as_str()), (plan.seat_id(seat), plan.seat_label(seat)));
            let place = plan.seat_position(seat);
            assert!((f64::from(place.0) - x).abs() < 0.01 && (f64::from(place.1) - y).abs() < 0.01, "{id}");
            let of = plan.seat_category(seat);
            assert_eq!(category, plan.categories()[of.at()].name);
            assert_eq!(plan.best_segments(of)[rank as usize], plan.seat_segment(seat));
        }
        columns
    }

    #[test]
    fn a_page_gets_every_seat_of_the_real_halls_back() {
        for hall in ["theatre", "arena"] {
            let json = std::fs::read(format!("{}/../halls/{hall}.json", env!("CARGO_MANIFEST_DIR"))).unwrap();
            let columns = check(&pretix::import_plan(&json, None).unwrap().plan);
            assert!(columns["ids"].as_array().unwrap().iter().all(Value::is_string), "patterns suffice");
            assert!(columns.to_string().len() * 3 < json.len());
        }
    }

    #[test]
    fn what_is_not_even_is_listed() {
        let seat = |id: &str, number: &str, x: f64, more: &str| {
            format!(
                r#"{{"seat_guid":"{id}","seat_number":"{number}","position":{{"x":{x},"y":0}},"category":"A"{more}}}"#
            )
        };
        let seats = [
            seat("x", "2", 0.25, ""),
            seat("y", "07", 1.5, r#","pair":"p""#),
            seat("z", "9", 2.75, r#","pair":"p""#),
            seat("w", "11", 4.0, r#","kind":"WHEELCHAIR""#),
        ];
        let json = format!(
            r#"{{"categories":[{{"name":"A"}}],"zones":[{{"position":{{"x":0,"y":0}},"rows":[{{"row_number":"1","seats":[{}]}}]}}]}}"#,
            seats.join(",")
        );
        let columns = check(&pretix::import_plan(json.as_bytes(), None).unwrap().plan);
        assert_eq!(columns["sections"][0]["rows"][0], json!(["1", 4, ["2", "07", "9", "11"]]));
        assert_eq!(columns["ids"], json!([[["x", "y", "z", "w"]]]));
        assert_eq!(columns["kinds"], json!([["STANDARD", 3], ["WHEELCHAIR", 1]]));
        assert_eq!((&columns["pairs"], &columns["categories"][0]["price"]), (&json!([1]), &Value::Null));
    }
}

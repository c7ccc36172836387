//! What a plan is compiled to: the order of its seats, its segments, its stage, and which seats are the best.
#![allow(clippy::unwrap_used, reason = "tests")]

mod best;
mod labels;
mod order;
mod stage;

use super::*;
use crate::id::PlanHash;

/// A seat of category A; its number is what follows the last `-` of its id.
fn seat(id: &str, x: f32, y: f32) -> SeatDraft {
    let label = id.rsplit('-').next().unwrap_or(id).to_owned();
    SeatDraft { id: id.to_owned(), label, x, y, category: "A".to_owned(), ..SeatDraft::default() }
}

fn row(label: &str, seats: Vec<SeatDraft>) -> RowDraft {
    RowDraft { label: label.to_owned(), seats, ..RowDraft::default() }
}

fn section(name: &str, rows: Vec<RowDraft>) -> SectionDraft {
    SectionDraft { name: name.to_owned(), rows, ..SectionDraft::default() }
}

/// A plan of these sections with one category for each name that its seats have.
fn draft(sections: Vec<SectionDraft>) -> PlanDraft {
    let mut names: Vec<&str> =
        sections.iter().flat_map(|s| &s.rows).flat_map(|r| &r.seats).map(|s| s.category.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let categories = names.iter().map(|name| Category { name: (*name).to_owned(), color: String::new() }).collect();
    PlanDraft { size: (1000.0, 1000.0), categories, sections, ..PlanDraft::default() }
}

fn compiled(draft: &PlanDraft) -> Plan {
    Plan::compile(draft, PlanHash([1; 32])).unwrap()
}

/// A straight row of so many seats, 25 apart.
fn straight(section: &str, label: &str, seats: usize, (x, y): (f32, f32)) -> RowDraft {
    let seat = |n: usize| seat(&format!("{section}{label}-{}", n + 1), x + 25.0 * n as f32, y);
    row(label, (0..seats).map(seat).collect())
}

/// The ids of seats, in plan order.
fn ids(plan: &Plan, seats: std::ops::Range<u32>) -> Vec<&str> {
    seats.map(|seat| plan.seat_id(SeatIndex(seat))).collect()
}

/// The ids of each segment's seats, the best segment first.
fn best(plan: &Plan) -> Vec<Vec<&str>> {
    plan.ranking().iter().map(|&number| ids(plan, plan.segments()[number as usize].seats.clone())).collect()
}

/// The rows as they come when seats are given best first, as section and label.
fn best_rows(plan: &Plan) -> Vec<String> {
    let named = |&number: &u32| {
        let row = &plan.rows()[plan.segments()[number as usize].row as usize];
        format!("{}{}", plan.sections()[row.section as usize].name, row.label)
    };
    plan.ranking().iter().map(named).collect()
}

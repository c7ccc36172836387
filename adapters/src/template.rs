//! Halls given by a template: rows, seats in a row, and each row's category. Makes the same kind of draft as the
//! import of a drawn plan; seat 7 of row A is `A-7`. Must never know what a category costs.

use crate::document::{At, FieldMistake, Reader};
use crate::pretix::COLORS;
use onsale_engine::limits::MAX_CATEGORIES;
use onsale_engine::plan::{Category, PlanDraft, RowDraft, SeatDraft, SectionDraft};
use onsale_engine::text::composed;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};

/// Rows of a template.
pub const MAX_ROWS: usize = 1000;
/// Seats in each of its rows.
pub const MAX_SEATS_PER_ROW: u32 = 1000;
/// Bytes of a row's name: with the seat's number it stays a seat id.
const MAX_ROW_BYTES: usize = 50;
/// Bytes of a category's name.
const MAX_NAME_BYTES: usize = 100;

#[derive(Deserialize)]
struct TemplateDocument<'d> {
    #[serde(borrow)]
    rows: Option<&'d RawValue>,
    #[serde(borrow, rename = "seatsPerRow")]
    seats_per_row: Option<&'d RawValue>,
    #[serde(borrow, rename = "gradeMapping")]
    grade_mapping: Option<&'d RawValue>,
}

/// Reads `{"rows": ["A", …], "seatsPerRow": 20, "gradeMapping": {"A": "VIP", …}}`. Categories stand in the order in
/// which the rows first name them; a row that only the mapping knows is a mistake.
///
/// # Errors
/// Every mistake in it, at most 100 of them, each with its path (`seatTemplate.gradeMapping.B`).
pub fn import(json: &[u8]) -> Result<PlanDraft, Vec<FieldMistake>> {
    let mut reader = Reader::default();
    let root = At::Root("seatTemplate");
    let raw: Option<&RawValue> = match serde_json::from_slice(json) {
        Ok(raw) => Some(raw),
        Err(error) => {
            reader.mistake(root, format!("is not JSON: {error}"));
            return reader.finish(PlanDraft::default());
        }
    };
    let Some(template) = reader.object::<TemplateDocument<'_>>(raw, root) else {
        return reader.finish(PlanDraft::default());
    };
    let rows_at = At::Member(&root, "rows");
    let rows = rows(&mut reader, template.rows, rows_at);
    // Rows that could not be read are a mistake already; the mapping cannot be compared with them.
    let rows_are_known = !reader.has_within(rows_at) && !reader.covers(rows_at);
    let seats = seats_per_row(&mut reader, template.seats_per_row, At::Member(&root, "seatsPerRow"));
    let grades =
        grades(&mut reader, template.grade_mapping, At::Member(&root, "gradeMapping"), (&rows, rows_are_known));
    reader.finish(())?;
    Ok(draft(&rows, seats, &grades))
}

fn rows(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Vec<String> {
    let known = raw.is_some();
    let items = reader.list(raw, at);
    if known && items.is_empty() && !reader.covers(at) || items.len() > MAX_ROWS {
        reader.mistake(at, format!("must be 1 to {MAX_ROWS}"));
        return Vec::new();
    }
    let mut seen = BTreeSet::new();
    let mut rows = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        let at = At::Item(&at, number);
        let Some(row) = reader.name(Some(item), at, MAX_ROW_BYTES) else { continue };
        if !seen.insert(row.clone()) {
            reader.mistake(at, format!("two rows are named {row:?}"));
        }
        rows.push(row);
    }
    rows
}

fn seats_per_row(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> u32 {
    let Some(number) = reader.number(raw, at) else { return 0 };
    let is_whole = number.fract() == 0.0;
    if !(is_whole && (1.0..=f64::from(MAX_SEATS_PER_ROW)).contains(&number)) {
        reader.mistake(at, format!("must be a whole number, 1 to {MAX_SEATS_PER_ROW}"));
        return 0;
    }
    number as u32
}

/// The category of each row, in the order of `rows`; every row that is mapped must be one of them.
fn grades(
    reader: &mut Reader,
    raw: Option<&RawValue>,
    at: At<'_>,
    (rows, rows_are_known): (&[String], bool),
) -> Vec<String> {
    let Some(mapping) = reader.object::<BTreeMap<String, &RawValue>>(raw, at) else { return Vec::new() };
    let mapping: BTreeMap<String, &RawValue> =
        mapping.into_iter().map(|(row, grade)| (composed(&row).into_owned(), grade)).collect();
    for row in mapping.keys().filter(|row| rows_are_known && !rows.contains(row)) {
        reader.mistake(At::Member(&at, row), "rows has no such row".to_owned());
    }
    let mut grades = Vec::with_capacity(rows.len());
    let mut distinct = BTreeSet::new();
    for row in rows {
        let grade = reader.name(mapping.get(row).copied(), At::Member(&at, row), MAX_NAME_BYTES);
        if let Some(grade) = grade {
            distinct.insert(grade.clone());
            grades.push(grade);
        }
    }
    if distinct.len() > MAX_CATEGORIES {
        reader.mistake(at, format!("must name at most {MAX_CATEGORIES} categories"));
    }
    grades
}

fn draft(rows: &[String], seats_per_row: u32, grades: &[String]) -> PlanDraft {
    let mut categories: Vec<Category> = Vec::new();
    for grade in grades {
        if categories.iter().all(|known| known.name != *grade) && categories.len() < MAX_CATEGORIES {
            let color = COLORS[categories.len() % COLORS.len()].to_owned();
            categories.push(Category { name: grade.clone(), color });
        }
    }
    let size = (seats_per_row as f32 + 1.0, rows.len() as f32 + 1.0);
    let rows = rows.iter().zip(grades).enumerate().map(|(number, (label, grade))| {
        let seats = (1..=seats_per_row).map(|seat| SeatDraft {
            id: format!("{label}-{seat}"),
            label: seat.to_string(),
            x: seat as f32,
            y: number as f32 + 1.0,
            category: grade.clone(),
        });
        RowDraft { label: label.clone(), seats: seats.collect() }
    });
    let section = SectionDraft { name: String::new(), rows: rows.collect() };
    PlanDraft { size, categories, sections: vec![section] }
}

#[cfg(test)]
mod tests;

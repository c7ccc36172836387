//! Halls given by a template: rows, seats in a row, and each row's category. Makes the same kind of draft as the
//! import of a drawn plan; seat 7 of row A is `A-7`. Must never know what a category costs.

use crate::document::{At, FieldMistake, Reader, UTF_16, composed};
use crate::plan_form;
use crate::pretix::Imported;
use crate::shapes::Shapes;
use onsale_engine::limits::MAX_CATEGORIES;
use onsale_engine::plan::{Category, PlanDraft, RowDraft, SeatDraft, SectionDraft, Stage, StageSource};
use onsale_engine::text::json_text;
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

/// Reads `{"rows": ["A", …], "seatsPerRow": 20, "gradeMapping": {"A": "VIP", …}}`; a row that only the mapping knows is a
/// mistake. Seats of the first row lie at the top of the drawing, a step from its left edge and from each other.
///
/// # Errors
/// Every mistake in it, by cause, each with the path of its first place (`seatTemplate.gradeMapping.B`).
pub fn import(json: &[u8]) -> Result<PlanDraft, Vec<FieldMistake>> {
    let mut reader = Reader::default();
    let root = At::Root("seatTemplate");
    let read = json_text(json).ok_or_else(|| UTF_16.to_owned());
    let read = read.and_then(|text| serde_json::from_slice(text).map_err(|error| format!("is not JSON: {error}")));
    let raw: Option<&RawValue> = match read {
        Ok(raw) => Some(raw),
        Err(message) => {
            reader.mistake(root, message);
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

/// Reads a template and compiles it. `stage` is where its stage is, if that is known.
///
/// # Errors
/// As [`import`].
pub fn import_plan(json: &[u8], stage: Option<Stage>) -> Result<Imported, Vec<FieldMistake>> {
    let mut draft = import(json)?;
    draft.stage = stage.or(draft.stage);
    let plan = plan_form::compile(&draft).map_err(|found| {
        // A template has no seats to point at: what compiling finds is said of the template.
        let of_template = |member: &str, message: &str| format!("{member}: {message}");
        let found = found.into_iter().map(|mistake| FieldMistake {
            field: "seatTemplate".to_owned(),
            message: of_template(mistake.member, &mistake.message),
        });
        found.collect::<Vec<_>>()
    })?;
    Ok(Imported::new(plan, Shapes::default()))
}

fn rows(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Vec<String> {
    let known = raw.is_some();
    let items = reader.list(raw, at);
    if known && items.is_empty() && !reader.covers(at) || items.len() > MAX_ROWS {
        reader.mistake(at, format!("must be 1 to {MAX_ROWS}"));
        return Vec::new();
    }
    let mut seen = BTreeMap::new();
    let mut rows = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        let place = At::Item(&at, number);
        let Some(row) = reader.name(Some(item), place, MAX_ROW_BYTES) else { continue };
        let first = *seen.entry(row.clone()).or_insert(number);
        if first != number {
            reader.contradiction(place, At::Item(&at, first), &row, "two rows have one name");
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
    let mapping: BTreeMap<String, &RawValue> = mapping.into_iter().map(|(row, raw)| (composed(row), raw)).collect();
    for row in mapping.keys().filter(|row| rows_are_known && !rows.contains(row)) {
        reader.mistake(At::Key(&at, row), "rows has no such row".to_owned());
    }
    let mut grades = Vec::with_capacity(rows.len());
    let mut distinct = BTreeSet::new();
    let mut seen = BTreeSet::new();
    // A name that two rows have is a mistake already.
    for row in rows.iter().filter(|row| seen.insert(*row)) {
        let grade = reader.name(mapping.get(row).copied(), At::Key(&at, row), MAX_NAME_BYTES);
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
    let names: BTreeSet<&String> = grades.iter().collect();
    // Colours are chosen when the plan is compiled.
    let categories = names.into_iter().map(|name| Category { name: name.clone(), color: String::new() }).collect();
    let size = (seats_per_row as f32 + 1.0, rows.len() as f32 + 1.0);
    let rows = rows.iter().zip(grades).enumerate().map(|(number, (label, grade))| {
        let seats = (1..=seats_per_row).map(|seat| SeatDraft {
            id: format!("{label}-{seat}"),
            label: seat.to_string(),
            x: seat as f32,
            y: number as f32 + 1.0,
            category: grade.clone(),
            ..SeatDraft::default()
        });
        RowDraft { label: label.clone(), seats: seats.collect(), ..RowDraft::default() }
    });
    let section = SectionDraft { rows: rows.collect(), ..SectionDraft::default() };
    // The template's first row is in front, whatever it is called: half as far as the hall is wide from the stage.
    let middle = (seats_per_row as f32 + 1.0) / 2.0;
    let stage = Stage { x: middle, y: 1.0 - (middle - 1.0).max(2.0), source: StageSource::Facing };
    PlanDraft { size, categories, sections: vec![section], stage: Some(stage), ..PlanDraft::default() }
}

#[cfg(test)]
mod tests;

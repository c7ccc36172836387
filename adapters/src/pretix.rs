//! Import of pretix seating plans (the JSON of pretix' seating plan editor) into [`PlanDraft`]s. Positions there are
//! relative: zone, row and seat add up. Every mistake is named by its path in the document; members that only
//! pretix' editor needs (uuids, areas, displayed, …) are passed over. Must never guess a missing seat or category.

use crate::document::{At, FieldMistake, Reader};
use crate::plan_form;
use onsale_engine::id::PlanHash;
use onsale_engine::limits::MAX_CATEGORIES;
use onsale_engine::plan::{Category, Plan, PlanDraft, PlanMistake, RowDraft, SeatDraft, SectionDraft};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Bytes of a name, label or category.
const MAX_NAME_BYTES: usize = 100;
/// Bytes of a colour.
const MAX_COLOR_BYTES: usize = 64;
/// Free space around the seats where the document does not give its size.
const MARGIN: f32 = 40.0;
/// For categories without a colour, in turn.
pub(crate) const COLORS: [&str; 8] =
    ["#8a2be2", "#c0392b", "#d9822b", "#337ab7", "#5cb85c", "#16a085", "#7f8c8d", "#b5651d"];

/// Reads and checks a pretix seating plan.
///
/// # Errors
/// Every mistake in it, at most 100 of them, each with its path; the document itself has the empty path.
pub fn import(json: &[u8]) -> Result<PlanDraft, Vec<FieldMistake>> {
    read(json, PlanHash([0; 32])).map(|(draft, _)| draft)
}

/// Reads a pretix seating plan and compiles it, under the hash of its content.
///
/// # Errors
/// As [`import`].
pub fn import_plan(json: &[u8]) -> Result<Arc<Plan>, Vec<FieldMistake>> {
    let mut reader = Reader::default();
    let draft = document(&mut reader, json);
    let hash = plan_form::plan_hash(&draft);
    let plan = compile(&mut reader, &draft, hash);
    finish(reader, plan).map(Arc::new)
}

fn read(json: &[u8], hash: PlanHash) -> Result<(PlanDraft, Plan), Vec<FieldMistake>> {
    let mut reader = Reader::default();
    let draft = document(&mut reader, json);
    let plan = compile(&mut reader, &draft, hash);
    finish(reader, plan).map(|plan| (draft, plan))
}

fn finish(reader: Reader, plan: Option<Plan>) -> Result<Plan, Vec<FieldMistake>> {
    let plan = reader.finish(plan)?;
    // Compiling fails only with mistakes, and those have been noted.
    plan.ok_or_else(|| vec![FieldMistake { field: String::new(), message: "cannot be compiled".into() }])
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct PlanDocument<'d> {
    #[serde(borrow)]
    size: Option<&'d RawValue>,
    #[serde(borrow)]
    categories: Option<&'d RawValue>,
    #[serde(borrow)]
    zones: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct SizeDocument<'d> {
    #[serde(borrow)]
    width: Option<&'d RawValue>,
    #[serde(borrow)]
    height: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct CategoryDocument<'d> {
    #[serde(borrow)]
    name: Option<&'d RawValue>,
    #[serde(borrow)]
    color: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct ZoneDocument<'d> {
    #[serde(borrow)]
    name: Option<&'d RawValue>,
    #[serde(borrow)]
    position: Option<&'d RawValue>,
    #[serde(borrow)]
    rows: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct RowDocument<'d> {
    #[serde(borrow)]
    row_number: Option<&'d RawValue>,
    #[serde(borrow)]
    position: Option<&'d RawValue>,
    #[serde(borrow)]
    seats: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct SeatDocument<'d> {
    #[serde(borrow)]
    seat_guid: Option<&'d RawValue>,
    #[serde(borrow)]
    seat_number: Option<&'d RawValue>,
    #[serde(borrow)]
    position: Option<&'d RawValue>,
    #[serde(borrow)]
    category: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct PositionDocument<'d> {
    #[serde(borrow)]
    x: Option<&'d RawValue>,
    #[serde(borrow)]
    y: Option<&'d RawValue>,
}

/// The draft of a document; where something cannot be read an empty thing stands, so that numbers in paths fit.
fn document(reader: &mut Reader, json: &[u8]) -> PlanDraft {
    let root = At::Root("");
    let raw: &RawValue = match serde_json::from_slice(json) {
        Ok(raw) => raw,
        Err(error) => {
            reader.mistake(root, format!("is not JSON: {error}"));
            return PlanDraft::default();
        }
    };
    let Some(plan) = reader.object::<PlanDocument<'_>>(Some(raw), root) else {
        return PlanDraft::default();
    };
    let size = plan.size.and_then(|raw| size(reader, raw, At::Member(&root, "size")));
    let categories = categories(reader, plan.categories, At::Member(&root, "categories"));
    let sections = zones(reader, plan.zones, At::Member(&root, "zones"));
    let size = size.unwrap_or_else(|| surround(&sections));
    PlanDraft { size, categories, sections }
}

fn size(reader: &mut Reader, raw: &RawValue, at: At<'_>) -> Option<(f32, f32)> {
    let size = reader.object::<SizeDocument<'_>>(Some(raw), at)?;
    let width = length(reader, size.width, At::Member(&at, "width"));
    let height = length(reader, size.height, At::Member(&at, "height"));
    Some((width?, height?))
}

fn length(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Option<f32> {
    let length = reader.number(raw, at)? as f32;
    if !(length.is_finite() && length > 0.0) {
        reader.mistake(at, "must be a positive number");
        return None;
    }
    Some(length)
}

fn surround(sections: &[SectionDraft]) -> (f32, f32) {
    let seats = sections.iter().flat_map(|section| &section.rows).flat_map(|row| &row.seats);
    let (width, height) = seats.fold((0.0_f32, 0.0_f32), |(x, y), seat| (x.max(seat.x), y.max(seat.y)));
    (width + MARGIN, height + MARGIN)
}

fn categories(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Vec<Category> {
    let items = reader.list(raw, at);
    if items.len() > MAX_CATEGORIES {
        reader.mistake(at, format!("must be at most {MAX_CATEGORIES}"));
        return Vec::new();
    }
    let mut categories: Vec<Category> = Vec::with_capacity(items.len());
    for (number, item) in items.into_iter().enumerate() {
        let at = At::Item(&at, number);
        let Some(document) = reader.object::<CategoryDocument<'_>>(Some(item), at) else { continue };
        let name = reader.name(document.name, At::Member(&at, "name"), MAX_NAME_BYTES);
        let color = color(reader, document.color, At::Member(&at, "color"), number);
        let Some(name) = name else { continue };
        if categories.iter().any(|earlier| earlier.name == name) {
            reader.mistake(At::Member(&at, "name"), format!("two categories are named {name:?}"));
            continue;
        }
        categories.push(Category { name, color });
    }
    categories
}

/// A colour ends up in style sheets, so only what colours are written with is let through.
fn color(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>, number: usize) -> String {
    let default = || COLORS[number % COLORS.len()].to_owned();
    let Some(raw) = raw else { return default() };
    let Some(color) = reader.text(Some(raw), at, MAX_COLOR_BYTES) else { return default() };
    let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"#(),.% -".contains(&byte);
    if color.is_empty() || !color.bytes().all(harmless) {
        reader.mistake(at, "must be a CSS colour");
    }
    color
}

fn zones(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Vec<SectionDraft> {
    let items = reader.list(raw, at);
    items.into_iter().enumerate().map(|(number, item)| zone(reader, item, At::Item(&at, number))).collect()
}

fn zone(reader: &mut Reader, raw: &RawValue, at: At<'_>) -> SectionDraft {
    let Some(zone) = reader.object::<ZoneDocument<'_>>(Some(raw), at) else {
        return SectionDraft::default();
    };
    let name = zone.name.and_then(|name| reader.text(Some(name), At::Member(&at, "name"), MAX_NAME_BYTES));
    let origin = origin(reader, zone.position, At::Member(&at, "position"));
    let rows_at = At::Member(&at, "rows");
    let rows = reader.list(zone.rows, rows_at);
    let rows = rows.into_iter().enumerate().map(|(number, item)| row(reader, item, At::Item(&rows_at, number), origin));
    SectionDraft { name: name.unwrap_or_default(), rows: rows.collect() }
}

fn row(reader: &mut Reader, raw: &RawValue, at: At<'_>, zone: (f64, f64)) -> RowDraft {
    let Some(row) = reader.object::<RowDocument<'_>>(Some(raw), at) else {
        return RowDraft::default();
    };
    let label = reader.text(row.row_number, At::Member(&at, "row_number"), MAX_NAME_BYTES);
    let (x, y) = origin(reader, row.position, At::Member(&at, "position"));
    let origin = (zone.0 + x, zone.1 + y);
    let seats_at = At::Member(&at, "seats");
    let seats = reader.list(row.seats, seats_at);
    let seats =
        seats.into_iter().enumerate().map(|(number, item)| seat(reader, item, At::Item(&seats_at, number), origin));
    RowDraft { label: label.unwrap_or_default(), seats: seats.collect() }
}

fn seat(reader: &mut Reader, raw: &RawValue, at: At<'_>, row: (f64, f64)) -> SeatDraft {
    let Some(seat) = reader.object::<SeatDocument<'_>>(Some(raw), at) else {
        return SeatDraft::default();
    };
    let id = reader.name(seat.seat_guid, At::Member(&at, "seat_guid"), MAX_NAME_BYTES);
    let label = reader.text(seat.seat_number, At::Member(&at, "seat_number"), MAX_NAME_BYTES);
    let category = reader.text(seat.category, At::Member(&at, "category"), MAX_NAME_BYTES);
    let (x, y) = position(reader, seat.position, At::Member(&at, "position")).unwrap_or_default();
    SeatDraft {
        id: id.unwrap_or_default(),
        label: label.unwrap_or_default(),
        x: (row.0 + x) as f32,
        y: (row.1 + y) as f32,
        category: category.unwrap_or_default(),
    }
}

/// Where a zone or row begins; without one it begins where its parent does.
fn origin(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> (f64, f64) {
    raw.and_then(|raw| position(reader, Some(raw), at)).unwrap_or_default()
}

fn position(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Option<(f64, f64)> {
    let position = reader.object::<PositionDocument<'_>>(raw, at)?;
    let x = reader.number(position.x, At::Member(&at, "x"));
    let y = reader.number(position.y, At::Member(&at, "y"));
    Some((x?, y?))
}

/// Compiles the draft and adds what the compiler finds to what reading has found.
fn compile(reader: &mut Reader, draft: &PlanDraft, hash: PlanHash) -> Option<Plan> {
    let mistakes = match Plan::compile(draft, hash) {
        Ok(plan) => return Some(plan),
        Err(mistakes) => mistakes,
    };
    let root = At::Root("");
    // What follows from an unreadable list would only bury its cause.
    let categories_unread = reader.has_within(At::Member(&root, "categories"));
    for mistake in mistakes {
        let follows = match (mistake.at, mistake.member) {
            (None, member) => reader.has_within(At::Member(&root, member)) || reader.covers(root),
            (Some(_), "category") => categories_unread,
            (Some(_), _) => false,
        };
        if !follows {
            place(reader, &mistake);
        }
    }
    None
}

/// Notes a compiler's mistake under its path in the document, unless that place is known to be unreadable.
fn place(reader: &mut Reader, mistake: &PlanMistake) {
    let mut note = |at: At<'_>| {
        let at = At::Member(&at, mistake.member);
        if !reader.covers(at) {
            reader.mistake(at, mistake.message.clone());
        }
    };
    let root = At::Root("");
    let Some((section, below)) = mistake.at else { return note(root) };
    let zones = At::Member(&root, "zones");
    let zone = At::Item(&zones, section);
    let Some((row, below)) = below else { return note(zone) };
    let rows = At::Member(&zone, "rows");
    let row = At::Item(&rows, row);
    let Some(seat) = below else { return note(row) };
    let seats = At::Member(&row, "seats");
    note(At::Item(&seats, seat));
}

#[cfg(test)]
mod tests;

//! Import of pretix seating plans (the JSON of pretix' seating plan editor) into [`PlanDraft`]s. Positions there are
//! relative: zone, row and seat add up. Every mistake is named by its path in the document; members that only
//! pretix' editor needs (uuids, displayed, …) are ignored. Members of our own are `priority` of zones and rows, `kind` and
//! `pair` of seats. Must never guess a missing seat or category.

use crate::document::{At, FieldMistake, Reader, UTF_16};
use crate::plan_form;
use crate::shapes::{Shapes, is_color};
use crate::warnings::{areas_left_out, duplicate_labels};
use onsale_engine::limits::MAX_CATEGORIES;
use onsale_engine::plan::{
    Category, MistakePlace, Plan, PlanDraft, PlanMistake, PlanPath, RowDraft, SeatDraft, SeatKind, SectionDraft, Stage,
};
use onsale_engine::ports::catalogue::HallWarning;
use onsale_engine::text::json_text;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;
use std::sync::Arc;

/// Bytes of a name, label or category.
const MAX_NAME_BYTES: usize = 100;
/// Bytes of a colour.
const MAX_COLOR_BYTES: usize = 64;
/// Free space around the seats where the document does not give its size.
const MARGIN: f32 = 40.0;
/// What stands for the number in pretix' labels.
const NUMBER: &str = "%s";

/// A hall as it was read.
#[derive(Debug)]
pub struct Imported {
    /// Its plan.
    pub plan: Arc<Plan>,
    /// What else is drawn, as seat maps show it: `[{shape, x, y, …, text?}]`.
    pub shapes: Vec<Value>,
    /// What its author may want to check.
    pub warnings: Vec<HallWarning>,
}

impl Imported {
    /// A plan with what can be said of it, `shapes` being drawn beside its seats.
    pub(crate) fn new(plan: Arc<Plan>, shapes: Shapes) -> Self {
        let mut warnings: Vec<HallWarning> = duplicate_labels(&plan).into_iter().collect();
        warnings.extend(areas_left_out(shapes.left_out));
        Self { plan, shapes: shapes.drawn, warnings }
    }
}

/// Reads and checks a pretix seating plan.
///
/// # Errors
/// Every mistake in it, by cause, each with the path of its first place; the document itself has the empty path.
pub fn import(json: &[u8]) -> Result<PlanDraft, Vec<FieldMistake>> {
    read(json, None).map(|(draft, _, _)| draft)
}

/// Reads a pretix seating plan and compiles it, under the hash of its content. `stage` is where its stage is, if that is known
/// better than from the document.
///
/// # Errors
/// As [`import`].
pub fn import_plan(json: &[u8], stage: Option<Stage>) -> Result<Imported, Vec<FieldMistake>> {
    read(json, stage).map(|(_, plan, shapes)| Imported::new(plan, shapes))
}

type Read = (PlanDraft, Arc<Plan>, Shapes);

fn read(json: &[u8], stage: Option<Stage>) -> Result<Read, Vec<FieldMistake>> {
    let (mut reader, mut shapes) = (Reader::default(), Shapes::default());
    let mut draft = document(&mut reader, json, &mut shapes);
    draft.stage = stage;
    draft.areas = std::mem::take(&mut shapes.areas);
    let plan = compile(&mut reader, &draft);
    // Compiling fails only with mistakes, and those have been noted.
    let plan = reader.finish(plan)?;
    let plan = plan.ok_or_else(|| vec![FieldMistake { field: String::new(), message: "cannot be compiled".into() }])?;
    Ok((draft, plan, shapes))
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
    #[serde(borrow)]
    areas: Option<&'d RawValue>,
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
    #[serde(borrow)]
    areas: Option<&'d RawValue>,
    #[serde(borrow)]
    priority: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct RowDocument<'d> {
    #[serde(borrow)]
    row_number: Option<&'d RawValue>,
    #[serde(borrow)]
    row_label: Option<&'d RawValue>,
    #[serde(borrow)]
    seat_label: Option<&'d RawValue>,
    #[serde(borrow)]
    priority: Option<&'d RawValue>,
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
    #[serde(borrow)]
    kind: Option<&'d RawValue>,
    #[serde(borrow)]
    pair: Option<&'d RawValue>,
}

#[derive(Deserialize)]
struct PositionDocument<'d> {
    #[serde(borrow)]
    x: Option<&'d RawValue>,
    #[serde(borrow)]
    y: Option<&'d RawValue>,
}

/// The draft of a document; where something cannot be read an empty thing stands, so that numbers in paths fit.
fn document(reader: &mut Reader, json: &[u8], shapes: &mut Shapes) -> PlanDraft {
    let root = At::Root("");
    let read = json_text(json).ok_or_else(|| UTF_16.to_owned());
    let read = read.and_then(|text| serde_json::from_slice(text).map_err(|error| format!("is not JSON: {error}")));
    let raw: &RawValue = match read {
        Ok(raw) => raw,
        Err(message) => {
            reader.mistake(root, message);
            return PlanDraft::default();
        }
    };
    let Some(plan) = reader.object::<PlanDocument<'_>>(Some(raw), root) else {
        return PlanDraft::default();
    };
    let size = plan.size.and_then(|raw| size(reader, raw, At::Member(&root, "size")));
    let categories = categories(reader, plan.categories, At::Member(&root, "categories"));
    let sections = zones(reader, plan.zones, At::Member(&root, "zones"), shapes);
    shapes.read(plan.areas, (0.0, 0.0), "");
    let size = size.unwrap_or_else(|| surround(&sections));
    PlanDraft { size, categories, sections, stage: None, areas: Vec::new() }
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
        let color = color(reader, document.color, At::Member(&at, "color"));
        let Some(name) = name else { continue };
        if categories.iter().any(|earlier| earlier.name == name) {
            reader.mistake(At::Member(&at, "name"), format!("two categories are named {name:?}"));
            continue;
        }
        categories.push(Category { name, color });
    }
    categories
}

/// A category's colour; an empty one is chosen when the plan is compiled.
fn color(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> String {
    let color = raw.and_then(|raw| reader.text(Some(raw), at, MAX_COLOR_BYTES));
    let Some(color) = color else { return String::new() };
    if !is_color(&color) {
        reader.mistake(at, "must be a CSS colour");
    }
    color
}

fn zones(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>, shapes: &mut Shapes) -> Vec<SectionDraft> {
    let items = reader.list(raw, at);
    items.into_iter().enumerate().map(|(number, item)| zone(reader, item, At::Item(&at, number), shapes)).collect()
}

fn zone(reader: &mut Reader, raw: &RawValue, at: At<'_>, shapes: &mut Shapes) -> SectionDraft {
    let Some(zone) = reader.object::<ZoneDocument<'_>>(Some(raw), at) else {
        return SectionDraft::default();
    };
    let name = zone.name.and_then(|name| reader.text(Some(name), At::Member(&at, "name"), MAX_NAME_BYTES));
    let origin = origin(reader, zone.position, At::Member(&at, "position"));
    let priority = priority(reader, zone.priority, At::Member(&at, "priority"));
    let rows_at = At::Member(&at, "rows");
    let rows = reader.list(zone.rows, rows_at);
    let rows = rows.into_iter().enumerate().map(|(number, item)| row(reader, item, At::Item(&rows_at, number), origin));
    let rows: Vec<RowDraft> = rows.collect();
    let name = name.unwrap_or_default();
    let has_seats = rows.iter().any(|row| !row.seats.is_empty());
    shapes.read(zone.areas, origin, if has_seats { "" } else { &name });
    SectionDraft { name, rows, priority }
}

fn row(reader: &mut Reader, raw: &RawValue, at: At<'_>, zone: (f64, f64)) -> RowDraft {
    let Some(row) = reader.object::<RowDocument<'_>>(Some(raw), at) else {
        return RowDraft::default();
    };
    let label = reader.text(row.row_number, At::Member(&at, "row_number"), MAX_NAME_BYTES).unwrap_or_default();
    let name = name(reader, row.row_label, At::Member(&at, "row_label")).map(|name| name.replace(NUMBER, &label));
    let seat_name = self::name(reader, row.seat_label, At::Member(&at, "seat_label"));
    let priority = priority(reader, row.priority, At::Member(&at, "priority"));
    let (x, y) = origin(reader, row.position, At::Member(&at, "position"));
    let origin = (zone.0 + x, zone.1 + y);
    let seats_at = At::Member(&at, "seats");
    let seats = reader.list(row.seats, seats_at);
    let seats =
        seats.into_iter().enumerate().map(|(number, item)| seat(reader, item, At::Item(&seats_at, number), origin));
    RowDraft { seats: seats.collect(), label, name, seat_name, priority }
}

/// A label of pretix, in which `%s` stands for a number; an empty one is none.
fn name(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Option<String> {
    let text = reader.text(Some(raw?), at, MAX_NAME_BYTES)?;
    (!text.trim().is_empty()).then_some(text)
}

fn priority(reader: &mut Reader, raw: Option<&RawValue>, at: At<'_>) -> Option<i32> {
    let number = reader.number(Some(raw?), at)?;
    let is_whole = number.fract() == 0.0 && (f64::from(i32::MIN)..f64::from(i32::MAX)).contains(&number);
    if !is_whole {
        reader.mistake(at, "must be a whole number; the lowest is the best");
        return None;
    }
    Some(number as i32)
}

fn seat(reader: &mut Reader, raw: &RawValue, at: At<'_>, row: (f64, f64)) -> SeatDraft {
    let Some(seat) = reader.object::<SeatDocument<'_>>(Some(raw), at) else {
        return SeatDraft::default();
    };
    let id = reader.name(seat.seat_guid, At::Member(&at, "seat_guid"), MAX_NAME_BYTES);
    let label = reader.text(seat.seat_number, At::Member(&at, "seat_number"), MAX_NAME_BYTES);
    let category = reader.text(seat.category, At::Member(&at, "category"), MAX_NAME_BYTES);
    let (x, y) = position(reader, seat.position, At::Member(&at, "position")).unwrap_or_default();
    let kind = seat.kind.map(|raw| kind(reader, raw, At::Member(&at, "kind")));
    let pair = seat.pair.and_then(|raw| reader.name(Some(raw), At::Member(&at, "pair"), MAX_NAME_BYTES));
    SeatDraft {
        id: id.unwrap_or_default(),
        label: label.unwrap_or_default(),
        x: (row.0 + x) as f32,
        y: (row.1 + y) as f32,
        category: category.unwrap_or_default(),
        kind: kind.unwrap_or_default(),
        pair,
    }
}

fn kind(reader: &mut Reader, raw: &RawValue, at: At<'_>) -> SeatKind {
    let Some(word) = reader.text(Some(raw), at, MAX_NAME_BYTES) else { return SeatKind::Standard };
    SeatKind::of_word(&word).unwrap_or_else(|| {
        let known = SeatKind::ALL.map(SeatKind::word).join(", ");
        reader.mistake(at, format!("must be one of {known}"));
        SeatKind::Standard
    })
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
fn compile(reader: &mut Reader, draft: &PlanDraft) -> Option<Arc<Plan>> {
    let mistakes = match plan_form::compile(draft) {
        Ok(plan) => return Some(plan),
        Err(mistakes) => mistakes,
    };
    let root = At::Root("");
    // What follows from an unreadable list would only bury its cause.
    let categories_unread = reader.has_within(At::Member(&root, "categories"));
    for mistake in mistakes {
        let of_plan = mistake.places.iter().all(|place| place.at.is_none());
        let follows = match mistake.member {
            member if of_plan => reader.has_within(At::Member(&root, member)) || reader.covers(root),
            "category" => categories_unread,
            _ => false,
        };
        if !follows {
            mistake.places.iter().for_each(|place| note(reader, &mistake, place));
        }
    }
    None
}

/// Notes one place of a compiler's mistake under its path in the document, unless that is known to be unreadable.
fn note(reader: &mut Reader, mistake: &PlanMistake, place: &MistakePlace) {
    with_path(place.at, mistake.member, |at| match &place.other {
        _ if reader.covers(at) => {}
        None => reader.mistake(at, mistake.message.as_str()),
        Some((other, what)) => with_path(*other, mistake.member, |other| {
            reader.contradiction(at, other, what, mistake.message.as_str());
        }),
    });
}

/// The path in the document of a member of what a compiler's path leads to.
fn with_path(path: PlanPath, member: &str, found: impl FnOnce(At<'_>)) {
    let root = At::Root("");
    let Some((section, below)) = path else { return found(At::Member(&root, member)) };
    let zones = At::Member(&root, "zones");
    let zone = At::Item(&zones, section);
    let Some((row, below)) = below else { return found(At::Member(&zone, member)) };
    let rows = At::Member(&zone, "rows");
    let row = At::Item(&rows, row);
    let Some(seat) = below else { return found(At::Member(&row, member)) };
    let seats = At::Member(&row, "seats");
    found(At::Member(&At::Item(&seats, seat), member));
}

#[cfg(test)]
mod tests;

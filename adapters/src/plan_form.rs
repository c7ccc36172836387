//! The stored form of a seating plan: one canonical encoding, whose BLAKE3 hash names the plan and whose compressed
//! bytes are kept. Owns that encoding; it must never change for plans that exist (a new form is a new version byte).
//!
//! The forms, little-endian. Lists and strings are led by their length as `u32`.
//! - 1: version `u8`; width and height `f32`; categories (name, colour); sections (name), each with rows (label), each with
//!   seats (id, label, x `f32`, y `f32`, category). Seats lie in the order of their list: sales refer to them by it.
//! - 2: the same with what was derived when the plan was made, so that no later release derives it otherwise. A row has also
//!   its name and its seats' name (each a list of none or one); a seat its kind `u8` and its pair (a list of none or one). Then
//!   the stage (x, y `f32`, source `u8`), the segments (seats `u32`, centre `f32`) and their numbers, best first (`u32`).

use flate2::Compression;
use flate2::bufread::{ZlibDecoder, ZlibEncoder};
use onsale_engine::id::PlanHash;
use onsale_engine::plan::{
    Category, Layout, Plan, PlanDraft, PlanMistake, RowDraft, SeatDraft, SeatKind, SectionDraft, SegmentLayout, Stage,
    StageSource,
};
use std::io::Read;
use std::sync::Arc;

/// The version of plans without a layout of their own.
const LISTED: u8 = 1;
/// The version that new plans have.
const ARRANGED: u8 = 2;
/// Bytes of an uncompressed form at the most: ten million seats fit.
const MAX_FORM_BYTES: u64 = 1 << 30;
/// A list is given room for this many items before they have been seen.
const TRUSTED_LENGTH: usize = 4096;
/// The kinds of seats, by their byte. Never changed, only added to.
const KINDS: [SeatKind; 4] = [SeatKind::Standard, SeatKind::RestrictedView, SeatKind::Companion, SeatKind::Wheelchair];
/// How stages are known, by their byte.
const SOURCES: [StageSource; 3] = [StageSource::Given, StageSource::Area, StageSource::Facing];

/// A stored plan that cannot be read, or is not what its hash says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored plan is damaged: {0}")]
pub struct DamagedPlan(pub(crate) &'static str);

/// Compiles a draft under its content hash: plans that are laid out alike have equal hashes, on every machine and in every
/// version.
///
/// # Errors
/// Every mistake of the draft, by cause.
pub fn compile(draft: &PlanDraft) -> Result<Arc<Plan>, Vec<PlanMistake>> {
    let plan = Plan::compile(draft, PlanHash([0; 32]))?;
    let hash = hash_of(&encode(&plan));
    Ok(Arc::new(plan.named(hash)))
}

/// The compressed form of a plan, as it is stored under [`Plan::hash`].
///
/// # Errors
/// [`DamagedPlan`] if the plan was not compiled under the hash of its content.
pub(crate) fn pack(plan: &Plan) -> Result<Vec<u8>, DamagedPlan> {
    let form = encode(plan);
    if hash_of(&form) != plan.hash() {
        return Err(DamagedPlan("it does not have the hash of its content"));
    }
    let mut packed = Vec::with_capacity(form.len() / 4);
    let read = ZlibEncoder::new(form.as_slice(), Compression::default()).read_to_end(&mut packed);
    read.map_err(|_| DamagedPlan("it cannot be compressed"))?;
    Ok(packed)
}

/// The plan of a compressed form, checked against its hash and compiled.
///
/// # Errors
/// [`DamagedPlan`].
pub(crate) fn unpack(packed: &[u8], hash: PlanHash) -> Result<Plan, DamagedPlan> {
    let mut form = Vec::with_capacity(packed.len() * 4);
    let read = ZlibDecoder::new(packed).take(MAX_FORM_BYTES).read_to_end(&mut form);
    read.map_err(|_| DamagedPlan("it cannot be decompressed"))?;
    if hash_of(&form) != hash {
        return Err(DamagedPlan("its content has another hash"));
    }
    let (draft, layout) = decode(&form)?;
    let plan = match layout {
        Some(layout) => Plan::assemble(&draft, &layout, hash),
        None => Plan::compile_listed(&draft, hash),
    };
    plan.ok_or(DamagedPlan("it does not compile"))
}

fn hash_of(form: &[u8]) -> PlanHash {
    PlanHash(*blake3::hash(form).as_bytes())
}

/// In the version in which the plan was made.
fn encode(plan: &Plan) -> Vec<u8> {
    let draft = plan.draft();
    match plan.stage() {
        None => encode_draft(&draft, LISTED).0,
        Some(stage) => {
            let mut form = encode_draft(&draft, ARRANGED);
            form.layout(stage, &plan.layout());
            form.0
        }
    }
}

fn encode_draft(draft: &PlanDraft, version: u8) -> Form {
    let mut form = Form(vec![version]);
    form.float(draft.size.0);
    form.float(draft.size.1);
    form.length(draft.categories.len());
    for category in &draft.categories {
        form.text(&category.name);
        form.text(&category.color);
    }
    form.length(draft.sections.len());
    for section in &draft.sections {
        form.text(&section.name);
        form.length(section.rows.len());
        for row in &section.rows {
            form.text(&row.label);
            if version == ARRANGED {
                form.optional(row.name.as_deref());
                form.optional(row.seat_name.as_deref());
            }
            form.length(row.seats.len());
            row.seats.iter().for_each(|seat| form.seat(seat, version));
        }
    }
    form
}

struct Form(Vec<u8>);

impl Form {
    fn length(&mut self, length: usize) {
        // Longer lists cannot be in a plan: `MAX_SEATS` is far below `u32::MAX`.
        let length = u32::try_from(length).unwrap_or(u32::MAX);
        self.0.extend_from_slice(&length.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn optional(&mut self, text: Option<&str>) {
        self.length(usize::from(text.is_some()));
        text.into_iter().for_each(|text| self.text(text));
    }

    fn float(&mut self, value: f32) {
        // −0 and 0 are the same place.
        let value = if value == 0.0 { 0.0 } else { value };
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// The place of a value in a list that is never longer than a byte can say.
    fn byte<T: PartialEq>(&mut self, known: &[T], value: &T) {
        self.0.push(known.iter().position(|other| other == value).unwrap_or(usize::MAX) as u8);
    }

    fn seat(&mut self, seat: &SeatDraft, version: u8) {
        self.text(&seat.id);
        self.text(&seat.label);
        self.float(seat.x);
        self.float(seat.y);
        self.text(&seat.category);
        if version == ARRANGED {
            self.byte(&KINDS, &seat.kind);
            self.optional(seat.pair.as_deref());
        }
    }

    fn layout(&mut self, stage: Stage, layout: &Layout) {
        self.float(stage.x);
        self.float(stage.y);
        self.byte(&SOURCES, &stage.source);
        self.length(layout.segments.len());
        for segment in &layout.segments {
            self.0.extend_from_slice(&segment.seats.to_le_bytes());
            self.float(segment.centre);
        }
        self.length(layout.ranking.len());
        layout.ranking.iter().for_each(|number| self.0.extend_from_slice(&number.to_le_bytes()));
    }
}

/// The draft, and its layout if the plan has one of its own.
fn decode(form: &[u8]) -> Result<(PlanDraft, Option<Layout>), DamagedPlan> {
    let mut input = Input(form);
    let [version] = input.take::<1>()?;
    if version != LISTED && version != ARRANGED {
        return Err(DamagedPlan("its form is of an unknown version"));
    }
    let size = (input.float()?, input.float()?);
    let categories = input.list(|input| Ok(Category { name: input.text()?, color: input.text()? }))?;
    let sections = input.list(|input| {
        let (name, rows) = (input.text()?, input.list(|input| input.row(version))?);
        Ok(SectionDraft { name, rows, priority: None })
    })?;
    let layout = if version == ARRANGED { Some(input.layout()?) } else { None };
    if !input.0.is_empty() {
        return Err(DamagedPlan("there is more than a plan"));
    }
    let stage = layout.as_ref().and_then(|layout| layout.stage);
    Ok((PlanDraft { size, categories, sections, stage, areas: Vec::new() }, layout))
}

struct Input<'f>(&'f [u8]);

impl<'f> Input<'f> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], DamagedPlan> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(DamagedPlan("it ends early"))?;
        self.0 = rest;
        Ok(*taken)
    }

    fn length(&mut self) -> Result<usize, DamagedPlan> {
        Ok(u32::from_le_bytes(self.take()?) as usize)
    }

    fn float(&mut self) -> Result<f32, DamagedPlan> {
        Ok(f32::from_le_bytes(self.take()?))
    }

    fn text(&mut self) -> Result<String, DamagedPlan> {
        let length = self.length()?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(DamagedPlan("it ends early"))?;
        self.0 = rest;
        std::str::from_utf8(text).map(str::to_owned).map_err(|_| DamagedPlan("a text is not UTF-8"))
    }

    fn list<T>(&mut self, item: impl Fn(&mut Self) -> Result<T, DamagedPlan>) -> Result<Vec<T>, DamagedPlan> {
        let length = self.length()?;
        let mut items = Vec::with_capacity(length.min(TRUSTED_LENGTH));
        for _ in 0..length {
            items.push(item(self)?);
        }
        Ok(items)
    }

    fn optional(&mut self) -> Result<Option<String>, DamagedPlan> {
        let mut texts = self.list(Self::text)?;
        let text = texts.pop();
        if texts.is_empty() { Ok(text) } else { Err(DamagedPlan("a text is there twice")) }
    }

    fn byte<T: Copy>(&mut self, known: &[T]) -> Result<T, DamagedPlan> {
        let [byte] = self.take()?;
        known.get(usize::from(byte)).copied().ok_or(DamagedPlan("a kind is unknown"))
    }

    fn row(&mut self, version: u8) -> Result<RowDraft, DamagedPlan> {
        let label = self.text()?;
        let (name, seat_name) = if version == ARRANGED { (self.optional()?, self.optional()?) } else { (None, None) };
        let seats = self.list(|input| input.seat(version))?;
        Ok(RowDraft { label, seats, name, seat_name, priority: None })
    }

    fn seat(&mut self, version: u8) -> Result<SeatDraft, DamagedPlan> {
        let (id, label) = (self.text()?, self.text()?);
        let (x, y) = (self.float()?, self.float()?);
        let category = self.text()?;
        let (kind, pair) =
            if version == ARRANGED { (self.byte(&KINDS)?, self.optional()?) } else { (SeatKind::Standard, None) };
        Ok(SeatDraft { id, label, x, y, category, kind, pair })
    }

    fn layout(&mut self) -> Result<Layout, DamagedPlan> {
        let stage = Stage { x: self.float()?, y: self.float()?, source: self.byte(&SOURCES)? };
        let segments =
            self.list(|input| Ok(SegmentLayout { seats: u32::from_le_bytes(input.take()?), centre: input.float()? }))?;
        let ranking = self.list(|input| Ok(u32::from_le_bytes(input.take()?)))?;
        Ok(Layout { stage: Some(stage), segments, ranking })
    }
}

#[cfg(test)]
mod tests;

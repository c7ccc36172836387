//! The stored form of a seating plan: one canonical encoding, whose BLAKE3 hash names the plan and whose compressed
//! bytes are kept. Owns that encoding; it must never change for plans that exist (a new form is a new version byte).
//!
//! The form, little-endian: version `u8`; width and height `f32`; categories (name, colour); sections (name), each
//! with rows (label), each with seats (id, label, x `f32`, y `f32`, category). Lists and strings are led by their
//! length as `u32`.

use flate2::Compression;
use flate2::bufread::{ZlibDecoder, ZlibEncoder};
use onsale_engine::id::{PlanHash, SeatIndex};
use onsale_engine::plan::{Category, Plan, PlanDraft, PlanMistake, RowDraft, SeatDraft, SectionDraft};
use std::io::Read;
use std::sync::Arc;

/// The version of the form.
const VERSION: u8 = 1;
/// Bytes of an uncompressed form at the most: ten million seats fit.
const MAX_FORM_BYTES: u64 = 1 << 30;
/// A list is given room for this many items before they have been seen.
const TRUSTED_LENGTH: usize = 4096;

/// A stored plan that cannot be read, or is not what its hash says.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the stored plan is damaged: {0}")]
pub struct DamagedPlan(pub(crate) &'static str);

/// The content hash of a draft: equal drafts have equal hashes, on every machine and in every version.
#[must_use]
pub fn plan_hash(draft: &PlanDraft) -> PlanHash {
    hash_of(&encode(draft))
}

/// Compiles a draft under its content hash.
///
/// # Errors
/// Every mistake of the draft, at most 100 of them.
pub fn compile(draft: &PlanDraft) -> Result<Arc<Plan>, Vec<PlanMistake>> {
    Plan::compile(draft, plan_hash(draft)).map(Arc::new)
}

/// The draft that a plan was compiled from.
#[must_use]
pub fn draft_of(plan: &Plan) -> PlanDraft {
    let seat = |index: u32| {
        let seat = SeatIndex(index);
        let (x, y) = plan.seat_position(seat);
        SeatDraft {
            id: plan.seat_id(seat).to_owned(),
            label: plan.seat_label(seat).to_owned(),
            x,
            y,
            category: plan.categories()[plan.seat_category(seat).at()].name.clone(),
        }
    };
    let sections = plan.sections().iter().map(|section| {
        let rows = &plan.rows()[section.rows.start as usize..section.rows.end as usize];
        let rows = rows
            .iter()
            .map(|row| RowDraft { label: row.label.to_string(), seats: row.seats.clone().map(seat).collect() });
        SectionDraft { name: section.name.to_string(), rows: rows.collect() }
    });
    PlanDraft { size: plan.size(), categories: plan.categories().to_vec(), sections: sections.collect() }
}

/// The compressed form of a plan, as it is stored under [`Plan::hash`].
///
/// # Errors
/// [`DamagedPlan`] if the plan was not compiled under the hash of its content.
pub(crate) fn pack(plan: &Plan) -> Result<Vec<u8>, DamagedPlan> {
    let form = encode(&draft_of(plan));
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
    let draft = decode(&form)?;
    Plan::compile(&draft, hash).map_err(|_| DamagedPlan("it does not compile"))
}

fn hash_of(form: &[u8]) -> PlanHash {
    PlanHash(*blake3::hash(form).as_bytes())
}

fn encode(draft: &PlanDraft) -> Vec<u8> {
    let mut form = Form(vec![VERSION]);
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
            form.length(row.seats.len());
            row.seats.iter().for_each(|seat| form.seat(seat));
        }
    }
    form.0
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

    fn float(&mut self, value: f32) {
        // −0 and 0 are the same place.
        let value = if value == 0.0 { 0.0 } else { value };
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn seat(&mut self, seat: &SeatDraft) {
        self.text(&seat.id);
        self.text(&seat.label);
        self.float(seat.x);
        self.float(seat.y);
        self.text(&seat.category);
    }
}

fn decode(form: &[u8]) -> Result<PlanDraft, DamagedPlan> {
    let mut rest = Rest(form);
    if rest.take::<1>()? != [VERSION] {
        return Err(DamagedPlan("its form is of an unknown version"));
    }
    let size = (rest.float()?, rest.float()?);
    let categories = rest.list(|rest| Ok(Category { name: rest.text()?, color: rest.text()? }))?;
    let sections = rest.list(|rest| Ok(SectionDraft { name: rest.text()?, rows: rest.list(Rest::row)? }))?;
    if !rest.0.is_empty() {
        return Err(DamagedPlan("there is more than a plan"));
    }
    Ok(PlanDraft { size, categories, sections })
}

struct Rest<'f>(&'f [u8]);

impl<'f> Rest<'f> {
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

    fn row(&mut self) -> Result<RowDraft, DamagedPlan> {
        Ok(RowDraft { label: self.text()?, seats: self.list(Self::seat)? })
    }

    fn seat(&mut self) -> Result<SeatDraft, DamagedPlan> {
        let (id, label) = (self.text()?, self.text()?);
        let (x, y) = (self.float()?, self.float()?);
        Ok(SeatDraft { id, label, x, y, category: self.text()? })
    }
}

#[cfg(test)]
mod tests;

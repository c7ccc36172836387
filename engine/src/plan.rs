//! A seating plan, compiled into dense tables: seats under their index, rows, and *segments* (runs of seats side by side in one
//! row, of one category and kind, between aisles), ranked by how good they are. Immutable once made; shared by every reader.
//! Must never depend on the order in which an author listed anything.

mod arrange;
mod check;
mod compile;
mod draft;
mod geometry;
mod listed;
mod natural;
mod stage;
mod starts;
#[cfg(test)]
mod tests;

pub use draft::{
    Area, Category, MistakePlace, PlanDraft, PlanMistake, PlanPath, RowDraft, SeatDraft, SeatKind, SectionDraft, Stage,
    StageSource,
};

use crate::id::{CategoryIndex, PlanHash, PoolIndex, SeatIndex, SectionIndex};
use hashbrown::{DefaultHashBuilder, HashTable};
use starts::Starts;
use std::hash::BuildHasher;
use std::ops::Range;

/// A section: a range of rows.
#[derive(Clone, Debug)]
pub struct Section {
    /// What a ticket calls it.
    pub name: Box<str>,
    /// Its rows, as indexes into [`Plan::rows`].
    pub rows: Range<u32>,
}

/// A row: a range of seats.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its number or letter.
    pub label: Box<str>,
    /// What a ticket calls it instead.
    pub name: Option<Box<str>>,
    /// What a ticket calls its seats instead; `%s` stands for the seat's number.
    pub seat_name: Option<Box<str>>,
    /// The section that it belongs to, as an index into [`Plan::sections`].
    pub section: u32,
    /// Its seats, as seat indexes.
    pub seats: Range<u32>,
}

/// Seats side by side in one row, of one category and kind, with no aisle between them.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The category of all of them.
    pub category: CategoryIndex,
    /// The pool of all of them.
    pub pool: PoolIndex,
    /// The row that it lies in, as an index into [`Plan::rows`].
    pub row: u32,
    /// Its seats, as seat indexes.
    pub seats: Range<u32>,
    /// Where it stands among its pool's segments, the best one first.
    pub rank: u32,
    /// Where it stands among all segments of the hall, the best one first.
    pub order: u32,
    /// The seat index, possibly between two seats, nearest to the stage; the best seats grow around it.
    pub centre: f32,
}

/// Seats that blocks are chosen from: of one category and kind, and either all or none of them sold in pairs. A block lies in
/// one pool.
#[derive(Clone, Debug)]
pub struct Pool {
    /// The category of all of them.
    pub category: CategoryIndex,
    /// The kind of all of them; of a pair of two kinds the rarer one.
    pub kind: SeatKind,
    /// Whether they are sold in pairs: the first two seats of a segment together, the next two, and so on.
    pub paired: bool,
    /// Its segments, the best one first.
    pub segments: Vec<u32>,
}

/// How a draft's seats are cut into segments and ranked: what is derived of a plan, kept along with it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layout {
    /// Where the stage is; none in plans that are older than this.
    pub stage: Option<Stage>,
    /// The segments, in the order of the seats.
    pub segments: Vec<SegmentLayout>,
    /// All segments, the best one first.
    pub ranking: Vec<u32>,
}

/// A segment of a [`Layout`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SegmentLayout {
    /// How many seats it has.
    pub seats: u32,
    /// See [`Segment::centre`].
    pub centre: f32,
}

/// A checked plan.
pub struct Plan {
    hash: PlanHash,
    size: (f32, f32),
    stage: Option<Stage>,
    categories: Vec<Category>,
    sections: Vec<Section>,
    rows: Vec<Row>,
    segments: Vec<Segment>,
    /// All segments, the best one first.
    ranking: Vec<u32>,
    best_segments: Vec<Vec<u32>>,
    pools: Vec<Pool>,
    /// The pools of each category.
    pools_of: Vec<Range<u32>>,
    /// The names of sections, each with its segments, the best one first.
    named_sections: Vec<(Box<str>, Vec<u32>)>,
    seat_ids: Strings,
    seat_labels: Strings,
    /// Which segment a seat is in, and by that its row and category.
    starts: Starts,
    seat_position: Vec<(f32, f32)>,
    /// The kind of each seat; empty if all are of the standard one.
    kinds: Vec<SeatKind>,
    /// The first seat of each pair, in order, and what the pair is called.
    pairs: Vec<(SeatIndex, Box<str>)>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

/// Many short strings in one allocation.
#[derive(Default)]
struct Strings {
    text: String,
    ends: Vec<u32>,
}

impl Strings {
    fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(u32::try_from(self.text.len()).unwrap_or(u32::MAX));
    }

    fn at(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }
}

impl Plan {
    /// The content hash that it was made with.
    #[must_use]
    pub fn hash(&self) -> PlanHash {
        self.hash
    }

    /// The same plan under the hash of its content, which is known only when it is compiled.
    #[must_use]
    pub fn named(mut self, hash: PlanHash) -> Self {
        self.hash = hash;
        self
    }

    /// Width and height of the drawing.
    #[must_use]
    pub fn size(&self) -> (f32, f32) {
        self.size
    }

    /// Where the stage is; none in a plan that is older than stages.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        self.stage
    }

    /// How many seats it has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.seat_position.len()
    }

    /// Its categories, that of the best seats first.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Its sections, the one nearest to the stage first.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Its rows, section by section, the one nearest to the stage first.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Its segments, in plan order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// All segments, the best one first.
    #[must_use]
    pub fn ranking(&self) -> &[u32] {
        &self.ranking
    }

    /// The segments of a category, the best one first.
    #[must_use]
    pub fn best_segments(&self, category: CategoryIndex) -> &[u32] {
        self.best_segments.get(category.at()).map_or(&[], Vec::as_slice)
    }

    /// The pools that blocks are chosen from; those of one category stand together, in the order of the categories.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// The pools of one category and kind: at most one of single seats, then at most one of pairs.
    pub fn pools_of(&self, category: CategoryIndex, kind: SeatKind) -> impl Iterator<Item = PoolIndex> + '_ {
        let pools = self.pools_of.get(category.at()).cloned().unwrap_or_default();
        pools.map(PoolIndex).filter(move |pool| self.pool(*pool).kind == kind)
    }

    /// A pool.
    #[must_use]
    pub fn pool(&self, pool: PoolIndex) -> &Pool {
        &self.pools[pool.at()]
    }

    /// The segments of the sections of one name, the best one first.
    #[must_use]
    pub fn section_segments(&self, section: SectionIndex) -> &[u32] {
        self.named_sections.get(section.at()).map_or(&[], |(_, segments)| segments.as_slice())
    }

    /// Whether a segment lies in the sections of one name.
    #[must_use]
    pub fn is_in(&self, segment: u32, section: SectionIndex) -> bool {
        let row = &self.rows[self.segments[segment as usize].row as usize];
        self.named_sections.get(section.at()).is_some_and(|(name, _)| *name == self.sections[row.section as usize].name)
    }

    /// The sections of that name.
    #[must_use]
    pub fn section(&self, name: &str) -> Option<SectionIndex> {
        let at = self.named_sections.iter().position(|(known, _)| &**known == name)?;
        u32::try_from(at).ok().map(SectionIndex)
    }

    /// How many names its sections have.
    #[must_use]
    pub fn section_names(&self) -> usize {
        self.named_sections.len()
    }

    /// The seat of that id.
    #[must_use]
    pub fn seat(&self, id: &str) -> Option<SeatIndex> {
        let hash = self.hasher.hash_one(id);
        self.index.find(hash, |&seat| self.seat_ids.at(seat as usize) == id).map(|&seat| SeatIndex(seat))
    }

    /// The same for a seat that is likely the one after `neighbour`, as for people who sit together: that one is compared first,
    /// because it is likely in the cache.
    #[must_use]
    pub fn seat_beside(&self, neighbour: SeatIndex, id: &str) -> Option<SeatIndex> {
        let next = SeatIndex(neighbour.0 + 1);
        if self.has(next) && self.seat_id(next) == id { Some(next) } else { self.seat(id) }
    }

    /// The category of that name.
    #[must_use]
    pub fn category(&self, name: &str) -> Option<CategoryIndex> {
        let at = self.categories.iter().position(|category| category.name == name)?;
        Some(CategoryIndex(u16::try_from(at).ok()?))
    }

    /// Whether the plan has a seat of that index.
    #[must_use]
    pub fn has(&self, seat: SeatIndex) -> bool {
        seat.at() < self.capacity()
    }

    /// The id of a seat, as API answers name it.
    #[must_use]
    pub fn seat_id(&self, seat: SeatIndex) -> &str {
        self.seat_ids.at(seat.at())
    }

    /// The number of a seat within its row.
    #[must_use]
    pub fn seat_label(&self, seat: SeatIndex) -> &str {
        self.seat_labels.at(seat.at())
    }

    /// The category of a seat.
    #[must_use]
    pub fn seat_category(&self, seat: SeatIndex) -> CategoryIndex {
        self.segments[self.seat_segment(seat) as usize].category
    }

    /// Whom a seat is for.
    #[must_use]
    pub fn seat_kind(&self, seat: SeatIndex) -> SeatKind {
        self.kinds.get(seat.at()).copied().unwrap_or_default()
    }

    /// Whether any of its seats are only sold in pairs.
    #[must_use]
    pub fn has_pairs(&self) -> bool {
        !self.pairs.is_empty()
    }

    /// The seat with which this one is sold, and what the two are called.
    #[must_use]
    pub fn pair(&self, seat: SeatIndex) -> Option<(SeatIndex, &str)> {
        let at = self.pairs.partition_point(|(first, _)| *first <= seat).checked_sub(1)?;
        let (first, name) = &self.pairs[at];
        match seat.0 - first.0 {
            0 => Some((SeatIndex(first.0 + 1), name)),
            1 => Some((*first, name)),
            _ => None,
        }
    }

    /// Where a seat is drawn.
    #[must_use]
    pub fn seat_position(&self, seat: SeatIndex) -> (f32, f32) {
        self.seat_position[seat.at()]
    }

    /// The row of a seat.
    #[must_use]
    pub fn seat_row(&self, seat: SeatIndex) -> &Row {
        &self.rows[self.segments[self.seat_segment(seat) as usize].row as usize]
    }

    /// The segment of a seat, as an index into [`Plan::segments`].
    #[must_use]
    pub fn seat_segment(&self, seat: SeatIndex) -> u32 {
        self.starts.number(seat.0)
    }

    /// What a ticket calls a seat. Where its row has a name, or names for its seats, it is section, row and seat as pretix
    /// writes them (`Stalls, Row A, Seat 7`); else their numbers (`Stalls A-7`), as far as there are any.
    #[must_use]
    pub fn full_label(&self, seat: SeatIndex) -> String {
        let row = self.seat_row(seat);
        let section = &*self.sections[row.section as usize].name;
        let number = self.seat_label(seat);
        // Written into one string: every answer to a hold has one for each seat.
        let mut label = String::with_capacity(section.len() + row.label.len() + number.len() + 16);
        label.push_str(section);
        if row.name.is_none() && row.seat_name.is_none() {
            follow(&mut label, " ", &row.label);
            follow(&mut label, if row.label.is_empty() { " " } else { "-" }, number);
            return label;
        }
        let of_row = row.name.as_deref().map_or_else(|| numbered("Row", &row.label), str::to_owned);
        let of_seat =
            row.seat_name.as_deref().map_or_else(|| numbered("Seat", number), |name| name.replace("%s", number));
        follow(&mut label, ", ", &of_row);
        follow(&mut label, ", ", &of_seat);
        label
    }
}

/// Adds a part after what is there already, if there is any.
fn follow(label: &mut String, between: &str, part: &str) {
    if !label.is_empty() && !part.is_empty() {
        label.push_str(between);
    }
    label.push_str(part);
}

fn numbered(what: &str, number: &str) -> String {
    if number.is_empty() { String::new() } else { format!("{what} {number}") }
}

/// Two plans are the same when the hash of their content is.
impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({}, {} seats)", self.hash, self.capacity())
    }
}

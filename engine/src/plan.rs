//! A seating plan, compiled into dense tables: seats under their index, rows, and *segments* (runs of seats side
//! by side in one row and one category, between aisles). Immutable once made; shared by every reader.

mod starts;

use crate::id::{CategoryIndex, PlanHash, SeatIndex};
use crate::limits::{MAX_CATEGORIES, MAX_SEATS};
use hashbrown::{DefaultHashBuilder, HashTable};
use starts::Starts;
use std::hash::BuildHasher;
use std::ops::Range;

/// A plan as its author gives it, before it is checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PlanDraft {
    /// Width and height of the drawing, in its own units.
    pub size: (f32, f32),
    /// The price categories, in the author's order.
    pub categories: Vec<Category>,
    /// The sections (pretix: zones).
    pub sections: Vec<SectionDraft>,
}

/// A price category of a plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Category {
    /// Its name, unique within the plan; prices are given by it.
    pub name: String,
    /// A CSS colour.
    pub color: String,
}

/// A section as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SectionDraft {
    /// What a ticket calls it; may be empty.
    pub name: String,
    /// Its rows, the one nearest the stage first.
    pub rows: Vec<RowDraft>,
}

/// A row as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RowDraft {
    /// What a ticket calls it.
    pub label: String,
    /// Its seats, side by side in this order.
    pub seats: Vec<SeatDraft>,
}

/// A seat as its author gives it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SeatDraft {
    /// Its id in API answers, unique within the plan.
    pub id: String,
    /// What a ticket calls it within its row.
    pub label: String,
    /// Position in the drawing, absolute.
    pub x: f32,
    /// Position in the drawing, absolute.
    pub y: f32,
    /// The name of its category.
    pub category: String,
}

/// Where in a draft: section, row and seat, as far down as it goes; none means the plan itself.
pub type PlanPath = Option<(usize, Option<(usize, Option<usize>)>)>;

/// Something wrong with a draft.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlanMistake {
    /// Where: section, row and seat, as far down as it goes; none means the plan itself.
    pub at: PlanPath,
    /// The member of that thing, such as `category`.
    pub member: &'static str,
    /// What is wrong, for the author.
    pub message: String,
}

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
    /// What a ticket calls it.
    pub label: Box<str>,
    /// The section that it belongs to, as an index into [`Plan::sections`].
    pub section: u32,
    /// Its seats, as seat indexes.
    pub seats: Range<u32>,
}

/// Seats side by side in one row and one category, with no aisle between them.
#[derive(Clone, Debug)]
pub struct Segment {
    /// The category of all of them.
    pub category: CategoryIndex,
    /// The row that it lies in, as an index into [`Plan::rows`].
    pub row: u32,
    /// Its seats, as seat indexes.
    pub seats: Range<u32>,
    /// Where it stands among its category's segments, the best one first.
    pub rank: u32,
    /// The seat index, possibly half a seat off, nearest to the hall's centre line; the best seats grow around it.
    pub centre: f32,
}

/// A checked plan.
pub struct Plan {
    hash: PlanHash,
    size: (f32, f32),
    categories: Vec<Category>,
    sections: Vec<Section>,
    rows: Vec<Row>,
    segments: Vec<Segment>,
    best_segments: Vec<Vec<u32>>,
    seat_ids: Strings,
    seat_labels: Strings,
    /// Which segment a seat is in, and by that its row and category.
    starts: Starts,
    seat_position: Vec<(f32, f32)>,
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

/// A gap wider than this many times the row's usual distance is an aisle.
const AISLE: f32 = 1.6;

impl Plan {
    /// Checks `draft` and compiles it. `hash` names its content: the same draft must come with the same hash.
    ///
    /// # Errors
    /// Every mistake of the draft, at most 100 of them.
    pub fn compile(draft: &PlanDraft, hash: PlanHash) -> Result<Self, Vec<PlanMistake>> {
        let mut builder = Builder::new(draft, hash);
        builder.check_categories();
        for (number, section) in draft.sections.iter().enumerate() {
            builder.section(number, section);
        }
        builder.finish()
    }

    /// The content hash that it was made with.
    #[must_use]
    pub fn hash(&self) -> PlanHash {
        self.hash
    }

    /// Width and height of the drawing.
    #[must_use]
    pub fn size(&self) -> (f32, f32) {
        self.size
    }

    /// How many seats it has.
    #[must_use]
    pub fn capacity(&self) -> usize {
        self.seat_position.len()
    }

    /// Its categories, in the author's order.
    #[must_use]
    pub fn categories(&self) -> &[Category] {
        &self.categories
    }

    /// Its sections, in the author's order.
    #[must_use]
    pub fn sections(&self) -> &[Section] {
        &self.sections
    }

    /// Its rows, section by section.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Its segments, in plan order.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The segments of a category, the best one first: nearer rows before farther ones, then by distance from the
    /// hall's centre line, then in plan order.
    #[must_use]
    pub fn best_segments(&self, category: CategoryIndex) -> &[u32] {
        self.best_segments.get(category.at()).map_or(&[], Vec::as_slice)
    }

    /// The seat of that id.
    #[must_use]
    pub fn seat(&self, id: &str) -> Option<SeatIndex> {
        let hash = self.hasher.hash_one(id);
        self.index.find(hash, |&seat| self.seat_ids.at(seat as usize) == id).map(|&seat| SeatIndex(seat))
    }

    /// The same for a seat that is likely the one after `neighbour`, as for people who sit together: that one is looked at
    /// first, because it lies nearby.
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

    /// What a ticket calls a seat within its row.
    #[must_use]
    pub fn seat_label(&self, seat: SeatIndex) -> &str {
        self.seat_labels.at(seat.at())
    }

    /// The category of a seat.
    #[must_use]
    pub fn seat_category(&self, seat: SeatIndex) -> CategoryIndex {
        self.segments[self.seat_segment(seat) as usize].category
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

    /// What a ticket calls a seat: section, row and seat, as far as they are named.
    #[must_use]
    pub fn full_label(&self, seat: SeatIndex) -> String {
        let row = self.seat_row(seat);
        let section = &self.sections[row.section as usize].name;
        let label = self.seat_label(seat);
        if section.is_empty() { format!("{}-{label}", row.label) } else { format!("{section} {}-{label}", row.label) }
    }
}

impl std::fmt::Debug for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Plan({}, {} seats)", self.hash, self.capacity())
    }
}

struct Builder<'a> {
    draft: &'a PlanDraft,
    plan: Plan,
    mistakes: Vec<PlanMistake>,
    middle: f32,
    keys: Vec<SegmentKey>,
}

/// Orders the segments of a category: row within its section, then distance from the centre line, then plan order.
type SegmentKey = (u32, f32);

impl<'a> Builder<'a> {
    fn new(draft: &'a PlanDraft, hash: PlanHash) -> Self {
        let seats = || draft.sections.iter().flat_map(|s| &s.rows).flat_map(|r| &r.seats);
        let low = seats().map(|seat| seat.x).fold(f32::INFINITY, f32::min);
        let high = seats().map(|seat| seat.x).fold(f32::NEG_INFINITY, f32::max);
        let plan = Plan {
            hash,
            size: draft.size,
            categories: draft.categories.clone(),
            sections: Vec::new(),
            rows: Vec::new(),
            segments: Vec::new(),
            best_segments: vec![Vec::new(); draft.categories.len()],
            seat_ids: Strings::default(),
            seat_labels: Strings::default(),
            starts: Starts::default(),
            seat_position: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        Self { draft, plan, mistakes: Vec::new(), middle: f32::midpoint(low, high), keys: Vec::new() }
    }

    fn mistake(&mut self, at: PlanPath, member: &'static str, message: impl Into<String>) {
        if self.mistakes.len() < 100 {
            self.mistakes.push(PlanMistake { at, member, message: message.into() });
        }
    }

    fn check_categories(&mut self) {
        if self.draft.categories.is_empty() {
            self.mistake(None, "categories", "at least one category");
        }
        if self.draft.categories.len() > MAX_CATEGORIES {
            self.mistake(None, "categories", format!("at most {MAX_CATEGORIES} categories"));
        }
        for (number, category) in self.draft.categories.iter().enumerate() {
            if category.name.is_empty() {
                self.mistake(None, "categories", format!("category {number} has no name"));
            }
            if self.draft.categories[..number].iter().any(|earlier| earlier.name == category.name) {
                self.mistake(None, "categories", format!("two categories are named {:?}", category.name));
            }
        }
    }

    fn section(&mut self, number: usize, draft: &SectionDraft) {
        let first = self.plan.rows.len() as u32;
        for (row_number, row) in draft.rows.iter().enumerate() {
            self.row(number, row_number, row);
        }
        let rows = first..self.plan.rows.len() as u32;
        self.plan.sections.push(Section { name: draft.name.as_str().into(), rows });
    }

    fn row(&mut self, section: usize, number: usize, draft: &RowDraft) {
        let row = self.plan.rows.len() as u32;
        let first = self.plan.capacity() as u32;
        let aisle = aisle_width(&draft.seats);
        let (mut start, mut category) = (first, CategoryIndex(0));
        for (at, seat) in draft.seats.iter().enumerate() {
            if self.plan.capacity() >= MAX_SEATS {
                self.mistake(None, "zones", format!("at most {MAX_SEATS} seats"));
                return;
            }
            let index = self.plan.capacity() as u32;
            let place = Some((section, Some((number, Some(at)))));
            let its_category = self.category_of(place, seat);
            let previous = at.checked_sub(1).map(|before| &draft.seats[before]);
            let joined = previous
                .is_some_and(|previous| distance(previous, seat) <= aisle && previous.category == seat.category);
            if !joined && index > start {
                self.segment(row, number as u32, start..index, category);
                start = index;
            }
            category = its_category;
            self.seat(place, index, seat);
        }
        let end = self.plan.capacity() as u32;
        if end > start {
            self.segment(row, number as u32, start..end, category);
        }
        self.plan.rows.push(Row { label: draft.label.as_str().into(), section: section as u32, seats: first..end });
    }

    fn category_of(&mut self, place: PlanPath, seat: &SeatDraft) -> CategoryIndex {
        if let Some(category) = self.plan.category(&seat.category) {
            return category;
        }
        self.mistake(place, "category", format!("no category is named {:?}", seat.category));
        CategoryIndex(0)
    }

    fn seat(&mut self, place: PlanPath, index: u32, draft: &SeatDraft) {
        if draft.id.is_empty() || draft.id.len() > 100 {
            self.mistake(place, "seat_guid", "1 to 100 bytes");
        }
        if !(draft.x.is_finite() && draft.y.is_finite()) {
            self.mistake(place, "position", "finite numbers");
        }
        if self.plan.seat(&draft.id).is_some() {
            self.mistake(place, "seat_guid", format!("two seats have the id {:?}", draft.id));
        }
        let plan = &mut self.plan;
        plan.seat_ids.push(&draft.id);
        plan.seat_labels.push(&draft.label);
        plan.seat_position.push((draft.x, draft.y));
        let (ids, hasher) = (&plan.seat_ids, &plan.hasher);
        plan.index
            .insert_unique(hasher.hash_one(draft.id.as_str()), index, |&seat| hasher.hash_one(ids.at(seat as usize)));
    }

    fn segment(&mut self, row: u32, depth: u32, seats: Range<u32>, category: CategoryIndex) {
        let plan = &mut self.plan;
        let positions = &plan.seat_position[seats.start as usize..seats.end as usize];
        let mean = positions.iter().map(|(x, _)| x).sum::<f32>() / positions.len() as f32;
        let nearest = positions
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| (a.0 - self.middle).abs().total_cmp(&(b.0 - self.middle).abs()))
            .map_or(0, |(at, _)| at);
        let apart = (positions[nearest].0 - mean).abs() > f32::EPSILON;
        let straddles = positions.iter().any(|p| p.0 <= self.middle) && positions.iter().any(|p| p.0 >= self.middle);
        let centre = if straddles && !apart || positions.iter().all(|p| (p.0 - positions[0].0).abs() < f32::EPSILON) {
            (seats.start + seats.end - 1) as f32 / 2.0
        } else if straddles {
            // The centre line falls inside: grow around the spot between its two neighbours.
            let left = positions.iter().filter(|p| p.0 < self.middle).count() as f32;
            seats.start as f32 + (left - 0.5).max(0.0)
        } else {
            (seats.start as usize + nearest) as f32
        };
        self.keys.push((depth, (mean - self.middle).abs()));
        plan.starts.push(&seats);
        plan.segments.push(Segment { category, row, seats, rank: 0, centre });
    }

    fn finish(mut self) -> Result<Plan, Vec<PlanMistake>> {
        if self.plan.capacity() == 0 {
            self.mistake(None, "zones", "at least one seat");
        }
        if !self.mistakes.is_empty() {
            return Err(self.mistakes);
        }
        let plan = &mut self.plan;
        for (number, segment) in plan.segments.iter().enumerate() {
            plan.best_segments[segment.category.at()].push(number as u32);
        }
        for order in &mut plan.best_segments {
            order.sort_by(|&a, &b| {
                let ((row_a, off_a), (row_b, off_b)) = (self.keys[a as usize], self.keys[b as usize]);
                row_a.cmp(&row_b).then(off_a.total_cmp(&off_b)).then(a.cmp(&b))
            });
            for (rank, &segment) in order.iter().enumerate() {
                plan.segments[segment as usize].rank = rank as u32;
            }
        }
        Ok(self.plan)
    }
}

fn distance(a: &SeatDraft, b: &SeatDraft) -> f32 {
    (a.x - b.x).hypot(a.y - b.y)
}

/// The distance beyond which two neighbours in this row have an aisle between them.
fn aisle_width(seats: &[SeatDraft]) -> f32 {
    let mut gaps: Vec<f32> = seats.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    if gaps.is_empty() {
        return f32::INFINITY;
    }
    gaps.sort_by(f32::total_cmp);
    // Of two gaps the smaller one is the usual one.
    let usual = gaps[(gaps.len() - 1) / 2];
    if usual == 0.0 { f32::INFINITY } else { usual * AISLE }
}

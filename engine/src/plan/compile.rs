//! Compiles a [`Plan`] from a draft and its layout: the tables that sales read. Must never decide where a seat lies or how good it
//! is: that is the layout's.

use super::arrange::arrange;
use super::draft::{PlanDraft, PlanMistake, RowDraft, SeatDraft, SeatKind, SectionDraft};
use super::listed::as_listed;
use super::{Layout, MistakePlace, Plan, Pool, Row, Section, Segment, Starts, Strings};
use crate::id::{CategoryIndex, PlanHash, PoolIndex, SeatIndex};
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use std::hash::BuildHasher;

impl Plan {
    /// Checks `draft`, lays it out and compiles it. `hash` names its content.
    ///
    /// # Errors
    /// Every mistake of the draft, by cause.
    pub fn compile(draft: &PlanDraft, hash: PlanHash) -> Result<Self, Vec<PlanMistake>> {
        let (arranged, layout) = arrange(draft)?;
        Self::assemble(&arranged, &layout, hash).ok_or_else(|| {
            let places = vec![MistakePlace::at(None)];
            vec![PlanMistake { member: "zones", message: "cannot be compiled".to_owned(), places }]
        })
    }

    /// Compiles a draft as plans were compiled before the order of lists ceased to matter: for sales that refer to such plans.
    /// None if it is no plan.
    #[must_use]
    pub fn compile_listed(draft: &PlanDraft, hash: PlanHash) -> Option<Self> {
        Self::assemble(draft, &as_listed(draft), hash)
    }

    /// Compiles a draft whose layout is known, in its own order. None if the layout does not fit it.
    #[must_use]
    pub fn assemble(draft: &PlanDraft, layout: &Layout, hash: PlanHash) -> Option<Self> {
        let mut builder = Builder::new(draft, layout, hash);
        for section in &draft.sections {
            builder.section(section)?;
        }
        builder.finish()
    }

    /// The draft that compiles to this plan, in the plan's order.
    #[must_use]
    pub fn draft(&self) -> PlanDraft {
        let seat = |index: u32| {
            let seat = SeatIndex(index);
            let (x, y) = self.seat_position(seat);
            SeatDraft {
                id: self.seat_id(seat).to_owned(),
                label: self.seat_label(seat).to_owned(),
                x,
                y,
                category: self.categories[self.seat_category(seat).at()].name.clone(),
                kind: self.seat_kind(seat),
                pair: self.pair(seat).map(|(_, name)| name.to_owned()),
            }
        };
        let row = |row: &Row| RowDraft {
            label: row.label.to_string(),
            seats: row.seats.clone().map(seat).collect(),
            name: row.name.as_deref().map(str::to_owned),
            seat_name: row.seat_name.as_deref().map(str::to_owned),
            priority: None,
        };
        let sections = self.sections.iter().map(|section| {
            let rows = &self.rows[section.rows.start as usize..section.rows.end as usize];
            SectionDraft { name: section.name.to_string(), rows: rows.iter().map(row).collect(), priority: None }
        });
        PlanDraft {
            size: self.size,
            categories: self.categories.clone(),
            sections: sections.collect(),
            stage: self.stage,
            areas: Vec::new(),
        }
    }

    /// The layout of this plan.
    #[must_use]
    pub fn layout(&self) -> Layout {
        let segments = self
            .segments
            .iter()
            .map(|segment| super::SegmentLayout { seats: segment.seats.len() as u32, centre: segment.centre });
        Layout { stage: self.stage, segments: segments.collect(), ranking: self.ranking.clone() }
    }
}

struct Builder<'a> {
    plan: Plan,
    layout: &'a Layout,
    categories: HashMap<&'a str, CategoryIndex>,
    /// What the pools are of, by which they are found again.
    pools: HashMap<(CategoryIndex, SeatKind, bool), PoolIndex>,
    /// The number of each name of sections.
    section_names: HashMap<&'a str, usize>,
    /// The number of the name of each section.
    names: Vec<usize>,
}

impl<'a> Builder<'a> {
    fn new(draft: &'a PlanDraft, layout: &'a Layout, hash: PlanHash) -> Self {
        let named = (0..).zip(&draft.categories).map(|(at, category)| (category.name.as_str(), CategoryIndex(at)));
        let plan = Plan {
            hash,
            size: draft.size,
            stage: layout.stage,
            categories: draft.categories.clone(),
            sections: Vec::with_capacity(draft.sections.len()),
            rows: Vec::new(),
            segments: Vec::with_capacity(layout.segments.len()),
            ranking: layout.ranking.clone(),
            best_segments: vec![Vec::new(); draft.categories.len()],
            pools: Vec::new(),
            pools_of: Vec::new(),
            named_sections: Vec::new(),
            seat_ids: Strings::default(),
            seat_labels: Strings::default(),
            starts: Starts::default(),
            seat_position: Vec::new(),
            kinds: Vec::new(),
            pairs: Vec::new(),
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        Self {
            plan,
            layout,
            categories: named.collect(),
            pools: HashMap::new(),
            section_names: HashMap::new(),
            names: Vec::new(),
        }
    }

    fn section(&mut self, draft: &'a SectionDraft) -> Option<()> {
        let first = self.plan.rows.len() as u32;
        for row in &draft.rows {
            self.row(row)?;
        }
        let name: Box<str> = draft.name.as_str().into();
        let named = &mut self.plan.named_sections;
        let number = *self.section_names.entry(draft.name.as_str()).or_insert_with(|| {
            named.push((name.clone(), Vec::new()));
            named.len() - 1
        });
        self.names.push(number);
        self.plan.sections.push(Section { name, rows: first..self.plan.rows.len() as u32 });
        Some(())
    }

    fn row(&mut self, draft: &RowDraft) -> Option<()> {
        let first = self.plan.capacity() as u32;
        let mut rest = draft.seats.as_slice();
        while !rest.is_empty() {
            let length = self.layout.segments.get(self.plan.segments.len())?.seats as usize;
            let (seats, others) = rest.split_at_checked(length).filter(|(seats, _)| !seats.is_empty())?;
            self.segment(seats)?;
            rest = others;
        }
        let named = |name: &Option<String>| name.as_deref().map(Box::from);
        self.plan.rows.push(Row {
            label: draft.label.as_str().into(),
            name: named(&draft.name),
            seat_name: named(&draft.seat_name),
            section: self.plan.sections.len() as u32,
            seats: first..self.plan.capacity() as u32,
        });
        Some(())
    }

    fn segment(&mut self, seats: &[SeatDraft]) -> Option<()> {
        let first = self.plan.capacity() as u32;
        let category = *self.categories.get(seats[0].category.as_str())?;
        let paired = seats[0].pair.is_some();
        let mut kind = SeatKind::Standard;
        for (at, seat) in seats.iter().enumerate() {
            if seat.category != seats[0].category || seat.pair.is_some() != paired {
                return None;
            }
            kind = kind.max(seat.kind);
            if paired && at % 2 == 0 {
                let partner = seats.get(at + 1).filter(|other| other.pair == seat.pair)?;
                let name = partner.pair.as_deref().unwrap_or_default();
                self.plan.pairs.push((SeatIndex(first + at as u32), name.into()));
            }
            self.seat(seat);
        }
        let pool = *self.pools.entry((category, kind, paired)).or_insert_with(|| {
            self.plan.pools.push(Pool { category, kind, paired, segments: Vec::new() });
            PoolIndex(self.plan.pools.len() as u32 - 1)
        });
        let range = first..self.plan.capacity() as u32;
        let centre = self.layout.segments[self.plan.segments.len()].centre;
        self.plan.starts.push(&range);
        let row = self.plan.rows.len() as u32;
        self.plan.segments.push(Segment { category, pool, row, seats: range, rank: 0, order: u32::MAX, centre });
        Some(())
    }

    fn seat(&mut self, draft: &SeatDraft) {
        let plan = &mut self.plan;
        let index = plan.capacity() as u32;
        if draft.kind != SeatKind::Standard && plan.kinds.is_empty() {
            plan.kinds = vec![SeatKind::Standard; index as usize];
        }
        if draft.kind != SeatKind::Standard || !plan.kinds.is_empty() {
            plan.kinds.push(draft.kind);
        }
        plan.seat_ids.push(&draft.id);
        plan.seat_labels.push(&draft.label);
        plan.seat_position.push((draft.x, draft.y));
        let (ids, hasher) = (&plan.seat_ids, &plan.hasher);
        plan.index
            .insert_unique(hasher.hash_one(draft.id.as_str()), index, |&seat| hasher.hash_one(ids.at(seat as usize)));
    }

    fn finish(mut self) -> Option<Plan> {
        let fits = self.plan.segments.len() == self.layout.segments.len()
            && self.plan.ranking.len() == self.plan.segments.len()
            && !self.plan.segments.is_empty();
        if !fits {
            return None;
        }
        self.sort_pools();
        let plan = &mut self.plan;
        for (order, &number) in plan.ranking.iter().enumerate() {
            let segment = plan.segments.get_mut(number as usize)?;
            if segment.order != u32::MAX {
                return None;
            }
            segment.order = order as u32;
            let pool = &mut plan.pools[segment.pool.at()].segments;
            segment.rank = pool.len() as u32;
            pool.push(number);
            plan.best_segments[segment.category.at()].push(number);
            let section = plan.rows[segment.row as usize].section;
            plan.named_sections[self.names[section as usize]].1.push(number);
        }
        Some(self.plan)
    }

    /// Pools of one category stand together.
    fn sort_pools(&mut self) {
        let mut order: Vec<usize> = (0..self.plan.pools.len()).collect();
        order.sort_by_key(|&at| {
            let pool = &self.plan.pools[at];
            (pool.category, pool.kind, pool.paired)
        });
        let mut place = vec![PoolIndex(0); order.len()];
        order.iter().enumerate().for_each(|(to, &from)| place[from] = PoolIndex(to as u32));
        let first_of =
            |category: usize| order.partition_point(|&at| self.plan.pools[at].category.at() < category) as u32;
        let categories = self.plan.categories.len();
        self.plan.pools_of = (0..categories).map(|category| first_of(category)..first_of(category + 1)).collect();
        self.plan.pools = order.iter().map(|&from| self.plan.pools[from].clone()).collect();
        self.plan.segments.iter_mut().for_each(|segment| segment.pool = place[segment.pool.at()]);
    }
}

//! The best block: the index of free runs, and the choice of a block from it. For each pool and each length up to
//! [`INDEXED_RUN`] a bitmap says which segments have a free run of that length, in the order best first. Finding a block reads a
//! few words; taking a seat rewrites a few bits. A block lies in one segment. Must never split a pair, and never scan the hall.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions of seats, segments and words of one hall, each below its bound"
)]

mod apart;

pub(crate) use apart::Apart;

use crate::id::{CategoryIndex, PoolIndex, SeatIndex, SectionIndex};
use crate::limits::INDEXED_RUN;
use crate::plan::{Plan, SeatKind, Segment};
use crate::sale::collections::bits::Bits;
use crate::sale::command::{Among, Seats};
use std::ops::Range;

/// Segments tried for a block that leaves no single seat behind, before a certain one is taken.
const TRIES: usize = 32;

/// The index over one hall.
#[derive(Clone)]
pub(crate) struct Runs {
    /// The longest free run of each segment, at most [`INDEXED_RUN`].
    longest: Vec<u8>,
    /// Where each pool's bitmaps begin, and how many words each of them has.
    pools: Vec<(u32, u32)>,
    words: Vec<u64>,
}

impl Runs {
    /// The index of a hall where every seat is free.
    pub(crate) fn of_free_hall(plan: &Plan) -> Self {
        let mut pools = Vec::with_capacity(plan.pools().len());
        let mut total = 0;
        for pool in plan.pools() {
            let words = pool.segments.len().div_ceil(64);
            #[expect(
                clippy::cast_possible_truncation,
                reason = "a bit for each segment and length: far below 32 bits of words"
            )]
            pools.push((total as u32, words as u32));
            total += words * INDEXED_RUN;
        }
        let longest = vec![0; plan.segments().len()];
        let mut runs = Self { longest, pools, words: vec![0; total] };
        for (number, segment) in plan.segments().iter().enumerate() {
            runs.set(number, segment, segment.seats.len().min(INDEXED_RUN));
        }
        runs
    }

    /// Brings a segment up to date after some of its seats were taken or freed.
    pub(crate) fn refresh(&mut self, number: usize, segment: &Segment, free: &Bits) {
        let longest = free.runs(range(&segment.seats)).map(|run| run.len()).max().unwrap_or(0).min(INDEXED_RUN);
        self.set(number, segment, longest);
    }

    fn set(&mut self, number: usize, segment: &Segment, longest: usize) {
        let before = usize::from(self.longest[number]);
        self.longest[number] = u8::try_from(longest).unwrap_or(u8::MAX);
        let bit = 1 << (segment.rank % 64);
        for length in longest.min(before) + 1..=longest.max(before) {
            let word = self.bitmap(segment.pool, length).start + segment.rank as usize / 64;
            if longest > before {
                self.words[word] |= bit;
            } else {
                self.words[word] &= !bit;
            }
        }
    }

    fn bitmap(&self, pool: PoolIndex, length: usize) -> Range<usize> {
        let (first, words) = self.pools[pool.at()];
        let start = first as usize + (length.min(INDEXED_RUN) - 1) * words as usize;
        start..start + words as usize
    }

    /// The best block of free seats; with `no_orphans` none that leaves a single seat, if there is another of its kind.
    pub(crate) fn best(&self, plan: &Plan, free: &Bits, request: &Request, no_orphans: bool) -> Option<Seats> {
        request.asked.kinds.iter().find_map(|&kind| {
            let strictly = no_orphans.then(|| self.best_of(plan, free, request, kind, (true, true))).flatten();
            strictly.or_else(|| self.best_of(plan, free, request, kind, (no_orphans, false)))
        })
    }

    /// The best block of one kind, from whichever of its pools has the better one.
    fn best_of(
        &self,
        plan: &Plan,
        free: &Bits,
        request: &Request,
        kind: SeatKind,
        (no_orphans, strict): (bool, bool),
    ) -> Option<Seats> {
        let wanted = |pool| Wanted { pool, quantity: request.quantity, from: 0, around: None, no_orphans, strict };
        let pools =
            plan.pools_of(request.asked.category, kind).filter(|pool| self.serves(plan, *pool, request.quantity));
        let blocks = pools.filter_map(|pool| match request.asked.section {
            Some(section) => self.in_section(plan, free, section, &wanted(pool)),
            None => self.block(plan, free, &wanted(pool)),
        });
        blocks.min_by_key(|(order, _)| *order).map(|(_, seats)| seats)
    }

    /// Whether a block of so many seats can lie in a pool: pairs are not split.
    fn serves(&self, plan: &Plan, pool: PoolIndex, quantity: usize) -> bool {
        quantity > 0 && !(plan.pool(pool).paired && quantity % 2 == 1)
    }

    /// The best block within the sections of one name: visits their segments, which are few.
    fn in_section(&self, plan: &Plan, free: &Bits, section: SectionIndex, wanted: &Wanted) -> Option<(u32, Seats)> {
        let length = wanted.quantity.min(INDEXED_RUN);
        plan.section_segments(section).iter().find_map(|&number| {
            let segment = &plan.segments()[number as usize];
            let may = segment.pool == wanted.pool && usize::from(self.longest[number as usize]) >= length;
            let seats = may.then(|| place(free, segment, plan.pool(segment.pool).paired, wanted)).flatten()?;
            Some((segment.order, seats))
        })
    }

    /// The block of `quantity` free seats nearest to `seat`, of its category and of a kind that serves instead of its own.
    pub(crate) fn nearest(
        &self,
        plan: &Plan,
        free: &Bits,
        seat: SeatIndex,
        quantity: usize,
        no_orphans: bool,
    ) -> Option<Seats> {
        let segment = &plan.segments()[plan.seat_segment(seat) as usize];
        let own = segment.pool;
        let wanted = |pool, from, around| Wanted { pool, quantity, from, around, no_orphans, strict: no_orphans };
        let in_own = || self.block(plan, free, &wanted(own, segment.rank as usize, Some(seat)));
        let in_other = || {
            let mut others = Asked::instead_of(plan, seat)
                .pools(plan)
                .filter(|pool| *pool != own && self.serves(plan, *pool, quantity));
            others.find_map(|pool| {
                let before = |number: &u32| plan.segments()[*number as usize].order < segment.order;
                let from = plan.pool(pool).segments.partition_point(before);
                self.block(plan, free, &wanted(pool, from, None))
            })
        };
        let found = self.serves(plan, own, quantity).then(in_own).flatten();
        found.or_else(in_other).map(|(_, seats)| seats)
    }

    fn block(&self, plan: &Plan, free: &Bits, wanted: &Wanted) -> Option<(u32, Seats)> {
        let certain = if wanted.strict { wanted.quantity + 2 } else { wanted.quantity };
        let first_try =
            self.search(plan, free, wanted, wanted.quantity, if certain > INDEXED_RUN { usize::MAX } else { TRIES });
        if first_try.is_some() || certain > INDEXED_RUN {
            return first_try;
        }
        self.search(plan, free, wanted, certain, TRIES)
    }

    /// Visits the segments that have a run of `length`, outwards from `wanted.from`, and takes the first that serves.
    fn search(&self, plan: &Plan, free: &Bits, wanted: &Wanted, length: usize, tries: usize) -> Option<(u32, Seats)> {
        let words = self.words.get(self.bitmap(wanted.pool, length))?;
        let pool = plan.pool(wanted.pool);
        let (mut up, mut down) =
            (next_at(words, wanted.from), wanted.from.checked_sub(1).and_then(|at| last_at(words, at)));
        for _ in 0..tries {
            let rank = match (up, down) {
                (None, None) => return None,
                (Some(up), Some(down)) if wanted.from - down < up - wanted.from => down,
                (Some(up), _) => up,
                (None, Some(down)) => down,
            };
            let segment = &plan.segments()[pool.segments[rank] as usize];
            if let Some(seats) = place(free, segment, pool.paired, wanted) {
                return Some((segment.order, seats));
            }
            if Some(rank) == up {
                up = next_at(words, rank + 1);
            } else {
                down = rank.checked_sub(1).and_then(|at| last_at(words, at));
            }
        }
        None
    }
}

/// The kinds that may replace a kind, the same first.
fn like(kind: SeatKind) -> &'static [SeatKind] {
    match kind {
        SeatKind::Standard => &[SeatKind::Standard, SeatKind::RestrictedView],
        SeatKind::RestrictedView => &[SeatKind::RestrictedView, SeatKind::Standard],
        SeatKind::Companion => &[SeatKind::Companion],
        SeatKind::Wheelchair => &[SeatKind::Wheelchair],
    }
}

/// Which seats serve a request.
#[derive(Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) category: CategoryIndex,
    /// The kinds that serve, the preferred one first.
    kinds: &'static [SeatKind],
    section: Option<SectionIndex>,
}

impl Asked {
    /// Those of a request by category.
    pub(crate) fn of(category: CategoryIndex, among: Among) -> Self {
        let kinds: &[SeatKind] = match among.kind {
            None => like(SeatKind::Standard),
            Some(SeatKind::Standard) => &[SeatKind::Standard],
            Some(SeatKind::RestrictedView) => &[SeatKind::RestrictedView],
            Some(kind @ (SeatKind::Companion | SeatKind::Wheelchair)) => like(kind),
        };
        Self { category, kinds, section: among.section }
    }

    /// Those that may replace this seat.
    pub(crate) fn instead_of(plan: &Plan, seat: SeatIndex) -> Self {
        let pool = plan.pool(plan.segments()[plan.seat_segment(seat) as usize].pool);
        Self { category: pool.category, kinds: like(pool.kind), section: None }
    }

    /// The pools of these seats, the preferred kind first.
    fn pools<'p>(&self, plan: &'p Plan) -> impl Iterator<Item = PoolIndex> + 'p {
        let Self { category, kinds, .. } = *self;
        kinds.iter().flat_map(move |kind| plan.pools_of(category, *kind))
    }
}

/// See [`Runs::best`].
pub(crate) struct Request {
    pub(crate) asked: Asked,
    pub(crate) quantity: usize,
}

struct Wanted {
    pool: PoolIndex,
    quantity: usize,
    /// The rank to begin at.
    from: usize,
    /// The seat to stay near, if not the middle of the hall.
    around: Option<SeatIndex>,
    /// Whether a place that leaves no single seat is to be preferred within a segment.
    no_orphans: bool,
    /// Whether only such a place serves.
    strict: bool,
}

/// The place for a block within a segment: nearest to its centre (or to the seat asked for).
fn place(free: &Bits, segment: &Segment, paired: bool, wanted: &Wanted) -> Option<Seats> {
    let quantity = wanted.quantity;
    let inside = |seat: &SeatIndex| segment.seats.contains(&seat.0);
    let centre = match wanted.around.filter(inside) {
        Some(seat) => seat.0 as f32 + (quantity as f32 - 1.0) / 2.0,
        None => segment.centre,
    };
    let mut best: Option<(bool, f32, usize)> = None;
    // Pairs lie one after the other from the segment's first seat on; elsewhere a block may begin at every seat. A mask
    // instead of a division, which would be most of this function's time.
    let (origin, step) = (segment.seats.start as usize, if paired { 2_usize } else { 1 });
    let beyond = |seat: usize| (seat - origin) & (step - 1);
    for run in free.runs(range(&segment.seats)).filter(|run| run.len() >= quantity) {
        let first = run.start + beyond(run.start);
        let last = run.end - quantity;
        let last = last - beyond(last);
        if first > last {
            continue;
        }
        #[expect(
            clippy::cast_possible_truncation,
            reason = "not below the first seat, and a seat of the segment at most"
        )]
        let middle = (centre - (quantity as f32 - 1.0) / 2.0).floor().max(first as f32) as usize;
        let middle = middle - beyond(middle);
        let candidates =
            [middle.min(last), (middle + step).min(last), middle.saturating_sub(step).clamp(first, last), first, last];
        for start in candidates {
            let orphans = start - run.start == 1 || last - start == 1;
            let off = (start as f32 + (quantity as f32 - 1.0) / 2.0 - centre).abs();
            let better = best.is_none_or(|(worse, farther, _)| {
                let keep = orphans && wanted.no_orphans;
                (keep, off) < (worse, farther)
            });
            if better && !(orphans && wanted.strict) {
                best = Some((orphans && wanted.no_orphans, off, start));
            }
        }
    }
    let (_, _, start) = best?;
    Some((start..start + quantity).map(SeatIndex::from_at).collect())
}

fn range(seats: &Range<u32>) -> Range<usize> {
    seats.start as usize..seats.end as usize
}

fn next_at(words: &[u64], from: usize) -> Option<usize> {
    let mut at = from / 64;
    let mut word = words.get(at)? & (u64::MAX << (from % 64));
    while word == 0 {
        at += 1;
        word = *words.get(at)?;
    }
    Some(at * 64 + word.trailing_zeros() as usize)
}

fn last_at(words: &[u64], from: usize) -> Option<usize> {
    let mut at = from / 64;
    let mut word = words.get(at)? & (u64::MAX >> (63 - from % 64));
    while word == 0 {
        at = at.checked_sub(1)?;
        word = words[at];
    }
    Some(at * 64 + 63 - word.leading_zeros() as usize)
}

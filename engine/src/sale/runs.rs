//! Free runs: for each category and each length up to [`INDEXED_RUN`], which segments have so many free seats side
//! by side, as bitmaps in the order best first. Finding a block reads a few words; taking a seat rewrites a few bits.

mod scattered;

pub(crate) use scattered::Apart;

use crate::id::{CategoryIndex, SeatIndex};
use crate::limits::INDEXED_RUN;
use crate::plan::{Plan, Segment};
use crate::sale::bits::Bits;
use crate::sale::command::Seats;
use std::ops::Range;

/// Segments tried for a block that leaves no single seat behind, before a certain one is taken.
const TRIES: usize = 32;

/// The index over one hall.
#[derive(Clone)]
pub(crate) struct Runs {
    /// The longest free run of each segment, at most [`INDEXED_RUN`].
    longest: Vec<u8>,
    /// Where each category's bitmaps begin, and how many words each of them has.
    categories: Vec<(u32, u32)>,
    words: Vec<u64>,
}

impl Runs {
    /// The index of a hall where every seat is free.
    pub(crate) fn of_free_hall(plan: &Plan) -> Self {
        let mut categories = Vec::with_capacity(plan.categories().len());
        let mut total = 0;
        for category in 0..plan.categories().len() {
            let words = plan.best_segments(CategoryIndex(category as u16)).len().div_ceil(64);
            categories.push((total as u32, words as u32));
            total += words * INDEXED_RUN;
        }
        let longest = vec![0; plan.segments().len()];
        let mut runs = Self { longest, categories, words: vec![0; total] };
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
        self.longest[number] = longest as u8;
        let bit = 1 << (segment.rank % 64);
        for length in longest.min(before) + 1..=longest.max(before) {
            let word = self.bitmap(segment.category, length).start + segment.rank as usize / 64;
            if longest > before {
                self.words[word] |= bit;
            } else {
                self.words[word] &= !bit;
            }
        }
    }

    fn bitmap(&self, category: CategoryIndex, length: usize) -> Range<usize> {
        let (first, words) = self.categories[category.at()];
        let start = first as usize + (length.min(INDEXED_RUN) - 1) * words as usize;
        start..start + words as usize
    }

    /// The best block of `quantity` free seats of a category; with `no_orphans` none that leaves a single seat, if
    /// there is another.
    pub(crate) fn best(
        &self,
        plan: &Plan,
        free: &Bits,
        category: CategoryIndex,
        quantity: usize,
        no_orphans: bool,
    ) -> Option<Seats> {
        self.block(plan, free, &Wanted { category, quantity, from: 0, around: None, no_orphans, strict: no_orphans })
            .or_else(|| {
                self.block(plan, free, &Wanted { category, quantity, from: 0, around: None, no_orphans, strict: false })
            })
    }

    /// The block of `quantity` free seats nearest to `seat`, in its category.
    pub(crate) fn nearest(
        &self,
        plan: &Plan,
        free: &Bits,
        seat: SeatIndex,
        quantity: usize,
        no_orphans: bool,
    ) -> Option<Seats> {
        let segment = &plan.segments()[plan.seat_segment(seat) as usize];
        let around = Some(seat);
        let (category, from) = (segment.category, segment.rank as usize);
        let wanted = Wanted { category, quantity, from, around, no_orphans, strict: no_orphans };
        self.block(plan, free, &wanted)
    }

    fn block(&self, plan: &Plan, free: &Bits, wanted: &Wanted) -> Option<Seats> {
        if wanted.quantity == 0 {
            return None;
        }
        let certain = if wanted.strict { wanted.quantity + 2 } else { wanted.quantity };
        let first_try =
            self.search(plan, free, wanted, wanted.quantity, if certain > INDEXED_RUN { usize::MAX } else { TRIES });
        if first_try.is_some() || certain > INDEXED_RUN {
            return first_try;
        }
        self.search(plan, free, wanted, certain, TRIES)
    }

    /// Walks the segments that have a run of `length`, outwards from `wanted.from`, and takes the first that serves.
    fn search(&self, plan: &Plan, free: &Bits, wanted: &Wanted, length: usize, tries: usize) -> Option<Seats> {
        let words = self.words.get(self.bitmap(wanted.category, length))?;
        let order = plan.best_segments(wanted.category);
        let (mut up, mut down) =
            (next_at(words, wanted.from), wanted.from.checked_sub(1).and_then(|at| last_at(words, at)));
        for _ in 0..tries {
            let rank = match (up, down) {
                (None, None) => return None,
                (Some(up), Some(down)) if wanted.from - down < up - wanted.from => down,
                (Some(up), _) => up,
                (None, Some(down)) => down,
            };
            let segment = &plan.segments()[order[rank] as usize];
            if let Some(seats) = place(free, segment, wanted) {
                return Some(seats);
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

struct Wanted {
    category: CategoryIndex,
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
fn place(free: &Bits, segment: &Segment, wanted: &Wanted) -> Option<Seats> {
    let quantity = wanted.quantity;
    let inside = |seat: &SeatIndex| segment.seats.contains(&seat.0);
    let centre = match wanted.around.filter(inside) {
        Some(seat) => seat.0 as f32 + (quantity as f32 - 1.0) / 2.0,
        None => segment.centre,
    };
    let mut best: Option<(bool, f32, usize)> = None;
    for run in free.runs(range(&segment.seats)).filter(|run| run.len() >= quantity) {
        let last = run.end - quantity;
        let middle = (centre - (quantity as f32 - 1.0) / 2.0).floor().max(run.start as f32) as usize;
        let candidates = [
            middle.min(last),
            (middle + 1).min(last),
            middle.saturating_sub(1).clamp(run.start, last),
            run.start,
            last,
        ];
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
    Some((start..start + quantity).map(|seat| SeatIndex(seat as u32)).collect())
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

//! What a category has left when no block of the requested size is: its longest run, and seats apart from each other. For
//! refusals alone. Must never scan the hall: lengths are read from bitmaps, and at most [`VISITED`] segments are visited.
#![expect(clippy::arithmetic_side_effects, reason = "positions and lengths within one hall, each below its bound")]

use super::{Asked, INDEXED_RUN, Runs, last_at, next_at, range};
use crate::id::{PoolIndex, SeatIndex};
use crate::plan::Plan;
use crate::sale::collections::bits::Bits;
use crate::sale::command::Seats;

/// Segments that are visited for seats apart. Each has a free seat, so there are more than enough for the largest hold, unless
/// single seats must not be left behind.
const VISITED: usize = 256;

/// A request for seats that need not stand together.
pub(crate) struct Apart {
    pub(crate) asked: Asked,
    pub(crate) quantity: usize,
    /// The seat to stay near; else near the longest run.
    pub(crate) around: Option<SeatIndex>,
    /// Whether they may not leave a single seat behind.
    pub(crate) no_orphans: bool,
}

impl Runs {
    /// Whether any of the requested seats is free.
    pub(crate) fn has_free(&self, plan: &Plan, asked: &Asked) -> bool {
        match asked.section {
            None => asked.pools(plan).any(|pool| self.has(pool, 1)),
            Some(_) => self.longest_in_section(plan, asked, 2) > 0,
        }
    }

    fn has(&self, pool: PoolIndex, length: usize) -> bool {
        let words = self.words.get(self.bitmap(pool, length));
        words.is_some_and(|words| words.iter().any(|word| *word != 0))
    }

    /// The longest run of free seats that serve, shorter than `below`, or `below` minus one if there is a longer one. Costs a few
    /// bitmaps; beyond [`INDEXED_RUN`] also the segments with so long a run, as the search for a block does.
    pub(crate) fn longest_below(&self, plan: &Plan, free: &Bits, asked: &Asked, below: usize) -> usize {
        match asked.section {
            None => asked.pools(plan).map(|pool| self.longest_of(plan, free, pool, below)).max().unwrap_or(0),
            Some(_) => self.longest_in_section(plan, asked, below),
        }
    }

    /// The same within a section, counted up to [`INDEXED_RUN`].
    fn longest_in_section(&self, plan: &Plan, asked: &Asked, below: usize) -> usize {
        let segments = asked.section.map_or(&[][..], |section| plan.section_segments(section));
        let serves = |number: &&u32| asked.pools(plan).any(|pool| pool == plan.segments()[**number as usize].pool);
        let lengths = segments.iter().filter(serves).map(|&number| usize::from(self.longest[number as usize]));
        lengths.max().unwrap_or(0).min(below.saturating_sub(1))
    }

    fn longest_of(&self, plan: &Plan, free: &Bits, pool: PoolIndex, below: usize) -> usize {
        // A pool with a run of some length has runs of every shorter length, so a binary search finds the longest.
        let (mut longest, mut most) = (0, below.saturating_sub(1).min(INDEXED_RUN));
        while longest < most {
            let middle = (longest + most).div_ceil(2);
            if self.has(pool, middle) { longest = middle } else { most = middle - 1 }
        }
        if longest < INDEXED_RUN || below <= INDEXED_RUN + 1 {
            return longest;
        }
        let words = self.words.get(self.bitmap(pool, INDEXED_RUN)).unwrap_or_default();
        let order = &plan.pool(pool).segments;
        let ranks = outwards(words, 0);
        let lengths = ranks.flat_map(|rank| free.runs(range(&plan.segments()[order[rank] as usize].seats)));
        lengths.map(|run| run.len()).max().unwrap_or(longest).min(below - 1)
    }

    /// Free seats that serve, whole runs where that fits, from one segment outwards in the order best first. None of pairs, which
    /// are never split.
    pub(crate) fn apart(&self, plan: &Plan, free: &Bits, wanted: &Apart) -> Option<Seats> {
        let mut seats = Seats::new();
        for pool in wanted.asked.pools(plan).filter(|pool| !plan.pool(*pool).paired) {
            let order = &plan.pool(pool).segments;
            let words = self.words.get(self.bitmap(pool, 1))?;
            let Some(from) = self.begin(plan, free, pool, wanted.around) else { continue };
            let within = |number: u32| wanted.asked.section.is_none_or(|section| plan.is_in(number, section));
            let segments = outwards(words, from).map(|rank| order[rank]).filter(|number| within(*number));
            for number in segments.take(VISITED) {
                let mut runs: Vec<_> = free.runs(range(&plan.segments()[number as usize].seats)).collect();
                runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
                for run in runs {
                    let take = part(run.len(), wanted.quantity - seats.len(), wanted.no_orphans);
                    seats.extend((run.start..run.start + take).map(SeatIndex::from_at));
                }
                if seats.len() == wanted.quantity {
                    seats.sort_unstable();
                    return Some(seats);
                }
            }
        }
        None
    }

    /// The rank to begin at: that of the seat to stay near, else that of the longest run. None if no seat is free.
    fn begin(&self, plan: &Plan, free: &Bits, pool: PoolIndex, around: Option<SeatIndex>) -> Option<usize> {
        let near = around.map(|seat| &plan.segments()[plan.seat_segment(seat) as usize]);
        if let Some(segment) = near.filter(|segment| segment.pool == pool) {
            return Some(segment.rank as usize);
        }
        let longest = self.longest_of(plan, free, pool, INDEXED_RUN + 1);
        next_at(self.words.get(self.bitmap(pool, longest.max(1)))?, 0)
    }
}

/// How many seats of a run are taken when so many are wanted: none rather than leaving one.
fn part(run: usize, wanted: usize, no_orphans: bool) -> usize {
    let take = run.min(wanted);
    if no_orphans && run - take == 1 { take.saturating_sub(1) } else { take }
}

/// The set bits from one of them outwards, the nearer first.
fn outwards(words: &[u64], from: usize) -> impl Iterator<Item = usize> {
    let mut up = next_at(words, from);
    let mut down = from.checked_sub(1).and_then(|at| last_at(words, at));
    std::iter::from_fn(move || {
        let is_down = match (up, down) {
            (Some(up), Some(down)) => from - down < up - from,
            (up, _) => up.is_none(),
        };
        if is_down {
            let rank = down?;
            down = rank.checked_sub(1).and_then(|at| last_at(words, at));
            Some(rank)
        } else {
            let rank = up?;
            up = next_at(words, rank + 1);
            Some(rank)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_visited_outwards() {
        let words = [1 << 3 | 1 << 60, 1 << 2 | 1 << 63];
        let visited = |from| outwards(&words, from).collect::<Vec<_>>();
        assert_eq!(visited(0), [3, 60, 66, 127]);
        assert_eq!(visited(61), [60, 66, 3, 127]);
        assert_eq!(visited(63), [66, 60, 3, 127]);
        assert_eq!(visited(127), [127, 66, 60, 3]);
        assert_eq!(outwards(&[0, 0], 70).count(), 0);
        assert_eq!(outwards(&[], 0).count(), 0);
    }

    #[test]
    fn a_part_of_a_run_leaves_no_single_seat() {
        let check = |run, wanted, loose, strict| {
            assert_eq!((part(run, wanted, false), part(run, wanted, true)), (loose, strict), "{wanted} of {run}");
        };
        check(1, 3, 1, 1);
        check(3, 3, 3, 3);
        check(4, 3, 3, 2);
        check(2, 1, 1, 0);
        check(5, 3, 3, 3);
        check(5, 0, 0, 0);
    }
}

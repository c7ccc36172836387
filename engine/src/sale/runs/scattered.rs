//! What a category has left where no block of the size asked for is: its longest run, and seats that need not stand together.
//! For refusals alone. Must never walk the hall: lengths are read from bitmaps, and no more than [`VISITED`] segments are visited.

use super::{INDEXED_RUN, Runs, last_at, next_at, range};
use crate::id::{CategoryIndex, SeatIndex};
use crate::plan::Plan;
use crate::sale::bits::Bits;
use crate::sale::command::Seats;

/// Segments that are visited for seats apart. Each has a free seat, so there are more than enough for the largest hold, unless
/// single seats must not be left behind.
const VISITED: usize = 256;

/// Seats apart.
pub(crate) struct Apart {
    pub(crate) category: CategoryIndex,
    pub(crate) quantity: usize,
    /// The seat to stay near; else near the longest run.
    pub(crate) around: Option<SeatIndex>,
    /// Whether they may not leave a single seat behind.
    pub(crate) no_orphans: bool,
}

impl Runs {
    /// The longest run of free seats of a category that is shorter than `below`, or `below` minus one if there is a longer one.
    /// Costs a few bitmaps; beyond [`INDEXED_RUN`] also the segments with so long a run, as the search for a block does.
    pub(crate) fn longest_below(&self, plan: &Plan, free: &Bits, category: CategoryIndex, below: usize) -> usize {
        let has = |length: usize| {
            let words = self.words.get(self.bitmap(category, length));
            words.is_some_and(|words| words.iter().any(|word| *word != 0))
        };
        // Who has a run of some length has one of every shorter length.
        let (mut longest, mut most) = (0, below.saturating_sub(1).min(INDEXED_RUN));
        while longest < most {
            let middle = (longest + most).div_ceil(2);
            if has(middle) { longest = middle } else { most = middle - 1 }
        }
        if longest < INDEXED_RUN || below <= INDEXED_RUN + 1 {
            return longest;
        }
        let words = self.words.get(self.bitmap(category, INDEXED_RUN)).unwrap_or_default();
        let order = plan.best_segments(category);
        let ranks = outwards(words, 0);
        let lengths = ranks.flat_map(|rank| free.runs(range(&plan.segments()[order[rank] as usize].seats)));
        lengths.map(|run| run.len()).max().unwrap_or(longest).min(below - 1)
    }

    /// Free seats of a category, whole runs where that fits, from one segment outwards in the order best first.
    pub(crate) fn apart(&self, plan: &Plan, free: &Bits, wanted: &Apart) -> Option<Seats> {
        let order = plan.best_segments(wanted.category);
        let near = wanted.around.map(|seat| &plan.segments()[plan.seat_segment(seat) as usize]);
        let from = match near.filter(|segment| segment.category == wanted.category) {
            Some(segment) => segment.rank as usize,
            None => {
                let longest = self.longest_below(plan, free, wanted.category, INDEXED_RUN + 1).max(1);
                next_at(self.words.get(self.bitmap(wanted.category, longest))?, 0)?
            }
        };
        let words = self.words.get(self.bitmap(wanted.category, 1))?;
        let mut seats = Seats::new();
        for rank in outwards(words, from).take(VISITED) {
            let mut runs: Vec<_> = free.runs(range(&plan.segments()[order[rank] as usize].seats)).collect();
            runs.sort_by_key(|run| std::cmp::Reverse(run.len()));
            for run in runs {
                let take = part(run.len(), wanted.quantity - seats.len(), wanted.no_orphans);
                seats.extend((run.start..run.start + take).map(|seat| SeatIndex(seat as u32)));
            }
            if seats.len() == wanted.quantity {
                seats.sort_unstable();
                return Some(seats);
            }
        }
        None
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

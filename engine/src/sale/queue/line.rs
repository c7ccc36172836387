//! The line: which ordinals are waiting, as a bitmap in blocks with a Fenwick tree of counts over the blocks.
//! Rank and the head of the line are exact and cost the logarithm of the crowd. Clones share the blocks until one of them
//! writes. Must never scan the line.
#![expect(
    clippy::arithmetic_side_effects,
    reason = "positions and counts of ordinals, which are bounded by MAX_CAPACITY and the reserved blocks"
)]

use crate::id::{BuyerId, Ordinal};
use std::sync::Arc;
use uuid::Uuid;

const WORDS: usize = 8;
/// Ordinals in one block.
const BLOCK: u64 = (WORDS * 64) as u64;

/// The waiting buyers by ordinal, and the ordinals that were ever used. A block without a used one takes a pointer.
#[derive(Default, Clone, Debug)]
pub(crate) struct Line {
    blocks: Vec<Option<Arc<Block>>>,
    /// Fenwick tree over the blocks' counts, from index 1.
    counts: Vec<u32>,
    len: u64,
}

#[derive(Default, Clone, Debug)]
struct Block {
    live: [u64; WORDS],
    /// Ordinals that were ever used: those that are not live are spent.
    used: [u64; WORDS],
    buyers: Option<Box<[BuyerId]>>,
    count: u32,
}

impl Line {
    /// How many wait.
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn insert(&mut self, ordinal: Ordinal, buyer: BuyerId) {
        let (block, word, bit, at) = locate(ordinal);
        let chunk = self.block(block);
        if chunk.live[word] & bit != 0 {
            return;
        }
        chunk.live[word] |= bit;
        chunk.used[word] |= bit;
        chunk.count += 1;
        chunk.buyers.get_or_insert_with(|| vec![BuyerId(Uuid::nil()); WORDS * 64].into_boxed_slice())[at] = buyer;
        self.len += 1;
        self.add(block, 1);
    }

    pub(crate) fn remove(&mut self, ordinal: Ordinal) {
        let (block, word, bit, _) = locate(ordinal);
        let Some(Some(chunk)) = self.blocks.get_mut(block) else { return };
        if chunk.live[word] & bit == 0 {
            return;
        }
        let chunk = Arc::make_mut(chunk);
        chunk.live[word] &= !bit;
        chunk.count -= 1;
        if chunk.count == 0 {
            chunk.buyers = None;
        }
        self.len -= 1;
        self.add(block, u32::MAX);
    }

    /// The rank of `ordinal`, from 1: one more than wait ahead of it.
    pub(crate) fn rank(&self, ordinal: Ordinal) -> u64 {
        let (block, word, bit, _) = locate(ordinal);
        let chunk = match self.blocks.get(block) {
            Some(Some(chunk)) => chunk,
            Some(None) => return self.sum_before(block) + 1,
            None => return self.len + 1,
        };
        let before: u32 = chunk.live[..word].iter().map(|live| live.count_ones()).sum();
        let here = (chunk.live[word] & (bit - 1)).count_ones();
        self.sum_before(block) + u64::from(before + here) + 1
    }

    /// The first of the line.
    pub(crate) fn head(&self) -> Option<(Ordinal, BuyerId)> {
        if self.len == 0 {
            return None;
        }
        let block = self.first_block();
        let chunk = self.blocks.get(block)?.as_ref()?;
        let (word, live) = chunk.live.iter().enumerate().find(|(_, live)| **live != 0)?;
        let at = word * 64 + live.trailing_zeros() as usize;
        Some((Ordinal(block as u64 * BLOCK + at as u64), chunk.buyers.as_ref()?[at]))
    }

    /// The waiting buyers in order; scans the line, for snapshots and checks only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ordinal, BuyerId)> + '_ {
        let blocks = self.blocks.iter().enumerate().filter_map(|(block, chunk)| Some((block, chunk.as_ref()?)));
        blocks.filter(|(_, chunk)| chunk.count > 0).flat_map(|(block, chunk)| {
            let first = block as u64 * BLOCK;
            ordinals(first, |word| chunk.live[word])
                .filter_map(move |ordinal| Some((ordinal, chunk.buyers.as_ref()?[locate(ordinal).3])))
        })
    }

    /// Whether one is a clone of the other, and neither was written to since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        let same = |pair: (&Option<Arc<Block>>, &Option<Arc<Block>>)| match pair {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        self.blocks.len() == other.blocks.len() && self.blocks.iter().zip(&other.blocks).all(same)
    }

    /// A line of these members alone, with the used ordinals of this one.
    pub(crate) fn with_only(&self, members: impl Iterator<Item = (Ordinal, BuyerId)>) -> Self {
        let mut line = Self::default();
        members.for_each(|(ordinal, buyer)| line.insert(ordinal, buyer));
        for (block, used) in line.blocks.iter_mut().zip(&self.blocks) {
            if let (Some(block), Some(used)) = (block, used) {
                Arc::make_mut(block).used = used.used;
            }
        }
        line
    }

    /// Puts the members of `drawn` in its order. A member who has left since is taken out, `place` being their drawn place; buyers
    /// at other ordinals stay. O(blocks), and a search for each who has left.
    pub(crate) fn lay_out(&mut self, drawn: &Self, place: impl Fn(Ordinal) -> Ordinal) {
        let mut gone = Vec::new();
        for (number, (block, laid)) in self.blocks.iter_mut().zip(&drawn.blocks).enumerate() {
            let (Some(now), Some(laid)) = (block.as_mut(), laid.as_ref()) else { continue };
            let first = number as u64 * BLOCK;
            gone.extend(ordinals(first, |word| laid.live[word] & !now.live[word]));
            let others: Vec<Ordinal> = ordinals(first, |word| now.live[word] & !laid.live[word]).collect();
            let mut merged = Arc::clone(laid);
            if !others.is_empty() || now.used != laid.used {
                let merged = Arc::make_mut(&mut merged);
                merged.used = now.used;
                for ordinal in others {
                    let (_, word, bit, at) = locate(ordinal);
                    if let (Some(to), Some(from)) = (&mut merged.buyers, &now.buyers) {
                        (to[at], merged.live[word]) = (from[at], merged.live[word] | bit);
                        merged.count += 1;
                    }
                }
            }
            *now = merged;
        }
        self.count_again();
        for ordinal in gone {
            self.remove(place(ordinal));
        }
    }

    /// Rebuilds the counts from the blocks.
    fn count_again(&mut self) {
        self.counts = vec![0; self.blocks.len() + 1];
        self.len = 0;
        for (block, chunk) in self.blocks.iter().enumerate() {
            let count = chunk.as_ref().map_or(0, |chunk| chunk.count);
            self.len += u64::from(count);
            self.counts[block + 1] += count;
            let above = block + 1 + ((block + 1) & (block + 1).wrapping_neg());
            if above < self.counts.len() {
                self.counts[above] += self.counts[block + 1];
            }
        }
    }

    /// Marks an ordinal as used by a buyer who waits no more.
    pub(crate) fn spend(&mut self, ordinal: Ordinal) {
        let (block, word, bit, _) = locate(ordinal);
        self.block(block).used[word] |= bit;
    }

    /// Whether an ordinal was ever used.
    pub(crate) fn was_used(&self, ordinal: Ordinal) -> bool {
        let (block, word, bit, _) = locate(ordinal);
        self.blocks.get(block).and_then(Option::as_ref).is_some_and(|chunk| chunk.used[word] & bit != 0)
    }

    /// Every ordinal that was ever used, as runs from first to last; scans the line, for snapshots only.
    pub(crate) fn used(&self) -> Vec<(Ordinal, Ordinal)> {
        let mut runs: Vec<(Ordinal, Ordinal)> = Vec::new();
        let blocks = self.blocks.iter().enumerate().filter_map(|(block, chunk)| Some((block as u64, chunk.as_ref()?)));
        for (block, chunk) in blocks {
            for ordinal in ordinals(block * BLOCK, |word| chunk.used[word]) {
                match runs.last_mut() {
                    Some((_, last)) if last.0 + 1 == ordinal.0 => *last = ordinal,
                    Some(_) | None => runs.push((ordinal, ordinal)),
                }
            }
        }
        runs
    }

    fn block(&mut self, block: usize) -> &mut Block {
        while self.blocks.len() <= block {
            self.push_block();
        }
        Arc::make_mut(self.blocks[block].get_or_insert_default())
    }

    fn push_block(&mut self) {
        self.blocks.push(None);
        if self.counts.is_empty() {
            self.counts.push(0);
        }
        let new = self.counts.len();
        let covered = self.prefix(new - 1) - self.prefix(new & (new - 1));
        #[expect(clippy::cast_possible_truncation, reason = "no more wait than MAX_CAPACITY")]
        self.counts.push(covered as u32);
    }

    fn add(&mut self, block: usize, delta: u32) {
        let mut at = block + 1;
        while at < self.counts.len() {
            self.counts[at] = self.counts[at].wrapping_add(delta);
            at += at & at.wrapping_neg();
        }
    }

    fn sum_before(&self, block: usize) -> u64 {
        self.prefix(block)
    }

    /// The sum of the first `n` blocks' counts.
    fn prefix(&self, n: usize) -> u64 {
        let (mut at, mut sum) = (n, 0);
        while at > 0 {
            sum += u64::from(self.counts[at]);
            at &= at - 1;
        }
        sum
    }

    /// The first block that is not empty: descends the tree.
    fn first_block(&self) -> usize {
        let mut at = 0;
        let mut step = (self.counts.len().max(2) - 1).next_power_of_two();
        while step > 0 {
            if at + step < self.counts.len() && self.counts[at + step] == 0 {
                at += step;
            }
            step /= 2;
        }
        at
    }
}

/// The ordinals of a block whose bits are set in these words.
fn ordinals(first: u64, words: impl Fn(usize) -> u64) -> impl Iterator<Item = Ordinal> {
    (0..WORDS).map(move |word| (word, words(word))).flat_map(move |(word, mut bits)| {
        std::iter::from_fn(move || {
            let bit = u64::from(bits.trailing_zeros());
            (bits != 0).then(|| {
                bits &= bits - 1;
                Ordinal(first + word as u64 * 64 + bit)
            })
        })
    })
}

fn locate(ordinal: Ordinal) -> (usize, usize, u64, usize) {
    let at = (ordinal.0 % BLOCK) as usize;
    ((ordinal.0 / BLOCK) as usize, at / 64, 1 << (at % 64), at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn buyer(n: u64) -> BuyerId {
        BuyerId(Uuid::from_u128(u128::from(n)))
    }

    proptest! {
        #[test]
        fn the_line_behaves_as_an_ordered_map(steps in prop::collection::vec((0u64..9000, any::<bool>()), 1..400)) {
            let (mut line, mut model) = (Line::default(), BTreeMap::new());
            for &(ordinal, joins) in &steps {
                if joins {
                    line.insert(Ordinal(ordinal), buyer(ordinal));
                    model.insert(ordinal, buyer(ordinal));
                } else {
                    line.remove(Ordinal(ordinal));
                    model.remove(&ordinal);
                }
                prop_assert_eq!(line.len(), model.len() as u64);
                prop_assert_eq!(line.head(), model.first_key_value().map(|(o, b)| (Ordinal(*o), *b)));
                prop_assert_eq!(line.rank(Ordinal(ordinal)), model.range(..ordinal).count() as u64 + 1);
            }
            let ever: std::collections::BTreeSet<u64> =
                steps.iter().filter(|(_, joins)| *joins).map(|(ordinal, _)| *ordinal).collect();
            let runs: Vec<u64> = line.used().into_iter().flat_map(|(first, last)| first.0..=last.0).collect();
            prop_assert_eq!(runs, ever.iter().copied().collect::<Vec<_>>());
            prop_assert!(ever.iter().all(|ordinal| line.was_used(Ordinal(*ordinal))) && !line.was_used(Ordinal(9001)));
            let all: Vec<_> = line.iter().map(|(o, _)| o.0).collect();
            prop_assert_eq!(all, model.keys().copied().collect::<Vec<_>>());
        }

        #[test]
        fn a_line_is_laid_out_as_if_each_moved(
            before in prop::collection::btree_set(0u64..3000, 0..300),
            after in prop::collection::vec((0u64..3600, any::<bool>()), 0..60),
            turn in 0usize..300,
        ) {
            let mut line = Line::default();
            before.iter().for_each(|n| line.insert(Ordinal(*n), buyer(*n)));
            (0..3000).step_by(7).for_each(|n| line.spend(Ordinal(n)));
            // Any permutation will do: here each moves so many places back.
            let members: Vec<u64> = before.iter().copied().collect();
            let to = |at: usize| members[(at + turn) % members.len()];
            let mut drawn: Vec<(u64, u64)> = (0..members.len()).map(|at| (to(at), members[at])).collect();
            drawn.sort_unstable();
            let (frozen, was) = (line.clone(), line.iter().collect::<Vec<_>>());
            let laid = line.with_only(drawn.iter().map(|(place, who)| (Ordinal(*place), buyer(*who))));
            for (ordinal, joins) in after {
                match joins && !before.contains(&ordinal) {
                    true => line.insert(Ordinal(ordinal), buyer(ordinal)),
                    false => line.remove(Ordinal(ordinal)),
                }
            }
            let place = |ordinal: u64| members.binary_search(&ordinal).map_or(ordinal, to);
            let mut expected: Vec<_> = line.iter().map(|(o, b)| (Ordinal(place(o.0)), b)).collect();
            expected.sort_unstable();
            let used = line.used();
            line.lay_out(&laid, |ordinal| Ordinal(place(ordinal.0)));
            prop_assert_eq!(line.iter().collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!((line.len(), line.used()), (expected.len() as u64, used));
            for (rank, (ordinal, _)) in (1..).zip(&expected) {
                prop_assert_eq!(line.rank(*ordinal), rank);
            }
            prop_assert_eq!(line.head(), expected.first().copied());
            prop_assert_eq!(frozen.iter().collect::<Vec<_>>(), was, "a clone stays as it was");
        }
    }
}

//! The line: which ordinals are waiting, as a bitmap in blocks with a Fenwick tree of counts over the blocks.
//! Rank and the head of the line are exact and cost the logarithm of the crowd. Must never scan the line.

use crate::id::{BuyerId, Ordinal};
use uuid::Uuid;

const WORDS: usize = 8;
/// Ordinals in one block.
const BLOCK: u64 = (WORDS * 64) as u64;

/// Who waits, by ordinal, and which ordinals were ever used. Blocks of which none was used take a pointer.
#[derive(Default, Clone)]
pub(crate) struct Line {
    blocks: Vec<Option<Box<Block>>>,
    /// Fenwick tree over the blocks' counts, from index 1.
    counts: Vec<u32>,
    len: u64,
}

#[derive(Default, Clone)]
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
        let slot = self.block(block);
        if slot.live[word] & bit != 0 {
            return;
        }
        slot.live[word] |= bit;
        slot.used[word] |= bit;
        slot.count += 1;
        slot.buyers.get_or_insert_with(|| vec![BuyerId(Uuid::nil()); BLOCK as usize].into_boxed_slice())[at] = buyer;
        self.len += 1;
        self.add(block, 1);
    }

    pub(crate) fn remove(&mut self, ordinal: Ordinal) {
        let (block, word, bit, _) = locate(ordinal);
        let Some(Some(slot)) = self.blocks.get_mut(block) else { return };
        if slot.live[word] & bit == 0 {
            return;
        }
        slot.live[word] &= !bit;
        slot.count -= 1;
        if slot.count == 0 {
            slot.buyers = None;
        }
        self.len -= 1;
        self.add(block, u32::MAX);
    }

    /// How many wait ahead of `ordinal`, and one more: 1 is nobody ahead.
    pub(crate) fn rank(&self, ordinal: Ordinal) -> u64 {
        let (block, word, bit, _) = locate(ordinal);
        let slot = match self.blocks.get(block) {
            Some(Some(slot)) => slot,
            Some(None) => return self.sum_before(block) + 1,
            None => return self.len + 1,
        };
        let before: u32 = slot.live[..word].iter().map(|live| live.count_ones()).sum();
        let here = (slot.live[word] & (bit - 1)).count_ones();
        self.sum_before(block) + u64::from(before + here) + 1
    }

    /// Who has waited longest.
    pub(crate) fn head(&self) -> Option<(Ordinal, BuyerId)> {
        if self.len == 0 {
            return None;
        }
        let block = self.first_block();
        let slot = self.blocks.get(block)?.as_ref()?;
        let (word, live) = slot.live.iter().enumerate().find(|(_, live)| **live != 0)?;
        let at = word * 64 + live.trailing_zeros() as usize;
        Some((Ordinal(block as u64 * BLOCK + at as u64), slot.buyers.as_ref()?[at]))
    }

    /// Everyone waiting, in order; walks the whole line, for snapshots and checks only.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ordinal, BuyerId)> + '_ {
        let blocks = self.blocks.iter().enumerate().filter_map(|(block, slot)| Some((block, slot.as_ref()?)));
        blocks.filter(|(_, slot)| slot.count > 0).flat_map(|(block, slot)| {
            (0..BLOCK as usize)
                .filter(|at| slot.live[at / 64] >> (at % 64) & 1 == 1)
                .filter_map(move |at| Some((Ordinal(block as u64 * BLOCK + at as u64), slot.buyers.as_ref()?[at])))
        })
    }

    /// Notes that an ordinal was used, by somebody who does not wait any more.
    pub(crate) fn spend(&mut self, ordinal: Ordinal) {
        let (block, word, bit, _) = locate(ordinal);
        self.block(block).used[word] |= bit;
    }

    /// Whether an ordinal was ever used.
    pub(crate) fn was_used(&self, ordinal: Ordinal) -> bool {
        let (block, word, bit, _) = locate(ordinal);
        self.blocks.get(block).and_then(Option::as_ref).is_some_and(|slot| slot.used[word] & bit != 0)
    }

    /// Every ordinal that was ever used, as runs from first to last; walks the whole line, for snapshots only.
    pub(crate) fn used(&self) -> Vec<(Ordinal, Ordinal)> {
        let mut runs: Vec<(Ordinal, Ordinal)> = Vec::new();
        let blocks = self.blocks.iter().enumerate().filter_map(|(block, slot)| Some((block as u64, slot.as_ref()?)));
        for (block, slot) in blocks {
            for at in (0..BLOCK).filter(|at| slot.used[(at / 64) as usize] >> (at % 64) & 1 == 1) {
                let ordinal = Ordinal(block * BLOCK + at);
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
        self.blocks[block].get_or_insert_default()
    }

    fn push_block(&mut self) {
        self.blocks.push(None);
        if self.counts.is_empty() {
            self.counts.push(0);
        }
        let new = self.counts.len();
        let covered = self.prefix(new - 1) - self.prefix(new & (new - 1));
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
    }
}

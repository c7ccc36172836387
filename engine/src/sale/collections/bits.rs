//! A dense set of small numbers: one bit each. Must never hold a number beyond the length that it was made with.
#![expect(clippy::arithmetic_side_effects, reason = "positions of bits, all below the length")]

use std::ops::Range;

/// A set of numbers below a fixed bound.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bits {
    words: Vec<u64>,
    len: usize,
}

impl Bits {
    /// The set of all or none of the numbers below `len`.
    pub(crate) fn new(len: usize, all: bool) -> Self {
        let mut words = vec![if all { u64::MAX } else { 0 }; len.div_ceil(64)];
        if let Some(last) = words.last_mut().filter(|_| all && !len.is_multiple_of(64)) {
            *last = (1 << (len % 64)) - 1;
        }
        Self { words, len }
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        self.words.get(at / 64).is_some_and(|word| word >> (at % 64) & 1 == 1)
    }

    pub(crate) fn insert(&mut self, at: usize) {
        self.words[at / 64] |= 1 << (at % 64);
    }

    pub(crate) fn remove(&mut self, at: usize) {
        self.words[at / 64] &= !(1 << (at % 64));
    }

    /// Its members in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        members(self.words.iter().copied())
    }

    /// Numbers that are in neither set, in order.
    pub(crate) fn in_neither<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = usize> + 'a {
        let words = self.words.iter().zip(&other.words).map(|(one, other)| !(one | other));
        members(words).take_while(|at| *at < self.len)
    }

    /// The maximal runs of members within `range`, in order.
    pub(crate) fn runs(&self, range: Range<usize>) -> impl Iterator<Item = Range<usize>> + '_ {
        let mut at = range.start;
        std::iter::from_fn(move || {
            let start = self.next(at, range.end, false)?;
            let end = self.next(start, range.end, true).unwrap_or(range.end);
            at = end;
            Some(start..end)
        })
    }

    /// The first number in `from..end` that is a member, or with `absent` that is not.
    fn next(&self, from: usize, end: usize, absent: bool) -> Option<usize> {
        let end = end.min(self.len);
        if from >= end {
            return None;
        }
        let flip = if absent { u64::MAX } else { 0 };
        let mut number = from / 64;
        let mut word = (self.words[number] ^ flip) & (u64::MAX << (from % 64));
        while word == 0 {
            number += 1;
            if number * 64 >= end {
                return None;
            }
            word = self.words[number] ^ flip;
        }
        Some(number * 64 + word.trailing_zeros() as usize).filter(|at| *at < end)
    }
}

/// The numbers whose bits are set in these words.
fn members(words: impl Iterator<Item = u64>) -> impl Iterator<Item = usize> {
    words.enumerate().flat_map(|(number, mut rest)| {
        std::iter::from_fn(move || {
            let bit = rest.trailing_zeros() as usize;
            (rest != 0).then(|| {
                rest &= rest - 1;
                number * 64 + bit
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn runs_are_those_of_a_plain_vector(bits in prop::collection::vec(any::<bool>(), 1..300), cut in 0usize..300) {
            let mut set = Bits::new(bits.len(), false);
            bits.iter().enumerate().filter(|(_, on)| **on).for_each(|(at, _)| set.insert(at));
            let range = cut.min(bits.len())..bits.len();
            let mut expected: Vec<Range<usize>> = Vec::new();
            for at in range.clone().filter(|at| bits[*at]) {
                match expected.last_mut() {
                    Some(run) if run.end == at => run.end += 1,
                    _ => expected.push(at..at + 1),
                }
            }
            prop_assert_eq!(set.runs(range).collect::<Vec<_>>(), expected);
            prop_assert_eq!(set.iter().count(), bits.iter().filter(|on| **on).count());
            let thirds = |at: &usize| at.is_multiple_of(3);
            let mut other = Bits::new(bits.len(), false);
            (0..bits.len()).filter(thirds).for_each(|at| other.insert(at));
            let neither: Vec<_> = (0..bits.len()).filter(|at| !bits[*at] && !thirds(at)).collect();
            prop_assert_eq!(set.in_neither(&other).collect::<Vec<_>>(), neither);
        }
    }
}

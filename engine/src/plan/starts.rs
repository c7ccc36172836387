//! Where segments start, one bit for each seat: a seat's segment is the number of starts up to it. A number for each seat would be
//! thirty times as large, and in a large hall a cache miss for each seat of a hold. Must never have a gap between segments.

use std::ops::Range;

/// 64 seats.
#[derive(Clone, Copy, Default)]
struct Word {
    /// Which of them are the first of their segment.
    starts: u64,
    /// How many segments start before them.
    before: u32,
}

/// The segments of a hall, in order and without gaps.
#[derive(Default)]
pub(super) struct Starts {
    words: Vec<Word>,
    count: u32,
}

impl Starts {
    /// The next segment has these seats.
    pub(super) fn push(&mut self, seats: &Range<u32>) {
        let first = seats.start as usize / 64;
        if self.words.len() <= first {
            self.words.resize(first + 1, Word { starts: 0, before: self.count });
        }
        self.words[first].starts |= 1 << (seats.start % 64);
        self.count += 1;
        let end = (seats.end as usize).div_ceil(64);
        self.words.resize(end.max(first + 1), Word { starts: 0, before: self.count });
    }

    /// The number of the segment that a seat is in.
    pub(super) fn number(&self, seat: u32) -> u32 {
        let word = self.words[seat as usize / 64];
        word.before + (word.starts & (u64::MAX >> (63 - seat % 64))).count_ones() - 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn seats_are_numbered_as_by_counting(lengths in prop::collection::vec(1u32..200, 1..50)) {
            let (mut starts, mut expected) = (Starts::default(), Vec::new());
            for (number, length) in lengths.iter().enumerate() {
                let first = expected.len() as u32;
                starts.push(&(first..first + length));
                expected.extend(std::iter::repeat_n(number as u32, *length as usize));
            }
            let numbers: Vec<u32> = (0..expected.len() as u32).map(|seat| starts.number(seat)).collect();
            prop_assert_eq!(numbers, expected);
        }
    }
}

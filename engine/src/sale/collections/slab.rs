//! Rows under numbers that are used again, in pieces that are never moved: adding a row costs the same however many there are.
//! One long vector would be copied whole when it grows, and a hundred thousand rows take tens of milliseconds, in which no
//! request is answered.
//!
//! Clones share the pieces, and a write copies a shared piece first: a clone of a million rows costs a reference count for each
//! piece, and the first write to each piece after it a few microseconds. Must never give a number to two rows at once.
#![expect(clippy::arithmetic_side_effects, reason = "positions of rows that are in memory")]

use crate::sale::collections::fifo::Fifo;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

/// Rows of a piece, as bits of a number: more make a clone cheaper, and the first write after it dearer.
const BITS: u32 = 7;
const MASK: usize = (1 << BITS) - 1;

/// See the module.
#[derive(Clone)]
pub(crate) struct Slab<T> {
    pieces: Vec<Arc<Vec<Option<T>>>>,
    /// Numbers without a row; the last one is used again first, while its piece is still cached.
    vacant: Fifo<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), vacant: Fifo::default() }
    }
}

impl<T: Clone> Slab<T> {
    /// Adds a row and returns its number.
    pub(crate) fn insert(&mut self, row: T) -> u32 {
        if let Some(number) = self.vacant.pop_back() {
            self[number] = Some(row);
            return number;
        }
        // Only the first piece grows, so that a sale with few rows is small.
        if self.pieces.last().is_none_or(|piece| piece.len() > MASK) {
            let capacity = if self.pieces.is_empty() { 0 } else { MASK + 1 };
            self.pieces.push(Arc::new(Vec::with_capacity(capacity)));
        }
        let before = (self.pieces.len() - 1) << BITS;
        match self.pieces.last_mut() {
            Some(piece) => {
                Arc::make_mut(piece).push(Some(row));
                row_number(before + piece.len() - 1)
            }
            None => 0,
        }
    }

    /// Removes a row; its number may be given to another.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let row = self[number].take();
        if row.is_some() {
            self.vacant.push_back(number);
        }
        row
    }

    /// Every row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.iter()).flatten()
    }
}

/// A sale has at most [`crate::limits::MAX_SEATS`] reservations that live, and bounds everything else; a number beyond 32 bits
/// would be given to two rows.
fn row_number(at: usize) -> u32 {
    let number = u32::try_from(at);
    assert!(number.is_ok(), "rows are numbered with 32 bits");
    number.unwrap_or_default()
}

impl<T> Index<u32> for Slab<T> {
    type Output = Option<T>;

    fn index(&self, number: u32) -> &Option<T> {
        &self.pieces[number as usize >> BITS][number as usize & MASK]
    }
}

impl<T: Clone> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut Option<T> {
        &mut Arc::make_mut(&mut self.pieces[number as usize >> BITS])[number as usize & MASK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_numbers_and_numbers_are_used_again() {
        let mut slab = Slab::default();
        let numbers: Vec<u32> = (0..3000).map(|row| slab.insert(row)).collect();
        assert_eq!(numbers, (0..3000).collect::<Vec<u32>>());
        assert!(numbers.iter().all(|number| slab[*number] == Some(*number)));
        assert_eq!((slab.remove(1234), slab.remove(1234), slab[1234]), (Some(1234), None, None));
        assert_eq!(slab.insert(9), 1234);
        assert_eq!(slab.insert(8), 3000);
        assert_eq!(slab.iter().count(), 3001);
        slab[7] = Some(1);
        assert_eq!(slab.iter().nth(7), Some(&1));
    }

    #[test]
    fn a_clone_keeps_what_it_has_and_shares_what_neither_writes() {
        let mut slab = Slab::default();
        (0..3000).for_each(|row| assert_eq!(slab.insert(row), row));
        let before = slab.clone();
        slab[5] = Some(99);
        slab.remove(2999);
        assert_eq!((before[5], before[2999], slab[5], slab[2999]), (Some(5), Some(2999), Some(99), None));
        let shared = before.pieces.iter().zip(&slab.pieces).filter(|(one, other)| Arc::ptr_eq(one, other)).count();
        assert_eq!(shared, before.pieces.len() - 2, "a write copies its own piece, and no other");
    }
}

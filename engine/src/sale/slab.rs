//! Rows under numbers that are used again, in pieces that stay where they are: a row costs the same to add however many
//! there are. One long vector would now and then be copied whole, and a hundred thousand rows take tens of milliseconds in
//! which nobody is answered.

use std::ops::{Index, IndexMut};

/// Rows of a piece, as bits of a number.
const BITS: u32 = 9;
const MASK: usize = (1 << BITS) - 1;

/// See the module.
#[derive(Clone)]
pub(crate) struct Slab<T> {
    pieces: Vec<Vec<Option<T>>>,
    vacant: Stack,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), vacant: Stack::default() }
    }
}

impl<T> Slab<T> {
    /// Puts a row in and answers its number.
    pub(crate) fn insert(&mut self, row: T) -> u32 {
        if let Some(number) = self.vacant.pop() {
            self[number] = Some(row);
            return number;
        }
        // Only the first piece grows, so that a sale with few rows is small.
        if self.pieces.last().is_none_or(|piece| piece.len() > MASK) {
            let room = if self.pieces.is_empty() { 0 } else { MASK + 1 };
            self.pieces.push(Vec::with_capacity(room));
        }
        let before = (self.pieces.len() - 1) << BITS;
        match self.pieces.last_mut() {
            Some(piece) => {
                piece.push(Some(row));
                (before + piece.len() - 1) as u32
            }
            None => 0,
        }
    }

    /// Takes a row out; its number may be given to another.
    pub(crate) fn remove(&mut self, number: u32) -> Option<T> {
        let row = self[number].take();
        if row.is_some() {
            self.vacant.push(number);
        }
        row
    }

    /// Every row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten().flatten()
    }
}

impl<T> Index<u32> for Slab<T> {
    type Output = Option<T>;

    fn index(&self, number: u32) -> &Option<T> {
        &self.pieces[number as usize >> BITS][number as usize & MASK]
    }
}

impl<T> IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut Option<T> {
        &mut self.pieces[number as usize >> BITS][number as usize & MASK]
    }
}

/// Numbers to be given again, the last one first, in pieces, too: a million rows may go one after the other.
#[derive(Clone, Default)]
struct Stack(Vec<Vec<u32>>);

impl Stack {
    fn push(&mut self, number: u32) {
        if self.0.last().is_none_or(|piece| piece.len() > MASK) {
            let room = if self.0.is_empty() { 0 } else { MASK + 1 };
            self.0.push(Vec::with_capacity(room));
        }
        if let Some(piece) = self.0.last_mut() {
            piece.push(number);
        }
    }

    fn pop(&mut self) -> Option<u32> {
        let piece = self.0.last_mut()?;
        let number = piece.pop();
        if piece.is_empty() && self.0.len() > 1 {
            self.0.pop();
        }
        number
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
        let many: Vec<u32> = (0..2000).rev().collect();
        assert!(many.iter().all(|number| slab.remove(*number).is_some()));
        assert!((0..2000).all(|number| slab.insert(number) == number), "the last one that went is given first");
        assert_eq!(slab.insert(7), 3001);
        slab.remove(3001);
        slab[7] = Some(1);
        assert_eq!(slab.iter().nth(7), Some(&1));
    }
}

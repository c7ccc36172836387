//! A first-in first-out queue in pieces that stay where they are: to add to it costs the same however long it is. One ring for
//! all would now and then be copied whole, in which time nobody is answered.

use std::collections::VecDeque;

/// Entries of a piece.
const PIECE: usize = 512;

/// See the module.
#[derive(Clone)]
pub(crate) struct Fifo<T> {
    /// The last one is not empty, and the first one neither.
    pieces: VecDeque<VecDeque<T>>,
    len: usize,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), len: 0 }
    }
}

impl<T> Fifo<T> {
    pub(crate) fn push_back(&mut self, entry: T) {
        // Only the first piece grows, so that a sale with few entries is small.
        if self.pieces.back().is_none_or(|piece| piece.len() >= PIECE) {
            let room = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push_back(VecDeque::with_capacity(room));
        }
        if let Some(piece) = self.pieces.back_mut() {
            piece.push_back(entry);
            self.len += 1;
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let piece = self.pieces.front_mut()?;
        let entry = piece.pop_front();
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Every entry, the first one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flatten()
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.pieces.front()?.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.pieces.back()?.back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_queue_behaves_as_a_ring(steps in prop::collection::vec(0u32..3, 1..4000)) {
            let (mut queue, mut ring) = (Fifo::default(), VecDeque::new());
            for (number, step) in steps.into_iter().enumerate() {
                if step > 0 {
                    queue.push_back(number);
                    ring.push_back(number);
                } else {
                    prop_assert_eq!(queue.pop_front(), ring.pop_front());
                }
                prop_assert_eq!((queue.front(), queue.back()), (ring.front(), ring.back()));
                prop_assert_eq!(queue.len(), ring.len());
            }
            prop_assert!(queue.iter().eq(&ring));
            while let Some(number) = ring.pop_front() {
                prop_assert_eq!(queue.pop_front(), Some(number));
            }
            prop_assert!(queue.front().is_none() && queue.pop_front().is_none());
        }
    }
}

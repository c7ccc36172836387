//! A first-in first-out queue in pieces that are never moved: adding to it costs the same however long it is. One ring would be
//! copied whole when it grows, and no request is answered meanwhile. Clones share the pieces until one of them writes. Must
//! never keep an empty piece.
#![expect(clippy::arithmetic_side_effects, reason = "counts entries that are in memory")]

use std::collections::VecDeque;
use std::sync::Arc;

/// Entries of a piece.
const PIECE: usize = 512;

/// See the module.
#[derive(Clone)]
pub(crate) struct Fifo<T> {
    /// The last one is not empty, and the first one neither.
    pieces: VecDeque<Arc<VecDeque<T>>>,
    len: usize,
}

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), len: 0 }
    }
}

impl<T: Clone> Fifo<T> {
    pub(crate) fn push_back(&mut self, entry: T) {
        // Only the first piece grows, so that a sale with few entries is small.
        if self.pieces.back().is_none_or(|piece| piece.len() >= PIECE) {
            let capacity = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push_back(Arc::new(VecDeque::with_capacity(capacity)));
        }
        if let Some(piece) = self.pieces.back_mut() {
            Arc::make_mut(piece).push_back(entry);
            self.len += 1;
        }
    }

    pub(crate) fn pop_front(&mut self) -> Option<T> {
        let piece = self.pieces.front_mut()?;
        let entry = Arc::make_mut(piece).pop_front();
        if piece.is_empty() {
            self.pieces.pop_front();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    /// Removes the first entry for which `is` holds; scans all before it.
    pub(crate) fn remove(&mut self, is: impl Fn(&T) -> bool) -> Option<T> {
        for (number, piece) in self.pieces.iter_mut().enumerate() {
            let Some(at) = piece.iter().position(&is) else { continue };
            let entry = Arc::make_mut(piece).remove(at);
            if piece.is_empty() {
                self.pieces.remove(number);
            }
            self.len -= usize::from(entry.is_some());
            return entry;
        }
        None
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn pop_back(&mut self) -> Option<T> {
        let piece = self.pieces.back_mut()?;
        let entry = Arc::make_mut(piece).pop_back();
        if piece.is_empty() {
            self.pieces.pop_back();
        }
        self.len -= usize::from(entry.is_some());
        entry
    }

    pub(crate) fn front(&self) -> Option<&T> {
        self.pieces.front()?.front()
    }

    pub(crate) fn back(&self) -> Option<&T> {
        self.pieces.back()?.back()
    }

    /// All of it, the oldest first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_queue_behaves_as_a_ring(steps in prop::collection::vec(0u32..10, 1..4000), cloned_at in 0usize..4000) {
            let (mut queue, mut ring) = (Fifo::default(), VecDeque::new());
            let mut cloned = None;
            for (number, step) in steps.into_iter().enumerate() {
                if number == cloned_at {
                    cloned = Some((queue.clone(), ring.clone()));
                }
                match step {
                    0 | 1 => prop_assert_eq!(queue.pop_front(), ring.pop_front()),
                    2 => prop_assert_eq!(queue.pop_back(), ring.pop_back()),
                    3 => {
                        let wanted = number / 2;
                        let at = ring.iter().position(|entry| *entry == wanted);
                        prop_assert_eq!(queue.remove(|entry| *entry == wanted), at.and_then(|at| ring.remove(at)));
                    }
                    _ => {
                        queue.push_back(number);
                        ring.push_back(number);
                    }
                }
                prop_assert_eq!((queue.front(), queue.back()), (ring.front(), ring.back()));
                prop_assert_eq!(queue.len(), ring.len());
            }
            if let Some((queue, ring)) = cloned {
                prop_assert!(queue.iter().eq(ring.iter()), "a clone stays as it was");
            }
            prop_assert!(queue.iter().eq(ring.iter()));
            while let Some(number) = ring.pop_front() {
                prop_assert_eq!(queue.pop_front(), Some(number));
            }
            prop_assert!(queue.front().is_none() && queue.pop_front().is_none());
        }
    }
}

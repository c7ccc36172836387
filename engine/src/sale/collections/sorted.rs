//! A sorted set in pieces, for deadlines: its first entry is read at once, and adding or removing one costs a search and the
//! move of half a piece. Clones share the pieces until one of them writes, which a B-tree of the
//! standard library cannot. Must never hold an entry twice.
#![expect(clippy::arithmetic_side_effects, reason = "positions and counts of entries that are in memory")]

use std::sync::Arc;

/// The most entries of a piece; a fuller one is divided.
const PIECE: usize = 256;

/// See the module.
#[derive(Clone)]
pub(crate) struct Sorted<T> {
    /// The entries of each come before those of the next.
    pieces: Vec<Piece<T>>,
    len: u64,
}

/// Never empty.
#[derive(Clone)]
struct Piece<T> {
    /// A copy of the first entry: a search reads these alone.
    first: T,
    entries: Arc<Vec<T>>,
}

impl<T: Copy> Piece<T> {
    fn of(entries: Vec<T>) -> Option<Self> {
        Some(Self { first: *entries.first()?, entries: Arc::new(entries) })
    }
}

impl<T> Default for Sorted<T> {
    fn default() -> Self {
        Self { pieces: Vec::new(), len: 0 }
    }
}

impl<T: Ord + Copy> Sorted<T> {
    pub(crate) fn first(&self) -> Option<&T> {
        self.pieces.first().map(|piece| &piece.first)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    /// All of it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.pieces.iter().flat_map(|piece| piece.entries.iter())
    }

    /// The entries after this one, which need not be present, in order.
    pub(crate) fn after(&self, entry: &T) -> impl Iterator<Item = &T> {
        let (at, entry) = (self.piece_of(entry), *entry);
        let behind = self.pieces.get(at..).unwrap_or_default().iter().flat_map(|piece| piece.entries.iter());
        behind.skip_while(move |other| **other <= entry)
    }

    pub(crate) fn insert(&mut self, entry: T) {
        let (at, last) = (self.piece_of(&entry), self.pieces.len().saturating_sub(1));
        let Some(piece) = self.pieces.get_mut(at) else {
            self.pieces.extend(Piece::of(vec![entry]));
            self.len += 1;
            return;
        };
        let Err(place) = piece.entries.binary_search(&entry) else { return };
        self.len += 1;
        // Behind all others, as nearly every entry comes: the full piece stays as it is.
        if place == PIECE && at == last {
            self.pieces.extend(Piece::of(vec![entry]));
            return;
        }
        let entries = Arc::make_mut(&mut piece.entries);
        entries.insert(place, entry);
        let rest = if entries.len() > PIECE { entries.split_off(PIECE / 2) } else { Vec::new() };
        piece.first = piece.first.min(entry);
        if let Some(rest) = Piece::of(rest) {
            self.pieces.insert(at + 1, rest);
        }
    }

    pub(crate) fn remove(&mut self, entry: &T) {
        let at = self.piece_of(entry);
        let Some(piece) = self.pieces.get_mut(at) else { return };
        let Ok(place) = piece.entries.binary_search(entry) else { return };
        self.len -= 1;
        let entries = Arc::make_mut(&mut piece.entries);
        entries.remove(place);
        match entries.first() {
            Some(first) => piece.first = *first,
            None => drop(self.pieces.remove(at)),
        }
    }

    /// The piece in which an entry is, or belongs: the last one that does not begin after it.
    fn piece_of(&self, entry: &T) -> usize {
        match self.pieces.last() {
            Some(last) if last.first <= *entry => self.pieces.len() - 1,
            Some(_) | None => self.pieces.partition_point(|piece| piece.first <= *entry).saturating_sub(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn it_behaves_as_a_set_and_a_clone_stays_as_it_was(
            first in prop::collection::vec(0u32..5000, 0..1500),
            steps in prop::collection::vec((0u32..5000, 0u32..3), 1..1500),
        ) {
            let mut model: BTreeSet<u32> = first.iter().copied().collect();
            let mut sorted = Sorted::default();
            first.into_iter().for_each(|entry| sorted.insert(entry));
            let (cloned, was) = (sorted.clone(), model.clone());
            for (entry, step) in steps {
                match step {
                    0 | 1 => {
                        sorted.insert(entry);
                        model.insert(entry);
                    }
                    _ => {
                        sorted.remove(&entry);
                        model.remove(&entry);
                    }
                }
                prop_assert_eq!((sorted.first(), sorted.len()), (model.first(), model.len() as u64));
            }
            for entry in [0, 1, 2500, 4999] {
                prop_assert!(sorted.after(&entry).eq(model.range(entry + 1..)));
            }
            prop_assert!(sorted.iter().eq(model.iter()) && cloned.iter().eq(was.iter()));
            prop_assert!(sorted.pieces.iter().all(|piece| piece.entries.first() == Some(&piece.first) && piece.entries.len() <= PIECE));
        }
    }

    #[test]
    fn what_comes_in_order_fills_its_pieces() {
        let mut sorted = Sorted::default();
        (0..10_000u32).for_each(|entry| sorted.insert(entry));
        assert_eq!(sorted.pieces.len(), 10_000usize.div_ceil(PIECE));
    }
}

//! Row numbers by id, eight bytes a row: the id itself lies in its row, which a look-up reads anyway, and half of its hash lies
//! here, so that growing reads no rows. A map of whole ids is two and a half times as large, and in a sale of millions each
//! look-up in it is a cache miss. A large index is many tables that grow one by one: a single one would block for tens of
//! milliseconds when it doubles. Clones share the tables until one of them writes. Must never hold an id twice.
#![expect(clippy::arithmetic_side_effects, reason = "counts entries that are in memory")]

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};
use std::sync::Arc;

/// Rows of one table before it is divided.
const DIVIDED_AT: usize = 8192;
/// Tables after that, as bits of a hash: of a million ids each has two thousand, which are copied in a few microseconds.
const TABLE_BITS: u32 = 9;

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Index {
    /// None, one, or many by the highest bits of the hash.
    tables: Vec<Arc<HashTable<Cell>>>,
    len: usize,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Copy)]
struct Cell {
    hash: u32,
    row: u32,
}

impl Index {
    /// The row of an id; `is` says whether a row has it.
    pub(crate) fn find(&self, id: &impl Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.half(id);
        let table = self.tables.get(self.table(hash))?;
        table.find(spread(hash), |cell| cell.hash == hash && is(cell.row)).map(|cell| cell.row)
    }

    /// Adds an id that is not there yet.
    pub(crate) fn insert(&mut self, id: &impl Hash, row: u32) {
        if self.tables.is_empty() {
            self.tables.push(Arc::default());
        } else if self.tables.len() == 1 && self.len >= DIVIDED_AT {
            self.divide();
        }
        self.put(Cell { hash: self.half(id), row });
        self.len += 1;
    }

    /// Removes an id and returns its row.
    pub(crate) fn remove(&mut self, id: &impl Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.half(id);
        let at = self.table(hash);
        let table = Arc::make_mut(self.tables.get_mut(at)?);
        let entry = table.find_entry(spread(hash), |cell| cell.hash == hash && is(cell.row)).ok()?;
        self.len -= 1;
        Some(entry.remove().0.row)
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn divide(&mut self) {
        let whole = std::mem::take(&mut self.tables);
        self.tables.resize_with(1 << TABLE_BITS, Arc::default);
        whole.iter().flat_map(|table| table.iter()).for_each(|cell| self.put(*cell));
    }

    fn put(&mut self, cell: Cell) {
        let at = self.table(cell.hash);
        Arc::make_mut(&mut self.tables[at]).insert_unique(spread(cell.hash), cell, |cell| spread(cell.hash));
    }

    fn table(&self, hash: u32) -> usize {
        if self.tables.len() > 1 { (hash >> (u32::BITS - TABLE_BITS)) as usize } else { 0 }
    }

    fn half(&self, id: &impl Hash) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "half of the hash is what is kept")]
        let half = self.hasher.hash_one(id) as u32;
        half
    }
}

/// A hash table uses the lowest and the highest bits of a hash: both come from the half that is kept.
fn spread(hash: u32) -> u64 {
    u64::from(hash).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn an_index_behaves_as_a_map(steps in prop::collection::vec((0u64..300, any::<bool>()), 1..2000)) {
            let (mut index, mut rows, mut model) = (Index::default(), Vec::new(), BTreeMap::new());
            for (id, joins) in steps {
                let found = index.find(&id, |row| rows[row as usize] == id);
                prop_assert_eq!(found, model.get(&id).copied());
                match (joins, found) {
                    (true, None) => {
                        index.insert(&id, rows.len() as u32);
                        model.insert(id, rows.len() as u32);
                        rows.push(id);
                    }
                    (false, _) => {
                        prop_assert_eq!(index.remove(&id, |row| rows[row as usize] == id), model.remove(&id));
                    }
                    (true, Some(_)) => {}
                }
                prop_assert_eq!(index.len(), model.len());
            }
        }
    }
    #[test]
    fn a_large_index_finds_all_and_grows_in_parts() {
        let (mut index, mut largest) = (Index::default(), 0);
        for id in 0..200_000u64 {
            let before: usize = index.tables.iter().map(|table| table.capacity()).sum();
            index.insert(&id, id as u32);
            let after: usize = index.tables.iter().map(|table| table.capacity()).sum();
            if id as usize > DIVIDED_AT {
                largest = largest.max(after - before);
            }
        }
        assert!((0..200_000u64).all(|id| index.find(&id, |row| u64::from(row) == id) == Some(id as u32)));
        assert!((0..200_000u64).step_by(2).all(|id| index.remove(&id, |row| u64::from(row) == id).is_some()));
        assert_eq!(index.len(), 100_000);
        assert!((0..200_000u64).all(|id| index.find(&id, |row| u64::from(row) == id).is_some() == (id % 2 == 1)));
        assert!(largest <= 8192, "room for {largest} more at once");
    }
}

//! Numbers of rows under their ids. Eight bytes a row: the id itself lies in its row, which whoever looks for it wants anyway,
//! and half of its hash lies here, so that growing reads no rows. A map of whole ids is two and a half times as large, and in a
//! sale of millions each look at it a cache miss. Must never hold an id twice.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::{BuildHasher, Hash};

/// See the module.
#[derive(Clone, Default)]
pub(crate) struct Index {
    slots: HashTable<Slot>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Copy)]
struct Slot {
    hash: u32,
    row: u32,
}

impl Index {
    /// The row of an id; `is` says whether a row has it.
    pub(crate) fn find(&self, id: &impl Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.half(id);
        self.slots.find(spread(hash), |slot| slot.hash == hash && is(slot.row)).map(|slot| slot.row)
    }

    /// Adds an id that is not there yet.
    pub(crate) fn insert(&mut self, id: &impl Hash, row: u32) {
        let hash = self.half(id);
        self.slots.insert_unique(spread(hash), Slot { hash, row }, |slot| spread(slot.hash));
    }

    /// Takes an id out and answers its row.
    pub(crate) fn remove(&mut self, id: &impl Hash, is: impl Fn(u32) -> bool) -> Option<u32> {
        let hash = self.half(id);
        let entry = self.slots.find_entry(spread(hash), |slot| slot.hash == hash && is(slot.row)).ok()?;
        Some(entry.remove().0.row)
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    fn half(&self, id: &impl Hash) -> u32 {
        self.hasher.hash_one(id) as u32
    }
}

/// The table looks at the lowest bits of a hash and at the highest ones: both come from the half that is kept.
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
}

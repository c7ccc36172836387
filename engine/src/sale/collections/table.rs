//! Rows under the ids that they carry: neither the rows nor their index ever move as a whole, so that adding one costs about the
//! same however many there are. A map that doubles copies all of them at once: a million rows take tens of milliseconds, in
//! which no request is answered. Must never hold an id twice.

use crate::sale::collections::index::Index;
use crate::sale::collections::slab::Slab;
use std::hash::Hash;

/// A row that carries its own id.
pub(crate) trait Keyed {
    /// What it is found by.
    type Id: Hash + Eq + Copy;
    /// Its id.
    fn id(&self) -> Self::Id;
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Table<T> {
    rows: Slab<T>,
    by_id: Index,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self { rows: Slab::default(), by_id: Index::default() }
    }
}

impl<T: Keyed + Clone> Table<T> {
    pub(crate) fn get(&self, id: T::Id) -> Option<&T> {
        self.rows[self.find(id)?].as_ref()
    }

    pub(crate) fn get_mut(&mut self, id: T::Id) -> Option<&mut T> {
        let number = self.find(id)?;
        self.rows[number].as_mut()
    }

    /// Adds a row and returns the one that it replaces.
    pub(crate) fn insert(&mut self, row: T) -> Option<T> {
        let id = row.id();
        if let Some(number) = self.find(id) {
            return self.rows[number].replace(row);
        }
        let number = self.rows.insert(row);
        self.by_id.insert(&id, number);
        None
    }

    pub(crate) fn remove(&mut self, id: T::Id) -> Option<T> {
        let number = self.find(id)?;
        self.by_id.remove(&id, |other| other == number);
        self.rows.remove(number)
    }

    /// Every row, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter()
    }

    fn find(&self, id: T::Id) -> Option<u32> {
        self.by_id.find(&id, |number| self.rows[number].as_ref().is_some_and(|row| row.id() == id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    impl Keyed for (u16, u32) {
        type Id = u16;
        fn id(&self) -> u16 {
            self.0
        }
    }

    proptest! {
        #[test]
        fn a_table_behaves_as_a_map(steps in prop::collection::vec((0u16..60, 0u8..3), 1..600)) {
            let (mut table, mut map) = (Table::default(), BTreeMap::new());
            for (number, (id, step)) in steps.into_iter().enumerate() {
                match step {
                    0 => prop_assert_eq!(table.remove(id), map.remove(&id)),
                    1 => prop_assert_eq!(table.insert((id, number as u32)), map.insert(id, (id, number as u32))),
                    _ => {
                        for row in [table.get_mut(id), map.get_mut(&id)].into_iter().flatten() {
                            row.1 += 1;
                        }
                    }
                }
                prop_assert_eq!(table.get(id), map.get(&id));
            }
            let mut rows: Vec<_> = table.iter().copied().collect();
            rows.sort_unstable();
            prop_assert_eq!(rows, map.into_values().collect::<Vec<_>>());
        }
    }
}

//! Remembered idempotency keys: for a day, and no more than a bound, the oldest forgotten first.

use crate::limits::{KEY_REMEMBERED_FOR, KEYS_KEPT};
use crate::sale::command::RequestKey;
use crate::sale::fact::RememberedAnswer;
use crate::sale::snapshot::KeyRow;
use crate::time::Timestamp;
use hashbrown::HashMap;
use std::collections::VecDeque;

/// The keys of one sale.
#[derive(Default, Clone)]
pub(crate) struct Keys {
    rows: HashMap<u128, KeyRow>,
    order: VecDeque<(Timestamp, u128)>,
}

impl Keys {
    pub(crate) fn get(&self, scope: u128) -> Option<&KeyRow> {
        self.rows.get(&scope)
    }

    pub(crate) fn insert(&mut self, key: RequestKey, at: Timestamp, answer: RememberedAnswer) {
        self.rows.insert(key.scope, KeyRow { key, at, answer });
        self.order.push_back((at, key.scope));
        while self.order.front().is_some_and(|(old, _)| *old + KEY_REMEMBERED_FOR <= at) || self.order.len() > KEYS_KEPT {
            let Some((old, scope)) = self.order.pop_front() else { break };
            if self.rows.get(&scope).is_some_and(|row| row.at == old) {
                self.rows.remove(&scope);
            }
        }
    }

    pub(crate) fn rows(&self) -> Vec<KeyRow> {
        let current = |(at, scope): &(Timestamp, u128)| self.rows.get(scope).filter(|row| row.at == *at);
        self.order.iter().filter_map(current).cloned().collect()
    }

    pub(crate) fn from_rows(rows: Vec<KeyRow>) -> Self {
        let mut keys = Self::default();
        for row in rows {
            keys.order.push_back((row.at, row.key.scope));
            keys.rows.insert(row.key.scope, row);
        }
        keys
    }
}

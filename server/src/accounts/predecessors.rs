//! Accounts whose e-mail address belonged to a deleted account before: what that one bought counts against the limit of seats,
//! which could else be evaded by deleting an account. Only ids, and only of accounts that have a predecessor; nothing of a
//! deleted account is shown to its successor, who may be another person. Must never be used to decide who may read something.

use dashmap::DashMap;
use onsale_engine::id::BuyerId;
use std::sync::Arc;

/// See the module. A few dozen bytes for each deleted account whose address came back.
#[derive(Default)]
pub struct Predecessors(DashMap<BuyerId, Arc<[BuyerId]>>);

impl Predecessors {
    /// Those that the storage knows, as pairs of a living account and a deleted one.
    #[must_use]
    pub fn new(pairs: Vec<(BuyerId, BuyerId)>) -> Self {
        let mut by_heir: std::collections::BTreeMap<BuyerId, Vec<BuyerId>> = std::collections::BTreeMap::new();
        for (heir, before) in pairs {
            by_heir.entry(heir).or_default().push(before);
        }
        Self(by_heir.into_iter().map(|(heir, before)| (heir, before.into())).collect())
    }

    /// A new account, and the deleted ones of its address.
    pub fn add(&self, heir: BuyerId, before: Vec<BuyerId>) {
        if !before.is_empty() {
            self.0.insert(heir, before.into());
        }
    }

    /// Who had the account's address before; nobody, for nearly all.
    #[must_use]
    pub fn of(&self, buyer: BuyerId) -> Option<Arc<[BuyerId]>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.get(&buyer).map(|before| Arc::clone(&before))
    }
}

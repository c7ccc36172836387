//! The cohort of a draw: the buyers who came before the opening, in the order of their arrival. Must never change once it is
//! frozen.

use crate::id::{BuyerId, Ordinal};
use crate::sale::draw::merkle::{Tree, leaf};
use crate::sale::draw::{DrawHash, cohort_root};
use std::sync::OnceLock;

/// The buyers who came before the opening, in the order of their arrival; never changes once it is frozen.
#[derive(Debug)]
pub struct Cohort {
    ordinals: Vec<Ordinal>,
    buyers: Vec<BuyerId>,
    root: DrawHash,
    /// Places of arrival in the order of the buyers' ids; made when first asked for, as is the tree.
    by_buyer: OnceLock<Vec<u32>>,
    tree: OnceLock<Tree>,
}

impl Cohort {
    /// From the members in the order of arrival; `root` where it is known already.
    pub(crate) fn of(members: impl Iterator<Item = (Ordinal, BuyerId)>, root: Option<DrawHash>) -> Self {
        let (ordinals, buyers): (Vec<_>, Vec<_>) = members.unzip();
        let root = root.unwrap_or_else(|| cohort_root(buyers.iter().copied()));
        Self { ordinals, buyers, root, by_buyer: OnceLock::new(), tree: OnceLock::new() }
    }

    pub(crate) fn root(&self) -> DrawHash {
        self.root
    }

    pub(crate) fn ordinals(&self) -> &[Ordinal] {
        &self.ordinals
    }

    /// Which place of arrival an ordinal is, from 0.
    pub(crate) fn arrival_of(&self, ordinal: Ordinal) -> Option<usize> {
        self.ordinals.binary_search(&ordinal).ok()
    }

    /// The members, in the order of arrival.
    #[must_use]
    pub fn buyers(&self) -> &[BuyerId] {
        &self.buyers
    }

    pub(super) fn index_of(&self, buyer: BuyerId) -> Option<usize> {
        let by_buyer = self.by_buyer.get_or_init(|| {
            let mut order: Vec<u32> = (0..).take(self.buyers.len()).collect();
            order.sort_unstable_by_key(|at| self.buyers[*at as usize]);
            order
        });
        let found = by_buyer.binary_search_by_key(&buyer, |at| self.buyers[*at as usize]).ok()?;
        Some(by_buyer[found] as usize)
    }

    /// The tree over it: made when first asked for, `O(n)` hashes.
    pub(super) fn tree(&self) -> &Tree {
        self.tree.get_or_init(|| Tree::over(self.buyers.iter().copied().map(leaf).collect()))
    }
}

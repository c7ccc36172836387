//! Proofs of the draw: that a buyer is in the frozen cohort, for anybody who knows its root, and which place the seed has given
//! them. Must never need anything that is not published.

use crate::id::BuyerId;
use crate::sale::draw::DrawHash;
use crate::sale::draw::merkle::{Side, leaf};
use crate::sale::draw::state::Draw;

/// That a buyer is in the cohort, for anybody who knows the root; and what the seed has given them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawProof {
    /// Whose.
    pub buyer: BuyerId,
    /// Their place of arrival, from 0.
    pub index: u64,
    /// How many the cohort is.
    pub cohort: u64,
    /// Its root.
    pub root: DrawHash,
    /// The hash that the path begins with.
    pub leaf: DrawHash,
    /// The siblings on the way from the leaf to the root.
    pub path: Vec<(Side, DrawHash)>,
    /// The lot and the place in the drawn order, from 1; once it is drawn.
    pub drawn: Option<(DrawHash, u64)>,
}

impl Draw {
    /// A buyer's proof, if they are in the cohort. The first one asked for builds the tree, `O(n)`; so ask on a copy
    /// of the draw, not under a lock.
    #[must_use]
    pub fn proof(&self, buyer: BuyerId) -> Option<DrawProof> {
        let cohort = self.cohort.as_ref()?;
        let index = cohort.index_of(buyer)?;
        Some(DrawProof {
            buyer,
            index: index as u64,
            cohort: cohort.buyers().len() as u64,
            root: cohort.root(),
            leaf: leaf(buyer),
            path: cohort.tree().path(index),
            drawn: self
                .order
                .as_ref()
                .map(|order| (self.seed.lot(cohort.root(), buyer), order.rank(index).saturating_add(1))),
        })
    }
}

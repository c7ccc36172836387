//! The draw: the buyers who came before the opening are put into an order that nobody chose and anybody can check. A seed is
//! committed to by its hash, then the cohort is frozen by its Merkle root, then the order follows from both. Here are the pure
//! functions; `steps.rs` decides and applies. Must never make a seed: its bits come with a command.
//!
//! All hashes are SHA-256. Commitment: `H("onsale draw commitment 1" ‖ seed)`. Tree: RFC 6962, section 2.1, over the
//! buyers' ids (16 bytes each) in the order of their arrival; leaves and nodes differ in their first byte.
//! Order: ascending by `HMAC(seed, root ‖ buyer)`.

pub(crate) mod cohort;
pub mod merkle;
pub(crate) mod order;
pub(crate) mod prepare;
mod proof;
pub(crate) mod state;
pub(crate) mod steps;

pub use cohort::Cohort;
pub use proof::DrawProof;
pub use state::Draw;

use crate::id::BuyerId;
use hmac::{Hmac, KeyInit, Mac};
use merkle::{Tree, leaf};
use sha2::{Digest, Sha256};
use std::fmt;

const COMMITMENT: &[u8] = b"onsale draw commitment 1";

/// What decides the order. A secret until the cohort is frozen; printing it is a deliberate act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DrawSeed(pub [u8; 32]);

impl fmt::Debug for DrawSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The hash identifies the seed without revealing it.
        write!(f, "DrawSeed(of {})", self.commitment())
    }
}

impl DrawSeed {
    /// What is published before anybody comes: it binds the holder of the seed, and reveals nothing of it.
    #[must_use]
    pub fn commitment(&self) -> DrawHash {
        DrawHash(Sha256::new().chain_update(COMMITMENT).chain_update(self.0).finalize().into())
    }

    /// What a buyer of that cohort is ordered by: lower is nearer.
    #[must_use]
    pub fn lot(&self, root: DrawHash, buyer: BuyerId) -> DrawHash {
        self.lots(root)(buyer)
    }

    fn lots(&self, root: DrawHash) -> impl Fn(BuyerId) -> DrawHash {
        let keyed = Hmac::<Sha256>::new(&block(&self.0));
        move |buyer| {
            let mut mac = keyed.clone();
            mac.update(&root.0);
            mac.update(buyer.0.as_bytes());
            DrawHash(mac.finalize().into_bytes().into())
        }
    }
}

/// A key of HMAC that is shorter than a block is one with zeros behind it (RFC 2104).
fn block(seed: &[u8; 32]) -> hmac::digest::Key<Hmac<Sha256>> {
    let mut key = hmac::digest::Key::<Hmac<Sha256>>::default();
    key[..32].copy_from_slice(seed);
    key
}

/// A hash of the draw; prints as lower-case hexadecimal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrawHash(pub [u8; 32]);

impl fmt::Display for DrawHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for DrawHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DrawHash({self})")
    }
}

/// The root over a cohort in the order of its arrival: `O(n)` hashes.
#[must_use]
pub fn cohort_root(buyers: impl IntoIterator<Item = BuyerId>) -> DrawHash {
    Tree::over(buyers.into_iter().map(leaf).collect()).root()
}

/// The order that a seed gives to a cohort: `order[n]` is the index of arrival, from 0, of the buyer with rank n.
#[must_use]
pub fn drawn_order(seed: &DrawSeed, root: DrawHash, buyers: &[BuyerId]) -> Vec<u32> {
    let lot = seed.lots(root);
    let mut lots: Vec<(DrawHash, u32)> = buyers.iter().zip(0..).map(|(buyer, at)| (lot(*buyer), at)).collect();
    lots.sort_unstable();
    lots.into_iter().map(|(_, at)| at).collect()
}

/// What the public may know of a draw by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DrawView {
    /// The hash of the seed.
    pub commitment: DrawHash,
    /// The root over the cohort, and its size: from the opening on.
    pub cohort: Option<(DrawHash, u64)>,
    /// The seed: after the root.
    pub seed: Option<DrawSeed>,
}

#[cfg(test)]
mod tests;

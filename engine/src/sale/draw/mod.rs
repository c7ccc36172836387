//! The draw: those who came before the opening are put into an order that nobody chose and anyone can check. A seed is
//! committed to by its hash, then the cohort is frozen by its Merkle root, then the order follows from both. Pure
//! functions and the draw's state; must never make a seed, and never decide when to draw.
//!
//! All hashes are SHA-256. Commitment: `H("onsale draw commitment 1" ‖ seed)`. Tree: RFC 6962, section 2.1, over the
//! buyers' ids (16 bytes each) in the order of their arrival; leaves and nodes are told apart by their first byte.
//! Order: ascending by `HMAC(seed, root ‖ buyer)`.

pub mod merkle;
pub(crate) mod order;

use crate::id::{BuyerId, Ordinal};
use crate::sale::draw::merkle::{Side, Tree, leaf};
use crate::sale::draw::order::{Frozen, Layout, Order, Prepared};
use crate::sale::queue::line::Line;
use crate::sale::snapshot::{CohortRow, DrawRow};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use std::fmt;
use std::sync::{Arc, OnceLock};

const COMMITMENT: &[u8] = b"onsale draw commitment 1";

/// What decides the order. A secret until the cohort is frozen; printing it is a deliberate act.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct DrawSeed(pub [u8; 32]);

impl fmt::Debug for DrawSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Facts are compared by what they print: a hash tells two seeds apart and gives neither away.
        write!(f, "DrawSeed(of {})", self.commitment())
    }
}

impl DrawSeed {
    /// What is published before anybody comes: binds whoever holds the seed to it, and tells nothing of it.
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

/// The order that a seed gives to a cohort: `order[n]` is who stands n-th, by the place of arrival, from 0.
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
    /// The root over the cohort, and how many it is: from the opening on.
    pub cohort: Option<(DrawHash, u64)>,
    /// The seed: after the root.
    pub seed: Option<DrawSeed>,
}

/// That a buyer is in the cohort, for somebody who knows the root; and what the seed has given them.
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
    /// What stands beside it on the way to the root.
    pub path: Vec<(Side, DrawHash)>,
    /// The lot and the place in the drawn order, from 1; once it is drawn.
    pub drawn: Option<(DrawHash, u64)>,
}

/// Those who came before the opening, in the order of their arrival; never changes once it is frozen.
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
    /// Everyone with their ordinals, in the order of arrival; `root` where it is known already.
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

    /// Everyone, in the order of arrival.
    #[must_use]
    pub fn buyers(&self) -> &[BuyerId] {
        &self.buyers
    }

    fn index_of(&self, buyer: BuyerId) -> Option<usize> {
        let by_buyer = self.by_buyer.get_or_init(|| {
            let mut order: Vec<u32> = (0..self.buyers.len() as u32).collect();
            order.sort_unstable_by_key(|at| self.buyers[*at as usize]);
            order
        });
        let found = by_buyer.binary_search_by_key(&buyer, |at| self.buyers[*at as usize]).ok()?;
        Some(by_buyer[found] as usize)
    }
}

/// How far the draw of a sale is. Clones share the cohort and the order.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: DrawSeed,
    commitment: DrawHash,
    cohort: Option<Arc<Cohort>>,
    order: Option<Arc<Order>>,
    /// Worked out beforehand, so that the facts that need it are applied at once.
    frozen: Option<Arc<Frozen>>,
    layout: Option<Arc<Layout>>,
}

impl Draw {
    pub(crate) fn committed(seed: DrawSeed, commitment: DrawHash) -> Self {
        Self { seed, commitment, cohort: None, order: None, frozen: None, layout: None }
    }

    pub(crate) fn seed(&self) -> DrawSeed {
        self.seed
    }

    /// Takes what somebody has worked out beforehand. It need not fit: it is used only where it does.
    pub(crate) fn prepare(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Cohort(frozen) if !self.is_frozen() => self.frozen = Some(frozen),
            Prepared::Layout(layout) if !self.is_drawn() => self.layout = Some(layout),
            // It comes too late, from before a rebuild.
            Prepared::Cohort(_) | Prepared::Layout(_) => {}
        }
    }

    /// The root over everyone in the line as it is, if it was worked out beforehand.
    pub(crate) fn prepared_root(&self, line: &Line) -> Option<DrawHash> {
        self.frozen.as_ref().filter(|frozen| frozen.line.is_same(line)).map(|frozen| frozen.cohort.root())
    }

    /// Whether the drawn line was laid out beforehand.
    pub(crate) fn is_laid_out(&self) -> bool {
        let fits = |layout: &Arc<Layout>| self.cohort.as_ref().is_some_and(|cohort| layout.fits(&self.seed, cohort));
        self.layout.as_ref().is_some_and(fits)
    }

    /// Whoever is in the line is the cohort.
    pub(crate) fn freeze(&mut self, line: &Line, root: DrawHash) {
        let fits = |frozen: &Arc<Frozen>| frozen.cohort.root() == root && frozen.line.len() == line.len();
        let cohort = match self.frozen.take().filter(fits) {
            Some(frozen) => Arc::clone(&frozen.cohort),
            None => Arc::new(Cohort::of(line.iter(), Some(root))),
        };
        self.cohort = Some(cohort);
    }

    /// Draws with the seed that is said to be the committed one, and answers the line of the whole cohort in its order.
    pub(crate) fn draw(&mut self, seed: DrawSeed, line: &Line) -> Option<Arc<Layout>> {
        let cohort = self.cohort.as_ref()?;
        let layout = match self.layout.take().filter(|layout| layout.fits(&seed, cohort)) {
            Some(layout) => layout,
            None => Arc::new(Layout::of(&seed, cohort, line)),
        };
        self.order = Some(Arc::clone(layout.order()));
        Some(layout)
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.cohort.is_some()
    }

    pub(crate) fn is_drawn(&self) -> bool {
        self.order.is_some()
    }

    /// Whether this is the place of a member of the cohort.
    pub(crate) fn is_of_cohort(&self, ordinal: Ordinal) -> bool {
        self.cohort.as_ref().is_some_and(|cohort| cohort.arrival_of(ordinal).is_some())
    }

    /// Where whoever stands at `ordinal` arrived: tickets name that, for it holds before the draw and after it.
    pub(crate) fn arrival(&self, ordinal: Ordinal) -> Ordinal {
        self.order.as_ref().map_or(ordinal, |order| order.arrival(ordinal))
    }

    pub(crate) fn order(&self) -> Option<&Arc<Order>> {
        self.order.as_ref()
    }

    pub(crate) fn shared_cohort(&self) -> Option<&Arc<Cohort>> {
        self.cohort.as_ref()
    }

    /// What the public may know.
    #[must_use]
    pub fn view(&self) -> DrawView {
        DrawView {
            commitment: self.commitment,
            cohort: self.cohort.as_ref().map(|cohort| (cohort.root, cohort.buyers.len() as u64)),
            seed: self.order.is_some().then_some(self.seed),
        }
    }

    /// The frozen cohort.
    #[must_use]
    pub fn cohort(&self) -> Option<&Cohort> {
        self.cohort.as_deref()
    }

    /// The last place of the cohort: whoever entered after it was frozen stands behind.
    #[must_use]
    pub fn last_ordinal(&self) -> Option<Ordinal> {
        self.cohort.as_ref()?.ordinals.last().copied()
    }

    /// A buyer's proof, if they are in the cohort. The first one asked for builds the tree, `O(n)`; so ask on a copy
    /// of the draw, not under a lock.
    #[must_use]
    pub fn proof(&self, buyer: BuyerId) -> Option<DrawProof> {
        let cohort = self.cohort.as_ref()?;
        let index = cohort.index_of(buyer)?;
        let tree = cohort.tree.get_or_init(|| Tree::over(cohort.buyers.iter().copied().map(leaf).collect()));
        Some(DrawProof {
            buyer,
            index: index as u64,
            cohort: cohort.buyers.len() as u64,
            root: cohort.root,
            leaf: leaf(buyer),
            path: tree.path(index),
            drawn: self.order.as_ref().map(|order| (self.seed.lot(cohort.root, buyer), order.rank(index) + 1)),
        })
    }

    /// Everyone of the cohort in the drawn order; once it is drawn.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.order.as_deref().into_iter().flat_map(Order::buyers)
    }

    pub(crate) fn row(&self) -> DrawRow {
        let cohort = self.cohort.as_ref().map(|cohort| CohortRow {
            root: cohort.root,
            members: cohort.ordinals.iter().copied().zip(cohort.buyers.iter().copied()).collect(),
        });
        DrawRow { seed: self.seed, commitment: self.commitment, cohort, drawn: self.is_drawn() }
    }

    pub(crate) fn from_row(row: DrawRow) -> Self {
        let mut draw = Self::committed(row.seed, row.commitment);
        draw.cohort = row.cohort.map(|cohort| Arc::new(Cohort::of(cohort.members.into_iter(), Some(cohort.root))));
        draw.order = draw.cohort.as_ref().filter(|_| row.drawn).map(|cohort| Arc::new(Order::of(&row.seed, cohort)));
        draw
    }
}

#[cfg(test)]
mod tests;

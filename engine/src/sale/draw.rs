//! The draw: those who came before the opening are put into an order that nobody chose and anyone can check. A seed is
//! committed to by its hash, then the cohort is frozen by its Merkle root, then the order follows from both. Pure
//! functions and the draw's state; must never make a seed, and never decide when to draw.
//!
//! All hashes are SHA-256. Commitment: `H("onsale draw commitment 1" ‖ seed)`. Tree: RFC 6962, section 2.1, over the
//! buyers' ids (16 bytes each) in the order of their arrival; leaves and nodes are told apart by their first byte.
//! Order: ascending by `HMAC(seed, root ‖ buyer)`.

use crate::id::{BuyerId, Ordinal};
use crate::sale::merkle::{Side, Tree, leaf};
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
    fn new(ordinals: Vec<Ordinal>, buyers: Vec<BuyerId>, root: DrawHash) -> Self {
        Self { ordinals, buyers, root, by_buyer: OnceLock::new(), tree: OnceLock::new() }
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

/// The order that was drawn, both ways.
#[derive(Debug)]
struct Order {
    /// Who stands n-th, by place of arrival.
    arrivals: Vec<u32>,
    /// Where who arrived n-th stands.
    ranks: Vec<u32>,
}

impl Order {
    fn of(seed: &DrawSeed, cohort: &Cohort) -> Self {
        let arrivals = drawn_order(seed, cohort.root, &cohort.buyers);
        let mut ranks = vec![0; arrivals.len()];
        for (rank, at) in arrivals.iter().zip(0..).map(|(arrival, rank)| (rank, *arrival as usize)) {
            ranks[at] = rank;
        }
        Self { arrivals, ranks }
    }
}

/// How far the draw of a sale is. Clones share the cohort.
#[derive(Clone, Debug)]
pub struct Draw {
    seed: DrawSeed,
    commitment: DrawHash,
    cohort: Option<Arc<Cohort>>,
    order: Option<Arc<Order>>,
}

impl Draw {
    pub(crate) fn committed(seed: DrawSeed, commitment: DrawHash) -> Self {
        Self { seed, commitment, cohort: None, order: None }
    }

    pub(crate) fn seed(&self) -> DrawSeed {
        self.seed
    }

    pub(crate) fn freeze(&mut self, line: impl Iterator<Item = (Ordinal, BuyerId)>, root: DrawHash) {
        let (ordinals, buyers) = line.unzip();
        self.cohort = Some(Arc::new(Cohort::new(ordinals, buyers, root)));
    }

    /// Draws with the seed that is said to be the committed one, and answers who moves where: buyer, place of arrival,
    /// new place.
    pub(crate) fn draw(&mut self, seed: DrawSeed) -> Vec<(BuyerId, Ordinal, Ordinal)> {
        let Some(cohort) = &self.cohort else { return Vec::new() };
        let order = Order::of(&seed, cohort);
        let moves =
            |(at, buyer): (usize, &BuyerId)| (*buyer, cohort.ordinals[at], cohort.ordinals[order.ranks[at] as usize]);
        let moved = cohort.buyers.iter().enumerate().map(moves).collect();
        self.order = Some(Arc::new(order));
        moved
    }

    pub(crate) fn is_frozen(&self) -> bool {
        self.cohort.is_some()
    }

    pub(crate) fn is_drawn(&self) -> bool {
        self.order.is_some()
    }

    /// Whether this is the place of a member of the cohort.
    pub(crate) fn is_of_cohort(&self, ordinal: Ordinal) -> bool {
        self.cohort.as_ref().is_some_and(|cohort| cohort.ordinals.binary_search(&ordinal).is_ok())
    }

    /// Where whoever stands at `ordinal` arrived: tickets name that, for it holds before the draw and after it.
    pub(crate) fn arrival(&self, ordinal: Ordinal) -> Ordinal {
        let (Some(cohort), Some(order)) = (&self.cohort, &self.order) else { return ordinal };
        match cohort.ordinals.binary_search(&ordinal) {
            Ok(rank) => cohort.ordinals[order.arrivals[rank] as usize],
            Err(_) => ordinal,
        }
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
            drawn: self
                .order
                .as_ref()
                .map(|order| (self.seed.lot(cohort.root, buyer), u64::from(order.ranks[index]) + 1)),
        })
    }

    /// Everyone of the cohort in the drawn order; once it is drawn.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = BuyerId> + '_ {
        let both = self.cohort.as_ref().zip(self.order.as_ref());
        both.into_iter().flat_map(|(cohort, order)| order.arrivals.iter().map(|at| cohort.buyers[*at as usize]))
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
        if let Some(cohort) = row.cohort {
            draw.freeze(cohort.members.into_iter(), cohort.root);
        }
        if row.drawn {
            draw.draw(row.seed);
        }
        draw
    }
}

//! The drawn order of a cohort, and the line laid out in it. Shared by every copy of the sale. Must never differ from what a
//! replay computes from the seed and the cohort.

use crate::id::{BuyerId, Ordinal};
use crate::sale::draw::cohort::Cohort;
use crate::sale::draw::{DrawHash, DrawSeed, drawn_order};
use crate::sale::queue::line::Line;
use std::fmt;
use std::sync::Arc;

/// The order that was drawn, both ways.
pub(crate) struct Order {
    cohort: Arc<Cohort>,
    /// For each rank, the index of arrival.
    arrivals: Vec<u32>,
    /// For each index of arrival, the rank.
    ranks: Vec<u32>,
}

impl Order {
    pub(crate) fn of(seed: &DrawSeed, cohort: &Arc<Cohort>) -> Self {
        let arrivals = drawn_order(seed, cohort.root(), cohort.buyers());
        let mut ranks = vec![0; arrivals.len()];
        for (rank, at) in (0..).zip(&arrivals) {
            ranks[*at as usize] = rank;
        }
        Self { cohort: Arc::clone(cohort), arrivals, ranks }
    }

    /// The drawn place of a member who arrived at `ordinal`. A buyer outside of the cohort keeps the place of arrival.
    pub(crate) fn place(&self, ordinal: Ordinal) -> Ordinal {
        match self.cohort.arrival_of(ordinal) {
            Some(at) => self.cohort.ordinals()[self.ranks[at] as usize],
            None => ordinal,
        }
    }

    /// The place of arrival of the member who stands at `ordinal`.
    pub(crate) fn arrival(&self, ordinal: Ordinal) -> Ordinal {
        match self.cohort.arrival_of(ordinal) {
            Some(rank) => self.cohort.ordinals()[self.arrivals[rank] as usize],
            None => ordinal,
        }
    }

    /// The rank of the n-th arrival, from 0.
    pub(crate) fn rank(&self, arrival: usize) -> u64 {
        u64::from(self.ranks[arrival])
    }

    /// All members in the drawn order.
    pub(crate) fn buyers(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.arrivals.iter().map(|at| self.cohort.buyers()[*at as usize])
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order(of {})", self.arrivals.len())
    }
}

/// The line after the draw, if all of the cohort still wait.
#[derive(Debug)]
pub(crate) struct Layout {
    seed: DrawSeed,
    root: DrawHash,
    order: Arc<Order>,
    line: Line,
}

impl Layout {
    /// `O(n log n)`; `line` is the current line, which will be laid out.
    pub(crate) fn of(seed: &DrawSeed, cohort: &Arc<Cohort>, line: &Line) -> Self {
        let order = Order::of(seed, cohort);
        let line = line.with_only(cohort.ordinals().iter().copied().zip(order.buyers()));
        Self { seed: *seed, root: cohort.root(), order: Arc::new(order), line }
    }

    pub(crate) fn fits(&self, seed: &DrawSeed, cohort: &Cohort) -> bool {
        self.seed == *seed && self.root == cohort.root() && self.order.arrivals.len() == cohort.buyers().len()
    }

    pub(crate) fn order(&self) -> &Arc<Order> {
        &self.order
    }

    pub(crate) fn line(&self) -> &Line {
        &self.line
    }
}

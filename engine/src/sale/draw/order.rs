//! The drawn order of a cohort and the line laid out in it, and how both are worked out beside the sale: of a million buyers
//! that takes seconds, in which the events that share a thread would stand still. What comes of it is shared by every copy of
//! the sale. Must never decide when to draw, and never differ from what a replay works out by itself.

use crate::id::{BuyerId, Ordinal};
use crate::sale::draw::{Cohort, DrawHash, DrawSeed, drawn_order};
use crate::sale::queue::line::Line;
use std::fmt;
use std::sync::Arc;

/// The order that was drawn, both ways.
pub(crate) struct Order {
    cohort: Arc<Cohort>,
    /// Who stands n-th, by place of arrival.
    arrivals: Vec<u32>,
    /// Where who arrived n-th stands.
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

    /// Where whoever arrived at `ordinal` stands. Others stand where they arrived.
    pub(crate) fn place(&self, ordinal: Ordinal) -> Ordinal {
        match self.cohort.arrival_of(ordinal) {
            Some(at) => self.cohort.ordinals()[self.ranks[at] as usize],
            None => ordinal,
        }
    }

    /// Where whoever stands at `ordinal` arrived.
    pub(crate) fn arrival(&self, ordinal: Ordinal) -> Ordinal {
        match self.cohort.arrival_of(ordinal) {
            Some(rank) => self.cohort.ordinals()[self.arrivals[rank] as usize],
            None => ordinal,
        }
    }

    /// Where who arrived n-th stands, from 0.
    pub(crate) fn rank(&self, arrival: usize) -> u64 {
        u64::from(self.ranks[arrival])
    }

    /// Everyone in this order.
    pub(crate) fn buyers(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.arrivals.iter().map(|at| self.cohort.buyers()[*at as usize])
    }
}

impl fmt::Debug for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Order(of {})", self.arrivals.len())
    }
}

/// The line as a draw leaves it if everyone of the cohort still waits.
#[derive(Debug)]
pub(crate) struct Layout {
    seed: DrawSeed,
    root: DrawHash,
    order: Arc<Order>,
    line: Line,
}

impl Layout {
    /// `O(n log n)`; `line` is the one that will be laid out, as it is by now.
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

/// Everyone who is in the line, and the root over them.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) cohort: Arc<Cohort>,
    /// The line that they were read from: as long as it is the same, so are they.
    pub(crate) line: Line,
}

/// What can be worked out beside the sale for the next fact of its draw.
pub(crate) enum Preparation {
    /// The root over everyone in the line. Nobody may enter or leave meanwhile, or it does not fit.
    Cohort(Line),
    /// The order of the cohort. Who leaves meanwhile is taken out of it when it is applied.
    Layout(DrawSeed, Arc<Cohort>, Line),
}

impl Preparation {
    /// Takes long.
    pub(crate) fn work_out(self) -> Prepared {
        match self {
            Self::Cohort(line) => {
                let cohort = Arc::new(Cohort::of(line.iter(), None));
                Prepared::Cohort(Arc::new(Frozen { cohort, line }))
            }
            Self::Layout(seed, cohort, line) => Prepared::Layout(Arc::new(Layout::of(&seed, &cohort, &line))),
        }
    }

    /// Whether buyers have to wait for it.
    pub(crate) fn freezes(&self) -> bool {
        matches!(self, Self::Cohort(_))
    }
}

/// What was worked out.
#[derive(Clone, Debug)]
pub(crate) enum Prepared {
    Cohort(Arc<Frozen>),
    Layout(Arc<Layout>),
}

//! How far the draw of one sale is: its seed, the frozen cohort, the drawn order. Must never make a seed, and never decide when
//! to draw.

use crate::id::{BuyerId, Ordinal};
use crate::sale::draw::cohort::Cohort;
use crate::sale::draw::order::{Layout, Order};
use crate::sale::draw::prepare::Frozen;
use crate::sale::draw::{DrawHash, DrawSeed, DrawView};
use crate::sale::queue::line::Line;
use crate::sale::snapshot::{CohortRow, DrawRow};
use std::sync::Arc;

/// How far the draw of a sale is. Clones share the cohort and the order.
#[derive(Clone, Debug)]
pub struct Draw {
    pub(super) seed: DrawSeed,
    commitment: DrawHash,
    pub(super) cohort: Option<Arc<Cohort>>,
    pub(super) order: Option<Arc<Order>>,
    /// Computed in advance, so that the facts that need it are applied at once.
    pub(super) frozen: Option<Arc<Frozen>>,
    pub(super) layout: Option<Arc<Layout>>,
}

impl Draw {
    pub(crate) fn committed(seed: DrawSeed, commitment: DrawHash) -> Self {
        Self { seed, commitment, cohort: None, order: None, frozen: None, layout: None }
    }

    pub(crate) fn seed(&self) -> DrawSeed {
        self.seed
    }

    /// The root over the current line, if it was computed in advance.
    pub(crate) fn prepared_root(&self, line: &Line) -> Option<DrawHash> {
        self.frozen.as_ref().filter(|frozen| frozen.line.is_same(line)).map(|frozen| frozen.cohort.root())
    }

    /// Whether the drawn line was laid out in advance.
    pub(crate) fn is_laid_out(&self) -> bool {
        let fits = |layout: &Arc<Layout>| self.cohort.as_ref().is_some_and(|cohort| layout.fits(&self.seed, cohort));
        self.layout.as_ref().is_some_and(fits)
    }

    /// The buyers in the line become the cohort.
    pub(crate) fn freeze(&mut self, line: &Line, root: DrawHash) {
        let fits = |frozen: &Arc<Frozen>| frozen.cohort.root() == root && frozen.line.len() == line.len();
        let cohort = match self.frozen.take().filter(fits) {
            Some(frozen) => Arc::clone(&frozen.cohort),
            None => Arc::new(Cohort::of(line.iter(), Some(root))),
        };
        self.cohort = Some(cohort);
    }

    /// Draws with the committed seed, and returns the line of the whole cohort in its order.
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

    /// The ordinal at which the buyer who stands at `ordinal` arrived: tickets name that one, because a draw does not change it.
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
            cohort: self.cohort.as_ref().map(|cohort| (cohort.root(), cohort.buyers().len() as u64)),
            seed: self.order.is_some().then_some(self.seed),
        }
    }

    /// The frozen cohort.
    #[must_use]
    pub fn cohort(&self) -> Option<&Cohort> {
        self.cohort.as_deref()
    }

    /// The last ordinal of the cohort: buyers who entered after it was frozen stand behind it.
    #[must_use]
    pub fn last_ordinal(&self) -> Option<Ordinal> {
        self.cohort.as_ref()?.ordinals().last().copied()
    }

    /// The cohort in the drawn order, once it is drawn.
    pub(crate) fn drawn(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.order.as_deref().into_iter().flat_map(Order::buyers)
    }

    pub(crate) fn row(&self) -> DrawRow {
        let cohort = self.cohort.as_ref().map(|cohort| CohortRow {
            root: cohort.root(),
            members: cohort.ordinals().iter().copied().zip(cohort.buyers().iter().copied()).collect(),
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

//! What the next fact of a draw needs, computed beside the sale: for a million buyers that takes seconds, in which the events
//! that share a thread would stand still. Without it the same fact is decided, and applied, all the same. Must never differ from
//! what a replay computes by itself, and is used only where it fits.

use crate::sale::Sale;
use crate::sale::draw::DrawSeed;
use crate::sale::draw::cohort::Cohort;
use crate::sale::draw::order::Layout;
use crate::sale::draw::state::Draw;
use crate::sale::draw::steps::DrawStep;
use crate::sale::queue::line::Line;
use crate::time::Timestamp;
use std::sync::Arc;

/// The buyers in the line, and the root over them.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub(crate) cohort: Arc<Cohort>,
    /// The line that they were read from: the cohort is valid while the line is unchanged.
    pub(crate) line: Line,
}

/// What can be computed beside the sale for the next fact of its draw.
pub(crate) enum Preparation {
    /// The root over the line. It does not fit if a buyer enters or leaves meanwhile.
    Cohort(Line),
    /// The order of the cohort. Buyers who leave meanwhile are taken out when it is applied.
    Layout(DrawSeed, Arc<Cohort>, Line),
}

impl Preparation {
    /// Takes up to seconds; to be run on a thread that no sale waits for.
    pub(crate) fn compute(self) -> Prepared {
        match self {
            Self::Cohort(line) => {
                let cohort = Arc::new(Cohort::of(line.iter(), None));
                Prepared::Cohort(Arc::new(Frozen { cohort, line }))
            }
            Self::Layout(seed, cohort, line) => Prepared::Layout(Arc::new(Layout::of(&seed, &cohort, &line))),
        }
    }

    /// Whether commands of buyers have to wait for it.
    pub(crate) fn freezes(&self) -> bool {
        matches!(self, Self::Cohort(_))
    }
}

/// The result of a [`Preparation`].
#[derive(Clone, Debug)]
pub(crate) enum Prepared {
    Cohort(Arc<Frozen>),
    Layout(Arc<Layout>),
}

impl Sale {
    /// What the next fact of the draw, if that is due at `now`, needs and would take long to compute within a turn. Draws of up
    /// to `in_a_turn` buyers do not.
    pub(crate) fn preparation(&self, now: Timestamp, in_a_turn: u64) -> Option<Preparation> {
        let (_, step) = self.next_draw_step().filter(|(at, _)| *at <= now)?;
        let (draw, line) = (self.draw.as_ref()?, self.waiting_room.line());
        match step {
            DrawStep::Freeze => {
                let is_large = line.len() > in_a_turn && draw.prepared_root(line).is_none();
                is_large.then(|| Preparation::Cohort(line.clone()))
            }
            DrawStep::Draw => {
                let large = |cohort: &&Arc<Cohort>| cohort.buyers().len() as u64 > in_a_turn;
                let cohort = draw.shared_cohort().filter(large).filter(|_| !draw.is_laid_out())?;
                Some(Preparation::Layout(draw.seed(), Arc::clone(cohort), line.clone()))
            }
        }
    }

    /// Takes the result of a [`Preparation`].
    pub(crate) fn prepare(&mut self, prepared: Prepared) {
        if let Some(draw) = &mut self.draw {
            draw.prepare(prepared);
        }
    }
}

impl Draw {
    /// Keeps a result, which is used only where it fits.
    fn prepare(&mut self, prepared: Prepared) {
        match prepared {
            Prepared::Cohort(frozen) if !self.is_frozen() => self.frozen = Some(frozen),
            Prepared::Layout(layout) if !self.is_drawn() => self.layout = Some(layout),
            // Too late: it was begun before a rebuild.
            Prepared::Cohort(_) | Prepared::Layout(_) => {}
        }
    }
}

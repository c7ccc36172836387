//! When a draw takes its steps, and what they do: the seed is bound by its hash before anybody comes, the opening freezes the
//! cohort, and its order is drawn at once. Until then nobody has a rank, and nobody is admitted. Must never take another seed
//! than the one that was bound.

use crate::sale::Sale;
use crate::sale::decide::Decision;
use crate::sale::draw::state::Draw;
use crate::sale::draw::{DrawHash, DrawSeed, cohort_root};
use crate::sale::fact::{Fact, Facts};
use crate::sale::reply::SalePhase;
use crate::time::Timestamp;
use smallvec::smallvec;

/// What a draw does next.
pub(crate) enum DrawStep {
    Freeze,
    Draw,
}

impl Sale {
    /// The draw, once its seed is committed to.
    #[must_use]
    pub fn draw(&self) -> Option<&Draw> {
        self.draw.as_deref()
    }

    /// Whether a draw is configured that has no seed yet. A seed is final, whatever the rules are changed to.
    #[must_use]
    pub fn wants_seed(&self) -> bool {
        let wanted = self.config.as_ref().is_some_and(|config| config.admission.draw);
        wanted && self.phase == SalePhase::Scheduled && self.draw.is_none()
    }

    pub(crate) fn decide_draw_commitment(&self, seed: DrawSeed) -> Decision {
        let fact = || Fact::DrawCommitted { seed, commitment: seed.commitment() };
        Decision::done(self.wants_seed().then(fact).into_iter().collect())
    }

    pub(crate) fn apply_draw_commitment(&mut self, seed: DrawSeed, commitment: DrawHash) {
        self.draw = Some(Box::new(Draw::committed(seed, commitment)));
    }

    /// The opening freezes the cohort, and then its order is drawn at once.
    pub(crate) fn next_draw_step(&self) -> Option<(Timestamp, DrawStep)> {
        let config = self.config.as_deref().filter(|_| self.draw_is_pending())?;
        let frozen = self.draw.as_ref().is_some_and(|draw| draw.is_frozen());
        Some(if frozen { (self.at, DrawStep::Draw) } else { (config.sale_starts_at, DrawStep::Freeze) })
    }

    /// Whether the order is still to be drawn: until then nobody has a rank, and nobody is admitted.
    pub(crate) fn draw_is_pending(&self) -> bool {
        let wanted = self.config.as_ref().is_some_and(|config| config.admission.draw);
        wanted && self.phase == SalePhase::Scheduled && self.draw.as_ref().is_some_and(|draw| !draw.is_drawn())
    }

    /// Decides a step that is due.
    pub(crate) fn draw_step(&self, step: DrawStep, now: Timestamp) -> Option<Facts> {
        match step {
            DrawStep::Freeze => self.freeze_due(now).map(|frozen| smallvec![frozen]),
            DrawStep::Draw => self.draw.as_ref().map(|draw| smallvec![Fact::Drawn { seed: draw.seed() }]),
        }
    }

    /// The fact that freezes the cohort, if that is due at `now`: a buyer who enters then is not of it.
    pub(crate) fn freeze_due(&self, now: Timestamp) -> Option<Fact> {
        let due = matches!(self.next_draw_step(), Some((at, DrawStep::Freeze)) if at <= now);
        due.then(|| {
            let line = self.waiting_room.line();
            let prepared = self.draw.as_ref().and_then(|draw| draw.prepared_root(line));
            let root = prepared.unwrap_or_else(|| cohort_root(line.iter().map(|(_, buyer)| buyer)));
            Fact::CohortFrozen { root, size: line.len() }
        })
    }

    pub(crate) fn apply_freeze(&mut self, root: DrawHash) {
        if let Some(draw) = &mut self.draw {
            draw.freeze(self.waiting_room.line(), root);
        }
    }

    pub(crate) fn apply_draw(&mut self, seed: DrawSeed) {
        let line = self.waiting_room.line();
        if let Some(layout) = self.draw.as_mut().and_then(|draw| draw.draw(seed, line)) {
            self.replaced_line = Some(Box::new(line.clone()));
            self.waiting_room.lay_out(&layout);
        }
    }
}

//! What passing time does to a sale: holds and slots end, buyers are admitted, a cancelled sale is cleared.
//! One step at a time, so that every turn is bounded. Must never change anything: it decides.

use crate::id::Slot;
use crate::sale::Sale;
use crate::sale::decide::Decision;
use crate::sale::draw::order::{Preparation, Prepared};
use crate::sale::draw::{Cohort, cohort_root};
use crate::sale::fact::{Fact, Facts, PaymentFailure, RefundReason};
use crate::sale::queue::window::Window;
use crate::sale::reply::{ReservationStatus, SalePhase};
use crate::time::Timestamp;
use smallvec::smallvec;
use std::sync::Arc;

/// What time does next.
enum Step {
    Freeze,
    Draw,
    ExpireHold,
    ExpireSlot,
    Admit,
    EndLine,
    Sweep,
    Notify,
}

impl Sale {
    /// When time next does something to this sale; a moment that is past means at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_step().map(|(at, _)| at)
    }

    fn next_step(&self) -> Option<(Timestamp, Step)> {
        let is_over = matches!(self.phase, SalePhase::Cancelled | SalePhase::Retired);
        let sweep = (is_over && self.has_something_to_sweep()).then_some((self.at, Step::Sweep));
        let hold = self.reservations.next_deadline().map(|(at, _)| (at, Step::ExpireHold));
        // Whichever slot ends first by its own time is the next one, also when the sale ends all of them.
        let slot = self.room.next_end().map(|(at, _)| (self.slot_ends_at(at), Step::ExpireSlot));
        let draw = self.next_of_draw();
        let admission = self.next_admission().map(|at| (at, Step::Admit));
        let end = self.line_ends_at().map(|at| (at, Step::EndLine));
        let notify = self.next_to_notify().map(|_| (self.at, Step::Notify));
        [sweep, hold, slot, draw, admission, end, notify].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// The opening freezes the cohort, and then its order is drawn at once.
    fn next_of_draw(&self) -> Option<(Timestamp, Step)> {
        let config = self.config.as_deref().filter(|_| self.draw_is_pending())?;
        let frozen = self.draw.as_ref().is_some_and(|draw| draw.is_frozen());
        Some(if frozen { (self.at, Step::Draw) } else { (config.sale_starts_at, Step::Freeze) })
    }

    /// Whether the order is still to be drawn: until then nobody has a rank, and nobody is admitted.
    pub(crate) fn draw_is_pending(&self) -> bool {
        let wanted = self.config.as_ref().is_some_and(|config| config.admission.draw);
        wanted && self.phase == SalePhase::Scheduled && self.draw.as_ref().is_some_and(|draw| !draw.is_drawn())
    }

    /// The fact that freezes the cohort, if that is due at `now`: whoever enters then is not of it.
    pub(crate) fn freeze_due(&self, now: Timestamp) -> Option<Fact> {
        let due = matches!(self.next_of_draw(), Some((at, Step::Freeze)) if at <= now);
        due.then(|| {
            let line = self.room.line();
            let prepared = self.draw.as_ref().and_then(|draw| draw.prepared_root(line));
            let root = prepared.unwrap_or_else(|| cohort_root(line.iter().map(|(_, buyer)| buyer)));
            Fact::CohortFrozen { root, size: line.len() }
        })
    }

    /// What the next fact of the draw, if that is due at `now`, needs and would take long to work out within a turn.
    /// Draws of up to `in_a_turn` buyers do not. Without it the same fact is decided, and applied, all the same.
    pub(crate) fn preparation(&self, now: Timestamp, in_a_turn: u64) -> Option<Preparation> {
        let (_, step) = self.next_of_draw().filter(|(at, _)| *at <= now)?;
        let (draw, line) = (self.draw.as_ref()?, self.room.line());
        match step {
            Step::Freeze if line.len() > in_a_turn && draw.prepared_root(line).is_none() => {
                Some(Preparation::Cohort(line.clone()))
            }
            Step::Draw => {
                let large = |cohort: &&Arc<Cohort>| cohort.buyers().len() as u64 > in_a_turn;
                let cohort = draw.shared_cohort().filter(large).filter(|_| !draw.is_laid_out())?;
                Some(Preparation::Layout(draw.seed(), Arc::clone(cohort), line.clone()))
            }
            Step::Freeze
            | Step::ExpireHold
            | Step::ExpireSlot
            | Step::Admit
            | Step::EndLine
            | Step::Sweep
            | Step::Notify => None,
        }
    }

    /// Takes what was worked out of a [`Preparation`].
    pub(crate) fn prepare(&mut self, prepared: Prepared) {
        if let Some(draw) = &mut self.draw {
            draw.prepare(prepared);
        }
    }

    /// When the next buyer may be let in, if one may.
    fn next_admission(&self) -> Option<Timestamp> {
        if self.draw_is_pending() {
            return None;
        }
        let (config, steering) = (self.config.as_deref()?, self.steering.as_deref()?);
        let due = self.room.next_due(steering.rate_per_second)?;
        let due = self.room.head_waits_until().map_or(due, |until| due.max(until));
        (due < config.sale_ends_at).then_some(due)
    }

    /// When there is nothing left to wait for: the end of the sale, while somebody waits.
    fn line_ends_at(&self) -> Option<Timestamp> {
        let waits = self.phase == SalePhase::Scheduled && self.room.line().len() > 0;
        self.config.as_ref().filter(|_| waits).map(|config| config.sale_ends_at)
    }

    /// Decides the next step that is due at `now`; no facts when none is.
    pub(crate) fn decide_tick(&self, now: Timestamp) -> Decision {
        let facts = match self.next_step() {
            Some((at, step)) if at <= now => match step {
                Step::ExpireHold => self.expire_hold(),
                Step::ExpireSlot => self.room.next_end().map(|(_, buyer)| smallvec![Fact::SlotExpired { buyer }]),
                // An admission that comes too late for the sale must not stay due: the line ends instead.
                Step::Admit if self.line_ends_at().is_some_and(|end| end <= now) => self.end_line(),
                Step::Admit => self.admit(at, now),
                Step::EndLine => self.end_line(),
                Step::Sweep => self.sweep_one(),
                Step::Notify => self.notify_one(),
                Step::Freeze => self.freeze_due(now).map(|frozen| smallvec![frozen]),
                Step::Draw => self.draw.as_ref().map(|draw| smallvec![Fact::Drawn { seed: draw.seed() }]),
            },
            Some(_) | None => None,
        };
        Decision::done(facts.unwrap_or_default())
    }

    fn expire_hold(&self) -> Option<Facts> {
        let (_, reservation) = self.reservations.next_deadline()?;
        let mut facts: Facts = smallvec![Fact::HoldExpired { reservation }];
        facts.extend(self.failed_with(reservation, PaymentFailure::HoldEnded));
        Some(facts)
    }

    fn admit(&self, due: Timestamp, now: Timestamp) -> Option<Facts> {
        let (config, (_, buyer)) = (self.config.as_deref()?, self.room.line().head()?);
        let due = Window::counted(due, now);
        let slot = Slot(self.room.admitted_total() + 1);
        Some(smallvec![Fact::Admitted { buyer, slot, due, expires_at: due + config.admission.token }])
    }

    fn has_something_to_sweep(&self) -> bool {
        self.next_to_sweep().is_some() || self.room.line().len() > 0 || self.room.some_active().is_some()
    }

    /// A live reservation of a cancelled sale; one that is being charged waits for the outcome.
    fn next_to_sweep(&self) -> Option<crate::id::ReservationId> {
        if self.phase != SalePhase::Cancelled {
            return None;
        }
        let mut live = self.reservations.live_ones().map(|reservation| reservation.id);
        live.find(|id| !self.is_charging(*id))
    }

    fn sweep_one(&self) -> Option<Facts> {
        if let Some(id) = self.next_to_sweep() {
            let view = self.reservations.get(id)?;
            if view.status == ReservationStatus::Pending {
                let mut facts: Facts = smallvec![Fact::HoldReleased { reservation: id }];
                facts.extend(self.failed_with(id, PaymentFailure::SaleCancelled));
                return Some(facts);
            }
            return self.cancelled_and_refunded(id, RefundReason::SaleCancelled);
        }
        let active = || self.room.some_active().map(|buyer| smallvec![Fact::SlotExpired { buyer }]);
        self.end_line().or_else(active)
    }

    /// Whoever has waited longest waits no more.
    fn end_line(&self) -> Option<Facts> {
        self.room.line().head().map(|(_, buyer)| smallvec![Fact::PlaceExpired { buyer }])
    }
}

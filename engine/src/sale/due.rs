//! What passing time does to a sale: which rule's step is due next, and when. One step at a time, so that every turn is
//! bounded. Must never change anything, and never hold a rule itself: each rule says when it is due, and decides its facts.

use crate::sale::Sale;
use crate::sale::decide::Decision;
use crate::sale::draw::steps::DrawStep;
use crate::time::Timestamp;

/// What time does next.
enum Step {
    /// After a cancellation: end one hold, reservation, place or slot.
    Sweep,
    ExpireHold,
    ExpireSlot,
    Draw(DrawStep),
    Admit,
    EndLine,
    Notify,
}

impl Sale {
    /// When time next does something to this sale; a past moment means at once.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Timestamp> {
        self.next_step().map(|(at, _)| at)
    }

    /// The earliest step; of those due at the same moment, the first in this order.
    fn next_step(&self) -> Option<(Timestamp, Step)> {
        let sweep = self.next_sweep().map(|at| (at, Step::Sweep));
        let hold = self.next_hold_end().map(|at| (at, Step::ExpireHold));
        let slot = self.next_slot_end().map(|at| (at, Step::ExpireSlot));
        let draw = self.next_draw_step().map(|(at, step)| (at, Step::Draw(step)));
        let admission = self.next_admission().map(|at| (at, Step::Admit));
        let end = self.line_ends_at().map(|at| (at, Step::EndLine));
        let notify = self.next_notification().map(|at| (at, Step::Notify));
        [sweep, hold, slot, draw, admission, end, notify].into_iter().flatten().min_by_key(|(at, _)| *at)
    }

    /// Decides the next step that is due at `now`; no facts when none is.
    pub(crate) fn decide_due(&self, now: Timestamp) -> Decision {
        let facts = match self.next_step() {
            Some((at, step)) if at <= now => match step {
                Step::Sweep => self.sweep_one(),
                Step::ExpireHold => self.expire_hold(),
                Step::ExpireSlot => self.expire_slot(),
                Step::Draw(step) => self.draw_step(step, now),
                // An admission that comes too late for the sale must not stay due: the line ends instead.
                Step::Admit if self.line_ends_at().is_some_and(|end| end <= now) => self.end_line(),
                Step::Admit => self.admit(at, now),
                Step::EndLine => self.end_line(),
                Step::Notify => self.notify_one(),
            },
            Some(_) | None => None,
        };
        Decision::done(facts.unwrap_or_default())
    }
}

//! Admission: when the head of the line is admitted, and what stops it. Its rate is the admission window's (`window.rs`); it
//! counts from when admission has been possible without a break. Must never admit while an operator's pause or limit, a draw
//! to come, or lost places before the head stand against it.

use crate::id::{BuyerId, Slot};
use crate::sale::Sale;
use crate::sale::fact::{Entry, Fact, Facts};
use crate::sale::queue::waiting_room::WaitingRoom;
use crate::sale::queue::window::Window;
use crate::sale::reply::SalePhase;
use crate::sale::snapshot::PlaceState;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// When the next buyer may be admitted, if one may.
    pub(crate) fn next_admission(&self) -> Option<Timestamp> {
        if self.draw_is_pending() {
            return None;
        }
        let (config, steering) = (self.config.as_deref()?, self.steering.as_deref()?);
        let due = self.waiting_room.next_due(steering.rate_per_second)?;
        let due = self.waiting_room.head_waits_until().map_or(due, |until| due.max(until));
        (due < config.sale_ends_at).then_some(due)
    }

    /// Admits the head of the line, the admission being due at `due`.
    pub(crate) fn admit(&self, due: Timestamp, now: Timestamp) -> Option<Facts> {
        let (config, (_, buyer)) = (self.config.as_deref()?, self.waiting_room.line().head()?);
        let due = Window::counted(due, now);
        #[expect(clippy::arithmetic_side_effects, reason = "64 bits: one for each admission, ever")]
        let slot = Slot(self.waiting_room.admitted_total() + 1);
        Some(smallvec![Fact::Admitted { buyer, slot, due, expires_at: due + config.admission.token }])
    }

    pub(crate) fn apply_admission(&mut self, buyer: BuyerId, slot: Slot, due: Timestamp, expires_at: Timestamp) {
        assert!(slot.0 > self.waiting_room.admitted_total(), "no slot is given twice");
        let has_hold = self.reservations.buyer(buyer).holds > 0;
        self.waiting_room.admit(buyer, slot, due, expires_at, has_hold);
    }

    /// Notes since when admission has been possible without a break: its rate counts from there.
    pub(crate) fn note_admission_possible(&mut self, entry: &Entry) {
        if !self.admission_is_possible() {
            self.waiting_room.possible_since = None;
        } else if self.waiting_room.possible_since.is_none() {
            let opens = self.config.as_ref().map_or(entry.at, |config| config.sale_starts_at);
            self.waiting_room.possible_since = Some(entry.at.max(opens));
        }
    }

    /// Whether a buyer could be admitted, the rate and the times of the sale aside.
    fn admission_is_possible(&self) -> bool {
        let Some(steering) = &self.steering else { return false };
        self.phase == SalePhase::Scheduled
            && steering.required
            && !steering.paused
            && !steering.closed
            && self.waiting_room.line().len() > 0
            && steering.active_limit.is_none_or(|limit| self.waiting_room.active() < limit)
            && self.counts().available > 0
    }
}

impl WaitingRoom {
    /// When the next admission is due; see [`Window::next_due`].
    pub(crate) fn next_due(&self, rate: u32) -> Option<Timestamp> {
        self.possible_since.map(|since| self.crowd.window.next_due(rate, since))
    }

    fn admit(&mut self, buyer: BuyerId, slot: Slot, due: Timestamp, expires_at: Timestamp, has_hold: bool) {
        let Some(stood) = self.place(buyer).map(|place| self.as_it_stands(place).ordinal) else { return };
        let crowd = &mut *self.crowd;
        let Some(place) = crowd.places.get_mut(buyer) else { return };
        crowd.line.remove(stood);
        place.ordinal = stood;
        place.state = PlaceState::Active { slot, expires_at, holds_made: 0 };
        crowd.window.push(due);
        if !has_hold {
            crowd.ends.insert((expires_at, slot, buyer));
        }
        self.count_active();
        self.admitted_total = slot.0;
    }
}

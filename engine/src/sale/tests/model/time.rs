//! Time in the naive model: everything that is due, and whether the step that the sale took is one of the earliest.

use super::{Due, Model, Place};
use crate::id::{BuyerId, ReservationId};
use crate::limits::{CHARGE_KEEPS_HOLD_FOR, MAX_ADMISSION_LAG};
use crate::sale::{Fact, PaymentFailure, RefundReason, ReservationStatus};
use crate::time::Timestamp;

impl Model {
    /// Everything that time does next, and when.
    pub(super) fn dues(&self, now: Timestamp) -> Vec<(Timestamp, Due)> {
        let mut dues = Vec::new();
        for (id, hold) in self.reservations.iter().filter(|(_, r)| r.status == ReservationStatus::Pending) {
            let charged = self.charging(*id).and_then(|p| p.started).map(|at| at + CHARGE_KEEPS_HOLD_FOR);
            dues.push((hold.expires_at.max(charged.unwrap_or(hold.expires_at)), Due::Hold(*id)));
        }
        for (buyer, place) in &self.places {
            if let Place::Active { expires_at, .. } = place
                && !self.holds(*buyer)
            {
                dues.push((self.slot_ends(*expires_at), Due::Slot(*buyer)));
            }
        }
        let head = self.waiting().first().copied();
        if let Some(head) = head.filter(|_| !self.cancelled) {
            dues.push((self.rules.sale_ends_at, Due::LineEnds(head)));
            let due = self.admission_due().filter(|due| *due < self.rules.sale_ends_at);
            let over = now >= self.rules.sale_ends_at;
            dues.extend(due.map(|due| (due, if over { Due::LineEnds(head) } else { Due::Admit(head) })));
        }
        let idle = |id: &ReservationId| self.reservations[id].is_live() && self.charging(*id).is_none();
        let idle_room = |place: (&BuyerId, &Place)| match place.1 {
            Place::Waiting { .. } => true,
            Place::Active { .. } => !self.holds(*place.0),
            Place::Expired { .. } => false,
        };
        if self.cancelled && (self.reservations.keys().any(idle) || self.places.iter().any(idle_room)) {
            dues.push((self.last, Due::Clear));
        }
        dues
    }

    /// One step of time, as the sale has taken it; it must be one of the earliest that are due.
    pub(super) fn step(&mut self, facts: &[Fact], now: Timestamp) {
        let dues = self.dues(now);
        let Some(earliest) = dues.iter().map(|(at, _)| *at).min().filter(|at| *at <= now) else {
            assert!(facts.is_empty(), "{facts:?} but nothing is due");
            return;
        };
        let is_due = |due: Due| dues.contains(&(earliest, due));
        match &facts[0] {
            Fact::HoldExpired { reservation } => {
                assert!(is_due(Due::Hold(*reservation)), "{facts:?} of {dues:?}");
                self.end(*reservation, ReservationStatus::Expired, PaymentFailure::HoldEnded);
            }
            Fact::SlotExpired { buyer } => {
                assert!(is_due(Due::Slot(*buyer)) || is_due(Due::Clear), "{facts:?} of {dues:?}");
                self.places.insert(*buyer, Place::Expired { at: now });
            }
            Fact::PlaceExpired { buyer } => {
                assert!(is_due(Due::LineEnds(*buyer)) || is_due(Due::Clear), "{facts:?} of {dues:?}");
                assert!(matches!(self.places[buyer], Place::Waiting { .. }));
                self.places.insert(*buyer, Place::Expired { at: now });
            }
            Fact::Admitted { buyer, slot, due, expires_at } => {
                assert!(is_due(Due::Admit(*buyer)), "{facts:?} of {dues:?}");
                assert_eq!(*due, earliest.max(now - MAX_ADMISSION_LAG));
                assert_eq!((slot.0, *expires_at), (self.admitted() + 1, *due + self.rules.admission.token));
                self.dues.push(*due);
                self.places.insert(*buyer, Place::Active { slot: *slot, expires_at: *expires_at, made: 0 });
            }
            Fact::HoldReleased { reservation } => {
                assert!(is_due(Due::Clear) && self.charging(*reservation).is_none(), "{facts:?} of {dues:?}");
                self.end(*reservation, ReservationStatus::Cancelled, PaymentFailure::SaleCancelled);
            }
            Fact::ReservationCancelled { reservation, .. } => {
                assert!(is_due(Due::Clear), "{facts:?} of {dues:?}");
                self.refund(*reservation, RefundReason::SaleCancelled);
            }
            other => panic!("time does not do {other:?}"),
        }
    }
}

//! Cancelling a sale: one fact, and from then on nothing of it is held or paid. What there was ends one step at a time (the
//! sweep): holds are released, tickets refunded, places and slots end. Must never end a hold whose charge is under way: it
//! waits for the outcome.

use crate::id::{BuyerId, ReservationId};
use crate::sale::Sale;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, PaymentFailure, RefundReason};
use crate::sale::rejection::Rejection;
use crate::sale::reply::{ReservationStatus, SalePhase};
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_sale_cancellation(&self, by: BuyerId) -> Result<Decision, Rejection> {
        self.on_sale()?;
        let again = self.phase == SalePhase::Cancelled;
        let facts = if again { Facts::new() } else { smallvec![Fact::SaleCancelled { by }] };
        Ok(Decision { facts, outcome: Outcome::Steering })
    }

    /// At once, while something of a cancelled or retired sale is left.
    pub(crate) fn next_sweep(&self) -> Option<Timestamp> {
        let is_over = matches!(self.phase, SalePhase::Cancelled | SalePhase::Retired);
        (is_over && self.has_something_to_sweep()).then_some(self.at)
    }

    fn has_something_to_sweep(&self) -> bool {
        self.next_to_sweep().is_some()
            || self.waiting_room.line().len() > 0
            || self.waiting_room.some_active().is_some()
    }

    /// A live reservation of a cancelled sale; one that is being charged waits for the outcome.
    fn next_to_sweep(&self) -> Option<ReservationId> {
        if self.phase != SalePhase::Cancelled {
            return None;
        }
        let mut live = self.reservations.live_ones().map(|reservation| reservation.id);
        live.find(|id| !self.is_charging(*id))
    }

    /// Reservations first, then the line, then slots.
    pub(crate) fn sweep_one(&self) -> Option<Facts> {
        if let Some(id) = self.next_to_sweep() {
            let view = self.reservations.get(id)?;
            if view.status == ReservationStatus::Pending {
                let mut facts: Facts = smallvec![Fact::HoldReleased { reservation: id }];
                facts.extend(self.failed_with(id, PaymentFailure::SaleCancelled));
                return Some(facts);
            }
            return self.cancelled_and_refunded(id, RefundReason::SaleCancelled);
        }
        let active = || self.waiting_room.some_active().map(|buyer| smallvec![Fact::SlotExpired { buyer }]);
        self.end_line().or_else(active)
    }
}

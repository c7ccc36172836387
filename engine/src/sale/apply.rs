//! Applying facts: dispatches each fact to its rule, and is the only way to change a sale. Decides nothing and cannot fail for
//! the facts of a sound journal; replay runs this alone. A fact out of its place ends in a panic, from which the runtime
//! rebuilds the sale: going on would answer from a state that no journal describes. Must never hold a rule itself.

use crate::sale::Sale;
use crate::sale::fact::{Entry, Fact};
use crate::sale::reply::{ReservationStatus, SalePhase};

impl Sale {
    /// Applies a fact. Facts come in the order of their positions; one that does not fit the state changes nothing.
    ///
    /// # Panics
    /// When a fact before it is missing, or it was applied already.
    pub fn apply(&mut self, entry: &Entry) {
        assert_eq!(entry.seq, self.seq.next(), "facts without gaps");
        self.seq = entry.seq;
        self.at = entry.at;
        match &entry.fact {
            Fact::Configured { config, plan, by: _ } => self.apply_configuration(config, plan, entry),
            Fact::SeatsHeld { .. } => self.apply_hold(entry),
            Fact::HoldChanged { reservation, seats, amount } => self.apply_change(*reservation, seats, *amount),
            Fact::HoldReleased { reservation } | Fact::ReleasedByOperator { reservation, by: _, reason: _ } => {
                self.end_hold(*reservation, ReservationStatus::Cancelled);
            }
            Fact::HoldExpired { reservation } => self.end_hold(*reservation, ReservationStatus::Expired),
            Fact::PaymentOpened { payment, reservation, amount } => {
                self.apply_opening(entry, *payment, *reservation, *amount);
            }
            Fact::PaymentStarted { payment, transaction } => self.apply_charge(*payment, transaction, entry.at),
            Fact::PaymentUnknown { payment } => self.apply_unknown(*payment),
            Fact::PaymentCaptured { payment, amount } => self.apply_capture(*payment, *amount, entry.at),
            Fact::PaymentFailed { payment, reason } => self.apply_failure(*payment, reason),
            Fact::ReservationConfirmed { reservation, payment: _, seats, ticket } => {
                self.apply_confirmation(*reservation, seats, *ticket, entry.at);
            }
            Fact::ReservationCancelled { reservation, refund }
            | Fact::CancelledByOperator { reservation, refund, by: _, reason: _ } => {
                self.apply_cancellation(*reservation, *refund);
            }
            Fact::RefundOrdered { payment, amount: _, reason } => self.apply_refund_order(*payment, *reason),
            Fact::PaymentRefunded { payment } => self.apply_refund(*payment),
            Fact::OutcomeUnmatched { payment, moved } => self.apply_unmatched(*payment, *moved),
            Fact::OrdinalsReserved { first, last, epoch } => self.waiting_room.reserve(*first, *last, *epoch),
            Fact::Entered { buyer, ordinal } => self.waiting_room.enter(*buyer, *ordinal, entry.at),
            Fact::Restored { buyer, ordinal, waits_until } => {
                self.waiting_room.restore(*buyer, *ordinal, *waits_until, entry.at);
            }
            Fact::DrawCommitted { seed, commitment } => self.apply_draw_commitment(*seed, *commitment),
            Fact::CohortFrozen { root, size: _ } => self.apply_freeze(*root),
            Fact::Drawn { seed } => self.apply_draw(*seed),
            Fact::Left { buyer } => self.waiting_room.remove(*buyer),
            Fact::Admitted { buyer, slot, due, expires_at } => self.apply_admission(*buyer, *slot, *due, *expires_at),
            Fact::SlotExpired { buyer } | Fact::PlaceExpired { buyer } => self.waiting_room.expire(*buyer, entry.at),
            Fact::Steered { steering, by: _, reason: _ } => self.apply_steering(steering),
            Fact::SeatsBlocked { seats, by: _, reason: _ } => self.apply_blocking(seats),
            Fact::SeatsUnblocked { seats, by: _, reason: _ } => self.apply_unblocking(seats),
            Fact::Rescheduled { .. } => self.apply_reschedule(&entry.fact),
            Fact::HolderNotified { reservation, .. } => self.apply_notification(*reservation),
            Fact::SaleCancelled { by: _ } => self.phase = SalePhase::Cancelled,
            Fact::SaleRetired { by: _ } => self.phase = SalePhase::Retired,
            Fact::KeyRemembered { key, answer } => self.keys.insert(*key, entry.at, answer.clone()),
        }
        self.note_admission_possible(entry);
    }
}

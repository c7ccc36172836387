//! Cancelling one reservation for its buyer, by an administrator, at any time, with a reason that is kept. The facts are applied
//! like a buyer's release or cancellation. Must never touch a hold whose charge is under way: its outcome is not known.

use crate::sale::Sale;
use crate::sale::command::OperatorCancel;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, PaymentFailure, RefundReason};
use crate::sale::rejection::Rejection;
use crate::sale::reply::ReservationStatus;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// A confirmed reservation is cancelled and refunded, a pending one released. One that has ended stays as it is, so a repeat
    /// is harmless.
    pub(crate) fn decide_operator_cancel(
        &self,
        cancel: &OperatorCancel,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let OperatorCancel { reservation: id, by, reason, only_paid } = cancel;
        let reservation = self.reservations.get(*id).ok_or(Rejection::ReservationNotFound)?;
        let facts: Facts = match reservation.status {
            ReservationStatus::Confirmed => self.cancelled_by_operator(cancel),
            ReservationStatus::Pending if *only_paid => {
                return Err(Rejection::NotCancellable(self.state_of(reservation, now)));
            }
            ReservationStatus::Pending if self.is_charging(*id) => return Err(Rejection::PaymentInProgress),
            ReservationStatus::Pending => {
                let released = Fact::ReleasedByOperator { reservation: *id, by: *by, reason: reason.clone() };
                let mut facts: Facts = smallvec![released];
                facts.extend(self.failed_with(*id, PaymentFailure::HoldEnded));
                facts
            }
            ReservationStatus::Cancelled | ReservationStatus::Expired => {
                if *only_paid && reservation.view().confirmed_at.is_none() {
                    return Err(Rejection::NotCancellable(self.state_of(reservation, now)));
                }
                Facts::new()
            }
        };
        Ok(Decision { facts, outcome: Outcome::Reservation(*id) })
    }

    /// The same facts as when its buyer cancels, with who did it and why.
    fn cancelled_by_operator(&self, cancel: &OperatorCancel) -> Facts {
        let facts = self.cancelled_and_refunded(cancel.reservation, RefundReason::OperatorCancelled);
        let theirs = |fact| {
            let Fact::ReservationCancelled { reservation, refund } = fact else { return fact };
            Fact::CancelledByOperator { reservation, refund, by: cancel.by, reason: cancel.reason.clone() }
        };
        facts.unwrap_or_default().into_iter().map(theirs).collect()
    }
}

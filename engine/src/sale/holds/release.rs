//! Releasing a pending hold before its end; its seats are free at once. A release by an operator is in
//! `operators/cancel_reservation.rs`, the one by time in `expire.rs`. Must never release while the provider is being asked.

use crate::id::{BuyerId, ReservationId};
use crate::sale::Sale;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, PaymentFailure};
use crate::sale::rejection::Rejection;
use crate::sale::reply::ReservationStatus;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// A repeat changes nothing, also after the hold has expired.
    pub(crate) fn decide_release(
        &self,
        buyer: BuyerId,
        id: ReservationId,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        let reservation = self.own(buyer, id)?;
        match reservation.status {
            ReservationStatus::Pending if self.is_charging(id) => Err(Rejection::PaymentInProgress),
            ReservationStatus::Pending => {
                let mut facts: Facts = smallvec![Fact::HoldReleased { reservation: id }];
                facts.extend(self.failed_with(id, PaymentFailure::HoldEnded));
                Ok(Decision::done(facts))
            }
            ReservationStatus::Confirmed => Err(Rejection::NotPending(self.state_of(reservation, now))),
            ReservationStatus::Cancelled | ReservationStatus::Expired => Ok(Decision::nothing(Outcome::Done)),
        }
    }
}

//! Holds: seats taken by a buyer and not yet paid, and the reservations that they become. Here is what several rules of
//! holds share; each rule has its file. Must never decide where seats are: that is `seats`.

pub(crate) mod change;
pub(crate) mod expire;
pub(crate) mod hold;
pub(crate) mod limits;
pub(crate) mod release;
pub(crate) mod reservation;
pub(crate) mod reservations;

use crate::id::{BuyerId, ReservationId};
use crate::sale::Sale;
use crate::sale::rejection::{Rejection, ReservationState};
use crate::sale::reply::{PaymentStatus, ReservationStatus, SalePhase};
use crate::sale::seats::ledger::SeatState;
use crate::time::Timestamp;
use reservation::Reservation;

impl Sale {
    /// A buyer's own reservation.
    pub(crate) fn own(&self, buyer: BuyerId, id: ReservationId) -> Result<&Reservation, Rejection> {
        self.reservations.get(id).filter(|r| r.buyer == buyer).ok_or(Rejection::ReservationNotFound)
    }

    /// Whether a hold can still be changed or paid: pending, in time, and not being charged.
    pub(crate) fn check_pending(&self, reservation: &Reservation, now: Timestamp) -> Result<(), Rejection> {
        self.check_not_cancelled()?;
        if reservation.status == ReservationStatus::Expired {
            return Err(Rejection::HoldExpired(ReservationState::Expired));
        }
        if reservation.status != ReservationStatus::Pending {
            return Err(Rejection::NotPending(self.state_of(reservation, now)));
        }
        if self.is_charging(reservation.id) {
            return Err(Rejection::PaymentInProgress);
        }
        if reservation.hold_expires_at <= now {
            return Err(Rejection::HoldExpired(ReservationState::Expired));
        }
        Ok(())
    }

    /// Whether the provider is being asked, or has not said what became of the charge.
    pub(crate) fn is_charging(&self, id: ReservationId) -> bool {
        self.reservations.last_payment(id).is_some_and(|row| row.view.status == PaymentStatus::Charging)
    }

    /// How a reservation stands, for a refusal. One that was cancelled before its event was cancelled says the latter: the
    /// event is what matters then.
    pub(crate) fn state_of(&self, reservation: &Reservation, now: Timestamp) -> ReservationState {
        let status = reservation.status;
        if status == ReservationStatus::Cancelled && self.phase == SalePhase::Cancelled {
            return ReservationState::SaleCancelled;
        }
        let timer_is_late = status == ReservationStatus::Pending && reservation.hold_expires_at <= now;
        if timer_is_late { ReservationState::Expired } else { reservation.state() }
    }

    /// A hold ends without being paid: its seats are free again.
    pub(crate) fn end_hold(&mut self, id: ReservationId, status: ReservationStatus) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let (buyer, seats) = (reservation.buyer, reservation.seats.clone());
        self.set_seats(&seats, SeatState::Free);
        self.update_holds_of(buyer, |sale| {
            sale.reservations.update(id, |reservation| reservation.status = status);
        });
    }

    /// Runs `change`, and notes in the waiting room whether the buyer has a pending hold, if that changed: such a buyer's
    /// slot does not end by time.
    pub(crate) fn update_holds_of(&mut self, buyer: BuyerId, change: impl FnOnce(&mut Self)) {
        let before = self.reservations.buyer(buyer).holds > 0;
        change(self);
        let after = self.reservations.buyer(buyer).holds > 0;
        if before != after {
            self.waiting_room.keep_slot(buyer, after);
        }
    }
}

#[cfg(test)]
mod tests;

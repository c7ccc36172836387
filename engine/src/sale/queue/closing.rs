//! The end of a sale, by its time or by an operator: what may still be done, until when slots last, and what refusals say.
//! Facts alone end places and slots (`time_step.rs`); until they are written the state is read as if they were. Must never
//! change anything.

use crate::id::BuyerId;
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::holds::reservation::Reservation;
use crate::sale::rejection::{Closed, Rejection, ReservationState};
use crate::sale::reply::{ReservationStatus, SalePhase};
use crate::sale::{PlaceState, Sale};
use crate::time::Timestamp;

impl Sale {
    /// Whether the event was not cancelled: then nothing of it is held or paid any more, with a slot or without.
    pub(crate) fn check_not_cancelled(&self) -> Result<(), Rejection> {
        if self.phase == SalePhase::Cancelled { Err(Rejection::SaleCancelled) } else { Ok(()) }
    }

    /// What keeps everybody from entering, if something does.
    pub(crate) fn closed(&self, config: &SaleConfig, steering: &Steering, now: Timestamp) -> Option<Closed> {
        if self.phase == SalePhase::Cancelled {
            return Some(Closed::Cancelled);
        }
        if now >= config.sale_ends_at {
            return Some(Closed::Ended);
        }
        steering.closed.then_some(Closed::ByOperator)
    }

    /// Whether nobody can wait or shop here any more: the sale's time is over, or it was cancelled or retired.
    pub(crate) fn room_is_over(&self, config: &SaleConfig, now: Timestamp) -> bool {
        self.phase != SalePhase::Scheduled || now >= config.sale_ends_at
    }

    /// When a slot ends: never later than the sale.
    pub(crate) fn slot_ends_at(&self, expires_at: Timestamp) -> Timestamp {
        self.config.as_ref().map_or(expires_at, |config| expires_at.min(config.sale_ends_at))
    }

    /// A slot ends by time, though it is not given back while its buyer has a pending hold: until that ends the buyer may look
    /// on, but make no new hold.
    pub(crate) fn slot_is_over(&self, buyer: BuyerId, expires_at: Timestamp, now: Timestamp) -> bool {
        self.slot_ends_at(expires_at) <= now && self.reservations.buyer(buyer).holds == 0
    }

    /// Whether the buyer's place is there and not over.
    pub(crate) fn stands(&self, config: &SaleConfig, buyer: BuyerId, now: Timestamp) -> bool {
        self.phase == SalePhase::Scheduled
            && self.room.place(buyer).is_some_and(|place| match place.state {
                PlaceState::Waiting => now < config.sale_ends_at,
                PlaceState::Active { expires_at, .. } => !self.slot_is_over(buyer, expires_at, now),
                PlaceState::Expired { .. } => false,
            })
    }

    /// How a reservation stands, where something else was needed. What was cancelled before its event was says so too: the
    /// event is what matters then.
    pub(crate) fn state_of(&self, reservation: &Reservation, now: Timestamp) -> ReservationState {
        let status = reservation.status;
        if status == ReservationStatus::Cancelled && self.phase == SalePhase::Cancelled {
            return ReservationState::SaleCancelled;
        }
        let timer_is_late = status == ReservationStatus::Pending && reservation.hold_expires_at <= now;
        if timer_is_late { ReservationState::Expired } else { reservation.state() }
    }
}

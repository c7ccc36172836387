//! Money that comes after its hold has ended buys the same seats if they are free, else an equal block of the category, else it
//! is given back. Must never take a seat from another buyer, nor exceed the limit of seats.

use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::Seats;
use crate::sale::holds::reservation::Reservation;
use crate::sale::reply::ReservationStatus;

impl Sale {
    /// The seats that a payment buys: the held ones; after the hold has ended the same ones, else an equal block.
    pub(super) fn seats_for_payment(&self, reservation: &Reservation, amount: Amount) -> Option<Seats> {
        let (ledger, config) = (self.ledger.as_ref()?, self.config.as_ref()?);
        match reservation.status {
            ReservationStatus::Pending if reservation.amount == amount => Some(reservation.seats.clone()),
            ReservationStatus::Expired if reservation.amount == amount => {
                let has = usize::from(self.reservations.buyer(reservation.buyer).seats);
                if has.saturating_add(reservation.seats.len()) > usize::from(config.max_seats_per_buyer) {
                    return None;
                }
                if reservation.seats.iter().all(|seat| ledger.is_free(*seat)) {
                    return Some(reservation.seats.clone());
                }
                ledger.equal_block(&reservation.seats)
            }
            ReservationStatus::Pending
            | ReservationStatus::Expired
            | ReservationStatus::Confirmed
            | ReservationStatus::Cancelled => None,
        }
    }
}

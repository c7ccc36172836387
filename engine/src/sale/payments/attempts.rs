//! How often one hold may be charged: at most [`DECLINES_PER_HOLD`] declined charges, so that stolen cards cannot be tried one
//! after the other. Must never limit what costs nothing.

use crate::limits::DECLINES_PER_HOLD;
use crate::money::Amount;
use crate::sale::holds::reservation::Reservation;
use crate::sale::rejection::Rejection;

/// Refuses another charge of the hold after as many declined ones as may be.
pub(super) fn check_attempts(reservation: &Reservation, amount: Amount) -> Result<(), Rejection> {
    let may = reservation.declined() < DECLINES_PER_HOLD || amount == Amount(0);
    if may { Ok(()) } else { Err(Rejection::PaymentAttemptsExceeded) }
}

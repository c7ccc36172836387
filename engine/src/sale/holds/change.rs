//! Exchanging the seats of a pending hold. Its end does not move: changing would otherwise keep seats from others for ever.
//! Must never free a seat that the changed hold keeps.

use crate::id::ReservationId;
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::{ChangeHold, Seats};
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, PaymentFailure};
use crate::sale::rejection::Rejection;
use crate::sale::seats::ledger::SeatState;
use crate::sale::seats::{check_known, price};
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_change(&self, change: &ChangeHold, now: Timestamp) -> Result<Decision, Rejection> {
        let (config, ledger) = self.on_sale()?;
        let reservation = self.own(change.buyer, change.reservation)?;
        check_known(ledger, &change.seats)?;
        self.check_pending(reservation, now)?;
        self.check_seat_limit(config, change.buyer, change.seats.len(), reservation.seats.len())?;
        self.check_pairs(change.buyer, &change.seats, &reservation.seats)?;
        self.check_free(config, ledger, &change.seats, &reservation.seats)?;
        let outcome = Outcome::Reservation(reservation.id);
        let same = change.seats.len() == reservation.seats.len()
            && change.seats.iter().all(|seat| reservation.seats.contains(seat));
        if same {
            return Ok(Decision::nothing(outcome));
        }
        let amount = price(config, &ledger.plan, &change.seats);
        let mut facts: Facts =
            smallvec![Fact::HoldChanged { reservation: reservation.id, seats: change.seats.clone(), amount }];
        facts.extend(self.failed_with(reservation.id, PaymentFailure::HoldEnded));
        Ok(Decision { facts, outcome })
    }

    pub(crate) fn apply_change(&mut self, id: ReservationId, seats: &Seats, amount: Amount) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let old = reservation.seats.clone();
        self.set_seats(&old, SeatState::Free);
        self.set_seats(seats, SeatState::Held);
        self.reservations.update(id, |reservation| {
            reservation.seats = seats.clone();
            reservation.amount = amount;
        });
    }
}

//! The provider's outcome of a charge: captured money buys the seats or is given back, a decline frees the hold for another
//! card. Outcomes come late, twice, or never ordered. Must never sell seats for another amount than they cost.

use crate::id::{PaymentId, ReservationId, TicketSerial};
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::{ChargeOutcome, Seats};
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, MoneyMoved, PaymentFailure, RefundReason};
use crate::sale::payments::is_free;
use crate::sale::payments::refund::refund;
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, ReservationStatus, SalePhase};
use crate::sale::seats::ledger::SeatState;
use crate::sale::snapshot::{PaymentRow, PlaceRow, PlaceState};
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// Repeats, and outcomes of what is settled already, change nothing, except that money taken where none is owed is given back,
    /// and money that no payment accounts for is recorded.
    pub(crate) fn decide_settlement(&self, payment: PaymentId, outcome: &ChargeOutcome) -> Result<Decision, Rejection> {
        let Some(row) = self.reservations.payment(payment) else {
            return match outcome {
                ChargeOutcome::Captured { amount } => {
                    Ok(Decision::done(self.note_unmatched(payment, MoneyMoved::Captured { amount: *amount })))
                }
                ChargeOutcome::Declined { .. } | ChargeOutcome::NotCharged | ChargeOutcome::Unknown => {
                    Err(Rejection::PaymentNotFound)
                }
            };
        };
        let open = matches!(row.view.status, PaymentStatus::Opened | PaymentStatus::Charging);
        let facts = match outcome {
            ChargeOutcome::Captured { amount } if open || matches!(row.view.status, PaymentStatus::Failed(_)) => {
                self.captured(row, *amount)
            }
            // No provider decides about what costs nothing. Only old journals have such charges: today none is ordered.
            ChargeOutcome::Declined { .. } | ChargeOutcome::NotCharged if open && is_free(row) => {
                match row.view.status == PaymentStatus::Charging {
                    true => self.captured(row, Amount(0)),
                    false => Facts::new(),
                }
            }
            ChargeOutcome::Declined { reason } if open => {
                smallvec![Fact::PaymentFailed { payment, reason: PaymentFailure::Declined(reason.clone()) }]
            }
            ChargeOutcome::NotCharged if open => {
                smallvec![Fact::PaymentFailed { payment, reason: PaymentFailure::NotCharged }]
            }
            ChargeOutcome::Unknown if row.view.status == PaymentStatus::Charging && !row.unknown => {
                smallvec![Fact::PaymentUnknown { payment }]
            }
            // Captured before with another amount: a second charge.
            ChargeOutcome::Captured { amount } if *amount != row.captured => {
                self.note_unmatched(payment, MoneyMoved::Captured { amount: *amount })
            }
            ChargeOutcome::Captured { .. }
            | ChargeOutcome::Declined { .. }
            | ChargeOutcome::NotCharged
            | ChargeOutcome::Unknown => Facts::new(),
        };
        Ok(Decision { facts, outcome: Outcome::Payment(payment) })
    }

    /// What follows from money that was taken: the ticket, or the money back with its reason.
    pub(super) fn captured(&self, row: &PaymentRow, amount: Amount) -> Facts {
        let (payment, id) = (row.view.id, row.view.reservation);
        let taken = Fact::PaymentCaptured { payment, amount };
        let given_back = |taken, reason| std::iter::once(taken).chain(refund(payment, amount, reason)).collect();
        let Some(reservation) = self.reservations.get(id) else {
            return given_back(taken, RefundReason::TooLate);
        };
        if amount != row.view.amount {
            return given_back(taken, RefundReason::AmountMismatch);
        }
        if self.phase != SalePhase::Scheduled {
            return given_back(taken, RefundReason::SaleCancelled);
        }
        match self.seats_for_payment(reservation, amount) {
            Some(seats) => {
                #[expect(clippy::arithmetic_side_effects, reason = "64 bits: one for each ticket of a hall, ever")]
                let ticket = TicketSerial(self.tickets + 1);
                let mut facts: Facts =
                    smallvec![taken, Fact::ReservationConfirmed { reservation: id, payment, seats, ticket }];
                if self.reservations.last_payment(id).is_some_and(|last| last.view.id != payment) {
                    facts.extend(self.failed_with(id, PaymentFailure::HoldEnded));
                }
                facts
            }
            None => given_back(taken, RefundReason::TooLate),
        }
    }

    pub(crate) fn apply_capture(&mut self, payment: PaymentId, amount: Amount, at: Timestamp) {
        self.reservations.update_payment(payment, |row| {
            row.view.status = PaymentStatus::Captured;
            row.view.paid_at = Some(at);
            row.captured = amount;
            (row.charging_until, row.unknown) = (None, false);
        });
    }

    /// The seats are sold, and the buyer's slot ends.
    pub(crate) fn apply_confirmation(&mut self, id: ReservationId, seats: &Seats, ticket: TicketSerial, at: Timestamp) {
        assert!(ticket.0 > self.tickets, "no ticket is given twice");
        self.tickets = ticket.0;
        let Some(buyer) = self.reservations.get(id).map(|r| r.buyer) else { return };
        self.set_seats(seats, SeatState::Sold);
        self.update_holds_of(buyer, |sale| {
            sale.reservations.update(id, |reservation| {
                reservation.status = ReservationStatus::Confirmed;
                reservation.seats = seats.clone();
                let purchase = reservation.purchase_mut();
                purchase.confirmed_at = Some(at);
                purchase.ticket = Some(ticket);
            });
        });
        let shops = |place: &PlaceRow| matches!(place.state, PlaceState::Active { .. });
        if self.waiting_room.place(buyer).is_some_and(shops) {
            self.waiting_room.remove(buyer);
        }
    }
}

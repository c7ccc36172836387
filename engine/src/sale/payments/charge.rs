//! Charging an opened payment: [`Fact::PaymentStarted`] orders the charge, and the runtime asks the provider once it is durable.
//! Must never order two charges of one payment.

use crate::id::PaymentId;
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::ConfirmPayment;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, PaymentFailure, RememberedAnswer};
use crate::sale::holds::expire::charge_keeps_hold_until;
use crate::sale::payments::attempts::check_attempts;
use crate::sale::payments::is_free;
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, ReservationStatus};
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_charge(&self, confirm: &ConfirmPayment, now: Timestamp) -> Result<Decision, Rejection> {
        if let Some(answer) = self.recall_confirmation(confirm, now)? {
            return Ok(answer);
        }
        let reservation = self.own(confirm.buyer, confirm.reservation)?;
        let row = self
            .reservations
            .payment(confirm.payment)
            .filter(|row| row.view.reservation == confirm.reservation)
            .ok_or(Rejection::PaymentNotFound)?;
        let outcome = Outcome::Payment(confirm.payment);
        match row.view.status {
            PaymentStatus::Failed(PaymentFailure::SaleCancelled) => Err(Rejection::SaleCancelled),
            PaymentStatus::Failed(PaymentFailure::HoldEnded) if reservation.status != ReservationStatus::Pending => {
                Err(Rejection::HoldExpired(self.state_of(reservation, now)))
            }
            PaymentStatus::Charging
            | PaymentStatus::Captured
            | PaymentStatus::Failed(_)
            | PaymentStatus::Refunded { .. } => {
                if confirm.amount != row.view.amount {
                    return Err(Rejection::AmountMismatch);
                }
                // A repeat is answered as before; another transaction would be another attempt.
                let declined = matches!(row.view.status, PaymentStatus::Failed(PaymentFailure::Declined(_)));
                let again = row.transaction.as_deref() == Some(&*confirm.transaction);
                if declined && !again && reservation.status == ReservationStatus::Pending {
                    check_attempts(reservation, row.view.amount)?;
                }
                Ok(Decision::nothing(outcome))
            }
            PaymentStatus::Opened => {
                self.check_not_cancelled()?;
                if reservation.status != ReservationStatus::Pending || reservation.hold_expires_at <= now {
                    return Err(Rejection::HoldExpired(self.state_of(reservation, now)));
                }
                if confirm.amount != row.view.amount {
                    return Err(Rejection::AmountMismatch);
                }
                check_attempts(reservation, row.view.amount)?;
                let (payment, transaction) = (confirm.payment, confirm.transaction.clone());
                let mut facts: Facts = match is_free(row) {
                    true => self.captured(row, Amount(0)),
                    false => smallvec![Fact::PaymentStarted { payment, transaction }],
                };
                if let Some(key) = confirm.key {
                    facts.push(Fact::KeyRemembered { key, answer: RememberedAnswer::PaymentConfirmed { payment } });
                }
                Ok(Decision { facts, outcome })
            }
        }
    }

    pub(crate) fn apply_charge(&mut self, payment: PaymentId, transaction: &str, at: Timestamp) {
        self.reservations.update_payment(payment, |row| {
            row.view.status = PaymentStatus::Charging;
            row.transaction = Some(transaction.into());
            row.charging_until = Some(charge_keeps_hold_until(at));
        });
    }
}

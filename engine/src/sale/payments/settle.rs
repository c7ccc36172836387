//! Deciding about money: opening, starting and settling payments, cancelling and refunding. A charge is ordered by a
//! durable fact and its outcome comes back as a command, perhaps late, perhaps twice.

use crate::id::{BuyerId, PaymentId, ReservationId, TicketSerial};
use crate::limits::DECLINES_PER_HOLD;
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::{ChargeOutcome, ConfirmPayment, OpenPayment, Seats};
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, MoneyMoved, PaymentFailure, RefundReason, RememberedAnswer};
use crate::sale::holds::reservation::Reservation;
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, ReservationStatus, SalePhase};
use crate::sale::snapshot::PaymentRow;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_open_payment(&self, open: &OpenPayment, now: Timestamp) -> Result<Decision, Rejection> {
        if let Some(answer) = self.recall_opening(open, now)? {
            return Ok(answer);
        }
        let view = self.own(open.buyer, open.reservation)?;
        self.check_not_cancelled()?;
        let in_time = view.hold_expires_at > now || self.is_charging(open.reservation);
        if view.status != ReservationStatus::Pending || !in_time {
            return Err(Rejection::NotPending(self.state_of(view, now)));
        }
        if open.amount != view.amount {
            return Err(Rejection::AmountMismatch);
        }
        let pending = self.pending_payment(open.reservation).filter(|payment| payment.amount == open.amount);
        let payment = pending.as_ref().map_or(open.payment, |payment| payment.id);
        let mut facts = Facts::new();
        if pending.is_none() {
            check_attempts(view, open.amount)?;
            facts.push(Fact::PaymentOpened { payment, reservation: open.reservation, amount: open.amount });
        }
        if let Some(key) = open.key {
            facts.push(Fact::KeyRemembered { key, answer: RememberedAnswer::PaymentOpened { payment } });
        }
        Ok(Decision { facts, outcome: Outcome::Payment(payment) })
    }

    pub(crate) fn decide_confirm_payment(
        &self,
        confirm: &ConfirmPayment,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
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

    /// What follows from a provider's answer. Repeats and answers to what is settled change nothing, except that
    /// money taken where none is owed is given back, and money that no payment accounts for is written down.
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
            // No provider has a say in what costs nothing. Only journals of before have such charges.
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
            // Captured before, and by another amount: a second charge.
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

    fn captured(&self, row: &PaymentRow, amount: Amount) -> Facts {
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

    /// The seats that a payment buys: the ones held; if it comes too late the same ones, else an equal block.
    fn seats_for_payment(&self, reservation: &Reservation, amount: Amount) -> Option<Seats> {
        let (ledger, config) = (self.ledger.as_ref()?, self.config.as_ref()?);
        match reservation.status {
            ReservationStatus::Pending if reservation.amount == amount => Some(reservation.seats.clone()),
            ReservationStatus::Expired if reservation.amount == amount => {
                let has = usize::from(self.reservations.buyer(reservation.buyer).seats);
                if has + reservation.seats.len() > usize::from(config.max_seats_per_buyer) {
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

    pub(crate) fn decide_refund(&self, payment: PaymentId) -> Decision {
        Decision::done(match self.reservations.payment(payment).map(|row| &row.view.status) {
            Some(PaymentStatus::Refunded { settled: false, .. }) => smallvec![Fact::PaymentRefunded { payment }],
            Some(PaymentStatus::Refunded { settled: true, .. }) => Facts::new(),
            Some(
                PaymentStatus::Opened | PaymentStatus::Charging | PaymentStatus::Captured | PaymentStatus::Failed(_),
            )
            | None => self.note_unmatched(payment, MoneyMoved::Refunded),
        })
    }

    pub(crate) fn cancel(&self, buyer: BuyerId, id: ReservationId, now: Timestamp) -> Result<Decision, Rejection> {
        let reservation = self.own(buyer, id)?;
        if reservation.status != ReservationStatus::Confirmed {
            return Err(Rejection::NotCancellable(self.state_of(reservation, now)));
        }
        if self.config.as_ref().is_some_and(|config| now >= config.cancellation_closes_at) {
            return Err(Rejection::CancellationClosed);
        }
        let facts = self.cancelled_and_refunded(id, RefundReason::BuyerCancelled).unwrap_or_default();
        Ok(Decision { facts, outcome: Outcome::Reservation(id) })
    }

    /// The facts that cancel a confirmed reservation and order its refund.
    pub(crate) fn cancelled_and_refunded(&self, id: ReservationId, reason: RefundReason) -> Option<Facts> {
        let reservation = self.reservations.get(id)?;
        let paid = reservation.payments().iter().rev().filter_map(|payment| self.reservations.payment(*payment));
        let paid = paid.into_iter().find(|row| row.view.status == PaymentStatus::Captured)?;
        let (payment, amount) = (paid.view.id, paid.captured);
        let cancelled = Fact::ReservationCancelled { reservation: id, refund: amount };
        Some(std::iter::once(cancelled).chain(refund(payment, amount, reason)).collect())
    }

    /// The failure of a reservation's opened payment, if there is one that has not been started.
    pub(crate) fn failed_with(&self, id: ReservationId, reason: PaymentFailure) -> Option<Fact> {
        let row = self.reservations.last_payment(id)?;
        let payment = row.view.id;
        (row.view.status == PaymentStatus::Opened).then_some(Fact::PaymentFailed { payment, reason })
    }
}

/// Whether the hold may be charged once more: who tries cards finds out about a few of them only. What costs nothing is not
/// charged.
fn check_attempts(reservation: &Reservation, amount: Amount) -> Result<(), Rejection> {
    let may = reservation.declined() < DECLINES_PER_HOLD || amount == Amount(0);
    if may { Ok(()) } else { Err(Rejection::PaymentAttemptsExceeded) }
}

/// A payment of nothing is confirmed without a charge: no card declines it, and no provider is asked.
fn is_free(row: &PaymentRow) -> bool {
    row.view.amount == Amount(0)
}

/// The facts that give money back. There is nothing to wait for when nothing was taken: no provider is asked.
fn refund(payment: PaymentId, amount: Amount, reason: RefundReason) -> impl Iterator<Item = Fact> {
    let settled = (amount == Amount(0)).then_some(Fact::PaymentRefunded { payment });
    std::iter::once(Fact::RefundOrdered { payment, amount, reason }).chain(settled)
}

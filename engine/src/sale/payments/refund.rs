//! Giving money back: a buyer's cancellation of a confirmed reservation, the facts that cancel and refund, and the provider's
//! outcome of a refund. A refund is ordered once and repeated by the runtime until the provider has done it. Must never refund
//! a payment twice.

use crate::id::{BuyerId, PaymentId, ReservationId};
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts, MoneyMoved, RefundReason};
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, ReservationStatus};
use crate::sale::seats::ledger::SeatState;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// A buyer cancels their own reservation, until [`crate::sale::SaleConfig::cancellation_closes_at`].
    pub(crate) fn decide_cancellation(
        &self,
        buyer: BuyerId,
        id: ReservationId,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
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

    /// The provider has given money back.
    pub(crate) fn decide_refund_outcome(&self, payment: PaymentId) -> Decision {
        Decision::done(match self.reservations.payment(payment).map(|row| &row.view.status) {
            Some(PaymentStatus::Refunded { settled: false, .. }) => smallvec![Fact::PaymentRefunded { payment }],
            Some(PaymentStatus::Refunded { settled: true, .. }) => Facts::new(),
            Some(
                PaymentStatus::Opened | PaymentStatus::Charging | PaymentStatus::Captured | PaymentStatus::Failed(_),
            )
            | None => self.note_unmatched(payment, MoneyMoved::Refunded),
        })
    }

    /// The reservation is over; its seats are free.
    pub(crate) fn apply_cancellation(&mut self, id: ReservationId, refund: Amount) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let seats = reservation.seats.clone();
        self.set_seats(&seats, SeatState::Free);
        self.reservations.update(id, |reservation| {
            reservation.status = ReservationStatus::Cancelled;
            reservation.purchase_mut().refund = Some(refund);
        });
    }

    pub(crate) fn apply_refund_order(&mut self, payment: PaymentId, reason: RefundReason) {
        self.reservations.update_payment(payment, |row| {
            row.view.status = PaymentStatus::Refunded { reason, settled: false };
        });
    }

    pub(crate) fn apply_refund(&mut self, payment: PaymentId) {
        self.reservations.update_payment(payment, |row| {
            if let PaymentStatus::Refunded { settled, .. } = &mut row.view.status {
                *settled = true;
            }
        });
    }
}

/// The facts that give money back. There is nothing to wait for when nothing was taken: no provider is asked.
pub(super) fn refund(payment: PaymentId, amount: Amount, reason: RefundReason) -> impl Iterator<Item = Fact> {
    let settled = (amount == Amount(0)).then_some(Fact::PaymentRefunded { payment });
    std::iter::once(Fact::RefundOrdered { payment, amount, reason }).chain(settled)
}

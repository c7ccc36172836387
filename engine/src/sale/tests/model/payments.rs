//! Payments in the naive model: which may be opened and charged, and what each outcome leads to.

use super::{Answer, Model, No, Payment, Place, Reservation};
use crate::id::{BuyerId, PaymentId, ReservationId, SeatIndex};
use crate::money::Amount;
use crate::sale::{
    ChargeOutcome, ConfirmPayment, MoneyMoved, OpenPayment, PaymentFailure, PaymentStatus, RefundReason,
    ReservationStatus,
};
use crate::time::Timestamp;
use std::collections::BTreeSet;

impl Model {
    pub(super) fn charging(&self, id: ReservationId) -> Option<&Payment> {
        self.payments.values().find(|p| p.reservation == id && p.status == PaymentStatus::Charging)
    }

    pub(super) fn may_cancel(&self, buyer: BuyerId, id: ReservationId, now: Timestamp) -> Result<(), No> {
        match self.own(buyer, id)?.status {
            ReservationStatus::Confirmed if now >= self.rules.cancellation_closes_at => Err("CancellationClosed"),
            ReservationStatus::Confirmed => Ok(()),
            _ => Err("NotCancellable"),
        }
    }

    /// Whether an administrator may end it; what has ended stays as it is.
    pub(super) fn may_end(&self, id: ReservationId, only_paid: bool) -> Result<(), No> {
        match self.reservations.get(&id).ok_or("ReservationNotFound")?.status {
            ReservationStatus::Pending if only_paid => Err("NotCancellable"),
            ReservationStatus::Pending if self.charging(id).is_some() => Err("PaymentInProgress"),
            _ => Ok(()),
        }
    }

    pub(super) fn may_open(&self, open: &OpenPayment, now: Timestamp) -> Result<bool, No> {
        if self.recall(open.key, now)? {
            return Ok(true);
        }
        let hold = self.own(open.buyer, open.reservation)?;
        let in_time = hold.expires_at > now || self.charging(open.reservation).is_some();
        if self.cancelled {
            return Err("SaleCancelled");
        }
        if hold.status != ReservationStatus::Pending || !in_time {
            return Err("NotPending");
        }
        if open.amount.0 != hold.amount {
            return Err("AmountMismatch");
        }
        if self.pending(open).is_none() && open.amount.0 > 0 && self.is_exhausted(open.reservation) {
            return Err("PaymentAttemptsExceeded");
        }
        Ok(false)
    }

    /// Whether five charges of it were declined.
    pub(super) fn is_exhausted(&self, id: ReservationId) -> bool {
        let declined = |p: &&Payment| {
            p.reservation == id && matches!(p.status, PaymentStatus::Failed(PaymentFailure::Declined(_)))
        };
        self.payments.values().filter(declined).count() >= 5
    }

    pub(super) fn may_confirm(&self, confirm: &ConfirmPayment, now: Timestamp) -> Result<bool, No> {
        if self.recall(confirm.key, now)? {
            return Ok(true);
        }
        let hold = self.own(confirm.buyer, confirm.reservation)?;
        let payment = self.payments.get(&confirm.payment).filter(|p| p.reservation == confirm.reservation);
        let payment = payment.ok_or("PaymentNotFound")?;
        let pending = hold.status == ReservationStatus::Pending;
        let is_cancelled = match &payment.status {
            PaymentStatus::Opened => self.cancelled,
            status => *status == PaymentStatus::Failed(PaymentFailure::SaleCancelled),
        };
        if is_cancelled {
            return Err("SaleCancelled");
        }
        let too_late = match &payment.status {
            PaymentStatus::Opened => !pending || hold.expires_at <= now,
            PaymentStatus::Failed(PaymentFailure::HoldEnded) => !pending,
            _ => false,
        };
        if too_late {
            return Err("HoldExpired");
        }
        if confirm.amount.0 != payment.amount {
            return Err("AmountMismatch");
        }
        let is_attempt = match &payment.status {
            PaymentStatus::Opened => true,
            PaymentStatus::Failed(PaymentFailure::Declined(_)) => {
                pending && payment.transaction.as_deref() != Some(&*confirm.transaction)
            }
            _ => false,
        };
        let is_attempt = is_attempt && payment.amount > 0;
        if is_attempt && self.is_exhausted(confirm.reservation) { Err("PaymentAttemptsExceeded") } else { Ok(false) }
    }

    pub(super) fn payment(&mut self, id: PaymentId) -> &mut Payment {
        self.payments.get_mut(&id).unwrap()
    }

    pub(super) fn opened(&self, id: ReservationId) -> Option<PaymentId> {
        let opened = |p: &Payment| p.reservation == id && p.status == PaymentStatus::Opened;
        self.payments.iter().find(|(_, p)| opened(p)).map(|(id, _)| *id)
    }

    pub(super) fn fail_opened(&mut self, id: ReservationId, reason: PaymentFailure) {
        if let Some(payment) = self.opened(id) {
            self.payment(payment).status = PaymentStatus::Failed(reason);
        }
    }

    pub(super) fn refund(&mut self, id: ReservationId, reason: RefundReason) {
        self.reservation(id).status = ReservationStatus::Cancelled;
        let paid = |p: &&mut Payment| p.reservation == id && p.status == PaymentStatus::Captured;
        let payment = self.payments.values_mut().find(paid).unwrap();
        payment.status = PaymentStatus::Refunded { reason, settled: payment.captured == 0 };
    }

    pub(super) fn pending(&self, open: &OpenPayment) -> Option<PaymentId> {
        let same = |p: &Payment| {
            let pending = matches!(p.status, PaymentStatus::Opened | PaymentStatus::Charging);
            p.reservation == open.reservation && pending && p.amount == open.amount.0
        };
        self.payments.iter().find(|(_, p)| same(p)).map(|(id, _)| *id)
    }

    /// The payment that is answered.
    pub(super) fn open(&mut self, open: &OpenPayment, now: Timestamp) -> PaymentId {
        let id = self.pending(open).unwrap_or(open.payment);
        self.payments.entry(id).or_insert(Payment {
            reservation: open.reservation,
            amount: open.amount.0,
            status: PaymentStatus::Opened,
            started: None,
            transaction: None,
            captured: 0,
        });
        self.remember(open.key, now, Answer::Opened);
        id
    }

    pub(super) fn confirm(&mut self, confirm: &ConfirmPayment, now: Timestamp) {
        let payment = self.payment(confirm.payment);
        if payment.status == PaymentStatus::Opened && payment.amount == 0 {
            let seats = self.reservations[&confirm.reservation].seats.clone();
            self.sell(confirm.payment, confirm.reservation, seats);
            self.remember(confirm.key, now, Answer::Confirmed(confirm.payment));
        } else if payment.status == PaymentStatus::Opened {
            payment.status = PaymentStatus::Charging;
            payment.started = Some(now);
            payment.transaction = Some(confirm.transaction.clone());
            self.remember(confirm.key, now, Answer::Confirmed(confirm.payment));
        }
    }

    /// What the provider says; `sold` are the seats that the sale has confirmed, to be checked.
    pub(super) fn settle(&mut self, id: PaymentId, outcome: &ChargeOutcome, sold: Option<Vec<SeatIndex>>) {
        let payment = self.payments[&id].clone();
        let open = matches!(payment.status, PaymentStatus::Opened | PaymentStatus::Charging);
        match outcome {
            ChargeOutcome::Captured { amount } if open || matches!(payment.status, PaymentStatus::Failed(_)) => {
                self.payment(id).captured = amount.0;
                match self.buys(&payment, *amount, sold.as_deref()) {
                    Ok(()) => self.sell(id, payment.reservation, sold.unwrap()),
                    Err(reason) => {
                        assert_eq!(sold, None, "money that buys nothing");
                        let settled = amount.0 == 0;
                        self.payment(id).status = PaymentStatus::Refunded { reason, settled };
                    }
                }
            }
            // No card declines what costs nothing.
            ChargeOutcome::Declined { .. } | ChargeOutcome::NotCharged if payment.amount == 0 => assert_eq!(sold, None),
            ChargeOutcome::Declined { reason } if open => {
                self.payment(id).status = PaymentStatus::Failed(PaymentFailure::Declined(reason.clone()));
            }
            ChargeOutcome::NotCharged if open => {
                self.payment(id).status = PaymentStatus::Failed(PaymentFailure::NotCharged);
            }
            ChargeOutcome::Captured { amount } if amount.0 != payment.captured => {
                assert_eq!(sold, None);
                self.is_unmatched(id, MoneyMoved::Captured { amount: *amount });
            }
            _ => assert_eq!(sold, None),
        }
    }

    /// Written down once.
    pub(super) fn is_unmatched(&mut self, id: PaymentId, moved: MoneyMoved) {
        if !self.unmatched.contains(&(id, moved)) {
            self.unmatched.push((id, moved));
        }
    }

    pub(super) fn sell(&mut self, payment: PaymentId, id: ReservationId, seats: Vec<SeatIndex>) {
        self.payment(payment).status = PaymentStatus::Captured;
        let reservation = self.reservation(id);
        (reservation.status, reservation.seats) = (ReservationStatus::Confirmed, seats);
        let buyer = reservation.buyer;
        self.fail_opened(id, PaymentFailure::HoldEnded);
        if matches!(self.places.get(&buyer), Some(Place::Active { .. })) {
            self.places.remove(&buyer);
        }
    }

    /// Whether captured money buys its reservation, or why it is given back.
    pub(super) fn buys(
        &self,
        payment: &Payment,
        amount: Amount,
        sold: Option<&[SeatIndex]>,
    ) -> Result<(), RefundReason> {
        let reservation = &self.reservations[&payment.reservation];
        if amount.0 != payment.amount {
            return Err(RefundReason::AmountMismatch);
        }
        if self.cancelled {
            return Err(RefundReason::SaleCancelled);
        }
        if amount.0 != reservation.amount {
            return Err(RefundReason::TooLate);
        }
        match reservation.status {
            ReservationStatus::Pending => {
                assert_eq!(sold, Some(&reservation.seats[..]));
                Ok(())
            }
            ReservationStatus::Expired => self.buys_late(reservation, sold),
            _ => Err(RefundReason::TooLate),
        }
    }

    pub(super) fn buys_late(&self, reservation: &Reservation, sold: Option<&[SeatIndex]>) -> Result<(), RefundReason> {
        let (seats, limit) = (&reservation.seats, usize::from(self.rules.max_seats_per_buyer));
        if self.has(reservation.buyer) + seats.len() > limit {
            return Err(RefundReason::TooLate);
        }
        if seats.iter().all(|seat| !self.is_taken(*seat)) {
            assert_eq!(sold, Some(&seats[..]), "the same seats are free");
            return Ok(());
        }
        let letters: BTreeSet<char> = seats.iter().map(|seat| self.seats[seat.at()].letter).collect();
        let letter = seats.first().map(|seat| self.seats[seat.at()].letter).filter(|_| letters.len() == 1);
        let blocks = letter.map(|letter| self.blocks(letter, seats.len())).unwrap_or_default();
        if blocks.is_empty() {
            return Err(RefundReason::TooLate);
        }
        assert!(sold.is_some_and(|sold| blocks.iter().any(|block| block == sold)), "{sold:?} is no equal block");
        Ok(())
    }

    pub(super) fn settle_refund(&mut self, id: PaymentId) {
        match self.payments.get_mut(&id).map(|payment| &mut payment.status) {
            Some(PaymentStatus::Refunded { settled, .. }) => *settled = true,
            _ => self.is_unmatched(id, MoneyMoved::Refunded),
        }
    }
}

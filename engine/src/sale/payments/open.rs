//! Opening a payment of a pending hold: the amount is agreed, nothing is charged yet. Must never open a second payment while one
//! of the same amount is open.

use crate::id::{PaymentId, ReservationId};
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::command::OpenPayment;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Entry, Fact, Facts, RememberedAnswer};
use crate::sale::payments::attempts::check_attempts;
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, PaymentView, ReservationStatus};
use crate::sale::snapshot::PaymentRow;
use crate::time::Timestamp;

impl Sale {
    pub(crate) fn decide_opening(&self, open: &OpenPayment, now: Timestamp) -> Result<Decision, Rejection> {
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

    pub(crate) fn apply_opening(
        &mut self,
        entry: &Entry,
        payment: PaymentId,
        reservation: ReservationId,
        amount: Amount,
    ) {
        let Some(owner) = self.reservations.get(reservation).map(|r| r.buyer) else { return };
        let view = PaymentView {
            id: payment,
            reservation,
            buyer: owner,
            amount,
            status: PaymentStatus::Opened,
            created_at: entry.at,
            paid_at: None,
        };
        let created_seq = entry.seq;
        let row = PaymentRow {
            created_seq,
            view,
            transaction: None,
            charging_until: None,
            unknown: false,
            captured: Amount(0),
        };
        self.reservations.open_payment(row);
    }
}

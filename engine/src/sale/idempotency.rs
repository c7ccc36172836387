//! Idempotency keys, and the stored answers to repeated requests. A key is remembered for [`KEY_REMEMBERED_FOR`] and at most
//! [`KEYS_KEPT`] are, the oldest forgotten first. A key outlives the reservation or payment that it names, so the answer to a
//! hold or an opening is stored whole. Must never remember a refusal: its key is free again.

use crate::limits::{FORGOTTEN_AT_ONCE, KEY_REMEMBERED_FOR, KEYS_KEPT};
use crate::sale::Sale;
use crate::sale::collections::fifo::Fifo;
use crate::sale::collections::lazy::Empty;
use crate::sale::collections::table::{Keyed, Table};
use crate::sale::command::{ConfirmPayment, Hold, OpenPayment, RequestKey};
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{RefundReason, RememberedAnswer};
use crate::sale::rejection::Rejection;
use crate::sale::reply::{PaymentStatus, PaymentView, ReservationStatus, ReservationView};
use crate::sale::snapshot::{KeyRow, PaymentRow};
use crate::time::Timestamp;
use std::sync::LazyLock;

/// The keys of one sale.
#[derive(Default, Clone)]
pub(crate) struct Keys {
    rows: Table<KeyRow>,
    /// When each was answered, the oldest first; with the earlier times of a key that was answered again since.
    order: Fifo<(Timestamp, u128)>,
}

impl Empty for Keys {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Keys> = LazyLock::new(Keys::default);
        &EMPTY
    }
}

impl Keys {
    pub(crate) fn get(&self, scope: u128) -> Option<&KeyRow> {
        self.rows.get(scope).filter(|row| !self.is_forgotten(row.at))
    }

    /// Forgotten when the newest key is a day younger, though its row may stay for some keys more.
    fn is_forgotten(&self, at: Timestamp) -> bool {
        self.order.back().is_some_and(|(newest, _)| at + KEY_REMEMBERED_FOR <= *newest)
    }

    /// What was answered to a key within the last day.
    fn fresh(&self, scope: u128, now: Timestamp) -> Option<&KeyRow> {
        self.get(scope).filter(|row| row.at + KEY_REMEMBERED_FOR > now)
    }

    pub(crate) fn insert(&mut self, key: RequestKey, at: Timestamp, answer: RememberedAnswer) {
        self.rows.insert(KeyRow { key, at, answer });
        self.order.push_back((at, key.scope));
        // A bounded number at once: the first key after a quiet day would have a million to drop.
        for _ in 0..FORGOTTEN_AT_ONCE {
            let is_old = self.order.front().is_some_and(|(old, _)| self.is_forgotten(*old));
            let Some((old, scope)) = (is_old || self.order.len() > KEYS_KEPT).then(|| self.order.pop_front()).flatten()
            else {
                break;
            };
            if self.rows.get(scope).is_some_and(|row| row.at == old) {
                self.rows.remove(scope);
            }
        }
    }

    pub(crate) fn rows(&self) -> Vec<KeyRow> {
        let current = |(at, scope): &(Timestamp, u128)| self.get(*scope).filter(|row| row.at == *at);
        self.order.iter().filter_map(current).cloned().collect()
    }

    pub(crate) fn from_rows(rows: Vec<KeyRow>) -> Self {
        let mut keys = Self::default();
        for row in rows {
            keys.order.push_back((row.at, row.key.scope));
            keys.rows.insert(row);
        }
        keys
    }
}

impl Keyed for KeyRow {
    type Id = u128;
    fn id(&self) -> u128 {
        self.key.scope
    }
}

impl Sale {
    /// The stored answer to the same request, if there is one that still holds.
    fn recall(&self, key: Option<RequestKey>, now: Timestamp) -> Result<Option<&KeyRow>, Rejection> {
        let row = key.and_then(|key| self.keys.fresh(key.scope, now)).filter(|row| self.was_accepted(&row.answer));
        match row.zip(key) {
            Some((row, key)) if row.key.body != key.body => Err(Rejection::KeyReused),
            Some(_) | None => Ok(row),
        }
    }

    /// Only accepted requests are remembered: after a refusal or a failed charge the key is free again.
    fn was_accepted(&self, answer: &RememberedAnswer) -> bool {
        let has_failed = |row: &PaymentRow| match row.view.status {
            PaymentStatus::Failed(_) => true,
            PaymentStatus::Refunded { reason, .. } => match reason {
                RefundReason::AmountMismatch | RefundReason::TooLate => true,
                RefundReason::BuyerCancelled | RefundReason::SaleCancelled | RefundReason::OperatorCancelled => false,
            },
            PaymentStatus::Opened | PaymentStatus::Charging | PaymentStatus::Captured => false,
        };
        match answer {
            RememberedAnswer::Held { .. } | RememberedAnswer::PaymentOpened { .. } => true,
            RememberedAnswer::PaymentConfirmed { payment } => {
                !self.reservations.payment(*payment).is_none_or(has_failed)
            }
        }
    }

    /// The reservation as it was when it was made.
    pub(crate) fn recall_hold(&self, hold: &Hold, now: Timestamp) -> Result<Option<Decision>, Rejection> {
        let Some(row) = self.recall(hold.key, now)? else { return Ok(None) };
        let RememberedAnswer::Held { reservation, seats, amount, created_at, expires_at } = &row.answer else {
            return Ok(None);
        };
        let view = ReservationView {
            id: *reservation,
            buyer: hold.buyer,
            status: ReservationStatus::Pending,
            seats: seats.clone(),
            amount: *amount,
            hold_expires_at: *expires_at,
            created_at: *created_at,
            confirmed_at: None,
            ticket: None,
            refund: None,
        };
        Ok(Some(Decision::nothing(Outcome::Remembered(Box::new(view)))))
    }

    /// The payment as it was when it was opened.
    pub(crate) fn recall_opening(&self, open: &OpenPayment, now: Timestamp) -> Result<Option<Decision>, Rejection> {
        let Some(row) = self.recall(open.key, now)? else { return Ok(None) };
        let RememberedAnswer::PaymentOpened { payment } = row.answer else { return Ok(None) };
        let view = PaymentView {
            id: payment,
            reservation: open.reservation,
            buyer: open.buyer,
            amount: open.amount,
            status: PaymentStatus::Opened,
            created_at: self.reservations.payment(payment).map_or(row.at, |row| row.view.created_at),
            paid_at: None,
        };
        Ok(Some(Decision::nothing(Outcome::RememberedPayment(Box::new(view)))))
    }

    /// The payment in its present state: it may have settled since.
    pub(crate) fn recall_confirmation(
        &self,
        confirm: &ConfirmPayment,
        now: Timestamp,
    ) -> Result<Option<Decision>, Rejection> {
        let Some(row) = self.recall(confirm.key, now)? else { return Ok(None) };
        let RememberedAnswer::PaymentConfirmed { payment } = row.answer else { return Ok(None) };
        Ok(Some(Decision::nothing(Outcome::Payment(payment))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::PaymentId;
    use uuid::Uuid;

    #[test]
    fn keys_of_the_day_before_are_forgotten_at_once_and_dropped_little_by_little() {
        let (mut keys, first) = (Keys::default(), Timestamp::from_secs(1_780_000_000));
        let answer = || RememberedAnswer::PaymentOpened { payment: PaymentId(Uuid::nil()) };
        (0..50).for_each(|scope| keys.insert(RequestKey { scope, body: 0 }, first, answer()));
        keys.insert(RequestKey { scope: 50, body: 0 }, first + KEY_REMEMBERED_FOR, answer());
        assert_eq!((keys.rows().len(), keys.order.len()), (1, 51 - FORGOTTEN_AT_ONCE));
        assert!((0..50).all(|scope| keys.get(scope).is_none()) && keys.get(50).is_some());
        (51..55).for_each(|scope| keys.insert(RequestKey { scope, body: 0 }, first + KEY_REMEMBERED_FOR, answer()));
        assert_eq!((keys.rows().len(), keys.order.len()), (5, 5));
    }
}

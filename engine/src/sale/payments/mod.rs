//! Payments of holds: a charge is ordered by a durable fact, and its outcome comes back as a command, perhaps late, perhaps
//! twice. Here is what several rules of payments share; each rule has its file. Must never ask a provider: that is the
//! runtime's.

pub(crate) mod attempts;
pub(crate) mod charge;
pub(crate) mod late;
pub(crate) mod open;
pub(crate) mod refund;
pub(crate) mod settle;
pub(crate) mod unknown;
pub(crate) mod unmatched;

use crate::id::{PaymentId, ReservationId};
use crate::money::Amount;
use crate::sale::Sale;
use crate::sale::fact::{Fact, PaymentFailure};
use crate::sale::reply::PaymentStatus;
use crate::sale::snapshot::PaymentRow;

impl Sale {
    /// The failure of a reservation's opened payment, if there is one that has not been started.
    pub(crate) fn failed_with(&self, id: ReservationId, reason: PaymentFailure) -> Option<Fact> {
        let row = self.reservations.last_payment(id)?;
        let payment = row.view.id;
        (row.view.status == PaymentStatus::Opened).then_some(Fact::PaymentFailed { payment, reason })
    }

    pub(crate) fn apply_failure(&mut self, payment: PaymentId, reason: &PaymentFailure) {
        self.reservations.update_payment(payment, |row| {
            row.view.status = PaymentStatus::Failed(reason.clone());
            (row.charging_until, row.unknown) = (None, false);
        });
    }
}

/// A payment of nothing is confirmed without a charge: no card declines it, and no provider is asked.
fn is_free(row: &PaymentRow) -> bool {
    row.view.amount == Amount(0)
}

#[cfg(test)]
mod tests;

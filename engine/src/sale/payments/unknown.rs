//! A charge whose outcome is not known: the provider did not answer in time, or nobody could be asked. It is a state of its own:
//! the payment stays charging, its hold stays for the time in `holds/expire.rs`, and the runtime's reconciler asks the provider
//! about the same transaction again until it answers; it never charges again. The same after each start and rebuild, from what
//! is listed here; a refund without an outcome likewise. Must never guess an outcome.

use crate::id::PaymentId;
use crate::sale::Sale;
use crate::sale::reply::PaymentStatus;
use crate::sale::snapshot::PaymentRow;

impl Sale {
    /// Payments whose charge (first) or refund (second) has not come to its end, the oldest first: what the reconciler asks
    /// about. O(payments).
    #[must_use]
    pub fn open_money(&self) -> (Vec<PaymentRow>, Vec<PaymentRow>) {
        let rows = |wanted: fn(&PaymentStatus) -> bool| {
            let mut rows: Vec<_> =
                self.reservations.payments().filter(|row| wanted(&row.view.status)).cloned().collect();
            rows.sort_by_key(|row| row.created_seq);
            rows
        };
        (
            rows(|status| *status == PaymentStatus::Charging),
            rows(|status| matches!(status, PaymentStatus::Refunded { settled: false, .. })),
        )
    }

    pub(crate) fn apply_unknown(&mut self, payment: PaymentId) {
        self.reservations.update_payment(payment, |row| row.unknown = true);
    }
}

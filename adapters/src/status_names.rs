//! The names of states and reasons in stored rows and messages: those of the HTTP contract, and stable codes where it
//! has none. Must never change a name: rows and messages have it.

use onsale_engine::ports::rows::SeatStatus;
use onsale_engine::ports::search::{Counted, PaymentState};
use onsale_engine::ports::shared::Described;
use onsale_engine::sale::{PaymentFailure, PaymentStatus, RefundReason, ReservationStatus};
use uuid::Uuid;

pub(crate) fn seat_status(status: SeatStatus) -> &'static str {
    match status {
        SeatStatus::Available => "AVAILABLE",
        SeatStatus::Held => "HELD",
        SeatStatus::Sold => "SOLD",
        SeatStatus::Blocked => "BLOCKED",
    }
}

pub(crate) fn reservation_status(status: ReservationStatus) -> &'static str {
    match status {
        ReservationStatus::Pending => "PENDING",
        ReservationStatus::Confirmed => "CONFIRMED",
        ReservationStatus::Cancelled => "CANCELLED",
        ReservationStatus::Expired => "EXPIRED",
    }
}

pub(crate) fn parse_reservation_status(word: &str) -> Option<ReservationStatus> {
    Some(match word {
        "PENDING" => ReservationStatus::Pending,
        "CONFIRMED" => ReservationStatus::Confirmed,
        "CANCELLED" => ReservationStatus::Cancelled,
        "EXPIRED" => ReservationStatus::Expired,
        _ => return None,
    })
}

/// A payment's status as its buyer reads it.
pub(crate) fn payment_status(status: &PaymentStatus) -> &'static str {
    payment_state(PaymentState::of(status))
}

pub(crate) fn payment_state(state: PaymentState) -> &'static str {
    match state {
        PaymentState::Pending => "PENDING",
        PaymentState::Success => "SUCCESS",
        PaymentState::Failed => "FAILED",
        PaymentState::Refunded => "REFUNDED",
    }
}

/// Under which names rows are counted.
pub(crate) fn counted(what: Counted) -> (&'static str, &'static str) {
    match what {
        Counted::Reservations(status) => ("RESERVATION", reservation_status(status)),
        Counted::Payments(state) => ("PAYMENT", payment_state(state)),
    }
}

/// How far a payment is within its status.
pub(crate) fn payment_stage(status: &PaymentStatus, unknown: bool) -> &'static str {
    match status {
        PaymentStatus::Opened => "OPENED",
        PaymentStatus::Charging if unknown => "UNKNOWN",
        PaymentStatus::Charging => "CHARGING",
        PaymentStatus::Captured => "CAPTURED",
        PaymentStatus::Failed(_) => "FAILED",
        PaymentStatus::Refunded { settled: false, .. } => "REFUND_ORDERED",
        PaymentStatus::Refunded { settled: true, .. } => "REFUND_SETTLED",
    }
}

/// How every payment is paid.
pub const PAYMENT_METHOD: &str = "CARD";

/// The code of a failure, and the provider's own reason if it has one.
pub(crate) fn failure(failure: &PaymentFailure) -> (&'static str, Option<&str>) {
    match failure {
        PaymentFailure::Declined(reason) => ("DECLINED", Some(reason)),
        PaymentFailure::NotCharged => ("NOT_CHARGED", None),
        PaymentFailure::AmountMismatch => ("AMOUNT_MISMATCH", None),
        PaymentFailure::HoldEnded => ("HOLD_ENDED", None),
        PaymentFailure::SaleCancelled => ("SALE_CANCELLED", None),
    }
}

/// Why a payment is not, or not any more, a success, as the HTTP contract's `failure` says it.
#[must_use]
pub fn payment_failure(status: &PaymentStatus) -> Option<String> {
    Some(match status {
        PaymentStatus::Opened | PaymentStatus::Charging | PaymentStatus::Captured => return None,
        PaymentStatus::Failed(reason) => match failure(reason) {
            (code, Some(detail)) => format!("{code}:{detail}"),
            (code, None) => code.to_owned(),
        },
        // A table keeps why it was given back, a buyer reads what became of their hold.
        PaymentStatus::Refunded { reason: RefundReason::TooLate, .. } => "HOLD_EXPIRED".to_owned(),
        PaymentStatus::Refunded { reason, .. } => refund_reason(*reason).to_owned(),
    })
}

pub(crate) fn refund_reason(reason: RefundReason) -> &'static str {
    match reason {
        RefundReason::BuyerCancelled => "BUYER_CANCELLED",
        RefundReason::SaleCancelled => "SALE_CANCELLED",
        RefundReason::AmountMismatch => "AMOUNT_MISMATCH",
        RefundReason::TooLate => "TOO_LATE",
        RefundReason::OperatorCancelled => "OPERATOR_CANCELLED",
    }
}

/// A payment's state as tables keep it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PaymentWords<'a> {
    pub(crate) stage: &'a str,
    pub(crate) failure: Option<&'a str>,
    pub(crate) failure_detail: Option<&'a str>,
    pub(crate) refund_reason: Option<&'a str>,
}

impl<'a> PaymentWords<'a> {
    pub(crate) fn of(status: &'a PaymentStatus, unknown: bool) -> Self {
        let mut words =
            Self { stage: payment_stage(status, unknown), failure: None, failure_detail: None, refund_reason: None };
        match status {
            PaymentStatus::Failed(reason) => {
                let (code, detail) = failure(reason);
                (words.failure, words.failure_detail) = (Some(code), detail);
            }
            PaymentStatus::Refunded { reason, .. } => words.refund_reason = Some(refund_reason(*reason)),
            PaymentStatus::Opened | PaymentStatus::Charging | PaymentStatus::Captured => {}
        }
        words
    }

    /// The state, and whether the provider has failed to say what became of the charge.
    pub(crate) fn parse(&self) -> Option<(PaymentStatus, bool)> {
        let refunded = |settled| {
            let reason = match self.refund_reason? {
                "BUYER_CANCELLED" => RefundReason::BuyerCancelled,
                "SALE_CANCELLED" => RefundReason::SaleCancelled,
                "AMOUNT_MISMATCH" => RefundReason::AmountMismatch,
                "TOO_LATE" => RefundReason::TooLate,
                "OPERATOR_CANCELLED" => RefundReason::OperatorCancelled,
                _ => return None,
            };
            Some(PaymentStatus::Refunded { reason, settled })
        };
        let failed = || {
            Some(match self.failure? {
                "DECLINED" => PaymentFailure::Declined(self.failure_detail.unwrap_or_default().into()),
                "NOT_CHARGED" => PaymentFailure::NotCharged,
                "AMOUNT_MISMATCH" => PaymentFailure::AmountMismatch,
                "HOLD_ENDED" => PaymentFailure::HoldEnded,
                "SALE_CANCELLED" => PaymentFailure::SaleCancelled,
                _ => return None,
            })
        };
        let status = match self.stage {
            "OPENED" => PaymentStatus::Opened,
            "CHARGING" | "UNKNOWN" => PaymentStatus::Charging,
            "CAPTURED" => PaymentStatus::Captured,
            "FAILED" => PaymentStatus::Failed(failed()?),
            "REFUND_ORDERED" => refunded(false)?,
            "REFUND_SETTLED" => refunded(true)?,
            _ => return None,
        };
        Some((status, self.stage == "UNKNOWN"))
    }
}

/// The word for a kind of thing of the catalogue, and which of them.
pub(crate) fn described_word(thing: Described) -> (&'static str, Uuid) {
    match thing {
        Described::Event(id) => ("EVENT", id.0),
        Described::Venue(id) => ("VENUE", id),
        Described::Hall(id) => ("HALL", id),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn every_state_of_a_payment_has_its_own_name_and_is_read_back() {
        let failures = [
            PaymentFailure::Declined("no_funds".into()),
            PaymentFailure::NotCharged,
            PaymentFailure::AmountMismatch,
            PaymentFailure::HoldEnded,
            PaymentFailure::SaleCancelled,
        ];
        let reasons = [
            RefundReason::BuyerCancelled,
            RefundReason::SaleCancelled,
            RefundReason::AmountMismatch,
            RefundReason::TooLate,
            RefundReason::OperatorCancelled,
        ];
        let mut all = vec![
            (PaymentStatus::Opened, false),
            (PaymentStatus::Charging, false),
            (PaymentStatus::Charging, true),
            (PaymentStatus::Captured, false),
        ];
        all.extend(failures.map(|reason| (PaymentStatus::Failed(reason), false)));
        for settled in [false, true] {
            all.extend(reasons.map(|reason| (PaymentStatus::Refunded { reason, settled }, false)));
        }
        for (status, unknown) in &all {
            let words = PaymentWords::of(status, *unknown);
            assert_eq!(words.parse().unwrap(), (status.clone(), *unknown));
        }
        assert_eq!(
            PaymentWords { stage: "ODD", failure: None, failure_detail: None, refund_reason: None }.parse(),
            None
        );
    }

    #[test]
    fn every_status_of_a_reservation_is_read_back() {
        use ReservationStatus::{Cancelled, Confirmed, Expired, Pending};
        for status in [Pending, Confirmed, Cancelled, Expired] {
            assert_eq!(parse_reservation_status(reservation_status(status)), Some(status));
        }
        assert_eq!(parse_reservation_status("pending"), None);
    }
}

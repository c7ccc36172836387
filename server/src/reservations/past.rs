//! Answers about reservations that are no longer in memory: the same as the sale's would be if it still had them. Must never
//! decide anything: they are over.

use crate::app::App;
use crate::http::Problem;
use crate::sales;
use onsale_engine::ports::records::ReservationRecord;
use onsale_engine::runtime::{Found, Refusal};
use onsale_engine::sale::{Rejection, ReservationState, SalePhase};

/// Why it is not changed.
pub(super) fn unchangeable(app: &App, record: &ReservationRecord) -> Problem {
    refused(change(state(record), was_cancelled(app, record)))
}

/// Why no payment of it is opened.
pub fn unpayable(app: &App, record: &ReservationRecord) -> Problem {
    refused(payment(state(record), was_cancelled(app, record)))
}

/// Why it is not cancelled.
pub(super) fn uncancellable(app: &App, record: &ReservationRecord) -> Problem {
    refused(cancellation(state(record), was_cancelled(app, record)))
}

/// Why it is not given back.
pub(super) fn unreleasable(record: &ReservationRecord) -> Problem {
    refused(Rejection::NotPending(state(record)))
}

fn change(state: ReservationState, was_cancelled: bool) -> Rejection {
    if was_cancelled {
        return Rejection::SaleCancelled;
    }
    let is_expired = state == ReservationState::Expired;
    if is_expired { Rejection::HoldExpired(state) } else { Rejection::NotPending(state) }
}

fn payment(state: ReservationState, was_cancelled: bool) -> Rejection {
    if was_cancelled { Rejection::SaleCancelled } else { Rejection::NotPending(state) }
}

fn cancellation(state: ReservationState, was_cancelled: bool) -> Rejection {
    let with_sale = was_cancelled && matches!(state, ReservationState::Cancelled | ReservationState::Released);
    Rejection::NotCancellable(if with_sale { ReservationState::SaleCancelled } else { state })
}

fn refused(rejection: Rejection) -> Problem {
    sales::refused(Refusal::Rejected(rejection))
}

fn state(record: &ReservationRecord) -> ReservationState {
    ReservationState::of(&record.reservation)
}

fn was_cancelled(app: &App, record: &ReservationRecord) -> bool {
    let phase = match sales::authoritative(app, record.event) {
        Some(Found::Loaded(sale)) => Some(sale.phase()),
        Some(Found::Unloaded(summary)) => Some(summary.phase),
        None => None,
    };
    phase == Some(SalePhase::Cancelled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ReservationState::{Cancelled, Confirmed, Expired, Released, SaleCancelled};

    /// As `docs/answers.md` has it.
    #[test]
    fn what_memory_has_let_go_of_is_answered_alike() {
        assert_eq!(change(Expired, false), Rejection::HoldExpired(Expired));
        for state in [Released, Confirmed, Cancelled] {
            assert_eq!(change(state, false), Rejection::NotPending(state));
        }
        assert_eq!(payment(Expired, false), Rejection::NotPending(Expired));
        assert_eq!(cancellation(Expired, false), Rejection::NotCancellable(Expired));
        assert_eq!(cancellation(Cancelled, false), Rejection::NotCancellable(Cancelled));
        for state in [Expired, Released, Cancelled] {
            assert_eq!(
                (change(state, true), payment(state, true)),
                (Rejection::SaleCancelled, Rejection::SaleCancelled)
            );
        }
        assert_eq!(cancellation(Released, true), Rejection::NotCancellable(SaleCancelled));
        assert_eq!(cancellation(Expired, true), Rejection::NotCancellable(Expired));
    }
}

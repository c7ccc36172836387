//! What is answered of reservations that memory has let go of: the same as the sale would say if it still knew them. Must never
//! decide anything: they are over.

use crate::app::App;
use crate::http::Problem;
use crate::sales;
use onsale_engine::ports::records::ReservationRecord;
use onsale_engine::runtime::{Found, Refusal};
use onsale_engine::sale::{Rejection, ReservationState, ReservationStatus, SalePhase};

/// Why it is not changed.
pub(super) fn unchangeable(app: &App, record: &ReservationRecord) -> Problem {
    if was_cancelled(app, record) {
        return refused(Rejection::SaleCancelled);
    }
    let state = ReservationState::of(&record.reservation);
    let is_expired = state == ReservationState::Expired;
    refused(if is_expired { Rejection::HoldExpired(state) } else { Rejection::NotPending(state) })
}

/// Why no payment of it is opened.
pub fn unpayable(app: &App, record: &ReservationRecord) -> Problem {
    let state = ReservationState::of(&record.reservation);
    refused(if was_cancelled(app, record) { Rejection::SaleCancelled } else { Rejection::NotPending(state) })
}

/// Why it is not cancelled.
pub(super) fn uncancellable(app: &App, record: &ReservationRecord) -> Problem {
    let is_cancelled = record.reservation.status == ReservationStatus::Cancelled && was_cancelled(app, record);
    let state = ReservationState::of(&record.reservation);
    refused(Rejection::NotCancellable(if is_cancelled { ReservationState::SaleCancelled } else { state }))
}

/// Why it is not given back.
pub(super) fn unreleasable(record: &ReservationRecord) -> Problem {
    refused(Rejection::NotPending(ReservationState::of(&record.reservation)))
}

fn refused(rejection: Rejection) -> Problem {
    sales::refused(Refusal::Rejected(rejection))
}

fn was_cancelled(app: &App, record: &ReservationRecord) -> bool {
    let phase = match sales::believed(app, record.event) {
        Some(Found::Loaded(sale)) => Some(sale.phase()),
        Some(Found::Unloaded(summary)) => Some(summary.phase),
        None => None,
    };
    phase == Some(SalePhase::Cancelled)
}

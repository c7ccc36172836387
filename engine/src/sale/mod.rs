//! The sale of one event: seat ledger and waiting room, owned together. `decide` only reads, `apply` only writes
//! and cannot fail; replay calls `apply` alone. Must never read a clock, a generator or the order of a hash map.

mod apply;
mod collections;
mod command;
mod config;
mod decide;
pub mod draw;
mod due;
mod fact;
mod holds;
mod idempotency;
pub mod invariants;
mod operators;
mod payments;
mod phase;
mod queue;
mod read;
mod rejection;
mod reply;
mod seats;
mod snapshot;
mod summary;

pub use command::{
    Among, ChangeHold, ChargeOutcome, Command, ConfirmPayment, Hold, OpenPayment, OperatorCancel, RequestKey, Seats,
    Selection,
};
pub use config::{AdmissionConfig, SaleConfig, Steering, SteeringChange};
pub use fact::{Entry, Fact, Facts, MoneyMoved, PaymentFailure, RefundReason, RememberedAnswer};
pub use operators::postpone::{MoveCancellation, Postpone, RescheduleCause, Schedule};
pub use rejection::{Closed, Rejection, ReservationState, Unavailable};
pub use reply::{
    PaymentStatus, PaymentView, PlaceStatus, PlaceView, Reply, ReservationStatus, ReservationView, SalePhase,
    SeatCounts, SteeringView, Version,
};
pub use seats::blocking::SeatBlocking;
pub use snapshot::{
    CohortRow, DrawRow, KeyRow, LostRow, PaymentRow, PlaceRow, PlaceState, ReservationRow, SaleSnapshot, UnmatchedRow,
    WaitingRoomSnapshot,
};
pub use summary::SaleSummary;

use crate::id::Seq;
use crate::plan::Plan;
use crate::time::Timestamp;
use collections::lazy::Lazy;
use draw::Draw;
use holds::reservations::Reservations;
use idempotency::Keys;
use payments::unmatched::Unmatched;
use queue::line::Line;
use queue::waiting_room::WaitingRoom;
use seats::ledger::Ledger;
use std::sync::Arc;

pub use decide::{Decision, Outcome};

/// One event's sale: the whole state that its journal describes.
#[derive(Clone)]
pub struct Sale {
    seq: Seq,
    at: Timestamp,
    phase: SalePhase,
    /// Shared by every copy of the sale, and by the fact that brought it.
    config: Option<Arc<SaleConfig>>,
    steering: Option<Box<Steering>>,
    ledger: Option<Box<Ledger>>,
    reservations: Lazy<Reservations>,
    keys: Lazy<Keys>,
    tickets: u64,
    waiting_room: WaitingRoom,
    /// When the sale was made.
    made_at: Timestamp,
    draw: Option<Box<Draw>>,
    unmatched: Unmatched,
    /// The line as it was before the draw, until it is taken to be dropped: see `take_replaced_line`.
    replaced_line: Option<Box<Line>>,
    /// The last postponement.
    schedule: Option<Box<Schedule>>,
}

impl Default for Sale {
    fn default() -> Self {
        Self::new()
    }
}

impl Sale {
    /// A sale before its first fact.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seq: Seq(0),
            at: Timestamp(i64::MIN),
            phase: SalePhase::Unconfigured,
            config: None,
            steering: None,
            ledger: None,
            reservations: Lazy::default(),
            keys: Lazy::default(),
            tickets: 0,
            waiting_room: WaitingRoom::default(),
            made_at: Timestamp(0),
            draw: None,
            unmatched: Unmatched::default(),
            replaced_line: None,
            schedule: None,
        }
    }

    /// The last fact applied.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last fact was decided; nothing is decided earlier.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The state of the sale itself.
    #[must_use]
    pub fn phase(&self) -> SalePhase {
        self.phase
    }

    /// The rules; none before the first fact.
    #[must_use]
    pub fn config(&self) -> Option<&SaleConfig> {
        self.config.as_deref()
    }

    pub(crate) fn shared_config(&self) -> Option<&Arc<SaleConfig>> {
        self.config.as_ref()
    }

    /// The hall; none before the first fact.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.ledger.as_ref().map(|ledger| &ledger.plan)
    }

    /// When the sale was made, in microseconds: it identifies its line among those of other journals of the event.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.made_at.0.cast_unsigned()
    }

    /// The line that a draw has replaced, to be dropped on a thread that nobody waits for: a large one takes milliseconds.
    pub(crate) fn take_replaced_line(&mut self) -> Option<Box<Line>> {
        self.replaced_line.take()
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;

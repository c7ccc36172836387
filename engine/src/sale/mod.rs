//! The sale of one event: its seats, its waiting room and their rules, owned together. `decide` only reads, `apply` only writes
//! and cannot fail; replay calls `apply` alone. Must never read a clock, a generator or the order of a hash map.
//!
//! [`Sale::decide`] (`decide.rs`), [`Sale::apply`] (`apply.rs`) and the steps of time (`due.rs`, [`Command::Tick`]) dispatch to the
//! rules. Each rule has one file, with what it decides and what it applies; its stories are in `tests/` beside it.
//!
//! | rule | file | commands | facts | refusals |
//! |---|---|---|---|---|
//! | the state of each seat | `seats/ledger.rs` | | | |
//! | seats that exist and are free; prices | `seats/mod.rs` | | | `SeatNotFound` |
//! | the best block | `seats/best_block/mod.rs` | `Hold` | | |
//! | no orphans | `seats/orphans.rs` | `Hold`, `ChangeHold` | | `OrphanSeat` |
//! | pairs | `seats/pairs.rs` | `Hold`, `ChangeHold` | | `PairSplit` |
//! | what a refusal offers instead | `seats/unavailable.rs`, `seats/best_block/apart.rs` | | | `SeatUnavailable` |
//! | seats that are not for sale | `seats/blocking.rs` | `BlockSeats` | `SeatsBlocked`, `SeatsUnblocked` | `SeatsNotForSale`, `BlockLimitExceeded` |
//! | making a hold | `holds/hold.rs` | `Hold` | `SeatsHeld` | `CategoryNotFound`, `SectionNotFound`, `CategoryNotForSale` |
//! | changing a hold | `holds/change.rs` | `ChangeHold` | `HoldChanged` | |
//! | releasing a hold | `holds/release.rs` | `ReleaseHold` | `HoldReleased` | |
//! | the end of a hold, and what extends it | `holds/expire.rs` | `Tick` | `HoldExpired` | |
//! | seats of a buyer, holds of a slot | `holds/limits.rs` | `Hold`, `ChangeHold` | | `SeatLimitExceeded`, `HoldLimitExceeded` |
//! | whose a reservation is, and whether it is pending | `holds/mod.rs` | | | `ReservationNotFound`, `NotPending`, `HoldExpired`, `PaymentInProgress` |
//! | reservations in memory | `holds/reservation.rs`, `holds/reservations.rs` | | | |
//! | opening a payment | `payments/open.rs` | `OpenPayment` | `PaymentOpened` | `AmountMismatch` |
//! | charging a payment | `payments/charge.rs` | `ConfirmPayment` | `PaymentStarted` | `PaymentNotFound`, `AmountMismatch` |
//! | declined charges of a hold | `payments/attempts.rs` | `OpenPayment`, `ConfirmPayment` | | `PaymentAttemptsExceeded` |
//! | the outcome of a charge | `payments/settle.rs` | `SettleCharge` | `PaymentCaptured`, `PaymentFailed`, `ReservationConfirmed` | |
//! | a charge whose outcome is unknown | `payments/unknown.rs` | `SettleCharge` | `PaymentUnknown` | |
//! | money that comes late | `payments/late.rs` | `SettleCharge` | | |
//! | cancelling a ticket, and refunds | `payments/refund.rs` | `CancelReservation`, `SettleRefund` | `ReservationCancelled`, `RefundOrdered`, `PaymentRefunded` | `NotCancellable`, `CancellationClosed` |
//! | money that no payment accounts for | `payments/unmatched.rs` | `SettleCharge`, `SettleRefund` | `OutcomeUnmatched` | |
//! | entering and leaving | `queue/enter.rs` | `Enter`, `Leave` | `Entered`, `Left` | `QueueFull` |
//! | ordinals, reserved in blocks | `queue/ordinals.rs` | `Enter`, `Restore` | `OrdinalsReserved` | |
//! | places and the line in memory | `queue/waiting_room.rs`, `queue/line.rs` | | | |
//! | admission and its rate | `queue/admit.rs`, `queue/window.rs` | `Tick` | `Admitted` | |
//! | slots, and what ends them | `queue/slot.rs` | `Hold`, `Tick` | `SlotExpired` | `NoSlot` |
//! | absence | `queue/absence.rs` | `ExpireAbsent` | `PlaceExpired` | |
//! | restoring a place from its ticket | `queue/restore.rs` | `Restore` | `Restored` | `TicketSpent` |
//! | the end of the line | `queue/closing.rs` | `Tick` | `PlaceExpired` | |
//! | what status reads show | `queue/status.rs` | | | |
//! | the steps of a draw | `draw/steps.rs`, `draw/state.rs` | `CommitDraw`, `Tick` | `DrawCommitted`, `CohortFrozen`, `Drawn` | |
//! | cohort, order and proofs of a draw | `draw/cohort.rs`, `draw/order.rs`, `draw/prepare.rs`, `draw/proof.rs`, `draw/merkle.rs` | | | |
//! | making a sale, changing its rules | `operators/configure.rs` | `Configure`, `Reconfigure` | `Configured` | `SaleStarted` |
//! | steering | `operators/steer.rs` | `Steer` | `Steered` | |
//! | cancelling a sale, and its sweep | `operators/cancel_sale.rs` | `CancelSale`, `Tick` | `SaleCancelled` | |
//! | cancelling a reservation for its buyer | `operators/cancel_reservation.rs` | `CancelByOperator` | `CancelledByOperator`, `ReleasedByOperator` | |
//! | postponing, moving the end of cancelling | `operators/postpone.rs` | `Postpone`, `MoveCancellation`, `Tick` | `Rescheduled`, `HolderNotified` | `HasReservations` |
//! | retiring an event | `operators/retire.rs` | `Retire` | `SaleRetired` | `HasReservations` |
//! | repeated requests | `idempotency.rs` | `Hold`, `OpenPayment`, `ConfirmPayment` | `KeyRemembered` | `KeyReused` |
//! | what the phase and the times of the sale allow | `phase.rs` | | | `NoSale`, `SaleCancelled`, `SaleNotOpen`, `SaleClosed` |
//!
//! Refusals are checked in the order of [`Rejection`]. `invariants.rs` says what must always be true. `collections/` knows no rule.

// Money, counts and instants are not to be computed beyond their bounds, nor answers to depend on a hash map; tests may.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::cast_possible_truncation,
        clippy::iter_over_hash_type,
        clippy::too_many_lines
    )
)]

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
mod tests;

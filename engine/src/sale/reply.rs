//! What a sale answers: reservations, payments and places as their readers see them. Must never borrow state: answers outlive it.

use crate::id::{BuyerId, Ordinal, PaymentId, ReservationId, Seq, Slot, TicketSerial};
use crate::money::Amount;
use crate::sale::command::Seats;
use crate::sale::config::Steering;
use crate::sale::fact::{PaymentFailure, RefundReason};
use crate::time::Timestamp;

/// The answer to a command that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Done; there is nothing to say.
    Done,
    /// A reservation was made or changed.
    Reservation(Box<ReservationView>),
    /// A payment was opened, has settled, or is still charging.
    Payment(Box<PaymentView>),
    /// The buyer's place.
    Place(PlaceView),
    /// What an operator has steered.
    Steering(Box<SteeringView>),
}

/// The state of a reservation, in API words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReservationStatus {
    /// Held, not yet paid.
    Pending,
    /// Paid.
    Confirmed,
    /// Released by the buyer or an operator, or cancelled.
    Cancelled,
    /// Its time was over.
    Expired,
}

/// A reservation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationView {
    /// Its id.
    pub id: ReservationId,
    /// Whose.
    pub buyer: BuyerId,
    /// Its state.
    pub status: ReservationStatus,
    /// Its seats; they stay listed when it is over.
    pub seats: Seats,
    /// What they cost together.
    pub amount: Amount,
    /// When the hold ends.
    pub hold_expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was paid.
    pub confirmed_at: Option<Timestamp>,
    /// Its ticket.
    pub ticket: Option<TicketSerial>,
    /// What was, or will be, given back.
    pub refund: Option<Amount>,
}

/// The state of a payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentStatus {
    /// Opened; the provider has not been asked.
    Opened,
    /// The provider is being asked, or its outcome is unknown; `PENDING` to buyers.
    Charging,
    /// Paid.
    Captured,
    /// Ended without money.
    Failed(PaymentFailure),
    /// The money is owed back (`settled` false) or was given back.
    Refunded {
        /// Why.
        reason: RefundReason,
        /// Whether the provider has done it.
        settled: bool,
    },
}

/// A payment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentView {
    /// Its id.
    pub id: PaymentId,
    /// What it pays.
    pub reservation: ReservationId,
    /// Whose.
    pub buyer: BuyerId,
    /// How much.
    pub amount: Amount,
    /// Its state.
    pub status: PaymentStatus,
    /// When it was opened.
    pub created_at: Timestamp,
    /// When it was paid.
    pub paid_at: Option<Timestamp>,
}

/// The state of a buyer's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceStatus {
    /// In the line before the sale opens.
    PreQueue {
        /// From 1; `None` when the order will be drawn.
        rank: Option<u64>,
    },
    /// In the line.
    Waiting {
        /// From 1: nobody ahead.
        rank: u64,
    },
    /// Admitted.
    Active {
        /// The number of the admission; `None` where admission is not required.
        slot: Option<Slot>,
        /// When the slot ends: from then on no new hold is made with it.
        expires_at: Timestamp,
        /// Whether a new hold may be made: not when the slot's time is over and only a pending hold keeps it.
        may_hold: bool,
    },
    /// The slot's time was over, or the buyer sent no heartbeat for too long.
    Expired,
}

/// A place as its buyer sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceView {
    /// Whose.
    pub buyer: BuyerId,
    /// The ordinal of arrival, also after a draw: the one that the buyer's ticket names; `None` where admission is not required.
    pub ordinal: Option<Ordinal>,
    /// Its state.
    pub status: PlaceStatus,
    /// How many wait (`PRE_QUEUE` and `WAITING`).
    pub total_in_queue: u64,
}

/// Seats counted by their state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SeatCounts {
    /// All seats.
    pub total: u32,
    /// Free ones.
    pub available: u32,
    /// Held, not yet paid.
    pub held: u32,
    /// Paid.
    pub sold: u32,
    /// Not for sale: of a category without a price, or blocked.
    pub blocked: u32,
}

/// What an operator sees of the waiting room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SteeringView {
    /// What is steered.
    pub steering: Steering,
    /// How many wait.
    pub waiting: u64,
    /// How many shop.
    pub active: u64,
    /// How many were ever admitted.
    pub admitted_total: u64,
}

/// The state of a sale itself, apart from its times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SalePhase {
    /// No rules yet: before the first fact.
    Unconfigured,
    /// As its times say.
    Scheduled,
    /// Cancelled by an operator.
    Cancelled,
    /// Taken off the catalogue.
    Retired,
}

/// A version of what readers see: the position of the last fact in it.
pub type Version = Seq;

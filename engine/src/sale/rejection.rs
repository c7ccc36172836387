//! Why a sale refuses a command: one closed list, its variants in the order in which they are checked. Must never grow without
//! an answer in HTTP: the server's table has no wildcard.

use crate::sale::command::Seats;
use crate::sale::reply::{ReservationStatus, ReservationView};

/// The reasons, in the order in which they are checked; a test pins it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The idempotency key was used with another body.
    KeyReused,
    /// The event does not exist, or was taken off the catalogue.
    NoSale,
    /// No such reservation, or another buyer's.
    ReservationNotFound,
    /// No such payment, or another buyer's.
    PaymentNotFound,
    /// The hall has no seat of that index.
    SeatNotFound,
    /// The hall has no such category.
    CategoryNotFound,
    /// The hall has no section of that name.
    SectionNotFound,
    /// The event was cancelled: nothing of it is held or paid any more.
    SaleCancelled,
    /// No slot, another's, or one that has ended.
    NoSlot,
    /// The ticket's place was given up, or went to its buyer already.
    TicketSpent,
    /// The sale, or its waiting room, has not opened.
    SaleNotOpen,
    /// The sale, or its waiting room, is over.
    SaleClosed(Closed),
    /// The rules cannot change any more.
    SaleStarted,
    /// The event has reservations.
    HasReservations,
    /// The line is full.
    QueueFull,
    /// The hold is not pending any more.
    NotPending(ReservationState),
    /// The hold was over before it was paid.
    HoldExpired(ReservationState),
    /// The provider is being asked.
    PaymentInProgress,
    /// The amount is not what the seats cost.
    AmountMismatch,
    /// The hold has reached the limit of declined charges.
    PaymentAttemptsExceeded,
    /// The reservation is not confirmed.
    NotCancellable(ReservationState),
    /// It is too late to cancel.
    CancellationClosed,
    /// More seats than one buyer may have.
    SeatLimitExceeded {
        /// The limit.
        limit: u16,
        /// How many the buyer has, pending and confirmed.
        has: u16,
    },
    /// The buyer's slot has reached its limit of holds.
    HoldLimitExceeded {
        /// The limit.
        limit: u16,
    },
    /// The category has no price: none of its seats is for sale.
    CategoryNotForSale,
    /// Seats that are not for sale by their category cannot be brought into the sale one by one.
    SeatsNotForSale {
        /// Those.
        seats: Seats,
    },
    /// More seats than may be blocked one by one.
    BlockLimitExceeded {
        /// The limit.
        limit: u32,
    },
    /// Seats that are only sold in pairs were requested without the other half.
    PairSplit {
        /// The other halves.
        missing: Seats,
        /// The pairs as a whole, or the nearest block that would succeed.
        alternative: Option<Seats>,
    },
    /// Some of the seats are taken, or no block of that size is left.
    SeatUnavailable {
        /// Which of these it is.
        reason: Unavailable,
        /// Those that are taken, of named seats.
        taken: Seats,
        /// The longest run of free seats in the category: the one requested, or that of the first named seat, for which it is
        /// counted up to [`crate::limits::INDEXED_RUN`].
        longest_block: u16,
        /// What would succeed instead: the nearest block, else seats apart.
        alternative: Option<Seats>,
    },
    /// A single free seat would be left behind.
    OrphanSeat {
        /// The seats that would be left behind.
        orphans: Seats,
        /// The nearest block that would succeed.
        alternative: Option<Seats>,
    },
}

/// Why seats are unavailable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unavailable {
    /// Some of the named seats are not free, and others of the hall are.
    Taken,
    /// The category has free seats, but not so many side by side.
    NoBlock,
    /// The category asked for has no free seat; for named seats, the hall.
    SoldOut,
}

/// What has closed a sale or its waiting room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Closed {
    /// Its time: `saleEndsAt`.
    Ended,
    /// An operator; buyers with slots go on.
    ByOperator,
    /// The event was cancelled.
    Cancelled,
}

/// The state of a reservation, where another was needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReservationState {
    /// Held, not yet paid.
    Pending,
    /// Paid.
    Confirmed,
    /// Given back before it was paid.
    Released,
    /// Paid, and cancelled by its buyer or an administrator.
    Cancelled,
    /// Its event was cancelled.
    SaleCancelled,
    /// Its time was over.
    Expired,
}

impl ReservationState {
    /// The state of a reservation whose event was not cancelled.
    #[must_use]
    pub fn of(view: &ReservationView) -> Self {
        Self::new(view.status, view.refund.is_some())
    }

    pub(crate) fn new(status: ReservationStatus, was_paid: bool) -> Self {
        match status {
            ReservationStatus::Pending => Self::Pending,
            ReservationStatus::Confirmed => Self::Confirmed,
            ReservationStatus::Cancelled if was_paid => Self::Cancelled,
            ReservationStatus::Cancelled => Self::Released,
            ReservationStatus::Expired => Self::Expired,
        }
    }
}

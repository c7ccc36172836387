//! Why a sale says no: one closed list, its variants in the order in which they are checked.

use crate::sale::command::Seats;

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
    /// No slot, another's, or one that has ended.
    NoSlot,
    /// The ticket's place was given up, or went to its buyer already.
    TicketSpent,
    /// The sale, or its waiting room, has not opened.
    SaleNotOpen,
    /// The sale is over, closed or cancelled.
    SaleClosed,
    /// The rules cannot change any more.
    SaleStarted,
    /// The event has reservations.
    HasReservations,
    /// The line is full.
    QueueFull,
    /// The hold is not pending any more.
    NotPending,
    /// The hold was over before it was paid.
    HoldExpired,
    /// The provider is being asked.
    PaymentInProgress,
    /// The amount is not what the seats cost.
    AmountMismatch,
    /// As many charges of this hold were declined as may be.
    PaymentAttemptsExceeded,
    /// The reservation is not confirmed.
    NotCancellable,
    /// It is too late to cancel.
    CancellationClosed,
    /// More seats than one buyer may have.
    SeatLimitExceeded {
        /// The limit.
        limit: u16,
        /// How many the buyer has, pending and confirmed.
        has: u16,
    },
    /// As many holds were made with the buyer's slot as may be.
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
    /// Some of the seats are taken, or no block of that size is left.
    SeatUnavailable {
        /// Those that are taken.
        taken: Seats,
        /// The nearest block that would succeed.
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

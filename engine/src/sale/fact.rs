//! Facts: what has happened to a sale, complete enough to be applied without deciding anything again. Must never carry personal
//! data but the buyer's id. Their stored form belongs to the adapters.

use crate::id::{BuyerId, Epoch, Ordinal, PaymentId, ReservationId, SeatIndex, Seq, Slot, TicketSerial};
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::command::{RequestKey, Seats};
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::draw::{DrawHash, DrawSeed};
use crate::sale::operators::postpone::RescheduleCause;
use crate::time::Timestamp;
use crate::trace::TraceContext;
use smallvec::SmallVec;
use std::sync::Arc;

/// The facts of one command, committed together or not at all.
pub type Facts = SmallVec<[Fact; 2]>;

/// A fact in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Its position, without gaps.
    pub seq: Seq,
    /// Which ownership wrote it.
    pub epoch: Epoch,
    /// When it was decided; never falls within a journal.
    pub at: Timestamp,
    /// The trace of the request that it was decided for; none where time has passed. Nothing is decided by it.
    pub trace: Option<TraceContext>,
    /// What happened.
    pub fact: Fact,
}

/// Something that has happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Fact {
    /// The sale was made, or its rules were changed before it opened.
    Configured {
        /// The rules from now on.
        config: Arc<SaleConfig>,
        /// The hall; stored by its hash.
        plan: Arc<Plan>,
        /// The administrator.
        by: BuyerId,
    },
    /// Seats were taken.
    SeatsHeld {
        /// The reservation that holds them.
        reservation: ReservationId,
        /// Whose.
        buyer: BuyerId,
        /// Which.
        seats: Seats,
        /// What they cost together.
        amount: Amount,
        /// When the hold ends.
        expires_at: Timestamp,
        /// The slot that it was made with and counts for; none where admission was not required.
        slot: Option<Slot>,
    },
    /// A hold was given other seats.
    HoldChanged {
        /// The hold.
        reservation: ReservationId,
        /// All its seats from now on.
        seats: Seats,
        /// What they cost together.
        amount: Amount,
    },
    /// A hold was given back.
    HoldReleased {
        /// The hold.
        reservation: ReservationId,
    },
    /// A hold's time was over.
    HoldExpired {
        /// The hold.
        reservation: ReservationId,
    },
    /// A payment was opened.
    PaymentOpened {
        /// The payment.
        payment: PaymentId,
        /// What is paid.
        reservation: ReservationId,
        /// How much.
        amount: Amount,
    },
    /// The provider is about to be asked: orders the charge.
    PaymentStarted {
        /// The payment.
        payment: PaymentId,
        /// The provider's name for the transaction.
        transaction: Box<str>,
    },
    /// The provider has not reported the outcome of a charge.
    PaymentUnknown {
        /// The payment.
        payment: PaymentId,
    },
    /// The provider took money.
    PaymentCaptured {
        /// The payment.
        payment: PaymentId,
        /// How much.
        amount: Amount,
    },
    /// A payment ended without money.
    PaymentFailed {
        /// The payment.
        payment: PaymentId,
        /// Why.
        reason: PaymentFailure,
    },
    /// A reservation was paid: the seats, which need not be the ones held if the payment came late, are sold.
    ReservationConfirmed {
        /// The reservation.
        reservation: ReservationId,
        /// The payment that paid it.
        payment: PaymentId,
        /// Its seats.
        seats: Seats,
        /// The ticket.
        ticket: TicketSerial,
    },
    /// A confirmed reservation was cancelled; its seats are free.
    ReservationCancelled {
        /// The reservation.
        reservation: ReservationId,
        /// What is given back.
        refund: Amount,
    },
    /// Money is owed back: orders the refund.
    RefundOrdered {
        /// The payment.
        payment: PaymentId,
        /// How much.
        amount: Amount,
        /// Why.
        reason: RefundReason,
    },
    /// The provider gave money back.
    PaymentRefunded {
        /// The payment.
        payment: PaymentId,
    },
    /// A provider reports that money has moved, and no payment accounts for it: an operator has to look into it.
    OutcomeUnmatched {
        /// The payment that the provider names.
        payment: PaymentId,
        /// What it reports.
        moved: MoneyMoved,
    },
    /// Ordinals were set aside for use; none below `first` is issued any more.
    OrdinalsReserved {
        /// The first of them.
        first: Ordinal,
        /// The last of them.
        last: Ordinal,
        /// Whose block it is.
        epoch: Epoch,
    },
    /// A buyer joined the line.
    Entered {
        /// Who.
        buyer: BuyerId,
        /// Where.
        ordinal: Ordinal,
    },
    /// A buyer's ticket put them back where they had stood before the journal lost it.
    Restored {
        /// Who.
        buyer: BuyerId,
        /// Where.
        ordinal: Ordinal,
        /// Until when admission waits for others who may have stood before them.
        waits_until: Timestamp,
    },
    /// The seed of the draw is bound to its hash, which is published. The seed itself is published with [`Fact::Drawn`].
    DrawCommitted {
        /// The seed.
        seed: DrawSeed,
        /// Its hash.
        commitment: DrawHash,
    },
    /// The sale has opened: the buyers in the line are the cohort of the draw, in the order of arrival.
    CohortFrozen {
        /// The root over it.
        root: DrawHash,
        /// How many they are.
        size: u64,
    },
    /// The cohort was put in the order that seed and root give it.
    Drawn {
        /// The seed that was committed to.
        seed: DrawSeed,
    },
    /// A buyer gave the place or the slot up.
    Left {
        /// Who.
        buyer: BuyerId,
    },
    /// A buyer was admitted.
    Admitted {
        /// Who.
        buyer: BuyerId,
        /// The number of this admission.
        slot: Slot,
        /// When it was due: the admission window counts from it.
        due: Timestamp,
        /// When the slot ends.
        expires_at: Timestamp,
    },
    /// A slot's time was over.
    SlotExpired {
        /// Whose.
        buyer: BuyerId,
    },
    /// A place in the line ended: its buyer sent no heartbeat for too long, or the sale ended.
    PlaceExpired {
        /// Whose.
        buyer: BuyerId,
    },
    /// An operator steered.
    Steered {
        /// What holds from now on.
        steering: Steering,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Option<Box<str>>,
    },
    /// An operator took seats out of the sale.
    SeatsBlocked {
        /// Which: free until then, in plan order.
        seats: Box<[SeatIndex]>,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Box<str>,
    },
    /// An operator brought blocked seats back into the sale.
    SeatsUnblocked {
        /// Which: blocked until then, in plan order.
        seats: Box<[SeatIndex]>,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Box<str>,
    },
    /// The sale was cancelled: everyone is refunded, in steps.
    SaleCancelled {
        /// The administrator.
        by: BuyerId,
    },
    /// The event was taken off the catalogue.
    SaleRetired {
        /// The administrator.
        by: BuyerId,
    },
    /// Times of the sale were changed, its rules and everything else stay.
    Rescheduled {
        /// When the sale ends from now on.
        sale_ends_at: Timestamp,
        /// From when on a confirmed reservation cannot be cancelled, from now on.
        cancellation_closes_at: Timestamp,
        /// What brought it about.
        cause: RescheduleCause,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Option<Box<str>>,
    },
    /// A ticket holder is notified of a postponement: orders the message.
    HolderNotified {
        /// The reservation.
        reservation: ReservationId,
        /// When the event begins now.
        starts_at: Timestamp,
        /// When it ends now.
        ends_at: Timestamp,
        /// Until when the reservation can be cancelled.
        cancellation_closes_at: Timestamp,
    },
    /// An administrator cancelled a confirmed reservation; its seats are free.
    CancelledByOperator {
        /// The reservation.
        reservation: ReservationId,
        /// What is given back.
        refund: Amount,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Box<str>,
    },
    /// An administrator released a pending hold; its seats are free.
    ReleasedByOperator {
        /// The hold.
        reservation: ReservationId,
        /// The administrator.
        by: BuyerId,
        /// Why, in the administrator's words.
        reason: Box<str>,
    },
    /// The answer to a request with an idempotency key, remembered for a day.
    KeyRemembered {
        /// The key and the body.
        key: RequestKey,
        /// What was answered.
        answer: RememberedAnswer,
    },
}

/// Enough of an answer to repeat it as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RememberedAnswer {
    /// A hold: the reservation as it was when made.
    Held {
        /// The reservation.
        reservation: ReservationId,
        /// Its seats then.
        seats: Seats,
        /// What they cost then.
        amount: Amount,
        /// When it was made.
        created_at: Timestamp,
        /// When it ends.
        expires_at: Timestamp,
    },
    /// An opened payment.
    PaymentOpened {
        /// The payment.
        payment: PaymentId,
    },
    /// A successful confirmation.
    PaymentConfirmed {
        /// The payment.
        payment: PaymentId,
    },
}

/// What a provider reports of money.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoneyMoved {
    /// It took this amount.
    Captured {
        /// How much.
        amount: Amount,
    },
    /// It gave the payment back.
    Refunded,
}

/// Why a payment ended without money.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PaymentFailure {
    /// The provider refused, with its reason.
    Declined(Box<str>),
    /// The provider knows of no charge.
    NotCharged,
    /// The provider took another amount, which is given back.
    AmountMismatch,
    /// The hold was changed, released or expired before the payment was started.
    HoldEnded,
    /// The sale was cancelled.
    SaleCancelled,
}

/// Why money is given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefundReason {
    /// The buyer cancelled.
    BuyerCancelled,
    /// The sale was cancelled.
    SaleCancelled,
    /// The provider took another amount.
    AmountMismatch,
    /// The payment came after the hold had ended and no equal seats were left.
    TooLate,
    /// An administrator cancelled the reservation.
    OperatorCancelled,
}

impl Fact {
    /// The administrator who did this, if one did.
    #[must_use]
    pub fn by_operator(&self) -> Option<BuyerId> {
        if let Self::Configured { by, .. }
        | Self::Steered { by, .. }
        | Self::SeatsBlocked { by, .. }
        | Self::SeatsUnblocked { by, .. }
        | Self::Rescheduled { by, .. }
        | Self::SaleCancelled { by }
        | Self::SaleRetired { by }
        | Self::CancelledByOperator { by, .. }
        | Self::ReleasedByOperator { by, .. } = self
        {
            return Some(*by);
        }
        None
    }
}

impl Fact {
    /// Why an administrator ended a reservation, if one did, in their words.
    #[must_use]
    pub fn reason_of_operator(&self) -> Option<&str> {
        if let Self::CancelledByOperator { reason, .. } | Self::ReleasedByOperator { reason, .. } = self {
            return Some(reason);
        }
        None
    }
}

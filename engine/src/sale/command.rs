//! Commands: requests to a sale. Ids and random bits come with them; the sale makes none. Must never carry a time: `now` is an
//! argument of its own.

use crate::id::{BuyerId, CategoryIndex, Ordinal, PaymentId, ReservationId, SeatIndex, SectionIndex, Slot};
use crate::money::Amount;
use crate::plan::{Plan, SeatKind};
use crate::sale::config::{SaleConfig, SteeringChange};
use crate::sale::draw::DrawSeed;
use crate::sale::operators::postpone::{MoveCancellation, Postpone};
use crate::sale::seats::blocking::SeatBlocking;
use smallvec::SmallVec;
use std::sync::Arc;

/// A few seats, in the order in which they were asked for; four fit without an allocation.
pub type Seats = SmallVec<[SeatIndex; 4]>;

/// Every request to a sale.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take seats for a buyer until the hold's time is over.
    Hold(Hold),
    /// Exchange the seats of a pending hold; the expiry does not move.
    ChangeHold(ChangeHold),
    /// Release a pending hold; a repeat changes nothing once it is released or expired.
    ReleaseHold {
        /// Who asks.
        buyer: BuyerId,
        /// The hold.
        reservation: ReservationId,
    },
    /// Cancel a confirmed reservation and refund it.
    CancelReservation {
        /// Who asks.
        buyer: BuyerId,
        /// The reservation.
        reservation: ReservationId,
    },
    /// Cancel a reservation in its buyer's stead, without a window: a confirmed one is refunded, a pending one released.
    CancelByOperator(OperatorCancel),
    /// Begin to pay for a pending hold.
    OpenPayment(OpenPayment),
    /// Charge an opened payment.
    ConfirmPayment(ConfirmPayment),
    /// Join the line.
    Enter {
        /// Who asks.
        buyer: BuyerId,
    },
    /// Take the place that a ticket names; its signature, event, buyer and incarnation are checked already.
    Restore {
        /// Whose ticket.
        buyer: BuyerId,
        /// What it says.
        ordinal: Ordinal,
    },
    /// Bind the draw to a seed, where one is wanted ([`crate::sale::Sale::wants_seed`]).
    CommitDraw {
        /// Fresh random bits.
        seed: DrawSeed,
    },
    /// Give the place or the slot up; also when there is none.
    Leave {
        /// Who asks.
        buyer: BuyerId,
    },
    /// A waiting buyer has sent no heartbeat for too long.
    ExpireAbsent {
        /// The buyer.
        buyer: BuyerId,
    },
    /// Time has passed: take the next step that is due, if one is.
    Tick,
    /// The provider's answer to a charge, or to the reconciler's question later.
    SettleCharge {
        /// The payment.
        payment: PaymentId,
        /// The outcome.
        outcome: ChargeOutcome,
    },
    /// The provider has refunded a payment.
    SettleRefund {
        /// The payment.
        payment: PaymentId,
    },
    /// Make the sale, or change its rules before it opens.
    Configure {
        /// The rules.
        config: Box<SaleConfig>,
        /// The hall.
        plan: Arc<Plan>,
        /// The administrator.
        by: BuyerId,
    },
    /// Change its rules before it opens, as [`Command::Configure`] does, for a caller who has read them first: seats that an
    /// operator has blocked or freed since then stay so.
    Reconfigure {
        /// The rules.
        config: Box<SaleConfig>,
        /// The hall.
        plan: Arc<Plan>,
        /// The blocked seats of the rules that the caller has read.
        seen: Arc<[SeatIndex]>,
        /// The administrator.
        by: BuyerId,
    },
    /// Change what an operator may steer, at once.
    Steer {
        /// What changes.
        change: SteeringChange,
        /// The administrator.
        by: BuyerId,
    },
    /// Take seats out of the sale and bring seats back into it, all of them or none.
    BlockSeats {
        /// Which seats, and why.
        change: Box<SeatBlocking>,
        /// The administrator.
        by: BuyerId,
    },
    /// Give the event other times; a repeat changes nothing.
    Postpone(Box<Postpone>),
    /// The venue has another time zone: tickets can be cancelled until midnight there, not until the old midnight.
    MoveCancellation(MoveCancellation),
    /// End the sale and refund everyone.
    CancelSale {
        /// The administrator.
        by: BuyerId,
    },
    /// Take an event without reservations off the catalogue.
    Retire {
        /// The administrator.
        by: BuyerId,
    },
}

impl Command {
    /// What it is called where humans read it, without what it says.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::ChangeHold(_) => "change_hold",
            Self::ReleaseHold { .. } => "release_hold",
            Self::CancelReservation { .. } => "cancel_reservation",
            Self::CancelByOperator(_) => "cancel_by_operator",
            Self::OpenPayment(_) => "open_payment",
            Self::ConfirmPayment(_) => "confirm_payment",
            Self::Enter { .. } => "enter",
            Self::Restore { .. } => "restore",
            Self::CommitDraw { .. } => "commit_draw",
            Self::Leave { .. } => "leave",
            Self::ExpireAbsent { .. } => "expire_absent",
            Self::Tick => "tick",
            Self::SettleCharge { .. } => "settle_charge",
            Self::SettleRefund { .. } => "settle_refund",
            Self::Configure { .. } => "configure",
            Self::Reconfigure { .. } => "reconfigure",
            Self::Steer { .. } => "steer",
            Self::BlockSeats { .. } => "block_seats",
            Self::Postpone(_) => "postpone",
            Self::MoveCancellation(_) => "move_cancellation",
            Self::CancelSale { .. } => "cancel_sale",
            Self::Retire { .. } => "retire",
        }
    }
}

/// See [`Command::Hold`].
#[derive(Clone, Debug)]
pub struct Hold {
    /// The id that the reservation shall have.
    pub reservation: ReservationId,
    /// Who asks.
    pub buyer: BuyerId,
    /// Which seats.
    pub selection: Selection,
    /// The slot that the buyer's queue token names, its signature and its buyer already checked.
    pub slot: Option<Slot>,
    /// The caller's idempotency key.
    pub key: Option<RequestKey>,
}

/// Which seats a hold asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Exactly these, no seat twice.
    These(Seats),
    /// The best ones side by side.
    Best {
        /// Of this category.
        category: CategoryIndex,
        /// So many.
        quantity: u16,
        /// And only among these.
        among: Among,
    },
}

impl Selection {
    /// The best seats of a category, of any section.
    #[must_use]
    pub fn best(category: CategoryIndex, quantity: u16) -> Self {
        Self::Best { category, quantity, among: Among::default() }
    }
}

/// Which seats of a category the best ones are chosen from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Among {
    /// Those of the sections of one name, if not all of them.
    pub section: Option<SectionIndex>,
    /// Those of this kind. Without one: standard seats, and those with a restricted view when none of them serve.
    pub kind: Option<SeatKind>,
}

/// See [`Command::ChangeHold`].
#[derive(Clone, Debug)]
pub struct ChangeHold {
    /// Who asks.
    pub buyer: BuyerId,
    /// The hold.
    pub reservation: ReservationId,
    /// What it shall consist of; may keep some of its own.
    pub seats: Seats,
}

/// See [`Command::CancelByOperator`].
#[derive(Clone, Debug)]
pub struct OperatorCancel {
    /// The reservation, of any buyer.
    pub reservation: ReservationId,
    /// The administrator.
    pub by: BuyerId,
    /// Why, in the administrator's words; at most [`crate::limits::MAX_MESSAGE_BYTES`].
    pub reason: Box<str>,
    /// Refuse what has not been paid instead of releasing it.
    pub only_paid: bool,
}

/// See [`Command::OpenPayment`].
#[derive(Clone, Debug)]
pub struct OpenPayment {
    /// The id that the payment shall have, unless one of the same amount is pending: that one is answered.
    pub payment: PaymentId,
    /// Who asks.
    pub buyer: BuyerId,
    /// What is paid.
    pub reservation: ReservationId,
    /// What the buyer believes it costs.
    pub amount: Amount,
    /// The caller's idempotency key.
    pub key: Option<RequestKey>,
}

/// See [`Command::ConfirmPayment`].
#[derive(Clone, Debug)]
pub struct ConfirmPayment {
    /// Who asks.
    pub buyer: BuyerId,
    /// The payment.
    pub payment: PaymentId,
    /// What is paid.
    pub reservation: ReservationId,
    /// What the buyer believes it costs.
    pub amount: Amount,
    /// The provider's name for the transaction, at most [`crate::limits::MAX_TRANSACTION_BYTES`]; ignored, and mostly empty, for a
    /// payment of nothing.
    pub transaction: Box<str>,
    /// The caller's idempotency key.
    pub key: Option<RequestKey>,
}

/// An idempotency key, hashed with buyer and route, and the hash of the request's body.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct RequestKey {
    /// Hash of buyer, route and key.
    pub scope: u128,
    /// Hash of the body's bytes.
    pub body: u128,
}

/// The outcome of a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChargeOutcome {
    /// The provider took this amount.
    Captured {
        /// What was taken; not always what was asked.
        amount: Amount,
    },
    /// The provider refused; nothing was taken.
    Declined {
        /// Its reason, a short stable code.
        reason: Box<str>,
    },
    /// The provider knows of no charge, and there will be none; nothing was taken.
    NotCharged,
    /// Not known yet: the reconciler asks again.
    Unknown,
}

//! What other systems are sent: facts as they concern a reservation, a payment or the event, for the outbox. Must never
//! carry personal data beyond the buyer's id.

use crate::id::{EventId, Seq};
use crate::sale::{PaymentView, ReservationView};
use crate::time::Timestamp;
use crate::trace::TraceContext;
use uuid::Uuid;

/// What other systems are sent, as it stood right after the fact.
#[derive(Clone, Debug)]
pub struct Notice {
    /// The event.
    pub event: EventId,
    /// The fact.
    pub seq: Seq,
    /// When it was decided.
    pub at: Timestamp,
    /// The trace of the request that it was decided for.
    pub trace: Option<TraceContext>,
    /// What happened, such as `reservation.confirmed`.
    pub kind: &'static str,
    /// What it happened to.
    pub subject: Subject,
    /// Why, in an administrator's words, if one ended a reservation.
    pub reason: Option<Box<str>>,
    /// Where it was postponed to, if that is what happened.
    pub postponement: Option<Postponement>,
}

/// The times of an event after a postponement.
#[derive(Clone, Debug)]
pub struct Postponement {
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Until when tickets can be cancelled.
    pub cancellation_closes_at: Timestamp,
    /// Why, in the administrator's words; sent once, for the event.
    pub reason: Option<Box<str>>,
}

/// What a notice is about.
#[derive(Clone, Debug)]
pub enum Subject {
    /// A reservation; topic `reservation.events`.
    Reservation(Box<ReservationView>),
    /// A payment; topic `payment.events`.
    Payment(Box<PaymentView>),
    /// The event itself; topic `event.events`.
    Event(EventId),
}

impl Subject {
    /// The topic that it is published to.
    #[must_use]
    pub fn topic(&self) -> &'static str {
        match self {
            Self::Reservation(_) => "reservation.events",
            Self::Payment(_) => "payment.events",
            Self::Event(_) => "event.events",
        }
    }

    /// The id that keeps order: the reservation's, or the event's of what concerns all of them.
    #[must_use]
    pub fn key(&self) -> Uuid {
        match self {
            Self::Reservation(view) => view.id.0,
            Self::Payment(view) => view.reservation.0,
            Self::Event(event) => event.0,
        }
    }
}

//! Port of what operators look up in the projections: reservations and payments of anybody, by event, status or what a
//! buyer knows of them. Every read is bounded by what it answers, never by how much an event has sold.

use crate::id::{BuyerId, EventId, PaymentId, ReservationId, Seq, TicketSerial};
use crate::ports::catalogue::{Listed, Page};
use crate::ports::records::ReservationRecord;
use crate::ports::rows::PaymentRecord;
use crate::ports::{Later, StoreError};
use crate::sale::{PaymentStatus, ReservationStatus};
use crate::time::Timestamp;

/// Bytes of positions kept with a reservation: seats that are exchanged again and again beyond that are not in its story,
/// what changes its status is.
pub const STORY_BYTES: usize = 1024;

/// A payment's status in API words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PaymentState {
    /// Opened, or being charged.
    Pending,
    /// Paid.
    Success,
    /// Ended without money.
    Failed,
    /// Given back, or owed back.
    Refunded,
}

impl PaymentState {
    /// That of a payment.
    #[must_use]
    pub fn of(status: &PaymentStatus) -> Self {
        match status {
            PaymentStatus::Opened | PaymentStatus::Charging => Self::Pending,
            PaymentStatus::Captured => Self::Success,
            PaymentStatus::Failed(_) => Self::Failed,
            PaymentStatus::Refunded { .. } => Self::Refunded,
        }
    }
}

/// Rows whose number is kept, so that a list's total costs nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Counted {
    /// Reservations of that status.
    Reservations(ReservationStatus),
    /// Payments of that status.
    Payments(PaymentState),
}

/// What is looked for by name: rows that are one of these, or belong to one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// Reservations.
    pub reservations: Vec<ReservationId>,
    /// Payments; a search for reservations skips them.
    pub payments: Vec<PaymentId>,
    /// Buyers.
    pub buyers: Vec<BuyerId>,
}

/// Which rows a list consists of: those of the event, of the status and among the named ones, as far as these are given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search<S> {
    /// Only of this event.
    pub event: Option<EventId>,
    /// Only of this status.
    pub status: Option<S>,
    /// Only these.
    pub named: Option<Named>,
}

/// Where an export goes on: behind this reservation.
pub type ExportCursor = (Timestamp, ReservationId);

/// A piece of an export.
#[derive(Clone, Copy, Debug)]
pub struct ExportPart {
    /// The event.
    pub event: EventId,
    /// Only reservations of this status.
    pub status: Option<ReservationStatus>,
    /// Behind this one.
    pub after: Option<ExportCursor>,
    /// Only reservations that were made until then.
    pub until: Timestamp,
    /// At most so many.
    pub limit: u32,
}

/// What keeps an account from being deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Holdings {
    /// Events of which the buyer has a confirmed reservation.
    pub confirmed: Vec<EventId>,
    /// Events of which a payment is being charged, or its outcome is not known.
    pub charging: Vec<EventId>,
}

/// Reads of the projections for operators. They lag behind the journal as [`super::records::Records`] do.
pub trait RecordSearch: Send + Sync + 'static {
    /// Reservations, newest first.
    fn find_reservations(
        &self,
        search: Search<ReservationStatus>,
        page: Page,
    ) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>>;
    /// Payments, newest first.
    fn find_payments(
        &self,
        search: Search<PaymentState>,
        page: Page,
    ) -> Later<'_, Result<Listed<PaymentRecord>, StoreError>>;
    /// The payments of reservations, the oldest first.
    fn payments_of(&self, reservations: Vec<ReservationId>) -> Later<'_, Result<Vec<PaymentRecord>, StoreError>>;
    /// The reservation that has a ticket.
    fn by_ticket(&self, event: EventId, ticket: TicketSerial) -> Later<'_, Result<Option<ReservationId>, StoreError>>;
    /// The reservations that have these seats now, held or sold.
    fn by_seats(&self, event: EventId, seats: Vec<String>) -> Later<'_, Result<Vec<ReservationId>, StoreError>>;
    /// Where in its event's journal a reservation's facts are, its payments' included, in order. Of rows that an older
    /// version wrote, the facts since then.
    fn story(&self, reservation: ReservationId) -> Later<'_, Result<Vec<Seq>, StoreError>>;
    /// The next reservations of an event, the oldest first.
    fn export(&self, part: ExportPart) -> Later<'_, Result<Vec<ReservationRecord>, StoreError>>;
    /// What a buyer has.
    fn holdings(&self, buyer: BuyerId) -> Later<'_, Result<Holdings, StoreError>>;
}

//! Port of the projections' reading side: what lists, and reservations that memory has let go, are answered from.

use crate::id::{BuyerId, EventId, PaymentId, ReservationId, Seq};
use crate::ports::catalogue::{Listed, Page};
use crate::ports::{Later, StoreError};
use crate::sale::{PaymentView, ReservationView};

/// A reservation and its event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationRecord {
    /// The event.
    pub event: EventId,
    /// The reservation.
    pub reservation: ReservationView,
}

/// Reads of the projections. They lag behind the journal: ask [`Records::checkpoint`] how far.
pub trait Records: Send + Sync + 'static {
    /// The last fact of the event that is in the tables. Cheap: kept in memory by the projector.
    fn checkpoint(&self, event: EventId) -> Seq;
    /// A buyer's reservations, newest first.
    fn reservations(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>>;
    /// One reservation.
    fn reservation(&self, id: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>>;
    /// A buyer's payments, newest first.
    fn payments(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>>;
    /// One payment.
    fn payment(&self, id: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>>;
}

//! Port of those who check a storage against itself: its journal with the chain, and the projections' rows of one event as
//! a whole. Only reads.

use crate::chain::Chain;
use onsale_engine::id::{EventId, ReservationId, Seq};
use onsale_engine::ports::rows::PaymentRecord;
use onsale_engine::ports::{JournalReader, ReadError, StoreError};
use onsale_engine::sale::ReservationView;

/// Everything that the tables hold of an event.
#[derive(Clone, Debug, Default)]
pub struct ProjectedRows {
    /// The last fact that is in them.
    pub checkpoint: Seq,
    /// Reservations, by id.
    pub reservations: Vec<ReservationView>,
    /// Payments, by id.
    pub payments: Vec<PaymentRecord>,
    /// Seats that were ever held: id, status as it is written, and whose it is.
    pub seats: Vec<(String, String, Option<ReservationId>)>,
}

/// A storage that is checked. Calls block.
pub trait Evidence: JournalReader {
    /// The chain that is stored with a row; the one that an event begins with at 0.
    ///
    /// # Errors
    /// See [`ReadError`].
    fn chain_at(&self, event: EventId, seq: Seq) -> Result<Option<Chain>, ReadError>;

    /// Everything that the tables hold of an event, at one moment.
    ///
    /// # Errors
    /// When the tables cannot be read or hold what no version has written.
    fn projected_rows(&self, event: EventId) -> Result<ProjectedRows, StoreError>;
}

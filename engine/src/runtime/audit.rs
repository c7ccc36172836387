//! What operators read of an event's journal, whether the event is in memory or not. Blocks; must never walk a journal.

use crate::id::{EventId, Seq};
use crate::ports::ReadError;
use crate::runtime::engine::Engine;
use crate::sale::Entry;

impl Engine {
    /// What administrators have done to an event, newest first, and how much there is of it. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn audit(&self, event: EventId, skip: u64, limit: u64) -> Result<(Vec<Entry>, u64), ReadError> {
        self.reader().by_operators(event, skip, limit)
    }

    /// The facts at these positions of an event's journal. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`].
    pub fn facts(&self, event: EventId, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        self.reader().entries(event, seqs)
    }
}

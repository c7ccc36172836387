//! Bringing a sale back from its journal: snapshot, then the facts after it. Runs `apply` alone.

use crate::id::EventId;
use crate::ports::{JournalReader, ReadError};
use crate::sale::Sale;

/// The sale that the journal describes, and whether it began from a snapshot.
pub(crate) fn recover(reader: &dyn JournalReader, event: EventId) -> Result<(Sale, bool), ReadError> {
    let snapshot = reader.snapshot(event)?;
    let from_snapshot = snapshot.is_some();
    let mut sale = snapshot.map_or_else(Sale::new, Sale::from_snapshot);
    let mut gap = None;
    reader.replay(event, sale.seq(), &mut |entry| {
        if entry.seq == sale.seq().next() {
            sale.apply(&entry);
        } else {
            gap.get_or_insert(entry.seq);
        }
    })?;
    match gap {
        Some(seq) => Err(ReadError::Damaged { event, seq, reason: "a fact before it is missing".into() }),
        None => Ok((sale, from_snapshot)),
    }
}

//! Which entries of a batch may be appended to the journal: the one rule by which a storage distinguishes new entries from repeated ones, and
//! from those of an owner that has lost the event. Reads only through [`StoredJournal`]; must never write, and never know a database.
//!
//! For each event of a batch, in the order of its entries:
//!
//! 1. An entry at a position that is stored already is accepted if exactly it is stored there (same epoch, same chain): the batch is
//!    repeated because its answer was lost. Nothing is written for it.
//! 2. The entry behind the last one, with the epoch of the lease, is new.
//! 3. Everything else fences the event: another owner's epoch, other content at a stored position, a gap. Nothing of it is written
//!    from there on, and the batch's other events are not affected.

use crate::chain::{Chain, ChainKey, Row};
use crate::stored::encode_body_into;
use hashbrown::HashMap;
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::JournalEntry;
use onsale_engine::sale::Entry;

/// The end of an event's journal, and whose epoch may add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) lease: Epoch,
    pub(crate) seq: Seq,
    pub(crate) chain: Chain,
}

/// What a storage has of the events of a batch.
pub(crate) trait StoredJournal {
    /// Why it could not be read.
    type Error;
    /// What the chain is keyed with.
    fn key(&self) -> &ChainKey;
    /// The end of an event's journal.
    fn head(&mut self, event: EventId) -> Result<Head, Self::Error>;
    /// The epoch and the chain of a stored entry; none if there is none.
    fn stored(&mut self, event: EventId, seq: Seq) -> Result<Option<(Epoch, Chain)>, Self::Error>;
}

/// An event of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EventOfBatch {
    pub(crate) event: EventId,
    /// The last position that was stored before the batch.
    pub(crate) stored: Seq,
    /// The end of what has been written of the batch; before, what was stored.
    pub(crate) head: Head,
    /// Whether nothing of it may be written.
    pub(crate) is_fenced: bool,
    /// The last position that was accepted.
    accepted: Seq,
}

/// A batch's events, and which of them each entry is of.
#[derive(Debug)]
pub(crate) struct Accepted {
    pub(crate) events: Vec<EventOfBatch>,
    /// For each entry of the batch, its event's place among `events`.
    event_of: Vec<u32>,
}

/// What the rule says of one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Position {
    /// Something is stored there already.
    Stored,
    /// Behind the last one, by the owner.
    New,
    /// Neither.
    Fenced,
}

/// The rule. See the module.
fn position(of: &EventOfBatch, entry: &Entry) -> Position {
    if entry.seq <= of.stored {
        Position::Stored
    } else if entry.seq == of.accepted.next() && entry.epoch == of.head.lease {
        Position::New
    } else {
        Position::Fenced
    }
}

/// Applies the rule to every entry of a batch.
///
/// # Errors
/// What `journal` could not read.
pub(crate) fn accept<J: StoredJournal>(batch: &[JournalEntry], journal: &mut J) -> Result<Accepted, J::Error> {
    let mut events: Vec<EventOfBatch> = Vec::new();
    let mut numbers: HashMap<EventId, u32> = HashMap::new();
    let mut event_of: Vec<u32> = Vec::with_capacity(batch.len());
    for JournalEntry { event, entry } in batch {
        let number = match event_of.last() {
            // Entries of one event mostly come together.
            Some(number) if events[*number as usize].event == *event => *number,
            Some(_) | None => match numbers.get(event) {
                Some(number) => *number,
                None => {
                    let (head, number) = (journal.head(*event)?, events.len() as u32);
                    let (stored, accepted) = (head.seq, head.seq);
                    events.push(EventOfBatch { event: *event, stored, head, is_fenced: false, accepted });
                    numbers.insert(*event, number);
                    number
                }
            },
        };
        event_of.push(number);
        let of = &mut events[number as usize];
        if of.is_fenced {
            continue;
        }
        match position(of, entry) {
            Position::Stored => of.is_fenced = !is_stored(journal, *event, entry)?,
            Position::New => of.accepted = entry.seq,
            Position::Fenced => of.is_fenced = true,
        }
    }
    Ok(Accepted { events, event_of })
}

/// Whether exactly this entry is stored.
///
/// # Errors
/// What `journal` could not read.
pub(crate) fn is_stored<J: StoredJournal>(journal: &mut J, event: EventId, entry: &Entry) -> Result<bool, J::Error> {
    let Some((epoch, chain)) = journal.stored(event, entry.seq)? else { return Ok(false) };
    let previous = match entry.seq {
        Seq(0) => return Ok(false),
        Seq(1) => journal.key().genesis(event),
        Seq(seq) => match journal.stored(event, Seq(seq - 1))? {
            Some((_, chain)) => chain,
            None => return Ok(false),
        },
    };
    Ok((epoch, chain) == (entry.epoch, chain_of(journal.key(), &previous, event, entry)))
}

/// The chain after an entry. With buffers of its own: repeated batches are rare.
fn chain_of(key: &ChainKey, previous: &Chain, event: EventId, entry: &Entry) -> Chain {
    let (mut body, mut scratch) = (Vec::new(), Vec::new());
    let kind = encode_body_into(entry, &mut body).number();
    let row = Row { event, seq: entry.seq, epoch: entry.epoch, at: entry.at, kind, body: &body };
    key.next(previous, &row, &mut scratch)
}

impl Accepted {
    /// Writes each new entry of the events that are not fenced: `write` answers the chain after it.
    pub(crate) fn write_new(
        &mut self,
        batch: &[JournalEntry],
        mut write: impl FnMut(&Chain, EventId, &Entry) -> Chain,
    ) {
        for (JournalEntry { event, entry }, number) in batch.iter().zip(&self.event_of) {
            let of = &mut self.events[*number as usize];
            if !of.is_fenced && entry.seq > of.stored {
                of.head.chain = write(&of.head.chain, *event, entry);
                of.head.seq = entry.seq;
            }
        }
    }

    /// Fences the events of which a new entry is not stored after all.
    ///
    /// # Errors
    /// What `journal` could not read.
    pub(crate) fn fence_missing<J: StoredJournal>(
        &mut self,
        batch: &[JournalEntry],
        journal: &mut J,
    ) -> Result<(), J::Error> {
        for (JournalEntry { event, entry }, number) in batch.iter().zip(&self.event_of) {
            let of = &mut self.events[*number as usize];
            if !of.is_fenced && entry.seq > of.stored {
                of.is_fenced = !is_stored(journal, *event, entry)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;

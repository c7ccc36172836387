//! The fencing rule, entry by entry, on a journal in memory.
#![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]

use super::*;
use onsale_engine::id::BuyerId;
use onsale_engine::sale::Fact;
use onsale_engine::time::Timestamp;
use std::convert::Infallible;
use uuid::Uuid;

const EVENT: EventId = EventId(Uuid::from_u128(1));
const OTHER: EventId = EventId(Uuid::from_u128(2));

/// Entries as they are stored; the lease of every event has epoch 3.
struct InMemory {
    key: ChainKey,
    rows: HashMap<(EventId, Seq), (Epoch, Chain)>,
    heads: HashMap<EventId, Head>,
    /// Reads of stored entries.
    reads: usize,
}

impl StoredJournal for InMemory {
    type Error = Infallible;

    fn key(&self) -> &ChainKey {
        &self.key
    }

    fn head(&mut self, event: EventId) -> Result<Head, Infallible> {
        let nothing = Head { lease: Epoch(3), seq: Seq(0), chain: self.key.genesis(event) };
        Ok(self.heads.get(&event).copied().unwrap_or(nothing))
    }

    fn stored(&mut self, event: EventId, seq: Seq) -> Result<Option<(Epoch, Chain)>, Infallible> {
        self.reads += 1;
        Ok(self.rows.get(&(event, seq)).copied())
    }
}

/// An entry of [`EVENT`]: its position, its epoch, and what makes its content another one.
fn entry(seq: u64, epoch: u64, content: u128) -> JournalEntry {
    of(EVENT, seq, epoch, content)
}

fn of(event: EventId, seq: u64, epoch: u64, content: u128) -> JournalEntry {
    let fact = Fact::SaleCancelled { by: BuyerId(Uuid::from_u128(content)) };
    let at = Timestamp::from_secs(1_780_000_000);
    JournalEntry { event, entry: Entry { seq: Seq(seq), epoch: Epoch(epoch), at, trace: None, fact } }
}

impl InMemory {
    /// With these entries stored.
    fn with(stored: &[JournalEntry]) -> Self {
        let mut journal =
            Self { key: ChainKey::derive(b"a secret"), rows: HashMap::new(), heads: HashMap::new(), reads: 0 };
        for JournalEntry { event, entry } in stored {
            let Ok(head) = journal.head(*event);
            let chain = chain_of(&journal.key, &head.chain, *event, entry);
            journal.rows.insert((*event, entry.seq), (entry.epoch, chain));
            journal.heads.insert(*event, Head { seq: entry.seq, chain, ..head });
        }
        journal
    }
}

/// What is written of a batch behind two entries of epoch 2, and which events are fenced.
fn written(batch: &[JournalEntry]) -> (Vec<u64>, Vec<EventId>) {
    let mut journal = InMemory::with(&[entry(1, 2, 1), entry(2, 2, 2)]);
    let Ok(mut accepted) = accept(batch, &mut journal);
    let mut seqs = Vec::new();
    accepted.write_new(batch, |previous, event, entry| {
        seqs.push(entry.seq.0);
        chain_of(&journal.key, previous, event, entry)
    });
    let fenced = accepted.events.iter().filter(|of| of.is_fenced).map(|of| of.event).collect();
    (seqs, fenced)
}

#[test]
fn each_entry_is_new_or_repeated_or_fences_its_event() {
    let fenced = vec![EVENT];
    type Case<'a> = (&'a str, &'a [JournalEntry], &'a [u64], &'a [EventId]);
    let cases: [Case<'_>; 13] = [
        ("nothing", &[], &[], &[]),
        ("the next ones of the owner", &[entry(3, 3, 3), entry(4, 3, 4)], &[3, 4], &[]),
        ("an old epoch", &[entry(3, 2, 3)], &[], &fenced),
        ("an epoch that the lease does not have yet", &[entry(3, 4, 3)], &[], &fenced),
        ("a gap", &[entry(4, 3, 4)], &[], &fenced),
        ("a gap behind a new one: nothing is written", &[entry(3, 3, 3), entry(5, 3, 5)], &[], &fenced),
        ("the same position twice", &[entry(3, 3, 3), entry(3, 3, 3)], &[], &fenced),
        ("no position", &[entry(0, 3, 0)], &[], &fenced),
        ("exactly what is stored", &[entry(1, 2, 1), entry(2, 2, 2)], &[], &[]),
        ("what is stored, and new ones behind it", &[entry(2, 2, 2), entry(3, 3, 3)], &[3], &[]),
        ("other content at a stored position", &[entry(2, 2, 9), entry(3, 3, 3)], &[], &fenced),
        ("another epoch at a stored position", &[entry(2, 3, 2)], &[], &fenced),
        ("what is fenced stays fenced", &[entry(3, 2, 3), entry(3, 3, 3)], &[], &fenced),
    ];
    for (what, batch, seqs, events) in cases {
        assert_eq!(written(batch), (seqs.to_vec(), events.to_vec()), "{what}");
    }
}

#[test]
fn events_of_a_batch_do_not_affect_each_other() {
    let batch = [entry(3, 2, 3), of(OTHER, 1, 3, 1), entry(4, 2, 4), of(OTHER, 2, 3, 2)];
    assert_eq!(written(&batch), (vec![1, 2], vec![EVENT]));
}

#[test]
fn new_entries_cost_no_read_and_are_linked_one_to_the_other() {
    let stored = [entry(1, 2, 1), entry(2, 2, 2)];
    let (mut journal, batch) = (InMemory::with(&stored), [entry(3, 3, 3), entry(4, 3, 4)]);
    let Ok(mut accepted) = accept(&batch, &mut journal);
    assert_eq!(journal.reads, 0);
    accepted.write_new(&batch, |previous, event, entry| chain_of(&journal.key, previous, event, entry));
    let all: Vec<JournalEntry> = stored.iter().chain(&batch).cloned().collect();
    let expected = InMemory::with(&all).heads[&EVENT];
    assert_eq!(accepted.events[0].head, expected);
}

#[test]
fn what_a_storage_did_not_write_after_all_is_fenced() {
    let batch = [entry(1, 3, 1), of(OTHER, 1, 3, 1)];
    let Ok(mut accepted) = accept(&batch, &mut InMemory::with(&[]));
    let Ok(()) = accepted.fence_missing(&batch, &mut InMemory::with(&batch[1..]));
    let fenced: Vec<_> = accepted.events.iter().map(|of| (of.event, of.is_fenced)).collect();
    assert_eq!(fenced, [(EVENT, true), (OTHER, false)]);
    // Nor may another one's entry stand there.
    let Ok(mut accepted) = accept(&batch[..1], &mut InMemory::with(&[]));
    let Ok(()) = accepted.fence_missing(&batch[..1], &mut InMemory::with(&[entry(1, 3, 9)]));
    assert!(accepted.events[0].is_fenced);
}

//! A log of facts that buyers have received in replies, so that a buyer reads their own writes: lists come from tables written
//! behind the journal, and wait for the facts that their reader has seen. Every reply appends an entry to the open chunk of its
//! thread's shard; a list searches the chunks that the tables have not reached. Chunks that the tables have passed are dropped.
//! The number of chunks is bounded: beyond it the oldest chunk loses its buyers, and only its last facts are kept, for which
//! every list waits. Must never wait longer than [`LIST_WAIT`], and never forget a fact before the tables have it or
//! [`GIVEN_UP_AFTER`] is over.

use crate::app::App;
use onsale_engine::id::{BuyerId, EventId, Seq};
use onsale_engine::ports::records::Records;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// How long a list waits for the tables at the most.
pub const LIST_WAIT: Duration = Duration::from_millis(250);
/// Shards, so that threads that reply do not contend.
const SHARDS: usize = 32;
/// Entries of a chunk, 40 bytes each.
const CHUNK_ENTRIES: usize = 1024;
/// Full chunks of all shards together, 40 KiB each, 21 MB in all: half a million facts, as many as commits may be ahead of
/// the tables before they wait for them. A shard may have one more chunk for itself.
const CHUNKS: usize = 512;
/// Tables that have not reached a fact after this time will not reach it within [`LIST_WAIT`] either: lists stop waiting for it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

const _: () = assert!(CHUNK_ENTRIES * CHUNKS >= onsale_engine::limits::PROJECTION_LAG_MAX as usize);

/// A buyer has received a fact.
#[derive(Clone, Copy)]
struct Entry {
    buyer: BuyerId,
    event: EventId,
    seq: Seq,
}

/// A full chunk.
struct Chunk {
    entries: Vec<Entry>,
    /// The last fact of each event: the tables have the whole chunk when they have these.
    ends: Vec<(EventId, Seq)>,
}

impl Chunk {
    fn new(entries: Vec<Entry>) -> Self {
        let mut ends: HashMap<EventId, Seq> = HashMap::new();
        for Entry { event, seq, .. } in &entries {
            let end = ends.entry(*event).or_default();
            *end = (*end).max(*seq);
        }
        Self { entries, ends: ends.into_iter().collect() }
    }

    fn is_written(&self, records: &dyn Records) -> bool {
        self.ends.iter().all(|(event, end)| records.checkpoint(*event) >= *end)
    }
}

#[derive(Default)]
struct Shard {
    full: VecDeque<Arc<Chunk>>,
    open: Vec<Entry>,
}

/// See the module.
pub struct ReadYourWrites {
    shards: [Mutex<Shard>; SHARDS],
    /// Full chunks of all shards.
    chunks: AtomicUsize,
    /// The last facts of chunks that were given up, by event, and when that was.
    given_up: Mutex<HashMap<EventId, (Seq, Instant)>>,
}

impl Default for ReadYourWrites {
    fn default() -> Self {
        let shards = std::array::from_fn(|_| Mutex::default());
        Self { shards, chunks: AtomicUsize::new(0), given_up: Mutex::default() }
    }
}

/// The number of this thread's shard.
fn own_shard() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static SHARD: usize = THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS;
    }
    SHARD.with(|shard| *shard)
}

impl ReadYourWrites {
    /// Records that a buyer has received a fact.
    pub fn record(&self, buyer: BuyerId, event: EventId, seq: Seq, records: &dyn Records) {
        let mut shard = self.shards[own_shard()].lock();
        shard.open.push(Entry { buyer, event, seq });
        if shard.open.len() < CHUNK_ENTRIES {
            return;
        }
        let entries = std::mem::replace(&mut shard.open, Vec::with_capacity(CHUNK_ENTRIES));
        shard.full.push_back(Arc::new(Chunk::new(entries)));
        let chunks = self.chunks.fetch_add(1, Ordering::Relaxed) + 1;
        if chunks > CHUNKS || shard.full.front().is_some_and(|chunk| chunk.is_written(records)) {
            self.drop_written(&mut shard, records);
        }
        if self.chunks.load(Ordering::Relaxed) > CHUNKS
            && shard.full.len() > 1
            && let Some(oldest) = shard.full.pop_front()
        {
            self.chunks.fetch_sub(1, Ordering::Relaxed);
            self.give_up(&oldest, records, Instant::now());
        }
    }

    fn drop_written(&self, shard: &mut Shard, records: &dyn Records) {
        let before = shard.full.len();
        shard.full.retain(|chunk| !chunk.is_written(records));
        self.chunks.fetch_sub(before - shard.full.len(), Ordering::Relaxed);
    }

    /// Keeps only the last facts of a chunk: from now on every list waits for them.
    fn give_up(&self, chunk: &Chunk, records: &dyn Records, now: Instant) {
        let mut given_up = self.given_up.lock();
        given_up.retain(|event, (seq, at)| is_awaited(records, *event, *seq, now.duration_since(*at)));
        for (event, end) in &chunk.ends {
            let (seq, at) = given_up.entry(*event).or_insert((*end, now));
            (*seq, *at) = ((*seq).max(*end), now);
        }
    }

    /// Waits until the tables have what the buyer has received, or until [`LIST_WAIT`] is over; returns whether they have it.
    pub async fn wait(&self, buyer: BuyerId, app: &App) -> bool {
        let records = app.records.as_ref();
        self.missing(buyer, records).is_empty() || self.wait_for(buyer, records, app.engine.tables_moved()).await
    }

    /// The same for tables of which something is missing; `moved` changes when they may have moved.
    async fn wait_for(&self, buyer: BuyerId, records: &dyn Records, moved: watch::Receiver<()>) -> bool {
        // Searched again after subscribing to `moved`, so that no move in between is missed.
        until_written(self.missing(buyer, records), records, moved).await
    }

    /// The facts that the buyer has received and the tables do not have. Reads one entry for each fact that they are behind.
    fn missing(&self, buyer: BuyerId, records: &dyn Records) -> Vec<(EventId, Seq)> {
        let mut missing = Vec::new();
        let mut search = |entries: &[Entry]| {
            let theirs = entries.iter().filter(|entry| entry.buyer == buyer);
            missing.extend(theirs.map(|entry| (entry.event, entry.seq)));
        };
        for shard in &self.shards {
            let full: Vec<Arc<Chunk>> = {
                let mut shard = shard.lock();
                self.drop_written(&mut shard, records);
                search(&shard.open);
                shard.full.iter().cloned().collect()
            };
            full.iter().for_each(|chunk| search(&chunk.entries));
        }
        let given_up = self.given_up.lock();
        let awaited = given_up.iter().filter(|(event, (seq, at))| is_awaited(records, **event, *seq, at.elapsed()));
        missing.extend(awaited.map(|(event, (seq, _))| (*event, *seq)));
        drop(given_up);
        missing.retain(|(event, seq)| records.checkpoint(*event) < *seq);
        missing
    }
}

/// Waits until the tables have these facts, or until [`LIST_WAIT`] is over; returns whether they have them. `moved` changes
/// when the tables may have moved, and was subscribed to before the facts were read.
pub async fn until_written(
    mut missing: Vec<(EventId, Seq)>,
    records: &dyn Records,
    mut moved: watch::Receiver<()>,
) -> bool {
    let until = Instant::now() + LIST_WAIT;
    while !missing.is_empty() {
        match tokio::time::timeout_at(until, moved.changed()).await {
            Ok(Ok(())) => missing.retain(|(event, seq)| records.checkpoint(*event) < *seq),
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    true
}

/// Whether lists still wait for a fact of a chunk that was given up so long ago.
fn is_awaited(records: &dyn Records, event: EventId, seq: Seq, ago: Duration) -> bool {
    records.checkpoint(event) < seq && ago < GIVEN_UP_AFTER
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{PaymentId, ReservationId};
    use onsale_engine::ports::catalogue::{Listed, Page};
    use onsale_engine::ports::records::ReservationRecord;
    use onsale_engine::ports::{Later, StoreError};
    use onsale_engine::sale::PaymentView;
    use std::sync::atomic::AtomicU64;
    use uuid::Uuid;

    #[derive(Default)]
    struct Tables(AtomicU64, AtomicU64);

    impl Records for Tables {
        fn checkpoint(&self, _: EventId) -> Seq {
            self.1.fetch_add(1, Ordering::Relaxed);
            Seq(self.0.load(Ordering::Relaxed))
        }
        fn reservations(&self, _: BuyerId, _: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn reservation(&self, _: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn payments(&self, _: BuyerId, _: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn payment(&self, _: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
    }

    fn event(number: u128) -> EventId {
        EventId(Uuid::from_u128(number))
    }

    fn buyer(number: u128) -> BuyerId {
        BuyerId(Uuid::from_u128(number))
    }

    #[test]
    fn what_was_received_is_missing_until_it_is_written() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        assert_eq!(log.missing(buyer(1), &tables), []);
        log.record(buyer(1), event(1), Seq(7), &tables);
        log.record(buyer(2), event(1), Seq(8), &tables);
        assert_eq!(log.missing(buyer(1), &tables), [(event(1), Seq(7))]);
        tables.0.store(6, Ordering::Relaxed);
        assert_eq!(log.missing(buyer(1), &tables), [(event(1), Seq(7))]);
        tables.0.store(7, Ordering::Relaxed);
        assert_eq!(log.missing(buyer(1), &tables), []);
        assert_eq!(log.missing(buyer(2), &tables), [(event(1), Seq(8))]);
    }

    #[tokio::test]
    async fn a_list_waits_for_the_tables_to_move_without_asking_and_not_longer_than_it_may() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        log.record(buyer(1), event(1), Seq(7), &tables);
        let began = Instant::now();
        let moves = watch::Sender::new(());
        let waiting = log.wait_for(buyer(1), &tables, moves.subscribe());
        let moving = async {
            for seq in [3, 7] {
                tokio::time::sleep(LIST_WAIT / 5).await;
                tables.0.store(seq, Ordering::Relaxed);
                moves.send_replace(());
            }
        };
        tokio::join!(waiting, moving);
        assert!(began.elapsed() >= LIST_WAIT / 5 * 2);
        // Twice at the beginning at the most, and once for each move.
        let asked = tables.1.load(Ordering::Relaxed);
        assert!(asked <= 4, "asked {asked} times");
        log.record(buyer(1), event(1), Seq(8), &tables);
        let began = Instant::now();
        log.wait_for(buyer(1), &tables, moves.subscribe()).await;
        assert!(began.elapsed() >= LIST_WAIT && tables.1.load(Ordering::Relaxed) <= asked + 2);
    }

    #[test]
    fn full_chunks_are_searched_and_dropped_when_they_are_written() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        let count = 3 * CHUNK_ENTRIES as u64 + 1;
        (1..=count).for_each(|n| log.record(buyer(n.into()), event(u128::from(n % 3)), Seq(n), &tables));
        for n in [1, CHUNK_ENTRIES as u64, CHUNK_ENTRIES as u64 + 1, count] {
            assert_eq!(log.missing(buyer(n.into()), &tables), [(event(u128::from(n % 3)), Seq(n))]);
        }
        tables.0.store(2 * CHUNK_ENTRIES as u64, Ordering::Relaxed);
        (1..CHUNK_ENTRIES as u64).for_each(|n| log.record(buyer(9), event(9), Seq(count + n), &tables));
        let kept: Vec<usize> =
            log.shards.iter().map(|shard| shard.lock().full.len()).filter(|full| *full > 0).collect();
        assert_eq!(kept, [2], "the two first chunks are written");
        assert_eq!(log.missing(buyer(1), &tables), []);
        assert_eq!(log.missing(buyer(u128::from(2 * CHUNK_ENTRIES as u64 + 1)), &tables).len(), 1);
    }

    #[test]
    fn entries_of_other_threads_are_seen() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        std::thread::scope(|threads| {
            for n in 1..=8 {
                let (tables, log) = (&tables, &log);
                threads.spawn(move || log.record(buyer(1), event(n), Seq(1), tables));
            }
        });
        let mut events: Vec<EventId> = log.missing(buyer(1), &tables).into_iter().map(|(event, _)| event).collect();
        events.sort();
        assert_eq!(events, (1..=8).map(event).collect::<Vec<_>>());
    }

    #[test]
    fn beyond_the_bound_every_list_waits_for_what_was_given_up() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        let count = ((CHUNKS + 5) * CHUNK_ENTRIES) as u64;
        log.record(buyer(1), event(1), Seq(1), &tables);
        (1..count).for_each(|n| log.record(buyer(2), event(1), Seq(n + 1), &tables));
        let kept = || log.shards.iter().map(|shard| shard.lock().full.len()).sum::<usize>();
        assert_eq!((kept(), log.chunks.load(Ordering::Relaxed)), (CHUNKS, CHUNKS));
        let given_up = (event(1), Seq(5 * CHUNK_ENTRIES as u64));
        assert_eq!(log.missing(buyer(1), &tables), [given_up], "its own entry is gone, what it waits for is not");
        assert_eq!(log.missing(buyer(3), &tables), [given_up], "also a buyer who has received nothing waits");
        tables.0.store(given_up.1.0, Ordering::Relaxed);
        assert_eq!(log.missing(buyer(1), &tables), []);
        tables.0.store(count, Ordering::Relaxed);
        assert_eq!(log.missing(buyer(2), &tables), []);
        assert_eq!((kept(), log.chunks.load(Ordering::Relaxed)), (0, 0), "a list drops what the tables have");
    }

    #[test]
    fn tables_that_never_arrive_are_not_waited_for_for_ever() {
        let (tables, log) = (Tables::default(), ReadYourWrites::default());
        let chunk = Chunk::new(vec![Entry { buyer: buyer(1), event: event(1), seq: Seq(9) }]);
        log.give_up(&chunk, &tables, Instant::now());
        assert_eq!(log.missing(buyer(2), &tables), [(event(1), Seq(9))]);
        let long_ago = Instant::now().checked_sub(GIVEN_UP_AFTER).unwrap();
        log.given_up.lock().values_mut().for_each(|(_, at)| *at = long_ago);
        assert_eq!(log.missing(buyer(2), &tables), []);
    }
}

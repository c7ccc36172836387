//! A buyer reads their own acknowledged change: of which facts buyers were told lately, so that lists, which come from
//! tables written behind, can wait for them. A note is made with every answer, so it is only added to the end of a page;
//! whoever lists looks through the pages that the tables do not have yet. Must never wait longer than [`LIST_WAIT`].

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
/// Books, so that the threads that answer do not wait for each other.
const BOOKS: usize = 32;
/// Notes of a page, 40 bytes each.
const NOTES: usize = 1024;
/// Pages of a book. Tables are not that far behind unless they cannot be written at all; then the oldest is let go.
const PAGES: usize = 1024;

/// A buyer was told of a fact.
#[derive(Clone, Copy)]
struct Note {
    buyer: BuyerId,
    event: EventId,
    seq: Seq,
}

/// A full page.
struct Page {
    notes: Vec<Note>,
    /// How far the tables must be for all of it.
    ends: Vec<(EventId, Seq)>,
}

impl Page {
    fn new(notes: Vec<Note>) -> Self {
        let mut ends: HashMap<EventId, Seq> = HashMap::new();
        for Note { event, seq, .. } in &notes {
            let end = ends.entry(*event).or_default();
            *end = (*end).max(*seq);
        }
        Self { notes, ends: ends.into_iter().collect() }
    }

    fn is_written(&self, records: &dyn Records) -> bool {
        self.ends.iter().all(|(event, end)| records.checkpoint(*event) >= *end)
    }
}

#[derive(Default)]
struct Book {
    full: VecDeque<Arc<Page>>,
    open: Vec<Note>,
}

/// Who was told of what.
pub struct Acknowledged {
    books: [Mutex<Book>; BOOKS],
}

impl Default for Acknowledged {
    fn default() -> Self {
        Self { books: std::array::from_fn(|_| Mutex::default()) }
    }
}

/// The number of this thread's book.
fn own_book() -> usize {
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static BOOK: usize = THREADS.fetch_add(1, Ordering::Relaxed) % BOOKS;
    }
    BOOK.with(|book| *book)
}

impl Acknowledged {
    /// Notes that a buyer was told of a fact.
    pub fn note(&self, buyer: BuyerId, event: EventId, seq: Seq, records: &dyn Records) {
        let mut book = self.books[own_book()].lock();
        book.open.push(Note { buyer, event, seq });
        if book.open.len() < NOTES {
            return;
        }
        let notes = std::mem::replace(&mut book.open, Vec::with_capacity(NOTES));
        book.full.push_back(Arc::new(Page::new(notes)));
        while book.full.len() > PAGES || book.full.front().is_some_and(|page| page.is_written(records)) {
            book.full.pop_front();
        }
    }

    /// Waits until the tables have what the buyer was told of, or until [`LIST_WAIT`] is over.
    pub async fn wait(&self, buyer: BuyerId, app: &App) {
        let records = app.records.as_ref();
        if self.missing(buyer, records).is_empty() {
            return;
        }
        self.wait_for(buyer, records, app.engine.tables_moved()).await;
    }

    /// The same for tables of which something is missing; `moved` changes when they may have moved.
    async fn wait_for(&self, buyer: BuyerId, records: &dyn Records, mut moved: watch::Receiver<()>) {
        let until = Instant::now() + LIST_WAIT;
        // Looked up again after it is followed, so that no move in between is missed.
        let mut missing = self.missing(buyer, records);
        while !missing.is_empty() {
            match tokio::time::timeout_at(until, moved.changed()).await {
                Ok(Ok(())) => missing.retain(|(event, seq)| records.checkpoint(*event) < *seq),
                Ok(Err(_)) | Err(_) => return,
            }
        }
    }

    /// Of which facts the buyer was told that the tables do not have. Looks through a note for each fact that they are behind.
    fn missing(&self, buyer: BuyerId, records: &dyn Records) -> Vec<(EventId, Seq)> {
        let mut missing = Vec::new();
        let mut look_through = |notes: &[Note]| {
            let theirs = notes.iter().filter(|note| note.buyer == buyer);
            missing.extend(theirs.map(|note| (note.event, note.seq)));
        };
        for book in &self.books {
            let full: Vec<Arc<Page>> = {
                let book = book.lock();
                look_through(&book.open);
                book.full.iter().cloned().collect()
            };
            full.iter().filter(|page| !page.is_written(records)).for_each(|page| look_through(&page.notes));
        }
        missing.retain(|(event, seq)| records.checkpoint(*event) < *seq);
        missing
    }
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
    fn what_was_told_is_missing_until_it_is_written() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        assert_eq!(told.missing(buyer(1), &tables), []);
        told.note(buyer(1), event(1), Seq(7), &tables);
        told.note(buyer(2), event(1), Seq(8), &tables);
        assert_eq!(told.missing(buyer(1), &tables), [(event(1), Seq(7))]);
        tables.0.store(6, Ordering::Relaxed);
        assert_eq!(told.missing(buyer(1), &tables), [(event(1), Seq(7))]);
        tables.0.store(7, Ordering::Relaxed);
        assert_eq!(told.missing(buyer(1), &tables), []);
        assert_eq!(told.missing(buyer(2), &tables), [(event(1), Seq(8))]);
    }

    #[tokio::test]
    async fn a_list_waits_for_the_tables_to_move_without_asking_and_not_longer_than_it_may() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        told.note(buyer(1), event(1), Seq(7), &tables);
        let began = Instant::now();
        let moves = watch::Sender::new(());
        let waiting = told.wait_for(buyer(1), &tables, moves.subscribe());
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
        told.note(buyer(1), event(1), Seq(8), &tables);
        let began = Instant::now();
        told.wait_for(buyer(1), &tables, moves.subscribe()).await;
        assert!(began.elapsed() >= LIST_WAIT && tables.1.load(Ordering::Relaxed) <= asked + 2);
    }

    #[test]
    fn full_pages_are_looked_through_and_let_go_when_they_are_written() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        let count = 3 * NOTES as u64 + 1;
        (1..=count).for_each(|n| told.note(buyer(n.into()), event(u128::from(n % 3)), Seq(n), &tables));
        for n in [1, NOTES as u64, NOTES as u64 + 1, count] {
            assert_eq!(told.missing(buyer(n.into()), &tables), [(event(u128::from(n % 3)), Seq(n))]);
        }
        tables.0.store(2 * NOTES as u64, Ordering::Relaxed);
        assert_eq!(told.missing(buyer(1), &tables), []);
        assert_eq!(told.missing(buyer(u128::from(2 * NOTES as u64 + 1)), &tables).len(), 1);
        (1..NOTES as u64).for_each(|n| told.note(buyer(9), event(9), Seq(count + n), &tables));
        let kept: Vec<usize> = told.books.iter().map(|book| book.lock().full.len()).filter(|full| *full > 0).collect();
        assert_eq!(kept, [2], "the two first pages are written");
    }

    #[test]
    fn others_threads_notes_are_seen_and_there_is_a_bound() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        std::thread::scope(|threads| {
            for n in 1..=8 {
                let (tables, told) = (&tables, &told);
                threads.spawn(move || told.note(buyer(1), event(n), Seq(1), tables));
            }
        });
        let mut events: Vec<EventId> = told.missing(buyer(1), &tables).into_iter().map(|(event, _)| event).collect();
        events.sort();
        assert_eq!(events, (1..=8).map(event).collect::<Vec<_>>());
        (0..((PAGES + 5) * NOTES) as u64).for_each(|n| told.note(buyer(2), event(1), Seq(n + 1), &tables));
        assert_eq!(told.books[own_book()].lock().full.len(), PAGES);
    }
}

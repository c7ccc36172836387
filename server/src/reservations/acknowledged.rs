//! A buyer reads their own acknowledged change: of which facts buyers were told lately, so that lists, which come from
//! tables written behind, can wait for them. A note is made with every answer, so it is only added to the end of a page;
//! whoever lists looks through the pages that the tables do not have yet. Pages that the tables have passed are dropped.
//! The number of pages is bounded: beyond it the oldest page gives up its buyers, and only how far it went is kept, for
//! which everybody's list waits. Must never wait longer than [`LIST_WAIT`], and never forget a fact before the tables
//! have it or [`GIVEN_UP_AFTER`] is over.

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
/// Full pages of all books together, 40 KiB each, 21 MB in all: half a million facts, as many as commits may be ahead of
/// the tables before they wait for them. A book may hold one page more for itself.
const PAGES: usize = 512;
/// Tables that have not come to a fact for so long do not come to it within [`LIST_WAIT`] either: nobody waits for it.
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

const _: () = assert!(NOTES * PAGES >= onsale_engine::limits::PROJECTION_LAG_MAX as usize);

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
    /// Full pages of all books.
    pages: AtomicUsize,
    /// How far the pages went that were given up, by event, and when that was.
    given_up: Mutex<HashMap<EventId, (Seq, Instant)>>,
}

impl Default for Acknowledged {
    fn default() -> Self {
        let books = std::array::from_fn(|_| Mutex::default());
        Self { books, pages: AtomicUsize::new(0), given_up: Mutex::default() }
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
        let pages = self.pages.fetch_add(1, Ordering::Relaxed) + 1;
        if pages > PAGES || book.full.front().is_some_and(|page| page.is_written(records)) {
            self.drop_written(&mut book, records);
        }
        if self.pages.load(Ordering::Relaxed) > PAGES
            && book.full.len() > 1
            && let Some(oldest) = book.full.pop_front()
        {
            self.pages.fetch_sub(1, Ordering::Relaxed);
            self.give_up(&oldest, records, Instant::now());
        }
    }

    fn drop_written(&self, book: &mut Book, records: &dyn Records) {
        let before = book.full.len();
        book.full.retain(|page| !page.is_written(records));
        self.pages.fetch_sub(before - book.full.len(), Ordering::Relaxed);
    }

    /// Keeps of a page only how far it went: from now on every list waits for that.
    fn give_up(&self, page: &Page, records: &dyn Records, now: Instant) {
        let mut given_up = self.given_up.lock();
        given_up.retain(|event, (seq, at)| is_awaited(records, *event, *seq, now.duration_since(*at)));
        for (event, end) in &page.ends {
            let (seq, at) = given_up.entry(*event).or_insert((*end, now));
            (*seq, *at) = ((*seq).max(*end), now);
        }
    }

    /// Waits until the tables have what the buyer was told of, or until [`LIST_WAIT`] is over; answers whether they have it.
    pub async fn wait(&self, buyer: BuyerId, app: &App) -> bool {
        let records = app.records.as_ref();
        self.missing(buyer, records).is_empty() || self.wait_for(buyer, records, app.engine.tables_moved()).await
    }

    /// The same for tables of which something is missing; `moved` changes when they may have moved.
    async fn wait_for(&self, buyer: BuyerId, records: &dyn Records, moved: watch::Receiver<()>) -> bool {
        // Looked up again after it is followed, so that no move in between is missed.
        until_written(self.missing(buyer, records), records, moved).await
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
                let mut book = book.lock();
                self.drop_written(&mut book, records);
                look_through(&book.open);
                book.full.iter().cloned().collect()
            };
            full.iter().for_each(|page| look_through(&page.notes));
        }
        let given_up = self.given_up.lock();
        let awaited = given_up.iter().filter(|(event, (seq, at))| is_awaited(records, **event, *seq, at.elapsed()));
        missing.extend(awaited.map(|(event, (seq, _))| (*event, *seq)));
        drop(given_up);
        missing.retain(|(event, seq)| records.checkpoint(*event) < *seq);
        missing
    }
}

/// Waits until the tables have these facts, or until [`LIST_WAIT`] is over; answers whether they have them. `moved` changes
/// when the tables may have moved, and was followed before the facts were looked up.
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

/// Whether lists still wait for a fact of a page that was given up so long ago.
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
        (1..NOTES as u64).for_each(|n| told.note(buyer(9), event(9), Seq(count + n), &tables));
        let kept: Vec<usize> = told.books.iter().map(|book| book.lock().full.len()).filter(|full| *full > 0).collect();
        assert_eq!(kept, [2], "the two first pages are written");
        assert_eq!(told.missing(buyer(1), &tables), []);
        assert_eq!(told.missing(buyer(u128::from(2 * NOTES as u64 + 1)), &tables).len(), 1);
    }

    #[test]
    fn others_threads_notes_are_seen() {
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
    }

    #[test]
    fn beyond_the_bound_everybody_waits_for_what_was_given_up() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        let count = ((PAGES + 5) * NOTES) as u64;
        told.note(buyer(1), event(1), Seq(1), &tables);
        (1..count).for_each(|n| told.note(buyer(2), event(1), Seq(n + 1), &tables));
        let kept = || told.books.iter().map(|book| book.lock().full.len()).sum::<usize>();
        assert_eq!((kept(), told.pages.load(Ordering::Relaxed)), (PAGES, PAGES));
        let given_up = (event(1), Seq(5 * NOTES as u64));
        assert_eq!(told.missing(buyer(1), &tables), [given_up], "its own note is gone, what it waits for is not");
        assert_eq!(told.missing(buyer(3), &tables), [given_up], "also somebody who was told of nothing waits");
        tables.0.store(given_up.1.0, Ordering::Relaxed);
        assert_eq!(told.missing(buyer(1), &tables), []);
        tables.0.store(count, Ordering::Relaxed);
        assert_eq!(told.missing(buyer(2), &tables), []);
        assert_eq!((kept(), told.pages.load(Ordering::Relaxed)), (0, 0), "whoever lists drops what the tables have");
    }

    #[test]
    fn tables_that_do_not_come_are_not_waited_for_for_ever() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        let page = super::Page::new(vec![Note { buyer: buyer(1), event: event(1), seq: Seq(9) }]);
        told.give_up(&page, &tables, Instant::now());
        assert_eq!(told.missing(buyer(2), &tables), [(event(1), Seq(9))]);
        let long_ago = Instant::now().checked_sub(GIVEN_UP_AFTER).unwrap();
        told.given_up.lock().values_mut().for_each(|(_, at)| *at = long_ago);
        assert_eq!(told.missing(buyer(2), &tables), []);
    }
}

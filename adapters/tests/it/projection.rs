//! What every projection must do, its reading side included, run on SQLite, on Postgres and on the fake.
//! Tables are compared with
//! the sale that lived through the same facts.

use crate::story::{Story, buyer, buyers};
use crate::support::{Database, Directory, event, plans};
use onsale_adapters::postgres::PostgresProjection;
use onsale_adapters::sqlite::{Library, SqliteProjection};
use onsale_adapters::stored::FactKind;
use onsale_engine::fakes::{FakeProjection, small_plan};
use onsale_engine::id::{EventId, SeatIndex, Seq};
use onsale_engine::ports::catalogue::Page;
use onsale_engine::ports::records::{Records, ReservationRecord};
use onsale_engine::ports::rows::SeatStatus;
use onsale_engine::ports::{Committed, JournalError, Projection};
use onsale_engine::sale::{Entry, PaymentView};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

/// Both sides of the tables.
pub struct Opened {
    pub projection: Box<dyn Projection>,
    pub records: Arc<dyn Records>,
}

/// Somewhere that tables lie; opening it again finds what was written.
pub trait Tables {
    fn open(&self) -> Opened;
    /// The seats of an event that are not free: `A-1 HELD`, in the order of their ids.
    fn seats(&self, event: EventId) -> Vec<String>;
}

impl Tables for Directory {
    fn open(&self) -> Opened {
        let dir = self.data();
        let (projection, records) = SqliteProjection::open(&dir, Library::open(&dir).unwrap(), plans()).unwrap();
        Opened { projection: Box::new(projection), records: Arc::new(records) }
    }

    fn seats(&self, event: EventId) -> Vec<String> {
        let library = rusqlite::Connection::open(self.path().join("library.db")).unwrap();
        let sql = "SELECT seat_id || ' ' || status FROM seats WHERE event_id = ?1 AND status <> 'AVAILABLE' ORDER BY 1";
        let mut statement = library.prepare(sql).unwrap();
        let rows = statement.query_map([event.0.into_bytes()], |row| row.get(0)).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    }
}

impl Tables for Database {
    fn open(&self) -> Opened {
        let (projection, records) = PostgresProjection::open(&self.open(), plans()).unwrap();
        Opened { projection: Box::new(projection), records: Arc::new(records) }
    }

    fn seats(&self, event: EventId) -> Vec<String> {
        let sql = format!(
            "SELECT seat_id || ' ' || status FROM seats WHERE event_id = '{event}' AND status <> 'AVAILABLE' ORDER BY 1"
        );
        self.sql(&sql).into_iter().map(|columns| columns[0].clone()).collect()
    }
}

struct InMemory(FakeProjection);

impl Tables for InMemory {
    fn open(&self) -> Opened {
        Opened { projection: Box::new(self.0.clone()), records: Arc::new(self.0.clone()) }
    }

    fn seats(&self, event: EventId) -> Vec<String> {
        let plan = small_plan(10, 20);
        let row = |at: u32| self.0.seat(event, SeatIndex(at)).map(|row| (plan.seat_id(SeatIndex(at)), row.status));
        let taken = (0..200).filter_map(row).filter(|(_, status)| *status != SeatStatus::Available);
        let mut seats: Vec<String> =
            taken.map(|(seat, status)| format!("{seat} {}", format!("{status:?}").to_uppercase())).collect();
        seats.sort();
        seats
    }
}

/// The suite on one kind of tables.
macro_rules! projection_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[tokio::test]
            async fn tables_follow_the_sale() {
                super::tables_follow_the_sale(|| $make).await;
            }
            #[tokio::test]
            async fn known_facts_are_skipped_and_a_gap_is_refused() {
                super::known_facts_are_skipped_and_a_gap_is_refused(&$make).await;
            }
            #[tokio::test]
            async fn what_an_older_journal_does_not_know_is_forgotten_and_written_again() {
                super::what_an_older_journal_does_not_know_is_forgotten_and_written_again(&$make).await;
            }
            #[tokio::test]
            async fn seats_that_are_not_for_sale_are_blocked_in_the_tables() {
                super::seats_that_are_not_for_sale_are_blocked_in_the_tables(&$make);
            }
            #[tokio::test]
            async fn lists_are_paged_newest_first() {
                super::lists_are_paged_newest_first(&$make).await;
            }
        }
    };
}

projection_suite!(sqlite, crate::support::Directory::new());
projection_suite!(postgres, crate::support::Database::new());
projection_suite!(fake, super::InMemory(onsale_engine::fakes::FakeProjection::default()));

pub fn committed(event: EventId, entries: &[Entry]) -> Committed {
    Committed { event, entries: entries.into() }
}

const FIRST: Page = Page { number: 0, size: 100 };

/// Every reservation and payment of the sale is in the tables as in the sale, and nothing else is.
pub async fn assert_follows(records: &dyn Records, story: &Story) {
    let snapshot = story.sale.snapshot();
    for row in &snapshot.reservations {
        let found = records.reservation(row.view.id).await.unwrap();
        let expected = ReservationRecord { event: story.event, reservation: row.view.clone() };
        assert_eq!(found, Some(expected));
    }
    for row in &snapshot.payments {
        assert_eq!(records.payment(row.view.id).await.unwrap().as_ref(), Some(&row.view));
    }
    for buyer in buyers() {
        let listed = records.reservations(buyer, FIRST).await.unwrap();
        let mut own: Vec<_> = snapshot.reservations.iter().map(|row| &row.view).filter(|v| v.buyer == buyer).collect();
        own.sort_by_key(|view| std::cmp::Reverse((view.created_at, view.id)));
        let listed_here: Vec<_> =
            listed.items.iter().filter(|one| one.event == story.event).map(|one| &one.reservation).collect();
        assert_eq!(listed_here, own[..own.len().min(100)]);
        let listed = records.payments(buyer, FIRST).await.unwrap();
        let mut own: Vec<&PaymentView> =
            snapshot.payments.iter().map(|row| &row.view).filter(|view| view.buyer == buyer).collect();
        own.sort_by_key(|view| std::cmp::Reverse((view.created_at, view.id)));
        assert_eq!(listed.items.iter().collect::<Vec<_>>(), own);
        assert_eq!(listed.total, own.len() as u64);
    }
    assert_eq!(records.checkpoint(story.event), story.sale.seq());
}

async fn tables_follow_the_sale<T: Tables>(make: impl Fn() -> T) {
    let mut seen: HashSet<FactKind> = HashSet::new();
    for seed in 0..12 {
        let tables = make();
        let mut opened = tables.open();
        let mut random = StdRng::seed_from_u64(seed);
        let story = Story::random(event(1), seed, 400);
        assert!(story.entries.len() > 100, "seed {seed} has too few entries: {}", story.entries.len());
        seen.extend(story.entries.iter().map(|entry| FactKind::of(&entry.fact)));
        let mut rest = &story.entries[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(40)));
            // Some facts are handed over twice, as after a crash.
            let known = now[0].seq.0 as usize - 1;
            let start = known - random.random_range(0..=known.min(5));
            let both = &story.entries[start..known + now.len()];
            opened.projection.project(&[committed(event(1), both)]).unwrap();
            rest = later;
            if random.random_bool(0.1) {
                drop(opened);
                opened = tables.open();
            }
        }
        assert_follows(&*opened.records, &story).await;
        assert_eq!(tables.seats(event(1)), seats_of(&story), "seed {seed}");
        assert_eq!(opened.projection.checkpoint(event(1)).unwrap(), story.sale.seq());
    }
    let of_tables = FactKind::ALL.iter().filter(|kind| matches!(kind.number(), 1..=14 | 31 | 32 | 35 | 36));
    let unseen: Vec<_> = of_tables.filter(|kind| !seen.contains(*kind)).collect();
    assert!(unseen.is_empty(), "no story has {unseen:?}");
}

/// What is not free in a story's sale, as [`Tables::seats`] gives it.
fn seats_of(story: &Story) -> Vec<String> {
    let plan = story.sale.plan().unwrap();
    let states =
        [("HELD", story.sale.seats_held()), ("SOLD", story.sale.seats_sold()), ("BLOCKED", story.sale.seats_blocked())];
    let named = states.into_iter().flat_map(|(state, seats)| {
        seats.into_iter().map(move |seat| format!("{} {state}", plan.seat_id(seat))).collect::<Vec<_>>()
    });
    let mut named: Vec<String> = named.collect();
    named.sort();
    named
}

/// Rules that sell less, then others in another hall, then an operator, each in a batch of its own and all in one.
fn seats_that_are_not_for_sale_are_blocked_in_the_tables(tables: &dyn Tables) {
    let Opened { mut projection, .. } = tables.open();
    for at_once in [false, true] {
        let event = event(if at_once { 2 } else { 1 });
        let mut story = Story::before_opening(event, small_plan(2, 3), |config| config.prices[0] = None);
        assert_eq!(seats_of(&story), ["A-1 BLOCKED", "A-2 BLOCKED", "A-3 BLOCKED"]);
        let mut seen = 0;
        let mut check = |story: &Story, even_so: bool| {
            if even_so || !at_once {
                projection.project(&[committed(event, &story.entries[seen..])]).unwrap();
                assert_eq!(tables.seats(event), seats_of(story));
                seen = story.entries.len();
            }
        };
        check(&story, false);
        assert!(story.configure(small_plan(10, 20), |config| config.blocked = [SeatIndex(0), SeatIndex(21)].into()));
        assert_eq!(seats_of(&story), ["A-1 BLOCKED", "B-2 BLOCKED"]);
        check(&story, false);
        assert!(story.block(&[SeatIndex(40)], &[SeatIndex(0)]));
        check(&story, false);
        story.pass(Duration::from_secs(600));
        story.hold(buyer(1), 2).unwrap();
        story.block(&[SeatIndex(0)], &[SeatIndex(21)]);
        check(&story, true);
        assert_eq!(seats_of(&story).len(), 4, "two blocked, two held");
    }
}

async fn known_facts_are_skipped_and_a_gap_is_refused(tables: &dyn Tables) {
    let Opened { mut projection, records } = tables.open();
    let (one, two) = (Story::random(event(1), 1, 100), Story::random(event(2), 2, 0));
    assert_eq!(projection.checkpoint(event(1)).unwrap(), Seq(0));
    let gap = projection.project(&[committed(event(2), &two.entries), committed(event(1), &one.entries[1..])]);
    assert!(matches!(gap, Err(JournalError::NotDone(_))), "the first fact is missing");
    assert_eq!(records.checkpoint(event(2)), Seq(0), "nothing of that batch is in");
    projection.project(&[committed(event(1), &one.entries[..20]), committed(event(2), &two.entries)]).unwrap();
    projection.project(&[committed(event(1), &one.entries[..15])]).unwrap();
    assert_eq!(records.checkpoint(event(1)), Seq(20), "what is known is skipped");
    assert!(projection.project(&[committed(event(1), &one.entries[21..])]).is_err());
    let (next, last) = (&one.entries[20..30], &one.entries[25..]);
    projection.project(&[committed(event(1), next), committed(event(1), last)]).unwrap();
    assert_follows(&*records, &one).await;
    assert_eq!(records.checkpoint(event(2)), two.sale.seq());
    assert_eq!(records.checkpoint(event(3)), Seq(0));
}

async fn what_an_older_journal_does_not_know_is_forgotten_and_written_again(tables: &dyn Tables) {
    let Opened { mut projection, records } = tables.open();
    let (one, two) = (Story::random(event(1), 3, 200), Story::random(event(2), 4, 0));
    projection.project(&[committed(event(1), &one.entries), committed(event(2), &two.entries)]).unwrap();
    projection.forget(event(1)).unwrap();
    assert_eq!((records.checkpoint(event(1)), projection.checkpoint(event(1)).unwrap()), (Seq(0), Seq(0)));
    for buyer in buyers() {
        let page = Page { number: 0, size: 100 };
        let of_one = |record: &ReservationRecord| record.event == event(1);
        assert!(!records.reservations(buyer, page).await.unwrap().items.iter().any(of_one));
    }
    assert_follows(&*records, &two).await;
    // The journal that is there now has less, and may differ.
    let other = Story::random(event(1), 5, 120);
    projection.project(&[committed(event(1), &other.entries)]).unwrap();
    assert_follows(&*records, &other).await;
    assert_eq!(records.checkpoint(event(2)), two.sale.seq());
    drop((projection, records));
    let again = tables.open();
    assert_follows(&*again.records, &other).await;
}

async fn lists_are_paged_newest_first(tables: &dyn Tables) {
    let Opened { mut projection, records } = tables.open();
    let mut stories = [Story::begin(event(1), 1), Story::begin(event(2), 2)];
    let mut made = Vec::new();
    for number in 0..15 {
        let story = &mut stories[number % 2];
        let reservation = story.hold(buyer(0), 1).unwrap();
        // Both stories have the same time.
        stories.iter_mut().for_each(|story| story.pass(Duration::from_secs(310)));
        made.insert(0, reservation);
    }
    let batch: Vec<_> = stories.iter().map(|story| committed(story.event, &story.entries)).collect();
    projection.project(&batch).unwrap();
    let mut seen = Vec::new();
    for (number, expected) in [(0, 6), (1, 6), (2, 3), (3, 0)] {
        let page = records.reservations(buyer(0), Page { number, size: 6 }).await.unwrap();
        assert_eq!((page.items.len(), page.total), (expected, 15));
        seen.extend(page.items.iter().map(|one| one.reservation.id));
    }
    assert_eq!(seen, made);
    let nobody = records.reservations(buyer(77), FIRST).await.unwrap();
    assert_eq!((nobody.items.len(), nobody.total), (0, 0));
    assert_eq!(records.payments(buyer(0), FIRST).await.unwrap().total, 0);
}

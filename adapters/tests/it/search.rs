//! What operators look up, on SQLite and on Postgres: whatever is asked, they answer as the fake does, which reads
//! everything and keeps what is wanted.

use crate::projection::committed;
use crate::story::{Story, buyer, buyers};
use crate::support::{Database, Directory, event, plans};
use onsale_adapters::postgres::PostgresProjection;
use onsale_adapters::sqlite::{Library, SqliteProjection};
use onsale_engine::fakes::{FakeProjection, small_plan};
use onsale_engine::id::{PaymentId, ReservationId, SeatIndex, Seq, TicketSerial};
use onsale_engine::ports::Projection;
use onsale_engine::ports::catalogue::Page;
use onsale_engine::ports::rows::asked_for;
use onsale_engine::ports::search::{ExportCursor, ExportPart, Named, PaymentState, RecordSearch, STORY_BYTES, Search};
use onsale_engine::sale::{ChangeHold, Command, Fact, ReservationStatus};
use onsale_engine::time::Timestamp;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

type Opened = (Box<dyn Projection>, Arc<dyn RecordSearch>);

trait Searched {
    fn open(&self) -> Opened;
    /// A number that the tables themselves answer.
    fn number(&self, sql: &str) -> i64;
}

impl Searched for Directory {
    fn open(&self) -> Opened {
        let dir = self.data();
        let (projection, records) = SqliteProjection::open(&dir, Library::open(&dir).unwrap(), plans()).unwrap();
        (Box::new(projection), Arc::new(records))
    }

    fn number(&self, sql: &str) -> i64 {
        let connection = rusqlite::Connection::open(self.path().join("library.db")).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Searched for Database {
    fn open(&self) -> Opened {
        let (projection, records) = PostgresProjection::open(&self.open(), plans()).unwrap();
        (Box::new(projection), Arc::new(records))
    }

    fn number(&self, sql: &str) -> i64 {
        self.sql(sql)[0][0].parse().unwrap()
    }
}

macro_rules! search_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn every_search_finds_what_a_scan_of_everything_finds() {
                super::every_search_finds_what_a_scan_of_everything_finds(&$make).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn an_export_has_every_reservation_once_also_when_they_change_meanwhile() {
                super::an_export_has_every_reservation_once_also_when_they_change_meanwhile(&$make).await;
            }
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_story_is_where_the_facts_are_and_does_not_grow_for_ever() {
                super::a_story_is_where_the_facts_are_and_does_not_grow_for_ever(&$make).await;
            }
        }
    };
}

search_suite!(sqlite, crate::support::Directory::new());
search_suite!(postgres, crate::support::Database::new());

const STATUSES: [ReservationStatus; 4] = [
    ReservationStatus::Pending,
    ReservationStatus::Confirmed,
    ReservationStatus::Cancelled,
    ReservationStatus::Expired,
];
const STATES: [PaymentState; 4] =
    [PaymentState::Pending, PaymentState::Success, PaymentState::Failed, PaymentState::Refunded];

/// Two events in the tables and in the fake, in batches of any size.
fn project(stories: &[Story], into: &mut [&mut dyn Projection]) {
    let mut random = StdRng::seed_from_u64(7);
    for story in stories {
        let mut rest = &story.entries[..];
        while !rest.is_empty() {
            let (now, later) = rest.split_at(random.random_range(1..=rest.len().min(30)));
            into.iter_mut().for_each(|projection| projection.project(&[committed(story.event, now)]).unwrap());
            rest = later;
        }
    }
}

fn some_named(stories: &[Story], random: &mut StdRng) -> Vec<Option<Named>> {
    let all: Vec<_> = stories.iter().flat_map(|story| story.sale.snapshot().reservations).collect();
    let paid: Vec<PaymentId> =
        stories.iter().flat_map(|story| story.sale.snapshot().payments).map(|row| row.view.id).collect();
    let mut some = |count: usize| -> Vec<ReservationId> {
        (0..count).map(|_| all[random.random_range(0..all.len())].view.id).collect()
    };
    let (one, many) = (some(1), some(40));
    vec![
        None,
        Some(Named::default()),
        Some(Named { reservations: one.clone(), payments: vec![paid[0]], buyers: vec![] }),
        Some(Named { buyers: vec![buyer(1)], ..Named::default() }),
        Some(Named {
            reservations: many,
            payments: paid[..paid.len().min(5)].to_vec(),
            buyers: vec![buyer(2), buyer(3)],
        }),
        Some(Named { reservations: vec![ReservationId(Uuid::nil())], payments: vec![], buyers: vec![buyer(77)] }),
        Some(Named { reservations: one, payments: vec![], buyers: vec![buyer(1)] }),
    ]
}

async fn every_search_finds_what_a_scan_of_everything_finds(tables: &dyn Searched) {
    let (mut projection, search) = tables.open();
    let mut fake = FakeProjection::default();
    let stories = [Story::random(event(1), 31, 400), Story::random(event(2), 32, 250)];
    project(&stories, &mut [&mut *projection, &mut fake]);
    let named = some_named(&stories, &mut StdRng::seed_from_u64(8));
    for event in [None, Some(event(1)), Some(event(2)), Some(event(9))] {
        for named in &named {
            for (number, size) in [(0, 7), (2, 7), (0, 100), (900, 10)] {
                let page = Page { number, size };
                for status in std::iter::once(None).chain(STATUSES.map(Some)) {
                    let asked = Search { event, status, named: named.clone() };
                    let found = search.find_reservations(asked.clone(), page).await.unwrap();
                    assert_eq!(found, fake.find_reservations(asked.clone(), page).await.unwrap(), "{asked:?}");
                }
                for status in std::iter::once(None).chain(STATES.map(Some)) {
                    let asked = Search { event, status, named: named.clone() };
                    let found = search.find_payments(asked.clone(), page).await.unwrap();
                    assert_eq!(found, fake.find_payments(asked.clone(), page).await.unwrap(), "{asked:?}");
                }
            }
        }
    }
    let plan = small_plan(10, 20);
    for story in &stories {
        let rows = story.sale.snapshot().reservations;
        let ids: Vec<ReservationId> = rows.iter().map(|row| row.view.id).collect();
        assert_eq!(
            search.payments_of(ids[..20].to_vec()).await.unwrap(),
            fake.payments_of(ids[..20].to_vec()).await.unwrap()
        );
        for row in rows.iter().take(60) {
            let ticket = row.view.ticket.unwrap_or(TicketSerial(9_999));
            let with_ticket = search.by_ticket(story.event, ticket).await.unwrap();
            assert_eq!(with_ticket, row.view.ticket.map(|_| row.view.id));
            assert_eq!(search.story(row.view.id).await.unwrap(), fake.story(row.view.id).await.unwrap());
        }
        for first in 0..50 {
            let seats: Vec<String> = (0..4).map(|at| plan.seat_id(SeatIndex(first * 4 + at)).to_owned()).collect();
            let found = search.by_seats(story.event, seats.clone()).await.unwrap();
            assert_eq!(found, fake.by_seats(story.event, seats).await.unwrap());
        }
    }
    for buyer in buyers().chain([buyer(77)]) {
        assert_eq!(search.holdings(buyer).await.unwrap(), fake.holdings(buyer).await.unwrap());
    }
    // Of an event that is forgotten nothing is counted any more.
    projection.forget(event(1)).unwrap();
    fake.forget(event(1)).unwrap();
    for status in std::iter::once(None).chain(STATUSES.map(Some)) {
        let asked = Search { event: None, status, named: None };
        let found = search.find_reservations(asked.clone(), Page { number: 0, size: 5 }).await.unwrap();
        let expected = fake.find_reservations(asked, Page { number: 0, size: 5 }).await.unwrap();
        assert_eq!(found, expected);
    }
    let wrong = "SELECT count(*) FROM record_counts AS c WHERE c.count <> CASE c.what
        WHEN 'PAYMENT' THEN (SELECT count(*) FROM payments AS p WHERE p.event_id = c.event_id AND p.status = c.status)
        ELSE (SELECT count(*) FROM reservations AS r WHERE r.event_id = c.event_id AND r.status = c.status) END";
    assert_eq!(tables.number(wrong), 0);
}

async fn an_export_has_every_reservation_once_also_when_they_change_meanwhile(tables: &dyn Searched) {
    let (mut projection, search) = tables.open();
    let mut story = Story::begin(event(1), 5);
    // In reach of the last piece the tables go on: what was made before the export began is in it all the same.
    let (mut projected, mut made) = (0, Vec::new());
    for number in 0..60 {
        made.extend(story.hold(buyer(number % 6), 1));
        story.pass(Duration::from_millis(50_000));
    }
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    projected += story.entries.len();
    let until = story.entries.last().unwrap().at;
    story.pass(Duration::from_millis(1));
    let (mut after, mut seen) = (None::<ExportCursor>, Vec::new());
    loop {
        let part = ExportPart { event: event(1), status: None, after, until, limit: 7 };
        let piece = search.export(part).await.unwrap();
        let is_last = piece.len() < 7;
        after = piece.last().map(|record| (record.reservation.created_at, record.reservation.id)).or(after);
        seen.extend(piece.into_iter().map(|record| record.reservation.id));
        if is_last {
            break;
        }
        // Some expire, some are made, in between.
        story.hold(buyer(7), 1);
        story.pass(Duration::from_millis(40_000));
        projection.project(&[committed(event(1), &story.entries[projected..])]).unwrap();
        projected = story.entries.len();
    }
    assert_eq!(seen, made, "each once, the oldest first");
    let confirmed =
        ExportPart { event: event(1), status: Some(ReservationStatus::Confirmed), after: None, until, limit: 7 };
    assert_eq!(search.export(confirmed).await.unwrap(), []);
    let nowhere = ExportPart { event: event(2), status: None, after: None, until: Timestamp(i64::MAX / 2), limit: 7 };
    assert_eq!(search.export(nowhere).await.unwrap(), []);
}

async fn a_story_is_where_the_facts_are_and_does_not_grow_for_ever(tables: &dyn Searched) {
    let (mut projection, search) = tables.open();
    let story = Story::random(event(1), 41, 300);
    for part in story.entries.chunks(23) {
        projection.project(&[committed(event(1), part)]).unwrap();
    }
    let mut expected: HashMap<ReservationId, Vec<Seq>> = HashMap::new();
    let mut paid: HashMap<PaymentId, ReservationId> = HashMap::new();
    for entry in &story.entries {
        let (reservation, payment) = asked_for(&entry.fact);
        let held = if let Fact::SeatsHeld { reservation, .. } = &entry.fact { Some(*reservation) } else { None };
        if let Fact::PaymentOpened { payment, reservation, .. } = &entry.fact {
            paid.insert(*payment, *reservation);
        }
        let of = held.or(reservation).or_else(|| paid.get(&payment?).copied());
        if let Some(of) = of {
            expected.entry(of).or_default().push(entry.seq);
        }
    }
    assert!(expected.values().any(|seqs| seqs.len() > 5), "a story of some length");
    for (id, seqs) in &expected {
        assert_eq!(&search.story(*id).await.unwrap(), seqs);
    }
    assert_eq!(search.story(ReservationId(Uuid::nil())).await.unwrap(), []);

    // Seats that are exchanged again and again fill the story, and its end is listed all the same.
    let mut restless = Story::begin(event(2), 42);
    let reservation = restless.hold(buyer(1), 1).unwrap();
    for number in 0..2000_u32 {
        let seats = [SeatIndex(number % 199)].into_iter().collect();
        restless.execute(Command::ChangeHold(ChangeHold { buyer: buyer(1), reservation, seats }));
    }
    assert!(restless.execute(Command::ReleaseHold { buyer: buyer(1), reservation }));
    for part in restless.entries.chunks(11) {
        projection.project(&[committed(event(2), part)]).unwrap();
    }
    let listed = search.story(reservation).await.unwrap();
    assert!(listed.len() < STORY_BYTES && listed.len() >= STORY_BYTES / 4, "{}", listed.len());
    assert_eq!((listed[0], *listed.last().unwrap()), (Seq(2), restless.sale.seq()));
}

/// Of what an older version has projected nothing is known of its facts: the story begins with what follows.
#[tokio::test]
async fn rows_of_an_older_version_have_what_follows() {
    let directory = Directory::new();
    let story = Story::random(event(1), 51, 200);
    let (early, late) = story.entries.split_at(story.entries.len() / 2);
    let (mut projection, search) = directory.open();
    projection.project(&[committed(event(1), early)]).unwrap();
    drop((projection, search));
    let connection = rusqlite::Connection::open(directory.path().join("library.db")).unwrap();
    connection.execute_batch("UPDATE reservations SET story = x''; UPDATE payments SET story = x''").unwrap();
    drop(connection);
    let (mut projection, search) = directory.open();
    projection.project(&[committed(event(1), late)]).unwrap();
    let mut fake = FakeProjection::default();
    fake.project(&[committed(event(1), &story.entries)]).unwrap();
    let begins = late[0].seq;
    for row in story.sale.snapshot().reservations {
        let mut expected = fake.story(row.view.id).await.unwrap();
        expected.retain(|seq| *seq >= begins);
        assert_eq!(search.story(row.view.id).await.unwrap(), expected);
    }
    for status in std::iter::once(None).chain(STATUSES.map(Some)) {
        let (asked, page) = (Search { event: Some(event(1)), status, named: None }, Page { number: 0, size: 9 });
        let found = search.find_reservations(asked.clone(), page).await.unwrap();
        assert_eq!(found, fake.find_reservations(asked, page).await.unwrap());
    }
}

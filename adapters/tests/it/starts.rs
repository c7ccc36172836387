//! A start does not read what is over: thousands of events, of which a few are still on sale.

use crate::support::{Directory, NOON, event, journal_entry, plans};
use onsale_adapters::sqlite::{Library, SqliteJournal, SqliteProjection, SqliteReader};
use onsale_engine::fakes::{FakeClock, FakePayments};
use onsale_engine::ports::{Committed, Journal, JournalEntry, JournalReader, Projection};
use onsale_engine::runtime::{Engine, Found, Ports, Settings};
use onsale_engine::sale::{Entry, Sale};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Events, and how many of them are still on sale.
const EVENTS: u64 = 2_000;
const ON_SALE: u64 = 10;
/// Rules and some holds.
const FACTS: u64 = 5;
/// What is promised for five times as many events. Ten thousand took 0.3 s in an unoptimized build on a busy machine.
const BOUND: Duration = Duration::from_secs(2);

/// A data directory as it is left by a server that has unloaded all events but a few.
fn unloaded_events(directory: &Directory) {
    let dir = directory.data();
    let reader = SqliteReader::open(&dir, plans()).unwrap();
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let (mut projection, _) = SqliteProjection::open(&dir, Library::open(&dir).unwrap(), plans()).unwrap();
    for numbers in (1..=EVENTS).collect::<Vec<_>>().chunks(500) {
        let mut batch = Vec::new();
        for number in numbers {
            let event = event((*number).into());
            let epoch = journal.raise_epoch(event).unwrap();
            batch.extend((1..=FACTS).map(|seq| journal_entry(event, epoch, seq)));
        }
        assert_eq!(journal.append(&batch).unwrap().fenced, []);
        let committed: Vec<Committed> = batch.chunks(FACTS as usize).map(committed).collect();
        projection.project(&committed).unwrap();
        for (Committed { event, entries }, number) in committed.iter().zip(numbers) {
            if *number <= ON_SALE {
                continue;
            }
            let mut sale = Sale::new();
            entries.iter().for_each(|entry| sale.apply(entry));
            let epoch = entries.first().unwrap().epoch;
            reader.keep_summary(*event, epoch, &sale.summary().unwrap()).unwrap();
        }
    }
}

fn committed(of_one: &[JournalEntry]) -> Committed {
    let entries: Vec<Entry> = of_one.iter().map(|one| one.entry.clone()).collect();
    Committed { event: of_one.first().unwrap().event, entries: entries.into() }
}

#[test]
fn thousands_of_events_that_are_over_do_not_hold_up_a_start() {
    let directory = Directory::new();
    unloaded_events(&directory);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let began = Instant::now();
    let dir = directory.data();
    let (projection, _) = SqliteProjection::open(&dir, Library::open(&dir).unwrap(), plans()).unwrap();
    let ports = Ports {
        journal: Box::new(SqliteJournal::open(&dir).unwrap()),
        reader: Arc::new(SqliteReader::open(&dir, plans()).unwrap()),
        projection: Box::new(projection),
        payments: Arc::new(FakePayments::default()),
        clock: Arc::new(FakeClock::at(NOON)),
    };
    let opened = began.elapsed();
    let engine = Engine::start(ports, Settings::default(), runtime.handle().clone()).unwrap();
    let took = began.elapsed();
    eprintln!(
        "{EVENTS} events, {ON_SALE} of them on sale: ready after {took:?}, of which opening the files {opened:?}"
    );
    let health = engine.health();
    assert_eq!((health.loaded as u64, health.unloaded as u64), (ON_SALE, EVENTS - ON_SALE));
    assert!(took < BOUND, "ready after {took:?}");
    let over = event(EVENTS.into());
    assert!(matches!(engine.find(over), Some(Found::Unloaded(_))));
    let sale = runtime.block_on(engine.load(over)).unwrap().unwrap();
    assert_eq!(sale.view().seq().0, FACTS);
    drop(sale);
    runtime.block_on(engine.stop());
}

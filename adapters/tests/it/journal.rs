//! What every journal must do: both sides of it, run on SQLite, on Postgres and on the fake. A journal that is opened again stands
//! for a process that was killed and has started.

use crate::support::{NOON, Opened, Storage, entry, event, held, journal_entry, read};
use onsale_engine::fakes::FakeJournal;
use onsale_engine::id::{BuyerId, Epoch, EventId, ReservationId, Seq};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalReader, ReadError};
use onsale_engine::sale::{Entry, Fact, RescheduleCause, Sale, SaleSummary};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A journal in memory: opening it again is a clone of what is left.
struct InMemory(FakeJournal);

impl Storage for InMemory {
    fn open(&self) -> Opened {
        Opened { journal: Box::new(self.0.clone()), reader: Arc::new(self.0.clone()) }
    }
}

/// The suite on one kind of journal.
macro_rules! journal_suite {
    ($name:ident, $make:expr) => {
        mod $name {
            #[test]
            fn what_was_appended_is_read_back_also_after_a_crash() {
                super::what_was_appended_is_read_back_also_after_a_crash(&$make);
            }
            #[test]
            fn a_repeated_batch_is_recognised() {
                super::a_repeated_batch_is_recognised(&$make);
            }
            #[test]
            fn another_fact_in_a_taken_place_is_fenced() {
                super::another_fact_in_a_taken_place_is_fenced(&$make);
            }
            #[test]
            fn an_old_epoch_is_fenced_and_the_rest_commits() {
                super::an_old_epoch_is_fenced_and_the_rest_commits(&$make);
            }
            #[test]
            fn a_gap_is_fenced_and_nothing_of_its_event_is_written() {
                super::a_gap_is_fenced_and_nothing_of_its_event_is_written(&$make);
            }
            #[test]
            fn epochs_rise_and_stay_raised() {
                super::epochs_rise_and_stay_raised(&$make);
            }
            #[test]
            fn snapshots_are_kept_two_at_a_time() {
                super::snapshots_are_kept_two_at_a_time(&$make);
            }
            #[test]
            fn what_administrators_did_is_read_by_itself() {
                super::what_administrators_did_is_read_by_itself(&$make);
            }
            #[test]
            fn single_entries_are_read_where_they_are() {
                super::single_entries_are_read_where_they_are(&$make);
            }
            #[test]
            fn many_epochs_are_raised_at_once() {
                super::many_epochs_are_raised_at_once(&$make);
            }
            #[test]
            fn a_summary_stands_while_the_journal_ends_where_it_was_kept() {
                super::a_summary_stands_while_the_journal_ends_where_it_was_kept(&$make);
            }
        }
    };
}

journal_suite!(sqlite, crate::support::Directory::new());
journal_suite!(postgres, crate::support::Database::new());
journal_suite!(fake, super::InMemory(onsale_engine::fakes::FakeJournal::default()));

fn fenced(events: &[EventId]) -> Appended {
    Appended { fenced: events.to_vec() }
}

fn what_was_appended_is_read_back_also_after_a_crash(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, b) = (event(1), event(2));
    assert_eq!(journal.append(&[]).unwrap(), fenced(&[]));
    let (epoch_a, epoch_b) = (journal.raise_epoch(a).unwrap(), journal.raise_epoch(b).unwrap());
    let mut all: Vec<JournalEntry> = Vec::new();
    for seq in 1..=3000 {
        all.push(journal_entry(a, epoch_a, seq));
        if seq % 3 == 0 {
            all.push(journal_entry(b, epoch_b, seq / 3));
        }
    }
    for batch in all.chunks(1234) {
        assert_eq!(journal.append(batch).unwrap(), fenced(&[]));
    }
    let of = |event| -> Vec<Entry> {
        all.iter().filter(|one: &&JournalEntry| one.event == event).map(|one| one.entry.clone()).collect()
    };
    let check = |reader: &dyn JournalReader| {
        assert_eq!(reader.events().unwrap(), [a, b]);
        assert_eq!(read(reader, a, 0), of(a));
        assert_eq!(read(reader, b, 0), of(b));
        assert_eq!(read(reader, a, 2990), of(a)[2990..]);
        assert_eq!(read(reader, a, 3000), []);
        assert_eq!((reader.verify(a).unwrap(), reader.verify(b).unwrap()), (3000, 1000));
        assert_eq!(read(reader, event(9), 0), [], "an event without a journal is empty");
    };
    check(&*reader);
    drop((journal, reader));
    check(&*storage.open().reader);
}

fn a_repeated_batch_is_recognised(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let a = event(1);
    let epoch = journal.raise_epoch(a).unwrap();
    let batch: Vec<_> = (1..=10).map(|seq| journal_entry(a, epoch, seq)).collect();
    journal.append(&batch[..4]).unwrap();
    assert_eq!(journal.append(&batch[..4]).unwrap(), fenced(&[]), "all of it again");
    assert_eq!(journal.append(&batch[2..7]).unwrap(), fenced(&[]), "some of it again, and more");
    drop((journal, reader));
    let Opened { mut journal, reader } = storage.open();
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[]), "again after a crash, and more");
    journal.raise_epoch(a).unwrap();
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[]), "what is ours is ours, also after another writer");
    assert_eq!(reader.verify(a).unwrap(), 10);
}

fn another_fact_in_a_taken_place_is_fenced(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, b) = (event(1), event(2));
    let epoch = journal.raise_epoch(a).unwrap();
    journal.raise_epoch(b).unwrap();
    journal.append(&[journal_entry(a, epoch, 1), journal_entry(a, epoch, 2)]).unwrap();
    let other = |seq| JournalEntry { event: a, entry: entry(epoch, seq, held(a, seq + 500)) };
    assert_eq!(journal.append(&[other(2), journal_entry(b, epoch, 1)]).unwrap(), fenced(&[a]));
    assert_eq!(journal.append(&[journal_entry(a, epoch, 1), other(2), other(3)]).unwrap(), fenced(&[a]));
    let mut later = journal_entry(a, epoch, 2);
    later.entry.at.0 += 1;
    assert_eq!(journal.append(&[later]).unwrap(), fenced(&[a]), "another time is another entry");
    assert_eq!(read(&*reader, a, 0), [journal_entry(a, epoch, 1).entry, journal_entry(a, epoch, 2).entry]);
    assert_eq!(reader.verify(b).unwrap(), 1);
    assert_eq!(journal.append(&[journal_entry(a, epoch, 3)]).unwrap(), fenced(&[]), "the right one goes on");
}

fn an_old_epoch_is_fenced_and_the_rest_commits(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, b) = (event(1), event(2));
    let (old, epoch_b) = (journal.raise_epoch(a).unwrap(), journal.raise_epoch(b).unwrap());
    journal.append(&[journal_entry(a, old, 1), journal_entry(b, epoch_b, 1)]).unwrap();
    let new = journal.raise_epoch(a).unwrap();
    let batch = [journal_entry(a, old, 2), journal_entry(b, epoch_b, 2), journal_entry(a, old, 3)];
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[a]));
    assert_eq!((reader.verify(a).unwrap(), reader.verify(b).unwrap()), (1, 2));
    assert_eq!(journal.append(&[journal_entry(a, new, 2)]).unwrap(), fenced(&[]));
    assert_eq!(read(&*reader, a, 1), [journal_entry(a, new, 2).entry]);
}

fn a_gap_is_fenced_and_nothing_of_its_event_is_written(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, b) = (event(1), event(2));
    let epoch = journal.raise_epoch(a).unwrap();
    journal.raise_epoch(b).unwrap();
    let batch = [journal_entry(a, epoch, 1), journal_entry(b, epoch, 1), journal_entry(a, epoch, 3)];
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[a]));
    assert_eq!((read(&*reader, a, 0), reader.verify(b).unwrap()), (Vec::new(), 1));
    let reversed = [journal_entry(a, epoch, 2), journal_entry(a, epoch, 1)];
    assert_eq!(journal.append(&reversed).unwrap(), fenced(&[a]));
    assert_eq!(journal.append(&[journal_entry(a, epoch, 1)]).unwrap(), fenced(&[]));
}

fn epochs_rise_and_stay_raised(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let a = event(1);
    assert_eq!([journal.raise_epoch(a).unwrap(), journal.raise_epoch(a).unwrap()], [Epoch(1), Epoch(2)]);
    assert_eq!(journal.raise_epoch(event(2)).unwrap(), Epoch(1), "each event has its own");
    drop((journal, reader));
    assert_eq!(storage.open().journal.raise_epoch(a).unwrap(), Epoch(3));
}

fn snapshots_are_kept_two_at_a_time(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let a = event(1);
    assert!(reader.snapshot(a).unwrap().is_none());
    let epoch = journal.raise_epoch(a).unwrap();
    let batch: Vec<_> = (1..=40).map(|seq| journal_entry(a, epoch, seq)).collect();
    journal.append(&batch).unwrap();
    let mut sale = Sale::new();
    for JournalEntry { entry, .. } in &batch {
        sale.apply(entry);
        if entry.seq.0.is_multiple_of(10) {
            reader.keep_snapshot(a, &sale.snapshot()).unwrap();
        }
    }
    reader.keep_snapshot(a, &sale.snapshot()).unwrap();
    drop((journal, reader));
    let reader = storage.open().reader;
    let snapshot = reader.snapshot(a).unwrap().unwrap();
    assert!(snapshot == sale.snapshot());
    assert_eq!(read(&*reader, a, snapshot.seq.0), []);
    assert_eq!(reader.verify(a).unwrap(), 40);
    assert!(reader.snapshot(event(2)).unwrap().is_none());
}

/// As a reservation's story is read: a few facts of many, each checked, and none that is not there.
fn single_entries_are_read_where_they_are(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let epochs = [1, 2].map(|number| journal.raise_epoch(event(number)).unwrap());
    for seq in 1..=30 {
        journal.append(&[journal_entry(event(1), epochs[0], seq), journal_entry(event(2), epochs[1], seq)]).unwrap();
    }
    let all = read(&*reader, event(1), 0);
    let some = [1, 2, 17, 30].map(Seq);
    let found = reader.entries(event(1), &some).unwrap();
    assert_eq!(found, some.map(|seq| all[seq.0 as usize - 1].clone()));
    assert_eq!(reader.entries(event(1), &[]).unwrap(), []);
    let missing = reader.entries(event(1), &[Seq(30), Seq(31)]);
    assert!(matches!(missing, Err(ReadError::Damaged { seq: Seq(31), .. })), "{missing:?}");
    assert!(reader.entries(event(9), &[Seq(1)]).is_err());
}

fn many_epochs_are_raised_at_once(storage: &dyn Storage) {
    let Opened { mut journal, .. } = storage.open();
    assert_eq!(journal.raise_epochs(&[]).unwrap(), []);
    journal.raise_epoch(event(2)).unwrap();
    // In the order in which they are asked for, which is not that of their ids.
    let raised = journal.raise_epochs(&[event(3), event(2), event(1)]).unwrap();
    assert_eq!(raised, [Epoch(1), Epoch(2), Epoch(1)]);
    let batch = [journal_entry(event(2), Epoch(1), 1), journal_entry(event(3), Epoch(1), 1)];
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[event(2)]));
}

fn summary(event: EventId, seq: u64) -> SaleSummary {
    let mut sale = Sale::new();
    for seq in 1..=seq {
        sale.apply(&journal_entry(event, Epoch(1), seq).entry);
    }
    sale.summary().unwrap()
}

fn a_summary_stands_while_the_journal_ends_where_it_was_kept(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, b) = (event(1), event(2));
    assert_eq!(reader.summaries().unwrap(), []);
    assert!(reader.keep_summary(a, Epoch(1), &summary(a, 1)).is_err(), "there is no such fact");
    for event in [a, b] {
        let epoch = journal.raise_epoch(event).unwrap();
        let batch: Vec<_> = (1..=9).map(|seq| journal_entry(event, epoch, seq)).collect();
        journal.append(&batch).unwrap();
        reader.keep_summary(event, epoch, &summary(event, 8)).unwrap();
    }
    assert_eq!(reader.summaries().unwrap(), [], "there are facts after it");
    reader.keep_summary(a, Epoch(1), &summary(a, 9)).unwrap();
    reader.keep_summary(b, Epoch(1), &summary(b, 9)).unwrap();
    let both = || BTreeMap::from([(a, summary(a, 9)), (b, summary(b, 9))]);
    let stand = |reader: &dyn JournalReader| reader.summaries().unwrap().into_iter().collect::<BTreeMap<_, _>>();
    assert_eq!(stand(&*reader), both());
    drop((journal, reader));
    let Opened { mut journal, reader } = storage.open();
    assert_eq!(stand(&*reader), both(), "also for another process");
    let epoch = journal.raise_epoch(b).unwrap();
    journal.append(&[journal_entry(b, epoch, 10)]).unwrap();
    assert_eq!(stand(&*reader), BTreeMap::from([(a, summary(a, 9))]));
}

/// Where several processes may own an event, the one that raised its epoch may be about to write.
fn a_summary_falls_when_the_epoch_is_raised(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let a = event(1);
    let epoch = journal.raise_epoch(a).unwrap();
    journal.append(&[journal_entry(a, epoch, 1)]).unwrap();
    reader.keep_summary(a, epoch, &summary(a, 1)).unwrap();
    assert_eq!(reader.summaries().unwrap().len(), 1);
    let epoch = journal.raise_epoch(a).unwrap();
    assert_eq!(reader.summaries().unwrap(), []);
    reader.keep_summary(a, epoch, &summary(a, 1)).unwrap();
    assert_eq!(reader.summaries().unwrap().len(), 1);
}

#[test]
fn a_summary_of_postgres_falls_when_the_epoch_is_raised() {
    a_summary_falls_when_the_epoch_is_raised(&crate::support::Database::new());
}

#[test]
fn a_summary_of_the_fake_falls_when_the_epoch_is_raised() {
    a_summary_falls_when_the_epoch_is_raised(&InMemory(FakeJournal::default()));
}

#[test]
fn a_damaged_summary_is_left_out() {
    let directory = crate::support::Directory::new();
    let Opened { mut journal, reader } = directory.open();
    for number in 1..=2 {
        let epoch = journal.raise_epoch(event(number)).unwrap();
        journal.append(&[journal_entry(event(number), epoch, 1)]).unwrap();
        reader.keep_summary(event(number), epoch, &summary(event(number), 1)).unwrap();
    }
    let snapshots = rusqlite::Connection::open(directory.path().join("snapshots.db")).unwrap();
    let damage = "UPDATE summaries SET body = zeroblob(length(body)) WHERE event_id = ?1";
    assert_eq!(snapshots.execute(damage, [event(1).0.as_bytes()]).unwrap(), 1);
    assert_eq!(reader.summaries().unwrap(), [(event(2), summary(event(2), 1))]);
}

#[test]
fn sqlite_and_the_fake_answer_alike() {
    answer_alike(0..10, crate::support::Directory::new);
}

#[test]
fn postgres_and_the_fake_answer_alike() {
    answer_alike(10..16, crate::support::Database::new);
}

/// Random batches, good and bad ones, on a real journal and on the fake: the same answers and the same rows.
fn answer_alike<S: Storage>(seeds: std::ops::Range<u64>, make: impl Fn() -> S) {
    for seed in seeds {
        let mut random = StdRng::seed_from_u64(seed);
        let directory = make();
        let fake = FakeJournal::default();
        let (mut real, mut faked) = (directory.open(), InMemory(fake).open());
        let events = [event(1), event(2), event(3)];
        for step in 0..50 {
            if random.random_bool(0.1) {
                let event = events[random.random_range(0..3)];
                let raised = real.journal.raise_epoch(event).unwrap();
                assert_eq!(raised, faked.journal.raise_epoch(event).unwrap(), "seed {seed} step {step}");
            }
            if random.random_bool(0.05) {
                drop(real);
                real = directory.open();
            }
            let batch = random_batch(&mut random, &events, &*faked.reader);
            let (mut ours, mut theirs) = (real.journal.append(&batch).unwrap(), faked.journal.append(&batch).unwrap());
            ours.fenced.sort_unstable();
            theirs.fenced.sort_unstable();
            assert_eq!(ours, theirs, "seed {seed} step {step}");
        }
        for event in events {
            assert_eq!(read(&*real.reader, event, 0), read(&*faked.reader, event, 0), "seed {seed}");
            real.reader.verify(event).unwrap();
        }
    }
}

/// Mostly what should come next, sometimes repeats, other facts, gaps and wrong epochs.
fn random_batch(random: &mut StdRng, events: &[EventId], reader: &dyn JournalReader) -> Vec<JournalEntry> {
    let mut batch = Vec::new();
    for event in events {
        let stored = read(reader, *event, 0);
        let start = stored.len().saturating_sub(random.random_range(0..3)) as u64;
        let last_epoch = stored.last().map_or(1, |entry| entry.epoch.0);
        let epoch = Epoch(last_epoch + u64::from(random.random_bool(0.2)));
        for seq in start + 1..=start + random.random_range(0..5) {
            let mut next = match stored.get(seq as usize - 1) {
                Some(entry) => JournalEntry { event: *event, entry: entry.clone() },
                None => journal_entry(*event, epoch, seq),
            };
            match random.random_range(0..40) {
                0 => next.entry.seq = Seq(seq + 1),
                1 => next.entry.at.0 += 1,
                2 => next.entry.epoch = Epoch(epoch.0 + 1),
                3 => next.entry.fact = held(*event, seq + 10_000),
                _ => {}
            }
            batch.push(next);
        }
    }
    if random.random_bool(0.3) {
        // Between events the order does not matter.
        batch.sort_by_key(|one| one.entry.seq);
    }
    batch
}

/// The fake itself fails as scripted.
#[test]
fn the_fake_fails_as_scripted() {
    use onsale_engine::ports::JournalError::{Fatal, NotDone, Unknown};
    let a = event(1);
    let mut journal = FakeJournal::default();
    let epoch = journal.raise_epoch(a).unwrap();
    let batch = [journal_entry(a, epoch, 1)];
    journal.fail_not_done(2);
    assert!(matches!(journal.append(&batch), Err(NotDone(_))));
    assert!(matches!(journal.append(&batch), Err(NotDone(_))));
    journal.lose_answer(false);
    assert!(matches!(journal.append(&batch), Err(Unknown(_))));
    assert_eq!(journal.entries(a).len(), 0);
    journal.lose_answer(true);
    assert!(matches!(journal.append(&batch), Err(Unknown(_))));
    assert_eq!(journal.entries(a).len(), 1);
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[]));
    journal.fail_fatally();
    assert!(matches!(journal.append(&batch), Err(Fatal(_))));
    let crashed = journal.crashed();
    journal.append(&[journal_entry(a, epoch, 2)]).unwrap();
    assert_eq!((crashed.verify(a).unwrap(), journal.verify(a).unwrap()), (1, 2));
    journal.damage(a, Seq(2));
    assert!(journal.verify(a).is_err());
    let hanging = journal.clone();
    hanging.hang();
    let thread = std::thread::spawn(move || journal.raise_epoch(a).unwrap());
    while hanging.hanging_writes() == 0 {
        std::thread::yield_now();
    }
    hanging.release();
    assert_eq!(thread.join().unwrap(), Epoch(2));
}

fn what_administrators_did_is_read_by_itself(storage: &dyn Storage) {
    let Opened { mut journal, reader } = storage.open();
    let (a, by) = (event(1), BuyerId(uuid::Uuid::from_u128(7)));
    let epoch = journal.raise_epoch(a).unwrap();
    let facts = [
        held(a, 2),
        Fact::Rescheduled {
            sale_ends_at: NOON,
            cancellation_closes_at: NOON,
            cause: RescheduleCause::TimeZone,
            by,
            reason: Some("it was never there".into()),
        },
        Fact::HolderNotified {
            reservation: ReservationId::new(a, 2, 2),
            starts_at: NOON,
            ends_at: NOON,
            cancellation_closes_at: NOON,
        },
        Fact::SaleCancelled { by },
    ];
    let mut batch = vec![journal_entry(a, epoch, 1)];
    batch.extend(
        facts.into_iter().zip(2..).map(|(fact, seq)| JournalEntry { event: a, entry: entry(epoch, seq, fact) }),
    );
    assert_eq!(journal.append(&batch).unwrap(), fenced(&[]));
    let check = |reader: &dyn JournalReader| {
        let of = |skip, limit| {
            let (entries, total) = reader.by_operators(a, skip, limit).unwrap();
            (entries.iter().map(|entry| entry.seq.0).collect::<Vec<_>>(), total)
        };
        assert_eq!((of(0, 10), of(1, 1)), ((vec![5, 3, 1], 3), (vec![3], 3)));
    };
    check(&*reader);
    drop((journal, reader));
    check(&*storage.open().reader);
}

//! What only a real journal can show: rows that someone or something changed are found and named, snapshots that were
//! damaged are skipped, a full disk is waited out, and the log beside the file stays short.

use crate::support::{Directory, Opened, Storage, event, journal_entry, plans, read};
use onsale_adapters::sqlite::{OpenError, SqliteJournal, SqliteReader};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Journal, JournalError, JournalReader, ReadError};
use onsale_engine::sale::Sale;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;

/// A journal of two events, 20 rows each.
fn filled() -> Directory {
    let directory = Directory::new();
    let Opened { mut journal, .. } = directory.open();
    for number in 1..=2 {
        let epoch = journal.raise_epoch(event(number)).unwrap();
        let batch: Vec<_> = (1..=20).map(|seq| journal_entry(event(number), epoch, seq)).collect();
        journal.append(&batch).unwrap();
    }
    directory
}

fn edit(directory: &Directory, file: &str, sql: &str) {
    let changed = Connection::open(directory.path().join(file)).unwrap().execute(sql, []).unwrap();
    assert!(changed > 0, "{sql}");
}

/// Where the journal of event 1 is damaged, and that event 2 is not; what came before the damage has been handed out.
fn damage(directory: &Directory) -> Option<(Seq, String)> {
    let reader = directory.open().reader;
    assert_eq!(reader.verify(event(2)).unwrap(), 20);
    let mut handed = 0;
    let replayed = reader.replay(event(1), Seq(0), &mut |_| handed += 1);
    let verified = reader.verify(event(1));
    match replayed {
        Ok(()) => {
            assert_eq!((handed, verified.unwrap()), (20, 20));
            None
        }
        Err(ReadError::Damaged { event: named, seq, reason }) => {
            assert_eq!((named, handed), (event(1), seq.0 - 1));
            assert!(matches!(verified, Err(ReadError::Damaged { seq: same, .. }) if same == seq));
            Some((seq, reason))
        }
        Err(error @ ReadError::Unavailable(_)) => panic!("{error}"),
    }
}

const ONE: &str = "event_id = x'00000000000000000000000000000001'";

#[test]
fn every_change_to_a_row_is_found_and_named() {
    assert_eq!(damage(&filled()), None);
    for (change, expected) in [
        ("UPDATE journal SET at = at + 1 WHERE seq = 5 AND", 5),
        ("UPDATE journal SET epoch = epoch + 1 WHERE seq = 1 AND", 1),
        ("UPDATE journal SET kind = 4 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET kind = 99 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET kind = -1 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET body = substr(body, 1, length(body) - 1) WHERE seq = 7 AND", 7),
        ("UPDATE journal SET body = x'' WHERE seq = 7 AND", 7),
        ("UPDATE journal SET chain = zeroblob(32) WHERE seq = 7 AND", 7),
        ("UPDATE journal SET chain = x'00' WHERE seq = 7 AND", 7),
        ("UPDATE journal SET seq = 30 WHERE seq = 8 AND", 8),
        ("DELETE FROM journal WHERE seq = 1 AND", 1),
        ("DELETE FROM journal WHERE seq = 12 AND", 12),
    ] {
        let directory = filled();
        edit(&directory, "journal.db", &format!("{change} {ONE}"));
        let (seq, reason) = damage(&directory).unwrap_or_else(|| panic!("{change} was not found"));
        assert_eq!(seq, Seq(expected), "{change}: {reason}");
    }
}

#[test]
fn two_rows_that_changed_places_are_found() {
    let directory = filled();
    for (from, to) in [(5, 100), (6, 5), (100, 6)] {
        edit(&directory, "journal.db", &format!("UPDATE journal SET seq = {to} WHERE seq = {from} AND {ONE}"));
    }
    assert_eq!(damage(&directory).unwrap().0, Seq(5));
}

#[test]
fn rows_of_another_journal_do_not_pass() {
    let (directory, other) = (filled(), filled());
    let journal = Connection::open(directory.path().join("journal.db")).unwrap();
    journal.execute("ATTACH ?1 AS other", [other.path().join("journal.db").to_str().unwrap()]).unwrap();
    let copied = format!("INSERT OR REPLACE INTO journal SELECT * FROM other.journal WHERE {ONE}");
    assert_eq!(journal.execute(&copied, []).unwrap(), 20);
    drop(journal);
    assert_eq!(damage(&directory).unwrap().0, Seq(1), "the key is another");
}

fn with_snapshots(at: &[u64]) -> Directory {
    let directory = filled();
    let reader = directory.open().reader;
    let mut sale = Sale::new();
    for entry in read(&*reader, event(1), 0) {
        sale.apply(&entry);
        if at.contains(&entry.seq.0) {
            reader.keep_snapshot(event(1), &sale.snapshot()).unwrap();
        }
    }
    directory
}

fn newest(directory: &Directory) -> Option<u64> {
    directory.open().reader.snapshot(event(1)).unwrap().map(|snapshot| snapshot.seq.0)
}

#[test]
fn a_damaged_snapshot_is_skipped_for_an_older_one() {
    let directory = with_snapshots(&[5, 10, 15]);
    assert_eq!(newest(&directory), Some(15));
    for (change, left) in [
        ("UPDATE snapshots SET body = CAST(x'01' || substr(body, 3) AS BLOB) WHERE seq = 15", Some(10)),
        ("UPDATE snapshots SET chain = zeroblob(32) WHERE seq = 10", None),
    ] {
        edit(&directory, "snapshots.db", change);
        assert_eq!(newest(&directory), left, "{change}");
        assert_eq!(damage(&directory), None, "{change}: the journal is whole");
    }
    let count: i64 = Connection::open(directory.path().join("snapshots.db"))
        .unwrap()
        .query_row("SELECT count(*) FROM snapshots", [], |row| row.get(0))
        .unwrap();
    assert_eq!(count, 2, "the oldest of three was not kept");
}

#[test]
fn a_journal_that_was_cut_short_is_found_by_its_snapshot() {
    let directory = with_snapshots(&[10, 15]);
    edit(&directory, "journal.db", &format!("DELETE FROM journal WHERE seq > 12 AND {ONE}"));
    let (seq, reason) = damage(&directory).unwrap();
    assert_eq!(seq, Seq(13), "{reason}");
    assert_eq!(newest(&directory), Some(10), "the newer one does not fit what is left");
    let reader = directory.open().reader;
    let after = reader.replay(event(1), Seq(10), &mut |_| ());
    assert!(matches!(after, Err(ReadError::Damaged { seq: Seq(13), .. })), "also when it is read from a snapshot on");
}

#[test]
fn lost_snapshots_cost_only_time() {
    let directory = with_snapshots(&[10]);
    for file in ["snapshots.db", "snapshots.db-wal", "snapshots.db-shm"] {
        let _ = std::fs::remove_file(directory.path().join(file));
    }
    assert_eq!(newest(&directory), None);
    assert_eq!(damage(&directory), None);
}

#[test]
fn a_second_process_is_refused() {
    let directory = filled();
    let _open = directory.open();
    let refused = onsale_adapters::sqlite::DataDir::open(directory.path()).unwrap_err();
    assert!(matches!(refused, OpenError::Locked { .. }), "{refused}");
}

/// Appends rows from `first` on until the journal refuses one; returns the first that is not in.
fn fill_up(journal: &mut SqliteJournal, of: EventId, epoch: Epoch, first: u64) -> (u64, JournalError) {
    let mut next = first;
    loop {
        let batch: Vec<_> = (next..next + 50).map(|seq| journal_entry(of, epoch, seq)).collect();
        match journal.append(&batch) {
            Ok(appended) => assert_eq!(appended.fenced, []),
            Err(error) => return (next, error),
        }
        next += 50;
        assert!(next < 100_000, "the disk never gets full");
    }
}

#[test]
fn a_full_disk_is_not_done_and_goes_on_when_there_is_room() {
    let directory = Directory::new();
    let dir = directory.data();
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let reader: Arc<dyn JournalReader> = Arc::new(SqliteReader::open(&dir, plans()).unwrap());
    let a = event(1);
    let epoch = journal.raise_epoch(a).unwrap();
    journal.append(&[journal_entry(a, epoch, 1)]).unwrap();
    let pages = journal.pages().unwrap();
    journal.limit_pages(pages + 10);
    let (next, error) = fill_up(&mut journal, a, epoch, 2);
    assert!(matches!(error, JournalError::NotDone(_)), "{error}");
    let batch: Vec<_> = (next..next + 50).map(|seq| journal_entry(a, epoch, seq)).collect();
    assert!(matches!(journal.append(&batch), Err(JournalError::NotDone(_))), "still full");
    journal.limit_pages(1_000_000);
    assert_eq!(reader.verify(a).unwrap(), next - 1, "whole batches only, and all that were acknowledged");
    assert_eq!(journal.append(&batch).unwrap().fenced, []);
    drop((journal, reader, dir));
    assert_eq!(directory.open().reader.verify(a).unwrap(), next + 49);
}

/// The journal's files as they are now.
fn copy_files(from: &Path, to: &Path) {
    // The log first: what is checkpointed meanwhile is in both.
    for file in ["journal.log.0", "journal.log.1", "journal.key", "journal.db", "journal.db-wal"] {
        if from.join(file).exists() {
            std::fs::copy(from.join(file), to.join(file)).unwrap();
        }
    }
}

#[test]
fn a_writer_that_dies_in_a_batch_leaves_whole_batches() {
    let directory = filled();
    // What is left of a process that was killed: its files, copied while it runs.
    let Opened { mut journal, reader } = directory.open();
    let epoch = journal.raise_epoch(event(1)).unwrap();
    for round in 0..20 {
        let first = 21 + round * 10;
        let batch: Vec<_> = (first..first + 10).map(|seq| journal_entry(event(1), epoch, seq)).collect();
        journal.append(&batch).unwrap();
        let copy = Directory::new();
        copy_files(directory.path(), copy.path());
        let left = copy.open().reader;
        assert_eq!(left.verify(event(1)).unwrap(), first + 9, "everything that was acknowledged is there");
    }
    drop(reader);
}

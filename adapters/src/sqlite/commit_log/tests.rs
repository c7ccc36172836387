//! The commit log as stories over real files: bounds, segments that are used again, a slow or failing checkpointer, and
//! readers meanwhile.
#![allow(clippy::unwrap_used, reason = "tests")]

mod faults;
mod faulty;
mod recovery;

use super::disk::Disk;
use super::sizes::{BLOCK_BYTES, SEGMENT_BYTES, SEGMENTS, segment_path};
use super::*;
use crate::sqlite::{DataDir, OpenError, SqliteJournal, SqliteReader};
use faulty::FaultyDisk;
use onsale_engine::fakes::FakePlans;
use onsale_engine::id::{BuyerId, Epoch, EventId, Seq};
use onsale_engine::ports::{Journal, JournalEntry, JournalError, JournalReader, ReadError};
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::time::Timestamp;
use rusqlite::Connection;
use std::ffi::OsString;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use uuid::Uuid;

const EVENT: EventId = EventId(Uuid::from_u128(1));
/// Fifteen frames in a segment.
const SMALL: Sizes = Sizes {
    first_bytes: 8 << 10,
    growth_bytes: 12 << 10,
    segment_bytes: 64 << 10,
    room_timeout: TIMEOUT,
    keeps_reserve: false,
};
const SHORT_TIMEOUT: Sizes = Sizes { room_timeout: Duration::from_millis(5), ..SMALL };
const FRAMES: u64 = 15 * SEGMENTS as u64;
const TIMEOUT: Duration = Duration::from_secs(30);

fn row(epoch: Epoch, seq: u64) -> JournalEntry {
    let fact = Fact::Left { buyer: BuyerId(Uuid::from_u128(u128::from(seq))) };
    JournalEntry {
        event: EVENT,
        entry: Entry { seq: Seq(seq), epoch, at: Timestamp(seq.cast_signed()), trace: None, fact },
    }
}

/// A journal that is written row by row, and read.
struct Written {
    temp: TempDir,
    dir: DataDir,
    journal: SqliteJournal,
    epoch: Epoch,
    rows: u64,
    /// What the log lies on instead of the directory.
    faulty: Option<FaultyDisk>,
}

impl Written {
    /// Nothing is checkpointed as long as `paused`.
    fn begin(sizes: Sizes, paused: bool) -> Self {
        let written = Self::begin_on(Arc::new(OwnDisk), sizes);
        written.journal.pause_checkpointer(paused);
        written
    }

    /// Nothing is checkpointed but the first row.
    fn begin_on(disk: Arc<dyn Disk>, sizes: Sizes) -> Self {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let mut journal = SqliteJournal::open_on(disk, &dir, sizes).unwrap();
        let epoch = journal.raise_epoch(EVENT).unwrap();
        journal.append(&[row(epoch, 1)]).unwrap();
        dir.backlog().wait_flushed().unwrap();
        journal.pause_checkpointer(true);
        Self { temp, dir, journal, epoch, rows: 1, faulty: None }
    }

    fn try_append(&mut self) -> Result<(), JournalError> {
        let appended = self.journal.append(&[row(self.epoch, self.rows + 1)])?;
        assert_eq!(appended.fenced, []);
        self.rows += 1;
        Ok(())
    }

    fn append(&mut self, rows: u64) {
        for _ in 0..rows {
            self.try_append().unwrap();
        }
    }

    /// What a process that is killed now leaves.
    fn left(&self) -> TempDir {
        let copy = tempfile::tempdir().unwrap();
        for file in std::fs::read_dir(self.temp.path()).unwrap() {
            let file = file.unwrap();
            if !["onsale.lock", "journal.reserve"].map(OsString::from).contains(&file.file_name())
                && !file.file_name().to_string_lossy().ends_with("-shm")
            {
                std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
            }
        }
        self.faulty.iter().for_each(|disk| disk.crash(copy.path()));
        copy
    }

    fn flushed(&self) -> u64 {
        rows_in(self.temp.path())
    }
}

fn rows_in(dir: &Path) -> u64 {
    let journal = Connection::open(dir.join("journal.db")).unwrap();
    journal.query_row("SELECT count(*) FROM journal", [], |row| row.get::<_, i64>(0)).unwrap() as u64
}

fn verified(dir: &DataDir) -> u64 {
    SqliteReader::open(dir, Arc::new(FakePlans::default())).unwrap().verify(EVENT).unwrap()
}

/// How many rows are there after a start, which leaves no log.
fn recovered(left: &TempDir) -> u64 {
    let rows = verified(&DataDir::open_existing(left.path()).unwrap());
    assert!(!is_there(left.path()));
    rows
}

fn change(left: &TempDir, slot: usize, offset: usize, change: impl FnOnce(&mut [u8])) {
    let path = segment_path(left.path(), slot);
    let mut bytes = std::fs::read(&path).unwrap();
    change(&mut bytes[offset..]);
    std::fs::write(&path, bytes).unwrap();
}

/// Where the n-th frame of a segment lies; each takes a block here.
fn frame_at(number: usize) -> usize {
    number * BLOCK_BYTES
}

fn refused(left: &TempDir, named: &str) {
    let error = DataDir::open_existing(left.path()).unwrap_err();
    assert!(matches!(error, OpenError::LogDamaged { .. }), "{error}");
    assert!(error.to_string().contains(named), "{error}");
}

#[test]
fn a_log_goes_round_and_frames_of_an_earlier_use_are_none() {
    let mut written = Written::begin(SMALL, false);
    let mut largest = 0;
    for round in 0..20 {
        written.append(17);
        let left = written.left();
        let files = (0..SEGMENTS).filter(|slot| segment_path(left.path(), *slot).exists());
        largest = files.count().max(largest);
        if round % 5 == 4 {
            let old = |slot| std::fs::read(segment_path(left.path(), slot)).unwrap_or_default();
            assert!((0..SEGMENTS).all(|slot| old(slot).len() as u64 <= SMALL.segment_bytes));
            assert_eq!(recovered(&left), written.rows);
        }
    }
    assert!(written.rows > 2 * FRAMES && largest <= SEGMENTS);
    // Of one use only a frame or two, and behind them what was there before.
    written.journal.pause_checkpointer(true);
    written.append(3);
    assert_eq!(recovered(&written.left()), written.rows);
}

#[test]
fn the_backlog_is_bounded_and_appends_go_on_when_it_is_flushed() {
    let mut written = Written::begin(SHORT_TIMEOUT, true);
    let refused = loop {
        if let Err(error) = written.try_append() {
            break error;
        }
        assert!(written.rows <= FRAMES + 1);
    };
    assert!(matches!(refused, JournalError::NotDone(_)), "{refused}");
    assert!(written.rows >= FRAMES, "{} rows", written.rows);
    assert_eq!(written.flushed(), 1);
    let left = written.left();
    assert_eq!(recovered(&left), written.rows, "what was refused is not in");
    written.journal.pause_checkpointer(false);
    let until = std::time::Instant::now() + TIMEOUT;
    while written.rows < 3 * FRAMES {
        assert!(written.try_append().is_ok() || std::time::Instant::now() < until);
    }
    assert_eq!(verified(&written.dir), written.rows);
}

#[test]
fn a_batch_of_many_blocks_is_one_frame_also_where_it_is_longer_than_a_segment() {
    let mut written = Written::begin(SMALL, true);
    for rows in [1, 200, 3, 500, 5000, 1, 5000, 90] {
        let before = written.rows;
        let batch: Vec<_> = (1..=rows).map(|at| row(written.epoch, written.rows + at)).collect();
        written.journal.append(&batch).unwrap();
        written.rows += rows;
        let left = written.left();
        if rows == 5000 {
            let longest = (0..SEGMENTS).filter_map(|slot| segment_path(left.path(), slot).metadata().ok());
            assert!(longest.map(|file| file.len()).max().unwrap() > SMALL.segment_bytes);
        }
        assert_eq!(recovered(&left), written.rows, "{before} before it");
    }
}

#[test]
fn a_turn_of_more_than_a_segment_is_whole_or_not_there() {
    let mut written = Written::begin(Sizes::JOURNAL, true);
    written.append(2);
    let rows: u64 = 300_000;
    let batch: Vec<_> = (1..=rows).map(|at| row(written.epoch, written.rows + at)).collect();
    written.journal.append(&batch).unwrap();
    let left = written.left();
    let length = segment_path(left.path(), 1).metadata().unwrap().len() as usize;
    assert!(length as u64 > SEGMENT_BYTES, "{length} bytes");
    // What a crash leaves while it is written: blocks of it, in any order.
    for missing in [1, 2, length / BLOCK_BYTES / 2, length / BLOCK_BYTES - 1] {
        let torn = written.left();
        change(&torn, 1, missing * BLOCK_BYTES, |bytes| bytes[..BLOCK_BYTES].fill(0));
        assert_eq!(recovered(&torn), written.rows);
    }
    written.rows += rows;
    assert_eq!(recovered(&left), written.rows);
    written.append(1);
    assert_eq!(recovered(&written.left()), written.rows);
}

#[test]
fn where_the_cache_cannot_be_passed_by_each_write_is_synced() {
    let mut written = Written::begin(SMALL, false);
    written.journal.write_through_the_cache();
    written.append(3 * FRAMES);
    written.journal.pause_checkpointer(true);
    written.append(5);
    assert_eq!(recovered(&written.left()), written.rows);
}

#[test]
fn another_process_that_locks_the_file_stops_appends_until_all_is_flushed() {
    let mut written = Written::begin(Sizes::JOURNAL, false);
    let stranger = Connection::open(written.temp.path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let until = std::time::Instant::now() + TIMEOUT;
    let refused = loop {
        match written.try_append() {
            Ok(()) => assert!(std::time::Instant::now() < until, "nothing is refused"),
            Err(error) => break error,
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    assert!(matches!(refused, JournalError::NotDone(_)) && refused.to_string().contains("locked"), "{refused}");
    assert_eq!(recovered(&written.left()), written.rows);
    stranger.execute_batch("ROLLBACK").unwrap();
    while written.try_append().is_err() {
        assert!(std::time::Instant::now() < until, "it does not come back");
    }
    assert_eq!(verified(&written.dir), written.rows);
}

#[test]
fn an_older_journal_is_gone_on_with_only_where_the_log_continues_it() {
    let mut written = Written::begin(SMALL, false);
    written.append(5);
    written.dir.backlog().wait_flushed().unwrap();
    let older = written.left();
    written.append(5);
    written.dir.backlog().wait_flushed().unwrap();
    // The log still has what came after the copy.
    let continued = written.left();
    for file in ["journal.db", "journal.db-wal"] {
        std::fs::copy(older.path().join(file), continued.path().join(file)).unwrap();
    }
    assert_eq!(recovered(&continued), written.rows);
    // Now it has not.
    written.append(3 * FRAMES);
    let parted = written.left();
    for file in ["journal.db", "journal.db-wal"] {
        std::fs::copy(older.path().join(file), parted.path().join(file)).unwrap();
    }
    let error = DataDir::open_existing(parted.path()).unwrap_err();
    assert!(matches!(error, OpenError::LogUnfit { .. }), "{error}");
    assert!(error.to_string().contains("ends at seq 6") && error.to_string().contains("journal.log.*"), "{error}");
    (0..SEGMENTS).for_each(|slot| drop(std::fs::remove_file(segment_path(parted.path(), slot))));
    assert_eq!(recovered(&parted), 6);
}

#[test]
fn a_start_leaves_no_lease_behind_the_rows_that_it_recovered() {
    let mut written = Written::begin(SMALL, true);
    written.append(20);
    let left = written.left();
    let journal = Connection::open(left.path().join("journal.db")).unwrap();
    journal.execute("UPDATE leases SET epoch = 0", []).unwrap();
    assert_eq!(recovered(&left), written.rows);
    assert_eq!(
        journal.query_row("SELECT epoch FROM leases", [], |row| row.get::<_, i64>(0)).unwrap() as u64,
        written.epoch.0
    );
}

#[test]
fn a_row_that_differs_from_the_logs_and_a_missing_key_are_refused() {
    let mut written = Written::begin(SMALL, false);
    written.append(5);
    written.dir.backlog().wait_flushed().unwrap();
    let left = written.left();
    let journal = Connection::open(left.path().join("journal.db")).unwrap();
    journal.execute("UPDATE journal SET chain = zeroblob(32) WHERE seq = 3", []).unwrap();
    drop(journal);
    let error = DataDir::open_existing(left.path()).unwrap_err();
    assert!(matches!(error, OpenError::LogUnfit { .. }), "{error}");
    let left = written.left();
    std::fs::remove_file(left.path().join("journal.key")).unwrap();
    std::fs::remove_file(left.path().join("journal.db")).unwrap();
    assert!(matches!(DataDir::open(left.path()), Err(OpenError::KeyMissing { .. })));
}

#[test]
fn readers_wait_for_what_was_appended_and_there_is_one_writer() {
    let mut written = Written::begin(Sizes::JOURNAL, false);
    let reader = SqliteReader::open(&written.dir, Arc::new(FakePlans::default())).unwrap();
    for _ in 0..50 {
        written.append(1);
        assert_eq!(reader.verify(EVENT).unwrap(), written.rows);
    }
    assert!(matches!(SqliteJournal::open(&written.dir), Err(OpenError::Writing { .. })));
    // A writer that could not file leaves it to the next.
    let stranger = Connection::open(written.temp.path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    written.append(1);
    let unread = std::thread::scope(|scope| scope.spawn(|| reader.verify(EVENT)).join().unwrap());
    assert!(matches!(unread, Err(ReadError::Unavailable(_))), "{unread:?}");
    let Written { temp, dir, journal, rows, .. } = written;
    drop(journal);
    assert!(is_there(temp.path()));
    stranger.execute_batch("ROLLBACK").unwrap();
    let journal = SqliteJournal::open(&dir).unwrap();
    assert_eq!(reader.verify(EVENT).unwrap(), rows);
    drop(journal);
}

#[test]
fn a_panic_of_the_checkpointer_is_reported_at_once_and_nothing_more_is_committed() {
    let mut written = Written::begin(SMALL, true);
    written.append(3);
    let (send, reasons) = std::sync::mpsc::channel();
    written.journal.on_fatal(Arc::new(move |reason: &str| drop(send.send(reason.to_owned()))));
    written.dir.backlog().panic();
    written.journal.pause_checkpointer(false);
    // Nobody appends meanwhile: it is not the next commit that finds out.
    let reason = reasons.recv_timeout(TIMEOUT).unwrap();
    assert!(reason.contains("journal-checkpointer panicked: ordered to panic"), "{reason}");
    assert!(matches!(written.try_append(), Err(JournalError::Fatal(_))));
    let left = written.left();
    drop(written);
    let dir = DataDir::open(left.path()).unwrap();
    drop(SqliteJournal::open(&dir).unwrap());
    assert_eq!(SqliteReader::open(&dir, Arc::new(FakePlans::default())).unwrap().verify(EVENT).unwrap(), 4);
}

//! Raising an epoch waits for nobody: a new event, or one that is rebuilt, must not hold up the commits of all others
//! while somebody else writes to `journal.db`.

use crate::support::{event, journal_entry};
use onsale_adapters::sqlite::{DataDir, SqliteJournal};
use onsale_engine::ports::Journal;
use rusqlite::Connection;
use std::time::{Duration, Instant};

/// Far below the five seconds that SQLite waits for a lock.
const PROMPTLY: Duration = Duration::from_secs(1);

#[test]
fn a_locked_journal_file_holds_up_neither_an_epoch_nor_a_commit() {
    let temp = tempfile::tempdir().unwrap();
    let dir = DataDir::open(temp.path()).unwrap();
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let (known, new) = (event(1), event(2));
    let epoch = journal.raise_epoch(known).unwrap();
    journal.append(&[journal_entry(known, epoch, 1)]).unwrap();

    let other = Connection::open(temp.path().join("journal.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let began = Instant::now();
    let (raised, first) = (journal.raise_epoch(known).unwrap(), journal.raise_epoch(new).unwrap());
    let batch = [journal_entry(known, raised, 2), journal_entry(new, first, 1)];
    assert_eq!(journal.append(&batch).unwrap().fenced, []);
    assert_eq!(journal.append(&[journal_entry(known, epoch, 3)]).unwrap().fenced, [known], "the old epoch is fenced");
    assert_eq!(journal.append(&[journal_entry(known, raised, 3)]).unwrap().fenced, [], "and the new one goes on");
    assert!(began.elapsed() < PROMPTLY, "it waited for the lock: {:?}", began.elapsed());
    other.execute_batch("ROLLBACK").unwrap();

    drop(journal);
    let mut again = SqliteJournal::open(&dir).unwrap();
    assert_eq!(again.raise_epoch(known).unwrap().0, raised.0 + 1);
}

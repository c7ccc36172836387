//! A directory that is read is the same afterwards, whatever a process left in it.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::evidence::Evidence;
use crate::sqlite::{DataDir, SqliteJournal, SqlitePlans, SqliteReader, inspect};
use onsale_engine::fakes::FakePlans;
use onsale_engine::id::{BuyerId, Epoch, EventId, PlanHash, Seq};
use onsale_engine::ports::{Journal, JournalEntry, JournalReader, Plans};
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::time::Timestamp;
use std::collections::BTreeMap;
use std::time::SystemTime;
use tempfile::TempDir;
use uuid::Uuid;

const EVENT: EventId = EventId(Uuid::from_u128(1));
const LOGGED_ONLY: EventId = EventId(Uuid::from_u128(2));

/// Every file's bytes and when it was changed last, and the directory's.
fn state(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let changed = |path: &Path| std::fs::metadata(path).unwrap().modified().unwrap();
    let mut state: BTreeMap<_, _> =
        files.map(|path| (path.clone(), (std::fs::read(&path).unwrap(), changed(&path)))).collect();
    state.insert(dir.to_owned(), (Vec::new(), changed(dir)));
    state
}

fn append(journal: &mut SqliteJournal, event: EventId, epoch: Epoch, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let fact = Fact::Left { buyer: BuyerId(Uuid::from_u128(u128::from(seq))) };
        let entry = Entry { seq: Seq(seq), epoch, at: Timestamp(7), trace: None, fact };
        assert_eq!(journal.append(&[JournalEntry { event, entry }]).unwrap().fenced, []);
    }
}

/// What a process leaves that is killed with rows 1 to 5 in `journal.db` (and its own log) and 6 to 9 in the commit log
/// alone, as are those of another event, which an older `journal.db` was put back without.
fn left_by_a_kill(name: &str) -> TempDir {
    let (temp, left) = (tempfile::tempdir().unwrap(), tempfile::Builder::new().prefix(name).tempdir().unwrap());
    let dir = DataDir::open(temp.path()).unwrap();
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let epoch = journal.raise_epoch(EVENT).unwrap();
    append(&mut journal, EVENT, epoch, 1..=5);
    let other = journal.raise_epoch(LOGGED_ONLY).unwrap();
    append(&mut journal, LOGGED_ONLY, other, 1..=3);
    dir.backlog().wait_flushed().unwrap();
    journal.pause_checkpointer(true);
    append(&mut journal, EVENT, epoch, 6..=9);
    let files = std::fs::read_dir(temp.path()).unwrap().map(Result::unwrap);
    for file in files.filter(|file| file.file_name() != "journal.reserve") {
        std::fs::copy(file.path(), left.path().join(file.file_name())).unwrap();
    }
    let older = Connection::open(left.path().join(JOURNAL)).unwrap();
    older.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    for table in ["journal", "leases"] {
        let sql = format!("DELETE FROM {table} WHERE event_id = ?1");
        assert!(older.execute(&sql, [LOGGED_ONLY.0.as_bytes()]).unwrap() > 0);
    }
    left
}

/// Reads everything there is, and answers how many rows the two events have.
fn read_all(path: &Path) -> (u64, u64) {
    let dir = DataDir::open_read_only(path).unwrap();
    let reader = SqliteReader::open(&dir, Arc::new(FakePlans::default())).unwrap();
    assert!(reader.snapshot(EVENT).unwrap().is_none());
    assert_eq!(reader.projected_rows(EVENT).unwrap().checkpoint, Seq(0));
    assert_eq!(reader.by_operators(EVENT, 0, 10).unwrap(), (vec![], 0));
    assert!(SqlitePlans::open(&dir).unwrap().plan(PlanHash([0; 32])).unwrap().is_none());
    let events = reader.events().unwrap();
    let rows = |event| if events.contains(&event) { reader.verify(event).unwrap() } else { 0 };
    let rows = (rows(EVENT), rows(LOGGED_ONLY));
    let mut seen = Vec::new();
    reader.replay(EVENT, Seq(3), &mut |entry| seen.push(entry.seq.0)).unwrap();
    assert_eq!(seen, (4..=rows.0).collect::<Vec<_>>(), "in order, those of the log behind the others");
    assert!(matches!(SqliteJournal::open(&dir), Err(OpenError::ReadOnly { .. })));
    assert!(dir.is_undisturbed());
    rows
}

#[test]
fn nothing_is_changed_and_rows_that_only_the_log_has_are_read() {
    for name in ["plain", "a % name? with #signs&=1 "] {
        let left = left_by_a_kill(name);
        assert!(left.path().join("journal.db-wal").metadata().unwrap().len() > 0, "rows in SQLite's log");
        let before = state(left.path());
        assert_eq!(read_all(left.path()), (9, 3));
        assert_eq!(inspect(left.path()).unwrap().map(|found| found.is_in_use), Some(false));
        assert!(before == state(left.path()), "{:?} before, {:?} after", before.keys(), state(left.path()).keys());
        // SQLite's index of its log is gone, as in a copy; and the lock, as in a backup.
        for file in ["journal.db-shm", LOCK] {
            std::fs::remove_file(left.path().join(file)).unwrap();
        }
        let before = state(left.path());
        assert_eq!(read_all(left.path()), (9, 3));
        assert!(before == state(left.path()));
        // After a start there is neither log; SQLite's is empty or gone.
        drop(DataDir::open(left.path()).unwrap());
        let before = state(left.path());
        assert_eq!(read_all(left.path()), (9, 3));
        assert!(before == state(left.path()));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_directory_that_cannot_be_written_is_read() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    use std::os::unix::fs::PermissionsExt;
    let mode = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let left = left_by_a_kill("closed");
    for file in std::fs::read_dir(left.path()).unwrap().map(Result::unwrap) {
        mode(&file.path(), 0o400);
    }
    mode(left.path(), 0o500);
    // Root ignores modes, unless this thread gives that right up.
    let rights = capabilities(None).unwrap();
    let mut fewer = rights;
    fewer.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, fewer).unwrap();
    let written = std::fs::write(left.path().join("a file"), "");
    let rows = std::panic::catch_unwind(|| read_all(left.path()));
    set_capabilities(None, rights).unwrap();
    mode(left.path(), 0o700);
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::PermissionDenied);
    assert_eq!(rows.unwrap(), (9, 3));
}

#[test]
fn readers_share_a_directory_with_each_other_and_with_no_server() {
    let left = left_by_a_kill("shared");
    let (first, second) =
        (DataDir::open_read_only(left.path()).unwrap(), DataDir::open_read_only(left.path()).unwrap());
    assert!(matches!(DataDir::open(left.path()), Err(OpenError::Locked { .. })), "a start is refused meanwhile");
    drop((first, second));
    let server = DataDir::open(left.path()).unwrap();
    assert!(matches!(DataDir::open_read_only(left.path()), Err(OpenError::Locked { .. })));
    assert_eq!(inspect(left.path()).unwrap().map(|found| found.is_in_use), Some(true));
    drop(server);
    // What has no lock file cannot be locked without a change; who starts a server on it is noticed.
    std::fs::remove_file(left.path().join(LOCK)).unwrap();
    let reading = DataDir::open_read_only(left.path()).unwrap();
    assert!(reading.is_undisturbed());
    let _server = DataDir::open(left.path()).unwrap();
    assert!(!reading.is_undisturbed());
}

#[test]
fn another_versions_schema_is_named_and_stays() {
    for (file, versions, found) in [(JOURNAL, "version > 1", 1), (LIBRARY, "version >= 0", 0)] {
        let left = left_by_a_kill("older");
        let database = Connection::open(left.path().join(file)).unwrap();
        database.execute(&format!("DELETE FROM refinery_schema_history WHERE {versions}"), []).unwrap();
        drop(database);
        let before = state(left.path());
        let error = DataDir::open_read_only(left.path()).unwrap_err();
        assert!(matches!(&error, OpenError::OtherSchema { found: version, .. } if *version == found), "{error}");
        assert!(error.to_string().contains(file) && error.to_string().contains("start a server"), "{error}");
        assert!(before == state(left.path()));
    }
    let left = left_by_a_kill("newer");
    let database = Connection::open(left.path().join(SNAPSHOTS)).unwrap();
    database.execute("UPDATE refinery_schema_history SET version = 99 WHERE version = 1", []).unwrap();
    drop(database);
    let error = DataDir::open_read_only(left.path()).unwrap_err().to_string();
    assert!(error.contains("version 99") && !error.contains("start a server"), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_as_at_a_start() {
    let left = left_by_a_kill("unfit");
    let journal = Connection::open(left.path().join(JOURNAL)).unwrap();
    journal.execute("UPDATE journal SET chain = zeroblob(32) WHERE seq = 3", []).unwrap();
    drop(journal);
    assert!(matches!(DataDir::open_read_only(left.path()), Err(OpenError::LogUnfit { .. })));
    let left = left_by_a_kill("keyless");
    std::fs::remove_file(left.path().join(KEY)).unwrap();
    assert!(matches!(DataDir::open_read_only(left.path()), Err(OpenError::KeyMissing { .. })));
    assert!(matches!(DataDir::open_read_only(left.path().join("none")), Err(OpenError::NoJournal { .. })));
}

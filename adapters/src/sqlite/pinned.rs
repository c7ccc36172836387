//! One moment of a data directory that a server works on, for a backup. Only reads, and holds nobody up.
//!
//! The state of the snapshots is pinned first, then that of the library, the journal's last, and then the commit log is
//! read: whatever the tables say, the facts behind it are in the journal or in the log. An event that is made between the
//! two has facts and no catalogue row; that is detected, and then all is pinned again. So it is when a segment of the log
//! has been removed meanwhile: what was in it was flushed, and perhaps not yet in the journal that was pinned.

use super::backup_error::BackupError;
use super::commit_log::{self, Decoder, Scan, ScanError};
use super::files::{BUSY_TIMEOUT, JOURNAL, KEY, LIBRARY, SNAPSHOTS};
use super::open_error::OpenError;
use crate::chain::{ChainKey, Secret};
use rusqlite::{Connection, OpenFlags, params};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// How often all is pinned again before it is given up.
const PINNINGS: usize = 100;

/// The last fact of every event that has one.
type Ends = BTreeMap<[u8; 16], i64>;

/// The three files, held by open transactions that read, and what the log has beyond them.
pub(super) struct Pinned {
    pub(super) snapshots: Connection,
    pub(super) library: Connection,
    pub(super) journal: Connection,
    /// What the frames carry that are not flushed to `journal`, in order; rows of it may be.
    pub(super) unflushed: Vec<Box<[u8]>>,
    pub(super) at: jiff::Timestamp,
    /// With what is not flushed.
    pub(super) ends: Ends,
}

impl Pinned {
    /// A moment at which the tables fit the journal.
    pub(super) fn settled(from: &Path) -> Result<Self, BackupError> {
        let mut why = BackupError::Unsettled;
        for _ in 0..PINNINGS {
            match Self::pin(from) {
                Ok(Some(pinned)) => {
                    let fits = pinned.fits().map_err(|source| BackupError::Copy { file: LIBRARY, source })?;
                    if fits {
                        return Ok(pinned);
                    }
                }
                Ok(None) => {}
                // A frame that is being written is like a damaged one.
                Err(error @ BackupError::Open(OpenError::LogDamaged { .. })) => why = error,
                Err(error) => return Err(error),
            }
        }
        Err(why)
    }

    /// Pins a moment; none when the log went on too far meanwhile.
    fn pin(from: &Path) -> Result<Option<Self>, BackupError> {
        let hold = |file: &'static str| {
            let held = || -> rusqlite::Result<Connection> {
                let connection = read_only(&from.join(file))?;
                // A transaction begins to see its state with its first read.
                connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema")?;
                Ok(connection)
            };
            held().map_err(|source| BackupError::Copy { file, source })
        };
        let (snapshots, library) = (hold(SNAPSHOTS)?, hold(LIBRARY)?);
        // Taken before the log and the journal: what is acknowledged before it is committed, and so in one of them.
        let at = jiff::Timestamp::now();
        let before = segments(from)?;
        let journal = hold(JOURNAL)?;
        let mut ends = ends(&journal).map_err(|source| BackupError::Copy { file: JOURNAL, source })?;
        let Some(unflushed) = unflushed(from, &mut ends)? else { return Ok(None) };
        let after = segments(from)?;
        if before.iter().any(|segment| !after.contains(segment)) {
            return Ok(None);
        }
        Ok(Some(Self { snapshots, library, journal, unflushed, at, ends }))
    }

    /// Whether every event of the journal is in the catalogue, and no table is ahead of the facts.
    fn fits(&self) -> rusqlite::Result<bool> {
        let mut catalogued = self.library.prepare("SELECT EXISTS (SELECT 1 FROM events WHERE id = ?1)")?;
        for event in self.ends.keys() {
            if !catalogued.query_row(params![event], |row| row.get::<_, bool>(0))? {
                return Ok(false);
            }
        }
        let mut checkpoints = self.library.prepare("SELECT event_id, seq FROM projection_checkpoints")?;
        let mut rows = checkpoints.query([])?;
        while let Some(row) = rows.next()? {
            let (event, seq): ([u8; 16], i64) = (row.get(0)?, row.get(1)?);
            if self.ends.get(&event).copied().unwrap_or(0) < seq {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// Reads the commit log of a directory, if there is one.
fn with_log<T>(from: &Path, read: impl FnOnce(Scan<'_>) -> Result<T, ScanError>) -> Result<Option<T>, BackupError> {
    if !commit_log::is_there(from) {
        return Ok(None);
    }
    let path = from.join(KEY);
    if !path.is_file() {
        return Err(OpenError::KeyMissing { path }.into());
    }
    let secret = Secret::read(&path).map_err(|source| OpenError::File { path, source })?;
    let key = ChainKey::derive(secret.bytes());
    match Scan::begin(from, key.log()).and_then(read) {
        Ok(found) => Ok(Some(found)),
        // Taken away by a server that is just ending.
        Err(ScanError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(OpenError::from(error).into()),
    }
}

/// Which segments there are.
fn segments(from: &Path) -> Result<Vec<u64>, BackupError> {
    Ok(with_log(from, |scan| Ok(scan.numbers()))?.unwrap_or_default())
}

/// What the log's frames carry beyond `ends`, which are moved; none when it does not continue them.
fn unflushed(from: &Path, ends: &mut Ends) -> Result<Option<Vec<Box<[u8]>>>, BackupError> {
    let read = with_log(from, |mut scan| {
        let mut unflushed = Vec::new();
        while let Some(segment) = scan.next()? {
            for payload in segment.payloads() {
                match advance(payload, ends) {
                    Some(true) => unflushed.push(payload.into()),
                    Some(false) => {}
                    None => return Ok(None),
                }
            }
        }
        Ok(Some(unflushed))
    })?;
    Ok(read.unwrap_or_else(|| Some(Vec::new())))
}

/// Moves the ends by the rows of a frame; whether any was new, and none where a row is missing or makes no sense.
fn advance(payload: &[u8], ends: &mut Ends) -> Option<bool> {
    let mut is_new = false;
    for logged in Decoder::new(payload) {
        let (row, _) = logged.ok()?;
        let (end, seq) = (ends.entry(*row.event.0.as_bytes()).or_default(), row.seq.0.cast_signed());
        if seq == *end + 1 {
            (*end, is_new) = (seq, true);
        } else if seq > *end {
            return None;
        }
    }
    Some(is_new)
}

/// Where each event's journal ends: one lookup each, never a scan of all rows.
pub(super) fn ends(journal: &Connection) -> rusqlite::Result<Ends> {
    let mut last = journal.prepare(
        "SELECT event_id, (SELECT max(seq) FROM journal WHERE journal.event_id = leases.event_id) AS last
            FROM leases WHERE last IS NOT NULL",
    )?;
    let rows = last.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    rows.collect()
}

pub(super) fn read_only(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    Ok(connection)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sqlite::backup::{copy_journal, inspect};
    use crate::sqlite::{DataDir, SqliteJournal, SqliteReader};
    use onsale_engine::fakes::FakePlans;
    use onsale_engine::id::{BuyerId, EventId, Seq};
    use onsale_engine::ports::{Journal, JournalEntry, JournalReader};
    use onsale_engine::sale::{Entry, Fact};
    use onsale_engine::time::Timestamp;
    use std::sync::Arc;
    use uuid::Uuid;

    #[test]
    fn what_is_acknowledged_and_not_flushed_is_in_a_copy() {
        let (temp, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let dir = DataDir::open(temp.path()).unwrap();
        let mut journal = SqliteJournal::open(&dir).unwrap();
        let event = EventId(Uuid::from_u128(1));
        let epoch = journal.raise_epoch(event).unwrap();
        let append = |seq: u64, journal: &mut SqliteJournal| {
            let fact = Fact::Left { buyer: BuyerId(Uuid::from_u128(7)) };
            let entry = Entry { seq: Seq(seq), epoch, at: Timestamp(7), trace: None, fact };
            journal.append(&[JournalEntry { event, entry }]).unwrap();
        };
        append(1, &mut journal);
        dir.backlog().wait_flushed().unwrap();
        journal.pause_checkpointer(true);
        (2..=9).for_each(|seq| append(seq, &mut journal));
        let pinned = Pinned::pin(temp.path()).unwrap().unwrap();
        assert_eq!((pinned.unflushed.len(), pinned.ends.values().copied().collect::<Vec<_>>()), (8, vec![9]));
        assert!(inspect(temp.path()).unwrap().unwrap().is_in_use);

        copy_journal(&pinned.journal, &pinned.unflushed, &copy.path().join("journal.db")).unwrap();
        let names = || std::fs::read_dir(copy.path()).unwrap().map(|file| file.unwrap().file_name());
        assert_eq!(names().collect::<Vec<_>>(), ["journal.db"], "nothing is beside it");
        std::fs::copy(temp.path().join("journal.key"), copy.path().join("journal.key")).unwrap();
        let copied = DataDir::open_existing(copy.path()).unwrap();
        assert_eq!(SqliteReader::open(&copied, Arc::new(FakePlans::default())).unwrap().verify(event).unwrap(), 9);

        // What the frame before it is missing of is pinned again.
        assert_eq!(advance(&pinned.unflushed[0], &mut [(*event.0.as_bytes(), 1)].into()), Some(true));
        assert_eq!(advance(&pinned.unflushed[1], &mut [(*event.0.as_bytes(), 1)].into()), None);
        assert_eq!(advance(&pinned.unflushed[1], &mut [(*event.0.as_bytes(), 3)].into()), Some(false));
        journal.pause_checkpointer(false);
        dir.backlog().wait_flushed().unwrap();
        assert_eq!(Pinned::pin(temp.path()).unwrap().unwrap().unflushed.len(), 0);
    }
}

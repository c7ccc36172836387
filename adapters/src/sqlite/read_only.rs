//! A data directory that is read and not changed by a byte: no schema is brought up to date, nothing is recovered, no
//! file is made beside another, not even SQLite's own. Rows that only the commit log has are read from there, behind
//! those of `journal.db`. Must never open a file so that SQLite could write to it or to its log.

use super::commit_log::{self, Scan, Store};
use super::files::{JOURNAL, KEY, LIBRARY, LOCK, SNAPSHOTS};
use super::open_error::OpenError;
use super::schemas::known_schema;
use crate::chain::{ChainKey, LogKey, Secret};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// SQLite's file layer without locks of its own: the directory's lock is held instead.
const WITHOUT_LOCKS: &str = if cfg!(windows) { "win32-none" } else { "unix-none" };

/// Tables in memory for the rows that only the commit log has, and for the epochs that they carry, in front of the file's;
/// the same statements read both.
const LAYERED: &str = "
    PRAGMA temp_store = MEMORY;
    CREATE TEMP TABLE logged (
        event_id BLOB NOT NULL, seq INTEGER NOT NULL, epoch INTEGER NOT NULL, at INTEGER NOT NULL, kind INTEGER NOT NULL,
        body BLOB NOT NULL, chain BLOB NOT NULL, PRIMARY KEY (event_id, seq)
    ) STRICT, WITHOUT ROWID;
    CREATE TEMP TABLE leases (event_id BLOB PRIMARY KEY, epoch INTEGER NOT NULL) STRICT, WITHOUT ROWID;
    INSERT INTO temp.leases SELECT event_id, epoch FROM main.leases;
    CREATE TEMP VIEW journal AS SELECT * FROM main.journal UNION ALL SELECT * FROM logged;
    CREATE TEMP TRIGGER logged_row INSTEAD OF INSERT ON journal BEGIN
        INSERT INTO logged VALUES (new.event_id, new.seq, new.epoch, new.at, new.kind, new.body, new.chain);
    END;";

/// What a directory is read with that is not changed. Clones share the log's rows.
#[derive(Clone, Debug)]
pub(super) struct ReadOnly {
    /// What the frames of the commit log carry; rows of it may be in `journal.db` too.
    payloads: Arc<[Box<[u8]>]>,
    /// There was no lock to take: nobody had opened the directory yet, and the first who does creates it.
    lock_was_missing: bool,
}

impl ReadOnly {
    /// Whether there is a commit log, and so the table `logged` beside `journal`.
    pub(super) fn has_log(&self) -> bool {
        !self.payloads.is_empty()
    }

    /// A connection to the journal: the rows of the file, and behind them those that only the log has.
    pub(super) fn journal(&self, dir: &Path) -> Result<Connection, OpenError> {
        let path = dir.join(JOURNAL);
        let failed = |source| OpenError::Database { path: path.clone(), source };
        let connection = connect(&path).map_err(failed)?;
        if !self.has_log() {
            return Ok(connection);
        }
        connection.execute_batch(LAYERED).map_err(failed)?;
        // As after a crash: what is stored already is compared, and what does not continue the file is refused.
        let mut store = Store::new(connection);
        store.store(self.payloads.iter().map(|payload| &**payload)).map_err(|error| error.at_open(dir, dir))?;
        Ok(store.into_connection())
    }
}

impl ReadOnly {
    /// Readies a directory that no process works on for reading alone: its key, its lock if it has a file for one, and what
    /// it is read with.
    pub(super) fn open(path: &Path) -> Result<(ChainKey, Option<File>, Self), OpenError> {
        if !path.join(JOURNAL).is_file() {
            return Err(OpenError::NoJournal { path: path.to_owned() });
        }
        let lock = lock_shared(path)?;
        for file in [JOURNAL, SNAPSHOTS, LIBRARY] {
            check_schema(&path.join(file))?;
        }
        let key_file = path.join(KEY);
        let secret = match Secret::read(&key_file) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(OpenError::KeyMissing { path: key_file });
            }
            read => read.map_err(|source| OpenError::File { path: key_file, source })?,
        };
        let key = ChainKey::derive(secret.bytes());
        let payloads = logged(path, key.log())?;
        let read_only = Self { payloads, lock_was_missing: lock.is_none() };
        // Opened once, so that a log that does not fit is refused here.
        read_only.journal(path)?;
        Ok((key, lock, read_only))
    }

    /// Whether no process can have changed the directory since it was opened.
    pub(super) fn is_undisturbed(&self, path: &Path) -> bool {
        !self.lock_was_missing || !path.join(LOCK).exists()
    }
}

/// The lock, shared with others that only read; none where there is no file to lock.
pub(super) fn lock_shared(dir: &Path) -> Result<Option<File>, OpenError> {
    let at = dir.join(LOCK);
    let lock = match File::open(&at) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(OpenError::File { path: at, source }),
    };
    match lock.try_lock_shared() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: dir.to_owned() }),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: at, source }),
    }
}

/// A connection that reads a database which nobody writes to, and makes and changes no file.
///
/// Without rows in SQLite's log the file is declared immutable. With some, they are read through an index in memory: a
/// connection that only reads would otherwise make `-shm`, and empty `-wal` when it closes.
pub(super) fn connect(file: &Path) -> rusqlite::Result<Connection> {
    let has_log = std::fs::metadata(with_suffix(file, "-wal")).is_ok_and(|log| log.len() > 0);
    let connection = if has_log {
        let connection = Connection::open_with_flags_and_vfs(file, OpenFlags::SQLITE_OPEN_READ_ONLY, WITHOUT_LOCKS)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.pragma_update(None, "locking_mode", "EXCLUSIVE")?;
        connection
    } else {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        Connection::open_with_flags(format!("file:{}?immutable=1", escaped(file)), flags)?
    };
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// A path as it stands in a URI.
fn escaped(path: &Path) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:".contains(&byte);
    let bytes = path.as_os_str().as_encoded_bytes();
    bytes.iter().map(|byte| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

/// Refuses a schema that another version has made.
fn check_schema(file: &Path) -> Result<(), OpenError> {
    let failed = |source| OpenError::Database { path: file.to_owned(), source };
    let connection = connect(file).map_err(failed)?;
    let last = "SELECT coalesce(max(version), 0) FROM refinery_schema_history";
    let is_there = "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE name = 'refinery_schema_history')";
    let found = match connection.query_row(is_there, [], |row| row.get(0)).map_err(failed)? {
        true => connection.query_row(last, [], |row| row.get(0)).map_err(failed)?,
        false => 0,
    };
    let known = known_schema(file);
    if found == known { Ok(()) } else { Err(OpenError::OtherSchema { path: file.to_owned(), found, known }) }
}

/// What the commit log's frames carry, in order.
fn logged(dir: &Path, key: &LogKey) -> Result<Arc<[Box<[u8]>]>, OpenError> {
    let mut payloads: Vec<Box<[u8]>> = Vec::new();
    if commit_log::is_there(dir) {
        let mut scan = Scan::begin(dir, key)?;
        while let Some(segment) = scan.next()? {
            payloads.extend(segment.payloads().map(Box::from));
        }
    }
    Ok(payloads.into())
}

#[cfg(test)]
mod tests;

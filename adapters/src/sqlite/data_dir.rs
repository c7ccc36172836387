//! The data directory: made, locked by the operating system, its files opened and migrated. Everything that it
//! opens is synced on commit. Must never touch a file of a directory whose lock it does not hold.

use super::commit_log::{self, Backlog, Store};
use super::files::{BUSY_TIMEOUT, JOURNAL, KEY, LIBRARY, LOCK, SNAPSHOTS};
use super::open_error::OpenError;
use super::read_only::{self, ReadOnly};
use super::reserve::{Reserve, is_full};
use super::schemas;
use crate::chain::{ChainKey, Secret};
use rusqlite::Connection;
use std::fs::{File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A locked data directory. Clones share the lock; it is given up with the last of them, also by the death of the
/// process. Adapters that it opens keep a clone.
#[derive(Clone, Debug)]
pub struct DataDir {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    chain_key: ChainKey,
    backlog: Backlog,
    reserve: Arc<Reserve>,
    /// How it is read when nothing may be changed.
    read_only: Option<ReadOnly>,
    /// Locked as long as it is open; none where only reading found no lock.
    _lock: Option<File>,
}

impl DataDir {
    /// Makes the directory if needed (readable by its owner only), locks it, and brings every schema up to date.
    ///
    /// # Errors
    /// [`OpenError::Locked`] when another process has it; the rest as they say.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        make_private(path).map_err(|source| OpenError::File { path: path.to_owned(), source })?;
        Self::prepare(path)
    }

    /// Like [`DataDir::open`], but only where a journal already is: for tools that must not make one.
    ///
    /// # Errors
    /// [`OpenError::NoJournal`], and as `open`.
    pub fn open_existing(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        if !path.join(JOURNAL).is_file() {
            return Err(OpenError::NoJournal { path: path.to_owned() });
        }
        Self::prepare(path)
    }

    /// Opens a directory that no process works on, for reading alone: nothing in it is changed, also when a process that
    /// was killed has left it. Keeps servers out meanwhile, and lets others read. A directory that has no lock file, as a
    /// backup has none, cannot be locked without a change: ask [`DataDir::is_undisturbed`] when all is read.
    ///
    /// # Errors
    /// [`OpenError::Locked`] beside a running server, [`OpenError::OtherSchema`] when another version wrote it,
    /// [`OpenError::NoJournal`], [`OpenError::KeyMissing`], and what is wrong with the commit log.
    pub fn open_read_only(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        let path = path.as_ref();
        let (chain_key, lock, read_only) = ReadOnly::open(path)?;
        let (path, reserve) = (path.to_owned(), Arc::new(Reserve::of(path)));
        let (backlog, read_only) = (Backlog::default(), Some(read_only));
        Ok(Self { inner: Arc::new(Inner { path, chain_key, backlog, reserve, read_only, _lock: lock }) })
    }

    /// Whether no process can have changed the directory since it was opened for reading alone.
    #[must_use]
    pub fn is_undisturbed(&self) -> bool {
        self.read_only().is_none_or(|read_only| read_only.is_undisturbed(self.path()))
    }

    /// The directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The room that is held for a start on a full disk.
    #[must_use]
    pub fn reserve(&self) -> &Arc<Reserve> {
        &self.inner.reserve
    }

    /// A fresh connection to the file of projections, accounts and catalogue. Keep a clone of the directory as long
    /// as it lives.
    ///
    /// # Errors
    /// [`OpenError::Database`].
    pub fn library(&self) -> Result<Connection, OpenError> {
        self.connect(LIBRARY)
    }

    pub(super) fn journal_connection(&self) -> Result<Connection, OpenError> {
        match self.read_only() {
            None => self.connect(JOURNAL),
            Some(read_only) => read_only.journal(self.path()),
        }
    }

    /// How it is read when nothing in it may be changed.
    pub(super) fn read_only(&self) -> Option<&ReadOnly> {
        self.inner.read_only.as_ref()
    }

    fn connect(&self, name: &str) -> Result<Connection, OpenError> {
        let file = self.path().join(name);
        match self.read_only() {
            None => connect(&file),
            Some(_) => read_only::connect(&file).map_err(|source| OpenError::Database { path: file, source }),
        }
    }

    /// What the journal's writer, its checkpointer and its readers share.
    pub(super) fn backlog(&self) -> &Backlog {
        &self.inner.backlog
    }

    pub(super) fn snapshots_connection(&self) -> Result<Connection, OpenError> {
        self.connect(SNAPSHOTS)
    }

    /// The key of the journal's chain.
    pub(super) fn chain_key(&self) -> &ChainKey {
        &self.inner.chain_key
    }

    fn prepare(path: &Path) -> Result<Self, OpenError> {
        let (lock, reserve) = (lock(path)?, Arc::new(Reserve::of(path)));
        reserve.release_if_full()?;
        let prepared = Self::migrate(path);
        let prepared = match prepared {
            Err(error) if is_full(&error) && reserve.release()? => Self::migrate(path),
            prepared => prepared,
        };
        let (path, chain_key, backlog) = (path.to_owned(), prepared?, Backlog::default());
        let inner = Inner { path, chain_key, backlog, reserve, read_only: None, _lock: Some(lock) };
        let dir = Self { inner: Arc::new(inner) };
        match dir.recover() {
            Err(error) if is_full(&error) && dir.inner.reserve.release()? => dir.recover()?,
            recovered => recovered?,
        }
        Ok(dir)
    }

    /// Brings every schema up to date, and answers the key.
    fn migrate(path: &Path) -> Result<ChainKey, OpenError> {
        for file in [JOURNAL, SNAPSHOTS, LIBRARY] {
            let file = path.join(file);
            schemas::migrate(&file, &mut connect(&file)?)?;
        }
        chain_key(path)
    }

    /// Brings what a writer that has died left in its commit log into the journal.
    pub(super) fn recover(&self) -> Result<(), OpenError> {
        if self.read_only().is_some() {
            return Err(OpenError::ReadOnly { path: self.path().to_owned() });
        }
        let store = || self.journal_connection().map(Store::new);
        commit_log::recover(self.path(), self.chain_key().log(), store)
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let at = path.join(LOCK);
    let failed = |source| OpenError::File { path: at.clone(), source };
    let lock = File::options().create(true).truncate(false).write(true).open(&at).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked { path: path.to_owned() }),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

/// The key of the directory's journal; made with the journal, never after it.
fn chain_key(path: &Path) -> Result<ChainKey, OpenError> {
    let at = path.join(KEY);
    let secret = match Secret::read(&at) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if commit_log::is_there(path) || has_facts(&path.join(JOURNAL))? {
                return Err(OpenError::KeyMissing { path: at });
            }
            Secret::create(&at)
        }
        read => read,
    };
    let secret = secret.map_err(|source| OpenError::File { path: at, source })?;
    Ok(ChainKey::derive(secret.bytes()))
}

fn has_facts(journal: &Path) -> Result<bool, OpenError> {
    let found = connect(journal)?.query_row("SELECT EXISTS (SELECT 1 FROM journal)", [], |row| row.get(0));
    found.map_err(|source| OpenError::Database { path: journal.to_owned(), source })
}

fn connect(file: &Path) -> Result<Connection, OpenError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open(file)?;
        connection.busy_timeout(BUSY_TIMEOUT)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "foreign_keys", true)?;
        Ok(connection)
    };
    open().map_err(|source| OpenError::Database { path: file.to_owned(), source })
}

#[cfg(unix)]
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

#[cfg(not(unix))]
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    std::fs::create_dir_all(path)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_second_owner_is_refused_by_name_and_a_later_one_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().join("data");
        let first = DataDir::open(&path).unwrap();
        let refused = DataDir::open(&path).unwrap_err();
        assert!(matches!(refused, OpenError::Locked { .. }));
        assert!(refused.to_string().contains(&path.display().to_string()), "{refused}");
        let clone = first.clone();
        drop(first);
        assert!(matches!(DataDir::open(&path), Err(OpenError::Locked { .. })), "a clone keeps the lock");
        drop(clone);
        DataDir::open_existing(&path).unwrap();
    }

    #[test]
    fn a_tool_makes_no_journal_where_there_is_none() {
        let temp = tempfile::tempdir().unwrap();
        assert!(matches!(DataDir::open_existing(temp.path()), Err(OpenError::NoJournal { .. })));
        assert_eq!(std::fs::read_dir(temp.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_journal_without_its_key_is_refused_and_an_empty_one_gets_a_key() {
        let temp = tempfile::tempdir().unwrap();
        let key = temp.path().join(KEY);
        drop(DataDir::open(temp.path()).unwrap());
        std::fs::remove_file(&key).unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        assert!(key.is_file());
        let row = "INSERT INTO journal VALUES (x'00', 1, 1, 0, 1, x'', x'')";
        dir.journal_connection().unwrap().execute(row, []).unwrap();
        drop(dir);
        std::fs::remove_file(&key).unwrap();
        assert!(matches!(DataDir::open(temp.path()), Err(OpenError::KeyMissing { .. })));
    }

    #[test]
    fn tables_of_an_older_version_keep_their_rows_and_their_checks() {
        let temp = tempfile::tempdir().unwrap();
        let at = temp.path().join(LIBRARY);
        let older = schemas::library_schema::migrations::runner().set_target(refinery::Target::Version(3));
        older.run(&mut connect(&at).unwrap()).unwrap();
        let rows = [
            "INSERT INTO seats VALUES (x'01', 'A-1', 'HELD', x'02'), (x'01', 'A-2', 'AVAILABLE', NULL)",
            "INSERT INTO reservations VALUES (x'02', x'01', x'03', 'CONFIRMED', 5, 'EUR', 6, 7, 8, 9, 10)",
            "INSERT INTO payments VALUES (x'04', x'01', x'02', x'03', 'REFUNDED', 'REFUND_SETTLED', 5, 5, 'EUR', 't', 6, 7, 'f',
                'd', 'r')",
        ];
        let connection = connect(&at).unwrap();
        for row in rows {
            connection.execute(row, []).unwrap();
        }
        let all = |connection: &Connection| -> Vec<String> {
            let tables = ["seats", "reservations", "payments"].map(|table| {
                let mut statement = connection.prepare(&format!("SELECT * FROM {table}")).unwrap();
                let columns = statement.column_count();
                let row = |row: &rusqlite::Row<'_>| {
                    (0..columns).map(|at| Ok(format!("{:?}", row.get_ref(at)?))).collect::<rusqlite::Result<String>>()
                };
                statement.query_map([], row).unwrap().collect::<rusqlite::Result<Vec<String>>>().unwrap()
            });
            tables.concat()
        };
        let before = all(&connection);
        assert!(makes_a_tree(&connection, "seats"), "the older ones did");
        drop(connection);
        schemas::migrate(&at, &mut connect(&at).unwrap()).unwrap();
        let connection = connect(&at).unwrap();
        let after = all(&connection);
        assert_eq!((before.len(), after.len()), (4, 4));
        // Columns are only ever added behind the others.
        assert!(after.iter().zip(&before).all(|(after, before)| after.starts_with(before)), "{before:?} {after:?}");
        let counted =
            "SELECT group_concat(what || ' ' || status || ' ' || count, ', ' ORDER BY what) FROM record_counts";
        let counted: String = connection.query_row(counted, [], |row| row.get(0)).unwrap();
        assert_eq!(counted, "PAYMENT REFUNDED 1, RESERVATION CONFIRMED 1");
        for wrong in [
            "UPDATE seats SET status = 'FREE'",
            "UPDATE reservations SET status = 'HELD'",
            "UPDATE payments SET status = 'PAID'",
            "UPDATE payments SET stage = 'PAID'",
        ] {
            assert!(connection.execute(wrong, []).is_err(), "{wrong}");
        }
    }

    #[test]
    fn no_row_that_is_written_costs_a_tree_of_its_own() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        assert!(!makes_a_tree(&dir.journal_connection().unwrap(), "journal"));
        for table in ["seats", "reservations", "reservation_seats", "payments", "outbox_events"] {
            assert!(!makes_a_tree(&dir.library().unwrap(), table), "{table}");
        }
    }

    /// Whether SQLite makes a tree for itself for each row that is put into a table.
    fn makes_a_tree(connection: &Connection, table: &str) -> bool {
        let columns = connection.prepare(&format!("SELECT * FROM {table}")).unwrap().column_count();
        let insert = format!("EXPLAIN INSERT INTO {table} VALUES ({})", vec!["?"; columns].join(", "));
        let mut statement = connection.prepare(&insert).unwrap();
        let codes: Vec<String> = statement.raw_query().mapped(|row| row.get("opcode")).map(Result::unwrap).collect();
        assert!(codes.iter().any(|code| code == "MakeRecord"), "{codes:?}");
        codes.iter().any(|code| code == "OpenEphemeral")
    }

    #[test]
    fn connections_are_synced_on_commit_and_check_foreign_keys() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        for connection in [dir.library().unwrap(), dir.journal_connection().unwrap()] {
            let text = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
            let number = |name: &str| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
            assert_eq!(text("journal_mode").unwrap(), "wal");
            assert_eq!(number("synchronous").unwrap(), 2);
            assert_eq!(number("foreign_keys").unwrap(), 1);
            assert_eq!(number("busy_timeout").unwrap(), 5000);
        }
    }
}

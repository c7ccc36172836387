//! Puts logged rows into a `journal.db`: each behind the row before it, once. Must never leave a transaction open, and
//! never write a row over another.

use super::rows::{Decoder, Malformed};
use crate::chain::{Chain, Row};
use crate::sqlite::failure::{Stage, journal_error};
use crate::sqlite::files::JOURNAL;
use crate::sqlite::open_error::OpenError;
use hashbrown::HashMap;
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::JournalError;
use rusqlite::{Connection, OptionalExtension};
use std::path::Path;

const INSERT: &str =
    "INSERT INTO journal (event_id, seq, epoch, at, kind, body, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const END: &str = "SELECT seq FROM journal WHERE event_id = ?1 ORDER BY seq DESC LIMIT 1";
const STORED: &str = "SELECT epoch, chain FROM journal WHERE event_id = ?1 AND seq = ?2";
/// Stores an epoch: with the first row that carries it, or at an orderly end.
pub(in crate::sqlite) const RAISE_LEASE: &str = "INSERT INTO leases (event_id, epoch) VALUES (?1, ?2)
    ON CONFLICT (event_id) DO UPDATE SET epoch = max(epoch, excluded.epoch)";
/// Rows may come with an epoch that an older copy of the leases does not know.
const RAISE_LEASES: &str = "UPDATE leases SET epoch = (SELECT journal.epoch FROM journal
        WHERE journal.event_id = leases.event_id ORDER BY journal.seq DESC LIMIT 1)
    WHERE epoch < (SELECT journal.epoch FROM journal
        WHERE journal.event_id = leases.event_id ORDER BY journal.seq DESC LIMIT 1)";

/// Why rows were not stored.
#[derive(Debug, thiserror::Error)]
pub(in crate::sqlite) enum StoreError {
    /// SQLite returned an error.
    #[error("{error}")]
    Database { error: rusqlite::Error, stage: Stage },
    /// Rows between are missing.
    #[error("of event {event}, the journal ends at seq {} and the log goes on at {}", end.0, next.0)]
    Gap { event: EventId, end: Seq, next: Seq },
    /// Another row is stored in that place.
    #[error("of event {event}, the journal and the log have different rows at seq {}", seq.0)]
    Differs { event: EventId, seq: Seq },
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database { error, stage: Stage::Work }
    }
}

impl StoreError {
    /// What it means when the directory is opened; `log` is the log's file.
    pub(in crate::sqlite) fn at_open(self, dir: &Path, log: &Path) -> OpenError {
        match self {
            Self::Database { error: source, .. } => OpenError::Database { path: dir.join(JOURNAL), source },
            Self::Gap { .. } | Self::Differs { .. } => {
                OpenError::LogUnfit { path: dir.join(JOURNAL), reason: self.to_string() }
            }
            Self::Malformed(_) => OpenError::LogDamaged { path: log.to_owned(), reason: self.to_string() },
        }
    }

    /// What it means for those who append.
    pub(super) fn as_journal_error(&self) -> JournalError {
        match self {
            Self::Database { error, stage } => journal_error(error, *stage),
            Self::Gap { .. } | Self::Differs { .. } | Self::Malformed(_) => JournalError::Fatal(self.to_string()),
        }
    }
}

/// See the module.
pub(in crate::sqlite) struct Store {
    connection: Connection,
    /// Where journals end; forgotten after any failure.
    ends: HashMap<EventId, Seq>,
    /// The epochs of their last rows, which leases are not behind; forgotten with them.
    epochs: HashMap<EventId, Epoch>,
}

impl Store {
    /// Stores into that `journal.db`, of which this must be the only writer of rows.
    pub(in crate::sqlite) fn new(connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(16);
        Self { connection, ends: HashMap::new(), epochs: HashMap::new() }
    }

    /// Stores the rows of payloads, in one synced transaction. Rows that are stored already are skipped.
    pub(in crate::sqlite) fn store<'a>(
        &mut self,
        payloads: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), StoreError> {
        let stored = self.begin().map_err(StoreError::from).and_then(|()| {
            for payload in payloads {
                self.insert(payload)?;
            }
            self.run("COMMIT").map_err(|error| StoreError::Database { error, stage: Stage::Commit })
        });
        if stored.is_err() {
            self.ends.clear();
            self.epochs.clear();
            if let Err(error) = self.roll_back() {
                tracing::error!(%error, "a failed checkpoint transaction could not be rolled back; that is tried again before the next");
            }
        }
        stored
    }

    /// No lease is behind the rows of its event.
    pub(in crate::sqlite) fn raise_leases(&self) -> rusqlite::Result<()> {
        self.run(RAISE_LEASES)
    }

    /// The connection, with no transaction open.
    pub(in crate::sqlite) fn into_connection(self) -> Connection {
        self.connection
    }

    /// Closes the file, with all in it.
    pub(in crate::sqlite) fn close(self) -> rusqlite::Result<()> {
        self.connection.close().map_err(|(_, error)| error)
    }

    /// Lets the file grow to so many pages.
    pub(super) fn limit_pages(&self, pages: u32) -> rusqlite::Result<()> {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |_| Ok(()))
    }

    fn begin(&self) -> rusqlite::Result<()> {
        self.roll_back()?;
        self.run("BEGIN IMMEDIATE")
    }

    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn insert(&mut self, payload: &[u8]) -> Result<(), StoreError> {
        let mut insert = self.connection.prepare_cached(INSERT)?;
        for logged in Decoder::new(payload) {
            let (row, chain) = logged?;
            let end = match self.ends.get(&row.event) {
                Some(end) => *end,
                None => self.end(row.event)?,
            };
            if row.seq <= end {
                self.ends.insert(row.event, end);
                self.compare(&row, chain)?;
                continue;
            }
            if row.seq != end.next() {
                return Err(StoreError::Gap { event: row.event, end, next: row.seq });
            }
            insert.raw_bind_parameter(1, &row.event.0.as_bytes()[..])?;
            insert.raw_bind_parameter(2, row.seq.0.cast_signed())?;
            insert.raw_bind_parameter(3, row.epoch.0.cast_signed())?;
            insert.raw_bind_parameter(4, row.at.0)?;
            insert.raw_bind_parameter(5, row.kind)?;
            insert.raw_bind_parameter(6, row.body)?;
            insert.raw_bind_parameter(7, &chain.0[..])?;
            insert.raw_execute()?;
            self.ends.insert(row.event, row.seq);
            if self.epochs.insert(row.event, row.epoch) != Some(row.epoch) {
                let lease = (row.event.0.as_bytes(), row.epoch.0.cast_signed());
                self.connection.prepare_cached(RAISE_LEASE)?.execute(lease)?;
            }
        }
        Ok(())
    }

    fn end(&self, event: EventId) -> rusqlite::Result<Seq> {
        let mut statement = self.connection.prepare_cached(END)?;
        let last = statement.query_row([event.0.as_bytes()], |row| row.get::<_, i64>(0)).optional()?;
        Ok(Seq(last.unwrap_or(0).cast_unsigned()))
    }

    fn compare(&self, row: &Row<'_>, chain: Chain) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(STORED)?;
        let stored = statement.query_row((row.event.0.as_bytes(), row.seq.0.cast_signed()), |stored| {
            Ok((Epoch(stored.get::<_, i64>(0)?.cast_unsigned()), Chain(stored.get(1)?)))
        });
        if stored.optional()? == Some((row.epoch, chain)) {
            return Ok(());
        }
        Err(StoreError::Differs { event: row.event, seq: row.seq })
    }
}

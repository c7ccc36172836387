//! The writing side of the journal: links what may be appended of a batch to the chain and commits it to the log. Owns the
//! chain's heads and the epochs while it lives; must never write to `journal.db`, nor decide what may be appended.

use super::commit_log::{CommitLog, Disk, OwnDisk, RAISE_LEASE, Sizes, Store, for_checkpointing};
use super::data_dir::DataDir;
use super::failure::{Stage, journal_error};
use super::open_error::OpenError;
use crate::append::{Head, StoredJournal, accept};
use crate::chain::{Chain, ChainKey};
use crate::stored::encode_body_into;
use hashbrown::{HashMap, HashSet};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use rusqlite::{Connection, OptionalExtension};
use std::sync::Arc;

const HEAD: &str = "SELECT seq, chain, epoch FROM journal WHERE event_id = ?1 ORDER BY seq DESC LIMIT 1";
const STORED: &str = "SELECT epoch, chain FROM journal WHERE event_id = ?1 AND seq = ?2";
const LEASE: &str = "SELECT epoch FROM leases WHERE event_id = ?1";

/// The journal of a data directory. See the module.
pub struct SqliteJournal {
    /// To look up what is stored.
    connection: Connection,
    log: CommitLog,
    key: ChainKey,
    /// The bytes that are hashed, in a buffer that is used again and again.
    scratch: Vec<u8>,
    /// The committed head of every event that was looked up or written to since the opening. Nobody else writes to the
    /// directory, so they are never read again: a commit must not wait for what the checkpointer writes.
    heads: HashMap<EventId, Head>,
    /// Events whose epoch was raised since the opening.
    raised: HashSet<EventId>,
    dir: DataDir,
}

impl SqliteJournal {
    /// Opens the journal for writing; there is one writer at a time.
    ///
    /// # Errors
    /// [`OpenError::Writing`], [`OpenError::Database`]; the log of an earlier writer is recovered first, with its errors.
    pub fn open(dir: &DataDir) -> Result<Self, OpenError> {
        Self::open_with(dir, Sizes::JOURNAL)
    }

    pub(super) fn open_with(dir: &DataDir, sizes: Sizes) -> Result<Self, OpenError> {
        Self::open_on(Arc::new(OwnDisk), dir, sizes)
    }

    pub(super) fn open_on(disk: Arc<dyn Disk>, dir: &DataDir, sizes: Sizes) -> Result<Self, OpenError> {
        let writing = dir.backlog().begin().ok_or_else(|| OpenError::Writing { path: dir.path().to_owned() })?;
        dir.recover()?;
        let (connection, checkpointers) = (dir.journal_connection()?, dir.journal_connection()?);
        if sizes.keeps_reserve {
            dir.reserve().keep();
        }
        let reserve = sizes.keeps_reserve.then(|| Arc::clone(dir.reserve()));
        for_checkpointing(&checkpointers)
            .map_err(|source| OpenError::Database { path: dir.path().to_owned(), source })?;
        connection.set_prepared_statement_cache_capacity(16);
        let log = CommitLog::start(
            disk,
            (dir.path(), dir.chain_key().log().clone(), sizes),
            (dir.backlog(), writing),
            (Store::new(checkpointers), reserve),
        );
        let log = log.map_err(|source| OpenError::File { path: dir.path().to_owned(), source })?;
        Ok(Self {
            connection,
            log,
            key: dir.chain_key().clone(),
            scratch: Vec::new(),
            heads: HashMap::new(),
            raised: HashSet::new(),
            dir: dir.clone(),
        })
    }

    /// Lets `journal.db` grow to this many pages and no further, as a disk would that is full then; for tests.
    #[doc(hidden)]
    pub fn limit_pages(&mut self, pages: u32) {
        self.dir.backlog().limit_pages(pages);
    }

    /// How many pages the file has; for tests.
    ///
    /// # Errors
    /// As SQLite says.
    #[doc(hidden)]
    pub fn pages(&self) -> rusqlite::Result<u32> {
        self.connection.pragma_query_value(None, "page_count", |row| row.get(0))
    }

    /// Pauses the checkpointer, so that commits stay in the log, or lets it go on; for tests.
    #[doc(hidden)]
    pub fn pause_checkpointer(&self, paused: bool) {
        self.dir.backlog().pause(paused);
    }

    /// As on a file system that refuses direct writes.
    #[cfg(test)]
    pub(super) fn write_through_the_cache(&mut self) {
        self.log.write_through_the_cache();
    }

    fn stored_head(&self, event: EventId) -> rusqlite::Result<Head> {
        let id = event.0.as_bytes();
        let lease = self.connection.prepare_cached(LEASE)?.query_row([id], |row| row.get::<_, i64>(0)).optional()?;
        let lease = Epoch(lease.unwrap_or(0).cast_unsigned());
        let last = self.connection.prepare_cached(HEAD)?.query_row([id], |row| {
            let (seq, epoch) = (row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, i64>(2)?.cast_unsigned());
            Ok((Seq(seq), Chain(row.get(1)?), Epoch(epoch)))
        });
        let genesis = || (Seq(0), self.key.genesis(event), Epoch(0));
        let (seq, chain, written) = last.optional()?.unwrap_or_else(genesis);
        Ok(Head { lease: lease.max(written), seq, chain })
    }

    fn stored_entry(&self, event: EventId, seq: Seq) -> rusqlite::Result<Option<(Epoch, Chain)>> {
        let mut statement = self.connection.prepare_cached(STORED)?;
        let found = statement.query_row((event.0.as_bytes(), seq.0.cast_signed()), |row| {
            Ok((Epoch(row.get::<_, i64>(0)?.cast_unsigned()), Chain(row.get(1)?)))
        });
        found.optional()
    }

    fn keep_epochs(&self) -> rusqlite::Result<()> {
        let transaction = self.connection.unchecked_transaction()?;
        for event in &self.raised {
            if let Some(head) = self.heads.get(event) {
                let mut raise = transaction.prepare_cached(RAISE_LEASE)?;
                raise.execute((event.0.as_bytes(), head.lease.0.cast_signed()))?;
            }
        }
        transaction.commit()
    }
}

impl StoredJournal for SqliteJournal {
    type Error = JournalError;

    fn key(&self) -> &ChainKey {
        &self.key
    }

    /// One that is not known yet was not appended to since the opening, so all of its rows are in `journal.db`, and reading
    /// them waits for no lock.
    fn head(&mut self, event: EventId) -> Result<Head, JournalError> {
        if let Some(head) = self.heads.get(&event) {
            return Ok(*head);
        }
        let head = self.stored_head(event).map_err(|error| journal_error(&error, Stage::Work))?;
        self.heads.insert(event, head);
        Ok(head)
    }

    /// Waits until everything that was appended is in `journal.db`, where it is read.
    fn stored(&mut self, event: EventId, seq: Seq) -> Result<Option<(Epoch, Chain)>, JournalError> {
        self.dir.backlog().wait_flushed().map_err(JournalError::NotDone)?;
        self.stored_entry(event, seq).map_err(|error| journal_error(&error, Stage::Work))
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        self.log.check()?;
        let mut accepted = accept(batch, self)?;
        let Self { log, key, scratch, .. } = self;
        log.begin();
        accepted.write_new(batch, |previous, event, entry| {
            log.push(
                (event, entry.seq, entry.epoch, entry.at),
                |body| encode_body_into(entry, body).number(),
                |row| key.next(previous, row, scratch),
            )
        });
        log.commit()?;
        let mut fenced = Vec::new();
        for of in accepted.events {
            if of.is_fenced {
                fenced.push(of.event);
            } else {
                self.heads.insert(of.event, of.head);
            }
        }
        Ok(Appended { fenced })
    }

    /// In memory alone: the directory is locked for this process, so the only owners to be fenced are its own earlier
    /// actors. An epoch becomes durable with the first row that carries it; one that no row carries may be given again.
    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        let mut head = self.head(event)?;
        head.lease = Epoch(head.lease.0 + 1);
        self.heads.insert(event, head);
        self.raised.insert(event);
        Ok(head.lease)
    }

    fn on_fatal(&mut self, call: Arc<dyn Fn(&str) + Send + Sync>) {
        self.dir.backlog().on_fatal(call);
    }
}

impl Drop for SqliteJournal {
    /// Writes down the epochs that no row may carry, so that those of an orderly end are not given again.
    fn drop(&mut self) {
        if let Err(error) = self.keep_epochs() {
            tracing::warn!(%error, "the epochs of this process were not all written down; its rows carry those that matter");
        }
    }
}

//! The writing side of the journal on SQLite: one connection, one transaction a batch, synced on commit. Owns the
//! chain's heads while it lives; must never leave a transaction open, and never say "done" before the sync.

use super::checkpoint::{Checkpointer, Limits};
use super::data_dir::{DataDir, OpenError};
use super::failure::{Stage, journal_error};
use super::log_space::LogSpace;
use crate::chain::{Chain, ChainKey, Row};
use crate::stored::encode_fact_into;
use hashbrown::HashMap;
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use onsale_engine::sale::Entry;
use rusqlite::{Connection, OptionalExtension};

const INSERT: &str =
    "INSERT INTO journal (event_id, seq, epoch, at, kind, body, chain) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const HEAD: &str = "SELECT seq, chain FROM journal WHERE event_id = ?1 ORDER BY seq DESC LIMIT 1";
const STORED: &str = "SELECT epoch, chain FROM journal WHERE event_id = ?1 AND seq = ?2";
const LEASE: &str = "SELECT epoch FROM leases WHERE event_id = ?1";
const RAISE: &str = "INSERT INTO leases (event_id, epoch) VALUES (?1, 1)
    ON CONFLICT (event_id) DO UPDATE SET epoch = epoch + 1 RETURNING epoch";
/// What a row takes in the log beside its body: key, numbers, chain, and the tree's own bytes.
const ROW_OVERHEAD_BYTES: u64 = 100;

/// The end of an event's journal, and who may add to it.
#[derive(Clone, Copy, Debug)]
struct Head {
    lease: Epoch,
    seq: Seq,
    chain: Chain,
}

/// An event within a batch.
struct Line {
    event: EventId,
    /// What is stored before the batch.
    stored: Seq,
    /// The end of what has been taken from the batch.
    head: Head,
    fenced: bool,
}

/// The journal of a data directory. See the module.
pub struct SqliteJournal {
    connection: Connection,
    checkpointer: Checkpointer,
    log_space: LogSpace,
    linker: Linker,
    /// Committed heads; forgotten after any failure, so that the next batch finds out what is stored.
    heads: HashMap<EventId, Head>,
    _dir: DataDir,
}

/// Makes stored rows of entries, in buffers that are used again and again.
struct Linker {
    key: ChainKey,
    /// The body of the entry linked last.
    body: Vec<u8>,
    scratch: Vec<u8>,
}

impl Linker {
    /// Encodes an entry's fact into `body`; answers its kind and the chain after it.
    fn link(&mut self, previous: &Chain, event: EventId, entry: &Entry) -> (u8, Chain) {
        self.body.clear();
        let kind = encode_fact_into(&entry.fact, &mut self.body).number();
        let row = Row { event, seq: entry.seq, epoch: entry.epoch, at: entry.at, kind, body: &self.body };
        (kind, self.key.next(previous, &row, &mut self.scratch))
    }
}

impl SqliteJournal {
    /// Opens the journal for writing; there must be one writer at a time.
    ///
    /// # Errors
    /// [`OpenError::Database`].
    pub fn open(dir: &DataDir) -> Result<Self, OpenError> {
        let connection = dir.journal_connection()?;
        let failed = |source| OpenError::Database { path: dir.path().to_owned(), source };
        connection.pragma_update(None, "wal_autocheckpoint", 0).map_err(failed)?;
        connection.set_prepared_statement_cache_capacity(16);
        let checkpointer = Checkpointer::start(dir.journal_connection()?, Limits::JOURNAL).map_err(failed)?;
        Ok(Self {
            connection,
            checkpointer,
            log_space: LogSpace::new(dir.journal_log(), Limits::JOURNAL.usual_bytes()),
            linker: Linker { key: dir.chain_key().clone(), body: Vec::new(), scratch: Vec::new() },
            heads: HashMap::new(),
            _dir: dir.clone(),
        })
    }

    /// Lets the file grow to this many pages and no further, as a disk would that is full then; for tests.
    ///
    /// # Errors
    /// As SQLite says.
    #[doc(hidden)]
    pub fn limit_pages(&mut self, pages: u32) -> rusqlite::Result<u32> {
        self.connection.pragma_update_and_check(None, "max_page_count", pages, |row| row.get(0))
    }

    /// How many pages the file has; for tests.
    ///
    /// # Errors
    /// As SQLite says.
    #[doc(hidden)]
    pub fn pages(&self) -> rusqlite::Result<u32> {
        self.connection.pragma_query_value(None, "page_count", |row| row.get(0))
    }

    /// Runs `work` in a transaction and commits it. On any error it is rolled back and nothing is remembered.
    fn transact<T>(&mut self, work: impl FnOnce(&mut Self) -> rusqlite::Result<T>) -> Result<T, JournalError> {
        let done = self.begin().and_then(|()| work(self));
        let failed = match done {
            Ok(value) => match self.run("COMMIT") {
                Ok(()) => return Ok(value),
                Err(error) => journal_error(&error, Stage::Commit),
            },
            Err(error) => journal_error(&error, Stage::Work),
        };
        self.heads.clear();
        if let Err(error) = self.roll_back() {
            tracing::error!(%error, "a failed batch could not be rolled back; it is tried again before the next");
        }
        Err(failed)
    }

    fn begin(&mut self) -> rusqlite::Result<()> {
        self.roll_back()?;
        self.run("BEGIN IMMEDIATE")
    }

    /// Ends a transaction that SQLite has not already rolled back itself.
    fn roll_back(&self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() { Ok(()) } else { self.run("ROLLBACK") }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }

    fn head(&self, event: EventId) -> rusqlite::Result<Head> {
        if let Some(head) = self.heads.get(&event) {
            return Ok(*head);
        }
        let id = event.0.as_bytes();
        let lease = self.connection.prepare_cached(LEASE)?.query_row([id], |row| row.get::<_, i64>(0)).optional()?;
        let lease = Epoch(lease.unwrap_or(0).cast_unsigned());
        let last = self
            .connection
            .prepare_cached(HEAD)?
            .query_row([id], |row| Ok((Seq(row.get::<_, i64>(0)?.cast_unsigned()), Chain(row.get(1)?))));
        let (seq, chain) = last.optional()?.unwrap_or_else(|| (Seq(0), self.linker.key.genesis(event)));
        Ok(Head { lease, seq, chain })
    }

    /// The events of a batch, with those fenced that may not be written: by another epoch, or because what is stored
    /// at a position is not ours, or because entries are missing. Each entry is given the number of its line.
    fn admit(&mut self, batch: &[JournalEntry]) -> rusqlite::Result<(Vec<Line>, Vec<u32>)> {
        let mut lines: Vec<Line> = Vec::new();
        let mut numbers: HashMap<EventId, u32> = HashMap::new();
        let mut line_of = Vec::with_capacity(batch.len());
        for JournalEntry { event, entry } in batch {
            let number = match line_of.last() {
                Some(number) if lines[*number as usize].event == *event => *number,
                _ => match numbers.get(event) {
                    Some(number) => *number,
                    None => {
                        let head = self.head(*event)?;
                        lines.push(Line { event: *event, stored: head.seq, head, fenced: false });
                        let number = lines.len() as u32 - 1;
                        numbers.insert(*event, number);
                        number
                    }
                },
            };
            line_of.push(number);
            let line = &mut lines[number as usize];
            if line.fenced {
                continue;
            }
            if entry.seq <= line.stored {
                line.fenced = !self.is_stored(*event, entry)?;
            } else if entry.seq == line.head.seq.next() && entry.epoch == line.head.lease {
                line.head.seq = entry.seq;
            } else {
                line.fenced = true;
            }
        }
        for line in &mut lines {
            line.head.seq = line.stored;
        }
        Ok((lines, line_of))
    }

    /// Whether exactly this entry is stored already: a batch that was repeated because its answer was lost.
    fn is_stored(&mut self, event: EventId, entry: &Entry) -> rusqlite::Result<bool> {
        let previous = match entry.seq {
            Seq(0) => return Ok(false),
            Seq(1) => self.linker.key.genesis(event),
            seq => match self.stored(event, Seq(seq.0 - 1))? {
                Some((_, chain)) => chain,
                None => return Ok(false),
            },
        };
        let (_, chain) = self.linker.link(&previous, event, entry);
        Ok(self.stored(event, entry.seq)? == Some((entry.epoch, chain)))
    }

    fn stored(&self, event: EventId, seq: Seq) -> rusqlite::Result<Option<(Epoch, Chain)>> {
        let mut statement = self.connection.prepare_cached(STORED)?;
        let found = statement.query_row((event.0.as_bytes(), seq.0.cast_signed()), |row| {
            Ok((Epoch(row.get::<_, i64>(0)?.cast_unsigned()), Chain(row.get(1)?)))
        });
        found.optional()
    }

    /// Writes what is new of the lines that are not fenced; answers about how many bytes.
    fn insert(&mut self, batch: &[JournalEntry], lines: &mut [Line], line_of: &[u32]) -> rusqlite::Result<u64> {
        let mut bytes = 0;
        let mut statement = self.connection.prepare_cached(INSERT)?;
        for (JournalEntry { event, entry }, number) in batch.iter().zip(line_of) {
            let line = &mut lines[*number as usize];
            if line.fenced || entry.seq <= line.stored {
                continue;
            }
            let (kind, chain) = self.linker.link(&line.head.chain, *event, entry);
            statement.raw_bind_parameter(1, &event.0.as_bytes()[..])?;
            statement.raw_bind_parameter(2, entry.seq.0.cast_signed())?;
            statement.raw_bind_parameter(3, entry.epoch.0.cast_signed())?;
            statement.raw_bind_parameter(4, entry.at.0)?;
            statement.raw_bind_parameter(5, kind)?;
            statement.raw_bind_parameter(6, &self.linker.body[..])?;
            statement.raw_bind_parameter(7, &chain.0[..])?;
            statement.raw_execute()?;
            line.head.seq = entry.seq;
            line.head.chain = chain;
            bytes += self.linker.body.len() as u64 + ROW_OVERHEAD_BYTES;
        }
        Ok(bytes)
    }
}

impl Journal for SqliteJournal {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        self.checkpointer.make_room(&self.connection);
        self.log_space.keep_ahead();
        let (lines, bytes) = self.transact(|journal| {
            let (mut lines, line_of) = journal.admit(batch)?;
            let bytes = journal.insert(batch, &mut lines, &line_of)?;
            Ok((lines, bytes))
        })?;
        self.checkpointer.appended(bytes);
        let mut fenced = Vec::new();
        for line in lines {
            if line.fenced {
                self.heads.remove(&line.event);
                fenced.push(line.event);
            } else {
                self.heads.insert(line.event, line.head);
            }
        }
        Ok(Appended { fenced })
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        let epoch = self.transact(|journal| {
            let mut statement = journal.connection.prepare_cached(RAISE)?;
            statement.query_row([event.0.as_bytes()], |row| row.get::<_, i64>(0))
        })?;
        self.heads.remove(&event);
        Ok(Epoch(epoch.cast_unsigned()))
    }
}

//! The reading side of the journal on SQLite, and the snapshots. Everything that it hands out has been checked against
//! the chain; must never hold a read open for long, because the WAL cannot restart meanwhile.

use super::audit;
use super::data_dir::DataDir;
use super::open_error::OpenError;
use super::read_only::ReadOnly;
use crate::chain::Chain;
use crate::evidence::{Evidence, ProjectedRows};
use crate::journal_cursor::{JournalCursor, Kept, KeptSummary, StoredRow};
use crate::stored::{encode_snapshot, encode_summary};
use hashbrown::HashMap;
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{JournalReader, Plans, ReadError, StoreError};
use onsale_engine::sale::{Entry, SaleSnapshot, SaleSummary};
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, OptionalExtension};
use std::sync::Arc;
use uuid::Uuid;

/// Rows read at a time: few enough that their memory is used again, and not freed and cleared again.
const CHUNK: i64 = 1024;
/// Snapshots kept of each event: the newest, and one to fall back to.
const SNAPSHOTS_KEPT: i64 = 2;

/// Seeks the next event's first row instead of reading all rows.
const EVENTS: &str = "WITH RECURSIVE found (id) AS (
        SELECT min(event_id) FROM main.journal
        UNION ALL
        SELECT (SELECT min(event_id) FROM main.journal WHERE event_id > found.id) FROM found WHERE found.id IS NOT NULL)
    SELECT id FROM found WHERE id IS NOT NULL UNION SELECT event_id FROM leases ORDER BY 1";
const ROWS: &str = "SELECT seq, epoch, at, kind, body, chain FROM journal
    WHERE event_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3";
const CHAIN: &str = "SELECT chain FROM journal WHERE event_id = ?1 AND seq = ?2";
/// Covered by the index `journal_by_operators`, whose condition they repeat word for word; the kinds are those of facts that
/// administrators order.
const BY_OPERATORS: &str = "SELECT seq FROM journal INDEXED BY journal_by_operators
    WHERE event_id = ?1 AND (kind = 1 OR kind = 21 OR kind = 22 OR kind = 23 OR kind = 31
        OR kind = 32 OR kind = 33 OR kind = 35 OR kind = 36)
    ORDER BY seq DESC LIMIT ?2 OFFSET ?3";
/// The same where the journal is a view over the file and the commit log's rows, which has no index of its own.
const LOGGED_BY_OPERATORS: &str = "SELECT seq FROM journal
    WHERE event_id = ?1 AND (kind = 1 OR kind = 21 OR kind = 22 OR kind = 23 OR kind = 31
        OR kind = 32 OR kind = 33 OR kind = 35 OR kind = 36)
    ORDER BY seq DESC LIMIT ?2 OFFSET ?3";
const COUNT_LOGGED_BY_OPERATORS: &str = "SELECT count(*) FROM journal
    WHERE event_id = ?1 AND (kind = 1 OR kind = 21 OR kind = 22 OR kind = 23 OR kind = 31
        OR kind = 32 OR kind = 33 OR kind = 35 OR kind = 36)";
/// Events that only the commit log has rows of.
const LOGGED_EVENTS: &str = "SELECT DISTINCT event_id FROM logged";
const COUNT_BY_OPERATORS: &str = "SELECT count(*) FROM journal INDEXED BY journal_by_operators
    WHERE event_id = ?1 AND (kind = 1 OR kind = 21 OR kind = 22 OR kind = 23 OR kind = 31
        OR kind = 32 OR kind = 33 OR kind = 35 OR kind = 36)";
const SNAPSHOTS: &str = "SELECT seq, chain, checksum, body FROM snapshots WHERE event_id = ?1 ORDER BY seq DESC";
const KEEP: &str =
    "INSERT OR REPLACE INTO snapshots (event_id, seq, chain, checksum, body) VALUES (?1, ?2, ?3, ?4, ?5)";
const FORGET: &str = "DELETE FROM snapshots WHERE event_id = ?1 AND seq NOT IN
    (SELECT seq FROM snapshots WHERE event_id = ?1 ORDER BY seq DESC LIMIT ?2)";
const SUMMARIES: &str = "SELECT event_id, seq, epoch, chain, checksum, body FROM summaries";
const KEEP_SUMMARY: &str = "INSERT OR REPLACE INTO summaries (event_id, seq, epoch, chain, checksum, body)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
/// Seeks each event's last row instead of reading all rows.
const ENDS: &str = "WITH RECURSIVE found (id) AS (
        SELECT min(event_id) FROM journal
        UNION ALL
        SELECT (SELECT min(event_id) FROM journal WHERE event_id > found.id) FROM found WHERE found.id IS NOT NULL)
    SELECT id, (SELECT chain FROM journal WHERE event_id = id ORDER BY seq DESC LIMIT 1)
    FROM found WHERE id IS NOT NULL";

/// Reads the journal of a data directory; several reads may run at the same time. See the module.
pub struct SqliteReader {
    dir: DataDir,
    plans: Arc<dyn Plans>,
    /// Connections to the journal that nobody uses.
    idle: Mutex<Vec<Connection>>,
    snapshots: Mutex<Connection>,
}

/// What an error of SQLite means at that row: bytes that make no sense, or a storage that does not answer.
fn failed(cursor: &JournalCursor, error: &rusqlite::Error) -> ReadError {
    if is_damage(error) { cursor.damaged(error.to_string()) } else { unavailable(error) }
}

fn is_damage(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) | None)
}

fn unavailable(error: &rusqlite::Error) -> ReadError {
    ReadError::Unavailable(error.to_string())
}

impl SqliteReader {
    /// Opens the journal for reading; `plans` finds the halls that facts name.
    ///
    /// # Errors
    /// [`OpenError::Database`].
    pub fn open(dir: &DataDir, plans: Arc<dyn Plans>) -> Result<Self, OpenError> {
        let (idle, snapshots) = (Mutex::new(vec![dir.journal_connection()?]), Mutex::new(dir.snapshots_connection()?));
        Ok(Self { dir: dir.clone(), plans, idle, snapshots })
    }

    /// Waits until everything that was committed before is in the file that is read.
    fn wait_flushed(&self) -> Result<(), ReadError> {
        self.dir.backlog().wait_flushed().map_err(ReadError::Unavailable)
    }

    /// Whether the journal is read together with rows that only the commit log has.
    fn has_logged_rows(&self) -> bool {
        self.dir.read_only().is_some_and(ReadOnly::has_log)
    }

    /// Uses a connection to the journal that nobody else uses meanwhile.
    fn with_journal<T>(&self, read: impl FnOnce(&Connection) -> Result<T, ReadError>) -> Result<T, ReadError> {
        let idle = self.idle.lock().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => self.dir.journal_connection().map_err(|error| ReadError::Unavailable(error.to_string()))?,
        };
        let done = read(&connection);
        self.idle.lock().push(connection);
        done
    }

    /// The snapshots of an event whose checksum is right, the newest first.
    fn kept(&self, event: EventId) -> Result<Vec<Kept>, ReadError> {
        let connection = self.snapshots.lock();
        let read = || -> rusqlite::Result<Vec<Kept>> {
            let mut statement = connection.prepare_cached(SNAPSHOTS)?;
            let mut rows = statement.query([event.0.as_bytes()])?;
            let mut kept = Vec::new();
            while let Some(row) = rows.next()? {
                let seq = Seq(row.get::<_, i64>(0)?.cast_unsigned());
                let (chain, checksum, body): (Vec<u8>, Vec<u8>, Vec<u8>) = (row.get(1)?, row.get(2)?, row.get(3)?);
                kept.extend(Kept::check(self.dir.chain_key(), event, seq, (&chain, &checksum, body)));
            }
            Ok(kept)
        };
        match read() {
            Ok(kept) => Ok(kept),
            Err(error) if is_damage(&error) => {
                tracing::warn!(event_id = %event, %error, "the snapshots are damaged and skipped");
                Ok(Vec::new())
            }
            Err(error) => Err(unavailable(&error)),
        }
    }

    /// Every summary that is whole, with the journal's chain where it was kept.
    fn kept_summaries(&self) -> Result<Vec<(EventId, Chain, SaleSummary)>, ReadError> {
        let connection = self.snapshots.lock();
        let read = || -> rusqlite::Result<Vec<(EventId, Chain, SaleSummary)>> {
            let mut statement = connection.prepare_cached(SUMMARIES)?;
            let (mut rows, mut kept) = (statement.query([])?, Vec::new());
            while let Some(row) = rows.next()? {
                let event = EventId(Uuid::from_bytes(row.get(0)?));
                let (seq, epoch) = (row.get(1)?, row.get(2)?);
                let blob = |column: usize| row.get_ref(column)?.as_blob().map_err(rusqlite::Error::from);
                let (chain, checksum, body) = (blob(3)?, blob(4)?, blob(5)?);
                let stored = KeptSummary { event, seq, epoch, chain, checksum, body };
                kept.extend(stored.check(self.dir.chain_key()).map(|(chain, summary)| (event, chain, summary)));
            }
            Ok(kept)
        };
        match read() {
            Err(error) if is_damage(&error) => {
                tracing::warn!(%error, "the summaries are damaged and skipped");
                Ok(Vec::new())
            }
            read => read.map_err(|error| unavailable(&error)),
        }
    }

    /// The journal's chain at the end of every event.
    fn ends(&self) -> Result<HashMap<EventId, Chain>, ReadError> {
        self.with_journal(|connection| {
            let read = || -> rusqlite::Result<HashMap<EventId, Chain>> {
                let mut statement = connection.prepare_cached(ENDS)?;
                let rows = statement.query_map([], |row| {
                    Ok((EventId(Uuid::from_bytes(row.get(0)?)), row.get::<_, [u8; 32]>(1).ok().map(Chain)))
                })?;
                let ends = rows.filter_map(|row| row.map(|(event, chain)| Some((event, chain?))).transpose());
                ends.collect()
            };
            read().map_err(|error| unavailable(&error))
        })
    }

    fn stored_chain(&self, event: EventId, seq: Seq) -> Result<Option<Chain>, ReadError> {
        if seq == Seq(0) {
            return Ok(Some(self.dir.chain_key().genesis(event)));
        }
        self.with_journal(|connection| {
            let read = || -> rusqlite::Result<Option<Vec<u8>>> {
                let mut statement = connection.prepare_cached(CHAIN)?;
                statement.query_row((event.0.as_bytes(), seq.0.cast_signed()), |row| row.get(0)).optional()
            };
            let cursor = JournalCursor::before(event, Seq(seq.0.saturating_sub(1)));
            let stored = read().map_err(|error| failed(&cursor, &error))?;
            stored
                .map(|bytes| Chain::from_slice(&bytes).ok_or_else(|| cursor.damaged("its chain has no length")))
                .transpose()
        })
    }

    /// Checks every row after `after` and hands it to `each`; answers how many there were.
    fn read_checked(&self, event: EventId, after: Seq, each: &mut dyn FnMut(Entry)) -> Result<u64, ReadError> {
        let anchors = self.kept(event)?;
        let mut cursor = JournalCursor::start(event, after, self.stored_chain(event, after)?, &anchors)?;
        let mut entries = Vec::new();
        while self.chunk(&mut cursor, &anchors, &mut entries, each)? {}
        cursor.finish(&anchors)
    }

    /// One row, its chain checked against the row before it.
    fn one(&self, event: EventId, seq: Seq) -> Result<Entry, ReadError> {
        let before = Seq(seq.0.saturating_sub(1));
        let mut cursor = JournalCursor::start(event, before, self.stored_chain(event, before)?, &[])?;
        self.with_journal(|connection| {
            let mut statement = connection.prepare_cached(ROWS).map_err(|error| unavailable(&error))?;
            let mut rows = statement
                .query((event.0.as_bytes(), before.0.cast_signed(), 1))
                .map_err(|error| unavailable(&error))?;
            let row = rows.next().map_err(|error| failed(&cursor, &error))?;
            self.row(
                &mut cursor,
                row.ok_or_else(|| JournalCursor::before(event, before).damaged("it is missing"))?,
                &[],
            )
        })
    }

    /// Takes the next rows; false when there are no more. What is done with them begins when the read is over: a
    /// projection takes its time, and as long as a read is open the log only grows.
    fn chunk(
        &self,
        cursor: &mut JournalCursor,
        anchors: &[Kept],
        entries: &mut Vec<Entry>,
        each: &mut dyn FnMut(Entry),
    ) -> Result<bool, ReadError> {
        let read = self.read_chunk(cursor, anchors, entries);
        entries.drain(..).for_each(each);
        read
    }

    fn read_chunk(
        &self,
        cursor: &mut JournalCursor,
        anchors: &[Kept],
        entries: &mut Vec<Entry>,
    ) -> Result<bool, ReadError> {
        self.with_journal(|connection| {
            let mut statement = connection.prepare_cached(ROWS).map_err(|error| unavailable(&error))?;
            let of = (cursor.event.0.as_bytes(), cursor.seq.0.cast_signed(), CHUNK);
            let mut rows = statement.query(of).map_err(|error| unavailable(&error))?;
            while let Some(row) = rows.next().map_err(|error| failed(cursor, &error))? {
                entries.push(self.row(cursor, row, anchors)?);
            }
            Ok(entries.len() == CHUNK as usize)
        })
    }

    /// Checks and decodes the row that must follow.
    fn row(&self, cursor: &mut JournalCursor, row: &rusqlite::Row<'_>, anchors: &[Kept]) -> Result<Entry, ReadError> {
        let number = |column: usize| row.get::<_, i64>(column).map_err(|error| failed(cursor, &error));
        let blob = |column: usize| {
            let value = row.get_ref(column).map_err(|error| failed(cursor, &error))?;
            value.as_blob().map_err(|error| cursor.damaged(error.to_string()))
        };
        let (seq, epoch, at, kind) = (number(0)?, number(1)?, number(2)?, number(3)?);
        let stored = StoredRow { seq, epoch, at, kind, body: blob(4)?, chain: blob(5)? };
        cursor.take(&stored, self.dir.chain_key(), &*self.plans, anchors)
    }
}

impl Evidence for SqliteReader {
    fn chain_at(&self, event: EventId, seq: Seq) -> Result<Option<Chain>, ReadError> {
        self.wait_flushed()?;
        self.stored_chain(event, seq)
    }

    fn projected_rows(&self, event: EventId) -> Result<ProjectedRows, StoreError> {
        audit::projected_rows(&self.dir, event)
    }
}

impl JournalReader for SqliteReader {
    fn events(&self) -> Result<Vec<EventId>, ReadError> {
        self.wait_flushed()?;
        self.with_journal(|connection| {
            let read = |sql: &str| -> rusqlite::Result<Vec<EventId>> {
                let mut statement = connection.prepare_cached(sql)?;
                let ids = statement.query_map([], |row| row.get::<_, [u8; 16]>(0))?;
                ids.map(|id| id.map(|id| EventId(Uuid::from_bytes(id)))).collect()
            };
            let mut events = read(EVENTS).map_err(|error| unavailable(&error))?;
            if self.has_logged_rows() {
                events.extend(read(LOGGED_EVENTS).map_err(|error| unavailable(&error))?);
                events.sort_unstable();
                events.dedup();
            }
            Ok(events)
        })
    }

    fn snapshot(&self, event: EventId) -> Result<Option<SaleSnapshot>, ReadError> {
        self.wait_flushed()?;
        for kept in self.kept(event)? {
            // Damage at that row is for the replay to report; here it is only not used.
            let stands = match self.stored_chain(event, kept.seq) {
                Ok(stored) => stored == Some(kept.chain),
                Err(ReadError::Damaged { .. }) => false,
                Err(error @ ReadError::Unavailable(_)) => return Err(error),
            };
            if !stands {
                tracing::warn!(event_id = %event, seq = kept.seq.0, "a snapshot does not fit the journal and is skipped");
                continue;
            }
            if let Some(snapshot) = kept.snapshot(event, &*self.plans)? {
                return Ok(Some(snapshot));
            }
        }
        Ok(None)
    }

    fn replay(&self, event: EventId, after: Seq, each: &mut dyn FnMut(Entry)) -> Result<(), ReadError> {
        self.wait_flushed()?;
        self.read_checked(event, after, each).map(|_| ())
    }

    fn verify(&self, event: EventId) -> Result<u64, ReadError> {
        self.wait_flushed()?;
        self.read_checked(event, Seq(0), &mut |_| ())
    }

    fn by_operators(&self, event: EventId, skip: u64, limit: u64) -> Result<(Vec<Entry>, u64), ReadError> {
        self.wait_flushed()?;
        let (page, count) = if self.has_logged_rows() {
            (LOGGED_BY_OPERATORS, COUNT_LOGGED_BY_OPERATORS)
        } else {
            (BY_OPERATORS, COUNT_BY_OPERATORS)
        };
        let (seqs, total) = self.with_journal(|connection| {
            let read = || -> rusqlite::Result<(Vec<Seq>, u64)> {
                let id = event.0.as_bytes();
                let mut statement = connection.prepare_cached(page)?;
                let seqs = statement.query_map((id, limit.cast_signed(), skip.cast_signed()), |row| {
                    Ok(Seq(row.get::<_, i64>(0)?.cast_unsigned()))
                })?;
                let seqs = seqs.collect::<rusqlite::Result<_>>()?;
                let mut statement = connection.prepare_cached(count)?;
                Ok((seqs, statement.query_row([id], |row| row.get::<_, i64>(0))?.cast_unsigned()))
            };
            read().map_err(|error| unavailable(&error))
        })?;
        Ok((seqs.into_iter().map(|seq| self.one(event, seq)).collect::<Result<_, _>>()?, total))
    }

    fn entries(&self, event: EventId, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        self.wait_flushed()?;
        seqs.iter().map(|seq| self.one(event, *seq)).collect()
    }

    fn keep_snapshot(&self, event: EventId, snapshot: &SaleSnapshot) -> Result<(), ReadError> {
        self.wait_flushed()?;
        let not_committed = || ReadError::Unavailable("the journal does not reach the snapshot".to_owned());
        let chain = self.stored_chain(event, snapshot.seq)?.ok_or_else(not_committed)?;
        let body = encode_snapshot(snapshot);
        let checksum = self.dir.chain_key().snapshot(event, snapshot.seq, &chain, &body);
        let mut connection = self.snapshots.lock();
        let keep = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction()?;
            let id = event.0.as_bytes();
            transaction.execute(KEEP, (id, snapshot.seq.0.cast_signed(), &chain.0[..], &checksum[..], &body))?;
            transaction.execute(FORGET, (id, SNAPSHOTS_KEPT))?;
            transaction.commit()
        };
        keep(&mut connection).map_err(|error| unavailable(&error))
    }

    /// One process has the directory, so nobody else can have raised an epoch: the chain at the end says it all.
    fn summaries(&self) -> Result<Vec<(EventId, SaleSummary)>, ReadError> {
        self.wait_flushed()?;
        let kept = self.kept_summaries()?;
        if kept.is_empty() {
            return Ok(Vec::new());
        }
        let ends = self.ends()?;
        let stands = |(event, chain, summary): (EventId, Chain, SaleSummary)| {
            (ends.get(&event) == Some(&chain)).then_some((event, summary))
        };
        Ok(kept.into_iter().filter_map(stands).collect())
    }

    fn keep_summary(&self, event: EventId, epoch: Epoch, summary: &SaleSummary) -> Result<(), ReadError> {
        self.wait_flushed()?;
        let not_committed = || ReadError::Unavailable("the journal does not reach the summary".to_owned());
        let chain = self.stored_chain(event, summary.seq)?.ok_or_else(not_committed)?;
        let body = encode_summary(summary);
        let checksum = self.dir.chain_key().summary(event, summary.seq, epoch, &chain, &body);
        let (seq, epoch) = (summary.seq.0.cast_signed(), epoch.0.cast_signed());
        let row = (event.0.as_bytes(), seq, epoch, &chain.0[..], &checksum[..], &body);
        let kept = self.snapshots.lock().execute(KEEP_SUMMARY, row);
        kept.map(drop).map_err(|error| unavailable(&error))
    }
}

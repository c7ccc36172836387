//! The reading side of the journal on Postgres, and the snapshots. Everything that it hands out has been checked
//! against the chain. Has connections of its own, as many as there are reads at the same time.

use super::audit;
use super::connect::Connector;
use super::database::{OpenError, Postgres};
use super::failure::unavailable;
use super::session::Session;
use crate::chain::Chain;
use crate::evidence::{Evidence, ProjectedRows};
use crate::journal_cursor::{JournalCursor, Kept, KeptSummary, StoredRow};
use crate::stored::{encode_snapshot, encode_summary};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{JournalReader, Plans, ReadError, StoreError};
use onsale_engine::sale::{Entry, SaleSnapshot, SaleSummary};
use parking_lot::Mutex;
use std::sync::Arc;
use tokio_postgres::{Error, Row};

/// Rows read at a time.
const CHUNK: i64 = 4096;
/// Snapshots kept of each event: the newest, and one to fall back to.
const SNAPSHOTS_KEPT: i64 = 2;

/// Seeks the next event's first row instead of reading all rows.
const EVENTS: &str = "WITH RECURSIVE found (id) AS (
        (SELECT event_id FROM journal ORDER BY event_id LIMIT 1)
        UNION ALL
        SELECT (SELECT event_id FROM journal WHERE event_id > found.id ORDER BY event_id LIMIT 1)
        FROM found WHERE found.id IS NOT NULL)
    SELECT id FROM found WHERE id IS NOT NULL UNION SELECT event_id FROM leases ORDER BY 1";
const ROWS: &str = "SELECT seq, epoch, at, kind, body, chain FROM journal
    WHERE event_id = $1 AND seq > $2 ORDER BY seq LIMIT $3";
const CHAIN: &str = "SELECT chain FROM journal WHERE event_id = $1 AND seq = $2";
/// Covered by the index `journal_by_operators`; the kinds are those of facts that administrators order.
const BY_OPERATORS: &str = "SELECT seq FROM journal
    WHERE event_id = $1 AND kind IN (1, 21, 22, 23, 31, 32, 33, 35, 36) ORDER BY seq DESC LIMIT $2 OFFSET $3";
const COUNT_BY_OPERATORS: &str =
    "SELECT count(*) FROM journal WHERE event_id = $1 AND kind IN (1, 21, 22, 23, 31, 32, 33, 35, 36)";
const SNAPSHOTS: &str = "SELECT seq, chain, checksum, body FROM snapshots WHERE event_id = $1 ORDER BY seq DESC";
const KEEP: &str = "WITH forgotten AS (
        DELETE FROM snapshots WHERE event_id = $1 AND seq NOT IN
            (SELECT seq FROM snapshots WHERE event_id = $1 AND seq <> $2 ORDER BY seq DESC LIMIT $6) AND seq <> $2)
    INSERT INTO snapshots (event_id, seq, chain, checksum, body) VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (event_id, seq) DO UPDATE
    SET chain = excluded.chain, checksum = excluded.checksum, body = excluded.body";
/// Those that stand: the journal ends where they were kept, and nobody has raised the epoch since.
const SUMMARIES: &str = "SELECT kept.event_id, kept.seq, kept.epoch, kept.chain, kept.checksum, kept.body
    FROM summaries AS kept
    JOIN leases ON leases.event_id = kept.event_id AND leases.epoch = kept.epoch
    JOIN LATERAL (SELECT seq, chain FROM journal WHERE event_id = kept.event_id ORDER BY seq DESC LIMIT 1) AS last
        ON last.seq = kept.seq AND last.chain = kept.chain";
const KEEP_SUMMARY: &str = "INSERT INTO summaries (event_id, seq, epoch, chain, checksum, body)
    VALUES ($1, $2, $3, $4, $5, $6)
    ON CONFLICT (event_id) DO UPDATE SET seq = excluded.seq, epoch = excluded.epoch, chain = excluded.chain,
        checksum = excluded.checksum, body = excluded.body";

/// Reads the journal of a database; several reads may run at the same time. See the module.
pub struct PostgresReader {
    database: Postgres,
    connector: Connector,
    plans: Arc<dyn Plans>,
    /// Connections that nobody uses.
    idle: Mutex<Vec<Session>>,
}

impl PostgresReader {
    /// The journal of `database` for reading; `plans` finds the halls that facts name.
    ///
    /// # Errors
    /// [`OpenError::Url`].
    pub fn open(database: &Postgres, plans: Arc<dyn Plans>) -> Result<Self, OpenError> {
        let connector = database.connector("reader", &[])?;
        Ok(Self { database: database.clone(), connector, plans, idle: Mutex::default() })
    }

    /// Uses a connection that nobody else uses meanwhile.
    fn with_session<T>(&self, read: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, ReadError> {
        self.database.wait(async {
            let idle = self.idle.lock().pop();
            let session = match idle.filter(|session| !session.is_broken()) {
                Some(session) => session,
                None => {
                    let connected = self.connector.connect().await;
                    connected.map_err(|error| ReadError::Unavailable(error.to_string()))?
                }
            };
            let done = read(&session).await.map_err(|error| unavailable(&error));
            if !session.is_broken() {
                self.idle.lock().push(session);
            }
            done
        })
    }

    /// The snapshots of an event whose checksum is right, the newest first.
    fn kept(&self, event: EventId) -> Result<Vec<Kept>, ReadError> {
        let rows = self.with_session(async |session| session.query(SNAPSHOTS, &[&event.0]).await)?;
        let kept = rows.iter().filter_map(|row| {
            let seq = Seq(row.get::<_, i64>(0).cast_unsigned());
            Kept::check(&self.database.inner.chain_key, event, seq, (row.get(1), row.get(2), row.get(3)))
        });
        Ok(kept.collect())
    }

    pub(super) fn stored_chain(&self, event: EventId, seq: Seq) -> Result<Option<Chain>, ReadError> {
        if seq == Seq(0) {
            return Ok(Some(self.database.inner.chain_key.genesis(event)));
        }
        let place = seq.0.cast_signed();
        let rows = self.with_session(async |session| session.query(CHAIN, &[&event.0, &place]).await)?;
        let Some(row) = rows.first() else { return Ok(None) };
        let before = JournalCursor::before(event, Seq(seq.0.saturating_sub(1)));
        Chain::from_slice(row.get(0)).map(Some).ok_or_else(|| before.damaged("its chain has no length"))
    }

    /// Checks every row after `after` and hands it to `each`; answers how many there were.
    fn read_checked(&self, event: EventId, after: Seq, each: &mut dyn FnMut(Entry)) -> Result<u64, ReadError> {
        let anchors = self.kept(event)?;
        let mut cursor = JournalCursor::start(event, after, self.stored_chain(event, after)?, &anchors)?;
        loop {
            let last = cursor.seq.0.cast_signed();
            let rows = self.with_session(async |session| session.query(ROWS, &[&event.0, &last, &CHUNK]).await)?;
            for row in &rows {
                each(cursor.take(&stored(row), &self.database.inner.chain_key, &*self.plans, &anchors)?);
            }
            if (rows.len() as i64) < CHUNK {
                return cursor.finish(&anchors);
            }
        }
    }

    /// One row, its chain checked against the row before it.
    fn one(&self, event: EventId, seq: Seq) -> Result<Entry, ReadError> {
        let before = Seq(seq.0.saturating_sub(1));
        let mut cursor = JournalCursor::start(event, before, self.stored_chain(event, before)?, &[])?;
        let last = before.0.cast_signed();
        let rows = self.with_session(async |session| session.query(ROWS, &[&event.0, &last, &1_i64]).await)?;
        let row = rows.first().ok_or_else(|| JournalCursor::before(event, before).damaged("it is missing"))?;
        cursor.take(&stored(row), &self.database.inner.chain_key, &*self.plans, &[])
    }
}

fn stored(row: &Row) -> StoredRow<'_> {
    let kind = i64::from(row.get::<_, i16>(3));
    StoredRow { seq: row.get(0), epoch: row.get(1), at: row.get(2), kind, body: row.get(4), chain: row.get(5) }
}

impl Evidence for PostgresReader {
    fn chain_at(&self, event: EventId, seq: Seq) -> Result<Option<Chain>, ReadError> {
        self.stored_chain(event, seq)
    }

    fn projected_rows(&self, event: EventId) -> Result<ProjectedRows, StoreError> {
        let rows = self.with_session(async |session| Ok(audit::projected_rows(session, event).await));
        Ok(rows.map_err(|error| StoreError(error.to_string()))??)
    }
}

impl JournalReader for PostgresReader {
    fn events(&self) -> Result<Vec<EventId>, ReadError> {
        let rows = self.with_session(async |session| session.query(EVENTS, &[]).await)?;
        Ok(rows.iter().map(|row| EventId(row.get(0))).collect())
    }

    fn snapshot(&self, event: EventId) -> Result<Option<SaleSnapshot>, ReadError> {
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
        self.read_checked(event, after, each).map(|_| ())
    }

    fn verify(&self, event: EventId) -> Result<u64, ReadError> {
        self.read_checked(event, Seq(0), &mut |_| ())
    }

    fn by_operators(&self, event: EventId, skip: u64, limit: u64) -> Result<(Vec<Entry>, u64), ReadError> {
        let (skip, limit) = (skip.cast_signed(), limit.cast_signed());
        let (rows, total) = self.with_session(async |session| {
            let rows = session.query(BY_OPERATORS, &[&event.0, &limit, &skip]).await?;
            let total = session.query(COUNT_BY_OPERATORS, &[&event.0]).await?;
            Ok((rows, total))
        })?;
        let entry = |row: &Row| self.one(event, Seq(row.get::<_, i64>(0).cast_unsigned()));
        let total = total.first().map_or(0, |row| row.get::<_, i64>(0).cast_unsigned());
        Ok((rows.iter().map(entry).collect::<Result<_, _>>()?, total))
    }

    fn entries(&self, event: EventId, seqs: &[Seq]) -> Result<Vec<Entry>, ReadError> {
        seqs.iter().map(|seq| self.one(event, *seq)).collect()
    }

    fn keep_snapshot(&self, event: EventId, snapshot: &SaleSnapshot) -> Result<(), ReadError> {
        let not_committed = || ReadError::Unavailable("the journal does not reach the snapshot".to_owned());
        let chain = self.stored_chain(event, snapshot.seq)?.ok_or_else(not_committed)?;
        let body = encode_snapshot(snapshot);
        let checksum = self.database.inner.chain_key.snapshot(event, snapshot.seq, &chain, &body);
        let (place, others) = (snapshot.seq.0.cast_signed(), SNAPSHOTS_KEPT - 1);
        self.with_session(async |session| {
            let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&event.0, &place, &&chain.0[..], &&checksum[..], &body, &others];
            session.execute(KEEP, &row).await
        })?;
        Ok(())
    }

    fn summaries(&self) -> Result<Vec<(EventId, SaleSummary)>, ReadError> {
        let rows = self.with_session(async |session| session.query(SUMMARIES, &[]).await)?;
        let summaries = rows.iter().filter_map(|row| {
            let event = EventId(row.get(0));
            let (seq, epoch) = (row.get(1), row.get(2));
            let stored = KeptSummary { event, seq, epoch, chain: row.get(3), checksum: row.get(4), body: row.get(5) };
            stored.check(&self.database.inner.chain_key).map(|(_, summary)| (event, summary))
        });
        Ok(summaries.collect())
    }

    fn keep_summary(&self, event: EventId, epoch: Epoch, summary: &SaleSummary) -> Result<(), ReadError> {
        let not_committed = || ReadError::Unavailable("the journal does not reach the summary".to_owned());
        let chain = self.stored_chain(event, summary.seq)?.ok_or_else(not_committed)?;
        let body = encode_summary(summary);
        let checksum = self.database.inner.chain_key.summary(event, summary.seq, epoch, &chain, &body);
        let (seq, epoch) = (summary.seq.0.cast_signed(), epoch.0.cast_signed());
        self.with_session(async |session| {
            let row: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
                [&event.0, &seq, &epoch, &&chain.0[..], &&checksum[..], &body];
            session.execute(KEEP_SUMMARY, &row).await
        })?;
        Ok(())
    }
}

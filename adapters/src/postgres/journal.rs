//! The writing side of the journal on Postgres: one connection of its own, one statement a batch, which commits by
//! itself. The statement joins the leases, locked against those who would raise an epoch meanwhile, and is answered by how
//! many rows it wrote; only if that is not all of them, it is asked which. Owns the chain's heads while it lives; must
//! never say "done" before the server has.

use super::connect::Connector;
use super::database::{OpenError, Postgres};
use super::failure::journal_error;
use super::session::{Params, Session};
use crate::append::{Accepted, Head, StoredJournal, accept};
use crate::chain::{Chain, ChainKey, Row};
use crate::stored::encode_body_into;
use hashbrown::{HashMap, HashSet};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use onsale_engine::sale::Entry;
use std::convert::Infallible;
use std::future::Future;
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Error, Row as DatabaseRow};
use uuid::Uuid;

/// How often a batch is compared with what is stored because a row of it was there already.
const TRIES: u32 = 3;

/// A lease is locked until the batch is committed, so that who raises its epoch meanwhile waits and then sees the batch.
/// A row that is there already undoes the statement: a search for each of them would cost every batch a second record in
/// the write-ahead log for each row.
const INSERT: &str = "WITH held AS MATERIALIZED (
        SELECT event_id, epoch FROM leases WHERE event_id = ANY ($1) ORDER BY event_id FOR SHARE)
    INSERT INTO journal (event_id, seq, epoch, at, kind, body, chain)
    SELECT b.event_id, b.seq, b.epoch, b.at, b.kind, b.body, b.chain
    FROM UNNEST ($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[], $8::bytea[])
        AS b (event_id, seq, epoch, at, kind, body, chain)
    JOIN held ON held.event_id = b.event_id AND held.epoch = b.epoch";
const HEADS: &str = "SELECT asked.id, leases.epoch, head.seq, head.chain
    FROM UNNEST ($1::uuid[]) AS asked (id)
    LEFT JOIN leases ON leases.event_id = asked.id
    LEFT JOIN LATERAL (
        SELECT seq, chain FROM journal WHERE event_id = asked.id ORDER BY seq DESC LIMIT 1) AS head ON true";
const STORED: &str = "SELECT journal.event_id, journal.seq, journal.epoch, journal.chain
    FROM UNNEST ($1::uuid[], $2::bigint[], $3::bigint[]) AS asked (id, first, last)
    JOIN journal ON journal.event_id = asked.id AND journal.seq BETWEEN asked.first AND asked.last";
const RAISE: &str = "WITH me AS MATERIALIZED (SELECT id FROM nodes WHERE id = $2 AND active FOR KEY SHARE)
    INSERT INTO leases (event_id, epoch, node) SELECT asked.id, 1, me.id FROM me, UNNEST ($1::uuid[]) AS asked (id)
    ORDER BY asked.id
    ON CONFLICT (event_id) DO UPDATE SET epoch = leases.epoch + 1, node = excluded.node
    RETURNING event_id, epoch";

/// The journal of a database. See the module.
pub struct PostgresJournal {
    database: Postgres,
    /// Drives the connection on the thread that waits for it: no other thread has to be woken for a batch.
    runtime: Option<Runtime>,
    connector: Connector,
    session: Option<Session>,
    key: ChainKey,
    /// Committed heads; forgotten after any failure, so that the next batch finds out what is stored.
    heads: HashMap<EventId, Head>,
    rows: Rows,
}

/// The columns of a batch, in buffers that are used again and again.
#[derive(Default)]
struct Rows {
    leases: Vec<Uuid>,
    events: Vec<Uuid>,
    seqs: Vec<i64>,
    epochs: Vec<i64>,
    ats: Vec<i64>,
    kinds: Vec<i16>,
    /// All bodies, one after the other, and where each begins.
    bodies: Vec<u8>,
    starts: Vec<usize>,
    chains: Vec<[u8; 32]>,
    scratch: Vec<u8>,
}

impl Rows {
    fn clear(&mut self) {
        self.leases.clear();
        self.events.clear();
        self.seqs.clear();
        self.epochs.clear();
        self.ats.clear();
        self.kinds.clear();
        self.bodies.clear();
        self.starts.clear();
        self.chains.clear();
    }

    /// Encodes an entry behind `previous`; answers the chain after it.
    fn push(&mut self, key: &ChainKey, previous: &Chain, event: EventId, entry: &Entry) -> Chain {
        let start = self.bodies.len();
        let kind = encode_body_into(entry, &mut self.bodies).number();
        let row = Row { event, seq: entry.seq, epoch: entry.epoch, at: entry.at, kind, body: &self.bodies[start..] };
        let chain = key.next(previous, &row, &mut self.scratch);
        self.events.push(event.0);
        self.seqs.push(entry.seq.0.cast_signed());
        self.epochs.push(entry.epoch.0.cast_signed());
        self.ats.push(entry.at.0);
        self.kinds.push(i16::from(kind));
        self.starts.push(start);
        self.chains.push(chain.0);
        chain
    }

    fn bodies(&self) -> Vec<&[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.bodies.len()]);
        self.starts.iter().zip(ends).map(|(start, end)| &self.bodies[*start..end]).collect()
    }
}

/// Why a statement was not done.
struct Failed {
    error: JournalError,
    /// A row is there already.
    is_taken: bool,
}

impl From<JournalError> for Failed {
    fn from(error: JournalError) -> Self {
        Self { error, is_taken: false }
    }
}

impl Drop for PostgresJournal {
    fn drop(&mut self) {
        // May happen on a thread of another runtime, where nothing may block.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// What the journal has at the places that a batch asks for.
type StoredRows = HashMap<(EventId, Seq), (Epoch, Chain)>;

/// What was found out of a batch's events before it is decided what may be appended.
struct Found<'a> {
    key: &'a ChainKey,
    heads: &'a HashMap<EventId, Head>,
    rows: StoredRows,
}

impl StoredJournal for Found<'_> {
    type Error = Infallible;

    fn key(&self) -> &ChainKey {
        self.key
    }

    fn head(&mut self, event: EventId) -> Result<Head, Infallible> {
        let nothing = || Head { lease: Epoch(0), seq: Seq(0), chain: self.key.genesis(event) };
        Ok(self.heads.get(&event).copied().unwrap_or_else(nothing))
    }

    fn stored(&mut self, event: EventId, seq: Seq) -> Result<Option<(Epoch, Chain)>, Infallible> {
        Ok(self.rows.get(&(event, seq)).copied())
    }
}

/// Places of events: from the one before the first on.
type Spans = HashMap<EventId, (u64, u64)>;

/// The places of those entries of a batch that are `wanted`.
fn spans(batch: &[JournalEntry], wanted: impl Fn(EventId, Seq) -> bool) -> Spans {
    let mut spans = Spans::new();
    for JournalEntry { event, entry } in batch.iter().filter(|one| wanted(one.event, one.entry.seq)) {
        let (before, seq) = (entry.seq.0.saturating_sub(1), entry.seq.0);
        let span = spans.entry(*event).or_insert((before, seq));
        *span = (span.0.min(before), span.1.max(seq));
    }
    spans
}

impl PostgresJournal {
    /// The journal of `database`; there must be one writer in a process. It must not be used on a tokio worker.
    ///
    /// # Errors
    /// [`OpenError::Url`], [`OpenError::Thread`].
    pub fn open(database: &Postgres) -> Result<Self, OpenError> {
        // Whatever the server's own setting: a commit that is answered is on its disk.
        let settings = [("synchronous_commit", "on".into())];
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let connector = database.connector_on(runtime.handle().clone(), "journal", &settings)?;
        Ok(Self {
            database: database.clone(),
            runtime: Some(runtime),
            connector,
            session: None,
            key: database.inner.chain_key.clone(),
            heads: HashMap::new(),
            rows: Rows::default(),
        })
    }

    /// Waits on this thread, which drives the connection meanwhile.
    fn wait<F: Future>(&self, future: F) -> F::Output {
        match &self.runtime {
            Some(runtime) => runtime.block_on(future),
            None => self.database.wait(future),
        }
    }

    /// Makes a new connection if the last one has ended.
    fn connected(&mut self) -> Result<(), JournalError> {
        // Nobody has driven it since the last batch: what the server has said meanwhile is read now.
        self.wait(tokio::task::yield_now());
        if self.session.as_ref().is_none_or(Session::is_broken) {
            self.session = None;
            let connected = self.wait(self.connector.connect());
            self.session = Some(connected.map_err(|error| JournalError::NotDone(error.to_string()))?);
        }
        Ok(())
    }

    /// Runs a statement. One that is not answered in time is unknown, and its connection given up.
    fn ask<T>(&mut self, work: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, Failed> {
        let timeout = self.database.inner.settings.journal_timeout;
        self.connected()?;
        let Some(session) = &self.session else { return Err(JournalError::NotDone("no connection".into()).into()) };
        let done = self.wait(async { tokio::time::timeout(timeout, work(session)).await });
        let failed = match done {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => {
                Failed { is_taken: error.code() == Some(&SqlState::UNIQUE_VIOLATION), error: journal_error(&error) }
            }
            Err(_) => JournalError::Unknown(format!("no answer within {} ms", timeout.as_millis())).into(),
        };
        self.heads.clear();
        if session.is_broken() || matches!(failed.error, JournalError::Unknown(_)) {
            self.session = None;
        }
        Err(failed)
    }

    fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<DatabaseRow>, JournalError> {
        self.ask(async |session| session.query(sql, params).await).map_err(|failed| failed.error)
    }

    /// Finds out the heads of events that are not known.
    fn find_heads(&mut self, events: impl Iterator<Item = EventId>) -> Result<(), JournalError> {
        let unknown: HashSet<Uuid> = events.filter(|event| !self.heads.contains_key(event)).map(|id| id.0).collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let unknown: Vec<Uuid> = unknown.into_iter().collect();
        for row in self.query(HEADS, &[&unknown])? {
            let event = EventId(row.get(0));
            let lease = Epoch(row.get::<_, Option<i64>>(1).unwrap_or(0).cast_unsigned());
            let last = row.get::<_, Option<i64>>(2).zip(row.get::<_, Option<&[u8]>>(3).and_then(Chain::from_slice));
            let (seq, chain) = match last {
                Some((seq, chain)) => (Seq(seq.cast_unsigned()), chain),
                None => (Seq(0), self.key.genesis(event)),
            };
            self.heads.insert(event, Head { lease, seq, chain });
        }
        Ok(())
    }

    /// What is stored in these places.
    fn stored(&mut self, spans: &Spans) -> Result<StoredRows, JournalError> {
        if spans.is_empty() {
            return Ok(StoredRows::default());
        }
        let events: Vec<Uuid> = spans.keys().map(|event| event.0).collect();
        let firsts: Vec<i64> = spans.values().map(|span| span.0.cast_signed()).collect();
        let lasts: Vec<i64> = spans.values().map(|span| span.1.cast_signed()).collect();
        let rows = self.query(STORED, &[&events, &firsts, &lasts])?;
        let rows = rows.iter().filter_map(|row| {
            let chain = Chain::from_slice(row.get(3))?;
            let place = (EventId(row.get(0)), Seq(row.get::<_, i64>(1).cast_unsigned()));
            Some((place, (Epoch(row.get::<_, i64>(2).cast_unsigned()), chain)))
        });
        Ok(rows.collect())
    }

    /// What may be appended of a batch.
    fn accept(&mut self, batch: &[JournalEntry]) -> Result<Accepted, JournalError> {
        self.find_heads(batch.iter().map(|one| one.event))?;
        let is_known = |event, seq| self.heads.get(&event).is_some_and(|head| seq <= head.seq);
        let rows = self.stored(&spans(batch, is_known))?;
        let Ok(accepted) = accept(batch, &mut Found { key: &self.key, heads: &self.heads, rows });
        Ok(accepted)
    }

    /// Writes what is new, in one statement, and fences the events that it skipped.
    fn insert(&mut self, batch: &[JournalEntry], accepted: &mut Accepted) -> Result<(), Failed> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        accepted.write_new(batch, |previous, event, entry| rows.push(&self.key, previous, event, entry));
        let all = rows.events.len() as u64;
        if all == 0 {
            self.rows = rows;
            return Ok(());
        }
        rows.leases.extend(accepted.events.iter().map(|of| of.event.0));
        let (bodies, chains) = (rows.bodies(), rows.chains.iter().map(|chain| &chain[..]).collect::<Vec<_>>());
        let columns: Params<'_> =
            &[&rows.leases, &rows.events, &rows.seqs, &rows.epochs, &rows.ats, &rows.kinds, &bodies, &chains];
        let written = self.ask(async |session| session.execute(INSERT, columns).await);
        self.rows = rows;
        if written? == all {
            return Ok(());
        }
        // The rest is in: a failure from here on leaves open what is.
        let rows = self.stored(&spans(batch, |_, _| true)).map_err(|error| match error {
            JournalError::NotDone(reason) => JournalError::Unknown(reason),
            other @ (JournalError::Unknown(_) | JournalError::Elsewhere | JournalError::Fatal(_)) => other,
        })?;
        let Ok(()) = accepted.fence_missing(batch, &mut Found { key: &self.key, heads: &self.heads, rows });
        Ok(())
    }
}

impl Journal for PostgresJournal {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        let mut tries = 0;
        let accepted = loop {
            let mut accepted = self.accept(batch)?;
            match self.insert(batch, &mut accepted) {
                Ok(()) => break accepted,
                // A connection that was given up has come through since: with heads that are asked for again, what it has
                // written is recognised.
                Err(failed) if failed.is_taken && tries < TRIES => tries += 1,
                Err(failed) => return Err(failed.error),
            }
        };
        let mut fenced = Vec::new();
        for of in accepted.events {
            if of.is_fenced {
                self.heads.remove(&of.event);
                fenced.push(of.event);
            } else {
                self.heads.insert(of.event, of.head);
            }
        }
        Ok(Appended { fenced })
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        let raised = self.raise_epochs(&[event])?;
        raised.first().copied().ok_or(JournalError::Elsewhere)
    }

    /// One statement for all: leases of thousands of events, and one commit.
    fn raise_epochs(&mut self, events: &[EventId]) -> Result<Vec<Epoch>, JournalError> {
        for event in events {
            self.heads.remove(event);
        }
        if events.is_empty() {
            return Ok(Vec::new());
        }
        let (node, asked) = (self.database.inner.node, events.iter().map(|event| event.0).collect::<Vec<_>>());
        let rows = self.query(RAISE, &[&asked, &node])?;
        let raised: HashMap<EventId, Epoch> =
            rows.iter().map(|row| (EventId(row.get(0)), Epoch(row.get::<_, i64>(1).cast_unsigned()))).collect();
        let epochs: Option<Vec<Epoch>> = events.iter().map(|event| raised.get(event).copied()).collect();
        let epochs = epochs.ok_or(JournalError::Elsewhere)?;
        self.database.inner.raised.lock().extend(events);
        Ok(epochs)
    }
}

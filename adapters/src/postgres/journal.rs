//! The writing side of the journal on Postgres: one connection of its own, one statement a batch, which commits by
//! itself. The statement joins the leases, locked against whoever would raise an epoch meanwhile: what does not come
//! back was not written. Owns the chain's heads while it lives; must never say "done" before the server has.

use super::connect::Connector;
use super::database::{OpenError, Postgres};
use super::failure::journal_error;
use super::session::{Params, Session};
use crate::chain::{Chain, ChainKey, Row};
use crate::stored::encode_fact_into;
use hashbrown::{HashMap, HashSet};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError};
use onsale_engine::sale::Entry;
use tokio_postgres::Row as Found;
use uuid::Uuid;

/// A lease is locked until the batch is committed, so that who raises its epoch meanwhile waits and then sees the batch.
const INSERT: &str = "WITH held AS MATERIALIZED (
        SELECT event_id, epoch FROM leases WHERE event_id = ANY ($1) ORDER BY event_id FOR SHARE)
    INSERT INTO journal (event_id, seq, epoch, at, kind, body, chain)
    SELECT b.event_id, b.seq, b.epoch, b.at, b.kind, b.body, b.chain
    FROM UNNEST ($2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::smallint[], $7::bytea[], $8::bytea[])
        AS b (event_id, seq, epoch, at, kind, body, chain)
    JOIN held ON held.event_id = b.event_id AND held.epoch = b.epoch
    ON CONFLICT (event_id, seq) DO NOTHING
    RETURNING event_id, seq";
const HEADS: &str = "SELECT asked.id, leases.epoch, head.seq, head.chain
    FROM UNNEST ($1::uuid[]) AS asked (id)
    LEFT JOIN leases ON leases.event_id = asked.id
    LEFT JOIN LATERAL (
        SELECT seq, chain FROM journal WHERE event_id = asked.id ORDER BY seq DESC LIMIT 1) AS head ON true";
const STORED: &str = "SELECT journal.event_id, journal.seq, journal.epoch, journal.chain
    FROM UNNEST ($1::uuid[], $2::bigint[], $3::bigint[]) AS asked (id, first, last)
    JOIN journal ON journal.event_id = asked.id AND journal.seq BETWEEN asked.first AND asked.last";
const RAISE: &str = "WITH me AS MATERIALIZED (SELECT id FROM nodes WHERE id = $2 AND active FOR KEY SHARE)
    INSERT INTO leases (event_id, epoch, node) SELECT $1, 1, id FROM me
    ON CONFLICT (event_id) DO UPDATE SET epoch = leases.epoch + 1, node = excluded.node
    RETURNING epoch";

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

/// The journal of a database. See the module.
pub struct PostgresJournal {
    database: Postgres,
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
        let kind = encode_fact_into(&entry.fact, &mut self.bodies).number();
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

/// What the journal has at the places that a batch asks for.
#[derive(Default)]
struct StoredRows(HashMap<(EventId, Seq), (Epoch, Chain)>);

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
    /// The journal of `database`; there must be one writer in a process.
    ///
    /// # Errors
    /// [`OpenError::Url`].
    pub fn open(database: &Postgres) -> Result<Self, OpenError> {
        // Whatever the server's own setting: a commit that is answered is on its disk.
        let connector = database.connector("journal", &[("synchronous_commit", "on".into())])?;
        Ok(Self {
            database: database.clone(),
            connector,
            session: None,
            key: database.inner.chain_key.clone(),
            heads: HashMap::new(),
            rows: Rows::default(),
        })
    }

    /// Runs a statement, on a new connection if the last one has ended. A statement that is not answered in time is
    /// unknown, and its connection given up.
    fn query(&mut self, sql: &str, params: Params<'_>) -> Result<Vec<Found>, JournalError> {
        let timeout = self.database.inner.settings.journal_timeout;
        let database = self.database.clone();
        if self.session.as_ref().is_none_or(Session::is_broken) {
            self.session = None;
            let connected = database.wait(self.connector.connect());
            self.session = Some(connected.map_err(|error| JournalError::NotDone(error.to_string()))?);
        }
        let Some(session) = &self.session else { return Err(JournalError::NotDone("no connection".into())) };
        let done = database.wait(async { tokio::time::timeout(timeout, session.query(sql, params)).await });
        let failed = match done {
            Ok(Ok(rows)) => return Ok(rows),
            Ok(Err(error)) => journal_error(&error),
            Err(_) => JournalError::Unknown(format!("no answer within {} ms", timeout.as_millis())),
        };
        self.heads.clear();
        if session.is_broken() || matches!(failed, JournalError::Unknown(_)) {
            self.session = None;
        }
        Err(failed)
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
        Ok(StoredRows(rows.collect()))
    }

    /// Whether exactly this entry is stored: a batch that was repeated because its answer was lost.
    fn is_ours(&mut self, stored: &StoredRows, event: EventId, entry: &Entry) -> bool {
        let previous = match entry.seq {
            Seq(0) => return false,
            Seq(1) => self.key.genesis(event),
            seq => match stored.0.get(&(event, Seq(seq.0 - 1))) {
                Some((_, chain)) => *chain,
                None => return false,
            },
        };
        let Some((epoch, chain)) = stored.0.get(&(event, entry.seq)) else { return false };
        self.rows.clear();
        let linked = self.rows.push(&self.key, &previous, event, entry);
        (*epoch, *chain) == (entry.epoch, linked)
    }

    /// The events of a batch, with those fenced that may not be written: by another epoch, or because what is stored
    /// at a position is not ours, or because entries are missing. Each entry is given the number of its line.
    fn admit(&mut self, batch: &[JournalEntry]) -> Result<(Vec<Line>, Vec<u32>), JournalError> {
        self.find_heads(batch.iter().map(|one| one.event))?;
        let is_known = |event, seq| self.heads.get(&event).is_some_and(|head| seq <= head.seq);
        let stored = self.stored(&spans(batch, is_known))?;
        let mut lines: Vec<Line> = Vec::new();
        let mut numbers: HashMap<EventId, u32> = HashMap::new();
        let mut line_of: Vec<u32> = Vec::with_capacity(batch.len());
        for JournalEntry { event, entry } in batch {
            let number = *numbers.entry(*event).or_insert_with(|| {
                let unknown = Head { lease: Epoch(0), seq: Seq(0), chain: self.key.genesis(*event) };
                let head = self.heads.get(event).copied().unwrap_or(unknown);
                lines.push(Line { event: *event, stored: head.seq, head, fenced: false });
                lines.len() as u32 - 1
            });
            line_of.push(number);
            let (known, fenced, next, lease) = {
                let line = &lines[number as usize];
                (line.stored, line.fenced, line.head.seq.next(), line.head.lease)
            };
            if fenced {
                continue;
            }
            if entry.seq <= known {
                lines[number as usize].fenced = !self.is_ours(&stored, *event, entry);
            } else if entry.seq == next && entry.epoch == lease {
                lines[number as usize].head.seq = entry.seq;
            } else {
                lines[number as usize].fenced = true;
            }
        }
        for line in &mut lines {
            line.head.seq = line.stored;
        }
        Ok((lines, line_of))
    }

    /// Writes what is new of the lines that are not fenced, in one statement, and fences those that it passed over.
    fn insert(&mut self, batch: &[JournalEntry], lines: &mut [Line], line_of: &[u32]) -> Result<(), JournalError> {
        let mut rows = std::mem::take(&mut self.rows);
        rows.clear();
        for (JournalEntry { event, entry }, number) in batch.iter().zip(line_of) {
            let line = &mut lines[*number as usize];
            if line.fenced || entry.seq <= line.stored {
                continue;
            }
            line.head.chain = rows.push(&self.key, &line.head.chain, *event, entry);
            line.head.seq = entry.seq;
        }
        if rows.events.is_empty() {
            self.rows = rows;
            return Ok(());
        }
        rows.leases.extend(lines.iter().map(|line| line.event.0));
        let (bodies, chains) = (rows.bodies(), rows.chains.iter().map(|chain| &chain[..]).collect::<Vec<_>>());
        let columns: Params<'_> =
            &[&rows.leases, &rows.events, &rows.seqs, &rows.epochs, &rows.ats, &rows.kinds, &bodies, &chains];
        let written = self.query(INSERT, columns);
        let all = rows.events.len();
        self.rows = rows;
        let written = written?;
        if written.len() == all {
            return Ok(());
        }
        let written: HashSet<(EventId, Seq)> =
            written.iter().map(|row| (EventId(row.get(0)), Seq(row.get::<_, i64>(1).cast_unsigned()))).collect();
        // What did not come back was fenced, or is there since a connection that was given up has come through.
        let missing = |line: &Line, seq: Seq| seq > line.stored && !written.contains(&(line.event, seq));
        let doubted: HashSet<EventId> = batch
            .iter()
            .zip(line_of)
            .map(|(one, number)| (one, &lines[*number as usize]))
            .filter(|(one, line)| !line.fenced && missing(line, one.entry.seq))
            .map(|(one, _)| one.event)
            .collect();
        let stored = self.stored(&spans(batch, |event, _| doubted.contains(&event)))?;
        for (JournalEntry { event, entry }, number) in batch.iter().zip(line_of) {
            if doubted.contains(event) && !lines[*number as usize].fenced {
                lines[*number as usize].fenced = !self.is_ours(&stored, *event, entry);
            }
        }
        Ok(())
    }
}

impl Journal for PostgresJournal {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        let (mut lines, line_of) = self.admit(batch)?;
        self.insert(batch, &mut lines, &line_of)?;
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
        self.heads.remove(&event);
        let node = self.database.inner.node;
        let rows = self.query(RAISE, &[&event.0, &node])?;
        let row = rows.first().ok_or(JournalError::Elsewhere)?;
        self.database.inner.raised.lock().insert(event);
        Ok(Epoch(row.get::<_, i64>(0).cast_unsigned()))
    }
}

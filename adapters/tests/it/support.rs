//! What the journal's and the projections' suites share: a storage that can be opened again, and entries to put in.

use onsale_adapters::postgres::{NodeLease, Postgres, PostgresJournal, PostgresReader, Settings};
use onsale_adapters::private_postgres::TestDatabase;
use onsale_adapters::sqlite::{DataDir, SqliteJournal, SqliteReader};
use onsale_engine::fakes::{FakePlans, small_config, small_plan};
use onsale_engine::id::{BuyerId, Epoch, EventId, ReservationId, SeatIndex, Seq};
use onsale_engine::money::Amount;
use onsale_engine::ports::{Appended, Journal, JournalEntry, JournalError, JournalReader};
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::TraceContext;
use std::io::Write;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

/// When the tests' first fact happens.
pub const NOON: Timestamp = Timestamp::from_secs(1_780_000_000);

/// Both sides of a journal.
pub struct Opened {
    pub journal: Box<dyn Journal>,
    pub reader: Arc<dyn JournalReader>,
}

/// Somewhere that a journal lies; opening it again finds what was committed.
pub trait Storage {
    fn open(&self) -> Opened;
}

/// A data directory that goes away with the test.
pub struct Directory(TempDir);

impl Directory {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    pub fn data(&self) -> DataDir {
        DataDir::open(self.0.path()).unwrap()
    }
}

pub fn plans() -> Arc<FakePlans> {
    Arc::new(FakePlans::of(&[small_plan(10, 20)]))
}

impl Storage for Directory {
    fn open(&self) -> Opened {
        let dir = self.data();
        let reader = SqliteReader::open(&dir, plans()).unwrap();
        Opened { journal: Box::new(SqliteJournal::open(&dir).unwrap()), reader: Arc::new(reader) }
    }
}

/// A database that goes away with the test.
pub struct Database(TestDatabase);

impl Database {
    pub fn new() -> Self {
        Self(TestDatabase::create())
    }

    pub fn settings(&self) -> Settings {
        Settings::new(self.0.database_url())
    }

    pub fn open(&self) -> Postgres {
        Postgres::open(self.settings()).unwrap()
    }

    /// Runs statements; rows of columns as text.
    pub fn sql(&self, sql: &str) -> Vec<Vec<String>> {
        let output = self.0.sql(sql);
        output.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect()
    }
}

/// A transaction that holds its locks until it is rolled back.
pub struct Blocker {
    psql: Child,
    input: ChildStdin,
}

impl Blocker {
    pub fn roll_back(mut self) {
        self.input.write_all(b"ROLLBACK;\n").unwrap();
        drop(self.input);
        assert!(self.psql.wait().unwrap().success());
    }
}

impl Database {
    /// Runs a statement in a transaction that stays open.
    pub fn in_transaction(&self, sql: &str) -> Blocker {
        let mut psql = Command::new("psql");
        psql.args(["-X", "-q", "-d", self.0.url()]).stdin(Stdio::piped());
        let mut psql = psql.spawn().unwrap();
        let mut input = psql.stdin.take().unwrap();
        input.write_all(format!("BEGIN;\n{sql};\n").as_bytes()).unwrap();
        self.until(
            "SELECT count(*) FROM pg_stat_activity WHERE state = 'idle in transaction'
            AND datname = current_database()",
            "1",
        );
        Blocker { psql, input }
    }

    /// Runs a query until it answers so.
    pub fn until(&self, sql: &str, expected: &str) {
        self.0.until(sql, expected);
    }
}

/// A node that is active once the one before it is gone.
pub fn active(database: &Postgres) -> NodeLease {
    let lease = NodeLease::register(database).unwrap();
    let started = Instant::now();
    lease.become_active(&|| started.elapsed() > TIMEOUT).unwrap();
    lease
}

/// How long anything may take that is waited for.
pub const TIMEOUT: Duration = Duration::from_secs(30);

/// A journal, and that its node lives as long as it.
struct OfActiveNode {
    journal: PostgresJournal,
    _lease: NodeLease,
}

impl Journal for OfActiveNode {
    fn append(&mut self, batch: &[JournalEntry]) -> Result<Appended, JournalError> {
        self.journal.append(batch)
    }

    fn raise_epoch(&mut self, event: EventId) -> Result<Epoch, JournalError> {
        self.journal.raise_epoch(event)
    }
}

impl Storage for Database {
    fn open(&self) -> Opened {
        let database = self.open();
        let lease = active(&database);
        let reader = PostgresReader::open(&database, plans()).unwrap();
        let journal = OfActiveNode { journal: PostgresJournal::open(&database).unwrap(), _lease: lease };
        Opened { journal: Box::new(journal), reader: Arc::new(reader) }
    }
}

pub fn event(number: u128) -> EventId {
    EventId(Uuid::from_u128(number))
}

/// Two seats held; each number gives other ones.
pub fn held(event: EventId, number: u64) -> Fact {
    let seat = |at: u64| SeatIndex((at % 200) as u32);
    Fact::SeatsHeld {
        reservation: ReservationId::new(event, number, number),
        buyer: BuyerId(Uuid::from_u128(u128::from(number))),
        seats: [seat(number * 2), seat(number * 2 + 1)].into_iter().collect(),
        amount: Amount(300_000),
        expires_at: NOON + Duration::from_secs(300 + number),
        slot: None,
    }
}

/// Every third fact was decided for no request.
pub fn trace(seq: u64) -> Option<TraceContext> {
    let [trace, span] = [seq, !seq].map(|bits| bits.max(1));
    let text = format!("00-{trace:032x}-{span:016x}-{:02x}", seq % 2);
    TraceContext::parse(&text).filter(|_| !seq.is_multiple_of(3))
}

pub fn entry(epoch: Epoch, seq: u64, fact: Fact) -> Entry {
    Entry { seq: Seq(seq), epoch, at: NOON + Duration::from_millis(seq), trace: trace(seq), fact }
}

/// The rules for seq 1, a hold for every other one.
pub fn journal_entry(event: EventId, epoch: Epoch, seq: u64) -> JournalEntry {
    let fact = match seq {
        1 => Fact::Configured {
            config: Arc::new(small_config(NOON)),
            plan: small_plan(10, 20),
            by: BuyerId(Uuid::from_u128(7)),
        },
        _ => held(event, seq),
    };
    JournalEntry { event, entry: entry(epoch, seq, fact) }
}

/// Everything after `after`.
pub fn read(reader: &dyn JournalReader, event: EventId, after: u64) -> Vec<Entry> {
    let mut entries = Vec::new();
    reader.replay(event, Seq(after), &mut |entry| entries.push(entry)).unwrap();
    entries
}

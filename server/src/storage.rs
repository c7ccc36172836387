//! The ports of the storage that is configured: SQLite in a data directory, or Postgres. Owns how long either is waited
//! for at the start; must never be asked while the server serves.

use crate::config::{Config, StorageKind};
use crate::metrics::reporter::open_databases;
use crate::wiring::StartError;
use onsale_adapters::postgres::{
    NodeLease, OpenError as DatabaseError, Postgres, PostgresAccounts, PostgresCatalogue, PostgresJournal,
    PostgresPlans, PostgresProjection, PostgresReader, Settings,
};
use onsale_adapters::sqlite::{
    DataDir, Library, OpenError, SqliteAccounts, SqliteCatalogue, SqliteJournal, SqlitePlans, SqliteProjection,
    SqliteReader, tighten,
};
use onsale_engine::ports::accounts::Accounts;
use onsale_engine::ports::catalogue::Catalogue;
use onsale_engine::ports::records::Records;
use onsale_engine::ports::search::RecordSearch;
use onsale_engine::ports::{Journal, JournalReader, Plans, Projection};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// How long a locked data directory is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const LOCK_ASK_EVERY: Duration = Duration::from_millis(20);
/// How long a database that cannot be reached is waited for.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often it is tried meanwhile.
const DATABASE_ASK_EVERY: Duration = Duration::from_millis(200);

/// Connections of journal, projection and lease, beside the pool's.
const OWN_CONNECTIONS: u64 = 5;

/// The storage's ports.
pub struct Stores {
    /// The journal's writing side.
    pub journal: Box<dyn Journal>,
    /// Its reading side.
    pub reader: Arc<dyn JournalReader>,
    /// What is written behind.
    pub projection: Box<dyn Projection>,
    /// What lists are read from.
    pub records: Arc<dyn Records>,
    /// What operators look up there.
    pub search: Arc<dyn RecordSearch>,
    /// Compiled plans.
    pub plans: Arc<dyn Plans>,
    /// Accounts, sessions, revocations.
    pub accounts: Arc<dyn Accounts>,
    /// Venues, halls, events.
    pub catalogue: Arc<dyn Catalogue>,
    /// That this process is the one that owns the events, where several may have the storage open.
    pub node: Option<NodeLease>,
    /// Whether there is no room held for a start on a full disk.
    pub lacks_reserve: Box<dyn Fn() -> bool + Send + Sync>,
    /// How many connections to the databases are open now.
    pub connections: Box<dyn Fn() -> u64 + Send + Sync>,
}

impl Stores {
    /// Opens what is configured, and waits while another process owns it. Blocks.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn open(config: &Config, draining: &CancellationToken) -> Result<Self, StartError> {
        match (config.storage.kind, config.postgres.settings()) {
            (StorageKind::Embedded, _) => Ok(embedded(&config.storage.path)?),
            (StorageKind::Postgres, Some(settings)) => postgres(settings, draining),
            // The configuration is not read without a URL.
            (StorageKind::Postgres, None) => Err(StartError::Stopped),
        }
    }
}

/// The accounts alone, for a command that does nothing else: a data directory is locked for it, a database may be served
/// meanwhile.
///
/// # Errors
/// See [`StartError`].
pub async fn accounts(config: &Config) -> Result<Arc<dyn Accounts>, StartError> {
    let (kind, path, settings) = (config.storage.kind, config.storage.path.clone(), config.postgres.settings());
    let readers = config.storage.readers();
    // Opening migrates, which must not happen on a worker of the runtime.
    let opened = tokio::task::spawn_blocking(move || match (kind, settings) {
        (StorageKind::Embedded, _) => {
            tighten(&path, readers)?;
            let library = Library::open(&open_dir(&path)?)?;
            Ok(Arc::new(SqliteAccounts::new(library)) as Arc<dyn Accounts>)
        }
        (StorageKind::Postgres, Some(settings)) => {
            let database = open_database(settings, &CancellationToken::new())?;
            Ok(Arc::new(PostgresAccounts::new(&database)) as Arc<dyn Accounts>)
        }
        (StorageKind::Postgres, None) => Err(StartError::Stopped),
    });
    opened.await.map_err(|error| StartError::Thread(std::io::Error::other(error)))?
}

fn embedded(path: &Path) -> Result<Stores, OpenError> {
    let dir = open_dir(path)?;
    let library = Library::open(&dir)?;
    let plans = SqlitePlans::open(&dir)?;
    let shared: Arc<dyn Plans> = Arc::clone(&plans) as Arc<dyn Plans>;
    let (projection, records) = SqliteProjection::open(&dir, Arc::clone(&library), Arc::clone(&shared))?;
    let records = Arc::new(records);
    Ok(Stores {
        journal: Box::new(SqliteJournal::open(&dir)?),
        reader: Arc::new(SqliteReader::open(&dir, Arc::clone(&shared))?),
        projection: Box::new(projection),
        search: Arc::clone(&records) as Arc<dyn RecordSearch>,
        records,
        plans: shared,
        accounts: Arc::new(SqliteAccounts::new(Arc::clone(&library))),
        catalogue: Arc::new(SqliteCatalogue::new(library, plans)),
        node: None,
        lacks_reserve: {
            let reserve = Arc::clone(dir.reserve());
            Box::new(move || reserve.is_missing())
        },
        connections: {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            Box::new(move || open_databases(&path))
        },
    })
}

/// Opens the data directory; a process that is just ending may keep its lock for a moment.
fn open_dir(path: &Path) -> Result<DataDir, OpenError> {
    let since = Instant::now();
    loop {
        match DataDir::open(path) {
            Err(OpenError::Locked { .. }) if since.elapsed() < LOCK_TIMEOUT => std::thread::sleep(LOCK_ASK_EVERY),
            outcome => return outcome,
        }
    }
}

fn postgres(settings: Settings, draining: &CancellationToken) -> Result<Stores, StartError> {
    let database = open_database(settings, draining)?;
    let node = NodeLease::register(&database)?;
    node.become_active(&|| draining.is_cancelled())?;
    let plans = PostgresPlans::new(&database);
    let shared: Arc<dyn Plans> = Arc::clone(&plans) as Arc<dyn Plans>;
    let (projection, records) = PostgresProjection::open(&database, Arc::clone(&shared))?;
    let records = Arc::new(records);
    Ok(Stores {
        journal: Box::new(PostgresJournal::open(&database)?),
        reader: Arc::new(PostgresReader::open(&database, Arc::clone(&shared))?),
        projection: Box::new(projection),
        search: Arc::clone(&records) as Arc<dyn RecordSearch>,
        records,
        plans: shared,
        accounts: Arc::new(PostgresAccounts::new(&database)),
        catalogue: Arc::new(PostgresCatalogue::new(&database, plans)),
        node: Some(node),
        lacks_reserve: Box::new(|| false),
        connections: Box::new(move || u64::from(database.pooled_connections().0) + OWN_CONNECTIONS),
    })
}

/// Opens the database; one that is just starting, or being restarted, is waited for.
fn open_database(settings: Settings, draining: &CancellationToken) -> Result<Postgres, StartError> {
    let since = Instant::now();
    let mut is_logged = false;
    loop {
        match Postgres::open(settings.clone()) {
            Err(DatabaseError::Connect(error)) if since.elapsed() < DATABASE_TIMEOUT => {
                if draining.is_cancelled() {
                    return Err(StartError::Stopped);
                }
                if !std::mem::replace(&mut is_logged, true) {
                    tracing::warn!(%error, "waiting for the database");
                }
                std::thread::sleep(DATABASE_ASK_EVERY);
            }
            outcome => return Ok(outcome?),
        }
    }
}

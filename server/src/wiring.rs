//! Puts the parts together: data directory, ports, engine, secrets, the first administrator, and a sale for every
//! event of the catalogue. Everything here happens before the server is ready; must never run while it serves.

use crate::accounts::{Altcha, PasswordLimits, Passwords, Predecessors, UNNAMED};
use crate::app::App;
use crate::auth::{AccessTokens, Revoked, TokenSigner};
use crate::catalogue::CatalogueCache;
use crate::catalogue::{Venues, catch_up, open_sale};
use crate::config::RedisConfig;
use crate::config::{BootstrapAdmin, Config, PaymentProviderName};
use crate::health::Checks;
use crate::http::Problem;
use crate::http::RouteConflict;
use crate::idempotency::InFlight;
use crate::limits::Limits;
use crate::metrics::HttpMetrics;
use crate::readers::Readers;
use crate::secret;
use crate::security::SecurityLog;
use crate::sharing::Sharing;
use crate::storage::Stores;
use onsale_adapters::breaker::guarded;
use onsale_adapters::postgres::{NodeError, NodeLease, OpenError as DatabaseError};
use onsale_adapters::redis::{Redis, RedisSettings, UrlMistake};
use onsale_adapters::simulated::Simulated;
use onsale_adapters::sqlite::{OpenError, PermissionError, tighten};
use onsale_engine::email::email_key;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::{Account, Accounts, CreateAccountError, EmailHash, Role};
use onsale_engine::ports::catalogue::Catalogue;
use onsale_engine::ports::records::Records;
use onsale_engine::ports::search::RecordSearch;
use onsale_engine::ports::shared::{SharedCache, SharedLimits};
use onsale_engine::ports::{Clock, PaymentProvider, Plans, StoreError};
use onsale_engine::runtime::{Engine, Ports, Settings, StartError as EngineError};
use secrecy::ExposeSecret;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// From where the server itself asks for a hash.
pub(crate) const NOBODY: u128 = 0;
/// How long Redis is waited for at the start.
const REDIS_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Two routes that cannot stand together.
    #[error(transparent)]
    Routes(#[from] RouteConflict),
    /// The data directory could not be used.
    #[error(transparent)]
    Data(#[from] OpenError),
    /// Others may read the data directory, and it could not be closed to them.
    #[error("{0}; storage.group_readable = true would let the group read it")]
    Permissions(#[from] PermissionError),
    /// The database could not be used.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// This process could not become the one that owns the events.
    #[error(transparent)]
    Node(#[from] NodeError),
    /// The engine did not start.
    #[error("the engine did not start: {0}")]
    Engine(#[from] EngineError),
    /// Accounts or catalogue did not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The secret could not be read or kept.
    #[error("the secret of access tokens cannot be kept in {}: {source}", path.display())]
    Secret {
        /// The file.
        path: std::path::PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// Redis' address or certificate cannot be used; that nobody answers there is no error.
    #[error("redis: {0}")]
    Redis(#[from] UrlMistake),
    /// A thread could not be started.
    #[error("a thread could not be started: {0}")]
    Thread(#[from] std::io::Error),
    /// The first administrator was not made.
    #[error("the administrator of ONSALE_BOOTSTRAP_ADMIN was not made: {0}")]
    Administrator(String),
    /// The start was given up.
    #[error("the server was stopped while it started")]
    Stopped,
}

/// Opens everything and answers the application, ready to serve.
///
/// # Errors
/// See [`StartError`].
pub async fn open(
    config: &Config,
    clock: Arc<dyn Clock>,
    http: Arc<HttpMetrics>,
    draining: CancellationToken,
) -> Result<Arc<App>, StartError> {
    open_with(config, clock, http, draining, Engine::start).await
}

/// The same with an engine that `start` makes of its ports, such as one without threads.
///
/// # Errors
/// See [`StartError`].
pub async fn open_with(
    config: &Config,
    clock: Arc<dyn Clock>,
    http: Arc<HttpMetrics>,
    draining: CancellationToken,
    start: impl FnOnce(Ports, Settings, Handle) -> Result<Engine, EngineError> + Send + 'static,
) -> Result<Arc<App>, StartError> {
    let tokio = Handle::current();
    let blocking = {
        let (config, clock, draining) = (config.clone(), Arc::clone(&clock), draining.clone());
        // The engine replays journals, which must not happen on a worker of the runtime.
        tokio::task::spawn_blocking(move || {
            start_engine(&config, clock, &draining, |ports, settings| start(ports, settings, tokio))
        })
    };
    let started = blocking.await.map_err(|error| StartError::Thread(std::io::Error::other(error)))??;
    let Started { engine, stores, payments, secret } = started;
    let now = clock.now();
    let signer = TokenSigner::new(&secret);
    stores.accounts.bring_up_to_date(email_hash(&secret)).await?;
    let predecessors = Predecessors::new(stores.accounts.predecessors().await?);
    let revocations = stores.accounts.revocations(now).await?;
    let hashing = PasswordLimits { threads: config.auth.hash_threads, queue: config.auth.hash_queue };
    let redis = open_redis(config.redis.as_ref()).await?;
    let shared = || redis.clone().map(Arc::new);
    let catalogue = stores.catalogue;
    let cache = shared().map(|redis| redis as Arc<dyn SharedCache>);
    let limits = Limits::new(&config.rate_limit, shared().map(|redis| redis as Arc<dyn SharedLimits>));
    let limits = Arc::new(limits);
    let cache = CatalogueCache::new(Arc::clone(&catalogue), Arc::clone(&clock), cache, &config.cache);
    let app = Arc::new(App {
        engine,
        catalogue,
        catalogue_rules: config.catalogue.clone(),
        event_changes: Arc::default(),
        accounts: stores.accounts,
        records: stores.records,
        search: stores.search,
        plans: stores.plans,
        node: stores.node,
        payments,
        clock,
        tokens: AccessTokens::new(&secret, Revoked::of(&revocations)),
        passwords: Passwords::start(hashing)?,
        signer,
        challenges: Box::new(Altcha::new(&secret, config.auth.challenge_max_number, now, Arc::clone(&limits))),
        challenge_signups: config.auth.challenge_signups,
        predecessors,
        security: SecurityLog::default(),
        limits,
        in_flight: InFlight::default(),
        readers: Readers::new(cache),
        sharing: redis.clone().map(Sharing::new),
        checks: Checks::default(),
        metrics_token: config.metrics.token.clone(),
        http,
        database_connections: stores.connections,
        lacks_reserve: stores.lacks_reserve,
        draining,
        charge_timeout: config.payment.timeout,
    });
    if let Some(admin) = &config.bootstrap_admin {
        make_administrator(&app, admin).await?;
    }
    Sharing::begin(&app);
    open_sales(&app).await?;
    Ok(app)
}

/// How storages hash the e-mail addresses that they have.
fn email_hash(secret: &[u8]) -> EmailHash {
    let signer = TokenSigner::new(secret);
    Arc::new(move |key| signer.email_hash(key))
}

/// Begins to connect, and waits a moment: a node would rather begin with what the others know.
pub(crate) async fn open_redis(config: Option<&RedisConfig>) -> Result<Option<Redis>, UrlMistake> {
    let Some(config) = config else { return Ok(None) };
    let redis = Redis::open(RedisSettings {
        url: config.url.expose_secret().to_owned(),
        ca_file: config.ca_file.clone(),
        timeout: config.timeout,
        pipeline_timeout: config.pipeline_timeout,
        connect_timeout: config.connect_timeout,
        pool_size: config.pool_size,
        retry_every: config.retry,
    })?;
    if !redis.wait_until_up(REDIS_TIMEOUT).await {
        tracing::warn!("redis does not answer; this node starts without it");
    }
    Ok(Some(redis))
}

struct Started {
    engine: Engine,
    stores: OpenStores,
    payments: Arc<dyn PaymentProvider>,
    secret: Vec<u8>,
}

/// What is left of the stores when the engine has taken its own.
struct OpenStores {
    records: Arc<dyn Records>,
    search: Arc<dyn RecordSearch>,
    plans: Arc<dyn Plans>,
    accounts: Arc<dyn Accounts>,
    catalogue: Arc<dyn Catalogue>,
    node: Option<NodeLease>,
    lacks_reserve: Box<dyn Fn() -> bool + Send + Sync>,
    connections: Box<dyn Fn() -> u64 + Send + Sync>,
}

fn start_engine(
    config: &Config,
    clock: Arc<dyn Clock>,
    draining: &CancellationToken,
    start: impl FnOnce(Ports, Settings) -> Result<Engine, EngineError>,
) -> Result<Started, StartError> {
    tighten(&config.storage.path, config.storage.readers())?;
    let stores = Stores::open(config, draining)?;
    let secret = secret::of(&config.auth, &config.storage.path)?;
    let provider: Arc<dyn PaymentProvider> = match config.payment.provider {
        PaymentProviderName::Simulated => Arc::new(Simulated::new()),
    };
    let payments = guarded(provider, Arc::clone(&clock));
    let Stores {
        journal,
        reader,
        projection,
        records,
        search,
        plans,
        accounts,
        catalogue,
        node,
        connections,
        lacks_reserve,
    } = stores;
    let ports = Ports { journal, reader, projection, payments: Arc::clone(&payments), clock };
    let signer = TokenSigner::new(&secret);
    let settings = Settings {
        arbiters: config.engine.arbiters,
        charge_timeout: config.payment.timeout,
        snapshot_every: config.engine.snapshot_every,
        projection_lag_max: config.engine.projection_lag_max,
        commit_stall: config.engine.commit_stall,
        unloaded_after: config.engine.unload_after,
        on_fatal: crate::server::fatal(),
        draw_seed: Arc::new(move |event| signer.draw_seed(event)),
        behind: Arc::new(step_back),
    };
    let engine = start(ports, settings)?;
    if let Some(node) = &node {
        let engine = engine.clone();
        node.on_lost(move |event| engine.lose(event));
        node.on_fatal(crate::server::fatal());
    }
    let left = OpenStores { records, search, plans, accounts, catalogue, node, connections, lacks_reserve };
    Ok(Started { engine, stores: left, payments, secret })
}

/// How much work behind the answers steps back: beside threads that answer it gets about a tenth of a processor, and all
/// of one that is idle.
#[cfg(target_os = "linux")]
const BEHIND_NICE: i32 = 10;

/// Lets the calling thread step back behind the others. Refused, it competes with them, which is slower, not wrong.
fn step_back() {
    // Elsewhere this would concern the whole process.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(BEHIND_NICE) {
        tracing::warn!(%error, "background threads have the same priority as those that answer");
    }
}

/// Makes the administrator unless the address has an account, whatever its role.
async fn make_administrator(app: &App, admin: &BootstrapAdmin) -> Result<(), StartError> {
    if app.accounts.by_email(&admin.email).await?.is_some() {
        return Ok(());
    }
    let failed = |problem: Problem| StartError::Administrator(problem.detail().to_owned());
    let account = Account {
        id: BuyerId(Uuid::now_v7()),
        email: admin.email.clone(),
        name: UNNAMED.to_owned(),
        phone: None,
        role: Role::Admin,
        password_hash: app.passwords.hash(NOBODY, admin.password.clone()).await.map_err(failed)?,
        created_at: app.clock.now(),
        disabled_at: None,
    };
    let email_hash = app.signer.email_hash(&email_key(&account.email));
    match app.accounts.create(&account, email_hash, None).await {
        Ok(_) => tracing::info!(id = %account.id, "the administrator of ONSALE_BOOTSTRAP_ADMIN was created"),
        Err(CreateAccountError::EmailTaken) => {}
        Err(CreateAccountError::Store(error)) => return Err(error.into()),
    }
    Ok(())
}

/// A crash may have left an event in the catalogue whose sale was never made, or whose times are not what its sale says.
async fn open_sales(app: &Arc<App>) -> Result<(), StartError> {
    let (events, mut venues) = (app.catalogue.all_events().await?, Venues::default());
    for event in &events {
        if let Err(problem) = open_sale(app, event).await {
            tracing::error!(event_id = %event.id, code = problem.code(), "the event has no sale and is not served");
        }
        if let Err(problem) = catch_up(app, event, &mut venues).await {
            tracing::error!(event_id = %event.id, code = problem.code(), "the event's times cannot be updated from its sale");
        }
    }
    tracing::info!(events = events.len(), "every event has its sale");
    Ok(())
}

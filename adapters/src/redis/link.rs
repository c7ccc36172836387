//! The way to Redis: one multiplexed connection for what requests wait for, a small pool for pipelines, and a breaker
//! that opens at the first sign of trouble, so that a server that is gone or paused costs a few requests one short
//! timeout and all others nothing. Must never retry on the time of a request.

use arc_swap::ArcSwap;
use bb8_redis::RedisConnectionManager;
use bb8_redis::bb8::{Pool, RunError};
use onsale_engine::ports::StoreError;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{Client, IntoConnectionInfo, RedisError, RedisResult, TlsCertificates};
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// Calls in a row without an answer after which nobody else waits for one.
const UNANSWERED_BEFORE_OPEN: u32 = 3;
/// How often a server without requests is checked.
const CHECK_EVERY: Duration = Duration::from_secs(1);

/// How Redis is reached.
#[derive(Clone, Debug)]
pub struct RedisSettings {
    /// `redis://`, `rediss://` (TLS), `redis+unix://`, with an ACL user and password where there is one.
    pub url: String,
    /// Certificates (PEM) that a server's is checked against, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a request waits for an answer.
    pub timeout: Duration,
    /// How long a pipeline of copies may take.
    pub pipeline_timeout: Duration,
    /// How long a connection may take to be made.
    pub connect_timeout: Duration,
    /// Connections for pipelines.
    pub pool_size: u32,
    /// How often a server that is gone is tried.
    pub retry_every: Duration,
}

/// Why a URL or a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct UrlMistake(String);

/// Whether a URL can be understood; nothing is connected.
///
/// # Errors
/// What is wrong with it, without repeating it: it may hold a password.
pub fn check_url(url: &str) -> Result<(), UrlMistake> {
    // Without the parser's own words, which may repeat what it could not read.
    let mistake = |_| UrlMistake("cannot be read: redis://user:password@host:port".to_owned());
    url.into_connection_info().map(drop).map_err(mistake)
}

fn kind_of(error: &RedisError) -> String {
    error.detail().map_or_else(|| error.category().to_owned(), str::to_owned)
}

/// How the connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkHealth {
    /// Whether calls are made.
    pub up: bool,
    /// How often it went away.
    pub outages: u64,
    /// Calls that got no answer, and calls that were not made because it was away.
    pub unanswered: u64,
}

pub(super) struct Link {
    client: Client,
    manager: ArcSwap<ConnectionManager>,
    manager_config: ConnectionManagerConfig,
    pool: Pool<RedisConnectionManager>,
    settings: RedisSettings,
    up: AtomicBool,
    in_a_row: AtomicU32,
    refuses: AtomicBool,
    outages: AtomicU64,
    unanswered: AtomicU64,
    /// Counts how often it came (back).
    returns: watch::Sender<u64>,
}

impl Link {
    pub(super) fn open(settings: RedisSettings) -> Result<Arc<Self>, UrlMistake> {
        let mistake = |error: RedisError| UrlMistake(kind_of(&error));
        check_url(&settings.url)?;
        // For TLS; refused where the process has chosen one already, which is as good.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let client = match &settings.ca_file {
            None => Client::open(settings.url.as_str()).map_err(mistake)?,
            Some(path) => {
                let root = std::fs::read(path).map_err(|error| UrlMistake(format!("{}: {error}", path.display())))?;
                let certificates = TlsCertificates { client_tls: None, root_cert: Some(root) };
                Client::build_with_tls(settings.url.as_str(), certificates).map_err(mistake)?
            }
        };
        let manager_config = ConnectionManagerConfig::new()
            .set_response_timeout(Some(settings.timeout))
            .set_connection_timeout(Some(settings.connect_timeout))
            // The breaker's task tries again; requests meanwhile fail at once.
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(10))
            .set_pipeline_buffer_size(1024);
        let manager = client.get_connection_manager_lazy(manager_config.clone()).map_err(mistake)?;
        let pooled = RedisConnectionManager::new(client.get_connection_info().clone()).map_err(mistake)?;
        let pool = Pool::builder()
            .max_size(settings.pool_size)
            .connection_timeout(settings.connect_timeout)
            .retry_connection(false)
            .build_unchecked(pooled);
        let link = Arc::new(Self {
            client,
            manager: ArcSwap::from_pointee(manager),
            manager_config,
            pool,
            settings,
            up: AtomicBool::new(false),
            in_a_row: AtomicU32::new(0),
            refuses: AtomicBool::new(false),
            outages: AtomicU64::new(0),
            unanswered: AtomicU64::new(0),
            returns: watch::Sender::new(0),
        });
        tokio::spawn(Self::check(Arc::downgrade(&link)));
        Ok(link)
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn settings(&self) -> &RedisSettings {
        &self.settings
    }

    pub(super) fn health(&self) -> LinkHealth {
        LinkHealth {
            up: self.is_up(),
            outages: self.outages.load(Ordering::Relaxed),
            unanswered: self.unanswered.load(Ordering::Relaxed),
        }
    }

    pub(super) fn is_up(&self) -> bool {
        self.up.load(Ordering::Acquire)
    }

    /// Each time that it comes (back).
    pub(super) fn returns(&self) -> watch::Receiver<u64> {
        self.returns.subscribe()
    }

    pub(super) async fn wait_until_up(&self, timeout: Duration) -> bool {
        let mut returns = self.returns();
        let up = returns.wait_for(|count| *count > 0);
        tokio::time::timeout(timeout, up).await.is_ok_and(|up| up.is_ok())
    }

    /// Asks something that a request waits for.
    pub(super) async fn ask<T, F>(&self, ask: impl FnOnce(ConnectionManager) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        if !self.is_up() {
            return Err(self.nobody());
        }
        let manager = ConnectionManager::clone(&self.manager.load());
        self.judge(tokio::time::timeout(self.settings.timeout, ask(manager)).await)
    }

    /// Sends a pipeline that nobody waits for.
    pub(super) async fn send<T, F>(&self, send: impl FnOnce(MultiplexedConnection) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = RedisResult<T>>,
    {
        if !self.is_up() {
            return Err(self.nobody());
        }
        let sending = async {
            // A connection that is alive is checked by a PING, because the pool cannot detect a broken one.
            let connection = self.pool.get().await.map_err(|error| match error {
                RunError::User(error) => error,
                RunError::TimedOut => RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut)),
            })?;
            send(MultiplexedConnection::clone(&connection)).await
        };
        self.judge(tokio::time::timeout(self.settings.pipeline_timeout, sending).await)
    }

    fn nobody(&self) -> StoreError {
        self.unanswered.fetch_add(1, Ordering::Relaxed);
        StoreError("redis is away".to_owned())
    }

    fn judge<T>(&self, outcome: Result<RedisResult<T>, tokio::time::error::Elapsed>) -> Result<T, StoreError> {
        match outcome {
            Ok(Ok(answer)) => {
                self.in_a_row.store(0, Ordering::Relaxed);
                self.refuses.store(false, Ordering::Relaxed);
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                let kind = kind_of(&error);
                if error.is_timeout() {
                    self.count_unanswered();
                } else if error.is_connection_refusal() || error.is_connection_dropped() || error.is_io_error() {
                    self.lose(&kind);
                } else if !self.refuses.swap(true, Ordering::Relaxed) {
                    // It answers, and that it will not: a missing right, a read-only replica, no memory.
                    tracing::warn!(kind, "redis refuses");
                }
                Err(StoreError(format!("redis: {kind}")))
            }
            Err(_) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
                self.count_unanswered();
                Err(StoreError("redis did not answer in time".to_owned()))
            }
        }
    }

    fn count_unanswered(&self) {
        if self.in_a_row.fetch_add(1, Ordering::Relaxed) + 1 >= UNANSWERED_BEFORE_OPEN {
            self.lose("no answer in time");
        }
    }

    fn lose(&self, why: &str) {
        if self.up.swap(false, Ordering::AcqRel) {
            self.outages.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(why, "redis is away; this node goes on by itself");
        }
    }

    /// Finds out whether somebody answers, as long as the link is used.
    async fn check(link: std::sync::Weak<Self>) {
        loop {
            let pause = {
                let Some(link) = link.upgrade() else { return };
                let answers = link.answers().await;
                if !answers {
                    link.lose("no answer to a PING");
                    // Also out of a connection whose other end is nowhere.
                    if let Ok(fresh) = link.client.get_connection_manager_lazy(link.manager_config.clone()) {
                        link.manager.store(Arc::new(fresh));
                    }
                } else if !link.up.swap(true, Ordering::AcqRel) {
                    link.in_a_row.store(0, Ordering::Relaxed);
                    tracing::info!("redis answers");
                    link.returns.send_modify(|count| *count += 1);
                }
                if answers { CHECK_EVERY } else { link.settings.retry_every }
            };
            tokio::time::sleep(pause).await;
        }
    }

    async fn answers(&self) -> bool {
        let mut manager = ConnectionManager::clone(&self.manager.load());
        let timeout = self.settings.connect_timeout.max(self.settings.timeout);
        let ping = async { redis::cmd("PING").query_async::<String>(&mut manager).await };
        match tokio::time::timeout(timeout, ping).await {
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                tracing::debug!(%error, "redis");
                false
            }
            Err(_) => false,
        }
    }
}

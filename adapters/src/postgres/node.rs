//! This process among those that have the database open: it says that it lives, and at most one is active, which owns
//! the events. A node is gone when it has been silent for the length of the lease, by the server's clock, or at once
//! when its connection is (its advisory lock is free). Epochs fence what a node still writes that was taken for gone.
//! Must never take over from a node that lives.

use super::connect::{ConnectError, Connector};
use super::database::{NODE_LOCKS, OpenError, Postgres, millis, transaction_silence};
use super::failure::one_line;
use super::session::Session;
use onsale_engine::id::EventId;
use onsale_engine::runtime::{OnFatal, supervised_task};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::AbortHandle;
use uuid::Uuid;

/// The second class of advisory locks: one node at a time checks whether any is active.
const ELECTION: &str = "SELECT pg_advisory_xact_lock($1, 1)";
/// The class of the election's lock; nodes' own locks have another.
const ELECTIONS: i32 = NODE_LOCKS + 1;
const LOCK: &str = "SELECT pg_advisory_lock($1, $2)";
const REGISTER: &str = "INSERT INTO nodes (id, lock_key, server_started_at, expires_at)
    VALUES ($1, $2, pg_postmaster_start_time(), clock_timestamp() + $3::text::interval)
    ON CONFLICT (id) DO UPDATE SET server_started_at = excluded.server_started_at, expires_at = excluded.expires_at
    RETURNING active";
const RENEW: &str =
    "UPDATE nodes SET expires_at = clock_timestamp() + $2::text::interval WHERE id = $1 RETURNING active";
/// After the server itself was restarted all locks are free, and only the lack of renewals shows who is gone.
const BURY: &str = "DELETE FROM nodes WHERE id <> $1 AND CASE
    WHEN expires_at < clock_timestamp() THEN true
    WHEN server_started_at <> pg_postmaster_start_time() THEN false
    ELSE pg_try_advisory_xact_lock($2, lock_key) END";
const ACTIVATE: &str = "UPDATE nodes SET active = true
    WHERE id = $1 AND NOT EXISTS (SELECT 1 FROM nodes AS other WHERE other.active AND other.id <> $1)
    RETURNING active";
const LOST: &str = "SELECT event_id FROM leases WHERE node <> $1 AND event_id = ANY ($2)";

/// Renewals in the length of a lease.
const RENEWALS: u32 = 4;
/// How often a standby checks whether it may become active.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Why a node is not active.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    /// The database was not reached.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database could not be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It did not do as it was asked.
    #[error("the node could not be registered: {0}")]
    Database(String),
    /// Its caller gave up.
    #[error("the node was stopped while another one was active")]
    Stopped,
}

impl From<tokio_postgres::Error> for NodeError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(one_line(&error))
    }
}

/// Called with an event that another node has taken.
type OnLost = Box<dyn Fn(EventId) + Send + Sync>;

struct Keeper {
    database: Postgres,
    connector: Connector,
    node: Uuid,
    lock_key: i32,
    lease: Duration,
    state: Mutex<State>,
    changed: Condvar,
    on_lost: Mutex<Option<OnLost>>,
    on_fatal: Mutex<Option<OnFatal>>,
}

#[derive(Default)]
struct State {
    active: bool,
    /// Why the last check failed.
    failure: Option<String>,
    checks: u64,
}

/// A node that says that it lives until this is dropped.
pub struct NodeLease {
    keeper: Arc<Keeper>,
    keeping: AbortHandle,
}

impl NodeLease {
    /// Registers this process, and keeps saying that it lives.
    ///
    /// # Errors
    /// See [`NodeError`].
    pub fn register(database: &Postgres) -> Result<Self, NodeError> {
        let connector = database.connector("node", &[transaction_silence()]).map_err(OpenError::from)?;
        let node = database.node();
        let [a, b, c, d, ..] = *node.as_bytes();
        let keeper = Arc::new(Keeper {
            database: database.clone(),
            connector,
            node,
            lock_key: i32::from_be_bytes([a, b, c, d]),
            lease: database.inner.settings.lease,
            state: Mutex::default(),
            changed: Condvar::new(),
            on_lost: Mutex::new(None),
            on_fatal: Mutex::new(None),
        });
        let session = database.wait(keeper.connect())?;
        let ends = {
            let keeper = Arc::clone(&keeper);
            Arc::new(move |reason: &str| keeper.ends_fatally(reason))
        };
        let keep = supervised_task("node", ends, Arc::clone(&keeper).keep(session));
        let keeping = database.handle().spawn(keep).abort_handle();
        Ok(Self { keeper, keeping })
    }

    /// Waits until this node is the active one, for as long as another lives. Blocks.
    ///
    /// # Errors
    /// [`NodeError::Stopped`] once `give_up` says so.
    pub fn become_active(&self, give_up: &dyn Fn() -> bool) -> Result<(), NodeError> {
        let started = Instant::now();
        let mut logged = false;
        let mut state = self.keeper.state.lock();
        while !state.active {
            if give_up() {
                return Err(NodeError::Stopped);
            }
            if !logged && state.checks > 0 && started.elapsed() > CHECK_EVERY * 5 {
                logged = true;
                tracing::info!(node = %self.keeper.node, "another node is active; standing by");
            }
            self.keeper.changed.wait_for(&mut state, CHECK_EVERY);
        }
        tracing::info!(node = %self.keeper.node, "this node is active");
        Ok(())
    }

    /// Whether this node is the active one, as far as it knows.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.keeper.state.lock().active
    }

    /// Sets what is called, with the reason, should the task that renews the lease panic.
    pub fn on_fatal(&self, call: OnFatal) {
        *self.keeper.on_fatal.lock() = Some(call);
    }

    /// Sets what is called with each event that another node has taken.
    pub fn on_lost(&self, call: impl Fn(EventId) + Send + Sync + 'static) {
        *self.keeper.on_lost.lock() = Some(Box::new(call));
    }
}

impl NodeLease {
    /// Stops claiming that this process lives: its connection ends, which frees its lock.
    pub fn end(&self) {
        self.keeping.abort();
    }
}

impl Drop for NodeLease {
    fn drop(&mut self) {
        self.end();
    }
}

impl Keeper {
    /// The lease is renewed no more: others will take this node for gone.
    fn ends_fatally(&self, reason: &str) {
        tracing::error!(reason, "the node's lease is not renewed any more");
        self.state.lock().active = false;
        self.changed.notify_all();
        let call = self.on_fatal.lock().clone();
        if let Some(call) = call {
            call(reason);
        }
    }

    fn interval(&self) -> String {
        format!("{} milliseconds", millis(self.lease))
    }

    /// A connection that holds this node's lock, and the node's row.
    async fn connect(&self) -> Result<Session, NodeError> {
        let session = self.connector.connect().await?;
        session.query(LOCK, &[&NODE_LOCKS, &self.lock_key]).await?;
        session.query(REGISTER, &[&self.node, &self.lock_key, &self.interval()]).await?;
        Ok(session)
    }

    async fn keep(self: Arc<Self>, session: Session) {
        let mut session = Some(session);
        let mut renewed_at = Instant::now();
        loop {
            let done = tokio::time::timeout(self.lease / 2, self.check(&mut session, &mut renewed_at)).await;
            let failure = match done {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(error.to_string()),
                Err(_) => Some("no answer in half a lease".to_owned()),
            };
            if failure.is_some() {
                session = None;
            }
            let is_active = {
                let mut state = self.state.lock();
                if let Some(failure) = &failure
                    && state.failure.as_ref() != Some(failure)
                {
                    tracing::warn!(failure, "the node's lease was not renewed");
                }
                (state.failure, state.checks) = (failure, state.checks + 1);
                state.active
            };
            self.changed.notify_all();
            tokio::time::sleep(if is_active { CHECK_EVERY.max(self.lease / RENEWALS / 4) } else { CHECK_EVERY }).await;
        }
    }

    /// One check: renews in time, tries to become active, and finds out what was lost.
    async fn check(&self, session: &mut Option<Session>, renewed_at: &mut Instant) -> Result<(), NodeError> {
        let mut doubtful = false;
        if session.as_ref().is_none_or(Session::is_broken) {
            *session = None;
            *session = Some(self.connect().await?);
            (*renewed_at, doubtful) = (Instant::now(), true);
        }
        let Some(session) = session else { return Ok(()) };
        let was_active = self.state.lock().active;
        let due = renewed_at.elapsed() >= self.lease / RENEWALS;
        if doubtful || due {
            doubtful |= renewed_at.elapsed() > self.lease;
            let row = session.query_opt(RENEW, &[&self.node, &self.interval()]).await?;
            *renewed_at = Instant::now();
            let is_active = match row {
                Some(row) => row.get(0),
                None => {
                    // Another node has declared this one dead.
                    session.query(REGISTER, &[&self.node, &self.lock_key, &self.interval()]).await?;
                    false
                }
            };
            if was_active && !is_active {
                tracing::error!(node = %self.node, "another node has declared this one dead");
                doubtful = true;
            }
            self.state.lock().active = is_active;
        }
        if !self.state.lock().active {
            let active = self.elect(session).await?;
            self.state.lock().active = active;
        }
        if doubtful { self.find_lost(session).await } else { Ok(()) }
    }

    /// Removes nodes that are dead; whether this node is active now.
    async fn elect(&self, session: &Session) -> Result<bool, NodeError> {
        session.begin().await?;
        let elected = async {
            session.query(ELECTION, &[&ELECTIONS]).await?;
            session.execute(BURY, &[&self.node, &NODE_LOCKS]).await?;
            session.query_opt(ACTIVATE, &[&self.node]).await
        };
        match elected.await {
            Ok(row) => {
                session.commit().await?;
                Ok(row.is_some())
            }
            Err(error) => {
                session.roll_back().await?;
                Err(error.into())
            }
        }
    }

    async fn find_lost(&self, session: &Session) -> Result<(), NodeError> {
        let raised: Vec<Uuid> = self.database.inner.raised.lock().iter().map(|event| event.0).collect();
        for row in session.query(LOST, &[&self.node, &raised]).await? {
            let event = EventId(row.get(0));
            self.database.inner.raised.lock().remove(&event);
            if let Some(call) = &*self.on_lost.lock() {
                call(event);
            }
        }
        Ok(())
    }
}

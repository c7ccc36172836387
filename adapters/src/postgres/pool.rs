//! The pool of connections for accounts, catalogue and lists: who waits, who gets one, who must not have it again. The
//! journal and the projector have connections of their own. Must never hand out a connection in the middle of anything.

use super::connect::{ConnectError, Connector};
use super::failure::{Failure, is_rolled_back};
use super::session::Session;
use bb8::{ManageConnection, PooledConnection, RunError};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// The transaction's own name, if it has written anything.
const TRANSACTION: &str = "SELECT pg_current_xact_id_if_assigned()::text";
const STATUS: &str = "SELECT pg_xact_status($1::text::xid8)";
/// How long an unknown commit is asked about; requests give up before, and say that they do not know.
const FIND_OUT_TIMEOUT: Duration = Duration::from_secs(60);
/// How often.
const FIND_OUT_EVERY: Duration = Duration::from_millis(50);
/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(600);

/// What bb8 asks of us.
struct Sessions {
    connector: Connector,
    /// Notified whenever a connection could not be made: those who wait for one need not wait longer.
    unreachable: Arc<Notify>,
}

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Session, ConnectError> {
        let connected = self.connector.connect().await;
        if connected.is_err() {
            self.unreachable.notify_waiters();
        }
        connected
    }

    async fn is_valid(&self, session: &mut Session) -> Result<(), ConnectError> {
        if session.is_broken() { Err(ConnectError("the connection has ended".to_owned())) } else { Ok(()) }
    }

    fn has_broken(&self, session: &mut Session) -> bool {
        session.is_broken()
    }
}

/// See the module.
#[derive(Clone)]
pub(super) struct Pool {
    pool: bb8::Pool<Sessions>,
    unreachable: Arc<Notify>,
}

/// How a pool is sized.
#[derive(Clone, Copy, Debug)]
pub(super) struct PoolLimits {
    pub(super) size: u32,
    /// How long a caller waits for its turn before it is refused: certainly not done.
    pub(super) turn: Duration,
}

/// A connection of one's own until it is dropped.
pub(super) struct Turn<'p>(PooledConnection<'p, Sessions>);

impl Deref for Turn<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.0
    }
}

impl Pool {
    /// A pool that connects when somebody needs it.
    pub(super) fn new(connector: Connector, limits: PoolLimits) -> Self {
        // Connections are asked nothing before they are used: what has ended is seen without asking.
        let builder = bb8::Pool::builder().max_size(limits.size).test_on_check_out(false).retry_connection(false);
        let builder = builder.connection_timeout(limits.turn).idle_timeout(IDLE).max_lifetime(None);
        let unreachable = Arc::new(Notify::new());
        let sessions = Sessions { connector, unreachable: Arc::clone(&unreachable) };
        Self { pool: builder.build_unchecked(sessions), unreachable }
    }

    /// Waits for a connection that lives.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Failure> {
        loop {
            let mut unreachable = std::pin::pin!(self.unreachable.notified());
            unreachable.as_mut().enable();
            let got = tokio::select! {
                biased;
                got = self.pool.get() => got,
                () = unreachable => return Err(Failure::new("the database cannot be reached")),
            };
            match got {
                // Those that ended while nobody used them go one by one, without a round trip.
                Ok(session) if session.is_broken() => {}
                Ok(session) => return Ok(Turn(session)),
                Err(RunError::User(error)) => return Err(Failure::new(error.to_string())),
                Err(RunError::TimedOut) => {
                    return Err(Failure::new("too many requests are waiting for the database"));
                }
            }
        }
    }

    /// A connection in a transaction. Dropped before [`Work::commit`], it is rolled back by the end of its connection.
    pub(super) async fn begin(&self) -> Result<Work<'_>, Failure> {
        let turn = self.turn().await?;
        turn.begin().await?;
        Ok(Work { turn, pool: self })
    }

    /// Whether a transaction whose connection ended in the commit is there: asked until the database says so.
    async fn is_committed(&self, transaction: &str) -> Result<bool, Failure> {
        let started = Instant::now();
        loop {
            let asked = async {
                let row = self.turn().await?.query_opt(STATUS, &[&transaction]).await?;
                Ok::<_, Failure>(row.and_then(|row| row.get::<_, Option<String>>(0)))
            };
            match asked.await {
                Ok(Some(status)) if status == "committed" => return Ok(true),
                Ok(Some(status)) if status == "aborted" => return Ok(false),
                Ok(_) | Err(_) if started.elapsed() < FIND_OUT_TIMEOUT => tokio::time::sleep(FIND_OUT_EVERY).await,
                Ok(status) => return Err(Failure::new(format!("a commit has become of: {status:?}"))),
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Connections that are open, and of them those that nobody uses.
    pub(super) fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

/// A transaction under way.
pub(super) struct Work<'p> {
    turn: Turn<'p>,
    pool: &'p Pool,
}

impl Deref for Work<'_> {
    type Target = Session;
    fn deref(&self) -> &Session {
        &self.turn
    }
}

impl Work<'_> {
    /// Commits the open transaction: it is durable when this returns. An error means that it was certainly not done: should
    /// the connection end meanwhile, the database is asked, for as long as the caller waits.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        let Self { turn, pool } = self;
        let transaction = turn.query_opt(TRANSACTION, &[]).await?;
        let transaction = transaction.and_then(|row| row.get::<_, Option<String>>(0));
        let failed = match (turn.commit().await, transaction) {
            (Ok(()), _) => return Ok(()),
            // What wrote nothing has nothing to find out.
            (Err(error), None) => return Err(error.into()),
            (Err(error), Some(transaction)) if !is_rolled_back(&error) => (error, transaction),
            (Err(error), Some(_)) => return Err(error.into()),
        };
        drop(turn);
        if pool.is_committed(&failed.1).await? { Ok(()) } else { Err(failed.0.into()) }
    }

    /// Rolls the open transaction back.
    pub(super) async fn roll_back(self) -> Result<(), Failure> {
        Ok(self.turn.roll_back().await?)
    }
}

//! The pool of connections for accounts, catalogue and lists: who waits, who gets one, who must not have it again. The
//! journal and the projector have connections of their own. Must never hand out a connection in the middle of anything.

use super::connect::{ConnectError, Connector};
use super::failure::Failure;
use super::session::Session;
use bb8::{ManageConnection, PooledConnection, RunError};
use std::ops::Deref;
use std::time::Duration;

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(600);

/// What bb8 asks of us.
struct Sessions(Connector);

impl ManageConnection for Sessions {
    type Connection = Session;
    type Error = ConnectError;

    async fn connect(&self) -> Result<Session, ConnectError> {
        self.0.connect().await
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
        Self { pool: builder.build_unchecked(Sessions(connector)) }
    }

    /// Waits for a connection that lives.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, Failure> {
        loop {
            match self.pool.get().await {
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

    /// A connection in a transaction. Dropped before [`Turn::commit`], it is rolled back by the end of its connection.
    pub(super) async fn begin(&self) -> Result<Turn<'_>, Failure> {
        let turn = self.turn().await?;
        turn.0.begin().await?;
        Ok(turn)
    }

    /// Connections that are open, and of them those that nobody uses.
    pub(super) fn connections(&self) -> (u32, u32) {
        let state = self.pool.state();
        (state.connections, state.idle_connections)
    }
}

impl Turn<'_> {
    /// Commits what was begun: it is durable when this returns.
    pub(super) async fn commit(self) -> Result<(), Failure> {
        Ok(self.0.commit().await?)
    }

    /// Undoes what was begun.
    pub(super) async fn roll_back(self) -> Result<(), Failure> {
        Ok(self.0.roll_back().await?)
    }
}

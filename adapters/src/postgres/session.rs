//! One connection and its prepared statements. Knows whether something on it was started and has not ended (a future that
//! was dropped), so that nobody goes on in the middle of it. Must never be shared by two who want transactions.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Error, Row, Statement};

/// Prepared statements kept; beyond them all are let go. Lists build a few dozen texts.
const STATEMENTS: usize = 200;

/// Parameters of a statement.
pub(super) type Params<'p> = &'p [&'p (dyn ToSql + Sync)];

/// See the module.
pub(super) struct Session {
    client: Client,
    statements: Mutex<HashMap<String, Statement>>,
    /// Statements and transactions that have not ended.
    unfinished: AtomicU32,
}

impl Session {
    pub(super) fn new(client: Client) -> Self {
        Self { client, statements: Mutex::default(), unfinished: AtomicU32::new(0) }
    }

    /// Whether it can be used no more.
    pub(super) fn is_broken(&self) -> bool {
        self.client.is_closed() || self.unfinished.load(Ordering::Acquire) != 0
    }

    pub(super) async fn query(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Error> {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        let done = async { self.client.query(&self.statement(sql).await?, params).await }.await;
        self.end(&done);
        done
    }

    pub(super) async fn query_opt(&self, sql: &str, params: Params<'_>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Answers how many rows it concerned.
    pub(super) async fn execute(&self, sql: &str, params: Params<'_>) -> Result<u64, Error> {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        let done = async { self.client.execute(&self.statement(sql).await?, params).await }.await;
        self.end(&done);
        done
    }

    /// Begins a transaction: until [`Session::commit`] or [`Session::roll_back`] the session counts as broken.
    pub(super) async fn begin(&self) -> Result<(), Error> {
        self.unfinished.fetch_add(1, Ordering::AcqRel);
        self.client.batch_execute("BEGIN").await
    }

    pub(super) async fn commit(&self) -> Result<(), Error> {
        let done = self.client.batch_execute("COMMIT").await;
        self.end(&done);
        done
    }

    pub(super) async fn roll_back(&self) -> Result<(), Error> {
        let done = self.client.batch_execute("ROLLBACK").await;
        self.end(&done);
        done
    }

    /// Prepares a statement, so that those who pipeline it do not wait for that.
    pub(super) async fn statement(&self, sql: &str) -> Result<Statement, Error> {
        if let Some(known) = self.statements.lock().get(sql) {
            return Ok(known.clone());
        }
        let statement = self.client.prepare(sql).await?;
        let mut statements = self.statements.lock();
        if statements.len() >= STATEMENTS {
            statements.clear();
        }
        statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn end<T>(&self, done: &Result<T, Error>) {
        self.unfinished.fetch_sub(1, Ordering::AcqRel);
        // Another version has changed the tables, or a pooler has given us another connection: prepare it again.
        let stale = [SqlState::FEATURE_NOT_SUPPORTED, SqlState::INVALID_SQL_STATEMENT_NAME];
        if let Err(error) = done
            && error.code().is_some_and(|code| stale.contains(code))
        {
            self.statements.lock().clear();
        }
    }
}

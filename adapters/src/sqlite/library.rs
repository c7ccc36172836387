//! Connections to `library.db` for accounts and catalogue: one that writes, a few that read, each used by one caller
//! at a time on tokio's blocking threads. Owns waiting and transactions; must never hold the writer while anything
//! but SQL is done.

use super::data_dir::DataDir;
use super::open_error::OpenError;
use crate::sale_form::SaleFormError;
use onsale_engine::ports::StoreError;
use onsale_engine::trace::Scope;
use parking_lot::Mutex;
use rusqlite::{Connection, Transaction, TransactionBehavior};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use uuid::Uuid;

/// Connections that read. They only compete for the disk: WAL readers never wait for the writer.
const READERS: usize = 4;
/// How long a call waits for its turn before it is refused: certainly not done.
const TURN: Duration = Duration::from_secs(5);

/// The library's connections; shared by the adapters on it.
pub struct Library {
    writer: Arc<Lane>,
    readers: Arc<Lane>,
}

/// Connections of one kind, as many permits as connections.
struct Lane {
    connections: Mutex<Vec<Connection>>,
    turns: Arc<Semaphore>,
    /// Keeps the directory locked as long as a connection lives.
    _dir: DataDir,
}

/// Why work on the library failed; whatever it wrote is rolled back.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    pub fn new(reason: impl Into<String>) -> Self {
        Self(reason.into())
    }
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self(error.to_string())
    }
}

impl From<SaleFormError> for Failure {
    fn from(error: SaleFormError) -> Self {
        Self(error.to_string())
    }
}

impl From<Failure> for StoreError {
    fn from(Failure(reason): Failure) -> Self {
        Self(reason)
    }
}

impl Library {
    /// Opens the connections.
    ///
    /// # Errors
    /// As [`DataDir::library`].
    pub fn open(dir: &DataDir) -> Result<Arc<Self>, OpenError> {
        Ok(Arc::new(Self { writer: Lane::open(dir, 1)?, readers: Lane::open(dir, READERS)? }))
    }

    /// Does `work` in a transaction and commits it: what it wrote is durable when this returns. Dropping the future
    /// before its turn does nothing; dropping it later does not stop the work.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let run = move |connection: &mut Connection| {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        self.writer.clone().run(run).await
    }

    /// Does `work` on one consistent state.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.readers.clone().run(move |connection| work(&connection.transaction()?)).await
    }
}

impl Lane {
    fn open(dir: &DataDir, size: usize) -> Result<Arc<Self>, OpenError> {
        let connections = (0..size).map(|_| dir.library()).collect::<Result<Vec<_>, _>>()?;
        let (connections, turns) = (Mutex::new(connections), Arc::new(Semaphore::new(size)));
        Ok(Arc::new(Self { connections, turns, _dir: dir.clone() }))
    }

    async fn run<T: Send + 'static>(
        self: Arc<Self>,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let turn = match tokio::time::timeout(TURN, self.turns.clone().acquire_owned()).await {
            Ok(Ok(turn)) => turn,
            Ok(Err(_)) | Err(_) => return Err(StoreError("too many requests are waiting for the database".into())),
        };
        let done = tokio::task::spawn_blocking(Scope::carry(move || self.with_connection(&turn, work))).await;
        done.map_err(|error| StoreError(format!("the work on the database was lost: {error}")))?
            .map_err(StoreError::from)
    }

    /// A turn always finds a connection. One whose work panics comes back rolled back all the same.
    fn with_connection<T>(
        &self,
        _turn: &OwnedSemaphorePermit,
        work: impl FnOnce(&mut Connection) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let connection = self.connections.lock().pop().ok_or_else(|| Failure::new("no connection is left"))?;
        let mut borrowed = Borrowed { lane: self, connection: Some(connection) };
        let connection = borrowed.connection.as_mut().ok_or_else(|| Failure::new("no connection is left"))?;
        work(connection)
    }
}

/// A connection that goes back to its lane.
struct Borrowed<'l> {
    lane: &'l Lane,
    connection: Option<Connection>,
}

impl Drop for Borrowed<'_> {
    fn drop(&mut self) {
        self.lane.connections.lock().extend(self.connection.take());
    }
}

/// A UUID of a row: 16 bytes.
pub(super) fn uuid_at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn venues(transaction: &Transaction<'_>) -> Result<i64, Failure> {
        Ok(transaction.query_row("SELECT count(*) FROM venues", [], |row| row.get(0))?)
    }

    fn add(transaction: &Transaction<'_>, number: u8) -> Result<(), Failure> {
        let values = "(?1, 'n', 'a', 'c', 'UTC', 0)";
        let insert = format!("INSERT INTO venues (id, name, address, city, time_zone, created_at) VALUES {values}");
        transaction.execute(&insert, [[number; 16]])?;
        Ok(())
    }

    #[tokio::test]
    async fn work_that_fails_or_panics_leaves_nothing_behind_and_the_next_goes_on() {
        let temp = tempfile::tempdir().unwrap();
        let library = Library::open(&DataDir::open(temp.path()).unwrap()).unwrap();
        let failed: Result<(), _> = library
            .write(|transaction| {
                add(transaction, 1)?;
                Err(Failure::new("changed its mind"))
            })
            .await;
        assert!(failed.unwrap_err().to_string().contains("changed its mind"));
        let panicked: Result<(), _> = library
            .write(|transaction| {
                add(transaction, 2)?;
                panic!("on purpose")
            })
            .await;
        panicked.unwrap_err();
        library.write(|transaction| add(transaction, 3)).await.unwrap();
        assert_eq!(library.read(venues).await.unwrap(), 1);
    }

    #[tokio::test]
    async fn work_whose_future_is_dropped_is_still_done_whole() {
        let temp = tempfile::tempdir().unwrap();
        let library = Library::open(&DataDir::open(temp.path()).unwrap()).unwrap();
        for number in 1..=20 {
            let mut write = Box::pin(library.write(move |transaction| {
                add(transaction, number)?;
                add(transaction, 100 + number)
            }));
            let polled =
                std::future::poll_fn(|context| std::task::Poll::Ready(write.as_mut().poll(context).is_ready()));
            polled.await;
            drop(write);
        }
        // Comes after all that has started.
        library.write(|transaction| add(transaction, 0)).await.unwrap();
        let rows = library.read(venues).await.unwrap();
        assert!(rows % 2 == 1 && rows >= 3, "{rows}");
    }
}

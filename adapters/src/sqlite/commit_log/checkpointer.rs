//! The checkpointer: a thread that writes durable batches to `journal.db`, many in one transaction, and pauses in between,
//! so that answers get the processor and the disk. Creates a missing reserve again once there is room. Must never write a
//! batch before an earlier one, nor end unnoticed.

use super::backlog::{Backlog, Batch, Failure};
use super::sizes::{CHECKPOINTER_BUSY_TIMEOUT, CHECKPOINTER_RETRY, RESERVE_RETRY, THROTTLE, WAL_CHECKPOINT_PAGES};
use super::store::{Store, StoreError};
use crate::sqlite::reserve::Reserve;
use onsale_engine::ports::JournalError;
use onsale_engine::runtime::{OnFatal, supervised};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The thread; ends after one more try when it is dropped.
pub(super) struct Checkpointer {
    backlog: Backlog,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    /// Starts it.
    ///
    /// # Errors
    /// As the operating system says.
    pub(super) fn start(backlog: &Backlog, mut store: Store, reserve: Option<Arc<Reserve>>) -> std::io::Result<Self> {
        let theirs = backlog.clone();
        let panicked = backlog.clone();
        let on_fatal: OnFatal = Arc::new(move |reason: &str| panicked.ends_fatally(reason));
        let thread =
            supervised("journal-checkpointer", &on_fatal, move || run(&theirs, &mut store, reserve.as_deref()))?;
        Ok(Self { backlog: backlog.clone(), thread: Some(thread) })
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.backlog.stop();
        if let Some(thread) = self.thread.take() {
            // It does not unwind: a panic was reported when it happened.
            let _ = thread.join();
        }
    }
}

fn run(backlog: &Backlog, store: &mut Store, reserve: Option<&Reserve>) {
    let (mut throttled_until, mut reserve_tried_at) = (None, Instant::now());
    while let Some(batches) = backlog.next(throttled_until) {
        #[cfg(test)]
        assert!(!backlog.panics(), "ordered to panic");
        let Some(took) = checkpoint(backlog, store, &batches) else { return };
        let more = backlog.flushed(&batches);
        if let Some(reserve) = reserve.filter(|reserve| reserve.is_missing())
            && reserve_tried_at.elapsed() >= RESERVE_RETRY
        {
            reserve_tried_at = Instant::now();
            reserve.keep();
        }
        throttled_until = more.then(|| Instant::now() + THROTTLE.pause(took));
    }
}

/// Tries until it succeeds; how long that took, or `None` when it was given up.
fn checkpoint(backlog: &Backlog, store: &mut Store, batches: &[Batch]) -> Option<Duration> {
    loop {
        let began = Instant::now();
        let limited = backlog.max_pages().map_or(Ok(()), |pages| store.limit_pages(pages));
        let payloads = batches.iter().map(|batch| &*batch.payload);
        let stored = limited.map_err(StoreError::from).and_then(|()| store.store(payloads));
        let Err(error) = stored else { return Some(began.elapsed()) };
        let failure = match error.as_journal_error() {
            JournalError::Fatal(reason) => Failure::Fatal(reason),
            JournalError::NotDone(reason) | JournalError::Unknown(reason) => Failure::NotNow(reason),
            JournalError::Elsewhere => Failure::NotNow(error.to_string()),
        };
        if !backlog.failed(failure, CHECKPOINTER_RETRY) {
            return None;
        }
    }
}

/// Prepares a connection to `journal.db` for the checkpointer, which also copies SQLite's own log (its WAL) into the file.
pub(in crate::sqlite) fn for_checkpointing(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(CHECKPOINTER_BUSY_TIMEOUT)?;
    connection.pragma_update(None, "wal_autocheckpoint", WAL_CHECKPOINT_PAGES)
}

//! The filer's thread: takes durable batches to `journal.db`, many in one transaction, and rests in between, so that it
//! leaves processor and disk to what answers. Makes a missing reserve again when rows found room. Must never file a batch
//! before the one before it, nor end unnoticed.

use super::filing::{Batch, Failure, Filing};
use super::sizes::{CHECKPOINT_PAGES, FILER_BUSY_TIMEOUT, FILER_RETRY, RESERVE_RETRY, THROTTLE};
use super::store::{Store, StoreError};
use crate::sqlite::reserve::Reserve;
use onsale_engine::ports::JournalError;
use onsale_engine::runtime::{OnFatal, supervised};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// The thread; ends after one more try when it is dropped.
pub(super) struct Filer {
    filing: Filing,
    thread: Option<JoinHandle<()>>,
}

impl Filer {
    /// Starts it.
    ///
    /// # Errors
    /// As the operating system says.
    pub(super) fn start(filing: &Filing, mut store: Store, reserve: Option<Arc<Reserve>>) -> std::io::Result<Self> {
        let theirs = filing.clone();
        let panicked = filing.clone();
        let on_fatal: OnFatal = Arc::new(move |reason: &str| panicked.ends_fatally(reason));
        let thread = supervised("journal-filer", &on_fatal, move || run(&theirs, &mut store, reserve.as_deref()))?;
        Ok(Self { filing: filing.clone(), thread: Some(thread) })
    }
}

impl Drop for Filer {
    fn drop(&mut self) {
        self.filing.stop();
        if let Some(thread) = self.thread.take() {
            // It does not unwind: a panic was told as it came.
            let _ = thread.join();
        }
    }
}

fn run(filing: &Filing, store: &mut Store, reserve: Option<&Reserve>) {
    let (mut rested, mut asked_for_room) = (None, Instant::now());
    while let Some(batches) = filing.next(rested) {
        #[cfg(test)]
        assert!(!filing.shall_panic(), "told to panic");
        let Some(took) = file(filing, store, &batches) else { return };
        let more = filing.filed(&batches);
        if let Some(reserve) = reserve.filter(|reserve| reserve.is_missing())
            && asked_for_room.elapsed() >= RESERVE_RETRY
        {
            asked_for_room = Instant::now();
            reserve.keep();
        }
        rested = more.then(|| Instant::now() + THROTTLE.pause(took));
    }
}

/// Files until it is done, and says how long that took; `None` when it was given up.
fn file(filing: &Filing, store: &mut Store, batches: &[Batch]) -> Option<Duration> {
    loop {
        let began = Instant::now();
        let limited = filing.max_pages().map_or(Ok(()), |pages| store.limit_pages(pages));
        let payloads = batches.iter().map(|batch| &*batch.payload);
        let stored = limited.map_err(StoreError::from).and_then(|()| store.store(payloads));
        let Err(error) = stored else { return Some(began.elapsed()) };
        let failure = match error.as_journal_error() {
            JournalError::Fatal(reason) => Failure::Fatal(reason),
            JournalError::NotDone(reason) | JournalError::Unknown(reason) => Failure::NotNow(reason),
            JournalError::Elsewhere => Failure::NotNow(error.to_string()),
        };
        if !filing.failed(failure, FILER_RETRY) {
            return None;
        }
    }
}

/// Readies a connection to `journal.db` for the filer, which copies SQLite's own log into the file as it goes.
pub(in crate::sqlite) fn for_filing(connection: &rusqlite::Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(FILER_BUSY_TIMEOUT)?;
    connection.pragma_update(None, "wal_autocheckpoint", CHECKPOINT_PAGES)
}

//! Moves the journal's log (SQLite's WAL) into its file, so that the log stays short and commits do not wait for it:
//! a thread of its own copies passively while the writer goes on; only when the log has grown long does the writer
//! let it begin anew, which then costs the little that the thread has not copied yet.

use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes appended after which the thread is woken.
const COPY_AFTER_BYTES: u64 = 4 << 20;
/// A log longer than this begins anew at the next good moment.
const RESTART_BYTES: u64 = 64 << 20;
/// A log longer than this is cut, also at a bad moment.
const MAX_BYTES: u64 = 256 << 20;
/// How long cutting waits for readers to finish; they hold on for milliseconds.
const CUT_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    asked: bool,
    running: bool,
    stopping: bool,
    /// Bytes in the log when the thread last looked.
    log_bytes: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The writer's end of the checkpointing thread, which ends with it.
pub(super) struct Checkpointer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    appended: u64,
}

/// What a checkpoint found.
struct Checkpointed {
    busy: bool,
    log_pages: u64,
}

fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Checkpointed> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        let (busy, log): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(Checkpointed { busy: busy != 0, log_pages: u64::try_from(log).unwrap_or(0) })
    })
}

impl Checkpointer {
    /// Starts the thread on a connection of its own.
    pub(super) fn start(connection: Connection) -> rusqlite::Result<Self> {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes = u64::try_from(page_bytes).unwrap_or(4096);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || theirs.run(&connection, page_bytes))
            .map_err(|_| rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None))?;
        Ok(Self { shared, thread: Some(thread), appended: 0 })
    }

    /// Tells that so many bytes went into the log.
    pub(super) fn appended(&mut self, bytes: u64) {
        self.appended += bytes;
        if self.appended < COPY_AFTER_BYTES {
            return;
        }
        self.appended = 0;
        self.shared.state.lock().asked = true;
        self.shared.changed.notify_one();
    }

    /// Keeps the log short; called by the writer between two transactions. Fails softly: it is tried again.
    pub(super) fn make_room(&mut self, writer: &Connection) {
        let (log_bytes, idle) = {
            let state = self.shared.state.lock();
            (state.log_bytes, !state.running && !state.asked)
        };
        if log_bytes < RESTART_BYTES || !idle {
            return;
        }
        let cut = log_bytes >= MAX_BYTES;
        let waiting = writer.busy_timeout(if cut { CUT_TIMEOUT } else { Duration::ZERO });
        let done = waiting.and_then(|()| checkpoint(writer, if cut { "TRUNCATE" } else { "RESTART" }));
        match (done, writer.busy_timeout(super::data_dir::BUSY_TIMEOUT)) {
            (Ok(Checkpointed { busy: false, .. }), Ok(())) => self.shared.state.lock().log_bytes = 0,
            // A reader is in the way: the thread looks again after the next megabytes.
            (Ok(_), Ok(())) => self.ask_again(),
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "the journal's log could not be shortened");
                self.ask_again();
            }
        }
    }

    fn ask_again(&mut self) {
        self.appended = 0;
        self.shared.state.lock().log_bytes = 0;
    }

    /// Waits until the thread has nothing to do; for tests and measuring.
    #[cfg(test)]
    pub(super) fn settle(&self) {
        let mut state = self.shared.state.lock();
        while state.asked || state.running {
            self.shared.changed.wait(&mut state);
        }
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        self.shared.state.lock().stopping = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the journal's checkpointing thread panicked");
        }
    }
}

impl Shared {
    fn run(&self, connection: &Connection, page_bytes: u64) {
        loop {
            {
                let mut state = self.state.lock();
                while !state.asked && !state.stopping {
                    self.changed.wait(&mut state);
                }
                if state.stopping {
                    return;
                }
                state.asked = false;
                state.running = true;
            }
            let done = checkpoint(connection, "PASSIVE");
            let mut state = self.state.lock();
            state.running = false;
            match done {
                Ok(done) => state.log_bytes = done.log_pages * page_bytes,
                Err(error) => tracing::warn!(%error, "the journal's log could not be copied"),
            }
            self.changed.notify_all();
        }
    }
}

//! Moves the journal's log (SQLite's WAL) into its file, so that the log stays short and commits do not wait for it:
//! a thread of its own copies passively while the writer goes on; only when the log has grown long does the writer
//! let it begin anew, which then costs the little that the thread has not copied yet.

use super::data_dir::BUSY_TIMEOUT;
use parking_lot::{Condvar, Mutex};
use rusqlite::Connection;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the log may get.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Bytes appended after which the thread is woken.
    copy_after_bytes: u64,
    /// A log longer than this begins anew as soon as no reader is in the way.
    restart_bytes: u64,
    /// A log longer than this is cut, and readers are waited for.
    max_bytes: u64,
}

impl Limits {
    /// What the journal uses.
    pub(super) const JOURNAL: Self = Self { copy_after_bytes: 16 << 20, restart_bytes: 64 << 20, max_bytes: 256 << 20 };

    /// How long the log gets where nothing is in its way: what is written until it begins anew, and a little more.
    pub(super) fn usual_bytes(self) -> u64 {
        self.restart_bytes + 2 * self.copy_after_bytes
    }
}

/// How long cutting waits for readers to finish; they hold on for milliseconds.
const CUT_TIMEOUT: Duration = Duration::from_millis(100);

#[derive(Default)]
struct State {
    asked: bool,
    running: bool,
    stopping: bool,
    /// Bytes in the log when the thread last looked, until the writer takes note of it.
    seen_bytes: Option<u64>,
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
    limits: Limits,
    /// Bytes appended since the thread was last woken.
    since_asked: u64,
    /// About how many bytes are in the log.
    log_bytes: u64,
    /// Bytes that may be appended before shortening is tried again, after it failed.
    respite_bytes: u64,
}

/// A transaction writes at least so much, because the log takes whole pages.
const MIN_TRANSACTION_BYTES: u64 = 8192;

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
    pub(super) fn start(connection: Connection, limits: Limits) -> rusqlite::Result<Self> {
        let page_bytes: i64 = connection.pragma_query_value(None, "page_size", |row| row.get(0))?;
        let page_bytes = u64::try_from(page_bytes).unwrap_or(4096);
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new()
            .name("journal-checkpoint".to_owned())
            .spawn(move || theirs.run(&connection, page_bytes))
            .map_err(|_| {
                rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOMEM), None)
            })?;
        Ok(Self { shared, thread: Some(thread), limits, since_asked: 0, log_bytes: 0, respite_bytes: 0 })
    }

    /// Tells that a transaction wrote so many bytes.
    pub(super) fn appended(&mut self, bytes: u64) {
        let bytes = bytes.max(MIN_TRANSACTION_BYTES);
        self.log_bytes += bytes;
        self.since_asked += bytes;
        self.respite_bytes = self.respite_bytes.saturating_sub(bytes);
        // A log that is too long waits for the thread to rest, so that the writer can begin it anew.
        let long = self.log_bytes >= self.limits.restart_bytes && self.respite_bytes == 0;
        if self.since_asked >= self.limits.copy_after_bytes && !long {
            self.ask();
        }
    }

    fn ask(&mut self) {
        self.since_asked = 0;
        self.shared.state.lock().asked = true;
        self.shared.changed.notify_all();
    }

    /// Keeps the log short; called by the writer between two transactions. Fails softly: it is tried again.
    pub(super) fn make_room(&mut self, writer: &Connection) {
        let mut state = self.shared.state.lock();
        if let Some(seen) = state.seen_bytes.take() {
            self.log_bytes = seen + self.since_asked;
        }
        if self.log_bytes < self.limits.restart_bytes || self.respite_bytes > 0 {
            return;
        }
        let cut = self.log_bytes >= self.limits.max_bytes;
        while cut && (state.running || state.asked) {
            self.shared.changed.wait(&mut state);
        }
        if state.running || state.asked {
            return;
        }
        drop(state);
        let (mode, patience) = if cut { ("TRUNCATE", CUT_TIMEOUT) } else { ("RESTART", Duration::ZERO) };
        let done = writer.busy_timeout(patience).and_then(|()| checkpoint(writer, mode));
        match (done, writer.busy_timeout(BUSY_TIMEOUT)) {
            (Ok(Checkpointed { busy: false, .. }), Ok(())) => (self.log_bytes, self.since_asked) = (0, 0),
            // A reader is in the way. Those who wait for it must not wait again soon.
            (Ok(_), Ok(())) if cut => self.respite_bytes = self.limits.restart_bytes,
            (Ok(_), Ok(())) => self.respite_bytes = self.limits.copy_after_bytes,
            (Err(error), _) | (_, Err(error)) => {
                tracing::warn!(%error, "the journal's log could not be shortened");
                self.respite_bytes = self.limits.copy_after_bytes;
            }
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
                Ok(done) => state.seen_bytes = Some(done.log_pages * page_bytes),
                Err(error) => tracing::warn!(%error, "the journal's log could not be copied"),
            }
            self.changed.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sqlite::DataDir;
    use std::path::Path;

    const LIMITS: Limits = Limits { copy_after_bytes: 1 << 20, restart_bytes: 2 << 20, max_bytes: 4 << 20 };
    const ROW_BYTES: u64 = 4000;

    fn log_bytes(dir: &Path) -> u64 {
        std::fs::metadata(dir.join("journal.db-wal")).unwrap().len()
    }

    fn write(writer: &Connection, checkpointer: &mut Checkpointer, rows: u64) {
        for _ in 0..rows {
            checkpointer.make_room(writer);
            writer.execute("INSERT INTO filler VALUES (zeroblob(?1))", [ROW_BYTES as i64]).unwrap();
            checkpointer.appended(ROW_BYTES);
        }
    }

    #[test]
    fn the_log_stays_short_under_constant_writing_and_a_reader_only_delays_that() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        let unsynced = || {
            let connection = dir.journal_connection().unwrap();
            connection.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
            connection.pragma_update(None, "synchronous", "OFF").unwrap();
            connection
        };
        let (writer, reader) = (unsynced(), unsynced());
        writer.execute_batch("CREATE TABLE filler (body BLOB)").unwrap();
        let mut checkpointer = Checkpointer::start(unsynced(), LIMITS).unwrap();
        write(&writer, &mut checkpointer, 5000);
        assert!(log_bytes(temp.path()) < 2 * LIMITS.max_bytes, "{} bytes are in the log", log_bytes(temp.path()));

        reader.execute_batch("BEGIN; SELECT count(*) FROM filler").unwrap();
        let before = log_bytes(temp.path());
        write(&writer, &mut checkpointer, 1500);
        let held = log_bytes(temp.path());
        assert!(held > before && held >= 1500 * ROW_BYTES, "a reader keeps what it may still need: {before}, {held}");
        reader.execute_batch("COMMIT").unwrap();
        write(&writer, &mut checkpointer, 1000);
        assert!(log_bytes(temp.path()) < 2 * LIMITS.max_bytes, "{} bytes are in the log", log_bytes(temp.path()));
    }
}

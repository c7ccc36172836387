//! Room in the journal's log (SQLite's WAL) before it is needed. A sync of bytes that overwrite others touches nothing
//! but them; a sync of a file that has grown waits for the file system's own journal, and with it for whatever else is
//! being written. So whenever SQLite had to make its log longer, the writer makes it a good deal longer still, with
//! zeros, between two transactions. Never shortens anything, and never writes where SQLite has written.
//!
//! SQLite does not mind: it leaves old frames behind its last one itself, and a recovery ends at the first frame that
//! does not fit, which a frame of zeros (page number 0) never does.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::PathBuf;

/// By how much the log is made longer at a time: small enough that nobody waits long for it.
const STEP_BYTES: u64 = 4 << 20;
/// Zeros written at a time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// See the module.
pub(super) struct LogSpace {
    path: PathBuf,
    file: Option<File>,
    /// How long the log was when it was last looked at.
    known_bytes: u64,
    /// A log of this length or more is left alone.
    enough_bytes: u64,
}

impl LogSpace {
    /// Room for the log at `path`, which need not be there yet; up to `enough_bytes`.
    pub(super) fn new(path: PathBuf, enough_bytes: u64) -> Self {
        Self { path, file: None, known_bytes: 0, enough_bytes }
    }

    /// Makes room if SQLite had to make the log longer itself. Must be called by the log's only writer, between two
    /// transactions. Fails softly: without room commits are slower, nothing else.
    pub(super) fn keep_ahead(&mut self) {
        if let Err(error) = self.try_keep_ahead() {
            tracing::warn!(%error, "no room was made in the journal's log; it grows by itself");
            self.enough_bytes = 0;
        }
    }

    fn try_keep_ahead(&mut self) -> io::Result<()> {
        if self.enough_bytes == 0 {
            return Ok(());
        }
        if self.file.is_none() {
            match OpenOptions::new().write(true).open(&self.path) {
                Ok(file) => self.file = Some(file),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let bytes = file.metadata()?.len();
        if bytes > self.known_bytes && bytes < self.enough_bytes {
            let end = (bytes + STEP_BYTES).min(self.enough_bytes);
            file.seek(SeekFrom::Start(bytes))?;
            let mut left = end - bytes;
            while left > 0 {
                let chunk = left.min(ZEROS.len() as u64);
                file.write_all(&ZEROS[..chunk as usize])?;
                left -= chunk;
            }
            file.sync_all()?;
            self.known_bytes = end;
        } else {
            // Cut off by a checkpoint, or long enough.
            self.known_bytes = bytes;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sqlite::DataDir;

    #[test]
    fn a_log_with_zeros_behind_its_end_is_read_back_whole() {
        let temp = tempfile::tempdir().unwrap();
        let copy = tempfile::tempdir().unwrap();
        let wal = temp.path().join("journal.db-wal");
        let dir = DataDir::open(temp.path()).unwrap();
        let writer = dir.journal_connection().unwrap();
        writer.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        writer.execute_batch("CREATE TABLE filler (n INTEGER PRIMARY KEY, body BLOB)").unwrap();
        let mut space = LogSpace::new(wal.clone(), 6 << 20);
        for n in 0..3000 {
            space.keep_ahead();
            writer.execute("INSERT INTO filler VALUES (?1, zeroblob(900))", [n]).unwrap();
            let bytes = std::fs::metadata(&wal).unwrap().len();
            assert!(n == 0 || bytes >= STEP_BYTES, "{bytes} bytes after row {n}");
        }
        assert!(std::fs::metadata(&wal).unwrap().len() > 6 << 20, "beyond enough it grows by itself");
        // As after a crash: the files as they are, without their index.
        for name in ["journal.db", "journal.db-wal"] {
            std::fs::copy(temp.path().join(name), copy.path().join(name)).unwrap();
        }
        let reader = rusqlite::Connection::open(copy.path().join("journal.db")).unwrap();
        let rows: i64 = reader.query_row("SELECT count(*) FROM filler", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 3000);
        // Cut by a checkpoint: room is made anew.
        writer.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        space.keep_ahead();
        writer.execute("INSERT INTO filler VALUES (-1, x'')", []).unwrap();
        space.keep_ahead();
        assert!(std::fs::metadata(&wal).unwrap().len() > STEP_BYTES);
    }
}

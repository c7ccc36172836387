//! What SQLite's errors mean: whether something certainly did not happen, and whether the disk may still be trusted.

use onsale_engine::ports::JournalError;
use rusqlite::ErrorCode;
use rusqlite::ffi;

/// When an error came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the commit: whatever was written is rolled back.
    Work,
    /// While committing.
    Commit,
}

/// What an error means for the writer. A transaction that is still open must be rolled back by the caller.
pub(super) fn journal_error(error: &rusqlite::Error, stage: Stage) -> JournalError {
    let reason = error.to_string();
    let Some(code) = error.sqlite_error() else { return JournalError::NotDone(reason) };
    match (code.code, code.extended_code) {
        // After a failed sync the kernel may have dropped what was written and say so only once: no retry can help.
        (_, ffi::SQLITE_IOERR_FSYNC | ffi::SQLITE_IOERR_DIR_FSYNC | ffi::SQLITE_IOERR_CORRUPTFS) => {
            JournalError::Fatal(reason)
        }
        (ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase, _) => JournalError::Fatal(reason),
        // A full disk can also show when the shared memory beside the log cannot grow; nothing is committed then.
        (_, ffi::SQLITE_IOERR_SHMSIZE | ffi::SQLITE_IOERR_SHMMAP | ffi::SQLITE_IOERR_SHMOPEN) => {
            JournalError::NotDone(reason)
        }
        (ErrorCode::SystemIoFailure, _) if stage == Stage::Commit => JournalError::Unknown(reason),
        // A full disk, a busy file, no memory: SQLite rolls back, or the caller does.
        (_, _) => JournalError::NotDone(reason),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meaning(extended: i32, stage: Stage) -> &'static str {
        let error = rusqlite::Error::SqliteFailure(ffi::Error::new(extended), None);
        match journal_error(&error, stage) {
            JournalError::NotDone(_) => "not done",
            JournalError::Unknown(_) => "unknown",
            JournalError::Fatal(_) => "fatal",
            JournalError::Elsewhere => "elsewhere",
        }
    }

    #[test]
    fn each_error_says_whether_it_happened_and_whether_to_go_on() {
        use Stage::{Commit, Work};
        for (extended, work, commit) in [
            (ffi::SQLITE_FULL, "not done", "not done"),
            (ffi::SQLITE_BUSY, "not done", "not done"),
            (ffi::SQLITE_BUSY_SNAPSHOT, "not done", "not done"),
            (ffi::SQLITE_NOMEM, "not done", "not done"),
            (ffi::SQLITE_READONLY, "not done", "not done"),
            (ffi::SQLITE_IOERR_SHMSIZE, "not done", "not done"),
            (ffi::SQLITE_IOERR_READ, "not done", "unknown"),
            (ffi::SQLITE_IOERR_WRITE, "not done", "unknown"),
            (ffi::SQLITE_IOERR_FSYNC, "fatal", "fatal"),
            (ffi::SQLITE_IOERR_DIR_FSYNC, "fatal", "fatal"),
            (ffi::SQLITE_CORRUPT, "fatal", "fatal"),
            (ffi::SQLITE_NOTADB, "fatal", "fatal"),
        ] {
            assert_eq!(meaning(extended, Work), work, "{extended} while working");
            assert_eq!(meaning(extended, Commit), commit, "{extended} while committing");
        }
        let other = rusqlite::Error::QueryReturnedNoRows;
        assert!(matches!(journal_error(&other, Commit), JournalError::NotDone(_)));
    }
}

//! Why a data directory was not opened. Must say what an operator can do about it.

use std::io;
use std::path::PathBuf;

/// Why a data directory was not opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process works on it.
    #[error("the data directory {} is in use by another process", path.display())]
    Locked {
        /// The directory.
        path: PathBuf,
    },
    /// There is no journal in it, and none was to be made.
    #[error("{} is no data directory: it has no journal", path.display())]
    NoJournal {
        /// The directory.
        path: PathBuf,
    },
    /// A journal without its key cannot be verified.
    #[error("{} is missing, and the journal beside it was made with it", path.display())]
    KeyMissing {
        /// The key file.
        path: PathBuf,
    },
    /// Facts that were acknowledged are missing from the commit log, or it was changed.
    #[error(
        "the commit log is damaged: {}: {reason}; what it holds that the journal has not is lost, so restore a backup, \
         or take the journal.log.* files away to go on without it", path.display()
    )]
    LogDamaged {
        /// The segment.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Journal and commit log are not of one piece.
    #[error(
        "{} is not what the commit log beside it continues: {reason}; if an older journal was put back, take the \
         journal.log.* files away, which hold what came later", path.display()
    )]
    LogUnfit {
        /// The journal.
        path: PathBuf,
        /// Where they part.
        reason: String,
    },
    /// It is only read, and another version's schema is not brought up to date.
    #[error(
        "{} has version {found} of its schema, and this version of onsale reads {known}: {}", path.display(),
        if found < known {
            "start a server on the directory once, which brings it up to date, or use the version that wrote it"
        } else {
            "use the version that wrote it"
        }
    )]
    OtherSchema {
        /// The file.
        path: PathBuf,
        /// The last migration that it has seen.
        found: i32,
        /// The last one that this version has.
        known: i32,
    },
    /// The directory was opened for reading alone.
    #[error("the data directory {} was opened for reading alone", path.display())]
    ReadOnly {
        /// The directory.
        path: PathBuf,
    },
    /// The journal is being written already.
    #[error("the journal in {} has a writer already", path.display())]
    Writing {
        /// The directory.
        path: PathBuf,
    },
    /// The file system returned an error.
    #[error("the data directory cannot be used: {}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// SQLite returned an error.
    #[error("the database cannot be opened: {}: {source}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// The schema is not one that this version knows, or could not be brought up to date.
    #[error("the schema of {} cannot be brought up to date: {source}", path.display())]
    Schema {
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: Box<refinery::Error>,
    },
}

//! Why a backup was not made or restored. Must name the file.

use super::open_error::OpenError;
use std::io;
use std::path::PathBuf;

/// Why a backup was not made or restored.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A file could not be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or directory.
        path: PathBuf,
        /// What the file system said.
        source: io::Error,
    },
    /// SQLite returned an error.
    #[error("the copy of {file} failed: {source}")]
    Copy {
        /// Which database.
        file: &'static str,
        /// What it said.
        source: rusqlite::Error,
    },
    /// What is in the commit log could not be put into the copied journal.
    #[error("the commit log could not be copied: {0}")]
    Log(String),
    /// Events were being made all the time.
    #[error("no moment was found at which the tables fit the journal; try again")]
    Unsettled,
    /// It is there already.
    #[error("{} is there already and is not empty", .0.display())]
    Occupied(PathBuf),
    /// It is none, or it has been changed since.
    #[error("{} is no whole backup: {reason}", path.display())]
    NotWhole {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

//! The embedded storage: SQLite files in one data directory that one process owns.
//!
//! The commit log (`journal.log.*`) and `journal.db`, into which it is checkpointed, are the truth and have one writer;
//! `snapshots.db` shortens starts; `library.db` holds the projections,
//! the accounts and the catalogue. They are separate files, so that they do not share a writer. Must never be opened
//! but through [`DataDir`], which holds the lock; `backup` alone reads beside it.

mod accounts;
mod answers;
mod audit;
mod backup;
mod backup_error;
mod catalogue;
mod commit_log;
mod data_dir;
mod failure;
mod files;
mod journal;
mod library;
mod open_error;
mod permissions;
mod pinned;
mod plans;
mod projection;
mod read_only;
mod reader;
mod reserve;
mod schemas;
mod search;
mod tables;

pub use accounts::SqliteAccounts;
pub use backup::{FileNote, Inspected, Manifest, back_up, inspect, read_manifest, restore};
pub use backup_error::BackupError;
pub use catalogue::SqliteCatalogue;
pub use data_dir::DataDir;
pub use journal::SqliteJournal;
pub use library::Library;
pub use open_error::OpenError;
pub use permissions::{PermissionError, Readers, tighten};
pub use plans::SqlitePlans;
pub use projection::{SqliteProjection, SqliteRecords};
pub use reader::SqliteReader;
pub use reserve::Reserve;

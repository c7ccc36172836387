//! The embedded storage: SQLite files in one data directory that one process owns.
//!
//! `journal.db` is the truth and has one writer; `snapshots.db` shortens starts; `library.db` holds the projections,
//! the accounts and the catalogue. They are separate files, so that they do not share a writer. Must never be opened
//! but through [`DataDir`], which holds the lock.

mod accounts;
mod answers;
mod catalogue;
mod data_dir;
mod library;
mod plans;

pub use accounts::SqliteAccounts;
pub use catalogue::SqliteCatalogue;
pub use data_dir::{DataDir, OpenError};
pub use library::Library;
pub use plans::SqlitePlans;

//! The embedded storage: SQLite files in one data directory that one process owns.
//!
//! `journal.db` is the truth and has one writer; `snapshots.db` shortens starts; `library.db` holds the projections,
//! the accounts and the catalogue. They are separate files, so that they do not share a writer. Must never be opened
//! but through [`DataDir`], which holds the lock.

mod data_dir;

pub use data_dir::{DataDir, OpenError};

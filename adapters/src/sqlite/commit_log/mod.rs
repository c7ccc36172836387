//! The commit log: where a batch of facts becomes durable, in files that are written here, in front of `journal.db`.
//!
//! A batch is one frame, written and synced at once. *Checkpointing* moves its rows into `journal.db` after the reply, by the
//! checkpointer's thread; after a crash the next opening recovers the log before anything else. Rows are *flushed* when they
//! are in `journal.db`. (A *checkpoint* by itself is a projection's, how far it has read the journal; SQLite's own is called a
//! WAL checkpoint.) A segment is a file of this log.
//!
//! Must never report a commit before the sync, give a segment to new frames before its old ones are flushed, or skip frames
//! that are missing.

mod backlog;
mod checkpointer;
mod disk;
mod frame;
mod log;
mod recover;
mod rows;
mod scan;
mod segment;
mod sizes;
mod store;
#[cfg(test)]
mod tests;

pub(super) use backlog::Backlog;
pub(super) use checkpointer::for_checkpointing;
pub(super) use disk::{Disk, OwnDisk};
pub(super) use log::CommitLog;
pub(super) use recover::{is_there, recover};
pub(super) use rows::Decoder;
pub(super) use scan::{Scan, ScanError};
pub(super) use sizes::Sizes;
pub(super) use store::{RAISE_LEASE, Store, StoreError};

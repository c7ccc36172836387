//! The commit log: where a batch of facts becomes durable, in files that this writes itself, in front of `journal.db`.
//! A batch is one frame, written and synced at once; a thread files the rows into `journal.db` behind the answer, and
//! what a crash left unfiled is filed at the next opening. Must never say "done" before the sync, give a segment to new
//! frames before its old ones are filed, or pass over frames that are missing.

mod disk;
mod filer;
mod filing;
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

pub(super) use disk::{Disk, OwnDisk};
pub(super) use filer::for_filing;
pub(super) use filing::Filing;
pub(super) use log::CommitLog;
pub(super) use recover::{file_left_over, is_there};
pub(super) use rows::Decoder;
pub(super) use scan::{Scan, ScanError};
pub(super) use sizes::Sizes;
pub(super) use store::{RAISE_LEASE, Store, StoreError};

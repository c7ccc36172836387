//! Recovers the commit log of a process that has died into `journal.db`, before anything reads that. Refuses a log of which
//! something is missing, or which does not continue the journal; must never remove a segment before it is flushed.

use super::disk::sync_directory;
use super::scan::{LogSegment, Scan, ScanError};
use super::sizes::{RECOVERY_TRANSACTION_BYTES, SEGMENTS, segment_path};
use super::store::{Store, StoreError};
use crate::chain::LogKey;
use crate::sqlite::open_error::OpenError;
use std::io;
use std::path::Path;

/// Whether there is a commit log in that directory.
pub(in crate::sqlite) fn is_there(dir: &Path) -> bool {
    (0..SEGMENTS).any(|slot| segment_path(dir, slot).exists())
}

/// Writes what is left of a commit log in that directory, whose lock is held, to `journal.db`, and removes the log.
///
/// # Errors
/// [`OpenError::LogDamaged`], [`OpenError::LogUnfit`], and as the file system or SQLite says.
pub(in crate::sqlite) fn recover(
    dir: &Path,
    key: &LogKey,
    store: impl FnOnce() -> Result<Store, OpenError>,
) -> Result<(), OpenError> {
    if !is_there(dir) {
        return Ok(());
    }
    // Read twice, so that nothing is written of a log that is refused.
    let mut scan = Scan::begin(dir, key)?;
    while scan.next()?.is_some() {}
    let mut scan = Scan::begin(dir, key)?;
    let mut store = store()?;
    let mut frames = 0;
    while let Some(segment) = scan.next()? {
        frames += segment.payloads().count();
        let stored = in_parts(&mut store, &segment).and_then(|()| Ok(store.raise_leases()?));
        stored.map_err(|error| error.at_open(dir, segment.path()))?;
        // It is in the journal, synced: the next one may need its space.
        remove_segment(dir, segment.path())?;
    }
    store.close().map_err(|error| StoreError::from(error).at_open(dir, dir))?;
    tracing::info!(frames, "recovered the commit log of an earlier process");
    remove(dir, key)
}

/// Stores a segment in transactions that need little room in SQLite's own log, as the disk may be full.
fn in_parts(store: &mut Store, segment: &LogSegment) -> Result<(), StoreError> {
    let mut payloads = segment.payloads().peekable();
    while payloads.peek().is_some() {
        let mut bytes = 0;
        store.store(std::iter::from_fn(|| {
            let next = payloads.next_if(|_| bytes < RECOVERY_TRANSACTION_BYTES)?;
            bytes += next.len();
            Some(next)
        }))?;
    }
    Ok(())
}

/// Removes a log that is flushed, the oldest segment first: what a crash leaves of it is a log, too.
pub(super) fn remove(dir: &Path, key: &LogKey) -> Result<(), OpenError> {
    let scan = Scan::begin(dir, key)?;
    let slots: Vec<_> = (0..SEGMENTS).map(|slot| segment_path(dir, slot)).collect();
    let mut ours = scan.paths().chain(slots.iter().map(|path| &**path));
    ours.try_for_each(|path| remove_segment(dir, path))
}

/// Removes a segment, durably before the next one: else a crash could leave this one and not a later one.
fn remove_segment(dir: &Path, path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed.map_err(|source| OpenError::File { path: path.to_owned(), source })?,
    }
    sync_directory(dir).map_err(|source| OpenError::File { path: dir.to_owned(), source })
}

impl From<ScanError> for OpenError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::File { path, source } => Self::File { path, source },
            ScanError::Damaged { path, reason } => Self::LogDamaged { path, reason },
        }
    }
}

//! One segment's file: made with zeros in it, written block by block, each write durable when it returns. Past the page
//! cache where the file system allows it, through it and synced where not. Knows nothing of what is written; must never
//! go on after a sync that failed.

use super::disk::{Access, Disk, DiskError, DiskFile};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Zeros written at a time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A segment's file, open for writing.
pub(super) struct SegmentFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    /// Whether a write is durable by itself.
    is_direct: bool,
    bytes: u64,
}

impl SegmentFile {
    /// Makes the file, with `first` in its first block and zeros behind it, up to `bytes`. It is on the disk under its
    /// name when this returns, so that later writes change nothing but its content.
    pub(super) fn create(disk: &Arc<dyn Disk>, path: PathBuf, first: &[u8], bytes: u64) -> Result<Self, DiskError> {
        let made = make(&**disk, &path, first, bytes);
        if made.is_err() {
            // Not to be taken for one that was in use.
            let _ = disk.remove(&path);
        }
        let (file, is_direct) = made?;
        Ok(Self { disk: Arc::clone(disk), path, file, is_direct, bytes })
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it longer, with zeros; as long as it was when the disk is full.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), DiskError> {
        let plain = self.disk.open(&self.path, Access::Cached).map_err(DiskError::NotOpened)?;
        if let Err(error) = fill(&*plain, self.bytes, bytes) {
            let _ = plain.set_len(self.bytes);
            return Err(DiskError::write(error));
        }
        plain.sync().map_err(DiskError::Lost)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Gives back what is behind `bytes`, after a frame that was longer than a segment.
    pub(super) fn shrink(&mut self, bytes: u64) -> Result<(), DiskError> {
        let plain = self.disk.open(&self.path, Access::Cached).map_err(DiskError::NotOpened)?;
        plain.set_len(bytes).map_err(DiskError::write)?;
        plain.sync().map_err(DiskError::Lost)?;
        self.bytes = bytes;
        Ok(())
    }

    /// Writes whole blocks at `offset`; durable when this returns.
    pub(super) fn write(&mut self, blocks: &[u8], offset: u64) -> Result<(), DiskError> {
        debug_assert!(offset + blocks.len() as u64 <= self.bytes);
        self.file.write_at(blocks, offset).map_err(DiskError::write)?;
        if self.is_direct { Ok(()) } else { self.file.sync().map_err(DiskError::Lost) }
    }

    /// As on a file system that refuses direct writes.
    #[cfg(test)]
    pub(super) fn write_through_the_cache(&mut self) {
        self.file = self.disk.open(&self.path, Access::Cached).unwrap_or_else(|error| panic!("{error}"));
        self.is_direct = false;
    }
}

fn make(disk: &dyn Disk, path: &Path, first: &[u8], bytes: u64) -> Result<(Box<dyn DiskFile>, bool), DiskError> {
    let plain = disk.open(path, Access::New).map_err(DiskError::NotOpened)?;
    plain.write_at(first, 0).map_err(DiskError::write)?;
    fill(&*plain, first.len() as u64, bytes).map_err(DiskError::write)?;
    plain.sync().map_err(DiskError::Lost)?;
    if let Some(dir) = path.parent() {
        disk.sync_directory(dir)?;
    }
    let Ok(direct) = disk.open(path, Access::Direct) else { return Ok((plain, false)) };
    // Whether such writes are taken is found out by writing the first block again.
    match direct.write_at(first, 0) {
        Ok(()) => Ok((direct, true)),
        Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => {
            Ok((plain, false))
        }
        Err(error) => Err(DiskError::write(error)),
    }
}

fn fill(file: &dyn DiskFile, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let chunk = (to - at).min(ZEROS.len() as u64);
        file.write_at(&ZEROS[..chunk as usize], at)?;
        at += chunk;
    }
    Ok(())
}

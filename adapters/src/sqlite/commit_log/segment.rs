//! One segment's file: made with zeros in it, written block by block, each write durable when it returns. Past the page
//! cache where the file system allows it, through it and synced where not. Knows nothing of what is written.

use super::BLOCK_BYTES;
use std::fs::{File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// Zeros written at a time.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A segment's file, open for writing.
#[derive(Debug)]
pub(super) struct SegmentFile {
    path: PathBuf,
    file: File,
    /// Whether a write is durable by itself.
    is_direct: bool,
    bytes: u64,
}

impl SegmentFile {
    /// Makes the file, with `first` in its first block and zeros behind it, up to `bytes`. It is on the disk under its
    /// name when this returns, so that later writes change nothing but its content.
    pub(super) fn create(path: PathBuf, first: &[u8], bytes: u64) -> io::Result<Self> {
        let made = Self::make(&path, first, bytes);
        if made.is_err() {
            // Not to be taken for one that was in use.
            let _ = std::fs::remove_file(&path);
        }
        let (file, is_direct) = made?;
        Ok(Self { path, file, is_direct, bytes })
    }

    fn make(path: &Path, first: &[u8], bytes: u64) -> io::Result<(File, bool)> {
        let mut plain = private(&mut OpenOptions::new()).create(true).truncate(true).open(path)?;
        plain.write_all(first)?;
        fill(&mut plain, first.len() as u64, bytes)?;
        plain.sync_all()?;
        if let Some(dir) = path.parent() {
            sync_directory(dir)?;
        }
        match direct(path, first) {
            Some(file) => Ok((file, true)),
            None => Ok((plain, false)),
        }
    }

    /// How long the file is.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Makes it longer, with zeros; as long as it was when this fails.
    pub(super) fn grow(&mut self, bytes: u64) -> io::Result<()> {
        let grown = || -> io::Result<()> {
            let mut plain = OpenOptions::new().write(true).open(&self.path)?;
            plain.seek(SeekFrom::Start(self.bytes))?;
            fill(&mut plain, self.bytes, bytes)?;
            plain.sync_all()
        };
        match grown() {
            Ok(()) => self.bytes = bytes,
            Err(error) => {
                let _ = self.file.set_len(self.bytes);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Writes whole blocks at `offset`; durable when this returns.
    pub(super) fn write(&mut self, blocks: &[u8], offset: u64) -> io::Result<()> {
        debug_assert!(blocks.len().is_multiple_of(BLOCK_BYTES) && offset + blocks.len() as u64 <= self.bytes);
        write_all_at(&mut self.file, blocks, offset)?;
        if self.is_direct { Ok(()) } else { self.file.sync_data() }
    }

    /// As on a file system that refuses direct writes.
    #[cfg(test)]
    pub(super) fn write_through_the_cache(&mut self) {
        self.file = OpenOptions::new().write(true).open(&self.path).unwrap_or_else(|error| panic!("{error}"));
        self.is_direct = false;
    }
}

fn fill(file: &mut File, from: u64, to: u64) -> io::Result<()> {
    let mut left = to.saturating_sub(from);
    while left > 0 {
        let chunk = left.min(ZEROS.len() as u64);
        file.write_all(&ZEROS[..chunk as usize])?;
        left -= chunk;
    }
    Ok(())
}

/// A file whose writes are durable by themselves, if the file system has such; found out by writing the first block again.
#[cfg(target_os = "linux")]
fn direct(path: &Path, first: &[u8]) -> Option<File> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let flags = (OFlags::DIRECT | OFlags::DSYNC).bits();
    let mut file = OpenOptions::new().write(true).custom_flags(flags.cast_signed()).open(path).ok()?;
    write_all_at(&mut file, first, 0).ok()?;
    Some(file)
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &Path, _: &[u8]) -> Option<File> {
    None
}

#[cfg(unix)]
fn write_all_at(file: &mut File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_all_at(file: &mut File, bytes: &[u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.write(true).mode(0o600).clone()
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> OpenOptions {
    options.write(true).clone()
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

//! What the commit log asks of the operating system: files, their syncs, the directory's. Owns what a failure means; knows
//! neither segments nor frames. Tests put a disk under the log that forgets, counts and fails.

use super::sizes::{BLOCK_BYTES, BLOCK_MAX_BYTES};
use onsale_engine::ports::JournalError;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

/// Why nothing durable came of it.
#[derive(Debug)]
pub(in crate::sqlite) enum DiskError {
    /// A file could not be opened or made; nothing was written.
    NotOpened(io::Error),
    /// The disk is full. The same bytes may be written again in the same place.
    Full(io::Error),
    /// A write failed otherwise, or a sync did, with whatever reason: the kernel may have dropped what was written, and
    /// says so once. Never to be tried again.
    Lost(io::Error),
}

impl DiskError {
    /// Of a write, or of what makes room for one.
    pub(super) fn write(error: io::Error) -> Self {
        let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if is_full { Self::Full(error) } else { Self::Lost(error) }
    }

    /// What it means where room for frames is made, of which none was written.
    pub(super) fn without_room(self) -> JournalError {
        match self {
            Self::NotOpened(error) | Self::Full(error) => {
                JournalError::NotDone(format!("the commit log cannot grow: {error}"))
            }
            Self::Lost(error) => JournalError::Fatal(format!("the commit log cannot grow: {error}")),
        }
    }

    /// What it means where a frame was written.
    pub(super) fn of_frame(self) -> JournalError {
        match self {
            Self::NotOpened(error) | Self::Full(error) => {
                JournalError::Unknown(format!("the commit log cannot be written: {error}"))
            }
            Self::Lost(error) => JournalError::Fatal(format!("the commit log cannot be written: {error}")),
        }
    }
}

/// A file that is open for writing.
pub(in crate::sqlite) trait DiskFile: Send {
    /// Writes all of it, nothing or a part.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes it as long as that.
    fn set_len(&self, bytes: u64) -> io::Result<()>;
    /// Makes what was written durable, and how long the file is.
    fn sync(&self) -> io::Result<()>;
}

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sqlite) enum Access {
    /// Through the page cache, made if it is not there and empty.
    New,
    /// Through the page cache.
    Cached,
    /// Past it: each write is durable when it returns.
    Direct,
}

/// Where files are.
pub(in crate::sqlite) trait Disk: Send + Sync {
    /// Opens a file for writing.
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>>;
    /// Takes a file away.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes the names in a directory durable.
    fn sync_directory(&self, dir: &Path) -> Result<(), DiskError>;
    /// What frames must begin at multiples of, in the file and in memory, so that a write past the cache is taken and
    /// rewrites nothing of the frame before it: as `file`, which lies on the same file system, says.
    fn block_bytes(&self, file: &Path) -> usize;
}

/// The operating system's.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct OwnDisk;

impl Disk for OwnDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.write(true);
        let file = match access {
            Access::New => private(&mut options).create(true).truncate(true).open(path)?,
            Access::Cached => options.open(path)?,
            Access::Direct => direct(&mut options)?.open(path)?,
        };
        Ok(Box::new(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_directory(&self, dir: &Path) -> Result<(), DiskError> {
        if !cfg!(unix) {
            return Ok(());
        }
        File::open(dir).map_err(DiskError::NotOpened)?.sync_all().map_err(DiskError::Lost)
    }

    fn block_bytes(&self, file: &Path) -> usize {
        // A page that holds two frames would be written again with the second one.
        let wanted = page_bytes().max(direct_alignment(file).unwrap_or(0)).max(BLOCK_BYTES);
        wanted.checked_next_power_of_two().filter(|bytes| *bytes <= BLOCK_MAX_BYTES).unwrap_or(BLOCK_BYTES)
    }
}

impl DiskFile for File {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        write_all_at(self, bytes, offset)
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        Self::set_len(self, bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Makes the names in a directory durable.
pub(super) fn sync_directory(dir: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(dir)?.sync_all() } else { Ok(()) }
}

/// What writes past the cache must be multiples of and begin at, where the file system says it.
#[cfg(target_os = "linux")]
fn direct_alignment(file: &Path) -> Option<usize> {
    use rustix::fs::{AtFlags, CWD, StatxFlags, statx};
    let found = statx(CWD, file, AtFlags::empty(), StatxFlags::DIOALIGN).ok()?;
    let is_known = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::DIOALIGN);
    is_known.then_some(found.stx_dio_offset_align.max(found.stx_dio_mem_align) as usize)
}

#[cfg(not(target_os = "linux"))]
fn direct_alignment(_: &Path) -> Option<usize> {
    None
}

#[cfg(unix)]
fn page_bytes() -> usize {
    rustix::param::page_size()
}

#[cfg(not(unix))]
fn page_bytes() -> usize {
    BLOCK_BYTES
}

#[cfg(target_os = "linux")]
fn direct(options: &mut OpenOptions) -> io::Result<&mut OpenOptions> {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    Ok(options.custom_flags((OFlags::DIRECT | OFlags::DSYNC).bits().cast_signed()))
}

#[cfg(not(target_os = "linux"))]
fn direct(_: &mut OpenOptions) -> io::Result<&mut OpenOptions> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(unix)]
fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

#[cfg(unix)]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600)
}

#[cfg(not(unix))]
fn private(options: &mut OpenOptions) -> &mut OpenOptions {
    options
}

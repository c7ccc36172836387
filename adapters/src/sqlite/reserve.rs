//! The reserve: a file of the data directory that holds room, so that a start on a full disk can recover what a crash left
//! and be read from. Owns that file; must never take the last room of a disk that a server works on.

use super::open_error::OpenError;
use rusqlite::ErrorCode;
use rusqlite::ffi::{SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE};
use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Its name.
const RESERVE: &str = "journal.reserve";
/// Room for what a start writes before it serves: SQLite's own files, and what the rows of a commit log take in `journal.db`
/// beyond the segments that are given back as they are recovered. Raising it takes as much of the disk.
const RESERVE_BYTES: u64 = 32 << 20;
/// With less free than this a start does not begin without the room of the reserve.
const START_BYTES: u64 = 4 << 20;
/// A reserve is made when so much is free, so that it does not take what the server needs next.
const FREE_BYTES: u64 = 3 * RESERVE_BYTES;

/// See the module.
#[derive(Debug)]
pub struct Reserve {
    path: PathBuf,
    is_missing: AtomicBool,
}

impl Reserve {
    /// That of a directory; nothing is made yet.
    pub(super) fn of(dir: &Path) -> Self {
        let path = dir.join(RESERVE);
        let is_missing = AtomicBool::new(!is_whole(&path));
        Self { path, is_missing }
    }

    /// Whether the next start on a full disk would have no room.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.is_missing.load(Ordering::Relaxed)
    }

    /// Gives the room to a start when the disk is full, or nearly so.
    pub(super) fn release_if_full(&self) -> Result<(), OpenError> {
        if free_bytes(&self.path).is_some_and(|free| free < START_BYTES) {
            self.release()?;
        }
        Ok(())
    }

    /// Gives the room away; whether there was any.
    pub(super) fn release(&self) -> Result<bool, OpenError> {
        self.is_missing.store(true, Ordering::Relaxed);
        match std::fs::remove_file(&self.path) {
            Ok(()) => {
                tracing::warn!(file = %self.path.display(), "the disk is full: the reserve is given to this start");
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(OpenError::File { path: self.path.clone(), source }),
        }
    }

    /// Makes the file where it is missing and there is room for it.
    pub(super) fn keep(&self) {
        let was_missing = self.is_missing();
        if is_whole(&self.path) {
            self.is_missing.store(false, Ordering::Relaxed);
            return;
        }
        if free_bytes(&self.path).is_some_and(|free| free < FREE_BYTES) {
            self.is_missing.store(true, Ordering::Relaxed);
            return;
        }
        let made = make(&self.path);
        self.is_missing.store(made.is_err(), Ordering::Relaxed);
        match made {
            Ok(()) if was_missing => tracing::info!("a reserve for a start on a full disk is there"),
            Ok(()) => {}
            Err(error) => {
                tracing::warn!(%error, "no reserve could be made for a start on a full disk");
                let _ = std::fs::remove_file(&self.path);
            }
        }
    }
}

/// Whether a start failed because there was no room.
pub(super) fn is_full(error: &OpenError) -> bool {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        let of_sqlite = error.downcast_ref::<rusqlite::Error>().and_then(rusqlite::Error::sqlite_error);
        let of_files = error.downcast_ref::<io::Error>().map(io::Error::kind);
        // SQLite's shared memory is a file, too.
        let shared = [SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHMOPEN, SQLITE_IOERR_SHMSIZE];
        if of_sqlite.is_some_and(|error| error.code == ErrorCode::DiskFull || shared.contains(&error.extended_code))
            || matches!(of_files, Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
        {
            return true;
        }
        next = error.source();
    }
    false
}

fn is_whole(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| file.len() == RESERVE_BYTES)
}

fn make(path: &Path) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = private(&mut options).write(true).create(true).truncate(true).open(path)?;
    if allocate(&file).is_err() {
        let zeros = vec![0; 1 << 20];
        for _ in 0..RESERVE_BYTES / zeros.len() as u64 {
            file.write_all(&zeros)?;
        }
    }
    file.sync_all()
}

#[cfg(target_os = "linux")]
fn allocate(file: &File) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::empty(), 0, RESERVE_BYTES)?)
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// What the directory's file system has left for this process.
#[cfg(unix)]
fn free_bytes(path: &Path) -> Option<u64> {
    let found = rustix::fs::statvfs(path.parent()?).ok()?;
    Some(found.f_bavail.saturating_mul(found.f_frsize))
}

#[cfg(not(unix))]
fn free_bytes(_: &Path) -> Option<u64> {
    None
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::sqlite::{DataDir, SqliteJournal};
    use rusqlite::Connection;

    #[test]
    fn the_room_is_really_taken_given_to_a_start_and_taken_again() {
        let temp = tempfile::tempdir().unwrap();
        let dir = DataDir::open(temp.path()).unwrap();
        assert!(dir.reserve().is_missing(), "no server has worked on it");
        drop(SqliteJournal::open(&dir).unwrap());
        assert!(!dir.reserve().is_missing());
        let file = temp.path().join(RESERVE);
        assert_eq!(std::fs::metadata(&file).unwrap().len(), RESERVE_BYTES);
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            assert!(
                std::fs::metadata(&file).unwrap().blocks() * 512 >= RESERVE_BYTES,
                "a file with holes holds no room"
            );
            assert_eq!(std::fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
        }
        assert!(dir.reserve().release().unwrap() && dir.reserve().is_missing() && !file.exists());
        assert!(!dir.reserve().release().unwrap(), "there is only one");
        dir.reserve().keep();
        assert!(!dir.reserve().is_missing());
        // One that a crash left in part is none.
        File::options().write(true).open(&file).unwrap().set_len(5).unwrap();
        drop(dir);
        let dir = DataDir::open(temp.path()).unwrap();
        assert!(dir.reserve().is_missing());
        dir.reserve().keep();
        assert_eq!(std::fs::metadata(&file).unwrap().len(), RESERVE_BYTES);
    }

    #[test]
    fn a_full_disk_is_known_wherever_it_is_said() {
        let temp = tempfile::tempdir().unwrap();
        let path = temp.path().to_owned();
        let connection = Connection::open(temp.path().join("small.db")).unwrap();
        connection.pragma_update_and_check(None, "max_page_count", 1, |_| Ok(())).unwrap();
        let source = connection.execute_batch("CREATE TABLE t (x); CREATE TABLE u (x)").unwrap_err();
        assert!(is_full(&OpenError::Database { path: path.clone(), source }));
        let mut connection = connection;
        let migration = refinery::Migration::unapplied("V1__t", "CREATE TABLE v (x); CREATE TABLE w (x);").unwrap();
        let source = Box::new(refinery::Runner::new(&[migration]).run(&mut connection).unwrap_err());
        assert!(is_full(&OpenError::Schema { path: path.clone(), source }), "wrapped by migrations");
        let full = OpenError::File { path: path.clone(), source: io::ErrorKind::StorageFull.into() };
        assert!(is_full(&full));
        assert!(!is_full(&OpenError::File { path: path.clone(), source: io::ErrorKind::PermissionDenied.into() }));
        assert!(!is_full(&OpenError::Locked { path }));
    }
}

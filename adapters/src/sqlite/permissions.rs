//! Who may read a data directory: its owner, and where the configuration says so, its group. Takes permissions away, never
//! gives any, and only of files that are ours. Must never go on with a directory that others can read.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// What the names of our files begin with: journal and its log and key, snapshots, tables, lock, the tokens' secret, a
/// backup's list.
const OURS: [&str; 6] = ["journal.", "snapshots.", "library.", "onsale.", "jwt_secret", "backup."];

/// Who may read it beside its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readers {
    /// Nobody: 0700 and 0600.
    Owner,
    /// Its group: 0750 and 0640. What the group may do beyond that is taken away where that is allowed, which it is not on a
    /// volume that belongs to somebody else.
    Group,
}

impl Readers {
    /// The bits that nobody may have.
    const fn forbidden(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o027,
        }
    }

    /// The bits without which a start is refused.
    const fn refused(self) -> u32 {
        match self {
            Self::Owner => 0o077,
            Self::Group => 0o007,
        }
    }
}

/// A file or directory that others may read, and that could not be closed to them.
#[derive(Debug, thiserror::Error)]
#[error("{} may be read by others and cannot be closed to them: {source}", path.display())]
pub struct PermissionError {
    /// Which.
    pub path: PathBuf,
    /// Why not.
    pub source: io::Error,
}

/// Closes a data directory and what is ours in it. One that is not there is closed.
///
/// # Errors
/// The first file that stays open to others.
pub fn tighten(directory: &Path, readers: Readers) -> Result<(), PermissionError> {
    let failed = |path: &Path, source| PermissionError { path: path.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(directory, error)),
    };
    close(directory, readers).map_err(|error| failed(directory, error))?;
    for entry in entries {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if OURS.iter().any(|ours| name.starts_with(ours)) {
            close(&path, readers).map_err(|error| failed(&path, error))?;
        }
    }
    Ok(())
}

/// Takes away what is forbidden. A file that has gone meanwhile is closed.
fn close(path: &Path, readers: Readers) -> io::Result<()> {
    let mode = match fs::metadata(path) {
        Ok(metadata) => metadata.permissions().mode() & 0o7777,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if mode & readers.forbidden() == 0 {
        return Ok(());
    }
    match fs::set_permissions(path, Permissions::from_mode(mode & !readers.forbidden())) {
        Err(error) if error.kind() != io::ErrorKind::NotFound && mode & readers.refused() != 0 => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn lax() -> tempfile::TempDir {
        let temp = tempfile::tempdir().unwrap();
        for name in ["journal.db-wal", "journal.log.0", "library.db", "journal.key", "jwt_secret", "notes.txt"] {
            fs::write(temp.path().join(name), "x").unwrap();
            fs::set_permissions(temp.path().join(name), Permissions::from_mode(0o666)).unwrap();
        }
        fs::set_permissions(temp.path(), Permissions::from_mode(0o777)).unwrap();
        temp
    }

    fn check(readers: Readers, directory: u32, file: u32) {
        let temp = lax();
        tighten(temp.path(), readers).unwrap();
        assert_eq!(mode(temp.path()), directory);
        for name in ["journal.db-wal", "journal.log.0", "library.db", "journal.key", "jwt_secret"] {
            assert_eq!(mode(&temp.path().join(name)), file, "{name}");
        }
        assert_eq!(mode(&temp.path().join("notes.txt")), 0o666, "not ours");
    }

    #[test]
    fn what_is_ours_is_closed_and_nothing_is_opened() {
        check(Readers::Owner, 0o700, 0o600);
        check(Readers::Group, 0o750, 0o640);
        let temp = lax();
        tighten(temp.path(), Readers::Owner).unwrap();
        tighten(temp.path(), Readers::Group).unwrap();
        assert_eq!(mode(&temp.path().join("library.db")), 0o600);
        tighten(Path::new("/no/such/directory"), Readers::Owner).unwrap();
    }

    #[test]
    fn a_start_is_refused_by_name_when_it_cannot_be_closed() {
        // Of the kernel: even its owner cannot change it.
        let refused = tighten(Path::new("/proc/self/task"), Readers::Owner).unwrap_err();
        assert!(refused.to_string().starts_with("/proc/self/task may be read by others"), "{refused}");
    }
}

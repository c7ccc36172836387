//! Copies of a data directory while a server works on it, and back. Reads through SQLite's own backup interface on
//! connections that only read, so it needs no lock and holds nobody up; writes only into directories of its own.
//!
//! The copy is one moment of all three files, which `pinned` finds. What the commit log holds beyond the journal of that
//! moment is put into the copied one, so that a backup has no log.

use super::backup_error::BackupError;
use super::commit_log::{self, Store, StoreError};
use super::data_dir::DataDir;
use super::files::{BUSY_TIMEOUT, JOURNAL, KEY, LIBRARY, SNAPSHOTS};
use super::open_error::OpenError;
use super::permissions::{Readers, tighten};
use super::pinned::{Pinned, ends, read_only};
use super::read_only::{connect, lock_shared};
use onsale_engine::throttle::Throttle;
use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Pages copied at a time, 8 MiB, and the pause after them: some 200 MB/s at the most, so that commits get the disk.
const PAGES_PER_STEP: i32 = 2048;
const THROTTLE: Throttle = Throttle::fixed(Duration::from_millis(40));
/// What a backup says of itself.
const MANIFEST: &str = "backup.json";
/// Secrets that a server needs to go on; copied with the rest.
const SECRETS: [&str; 2] = [KEY, "jwt_secret"];

/// What a backup says of itself, in `backup.json`.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// The form of this file.
    pub version: u32,
    /// Why it was made: `automatic`, `deployment`, or as its maker called it.
    pub label: String,
    /// When the journal's state was pinned, as RFC 3339: everything that was acknowledged before it is in.
    pub taken_at: String,
    /// Events with a journal.
    pub events: u64,
    /// Facts of all journals.
    pub facts: u64,
    /// Every file, by name.
    pub files: Vec<FileNote>,
}

/// One file of a backup.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct FileNote {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its BLAKE3 hash.
    pub blake3: String,
}

/// What is to be seen of a data directory without taking it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inspected {
    /// Events with a journal.
    pub events: usize,
    /// Whether a process works on it.
    pub is_in_use: bool,
}

/// Inspects a data directory without changing it; `None` where there is no journal.
///
/// # Errors
/// [`OpenError`] when there is one that a server could not use.
pub fn inspect(path: &Path) -> Result<Option<Inspected>, OpenError> {
    let journal = path.join(JOURNAL);
    if !journal.is_file() {
        return Ok(None);
    }
    let failed = |source| OpenError::Database { path: journal.clone(), source };
    let (is_in_use, _lock) = match lock_shared(path) {
        Ok(lock) => (false, lock),
        Err(OpenError::Locked { .. }) => (true, None),
        Err(error) => return Err(error),
    };
    let connection = if is_in_use { read_only(&journal) } else { connect(&journal) }.map_err(failed)?;
    let events = ends(&connection).map_err(failed)?.len();
    if (events > 0 || commit_log::is_there(path)) && !path.join(KEY).is_file() {
        return Err(OpenError::KeyMissing { path: path.join(KEY) });
    }
    Ok(Some(Inspected { events, is_in_use }))
}

/// Copies the data directory at `from` into the new directory `to`, also while a server works on it. It appears under
/// its name only when it is whole and synced.
///
/// # Errors
/// See [`BackupError`].
pub fn back_up(from: &Path, to: &Path, label: &str) -> Result<Manifest, BackupError> {
    if !from.join(JOURNAL).is_file() {
        return Err(OpenError::NoJournal { path: from.to_owned() }.into());
    }
    refuse_occupied(to)?;
    let beside = beside(to, "partial");
    let _ = std::fs::remove_dir_all(&beside);
    make_private(&beside)?;
    let pinned = Pinned::settled(from)?;
    let mut files = Vec::new();
    for (name, source) in [(SNAPSHOTS, &pinned.snapshots), (LIBRARY, &pinned.library), (JOURNAL, &pinned.journal)] {
        let path = beside.join(name);
        match name {
            JOURNAL => copy_journal(source, &pinned.unflushed, &path)?,
            _ => copy(source, &path).map_err(|source| BackupError::Copy { file: name, source })?,
        }
        files.push(note(&path, name)?);
    }
    for name in SECRETS {
        let (source, path) = (from.join(name), beside.join(name));
        if source.is_file() {
            std::fs::copy(&source, &path).map_err(|error| failed(&source, error))?;
            files.push(note(&path, name)?);
        }
    }
    let manifest = Manifest {
        version: 1,
        label: label.to_owned(),
        taken_at: pinned.at.to_string(),
        events: pinned.ends.len() as u64,
        facts: pinned.ends.values().map(|seq| u64::try_from(*seq).unwrap_or(0)).sum(),
        files,
    };
    let path = beside.join(MANIFEST);
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| failed(&path, error.into()))?;
    std::fs::write(&path, text).map_err(|error| failed(&path, error))?;
    sync(&path)?;
    appear(&beside, to)?;
    Ok(manifest)
}

/// Copies a backup to where a data directory shall be, after holding every file against its hash.
///
/// # Errors
/// See [`BackupError`]; `to` is not there then, or as it was.
pub fn restore(backup: &Path, to: &Path) -> Result<Manifest, BackupError> {
    let manifest = read_manifest(backup)?;
    refuse_occupied(to)?;
    let beside = beside(to, "partial");
    let _ = std::fs::remove_dir_all(&beside);
    make_private(&beside)?;
    for file in &manifest.files {
        let path = beside.join(&file.name);
        std::fs::copy(backup.join(&file.name), &path).map_err(|error| failed(&backup.join(&file.name), error))?;
        let copied = note(&path, &file.name)?;
        if copied != *file {
            let reason = format!("{} is not as it was when the backup was made", file.name);
            return Err(BackupError::NotWhole { path: backup.to_owned(), reason });
        }
    }
    appear(&beside, to)?;
    // Opened once, so that a directory that cannot be used is reported now.
    DataDir::open_existing(to)?;
    Ok(manifest)
}

/// What a backup says of itself.
///
/// # Errors
/// [`BackupError::NotWhole`].
pub fn read_manifest(backup: &Path) -> Result<Manifest, BackupError> {
    let not_whole = |reason: String| BackupError::NotWhole { path: backup.to_owned(), reason };
    let text = std::fs::read(backup.join(MANIFEST)).map_err(|error| not_whole(format!("{MANIFEST}: {error}")))?;
    let manifest: Manifest =
        serde_json::from_slice(&text).map_err(|error| not_whole(format!("{MANIFEST}: {error}")))?;
    if manifest.version != 1 {
        return Err(not_whole(format!("its form is {}, and this version knows 1", manifest.version)));
    }
    // Names come from a file: they must not lead elsewhere.
    let known = [JOURNAL, SNAPSHOTS, LIBRARY].into_iter().chain(SECRETS);
    let known: Vec<&str> = known.collect();
    match manifest.files.iter().find(|file| !known.contains(&file.name.as_str())) {
        Some(strange) => Err(not_whole(format!("{} does not belong into one", strange.name))),
        None => Ok(manifest),
    }
}

/// The pinned state of `source` as a file that stands by itself.
fn copy(source: &Connection, to: &Path) -> rusqlite::Result<()> {
    let mut target = Connection::open(to)?;
    {
        let backup = Backup::new(source, &mut target)?;
        loop {
            match backup.step(PAGES_PER_STEP)? {
                StepResult::Done => break,
                StepResult::More => THROTTLE.sleep(Duration::ZERO, || true),
                StepResult::Busy | StepResult::Locked | _ => std::thread::sleep(BUSY_TIMEOUT / 100),
            }
        }
    }
    target.close().map_err(|(_, error)| error)
}

/// The pinned journal as a file that stands by itself, with what was not flushed yet.
pub(super) fn copy_journal(source: &Connection, unflushed: &[Box<[u8]>], to: &Path) -> Result<(), BackupError> {
    copy(source, to).map_err(|source| BackupError::Copy { file: JOURNAL, source })?;
    if unflushed.is_empty() {
        return Ok(());
    }
    let file = || -> Result<(), StoreError> {
        let mut store = Store::new(Connection::open(to)?);
        store.store(unflushed.iter().map(|payload| &**payload))?;
        store.raise_leases()?;
        Ok(store.close()?)
    };
    file().map_err(|error| BackupError::Log(error.to_string()))
}

fn note(path: &Path, name: &str) -> Result<FileNote, BackupError> {
    sync(path)?;
    let mut file = File::open(path).map_err(|error| failed(path, error))?;
    let (mut hasher, mut buffer, mut bytes) = (blake3::Hasher::new(), vec![0; 1 << 20], 0);
    loop {
        let read = file.read(&mut buffer).map_err(|error| failed(path, error))?;
        if read == 0 {
            break;
        }
        bytes += read as u64;
        hasher.update(&buffer[..read]);
    }
    Ok(FileNote { name: name.to_owned(), bytes, blake3: hasher.finalize().to_hex().to_string() })
}

fn sync(path: &Path) -> Result<(), BackupError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, error))
}

/// Gives a whole directory its name, durably.
fn appear(beside: &Path, to: &Path) -> Result<(), BackupError> {
    // What was copied came with the permissions that it had.
    tighten(beside, Readers::Owner).map_err(|refused| failed(&refused.path, refused.source))?;
    sync(beside)?;
    if to.exists() {
        // Empty, as was checked before.
        std::fs::remove_dir(to).map_err(|error| failed(to, error))?;
    }
    std::fs::rename(beside, to).map_err(|error| failed(to, error))?;
    let above = to.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(above)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{suffix}"));
    path.with_file_name(name)
}

fn refuse_occupied(path: &Path) -> Result<(), BackupError> {
    match std::fs::read_dir(path).map(Iterator::count) {
        Ok(0) => Ok(()),
        Ok(_) => Err(BackupError::Occupied(path.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(path, error)),
    }
}

fn make_private(path: &Path) -> Result<(), BackupError> {
    super::data_dir::make_private(path).map_err(|error| failed(path, error))
}

fn failed(path: &Path, source: io::Error) -> BackupError {
    BackupError::File { path: path.to_owned(), source }
}

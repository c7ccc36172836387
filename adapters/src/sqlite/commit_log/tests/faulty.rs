//! A disk that forgets at a crash what was not synced, counts what it is asked for, and fails when it is wanted. Files are in
//! memory; what a crash leaves of them is written where a start finds it.

use crate::sqlite::commit_log::disk::{Access, Disk, DiskError, DiskFile};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// What a disk is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Request {
    Open,
    Write,
    DirectWrite,
    SetLen,
    Sync,
    SyncDirectory,
}

/// What fails: the n-th request of that kind from now on, 0 being the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fault {
    pub(super) request: Request,
    pub(super) after: usize,
    pub(super) kind: io::ErrorKind,
    /// Whether it is done all the same, though it says otherwise.
    pub(super) is_done: bool,
}

#[derive(Default)]
struct Content {
    cached: Vec<u8>,
    durable: Vec<u8>,
    /// Whether the directory was synced since the file was made.
    has_name: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<PathBuf, Content>,
    requests: Vec<Request>,
    fault: Option<Fault>,
}

/// See the module. Clones are the same one.
#[derive(Clone)]
pub(super) struct FaultyDisk {
    state: Arc<Mutex<State>>,
    takes_direct_writes: bool,
    block_bytes: usize,
}

struct Opened {
    disk: FaultyDisk,
    path: PathBuf,
    is_direct: bool,
}

impl FaultyDisk {
    pub(super) fn new(takes_direct_writes: bool, block_bytes: usize) -> Self {
        Self { state: Arc::default(), takes_direct_writes, block_bytes }
    }

    /// What it was asked for since the last call, in order, but for openings.
    pub(super) fn requests(&self) -> Vec<Request> {
        let all = std::mem::take(&mut self.state.lock().requests);
        all.into_iter().filter(|request| *request != Request::Open).collect()
    }

    pub(super) fn fail(&self, fault: Fault) {
        self.state.lock().fault = Some(fault);
    }

    /// Whether a fault is still to come.
    pub(super) fn is_failing(&self) -> bool {
        self.state.lock().fault.is_some()
    }

    /// Writes what a crash now leaves into that directory.
    pub(super) fn crash(&self, to: &Path) {
        for (path, content) in self.state.lock().files.iter().filter(|(_, content)| content.has_name) {
            std::fs::write(to.join(path.file_name().unwrap()), &content.durable).unwrap();
        }
    }

    /// Counts a request, and does it, unless it shall fail.
    fn request<T>(&self, request: Request, act: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let mut state = self.state.lock();
        state.requests.push(request);
        match &mut state.fault {
            Some(fault) if fault.request == request && fault.after == 0 => {
                let Fault { kind, is_done, .. } = *fault;
                state.fault = None;
                if is_done {
                    act(&mut state)?;
                }
                Err(kind.into())
            }
            Some(fault) if fault.request == request => {
                fault.after -= 1;
                act(&mut state)
            }
            _ => act(&mut state),
        }
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8], offset: usize) {
    bytes.resize(bytes.len().max(offset + part.len()), 0);
    bytes[offset..offset + part.len()].copy_from_slice(part);
}

impl Disk for FaultyDisk {
    fn open(&self, path: &Path, access: Access) -> io::Result<Box<dyn DiskFile>> {
        if access == Access::Direct && !self.takes_direct_writes {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.request(Request::Open, |state| {
            match (access, state.files.contains_key(path)) {
                (Access::New, _) => state.files.entry(path.to_owned()).or_default().cached.clear(),
                (_, true) => {}
                (_, false) => return Err(io::ErrorKind::NotFound.into()),
            }
            let is_direct = access == Access::Direct;
            Ok(Box::new(Opened { disk: self.clone(), path: path.to_owned(), is_direct }) as Box<dyn DiskFile>)
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.state.lock().files.remove(path);
        Ok(())
    }

    fn sync_directory(&self, dir: &Path) -> Result<(), DiskError> {
        let synced = self.request(Request::SyncDirectory, |state| {
            let inside = state.files.iter_mut().filter(|(path, _)| path.parent() == Some(dir));
            inside.for_each(|(_, content)| content.has_name = true);
            Ok(())
        });
        synced.map_err(DiskError::Lost)
    }

    fn block_bytes(&self, _: &Path) -> usize {
        self.block_bytes
    }
}

impl Opened {
    fn request(&self, request: Request, act: impl FnOnce(&mut Content)) -> io::Result<()> {
        self.disk.request(request, |state| {
            act(state.files.get_mut(&self.path).ok_or(io::ErrorKind::NotFound)?);
            Ok(())
        })
    }
}

impl DiskFile for Opened {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let at = offset as usize;
        if !self.is_direct {
            return self.request(Request::Write, |content| put(&mut content.cached, bytes, at));
        }
        let block = self.disk.block_bytes;
        assert!(at.is_multiple_of(block) && bytes.len().is_multiple_of(block), "{at} and {} bytes", bytes.len());
        assert!(bytes.as_ptr().addr().is_multiple_of(block), "it does not lie where a direct write wants it");
        self.request(Request::DirectWrite, |content| {
            put(&mut content.cached, bytes, at);
            put(&mut content.durable, bytes, at);
        })
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        self.request(Request::SetLen, |content| content.cached.resize(bytes as usize, 0))
    }

    fn sync(&self) -> io::Result<()> {
        self.request(Request::Sync, |content| content.durable.clone_from(&content.cached))
    }
}

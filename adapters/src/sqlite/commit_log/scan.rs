//! Reads the commit log back, segment by segment in the order in which they were written, and tells what is missing.
//! Only reads. A log that somebody writes to meanwhile may look damaged, and is looked at again by whoever reads it.

use super::frame::{frame, frame_bytes, segment_number};
use super::{BLOCK_BYTES, SEGMENTS, segment_path};
use crate::chain::LogKey;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a log could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::sqlite) enum ScanError {
    /// The file system said no.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// What was acknowledged is missing.
    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// A segment's whole frames.
pub(in crate::sqlite) struct Segment {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Each frame's number, and where its payload lies.
    frames: Vec<(u64, Range<usize>)>,
}

impl Segment {
    /// What its frames carry, in order.
    pub(in crate::sqlite) fn payloads(&self) -> impl Iterator<Item = &[u8]> {
        self.frames.iter().map(|(_, payload)| &self.bytes[payload.clone()])
    }

    /// Its file.
    pub(in crate::sqlite) fn path(&self) -> &Path {
        &self.path
    }
}

/// The segments of a directory, in their order; each is read when its turn comes.
pub(in crate::sqlite) struct Scan<'a> {
    key: &'a LogKey,
    found: Vec<(u64, PathBuf)>,
    at: usize,
    /// The number that the next frame must have.
    next: Option<u64>,
}

impl<'a> Scan<'a> {
    /// Looks which segments there are.
    pub(in crate::sqlite) fn begin(dir: &Path, key: &'a LogKey) -> Result<Self, ScanError> {
        let mut found = Vec::new();
        for slot in 0..SEGMENTS {
            let path = segment_path(dir, slot);
            if let Some(number) = number(&path, key)? {
                found.push((number, path));
            }
        }
        found.sort_unstable();
        Ok(Self { key, found, at: 0, next: None })
    }

    /// The segments' numbers, rising.
    pub(in crate::sqlite) fn numbers(&self) -> Vec<u64> {
        self.found.iter().map(|(number, _)| *number).collect()
    }

    /// Their files, in the same order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.found.iter().map(|(_, path)| path.as_path())
    }

    /// The next segment.
    pub(in crate::sqlite) fn next(&mut self) -> Result<Option<Segment>, ScanError> {
        let Some((number, path)) = self.found.get(self.at) else { return Ok(None) };
        self.at += 1;
        let segment = read(*number, path, self.key)?;
        if let (Some(expected), Some((first, _))) = (self.next, segment.frames.first())
            && expected != *first
        {
            let reason =
                format!("it begins with frame {first}, and the segment before it ends before frame {expected}");
            return Err(ScanError::Damaged { path: path.clone(), reason });
        }
        self.next = segment.frames.last().map(|(last, _)| last + 1).or(self.next);
        Ok(Some(segment))
    }
}

/// The number of the segment in that file; none where there is no file, or one that was just being made.
fn number(path: &Path, key: &LogKey) -> Result<Option<u64>, ScanError> {
    let failed = |source| ScanError::File { path: path.to_owned(), source };
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    match File::open(path) {
        Ok(file) => file.take(BLOCK_BYTES as u64).read_to_end(&mut block).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let number = segment_number(&block, key);
    if number.is_none() {
        let bytes = std::fs::read(path).map_err(failed)?;
        if let Some(offset) = first_frame(&bytes, 0, key, |_| true) {
            let reason = format!("its first block is not what was written, and there is a frame at byte {offset}");
            return Err(ScanError::Damaged { path: path.to_owned(), reason });
        }
    }
    Ok(number)
}

fn read(number: u64, path: &Path, key: &LogKey) -> Result<Segment, ScanError> {
    let bytes = std::fs::read(path).map_err(|source| ScanError::File { path: path.to_owned(), source })?;
    let (mut frames, mut offset) = (Vec::<(u64, Range<usize>)>::new(), BLOCK_BYTES);
    while let Some((place, payload)) = bytes.get(offset..).and_then(|left| frame(left, key)) {
        let follows = frames.last().is_none_or(|(last, _)| last + 1 == place.counter);
        if place.segment != number || !follows {
            break;
        }
        frames.push((place.counter, offset + payload.start..offset + payload.end));
        offset += frame_bytes(&payload);
    }
    // A frame that was being written when the process died is the last one. What comes behind it was acknowledged later.
    if let Some(later) = first_frame(&bytes, offset, key, |segment| segment == number) {
        let reason =
            format!("the frame at byte {offset} is not what was written, and there is a later one at byte {later}");
        return Err(ScanError::Damaged { path: path.to_owned(), reason });
    }
    Ok(Segment { path: path.to_owned(), bytes, frames })
}

/// Where the first frame of a wanted segment lies, at or behind `offset`.
fn first_frame(bytes: &[u8], offset: usize, key: &LogKey, wanted: impl Fn(u64) -> bool) -> Option<usize> {
    (offset..bytes.len()).step_by(BLOCK_BYTES).find(|offset| {
        let found = frame(&bytes[*offset..], key);
        found.is_some_and(|(place, _)| wanted(place.segment))
    })
}

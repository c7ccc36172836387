//! Reads the commit log back, segment by segment in the order in which they were written, and reports what is missing.
//! Only reads. A log that is written meanwhile may seem damaged; its reader then tries again.

use super::frame::{Frame, Header, Place, frame, frame_bytes, header, is_block};
use super::sizes::{BLOCK_BYTES, SEGMENTS, segment_path};
use crate::chain::LogKey;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a log could not be read whole.
#[derive(Debug, thiserror::Error)]
pub(in crate::sqlite) enum ScanError {
    /// The file system returned an error.
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: io::Error },
    /// What was acknowledged is missing.
    #[error("{}: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
}

/// A segment's whole frames.
pub(in crate::sqlite) struct LogSegment {
    path: PathBuf,
    bytes: Vec<u8>,
    /// Each frame's number, and where its payload lies.
    frames: Vec<(u64, Range<usize>)>,
}

impl LogSegment {
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
    found: Vec<(Header, PathBuf)>,
    at: usize,
    /// The number that the next frame must have.
    next: Option<u64>,
}

impl<'a> Scan<'a> {
    /// Finds the segments.
    pub(in crate::sqlite) fn begin(dir: &Path, key: &'a LogKey) -> Result<Self, ScanError> {
        let mut found = Vec::new();
        for slot in 0..SEGMENTS {
            let path = segment_path(dir, slot);
            if let Some(header) = header_of(&path, key)? {
                found.push((header, path));
            }
        }
        found.sort_unstable_by_key(|(header, _)| header.segment);
        Ok(Self { key, found, at: 0, next: None })
    }

    /// The segments' numbers, rising.
    pub(in crate::sqlite) fn numbers(&self) -> Vec<u64> {
        self.found.iter().map(|(header, _)| header.segment).collect()
    }

    /// Their files, in the same order.
    pub(super) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.found.iter().map(|(_, path)| path.as_path())
    }

    /// The next segment.
    pub(in crate::sqlite) fn next(&mut self) -> Result<Option<LogSegment>, ScanError> {
        let Some((header, path)) = self.found.get(self.at) else { return Ok(None) };
        self.at += 1;
        let segment = read(header, path, self.key)?;
        let damaged = |reason| Err(ScanError::Damaged { path: path.clone(), reason });
        // Also of a segment without frames: its header was written when the frames before it were durable.
        if let (Some(end), Some(first)) = (self.next, header.first)
            && end != first
        {
            return damaged(format!("it begins at frame {first}, and the segment before it ends before {end}"));
        }
        let expected = header.first.or(self.next);
        if let (Some(expected), Some((first, _))) = (expected, segment.frames.first())
            && expected != *first
        {
            return damaged(format!("it begins with frame {first}, and must with frame {expected}"));
        }
        self.next = segment.frames.last().map(|(last, _)| last + 1).or(expected);
        Ok(Some(segment))
    }
}

/// The header of the segment in that file; none where there is no file, or one that was just being made.
fn header_of(path: &Path, key: &LogKey) -> Result<Option<Header>, ScanError> {
    let failed = |source| ScanError::File { path: path.to_owned(), source };
    let mut block = Vec::with_capacity(BLOCK_BYTES);
    match File::open(path) {
        Ok(file) => file.take(BLOCK_BYTES as u64).read_to_end(&mut block).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    match header(&block, key) {
        Some(header) => Ok(Some(header)),
        None => without_header(&std::fs::read(path).map_err(failed)?, path, key),
    }
}

/// A segment whose header is not what was written. It was being written when the process died: the first one of the file,
/// and then there is no frame; or one over an older one, and then the frames of that use stand behind it, and say themselves
/// whose they are.
fn without_header(bytes: &[u8], path: &Path, key: &LogKey) -> Result<Option<Header>, ScanError> {
    let Some((offset, found)) = first_frame(bytes, (0, BLOCK_BYTES), key, |_| true) else { return Ok(None) };
    if found.is_first && is_block(offset) {
        let Place { segment, counter } = found.place;
        return Ok(Some(Header { segment, first: Some(counter), block_bytes: offset }));
    }
    let reason = format!("its first blocks are not what was written, and there is a frame at byte {offset}");
    Err(ScanError::Damaged { path: path.to_owned(), reason })
}

fn read(header: &Header, path: &Path, key: &LogKey) -> Result<LogSegment, ScanError> {
    let bytes = std::fs::read(path).map_err(|source| ScanError::File { path: path.to_owned(), source })?;
    let Header { segment: number, block_bytes, .. } = *header;
    let (mut frames, mut offset) = (Vec::<(u64, Range<usize>)>::new(), block_bytes);
    while let Some(Frame { place, payload, .. }) = bytes.get(offset..).and_then(|left| frame(left, key)) {
        let continues = frames.last().is_none_or(|(last, _)| last + 1 == place.counter);
        if place.segment != number || !continues {
            break;
        }
        frames.push((place.counter, offset + payload.start..offset + payload.end));
        offset += frame_bytes(&payload, block_bytes);
    }
    // A frame that was being written when the process died is the last one. What comes behind it was acknowledged later.
    if let Some((later, _)) = first_frame(&bytes, (offset, block_bytes), key, |segment| segment == number) {
        let reason =
            format!("the frame at byte {offset} is not what was written, and there is a later one at byte {later}");
        return Err(ScanError::Damaged { path: path.to_owned(), reason });
    }
    Ok(LogSegment { path: path.to_owned(), bytes, frames })
}

/// The first frame of a wanted segment, at or behind `offset`.
fn first_frame(
    bytes: &[u8],
    (offset, step): (usize, usize),
    key: &LogKey,
    wanted: impl Fn(u64) -> bool,
) -> Option<(usize, Frame)> {
    (offset..bytes.len()).step_by(step).find_map(|offset| {
        let found = frame(&bytes[offset..], key)?;
        wanted(found.place.segment).then_some((offset, found))
    })
}

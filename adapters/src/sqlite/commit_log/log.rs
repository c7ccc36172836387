//! The writing side of the commit log: gives each batch the next place, and a segment to new frames when the filer is
//! done with its old ones. Owns the segments' files and the filer's thread.

use super::filer::Filer;
use super::filing::{Batch, Filing, Writing};
use super::frame::{Blocks, Place};
use super::recover::remove;
use super::rows::Encoder;
use super::segment::SegmentFile;
use super::store::Store;
use super::{BLOCK_BYTES, SEGMENTS, Sizes, segment_path};
use crate::chain::{Chain, LogKey, Row};
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::JournalError;
use onsale_engine::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// A segment, open for writing.
struct Segment {
    file: SegmentFile,
    number: u64,
    /// Where its next frame goes.
    end: u64,
    /// Its last frame.
    last: u64,
}

/// See the module.
pub(in crate::sqlite) struct CommitLog {
    dir: PathBuf,
    key: LogKey,
    sizes: Sizes,
    segments: Vec<Segment>,
    /// Which of them is written.
    active: usize,
    /// The last frame that is durable, and the last segment's number.
    counter: u64,
    number: u64,
    blocks: Blocks,
    header: Blocks,
    encoder: Encoder,
    filing: Filing,
    // In this order: the thread ends before there may be another writer.
    filer: Option<Filer>,
    _writing: Writing,
}

impl CommitLog {
    /// A log without any segment in that directory; makes the first one when it is needed. What an earlier log left must
    /// have been filed.
    ///
    /// # Errors
    /// As the operating system says, when there can be no thread.
    pub(in crate::sqlite) fn start(
        (dir, key, sizes): (&Path, LogKey, Sizes),
        (filing, writing): (&Filing, Writing),
        store: Store,
    ) -> io::Result<Self> {
        Ok(Self {
            dir: dir.to_owned(),
            key,
            sizes,
            segments: Vec::new(),
            active: 0,
            counter: 0,
            number: 0,
            blocks: Blocks::default(),
            header: Blocks::default(),
            encoder: Encoder::default(),
            filing: filing.clone(),
            filer: Some(Filer::start(filing, store)?),
            _writing: writing,
        })
    }

    /// Whether a batch may be appended.
    pub(in crate::sqlite) fn check(&self) -> Result<(), JournalError> {
        self.filing.check()
    }

    /// Begins a batch.
    pub(in crate::sqlite) fn begin(&mut self) {
        self.blocks.begin_frame();
        self.encoder.begin(self.blocks.end());
    }

    /// Adds a row to the batch; `body` writes its body to the end of what it is given and answers the kind.
    pub(in crate::sqlite) fn push(
        &mut self,
        place: (EventId, Seq, Epoch, Timestamp),
        body: impl FnOnce(&mut Vec<u8>) -> u8,
        chain: impl FnOnce(&Row<'_>) -> Chain,
    ) -> Chain {
        self.encoder.push(self.blocks.end(), place, body, chain)
    }

    /// Makes the batch durable and hands it to the filer. Nothing is written of a batch without rows.
    pub(in crate::sqlite) fn commit(&mut self) -> Result<(), JournalError> {
        let rows = self.encoder.rows();
        if rows == 0 {
            return Ok(());
        }
        let bytes = self.blocks.frame_bytes();
        self.filing.hold_back(self.sizes.crowded_bytes(), self.sizes.room_patience);
        self.make_room(bytes)?;
        let counter = self.counter + 1;
        let segment = &mut self.segments[self.active];
        let sealed = self.blocks.seal_frame(Place { segment: segment.number, counter }, &self.key);
        segment.file.write(sealed.bytes(), segment.end).map_err(|error| unwritten(&error))?;
        drop(sealed);
        segment.end += bytes;
        segment.last = counter;
        self.counter = counter;
        self.filing.appended(Batch { counter, rows, bytes, payload: self.blocks.written().into() });
        Ok(())
    }

    /// Sees to it that the active segment has so many bytes left.
    fn make_room(&mut self, bytes: u64) -> Result<(), JournalError> {
        if bytes + BLOCK_BYTES as u64 > self.sizes.segment_bytes {
            return Err(JournalError::NotDone(format!("a batch of {bytes} bytes is longer than a segment of the log")));
        }
        let fits = |segment: &Segment| segment.end + bytes <= self.sizes.segment_bytes;
        if !self.segments.get(self.active).is_some_and(fits) {
            self.active = self.next_segment()?;
        }
        let segment = &mut self.segments[self.active];
        let (end, now) = (segment.end + bytes, segment.file.bytes());
        if end <= now {
            return Ok(());
        }
        let grown = end.max(now + self.sizes.growth_bytes).min(self.sizes.segment_bytes);
        segment.file.grow(grown).map_err(|error| no_room(&error))
    }

    /// A segment without frames: one that is filed, a new one, or one whose filing was waited for.
    fn next_segment(&mut self) -> Result<usize, JournalError> {
        let mut others: Vec<(u64, usize)> = self.segments.iter().map(|segment| segment.last).zip(0..).collect();
        others.retain(|(_, slot)| *slot != self.active);
        let oldest = others.into_iter().min();
        match oldest {
            Some((last, slot)) if last <= self.filing.filed_up_to() => self.reuse(slot),
            _ if self.segments.len() < SEGMENTS => self.create(),
            Some((last, slot)) if self.filing.wait_for(last, self.sizes.room_patience) => self.reuse(slot),
            _ => Err(JournalError::NotDone("the commit log is full: what was written is not filed yet".to_owned())),
        }
    }

    fn reuse(&mut self, slot: usize) -> Result<usize, JournalError> {
        let number = self.next_number();
        let sealed = self.header.seal_header(number, &self.key);
        let segment = &mut self.segments[slot];
        segment.file.write(sealed.bytes(), 0).map_err(|error| unwritten(&error))?;
        (segment.number, segment.end, segment.last) = (number, BLOCK_BYTES as u64, self.counter);
        self.number = number;
        Ok(slot)
    }

    fn create(&mut self) -> Result<usize, JournalError> {
        let (number, slot) = (self.next_number(), self.segments.len());
        let sealed = self.header.seal_header(number, &self.key);
        let path = segment_path(&self.dir, slot);
        let file =
            SegmentFile::create(path, sealed.bytes(), self.sizes.first_bytes).map_err(|error| no_room(&error))?;
        self.segments.push(Segment { file, number, end: BLOCK_BYTES as u64, last: self.counter });
        self.number = number;
        Ok(slot)
    }

    /// Also of use to tell segments of one log from those of the next.
    fn next_number(&self) -> u64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64);
        now.max(self.number + 1)
    }

    /// As on a file system that refuses direct writes.
    #[cfg(test)]
    pub(in crate::sqlite) fn write_through_the_cache(&mut self) {
        self.segments.iter_mut().for_each(|segment| segment.file.write_through_the_cache());
    }
}

impl Drop for CommitLog {
    fn drop(&mut self) {
        self.filer = None;
        if self.filing.is_settled()
            && let Err(error) = remove(&self.dir, &self.key)
        {
            tracing::warn!(%error, "the commit log stays, though all of it is filed; the next start looks through it");
        }
    }
}

fn no_room(error: &io::Error) -> JournalError {
    JournalError::NotDone(format!("the commit log cannot grow: {error}"))
}

/// What a failed write means. Where a disk is full, the same frame may be written again in the same place; anything else
/// may have been dropped by the kernel, which says so only once.
fn unwritten(error: &io::Error) -> JournalError {
    let reason = format!("the commit log cannot be written: {error}");
    let is_full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    if is_full { JournalError::Unknown(reason) } else { JournalError::Fatal(reason) }
}

//! The writing side of the commit log: gives each batch the next place, and a segment to new frames when the old ones in it
//! are flushed. Owns the segments' files and the checkpointer's thread.

use super::backlog::{Backlog, Batch, Writing};
use super::checkpointer::Checkpointer;
use super::disk::{Disk, DiskError};
use super::frame::{Blocks, FRAME_MAX_BYTES, Place};
use super::recover::remove;
use super::rows::Encoder;
use super::segment::SegmentFile;
use super::sizes::{SEGMENTS, Sizes, segment_path};
use super::store::Store;
use crate::chain::{Chain, LogKey, Row};
use crate::sqlite::files::JOURNAL;
use crate::sqlite::reserve::Reserve;
use onsale_engine::id::{Epoch, EventId, Seq};
use onsale_engine::ports::JournalError;
use onsale_engine::time::Timestamp;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// A segment, open for writing.
struct LogSegment {
    file: SegmentFile,
    number: u64,
    /// Where its next frame goes.
    end: u64,
    /// Its last frame.
    last: u64,
    /// A write at `end` has failed, so that there may be a frame or a part of one.
    is_torn: bool,
}

/// See the module.
pub(in crate::sqlite) struct CommitLog {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    /// What frames begin at multiples of.
    block_bytes: u64,
    key: LogKey,
    sizes: Sizes,
    segments: Vec<LogSegment>,
    /// Which of them is written.
    active: usize,
    /// The last frame that is durable, and the last segment's number.
    counter: u64,
    number: u64,
    /// Why nothing is appended any more.
    lost: Option<String>,
    blocks: Blocks,
    header: Blocks,
    encoder: Encoder,
    backlog: Backlog,
    // In this order: the thread ends before there may be another writer.
    checkpointer: Option<Checkpointer>,
    _writing: Writing,
}

impl CommitLog {
    /// A log without any segment in that directory; makes the first one when it is needed. An earlier log must
    /// have been recovered.
    ///
    /// # Errors
    /// As the operating system says, when there can be no thread.
    pub(in crate::sqlite) fn start(
        disk: Arc<dyn Disk>,
        (dir, key, sizes): (&Path, LogKey, Sizes),
        (backlog, writing): (&Backlog, Writing),
        (store, reserve): (Store, Option<Arc<Reserve>>),
    ) -> io::Result<Self> {
        let block_bytes = disk.block_bytes(&dir.join(JOURNAL));
        Ok(Self {
            dir: dir.to_owned(),
            disk,
            block_bytes: block_bytes as u64,
            key,
            sizes,
            segments: Vec::new(),
            active: 0,
            counter: 0,
            number: 0,
            lost: None,
            blocks: Blocks::new(block_bytes),
            header: Blocks::new(block_bytes),
            encoder: Encoder::default(),
            backlog: backlog.clone(),
            checkpointer: Some(Checkpointer::start(backlog, store, reserve)?),
            _writing: writing,
        })
    }

    /// Whether a batch may be appended. Never again after a write or a sync that was lost: the next one might succeed, and
    /// would say nothing of what the kernel has dropped.
    pub(in crate::sqlite) fn check(&self) -> Result<(), JournalError> {
        match &self.lost {
            Some(reason) => Err(JournalError::Fatal(reason.clone())),
            None => self.backlog.check(),
        }
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

    /// Makes the batch durable and adds it to the checkpointer's backlog. Nothing is written of a batch without rows.
    pub(in crate::sqlite) fn commit(&mut self) -> Result<(), JournalError> {
        self.check()?;
        let rows = self.encoder.rows();
        if rows == 0 {
            return Ok(());
        }
        let committed = self.write(rows);
        if let Err(JournalError::Fatal(reason)) = &committed {
            self.lost = Some(reason.clone());
        }
        committed
    }

    fn write(&mut self, rows: u64) -> Result<(), JournalError> {
        let bytes = self.blocks.frame_bytes();
        self.backlog.apply_backpressure(self.sizes.high_watermark_bytes(), self.sizes.room_timeout);
        self.make_room(bytes)?;
        let counter = self.counter + 1;
        let segment = &mut self.segments[self.active];
        let is_first = segment.end == self.block_bytes;
        let sealed = self.blocks.seal_frame(Place { segment: segment.number, counter }, is_first, &self.key);
        let written = segment.file.write(sealed.bytes(), segment.end);
        drop(sealed);
        segment.is_torn = written.is_err();
        written.map_err(DiskError::of_frame)?;
        segment.end += bytes;
        segment.last = counter;
        self.counter = counter;
        self.backlog.appended(Batch { counter, rows, bytes, payload: self.blocks.written().into() });
        Ok(())
    }

    /// Makes sure that the active segment has so many bytes left. A frame that is longer than a segment gets one for
    /// itself, of its length.
    fn make_room(&mut self, bytes: u64) -> Result<(), JournalError> {
        if bytes > FRAME_MAX_BYTES {
            // It will not become shorter when it is tried again.
            return Err(JournalError::Fatal(format!("a batch of {bytes} bytes is longer than a frame of the log")));
        }
        let limit = self.sizes.segment_bytes.max(self.block_bytes + bytes);
        let fits = |segment: &LogSegment| segment.end + bytes <= limit;
        if !self.segments.get(self.active).is_some_and(fits) {
            self.give_up_torn()?;
            self.active = self.next_segment()?;
        }
        let segment = &mut self.segments[self.active];
        let (end, now) = (segment.end + bytes, segment.file.bytes());
        if end <= now {
            return Ok(());
        }
        let grown = end.max((now + self.sizes.growth_bytes).min(self.sizes.segment_bytes));
        segment.file.grow(grown).map_err(DiskError::without_room)
    }

    /// Before the next frame goes to another segment: what a failed write may have left in this one is no frame. It would
    /// have the number that the next one gets.
    fn give_up_torn(&mut self) -> Result<(), JournalError> {
        let Some(segment) = self.segments.get_mut(self.active).filter(|segment| segment.is_torn) else { return Ok(()) };
        let nothing = self.header.seal_nothing();
        segment.file.write(nothing.bytes(), segment.end).map_err(DiskError::of_frame)?;
        segment.is_torn = false;
        Ok(())
    }

    /// A segment without frames: one that is flushed, a new one, or one that is flushed after a wait.
    fn next_segment(&mut self) -> Result<usize, JournalError> {
        let mut others: Vec<(u64, usize)> = self.segments.iter().map(|segment| segment.last).zip(0..).collect();
        others.retain(|(_, slot)| *slot != self.active);
        let oldest = others.into_iter().min();
        match oldest {
            Some((last, slot)) if last <= self.backlog.flushed_up_to() => self.reuse(slot),
            _ if self.segments.len() < SEGMENTS => self.create(),
            Some((last, slot)) if self.backlog.wait_for(last, self.sizes.room_timeout) => self.reuse(slot),
            _ => Err(JournalError::NotDone(
                "the commit log is full: what was committed is not checkpointed yet".to_owned(),
            )),
        }
    }

    fn reuse(&mut self, slot: usize) -> Result<usize, JournalError> {
        let place = self.next_place();
        let sealed = self.header.seal_header(place, &self.key);
        let segment = &mut self.segments[slot];
        if segment.file.bytes() > self.sizes.segment_bytes {
            segment.file.shrink(self.sizes.segment_bytes).map_err(DiskError::without_room)?;
        }
        segment.file.write(sealed.bytes(), 0).map_err(DiskError::of_frame)?;
        (segment.number, segment.end, segment.last) = (place.segment, self.block_bytes, self.counter);
        segment.is_torn = false;
        self.number = place.segment;
        Ok(slot)
    }

    fn create(&mut self) -> Result<usize, JournalError> {
        let (place, slot) = (self.next_place(), self.segments.len());
        let sealed = self.header.seal_header(place, &self.key);
        let (path, bytes) = (segment_path(&self.dir, slot), self.sizes.first_bytes.max(2 * self.block_bytes));
        let file = SegmentFile::create(&self.disk, path, sealed.bytes(), bytes).map_err(DiskError::without_room)?;
        let (number, end, last) = (place.segment, self.block_bytes, self.counter);
        self.segments.push(LogSegment { file, number, end, last, is_torn: false });
        self.number = number;
        Ok(slot)
    }

    /// The header of the next segment: its number, and the frame that it begins with.
    fn next_place(&self) -> Place {
        Place { segment: self.next_number(), counter: self.counter + 1 }
    }

    /// A time, so that segments of one log are distinguished from those of the next.
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
        self.checkpointer = None;
        if self.backlog.is_flushed()
            && let Err(error) = remove(&self.dir, &self.key)
        {
            tracing::warn!(%error, "the commit log could not be removed, though all of it is checkpointed; the next start reads it again");
        }
    }
}

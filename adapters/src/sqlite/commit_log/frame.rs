//! Frames and segment headers: their form in a file, and whether bytes are one. Every frame names its segment
//! and is covered by a keyed hash, so that a frame of an earlier use of the file is none, and one that was written in part
//! is none either, wherever the disk stopped. Knows no file.
//!
//! A segment begins with one block that holds its header; frames follow, each at the next multiple of a block. Version 1
//! of the header did not say with which frame the segment begins, and a block was always 4 KiB.

use super::sizes::{BLOCK_BYTES, BLOCK_MAX_BYTES};
use crate::chain::LogKey;
use std::ops::Range;

const SEGMENT_MAGIC: [u8; 4] = *b"onsL";
const FRAME_MAGIC: [u8; 4] = *b"onsF";
/// Of a frame that is the first of its segment, from version 2 on: so nothing is missing before it, whatever the header's
/// block holds.
const FIRST_FRAME_MAGIC: [u8; 4] = *b"onsB";
/// The version that is written; 1 is still read.
const VERSION: u32 = 2;
/// Magic, length or version, segment, counter.
const COVERED_BYTES: usize = 4 + 4 + 8 + 8;
const HASH_BYTES: usize = 16;
/// Where the payload begins.
const HEAD_BYTES: usize = COVERED_BYTES + HASH_BYTES;
/// Where a frame's payload ends at the latest: its length is written in four bytes.
pub(super) const FRAME_MAX_BYTES: u64 = u32::MAX as u64;
/// The memory that a buffer keeps when a long frame is done.
const KEPT_BYTES: usize = 4 << 20;

/// Of what use of which file a frame is, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment's number; it only rises.
    pub(super) segment: u64,
    /// The frame's number; each is one more than that of the frame before, also across segments.
    pub(super) counter: u64,
}

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) segment: u64,
    /// The number of its first frame, also while it has none; version 1 did not say.
    pub(super) first: Option<u64>,
    /// What its frames begin at multiples of.
    pub(super) block_bytes: usize,
}

fn head(magic: [u8; 4], word: u32, place: Place) -> [u8; COVERED_BYTES] {
    let mut head = [0; COVERED_BYTES];
    head[..4].copy_from_slice(&magic);
    head[4..8].copy_from_slice(&word.to_be_bytes());
    head[8..16].copy_from_slice(&place.segment.to_be_bytes());
    head[16..].copy_from_slice(&place.counter.to_be_bytes());
    head
}

/// Magic, word, place and hash at the beginning of `bytes`.
fn parse(bytes: &[u8]) -> Option<([u8; 4], u32, Place, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<COVERED_BYTES>()?;
    let number = |range: Range<usize>| head[range].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte));
    let place = Place { segment: number(8..16), counter: number(16..24) };
    Some((*head.first_chunk()?, number(4..8) as u32, place, rest.get(..HASH_BYTES)?))
}

/// Whether frames may begin at multiples of that.
pub(super) fn is_block(bytes: usize) -> bool {
    bytes.is_power_of_two() && (BLOCK_BYTES..=BLOCK_MAX_BYTES).contains(&bytes)
}

/// The header at the beginning of a segment.
pub(super) fn header(bytes: &[u8], key: &LogKey) -> Option<Header> {
    let (magic, version, place, hash) = parse(bytes)?;
    let (covered, first, block_bytes) = match version {
        1 => (&[][..], None, BLOCK_BYTES),
        VERSION => {
            let block: &[u8; 4] = bytes[HEAD_BYTES..].first_chunk()?;
            (&block[..], Some(place.counter), u32::from_be_bytes(*block) as usize)
        }
        _ => return None,
    };
    let is_ours =
        magic == SEGMENT_MAGIC && is_block(block_bytes) && key.hash(&head(magic, version, place), covered) == hash;
    is_ours.then_some(Header { segment: place.segment, first, block_bytes })
}

/// A whole frame.
pub(super) struct Frame {
    pub(super) place: Place,
    /// Whether it says that it is the first of its segment.
    pub(super) is_first: bool,
    /// Where its payload lies in the bytes that it begins.
    pub(super) payload: Range<usize>,
}

/// The frame at the beginning of `bytes`.
pub(super) fn frame(bytes: &[u8], key: &LogKey) -> Option<Frame> {
    let (magic, length, place, hash) = parse(bytes)?;
    if magic != FRAME_MAGIC && magic != FIRST_FRAME_MAGIC {
        return None;
    }
    let payload = HEAD_BYTES..HEAD_BYTES.checked_add(length as usize)?;
    let is_whole = key.hash(&head(magic, length, place), bytes.get(payload.clone())?) == hash;
    is_whole.then_some(Frame { place, is_first: magic == FIRST_FRAME_MAGIC, payload })
}

/// What a frame with that payload takes in the file.
pub(super) fn frame_bytes(payload: &Range<usize>, block_bytes: usize) -> usize {
    payload.end.next_multiple_of(block_bytes)
}

/// A buffer of whole blocks that lies where direct writes want it, used again and again.
#[derive(Debug)]
pub(super) struct Blocks {
    /// A power of two.
    block_bytes: usize,
    bytes: Vec<u8>,
    /// Where the blocks begin.
    start: usize,
}

impl Blocks {
    /// A buffer for blocks of that size.
    pub(super) fn new(block_bytes: usize) -> Self {
        Self { block_bytes, bytes: Vec::new(), start: 0 }
    }

    /// Begins a frame, without its payload.
    pub(super) fn begin_frame(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.start = self.aligned();
        self.bytes.resize(self.start + HEAD_BYTES, 0);
    }

    /// What the payload is written to the end of.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The payload as it is.
    pub(super) fn written(&self) -> &[u8] {
        &self.bytes[self.start + HEAD_BYTES..]
    }

    /// What the frame takes in the file.
    pub(super) fn frame_bytes(&self) -> u64 {
        (self.bytes.len() - self.start).next_multiple_of(self.block_bytes) as u64
    }

    /// Makes the frame whole and answers its blocks; the payload stays, so that another place can be given to it.
    pub(super) fn seal_frame(&mut self, place: Place, is_first: bool, key: &LogKey) -> Sealed<'_> {
        let payload = self.written();
        let magic = if is_first { FIRST_FRAME_MAGIC } else { FRAME_MAGIC };
        let head = head(magic, payload.len() as u32, place);
        let hash = key.hash(&head, payload);
        self.put(head, hash)
    }

    /// The first block of a segment whose first frame will be `place.counter`.
    pub(super) fn seal_header(&mut self, place: Place, key: &LogKey) -> Sealed<'_> {
        self.begin_frame();
        let block = (self.block_bytes as u32).to_be_bytes();
        self.bytes.extend_from_slice(&block);
        let head = head(SEGMENT_MAGIC, VERSION, place);
        let hash = key.hash(&head, &block);
        self.put(head, hash)
    }

    /// A block of zeros, which is no frame.
    pub(super) fn seal_nothing(&mut self) -> Sealed<'_> {
        self.begin_frame();
        self.put([0; COVERED_BYTES], [0; HASH_BYTES])
    }

    fn put(&mut self, head: [u8; COVERED_BYTES], hash: [u8; HASH_BYTES]) -> Sealed<'_> {
        let end = self.bytes.len();
        let padded = (end - self.start).next_multiple_of(self.block_bytes);
        // The allocation may have moved while rows were added.
        self.bytes.reserve((padded + self.block_bytes).saturating_sub(end));
        let start = self.aligned();
        if start != self.start {
            let length = end - self.start;
            self.bytes.resize(end.max(start + length), 0);
            self.bytes.copy_within(self.start..end, start);
            self.bytes.truncate(start + length);
            self.start = start;
        }
        let end = self.bytes.len();
        self.bytes[start..start + COVERED_BYTES].copy_from_slice(&head);
        self.bytes[start + COVERED_BYTES..start + HEAD_BYTES].copy_from_slice(&hash);
        self.bytes.resize(start + padded, 0);
        Sealed { blocks: self, end }
    }

    /// How far into the allocation the first block begins.
    fn aligned(&self) -> usize {
        let at = self.bytes.as_ptr().addr();
        at.next_multiple_of(self.block_bytes) - at
    }
}

/// Whole blocks, padded with zeros; what they were before when it is dropped.
pub(super) struct Sealed<'a> {
    blocks: &'a mut Blocks,
    end: usize,
}

impl Sealed<'_> {
    /// The blocks.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.blocks.bytes[self.blocks.start..]
    }
}

impl Drop for Sealed<'_> {
    fn drop(&mut self) {
        self.blocks.bytes.truncate(self.end);
    }
}

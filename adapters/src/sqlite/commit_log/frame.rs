//! Frames and segment headers: what they look like in a file, and whether bytes are one. Every frame names its segment
//! and is covered by a keyed hash, so that a frame of an earlier use of the file is none. Knows no file.

use super::BLOCK_BYTES;
use crate::chain::LogKey;
use std::ops::Range;

const SEGMENT_MAGIC: [u8; 4] = *b"onsL";
const FRAME_MAGIC: [u8; 4] = *b"onsF";
const VERSION: u32 = 1;
/// Magic, length or version, segment, counter.
const COVERED_BYTES: usize = 4 + 4 + 8 + 8;
const HASH_BYTES: usize = 16;
/// Where the payload begins.
const HEAD_BYTES: usize = COVERED_BYTES + HASH_BYTES;

/// Of what use of which file a frame is, and which one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The segment's number; it only rises.
    pub(super) segment: u64,
    /// The frame's number; each is one more than that of the frame before, also across segments.
    pub(super) counter: u64,
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

/// The number of the segment whose first block this is.
pub(super) fn segment_number(block: &[u8], key: &LogKey) -> Option<u64> {
    let (magic, version, place, hash) = parse(block)?;
    let is_ours = (magic, version, place.counter) == (SEGMENT_MAGIC, VERSION, 0);
    (is_ours && key.hash(&head(magic, version, place), &[]) == hash).then_some(place.segment)
}

/// The frame at the beginning of `bytes`, and where its payload lies in them.
pub(super) fn frame(bytes: &[u8], key: &LogKey) -> Option<(Place, Range<usize>)> {
    let (magic, length, place, hash) = parse(bytes)?;
    if magic != FRAME_MAGIC {
        return None;
    }
    let payload = HEAD_BYTES..HEAD_BYTES.checked_add(length as usize)?;
    let is_whole = key.hash(&head(magic, length, place), bytes.get(payload.clone())?) == hash;
    is_whole.then_some((place, payload))
}

/// What a frame with that payload takes in the file.
pub(super) fn frame_bytes(payload: &Range<usize>) -> usize {
    payload.end.next_multiple_of(BLOCK_BYTES)
}

/// A buffer of whole blocks that lies where direct writes want it, used again and again.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    bytes: Vec<u8>,
    /// Where the blocks begin.
    start: usize,
}

impl Blocks {
    /// Begins a frame, without its payload.
    pub(super) fn begin_frame(&mut self) {
        self.bytes.clear();
        self.start = aligned(&self.bytes);
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
        (self.bytes.len() - self.start).next_multiple_of(BLOCK_BYTES) as u64
    }

    /// Makes the frame whole and answers its blocks; the payload stays, so that another place can be given to it.
    pub(super) fn seal_frame(&mut self, place: Place, key: &LogKey) -> Sealed<'_> {
        let payload = self.written();
        let head = head(FRAME_MAGIC, payload.len() as u32, place);
        let hash = key.hash(&head, payload);
        self.put(head, hash)
    }

    /// The first block of a segment.
    pub(super) fn seal_header(&mut self, segment: u64, key: &LogKey) -> Sealed<'_> {
        self.begin_frame();
        let head = head(SEGMENT_MAGIC, VERSION, Place { segment, counter: 0 });
        let hash = key.hash(&head, &[]);
        self.put(head, hash)
    }

    fn put(&mut self, head: [u8; COVERED_BYTES], hash: [u8; HASH_BYTES]) -> Sealed<'_> {
        let end = self.bytes.len();
        let padded = (end - self.start).next_multiple_of(BLOCK_BYTES);
        // The allocation may have moved while rows were added.
        self.bytes.reserve((padded + BLOCK_BYTES).saturating_sub(end));
        let start = aligned(&self.bytes);
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

/// How far into the allocation the first block begins.
fn aligned(bytes: &[u8]) -> usize {
    bytes.as_ptr().addr().next_multiple_of(BLOCK_BYTES) - bytes.as_ptr().addr()
}

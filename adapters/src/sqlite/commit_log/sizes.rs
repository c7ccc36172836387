//! How large the commit log gets, how long it waits, and what must hold between these bounds. Must never do anything.

use crate::sqlite::files::BUSY_TIMEOUT;
use onsale_engine::limits::{COMMIT_STALL_MIN, FACTS_PER_BATCH};
use onsale_engine::throttle::Throttle;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Frames begin at multiples of this at the least, and are padded to it; of more where the file system, or a page of
/// memory, asks for more.
pub(super) const BLOCK_BYTES: usize = 4096;
/// And at the most; where more is asked for, writes go through the page cache.
pub(super) const BLOCK_MAX_BYTES: usize = 64 << 10;
/// Segments at the most; with their size, the bound of what may wait to be checkpointed.
pub(super) const SEGMENTS: usize = 8;
/// The size that a segment grows to; one whose only frame is longer, to that length.
pub(super) const SEGMENT_BYTES: u64 = 16 << 20;
/// The size of a new segment: small, because every start makes one.
pub(super) const FIRST_BYTES: u64 = 1 << 20;
/// By how much a segment grows at a time; the batch that needs it waits.
pub(super) const GROWTH_BYTES: u64 = 4 << 20;
/// What a row takes at the most: a hold of a hundred seats, or a message. Rules of an event may take more, and a batch has
/// few of those.
pub(super) const ROW_BYTES: usize = 3 << 9;

/// Waiting rows from which on they are checkpointed at once, and rows of one transaction at the most (but for its last batch).
pub(super) const ROWS_PER_TRANSACTION: u64 = 8192;
/// How long the oldest row waits for others.
pub(super) const GATHER: Duration = Duration::from_millis(50);
/// While batches keep coming, writing them to `journal.db` takes a twentieth of a core: answers come first.
pub(super) const THROTTLE: Throttle = Throttle::in_proportion(19, Duration::from_secs(1));
/// Unflushed bytes from which on it does not pause.
pub(super) const URGENT_BYTES: u64 = SEGMENTS as u64 * SEGMENT_BYTES / 2;
/// Of its size, how much of a log may be unflushed before each batch waits for a checkpoint transaction. So some segment is
/// always flushed, and no batch waits long for it.
pub(super) const HIGH_WATERMARK: (u64, u64) = (3, 4);
/// How long a checkpoint transaction waits for a lock on `journal.db` before it has failed.
pub(super) const CHECKPOINTER_BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// The pause before a failed checkpoint transaction is tried again.
pub(super) const CHECKPOINTER_RETRY: Duration = Duration::from_millis(100);
/// How often at the most a missing reserve is created again, as long as rows are stored.
pub(super) const RESERVE_RETRY: Duration = Duration::from_secs(10);
/// Bytes of frames that a recovery stores in one transaction, but for its last frame.
pub(super) const RECOVERY_TRANSACTION_BYTES: usize = 4 << 20;
/// Pages in SQLite's own log (its WAL) from which on a transaction of the checkpointer copies them into the file.
pub(super) const WAL_CHECKPOINT_PAGES: u32 = 4096;
/// How long a batch waits for room in the log, twice at the most.
pub(super) const ROOM_TIMEOUT: Duration = Duration::from_millis(100);
/// How long a reader of `journal.db` waits for what was appended before.
pub(super) const FLUSH_TIMEOUT: Duration = BUSY_TIMEOUT;
/// And how long when the last try has failed: one more try.
pub(super) const FAILING_FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

const _: () = assert!(FIRST_BYTES <= SEGMENT_BYTES && FIRST_BYTES.is_multiple_of(BLOCK_MAX_BYTES as u64));
const _: () = assert!(
    SEGMENT_BYTES.is_multiple_of(BLOCK_MAX_BYTES as u64) && GROWTH_BYTES.is_multiple_of(BLOCK_MAX_BYTES as u64)
);
const _: () = assert!(SEGMENTS as u64 * HIGH_WATERMARK.0 + 2 * HIGH_WATERMARK.1 <= SEGMENTS as u64 * HIGH_WATERMARK.1);
const _: () = assert!((FACTS_PER_BATCH * ROW_BYTES) as u64 + 2 * BLOCK_BYTES as u64 <= SEGMENT_BYTES);
const _: () =
    assert!(CHECKPOINTER_RETRY.as_millis() + CHECKPOINTER_BUSY_TIMEOUT.as_millis() < FAILING_FLUSH_TIMEOUT.as_millis());
const _: () = assert!(2 * ROOM_TIMEOUT.as_millis() < COMMIT_STALL_MIN.as_millis());
const _: () = assert!(2 * BLOCK_MAX_BYTES as u64 <= FIRST_BYTES && BLOCK_MAX_BYTES.is_multiple_of(BLOCK_BYTES));

/// How large the log and its segments may get; smaller in tests.
#[derive(Clone, Copy, Debug)]
pub(in crate::sqlite) struct Sizes {
    pub(super) first_bytes: u64,
    pub(super) growth_bytes: u64,
    pub(super) segment_bytes: u64,
    /// How long a batch waits for room.
    pub(super) room_timeout: Duration,
    /// Whether room is held for a start on a full disk.
    pub(in crate::sqlite) keeps_reserve: bool,
}

impl Sizes {
    /// What the journal uses.
    pub(in crate::sqlite) const JOURNAL: Self = Self {
        first_bytes: FIRST_BYTES,
        growth_bytes: GROWTH_BYTES,
        segment_bytes: SEGMENT_BYTES,
        room_timeout: ROOM_TIMEOUT,
        keeps_reserve: true,
    };

    pub(super) fn high_watermark_bytes(self) -> u64 {
        SEGMENTS as u64 * self.segment_bytes / HIGH_WATERMARK.1 * HIGH_WATERMARK.0
    }
}

/// Where the segment in that slot lies.
pub(super) fn segment_path(dir: &Path, slot: usize) -> PathBuf {
    dir.join(format!("journal.log.{slot}"))
}

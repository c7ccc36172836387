//! The commit log on a disk that forgets what was not synced, and fails: what was answered is there after a crash, and a
//! failure is reported as what it is.

use super::faulty::Request::{DirectWrite, SetLen, Sync, SyncDirectory, Write};
use super::faulty::{Fault, FaultyDisk, Request};
use super::*;
use std::io::ErrorKind;

const KIB: u64 = 1 << 10;
/// Three frames in a segment of blocks of 4 KiB, which grows once.
const TINY: Sizes = Sizes {
    first_bytes: 8 * KIB,
    growth_bytes: 8 * KIB,
    segment_bytes: 16 * KIB,
    room_timeout: TIMEOUT,
    keeps_reserve: false,
};
/// What the system says of a disk with a fault; the kind has no name in the library.
const BROKEN: ErrorKind = ErrorKind::Other;

fn begin(takes_direct_writes: bool, block_bytes: usize, sizes: Sizes) -> (Written, FaultyDisk) {
    let disk = FaultyDisk::new(takes_direct_writes, block_bytes);
    let mut written = Written::begin_on(Arc::new(disk.clone()), sizes);
    written.faulty = Some(disk.clone());
    (written, disk)
}

#[test]
fn what_was_answered_is_there_when_all_that_was_not_synced_is_forgotten() {
    for (takes_direct_writes, block_bytes, sizes) in
        [(true, 4096, TINY), (false, 4096, TINY), (true, 16 << 10, SMALL), (false, 16 << 10, SMALL)]
    {
        let (mut written, _) = begin(takes_direct_writes, block_bytes, sizes);
        written.journal.pause_checkpointer(false);
        for _ in 0..40 {
            written.append(1);
            assert_eq!(recovered(&written.left()), written.rows, "direct {takes_direct_writes}, {block_bytes}");
        }
        written.journal.pause_checkpointer(true);
        written.append(3);
        assert_eq!(recovered(&written.left()), written.rows);
    }
}

#[test]
fn each_batch_costs_one_sync_and_a_new_or_longer_segment_its_own() {
    for takes_direct_writes in [true, false] {
        let frame = if takes_direct_writes { vec![DirectWrite] } else { vec![Write, Sync] };
        let header_again = if takes_direct_writes { vec![DirectWrite] } else { vec![] };
        let (mut written, disk) = begin(takes_direct_writes, 4096, TINY);
        // The header, zeros behind it; then on the disk under its name; then the first frame.
        let made = [vec![Write, Write, Sync, SyncDirectory], header_again.clone(), frame.clone()].concat();
        assert_eq!(disk.requests(), made);
        written.append(1);
        assert_eq!(disk.requests(), [vec![Write, Sync], frame.clone()].concat(), "it grew");
        written.append(1);
        assert_eq!(disk.requests(), frame);
        written.append(1);
        assert_eq!(disk.requests(), made, "the next segment");
        written.journal.pause_checkpointer(false);
        written.dir.backlog().wait_flushed().unwrap();
        written.append(2);
        disk.requests();
        written.append(1);
        assert_eq!(disk.requests(), [frame.clone(), frame].concat(), "a header over an old one, and a frame");
    }
}

/// What an append is asked to do, and which request of it fails: in a new segment, one that grows, one used again, and one
/// with room.
fn faults(takes_direct_writes: bool) -> Vec<(&'static str, u64, Request, usize)> {
    let mut faults = vec![
        ("header of a new segment", 3, Write, 0),
        ("zeros of a new segment", 3, Write, 1),
        ("sync of a new segment", 3, Sync, 0),
        ("sync of the directory", 3, SyncDirectory, 0),
        ("zeros behind a segment", 1, Write, 0),
        ("sync of a longer segment", 1, Sync, 0),
    ];
    if takes_direct_writes {
        faults.extend([
            ("header again", 3, DirectWrite, 0),
            ("first frame", 3, DirectWrite, 1),
            ("frame", 2, DirectWrite, 0),
        ]);
    } else {
        faults.extend([
            ("first frame", 3, Write, 2),
            ("sync of the first frame", 3, Sync, 1),
            ("frame", 2, Write, 0),
            ("sync of a frame", 2, Sync, 0),
        ]);
    }
    faults
}

#[test]
fn a_broken_disk_is_fatal_wherever_it_breaks_and_is_not_asked_again() {
    for takes_direct_writes in [true, false] {
        for (what, frames_before, request, after) in faults(takes_direct_writes) {
            for is_done in [false, true] {
                let (mut written, disk) = begin(takes_direct_writes, 4096, TINY);
                written.append(frames_before - 1);
                disk.fail(Fault { request, after, kind: BROKEN, is_done });
                let error = written.try_append().unwrap_err();
                assert!(matches!(error, JournalError::Fatal(_)), "{what}, direct {takes_direct_writes}: {error}");
                assert!(!disk.is_failing());
                disk.requests();
                assert!(matches!(written.try_append(), Err(JournalError::Fatal(_))), "{what}");
                assert_eq!(disk.requests(), [], "{what}: it is written to once more");
                let there = recovered(&written.left());
                assert!(there == written.rows || there == written.rows + 1, "{what}: {there} of {}", written.rows);
            }
        }
    }
}

#[test]
fn a_full_disk_may_be_tried_again_unless_a_sync_says_so() {
    for takes_direct_writes in [true, false] {
        for (what, frames_before, request, after) in faults(takes_direct_writes) {
            let (mut written, disk) = begin(takes_direct_writes, 4096, TINY);
            written.append(frames_before - 1);
            disk.fail(Fault { request, after, kind: ErrorKind::StorageFull, is_done: false });
            let error = written.try_append().unwrap_err();
            let is_sync = matches!(request, Sync | SyncDirectory);
            assert_eq!(matches!(error, JournalError::Fatal(_)), is_sync, "{what}: {error}");
            assert_eq!(
                matches!(error, JournalError::Unknown(_)),
                what.ends_with("frame") && !is_sync,
                "{what}: {error}"
            );
            if !is_sync {
                assert_eq!(recovered(&written.left()), written.rows, "{what}");
                written.append(5);
            }
            assert_eq!(recovered(&written.left()), written.rows, "{what}");
        }
    }
}

#[test]
fn a_frame_that_was_written_though_the_disk_said_otherwise_is_not_there_twice() {
    for (takes_direct_writes, request) in [(true, DirectWrite), (false, Write)] {
        let (mut written, disk) = begin(takes_direct_writes, 4096, TINY);
        written.append(1);
        disk.fail(Fault { request, after: 0, kind: ErrorKind::StorageFull, is_done: true });
        assert!(matches!(written.try_append(), Err(JournalError::Unknown(_))));
        // Together with others it has no room in this segment any more.
        let batch: Vec<_> = (1..=100).map(|at| row(written.epoch, written.rows + at)).collect();
        written.journal.append(&batch).unwrap();
        written.rows += 100;
        assert_eq!(recovered(&written.left()), written.rows);
        written.append(1);
        assert_eq!(recovered(&written.left()), written.rows);
    }
}

#[test]
fn a_segment_of_a_long_frame_is_given_back() {
    let (mut written, disk) = begin(true, 4096, TINY);
    let batch: Vec<_> = (1..=2000).map(|at| row(written.epoch, written.rows + at)).collect();
    written.journal.append(&batch).unwrap();
    written.rows += 2000;
    assert_eq!(recovered(&written.left()), written.rows);
    written.journal.pause_checkpointer(false);
    written.dir.backlog().wait_flushed().unwrap();
    disk.requests();
    written.append(2 * FRAMES);
    assert!(disk.requests().contains(&SetLen), "it stays as long as it was");
    assert_eq!(recovered(&written.left()), written.rows);
}

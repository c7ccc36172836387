//! What a crash leaves and what damage does to it: everything acknowledged is recovered, or the log is refused by name.

use super::*;

#[test]
fn a_crash_at_any_moment_leaves_everything_acknowledged() {
    let mut written = Written::begin(SMALL, true);
    for _ in 0..20 {
        written.append(2);
        assert_eq!(recovered(&written.left()), written.rows);
    }
    assert_eq!(written.flushed(), 1, "the rest was in the log alone");
    // During and after checkpointing: rows are in both, or only in one of them.
    written.journal.pause_checkpointer(false);
    let until = std::time::Instant::now() + TIMEOUT;
    while written.flushed() < written.rows {
        assert!(std::time::Instant::now() < until, "it is not flushed");
        assert_eq!(recovered(&written.left()), written.rows);
    }
    let left = written.left();
    assert_eq!(recovered(&left), written.rows);
    assert_eq!(recovered(&left), written.rows, "a start after a start");
    let Written { temp, dir, journal, rows, .. } = written;
    drop((journal, dir));
    assert!(!is_there(temp.path()), "an orderly end leaves no log");
    assert_eq!(recovered(&temp), rows);
}

#[test]
fn a_crash_in_a_recovery_costs_nothing() {
    let mut written = Written::begin(SMALL, true);
    written.append(40);
    let left = written.left();
    written.journal.pause_checkpointer(false);
    written.dir.backlog().wait_flushed().unwrap();
    // Flushed, and some of the segments removed.
    let flushed = written.left();
    for slot in 0..2 {
        std::fs::copy(segment_path(left.path(), slot + 1), segment_path(flushed.path(), slot + 1)).unwrap();
        std::fs::remove_file(segment_path(flushed.path(), slot)).unwrap();
    }
    assert_eq!(recovered(&flushed), written.rows);
    // A segment that was just being made.
    std::fs::write(segment_path(left.path(), 3), [0; 5000]).unwrap();
    assert_eq!(recovered(&left), written.rows);
}

#[test]
fn a_frame_that_was_being_written_is_the_end_and_a_damaged_one_before_others_is_refused() {
    let mut written = Written::begin(SMALL, true);
    written.append(10);
    let torn = written.left();
    change(&torn, 0, frame_at(11) + 50, |bytes| bytes[0] ^= 1);
    assert_eq!(recovered(&torn), written.rows - 1);
    let cut = written.left();
    let segment = std::fs::File::options().write(true).open(segment_path(cut.path(), 0)).unwrap();
    segment.set_len(frame_at(11) as u64 + 20).unwrap();
    assert_eq!(recovered(&cut), written.rows - 1);
    for offset in [4, 12, 20, 30, 50] {
        let damaged = written.left();
        change(&damaged, 0, frame_at(5) + offset, |bytes| bytes[0] ^= 1);
        refused(&damaged, "journal.log.0");
        assert_eq!(rows_in(damaged.path()), 1, "a row of a log that is refused is in the journal");
    }
    // The frames say by themselves whose they are, as long as none is missing.
    let damaged = written.left();
    change(&damaged, 0, 8, |bytes| bytes[0] ^= 1);
    assert_eq!(recovered(&damaged), written.rows);
    for blocks in [2, 3] {
        let damaged = written.left();
        change(&damaged, 0, 0, |bytes| bytes[..blocks * BLOCK_BYTES].fill(0));
        refused(&damaged, "its first blocks");
    }
}

#[test]
fn a_header_that_was_being_written_over_an_old_one_costs_nothing() {
    // Every segment is full, and the oldest is used again for the next frame.
    let mut written = Written::begin(SHORT_TIMEOUT, true);
    written.append(FRAMES - 1);
    written.journal.pause_checkpointer(false);
    written.dir.backlog().wait_flushed().unwrap();
    written.journal.pause_checkpointer(true);
    let old = written.left();
    let header = |left: &TempDir| std::fs::read(segment_path(left.path(), 0)).unwrap()[..48].to_vec();
    let before = header(&old);
    written.append(1);
    let after = header(&written.left());
    assert_ne!(before, after);
    assert_eq!(recovered(&written.left()), FRAMES + 1);
    // The disk may stop at any byte, and may begin at any.
    let left = written.left();
    for torn in (0..=48).flat_map(|at| [0..at, at..48]) {
        std::fs::copy(segment_path(old.path(), 0), segment_path(left.path(), 0)).unwrap();
        change(&left, 0, 0, |bytes| bytes[torn.clone()].copy_from_slice(&after[torn.clone()]));
        let mut scan = Scan::begin(left.path(), written.dir.chain_key().log()).unwrap();
        while let Some(segment) = scan.next().unwrap_or_else(|error| panic!("{torn:?}: {error}")) {
            assert!(segment.path() == segment_path(left.path(), 0) || segment.payloads().count() == 15, "{torn:?}");
        }
    }
    change(&left, 0, 0, |bytes| bytes[..40].copy_from_slice(&[&after[..20], &before[20..40]].concat()));
    assert_eq!(recovered(&left), FRAMES);
}

#[test]
fn a_segment_that_lost_its_end_before_one_with_only_a_header_is_refused() {
    let mut written = Written::begin(SMALL, true);
    // Fifteen frames fill the first segment; the sixteenth is the only one of the second.
    written.append(15);
    let torn = written.left();
    change(&torn, 1, BLOCK_BYTES, |bytes| bytes.fill(0));
    assert_eq!(recovered(&torn), written.rows - 1, "it was being written");
    for lost in [1, 2, 15] {
        let cut = written.left();
        change(&cut, 1, BLOCK_BYTES, |bytes| bytes.fill(0));
        change(&cut, 0, frame_at(16 - lost), |bytes| bytes.fill(0));
        refused(&cut, "journal.log.1");
        assert_eq!(rows_in(cut.path()), 1);
    }
}

#[test]
fn a_log_that_an_older_version_left_is_recovered_and_damage_in_it_is_refused() {
    let older = || {
        let left = tempfile::tempdir().unwrap();
        let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/commit-log-v1");
        for file in ["journal.key", "journal.log.0", "journal.log.1", "journal.log.2"] {
            std::fs::copy(fixture.join(file), left.path().join(file)).unwrap();
        }
        drop(Connection::open(left.path().join("journal.db")).unwrap());
        left
    };
    let left = older();
    assert_eq!(&std::fs::read(segment_path(left.path(), 0)).unwrap()[..8], b"onsL\0\0\0\x01");
    assert_eq!(recovered(&left), 7);
    assert_eq!(recovered(&left), 7);
    for (slot, offset) in [(0, 8), (0, 2 * BLOCK_BYTES), (1, BLOCK_BYTES + 50)] {
        let left = older();
        change(&left, slot, offset, |bytes| bytes[0] ^= 1);
        refused(&left, &format!("journal.log.{slot}"));
    }
}

#[test]
fn a_segment_that_is_missing_or_cut_short_before_another_is_refused() {
    let mut written = Written::begin(SMALL, true);
    written.append(40);
    let missing = written.left();
    std::fs::remove_file(segment_path(missing.path(), 1)).unwrap();
    refused(&missing, "journal.log.2");
    let cut = written.left();
    change(&cut, 1, frame_at(15), |bytes| bytes.fill(0));
    refused(&cut, "journal.log.2");
    assert_eq!(recovered(&written.left()), written.rows);
}

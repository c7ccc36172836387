//! Growing without standing still: no single place, key or payment makes the sale move all the others. Counted by the allocator,
//! because time on a shared machine proves nothing.

mod facts;

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what is allocated. This binary has one test, so nothing else counts.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

const COUNT: u64 = 1_000_000;
/// What one more may take at once, in bytes: a part of an index that doubles, and some to spare. A map of a million rows of
/// 48 bytes takes a hundred megabytes at once when it doubles.
const AT_ONCE: usize = 1 << 20;

#[test]
fn no_single_place_key_or_payment_moves_all_others() {
    for what in facts::GROWING {
        let (mut largest, mut at, mut number) = (0, 0, 0u64);
        let sale = facts::grow(what, COUNT, |apply| {
            let before = ALLOCATOR.stats().bytes_allocated;
            apply();
            let taken = ALLOCATOR.stats().bytes_allocated - before;
            if taken > largest {
                (largest, at) = (taken, number);
            }
            number += 1;
        });
        assert!(number >= COUNT && sale.seq().0 == number + 1, "{what}");
        assert!(largest <= AT_ONCE, "fact {at} of {what} takes {largest} bytes at once");
    }
}

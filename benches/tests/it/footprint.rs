//! What an idle event takes in memory, counted by the allocator of this test binary.

use onsale_benches::growth::idle;

/// Bytes of an idle event beyond its seats.
const TARGET: f64 = 4096.0;

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_event_takes_less_than_four_kib_beyond_its_seats() {
    let dir = tempfile::tempdir().unwrap();
    // Everything else in the process counts, too: each test has one of its own.
    let table = idle(dir.path(), 1500, || crate::ALLOCATOR.stats()).await.unwrap();
    let bytes = table.rows[0].figure;
    // Two sales, one ahead of the journal and one behind it, and an actor: less than so much would be a fault of the counting.
    assert!((1000.0..TARGET).contains(&bytes), "{bytes} bytes");
}

//! What durability costs: one group commit of the SQLite journal, small and large, beside the bare append-and-fdatasync
//! of as many bytes to the same disk. Facts are fixed; after each workload the journal is read back and counted.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that goes wrong should stop")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use onsale_adapters::sqlite::{DataDir, SqliteJournal, SqliteReader};
use onsale_engine::fakes::FakePlans;
use onsale_engine::id::{BuyerId, Epoch, EventId, ReservationId, SeatIndex, Seq};
use onsale_engine::money::Amount;
use onsale_engine::ports::{Journal, JournalEntry, JournalReader};
use onsale_engine::sale::{Entry, Fact};
use onsale_engine::time::Timestamp;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use uuid::Uuid;

const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
const START: Timestamp = Timestamp::from_secs(1_780_000_000);
/// What a row of a hold takes in the journal's log, about.
const ROW_BYTES: usize = 200;
const BATCHES: [usize; 3] = [1, 64, 1024];

/// A directory on the disk that the project is built on, not in memory.
fn dir() -> TempDir {
    TempDir::with_prefix_in("onsale-bench-", Path::new(env!("CARGO_TARGET_TMPDIR"))).unwrap()
}

fn batch(from: Seq, facts: usize, epoch: Epoch) -> Vec<JournalEntry> {
    let entry = |at: u64| {
        let seq = Seq(from.0 + at + 1);
        let reservation = ReservationId::new(EVENT, 1_780_000_000_000, seq.0.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let seats = [SeatIndex(seq.0 as u32 * 2), SeatIndex(seq.0 as u32 * 2 + 1)].as_slice().into();
        let buyer = BuyerId(Uuid::from_u128(u128::from(seq.0) << 64 | 0x8000_0000_0000_0000));
        let expires_at = START + Duration::from_secs(300);
        let fact = Fact::SeatsHeld { reservation, buyer, seats, amount: Amount(300_000), expires_at, slot: None };
        JournalEntry { event: EVENT, entry: Entry { seq, epoch, at: START, trace: None, fact } }
    };
    (0..facts as u64).map(entry).collect()
}

fn group_commit(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for facts in BATCHES {
        let temporary = dir();
        let dir = DataDir::open(temporary.path()).unwrap();
        let mut journal = SqliteJournal::open(&dir).unwrap();
        let epoch = journal.raise_epoch(EVENT).unwrap();
        let mut last = Seq(0);
        group.throughput(Throughput::Elements(facts as u64));
        group.bench_function(BenchmarkId::new("SQLite journal", facts), |bencher| {
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    let rows = batch(last, facts, epoch);
                    let began = Instant::now();
                    let appended = journal.append(&rows).unwrap();
                    spent += began.elapsed();
                    assert!(appended.fenced.is_empty());
                    last = Seq(last.0 + facts as u64);
                }
                spent
            });
        });
        let reader = SqliteReader::open(&dir, Arc::new(FakePlans::default())).unwrap();
        assert_eq!(reader.verify(EVENT).unwrap(), last.0, "every row is there, and the chain holds");
    }
    group.finish();
}

fn bare_append(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("commit");
    for facts in BATCHES {
        let temporary = dir();
        let path = temporary.path().join("log");
        let (mut file, bytes) = (File::create(&path).unwrap(), vec![0x5a; facts * ROW_BYTES]);
        let mut written = 0;
        group.throughput(Throughput::Elements(facts as u64));
        group.bench_function(BenchmarkId::new("bare append and fdatasync", facts), |bencher| {
            bencher.iter(|| {
                file.write_all(&bytes).unwrap();
                file.sync_data().unwrap();
                written += bytes.len() as u64;
            });
        });
        assert_eq!(std::fs::metadata(&path).unwrap().len(), written);
    }
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = storage; config = config(); targets = group_commit, bare_append }
criterion_main!(storage);

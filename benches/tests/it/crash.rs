//! `kill -9` under load, in short: a few kills. `onsale-crash` does twenty.

use crate::onsale::binary;
use onsale_adapters::sqlite::DataDir;
use onsale_benches::crash::{CrashError, Report, Settings, Storage, run};
use std::path::Path;

fn crash(dir: &Path, storage: Storage, trials: u32, tamper: Option<fn(&Path)>) -> (Result<Report, CrashError>, String) {
    let settings = Settings {
        onsale: binary(),
        dir: dir.to_owned(),
        trials,
        seed: 7,
        connections: 16,
        uptime_millis: (300, 900),
        storage,
        tamper,
    };
    let mut table = Vec::new();
    let report = tokio::runtime::Runtime::new().unwrap().block_on(run(&settings, &mut table));
    (report, String::from_utf8_lossy(&table).into_owned())
}

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    nothing_is_lost(Storage::Embedded, 3);
}

/// Three faults of Postgres and three of Redis, in order.
#[test]
fn nothing_acknowledged_is_lost_by_kill_9_while_postgres_and_redis_fail_too() {
    nothing_is_lost(Storage::Postgres, 6);
}

fn nothing_is_lost(storage: Storage, trials: u32) {
    let dir = tempfile::tempdir().unwrap();
    let (report, table) = crash(dir.path(), storage, trials, None);
    println!("{table}");
    let report = report.unwrap();
    assert!(report.is_good(), "see the table above; data and logs are kept in {}", dir.keep().display());
    let acknowledged = report.acknowledged();
    assert!(acknowledged.held > 0 && acknowledged.paid > 0, "the crowd did nothing: {acknowledged:?}");
}

/// The end of a journal that was said to be written, and was not: what a disk does that lies about a sync.
fn lose_the_end(data: &Path) {
    // The commit log is checkpointed first, and removed.
    drop(DataDir::open_existing(data).unwrap());
    let journal = rusqlite::Connection::open(data.join("journal.db")).unwrap();
    let lost = "DELETE FROM journal WHERE seq > (SELECT max(seq) FROM journal AS other
        WHERE other.event_id = journal.event_id) - 20";
    assert!(journal.execute(lost, []).unwrap() > 0);
    // Tables that know more than the journal are noticed at the start; these know as little.
    let tables = rusqlite::Connection::open(data.join("library.db")).unwrap();
    for table in ["projection_checkpoints", "seats", "reservations", "reservation_seats", "payments", "outbox_events"] {
        tables.execute(&format!("DELETE FROM {table}"), []).unwrap();
    }
}

#[test]
fn a_loss_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (report, table) = crash(dir.path(), Storage::Embedded, 1, Some(lose_the_end));
    let report = report.unwrap();
    assert!(!report.is_good() && !report.trials[0].found.lost.is_empty(), "{table}");
    assert!(table.contains("BAD"), "{table}");
}

//! `kill -9` under load, in short: three kills. `onsale-crash` does twenty.

use crate::onsale::binary;
use onsale_benches::crash::{Settings, run};

#[test]
fn nothing_acknowledged_is_lost_by_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let settings = Settings {
        onsale: binary(),
        dir: dir.path().to_owned(),
        trials: 3,
        seed: 7,
        connections: 16,
        uptime_millis: (300, 900),
    };
    let mut table = Vec::new();
    let report = tokio::runtime::Runtime::new().unwrap().block_on(run(&settings, &mut table));
    println!("{}", String::from_utf8_lossy(&table));
    let report = report.unwrap();
    assert!(report.is_good(), "see the table above; data and logs are kept in {}", dir.keep().display());
    let acknowledged = report.acknowledged();
    assert!(acknowledged.held > 0 && acknowledged.paid > 0, "the crowd did nothing: {acknowledged:?}");
}

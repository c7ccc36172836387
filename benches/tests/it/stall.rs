//! A disk that stalls for a second now and then, under load: nobody is refused, and everybody is answered soon after.

use onsale_benches::in_process::{House, ports};
use onsale_benches::stalling::Stalling;
use onsale_engine::fakes::small_plan;
use onsale_engine::runtime::Ports;
use std::sync::Arc;
use std::time::Duration;

const STALL: Duration = Duration::from_secs(1);
const EVERY: Duration = Duration::from_secs(5);
const LOAD: Duration = Duration::from_secs(12);
/// Holds in a second, each on schedule whether or not those before it are answered.
const RATE: u32 = 500;

#[tokio::test(flavor = "multi_thread")]
async fn a_storage_that_stalls_a_second_in_five_refuses_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let plan = small_plan(100, 100);
    let ports = ports(dir.path(), &[Arc::clone(&plan)]).unwrap();
    let (journal, stalls) = Stalling::new(ports.journal, STALL, EVERY);
    let house = House::open(Ports { journal: Box::new(journal), ..ports }, &plan).await.unwrap();

    let latencies = house.scheduled(RATE, LOAD).await;
    let refused: Vec<_> = latencies.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert_eq!(refused.len(), 0, "of {}: {:?}", latencies.len(), refused.first());
    let mut answered: Vec<Duration> = latencies.into_iter().flatten().collect();
    answered.sort_unstable();
    let at = |share: f64| answered[((answered.len() - 1) as f64 * share) as usize];
    println!(
        "{} holds, {} stalls of {STALL:?}: p50 {:?}, p99 {:?}, longest {:?}, none refused",
        answered.len(),
        stalls.count(),
        at(0.5),
        at(0.99),
        at(1.0)
    );
    assert!(stalls.count() >= 2, "the storage did stall");
    assert!(at(0.99) > STALL / 2, "and somebody waited for it");
    assert!(at(1.0) < 2 * STALL, "but not much longer: {:?}", at(1.0));
    house.engine.stop().await;
}

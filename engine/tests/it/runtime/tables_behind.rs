//! How far the tables may be behind, and who waits for whom.

use super::house::{House, event, until};
use onsale_engine::ports::records::Records;
use onsale_engine::runtime::Settings;
use onsale_engine::sale::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const BOUND: u64 = 20;
/// Who hold and release at the same time, each a seat of their own; what one of them does is a fact.
const BUYERS: u32 = 4;
const ROUNDS: u32 = 25;

fn house() -> House {
    let settings = Settings { projection_lag_max: BOUND, ..Settings::default() };
    House::with_settings(settings, Arc::default(), |_| ())
}

impl House {
    fn lag(&self) -> u64 {
        self.engine.health().projection_lag
    }

    /// Everybody holds and releases, again and again; all of it is done.
    fn bustle(&self) {
        std::thread::scope(|threads| {
            for seat in 0..BUYERS {
                threads.spawn(move || {
                    for _ in 0..ROUNDS {
                        let hold = self.hold(u64::from(seat), &[seat]);
                        let release = Command::ReleaseHold { buyer: hold.buyer, reservation: hold.id };
                        assert!(self.ask(release).is_ok());
                    }
                });
            }
        });
    }
}

#[test]
fn commits_wait_for_slow_tables_and_nothing_is_refused() {
    let house = house();
    until("the rules are written", || house.lag() == 0);
    house.projection.take_for_each_fact(Duration::from_millis(2));
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(house.lag(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        house.bustle();
        done.store(true, Ordering::Relaxed);
    });
    let most = most.into_inner();
    // What was being decided when the bound was reached is still committed: a fact of everybody, twice at the most.
    assert!((BOUND..=BOUND + 2 * u64::from(BUYERS)).contains(&most), "{most} facts behind");
    house.projection.take_for_each_fact(Duration::ZERO);
    until("the tables catch up", || house.lag() == 0);
    assert_eq!(Records::checkpoint(&house.projection, event(1)), house.sale.view().seq());
}

#[test]
fn nobody_waits_for_tables_that_do_not_move() {
    let house = house();
    until("the rules are written", || house.lag() == 0);
    house.projection.fail_not_done(usize::MAX);
    house.bustle();
    let facts = u64::from(2 * BUYERS * ROUNDS);
    until("it is seen that they are behind", || house.lag() == facts);
    let began = Instant::now();
    house.bustle();
    assert!(began.elapsed() < Duration::from_secs(1), "they waited for tables that fail: {:?}", began.elapsed());
    house.projection.fail_not_done(0);
    until("the tables catch up", || house.lag() == 0);
    assert_eq!(Records::checkpoint(&house.projection, event(1)), house.sale.view().seq());
}

#[test]
fn what_is_being_written_is_not_written() {
    let house = house();
    until("the rules are written", || house.lag() == 0);
    house.projection.take_for_each_fact(Duration::from_millis(300));
    house.hold(1, &[3]);
    let last = house.sale.view().seq();
    until("it is missing", || house.lag() > 0);
    // Once it is not missing, the tables have it.
    until("it is written", || house.lag() == 0);
    assert_eq!(Records::checkpoint(&house.projection, event(1)), last);
}

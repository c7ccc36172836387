//! How far the tables may be behind, and who waits for whom.

use super::house::{House, event, until};
use onsale_engine::limits::FACTS_PER_PROJECTION;
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

/// A house whose tables have everything.
fn house() -> House {
    let settings = Settings { projection_lag_max: BOUND, ..Settings::default() };
    let house = House::with_settings(settings, Arc::default(), |_| ());
    house.catches_up();
    house
}

impl House {
    fn lag(&self) -> u64 {
        self.engine.health().projection_lag
    }

    fn is_written(&self) -> bool {
        Records::checkpoint(&self.projection, event(1)) == self.sale.view().seq()
    }

    /// What was answered is handed over just afterwards.
    fn catches_up(&self) {
        until("the tables catch up", || self.lag() == 0 && self.is_written());
    }

    /// Everybody holds and releases, so many times; all of it is done.
    fn bustle(&self, rounds: u32) {
        std::thread::scope(|threads| {
            for seat in 0..BUYERS {
                threads.spawn(move || {
                    for _ in 0..rounds {
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
    house.projection.take_for_each_fact(Duration::from_millis(2));
    let (done, most) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(house.lag(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(100));
            }
        });
        house.bustle(ROUNDS);
        done.store(true, Ordering::Relaxed);
    });
    let most = most.into_inner();
    // What was being decided when the bound was reached is still committed: a fact of everybody, twice at the most.
    assert!((BOUND..=BOUND + 2 * u64::from(BUYERS)).contains(&most), "{most} facts behind");
    house.projection.take_for_each_fact(Duration::ZERO);
    house.catches_up();
}

#[test]
fn nobody_waits_for_tables_that_do_not_move() {
    let house = house();
    house.projection.fail_not_done(usize::MAX);
    house.bustle(ROUNDS);
    let facts = u64::from(2 * BUYERS * ROUNDS);
    until("it is seen that they are behind", || house.lag() == facts);
    let began = Instant::now();
    house.bustle(ROUNDS);
    assert!(began.elapsed() < Duration::from_secs(1), "they waited for tables that fail: {:?}", began.elapsed());
    house.projection.fail_not_done(0);
    house.catches_up();
}

#[test]
fn after_an_outage_of_theirs_tables_come_nearer_while_the_sale_goes_on() {
    let house = house();
    house.projection.fail_not_done(usize::MAX);
    // Four transactions of the tables, and more.
    house.bustle(4 * FACTS_PER_PROJECTION as u32 / (2 * BUYERS) + ROUNDS);
    house.projection.take_for_each_fact(Duration::from_micros(100));
    house.projection.fail_not_done(0);
    let most = house.lag();
    until("they write again", || house.lag() < most);
    house.hold(99, &[49]);
    assert!(house.lag() > BOUND, "the hold waited until all was written");
    house.projection.take_for_each_fact(Duration::ZERO);
    house.catches_up();
}

#[test]
fn what_is_being_written_is_not_written() {
    let house = house();
    house.projection.take_for_each_fact(Duration::from_millis(300));
    house.hold(1, &[3]);
    until("it is missing", || house.lag() > 0);
    until("nothing is missing", || house.lag() == 0);
    assert!(house.is_written(), "nothing is missing when the tables have it, and not before");
}

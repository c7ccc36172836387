//! The real runtime in a simulated world: two sales, nodes that take them from each other and crash at every point, a
//! journal that loses answers, clients that ask twice and hang up, timers that ring late, a provider that pays late, twice,
//! or never. The engine has no threads here: its actors, its journal, its timers and rebuilds take their steps when chance
//! says so, and other things happen in between. One seed is one history; everything in it is decided by that seed.
//!
//! `ONSALE_SIM_SEED=n` replays one history, `ONSALE_SIM_SEEDS=n` sets how many are tried.

mod chance;
mod chronicle;
mod clients;
mod journal;
mod node;
mod promises;
mod provider;
mod requests;
mod tally;
mod world;

use std::panic::catch_unwind;
use tally::Tally;
use world::World;

const HISTORIES: u64 = 4000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is not a number")))
}

#[test]
fn every_history_keeps_its_promises() {
    if let Some(seed) = number("ONSALE_SIM_SEED") {
        let tally = World::of(seed).live();
        return eprintln!("seed {seed}: {tally:?}");
    }
    let mut all = Tally::default();
    for seed in 0..number("ONSALE_SIM_SEEDS").unwrap_or(HISTORIES) {
        match catch_unwind(|| World::of(seed).live()) {
            Ok(tally) => all.add(tally),
            Err(panic) => {
                eprintln!("the history of ONSALE_SIM_SEED={seed} breaks a promise");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{all:?}");
    assert!(number("ONSALE_SIM_SEEDS").is_some() || all.is_rich(), "the histories miss something: {all:?}");
}

#[test]
fn a_seed_is_one_history() {
    assert_eq!(World::of(7).live(), World::of(7).live());
}

//! The longest that a single place, key or payment takes while a sale grows to a million of them:
//! `cargo run --release -p onsale-engine --example worst_insertion`. Must never be run for its figures on a busy machine.

#[path = "../tests/growing/facts.rs"]
mod facts;

use std::io::{self, Write};
use std::time::{Duration, Instant};

const COUNT: u64 = 1_000_000;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for what in facts::GROWING {
        let (mut worst, mut whole) = (Duration::ZERO, Duration::ZERO);
        facts::grow(what, COUNT, |apply| {
            let began = Instant::now();
            apply();
            let took = began.elapsed();
            worst = worst.max(took);
            whole += took;
        });
        let mean = whole.as_nanos() / u128::from(COUNT);
        writeln!(out, "{what}: worst {:.3} ms, mean {mean} ns", worst.as_secs_f64() * 1e3)?;
    }
    Ok(())
}

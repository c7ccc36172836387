//! The longest that a single place, key or payment takes while a sale grows to a million of them:
//! `cargo run --release -p onsale-engine --example worst_insertion`. Each is the shortest of several runs, so that what the
//! operating system does meanwhile does not count. Must never be taken for what a request takes.

#[path = "../tests/growing/facts.rs"]
mod facts;

use std::io::{self, Write};
use std::time::Instant;

const COUNT: u64 = 1_000_000;
const RUNS: usize = 5;

fn main() -> io::Result<()> {
    let mut out = io::stdout().lock();
    for what in facts::GROWING {
        let mut shortest: Vec<u128> = Vec::new();
        for run in 0..RUNS {
            let mut number = 0;
            facts::grow(what, COUNT, |apply| {
                let began = Instant::now();
                apply();
                let took = began.elapsed().as_nanos();
                match shortest.get_mut(number) {
                    Some(known) => *known = took.min(*known),
                    None if run == 0 => shortest.push(took),
                    None => {}
                }
                number += 1;
            });
        }
        let worst = shortest.iter().max().copied().unwrap_or_default();
        let mean = shortest.iter().sum::<u128>() / shortest.len().max(1) as u128;
        writeln!(out, "{what}: worst {:.3} ms, mean {mean} ns", worst as f64 / 1e6)?;
    }
    Ok(())
}

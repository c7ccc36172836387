//! `onsale-growth`: what larger halls, longer lines, more events and longer journals cost, as tables.

use clap::Parser;
use onsale_benches::flags::GrowthFlags;
use onsale_benches::growth::{GrowthError, Settings, run};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match growth(&GrowthFlags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-growth: {error}");
            ExitCode::from(2)
        }
    }
}

fn growth(args: &GrowthFlags) -> Result<(), GrowthError> {
    let myself = std::env::current_exe()?;
    let beside = args.dir.clone().or_else(|| myself.parent().map(PathBuf::from)).unwrap_or_default();
    std::fs::create_dir_all(&beside)?;
    let temporary = tempfile::Builder::new().prefix("onsale-growth-").tempdir_in(&beside)?;
    let settings = Settings {
        dir: temporary.path().to_owned(),
        halls: args.halls.clone(),
        large_halls: args.large_halls.clone(),
        crowds: args.crowds.clone(),
        events: args.events.clone(),
        rows: vec![args.rows / 100, args.rows / 10, args.rows],
        thousands: args.thousands,
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(&settings, &mut io::stdout()))?;
    Ok(())
}

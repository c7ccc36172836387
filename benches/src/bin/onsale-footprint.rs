//! `onsale-footprint`: what an idle event takes in memory, to the byte.

use clap::Parser;
use onsale_benches::flags::FootprintFlags;
use onsale_benches::growth::{GrowthError, idle};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Counts what is allocated and not given back. SQLite allocates elsewhere, and its caches are bounded.
#[global_allocator]
static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

fn main() -> ExitCode {
    match footprint(&FootprintFlags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-footprint: {error}");
            ExitCode::from(2)
        }
    }
}

fn footprint(args: &FootprintFlags) -> Result<(), GrowthError> {
    let myself = std::env::current_exe()?;
    let beside = args.dir.clone().or_else(|| myself.parent().map(PathBuf::from)).unwrap_or_default();
    std::fs::create_dir_all(&beside)?;
    let temporary = tempfile::Builder::new().prefix("onsale-footprint-").tempdir_in(&beside)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let table = runtime.block_on(idle(temporary.path(), args.events, || ALLOCATOR.stats()))?;
    writeln!(io::stdout(), "{}", table.markdown())?;
    Ok(())
}

//! `onsale-growth`: what larger halls, longer lines, more events and longer journals cost, as tables.

use clap::Parser;
use onsale_benches::growth::{GrowthError, Settings, run};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures what growth costs: holds a second in larger halls and over more events, looks a second in longer lines, the
/// time to start from longer journals. Takes some minutes and a few gigabytes of disk.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Seats of halls over HTTP; a million at the most.
    #[arg(long, value_delimiter = ',', default_value = "5000,50000,500000,1000000")]
    halls: Vec<u64>,
    /// Seats of halls in process.
    #[arg(long, value_delimiter = ',', default_value = "5000,50000,500000,5000000")]
    large_halls: Vec<u64>,
    /// Buyers who wait.
    #[arg(long, value_delimiter = ',', default_value = "1000,10000,100000,1000000")]
    crowds: Vec<u64>,
    /// Events.
    #[arg(long, value_delimiter = ',', default_value = "1,100,10000")]
    events: Vec<u64>,
    /// Rows of the longest journal that is started from; a tenth and a hundredth of it are measured too.
    #[arg(long, default_value_t = 10_000_000)]
    rows: u64,
    /// What one figure is measured on, in thousands of holds; smaller is quicker and noisier.
    #[arg(long, default_value_t = 50)]
    thousands: u64,
    /// Where data lie meanwhile; without it, beside this binary, so that the disk is a real one.
    #[arg(long)]
    dir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match growth(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-growth: {error}");
            ExitCode::from(2)
        }
    }
}

fn growth(args: &Args) -> Result<(), GrowthError> {
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
        thousands: args.thousands.max(1),
    };
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(&settings, &mut io::stdout()))?;
    Ok(())
}

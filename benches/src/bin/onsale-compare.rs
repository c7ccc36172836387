//! `onsale-compare`: the server over HTTP beside a bare server that answers as many bytes, with the same load tool,
//! alternating. Prints a table of medians and ratios. Ends with 1 when a bar is missed, 2 when there is no comparison.

use clap::Parser;
use onsale_benches::built::onsale_binary;
use onsale_benches::compare::{CompareError, Settings, ceiling, run};
use onsale_benches::flags::{CompareFlags, ComparePart};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let args = CompareFlags::parse();
    let done = match &args.command {
        Some(ComparePart::Ceiling { port, sample, parses }) => {
            ceiling::serve(*port, sample, *parses).map(|()| true).map_err(CompareError::from)
        }
        None => compare(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-compare: {error}");
            ExitCode::from(2)
        }
    }
}

fn compare(args: &CompareFlags) -> Result<bool, CompareError> {
    let onsale = onsale_binary(args.onsale.as_deref())?;
    let myself = std::env::current_exe()?;
    let beside = args.dir.clone().or_else(|| myself.parent().map(PathBuf::from)).unwrap_or_default();
    std::fs::create_dir_all(&beside)?;
    let temporary = tempfile::Builder::new().prefix("onsale-compare-").tempdir_in(&beside)?;
    let settings = Settings {
        onsale,
        myself,
        dir: temporary.path().to_owned(),
        seconds: args.seconds,
        rounds: args.rounds,
        connections: args.connections.clone(),
        scenarios: args.scenarios.clone(),
        threads: args.threads,
        crowd: args.crowd,
        open_rate: args.open_rate,
        open_seconds: args.open_seconds,
        open_connections: args.open_connections,
        most_per_second: args.most_per_second,
    };
    let report = tokio::runtime::Runtime::new()?.block_on(run(&settings, &mut io::stderr()))?;
    write!(io::stdout(), "{}", report.markdown())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report.json()).map_err(io::Error::other)?;
        std::fs::write(path, json)?;
    }
    Ok(report.is_good())
}

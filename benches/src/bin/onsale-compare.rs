//! `onsale-compare`: the server over HTTP beside a bare server that answers as many bytes, with the same load tool, in
//! turn. Prints a table of medians and ratios. Ends with 1 when a bar is missed, 2 when there is no comparison.

use clap::{Parser, Subcommand};
use onsale_benches::built::onsale_binary;
use onsale_benches::compare::{CompareError, Scenario, Settings, ceiling, run};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures holds (each synced before its answer), refused holds and looks at one's place over HTTP, beside a bare
/// server that parses the same body and answers as many bytes. Needs `wrk` (Debian: apt-get install wrk).
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Option<Part>,
    /// Seconds of one run.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Rounds; the table shows their medians.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Numbers of connections.
    #[arg(long, value_delimiter = ',', default_value = "64,256")]
    connections: Vec<usize>,
    /// What is sent.
    #[arg(long, value_delimiter = ',', default_value = "hold,refused-hold,status")]
    scenarios: Vec<Scenario>,
    /// Threads of the load tool.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Buyers in the line whose places are looked at.
    #[arg(long, default_value_t = 50_000)]
    crowd: u64,
    /// Holds a second of the open loop; 0 leaves it out.
    #[arg(long, default_value_t = 10_000)]
    open_rate: u64,
    /// Seconds of the open loop.
    #[arg(long, default_value_t = 10)]
    open_seconds: u64,
    /// Connections of the open loop.
    #[arg(long, default_value_t = 128)]
    open_connections: usize,
    /// Holds a second that there are seats for; raise it on a machine that sells the halls out.
    #[arg(long, default_value_t = 100_000)]
    most_per_second: u64,
    /// The server's binary; without it, it is built.
    #[arg(long)]
    onsale: Option<PathBuf>,
    /// Where data lie meanwhile; without it, beside this binary, so that the disk is a real one.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Write everything that was measured to this file, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Part {
    /// The bare server alone; the comparison starts it by itself.
    Ceiling {
        /// Its port on 127.0.0.1.
        #[arg(long)]
        port: u16,
        /// What it answers.
        #[arg(long)]
        sample: PathBuf,
        /// Whether it reads and parses a hold first.
        #[arg(long)]
        parses: bool,
    },
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.command {
        Some(Part::Ceiling { port, sample, parses }) => {
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

fn compare(args: &Args) -> Result<bool, CompareError> {
    let onsale = onsale_binary(args.onsale.as_deref())?;
    let myself = std::env::current_exe()?;
    let beside = args.dir.clone().or_else(|| myself.parent().map(PathBuf::from)).unwrap_or_default();
    std::fs::create_dir_all(&beside)?;
    let temporary = tempfile::Builder::new().prefix("onsale-compare-").tempdir_in(&beside)?;
    let settings = Settings {
        onsale,
        myself,
        dir: temporary.path().to_owned(),
        seconds: args.seconds.max(1),
        rounds: args.rounds.max(1),
        connections: args.connections.iter().map(|connections| (*connections).max(1)).collect(),
        scenarios: args.scenarios.clone(),
        threads: args.threads.max(1),
        crowd: args.crowd.max(2),
        open_rate: args.open_rate,
        open_seconds: args.open_seconds.max(1),
        open_connections: args.open_connections.max(1),
        most_per_second: args.most_per_second.max(1),
    };
    let report = tokio::runtime::Runtime::new()?.block_on(run(&settings, &mut io::stderr()))?;
    write!(io::stdout(), "{}", report.markdown())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_vec_pretty(&report.json()).map_err(io::Error::other)?;
        std::fs::write(path, json)?;
    }
    Ok(report.is_good())
}

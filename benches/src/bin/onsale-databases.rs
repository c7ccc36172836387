//! `onsale-databases`: the journal on Postgres beside bare inserts, and holds over HTTP on Postgres beside the row-lock
//! transaction on the same private cluster and a Lua script in a private Redis. Ends with 1 when something did not count.

use clap::Parser;
use onsale_benches::built::onsale_binary;
use onsale_benches::databases::{DatabasesError, Settings, run};
use onsale_engine::limits::PROJECTION_LAG_MAX;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Measures what Postgres and Redis allow and what onsale makes of it, on servers of its own that sync every commit.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// Seconds of one run.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Rounds, of which medians are told.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Rows of a batch.
    #[arg(long, default_value_t = 1000)]
    batch: usize,
    /// Clients of pgbench.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// Connections of the load tool, over HTTP and to Redis.
    #[arg(long, default_value_t = 256)]
    connections: usize,
    /// Holds a second that the hall has seats for.
    #[arg(long, default_value_t = 60_000)]
    most_per_second: u64,
    /// Facts that the tables may be behind before commits wait for them: less than by default is reached sooner.
    #[arg(long, default_value_t = PROJECTION_LAG_MAX)]
    lag_max: u64,
    /// The server's binary; without it, one is built beside this.
    #[arg(long)]
    onsale: Option<PathBuf>,
}

fn main() -> ExitCode {
    match measure(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-databases: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &Args) -> Result<(), DatabasesError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let temporary = tempfile::tempdir()?;
    let settings = Settings {
        onsale: onsale_binary(args.onsale.as_deref())?,
        dir: temporary.path().to_owned(),
        seconds: args.seconds.max(1),
        rounds: args.rounds.max(1),
        batch: args.batch.max(1),
        clients: args.clients.max(1),
        connections: args.connections.max(1),
        most_per_second: args.most_per_second.max(1),
        lag_max: args.lag_max,
    };
    runtime.block_on(run(&settings, &mut io::stdout()))
}

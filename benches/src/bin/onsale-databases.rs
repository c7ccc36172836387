//! `onsale-databases`: the journal on Postgres beside bare inserts, and holds over HTTP on Postgres beside the row-lock
//! transaction on the same private cluster and a Lua script in a private Redis. Ends with 1 when something did not count.

use clap::Parser;
use onsale_benches::built::onsale_binary;
use onsale_benches::databases::{DatabasesError, Settings, run};
use onsale_benches::flags::DatabasesFlags;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match measure(&DatabasesFlags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-databases: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(args: &DatabasesFlags) -> Result<(), DatabasesError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let temporary = tempfile::tempdir()?;
    let settings = Settings {
        onsale: onsale_binary(args.onsale.as_deref())?,
        dir: temporary.path().to_owned(),
        seconds: args.seconds,
        rounds: args.rounds,
        batch: args.batch,
        clients: args.clients,
        connections: args.connections,
        most_per_second: args.most_per_second,
        lag_max: args.lag_max,
    };
    runtime.block_on(run(&settings, &mut io::stdout()))
}

//! `onsale-crash`: kills a server under load at random moments and prints, as a table, that nothing that was
//! acknowledged is lost. Ends with 1 when something is.

use clap::Parser;
use onsale_benches::built::onsale_binary;
use onsale_benches::crash::{CrashError, Settings, Storage, run};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

/// Kills a server under load with SIGKILL, starts it again on the same data, and holds it against everything that it
/// had acknowledged.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How often the server is killed.
    #[arg(long, default_value_t = 20)]
    trials: u32,
    /// What every die is thrown from; the moment of a kill in the server's work is chance all the same.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Buyers at the same time.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// The shortest time under load, in milliseconds.
    #[arg(long, default_value_t = 50)]
    shortest_millis: u64,
    /// The longest time under load, in milliseconds.
    #[arg(long, default_value_t = 1500)]
    longest_millis: u64,
    /// Where the server keeps its data. A Postgres of its own is stopped, crashed and paused meanwhile, and a Redis of its
    /// own stopped, restarted, wiped and paused: ten kinds of trial in turn.
    #[arg(long, value_enum, default_value_t = StorageName::Embedded)]
    storage: StorageName,
    /// The server's binary; without it, one is built beside this.
    #[arg(long)]
    onsale: Option<PathBuf>,
    /// Keep data and logs here; without it they are temporary, and kept only if something is wrong.
    #[arg(long)]
    dir: Option<PathBuf>,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum StorageName {
    Embedded,
    Postgres,
}

fn main() -> ExitCode {
    match crash(&Args::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-crash: {error}");
            ExitCode::from(2)
        }
    }
}

fn crash(args: &Args) -> Result<bool, CrashError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let settings = Settings {
        onsale: onsale_binary(args.onsale.as_deref())?,
        dir,
        trials: args.trials,
        seed: args.seed,
        connections: args.connections.max(1),
        uptime_millis: (args.shortest_millis, args.longest_millis.max(args.shortest_millis)),
        storage: match args.storage {
            StorageName::Embedded => Storage::Embedded,
            StorageName::Postgres => Storage::Postgres,
        },
        tamper: None,
    };
    let ran = runtime.block_on(run(&settings, &mut io::stdout()));
    let good = ran.as_ref().is_ok_and(onsale_benches::crash::Report::is_good);
    if !good && args.dir.is_none() {
        let kept = temporary.keep();
        writeln!(io::stderr(), "data and logs are kept in {}", kept.display())?;
    }
    ran.map(|report| report.is_good())
}

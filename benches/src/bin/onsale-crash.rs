//! `onsale-crash`: kills a server under load at random moments and prints, as a table, that nothing that was
//! acknowledged is lost. Ends with 1 when something is.

use clap::Parser;
use onsale_benches::built::onsale_binary;
use onsale_benches::crash::{CrashError, Settings, Storage, run};
use onsale_benches::flags::{CrashFlags, StorageName};
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    match crash(&CrashFlags::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-crash: {error}");
            ExitCode::from(2)
        }
    }
}

fn crash(args: &CrashFlags) -> Result<bool, CrashError> {
    let runtime = tokio::runtime::Runtime::new()?;
    let temporary = tempfile::tempdir()?;
    let dir = args.dir.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&dir)?;
    let settings = Settings {
        onsale: onsale_binary(args.onsale.as_deref())?,
        dir,
        trials: args.trials,
        seed: args.seed,
        connections: args.connections,
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

//! The command line: what can be asked of the binary, and how each command ends. Exit codes: 0 done, 1 failed, 2 the
//! configuration or the command line has mistakes.

use crate::config::{Config, ConfigError};
use crate::demo::{self, DemoArgs};
use crate::logging;
use crate::server::{Server, bind};
use crate::verify;
use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs on-sales: a waiting room, seats, payments and tickets over HTTP, durable from one command.
#[derive(Debug, Parser)]
#[command(name = "onsale", version, about, max_term_width = 100)]
pub struct Cli {
    /// The configuration. `config.toml` of the working directory is read when it exists, unless another is named;
    /// `ONSALE__SECTION__KEY` in the environment overrides any key.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve (also without any command): answers HTTP until SIGTERM or SIGINT, then drains.
    Serve,
    /// Show a whole on-sale: a server on fresh data, the arena, and a crowd that buys through the HTTP API.
    Demo(DemoArgs),
    /// Check a data directory offline: every journal's chain, the replayed state, snapshots and tables.
    #[command(long_about = VERIFY)]
    Verify {
        /// The data directory; without it, the one of the configuration.
        #[arg(value_name = "DIR")]
        path: Option<PathBuf>,
        /// Check a buyer's proof of a draw instead, as `GET /queue/proof` answered it; needs no data directory.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "Output"])]
        proof: Option<PathBuf>,
        #[command(flatten)]
        output: verify::Output,
    },
}

const VERIFY: &str = "Checks a data directory that no server works on. Walks every event's journal from its first row \
    (chain, no gaps, every fact readable), replays it, and holds against it the invariants, the newest snapshot and the \
    tables written behind; every draw is worked out again from its seed and its cohort. Ends with 0 when everything is as it must be, 1 when something is not (the row is named), 2 \
    when the directory cannot be looked at.";

/// Does what the command line asks for.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => with_config(cli.config, |_| {}, serve),
        Command::Demo(args) => with_config(cli.config, demo::quiet, async |config| Ok(demo::run(&args, config).await?)),
        Command::Verify { proof: Some(proof), .. } => verify::run_proof(&proof),
        Command::Verify { path: Some(path), output, .. } => verify::run(&path, &output),
        Command::Verify { path: None, output, .. } => match Config::load(cli.config.as_deref(), std::env::vars_os()) {
            Ok(config) => verify::run(&config.storage.path, &output),
            Err(error @ ConfigError(_)) => failed(2, &error),
        },
    }
}

/// Reads the configuration, starts log and runtime, and runs a command on them.
fn with_config(
    file: Option<PathBuf>,
    change: impl FnOnce(&mut Config),
    command: impl AsyncFnOnce(Config) -> Result<(), Box<dyn std::error::Error>>,
) -> ExitCode {
    let mut config = match Config::load(file.as_deref(), std::env::vars_os()) {
        Ok(config) => config,
        Err(error @ ConfigError(_)) => return failed(2, &error),
    };
    change(&mut config);
    let _written_at_the_end = logging::start(&config.log);
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name("onsale-http").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(1, &error),
    };
    match runtime.block_on(command(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(1, &error),
    }
}

async fn serve(config: Config) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let listen = config.server.listen;
    let socket = bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let mut running = Server::start(config, socket)?;
    tracing::info!(address = %running.address(), "listening; recovering");
    let told_to_stop = tokio::select! {
        started = running.ready() => {
            started?;
            tracing::info!(address = %running.address(), "ready");
            false
        }
        () = told(&mut terminate, &mut interrupt) => true,
    };
    if !told_to_stop {
        told(&mut terminate, &mut interrupt).await;
    }
    tracing::info!("draining");
    tokio::select! {
        () = running.stop() => {
            tracing::info!("stopped");
            Ok(())
        }
        () = told(&mut terminate, &mut interrupt) => Err("told again to stop: not drained".into()),
    }
}

/// Waits for SIGTERM or SIGINT.
async fn told(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn failed(code: u8, error: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "onsale: {error}");
    ExitCode::from(code)
}

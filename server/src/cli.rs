//! The command line: what can be asked of the binary, and how each command ends. Exit codes: 0 done, 1 failed, 2 the
//! configuration or the command line has mistakes.

use crate::backup::{self, BackupArgs, RestoreArgs};
use crate::check;
use crate::config::{self, Change, Config, ConfigError, Told};
use crate::demo::{self, DemoArgs};
use crate::logging::{self, IMPORTANT};
use crate::server::{Server, bind};
use crate::verify;
use clap::{Parser, Subcommand};
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
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
    /// Serve (also without any command): answers HTTP until SIGTERM or SIGINT, then drains. SIGHUP reads the
    /// configuration again.
    Serve,
    /// Check the configuration and what it names, and start nothing: exit code 0, or every problem by name.
    Check,
    /// Show a whole on-sale: a server on fresh data, the arena, and a crowd that buys through the HTTP API.
    Demo(DemoArgs),
    /// Copy the data directory, also while a server works on it; `onsale restore` brings it back.
    Backup(BackupArgs),
    /// Make a data directory of a backup, and verify it. No server may work on it.
    Restore(RestoreArgs),
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
        Command::Serve => {
            let file = cli.config.clone();
            with_config(cli.config, |_| {}, async |config| serve(config, file.as_deref()).await)
        }
        Command::Check => check::run(cli.config.as_deref()),
        Command::Demo(args) => with_config(cli.config, demo::quiet, async |config| Ok(demo::run(&args, config).await?)),
        Command::Backup(args) => on_data(args.from.clone(), cli.config, |path| backup::run(path, &args)),
        Command::Restore(args) => on_data(args.to.clone(), cli.config, |path| backup::run_restore(path, &args)),
        Command::Verify { proof: Some(proof), .. } => verify::run_proof(&proof),
        Command::Verify { path, output, .. } => on_data(path, cli.config, |path| verify::run(path, &output)),
    }
}

/// Runs a command on a data directory: the one that is named, or the one of the configuration.
fn on_data(named: Option<PathBuf>, file: Option<PathBuf>, command: impl FnOnce(&Path) -> ExitCode) -> ExitCode {
    if let Some(path) = named {
        return command(&path);
    }
    match Config::load(file.as_deref(), std::env::vars_os()) {
        Ok(config) => command(&config.storage.path),
        Err(error @ ConfigError(_)) => failed(2, &error),
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
    let _written_at_the_end = match logging::start(&config.log) {
        Ok(log) => log,
        Err(error) => return failed(1, &format!("log.directory cannot be used: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name("onsale-http").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(1, &error),
    };
    match runtime.block_on(command(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(1, &error),
    }
}

async fn serve(config: Config, file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut hang_up = signal(SignalKind::hangup())?;
    let listen = config.server.listen;
    let socket = bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let mut leave = config.server.leave;
    let mut told = config.told.clone();
    let mut running = Server::start(config, socket)?;
    tracing::info!(target: IMPORTANT, address = %running.address(), "listening; recovering");
    let told_to_stop = tokio::select! {
        started = running.ready() => {
            started?;
            tracing::info!(target: IMPORTANT, address = %running.address(), "ready");
            false
        }
        () = told_to_end(&mut terminate, &mut interrupt) => true,
    };
    while !told_to_stop {
        tokio::select! {
            () = told_to_end(&mut terminate, &mut interrupt) => break,
            _ = hang_up.recv() => {
                if let Some(config) = read_again(file, &mut told) {
                    leave = config.server.leave;
                    running.tune(&config);
                }
            }
        }
    }
    if !told_to_stop && !leave.is_zero() {
        tracing::info!(target: IMPORTANT, leave_ms = leave.as_millis(), "not ready any more; still answering");
        running.leave();
        tokio::select! {
            () = tokio::time::sleep(leave) => {}
            () = told_to_end(&mut terminate, &mut interrupt) => {}
        }
    }
    tracing::info!(target: IMPORTANT, "draining");
    tokio::select! {
        () = running.stop() => {
            tracing::info!(target: IMPORTANT, "stopped");
            Ok(())
        }
        () = told_to_end(&mut terminate, &mut interrupt) => Err("told again to stop: not drained".into()),
    }
}

/// SIGHUP: reads the configuration again and says what has changed. With mistakes, all stays as it is.
fn read_again(file: Option<&Path>, told: &mut Told) -> Option<Config> {
    let config = match Config::load(file, std::env::vars_os()) {
        Ok(config) => config,
        Err(ConfigError(mistakes)) => {
            for mistake in mistakes {
                tracing::error!(%mistake, "the configuration was read again and has a mistake; nothing is changed");
            }
            return None;
        }
    };
    let changes = config::changes(told, &config);
    if changes.is_empty() {
        tracing::info!(target: IMPORTANT, "the configuration was read again; nothing has changed");
    }
    for Change { key, from, to, is_live } in changes {
        let words = if is_live { "changed, and in force" } else { "changed, and waits for a restart" };
        tracing::info!(target: IMPORTANT, key, from, to, restart_needed = !is_live, "{words}");
    }
    told.take_live(&config.told);
    Some(config)
}

/// Waits for SIGTERM or SIGINT.
async fn told_to_end(terminate: &mut Signal, interrupt: &mut Signal) {
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn failed(code: u8, error: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "onsale: {error}");
    ExitCode::from(code)
}

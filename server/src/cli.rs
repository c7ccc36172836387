//! The command line: the commands of the binary, and how each ends. Exit codes: 0 done, 1 failed, 2 the
//! configuration or the command line has mistakes.

use crate::administrators::{self, AdminArgs};
use crate::app::App;
use crate::backup::{self, BackupArgs, RestoreArgs};
use crate::capacity::{self, PlanArgs};
use crate::check;
use crate::config::{self, Change, Config, ConfigError, Origin, Reported, StorageKind};
use crate::demo::{self, DemoArgs};
use crate::logging::{self, IMPORTANT};
use crate::probe::{self, HealthArgs};
use crate::server::{Running, Server, bind};
use crate::verify::{self, Place};
use clap::{Parser, Subcommand};
use onsale_adapters::sqlite::Readers;
use rustix::fs::Mode;
use std::fmt::Display;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Run on-sales: a waiting room, seats, payments and tickets over HTTP, durable from one command.
#[derive(Debug, Parser)]
#[command(name = "onsale", version)]
pub struct Cli {
    /// Configuration file. Default: `config.toml` in the working directory, if it exists. `ONSALE__SECTION__KEY` in the environment
    /// overrides any key.
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve HTTP until SIGTERM or SIGINT, then drain. SIGHUP reads the configuration again. This is the default command.
    Serve,
    /// Check the configuration and the files and addresses in it, without starting a server. Exit code 0 when all is right, 2 with
    /// every problem by name.
    Check {
        /// Also refuse what must not be in production: weak secrets, plain text beyond this machine, disabled limits, the simulated
        /// payment provider.
        #[arg(long)]
        production: bool,
    },
    /// Print every key in force with its value and origin. Secrets are hidden. The output is a valid configuration file.
    Config,
    /// Ask a running server for its health. Exit code 0 when it is healthy, 1 when it is not.
    Health(HealthArgs),
    /// Simulate an on-sale in virtual time: how long it takes, who is refused, what the machine must provide.
    Plan(PlanArgs),
    /// Run a whole on-sale: a server on new data, an arena, and a crowd that buys through the HTTP API.
    Demo(DemoArgs),
    /// Add, list, disable and enable administrators in the configured storage.
    Admin(AdminArgs),
    /// Copy the data directory, also while a server uses it. `onsale restore` restores the copy.
    Backup(BackupArgs),
    /// Create a data directory from a backup and verify it. No server may use the directory.
    Restore(RestoreArgs),
    /// Check the stored data: the chain of every journal, the replayed state, snapshots and tables.
    #[command(long_about = VERIFY)]
    Verify {
        /// Data directory. Default: the configured storage.
        #[arg(value_name = "DIR")]
        path: Option<PathBuf>,
        /// Check a buyer's proof of a draw instead, saved from `GET /queue/proof`; needs no data directory. Default: none.
        #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "Output"])]
        proof: Option<PathBuf>,
        #[command(flatten)]
        output: verify::Output,
    },
}

const VERIFY: &str = "Check a data directory that no server uses, or the configured database, also while a server uses it. Reads \
    every event's journal from its first row (chain, no gaps, every fact readable), replays it, and compares the result with the \
    invariants, the newest snapshot and the projected tables; every draw is computed again from its seed and its cohort. Exit code \
    0 when everything is right, 1 when something is wrong (the row is named), 2 when it cannot be checked.";

/// Does what the command line asks for.
#[must_use]
pub fn run(cli: Cli) -> ExitCode {
    private_files(Readers::Owner);
    match cli.command.unwrap_or(Command::Serve) {
        Command::Serve => {
            let file = cli.config.clone();
            with_config(cli.config, |_| {}, async |config| serve(config, file.as_deref()).await)
        }
        Command::Config => match Config::load(cli.config.as_deref(), std::env::vars_os()) {
            Ok(config) => print_config(&config, cli.config.as_deref()),
            Err(error @ ConfigError(..)) => failed(2, &error),
        },
        Command::Health(args) if args.has_url() => probe::run(&args, None),
        Command::Health(args) => match Config::load(cli.config.as_deref(), std::env::vars_os()) {
            Ok(config) => probe::run(&args, Some(&config)),
            Err(error @ ConfigError(..)) => failed(2, &error),
        },
        Command::Plan(args) => match Config::load(cli.config.as_deref(), std::env::vars_os()) {
            Ok(config) => capacity::run(&args, &config),
            Err(error @ ConfigError(..)) => failed(2, &error),
        },
        Command::Check { production } => check::run(cli.config.as_deref(), production),
        Command::Demo(args) => with_config(cli.config, demo::quiet, async |config| Ok(demo::run(&args, config).await?)),
        Command::Admin(args) => with_config(
            cli.config,
            |config| config.log.level = "warn".to_owned(),
            async |config| Ok(administrators::run(args, &config).await?),
        ),
        Command::Backup(args) => on_data(args.from.clone(), cli.config, |path| backup::run(path, &args)),
        Command::Restore(args) => on_data(args.to.clone(), cli.config, |path| backup::run_restore(path, &args)),
        Command::Verify { proof: Some(proof), .. } => verify::run_proof(&proof),
        Command::Verify { path: Some(path), output, .. } => verify::run(&Place::Directory(path), &output),
        Command::Verify { path: None, output, .. } => match Config::load(cli.config.as_deref(), std::env::vars_os()) {
            Ok(config) => match Place::of(&config) {
                Some(place) => verify::run(&place, &output),
                None => failed(2, &"postgres.url is not set"),
            },
            Err(error @ ConfigError(..)) => failed(2, &error),
        },
    }
}

/// What this process makes from now on is closed to others, whatever the shell or the supervisor that started it allows.
fn private_files(readers: Readers) {
    rustix::process::umask(match readers {
        Readers::Owner => Mode::RWXG | Mode::RWXO,
        Readers::Group => Mode::WGRP | Mode::RWXO,
    });
}

/// `onsale config`: as a file, with where each value comes from behind it.
fn print_config(config: &Config, file: Option<&Path>) -> ExitCode {
    let file = file.unwrap_or(Path::new(config::DEFAULT_FILE)).display();
    let mut out = std::io::stdout().lock();
    let (mut before, mut written) = (String::new(), Ok(()));
    for (name, value, origin) in config.reported.values() {
        let Some((section, key)) = name.split_once('.') else { continue };
        if section != before {
            let gap = if before.is_empty() { "" } else { "\n" };
            written = written.and_then(|()| writeln!(out, "{gap}[{section}]"));
            section.clone_into(&mut before);
        }
        let origin = match origin {
            Origin::Default => "default".to_owned(),
            Origin::File(Some(line)) => format!("{file}, line {line}"),
            Origin::File(None) => format!("{file}"),
            Origin::Environment(name) => name.clone(),
        };
        let line = match value.as_str() {
            config::HIDDEN => format!("# {key} is set and hidden  # {origin}"),
            value => format!("{key} = {value}  # {origin}"),
        };
        written = written.and_then(|()| writeln!(out, "{line}"));
    }
    if let Some(admin) = &config.bootstrap_admin {
        written =
            written.and_then(|()| writeln!(out, "\n# ONSALE_BOOTSTRAP_ADMIN: {}, the password is hidden", admin.email));
    }
    if written.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a command on a data directory: the one that is named, or the one of the configuration.
fn on_data(named: Option<PathBuf>, file: Option<PathBuf>, command: impl FnOnce(&Path) -> ExitCode) -> ExitCode {
    if let Some(path) = named {
        return command(&path);
    }
    match Config::load(file.as_deref(), std::env::vars_os()) {
        Ok(config) if config.storage.kind == StorageKind::Postgres => {
            failed(2, &"what is kept in Postgres is backed up and restored by its own tools, see deploy/postgres")
        }
        Ok(config) => {
            private_files(config.storage.readers());
            command(&config.storage.path)
        }
        Err(error @ ConfigError(..)) => failed(2, &error),
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
        Err(error @ ConfigError(..)) => return failed(2, &error),
    };
    change(&mut config);
    private_files(config.storage.readers());
    let _written_at_the_end = match logging::start(&config.log) {
        Ok(log) => log,
        Err(error) => return failed(1, &format!("log.directory cannot be used: {error}")),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().thread_name("onsale-main").enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(1, &error),
    };
    match runtime.block_on(command(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(1, &error),
    }
}

async fn serve(config: Config, file: Option<&Path>) -> Result<(), Box<dyn std::error::Error>> {
    let mut signals = Signals::listen()?;
    let listen = config.server.listen;
    let socket = bind(listen).map_err(|error| format!("cannot listen on {listen}: {error}"))?;
    let (leave, reported, storage) = (config.server.leave, config.reported.clone(), storage_of(&config));
    let mut running = Server::start(config, socket)?;
    tracing::info!(target: IMPORTANT, address = %running.address(), "listening; recovering");
    let is_ready = tokio::select! {
        started = running.ready() => {
            announce(&*started?, running.address(), &storage).await;
            true
        }
        () = signals.end() => false,
    };
    if is_ready {
        let leave = until_signalled(&mut running, &mut signals, file, reported, leave).await;
        leave_first(&running, &mut signals, leave).await;
    }
    tracing::info!(target: IMPORTANT, "draining");
    tokio::select! {
        () = running.stop() => {
            tracing::info!(target: IMPORTANT, "stopped");
            Ok(())
        }
        () = signals.end() => Err("a second signal to stop: not drained".into()),
    }
}

/// Where everything is kept, without what is secret of an address.
fn storage_of(config: &Config) -> String {
    match config.postgres.settings() {
        Some(settings) if config.storage.kind == StorageKind::Postgres => settings.url.name(),
        Some(_) | None => config.storage.path.display().to_string(),
    }
}

/// One line says what an operator wants to know of a start; without an administrator, also how to make one.
async fn announce(app: &App, address: SocketAddr, storage: &str) {
    let version = env!("CARGO_PKG_VERSION");
    let administrators = match app.accounts.administrators().await {
        Ok(accounts) => accounts.iter().filter(|account| account.disabled_at.is_none()).count(),
        Err(error) => {
            tracing::warn!(%error, "the administrators cannot be counted");
            return tracing::info!(target: IMPORTANT, version, %address, storage, "ready");
        }
    };
    let advice = "there is no administrator: `onsale admin add EMAIL` makes one (in a data directory while no server works on \
        it), or a start with ONSALE_BOOTSTRAP_ADMIN=email:password";
    let advice = (administrators == 0).then_some(advice);
    tracing::info!(target: IMPORTANT, version, %address, storage, administrators, advice, "ready");
}

/// Reads the configuration again at each signal to do so, until a signal to end; returns how long to leave for then.
async fn until_signalled(
    running: &mut Running,
    signals: &mut Signals,
    file: Option<&Path>,
    mut reported: Reported,
    mut leave: Duration,
) -> Duration {
    loop {
        if !signals.read_again_or_end().await {
            return leave;
        }
        if let Some(config) = read_again(file, &mut reported) {
            leave = config.server.leave;
            running.tune(&config);
        }
    }
}

/// Not ready any more, but still answering, so that load balancers go elsewhere; a second signal ends the wait.
async fn leave_first(running: &Running, signals: &mut Signals, leave: Duration) {
    if leave.is_zero() {
        return;
    }
    tracing::info!(target: IMPORTANT, leave_ms = leave.as_millis(), "the readiness check fails now; requests are still answered");
    running.leave();
    tokio::select! {
        () = tokio::time::sleep(leave) => {}
        () = signals.end() => {}
    }
}

/// SIGHUP: reads the configuration again and says what has changed. With mistakes, all stays as it is.
fn read_again(file: Option<&Path>, reported: &mut Reported) -> Option<Config> {
    let config = match Config::load(file, std::env::vars_os()) {
        Ok(config) => config,
        Err(ConfigError(mistakes, _)) => {
            for mistake in mistakes {
                tracing::error!(%mistake, "the configuration was read again and has a mistake; nothing is changed");
            }
            return None;
        }
    };
    let changes = config::changes(reported, &config);
    if changes.is_empty() {
        tracing::info!(target: IMPORTANT, "the configuration was read again; nothing has changed");
    }
    for Change { key, from, to, is_live } in changes {
        let words = if is_live { "changed; in force" } else { "changed; needs a restart" };
        tracing::info!(target: IMPORTANT, key, from, to, restart_needed = !is_live, "{words}");
    }
    reported.take_live(&config.reported);
    Some(config)
}

/// Signals of an operator.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())?, hang_up: signal(SignalKind::hangup())? })
    }

    /// Waits for SIGHUP; false when it is SIGTERM or SIGINT that came.
    async fn read_again_or_end(&mut self) -> bool {
        tokio::select! {
            _ = self.terminate.recv() => false,
            _ = self.interrupt.recv() => false,
            _ = self.hang_up.recv() => true,
        }
    }

    /// Waits for SIGTERM or SIGINT.
    async fn end(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

fn failed(code: u8, error: &dyn Display) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "onsale: {error}");
    ExitCode::from(code)
}

//! `onsale demo`: a whole on-sale in one command. Starts a server in this process on fresh data, makes the arena and an
//! event whose sale opens soon, and lets a seeded crowd buy through the real HTTP API, over sockets, like anybody else.
//! Must never look into the engine but for the invariants at the end.

mod crowd;
mod progress;
mod shopper;
mod stage;
mod tally;

use crate::client::{CallError, Client};
use crate::config::{BootstrapAdmin, Config, LogFormat, StorageKind};
use crate::limits::Family;
use crate::server::{Running, Server, bind};
use crate::wiring::StartError;
use clap::Args;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// The administrator of the demo.
const ADMIN: (&str, &str) = ("admin@example.com", "demo-admin-password");

/// A whole on-sale: a server on new data, an arena, and a crowd that buys through the HTTP API.
#[derive(Clone, Debug, Args)]
pub struct DemoArgs {
    /// Address and port to listen on. Default: `server.listen` of the configuration.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Data directory, without a journal. Default: a temporary one.
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// Number of simulated buyers (1 to 20000).
    #[arg(long, value_name = "BUYERS", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    buyers: u32,
    /// Time until the sale opens, in seconds (0 to 3600).
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(0..=3600))]
    opens_in: u32,
    /// Seed of the random numbers, any whole number.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    seed: u64,
    /// Exit when the crowd has finished, instead of serving until Ctrl-C.
    #[arg(long)]
    exit: bool,
}

/// Why a demo did not go as it should.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The port could not be opened.
    #[error("cannot listen on {0}: {1}; --listen names another address")]
    Listen(SocketAddr, io::Error),
    /// `--path` holds a journal.
    #[error("{} holds data already; a demo starts with nothing", .0.display())]
    NotFresh(PathBuf),
    /// The server did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The demo's own server did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The demo's own server refused what it must not.
    #[error("{what} was refused: {answer}")]
    Refused {
        /// What was asked.
        what: String,
        /// What it said.
        answer: String,
    },
    /// Terminal, signals, threads or the temporary directory.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Seats, money or places do not add up.
    #[error("it does not add up:{}", .0.iter().map(|what| format!("\n  {what}")).collect::<String>())]
    DoesNotAddUp(Vec<String>),
}

/// What is asked of the terminal is the crowd: the log would tear it apart, so only warnings are logged.
pub fn quiet(config: &mut Config) {
    config.log.level = "warn".to_owned();
    config.log.format = LogFormat::Text;
}

/// Runs the demo until Ctrl-C, or until the crowd is done.
///
/// # Errors
/// See [`DemoError`].
pub async fn run(args: &DemoArgs, mut config: Config) -> Result<(), DemoError> {
    let temporary = tempfile::Builder::new().prefix("onsale-demo-").tempdir()?;
    config.storage.kind = StorageKind::Embedded;
    config.storage.path = match &args.path {
        Some(path) if path.join("journal.db").exists() => return Err(DemoError::NotFresh(path.clone())),
        Some(path) => path.clone(),
        None => temporary.path().to_owned(),
    };
    config.server.listen = args.listen.unwrap_or(config.server.listen);
    config.bootstrap_admin = Some(BootstrapAdmin { email: ADMIN.0.to_owned(), password: ADMIN.1.into() });
    // The whole crowd has this machine's address: its declined cards are no sign of one thief.
    config.rate_limit.quotas[Family::DeclinedAddress.number()].requests = NonZeroU32::MAX;
    let listen = config.server.listen;
    let data = config.storage.path.clone();
    let socket = bind(listen).map_err(|error| DemoError::Listen(listen, error))?;
    let mut running = Server::start(config, socket).map_err(io::Error::other)?;
    let shown = tokio::select! {
        shown = show(args, &mut running, &data) => shown,
        interrupted = interrupted() => interrupted,
    };
    running.stop().await;
    shown
}

/// The whole show.
async fn show(args: &DemoArgs, running: &mut Running, data: &Path) -> Result<(), DemoError> {
    let app = running.ready().await?;
    let client = Client::new(format!("http://{}", running.address()));
    let opens_in = Duration::from_secs(u64::from(args.opens_in));
    let stage = Arc::new(stage::make(&app, client, opens_in, args.buyers).await?);
    let mut out = io::stdout();
    stage.announce(&mut out, args.buyers, opens_in, data)?;
    let tally = crowd::run(&stage, args.buyers, args.seed).await?;
    stage.sum_up(&mut out, &tally).await?;
    let broken = stage.what_does_not_add_up(&app, &tally);
    if !broken.is_empty() {
        return Err(DemoError::DoesNotAddUp(broken));
    }
    writeln!(out, "every invariant holds: no seat in two hands, all seats and all money add up")?;
    if !args.exit {
        writeln!(out, "still serving on {}; Ctrl-C ends it", stage.client.base())?;
        std::future::pending::<()>().await;
    }
    Ok(())
}

/// Waits for Ctrl-C or SIGTERM.
async fn interrupted() -> Result<(), DemoError> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

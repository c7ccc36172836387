//! A whole server in one value: the port answers from the first moment (503 until everything is recovered), then
//! serves, then drains. Tests and benches start it in their own process on port 0.

use crate::app::App;
use crate::config::Config;
use crate::http::{End, Limits, Listener, Pipeline, Route, Router, Tuning, Workers};
use crate::logging;
use crate::metrics::reporter;
use crate::wiring::{self, StartError};
use crate::{accounts, catalogue, health, open_files, openapi, operators, payments, queue, reservations};
use onsale_adapters::clock::SystemClock;
use onsale_engine::ports::Clock;
use onsale_engine::runtime::{OnFatal, supervised_task};
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 4096;
/// How often outdated entries are removed from memory.
const TIDY_EVERY: Duration = Duration::from_secs(60);
/// The exit code when nothing can be committed any more: the journal's storage is lost, or a thread has panicked.
const EXIT_FATAL: i32 = 74;

/// Starts servers.
pub struct Server;

/// A server that is starting or running. Dropping it leaves it running; [`Running::stop`] ends it.
pub struct Running {
    address: SocketAddr,
    drain_timeout: Duration,
    draining: CancellationToken,
    /// Cancelled when the last request has been answered.
    answered: CancellationToken,
    pipeline: Arc<Pipeline>,
    listener: Arc<Listener>,
    accepting: JoinHandle<()>,
    starting: JoinHandle<Result<Arc<App>, StartError>>,
    tasks: TaskTracker,
    app: Option<Arc<App>>,
}

/// Every route.
#[must_use]
pub fn routes() -> Vec<Route> {
    [
        health::routes(),
        openapi::routes(),
        accounts::routes(),
        accounts::administrator_routes(),
        catalogue::routes(),
        queue::routes(),
        reservations::routes(),
        payments::routes(),
        operators::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Opens the port. Binding may be repeated at once after a restart.
///
/// # Errors
/// The operating system's.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Server {
    /// Begins to start a server behind `socket`; [`Running::ready`] waits for the rest.
    ///
    /// # Errors
    /// [`StartError::Thread`] when the operating system gives no thread; [`StartError::Routes`] is a mistake of the program.
    pub fn start(config: Config, socket: TcpListener) -> Result<Running, StartError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let draining = CancellationToken::new();
        let router = Router::new(routes())?;
        let pipeline = Arc::new(Pipeline::new(router, Arc::clone(&clock), tuning(&config), draining.clone()));
        let connections = open_files::room_for_connections(config.server.max_connections);
        let limits = Limits {
            connections,
            connections_per_address: config.server.max_connections_per_address,
            proxies: config.counts_by_address().then(|| config.server.proxies.clone()),
            head: config.server.head_timeout,
            idle: config.server.idle_timeout,
        };
        let listener = Arc::new(Listener::new(Arc::clone(&pipeline), limits, Workers::start()?, draining.clone()));
        let address = socket.local_addr().unwrap_or(config.server.listen);
        let accepting = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.run(socket).await }
        });
        let drain_timeout = config.server.drain_timeout;
        let (tasks, answered) = (TaskTracker::new(), CancellationToken::new());
        let starting = tokio::spawn({
            let (draining, tasks, pipeline) = (draining.clone(), tasks.clone(), Arc::clone(&pipeline));
            let answered = answered.clone();
            async move {
                let app = wiring::open(&config, clock, Arc::clone(pipeline.metrics()), draining).await?;
                pipeline.open(Arc::clone(&app));
                tasks.spawn(supervised_task("tidy", fatal(), tidy(Arc::clone(&app))));
                tasks.spawn(supervised_task("streams", fatal(), end_streams(Arc::clone(&app))));
                let reporting = reporter::run(Arc::clone(&app), config.metrics, answered);
                tasks.spawn(supervised_task("reporter", fatal(), reporting));
                Ok(app)
            }
        });
        Ok(Running {
            address,
            drain_timeout,
            draining,
            answered,
            pipeline,
            listener,
            accepting,
            starting,
            tasks,
            app: None,
        })
    }
}

fn tuning(config: &Config) -> Tuning {
    Tuning {
        request_timeout: config.server.request_timeout,
        log_one_in: config.log.access_one_in,
        slow: config.log.slow,
    }
}

impl Running {
    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits until everything is recovered and served; answers the application.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn ready(&mut self) -> Result<Arc<App>, StartError> {
        if let Some(app) = &self.app {
            return Ok(Arc::clone(app));
        }
        let started = (&mut self.starting).await;
        let app = started.map_err(|error| StartError::Thread(std::io::Error::other(error)))??;
        self.app = Some(Arc::clone(&app));
        Ok(app)
    }

    /// Puts into force what of a new configuration may change while it serves: see [`crate::config::LIVE`].
    pub fn tune(&mut self, config: &Config) {
        self.pipeline.tune(tuning(config));
        if let Some(app) = &self.app {
            app.limits.renew(&config.rate_limit);
        }
        self.drain_timeout = config.server.drain_timeout;
        logging::set_level(&config.log.level);
    }

    /// The readiness check fails from now on; everything is still answered.
    pub fn leave(&self) {
        self.pipeline.leave();
    }

    /// Takes no more connections, ends streams, lets open requests finish, stops the engine, writes everything out.
    pub async fn stop(mut self) {
        self.draining.cancel();
        let _ = (&mut self.accepting).await;
        let cut_off = self.listener.drain(self.drain_timeout).await;
        if cut_off > 0 {
            tracing::warn!(connections = cut_off, "connections were cut off");
        }
        self.answered.cancel();
        if self.app.is_none() {
            // A start that is under way ends first, so that its files are closed properly.
            self.app = (&mut self.starting).await.ok().and_then(Result::ok);
        }
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(app) = self.app.take() {
            app.engine.stop().await;
            if let Some(node) = &app.node {
                node.end();
            }
        }
    }
}

/// Ends the open streams when the server drains.
async fn end_streams(app: Arc<App>) {
    app.draining.cancelled().await;
    app.readers.streams.end_all(End::Draining);
}

/// Forgets what matters no more.
async fn tidy(app: Arc<App>) {
    loop {
        tokio::select! {
            () = app.draining.cancelled() => return,
            () = tokio::time::sleep(TIDY_EVERY) => {}
        }
        app.tokens.revoked().prune(app.clock.now());
        app.limits.tidy();
    }
}

/// Nothing can be committed any more: nobody is answered, the process ends at once. The log is written behind, so this goes
/// to standard error directly.
pub(crate) fn fatal() -> OnFatal {
    Arc::new(die)
}

fn die(reason: &str) {
    let _ = writeln!(std::io::stderr(), "onsale: nothing can be committed any more, ending: {reason}");
    std::process::exit(EXIT_FATAL);
}

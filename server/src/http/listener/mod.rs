//! The plaintext port: accepts connections, bounds their number for the port and for each address, hands each to a worker's
//! thread, and drains. Must never let one connection hold up another.

pub(super) mod addresses;
pub(super) mod workers;

use crate::http::connection::deadline_io::Socket;
use crate::http::connection::poll_on_wake::PollOnWake;
use crate::http::connection::rewrite_errors::problem_bytes;
use crate::http::connection::{Connection, Waits};
use crate::http::listener::addresses::{Addresses, Counted};
use crate::http::listener::workers::Workers;
use crate::http::pipeline::Pipeline;
use crate::http::problem::Problem;
use crate::limits::Networks;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Pause after a failed `accept`, such as when the process has no file descriptors left.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(50);

/// Bounds of the port.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time; beyond them a connection is answered 503 and closed.
    pub connections: usize,
    /// The same for each address of a client.
    pub connections_per_address: usize,
    /// Proxies, whose connections are not counted by address; without a list no address is counted.
    pub proxies: Option<Networks>,
    /// How long the head of a request may take: from its first byte, and for the first one from the connection's beginning.
    pub head: Duration,
    /// How long a connection may be without a request after the first one, and an answer without being read.
    pub idle: Duration,
}

/// The port: a pipeline behind a socket.
pub struct Listener {
    pipeline: Arc<Pipeline>,
    limits: Limits,
    workers: Workers,
    draining: CancellationToken,
    ending: CancellationToken,
    connections: TaskTracker,
    permits: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl Listener {
    /// A port that serves `pipeline` on `workers` until `draining` is cancelled.
    #[must_use]
    pub fn new(pipeline: Arc<Pipeline>, limits: Limits, workers: Workers, draining: CancellationToken) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            addresses: Addresses::new(limits.connections_per_address, limits.proxies.clone()),
            pipeline,
            limits,
            workers,
            draining,
            ending: CancellationToken::new(),
            connections: TaskTracker::new(),
        }
    }

    /// Connections that are open.
    #[must_use]
    pub fn open(&self) -> usize {
        self.connections.len()
    }

    /// Accepts until draining begins.
    pub async fn run(&self, socket: TcpListener) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = self.draining.cancelled() => return,
                accepted = socket.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, peer.ip()),
                Err(error) if concerns_one_connection(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted for now");
                    tokio::time::sleep(ACCEPT_RETRY_DELAY).await;
                }
            }
        }
    }

    fn take(&self, mut stream: TcpStream, peer: IpAddr) {
        let _ = stream.set_nodelay(true);
        set_send_timeout(&stream, self.limits.idle);
        let Some(permit) = self.permit(peer) else {
            let refusal = problem_bytes(&Problem::overloaded(), self.pipeline.now());
            self.connections.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&refusal)).await;
            });
            return;
        };
        let connection = self.connection(peer);
        let ending = self.ending.clone();
        // Registered with the worker's runtime, not with this one.
        let Ok(stream) = stream.into_std() else { return };
        let serve = async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            tokio::select! {
                biased;
                () = connection.serve(stream) => {}
                () = PollOnWake::new(ending.cancelled()) => {}
            }
            drop(permit);
        };
        self.connections.spawn_on(serve, self.workers.next());
    }

    /// Serves one connection of `peer` to its end, on the caller's runtime: like an accepted one, but neither counted nor drained.
    pub async fn serve<S: Socket>(&self, socket: S, peer: IpAddr) {
        self.connection(peer).serve(socket).await;
    }

    fn connection(&self, peer: IpAddr) -> Connection {
        let (pipeline, draining) = (Arc::clone(&self.pipeline), self.draining.clone());
        let waits = Waits { head: self.limits.head, unread: self.limits.idle };
        Connection { pipeline, idle: self.limits.idle, waits, draining, peer }
    }

    /// Counts one more connection of `peer`; `None` when the port or that address has as many as it may.
    fn permit(&self, peer: IpAddr) -> Option<Permit> {
        let counts = &self.pipeline.metrics().connections;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            counts.refused_all.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let Some(counted) = self.addresses.count(peer) else {
            counts.refused_address.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        counts.open.fetch_add(1, Ordering::Relaxed);
        Some(Permit { _permit: permit, _counted: counted, pipeline: Arc::clone(&self.pipeline) })
    }

    /// Waits for open connections to finish their requests, at most `timeout`; returns how many were cut off.
    pub async fn drain(&self, timeout: Duration) -> usize {
        self.connections.close();
        let finished = tokio::time::timeout(timeout, self.connections.wait()).await;
        let left = if finished.is_ok() { 0 } else { self.connections.len() };
        self.ending.cancel();
        self.connections.wait().await;
        left
    }
}

/// Ends the connection when sent bytes stay unacknowledged for `timeout`: a stream to a machine that has died, or to a client
/// that no longer reads, must not stay open for ever. The kernel watches it, so it costs nothing.
#[cfg(target_os = "linux")]
fn set_send_timeout(stream: &TcpStream, timeout: Duration) {
    let millis = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, millis) {
        tracing::debug!(%error, "the send timeout cannot be set; a connection to a dead machine ends after the kernel's own");
    }
}

#[cfg(not(target_os = "linux"))]
fn set_send_timeout(_: &TcpStream, _: Duration) {}

/// Whether an error of `accept` concerns one connection, not the port.
fn concerns_one_connection(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::ConnectionAborted
        || kind == io::ErrorKind::ConnectionReset
        || kind == io::ErrorKind::ConnectionRefused
        || kind == io::ErrorKind::Interrupted
}

/// An open connection in the counts of the port and its address; dropping it counts it out.
struct Permit {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
    pipeline: Arc<Pipeline>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.pipeline.metrics().connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

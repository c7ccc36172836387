//! The plaintext port: accepts, tells HTTP/1.1 from prior-knowledge HTTP/2 by the first bytes, bounds connections and
//! the time that they may be silent, half-sent or unread, and drains. Must never let one connection hold up another.

use crate::http::activity::{Activity, Busy, Use};
use crate::http::addresses::{Addresses, Counted};
use crate::http::alarm::{Alarm, AlarmTimer, Watched};
use crate::http::front::{Front, HEADERS_LIMIT};
use crate::http::guarded::{Exchange, Fresh, Guard, Socket, Waits};
use crate::http::handling::Watch;
use crate::http::in_turn::InTurn;
use crate::http::mended::{Mended, written};
use crate::http::problem::Problem;
use crate::http::seldom::Seldom;
use crate::http::workers::Workers;
use crate::limits::Networks;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION: u32 = 512;
/// How long to rest when the process has no file descriptors left.
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Bounds of the port.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at the same time; beyond them a connection is answered 503 and closed.
    pub connections: usize,
    /// The same for each address of a client.
    pub connections_per_address: usize,
    /// Proxies, whose connections are not counted by address; with none nobody's are.
    pub proxies: Option<Networks>,
    /// How long the head of a request may take: from its first byte, and for the first one from the connection's beginning.
    pub head: Duration,
    /// How long a connection may be without a request after the first one, and an answer without being read.
    pub idle: Duration,
}

/// The port: a front end behind a socket.
pub struct Listener {
    front: Arc<Front>,
    limits: Limits,
    workers: Workers,
    draining: CancellationToken,
    ending: CancellationToken,
    connections: TaskTracker,
    permits: Arc<Semaphore>,
    addresses: Arc<Addresses>,
}

impl Listener {
    /// A port that serves `front` on `workers` until `draining` is cancelled.
    #[must_use]
    pub fn new(front: Arc<Front>, limits: Limits, workers: Workers, draining: CancellationToken) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
            addresses: Addresses::new(limits.connections_per_address, limits.proxies.clone()),
            front,
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
                Err(error) if is_one_connections(&error) => {}
                Err(error) => {
                    tracing::warn!(%error, "connections cannot be accepted for now");
                    tokio::time::sleep(REST_AFTER_ACCEPT_ERROR).await;
                }
            }
        }
    }

    fn take(&self, mut stream: TcpStream, peer: IpAddr) {
        let _ = stream.set_nodelay(true);
        give_up_after(&stream, self.limits.idle);
        let Some(place) = self.place(peer) else {
            let refusal = written(&Problem::overloaded(), self.front.now());
            self.connections.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&refusal)).await;
            });
            return;
        };
        let connection = self.connection(peer);
        let ending = self.ending.clone();
        // Watched by another runtime from now on.
        let Ok(stream) = stream.into_std() else { return };
        let serve = async move {
            let Ok(stream) = TcpStream::from_std(stream) else { return };
            tokio::select! {
                biased;
                () = connection.serve(stream) => {}
                () = Seldom::new(ending.cancelled()) => {}
            }
            drop(place);
        };
        self.connections.spawn_on(serve, self.workers.next());
    }

    /// Serves one connection of `peer` to its end, on the runtime of whoever waits for it: as one that was accepted, but that it
    /// is not counted and not drained.
    pub async fn serve<S: Socket>(&self, socket: S, peer: IpAddr) {
        self.connection(peer).serve(socket).await;
    }

    fn connection(&self, peer: IpAddr) -> Connection {
        let (front, draining) = (Arc::clone(&self.front), self.draining.clone());
        let waits = Waits { head: self.limits.head, unread: self.limits.idle };
        Connection { front, idle: self.limits.idle, waits, draining, peer }
    }

    /// A place for one more connection of `peer`, unless all are taken or that address has too many.
    fn place(&self, peer: IpAddr) -> Option<Place> {
        let counts = &self.front.metrics().connections;
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            counts.refused_all.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        let Some(counted) = self.addresses.count(peer) else {
            counts.refused_address.fetch_add(1, Ordering::Relaxed);
            return None;
        };
        counts.open.fetch_add(1, Ordering::Relaxed);
        Some(Place { _permit: permit, _counted: counted, front: Arc::clone(&self.front) })
    }

    /// Waits for the connections to finish what they are doing, at most so long; answers how many were cut off.
    pub async fn drain(&self, patience: Duration) -> usize {
        self.connections.close();
        let finished = tokio::time::timeout(patience, self.connections.wait()).await;
        let left = if finished.is_ok() { 0 } else { self.connections.len() };
        self.ending.cancel();
        self.connections.wait().await;
        left
    }
}

/// What was sent and is not taken for so long ends the connection: an open stream to a machine that has died, or to a
/// client that reads no more, must not stay for ever. The kernel watches it, so that it costs nothing.
#[cfg(target_os = "linux")]
fn give_up_after(stream: &TcpStream, patience: Duration) {
    let millis = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(stream, millis) {
        tracing::debug!(%error, "a connection to a dead machine ends when the kernel's own patience does");
    }
}

#[cfg(not(target_os = "linux"))]
fn give_up_after(_: &TcpStream, _: Duration) {}

/// Errors of `accept` that say something about one connection, not about the port.
fn is_one_connections(error: &io::Error) -> bool {
    let kind = error.kind();
    kind == io::ErrorKind::ConnectionAborted
        || kind == io::ErrorKind::ConnectionReset
        || kind == io::ErrorKind::ConnectionRefused
        || kind == io::ErrorKind::Interrupted
}

/// An open connection, as it is counted.
struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
    front: Arc<Front>,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.front.metrics().connections.open.fetch_sub(1, Ordering::Relaxed);
    }
}

struct Connection {
    front: Arc<Front>,
    peer: IpAddr,
    idle: Duration,
    waits: Waits,
    draining: CancellationToken,
}

impl Connection {
    async fn serve<S: Socket>(self, stream: S) {
        let mut fresh = Fresh::new(stream);
        let due = fresh.head_due(self.waits);
        let first = tokio::select! {
            first = tokio::time::timeout_at(due.into(), fresh.speaks_http2()) => first,
            () = self.draining.cancelled() => return,
        };
        match first {
            Ok(Ok(true)) => self.serve_http2(fresh).await,
            Ok(Ok(false)) => self.serve_http1(fresh).await,
            Ok(Err(_)) => {}
            Err(_) => drop(self.front.metrics().connections.late_heads.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn guard(&self, alarm: &Arc<Alarm>) -> Guard {
        let counts = Arc::clone(&self.front.metrics().connections);
        Guard { alarm: Arc::clone(alarm), waits: self.waits, counts }
    }

    async fn serve_http1<S: Socket>(self, fresh: Fresh<S>) {
        let (alarm, exchange) = (Alarm::new(), Arc::new(Exchange::default()));
        let socket = fresh.http1(Arc::clone(&exchange), self.guard(&alarm));
        let io = TokioIo::new(InTurn::new(Mended::new(socket, Arc::clone(&self.front))));
        let (front, peer, alarm) = (&*self.front, self.peer, alarm);
        let service = service_fn(|request| {
            let (watch, answering) = (Watch::Alarm(&alarm), exchange.begin());
            async move {
                let response = front.answer(request, peer, watch).await;
                Ok::<_, Infallible>(response.map(|body| body.answering(answering)))
            }
        });
        let mut builder = hyper::server::conn::http1::Builder::new();
        // Answers are short: one buffer costs less to send than two.
        builder.timer(AlarmTimer(Arc::clone(&alarm))).header_read_timeout(self.idle);
        builder.max_buf_size(HEADERS_LIMIT).writev(false);
        let mut connection = Watched::new(builder.serve_connection(io, service), Arc::clone(&alarm));
        let drained = tokio::select! {
            biased;
            ended = &mut connection => Some(ended),
            () = Seldom::new(self.draining.cancelled()) => None,
        };
        let ended = match drained {
            Some(ended) => ended,
            None => {
                Pin::new(connection.connection()).graceful_shutdown();
                (&mut connection).await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended");
        }
        connection.into_connection().into_parts().io.into_inner().into_inner().close(&self.draining).await;
    }

    async fn serve_http2<S: Socket>(self, fresh: Fresh<S>) {
        let (activity, alarm) = (Activity::new(), Alarm::new());
        let socket = fresh.http2(self.guard(&alarm));
        let (front, peer) = (&self.front, self.peer);
        let service = service_fn(|request| {
            let (front, busy) = (Arc::clone(front), Busy::new(&activity));
            async move {
                let response = front.answer(request, peer, Watch::Timer(None)).await;
                // An answer that is being sent is use, too.
                Ok::<_, Infallible>(response.map(|body| body.watched(busy)))
            }
        });
        let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_PER_CONNECTION)
            // Checked against the limit in the pipeline, which answers a problem.
            .max_header_list_size(4 * HEADERS_LIMIT as u32)
            .keep_alive_interval(Some(self.idle / 2))
            .keep_alive_timeout(Duration::from_secs(20));
        let connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
        let mut connection = Watched::new(connection, alarm);
        let mut wait = self.idle;
        loop {
            let is_leaving = tokio::select! {
                ended = &mut connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = self.draining.cancelled() => true,
                () = tokio::time::sleep(wait) => match activity.look(self.idle) {
                    Use::Used(left) => {
                        wait = left;
                        false
                    }
                    Use::Idle => true,
                    Use::Unread => {
                        self.front.metrics().connections.unread_answers.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                },
            };
            if is_leaving {
                connection.connection().as_mut().graceful_shutdown();
                // A client that never answers is not waited for; when the server drains, its own deadline cuts off.
                tokio::select! {
                    _ = &mut connection => {}
                    () = tokio::time::sleep(self.idle), if !self.draining.is_cancelled() => {}
                }
                return;
            }
        }
    }
}

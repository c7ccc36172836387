//! The plaintext port: accepts, tells HTTP/1.1 from prior-knowledge HTTP/2 by the first bytes, bounds connections and
//! their idle time, and drains. Must never let one connection hold up another.

use crate::http::alarm::{Alarm, AlarmTimer, Watched};
use crate::http::front::{Front, HEADERS_LIMIT};
use crate::http::handling::Watch;
use crate::http::in_turn::InTurn;
use crate::http::mended::{Mended, written};
use crate::http::problem::Problem;
use crate::http::seldom::Seldom;
use crate::http::workers::Workers;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::convert::Infallible;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Streams that one HTTP/2 connection may have open.
const STREAMS_PER_CONNECTION: u32 = 512;
/// What an HTTP/2 client must send first (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// How much of the preface decides: no method of HTTP/1.1 begins so.
const DECIDING: usize = 4;
/// How long to rest when the process has no file descriptors left.
const REST_AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Bounds of the port.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at the same time; beyond them a connection is answered 503 and closed.
    pub connections: usize,
    /// How long a connection may be without a request, at its start as between requests.
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
}

impl Listener {
    /// A port that serves `front` on `workers` until `draining` is cancelled.
    #[must_use]
    pub fn new(front: Arc<Front>, limits: Limits, workers: Workers, draining: CancellationToken) -> Self {
        Self {
            front,
            limits,
            workers,
            draining,
            ending: CancellationToken::new(),
            connections: TaskTracker::new(),
            permits: Arc::new(Semaphore::new(limits.connections.min(Semaphore::MAX_PERMITS))),
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
        let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() else {
            let refusal = written(&Problem::overloaded(), self.front.now());
            self.connections.spawn(async move {
                let _ = tokio::time::timeout(Duration::from_secs(1), stream.write_all(&refusal)).await;
            });
            return;
        };
        let (front, draining) = (Arc::clone(&self.front), self.draining.clone());
        let connection = Connection { front, idle: self.limits.idle, draining, peer };
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
            drop(permit);
        };
        self.connections.spawn_on(serve, self.workers.next());
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

struct Connection {
    front: Arc<Front>,
    peer: IpAddr,
    idle: Duration,
    draining: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: TcpStream) {
        let first = tokio::select! {
            first = tokio::time::timeout(self.idle, speaks_http2(&stream)) => first,
            () = self.draining.cancelled() => return,
        };
        match first {
            Ok(Ok(true)) => self.serve_http2(stream).await,
            Ok(Ok(false)) => self.serve_http1(stream).await,
            Ok(Err(_)) | Err(_) => {}
        }
    }

    async fn serve_http1(self, stream: TcpStream) {
        let io = TokioIo::new(InTurn::new(Mended::new(stream, Arc::clone(&self.front))));
        let (front, peer, alarm) = (&*self.front, self.peer, Alarm::new());
        let service = service_fn(|request| {
            let watch = Watch::Alarm(&alarm);
            async move { Ok::<_, Infallible>(front.answer(request, peer, watch).await) }
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

    async fn serve_http2(self, stream: TcpStream) {
        let activity = Arc::new(Activity::default());
        let (front, peer) = (&self.front, self.peer);
        let service = service_fn(|request| {
            let (front, busy) = (Arc::clone(front), Busy::new(&activity));
            async move {
                let response = front.answer(request, peer, Watch::Timer(None)).await;
                // A stream that is being sent is use, too.
                Ok::<_, Infallible>(response.map(|body| body.holding(busy)))
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
        let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
        let mut leaving = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                    return;
                }
                () = self.draining.cancelled(), if !leaving => leaving = true,
                () = tokio::time::sleep(self.idle / 4), if !leaving => leaving = activity.is_idle(self.idle),
            }
            if leaving {
                connection.as_mut().graceful_shutdown();
                // Whoever has not even finished the preface, or never answers, is not waited for; when the server drains,
                // its own deadline cuts off.
                tokio::select! {
                    _ = connection.as_mut() => {}
                    () = tokio::time::sleep(self.idle), if !self.draining.is_cancelled() => {}
                }
                return;
            }
        }
    }
}

/// Whether the client begins with the preface of HTTP/2. Waits for its first bytes and leaves them unread.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0; DECIDING];
    loop {
        let seen = stream.peek(&mut first).await?;
        if seen == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[..seen] != PREFACE[..seen] {
            return Ok(false);
        }
        if seen == DECIDING {
            return Ok(true);
        }
        // One to three bytes of what may be `POST` or `PRI`; the rest is on its way.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Whether an HTTP/2 connection is in use; HTTP/1 ones are watched by hyper's own timer.
struct Activity {
    open: AtomicUsize,
    since: Instant,
    last_millis: AtomicU64,
}

impl Default for Activity {
    fn default() -> Self {
        Self { open: AtomicUsize::new(0), since: Instant::now(), last_millis: AtomicU64::new(0) }
    }
}

impl Activity {
    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_idle(&self, limit: Duration) -> bool {
        let unused = self.millis().saturating_sub(self.last_millis.load(Ordering::Relaxed));
        self.open.load(Ordering::Relaxed) == 0 && u128::from(unused) >= limit.as_millis()
    }
}

/// One request being answered, or its stream being sent.
struct Busy(Arc<Activity>);

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.last_millis.store(self.0.millis(), Ordering::Relaxed);
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

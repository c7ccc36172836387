//! An IO wrapper with deadlines: a request's head that was begun must arrive whole, and an answer must be read. A missed deadline
//! is an error of the socket, which ends the connection. Deadlines are stored in the connection's [`Alarm`] and cost no timer of
//! their own. Must never end a connection that only waits for its next request, nor one whose answer is being made.

use super::alarm::Alarm;
use super::frames::Frames;
use crate::metrics::Connections;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};
use tokio::net::TcpStream;

/// How many of the first bytes decide the protocol: no method of HTTP/1.1 begins as the preface of HTTP/2 does.
const DECIDING: usize = 4;
/// The slowest reading that is tolerated: so many bytes of an answer extend its deadline by a second, up to the whole time.
const BYTES_A_SECOND: usize = 4096;

/// What a connection reads and writes: a socket of the operating system, or one in memory.
pub trait Socket: AsyncRead + AsyncWrite + Unpin {
    /// Written bytes that are not sent yet are discarded when it is closed.
    fn abandon(&self);
}

impl Socket for TcpStream {
    fn abandon(&self) {
        let _ = self.set_zero_linger();
    }
}

impl Socket for DuplexStream {
    fn abandon(&self) {}
}

/// How long a client is waited for.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct Waits {
    /// For a whole head: from its first byte, and for the first one from the connection's beginning.
    pub head: Duration,
    /// For the client to read anything of an answer.
    pub unread: Duration,
}

/// State that the IO wrapper and the service of an HTTP/1 connection share.
#[derive(Default)]
pub(super) struct Exchange {
    /// Heads that have arrived.
    heads: AtomicU32,
    is_answering: AtomicBool,
}

impl Exchange {
    /// A head has arrived. Until the guard is dropped its answer is being made and sent, and bytes are not the next head.
    pub(super) fn begin(self: &Arc<Self>) -> Answering {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.is_answering.store(true, Ordering::Relaxed);
        Answering(Arc::clone(self))
    }
}

/// See [`Exchange::begin`].
pub(in crate::http) struct Answering(Arc<Exchange>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answering.store(false, Ordering::Relaxed);
    }
}

/// How the begin and end of a head are known.
enum Reading {
    Http1 { exchange: Arc<Exchange>, heads: u32 },
    Http2(Frames),
}

/// The first bytes of a connection, read to decide its protocol and not yet passed to hyper.
#[derive(Default)]
struct First {
    bytes: [u8; DECIDING],
    from: usize,
    to: usize,
}

/// A connection whose protocol is not decided yet.
pub(super) struct Fresh<S> {
    stream: S,
    first: First,
    since: Instant,
}

impl<S: Socket> Fresh<S> {
    pub(super) fn new(stream: S) -> Self {
        Self { stream, first: First::default(), since: Instant::now() }
    }

    /// The deadline of the first head.
    pub(super) fn head_due(&self, waits: Waits) -> Instant {
        self.since + waits.head
    }

    /// Whether the client begins with the preface of HTTP/2: waits for as many bytes as it takes to know.
    pub(super) async fn speaks_http2(&mut self) -> io::Result<bool> {
        let Self { stream, first, .. } = self;
        loop {
            let read = stream.read(&mut first.bytes[first.to..]).await?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            first.to += read;
            if first.bytes[..first.to] != super::frames::PREFACE[..first.to] {
                return Ok(false);
            }
            if first.to == DECIDING {
                return Ok(true);
            }
        }
    }

    /// As an HTTP/1 connection.
    pub(super) fn http1(self, exchange: Arc<Exchange>, guard: Guard) -> DeadlineIo<S> {
        self.guarded(Reading::Http1 { exchange, heads: 0 }, guard)
    }

    /// As an HTTP/2 connection.
    pub(super) fn http2(self, guard: Guard) -> DeadlineIo<S> {
        self.guarded(Reading::Http2(Frames::new()), guard)
    }

    fn guarded(self, reading: Reading, guard: Guard) -> DeadlineIo<S> {
        let head_due = Some(self.head_due(guard.waits));
        DeadlineIo {
            stream: self.stream,
            first: self.first,
            reading,
            guard,
            head_due,
            is_head_begun: false,
            unread_due: None,
            is_late: false,
        }
    }
}

/// What the deadlines are checked with.
pub(super) struct Guard {
    pub alarm: Arc<Alarm>,
    pub waits: Waits,
    pub counts: Arc<Connections>,
}

/// See the module.
pub(super) struct DeadlineIo<S> {
    stream: S,
    first: First,
    reading: Reading,
    guard: Guard,
    /// The deadline of the head that has begun.
    head_due: Option<Instant>,
    /// Whether a head has begun that has no deadline yet. It gets one when more of it is waited for, so a head that arrives
    /// whole, as nearly all do, costs no reading of the clock.
    is_head_begun: bool,
    /// The deadline for the client to read something of what is being sent.
    unread_due: Option<Instant>,
    is_late: bool,
}

impl<S: Socket> DeadlineIo<S> {
    /// Whether the connection ended because a head was late.
    pub(super) fn is_late(&self) -> bool {
        self.is_late
    }

    /// Updates the deadlines for bytes that were read.
    fn note_read(&mut self, bytes: &[u8]) {
        let waits = self.guard.waits;
        match &mut self.reading {
            Reading::Http1 { exchange, heads } => {
                let seen = exchange.heads.load(Ordering::Relaxed);
                if std::mem::replace(heads, seen) != seen {
                    self.head_due = None;
                    self.is_head_begun = false;
                }
                if std::mem::take(&mut self.is_head_begun) {
                    self.head_due = Some(Instant::now() + waits.head);
                }
                // Line ends before a head are ignored (RFC 9112, 2.2); some clients send one after a body.
                let is_begun = bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n'));
                if is_begun && self.head_due.is_none() && !exchange.is_answering.load(Ordering::Relaxed) {
                    self.is_head_begun = true;
                }
            }
            Reading::Http2(frames) => {
                if frames.pass(bytes) {
                    self.head_due = None;
                }
                if !frames.is_between() && self.head_due.is_none() {
                    self.head_due = Some(Instant::now() + waits.head);
                }
            }
        }
    }

    /// An error once a head has passed its deadline.
    fn check_head(&mut self) -> io::Result<()> {
        if let Some(due) = self.head_due
            && self.guard.alarm.has_passed(due)
        {
            if !std::mem::replace(&mut self.is_late, true) {
                self.guard.counts.late_heads.fetch_add(1, Ordering::Relaxed);
            }
            return Err(io::Error::new(io::ErrorKind::TimedOut, "a request's head was late"));
        }
        Ok(())
    }

    /// Updates the deadline for the result of a write of `offered` bytes.
    fn note_written(&mut self, written: Poll<io::Result<usize>>, offered: usize) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(taken)) => {
                if taken >= offered {
                    self.unread_due = None;
                } else if let Some(due) = self.unread_due {
                    let earned = Duration::from_millis((taken * 1000 / BYTES_A_SECOND) as u64);
                    self.unread_due = Some((due + earned).min(Instant::now() + self.guard.waits.unread));
                }
                written
            }
            Poll::Ready(Err(_)) => written,
            Poll::Pending => {
                let due = *self.unread_due.get_or_insert_with(|| Instant::now() + self.guard.waits.unread);
                if !self.guard.alarm.has_passed(due) {
                    return Poll::Pending;
                }
                self.guard.counts.unread_answers.fetch_add(1, Ordering::Relaxed);
                // The rest is discarded from the kernel's memory, too.
                self.stream.abandon();
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "an answer was not read")))
            }
        }
    }
}

impl<S: Socket> AsyncRead for DeadlineIo<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buf.filled().len();
        if this.first.from < this.first.to {
            let left = &this.first.bytes[this.first.from..this.first.to];
            let taken = left.len().min(buf.remaining());
            buf.put_slice(&left[..taken]);
            this.first.from += taken;
        } else if Pin::new(&mut this.stream).poll_read(cx, buf)?.is_pending() {
            this.note_read(&[]);
            this.check_head()?;
            return Poll::Pending;
        }
        // The deadline is checked only when nothing more arrives: until then the head may still become whole.
        this.note_read(&buf.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for DeadlineIo<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.note_written(written, buf.len())
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        let offered = bufs.iter().map(|buf| buf.len()).sum();
        self.note_written(written, offered)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    async fn pair() -> (TcpStream, Fresh<TcpStream>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        client.set_nodelay(true).unwrap();
        (client, Fresh::new(listener.accept().await.unwrap().0))
    }

    #[tokio::test]
    async fn who_has_sent_part_of_the_preface_is_waited_for_and_not_polled() {
        for (sent, rest, expected) in
            [("P", "RI ", true), ("PRI", " ", true), ("P", "OST", false), ("PR", "OPFIND", false)]
        {
            let (mut client, mut fresh) = pair().await;
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut polls = 0;
            let mut deciding = pin!(fresh.speaks_http2());
            let counted = poll_fn(|cx| {
                polls += 1;
                deciding.as_mut().poll(cx)
            });
            assert!(tokio::time::timeout(Duration::from_millis(200), counted).await.is_err(), "{sent} is not enough");
            // One for the beginning, one for what came, one for the end of the wait.
            assert!(polls <= 4, "polled {polls} times");
            client.write_all(rest.as_bytes()).await.unwrap();
            assert_eq!(deciding.await.unwrap(), expected, "{sent}{rest}");
        }
    }

    #[tokio::test]
    async fn what_was_read_to_decide_the_protocol_is_read_again() {
        let (mut client, mut fresh) = pair().await;
        client.write_all(b"GET / HTTP/1.1").await.unwrap();
        assert!(!fresh.speaks_http2().await.unwrap());
        let waits = Waits { head: Duration::from_secs(9), unread: Duration::from_secs(9) };
        let guard = Guard { alarm: Alarm::new(), waits, counts: Arc::default() };
        let mut socket = fresh.http1(Arc::default(), guard);
        let mut read = Vec::new();
        let mut small = [0; 3];
        while read.len() < 14 {
            let bytes = socket.read(&mut small).await.unwrap();
            read.extend_from_slice(&small[..bytes]);
        }
        assert_eq!(read, b"GET / HTTP/1.1");
    }
}

//! A plaintext socket that mends what hyper answers by itself. A request that cannot be parsed, or whose headers are
//! too large, never reaches the pipeline: hyper writes a bare status. This turns it into the problem that the contract
//! asks for, with an `X-Request-Id`. It also closes politely, so that a caller still sending reads its answer.

use crate::http::front::{Front, headers_too_large};
use crate::http::guarded::{Guarded, Socket};
use crate::http::problem::Problem;
use crate::http::request_id;
use http::StatusCode;
use onsale_engine::time::Timestamp;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::CancellationToken;

/// How long a closing connection is still read from, so that its last answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How much is read and thrown away meanwhile.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The socket under one HTTP/1 connection.
pub(super) struct Mended<S> {
    stream: Guarded<S>,
    front: Arc<Front>,
    /// Bytes that go out instead of what hyper wrote.
    instead: Vec<u8>,
    sent: usize,
}

impl<S: Socket> Mended<S> {
    pub(super) fn new(stream: Guarded<S>, front: Arc<Front>) -> Self {
        Self { stream, front, instead: Vec::new(), sent: 0 }
    }

    /// Closes, with 408 to a head that did not come to its end, then reads what is still coming until the other side closes,
    /// within bounds; a draining server does not wait for it.
    pub(super) async fn close(mut self, draining: &CancellationToken) {
        let late = self.stream.is_late().then(|| written(&head_timeout(), self.front.now()));
        let lingering = tokio::time::timeout(LINGER, async {
            if let Some(late) = late {
                self.stream.write_all(&late).await?;
            }
            self.stream.shutdown().await?;
            let mut scratch = [0; 4096];
            let mut read = 0;
            while read < LINGER_BYTES {
                match self.stream.read(&mut scratch).await? {
                    0 => break,
                    bytes => read += bytes,
                }
            }
            io::Result::Ok(())
        });
        tokio::select! {
            _ = lingering => {}
            () = draining.cancelled() => {}
        }
    }

    fn poll_instead(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.instead.len() {
            let rest = &self.instead[self.sent..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether `head` is hyper's own refusal; if so, ours is queued.
    fn mends(&mut self, head: &[u8]) -> bool {
        let Some(problem) = own_refusal(head) else { return false };
        self.instead = written(&problem, self.front.now());
        self.sent = 0;
        true
    }
}

/// A problem as the last answer of an HTTP/1 connection, for where no pipeline answers.
pub(super) fn written(problem: &Problem, now: Timestamp) -> Vec<u8> {
    let id = request_id::fresh();
    let id = id.to_str().unwrap_or("");
    let body = problem.to_json(id, now);
    let (status, reason) = (problem.status(), problem.status().canonical_reason().unwrap_or(""));
    let retry = if status == StatusCode::SERVICE_UNAVAILABLE { "retry-after: 1\r\n" } else { "" };
    let head = format!(
        "HTTP/1.1 {} {reason}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\n\
         x-request-id: {id}\r\n{retry}cache-control: no-store\r\nx-content-type-options: nosniff\r\n\
         connection: close\r\n\r\n",
        status.as_u16(),
        body.len()
    );
    let mut out = head.into_bytes();
    out.extend_from_slice(&body);
    out
}

fn head_timeout() -> Problem {
    let detail = "the request's head did not come to its end in time";
    Problem::new(StatusCode::REQUEST_TIMEOUT, "REQUEST_TIMEOUT", detail)
}

/// The problem behind an answer that hyper made by itself. Everything that the pipeline answers has an
/// `x-request-id`.
fn own_refusal(head: &[u8]) -> Option<Problem> {
    let status = head.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    if !matches!(status, b"400" | b"414" | b"431") || head.windows(12).any(|part| part == b"x-request-id") {
        return None;
    }
    Some(match status {
        b"431" => headers_too_large(),
        b"414" => Problem::new(StatusCode::URI_TOO_LONG, "URI_TOO_LONG", "the request's target is too long"),
        _ => Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_REQUEST", "this is not HTTP as it is written"),
    })
}

impl<S: Socket> AsyncRead for Mended<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for Mended<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        if self.mends(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_instead(cx))?;
        let first = bufs.iter().find(|buf| !buf.is_empty());
        if first.is_some_and(|head| self.mends(head)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_instead(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_hyper_said_by_itself_is_mended() {
        let check = |head: &str, expected: Option<&str>| {
            assert_eq!(own_refusal(head.as_bytes()).map(|problem| problem.code()), expected, "{head}");
        };
        check("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n", Some("HEADERS_TOO_LARGE"));
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Some("MALFORMED_REQUEST"));
        check("HTTP/1.1 400 Bad Request\r\nx-request-id: 7\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n\r\n", None);
        check("{\"a\":1}", None);
    }
}

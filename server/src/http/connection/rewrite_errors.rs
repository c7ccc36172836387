//! An IO wrapper that rewrites hyper's own error answers. A request that cannot be parsed, or whose headers are too large, never
//! reaches the pipeline: hyper writes a bare status. This replaces it by the problem that the contract asks for, with an
//! `X-Request-Id`. It also closes with a lingering read, so that a caller that is still sending reads its answer. Must never
//! change an answer of the pipeline.

use crate::http::connection::deadline_io::{DeadlineIo, Socket};
use crate::http::pipeline::Pipeline;
use crate::http::pipeline::checks::headers_too_large;
use crate::http::pipeline::request_id;
use crate::http::problem::Problem;
use http::StatusCode;
use onsale_engine::time::Timestamp;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_util::sync::CancellationToken;

/// How long a closing connection is still read, so that its last answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// At most so many bytes are read and discarded meanwhile.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// The socket under one HTTP/1 connection.
pub(super) struct RewriteErrors<S> {
    stream: DeadlineIo<S>,
    pipeline: Arc<Pipeline>,
    /// Bytes sent instead of hyper's.
    replacement: Vec<u8>,
    sent: usize,
}

impl<S: Socket> RewriteErrors<S> {
    pub(super) fn new(stream: DeadlineIo<S>, pipeline: Arc<Pipeline>) -> Self {
        Self { stream, pipeline, replacement: Vec::new(), sent: 0 }
    }

    /// Closes, with 408 if a head was late, then reads until the other side closes, within bounds; a draining server does not wait
    /// for that.
    pub(super) async fn close(mut self, draining: &CancellationToken) {
        let late = self.stream.is_late().then(|| problem_bytes(&head_timeout(), self.pipeline.now()));
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

    fn poll_replacement(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.sent < self.replacement.len() {
            let rest = &self.replacement[self.sent..];
            let written = ready!(Pin::new(&mut self.stream).poll_write(cx, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.sent += written;
        }
        Poll::Ready(Ok(()))
    }

    /// Whether `head` is hyper's own error; if so, ours is queued in its place.
    fn replaces(&mut self, head: &[u8]) -> bool {
        let Some(problem) = hyper_error(head) else { return false };
        self.replacement = problem_bytes(&problem, self.pipeline.now());
        self.sent = 0;
        true
    }
}

/// A problem as the last answer of an HTTP/1 connection, for where the pipeline cannot answer.
pub(in crate::http) fn problem_bytes(problem: &Problem, now: Timestamp) -> Vec<u8> {
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

/// The problem for an error answer of hyper's own: the pipeline's answers all have an `x-request-id`.
fn hyper_error(head: &[u8]) -> Option<Problem> {
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

impl<S: Socket> AsyncRead for RewriteErrors<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: Socket> AsyncWrite for RewriteErrors<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(cx))?;
        if self.replaces(buf) {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_replacement(cx))?;
        let first = bufs.iter().find(|buf| !buf.is_empty());
        if first.is_some_and(|head| self.replaces(head)) {
            return Poll::Ready(Ok(bufs.iter().map(|buf| buf.len()).sum()));
        }
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_replacement(cx))?;
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_of_hyper_are_rewritten() {
        let check = |head: &str, expected: Option<&str>| {
            assert_eq!(hyper_error(head.as_bytes()).map(|problem| problem.code()), expected, "{head}");
        };
        check("HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\n\r\n", Some("HEADERS_TOO_LARGE"));
        check("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n", Some("MALFORMED_REQUEST"));
        check("HTTP/1.1 400 Bad Request\r\nx-request-id: 7\r\n\r\n", None);
        check("HTTP/1.1 200 OK\r\n\r\n", None);
        check("{\"a\":1}", None);
    }
}

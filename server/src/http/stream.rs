//! Server-sent events: a response whose body is driven by an async block, without a task or a channel of its own.
//! The block is dropped when the client goes away, and the stream ends first when the server drains.

use crate::http::response::{Body, Response};
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;
use parking_lot::Mutex;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// The sending end, inside the block. A send waits until the client has taken what was sent before.
#[derive(Clone)]
pub struct Events {
    slot: Arc<Mutex<Option<Bytes>>>,
}

impl Events {
    /// Sends one event. `data` must not contain line breaks (JSON never does).
    pub async fn send(&self, id: Option<&str>, data: &str) {
        let mut text = String::with_capacity(data.len() + 32);
        if let Some(id) = id {
            text.push_str("id: ");
            text.push_str(id);
            text.push('\n');
        }
        text.push_str("data: ");
        text.push_str(data);
        text.push_str("\n\n");
        self.push(Bytes::from(text)).await;
    }

    /// Sends an event that is written already, to share it among many streams.
    pub async fn send_written(&self, event: Bytes) {
        self.push(event).await;
    }

    /// Sends a comment, which clients pass over: the beat that keeps the connection open.
    pub async fn comment(&self) {
        self.push(Bytes::from_static(b":\n\n")).await;
    }

    /// Tells the client how long to wait before it connects again.
    pub async fn retry_after_millis(&self, millis: u32) {
        self.push(Bytes::from(format!("retry: {millis}\n\n"))).await;
    }

    /// No waker is kept: the body polls the block again after every frame that it hands out.
    async fn push(&self, bytes: Bytes) {
        let mut bytes = Some(bytes);
        poll_fn(|_| {
            let mut slot = self.slot.lock();
            if slot.is_some() {
                return Poll::Pending;
            }
            *slot = bytes.take();
            Poll::Ready(())
        })
        .await;
    }
}

struct Driven<F> {
    work: Option<Pin<Box<F>>>,
    slot: Arc<Mutex<Option<Bytes>>>,
    draining: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl<F: Future<Output = ()> + Send> http_body::Body for Driven<F> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.draining.as_mut().is_some_and(|draining| draining.as_mut().poll(cx).is_ready()) {
            (self.work, self.draining) = (None, None);
        }
        if self.work.as_mut().is_some_and(|work| work.as_mut().poll(cx).is_ready()) {
            self.work = None;
        }
        let sent = self.slot.lock().take();
        match sent {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.work.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// 200 with a stream of events that `work` sends; it ends when `work` does, or when `draining` is cancelled.
pub fn events<F>(draining: &CancellationToken, work: impl FnOnce(Events) -> F) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let work = Some(Box::pin(work(Events { slot: Arc::clone(&slot) })));
    let draining = Some(Box::pin(draining.clone().cancelled_owned()));
    let mut response = Response::new(Body::Stream(Box::pin(Driven { work, slot, draining })));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use http_body_util::BodyExt;

    #[tokio::test]
    async fn events_come_in_order_and_the_stream_ends_with_its_block() {
        let response = events(&CancellationToken::new(), |events| async move {
            events.send(Some("7"), "{}").await;
            events.comment().await;
            tokio::task::yield_now().await;
            events.send(None, "[1]").await;
        });
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "id: 7\ndata: {}\n\n:\n\ndata: [1]\n\n");
    }

    #[tokio::test]
    async fn a_draining_server_ends_its_streams() {
        let draining = CancellationToken::new();
        let mut response = events(&draining, |events| async move {
            events.send(None, "1").await;
            std::future::pending::<()>().await;
        });
        assert!(response.body_mut().frame().await.is_some());
        draining.cancel();
        assert!(response.body_mut().frame().await.is_none());
    }
}

//! Server-sent events: a response whose body is driven by an async block, without a task or a channel of its own. The block is
//! dropped when the client goes away or the stream is ended, and the last event says why. Must never outlive the rights that it
//! was opened with by more than a heartbeat; the sender of the heartbeats checks [`Rights`].

use crate::app::App;
use crate::auth::Caller;
use crate::http::answer::body::{Body, Broken, Response};
use crate::http::answer::open_streams::{End, OpenStream};
use crate::http::context::Context as Surroundings;
use crate::http::problem::Problem;
use bytes::Bytes;
use http::{HeaderValue, header};
use http_body::Frame;
use parking_lot::Mutex;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Silence after which a comment keeps a connection open, and how often the rights to a stream are checked.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

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

    /// Sends a comment, which clients ignore: the heartbeat that keeps the connection open.
    pub async fn comment(&self) {
        self.push(Bytes::from_static(b":\n\n")).await;
    }

    /// Sends the time that the client should wait before it connects again.
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

/// The access token that a stream was opened with.
#[derive(Clone)]
pub struct Rights {
    app: Arc<App>,
    caller: Caller,
}

impl Rights {
    /// Those of the caller.
    ///
    /// # Errors
    /// 401 on a public route.
    pub fn of(ctx: &Surroundings) -> Result<Self, Problem> {
        Ok(Self { app: Arc::clone(&ctx.app), caller: *ctx.caller()? })
    }

    /// Whether the token still works: it has neither expired nor been revoked.
    #[must_use]
    pub fn hold(&self) -> bool {
        self.app.tokens.check(&self.caller, self.app.clock.now()).is_ok()
    }
}

struct Driven<F> {
    work: Option<Pin<Box<F>>>,
    slot: Arc<Mutex<Option<Bytes>>>,
    open: OpenStream,
    last: Option<Bytes>,
}

impl<F> Driven<F> {
    fn ends(&mut self, end: End) {
        self.work = None;
        self.open.note_end(end);
        self.last = Some(end.written());
    }
}

impl<F: Future<Output = End> + Send> http_body::Body for Driven<F> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.work.is_some()
            && let Some(end) = self.open.poll_end(cx)
        {
            self.ends(end);
        }
        if let Some(work) = &mut self.work
            && let Poll::Ready(end) = work.as_mut().poll(cx)
        {
            self.ends(end);
        }
        let sent = self.slot.lock().take();
        match sent.or_else(|| self.last.take()) {
            Some(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            None if self.work.is_none() => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

/// 200 with a stream of events that `work` sends; it ends when `work` does, or when it is ended from outside.
///
/// # Errors
/// 401 on a public route: a stream belongs to a buyer.
pub fn events<F>(ctx: &Surroundings, work: impl FnOnce(Events) -> F) -> Result<Response, Problem>
where
    F: Future<Output = End> + Send + 'static,
{
    let open = ctx.app.readers.streams.open(ctx.buyer()?);
    // Checked after the stream is registered: a drain ends the registered ones.
    if ctx.app.draining.is_cancelled() {
        return Err(Problem::unavailable("DRAINING", "the server is stopping", 1));
    }
    Ok(driven(open, work))
}

fn driven<F>(open: OpenStream, work: impl FnOnce(Events) -> F) -> Response
where
    F: Future<Output = End> + Send + 'static,
{
    let slot = Arc::new(Mutex::new(None));
    let work = Some(Box::pin(work(Events { slot: Arc::clone(&slot) })));
    let mut response = Response::new(Body::Stream(Box::pin(Driven { work, slot, open, last: None })));
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
    use crate::http::answer::open_streams::OpenStreams;
    use http_body_util::BodyExt;
    use onsale_engine::id::BuyerId;
    use uuid::Uuid;

    const BUYER: BuyerId = BuyerId(Uuid::nil());

    #[tokio::test]
    async fn events_come_in_order_and_the_stream_says_why_it_ends() {
        let streams = Arc::new(OpenStreams::default());
        let response = driven(streams.open(BUYER), |events| async move {
            events.send(Some("7"), "{}").await;
            events.comment().await;
            tokio::task::yield_now().await;
            events.send(None, "[1]").await;
            End::SlotEnded
        });
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(bytes, "id: 7\ndata: {}\n\n:\n\ndata: [1]\n\nevent: end\ndata: {\"code\":\"SLOT_ENDED\"}\n\n");
    }

    #[tokio::test]
    async fn a_stream_that_is_ended_from_outside_is_woken_for_it() {
        let streams = Arc::new(OpenStreams::default());
        let mut response = driven(streams.open(BUYER), |events| async move {
            events.send(None, "1").await;
            std::future::pending().await
        });
        assert!(response.body_mut().frame().await.is_some());
        let rest = tokio::spawn(response.into_body().collect());
        tokio::task::yield_now().await;
        streams.end_all(End::Draining);
        let rest = rest.await.unwrap().unwrap().to_bytes();
        assert_eq!(rest, "event: end\ndata: {\"code\":\"DRAINING\"}\n\n");
    }
}

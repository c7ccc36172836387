//! From the hub to one stream: the newest event only, so that a slow client is sent the present. Must never hold more than one.

use crate::http::End;
use bytes::Bytes;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// See the module.
#[derive(Default)]
pub(super) struct LatestEvent {
    state: Mutex<State>,
    arrived: Notify,
    closed: AtomicBool,
}

#[derive(Default)]
struct State {
    event: Option<Bytes>,
    end: Option<End>,
}

impl LatestEvent {
    pub(super) fn send(&self, event: Bytes) {
        self.state.lock().event = Some(event);
        self.arrived.notify_one();
    }

    /// A comment, unless an event is still on its way.
    pub(super) fn comment(&self) {
        self.state.lock().event.get_or_insert(Bytes::from_static(b":\n\n"));
        self.arrived.notify_one();
    }

    /// Nothing comes after what is on its way.
    pub(super) fn end(&self, end: End) {
        self.state.lock().end.get_or_insert(end);
        self.arrived.notify_one();
    }

    /// The stream is closed: nobody takes anything any more.
    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// The stream's end; dropping it closes.
pub struct Subscription {
    latest: Arc<LatestEvent>,
    closing: Box<dyn FnMut() + Send + Sync>,
}

impl Subscription {
    /// `closing` is called once, after the subscription is known to be closed.
    pub(super) fn new(latest: Arc<LatestEvent>, closing: Box<dyn FnMut() + Send + Sync>) -> Self {
        Self { latest, closing }
    }

    /// The next event, already written.
    ///
    /// # Errors
    /// Why there is none any more. Cancel safe.
    pub async fn next(&self) -> Result<Bytes, End> {
        loop {
            {
                let mut state = self.latest.state.lock();
                if let Some(event) = state.event.take() {
                    return Ok(event);
                }
                if let Some(end) = state.end {
                    return Err(end);
                }
            }
            self.latest.arrived.notified().await;
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.latest.close();
        (self.closing)();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_stream_is_sent_the_present_and_a_comment_never_hides_an_event() {
        let latest = Arc::new(LatestEvent::default());
        let closed = Arc::new(AtomicBool::new(false));
        let closing = Arc::clone(&closed);
        let close = Box::new(move || closing.store(true, Ordering::Relaxed));
        let subscription = Subscription::new(Arc::clone(&latest), close);
        latest.send(Bytes::from_static(b"old"));
        latest.send(Bytes::from_static(b"new"));
        latest.comment();
        assert_eq!(subscription.next().await.as_deref(), Ok(b"new".as_slice()));
        latest.comment();
        assert_eq!(subscription.next().await.as_deref(), Ok(b":\n\n".as_slice()));
        latest.send(Bytes::from_static(b"last"));
        latest.end(End::SlotEnded);
        assert_eq!(subscription.next().await.as_deref(), Ok(b"last".as_slice()));
        assert_eq!(subscription.next().await, Err(End::SlotEnded));
        drop(subscription);
        assert!(latest.is_closed() && closed.load(Ordering::Relaxed));
    }
}

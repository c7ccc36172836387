//! A future that stands beside a busy one and hardly ever has anything to say, such as the end of the server beside a
//! connection. Polled with its neighbour at every step, it would take the locks that it shares with all the others each
//! time; this polls it only when it was woken itself.

use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// See the module. Must not be polled again once it is done.
pub(super) struct Seldom<F> {
    inner: Pin<Box<F>>,
    bell: Arc<Bell>,
    waker: Waker,
    /// The task that the bell knows, so that its lock is taken only for another one.
    known: Option<Waker>,
}

/// Rings when the inner future wants to be polled.
struct Bell {
    rang: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F> Seldom<F> {
    pub(super) fn new(inner: F) -> Self {
        let bell = Arc::new(Bell { rang: AtomicBool::new(true), task: Mutex::new(None) });
        Self { inner: Box::pin(inner), waker: Waker::from(Arc::clone(&bell)), known: None, bell }
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rang.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}

impl<F: Future> Future for Seldom<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.known.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            // Before the bell is looked at, so that whoever rings it from here on finds this task.
            *self.bell.task.lock() = Some(cx.waker().clone());
            self.known = Some(cx.waker().clone());
        }
        if !self.bell.rang.load(Ordering::Acquire) || !self.bell.rang.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        let this = &mut *self;
        this.inner.as_mut().poll(&mut Context::from_waker(&this.waker))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use tokio_util::sync::CancellationToken;

    #[tokio::test]
    async fn it_is_polled_when_it_was_woken_and_not_with_its_neighbour() {
        let (token, polls) = (CancellationToken::new(), AtomicUsize::new(0));
        let mut cancelled = Box::pin(token.cancelled());
        let mut seldom = Seldom::new(std::future::poll_fn(|cx| {
            polls.fetch_add(1, Ordering::Relaxed);
            cancelled.as_mut().poll(cx)
        }));
        let mut steps = 0;
        let busy = std::future::poll_fn(|cx| {
            steps += 1;
            if steps == 100 {
                token.cancel();
            } else {
                cx.waker().wake_by_ref();
            }
            Poll::<()>::Pending
        });
        tokio::select! {
            biased;
            () = busy => {}
            () = &mut seldom => {}
        }
        assert_eq!((steps, polls.load(Ordering::Relaxed)), (100, 2));
    }
}

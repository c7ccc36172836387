//! Polls a future only when it was woken itself. For one that is selected beside a busy one and hardly ever completes, such as
//! the server's drain beside a connection: polled at every step of the connection, it would take a lock that all connections
//! share each time. Must never miss a wake.

use parking_lot::Mutex;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

/// See the module. Must not be polled again once it is done.
pub(in crate::http) struct PollOnWake<F> {
    inner: Pin<Box<F>>,
    wakes: Arc<Wakes>,
    waker: Waker,
    /// The task registered with `wakes`, so that its lock is taken only when the task changes.
    registered: Option<Waker>,
}

/// Whether the inner future was woken since it was polled, and the task to wake.
struct Wakes {
    is_woken: AtomicBool,
    task: Mutex<Option<Waker>>,
}

impl<F> PollOnWake<F> {
    pub(in crate::http) fn new(inner: F) -> Self {
        let wakes = Arc::new(Wakes { is_woken: AtomicBool::new(true), task: Mutex::new(None) });
        Self { inner: Box::pin(inner), waker: Waker::from(Arc::clone(&wakes)), registered: None, wakes }
    }
}

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.is_woken.store(true, Ordering::Release);
        if let Some(task) = &*self.task.lock() {
            task.wake_by_ref();
        }
    }
}

impl<F: Future> Future for PollOnWake<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        if !self.registered.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            // Registered before `is_woken` is read: a wake from here on finds this task.
            *self.wakes.task.lock() = Some(cx.waker().clone());
            self.registered = Some(cx.waker().clone());
        }
        if !self.wakes.is_woken.load(Ordering::Acquire) || !self.wakes.is_woken.swap(false, Ordering::AcqRel) {
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
    async fn it_is_polled_when_it_was_woken_and_not_at_every_step_of_the_other() {
        let (token, polls) = (CancellationToken::new(), AtomicUsize::new(0));
        let mut cancelled = Box::pin(token.cancelled());
        let mut on_wake = PollOnWake::new(std::future::poll_fn(|cx| {
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
            () = &mut on_wake => {}
        }
        assert_eq!((steps, polls.load(Ordering::Relaxed)), (100, 2));
    }
}

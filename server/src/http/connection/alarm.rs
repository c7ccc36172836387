//! One timer for each HTTP/1 connection, however many deadlines its requests have: for a head, and for an answer. Deadlines are
//! seconds away and hardly ever pass, so they are only stored, and compared with the clock whenever the connection is polled;
//! the timer makes sure that it is polled at the nearest one. A timer for each deadline would take the lock of the runtime's
//! timer wheel four times a request. Must never let a deadline pass without a poll.

use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The nearest deadline of a connection. Written and read by the connection's own task only.
pub(in crate::http) struct Alarm {
    since: Instant,
    /// In microseconds after `since`; may belong to a deadline that was dropped.
    nearest: AtomicU64,
}

impl Alarm {
    pub(in crate::http) fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), nearest: AtomicU64::new(NEVER) })
    }

    /// Whether the deadline has passed; if not, the connection will be polled again when it has.
    pub(in crate::http) fn has_passed(&self, deadline: Instant) -> bool {
        if Instant::now() >= deadline {
            return true;
        }
        let micros = deadline.saturating_duration_since(self.since).as_micros();
        // Rounded up: when the timer fires, the deadline has passed.
        let micros = u64::try_from(micros).unwrap_or(NEVER).saturating_add(1);
        if micros < self.nearest.load(Ordering::Relaxed) {
            self.nearest.store(micros, Ordering::Relaxed);
        }
        false
    }
}

/// hyper's timer of one connection.
#[derive(Clone)]
pub(in crate::http) struct AlarmTimer(pub(super) Arc<Alarm>);

impl Timer for AlarmTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(SleepUntil { alarm: Arc::clone(&self.0), deadline })
    }
}

struct SleepUntil {
    alarm: Arc<Alarm>,
    deadline: Instant,
}

impl Future for SleepUntil {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.alarm.has_passed(self.deadline) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for SleepUntil {}

/// A connection with its timer.
pub(in crate::http) struct Watched<F> {
    connection: F,
    alarm: Arc<Alarm>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// When the timer fires, in microseconds after the alarm's `since`.
    fires_at: u64,
}

impl<F> Watched<F> {
    /// Must be made, and polled, within a runtime.
    pub(in crate::http) fn new(connection: F, alarm: Arc<Alarm>) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(alarm.since.into()));
        Self { connection, alarm, timer, fires_at: NEVER }
    }

    pub(in crate::http) fn connection(&mut self) -> &mut F {
        &mut self.connection
    }

    pub(in crate::http) fn into_connection(self) -> F {
        self.connection
    }
}

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if this.fires_at != NEVER && this.timer.is_elapsed() {
            // Who still waits stores its deadline again in this poll.
            this.alarm.nearest.store(NEVER, Ordering::Relaxed);
            this.fires_at = NEVER;
        }
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            return Poll::Ready(ended);
        }
        let nearest = this.alarm.nearest.load(Ordering::Relaxed);
        if nearest < this.fires_at {
            this.fires_at = nearest;
            this.timer.as_mut().reset((this.alarm.since + Duration::from_micros(nearest)).into());
            if this.timer.as_mut().poll(cx).is_ready() {
                cx.waker().wake_by_ref();
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;

    #[tokio::test]
    async fn a_dropped_deadline_does_not_hide_a_later_one() {
        let alarm = Alarm::new();
        let now = Instant::now();
        let (dropped, later) = (now + Duration::from_millis(5), now + Duration::from_millis(40));
        let polls = Cell::new(0);
        let waiting = poll_fn(|_| {
            polls.set(polls.get() + 1);
            if polls.get() == 1 {
                let _ = alarm.has_passed(dropped);
            }
            if alarm.has_passed(later) { Poll::Ready(()) } else { Poll::Pending }
        });
        Watched::new(waiting, Arc::clone(&alarm)).await;
        assert!(now.elapsed() >= Duration::from_millis(40));
        assert!((2..=5).contains(&polls.get()), "polled {} times", polls.get());
    }

    #[tokio::test]
    async fn the_nearest_of_several_deadlines_counts_and_a_passed_one_is_known() {
        let alarm = Alarm::new();
        let now = Instant::now();
        let (near, far) = (now + Duration::from_millis(30), now + Duration::from_secs(60));
        let polls = Cell::new(0);
        let waiting = poll_fn(|_| {
            polls.set(polls.get() + 1);
            let _ = alarm.has_passed(far);
            if alarm.has_passed(near) { Poll::Ready(()) } else { Poll::Pending }
        });
        Watched::new(waiting, Arc::clone(&alarm)).await;
        assert!(now.elapsed() >= Duration::from_millis(30));
        assert!(polls.get() <= 4, "polled {} times", polls.get());
        assert!(alarm.has_passed(now));
    }
}

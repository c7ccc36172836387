//! One timer for each HTTP/1 connection, however many deadlines its requests have: the time that a head may take, and the
//! time that an answer may take. Deadlines are seconds away and hardly ever come, so they are only noted, and compared with
//! the clock whenever the connection is looked at; the timer sees to it that it is looked at when the nearest has come. A
//! timer of their own would cost each request the lock of the runtime's wheel four times.

use hyper::rt::{Sleep, Timer};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

/// No deadline.
const NEVER: u64 = u64::MAX;

/// The nearest deadline of a connection. Noted and looked at within the connection's own task.
pub(super) struct Alarm {
    since: Instant,
    /// In microseconds after `since`; may be one that does not count any more.
    nearest: AtomicU64,
}

impl Alarm {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { since: Instant::now(), nearest: AtomicU64::new(NEVER) })
    }

    /// Whether the deadline has come; if not, the connection will be looked at again when it has.
    pub(super) fn has_come(&self, deadline: Instant) -> bool {
        if Instant::now() >= deadline {
            return true;
        }
        let micros = deadline.saturating_duration_since(self.since).as_micros();
        // Rounded up: when the timer has rung, the deadline has come.
        let micros = u64::try_from(micros).unwrap_or(NEVER).saturating_add(1);
        if micros < self.nearest.load(Ordering::Relaxed) {
            self.nearest.store(micros, Ordering::Relaxed);
        }
        false
    }
}

/// hyper's timer of one connection.
#[derive(Clone)]
pub(super) struct AlarmTimer(pub(super) Arc<Alarm>);

impl Timer for AlarmTimer {
    fn sleep(&self, duration: Duration) -> Pin<Box<dyn Sleep>> {
        self.sleep_until(Instant::now() + duration)
    }

    fn sleep_until(&self, deadline: Instant) -> Pin<Box<dyn Sleep>> {
        Box::pin(Until { alarm: Arc::clone(&self.0), deadline })
    }
}

struct Until {
    alarm: Arc<Alarm>,
    deadline: Instant,
}

impl Future for Until {
    type Output = ();

    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        if self.alarm.has_come(self.deadline) { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Sleep for Until {}

/// A connection and its timer.
pub(super) struct Watched<F> {
    connection: F,
    alarm: Arc<Alarm>,
    timer: Pin<Box<tokio::time::Sleep>>,
    /// When the timer rings, as the alarm counts.
    rings: u64,
}

impl<F> Watched<F> {
    /// Must be made, and polled, within a runtime.
    pub(super) fn new(connection: F, alarm: Arc<Alarm>) -> Self {
        let timer = Box::pin(tokio::time::sleep_until(alarm.since.into()));
        Self { connection, alarm, timer, rings: NEVER }
    }

    pub(super) fn connection(&mut self) -> &mut F {
        &mut self.connection
    }

    pub(super) fn into_connection(self) -> F {
        self.connection
    }
}

impl<F: Future + Unpin> Future for Watched<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        if this.rings != NEVER && this.timer.is_elapsed() {
            // Whoever still waits notes its deadline again.
            this.alarm.nearest.store(NEVER, Ordering::Relaxed);
            this.rings = NEVER;
        }
        if let Poll::Ready(ended) = Pin::new(&mut this.connection).poll(cx) {
            return Poll::Ready(ended);
        }
        let nearest = this.alarm.nearest.load(Ordering::Relaxed);
        if nearest < this.rings {
            this.rings = nearest;
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
    async fn a_deadline_that_counts_no_more_does_not_hide_a_later_one() {
        let alarm = Alarm::new();
        let now = Instant::now();
        let (dropped, later) = (now + Duration::from_millis(5), now + Duration::from_millis(40));
        let looks = Cell::new(0);
        let waiting = poll_fn(|_| {
            looks.set(looks.get() + 1);
            if looks.get() == 1 {
                let _ = alarm.has_come(dropped);
            }
            if alarm.has_come(later) { Poll::Ready(()) } else { Poll::Pending }
        });
        Watched::new(waiting, Arc::clone(&alarm)).await;
        assert!(now.elapsed() >= Duration::from_millis(40));
        assert!((2..=5).contains(&looks.get()), "looked {} times", looks.get());
    }

    #[tokio::test]
    async fn the_nearest_of_several_deadlines_counts_and_a_passed_one_has_come() {
        let alarm = Alarm::new();
        let now = Instant::now();
        let (near, far) = (now + Duration::from_millis(30), now + Duration::from_secs(60));
        let looks = Cell::new(0);
        let waiting = poll_fn(|_| {
            looks.set(looks.get() + 1);
            let _ = alarm.has_come(far);
            if alarm.has_come(near) { Poll::Ready(()) } else { Poll::Pending }
        });
        Watched::new(waiting, Arc::clone(&alarm)).await;
        assert!(now.elapsed() >= Duration::from_millis(30));
        assert!(looks.get() <= 4, "looked {} times", looks.get());
        assert!(alarm.has_come(now));
    }
}

//! Whether an HTTP/2 connection is in use: which answers are being made or sent, and whether somebody reads them. HTTP/1 ones are
//! watched by hyper's own timer and by their socket.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// See the module.
pub(super) struct Activity {
    since: Instant,
    /// Requests whose answer is being made or sent.
    open: AtomicUsize,
    /// When the last one ended, in milliseconds after `since`.
    last_millis: AtomicU64,
    sending: Mutex<Sending>,
}

/// When each answer that is being sent was asked for its next bytes last: that is when its client has room for them.
#[derive(Default)]
struct Sending {
    next: u64,
    asked: BTreeMap<u64, Arc<AtomicU64>>,
}

/// How a connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// It is used; to be looked at again after so long.
    Used(Duration),
    /// Nobody has asked for anything for too long.
    Idle,
    /// The client has taken nothing of an answer for too long.
    Unread,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            since: Instant::now(),
            open: AtomicUsize::new(0),
            last_millis: AtomicU64::new(0),
            sending: Mutex::default(),
        })
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// How the connection stands, when it may be idle, and its answers unread, for `limit`.
    pub(super) fn look(&self, limit: Duration) -> Use {
        let (now, limit) = (self.millis(), u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
        let oldest = self.sending.lock().asked.values().map(|at| at.load(Ordering::Relaxed)).min();
        if oldest.is_some_and(|asked| now.saturating_sub(asked) >= limit) {
            return Use::Unread;
        }
        let busy = self.open.load(Ordering::Relaxed) > 0;
        let unused = if busy { 0 } else { now.saturating_sub(self.last_millis.load(Ordering::Relaxed)) };
        match limit.saturating_sub(unused) {
            0 => Use::Idle,
            left => Use::Used(Duration::from_millis(left)),
        }
    }
}

/// One request being answered, or its answer being sent.
pub(super) struct Busy {
    activity: Arc<Activity>,
    sending: Option<(u64, Arc<AtomicU64>)>,
}

impl Busy {
    pub(super) fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), sending: None }
    }

    /// From now on its answer is being sent.
    pub(super) fn sends(mut self) -> Self {
        let asked = Arc::new(AtomicU64::new(self.activity.millis()));
        let mut sending = self.activity.sending.lock();
        let number = sending.next;
        sending.next += 1;
        sending.asked.insert(number, Arc::clone(&asked));
        drop(sending);
        self.sending = Some((number, asked));
        self
    }

    /// The connection asks for more of the answer.
    pub(super) fn note_asked(&self) {
        if let Some((_, asked)) = &self.sending {
            asked.store(self.activity.millis(), Ordering::Relaxed);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some((number, _)) = &self.sending {
            self.activity.sending.lock().asked.remove(number);
        }
        self.activity.last_millis.store(self.activity.millis(), Ordering::Relaxed);
        self.activity.open.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_millis(40);

    /// Waits as long as it says, until it is not used any more.
    async fn end_of(activity: &Activity) -> Use {
        loop {
            match activity.look(LIMIT) {
                Use::Used(left) => tokio::time::sleep(left).await,
                end @ (Use::Idle | Use::Unread) => return end,
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_used_while_it_answers_and_for_its_time_after_that() {
        let activity = Activity::new();
        let began = Instant::now();
        let busy = Busy::new(&activity);
        tokio::time::sleep(LIMIT * 2).await;
        assert!(matches!(activity.look(LIMIT), Use::Used(_)), "the answer is still being made");
        drop(busy);
        assert_eq!(end_of(&activity).await, Use::Idle);
        assert!(began.elapsed() >= LIMIT * 3 - Duration::from_millis(2));
    }

    #[tokio::test]
    async fn an_answer_that_nobody_takes_is_unread_whatever_else_goes_on() {
        let activity = Activity::new();
        let (unread, read) = (Busy::new(&activity).sends(), Busy::new(&activity).sends());
        for _ in 0..4 {
            tokio::time::sleep(LIMIT / 3).await;
            read.note_asked();
        }
        assert_eq!(activity.look(LIMIT), Use::Unread);
        drop(unread);
        assert!(matches!(activity.look(LIMIT), Use::Used(_)));
    }
}

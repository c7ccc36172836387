//! Whether an HTTP/2 connection is in use: how many requests are open, and whether the client reads their answers. HTTP/1
//! connections have hyper's header timer and `deadline_io` for this. Must never call a connection idle that has an open request.

use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// See the module.
pub(in crate::http) struct Activity {
    since: Instant,
    /// Requests that are being handled, or whose answer is being sent.
    open: AtomicUsize,
    /// When the last one ended, in milliseconds after `since`.
    last_millis: AtomicU64,
    sending: Mutex<Sending>,
}

/// For each answer that is being sent, when hyper last asked for more of it: that is when its client last had room.
#[derive(Default)]
struct Sending {
    next: u64,
    asked: BTreeMap<u64, Arc<AtomicU64>>,
}

/// The use of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Use {
    /// It is in use; to be checked again after this time.
    Used(Duration),
    /// It had no request for too long.
    Idle,
    /// The client has read nothing of an answer for too long.
    Unread,
}

impl Activity {
    pub(in crate::http) fn new() -> Arc<Self> {
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

    /// The use of the connection, which may be idle, and its answers unread, for `limit`.
    pub(in crate::http) fn state(&self, limit: Duration) -> Use {
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

/// One open request, until its answer is sent.
pub(in crate::http) struct Busy {
    activity: Arc<Activity>,
    sending: Option<(u64, Arc<AtomicU64>)>,
}

impl Busy {
    pub(in crate::http) fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), sending: None }
    }

    /// Its answer is being sent from now on.
    pub(in crate::http) fn sends(mut self) -> Self {
        let asked = Arc::new(AtomicU64::new(self.activity.millis()));
        let mut sending = self.activity.sending.lock();
        let number = sending.next;
        sending.next += 1;
        sending.asked.insert(number, Arc::clone(&asked));
        drop(sending);
        self.sending = Some((number, asked));
        self
    }

    /// hyper asks for more of the answer.
    pub(in crate::http) fn note_asked(&self) {
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

    /// Waits as long as it says, until it is no longer in use.
    async fn end_of(activity: &Activity) -> Use {
        loop {
            match activity.state(LIMIT) {
                Use::Used(left) => tokio::time::sleep(left).await,
                end @ (Use::Idle | Use::Unread) => return end,
            }
        }
    }

    #[tokio::test]
    async fn a_connection_is_in_use_while_it_answers_and_for_the_limit_after_that() {
        let activity = Activity::new();
        let began = Instant::now();
        let busy = Busy::new(&activity);
        tokio::time::sleep(LIMIT * 2).await;
        assert!(matches!(activity.state(LIMIT), Use::Used(_)), "the request is still open");
        drop(busy);
        assert_eq!(end_of(&activity).await, Use::Idle);
        assert!(began.elapsed() >= LIMIT * 3 - Duration::from_millis(2));
    }

    #[tokio::test]
    async fn an_answer_that_is_not_read_is_unread_whatever_else_is_sent() {
        let activity = Activity::new();
        let (unread, read) = (Busy::new(&activity).sends(), Busy::new(&activity).sends());
        for _ in 0..4 {
            tokio::time::sleep(LIMIT / 3).await;
            read.note_asked();
        }
        assert_eq!(activity.state(LIMIT), Use::Unread);
        drop(unread);
        assert!(matches!(activity.state(LIMIT), Use::Used(_)));
    }
}

//! The wake protocol between those who submit commands, an actor, and the journal's thread. A wake is a message to the actor,
//! and a turn of it takes everything that waits, so there is never more than one unread. While a batch is being committed the
//! actor takes a few turns; whoever comes later is put off to the end of the commit, and the journal's thread then waits for
//! that turn, so that all of them share the next batch.
//!
//! ```text
//!             submit, a few turns left, or nothing is being committed
//!   idle ───────────────────────────────────────────────► scheduled ──── turn_begins ──► idle
//!    │                                                         ▲
//!    └─ submit, while a batch is being committed ─► deferred ──┘ commit_ends, and then is_expected until turn_ends
//! ```
//!
//! What must hold: a command that lies in a lane has a turn to come (no wake is lost); the journal never waits for a turn that
//! does not come. The flags and the queue of deferred sales are written and read in one order (`SeqCst`): whoever submits puts
//! the command into its lane and then looks at the flags, the actor clears the flags and then looks into its lanes; whoever
//! defers a sale puts it into the queue and then looks whether the commit is still running, the journal ends the commit and
//! then looks into the queue. Must never know what a command or a batch is: the model test (`tests/it/wake_model.rs`) compiles
//! this file with other primitives, and tries all interleavings.

use super::sync::{Arc, AtomicBool, AtomicU32, Condvar, Mutex, MutexGuard, Ordering, Queue, lock, wait, wait_until};
use std::time::{Duration, Instant};

/// What the protocol notes of one actor.
pub(crate) struct WakeState {
    /// An unread wake is on its way.
    scheduled: AtomicBool,
    /// The end of the running commit will wake the actor.
    deferred: AtomicBool,
    /// The journal's thread waits for its next turn; changed under the lock of the inbox.
    is_expected: AtomicBool,
}

impl WakeState {
    pub(crate) fn new() -> Self {
        Self {
            scheduled: AtomicBool::new(false),
            deferred: AtomicBool::new(false),
            is_expected: AtomicBool::new(false),
        }
    }

    /// The actor begins its turn: from now on a wake counts for the next one.
    pub(crate) fn turn_begins(&self) {
        self.deferred.store(false, Ordering::SeqCst);
        self.scheduled.store(false, Ordering::SeqCst);
    }

    /// Another mailbox took the place of the one before, and has no wake in it.
    pub(crate) fn mailbox_changes(&self) {
        self.scheduled.store(false, Ordering::SeqCst);
    }
}

/// Whoever takes turns.
pub(crate) trait Waked {
    fn wake_state(&self) -> &WakeState;

    /// Puts a wake into the mailbox.
    fn post_wake(&self);

    /// Makes sure that there is a turn to come, which finds what was put into a lane before.
    fn wake(&self) {
        if !self.wake_state().scheduled.swap(true, Ordering::SeqCst) {
            self.post_wake();
        }
    }
}

/// Where turns of actors `S` are handed in for the next batch, of which `T` is what is there so far.
pub(crate) struct Inbox<S, T> {
    inner: Mutex<Inner<T>>,
    filled: Condvar,
    committing: AtomicBool,
    /// Turns that may still be taken during the running commit, of `turns_per_commit`.
    turns_left: AtomicU32,
    turns_per_commit: u32,
    /// Actors whose turn waits for the end of the commit.
    after_commit: Queue<Arc<S>>,
}

struct Inner<T> {
    open: T,
    /// Actors that were woken at the end of a commit and have not had their turn since.
    expected: usize,
}

impl<S: Waked, T> Inbox<S, T> {
    pub(crate) fn new(open: T, turns_per_commit: u32) -> Self {
        Self {
            inner: Mutex::new(Inner { open, expected: 0 }),
            filled: Condvar::new(),
            committing: AtomicBool::new(false),
            turns_left: AtomicU32::new(0),
            turns_per_commit,
            after_commit: Queue::new(),
        }
    }

    /// A command was put into a lane: makes sure that there is a turn to come, but not before a commit that is running has
    /// ended. What is decided meanwhile could not be committed before, so one turn takes all who have come, instead of one for
    /// each. A few turns are taken at once all the same: a refusal need not wait, also when a commit hangs.
    pub(crate) fn submitted(&self, actor: &Arc<S>) {
        let state = actor.wake_state();
        if state.scheduled.load(Ordering::SeqCst) || state.deferred.swap(true, Ordering::SeqCst) {
            return;
        }
        if !self.defers(actor) {
            actor.wake();
        }
    }

    /// Takes it upon itself to wake the actor when the running commit is done; false when it does not.
    fn defers(&self, actor: &Arc<S>) -> bool {
        if !self.committing.load(Ordering::SeqCst) {
            return false;
        }
        let left = self.turns_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return false;
        }
        self.after_commit.push(Arc::clone(actor));
        // The commit may have ended in between, and its thread have looked before the actor was there.
        if !self.committing.load(Ordering::SeqCst) {
            self.wake_deferred();
        }
        true
    }

    /// The actor has had its turn; what came of it is handed in.
    pub(crate) fn turn_ends(&self, actor: &S, hand_in: impl FnOnce(&mut T)) {
        let mut inner = lock(&self.inner);
        hand_in(&mut inner.open);
        if actor.wake_state().is_expected.swap(false, Ordering::Relaxed) {
            inner.expected = inner.expected.saturating_sub(1);
        }
        drop(inner);
        self.filled.notify_one();
    }

    /// Changes what is there, and lets the journal's thread look at it.
    pub(crate) fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = self.with(change);
        self.filled.notify_one();
        result
    }

    /// Looks at what is there.
    pub(crate) fn with<R>(&self, look: impl FnOnce(&mut T) -> R) -> R {
        look(&mut lock(&self.inner).open)
    }

    /// Waits until there is something, and takes it. What a few have handed in during the last commit is not taken before those
    /// who waited for its end have had their turn, or for `at_most`: commits of a few would alternate with commits of many.
    pub(crate) fn take<R>(
        &self,
        at_most: Duration,
        is_filled: impl Fn(&T) -> bool,
        take: impl FnOnce(&mut T) -> R,
    ) -> R {
        let mut inner = lock(&self.inner);
        while !is_filled(&inner.open) {
            inner = wait(&self.filled, inner);
        }
        let mut inner = self.wait_for_expected(inner, Instant::now() + at_most);
        take(&mut inner.open)
    }

    fn wait_for_expected<'a>(&self, mut inner: MutexGuard<'a, Inner<T>>, until: Instant) -> MutexGuard<'a, Inner<T>> {
        while inner.expected > 0 {
            let (guard, is_over) = wait_until(&self.filled, inner, until);
            inner = guard;
            if is_over {
                inner.expected = 0;
            }
        }
        inner
    }

    /// A commit begins.
    pub(crate) fn commit_begins(&self) {
        self.turns_left.store(self.turns_per_commit, Ordering::Relaxed);
        self.committing.store(true, Ordering::SeqCst);
    }

    /// It has ended, whatever became of it.
    pub(crate) fn commit_ends(&self) {
        self.committing.store(false, Ordering::SeqCst);
        self.wake_deferred();
    }

    fn wake_deferred(&self) {
        while let Some(actor) = self.after_commit.pop() {
            let mut inner = lock(&self.inner);
            if !actor.wake_state().is_expected.swap(true, Ordering::Relaxed) {
                inner.expected += 1;
            }
            drop(inner);
            actor.wake();
        }
    }
}

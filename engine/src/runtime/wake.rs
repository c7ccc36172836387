//! The wake protocol between those who submit commands, an actor, and the journal's thread. A wake is a message to the actor,
//! and a turn of it takes everything that waits, so there is never more than one unread. While a batch is being committed the
//! actor takes a few turns; a command that comes later is deferred to the end of the commit, and the journal's thread then waits for
//! that turn, so that all of them share the next batch.
//!
//! The states of an actor:
//!
//! ```text
//!   Idle ──── submitted, no commit or a turn left; wake ────► Scheduled ──┐
//!    │                                                         ▲  │       │ turn_begins ──► Idle
//!    └─ submitted, during a commit ──► Deferred ───── wake ────┘  │       │
//!                                         │                       │       │
//!                                         └─── commit_ends ───► Expected ─┘ the journal waits until turn_ends
//! ```
//!
//! And those of the commit: none is running, or one is, and so many turns may still be taken during it.
//!
//! Idle: nothing waits in its lanes. Scheduled: an unread wake is on its way. Deferred: the end of the running commit, or who
//! found that it has ended, wakes the actor. Expected: an unread wake is on its way, and the journal's thread waits for the turn.
//!
//! What must hold: a command that lies in a lane has a turn to come (no wake is lost); the journal never waits for a turn that
//! does not come. States, the commit and the queue of deferred actors are written and read in one order (`SeqCst`): a caller that
//! submits puts the command into its lane and then checks the state, the actor leaves the state and then checks its
//! lanes; a caller that defers an actor puts it into the queue and then checks whether the commit is still running, the journal
//! ends the commit and then checks the queue. Must never know what a command or a batch is: the model test
//! (`tests/it/wake_model`) compiles this file with other primitives, and tries their interleavings.

use super::sync::{Arc, AtomicU8, AtomicU32, Condvar, Mutex, MutexGuard, Ordering, Queue, lock, wait, wait_until};
use std::time::{Duration, Instant};

/// See the module.
const IDLE: u8 = 0;
const SCHEDULED: u8 = 1;
const DEFERRED: u8 = 2;
const EXPECTED: u8 = 3;

/// The state of one actor.
pub(crate) struct WakeState(AtomicU8);

/// A turn that has begun; its end is owed to the inbox.
#[must_use]
pub(crate) struct BegunTurn {
    /// Whether the journal's thread waits for its end.
    is_expected: bool,
}

impl WakeState {
    pub(crate) fn new() -> Self {
        Self(AtomicU8::new(IDLE))
    }

    /// The actor begins its turn: from now on a wake counts for the next one.
    pub(crate) fn turn_begins(&self) -> BegunTurn {
        BegunTurn { is_expected: self.0.swap(IDLE, Ordering::SeqCst) == EXPECTED }
    }

    /// Another mailbox took the place of the one before, and has no wake in it.
    pub(crate) fn mailbox_changes(&self) {
        self.change(|state| matches!(state, SCHEDULED | EXPECTED).then_some(IDLE));
    }

    /// The state before, if it was changed. A state that stays is only read: a line of the cache that is only read is shared.
    fn change(&self, next: impl Fn(u8) -> Option<u8>) -> Option<u8> {
        self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next).ok()
    }

    /// Whether a wake has to be posted now, which then counts as unread.
    fn schedules(&self) -> bool {
        self.change(|state| matches!(state, IDLE | DEFERRED).then_some(SCHEDULED)).is_some()
    }

    /// Whether the actor had no turn to come; a caller that is answered yes must schedule one.
    fn defers(&self) -> bool {
        self.change(|state| (state == IDLE).then_some(DEFERRED)).is_some()
    }

    /// The state before the journal's thread began to wait for the next turn; none if it waits already.
    fn expects(&self) -> Option<u8> {
        self.change(|state| (state != EXPECTED).then_some(EXPECTED))
    }
}

/// An actor that takes turns.
pub(crate) trait Wakeable {
    fn wake_state(&self) -> &WakeState;

    /// Puts a wake into the mailbox.
    fn post_wake(&self);

    /// Makes sure that there is a turn to come, which finds what was put into a lane before.
    fn wake(&self) {
        if self.wake_state().schedules() {
            self.post_wake();
        }
    }
}

/// No commit is running; else the number of turns that may still be taken during it.
const NOT_COMMITTING: u32 = u32::MAX;

/// Whether a batch is being committed, and which actors' turns wait for its end.
pub(crate) struct CommitGate<S> {
    commit: AtomicU32,
    turns_per_commit: u32,
    deferred: Queue<Arc<S>>,
}

impl<S: Wakeable> CommitGate<S> {
    /// Takes fewer turns than `u32::MAX` per commit.
    pub(crate) fn new(turns_per_commit: u32) -> Self {
        Self { commit: AtomicU32::new(NOT_COMMITTING), turns_per_commit, deferred: Queue::new() }
    }

    /// A command was put into a lane: makes sure that there is a turn to come, but not before a commit that is running has
    /// ended. What is decided meanwhile could not be committed before, so one turn takes all who have come, instead of one for
    /// each. A few turns are taken at once all the same: a refusal need not wait, also when a commit hangs.
    pub(crate) fn submitted(&self, actor: &Arc<S>) {
        if actor.wake_state().defers() && !self.is_put_off(actor) {
            actor.wake();
        }
    }

    /// Whether the end of the running commit will wake the actor.
    fn is_put_off(&self, actor: &Arc<S>) -> bool {
        let take_turn = |left: u32| if left == NOT_COMMITTING { None } else { left.checked_sub(1) };
        match self.commit.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take_turn) {
            Ok(_) | Err(NOT_COMMITTING) => false,
            Err(_) => {
                self.deferred.push(Arc::clone(actor));
                // The commit may have ended in between, and its thread have looked before the actor was there.
                self.commit.load(Ordering::SeqCst) != NOT_COMMITTING
            }
        }
    }
}

/// Where turns of actors `S` are handed in for the next batch, of which `T` is what is there so far.
pub(crate) struct Inbox<S, T> {
    gate: Arc<CommitGate<S>>,
    inner: Mutex<Inner<T>>,
    filled: Condvar,
}

struct Inner<T> {
    open: T,
    /// Turns that the journal's thread waits for.
    expected: usize,
}

impl<S: Wakeable, T> Inbox<S, T> {
    pub(crate) fn new(gate: Arc<CommitGate<S>>, open: T) -> Self {
        Self { gate, inner: Mutex::new(Inner { open, expected: 0 }), filled: Condvar::new() }
    }

    /// The actor has had its turn; what came of it is handed in.
    pub(crate) fn turn_ends(&self, turn: BegunTurn, hand_in: impl FnOnce(&mut T)) {
        let mut inner = lock(&self.inner);
        hand_in(&mut inner.open);
        if turn.is_expected {
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

    /// A commit begins. For the journal's thread alone, as is the end.
    pub(crate) fn commit_begins(&self) {
        self.gate.commit.store(self.gate.turns_per_commit, Ordering::SeqCst);
    }

    /// It has ended, whatever became of it: those who were put off are woken, and waited for.
    pub(crate) fn commit_ends(&self) {
        self.gate.commit.store(NOT_COMMITTING, Ordering::SeqCst);
        while let Some(actor) = self.gate.deferred.pop() {
            // Under the lock: the turn may end before it is counted otherwise.
            let mut inner = lock(&self.inner);
            let before = actor.wake_state().expects();
            inner.expected += usize::from(before.is_some());
            drop(inner);
            // Also when it was idle: an actor that was replaced has taken a turn for nobody.
            if matches!(before, Some(IDLE | DEFERRED)) {
                actor.post_wake();
            }
        }
    }
}

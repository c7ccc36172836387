//! The primitives of `engine/src/runtime/sync.rs`, of loom: every order in which threads may meet in them is tried.

pub use loom::sync::atomic::{AtomicU8, AtomicU32, Ordering};
pub use loom::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::time::Instant;

pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

pub fn wait<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(guard).unwrap()
}

/// The time is never over: a thread that waits in vain is found.
pub fn wait_until<'a, T>(condvar: &Condvar, guard: MutexGuard<'a, T>, _: Instant) -> (MutexGuard<'a, T>, bool) {
    (wait(condvar, guard), false)
}

/// A queue of which each call is one step.
pub struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Queue<T> {
    pub fn new() -> Self {
        Self(Mutex::new(VecDeque::new()))
    }

    pub fn push(&self, item: T) {
        lock(&self.0).push_back(item);
    }

    pub fn pop(&self) -> Option<T> {
        lock(&self.0).pop_front()
    }
}

//! What the wake protocol (`wake.rs`) is built of, in one place, so that its model test can put primitives in their stead whose
//! every interleaving is tried. Must never hold logic of its own.

pub(super) use crossbeam::queue::SegQueue as Queue;
pub(super) use parking_lot::{Condvar, Mutex, MutexGuard};
pub(super) use std::sync::Arc;
pub(super) use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::time::Instant;

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock()
}

pub(super) fn wait<'a, T>(condvar: &Condvar, mut guard: MutexGuard<'a, T>) -> MutexGuard<'a, T> {
    condvar.wait(&mut guard);
    guard
}

/// The guard, and whether the time was over.
pub(super) fn wait_until<'a, T>(
    condvar: &Condvar,
    mut guard: MutexGuard<'a, T>,
    until: Instant,
) -> (MutexGuard<'a, T>, bool) {
    let is_over = condvar.wait_until(&mut guard, until).timed_out();
    (guard, is_over)
}

//! How long one holder keeps others waiting: the longest that a view's lock was held, and the longest piece of work on the
//! journal's thread outside of the storage. In processor time of the thread, so that a busy machine does not count. For tests:
//! measures only where fakes are built, and only once it was started. Must never change what it measures.

#[cfg(feature = "fakes")]
use rustix::time::{ClockId, clock_gettime};
#[cfg(feature = "fakes")]
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
#[cfg(feature = "fakes")]
use std::time::Duration;

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Work {
    /// A read lock of a view.
    Read,
    /// A write lock of a view.
    Write,
    /// The journal's thread, from one call of the storage to the next.
    Journal,
}

/// The longest of each since the probe was started.
#[cfg(feature = "fakes")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Longest {
    /// A read lock of a view was held.
    pub read: Duration,
    /// A write lock of a view was held.
    pub write: Duration,
    /// The journal's thread worked.
    pub journal: Duration,
}

/// See the module.
#[derive(Default)]
pub struct Probe {
    #[cfg(feature = "fakes")]
    is_on: AtomicBool,
    #[cfg(feature = "fakes")]
    longest: [AtomicU64; 3],
}

/// Some work has begun; it ends when this is dropped.
pub(crate) struct Measured<'a> {
    #[cfg(feature = "fakes")]
    begun: Option<(&'a Probe, Work, u64)>,
    #[cfg(not(feature = "fakes"))]
    _probe: std::marker::PhantomData<&'a Probe>,
}

#[cfg(not(feature = "fakes"))]
impl Probe {
    pub(crate) fn begin(&self, _: Work) -> Measured<'_> {
        Measured { _probe: std::marker::PhantomData }
    }
}

#[cfg(feature = "fakes")]
impl Probe {
    /// Forgets what it has measured, and measures from now on.
    pub fn start(&self) {
        self.longest.iter().for_each(|longest| longest.store(0, Ordering::Relaxed));
        self.is_on.store(true, Ordering::Relaxed);
    }

    /// What it has measured since.
    #[must_use]
    pub fn longest(&self) -> Longest {
        let of = |work: Work| Duration::from_nanos(self.longest[work as usize].load(Ordering::Relaxed));
        Longest { read: of(Work::Read), write: of(Work::Write), journal: of(Work::Journal) }
    }

    pub(crate) fn begin(&self, work: Work) -> Measured<'_> {
        Measured { begun: self.is_on.load(Ordering::Relaxed).then(|| (self, work, thread_nanos())) }
    }
}

#[cfg(feature = "fakes")]
impl Drop for Measured<'_> {
    fn drop(&mut self) {
        if let Some((probe, work, since)) = self.begun {
            probe.longest[work as usize].fetch_max(thread_nanos().saturating_sub(since), Ordering::Relaxed);
        }
    }
}

/// What the thread has had of a processor.
#[cfg(feature = "fakes")]
fn thread_nanos() -> u64 {
    let spent = clock_gettime(ClockId::ThreadCPUTime);
    spent.tv_sec as u64 * 1_000_000_000 + spent.tv_nsec as u64
}

//! Ports of what the nodes of one system share beside their storage: limits of requests. All of it may be lost at any
//! moment, and whoever uses it can go on without: what an error leaves undone is done by the node's own means.

use crate::ports::{Later, StoreError};
use std::num::NonZeroU32;
use std::time::Duration;

/// How much may be asked: so many requests at once, all of which come back within the window, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests at once.
    pub requests: NonZeroU32,
    /// The time in which all of them come back.
    pub window: Duration,
}

impl Quota {
    /// The time in which one request comes back.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.window / self.requests.get()
    }
}

/// Whether one more request may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, before so long.
    Refused {
        /// Until the next one may.
        retry_after: Duration,
    },
}

/// Limits that all nodes keep together.
pub trait SharedLimits: Send + Sync + 'static {
    /// Takes one request out of what `name` may ask. On an error nothing is known; nothing waits longer than the
    /// adapter's own bound.
    fn spend<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<Verdict, StoreError>>;
}

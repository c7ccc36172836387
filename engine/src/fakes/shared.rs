//! What nodes share, in memory: clones of one value are the nodes' ways to the same thing. It can go away, come back,
//! and lose everything.

use crate::ports::shared::{Quota, SharedLimits, Verdict};
use crate::ports::{Later, StoreError};
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

/// Shared state in memory.
#[derive(Clone, Default)]
pub struct FakeShared {
    gone: Arc<AtomicBool>,
    kept: Arc<Mutex<Kept>>,
}

#[derive(Default)]
struct Kept {
    /// When the next request would be due if all came evenly.
    limits: HashMap<String, Instant>,
}

impl FakeShared {
    /// Goes away, or comes back with what it had.
    pub fn go(&self, away: bool) {
        self.gone.store(away, Ordering::SeqCst);
    }

    /// Loses everything.
    pub fn wipe(&self) {
        *self.kept.lock() = Kept::default();
    }

    fn reach(&self) -> Result<parking_lot::MutexGuard<'_, Kept>, StoreError> {
        if self.gone.load(Ordering::SeqCst) { Err(StoreError("told to be gone".into())) } else { Ok(self.kept.lock()) }
    }
}

impl SharedLimits for FakeShared {
    fn spend<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<Verdict, StoreError>> {
        Box::pin(async move {
            let (now, mut kept) = (Instant::now(), self.reach()?);
            let due = kept.limits.get(name).copied().unwrap_or(now).max(now);
            let next = due + quota.interval();
            let earliest = next - quota.window.min(next - now);
            if earliest > now {
                return Ok(Verdict::Refused { retry_after: earliest - now });
            }
            kept.limits.insert(name.to_owned(), next);
            Ok(Verdict::Allowed)
        })
    }
}

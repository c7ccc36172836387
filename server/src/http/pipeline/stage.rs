//! The stages of the process as requests see them, from start to drain, and the application, which is there from the second
//! one on. Must never go back to an earlier stage.

use crate::app::App;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use tokio_util::sync::CancellationToken;

/// The stage of the process between its start and its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The engine is recovering; nothing but the liveness check is answered.
    Starting,
    /// Everything is answered.
    Serving,
    /// The same, but the readiness check fails, so that load balancers send new requests elsewhere.
    Leaving,
    /// No new connections; open requests are being finished.
    Draining,
}

/// See the module.
pub(super) struct Lifecycle {
    app: OnceLock<Arc<App>>,
    leaving: AtomicBool,
    draining: CancellationToken,
}

impl Lifecycle {
    /// Starting, until an application is there.
    pub(super) fn new(draining: CancellationToken) -> Self {
        Self { app: OnceLock::new(), leaving: AtomicBool::new(false), draining }
    }

    /// The application, once it is there.
    pub(super) fn app(&self) -> Option<&Arc<App>> {
        self.app.get()
    }

    /// Once only; a second application is ignored.
    pub(super) fn open(&self, app: Arc<App>) {
        let _ = self.app.set(app);
    }

    /// From now on the readiness check fails.
    pub(super) fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// The stage now.
    pub(super) fn stage(&self) -> Stage {
        if self.draining.is_cancelled() {
            Stage::Draining
        } else if self.app.get().is_none() {
            Stage::Starting
        } else if self.leaving.load(Ordering::Relaxed) {
            Stage::Leaving
        } else {
            Stage::Serving
        }
    }
}

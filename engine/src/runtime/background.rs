//! Work beside the threads that answer. Must never be waited for by them.

use tokio::runtime::Handle;

/// Where such work is done.
pub(crate) struct Background {
    runtime: Handle,
    /// On a thread that may block; else as a task, where a test drives the engine by hand.
    may_block: bool,
}

impl Background {
    pub(crate) fn new(runtime: Handle, may_block: bool) -> Self {
        Self { runtime, may_block }
    }

    /// Where tasks are spawned, and answers are given.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Does something long.
    pub(crate) fn run(&self, work: impl FnOnce() + Send + 'static) {
        if self.may_block {
            drop(self.runtime.spawn_blocking(work));
        } else {
            drop(self.runtime.spawn(async move { work() }));
        }
    }

    /// Drops something large.
    pub(crate) fn discard(&self, large: impl Send + 'static) {
        self.run(move || drop(large));
    }
}

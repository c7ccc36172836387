//! The threads that serve connections: each has a runtime of its own and keeps its connections, so that a request is read,
//! answered and sent by one thread, and the threads share no scheduler's lock. Must never run blocking work: that goes through
//! `spawn_blocking`.

use onsale_engine::runtime::supervised;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// See the module. They end when this is dropped, and with them the connections that they still serve.
pub struct Workers {
    threads: Vec<Handle>,
    next: AtomicUsize,
    ending: CancellationToken,
}

impl Workers {
    /// Starts one thread for each core.
    ///
    /// # Errors
    /// The operating system's.
    pub fn start() -> io::Result<Self> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let mut workers = Self { threads: Vec::new(), next: AtomicUsize::new(0), ending: CancellationToken::new() };
        for _ in 0..cores {
            let runtime = Builder::new_current_thread().thread_name("onsale-aside").enable_all().build()?;
            workers.threads.push(runtime.handle().clone());
            let ending = workers.ending.clone();
            let serve = move || runtime.block_on(ending.cancelled());
            supervised("onsale-http", &crate::server::fatal(), serve)?;
        }
        Ok(workers)
    }

    /// The runtime for the next connection.
    pub(super) fn next(&self) -> &Handle {
        &self.threads[self.next.fetch_add(1, Ordering::Relaxed) % self.threads.len()]
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.ending.cancel();
    }
}

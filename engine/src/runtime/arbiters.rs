//! The actix side of the runtime: a system on a thread of its own and a few arbiters, each an event loop on its own
//! thread. With `actor.rs` the only file that names actix.

use actix::{Arbiter, ArbiterHandle, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

/// Event loops for actors.
pub(crate) struct Arbiters {
    system: System,
    handles: Vec<ArbiterHandle>,
    next: AtomicUsize,
    thread: parking_lot::Mutex<Option<JoinHandle<()>>>,
}

impl Arbiters {
    pub(crate) fn start(count: usize) -> std::io::Result<Self> {
        let (send, receive) = mpsc::sync_channel(1);
        let thread = std::thread::Builder::new().name("onsale-actors".into()).spawn(move || {
            let runner = System::new();
            let handles = runner.block_on(async {
                let arbiters: Vec<Arbiter> = (0..count.max(1)).map(|_| Arbiter::new()).collect();
                arbiters.iter().map(Arbiter::handle).collect::<Vec<_>>()
            });
            let system = runner.block_on(async { System::current() });
            if send.send((system, handles)).is_ok() {
                let _ = runner.run();
            }
        })?;
        let (system, handles) =
            receive.recv().map_err(|_| std::io::Error::other("the actors' thread did not start"))?;
        Ok(Self { system, handles, next: AtomicUsize::new(0), thread: parking_lot::Mutex::new(Some(thread)) })
    }

    /// An arbiter for the next actor, one after the other.
    pub(crate) fn next(&self) -> &ArbiterHandle {
        &self.handles[self.next.fetch_add(1, Ordering::Relaxed) % self.handles.len()]
    }

    /// Ends the system, and waits for its thread.
    pub(crate) fn end(&self) {
        self.system.stop();
        if let Some(thread) = self.thread.lock().take() {
            let _ = thread.join();
        }
    }
}

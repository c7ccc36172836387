//! The batches that are durable in the commit log and not in `journal.db` yet, shared by the log's writer, its checkpointer
//! and the readers of `journal.db`: how far was appended, how far flushed, what failed, who waits. Must never write a file.

use super::sizes::{FAILING_FLUSH_TIMEOUT, FLUSH_TIMEOUT, GATHER, ROWS_PER_TRANSACTION, URGENT_BYTES};
use onsale_engine::ports::JournalError;
use onsale_engine::runtime::OnFatal;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A durable batch that waits to be checkpointed.
pub(super) struct Batch {
    /// The number of its frame.
    pub(super) counter: u64,
    pub(super) rows: u64,
    /// What it takes in the log.
    pub(super) bytes: u64,
    pub(super) payload: Box<[u8]>,
}

/// Why nothing is checkpointed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It is tried again and again.
    NotNow(String),
    /// The storage is not trusted any more: what it reports may not be what is on the disk.
    Fatal(String),
}

#[derive(Default)]
struct State {
    has_writer: bool,
    /// Numbers of frames: the last durable one, and the last whose rows are in `journal.db`.
    appended: u64,
    flushed: u64,
    waiting: VecDeque<Batch>,
    waiting_rows: u64,
    /// Also of what is being checkpointed now.
    backlog_bytes: u64,
    /// When the oldest of the waiting batches arrived.
    oldest: Option<Instant>,
    /// Somebody waits until this frame is flushed.
    wanted: u64,
    failure: Option<Failure>,
    stopping: bool,
    /// Called should the checkpointer panic.
    on_fatal: Option<OnFatal>,
    /// For tests: the checkpointer panics; it is paused; the most pages that the file may have.
    #[cfg(test)]
    panics: bool,
    paused: bool,
    max_pages: Option<u32>,
}

/// See the module. Clones are the same one.
#[derive(Clone, Default)]
pub(in crate::sqlite) struct Backlog {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Backlog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Backlog")
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was flushed, or could not be.
    progress: Condvar,
    /// There is something to checkpoint, or somebody waits for it.
    work: Condvar,
}

/// The right to append: one at a time.
pub(in crate::sqlite) struct Writing(Backlog);

impl Drop for Writing {
    fn drop(&mut self) {
        *self.0.shared.state.lock() = State::default();
        self.0.shared.progress.notify_all();
    }
}

impl Backlog {
    /// Begins a log that nothing was appended to; none while there is another writer.
    pub(in crate::sqlite) fn begin(&self) -> Option<Writing> {
        let mut state = self.shared.state.lock();
        if std::mem::replace(&mut state.has_writer, true) {
            return None;
        }
        Some(Writing(self.clone()))
    }

    /// Whether a batch may be appended.
    pub(super) fn check(&self) -> Result<(), JournalError> {
        match &self.shared.state.lock().failure {
            None => Ok(()),
            Some(Failure::NotNow(reason)) => {
                Err(JournalError::NotDone(format!("what was committed cannot be checkpointed: {reason}")))
            }
            Some(Failure::Fatal(reason)) => Err(JournalError::Fatal(reason.clone())),
        }
    }

    /// While so many bytes are unflushed, waits until less are, `timeout` at the most.
    pub(super) fn apply_backpressure(&self, high_watermark_bytes: u64, timeout: Duration) {
        let until = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        while state.backlog_bytes >= high_watermark_bytes && state.failure.is_none() {
            if self.shared.progress.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// The last frame up to which all is flushed.
    pub(super) fn flushed_up_to(&self) -> u64 {
        self.shared.state.lock().flushed
    }

    /// Adds a durable batch.
    pub(super) fn appended(&self, batch: Batch) {
        let mut state = self.shared.state.lock();
        state.appended = batch.counter;
        state.waiting_rows += batch.rows;
        state.backlog_bytes += batch.bytes;
        let is_first = state.waiting.is_empty();
        if is_first {
            state.oldest = Some(Instant::now());
        }
        // The checkpointer sleeps until the oldest has waited long enough; only what shortens that wakes it, once.
        let reaches = |bound: u64, now: u64, added: u64| now >= bound && now - added < bound;
        let is_full = reaches(ROWS_PER_TRANSACTION, state.waiting_rows, batch.rows);
        let is_urgent = reaches(URGENT_BYTES, state.backlog_bytes, batch.bytes);
        state.waiting.push_back(batch);
        if is_first || is_full || is_urgent {
            self.shared.work.notify_one();
        }
    }

    /// Waits until that frame is flushed; false when it takes too long.
    pub(super) fn wait_for(&self, counter: u64, timeout: Duration) -> bool {
        let until = Instant::now() + timeout;
        let mut state = self.shared.state.lock();
        self.wait(&mut state, counter, until)
    }

    /// Waits until all that was appended before the call is in `journal.db`.
    ///
    /// # Errors
    /// Why it is not: after some seconds, or, when the last try has failed, after one more.
    pub(in crate::sqlite) fn wait_flushed(&self) -> Result<(), String> {
        let mut state = self.shared.state.lock();
        let counter = state.appended;
        let timeout = if state.failure.is_some() { FAILING_FLUSH_TIMEOUT } else { FLUSH_TIMEOUT };
        if self.wait(&mut state, counter, Instant::now() + timeout) {
            return Ok(());
        }
        Err(match &state.failure {
            None => "what was committed is not checkpointed yet".to_owned(),
            Some(Failure::NotNow(reason) | Failure::Fatal(reason)) => reason.clone(),
        })
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, counter: u64, until: Instant) -> bool {
        // A log that has ended is flushed, or the next opening recovers it.
        while state.has_writer && state.flushed < counter {
            if state.wanted < counter {
                state.wanted = counter;
                self.shared.work.notify_one();
            }
            if self.shared.progress.wait_until(state, until).timed_out() {
                return !state.has_writer || state.flushed >= counter;
            }
        }
        true
    }

    /// For the checkpointer: waits until there is something to checkpoint and, unless it is urgent, until `throttled_until`.
    /// None when all is flushed and nothing more will come.
    pub(super) fn next(&self, throttled_until: Option<Instant>) -> Option<Vec<Batch>> {
        let mut state = self.shared.state.lock();
        loop {
            let is_urgent = state.stopping || state.wanted > state.flushed || state.backlog_bytes >= URGENT_BYTES;
            match state.oldest {
                Some(oldest) if !state.paused => {
                    let gathered = if state.waiting_rows >= ROWS_PER_TRANSACTION { oldest } else { oldest + GATHER };
                    let due = throttled_until.map_or(gathered, |throttled_until| gathered.max(throttled_until));
                    if is_urgent || due <= Instant::now() {
                        return Some(take(&mut state));
                    }
                    self.shared.work.wait_until(&mut state, due);
                }
                None if state.stopping => return None,
                _ => self.shared.work.wait(&mut state),
            }
        }
    }

    /// For the checkpointer: those are in `journal.db`; whether more waits already.
    pub(super) fn flushed(&self, batches: &[Batch]) -> bool {
        let mut state = self.shared.state.lock();
        state.flushed = batches.last().map_or(state.flushed, |batch| batch.counter);
        state.backlog_bytes -= batches.iter().map(|batch| batch.bytes).sum::<u64>();
        if state.failure.take().is_some() {
            tracing::info!("checkpointing works again");
        }
        self.shared.progress.notify_all();
        !state.waiting.is_empty()
    }

    /// For the checkpointer: the transaction failed. Waits until it may be tried again; false when that is no use.
    pub(super) fn failed(&self, failure: Failure, pause: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let is_fatal = matches!(failure, Failure::Fatal(_));
        let (Failure::NotNow(reason) | Failure::Fatal(reason)) = &failure;
        if state.failure.is_none() || is_fatal {
            tracing::error!(%reason, "what was committed could not be checkpointed");
        }
        state.failure = Some(failure);
        self.shared.progress.notify_all();
        if is_fatal || state.stopping {
            return false;
        }
        let until = Instant::now() + pause;
        while !state.stopping && !self.shared.work.wait_until(&mut state, until).timed_out() {}
        true
    }

    /// Sets what is called should the checkpointer panic.
    pub(in crate::sqlite) fn on_fatal(&self, call: OnFatal) {
        self.shared.state.lock().on_fatal = Some(call);
    }

    /// The checkpointer has panicked: nothing more may be appended.
    pub(super) fn ends_fatally(&self, reason: &str) {
        let mut state = self.shared.state.lock();
        state.failure = Some(Failure::Fatal(reason.to_owned()));
        self.shared.progress.notify_all();
        let call = state.on_fatal.clone();
        drop(state);
        tracing::error!(%reason, "checkpointing has ended: its thread panicked");
        if let Some(call) = call {
            call(reason);
        }
    }

    #[cfg(test)]
    pub(super) fn panic(&self) {
        self.shared.state.lock().panics = true;
    }

    #[cfg(test)]
    pub(super) fn panics(&self) -> bool {
        self.shared.state.lock().panics
    }

    /// Lets the checkpointer end, after one more try.
    pub(super) fn stop(&self) {
        let mut state = self.shared.state.lock();
        (state.stopping, state.paused) = (true, false);
        self.shared.work.notify_all();
    }

    /// Whether all that was appended is flushed.
    pub(super) fn is_flushed(&self) -> bool {
        let state = self.shared.state.lock();
        state.flushed == state.appended
    }

    /// For tests: pauses the checkpointer, or lets it go on.
    pub(in crate::sqlite) fn pause(&self, paused: bool) {
        self.shared.state.lock().paused = paused;
        self.shared.work.notify_all();
    }

    /// For tests: `journal.db` may have so many pages and no more.
    pub(in crate::sqlite) fn limit_pages(&self, pages: u32) {
        self.shared.state.lock().max_pages = Some(pages);
    }

    pub(super) fn max_pages(&self) -> Option<u32> {
        self.shared.state.lock().max_pages
    }
}

/// Takes the oldest batches, about as many rows as one transaction has.
fn take(state: &mut State) -> Vec<Batch> {
    let (mut batches, mut rows) = (Vec::new(), 0);
    while rows < ROWS_PER_TRANSACTION
        && let Some(batch) = state.waiting.pop_front()
    {
        rows += batch.rows;
        batches.push(batch);
    }
    state.waiting_rows -= rows;
    state.oldest = if state.waiting.is_empty() { None } else { Some(Instant::now()) };
    batches
}

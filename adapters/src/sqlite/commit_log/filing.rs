//! What the writer of the commit log, its filer and those who read `journal.db` know of each other: how far was appended,
//! how far filed, what failed, who waits. Never does any of it itself.

use super::sizes::{FAILING_PATIENCE, GATHER, PRESSING_BYTES, ROWS_PER_FILING, SETTLE_PATIENCE};
use onsale_engine::ports::JournalError;
use onsale_engine::runtime::OnFatal;
use parking_lot::{Condvar, Mutex, MutexGuard};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A durable batch that waits to be filed.
pub(super) struct Batch {
    /// The number of its frame.
    pub(super) counter: u64,
    pub(super) rows: u64,
    /// What it takes in the log.
    pub(super) bytes: u64,
    pub(super) payload: Box<[u8]>,
}

/// Why nothing is filed.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// It is tried again and again.
    NotNow(String),
    /// The storage has lost the right to be believed.
    Fatal(String),
}

#[derive(Default)]
struct State {
    has_writer: bool,
    /// Numbers of frames: the last durable one, and the last whose rows are in `journal.db`.
    appended: u64,
    filed: u64,
    waiting: VecDeque<Batch>,
    waiting_rows: u64,
    /// Also of what is being filed now.
    unfiled_bytes: u64,
    /// When the oldest of those that wait came.
    oldest: Option<Instant>,
    /// Somebody waits until this frame is filed.
    wanted: u64,
    failure: Option<Failure>,
    stopping: bool,
    /// Called should the filer panic.
    on_fatal: Option<OnFatal>,
    /// For tests: the filer panics; nothing is filed; pages that the file may have.
    #[cfg(test)]
    panics: bool,
    held: bool,
    max_pages: Option<u32>,
}

/// See the module. Clones are the same one.
#[derive(Clone, Default)]
pub(in crate::sqlite) struct Filing {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Filing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filing")
    }
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Something was filed, or could not be.
    moved: Condvar,
    /// There is something to file, or it is wanted sooner.
    work: Condvar,
}

/// The right to append: one at a time.
pub(in crate::sqlite) struct Writing(Filing);

impl Drop for Writing {
    fn drop(&mut self) {
        *self.0.shared.state.lock() = State::default();
        self.0.shared.moved.notify_all();
    }
}

impl Filing {
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
                Err(JournalError::NotDone(format!("what was written is not filed: {reason}")))
            }
            Some(Failure::Fatal(reason)) => Err(JournalError::Fatal(reason.clone())),
        }
    }

    /// While so many bytes are unfiled, waits for a filing.
    pub(super) fn hold_back(&self, crowded_bytes: u64, patience: Duration) {
        let until = Instant::now() + patience;
        let mut state = self.shared.state.lock();
        while state.unfiled_bytes >= crowded_bytes && state.failure.is_none() {
            if self.shared.moved.wait_until(&mut state, until).timed_out() {
                return;
            }
        }
    }

    /// How far everything is filed.
    pub(super) fn filed_up_to(&self) -> u64 {
        self.shared.state.lock().filed
    }

    /// Hands a durable batch over.
    pub(super) fn appended(&self, batch: Batch) {
        let mut state = self.shared.state.lock();
        state.appended = batch.counter;
        state.waiting_rows += batch.rows;
        state.unfiled_bytes += batch.bytes;
        let is_first = state.waiting.is_empty();
        if is_first {
            state.oldest = Some(Instant::now());
        }
        // The filer sleeps until the oldest has waited long enough; only what shortens that wakes it, once.
        let reaches = |bound: u64, now: u64, added: u64| now >= bound && now - added < bound;
        let is_full = reaches(ROWS_PER_FILING, state.waiting_rows, batch.rows);
        let is_pressing = reaches(PRESSING_BYTES, state.unfiled_bytes, batch.bytes);
        state.waiting.push_back(batch);
        if is_first || is_full || is_pressing {
            self.shared.work.notify_one();
        }
    }

    /// Waits until that frame is filed; false when it takes too long.
    pub(super) fn wait_for(&self, counter: u64, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        let mut state = self.shared.state.lock();
        self.wait(&mut state, counter, until)
    }

    /// Waits until all that was appended before the call is in `journal.db`.
    ///
    /// # Errors
    /// Why it is not: after some seconds, or, when it could not be filed before either, after one more try.
    pub(in crate::sqlite) fn settle(&self) -> Result<(), String> {
        let mut state = self.shared.state.lock();
        let counter = state.appended;
        let patience = if state.failure.is_some() { FAILING_PATIENCE } else { SETTLE_PATIENCE };
        if self.wait(&mut state, counter, Instant::now() + patience) {
            return Ok(());
        }
        Err(match &state.failure {
            None => "what was committed is not filed yet".to_owned(),
            Some(Failure::NotNow(reason) | Failure::Fatal(reason)) => reason.clone(),
        })
    }

    fn wait(&self, state: &mut MutexGuard<'_, State>, counter: u64, until: Instant) -> bool {
        // A log that has ended is filed, or its facts are found at the next opening.
        while state.has_writer && state.filed < counter {
            if state.wanted < counter {
                state.wanted = counter;
                self.shared.work.notify_one();
            }
            if self.shared.moved.wait_until(state, until).timed_out() {
                return !state.has_writer || state.filed >= counter;
            }
        }
        true
    }

    /// For the filer: waits until there is something to file, and, unless it is wanted or much, until `rested`. None when
    /// all is filed and nothing more will come.
    pub(super) fn next(&self, rested: Option<Instant>) -> Option<Vec<Batch>> {
        let mut state = self.shared.state.lock();
        loop {
            let pressing = state.stopping || state.wanted > state.filed || state.unfiled_bytes >= PRESSING_BYTES;
            match state.oldest {
                Some(oldest) if !state.held => {
                    let gathered = if state.waiting_rows >= ROWS_PER_FILING { oldest } else { oldest + GATHER };
                    let due = rested.map_or(gathered, |rested| gathered.max(rested));
                    if pressing || due <= Instant::now() {
                        return Some(take(&mut state));
                    }
                    self.shared.work.wait_until(&mut state, due);
                }
                None if state.stopping => return None,
                _ => self.shared.work.wait(&mut state),
            }
        }
    }

    /// For the filer: so much is in `journal.db`; whether more waits already.
    pub(super) fn filed(&self, batches: &[Batch]) -> bool {
        let mut state = self.shared.state.lock();
        state.filed = batches.last().map_or(state.filed, |batch| batch.counter);
        state.unfiled_bytes -= batches.iter().map(|batch| batch.bytes).sum::<u64>();
        if state.failure.take().is_some() {
            tracing::info!("what was committed is filed again");
        }
        self.shared.moved.notify_all();
        !state.waiting.is_empty()
    }

    /// For the filer: it was not filed. Waits until it may be tried again; false when that is no use.
    pub(super) fn failed(&self, failure: Failure, pause: Duration) -> bool {
        let mut state = self.shared.state.lock();
        let is_fatal = matches!(failure, Failure::Fatal(_));
        let (Failure::NotNow(reason) | Failure::Fatal(reason)) = &failure;
        if state.failure.is_none() || is_fatal {
            tracing::error!(%reason, "what was committed could not be filed");
        }
        state.failure = Some(failure);
        self.shared.moved.notify_all();
        if is_fatal || state.stopping {
            return false;
        }
        let until = Instant::now() + pause;
        while !state.stopping && !self.shared.work.wait_until(&mut state, until).timed_out() {}
        true
    }

    /// Sets what is called should the filer panic.
    pub(in crate::sqlite) fn on_fatal(&self, call: OnFatal) {
        self.shared.state.lock().on_fatal = Some(call);
    }

    /// The filer has panicked: nothing more may be appended.
    pub(super) fn ends_fatally(&self, reason: &str) {
        let mut state = self.shared.state.lock();
        state.failure = Some(Failure::Fatal(reason.to_owned()));
        self.shared.moved.notify_all();
        let call = state.on_fatal.clone();
        drop(state);
        tracing::error!(%reason, "what is committed is not filed any more");
        if let Some(call) = call {
            call(reason);
        }
    }

    #[cfg(test)]
    pub(super) fn panic(&self) {
        self.shared.state.lock().panics = true;
    }

    #[cfg(test)]
    pub(super) fn shall_panic(&self) -> bool {
        self.shared.state.lock().panics
    }

    /// Lets the filer end, after one more try.
    pub(super) fn stop(&self) {
        let mut state = self.shared.state.lock();
        (state.stopping, state.held) = (true, false);
        self.shared.work.notify_all();
    }

    /// Whether all that was appended is filed.
    pub(super) fn is_settled(&self) -> bool {
        let state = self.shared.state.lock();
        state.filed == state.appended
    }

    /// For tests: files nothing until told otherwise.
    pub(in crate::sqlite) fn hold(&self, held: bool) {
        self.shared.state.lock().held = held;
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

/// Takes the oldest batches, about as many rows as one transaction shall have.
fn take(state: &mut State) -> Vec<Batch> {
    let (mut batches, mut rows) = (Vec::new(), 0);
    while rows < ROWS_PER_FILING
        && let Some(batch) = state.waiting.pop_front()
    {
        rows += batch.rows;
        batches.push(batch);
    }
    state.waiting_rows -= rows;
    state.oldest = if state.waiting.is_empty() { None } else { Some(Instant::now()) };
    batches
}

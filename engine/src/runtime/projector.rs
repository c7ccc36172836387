//! The projector: writes committed facts to tables and outbox, behind the answer. What it was not handed in time it
//! reads from the journal, so it may fall behind but never skip. Must never hold up the journal.

use crate::id::{EventId, Seq};
use crate::limits::{JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN, PROJECTION_HANDOFF};
use crate::ports::{Committed, JournalError, JournalReader, Projection, ReadError};
use crate::sale::Entry;
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hashbrown::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Facts read from the journal at a time when catching up.
const CHUNK: usize = 2000;
/// Hand-offs written together.
const TOGETHER: usize = PROJECTION_HANDOFF;
/// How long the first of several hand-offs waits for others: a transaction for each would cost more than all of them.
const GATHER: Duration = Duration::from_millis(5);
/// How often a projector that was passed over looks at the journal though nothing is handed to it.
const LOOK: Duration = Duration::from_millis(200);

/// The front of the projector, for the journal's thread.
pub(crate) struct ProjectorFront {
    queue: parking_lot::Mutex<Option<Sender<Committed>>>,
    passed_over: AtomicBool,
    handed: AtomicU64,
    written: AtomicU64,
}

impl ProjectorFront {
    pub(crate) fn new() -> (Self, Receiver<Committed>) {
        let (queue, receiver) = bounded(PROJECTION_HANDOFF);
        let queue = parking_lot::Mutex::new(Some(queue));
        let front =
            Self { queue, passed_over: AtomicBool::new(false), handed: AtomicU64::new(0), written: AtomicU64::new(0) };
        (front, receiver)
    }

    /// Hands committed facts over; when the projector is behind, it will read them from the journal.
    pub(crate) fn hand_over(&self, committed: Committed) {
        self.handed.fetch_add(committed.entries.len() as u64, Ordering::Relaxed);
        if let Some(queue) = &*self.queue.lock()
            && queue.try_send(committed).is_err()
        {
            self.passed_over.store(true, Ordering::Release);
        }
    }

    /// Committed facts that are not written yet.
    pub(crate) fn lag(&self) -> u64 {
        self.handed.load(Ordering::Relaxed).saturating_sub(self.written.load(Ordering::Relaxed))
    }

    /// Nothing more is handed over: the projector writes what it has and ends.
    pub(crate) fn close(&self) {
        self.queue.lock().take();
    }
}

/// The projector's thread.
pub(crate) struct Projector {
    pub(crate) storage: Box<dyn Projection>,
    pub(crate) reader: Arc<dyn JournalReader>,
    pub(crate) checkpoints: HashMap<EventId, Seq>,
}

impl Projector {
    /// Brings an event's tables up to date from the journal.
    pub(crate) fn catch_up(&mut self, event: EventId) -> Result<(), ProjectError> {
        let after = self.storage.checkpoint(event)?;
        self.checkpoints.insert(event, after);
        let (mut chunk, mut failed) = (Vec::with_capacity(CHUNK), None);
        let reader = Arc::clone(&self.reader);
        reader.replay(event, after, &mut |entry| {
            chunk.push(entry);
            if chunk.len() == CHUNK && failed.is_none() {
                failed = self.write_chunk(event, &mut chunk).err();
            } else if failed.is_some() {
                chunk.clear();
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        Ok(self.write_chunk(event, &mut chunk)?)
    }

    fn write_chunk(&mut self, event: EventId, chunk: &mut Vec<Entry>) -> Result<(), JournalError> {
        if chunk.is_empty() {
            return Ok(());
        }
        let last = chunk.last().map(|entry| entry.seq).unwrap_or_default();
        let entries: Arc<[Entry]> = std::mem::take(chunk).into();
        self.storage.project(&[Committed { event, entries }])?;
        self.checkpoints.insert(event, last);
        Ok(())
    }

    /// Writes what is handed over until the front is closed.
    pub(crate) fn run(mut self, queue: &Receiver<Committed>, front: &ProjectorFront) {
        loop {
            let mut batch = match queue.recv_timeout(LOOK) {
                Ok(first) => {
                    if queue.is_empty() {
                        std::thread::sleep(GATHER);
                    }
                    vec![first]
                }
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => break,
            };
            batch.extend(queue.try_iter().take(TOGETHER));
            let all = batch.is_empty() && front.passed_over.swap(false, Ordering::AcqRel);
            if all {
                let events: Vec<EventId> = self.checkpoints.keys().copied().collect();
                events.into_iter().for_each(|event| self.catch_up_surely(event));
            }
            if !batch.is_empty() {
                self.write_surely(&batch);
            }
            if queue.is_empty() && !front.passed_over.load(Ordering::Acquire) {
                front.written.store(front.handed.load(Ordering::Relaxed), Ordering::Relaxed);
            } else {
                let written: usize = batch.iter().map(|committed| committed.entries.len()).sum();
                front.written.fetch_add(written as u64, Ordering::Relaxed);
            }
        }
    }

    /// Writes a batch, however often it takes; gaps are filled from the journal first.
    fn write_surely(&mut self, batch: &[Committed]) {
        for committed in batch {
            let known = self.checkpoints.get(&committed.event).copied();
            let first = committed.entries.first().map(|entry| entry.seq).unwrap_or_default();
            if known.is_none_or(|known| first > known.next()) {
                self.catch_up_surely(committed.event);
            } else {
                // Entries of one event follow each other within the batch.
                let last = committed.entries.last().map(|entry| entry.seq).unwrap_or_default();
                let newest = self.checkpoints.entry(committed.event).or_default();
                *newest = last.max(*newest);
            }
        }
        retried("projections", || self.storage.project(batch).map_err(ProjectError::from));
    }

    fn catch_up_surely(&mut self, event: EventId) {
        retried("projections", || match self.catch_up(event) {
            Err(ProjectError::Read(ReadError::Damaged { event, seq, reason })) => {
                tracing::error!(%event, seq = seq.0, reason, "the journal is damaged; its projection ends here");
                Ok(())
            }
            other => other,
        });
    }
}

/// Why tables were not brought up to date.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ProjectError {
    #[error(transparent)]
    Write(#[from] JournalError),
    #[error(transparent)]
    Read(#[from] ReadError),
}

fn retried(what: &str, mut attempt: impl FnMut() -> Result<(), ProjectError>) {
    let mut pause = JOURNAL_RETRY_MIN;
    while let Err(error) = attempt() {
        tracing::warn!(%error, what, "not written behind; tried again");
        std::thread::sleep(pause);
        pause = (pause * 2).min(JOURNAL_RETRY_MAX);
    }
}

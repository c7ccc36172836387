//! The projector: writes committed facts to tables and outbox, behind the answer. What it was not handed in time it
//! reads from the journal, so it may fall behind but never skip. How far is bounded: from there on commits wait for the
//! tables, a transaction of theirs at a time. Tables that do not move, because their storage fails or hangs, must never
//! hold up the journal: then the lag grows, and is seen.

use crate::id::{EventId, Seq};
use crate::limits::{
    FACTS_PER_PROJECTION, JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN, PROJECTION_HANDOFF, PROJECTION_TIMEOUT,
};
use crate::ports::{Committed, JournalError, JournalReader, Projection, ReadError};
use crate::sale::Entry;
use crate::shared_map::SharedMap;
use crate::throttle::Throttle;
use crate::trace::{Origin, Scope};
use crossbeam::channel::{Receiver, RecvTimeoutError, Sender, bounded};
use hashbrown::{HashMap, HashSet};
use parking_lot::{Condvar, Mutex};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// How long the first of several hand-offs waits for others: a transaction for each would cost more than all of them.
const GATHER: Duration = Duration::from_millis(5);
/// How often a projector of which something was skipped looks at the journal though nothing is handed to it.
const LOOK: Duration = Duration::from_millis(200);
/// While the journal is busy the projector takes a twentieth of a core: tables come behind answers. Pauses are no longer than this,
/// so that what is handed over meanwhile finds room.
const THROTTLE: Throttle = Throttle::in_proportion(19, Duration::from_secs(1));
/// Facts in one piece of what is read from the journal.
const FACTS_PER_PIECE: usize = 256;
/// How long a commit waits for the next move of the tables before it looks whether they move at all, and whether the engine
/// stops.
const MOVE_WAIT: Duration = Duration::from_millis(100);

/// The front of the projector, for the journal's thread.
pub(crate) struct ProjectorFront {
    queue: Mutex<Option<Sender<Committed>>>,
    /// Events of which something was not enqueued because the queue was full.
    skipped: Mutex<HashSet<EventId>>,
    closed: AtomicBool,
    handed: AtomicU64,
    progress: Arc<Progress>,
    /// See [`crate::limits::PROJECTION_LAG_MAX`].
    lag_max: u64,
}

/// What the projector has done, as its front sees it.
struct Progress {
    /// Facts whose transaction is committed.
    written: AtomicU64,
    since: Instant,
    /// How far each event is written.
    checkpoints: SharedMap<EventId, Seq>,
    /// When a transaction began after nothing was to be done, or was committed, in milliseconds; 0 once one has failed.
    moved: AtomicU64,
    /// For those who wait for the tables to move.
    moves: watch::Sender<()>,
    /// Where a commit waits that is held back.
    held_back: Mutex<()>,
    moved_on: Condvar,
}

impl Progress {
    fn new() -> Self {
        Self {
            written: AtomicU64::new(0),
            since: Instant::now(),
            checkpoints: SharedMap::default(),
            moved: AtomicU64::new(0),
            moves: watch::Sender::new(()),
            held_back: Mutex::new(()),
            moved_on: Condvar::new(),
        }
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn checkpoint(&self, event: EventId) -> Option<Seq> {
        self.checkpoints.get(&event).map(|seq| *seq)
    }

    fn moves(&self) {
        self.moved.store(self.millis().max(1), Ordering::Relaxed);
        self.moves.send_replace(());
        self.let_go();
    }

    fn fails(&self) {
        self.moved.store(0, Ordering::Relaxed);
        self.let_go();
    }

    /// A commit that is held back looks again. Under its lock, so that it does not begin to wait in between.
    fn let_go(&self) {
        drop(self.held_back.lock());
        self.moved_on.notify_all();
    }

    fn has_moved_lately(&self) -> bool {
        let moved = self.moved.load(Ordering::Relaxed);
        moved > 0 && u128::from(self.millis().saturating_sub(moved)) < PROJECTION_TIMEOUT.as_millis()
    }
}

impl ProjectorFront {
    pub(crate) fn new(lag_max: u64) -> (Self, Receiver<Committed>) {
        let (queue, receiver) = bounded(PROJECTION_HANDOFF);
        let queue = Mutex::new(Some(queue));
        let (skipped, closed) = (Mutex::default(), AtomicBool::new(false));
        let (handed, progress) = (AtomicU64::new(0), Arc::new(Progress::new()));
        (Self { queue, skipped, closed, handed, progress, lag_max }, receiver)
    }

    /// Enqueues committed facts; when the projector is behind, it will read them from the journal.
    pub(crate) fn enqueue(&self, committed: Committed) {
        let queue = self.queue.lock();
        self.handed.fetch_add(committed.entries.len() as u64, Ordering::Relaxed);
        if let Some(queue) = &*queue
            && let Err(refused) = queue.try_send(committed)
        {
            self.skipped.lock().insert(refused.into_inner().event);
        }
    }

    /// Changes whenever the tables may have moved.
    pub(crate) fn moves(&self) -> watch::Receiver<()> {
        self.progress.moves.subscribe()
    }

    /// Committed facts that are not written yet.
    pub(crate) fn lag(&self) -> u64 {
        self.handed.load(Ordering::Relaxed).saturating_sub(self.progress.written.load(Ordering::Relaxed))
    }

    /// Whether the tables have the event up to there.
    pub(crate) fn has_written(&self, event: EventId, seq: Seq) -> bool {
        self.progress.checkpoint(event).is_some_and(|written| written >= seq)
    }

    /// Whether the projector may rest: others are pressed, tables are not too far behind, and the end is not near.
    pub(crate) fn may_rest(&self, journal_is_busy: bool) -> bool {
        journal_is_busy && self.lag() < self.lag_max && self.queue.lock().is_some()
    }

    /// For the journal's thread, before it commits so many facts: while the tables are as far behind as they may be, and
    /// move, it waits. Tables that are further behind, as after an outage of theirs, write two facts for each that is
    /// committed meanwhile: they come nearer, and the sale goes on. Nothing is being committed, so nothing counts as
    /// hanging; callers wait longer, or are shed.
    pub(crate) fn throttle(&self, facts: usize, is_stopping: impl Fn() -> bool) {
        let enough = self.lag().saturating_sub(2 * facts as u64);
        let is_too_much = |lag| lag >= self.lag_max && lag > enough;
        if !is_too_much(self.lag()) {
            return;
        }
        let mut waiting = self.progress.held_back.lock();
        while is_too_much(self.lag()) && self.progress.has_moved_lately() && !is_stopping() {
            self.progress.moved_on.wait_for(&mut waiting, MOVE_WAIT);
        }
    }

    /// When nothing is left to do the lag is none, whatever was counted: facts behind a damaged row are never written.
    fn is_done(&self, queue: &Receiver<Committed>) {
        if !queue.is_empty() {
            return;
        }
        // Under its lock nothing is handed over.
        let _locked = self.queue.lock();
        if queue.is_empty() && self.skipped.lock().is_empty() {
            self.progress.written.store(self.handed.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    /// Nothing more is handed over: the projector writes what it has and ends. What cannot be written then, because the
    /// storage does not answer, is caught up at the next start.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
        self.queue.lock().take();
    }

    /// Tries until it is done, or the engine stops.
    fn retried(&self, what: &str, mut attempt: impl FnMut() -> Result<(), ProjectError>) {
        let mut pause = JOURNAL_RETRY_MIN;
        while let Err(error) = attempt() {
            tracing::warn!(%error, what, "not written behind; tried again");
            self.progress.fails();
            if self.closed.load(Ordering::Acquire) {
                return;
            }
            std::thread::sleep(pause);
            pause = (pause * 2).min(JOURNAL_RETRY_MAX);
        }
    }
}

/// The projector's thread.
pub(crate) struct Projector {
    pub(crate) storage: Box<dyn Projection>,
    pub(crate) reader: Arc<dyn JournalReader>,
    progress: Arc<Progress>,
    may_rest: Box<dyn Fn() -> bool + Send>,
}

impl Projector {
    /// A projector that rests between two transactions while `may_rest` says so.
    pub(crate) fn new(
        storage: Box<dyn Projection>,
        reader: Arc<dyn JournalReader>,
        front: &ProjectorFront,
        may_rest: Box<dyn Fn() -> bool + Send>,
    ) -> Self {
        Self { storage, reader, progress: Arc::clone(&front.progress), may_rest }
    }

    /// How far the tables have each event.
    pub(crate) fn checkpoints(&mut self) -> Result<HashMap<EventId, Seq>, JournalError> {
        Ok(self.storage.checkpoints()?.into_iter().collect())
    }

    /// Before serving: brings an event's tables to where its journal ends. Tables that are further know of facts that
    /// the journal does not have, because an older copy of it was put back: they are rebuilt. `known` is how far they have it.
    pub(crate) fn bring_to(&mut self, event: EventId, end: Seq, known: Option<Seq>) -> Result<(), ProjectError> {
        let known = known.unwrap_or_default();
        if known > end {
            tracing::error!(
                event_id = %event, journal = end.0, tables = known.0,
                "the journal is older than the tables: what they know beyond it is lost, and they are rebuilt"
            );
            self.storage.forget(event)?;
        } else if known == end {
            self.stand_at(event, known);
            return Ok(());
        }
        self.catch_up(event)
    }

    /// Brings an event's tables up to date from the journal.
    pub(crate) fn catch_up(&mut self, event: EventId) -> Result<(), ProjectError> {
        let after = self.storage.checkpoint(event)?;
        self.stand_at(event, after);
        let (mut chunk, mut failed) = (Chunk::new(event), None);
        let reader = Arc::clone(&self.reader);
        reader.replay(event, after, &mut |entry| {
            if failed.is_some() {
                return;
            }
            chunk.push(entry);
            if chunk.facts == FACTS_PER_PROJECTION {
                failed = self.write_chunk(&mut chunk).err();
            }
        })?;
        if let Some(error) = failed {
            return Err(error.into());
        }
        Ok(self.write_chunk(&mut chunk)?)
    }

    fn write_chunk(&mut self, chunk: &mut Chunk) -> Result<(), JournalError> {
        let committed = chunk.take();
        let Some(last) = committed.last().and_then(|piece| piece.entries.last()) else { return Ok(()) };
        let began = Instant::now();
        self.storage.project(&committed)?;
        self.stand_at(chunk.event, last.seq);
        self.progress.moves();
        THROTTLE.sleep(began.elapsed(), &self.may_rest);
        Ok(())
    }

    /// The tables have the event up to there; more than was known, or less, when a storage that crashed has lost some.
    fn stand_at(&mut self, event: EventId, seq: Seq) {
        let written = &self.progress.written;
        match self.progress.checkpoints.insert(event, seq) {
            Some(known) if known <= seq => {
                written.fetch_add(seq.0 - known.0, Ordering::Relaxed);
            }
            Some(known) => {
                let lost = known.0 - seq.0;
                let _ =
                    written.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(lost)));
            }
            None => {}
        }
    }

    /// Writes what is handed over until the front is closed.
    pub(crate) fn run(mut self, queue: &Receiver<Committed>, front: &ProjectorFront) {
        // What was caught up before was never handed over.
        self.progress.written.store(0, Ordering::Relaxed);
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
            let mut facts = batch.first().map_or(0, |first| first.entries.len());
            batch.extend(std::iter::from_fn(|| {
                let more = (facts < FACTS_PER_PROJECTION).then(|| queue.try_recv().ok()).flatten()?;
                facts += more.entries.len();
                Some(more)
            }));
            let skipped = if batch.is_empty() { std::mem::take(&mut *front.skipped.lock()) } else { HashSet::new() };
            if !skipped.is_empty() || !batch.is_empty() {
                self.progress.moves();
            }
            skipped.into_iter().for_each(|event| self.catch_up_surely(event, front));
            if !batch.is_empty() {
                self.write_surely(&batch, front);
            }
            front.is_done(queue);
        }
    }

    /// Writes a batch, however often it takes; gaps are filled from the journal first.
    fn write_surely(&mut self, batch: &[Committed], front: &ProjectorFront) {
        // Where each event will stand: entries of one event follow each other within the batch.
        let mut ends: HashMap<EventId, Seq> = HashMap::new();
        for Committed { event, entries } in batch {
            let (Some(first), Some(last)) = (entries.first(), entries.last()) else { continue };
            let known = ends.get(event).copied().or_else(|| self.progress.checkpoint(*event));
            if known.is_none_or(|known| first.seq > known.next()) {
                self.catch_up_surely(*event, front);
            }
            let end = ends.entry(*event).or_default();
            *end = last.seq.max(*end);
        }
        let began = Instant::now();
        let mut failed = false;
        let _scope = scope(batch).enter();
        let facts: usize = batch.iter().map(|piece| piece.entries.len()).sum();
        let span = tracing::debug_span!("projection", facts).entered();
        front.retried("projections", || {
            if std::mem::replace(&mut failed, true) {
                // A storage that has crashed may have lost what it did not sync: what is there is asked again.
                for committed in batch {
                    self.catch_up_undamaged(committed.event)?;
                }
            }
            self.storage.project(batch)?;
            for (event, end) in &ends {
                let known = self.progress.checkpoint(*event).unwrap_or_default();
                self.stand_at(*event, known.max(*end));
            }
            self.progress.moves();
            Ok(())
        });
        drop(span);
        THROTTLE.sleep(began.elapsed(), &self.may_rest);
    }

    fn catch_up_surely(&mut self, event: EventId, front: &ProjectorFront) {
        let _scope = Scope::new(Origin::NONE, event).enter();
        let _span = tracing::debug_span!("projection", from_journal = true).entered();
        front.retried("projections", || self.catch_up_undamaged(event));
    }

    fn catch_up_undamaged(&mut self, event: EventId) -> Result<(), ProjectError> {
        match self.catch_up(event) {
            Err(ProjectError::Read(ReadError::Damaged { event, seq, reason })) => {
                tracing::error!(event_id = %event, seq = seq.0, reason, "the journal is damaged; its projection ends here");
                Ok(())
            }
            other => other,
        }
    }
}

/// What lines about a batch belong to: its event if it is of one, and its trace if all of its facts are of one.
fn scope(batch: &[Committed]) -> Scope {
    let first = batch.first();
    let event = first.map(|first| first.event).filter(|event| batch.iter().all(|piece| piece.event == *event));
    let trace = first.and_then(|first| first.entries.first()).and_then(|entry| entry.trace);
    let is_of_one = batch.iter().flat_map(|piece| piece.entries.iter()).all(|entry| entry.trace == trace);
    Scope { origin: Origin::of_trace(trace.filter(|_| is_of_one)), event }
}

/// Facts of one event that were read from the journal, in pieces as small as what is handed over: memory for thousands in one
/// piece is given back to the operating system after each, and cleared by it for the next.
struct Chunk {
    event: EventId,
    pieces: Vec<Committed>,
    piece: Vec<Entry>,
    facts: usize,
}

impl Chunk {
    fn new(event: EventId) -> Self {
        Self { event, pieces: Vec::new(), piece: Vec::new(), facts: 0 }
    }

    fn push(&mut self, entry: Entry) {
        self.piece.push(entry);
        self.facts += 1;
        if self.piece.len() == FACTS_PER_PIECE {
            self.end_piece();
        }
    }

    fn end_piece(&mut self) {
        if !self.piece.is_empty() {
            self.pieces.push(Committed { event: self.event, entries: self.piece.drain(..).collect() });
        }
    }

    /// What there is; it is empty afterwards.
    fn take(&mut self) -> Vec<Committed> {
        self.end_piece();
        self.facts = 0;
        std::mem::take(&mut self.pieces)
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

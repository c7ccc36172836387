//! The journal's thread and its open batch, shared by every event of a storage. While one batch is being committed
//! the next one fills, so the load itself sets its size. After a commit, in this order: committed facts into the
//! read views, answers, effects, hand-offs. Must never decide.

use crate::id::{Epoch, EventId};
use crate::limits::{
    BUSY_ANSWERS, FACTS_PER_BATCH, FACTS_PER_LOCK, JOURNAL_BUSY_FOR, JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN,
    TURNS_DURING_COMMIT,
};
use crate::ports::{Appended, Committed, Journal, JournalEntry, JournalError};
use crate::runtime::effects::Effect;
use crate::runtime::engine::Core;
use crate::runtime::handle::{Answer, ReplyTo, SaleHandle};
use crate::runtime::health::JournalHealth;
use crate::runtime::probe::Work;
use crate::runtime::telling::Told;
use crate::sale::{Entry, Fact, PaymentView, Sale};
use crate::time::Timestamp;
use crossbeam::queue::SegQueue;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// How long the turns of sales that were woken at the end of a commit are waited for.
const GATHER: Duration = Duration::from_millis(1);

/// The facts of one turn of an actor, and who waits for their commit.
pub(crate) struct Turn {
    pub(crate) sale: Arc<SaleHandle>,
    /// The epoch of the actor. What it decided rests on facts of that epoch, also where it decided no new ones.
    pub(crate) epoch: Epoch,
    pub(crate) rows: Vec<JournalEntry>,
    /// Where rows may be parted: each is the end of a decision.
    cuts: Vec<usize>,
    pub(crate) answers: Vec<(ReplyTo, Answer)>,
    pub(crate) settled: Vec<(oneshot::Sender<PaymentView>, PaymentView)>,
}

impl Turn {
    /// A turn in which nothing has been decided yet.
    pub(crate) fn of(sale: &Arc<SaleHandle>, epoch: Epoch) -> Self {
        Self {
            sale: Arc::clone(sale),
            epoch,
            rows: Vec::new(),
            cuts: Vec::new(),
            answers: Vec::new(),
            settled: Vec::new(),
        }
    }

    /// The last row is the last of a decision, whose facts nobody may see half of.
    pub(crate) fn decision_ends(&mut self) {
        if self.rows.len() >= self.cuts.last().unwrap_or(&0) + FACTS_PER_LOCK {
            self.cuts.push(self.rows.len());
        }
    }

    /// Whether its epoch still owns the event.
    fn is_current(&self) -> bool {
        self.sale.is_owned_by(self.epoch)
    }
}

/// Something that the journal's thread does between batches.
enum Errand {
    RaiseEpoch(EventId, mpsc::SyncSender<Result<Epoch, JournalError>>),
    Stop,
}

#[derive(Default)]
struct Open {
    turns: VecDeque<Turn>,
    /// Sales that were woken at the end of a commit and have not had their turn since.
    expected: usize,
    /// Turns that were taken out.
    taken: u64,
    /// Each with the number of turns that were handed in before it, and are committed before it is run.
    errands: VecDeque<(u64, Errand)>,
    /// The thread has ended: nobody takes anything out any more.
    closed: bool,
}

impl Open {
    fn order(&mut self, errand: Errand) {
        self.errands.push_back((self.taken + self.turns.len() as u64, errand));
    }
}

/// The front of the journal: where turns are handed in.
pub(crate) struct JournalFront {
    open: Mutex<Open>,
    filled: Condvar,
    /// Whether a batch is being committed, how many turns may still be taken meanwhile, and the sales whose turn waits
    /// for the end of it.
    committing: AtomicBool,
    turns_meanwhile: AtomicU32,
    after_commit: SegQueue<Arc<SaleHandle>>,
    /// When the running commit began, in microseconds; 0 when none is running.
    committing_since: AtomicI64,
    /// Until when it counts as busy, in microseconds.
    busy_until: AtomicI64,
    failing: AtomicBool,
    fatal: AtomicBool,
    /// See [`crate::limits::COMMIT_STALL`].
    stall: Duration,
    pub(crate) facts: AtomicU64,
    pub(crate) batches: AtomicU64,
}

impl JournalFront {
    pub(crate) fn new(stall: Duration) -> Self {
        Self {
            open: Mutex::new(Open::default()),
            stall,
            filled: Condvar::new(),
            committing: AtomicBool::new(false),
            turns_meanwhile: AtomicU32::new(0),
            after_commit: SegQueue::new(),
            committing_since: AtomicI64::new(0),
            busy_until: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            fatal: AtomicBool::new(false),
            facts: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// A sale has had its turn: hands it to the open batch, if anything came of it.
    pub(crate) fn turn_ends(&self, sale: &SaleHandle, turn: Option<Turn>) {
        let mut open = self.open.lock();
        open.turns.extend(turn);
        if sale.is_expected.swap(false, Ordering::Relaxed) {
            open.expected = open.expected.saturating_sub(1);
        }
        drop(open);
        self.filled.notify_one();
    }

    /// Takes it upon itself to wake the sale when the running commit is done; false when none is running. What is
    /// decided meanwhile could not be committed before, so one turn takes all who have come, instead of one for each.
    /// A few turns are taken at once all the same: a refusal need not wait, also when a commit hangs.
    pub(crate) fn wakes_later(&self, sale: &Arc<SaleHandle>) -> bool {
        if !self.committing.load(Ordering::SeqCst) {
            return false;
        }
        let left = self.turns_meanwhile.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1));
        if left.is_ok() {
            return false;
        }
        self.after_commit.push(Arc::clone(sale));
        // The commit may have ended in between, and its thread have looked before the sale was there.
        if !self.committing.load(Ordering::SeqCst) {
            self.wake_waiting();
        }
        true
    }

    fn commit_begins(&self) {
        self.turns_meanwhile.store(TURNS_DURING_COMMIT, Ordering::Relaxed);
        self.committing.store(true, Ordering::SeqCst);
    }

    fn commit_ends(&self) {
        self.committing.store(false, Ordering::SeqCst);
        self.wake_waiting();
    }

    fn wake_waiting(&self) {
        while let Some(sale) = self.after_commit.pop() {
            let mut open = self.open.lock();
            if !sale.is_expected.swap(true, Ordering::Relaxed) {
                open.expected += 1;
            }
            drop(open);
            sale.wake();
        }
    }

    /// Whether something that writes may be decided: no failed batch, and none without an answer for too long.
    pub(crate) fn is_writable(&self, now: Timestamp) -> bool {
        if self.failing.load(Ordering::Acquire) {
            return false;
        }
        match self.committing_since.load(Ordering::Acquire) {
            0 => true,
            since => now.since(Timestamp(since)) < self.stall,
        }
    }

    /// Whether many are being answered, so that what is written behind should step back.
    pub(crate) fn is_busy(&self, now: Timestamp) -> bool {
        now.0 < self.busy_until.load(Ordering::Relaxed)
    }

    /// Nothing is committed any more.
    pub(crate) fn ends_fatally(&self) {
        self.failing.store(true, Ordering::Release);
        self.fatal.store(true, Ordering::Release);
    }

    pub(crate) fn health(&self, now: Timestamp) -> JournalHealth {
        if self.fatal.load(Ordering::Acquire) {
            JournalHealth::Fatal
        } else if self.is_writable(now) {
            JournalHealth::Good
        } else {
            JournalHealth::Failing
        }
    }

    /// Raises an event's epoch through the journal's own queue: what was handed in before is in. Blocks.
    pub(crate) fn raise_epoch(&self, event: EventId) -> Result<Epoch, JournalError> {
        let (send, receive) = mpsc::sync_channel(1);
        let mut open = self.open.lock();
        if !open.closed {
            open.order(Errand::RaiseEpoch(event, send));
        }
        drop(open);
        self.filled.notify_one();
        receive.recv().unwrap_or_else(|_| Err(JournalError::NotDone("the journal has stopped".into())))
    }

    /// The thread has ended, whether in order or not: who waits for something from it is answered that it was not done.
    fn close(&self) {
        let mut open = self.open.lock();
        open.closed = true;
        let left = (std::mem::take(&mut open.turns), std::mem::take(&mut open.errands));
        drop(open);
        drop(left);
    }

    /// Ends the journal's thread after everything handed in is committed.
    pub(crate) fn stop(&self) {
        self.open.lock().order(Errand::Stop);
        self.filled.notify_one();
    }

    /// Turns for the next batch and errands after it; blocks until there is something. What a few have handed in during the last
    /// commit is not committed before those who waited for its end have had their turn: commits of a few would alternate with
    /// commits of many.
    fn take(&self) -> (Vec<Turn>, Vec<Errand>) {
        let mut open = self.open.lock();
        while open.turns.is_empty() && open.errands.is_empty() {
            self.filled.wait(&mut open);
        }
        let until = Instant::now() + GATHER;
        while open.expected > 0 {
            if self.filled.wait_until(&mut open, until).timed_out() {
                open.expected = 0;
            }
        }
        let (mut turns, mut rows) = (Vec::new(), 0);
        while let Some(turn) = open.turns.front() {
            if rows > 0 && rows + turn.rows.len() > FACTS_PER_BATCH {
                break;
            }
            rows += turn.rows.len();
            turns.extend(open.turns.pop_front());
            open.taken += 1;
        }
        let mut errands = Vec::new();
        while open.errands.front().is_some_and(|(after, _)| *after <= open.taken) {
            errands.extend(open.errands.pop_front().map(|(_, errand)| errand));
        }
        (turns, errands)
    }
}

thread_local! {
    static IS_JOURNALS: Cell<bool> = const { Cell::new(false) };
}

/// Whether this is a thread that commits batches.
pub(crate) fn is_journals_thread() -> bool {
    IS_JOURNALS.get()
}

/// Closes the front when the thread ends, by a panic too.
struct Closing(Arc<Core>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.journal.close();
    }
}

/// The journal's thread: owns the storage's writing side.
pub(crate) struct JournalThread {
    pub(crate) core: Arc<Core>,
    pub(crate) storage: Box<dyn Journal>,
}

impl JournalThread {
    pub(crate) fn run(mut self) {
        IS_JOURNALS.set(true);
        let _closing = Closing(Arc::clone(&self.core));
        loop {
            let (turns, errands) = self.core.journal.take();
            if !turns.is_empty() && !self.commit(turns) {
                return;
            }
            for errand in errands {
                match errand {
                    Errand::RaiseEpoch(event, reply) => {
                        let _ = reply.send(self.storage.raise_epoch(event));
                    }
                    Errand::Stop => return,
                }
            }
        }
    }

    /// Commits a batch and tells everyone; false when the storage is lost.
    fn commit(&mut self, turns: Vec<Turn>) -> bool {
        let core = Arc::clone(&self.core);
        let before = core.probe.begin(Work::Journal);
        // A turn of an epoch that was fenced rests on facts that are in no journal: nobody is answered by it.
        let (mut turns, stale): (Vec<Turn>, Vec<Turn>) = turns.into_iter().partition(Turn::is_current);
        stale.into_iter().for_each(|turn| self.core.drop_stale(turn));
        if turns.is_empty() {
            return true;
        }
        let total: usize = turns.iter().map(|turn| turn.rows.len()).sum();
        let mut ends = Vec::with_capacity(turns.len());
        let mut rows: Vec<JournalEntry> =
            turns.first_mut().map(|first| std::mem::take(&mut first.rows)).unwrap_or_default();
        rows.reserve_exact(total - rows.len());
        ends.push(rows.len());
        for turn in turns.iter_mut().skip(1) {
            rows.append(&mut turn.rows);
            ends.push(rows.len());
        }
        drop(before);
        let Some(appended) = self.append(&rows) else { return false };
        let _after = core.probe.begin(Work::Journal);
        let front = &self.core.journal;
        front.commit_ends();
        if turns.iter().map(|turn| turn.answers.len()).sum::<usize>() >= BUSY_ANSWERS {
            front.busy_until.store((self.core.clock.now() + JOURNAL_BUSY_FOR).0, Ordering::Relaxed);
        }
        front.facts.fetch_add(rows.len() as u64, Ordering::Relaxed);
        front.batches.fetch_add(u64::from(!rows.is_empty()), Ordering::Relaxed);
        let mut rows = rows.into_iter();
        let (mut told, mut committed, mut start) = (Told::default(), Vec::with_capacity(turns.len()), 0);
        for (turn, end) in turns.into_iter().zip(ends) {
            let entries: Arc<[Entry]> = rows.by_ref().take(end - start).map(|row| row.entry).collect();
            start = end;
            if appended.fenced.contains(&turn.sale.event()) {
                if turn.is_current() {
                    self.core.fenced(&turn.sale);
                }
                self.core.drop_stale(turn);
                continue;
            }
            self.show(&turn, &entries, &mut told.effects);
            told.answers.extend(turn.answers);
            told.settled.extend(turn.settled);
            if !entries.is_empty() {
                committed.push((turn.sale, entries));
            }
        }
        told.tell(&self.core);
        let is_busy = self.core.journal.is_busy(self.core.clock.now());
        for (sale, entries) in committed {
            self.core.snapshots.consider(&sale, &entries, is_busy);
            if let Some(copier) = self.core.copier.get() {
                copier.hand_over(sale.event(), &entries);
            }
            self.core.projector.hand_over(Committed { event: sale.event(), entries });
        }
        true
    }

    /// Appends until the batch is in; `None` when the storage is lost, and then nobody may be answered.
    fn append(&mut self, rows: &[JournalEntry]) -> Option<Appended> {
        if rows.is_empty() {
            return Some(Appended::default());
        }
        let core = Arc::clone(&self.core);
        let front = &core.journal;
        core.projector.hold_back(rows.len(), || core.is_stopping());
        let mut pause = JOURNAL_RETRY_MIN;
        front.committing_since.store(core.clock.now().0.max(1), Ordering::Release);
        let appended = loop {
            front.commit_begins();
            match self.storage.append(rows) {
                Ok(appended) => break appended,
                Err(JournalError::Fatal(reason)) => {
                    front.commit_ends();
                    core.fatal(&reason);
                    return None;
                }
                Err(error @ (JournalError::NotDone(_) | JournalError::Unknown(_) | JournalError::Elsewhere)) => {
                    front.commit_ends();
                    if !front.failing.swap(true, Ordering::AcqRel) {
                        tracing::error!(%error, facts = rows.len(), "the journal failed; the batch is tried again");
                    }
                    // Everybody has been answered by then, who waited, that it is unknown.
                    if core.is_stopping() {
                        return None;
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(JOURNAL_RETRY_MAX);
                }
            }
        };
        front.committing_since.store(0, Ordering::Release);
        if front.failing.swap(false, Ordering::AcqRel) {
            tracing::info!(facts = rows.len(), "the journal takes facts again");
            core.journal_recovered();
        }
        Some(appended)
    }

    /// Brings committed facts into the read view, and notes what they order.
    /// Readers come in between where there are many, but not between the facts of one decision.
    fn show(&self, turn: &Turn, entries: &[Entry], effects: &mut Vec<Effect>) {
        let (core, sale, mut shown) = (&self.core, &turn.sale, 0);
        for end in turn.cuts.iter().copied().chain([entries.len()]) {
            let piece = entries.get(shown..end).unwrap_or_default();
            shown = end;
            if piece.is_empty() {
                continue;
            }
            let (seq, spent) = sale.show(|view| {
                for entry in piece {
                    view.apply(entry);
                    core.effects.ordered_by(sale, view, &entry.fact, effects);
                }
                for entry in piece {
                    follow_place(core, sale, view, &entry.fact);
                }
                (view.seq(), view.take_spent())
            });
            if let Some(spent) = spent {
                core.discard(spent);
            }
            sale.view_moved(seq);
        }
        core.unmatched.note(sale.event(), entries);
        sale.places.publish(entries);
    }
}

/// Keeps the claim of one event per buyer, and who was heard, in step with a committed fact.
fn follow_place(core: &Core, sale: &SaleHandle, view: &Sale, fact: &Fact) {
    let gone = match fact {
        Fact::Entered { buyer, .. } | Fact::Restored { buyer, .. } => {
            core.claims.confirm(*buyer, sale.event());
            return;
        }
        Fact::Left { buyer } | Fact::SlotExpired { buyer } | Fact::PlaceExpired { buyer } => Some(*buyer),
        Fact::ReservationConfirmed { reservation, .. } => view.reservation(*reservation).map(|view| view.buyer),
        Fact::Admitted { buyer, .. } => {
            sale.unhear(*buyer);
            return;
        }
        Fact::Configured { .. }
        | Fact::SeatsHeld { .. }
        | Fact::HoldChanged { .. }
        | Fact::HoldReleased { .. }
        | Fact::HoldExpired { .. }
        | Fact::PaymentOpened { .. }
        | Fact::PaymentStarted { .. }
        | Fact::PaymentUnknown { .. }
        | Fact::PaymentCaptured { .. }
        | Fact::PaymentFailed { .. }
        | Fact::ReservationCancelled { .. }
        | Fact::RefundOrdered { .. }
        | Fact::PaymentRefunded { .. }
        | Fact::OutcomeUnmatched { .. }
        | Fact::OrdinalsReserved { .. }
        | Fact::DrawCommitted { .. }
        | Fact::CohortFrozen { .. }
        | Fact::Drawn { .. }
        | Fact::Steered { .. }
        | Fact::SaleCancelled { .. }
        | Fact::SaleRetired { .. }
        | Fact::KeyRemembered { .. } => None,
    };
    if let Some(buyer) = gone.filter(|buyer| !view.is_in_room(*buyer)) {
        if core.claims.release(buyer, sale.event()) {
            sale.release_everywhere(buyer);
        }
        sale.unhear(buyer);
    }
}

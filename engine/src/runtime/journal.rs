//! The journal's thread and its open batch, shared by every event of a storage. While one batch is being committed
//! the next one fills, so the load itself sets its size. After a commit, in this order: committed facts into the
//! read views, answers, effects, hand-offs. Must never decide.

use crate::id::{Epoch, EventId};
use crate::limits::{
    BUSY_ANSWERS, FACTS_PER_BATCH, FACTS_PER_LOCK, JOURNAL_BUSY_FOR, JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN,
    TURNS_DURING_COMMIT,
};
use crate::ports::{Appended, Committed, Journal, JournalEntry, JournalError};
use crate::runtime::answer::{Answer, ReplyTo};
use crate::runtime::claims::follow_place;
use crate::runtime::effects::Effect;
use crate::runtime::engine::Core;
use crate::runtime::handle::SaleHandle;
use crate::runtime::health::JournalHealth;
use crate::runtime::origins::{Origins, commit_scope};
use crate::runtime::probe::Work;
use crate::runtime::telling::Told;
use crate::runtime::wake::{BegunTurn, CommitGate, Inbox};
use crate::sale::{Entry, PaymentView};
use crate::time::Timestamp;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long the turns of sales that were woken at the end of a commit are waited for.
const GATHER: Duration = Duration::from_millis(1);

/// The facts of one turn of an actor, and who waits for their commit.
pub(crate) struct Turn {
    pub(crate) sale: Arc<SaleHandle>,
    /// The epoch of the actor. What it decided rests on facts of that epoch, also where it decided no new ones.
    pub(crate) epoch: Epoch,
    pub(crate) rows: Vec<JournalEntry>,
    /// Where the rows came from, but for those that passing time has made.
    pub(crate) origins: Origins,
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
            origins: Origins::default(),
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
pub(crate) enum Errand {
    RaiseEpoch(EventId, mpsc::SyncSender<Result<Epoch, JournalError>>),
    Stop,
}

#[derive(Default)]
pub(crate) struct Open {
    turns: VecDeque<Turn>,
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

    fn has_something(&self) -> bool {
        !self.turns.is_empty() || !self.errands.is_empty()
    }

    /// The turns of the next batch, and what comes after them.
    fn cut(&mut self) -> (Vec<Turn>, Vec<Errand>) {
        let (mut turns, mut rows) = (Vec::new(), 0);
        while let Some(turn) = self.turns.front() {
            if rows > 0 && rows + turn.rows.len() > FACTS_PER_BATCH {
                break;
            }
            rows += turn.rows.len();
            turns.extend(self.turns.pop_front());
            self.taken += 1;
        }
        let mut errands = Vec::new();
        while self.errands.front().is_some_and(|(after, _)| *after <= self.taken) {
            errands.extend(self.errands.pop_front().map(|(_, errand)| errand));
        }
        (turns, errands)
    }
}

/// The front of the journal: where turns are handed in.
pub(crate) struct JournalFront {
    pub(crate) gate: Arc<CommitGate<SaleHandle>>,
    inbox: Inbox<SaleHandle, Open>,
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
        let gate = Arc::new(CommitGate::new(TURNS_DURING_COMMIT));
        Self {
            inbox: Inbox::new(Arc::clone(&gate), Open::default()),
            gate,
            stall,
            committing_since: AtomicI64::new(0),
            busy_until: AtomicI64::new(0),
            failing: AtomicBool::new(false),
            fatal: AtomicBool::new(false),
            facts: AtomicU64::new(0),
            batches: AtomicU64::new(0),
        }
    }

    /// A sale has had its turn: hands it to the open batch, if anything came of it.
    pub(crate) fn turn_ends(&self, begun: BegunTurn, turn: Option<Turn>) {
        self.inbox.turn_ends(begun, |open| open.turns.extend(turn));
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
        let raised = self.order_epoch(event).recv();
        raised.unwrap_or_else(|_| Err(JournalError::NotDone("the journal has stopped".into())))
    }

    /// The same, for whoever waits elsewhere. Nothing comes when the journal has stopped.
    pub(crate) fn order_epoch(&self, event: EventId) -> mpsc::Receiver<Result<Epoch, JournalError>> {
        let (send, receive) = mpsc::sync_channel(1);
        self.inbox.change(|open| {
            if !open.closed {
                open.order(Errand::RaiseEpoch(event, send));
            }
        });
        receive
    }

    /// The thread has ended, whether in order or not: who waits for something from it is answered that it was not done.
    fn close(&self) {
        let left = self.inbox.with(|open| {
            open.closed = true;
            (std::mem::take(&mut open.turns), std::mem::take(&mut open.errands))
        });
        // Not under the lock: callers are answered.
        drop(left);
    }

    /// Ends the journal's thread after everything handed in is committed.
    pub(crate) fn stop(&self) {
        self.inbox.change(|open| open.order(Errand::Stop));
    }

    /// Turns for the next batch and errands after it; blocks until there is something.
    fn take(&self) -> (Vec<Turn>, Vec<Errand>) {
        self.inbox.take(GATHER, Open::has_something, Open::cut)
    }

    /// The same without waiting; nothing when there is nothing.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn take_now(&self) -> (Vec<Turn>, Vec<Errand>) {
        self.inbox.with(Open::cut)
    }

    /// Whether there is something to take.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn has_something(&self) -> bool {
        self.inbox.with(|open| open.has_something())
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

/// Turns that are committed together, and their facts in one piece.
pub(crate) struct Batch {
    turns: Vec<Turn>,
    rows: Vec<JournalEntry>,
    /// Where the rows of each turn end.
    ends: Vec<usize>,
}

impl Batch {
    fn of(mut turns: Vec<Turn>) -> Self {
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
        Self { turns, rows, ends }
    }

    /// Whether there is something to append.
    pub(crate) fn has_rows(&self) -> bool {
        !self.rows.is_empty()
    }
}

/// What became of an attempt to append a batch.
pub(crate) enum Attempt {
    Done(Appended),
    /// Not done, or unknown: it is tried again.
    Failed,
    /// The storage is lost: nobody may be answered.
    Lost,
}

/// A batch whose facts are in the read views: what is left to be done for it.
pub(crate) struct Published {
    replies: Told,
    committed: Vec<(Arc<SaleHandle>, Arc<[Entry]>)>,
}

/// The journal's thread: owns the storage's writing side. What it does with a batch is cut into steps, so that a test which
/// drives them by hand can do other things in between.
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
            if let Some(batch) = self.gather(turns)
                && !self.commit(batch)
            {
                return;
            }
            for errand in errands {
                if !self.carry_out(errand) {
                    return;
                }
            }
        }
    }

    /// Something between batches; false when it is the end.
    pub(crate) fn carry_out(&mut self, errand: Errand) -> bool {
        match errand {
            Errand::RaiseEpoch(event, reply) => {
                let _ = reply.send(self.storage.raise_epoch(event));
                true
            }
            Errand::Stop => false,
        }
    }

    /// Commits a batch, however often it takes, and answers; false when the storage is lost, or the engine stops while it fails.
    fn commit(&mut self, batch: Batch) -> bool {
        if batch.has_rows() {
            self.core.projector.hold_back(batch.rows.len(), || self.core.is_stopping());
        }
        let mut pause = JOURNAL_RETRY_MIN;
        loop {
            self.begin_attempt(&batch);
            match self.attempt(&batch) {
                Attempt::Done(appended) => {
                    let published = self.publish(batch, &appended);
                    self.deliver(published);
                    return true;
                }
                Attempt::Lost => return false,
                Attempt::Failed => {
                    // Everybody has been answered by then, who waited, that it is unknown.
                    if self.core.is_stopping() {
                        return false;
                    }
                    std::thread::sleep(pause);
                    pause = (pause * 2).min(JOURNAL_RETRY_MAX);
                }
            }
        }
    }

    /// The batch of these turns. A turn of an epoch that was fenced rests on facts that are in no journal: nobody is answered
    /// by it.
    pub(crate) fn gather(&self, turns: Vec<Turn>) -> Option<Batch> {
        let _measured = self.core.probe.begin(Work::Journal);
        let (turns, stale): (Vec<Turn>, Vec<Turn>) = turns.into_iter().partition(Turn::is_current);
        stale.into_iter().for_each(|turn| self.core.drop_stale(turn));
        (!turns.is_empty()).then(|| Batch::of(turns))
    }

    /// From now on the batch counts as being committed.
    pub(crate) fn begin_attempt(&self, batch: &Batch) {
        let front = &self.core.journal;
        if batch.has_rows() {
            let now = self.core.clock.now().0.max(1);
            // The silence counts from the first attempt.
            let _ = front.committing_since.compare_exchange(0, now, Ordering::AcqRel, Ordering::Relaxed);
            front.inbox.commit_begins();
        }
    }

    /// Tries once to append the batch.
    pub(crate) fn attempt(&mut self, batch: &Batch) -> Attempt {
        if !batch.has_rows() {
            return Attempt::Done(Appended::default());
        }
        let (core, facts) = (&self.core, batch.rows.len());
        let _scope = commit_scope(&batch.turns).enter();
        let _span = tracing::debug_span!("commit", facts, turns = batch.turns.len()).entered();
        let front = &core.journal;
        match self.storage.append(&batch.rows) {
            Ok(appended) => {
                front.committing_since.store(0, Ordering::Release);
                if front.failing.swap(false, Ordering::AcqRel) {
                    tracing::info!(facts, "the journal takes facts again");
                    core.journal_recovered();
                }
                Attempt::Done(appended)
            }
            Err(JournalError::Fatal(reason)) => {
                front.inbox.commit_ends();
                core.fatal(&reason);
                Attempt::Lost
            }
            Err(error @ (JournalError::NotDone(_) | JournalError::Unknown(_) | JournalError::Elsewhere)) => {
                front.inbox.commit_ends();
                if !front.failing.swap(true, Ordering::AcqRel) {
                    tracing::error!(%error, facts, "the journal failed; the batch is tried again");
                }
                Attempt::Failed
            }
        }
    }

    /// Brings a committed batch into the read views; what was fenced is dropped.
    pub(crate) fn publish(&self, batch: Batch, appended: &Appended) -> Published {
        let _measured = self.core.probe.begin(Work::Journal);
        let Batch { turns, rows, ends } = batch;
        let front = &self.core.journal;
        front.inbox.commit_ends();
        if turns.iter().map(|turn| turn.answers.len()).sum::<usize>() >= BUSY_ANSWERS {
            front.busy_until.store((self.core.clock.now() + JOURNAL_BUSY_FOR).0, Ordering::Relaxed);
        }
        front.facts.fetch_add(rows.len() as u64, Ordering::Relaxed);
        front.batches.fetch_add(u64::from(!rows.is_empty()), Ordering::Relaxed);
        let mut rows = rows.into_iter();
        let (mut replies, mut committed, mut start) = (Told::default(), Vec::with_capacity(turns.len()), 0);
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
            self.show(&turn, &entries, &mut replies.effects);
            replies.answers.extend(turn.answers);
            replies.settled.extend(turn.settled);
            if !entries.is_empty() {
                committed.push((turn.sale, entries));
            }
        }
        Published { replies, committed }
    }

    /// Answers, and hands effects and facts on.
    pub(crate) fn deliver(&self, published: Published) {
        let _measured = self.core.probe.begin(Work::Journal);
        let Published { replies, committed } = published;
        replies.tell(&self.core);
        let is_busy = self.core.journal.is_busy(self.core.clock.now());
        for (sale, entries) in committed {
            self.core.snapshots.consider(&sale, &entries, is_busy);
            if let Some(copier) = self.core.copier.get() {
                copier.hand_over(sale.event(), &entries);
            }
            self.core.projector.hand_over(Committed { event: sale.event(), entries });
        }
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
                    core.effects.ordered_by(sale, view, (entry, &turn.origins), effects);
                }
                for entry in piece {
                    follow_place(core, sale, view, &entry.fact);
                }
                (view.seq(), view.take_replaced_line())
            });
            if let Some(spent) = spent {
                core.discard(spent);
            }
            sale.view_moved(seq);
        }
        core.unmatched.note(sale.event(), entries, &turn.origins);
        sale.places.publish(entries);
    }
}

//! The journal's thread: takes what turns have decided, commits it however often that takes, and hands it on to be published and
//! delivered, in this order. What it does with a batch is cut into steps, so that a test which drives them by hand can do other
//! things in between. Must never decide, nor hand on what is not durable.

use crate::limits::{BUSY_ANSWERS, JOURNAL_BUSY_FOR, JOURNAL_RETRY_MAX, JOURNAL_RETRY_MIN};
use crate::ports::{Appended, Journal, JournalError};
use crate::runtime::answer::commits_on_this_thread;
use crate::runtime::batch::{ControlMessage, OpenBatch};
use crate::runtime::decisions::{Batch, Decisions};
use crate::runtime::deliver::{Deliverer, Published};
use crate::runtime::handle::Shared;
use crate::runtime::probe::Work;
use crate::runtime::projector::ProjectorFront;
use crate::runtime::publish::Publisher;
use crate::runtime::supervision::OnFatal;
use std::sync::Arc;

/// What became of an attempt to append a batch.
pub(crate) enum Attempt {
    Done(Appended),
    /// Not done, or unknown: it is tried again.
    Failed,
    /// The storage is lost: nobody may be answered.
    Lost,
}

/// Owns the storage's writing side.
pub(crate) struct JournalThread {
    pub(crate) storage: Box<dyn Journal>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) projector: Arc<ProjectorFront>,
    pub(crate) publisher: Publisher,
    pub(crate) deliverer: Deliverer,
    pub(crate) on_fatal: OnFatal,
}

/// Closes the open batch when the thread ends, by a panic too.
struct Closing(Arc<OpenBatch>);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl JournalThread {
    pub(crate) fn run(mut self) {
        commits_on_this_thread();
        let _closing = Closing(Arc::clone(&self.batch));
        loop {
            let (turns, messages) = self.batch.take();
            if let Some(batch) = self.gather(turns)
                && !self.commit(batch)
            {
                return;
            }
            for message in messages {
                if !self.carry_out(message) {
                    return;
                }
            }
        }
    }

    /// Something between batches; false when it is the end.
    pub(crate) fn carry_out(&mut self, message: ControlMessage) -> bool {
        match message {
            ControlMessage::RaiseEpoch(event, reply) => {
                let _ = reply.send(self.storage.raise_epoch(event));
                true
            }
            ControlMessage::Stop => false,
        }
    }

    /// Commits a batch, however often it takes, and answers; false when the storage is lost, or the engine stops while it fails.
    fn commit(&mut self, batch: Batch) -> bool {
        if batch.has_rows() {
            self.projector.throttle(batch.rows.len(), || self.shared.is_stopping());
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
                    if self.shared.is_stopping() {
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
    pub(crate) fn gather(&self, turns: Vec<Decisions>) -> Option<Batch> {
        let _measured = self.shared.probe.begin(Work::Journal);
        let (turns, stale): (Vec<_>, Vec<_>) = turns.into_iter().partition(Decisions::is_current);
        stale.into_iter().for_each(|turn| self.publisher.drop_stale(turn));
        (!turns.is_empty()).then(|| Batch::of(turns))
    }

    /// From now on the batch counts as being committed.
    pub(crate) fn begin_attempt(&self, batch: &Batch) {
        if batch.has_rows() {
            self.shared.journal.attempt_begins(self.shared.clock.now());
            self.batch.commit_begins();
        }
    }

    /// Tries once to append the batch.
    pub(crate) fn attempt(&mut self, batch: &Batch) -> Attempt {
        if !batch.has_rows() {
            return Attempt::Done(Appended::default());
        }
        let facts = batch.rows.len();
        let _scope = batch.scope().enter();
        let _span = tracing::debug_span!("commit", facts, turns = batch.turns.len()).entered();
        match self.storage.append(&batch.rows) {
            Ok(appended) => {
                if self.shared.journal.attempt_succeeds() {
                    tracing::info!(facts, "the journal takes facts again");
                    // Every actor looks at its lanes.
                    self.shared.routes.each(|sale| sale.wake());
                }
                Attempt::Done(appended)
            }
            Err(JournalError::Fatal(reason)) => {
                self.batch.commit_ends();
                (self.on_fatal)(&reason);
                Attempt::Lost
            }
            Err(error @ (JournalError::NotDone(_) | JournalError::Unknown(_) | JournalError::Elsewhere)) => {
                self.batch.commit_ends();
                if !self.shared.journal.attempt_fails() {
                    tracing::error!(%error, facts, "the journal failed; the batch is tried again");
                }
                Attempt::Failed
            }
        }
    }

    /// The commit has ended: those who were put off have their turn while the batch is brought into the read views.
    pub(crate) fn publish(&self, batch: Batch, appended: &Appended) -> Published {
        let _measured = self.shared.probe.begin(Work::Journal);
        self.batch.commit_ends();
        if batch.answers() >= BUSY_ANSWERS {
            self.shared.journal.is_busy_until(self.shared.clock.now() + JOURNAL_BUSY_FOR);
        }
        self.shared.journal.count(batch.rows.len());
        self.publisher.publish(batch, appended)
    }

    /// Answers, and hands effects and facts on.
    pub(crate) fn deliver(&self, published: Published) {
        let _measured = self.shared.probe.begin(Work::Journal);
        self.deliverer.deliver(published);
    }
}

//! The open batch, shared by every event of a storage: turns are handed in while the batch before is being committed, so the load
//! itself sets its size. Control messages to the journal's thread take their place between turns. Must never part a turn.

use crate::id::{Epoch, EventId};
use crate::limits::FACTS_PER_BATCH;
use crate::ports::JournalError;
use crate::runtime::decisions::Decisions;
use crate::runtime::handle::SaleHandle;
use crate::runtime::wake::{BegunTurn, CommitGate, Inbox};
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

/// How long the turns of sales that were woken at the end of a commit are waited for.
const GATHER: Duration = Duration::from_millis(1);

/// What the journal's thread does on request between batches.
pub(crate) enum ControlMessage {
    RaiseEpoch(EventId, mpsc::SyncSender<Result<Epoch, JournalError>>),
    Stop,
}

#[derive(Default)]
struct Open {
    turns: VecDeque<Decisions>,
    /// Turns that were taken out.
    taken: u64,
    /// Each with the number of turns that were handed in before it, and are committed before it is carried out.
    messages: VecDeque<(u64, ControlMessage)>,
    /// The thread has ended: nobody takes anything out any more.
    closed: bool,
}

impl Open {
    fn order(&mut self, message: ControlMessage) {
        self.messages.push_back((self.taken + self.turns.len() as u64, message));
    }

    fn has_something(&self) -> bool {
        !self.turns.is_empty() || !self.messages.is_empty()
    }

    /// The turns of the next batch, and what comes after them.
    fn cut(&mut self) -> (Vec<Decisions>, Vec<ControlMessage>) {
        let (mut turns, mut rows) = (Vec::new(), 0);
        while let Some(turn) = self.turns.front() {
            if rows > 0 && rows + turn.rows.len() > FACTS_PER_BATCH {
                break;
            }
            rows += turn.rows.len();
            turns.extend(self.turns.pop_front());
            self.taken += 1;
        }
        let mut messages = Vec::new();
        while self.messages.front().is_some_and(|(after, _)| *after <= self.taken) {
            messages.extend(self.messages.pop_front().map(|(_, message)| message));
        }
        (turns, messages)
    }
}

/// See the module.
pub(crate) struct OpenBatch {
    inbox: Inbox<SaleHandle, Open>,
}

impl OpenBatch {
    pub(crate) fn new(gate: Arc<CommitGate<SaleHandle>>) -> Self {
        Self { inbox: Inbox::new(gate, Open::default()) }
    }

    /// A sale has had its turn: hands in what it has decided, if anything.
    pub(crate) fn turn_ends(&self, begun: BegunTurn, turn: Option<Decisions>) {
        self.inbox.turn_ends(begun, |open| open.turns.extend(turn));
    }

    /// Raises an event's epoch through the journal's own queue: what was handed in before is in. Blocks.
    pub(crate) fn raise_epoch(&self, event: EventId) -> Result<Epoch, JournalError> {
        let raised = self.order_epoch(event).recv();
        raised.unwrap_or_else(|_| Err(JournalError::NotDone("the journal has stopped".into())))
    }

    /// The same, for a caller that waits elsewhere. Nothing comes when the journal has stopped.
    pub(crate) fn order_epoch(&self, event: EventId) -> mpsc::Receiver<Result<Epoch, JournalError>> {
        let (send, receive) = mpsc::sync_channel(1);
        self.inbox.change(|open| {
            if !open.closed {
                open.order(ControlMessage::RaiseEpoch(event, send));
            }
        });
        receive
    }

    /// Ends the journal's thread after everything handed in is committed.
    pub(crate) fn stop(&self) {
        self.inbox.change(|open| open.order(ControlMessage::Stop));
    }

    /// The thread has ended, whether in order or not: who waits for something from it is answered that it was not done.
    pub(crate) fn close(&self) {
        let left = self.inbox.with(|open| {
            open.closed = true;
            (std::mem::take(&mut open.turns), std::mem::take(&mut open.messages))
        });
        // Not under the lock: callers are answered.
        drop(left);
    }

    /// Turns for the next batch and messages after it; blocks until there is something.
    pub(crate) fn take(&self) -> (Vec<Decisions>, Vec<ControlMessage>) {
        self.inbox.take(GATHER, Open::has_something, Open::cut)
    }

    /// The same without waiting; nothing when there is nothing.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn take_now(&self) -> (Vec<Decisions>, Vec<ControlMessage>) {
        self.inbox.with(Open::cut)
    }

    /// Whether there is something to take.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn has_something(&self) -> bool {
        self.inbox.with(|open| open.has_something())
    }

    /// A commit begins. For the journal's thread alone, as is the end.
    pub(crate) fn commit_begins(&self) {
        self.inbox.commit_begins();
    }

    /// It has ended, whatever became of it.
    pub(crate) fn commit_ends(&self) {
        self.inbox.commit_ends();
    }
}

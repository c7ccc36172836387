//! The lanes in which commands wait for their turn. Those that are rarely used, and all of an event at which nobody buys, take
//! next to nothing: there may be ten thousand idle events. Must never drop a command that was put in.

use crate::runtime::answer::{Refusal, ReplyTo};
use crate::sale::Command;
use crate::time::Timestamp;
use crate::trace::Origin;
use crossbeam::queue::SegQueue;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::OnceLock;
use tokio::sync::OwnedSemaphorePermit;

/// A command on its way to the actor.
pub(crate) struct Envelope {
    pub(crate) command: Command,
    pub(crate) reply: Option<ReplyTo>,
    /// Past this it is refused unprocessed.
    pub(crate) deadline: Timestamp,
    /// The request that it came of.
    pub(crate) origin: Origin,
    /// The slot of the effect whose outcome this is, free for another effect when the actor has taken the command.
    pub(crate) slot: Option<OwnedSemaphorePermit>,
}

/// Commands waiting for their turn: outcomes and operators have their own lanes, which are never shed. Outcomes are
/// bounded by the slots of effects ([`crate::limits::CHARGES_AT_ONCE`], [`crate::limits::RECONCILED_AT_ONCE`]) that they
/// bring with them.
#[derive(Default)]
pub(crate) struct Lanes {
    pub(crate) outcomes: QuietLane,
    pub(crate) operators: QuietLane,
    pub(crate) buyers: BusyLane,
}

impl Lanes {
    /// Answers everybody in the lanes of buyers and operators.
    pub(crate) fn refuse_all(&self, refusal: &Refusal) {
        while let Some(envelope) = self.buyers.pop().or_else(|| self.operators.pop()) {
            if let Some(reply) = envelope.reply {
                reply.send(Err(refusal.clone()));
            }
        }
    }
}

/// A lane for a command now and then: what it took is given back when it is empty.
#[derive(Default)]
pub(crate) struct QuietLane(Mutex<VecDeque<Envelope>>);

impl QuietLane {
    pub(crate) fn push(&self, envelope: Envelope) {
        self.0.lock().push_back(envelope);
    }

    pub(crate) fn pop(&self) -> Option<Envelope> {
        let mut waiting = self.0.lock();
        let first = waiting.pop_front();
        if waiting.is_empty() {
            *waiting = VecDeque::new();
        }
        first
    }

    /// Drops everything that waits.
    pub(crate) fn clear(&self) {
        *self.0.lock() = VecDeque::new();
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().is_empty()
    }
}

/// A lane for everybody at once, without a lock. Made by its first command: it keeps room for dozens, also when it is empty
/// again.
#[derive(Default)]
pub(crate) struct BusyLane(OnceLock<Box<SegQueue<Envelope>>>);

impl BusyLane {
    pub(crate) fn push(&self, envelope: Envelope) {
        self.0.get_or_init(Box::default).push(envelope);
    }

    pub(crate) fn pop(&self) -> Option<Envelope> {
        self.0.get()?.pop()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.get().is_none_or(|waiting| waiting.is_empty())
    }
}

//! Where facts came from, for what follows from them: the origins of a turn's commands, and the traces of money whose outcome
//! is open. Must never decide anything.

use crate::id::PaymentId;
use crate::sale::{Entry, Fact};
use crate::trace::{Origin, TraceContext};
use hashbrown::HashMap;
use smallvec::SmallVec;

/// The origins of the commands of which a turn has facts. Room for one without memory of its own: under little load a turn has one.
#[derive(Default)]
pub(crate) struct Origins(SmallVec<[Origin; 1]>);

impl Origins {
    /// A command has facts in the turn.
    pub(crate) fn note(&mut self, origin: &Origin) {
        if origin.trace.is_some() {
            self.0.push(origin.clone());
        }
    }

    /// That of the only command; none where there are several.
    pub(crate) fn only(&self) -> Origin {
        match self.0.as_slice() {
            [origin] => origin.clone(),
            _ => Origin::NONE,
        }
    }

    /// Where a fact of the turn came from.
    pub(crate) fn of(&self, entry: &Entry) -> Origin {
        if entry.trace.is_none() {
            return Origin::NONE;
        }
        let known = self.0.iter().find(|origin| origin.trace == entry.trace);
        known.cloned().unwrap_or_else(|| Origin::of_trace(entry.trace))
    }
}

/// The traces of charges and refunds that were read from a journal without their outcome.
#[derive(Default)]
pub(crate) struct MoneyTraces(HashMap<PaymentId, TraceContext>);

impl MoneyTraces {
    /// Reads one more fact.
    pub(crate) fn follow(&mut self, entry: &Entry) {
        if let Fact::PaymentCaptured { payment, .. }
        | Fact::PaymentFailed { payment, .. }
        | Fact::PaymentRefunded { payment } = &entry.fact
        {
            self.0.remove(payment);
        }
        if let Fact::PaymentStarted { payment, .. } | Fact::RefundOrdered { payment, .. } = &entry.fact
            && let Some(trace) = entry.trace
        {
            self.0.insert(*payment, trace);
        }
    }

    /// Where the charge or refund of that payment came from.
    pub(crate) fn of(&self, payment: PaymentId) -> Origin {
        Origin::of_trace(self.0.get(&payment).copied())
    }
}

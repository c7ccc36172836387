//! Outcomes of charges and refunds that no payment accounts for, once they are committed: logged as important and counted,
//! because somebody's money is where it does not belong. Must never name a buyer.

use crate::id::EventId;
use crate::runtime::origins::Origins;
use crate::sale::{Entry, Fact, MoneyMoved};
use crate::trace::Scope;
use std::sync::atomic::{AtomicU64, Ordering};

/// How many there were since the start.
#[derive(Default)]
pub(crate) struct UnmatchedOutcomes(AtomicU64);

impl UnmatchedOutcomes {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Looks for them among committed facts.
    pub(crate) fn note(&self, event: EventId, entries: &[Entry], origins: &Origins) {
        for entry in entries {
            let Fact::OutcomeUnmatched { payment, moved } = &entry.fact else { continue };
            self.0.fetch_add(1, Ordering::Relaxed);
            let (outcome, amount) = match moved {
                MoneyMoved::Captured { amount } => ("captured", Some(amount.0)),
                MoneyMoved::Refunded => ("refunded", None),
            };
            let seq = entry.seq.0;
            let _scope = Scope::new(origins.of(entry), event).enter();
            tracing::error!(%payment, outcome, amount, seq, "the provider has moved money that no payment accounts for");
        }
    }
}

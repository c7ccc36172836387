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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, PaymentId, Seq};
    use crate::time::Timestamp;
    use crate::trace::{Origin, RequestId, TraceContext};
    use std::sync::{Arc, Mutex};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};
    use uuid::Uuid;

    /// Keeps what each line belongs to.
    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<Scope>>>);

    impl Subscriber for Kept {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }

        fn event(&self, _: &Event<'_>) {
            if let Ok(mut kept) = self.0.lock() {
                kept.push(Scope::current());
            }
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    #[test]
    fn money_without_a_payment_is_logged_under_the_request_that_ordered_it() {
        let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let origin = Origin { request: Some(RequestId::parse("confirming")), trace };
        let mut origins = Origins::default();
        origins.note(&Origin { request: Some(RequestId::parse("another")), trace: None });
        origins.note(&origin);
        let fact = Fact::OutcomeUnmatched { payment: PaymentId(Uuid::from_u128(1)), moved: MoneyMoved::Refunded };
        let entry = Entry { seq: Seq(1), epoch: Epoch(1), at: Timestamp(0), trace, fact };
        let (event, kept, outcomes) = (EventId(Uuid::from_u128(2)), Kept::default(), UnmatchedOutcomes::default());
        tracing::subscriber::with_default(kept.clone(), || outcomes.note(event, &[entry], &origins));
        assert_eq!(outcomes.count(), 1);
        assert_eq!(kept.0.lock().map(|kept| kept.clone()).ok(), Some(vec![Scope::new(origin, event)]));
    }
}

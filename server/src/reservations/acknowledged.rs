//! A buyer reads their own acknowledged change: the last facts that each buyer was told of, so that lists, which come
//! from tables written behind, can wait for them. Must never wait longer than [`LIST_WAIT`].

use crate::app::App;
use onsale_engine::id::{BuyerId, EventId, Seq};
use onsale_engine::ports::records::Records;
use onsale_engine::shared_map::SharedMap;
use smallvec::SmallVec;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How long a list waits for the tables at the most.
pub const LIST_WAIT: Duration = Duration::from_millis(250);
/// How often it looks meanwhile; the checkpoint is in memory.
const LOOK_EVERY: Duration = Duration::from_millis(4);
/// Buyers remembered, about; beyond them those are let go whose facts are in the tables.
const BUYERS: usize = 200_000;
/// Notes after which it is looked whether there are too many; looking takes every part of the map.
const LOOK_THROUGH_EVERY: u64 = 1 << 14;
/// Events remembered for one buyer, the latest.
const EVENTS_EACH: usize = 4;

/// Who was told of what.
#[derive(Default)]
pub struct Acknowledged {
    told: SharedMap<BuyerId, SmallVec<[(EventId, Seq); 1]>>,
    notes: AtomicU64,
    /// How many may be remembered before it is looked through again.
    patience: AtomicUsize,
}

impl Acknowledged {
    /// Notes that a buyer was told of a fact.
    pub fn note(&self, buyer: BuyerId, event: EventId, seq: Seq, records: &dyn Records) {
        let notes = self.notes.fetch_add(1, Ordering::Relaxed) + 1;
        if notes.is_multiple_of(LOOK_THROUGH_EVERY)
            && self.told.len() >= self.patience.load(Ordering::Relaxed).max(BUYERS)
        {
            self.told.retain(|_, facts| facts.iter().any(|(event, seq)| records.checkpoint(*event) < *seq));
            // While the tables are behind little is let go, and looking again soon would only cost time.
            self.patience.store(self.told.len() * 2, Ordering::Relaxed);
        }
        let mut facts = self.told.entry(buyer).or_default();
        match facts.iter_mut().find(|(known, _)| *known == event) {
            Some((_, last)) => *last = seq.max(*last),
            None => {
                if facts.len() >= EVENTS_EACH {
                    facts.remove(0);
                }
                facts.push((event, seq));
            }
        }
    }

    /// Waits until the tables have what the buyer was told of, or until [`LIST_WAIT`] is over.
    pub async fn wait(&self, buyer: BuyerId, app: &App) {
        let until = Instant::now() + LIST_WAIT;
        while !self.are_written(buyer, app.records.as_ref()) && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Whether the tables have it all; then it need not be remembered any more.
    fn are_written(&self, buyer: BuyerId, records: &dyn Records) -> bool {
        let written = |facts: &[(EventId, Seq)]| facts.iter().all(|(event, seq)| records.checkpoint(*event) >= *seq);
        let Some(all) = self.told.get(&buyer).map(|facts| written(&facts)) else { return true };
        if all {
            self.told.remove_if(&buyer, |_, facts| written(facts));
        }
        all
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{PaymentId, ReservationId};
    use onsale_engine::ports::catalogue::{Listed, Page};
    use onsale_engine::ports::records::ReservationRecord;
    use onsale_engine::ports::{Later, StoreError};
    use onsale_engine::sale::PaymentView;
    use uuid::Uuid;

    #[derive(Default)]
    struct Tables(AtomicU64);

    impl Records for Tables {
        fn checkpoint(&self, _: EventId) -> Seq {
            Seq(self.0.load(Ordering::Relaxed))
        }
        fn reservations(&self, _: BuyerId, _: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn reservation(&self, _: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn payments(&self, _: BuyerId, _: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
        fn payment(&self, _: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>> {
            Box::pin(async { Err(StoreError("unused".into())) })
        }
    }

    #[test]
    fn what_was_told_is_remembered_until_it_is_written() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        let (buyer, event) = (BuyerId(Uuid::nil()), EventId(Uuid::nil()));
        assert!(told.are_written(buyer, &tables));
        told.note(buyer, event, Seq(7), &tables);
        told.note(buyer, event, Seq(5), &tables);
        tables.0.store(6, Ordering::Relaxed);
        assert!(!told.are_written(buyer, &tables));
        tables.0.store(7, Ordering::Relaxed);
        assert!(told.are_written(buyer, &tables));
        assert!(told.told.is_empty());
    }

    #[test]
    fn what_is_remembered_has_a_bound() {
        let (tables, told) = (Tables::default(), Acknowledged::default());
        let buyer = BuyerId(Uuid::nil());
        for event in 0..10 {
            told.note(buyer, EventId(Uuid::from_u128(event)), Seq(1), &tables);
        }
        assert_eq!(told.told.get(&buyer).unwrap().len(), EVENTS_EACH);
    }
}

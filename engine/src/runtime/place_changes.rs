//! Whose places committed facts have changed, for those who push places to their buyers: they need not look at everybody to find
//! the few who were admitted. Published after the read view has moved, so that what is looked up then is at least as new. Must
//! never hold up the journal: without followers it costs one load, and what a follower does not take has a bound.

use crate::id::BuyerId;
use crate::sale::{Entry, Fact};
use parking_lot::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use tokio::sync::Notify;

/// Buyers that wait to be taken; beyond them everybody counts as changed. 1 MiB.
const PENDING: usize = 1 << 16;

/// What has changed since it was taken last.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ChangedPlaces {
    /// Buyers who were admitted, or whose place or slot is over.
    pub buyers: Vec<BuyerId>,
    /// Whether something has changed for everybody.
    pub everyone: bool,
}

/// A follower of one sale; dropping it ends that.
pub struct PlaceChanges {
    inbox: Arc<Inbox>,
}

#[derive(Default)]
struct Inbox {
    pending: Mutex<ChangedPlaces>,
    arrived: Notify,
}

impl PlaceChanges {
    /// Waits until there is something to take. Cancel safe.
    pub async fn arrived(&self) {
        self.inbox.arrived.notified().await;
    }

    /// What has changed since the last time.
    #[must_use]
    pub fn take(&self) -> ChangedPlaces {
        std::mem::take(&mut *self.inbox.pending.lock())
    }
}

/// The followers of one sale.
#[derive(Default)]
pub(crate) struct PlaceFeed {
    followers: Mutex<Vec<Weak<Inbox>>>,
    count: AtomicUsize,
}

impl PlaceFeed {
    pub(crate) fn follow(&self) -> PlaceChanges {
        let inbox = Arc::new(Inbox::default());
        let mut followers = self.followers.lock();
        followers.retain(|follower| follower.strong_count() > 0);
        followers.push(Arc::downgrade(&inbox));
        self.count.store(followers.len(), Ordering::Release);
        PlaceChanges { inbox }
    }

    /// These facts are committed and in the read view.
    pub(crate) fn publish(&self, entries: &[Entry]) {
        if self.count.load(Ordering::Acquire) == 0 {
            return;
        }
        let mut changed = ChangedPlaces::default();
        for entry in entries {
            changed.note(&entry.fact);
        }
        if changed != ChangedPlaces::default() {
            self.send(&changed);
        }
    }

    fn send(&self, changed: &ChangedPlaces) {
        let mut followers = self.followers.lock();
        followers.retain(|follower| {
            let Some(inbox) = follower.upgrade() else { return false };
            let mut pending = inbox.pending.lock();
            pending.everyone |= changed.everyone;
            pending.buyers.extend_from_slice(&changed.buyers);
            if pending.buyers.len() > PENDING {
                *pending = ChangedPlaces { buyers: Vec::new(), everyone: true };
            }
            drop(pending);
            inbox.arrived.notify_one();
            true
        });
        self.count.store(followers.len(), Ordering::Release);
    }
}

impl ChangedPlaces {
    fn note(&mut self, fact: &Fact) {
        if let Fact::Admitted { buyer, .. }
        | Fact::Left { buyer }
        | Fact::SlotExpired { buyer }
        | Fact::PlaceExpired { buyer } = fact
        {
            self.buyers.push(*buyer);
        }
        self.everyone |= matches!(
            fact,
            Fact::Configured { .. }
                | Fact::CohortFrozen { .. }
                | Fact::Drawn { .. }
                | Fact::Steered { .. }
                | Fact::SaleCancelled { .. }
                | Fact::SaleRetired { .. }
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Epoch, Seq};
    use crate::time::Timestamp;
    use uuid::Uuid;

    fn entry(buyer: u128) -> Entry {
        let fact = Fact::Left { buyer: BuyerId(Uuid::from_u128(buyer)) };
        Entry { seq: Seq(1), epoch: Epoch(1), at: Timestamp(0), trace: None, fact }
    }

    #[tokio::test]
    async fn a_follower_is_woken_with_the_buyers_that_changed_and_nobody_else_is_kept() {
        let feed = PlaceFeed::default();
        feed.publish(&[entry(1)]);
        let changes = feed.follow();
        assert_eq!(changes.take(), ChangedPlaces::default(), "what was before is not followed");
        feed.publish(&[entry(2), entry(3)]);
        feed.publish(&[entry(4)]);
        changes.arrived().await;
        let buyers = [2, 3, 4].map(|buyer| BuyerId(Uuid::from_u128(buyer)));
        assert_eq!(changes.take(), ChangedPlaces { buyers: buyers.to_vec(), everyone: false });
        drop(changes);
        feed.publish(&[entry(5)]);
        assert_eq!(feed.count.load(Ordering::Relaxed), 0, "a follower that has gone is forgotten");
    }

    #[test]
    fn what_nobody_takes_has_a_bound() {
        let feed = PlaceFeed::default();
        let changes = feed.follow();
        let entries: Vec<Entry> = (0..1000).map(entry).collect();
        for _ in 0..=PENDING / 1000 {
            feed.publish(&entries);
        }
        let taken = changes.take();
        assert!(taken.everyone && taken.buyers.len() <= PENDING, "{} buyers", taken.buyers.len());
    }
}

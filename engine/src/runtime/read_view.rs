//! The committed state of one sale: what readers see, and who follows as it moves. Written by the journal's thread alone, but for
//! what is worked out beside a sale and for a rebuild. Must never show a fact that is not committed.

use crate::id::Seq;
use crate::runtime::place_changes::{PlaceChanges, PlaceFeed};
use crate::runtime::probe::{Measured, Probe, Work};
use crate::runtime::sale_info::{PublishedInfo, SaleInfo};
use crate::sale::{Entry, Sale, SalePhase};
use parking_lot::{RwLock, RwLockReadGuard};
use std::ops::Deref;
use std::sync::{Arc, OnceLock};
use tokio::sync::watch;

/// See the module.
pub(crate) struct ReadView {
    sale: RwLock<Sale>,
    info: PublishedInfo,
    /// The position that followers were sent last, once there was a follower.
    committed: OnceLock<watch::Sender<Seq>>,
    places: PlaceFeed,
}

/// A read lock of the view.
pub(crate) struct Reading<'a> {
    sale: RwLockReadGuard<'a, Sale>,
    _measured: Measured<'a>,
}

impl Deref for Reading<'_> {
    type Target = Sale;

    fn deref(&self) -> &Sale {
        &self.sale
    }
}

impl ReadView {
    pub(crate) fn new(sale: Sale) -> Self {
        let info = PublishedInfo::of(&sale);
        Self { sale: RwLock::new(sale), info, committed: OnceLock::new(), places: PlaceFeed::default() }
    }

    /// Takes a short lock.
    pub(crate) fn read<'a>(&'a self, probe: &'a Probe) -> Reading<'a> {
        let sale = self.sale.read();
        Reading { sale, _measured: probe.begin(Work::Read) }
    }

    /// Changes the committed state, and what is published beside it.
    pub(crate) fn publish<T>(&self, probe: &Probe, change: impl FnOnce(&mut Sale) -> T) -> T {
        let mut sale = self.sale.write();
        let _measured = probe.begin(Work::Write);
        let result = change(&mut sale);
        self.info.update(&sale);
        result
    }

    /// What hardly ever changes, without the lock; none before the first fact.
    pub(crate) fn info(&self) -> Option<Arc<SaleInfo>> {
        self.info.read()
    }

    pub(crate) fn phase(&self) -> SalePhase {
        self.info.phase()
    }

    /// The position of the last committed fact, as it moves.
    pub(crate) fn follow(&self, probe: &Probe) -> watch::Receiver<Seq> {
        let committed = self.committed.get_or_init(|| watch::Sender::new(Seq(0)));
        // Before the sender was there nobody sent it anything.
        let seq = self.read(probe).seq();
        committed.send_if_modified(|sent| {
            let is_newer = *sent < seq;
            *sent = seq.max(*sent);
            is_newer
        });
        committed.subscribe()
    }

    /// The view has moved to `seq`.
    pub(crate) fn moved(&self, seq: Seq) {
        if let Some(committed) = self.committed.get() {
            committed.send_replace(seq);
        }
    }

    /// Follows whose places change from now on.
    pub(crate) fn follow_places(&self) -> PlaceChanges {
        self.places.follow()
    }

    /// These facts are committed and in the view.
    pub(crate) fn publish_places(&self, entries: &[Entry]) {
        self.places.publish(entries);
    }
}

//! When each waiting buyer was seen last: polled, or kept a stream open. Not journaled; absence counts from zero after each
//! start. Takes no memory before the first heartbeat.

use crate::id::BuyerId;
use crate::shared_map::SharedMap;
use crate::time::Timestamp;
use std::sync::OnceLock;

/// Parts of the map that are locked on their own.
const SHARDS: usize = 16;

/// See the module.
#[derive(Default)]
pub(crate) struct Heartbeats(OnceLock<SharedMap<BuyerId, Timestamp>>);

impl Heartbeats {
    pub(crate) fn note(&self, buyer: BuyerId, now: Timestamp) {
        let last_seen = || SharedMap::with_hasher_and_shard_amount(Default::default(), SHARDS);
        self.0.get_or_init(last_seen).insert(buyer, now);
    }

    pub(crate) fn last_seen(&self, buyer: BuyerId) -> Option<Timestamp> {
        self.0.get()?.get(&buyer).map(|at| *at)
    }

    pub(crate) fn forget(&self, buyer: BuyerId) {
        if let Some(last_seen) = self.0.get() {
            last_seen.remove(&buyer);
        }
    }
}

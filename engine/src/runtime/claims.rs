//! One event at a time for each buyer: who waits or shops where. Set before a place is asked for, made sure when its
//! fact is committed, and given back when the place is over.

use crate::id::{BuyerId, EventId};
use crate::shared_map::SharedMap;
use dashmap::mapref::entry::Entry;

/// Which event each buyer is in.
#[derive(Debug, Default)]
pub struct Claims(SharedMap<BuyerId, EventId>);

impl Claims {
    /// Claims the buyer for `event`; false if another event has them.
    pub fn claim(&self, buyer: BuyerId, event: EventId) -> bool {
        match self.0.entry(buyer) {
            Entry::Occupied(taken) => *taken.get() == event,
            Entry::Vacant(free) => {
                free.insert(event);
                true
            }
        }
    }

    /// A place of the buyer at `event` is committed.
    pub(crate) fn confirm(&self, buyer: BuyerId, event: EventId) {
        self.0.insert(buyer, event);
    }

    /// The buyer is not in `event` any more.
    pub fn release(&self, buyer: BuyerId, event: EventId) {
        self.0.remove_if(&buyer, |_, claimed| *claimed == event);
    }

    /// The event that the buyer is in.
    #[must_use]
    pub fn of(&self, buyer: BuyerId) -> Option<EventId> {
        self.0.get(&buyer).map(|event| *event)
    }
}

//! The listeners of one event: in numbered places that are checked in order, and found by their buyer. Must never keep one whose stream is
//! closed for longer than until its buyer is looked up.

use super::latest::LatestEvent;
use super::sent::Sent;
use crate::auth::Caller;
use crate::http::End;
use onsale_engine::id::BuyerId;
use onsale_engine::time::Timestamp;
use smallvec::SmallVec;
use std::collections::HashMap;
use std::sync::Arc;

/// One listener, as the hub sees it.
pub(super) struct Listener {
    pub latest: Arc<LatestEvent>,
    pub caller: Caller,
    pub sent: Sent,
    pub sent_at: Timestamp,
    /// When the last comment was sent.
    pub commented_at: Timestamp,
    /// When the access token was last checked.
    pub checked_at: Timestamp,
    /// When the buyer was last reported as present.
    pub seen_at: Timestamp,
}

/// A listener without a task must connect again, unless it was sent another end.
impl Drop for Listener {
    fn drop(&mut self) {
        self.latest.end(End::Renew);
    }
}

impl Listener {
    pub(super) fn buyer(&self) -> BuyerId {
        self.caller.buyer
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Listeners {
    places: Vec<Option<Listener>>,
    free: Vec<usize>,
    by_buyer: HashMap<BuyerId, SmallVec<[usize; 1]>>,
}

impl Listeners {
    /// Places, the free ones too.
    pub(super) fn places(&self) -> usize {
        self.places.len()
    }

    pub(super) fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    pub(super) fn add(&mut self, listener: Listener) {
        let buyer = listener.buyer();
        let at = match self.free.pop() {
            Some(at) => {
                self.places[at] = Some(listener);
                at
            }
            None => {
                self.places.push(Some(listener));
                self.places.len() - 1
            }
        };
        self.by_buyer.entry(buyer).or_default().push(at);
    }

    /// Where a buyer's listeners are.
    pub(super) fn of(&self, buyer: BuyerId) -> &[usize] {
        self.by_buyer.get(&buyer).map_or(&[], SmallVec::as_slice)
    }

    pub(super) fn at(&self, at: usize) -> Option<&Listener> {
        self.places.get(at)?.as_ref()
    }

    pub(super) fn at_mut(&mut self, at: usize) -> Option<&mut Listener> {
        self.places.get_mut(at)?.as_mut()
    }

    pub(super) fn remove(&mut self, at: usize) {
        let Some(listener) = self.places.get_mut(at).and_then(Option::take) else { return };
        self.free.push(at);
        let buyer = listener.buyer();
        if let Some(theirs) = self.by_buyer.get_mut(&buyer) {
            theirs.retain(|known| *known != at);
            if theirs.is_empty() {
                self.by_buyer.remove(&buyer);
            }
        }
    }

    /// Removes those of a buyer whose streams are closed.
    pub(super) fn remove_closed(&mut self, buyer: BuyerId) {
        let theirs: SmallVec<[usize; 4]> = self.of(buyer).iter().copied().collect();
        for at in theirs {
            if self.at(at).is_some_and(|listener| listener.latest.is_closed()) {
                self.remove(at);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::hub::tests::listener;

    #[test]
    fn listeners_are_found_by_their_buyer_and_their_places_are_used_again() {
        let mut listeners = Listeners::default();
        for buyer in [1, 2, 1] {
            listeners.add(listener(buyer));
        }
        let one = BuyerId(uuid::Uuid::from_u128(1));
        assert_eq!((listeners.of(one), listeners.len()), (&[0, 2][..], 3));
        if let Some(listener) = listeners.at(0) {
            listener.latest.close();
        }
        listeners.remove_closed(one);
        assert_eq!((listeners.of(one), listeners.len(), listeners.places()), (&[2][..], 2, 3));
        listeners.add(listener(3));
        assert_eq!((listeners.places(), listeners.at(0).map(|l| l.buyer().0.as_u128())), (3, Some(3)));
        listeners.remove(2);
        assert!(listeners.of(one).is_empty() && listeners.by_buyer.len() == 2);
    }
}

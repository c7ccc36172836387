//! The waiting room: places, slots and the admission window. Must never decide: it answers questions and applies
//! what was decided.

use crate::id::{BuyerId, Epoch, Ordinal, Slot};
use crate::limits::{EXPIRED_TOLD_FOR, ORDINAL_BLOCK};
use crate::sale::line::Line;
use crate::sale::snapshot::{PlaceRow, PlaceState, RoomSnapshot};
use crate::sale::window::Window;
use crate::time::Timestamp;
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};

/// Everyone's place at one sale.
#[derive(Default, Clone)]
pub(crate) struct Room {
    places: HashMap<BuyerId, PlaceRow>,
    pub(crate) line: Line,
    /// Slots by when they end, those of buyers with a pending hold left out.
    ends: BTreeMap<(Timestamp, Slot), BuyerId>,
    active: u64,
    expired: VecDeque<(Timestamp, BuyerId)>,
    next: u64,
    reserved: u64,
    block_epoch: Epoch,
    admitted_total: u64,
    pub(crate) window: Window,
    pub(crate) possible_since: Option<Timestamp>,
}

impl Room {
    pub(crate) fn place(&self, buyer: BuyerId) -> Option<&PlaceRow> {
        self.places.get(&buyer)
    }

    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    pub(crate) fn admitted_total(&self) -> u64 {
        self.admitted_total
    }

    /// The slot that ends next, of a buyer without a pending hold.
    pub(crate) fn next_end(&self) -> Option<(Timestamp, BuyerId)> {
        self.ends.first_key_value().map(|((at, _), buyer)| (*at, *buyer))
    }

    /// The block that must be reserved before an ordinal can be used in this epoch, if one must.
    pub(crate) fn missing_block(&self, epoch: Epoch) -> Option<(Ordinal, Ordinal)> {
        let usable = self.block_epoch == epoch && self.next != 0 && self.next <= self.reserved;
        (!usable).then(|| (Ordinal(self.reserved + 1), Ordinal(self.reserved + ORDINAL_BLOCK)))
    }

    /// The ordinal that the next to enter gets, a reserved block provided.
    pub(crate) fn next_ordinal(&self) -> Ordinal {
        Ordinal(self.next)
    }

    pub(crate) fn reserve(&mut self, first: Ordinal, last: Ordinal, epoch: Epoch) {
        (self.next, self.reserved, self.block_epoch) = (first.0, last.0, epoch);
    }

    pub(crate) fn enter(&mut self, buyer: BuyerId, ordinal: Ordinal, at: Timestamp) {
        self.remove(buyer);
        self.line.insert(ordinal, buyer);
        self.places.insert(buyer, PlaceRow { buyer, ordinal, state: PlaceState::Waiting });
        self.next = self.next.max(ordinal.0 + 1);
        self.forget_expired(at);
    }

    pub(crate) fn admit(&mut self, buyer: BuyerId, slot: Slot, due: Timestamp, expires_at: Timestamp, holds: bool) {
        let Some(place) = self.places.get_mut(&buyer) else { return };
        self.line.remove(place.ordinal);
        place.state = PlaceState::Active { slot, expires_at };
        self.active += 1;
        self.admitted_total = slot.0;
        self.window.push(due);
        if !holds {
            self.ends.insert((expires_at, slot), buyer);
        }
    }

    /// A buyer with a slot has, or no longer has, a pending hold: only the latter's slot can end by time.
    pub(crate) fn holds(&mut self, buyer: BuyerId, holds: bool) {
        let Some(PlaceRow { state: PlaceState::Active { slot, expires_at }, .. }) = self.places.get(&buyer) else {
            return;
        };
        if holds {
            self.ends.remove(&(*expires_at, *slot));
        } else {
            self.ends.insert((*expires_at, *slot), buyer);
        }
    }

    /// The place is gone.
    pub(crate) fn remove(&mut self, buyer: BuyerId) {
        let Some(place) = self.places.remove(&buyer) else { return };
        self.end(buyer, &place);
        if let PlaceState::Expired { at } = place.state {
            let first = self.expired.partition_point(|(when, _)| *when < at);
            let same = self.expired.iter().skip(first).take_while(|(when, _)| *when == at);
            if let Some(offset) = same.into_iter().position(|(_, who)| *who == buyer) {
                self.expired.remove(first + offset);
            }
        }
    }

    /// The place is over, and told of for a while.
    pub(crate) fn expire(&mut self, buyer: BuyerId, at: Timestamp) {
        let Some(place) = self.places.get(&buyer).copied() else { return };
        self.end(buyer, &place);
        self.places.insert(buyer, PlaceRow { state: PlaceState::Expired { at }, ..place });
        self.expired.push_back((at, buyer));
        self.forget_expired(at);
    }

    fn end(&mut self, _buyer: BuyerId, place: &PlaceRow) {
        match place.state {
            PlaceState::Waiting => self.line.remove(place.ordinal),
            PlaceState::Active { slot, expires_at } => {
                self.active -= 1;
                self.ends.remove(&(expires_at, slot));
            }
            PlaceState::Expired { .. } => {}
        }
    }

    fn forget_expired(&mut self, now: Timestamp) {
        while self.expired.front().is_some_and(|(at, _)| *at + EXPIRED_TOLD_FOR <= now) {
            if let Some((_, buyer)) = self.expired.pop_front() {
                self.places.remove(&buyer);
            }
        }
    }

    /// The first buyer with a slot, for the sweep after a cancellation.
    pub(crate) fn some_active(&self) -> Option<BuyerId> {
        self.ends.first_key_value().map(|(_, buyer)| *buyer)
    }

    pub(crate) fn snapshot(&self) -> RoomSnapshot {
        let mut places: Vec<PlaceRow> = self.line.iter().filter_map(|(_, buyer)| self.place(buyer)).copied().collect();
        let mut active: Vec<PlaceRow> =
            self.places.values().filter(|place| matches!(place.state, PlaceState::Active { .. })).copied().collect();
        active.sort_by_key(|place| match place.state {
            PlaceState::Active { slot, .. } => slot.0,
            PlaceState::Waiting | PlaceState::Expired { .. } => 0,
        });
        places.extend(active);
        places.extend(self.expired.iter().filter_map(|(_, buyer)| self.place(*buyer)));
        RoomSnapshot {
            next: self.next,
            reserved: self.reserved,
            block_epoch: self.block_epoch,
            admitted_total: self.admitted_total,
            window: self.window.rows(),
            possible_since: self.possible_since,
            places,
        }
    }

    /// From a snapshot; `holds` says who has a pending hold.
    pub(crate) fn from_snapshot(snapshot: RoomSnapshot, holds: impl Fn(BuyerId) -> bool) -> Self {
        let mut room = Self {
            next: snapshot.next,
            reserved: snapshot.reserved,
            block_epoch: snapshot.block_epoch,
            admitted_total: snapshot.admitted_total,
            window: Window::from_rows(snapshot.window),
            possible_since: snapshot.possible_since,
            ..Self::default()
        };
        for place in snapshot.places {
            match place.state {
                PlaceState::Waiting => room.line.insert(place.ordinal, place.buyer),
                PlaceState::Active { slot, expires_at } => {
                    room.active += 1;
                    if !holds(place.buyer) {
                        room.ends.insert((expires_at, slot), place.buyer);
                    }
                }
                PlaceState::Expired { at } => room.expired.push_back((at, place.buyer)),
            }
            room.places.insert(place.buyer, place);
        }
        room
    }
}

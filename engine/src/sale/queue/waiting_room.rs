//! The waiting room: places, slots and the admission window. Must never decide: it answers questions and applies
//! what was decided.

use crate::id::{BuyerId, Epoch, Ordinal, Slot};
use crate::limits::{EXPIRED_SHOWN_FOR, FORGOTTEN_AT_ONCE};
use crate::sale::collections::lazy::{Empty, Lazy};
use crate::sale::collections::sorted::Sorted;
use crate::sale::collections::table::{Keyed, Table};
use crate::sale::draw::order::{Layout, Order};
use crate::sale::queue::line::Line;
use crate::sale::queue::window::Window;
use crate::sale::snapshot::{LostRow, PlaceRow, PlaceState, WaitingRoomSnapshot};
use crate::time::Timestamp;
use std::sync::{Arc, LazyLock};

/// Every buyer's place at one sale.
#[derive(Default, Clone)]
pub(crate) struct WaitingRoom {
    pub(super) crowd: Lazy<Crowd>,
    pub(super) active: u64,
    pub(super) next: u64,
    pub(super) reserved: u64,
    pub(super) block_epoch: Epoch,
    /// The first ordinal that an older journal may have lost: where the block before the last start was left.
    pub(super) lost_from: u64,
    pub(super) admitted_total: u64,
    pub(crate) possible_since: Option<Timestamp>,
}

/// Who is, or was, in the waiting room: nobody in that of an idle event, which so costs a pointer.
#[derive(Default, Clone)]
pub(super) struct Crowd {
    pub(super) places: Table<PlaceRow>,
    pub(super) line: Line,
    /// Slots by when they end, those of buyers with a pending hold left out.
    pub(super) ends: Sorted<(Timestamp, Slot, BuyerId)>,
    /// Places that are over, by when they ended.
    pub(super) expired: Sorted<(Timestamp, BuyerId)>,
    /// Places that were over by then count as forgotten, though their rows may stay for some facts more.
    pub(super) forgotten: Option<Timestamp>,
    /// The lost ordinals that tickets have shown since the last start.
    pub(super) lost: Option<LostRow>,
    pub(super) window: Window,
    /// After a draw: the drawn places of the cohort. Their rows keep the ordinals of arrival while they wait.
    pub(super) order: Option<Arc<Order>>,
}

impl Empty for Crowd {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Crowd> = LazyLock::new(Crowd::default);
        &EMPTY
    }
}

impl Crowd {
    fn has_forgotten(&self, place: &PlaceRow) -> bool {
        match (place.state, self.forgotten) {
            (PlaceState::Expired { at }, Some(now)) => at + EXPIRED_SHOWN_FOR <= now,
            (PlaceState::Waiting | PlaceState::Active { .. }, _) | (_, None) => false,
        }
    }
}

impl Keyed for PlaceRow {
    type Id = BuyerId;
    fn id(&self) -> BuyerId {
        self.buyer
    }
}

impl WaitingRoom {
    pub(crate) fn place(&self, buyer: BuyerId) -> Option<&PlaceRow> {
        self.crowd.places.get(buyer).filter(|place| !self.crowd.has_forgotten(place))
    }

    /// The buyers who wait.
    pub(crate) fn line(&self) -> &Line {
        &self.crowd.line
    }

    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    pub(crate) fn admitted_total(&self) -> u64 {
        self.admitted_total
    }

    /// Every place, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = &PlaceRow> {
        self.crowd.places.iter()
    }

    pub(crate) fn enter(&mut self, buyer: BuyerId, ordinal: Ordinal, at: Timestamp) {
        self.remove(buyer);
        self.crowd.line.insert(ordinal, buyer);
        self.crowd.places.insert(PlaceRow { buyer, ordinal, state: PlaceState::Waiting });
        self.next = self.next.max(ordinal.0.saturating_add(1));
        self.forget_expired(at);
    }

    /// The line is drawn. Rows of places stay as they are: writing a million of them would take a second.
    pub(crate) fn lay_out(&mut self, layout: &Layout) {
        let order = layout.order();
        self.crowd.line.lay_out(layout.line(), |ordinal| order.place(ordinal));
        self.crowd.order = Some(Arc::clone(order));
    }

    /// The place with its ordinal in the line, or the one at which it left the line.
    pub(crate) fn as_it_stands(&self, place: &PlaceRow) -> PlaceRow {
        match (place.state, &self.crowd.order) {
            (PlaceState::Waiting, Some(order)) => PlaceRow { ordinal: order.place(place.ordinal), ..*place },
            (_, None) | (PlaceState::Active { .. } | PlaceState::Expired { .. }, _) => *place,
        }
    }

    /// The place is gone.
    pub(crate) fn remove(&mut self, buyer: BuyerId) {
        let Some(place) = self.crowd.get_mut().and_then(|crowd| crowd.places.remove(buyer)) else { return };
        let place = self.as_it_stands(&place);
        self.end(&place);
    }

    /// The place is over, and shown as such for [`EXPIRED_SHOWN_FOR`].
    pub(crate) fn expire(&mut self, buyer: BuyerId, at: Timestamp) {
        let Some(place) = self.place(buyer).map(|place| self.as_it_stands(place)) else { return };
        self.end(&place);
        self.crowd.places.insert(PlaceRow { state: PlaceState::Expired { at }, ..place });
        self.crowd.expired.insert((at, buyer));
        self.forget_expired(at);
    }

    pub(super) fn count_active(&mut self) {
        self.active = self.active.saturating_add(1);
    }

    fn end(&mut self, place: &PlaceRow) {
        match place.state {
            PlaceState::Waiting => self.crowd.line.remove(place.ordinal),
            PlaceState::Active { slot, expires_at, .. } => {
                assert!(self.active > 0, "every place with a slot was counted");
                self.active = self.active.saturating_sub(1);
                self.crowd.ends.remove(&(expires_at, slot, place.buyer));
            }
            PlaceState::Expired { at } => self.crowd.expired.remove(&(at, place.buyer)),
        }
    }

    fn forget_expired(&mut self, now: Timestamp) {
        let Crowd { expired, forgotten, places, .. } = &mut *self.crowd;
        *forgotten = Some(now);
        // A bounded number at once: a whole line may have ended in one moment.
        for _ in 0..FORGOTTEN_AT_ONCE {
            let over = |(at, _): &&(Timestamp, BuyerId)| *at + EXPIRED_SHOWN_FOR <= now;
            let Some(&(at, buyer)) = expired.first().filter(over) else { break };
            expired.remove(&(at, buyer));
            places.remove(buyer);
        }
    }

    pub(crate) fn snapshot(&self) -> WaitingRoomSnapshot {
        let mut places: Vec<PlaceRow> = self
            .line()
            .iter()
            .filter_map(|(ordinal, buyer)| Some(PlaceRow { ordinal, ..*self.place(buyer)? }))
            .collect();
        let mut active: Vec<PlaceRow> = self
            .crowd
            .places
            .iter()
            .filter(|place| matches!(place.state, PlaceState::Active { .. }))
            .copied()
            .collect();
        active.sort_by_key(|place| match place.state {
            PlaceState::Active { slot, .. } => slot.0,
            PlaceState::Waiting | PlaceState::Expired { .. } => 0,
        });
        places.extend(active);
        places.extend(self.crowd.expired.iter().filter_map(|(_, buyer)| self.place(*buyer)));
        WaitingRoomSnapshot {
            next: self.next,
            reserved: self.reserved,
            block_epoch: self.block_epoch,
            used: self.crowd.line.used(),
            lost_from: self.lost_from,
            lost: self.crowd.lost,
            admitted_total: self.admitted_total,
            window: self.crowd.window.rows(),
            possible_since: self.possible_since,
            places,
        }
    }

    /// From a snapshot; `order` is the drawn order, `holds` whether a buyer has a pending hold.
    pub(crate) fn from_snapshot(
        snapshot: WaitingRoomSnapshot,
        order: Option<&Arc<Order>>,
        holds: impl Fn(BuyerId) -> bool,
    ) -> Self {
        let mut room = Self {
            next: snapshot.next,
            reserved: snapshot.reserved,
            block_epoch: snapshot.block_epoch,
            lost_from: snapshot.lost_from,
            admitted_total: snapshot.admitted_total,
            possible_since: snapshot.possible_since,
            ..Self::default()
        };
        if snapshot.lost.is_some() || !snapshot.window.is_empty() {
            room.crowd.lost = snapshot.lost;
            room.crowd.window = Window::from_rows(snapshot.window);
        }
        if let Some(order) = order {
            room.crowd.order = Some(Arc::clone(order));
        }
        for ordinal in snapshot.used.into_iter().flat_map(|(first, last)| first.0..=last.0) {
            room.crowd.line.spend(Ordinal(ordinal));
        }
        for mut place in snapshot.places {
            match place.state {
                PlaceState::Waiting => {
                    room.crowd.line.insert(place.ordinal, place.buyer);
                    place.ordinal = order.map_or(place.ordinal, |order| order.arrival(place.ordinal));
                }
                PlaceState::Active { slot, expires_at, .. } => {
                    room.count_active();
                    if !holds(place.buyer) {
                        room.crowd.ends.insert((expires_at, slot, place.buyer));
                    }
                }
                PlaceState::Expired { at } => room.crowd.expired.insert((at, place.buyer)),
            }
            room.crowd.places.insert(place);
        }
        room
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use uuid::Uuid;

    #[test]
    fn a_line_that_ended_in_one_moment_is_forgotten_at_once_and_dropped_little_by_little() {
        let (mut room, over) = (WaitingRoom::default(), Timestamp::from_secs(1_780_000_000));
        let buyer = |number: u64| BuyerId(Uuid::from_u128(u128::from(number)));
        for number in 1..=50 {
            room.enter(buyer(number), Ordinal(number), over);
        }
        (1..=50).for_each(|number| room.expire(buyer(number), over));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (50, 50));
        let later = over + EXPIRED_SHOWN_FOR;
        room.enter(buyer(51), Ordinal(51), later - Duration::from_micros(1));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (51, 50), "not yet");
        room.enter(buyer(52), Ordinal(52), later);
        assert_eq!(room.snapshot().places.len(), 2);
        assert!((1..=50).all(|number| room.place(buyer(number)).is_none()));
        assert_eq!(room.crowd.expired.len(), 50 - FORGOTTEN_AT_ONCE as u64);
        // A forgotten buyer enters again; the others are dropped with the next entries.
        room.enter(buyer(50), Ordinal(53), later);
        assert!(room.place(buyer(50)).is_some_and(|place| place.ordinal == Ordinal(53)));
        (54..60).for_each(|number| room.enter(buyer(number), Ordinal(number), later));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (9, 0));
    }
}

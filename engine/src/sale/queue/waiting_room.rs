//! The waiting room: places, slots and the admission window. Must never decide: it answers questions and applies
//! what was decided.

use crate::id::{BuyerId, Epoch, Ordinal, Slot};
use crate::limits::{EXPIRED_TOLD_FOR, FORGOTTEN_AT_ONCE, LOST_ORDINALS, ORDINAL_BLOCK};
use crate::sale::collections::lazy::{Empty, Lazy};
use crate::sale::collections::sorted::Sorted;
use crate::sale::collections::table::{Keyed, Table};
use crate::sale::draw::order::{Layout, Order};
use crate::sale::queue::line::Line;
use crate::sale::queue::window::Window;
use crate::sale::snapshot::{LostRow, PlaceRow, PlaceState, RoomSnapshot};
use crate::time::Timestamp;
use std::sync::{Arc, LazyLock};

/// Everyone's place at one sale.
#[derive(Default, Clone)]
pub(crate) struct Room {
    crowd: Lazy<Crowd>,
    active: u64,
    next: u64,
    reserved: u64,
    block_epoch: Epoch,
    /// The first ordinal that an older journal may have lost: where the block before the last start was left.
    lost_from: u64,
    admitted_total: u64,
    pub(crate) possible_since: Option<Timestamp>,
}

/// Who is, or was, in the room: nobody in that of an idle event.
#[derive(Default, Clone)]
struct Crowd {
    places: Table<PlaceRow>,
    line: Line,
    /// Slots by when they end, those of buyers with a pending hold left out.
    ends: Sorted<(Timestamp, Slot, BuyerId)>,
    /// Places that are over, by when they ended.
    expired: Sorted<(Timestamp, BuyerId)>,
    /// Places that were over by then are forgotten, though their rows may lie here for some facts more.
    forgotten: Option<Timestamp>,
    /// What tickets have shown to be lost since the last start.
    lost: Option<LostRow>,
    window: Window,
    /// Once it is drawn: where those of the cohort stand, whose places keep the ordinals of their arrival while they wait.
    order: Option<Arc<Order>>,
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
            (PlaceState::Expired { at }, Some(now)) => at + EXPIRED_TOLD_FOR <= now,
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

impl Room {
    pub(crate) fn place(&self, buyer: BuyerId) -> Option<&PlaceRow> {
        self.crowd.places.get(buyer).filter(|place| !self.crowd.has_forgotten(place))
    }

    /// Who waits.
    pub(crate) fn line(&self) -> &Line {
        &self.crowd.line
    }

    /// When the next admission is due; see [`Window::next_due`].
    pub(crate) fn next_due(&self, rate: u32) -> Option<Timestamp> {
        self.possible_since.map(|since| self.crowd.window.next_due(rate, since))
    }

    pub(crate) fn active(&self) -> u64 {
        self.active
    }

    pub(crate) fn admitted_total(&self) -> u64 {
        self.admitted_total
    }

    /// The slot that ends next, of a buyer without a pending hold.
    pub(crate) fn next_end(&self) -> Option<(Timestamp, BuyerId)> {
        self.crowd.ends.first().map(|(at, _, buyer)| (*at, *buyer))
    }

    /// Slots that time may end: those of buyers without a pending hold.
    pub(crate) fn ending(&self) -> u64 {
        self.crowd.ends.len()
    }

    /// Every place, in no order.
    pub(crate) fn places(&self) -> impl Iterator<Item = &PlaceRow> {
        self.crowd.places.iter()
    }

    pub(crate) fn block_epoch(&self) -> Epoch {
        self.block_epoch
    }

    /// The block that must be reserved before an ordinal can be used in this epoch, if one must.
    ///
    /// The first block of an epoch leaves room before it: should the journal have been restored from an older copy, the
    /// ordinals that are lost with the rest of it fit there, and none is issued again.
    pub(crate) fn missing_block(&self, epoch: Epoch) -> Option<(Ordinal, Ordinal)> {
        let usable = self.block_epoch == epoch && self.next != 0 && self.next <= self.reserved;
        (!usable).then(|| self.block_after(Ordinal(self.reserved), epoch))
    }

    /// The block that must be reserved before this ordinal, which a ticket shows to have been issued, can be used.
    pub(crate) fn missing_block_past(&self, ordinal: Ordinal, epoch: Epoch) -> Option<(Ordinal, Ordinal)> {
        let past = Ordinal(ordinal.0.max(self.reserved));
        match self.missing_block(epoch) {
            Some((first, _)) if ordinal < first => self.missing_block(epoch),
            None if ordinal < self.next_ordinal() => None,
            Some(_) | None => Some(self.block_after(past, epoch)),
        }
    }

    fn block_after(&self, past: Ordinal, epoch: Epoch) -> (Ordinal, Ordinal) {
        let room = if self.block_epoch == epoch { 0 } else { LOST_ORDINALS };
        (Ordinal(past.0 + room + 1), Ordinal(past.0 + room + ORDINAL_BLOCK))
    }

    /// The sale was made in this epoch: its first block needs no room for what may be lost.
    pub(crate) fn made_in(&mut self, epoch: Epoch) {
        self.block_epoch = epoch;
    }

    /// The ordinal that the next to enter gets, a reserved block provided.
    pub(crate) fn next_ordinal(&self) -> Ordinal {
        Ordinal(self.next)
    }

    pub(crate) fn reserve(&mut self, first: Ordinal, last: Ordinal, epoch: Epoch) {
        if self.block_epoch != epoch {
            self.lost_from = self.next.max(1);
            if let Some(crowd) = self.crowd.get_mut() {
                crowd.lost = None;
            }
        }
        (self.next, self.reserved, self.block_epoch) = (first.0, last.0, epoch);
    }

    pub(crate) fn enter(&mut self, buyer: BuyerId, ordinal: Ordinal, at: Timestamp) {
        self.remove(buyer);
        self.crowd.line.insert(ordinal, buyer);
        self.crowd.places.insert(PlaceRow { buyer, ordinal, state: PlaceState::Waiting });
        self.next = self.next.max(ordinal.0 + 1);
        self.forget_expired(at);
    }

    /// A ticket has put a buyer back; until `waits_until` nobody behind what is lost is let in, unless all of it was
    /// heard of.
    pub(crate) fn restore(&mut self, buyer: BuyerId, ordinal: Ordinal, waits_until: Timestamp, at: Timestamp) {
        self.enter(buyer, ordinal, at);
        if ordinal.0 >= self.lost_from {
            let lost = self.crowd.lost.get_or_insert(LostRow { top: ordinal, heard: 0, waits_until });
            (lost.top, lost.heard) = (lost.top.max(ordinal), lost.heard + 1);
        }
    }

    /// Until when admission waits for what tickets have shown to be lost, if they have.
    pub(crate) fn lost_waits_until(&self) -> Option<Timestamp> {
        self.crowd.lost.map(|lost| lost.waits_until)
    }

    /// How many ordinals before this one may be lost; `starts_anew` if it is the first that is heard of since a start.
    pub(crate) fn lost_up_to(&self, ordinal: Ordinal, starts_anew: bool) -> u64 {
        ordinal.0.saturating_sub(if starts_anew { self.next } else { self.lost_from })
    }

    /// How many ordinals up to the last one that a ticket has shown are still unheard of.
    pub(crate) fn unheard(&self) -> u64 {
        self.crowd.lost.map_or(0, |lost| (lost.top.0 + 1 - self.lost_from).saturating_sub(lost.heard))
    }

    /// Until when the head of the line has to wait because somebody who is lost may stand before it.
    pub(crate) fn head_waits_until(&self) -> Option<Timestamp> {
        let lost = self.crowd.lost.filter(|_| self.unheard() > 0)?;
        self.crowd.line.head().filter(|(head, _)| head.0 >= self.lost_from).map(|_| lost.waits_until)
    }

    /// The line is drawn. Places stay as they are: a million of them would take a second to be written.
    pub(crate) fn lay_out(&mut self, layout: &Layout) {
        let order = layout.order();
        self.crowd.line.lay_out(layout.line(), |ordinal| order.place(ordinal));
        self.crowd.order = Some(Arc::clone(order));
    }

    /// The place with the ordinal at which it stands in the line, or stood when it left it.
    pub(crate) fn as_it_stands(&self, place: &PlaceRow) -> PlaceRow {
        match (place.state, &self.crowd.order) {
            (PlaceState::Waiting, Some(order)) => PlaceRow { ordinal: order.place(place.ordinal), ..*place },
            (_, None) | (PlaceState::Active { .. } | PlaceState::Expired { .. }, _) => *place,
        }
    }

    pub(crate) fn admit(&mut self, buyer: BuyerId, slot: Slot, due: Timestamp, expires_at: Timestamp, holds: bool) {
        let Some(stood) = self.place(buyer).map(|place| self.as_it_stands(place).ordinal) else { return };
        let crowd = &mut *self.crowd;
        let Some(place) = crowd.places.get_mut(buyer) else { return };
        crowd.line.remove(stood);
        place.ordinal = stood;
        place.state = PlaceState::Active { slot, expires_at, holds_made: 0 };
        self.active += 1;
        self.admitted_total = slot.0;
        crowd.window.push(due);
        if !holds {
            crowd.ends.insert((expires_at, slot, buyer));
        }
    }

    /// A buyer with a slot has, or no longer has, a pending hold: only the latter's slot can end by time.
    pub(crate) fn holds(&mut self, buyer: BuyerId, holds: bool) {
        let Some(PlaceState::Active { slot, expires_at, .. }) = self.place(buyer).map(|place| place.state) else {
            return;
        };
        if holds {
            self.crowd.ends.remove(&(expires_at, slot, buyer));
        } else {
            self.crowd.ends.insert((expires_at, slot, buyer));
        }
    }

    /// A hold was made with this slot.
    pub(crate) fn count_hold(&mut self, buyer: BuyerId, made_with: Slot) {
        let place = self.crowd.get_mut().and_then(|crowd| crowd.places.get_mut(buyer));
        if let Some(PlaceState::Active { slot, holds_made, .. }) = place.map(|place| &mut place.state)
            && *slot == made_with
        {
            *holds_made = holds_made.saturating_add(1);
        }
    }

    /// The place is gone.
    pub(crate) fn remove(&mut self, buyer: BuyerId) {
        let Some(place) = self.crowd.get_mut().and_then(|crowd| crowd.places.remove(buyer)) else { return };
        let place = self.as_it_stands(&place);
        self.end(&place);
    }

    /// The place is over, and told of for a while.
    pub(crate) fn expire(&mut self, buyer: BuyerId, at: Timestamp) {
        let Some(place) = self.place(buyer).map(|place| self.as_it_stands(place)) else { return };
        self.end(&place);
        self.crowd.places.insert(PlaceRow { state: PlaceState::Expired { at }, ..place });
        self.crowd.expired.insert((at, buyer));
        self.forget_expired(at);
    }

    fn end(&mut self, place: &PlaceRow) {
        match place.state {
            PlaceState::Waiting => self.crowd.line.remove(place.ordinal),
            PlaceState::Active { slot, expires_at, .. } => {
                self.active -= 1;
                self.crowd.ends.remove(&(expires_at, slot, place.buyer));
            }
            PlaceState::Expired { at } => self.crowd.expired.remove(&(at, place.buyer)),
        }
    }

    fn forget_expired(&mut self, now: Timestamp) {
        let Crowd { expired, forgotten, places, .. } = &mut *self.crowd;
        *forgotten = Some(now);
        // Not all at once: a whole line may have ended in one moment.
        for _ in 0..FORGOTTEN_AT_ONCE {
            let over = |(at, _): &&(Timestamp, BuyerId)| *at + EXPIRED_TOLD_FOR <= now;
            let Some(&(at, buyer)) = expired.first().filter(over) else { break };
            expired.remove(&(at, buyer));
            places.remove(buyer);
        }
    }

    /// The first buyer with a slot, for the sweep after a cancellation.
    pub(crate) fn some_active(&self) -> Option<BuyerId> {
        self.crowd.ends.first().map(|(_, _, buyer)| *buyer)
    }

    pub(crate) fn snapshot(&self) -> RoomSnapshot {
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
        RoomSnapshot {
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

    /// From a snapshot; `order` is the drawn one, `holds` says who has a pending hold.
    pub(crate) fn from_snapshot(
        snapshot: RoomSnapshot,
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
                    room.active += 1;
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
        let (mut room, over) = (Room::default(), Timestamp::from_secs(1_780_000_000));
        let buyer = |number: u64| BuyerId(Uuid::from_u128(u128::from(number)));
        for number in 1..=50 {
            room.enter(buyer(number), Ordinal(number), over);
        }
        (1..=50).for_each(|number| room.expire(buyer(number), over));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (50, 50));
        let later = over + EXPIRED_TOLD_FOR;
        room.enter(buyer(51), Ordinal(51), later - Duration::from_micros(1));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (51, 50), "not yet");
        room.enter(buyer(52), Ordinal(52), later);
        assert_eq!(room.snapshot().places.len(), 2);
        assert!((1..=50).all(|number| room.place(buyer(number)).is_none()));
        assert_eq!(room.crowd.expired.len(), 50 - FORGOTTEN_AT_ONCE as u64);
        // One of those who are forgotten comes again, and the others go with whoever comes.
        room.enter(buyer(50), Ordinal(53), later);
        assert!(room.place(buyer(50)).is_some_and(|place| place.ordinal == Ordinal(53)));
        (54..60).for_each(|number| room.enter(buyer(number), Ordinal(number), later));
        assert_eq!((room.snapshot().places.len(), room.crowd.expired.len()), (9, 0));
    }
}

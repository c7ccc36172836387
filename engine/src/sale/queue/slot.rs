//! Slots: an admitted buyer's right to make holds, and what ends it. A slot ends
//! - by its time (`AdmissionConfig::token` after the admission was due), and never later than its sale;
//! - with a confirmed reservation (`payments/settle.rs`);
//! - when its buyer leaves (`enter.rs`);
//! - by the sweep of a cancelled or retired sale (`operators/cancel_sale.rs`).
//!
//! While its buyer has a pending hold a slot does not end by time, so that the hold can be paid; but no new hold is made with
//! it after its time, or a chain of holds would keep a slot for ever, and others out. Must never end a slot early.

use crate::id::{BuyerId, Slot};
use crate::sale::Sale;
use crate::sale::command::Hold;
use crate::sale::config::SaleConfig;
use crate::sale::fact::{Fact, Facts};
use crate::sale::queue::waiting_room::WaitingRoom;
use crate::sale::rejection::{Closed, Rejection};
use crate::sale::snapshot::PlaceState;
use crate::time::Timestamp;
use smallvec::smallvec;

impl Sale {
    /// The buyer's slot, where one is needed to make a hold. A buyer who shows the slot of a sale that has ended is not sent
    /// back to the line for another one.
    pub(crate) fn check_slot(
        &self,
        config: &SaleConfig,
        hold: &Hold,
        now: Timestamp,
    ) -> Result<Option<Slot>, Rejection> {
        let slot = hold.slot;
        if !self.steering.as_ref().is_some_and(|steering| steering.required) {
            return Ok(None);
        }
        match self.waiting_room.place(hold.buyer).map(|place| place.state) {
            Some(PlaceState::Active { slot: has, expires_at, .. }) if slot == Some(has) && now < expires_at => Ok(slot),
            Some(_) | None if slot.is_some() && now >= config.sale_ends_at => Err(Rejection::SaleClosed(Closed::Ended)),
            Some(_) | None => Err(Rejection::NoSlot),
        }
    }

    /// When a slot ends: never later than the sale.
    pub(crate) fn slot_ends_at(&self, expires_at: Timestamp) -> Timestamp {
        self.config.as_ref().map_or(expires_at, |config| expires_at.min(config.sale_ends_at))
    }

    /// Whether a slot has ended by time. While its buyer has a pending hold it has not, though they can make no new one.
    pub(crate) fn slot_is_over(&self, buyer: BuyerId, expires_at: Timestamp, now: Timestamp) -> bool {
        self.slot_ends_at(expires_at) <= now && self.reservations.buyer(buyer).holds == 0
    }

    /// When the next slot ends by time. The one that ends first by its own time is the next one, also when the sale ends all
    /// of them.
    pub(crate) fn next_slot_end(&self) -> Option<Timestamp> {
        self.waiting_room.next_end().map(|(at, _)| self.slot_ends_at(at))
    }

    /// Ends the slot that is due first.
    pub(crate) fn expire_slot(&self) -> Option<Facts> {
        self.waiting_room.next_end().map(|(_, buyer)| smallvec![Fact::SlotExpired { buyer }])
    }
}

impl WaitingRoom {
    /// The slot that ends next, of a buyer without a pending hold.
    pub(crate) fn next_end(&self) -> Option<(Timestamp, BuyerId)> {
        self.crowd.ends.first().map(|(at, _, buyer)| (*at, *buyer))
    }

    /// How many slots may end by time: those of buyers without a pending hold.
    pub(crate) fn ending(&self) -> u64 {
        self.crowd.ends.len()
    }

    /// A buyer has a pending hold, or none any more. With one, their slot does not end by time.
    pub(crate) fn keep_slot(&mut self, buyer: BuyerId, has_hold: bool) {
        let Some(PlaceState::Active { slot, expires_at, .. }) = self.place(buyer).map(|place| place.state) else {
            return;
        };
        if has_hold {
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

    /// The first buyer with a slot, for the sweep after a cancellation.
    pub(crate) fn some_active(&self) -> Option<BuyerId> {
        self.crowd.ends.first().map(|(_, _, buyer)| *buyer)
    }
}

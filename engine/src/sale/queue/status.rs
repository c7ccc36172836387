//! Where a buyer stands, as status reads show it: from the state and the time alone, though the fact that ends a place may come
//! a moment later. Must never change anything.

use crate::id::BuyerId;
use crate::limits::EXPIRED_SHOWN_FOR;
use crate::sale::Sale;
use crate::sale::reply::{PlaceStatus, PlaceView, SalePhase};
use crate::sale::snapshot::{PlaceRow, PlaceState};
use crate::time::Timestamp;

impl Sale {
    /// The buyer's place at `now`; an expired one is shown for [`EXPIRED_SHOWN_FOR`]. With the end of the sale every place is
    /// over, except that of a buyer with a pending hold.
    #[must_use]
    pub fn place(&self, buyer: BuyerId, now: Timestamp) -> Option<PlaceView> {
        let config = self.config.as_deref()?;
        let required = self.steering.as_ref().is_some_and(|steering| steering.required);
        let total_in_queue = self.waiting_room.line().len();
        let place = self.waiting_room.place(buyer);
        let is_over = self.waiting_room_is_over(config, now);
        if !required {
            let ordinal = place.map(|place| place.ordinal);
            let expires_at = config.sale_ends_at;
            let shops = PlaceStatus::Active { slot: None, expires_at, may_hold: true };
            let status = if is_over { PlaceStatus::Expired } else { shops };
            return Some(PlaceView { buyer, ordinal, status, total_in_queue });
        }
        let place = place?;
        let rank = || self.waiting_room.line().rank(self.waiting_room.as_it_stands(place).ordinal);
        let status = match place.state {
            PlaceState::Waiting if is_over => PlaceStatus::Expired,
            PlaceState::Active { .. } if self.phase != SalePhase::Scheduled => PlaceStatus::Expired,
            PlaceState::Waiting if now < config.sale_starts_at || self.draw_is_pending() => {
                PlaceStatus::PreQueue { rank: (!config.admission.draw).then(rank) }
            }
            PlaceState::Waiting => PlaceStatus::Waiting { rank: rank() },
            PlaceState::Active { expires_at, .. } if self.slot_is_over(buyer, expires_at, now) => PlaceStatus::Expired,
            PlaceState::Active { slot, expires_at, .. } => {
                let expires_at = self.slot_ends_at(expires_at);
                PlaceStatus::Active { slot: Some(slot), expires_at, may_hold: now < expires_at }
            }
            PlaceState::Expired { at } if at + EXPIRED_SHOWN_FOR <= now => return None,
            PlaceState::Expired { .. } => PlaceStatus::Expired,
        };
        let ordinal = match (place.state, &self.draw) {
            (PlaceState::Active { .. } | PlaceState::Expired { .. }, Some(draw)) => draw.arrival(place.ordinal),
            (PlaceState::Waiting, _) | (_, None) => place.ordinal,
        };
        let ordinal = Some(ordinal);
        Some(PlaceView { buyer, ordinal, status, total_in_queue })
    }

    /// The buyer's place with its ordinal in the line, whatever the time.
    #[must_use]
    pub fn place_row(&self, buyer: BuyerId) -> Option<PlaceRow> {
        self.waiting_room.place(buyer).map(|place| self.waiting_room.as_it_stands(place))
    }

    /// Every place as it is kept; O(places), for copies.
    #[must_use]
    pub fn places(&self) -> Vec<PlaceRow> {
        self.waiting_room.snapshot().places
    }

    /// Whether the buyer waits or shops, so that another event must not let them in.
    #[must_use]
    pub fn is_in_room(&self, buyer: BuyerId) -> bool {
        self.waiting_room.place(buyer).is_some_and(|place| !matches!(place.state, PlaceState::Expired { .. }))
    }

    /// The waiting buyers in order; O(line), for starts and checks.
    pub fn waiting(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.waiting_room.line().iter().map(|(_, buyer)| buyer)
    }

    /// The buyers who wait or shop, in no order; O(places), for starts.
    #[must_use]
    pub fn everyone_in_room(&self) -> Vec<BuyerId> {
        let places = self.waiting_room.snapshot().places;
        places.iter().filter(|p| !matches!(p.state, PlaceState::Expired { .. })).map(|place| place.buyer).collect()
    }
}

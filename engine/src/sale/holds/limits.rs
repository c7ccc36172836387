//! How much one buyer may hold: seats at the same time, and holds with one slot. The third limit, declined charges of one
//! hold, is in `payments/attempts.rs`. Must never count what has ended among the seats; holds count whatever became of them.

use crate::id::{BuyerId, Slot};
use crate::sale::Sale;
use crate::sale::config::SaleConfig;
use crate::sale::rejection::Rejection;
use crate::sale::snapshot::PlaceState;

impl Sale {
    /// Refuses a buyer who would have more than [`SaleConfig::max_seats_per_buyer`] seats pending and confirmed, after giving
    /// `own` of them back.
    pub(crate) fn check_seat_limit(
        &self,
        config: &SaleConfig,
        buyer: BuyerId,
        quantity: usize,
        own: usize,
    ) -> Result<(), Rejection> {
        let (limit, has) = (config.max_seats_per_buyer, self.seats_beside(buyer, own));
        if usize::from(has).saturating_add(quantity) > usize::from(limit) {
            return Err(Rejection::SeatLimitExceeded { limit, has });
        }
        Ok(())
    }

    /// Seats of a buyer, pending and confirmed, without `own` of them that one hold has.
    pub(crate) fn seats_beside(&self, buyer: BuyerId, own: usize) -> u16 {
        let all = self.reservations.buyer(buyer).seats;
        let rest = u16::try_from(own).ok().and_then(|own| all.checked_sub(own));
        assert!(rest.is_some(), "a buyer's seats include those of each hold");
        rest.unwrap_or_default()
    }

    /// Refuses one more hold than [`crate::sale::AdmissionConfig::max_holds_per_slot`] with the slot; there is no limit
    /// without one.
    pub(crate) fn check_hold_limit(
        &self,
        config: &SaleConfig,
        buyer: BuyerId,
        slot: Option<Slot>,
    ) -> Result<(), Rejection> {
        let made = match self.waiting_room.place(buyer).map(|place| place.state) {
            Some(PlaceState::Active { holds_made, .. }) if slot.is_some() => holds_made,
            Some(_) | None => return Ok(()),
        };
        let limit = config.admission.max_holds_per_slot;
        if made < limit { Ok(()) } else { Err(Rejection::HoldLimitExceeded { limit }) }
    }
}

//! Absence: a waiting buyer of whom the runtime has not seen a heartbeat for [`crate::sale::AdmissionConfig::absent`] loses the
//! place. Heartbeats are no facts: the runtime watches them. Must never end a slot.

use crate::id::BuyerId;
use crate::sale::Sale;
use crate::sale::decide::Decision;
use crate::sale::fact::Fact;
use crate::sale::snapshot::PlaceState;

impl Sale {
    pub(crate) fn decide_absence(&self, buyer: BuyerId) -> Decision {
        let waits = self.waiting_room.place(buyer).is_some_and(|place| place.state == PlaceState::Waiting);
        Decision::done(waits.then_some(Fact::PlaceExpired { buyer }).into_iter().collect())
    }
}

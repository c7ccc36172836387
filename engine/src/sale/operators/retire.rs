//! Taking an event without reservations off the catalogue. Its waiting room is emptied by the sweep of `cancel_sale.rs`. Must
//! never retire an event with pending or confirmed seats.

use crate::id::BuyerId;
use crate::sale::Sale;
use crate::sale::decide::Decision;
use crate::sale::fact::Fact;
use crate::sale::rejection::Rejection;
use crate::sale::reply::SalePhase;
use smallvec::smallvec;

impl Sale {
    pub(crate) fn decide_retirement(&self, by: BuyerId) -> Result<Decision, Rejection> {
        if self.phase == SalePhase::Retired {
            return Err(Rejection::NoSale);
        }
        if self.reservations.live() > 0 {
            return Err(Rejection::HasReservations);
        }
        Ok(Decision::done(smallvec![Fact::SaleRetired { by }]))
    }
}

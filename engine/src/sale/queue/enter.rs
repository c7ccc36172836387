//! Entering the line and leaving the waiting room. Entering again returns the place that stands; leaving gives it up, and
//! entering after that leads to the end of the line. Must never issue an ordinal outside of a reserved block.

use crate::id::{BuyerId, Epoch};
use crate::sale::Sale;
use crate::sale::config::SaleConfig;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts};
use crate::sale::rejection::Rejection;
use crate::sale::reply::SalePhase;
use crate::sale::snapshot::PlaceState;
use crate::time::Timestamp;

impl Sale {
    pub(crate) fn decide_entry(&self, buyer: BuyerId, now: Timestamp, epoch: Epoch) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        let outcome = Outcome::Place(buyer);
        let Some(steering) = &self.steering else { return Err(Rejection::NoSale) };
        if self.stands(config, buyer, now) {
            return Ok(Decision::nothing(outcome));
        }
        if config.admission.room_opens_at.is_some_and(|opens| now < opens) {
            return Err(Rejection::SaleNotOpen);
        }
        if let Some(closed) = self.closed(config, steering, now) {
            return Err(Rejection::SaleClosed(closed));
        }
        if !steering.required {
            return Ok(Decision::nothing(outcome));
        }
        if self.waiting_room.line().len() >= config.admission.capacity {
            return Err(Rejection::QueueFull);
        }
        let (mut facts, mut ordinal) = (Facts::new(), self.waiting_room.next_ordinal());
        facts.extend(self.freeze_due(now));
        if let Some((first, last)) = self.waiting_room.missing_block(epoch) {
            facts.push(Fact::OrdinalsReserved { first, last, epoch });
            ordinal = first;
        }
        facts.push(Fact::Entered { buyer, ordinal });
        Ok(Decision { facts, outcome })
    }

    pub(crate) fn decide_leave(&self, buyer: BuyerId) -> Decision {
        let left = self.waiting_room.place(buyer).map(|_| Fact::Left { buyer });
        Decision::done(left.into_iter().collect())
    }

    /// Whether the buyer's place is there and not over.
    pub(crate) fn stands(&self, config: &SaleConfig, buyer: BuyerId, now: Timestamp) -> bool {
        self.phase == SalePhase::Scheduled
            && self.waiting_room.place(buyer).is_some_and(|place| match place.state {
                PlaceState::Waiting => now < config.sale_ends_at,
                PlaceState::Active { expires_at, .. } => !self.slot_is_over(buyer, expires_at, now),
                PlaceState::Expired { .. } => false,
            })
    }
}

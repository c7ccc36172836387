//! Steering a running sale: rate, limit, pause, closing, message. A change holds from its fact on. Must never send a buyer away
//! who was admitted before.

use crate::id::BuyerId;
use crate::sale::Sale;
use crate::sale::config::{Steering, SteeringChange};
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts};
use crate::sale::rejection::{Closed, Rejection};
use crate::sale::reply::SalePhase;
use smallvec::smallvec;

impl Sale {
    /// A change to what is steered already is no fact.
    pub(crate) fn decide_steering(&self, change: &SteeringChange, by: BuyerId) -> Result<Decision, Rejection> {
        self.on_sale()?;
        if self.phase == SalePhase::Cancelled {
            return Err(Rejection::SaleClosed(Closed::Cancelled));
        }
        let before = self.steering.as_ref().ok_or(Rejection::NoSale)?;
        let steering = before.after(change);
        let facts = if steering == **before {
            Facts::new()
        } else {
            smallvec![Fact::Steered { steering, by, reason: change.reason.clone() }]
        };
        Ok(Decision { facts, outcome: Outcome::Steering })
    }

    pub(crate) fn apply_steering(&mut self, steering: &Steering) {
        self.steering = Some(Box::new(steering.clone()));
    }
}

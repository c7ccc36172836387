//! Whether the sale is on: what its phase and its times still allow, by its own end or by an operator's action. Facts end
//! places and slots one at a time (`due.rs`); until they are written, reads already answer as if they were. Must never change
//! anything.

use crate::sale::Sale;
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::rejection::{Closed, Rejection};
use crate::sale::reply::SalePhase;
use crate::sale::seats::ledger::Ledger;
use crate::time::Timestamp;

impl Sale {
    /// The rules and the hall, or why there is no sale.
    pub(crate) fn on_sale(&self) -> Result<(&SaleConfig, &Ledger), Rejection> {
        match (self.phase, &self.config, &self.ledger) {
            (SalePhase::Scheduled | SalePhase::Cancelled, Some(config), Some(ledger)) => Ok((config, ledger)),
            _ => Err(Rejection::NoSale),
        }
    }

    /// Refuses in a cancelled sale: nothing of it is held or paid any more, with a slot or without.
    pub(crate) fn check_not_cancelled(&self) -> Result<(), Rejection> {
        if self.phase == SalePhase::Cancelled { Err(Rejection::SaleCancelled) } else { Ok(()) }
    }

    /// Refuses outside of the times in which holds are made.
    pub(crate) fn check_open(&self, config: &SaleConfig, now: Timestamp) -> Result<(), Rejection> {
        if now >= config.sale_ends_at {
            return Err(Rejection::SaleClosed(Closed::Ended));
        }
        if now < config.sale_starts_at {
            return Err(Rejection::SaleNotOpen);
        }
        Ok(())
    }

    /// What keeps everybody from entering, if something does.
    pub(crate) fn closed(&self, config: &SaleConfig, steering: &Steering, now: Timestamp) -> Option<Closed> {
        if self.phase == SalePhase::Cancelled {
            return Some(Closed::Cancelled);
        }
        if now >= config.sale_ends_at {
            return Some(Closed::Ended);
        }
        steering.closed.then_some(Closed::ByOperator)
    }

    /// Whether nobody can wait or shop any more: the sale has ended by its times, or was cancelled or retired.
    pub(crate) fn waiting_room_is_over(&self, config: &SaleConfig, now: Timestamp) -> bool {
        self.phase != SalePhase::Scheduled || now >= config.sale_ends_at
    }
}

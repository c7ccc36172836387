//! Seats: how each stands, which block is best, which seats may not be taken, and what a refusal offers instead. Here is what
//! several rules of seats share; each rule has its file. Must never know who holds a seat: that is `holds`.

pub(crate) mod best_block;
pub(crate) mod blocking;
pub(crate) mod ledger;
pub(crate) mod orphans;
pub(crate) mod pairs;
pub(crate) mod unavailable;

use crate::id::SeatIndex;
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::Sale;
use crate::sale::command::Seats;
use crate::sale::config::SaleConfig;
use crate::sale::rejection::Rejection;
use ledger::{Ledger, SeatState};

impl Sale {
    /// Whether these seats can be taken by a buyer who gives `own` back.
    pub(crate) fn check_free(
        &self,
        config: &SaleConfig,
        ledger: &Ledger,
        seats: &[SeatIndex],
        own: &[SeatIndex],
    ) -> Result<(), Rejection> {
        let taken: Seats = seats.iter().copied().filter(|seat| !ledger.is_free(*seat) && !own.contains(seat)).collect();
        if !taken.is_empty() {
            return Err(unavailable::not_free(config, ledger, seats, own, taken));
        }
        orphans::check(config, ledger, seats, own)
    }

    pub(crate) fn set_seats(&mut self, seats: &[SeatIndex], state: SeatState) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set(seats, state);
        }
    }
}

/// Whether these are seats of the hall, and any at all: nothing is ever held of no seats.
pub(crate) fn check_known(ledger: &Ledger, seats: &[SeatIndex]) -> Result<(), Rejection> {
    let known = !seats.is_empty() && seats.iter().all(|seat| ledger.plan.has(*seat));
    known.then_some(()).ok_or(Rejection::SeatNotFound)
}

/// What seats cost together. Prices are bounded ([`Amount::MAX_PRICE`]), so the sum of one hold cannot overflow.
pub(crate) fn price(config: &SaleConfig, plan: &Plan, seats: &[SeatIndex]) -> Amount {
    let of = |seat: &SeatIndex| config.price_of(plan.seat_category(*seat)).unwrap_or_default();
    Amount(seats.iter().map(|seat| of(seat).0).sum())
}

#[cfg(test)]
mod tests;

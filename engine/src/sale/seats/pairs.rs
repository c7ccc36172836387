//! Seats that are only sold in pairs: one of them is not sold without the other. Must never decide whether seats are free.

use crate::id::{BuyerId, SeatIndex};
use crate::plan::Plan;
use crate::sale::Sale;
use crate::sale::command::Seats;
use crate::sale::rejection::Rejection;
use crate::sale::seats::unavailable::instead;

impl Sale {
    /// Refuses half a pair, for a buyer who gives `own` back.
    pub(crate) fn check_pairs(&self, buyer: BuyerId, seats: &[SeatIndex], own: &[SeatIndex]) -> Result<(), Rejection> {
        let (config, ledger) = self.on_sale()?;
        let missing = other_halves(&ledger.plan, seats);
        if missing.is_empty() {
            return Ok(());
        }
        let mut whole: Seats = seats.iter().chain(&missing).copied().collect();
        whole.sort_unstable();
        let has = usize::from(self.seats_beside(buyer, own.len()));
        let can_be_had = has.saturating_add(whole.len()) <= usize::from(config.max_seats_per_buyer)
            && whole.iter().all(|seat| ledger.is_free(*seat) || own.contains(seat))
            && (!config.no_orphans || ledger.orphans(&whole, own).is_empty());
        let alternative = can_be_had.then_some(whole).or_else(|| instead(config, ledger, seats, own));
        Err(Rejection::PairSplit { missing, alternative })
    }
}

/// The seats without which these cannot be sold.
fn other_halves(plan: &Plan, seats: &[SeatIndex]) -> Seats {
    if !plan.has_pairs() {
        return Seats::new();
    }
    let others = seats.iter().filter_map(|seat| plan.pair(*seat)).map(|(other, _)| other);
    others.filter(|other| !seats.contains(other)).collect()
}

//! What a refusal of seats says: why they cannot be had, how many stand together, and which could be had instead. Must never be
//! on the way of a hold that succeeds.

use crate::id::{CategoryIndex, SeatIndex};
use crate::limits::INDEXED_RUN;
use crate::sale::command::Seats;
use crate::sale::config::SaleConfig;
use crate::sale::decide::instead;
use crate::sale::ledger::Ledger;
use crate::sale::rejection::{Rejection, Unavailable};

/// No block of that many seats is left in a category.
pub(crate) fn no_block(config: &SaleConfig, ledger: &Ledger, category: CategoryIndex, quantity: u16) -> Rejection {
    let free = ledger.category_counts().get(category.at()).map_or(0, |counts| counts.available);
    let quantity = usize::from(quantity);
    let reason = if free == 0 { Unavailable::SoldOut } else { Unavailable::NoBlock };
    let longest_block = if free == 0 { 0 } else { ledger.longest_below(category, quantity.max(1)) };
    let alternative = seats_apart(config, ledger, category, quantity, None, &[]);
    Rejection::SeatUnavailable { reason, taken: Seats::new(), longest_block, alternative }
}

/// Some of the named seats are `taken`, and not by the hold that gives `own` back. The block and the alternative are of the first
/// seat's category.
pub(crate) fn not_free(
    config: &SaleConfig,
    ledger: &Ledger,
    seats: &[SeatIndex],
    own: &[SeatIndex],
    taken: Seats,
) -> Rejection {
    let first = seats.first().filter(|_| ledger.counts().available > 0);
    let Some(category) = first.map(|seat| ledger.plan.seat_category(*seat)) else {
        return Rejection::SeatUnavailable { reason: Unavailable::SoldOut, taken, longest_block: 0, alternative: None };
    };
    let longest_block = ledger.longest_below(category, INDEXED_RUN + 1);
    let apart = || seats_apart(config, ledger, category, seats.len(), first.copied(), own);
    let alternative = instead(config, ledger, seats, own).or_else(apart);
    Rejection::SeatUnavailable { reason: Unavailable::Taken, taken, longest_block, alternative }
}

/// Seats of a category that need not stand together, where there is no block.
fn seats_apart(
    config: &SaleConfig,
    ledger: &Ledger,
    category: CategoryIndex,
    quantity: usize,
    around: Option<SeatIndex>,
    own: &[SeatIndex],
) -> Option<Seats> {
    let free = ledger.category_counts().get(category.at()).map_or(0, |counts| counts.available as usize);
    if quantity == 0 || free < quantity {
        return None;
    }
    let seats = ledger.apart(category, quantity, around, config.no_orphans)?;
    (!config.no_orphans || ledger.orphans(&seats, own).is_empty()).then_some(seats)
}

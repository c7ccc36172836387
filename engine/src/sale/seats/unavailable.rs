//! What a refusal of seats contains: the reason, the longest block that is left, and an alternative that would succeed. Must
//! never run for a hold that succeeds.

use crate::id::SeatIndex;
use crate::limits::INDEXED_RUN;
use crate::sale::command::Seats;
use crate::sale::config::SaleConfig;
use crate::sale::rejection::{Rejection, Unavailable};
use crate::sale::seats::best_block::{Apart, Asked};
use crate::sale::seats::ledger::Ledger;
use crate::sale::seats::orphans::{block_without_orphans, may_leave_one};

/// The refusal when no block of that size is left.
pub(crate) fn no_block(config: &SaleConfig, ledger: &Ledger, asked: Asked, quantity: u16) -> Rejection {
    let has_free = ledger.has_free(&asked);
    let quantity = usize::from(quantity);
    let reason = if has_free { Unavailable::NoBlock } else { Unavailable::SoldOut };
    let longest_block = if has_free { ledger.longest_below(&asked, quantity.max(1)) } else { 0 };
    let no_orphans = config.no_orphans;
    let alternative = seats_apart(ledger, &Apart { asked, quantity, around: None, no_orphans }, &[]);
    Rejection::SeatUnavailable { reason, taken: Seats::new(), longest_block, alternative }
}

/// The refusal when some of the named seats are `taken`, not counting `own` of the hold that is changed. The block and the
/// alternative are of the first seat's category, and of kinds that may replace its own.
pub(crate) fn not_free(
    config: &SaleConfig,
    ledger: &Ledger,
    seats: &[SeatIndex],
    own: &[SeatIndex],
    taken: Seats,
) -> Rejection {
    let Some(&first) = seats.first().filter(|_| ledger.counts().available > 0) else {
        return Rejection::SeatUnavailable { reason: Unavailable::SoldOut, taken, longest_block: 0, alternative: None };
    };
    let asked = Asked::instead_of(&ledger.plan, first);
    let longest_block = ledger.longest_below(&asked, INDEXED_RUN + 1);
    let (quantity, around, no_orphans) = (seats.len(), Some(first), config.no_orphans);
    let apart = || seats_apart(ledger, &Apart { asked, quantity, around, no_orphans }, own);
    let alternative = instead(config, ledger, seats, own).or_else(apart);
    Rejection::SeatUnavailable { reason: Unavailable::Taken, taken, longest_block, alternative }
}

/// Single seats or short runs, where there is no block.
fn seats_apart(ledger: &Ledger, wanted: &Apart, own: &[SeatIndex]) -> Option<Seats> {
    let counts = ledger.category_counts().get(wanted.asked.category.at());
    if wanted.quantity == 0 || counts.map_or(0, |counts| counts.available as usize) < wanted.quantity {
        return None;
    }
    let seats = ledger.apart(wanted)?;
    (!wanted.no_orphans || ledger.orphans(&seats, own).is_empty()).then_some(seats)
}

/// The nearest block that would succeed instead of these seats for a buyer who gives `own` back.
pub(crate) fn instead(config: &SaleConfig, ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> Option<Seats> {
    if !config.no_orphans {
        return ledger.alternative(seats, false);
    }
    let last = || ledger.alternative(seats, false).filter(|block| may_leave_one(ledger, block, own));
    block_without_orphans(ledger, seats, own).or_else(last)
}

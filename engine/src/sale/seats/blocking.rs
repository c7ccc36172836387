//! Seats that are not for sale: those of categories without a price, and those that are blocked one by one, by the rules or
//! by an operator while the sale goes on. Must never take a seat from a buyer: what is held or sold is not blocked.

use crate::id::{BuyerId, CategoryIndex, SeatIndex};
use crate::limits::MAX_BLOCKED_SEATS;
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::command::Seats;
use crate::sale::config::SaleConfig;
use crate::sale::decide::Decision;
use crate::sale::fact::{Fact, Facts};
use crate::sale::rejection::{Closed, Rejection, Unavailable};
use crate::sale::reply::SalePhase;
use crate::sale::seats::check_known;
use crate::sale::seats::ledger::{Ledger, SeatState};
use crate::sale::{Sale, SeatCounts};
use std::sync::Arc;

/// Seats that an operator takes out of the sale and brings back. Seats that are so already are no mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeatBlocking {
    /// Seats not to be sold, none of them twice.
    pub block: Box<[SeatIndex]>,
    /// Seats to be sold again, none of them twice nor among the others.
    pub unblock: Box<[SeatIndex]>,
    /// Why, for the record; at most [`crate::limits::MAX_MESSAGE_BYTES`].
    pub reason: Box<str>,
}

impl SaleConfig {
    /// What a seat of this category costs; `None` for one that is not for sale.
    #[must_use]
    pub fn price_of(&self, category: CategoryIndex) -> Option<Amount> {
        self.prices.get(category.at()).copied().flatten()
    }

    /// Whether seats of this category are sold at all.
    #[must_use]
    pub fn is_for_sale(&self, category: CategoryIndex) -> bool {
        self.price_of(category).is_some()
    }

    /// Whether this seat is blocked by itself, whatever its category.
    #[must_use]
    pub fn is_blocked(&self, seat: SeatIndex) -> bool {
        self.blocked.binary_search(&seat).is_ok()
    }

    /// The lowest and the highest price.
    #[must_use]
    pub fn price_range(&self) -> Option<(Amount, Amount)> {
        let prices = || self.prices.iter().flatten().copied();
        prices().min().zip(prices().max())
    }

    /// Every seat of the hall that these rules do not sell, in plan order.
    #[must_use]
    pub fn seats_not_for_sale(&self, plan: &Plan) -> Vec<SeatIndex> {
        let closed = plan.segments().iter().filter(|segment| !self.is_for_sale(segment.category));
        let closed = closed.flat_map(|segment| segment.seats.clone()).map(SeatIndex);
        let mut seats: Vec<SeatIndex> = closed.chain(self.blocked.iter().copied()).collect();
        seats.retain(|seat| plan.has(*seat));
        seats.sort_unstable();
        seats.dedup();
        seats
    }
}

impl SeatCounts {
    /// Whether every seat that is for sale is sold; false if none is for sale.
    #[must_use]
    pub fn is_sold_out(&self) -> bool {
        self.sold > 0 && self.sold.saturating_add(self.blocked) == self.total
    }
}

impl Sale {
    /// Seats are blocked and freed all together or not at all. Only what changes is in the facts.
    pub(crate) fn decide_blocking(&self, change: &SeatBlocking, by: BuyerId) -> Result<Decision, Rejection> {
        let (config, ledger) = self.on_sale()?;
        for seats in [&change.block, &change.unblock].into_iter().filter(|seats| !seats.is_empty()) {
            check_known(ledger, seats)?;
        }
        if self.phase == SalePhase::Cancelled {
            return Err(Rejection::SaleClosed(Closed::Cancelled));
        }
        let by_category = |seat: &&SeatIndex| !config.is_for_sale(ledger.plan.seat_category(**seat));
        let seats: Seats = change.unblock.iter().filter(by_category).copied().collect();
        if !seats.is_empty() {
            return Err(Rejection::SeatsNotForSale { seats });
        }
        let blocked = of_state(ledger, &change.block, SeatState::Free);
        let freed = of_state(ledger, &change.unblock, SeatState::Blocked);
        if config.blocked.len().saturating_add(blocked.len()) > MAX_BLOCKED_SEATS.saturating_add(freed.len()) {
            let limit = u32::try_from(MAX_BLOCKED_SEATS).unwrap_or(u32::MAX);
            return Err(Rejection::BlockLimitExceeded { limit });
        }
        let is_taken = |seat: &&SeatIndex| matches!(ledger.state(**seat), SeatState::Held | SeatState::Sold);
        let taken: Seats = change.block.iter().filter(is_taken).copied().collect();
        if !taken.is_empty() {
            return Err(Rejection::SeatUnavailable {
                reason: Unavailable::Taken,
                taken,
                longest_block: 0,
                alternative: None,
            });
        }
        let mut facts = Facts::new();
        if !blocked.is_empty() {
            facts.push(Fact::SeatsBlocked { seats: blocked, by, reason: change.reason.clone() });
        }
        if !freed.is_empty() {
            facts.push(Fact::SeatsUnblocked { seats: freed, by, reason: change.reason.clone() });
        }
        Ok(Decision::done(facts))
    }

    pub(crate) fn apply_blocking(&mut self, seats: &[SeatIndex]) {
        self.set_seats(seats, SeatState::Blocked);
        self.change_blocked(|blocked| {
            blocked.extend_from_slice(seats);
            blocked.sort_unstable();
            blocked.dedup();
        });
    }

    pub(crate) fn apply_unblocking(&mut self, seats: &[SeatIndex]) {
        self.set_seats(seats, SeatState::Free);
        self.change_blocked(|blocked| blocked.retain(|seat| seats.binary_search(seat).is_err()));
    }

    /// The rules list what is blocked, so that a change of other rules before the opening keeps it.
    fn change_blocked(&mut self, change: impl FnOnce(&mut Vec<SeatIndex>)) {
        let Some(config) = &self.config else { return };
        let mut blocked = config.blocked.to_vec();
        change(&mut blocked);
        // A new object, not the old one changed in place: readers without the view's lock notice other rules by its address.
        self.config = Some(Arc::new(SaleConfig { blocked: blocked.into(), ..SaleConfig::clone(config) }));
    }
}

/// Those of the seats that are in this state, in plan order.
fn of_state(ledger: &Ledger, seats: &[SeatIndex], state: SeatState) -> Box<[SeatIndex]> {
    let mut found: Vec<SeatIndex> = seats.iter().copied().filter(|seat| ledger.state(*seat) == state).collect();
    found.sort_unstable();
    found.into()
}

//! The seat ledger: which seats are free, held, sold or not for sale, with counts and the index of free runs. Dense; every
//! operation costs O(seats of the request). Must never know who holds a seat: that is the reservation's.

use crate::id::{CategoryIndex, SeatIndex};
use crate::plan::Plan;
use crate::sale::collections::bits::Bits;
use crate::sale::command::{Among, Seats};
use crate::sale::config::SaleConfig;
use crate::sale::reply::SeatCounts;
use crate::sale::seats::best_block::{Apart, Asked, Request, Runs};
use std::sync::Arc;

/// The state of a seat.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SeatState {
    Free,
    Held,
    Sold,
    /// Not for sale.
    Blocked,
}

impl SeatState {
    /// Held seats are free before, and sold ones free (bought by late money) or held; what is held or sold is not blocked.
    fn may_become(self, next: Self) -> bool {
        match next {
            Self::Free => self != Self::Free,
            Self::Held | Self::Blocked => self == Self::Free,
            Self::Sold => matches!(self, Self::Free | Self::Held),
        }
    }
}

/// The seats of one sale.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) plan: Arc<Plan>,
    free: Bits,
    sold: Bits,
    /// Seats that are not for sale. A hall that sells every seat has no such bitmap.
    blocked: Option<Box<Bits>>,
    counts: Vec<SeatCounts>,
    all: SeatCounts,
    runs: Runs,
}

impl Ledger {
    pub(crate) fn new(plan: Arc<Plan>) -> Self {
        let mut counts = vec![SeatCounts::default(); plan.categories().len()];
        for segment in plan.segments() {
            let count = &mut counts[segment.category.at()];
            let seats = count_of(segment.seats.len());
            count.total = count.total.saturating_add(seats);
            count.available = count.available.saturating_add(seats);
        }
        let total = count_of(plan.capacity());
        Self {
            free: Bits::new(plan.capacity(), true),
            sold: Bits::new(plan.capacity(), false),
            counts,
            blocked: None,
            all: SeatCounts { total, available: total, held: 0, sold: 0, blocked: 0 },
            runs: Runs::of_free_hall(&plan),
            plan,
        }
    }

    pub(crate) fn state(&self, seat: SeatIndex) -> SeatState {
        if self.free.contains(seat.at()) {
            SeatState::Free
        } else if self.sold.contains(seat.at()) {
            SeatState::Sold
        } else if self.is_blocked(seat) {
            SeatState::Blocked
        } else {
            SeatState::Held
        }
    }

    pub(crate) fn is_free(&self, seat: SeatIndex) -> bool {
        self.free.contains(seat.at())
    }

    fn is_blocked(&self, seat: SeatIndex) -> bool {
        self.blocked.as_ref().is_some_and(|blocked| blocked.contains(seat.at()))
    }

    pub(crate) fn counts(&self) -> SeatCounts {
        self.all
    }

    pub(crate) fn category_counts(&self) -> &[SeatCounts] {
        &self.counts
    }

    pub(crate) fn sold(&self) -> impl Iterator<Item = SeatIndex> + '_ {
        self.sold.iter().map(SeatIndex::from_at)
    }

    /// Held seats in order: scans the hall, for the seat map only.
    pub(crate) fn held(&self) -> impl Iterator<Item = SeatIndex> + '_ {
        let neither = self.free.in_neither(&self.sold).map(SeatIndex::from_at);
        neither.filter(|seat| !self.is_blocked(*seat))
    }

    /// Seats that are not for sale, in order.
    pub(crate) fn blocked(&self) -> impl Iterator<Item = SeatIndex> + '_ {
        self.blocked.iter().flat_map(|blocked| blocked.iter()).map(SeatIndex::from_at)
    }

    /// Blocks the seats that these rules do not sell, and frees those that they do. Held and sold seats stay: rules change only
    /// before there are any.
    pub(crate) fn follow_rules(&mut self, config: &SaleConfig) {
        let wanted = config.seats_not_for_sale(&self.plan);
        let freed: Vec<SeatIndex> = self.blocked().filter(|seat| wanted.binary_search(seat).is_err()).collect();
        let taken: Vec<SeatIndex> = wanted.into_iter().filter(|seat| self.is_free(*seat)).collect();
        self.set(&freed, SeatState::Free);
        self.set(&taken, SeatState::Blocked);
        if self.all.blocked == 0 {
            self.blocked = None;
        }
    }

    /// Moves seats to another state.
    ///
    /// # Panics
    /// When a seat would be in two hands, or two states: see [`SeatState::may_become`].
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "no count falls below zero, as is asserted, and all together are the seats"
    )]
    pub(crate) fn set(&mut self, seats: &[SeatIndex], state: SeatState) {
        for &seat in seats {
            let before = self.state(seat);
            assert!(before.may_become(state), "a seat in two hands: {before:?} to {state:?}");
            let count = &mut self.counts[self.plan.seat_category(seat).at()];
            for counts in [count, &mut self.all] {
                let left = counter(counts, before);
                assert!(*left > 0, "every seat is counted in its state");
                *left -= 1;
                *counter(counts, state) += 1;
            }
            if state == SeatState::Free {
                self.free.insert(seat.at())
            } else {
                self.free.remove(seat.at())
            }
            // Most seats go from free to held and back: that touches no cache line of the other bitmap.
            if state == SeatState::Sold {
                self.sold.insert(seat.at());
            } else if before == SeatState::Sold {
                self.sold.remove(seat.at());
            }
            if state == SeatState::Blocked {
                let none = || Box::new(Bits::new(self.plan.capacity(), false));
                self.blocked.get_or_insert_with(none).insert(seat.at());
            } else if before == SeatState::Blocked
                && let Some(blocked) = &mut self.blocked
            {
                blocked.remove(seat.at());
            }
        }
        let mut last = u32::MAX;
        for &seat in seats {
            let number = self.plan.seat_segment(seat);
            if number != last {
                self.runs.refresh(number as usize, &self.plan.segments()[number as usize], &self.free);
                last = number;
            }
        }
    }

    /// The best block of free seats.
    pub(crate) fn best(&self, category: CategoryIndex, quantity: u16, among: Among, no_orphans: bool) -> Option<Seats> {
        self.runs.best(
            &self.plan,
            &self.free,
            &Request { asked: Asked::of(category, among), quantity: usize::from(quantity) },
            no_orphans,
        )
    }

    /// The nearest block that could be had instead of these seats.
    pub(crate) fn alternative(&self, seats: &[SeatIndex], no_orphans: bool) -> Option<Seats> {
        let first = *seats.first()?;
        self.runs.nearest(&self.plan, &self.free, first, seats.len(), no_orphans)
    }

    /// The longest run of free seats that serve, shorter than `below`.
    pub(crate) fn longest_below(&self, asked: &Asked, below: usize) -> u16 {
        u16::try_from(self.runs.longest_below(&self.plan, &self.free, asked, below)).unwrap_or(u16::MAX)
    }

    /// Whether any seat that serves is free.
    pub(crate) fn has_free(&self, asked: &Asked) -> bool {
        self.runs.has_free(&self.plan, asked)
    }

    /// Free seats that serve, apart from each other.
    pub(crate) fn apart(&self, wanted: &Apart) -> Option<Seats> {
        self.runs.apart(&self.plan, &self.free, wanted)
    }

    /// A block as good as these seats: the nearest one of their category, if they are of one.
    pub(crate) fn equal_block(&self, seats: &[SeatIndex]) -> Option<Seats> {
        let category = self.plan.seat_category(*seats.first()?);
        let same = seats.iter().all(|&seat| self.plan.seat_category(seat) == category);
        same.then(|| self.alternative(seats, false)).flatten()
    }

    /// Whether these seats stand side by side in one segment.
    pub(crate) fn is_block(&self, seats: &[SeatIndex]) -> bool {
        let mut sorted: Seats = seats.into();
        sorted.sort_unstable();
        sorted.windows(2).all(|pair| {
            pair[1].0.checked_sub(pair[0].0) == Some(1)
                && self.plan.seat_segment(pair[0]) == self.plan.seat_segment(pair[1])
        })
    }
}

fn counter(counts: &mut SeatCounts, state: SeatState) -> &mut u32 {
    match state {
        SeatState::Free => &mut counts.available,
        SeatState::Held => &mut counts.held,
        SeatState::Sold => &mut counts.sold,
        SeatState::Blocked => &mut counts.blocked,
    }
}

/// Seats of one hall, at most [`crate::limits::MAX_SEATS`].
fn count_of(seats: usize) -> u32 {
    u32::try_from(seats).unwrap_or(u32::MAX)
}

//! Seats in the naive model: free, blocked, side by side, left alone; found by looking at every seat.

use super::{Model, No, Reservation};
use crate::id::SeatIndex;
use crate::sale::SeatBlocking;
use std::collections::BTreeSet;

impl Model {
    pub(super) fn owner(&self, seat: SeatIndex) -> Option<&Reservation> {
        self.reservations.values().find(|r| r.is_live() && r.seats.contains(&seat))
    }

    pub(super) fn free(&self) -> BTreeSet<SeatIndex> {
        (0..self.seats.len() as u32).map(SeatIndex).filter(|seat| !self.is_taken(*seat)).collect()
    }

    pub(super) fn is_blocked(&self, seat: SeatIndex) -> bool {
        self.seats[seat.at()].price.is_none() || self.blocked.contains(&seat)
    }

    /// Whether nobody can have it.
    pub(super) fn is_taken(&self, seat: SeatIndex) -> bool {
        self.owner(seat).is_some() || self.is_blocked(seat)
    }

    /// Free seats of a category.
    pub(super) fn free_of(&self, letter: char) -> usize {
        self.free().iter().filter(|seat| self.seats[seat.at()].letter == letter).count()
    }

    pub(super) fn side_by_side(&self, a: SeatIndex, b: SeatIndex) -> bool {
        let (a, b) = (&self.seats[a.at()], &self.seats[b.at()]);
        a.row == b.row && a.column.abs_diff(b.column) == 1 && a.letter == b.letter
    }

    pub(super) fn is_block(&self, seats: &[SeatIndex]) -> bool {
        let mut seats = seats.to_vec();
        seats.sort_unstable();
        seats.windows(2).all(|pair| self.side_by_side(pair[0], pair[1]))
    }

    pub(super) fn single(&self, free: &BTreeSet<SeatIndex>) -> BTreeSet<SeatIndex> {
        free.iter().copied().filter(|seat| !free.iter().any(|other| self.side_by_side(*seat, *other))).collect()
    }

    /// Seats left alone by taking `seats` and giving `own` back, that are not alone already.
    pub(super) fn orphans(&self, seats: &[SeatIndex], own: &[SeatIndex]) -> BTreeSet<SeatIndex> {
        let before = self.free();
        let mut after = before.clone();
        after.extend(own);
        seats.iter().for_each(|seat| {
            after.remove(seat);
        });
        &self.single(&after) - &self.single(&before)
    }

    /// Every block of free seats of that size in a category.
    pub(super) fn blocks(&self, letter: char, size: usize) -> Vec<Vec<SeatIndex>> {
        let free = self.free();
        let of = |first: u32| (first..first + size as u32).map(SeatIndex).collect::<Vec<_>>();
        let serves = |block: &Vec<SeatIndex>| {
            block.iter().all(|seat| free.contains(seat) && self.seats[seat.at()].letter == letter)
                && self.is_block(block)
        };
        if size == 0 { Vec::new() } else { (0..self.seats.len() as u32).map(of).filter(serves).collect() }
    }

    pub(super) fn price(&self, seats: &[SeatIndex]) -> i64 {
        seats.iter().map(|seat| self.seats[seat.at()].price.unwrap()).sum()
    }

    /// An operator's blocking and freeing.
    pub(super) fn may_block(&self, change: &SeatBlocking) -> Result<(), No> {
        let mut all = change.block.iter().chain(&change.unblock);
        if all.any(|seat| seat.at() >= self.seats.len()) {
            return Err("SeatNotFound");
        }
        if self.cancelled {
            return Err("SaleClosed");
        }
        if change.unblock.iter().any(|seat| self.seats[seat.at()].price.is_none()) {
            return Err("SeatsNotForSale");
        }
        if change.block.iter().any(|seat| self.owner(*seat).is_some()) { Err("SeatUnavailable") } else { Ok(()) }
    }

    pub(super) fn block(&mut self, change: &SeatBlocking) {
        let closed: Vec<SeatIndex> = change.block.iter().copied().filter(|seat| !self.is_blocked(*seat)).collect();
        self.blocked.extend(closed);
        self.blocked.retain(|seat| !change.unblock.contains(seat));
    }
}

//! Holds in the naive model: which may be made, changed and released, and what follows.

use super::{Answer, Model, No, Place, Reservation};
use crate::id::{BuyerId, ReservationId, SeatIndex};
use crate::sale::{ChangeHold, Hold, PaymentFailure, ReservationStatus, Selection};
use crate::time::Timestamp;
use std::collections::BTreeSet;

impl Model {
    pub(super) fn has(&self, buyer: BuyerId) -> usize {
        self.reservations.values().filter(|r| r.buyer == buyer && r.is_live()).map(|r| r.seats.len()).sum()
    }

    pub(super) fn holds(&self, buyer: BuyerId) -> bool {
        self.reservations.values().any(|r| r.buyer == buyer && r.status == ReservationStatus::Pending)
    }

    /// `Ok(true)` when the answer is an old one.
    pub(super) fn may_hold(&self, hold: &Hold, now: Timestamp) -> Result<bool, No> {
        if self.recall(hold.key, now)? {
            return Ok(true);
        }
        let size = match &hold.selection {
            Selection::These(seats) if seats.is_empty() || seats.iter().any(|seat| seat.at() >= self.seats.len()) => {
                return Err("SeatNotFound");
            }
            Selection::These(seats) => seats.len(),
            Selection::Best { quantity, .. } => usize::from(*quantity),
        };
        if self.cancelled {
            return Err("SaleCancelled");
        }
        let is_over = now >= self.rules.sale_ends_at;
        if !self.may_shop(hold.buyer, hold.slot, now) {
            return Err(if is_over && hold.slot.is_some() { "SaleClosed" } else { "NoSlot" });
        }
        if is_over {
            return Err("SaleClosed");
        }
        if now < self.rules.sale_starts_at {
            return Err("SaleNotOpen");
        }
        if self.has(hold.buyer) + size > usize::from(self.rules.max_seats_per_buyer) {
            return Err("SeatLimitExceeded");
        }
        if self.made(hold.buyer) >= self.rules.admission.max_holds_per_slot {
            return Err("HoldLimitExceeded");
        }
        let seats = match &hold.selection {
            Selection::These(seats) => seats,
            Selection::Best { category, .. } if self.rules.prices[category.at()].is_none() => {
                return Err("CategoryNotForSale");
            }
            Selection::Best { .. } => return Ok(false),
        };
        if seats.iter().any(|seat| self.is_taken(*seat)) {
            return Err("SeatUnavailable");
        }
        if self.rules.no_orphans && !self.orphans(seats, &[]).is_empty() {
            let letter = self.seats[seats[0].at()].letter;
            let another = self.blocks(letter, seats.len()).iter().any(|block| self.orphans(block, &[]).is_empty());
            if another || !self.is_block(seats) {
                return Err("OrphanSeat");
            }
        }
        Ok(false)
    }

    pub(super) fn own(&self, buyer: BuyerId, id: ReservationId) -> Result<&Reservation, No> {
        self.reservations.get(&id).filter(|r| r.buyer == buyer).ok_or("ReservationNotFound")
    }

    pub(super) fn may_change(&self, change: &ChangeHold, now: Timestamp) -> Result<(), No> {
        let hold = self.own(change.buyer, change.reservation)?;
        if change.seats.is_empty() || change.seats.iter().any(|seat| seat.at() >= self.seats.len()) {
            return Err("SeatNotFound");
        }
        match hold.status {
            _ if self.cancelled => return Err("SaleCancelled"),
            ReservationStatus::Expired => return Err("HoldExpired"),
            ReservationStatus::Pending => {}
            _ => return Err("NotPending"),
        }
        if self.charging(change.reservation).is_some() {
            return Err("PaymentInProgress");
        }
        if hold.expires_at <= now {
            return Err("HoldExpired");
        }
        if self.has(change.buyer) - hold.seats.len() + change.seats.len() > usize::from(self.rules.max_seats_per_buyer)
        {
            return Err("SeatLimitExceeded");
        }
        let taken = |seat: &SeatIndex| self.is_taken(*seat) && !hold.seats.contains(seat);
        if change.seats.iter().any(taken) { Err("SeatUnavailable") } else { Ok(()) }
    }

    pub(super) fn may_release(&self, buyer: BuyerId, id: ReservationId) -> Result<(), No> {
        match self.own(buyer, id)?.status {
            ReservationStatus::Confirmed => Err("NotPending"),
            ReservationStatus::Pending if self.charging(id).is_some() => Err("PaymentInProgress"),
            _ => Ok(()),
        }
    }

    pub(super) fn hold(&mut self, hold: &Hold, seats: Vec<SeatIndex>, now: Timestamp) {
        let (amount, expires_at) = (self.price(&seats), now + self.rules.hold);
        let status = ReservationStatus::Pending;
        let reservation = Reservation { buyer: hold.buyer, seats, status, amount, expires_at };
        self.reservations.insert(hold.reservation, reservation);
        if let (true, Some(Place::Active { made, .. })) = (self.steering.required, self.places.get_mut(&hold.buyer)) {
            *made += 1;
        }
        self.remember(hold.key, now, Answer::Reservation);
    }

    pub(super) fn reservation(&mut self, id: ReservationId) -> &mut Reservation {
        self.reservations.get_mut(&id).unwrap()
    }

    /// Whether anything changed.
    pub(super) fn change(&mut self, change: &ChangeHold) -> bool {
        let asked: BTreeSet<_> = change.seats.iter().copied().collect();
        if asked == self.reservations[&change.reservation].seats.iter().copied().collect() {
            return false;
        }
        let amount = self.price(&change.seats);
        let hold = self.reservation(change.reservation);
        (hold.seats, hold.amount) = (change.seats.to_vec(), amount);
        self.fail_opened(change.reservation, PaymentFailure::HoldEnded);
        true
    }

    pub(super) fn end(&mut self, id: ReservationId, status: ReservationStatus, reason: PaymentFailure) {
        self.reservation(id).status = status;
        self.fail_opened(id, reason);
    }
}

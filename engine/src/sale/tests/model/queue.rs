//! The waiting room of the naive model: who waits, who may shop, and when the next admission is due.

use super::{Model, No, Place};
use crate::id::{BuyerId, Slot};
use crate::limits::EXPIRED_SHOWN_FOR;
use crate::sale::PlaceStatus;
use crate::time::Timestamp;
use std::time::Duration;

impl Model {
    pub(super) fn may_shop(&self, buyer: BuyerId, shown: Option<Slot>, now: Timestamp) -> bool {
        match self.places.get(&buyer) {
            _ if !self.steering.required => true,
            Some(Place::Active { slot, expires_at, .. }) => shown == Some(*slot) && *expires_at > now,
            _ => false,
        }
    }

    /// Holds that the buyer has made with a slot that was needed.
    pub(super) fn made(&self, buyer: BuyerId) -> u16 {
        match self.places.get(&buyer) {
            Some(Place::Active { made, .. }) if self.steering.required => *made,
            _ => 0,
        }
    }

    /// `Ok(true)` when the place stands as it is.
    pub(super) fn may_enter(&self, buyer: BuyerId, now: Timestamp) -> Result<bool, No> {
        let stands = match self.places.get(&buyer) {
            Some(Place::Waiting { .. }) => now < self.rules.sale_ends_at,
            Some(Place::Active { expires_at, .. }) => self.slot_ends(*expires_at) > now || self.holds(buyer),
            _ => false,
        };
        if stands && !self.cancelled {
            return Ok(true);
        }
        if self.rules.admission.room_opens_at.is_some_and(|opens| now < opens) {
            return Err("SaleNotOpen");
        }
        if self.cancelled || self.steering.closed || now >= self.rules.sale_ends_at {
            return Err("SaleClosed");
        }
        if !self.steering.required {
            return Ok(true);
        }
        if self.waiting().len() as u64 >= self.rules.admission.capacity { Err("QueueFull") } else { Ok(false) }
    }

    pub(super) fn waiting(&self) -> Vec<BuyerId> {
        let joined = |(buyer, place): (&BuyerId, &Place)| match place {
            Place::Waiting { joined } => Some((*joined, *buyer)),
            _ => None,
        };
        let mut line: Vec<_> = self.places.iter().filter_map(joined).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, buyer)| buyer).collect()
    }

    pub(super) fn active(&self) -> u64 {
        self.places.values().filter(|place| matches!(place, Place::Active { .. })).count() as u64
    }

    pub(super) fn admitted(&self) -> u64 {
        self.dues.len() as u64
    }

    pub(super) fn join(&mut self, buyer: BuyerId) {
        self.joined += 1;
        self.places.insert(buyer, Place::Waiting { joined: self.joined });
    }

    pub(super) fn place(&self, buyer: BuyerId, now: Timestamp) -> Option<PlaceStatus> {
        let is_over = self.cancelled || now >= self.rules.sale_ends_at;
        if !self.steering.required && is_over {
            return Some(PlaceStatus::Expired);
        }
        if !self.steering.required {
            return Some(PlaceStatus::Active { slot: None, expires_at: self.rules.sale_ends_at, may_hold: true });
        }
        let rank = || self.waiting().iter().position(|other| *other == buyer).unwrap() as u64 + 1;
        match *self.places.get(&buyer)? {
            Place::Waiting { .. } if is_over => Some(PlaceStatus::Expired),
            Place::Active { .. } if self.cancelled => Some(PlaceStatus::Expired),
            Place::Waiting { .. } if now < self.rules.sale_starts_at => {
                Some(PlaceStatus::PreQueue { rank: Some(rank()) })
            }
            Place::Waiting { .. } => Some(PlaceStatus::Waiting { rank: rank() }),
            Place::Active { expires_at, .. } if self.slot_ends(expires_at) <= now && !self.holds(buyer) => {
                Some(PlaceStatus::Expired)
            }
            Place::Active { slot, expires_at, .. } => {
                let expires_at = self.slot_ends(expires_at);
                Some(PlaceStatus::Active { slot: Some(slot), expires_at, may_hold: expires_at > now })
            }
            Place::Expired { at } => (at + EXPIRED_SHOWN_FOR > now).then_some(PlaceStatus::Expired),
        }
    }

    /// The end of the sale is the end of every slot.
    pub(super) fn slot_ends(&self, expires_at: Timestamp) -> Timestamp {
        expires_at.min(self.rules.sale_ends_at)
    }

    /// Notes since when a buyer could be admitted; to be called after every change.
    pub(super) fn note(&mut self, now: Timestamp) {
        let below = self.steering.active_limit.is_none_or(|limit| self.active() < limit);
        let open = self.steering.required && !self.steering.paused && !self.steering.closed && !self.cancelled;
        let possible = open && below && !self.waiting().is_empty() && !self.free().is_empty();
        self.possible_since = match self.possible_since {
            _ if !possible => None,
            None => Some(now.max(self.rules.sale_starts_at)),
            since => since,
        };
    }

    /// When the next admission is due: evenly, and so many in any second.
    pub(super) fn admission_due(&self) -> Option<Timestamp> {
        let rate = self.steering.rate_per_second as usize;
        let mut due = self.possible_since?;
        if let Some(last) = self.dues.last() {
            due = due.max(*last + Duration::from_micros(1_000_000 / rate as u64));
        }
        if self.dues.len() >= rate {
            due = due.max(self.dues[self.dues.len() - rate] + Duration::from_secs(1));
        }
        Some(due)
    }
}

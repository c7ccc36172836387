//! Reservations and their payments by id, how many seats each buyer has, and when holds end. Ended reservations
//! stay for a while, the oldest forgotten first. Must never touch seats: that is the ledger's.

use crate::id::{BuyerId, PaymentId, ReservationId, Seq};
use crate::limits::ENDED_RESERVATIONS_KEPT;
use crate::sale::on_demand::Empty;
use crate::sale::reply::{PaymentStatus, ReservationStatus};
use crate::sale::slab::Slab;
use crate::sale::snapshot::{PaymentRow, ReservationRow};
use crate::time::Timestamp;
use hashbrown::HashMap;
use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;

/// A reservation and what only the sale knows of it.
#[derive(Clone)]
pub(crate) struct Reservation {
    pub(crate) row: ReservationRow,
    /// Every payment opened for it, the newest last.
    pub(crate) payments: Vec<PaymentId>,
    /// Until when a charge keeps the hold from expiring.
    pub(crate) charging_until: Option<Timestamp>,
}

impl Reservation {
    /// When the hold ends, a running charge considered.
    pub(crate) fn deadline(&self) -> Timestamp {
        let view = &self.row.view;
        self.charging_until.map_or(view.hold_expires_at, |until| until.max(view.hold_expires_at))
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.row.view.status, ReservationStatus::Pending | ReservationStatus::Confirmed)
    }
}

/// What one buyer has of this sale.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct BuyerSeats {
    /// Seats pending and confirmed.
    pub(crate) seats: u16,
    /// Pending holds.
    pub(crate) holds: u16,
}

/// All reservations in memory.
#[derive(Default, Clone)]
pub(crate) struct Reservations {
    slab: Slab<Reservation>,
    index: HashMap<ReservationId, u32>,
    buyers: HashMap<BuyerId, BuyerSeats>,
    payments: HashMap<PaymentId, PaymentRow>,
    ended: VecDeque<ReservationId>,
    /// Deadlines of holds as they were made: in order, because every hold lasts equally long.
    deadlines: VecDeque<(Timestamp, Seq, u32)>,
    /// Deadlines that moved, by a charge or its end.
    moved: BTreeSet<(Timestamp, Seq, u32)>,
    live: u64,
}

impl Empty for Reservations {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Reservations> = LazyLock::new(Reservations::default);
        &EMPTY
    }
}

impl Reservations {
    pub(crate) fn get(&self, id: ReservationId) -> Option<&Reservation> {
        self.slab[*self.index.get(&id)?].as_ref()
    }

    pub(crate) fn buyer(&self, buyer: BuyerId) -> BuyerSeats {
        self.buyers.get(&buyer).copied().unwrap_or_default()
    }

    /// Pending and confirmed ones.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reservation> {
        self.slab.iter()
    }

    pub(crate) fn insert(&mut self, row: ReservationRow) {
        let (id, buyer) = (row.view.id, row.view.buyer);
        let (seats, deadline, born) = (row.view.seats.len() as u16, row.view.hold_expires_at, row.born);
        let reservation = Reservation { row, payments: Vec::new(), charging_until: None };
        let (live, pending) = (reservation.is_live(), reservation.row.view.status == ReservationStatus::Pending);
        let key = self.slab.insert(reservation);
        self.index.insert(id, key);
        if live {
            self.live += 1;
            let has = self.buyers.entry(buyer).or_default();
            has.seats += seats;
            has.holds += u16::from(pending);
        } else {
            self.ended.push_back(id);
        }
        if pending {
            if self.deadlines.back().is_none_or(|(last, _, _)| *last <= deadline) {
                self.deadlines.push_back((deadline, born, key));
            } else {
                self.moved.insert((deadline, born, key));
            }
        }
    }

    /// Changes a reservation through `change` and keeps every count and deadline right.
    pub(crate) fn update(&mut self, id: ReservationId, change: impl FnOnce(&mut Reservation)) {
        self.alter(id, change);
        self.drop_old_deadlines();
        self.forget_oldest();
    }

    fn alter(&mut self, id: ReservationId, change: impl FnOnce(&mut Reservation)) {
        let Some(&key) = self.index.get(&id) else { return };
        let Some(reservation) = self.slab[key].as_mut() else { return };
        let before = weight(reservation);
        let (was_live, old_deadline) = (reservation.is_live(), reservation.deadline());
        change(reservation);
        let after = weight(reservation);
        let (is_live, deadline, born) = (reservation.is_live(), reservation.deadline(), reservation.row.born);
        let pending = reservation.row.view.status == ReservationStatus::Pending;
        let buyer = reservation.row.view.buyer;
        if before != after {
            let has = self.buyers.entry(buyer).or_default();
            has.seats = has.seats + after.seats - before.seats;
            has.holds = has.holds + after.holds - before.holds;
            if *has == BuyerSeats::default() {
                self.buyers.remove(&buyer);
            }
        }
        match (was_live, is_live) {
            (true, false) => {
                self.live -= 1;
                self.ended.push_back(id);
            }
            (false, true) => {
                self.live += 1;
                self.ended.retain(|ended| *ended != id);
            }
            (true, true) | (false, false) => {}
        }
        if pending && deadline != old_deadline {
            self.moved.insert((deadline, born, key));
        }
    }

    /// The pending hold that ends next, and when.
    pub(crate) fn next_deadline(&self) -> Option<(Timestamp, ReservationId)> {
        let first = self.deadlines.front().into_iter().chain(self.moved.first()).min()?;
        let reservation = self.slab[first.2].as_ref()?;
        Some((first.0, reservation.row.view.id))
    }

    /// Drops deadlines that are not true any more from the front.
    fn drop_old_deadlines(&mut self) {
        while self.deadlines.front().is_some_and(|deadline| !self.stands(deadline)) {
            self.deadlines.pop_front();
        }
        while self.moved.first().is_some_and(|deadline| !self.stands(deadline)) {
            self.moved.pop_first();
        }
    }

    /// Drops ended reservations beyond the bound, the oldest first, though none whose money is open.
    fn forget_oldest(&mut self) {
        while self.ended.len() > ENDED_RESERVATIONS_KEPT {
            let Some(oldest) = self.ended.pop_front() else { break };
            if self.has_open_money(oldest) {
                self.ended.push_back(oldest);
                break;
            }
            let Some(key) = self.index.remove(&oldest) else { continue };
            let payments = self.slab.remove(key).map(|reservation| reservation.payments);
            for payment in payments.into_iter().flatten() {
                self.payments.remove(&payment);
            }
        }
    }

    /// Whether a charge or a refund of it has not come to its end.
    fn has_open_money(&self, id: ReservationId) -> bool {
        let payments = self.get(id).map(|reservation| reservation.payments.as_slice()).unwrap_or_default();
        payments.iter().filter_map(|payment| self.payments.get(payment)).any(|row| match row.view.status {
            PaymentStatus::Charging | PaymentStatus::Refunded { settled: false, .. } => true,
            PaymentStatus::Opened
            | PaymentStatus::Captured
            | PaymentStatus::Failed(_)
            | PaymentStatus::Refunded { settled: true, .. } => false,
        })
    }

    pub(crate) fn payment(&self, id: PaymentId) -> Option<&PaymentRow> {
        self.payments.get(&id)
    }

    /// All payments, in no order.
    pub(crate) fn payments(&self) -> impl Iterator<Item = &PaymentRow> {
        self.payments.values()
    }

    /// The payment opened last for a reservation.
    pub(crate) fn last_payment(&self, id: ReservationId) -> Option<&PaymentRow> {
        self.payments.get(self.get(id)?.payments.last()?)
    }

    pub(crate) fn open_payment(&mut self, row: PaymentRow) {
        self.attach(row);
        self.drop_old_deadlines();
        self.forget_oldest();
    }

    fn attach(&mut self, row: PaymentRow) {
        let (payment, charging) = (row.view.id, row.charging_until);
        self.alter(row.view.reservation, |reservation| {
            reservation.payments.push(payment);
            reservation.charging_until = charging;
        });
        self.payments.insert(payment, row);
    }

    /// Changes a payment through `change`; its reservation's deadline follows.
    pub(crate) fn update_payment(&mut self, id: PaymentId, change: impl FnOnce(&mut PaymentRow)) {
        let Some(row) = self.payments.get_mut(&id) else { return };
        change(row);
        let (reservation, until) = (row.view.reservation, row.charging_until);
        self.update(reservation, |reservation| {
            if reservation.payments.last() == Some(&id) {
                reservation.charging_until = until;
            }
        });
    }

    /// All payments, in the order of their opening.
    pub(crate) fn payment_rows(&self) -> Vec<PaymentRow> {
        let mut rows: Vec<_> = self.payments.values().cloned().collect();
        rows.sort_by_key(|row| row.born);
        rows
    }

    fn stands(&self, (at, born, key): &(Timestamp, Seq, u32)) -> bool {
        self.slab[*key].as_ref().is_some_and(|reservation| {
            reservation.row.born == *born
                && reservation.row.view.status == ReservationStatus::Pending
                && reservation.deadline() == *at
        })
    }

    /// Live ones in the order of their making, then ended ones in the order of their ending.
    pub(crate) fn rows(&self) -> Vec<ReservationRow> {
        let mut live: Vec<_> = self.iter().filter(|r| r.is_live()).map(|r| r.row.clone()).collect();
        live.sort_by_key(|row| row.born);
        live.extend(self.ended.iter().filter_map(|id| self.get(*id)).map(|r| r.row.clone()));
        live
    }

    /// Live ones, the oldest first; walks all, for the sweep after a cancellation.
    pub(crate) fn live_ones(&self) -> BTreeSet<(Seq, ReservationId)> {
        self.iter().filter(|r| r.is_live()).map(|r| (r.row.born, r.row.view.id)).collect()
    }

    /// From a snapshot's rows. Forgets nothing: what is to be forgotten next depends on facts alone.
    pub(crate) fn from_rows(rows: Vec<ReservationRow>, payments: Vec<PaymentRow>) -> Self {
        let mut all = Self::default();
        let (mut pending, rest): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.view.status == ReservationStatus::Pending);
        pending.sort_by_key(|row| (row.view.hold_expires_at, row.born));
        pending.into_iter().chain(rest).for_each(|row| all.insert(row));
        payments.into_iter().for_each(|row| all.attach(row));
        all.drop_old_deadlines();
        all
    }

    /// Buyers and what they have, for checks.
    pub(crate) fn buyers(&self) -> &HashMap<BuyerId, BuyerSeats> {
        &self.buyers
    }
}

fn weight(reservation: &Reservation) -> BuyerSeats {
    if !reservation.is_live() {
        return BuyerSeats::default();
    }
    let pending = reservation.row.view.status == ReservationStatus::Pending;
    BuyerSeats { seats: reservation.row.view.seats.len() as u16, holds: u16::from(pending) }
}

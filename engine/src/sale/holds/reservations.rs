//! Reservations and their payments by id, how many seats each buyer has, and when holds end. Ended reservations
//! stay for a while, the oldest forgotten first. Must never touch seats: that is the ledger's.

use crate::id::{BuyerId, PaymentId, ReservationId, Seq, TicketSerial};
use crate::limits::ENDED_RESERVATIONS_KEPT;
use crate::sale::collections::fifo::Fifo;
use crate::sale::collections::index::Index;
use crate::sale::collections::lazy::Empty;
use crate::sale::collections::slab::Slab;
use crate::sale::collections::sorted::Sorted;
use crate::sale::collections::table::{Keyed, Table};
use crate::sale::fact::PaymentFailure;
use crate::sale::holds::reservation::Reservation;
use crate::sale::reply::{PaymentStatus, ReservationStatus};
use crate::sale::snapshot::{PaymentRow, ReservationRow};
use crate::time::Timestamp;
use std::sync::LazyLock;

/// What one buyer has of this sale.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(crate) struct BuyerSeats {
    /// Seats pending and confirmed.
    pub(crate) seats: u16,
    /// Pending holds.
    pub(crate) holds: u16,
}

impl BuyerSeats {
    /// After a reservation that counted as `before` counts as `after`.
    #[expect(
        clippy::arithmetic_side_effects,
        reason = "asserted not to fall below zero, and bounded by the limit of a buyer"
    )]
    fn with(self, before: Self, after: Self) -> Self {
        assert!(self.seats >= before.seats && self.holds >= before.holds, "a buyer has what each reservation counts");
        Self { seats: self.seats - before.seats + after.seats, holds: self.holds - before.holds + after.holds }
    }
}

/// All reservations in memory.
#[derive(Default, Clone)]
pub(crate) struct Reservations {
    slab: Slab<Reservation>,
    by_id: Index,
    /// Buyers with seats.
    buyers: Slab<(BuyerId, BuyerSeats)>,
    by_buyer: Index,
    payments: Table<PaymentRow>,
    ended: Fifo<ReservationId>,
    /// When each pending hold ends, with its row: nearly in the order of creation, because every hold lasts equally long.
    deadlines: Sorted<(Timestamp, Seq, u32)>,
    /// Pending and confirmed ones in the order of creation, with their rows.
    live: Sorted<(Seq, u32)>,
}

impl Empty for Reservations {
    fn empty() -> &'static Self {
        static EMPTY: LazyLock<Reservations> = LazyLock::new(Reservations::default);
        &EMPTY
    }
}

impl Reservations {
    pub(crate) fn get(&self, id: ReservationId) -> Option<&Reservation> {
        self.slab[self.find(id)?].as_ref()
    }

    fn find(&self, id: ReservationId) -> Option<u32> {
        self.by_id.find(&id, |row| self.slab[row].as_ref().is_some_and(|reservation| reservation.id == id))
    }

    pub(crate) fn buyer(&self, buyer: BuyerId) -> BuyerSeats {
        let row = self.find_buyer(buyer).and_then(|row| self.buyers[row].as_ref());
        row.map(|(_, has)| *has).unwrap_or_default()
    }

    fn find_buyer(&self, buyer: BuyerId) -> Option<u32> {
        self.by_buyer.find(&buyer, |row| self.buyers[row].as_ref().is_some_and(|(other, _)| *other == buyer))
    }

    /// Counts seats and holds of a buyer that begin or end, and returns what they had before and have now.
    fn count(&mut self, buyer: BuyerId, before: BuyerSeats, after: BuyerSeats) -> (BuyerSeats, BuyerSeats) {
        let row = self.find_buyer(buyer);
        let had = row.and_then(|row| self.buyers[row].as_ref()).map(|(_, has)| *has).unwrap_or_default();
        let has = had.with(before, after);
        match row {
            Some(row) if has == BuyerSeats::default() => {
                self.by_buyer.remove(&buyer, |other| other == row);
                self.buyers.remove(row);
            }
            Some(row) => self.buyers[row] = Some((buyer, has)),
            None => {
                let row = self.buyers.insert((buyer, has));
                self.by_buyer.insert(&buyer, row);
            }
        }
        (had, has)
    }

    /// Pending and confirmed ones.
    pub(crate) fn live(&self) -> u64 {
        self.live.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Reservation> {
        self.slab.iter()
    }

    /// Adds a new one; returns whether it is its buyer's first pending hold.
    pub(crate) fn insert(&mut self, row: ReservationRow) -> bool {
        let reservation = Reservation::new(row);
        let (id, buyer, deadline, created_seq) =
            (reservation.id, reservation.buyer, reservation.hold_expires_at, reservation.created_seq);
        let (live, pending) = (reservation.is_live(), reservation.status == ReservationStatus::Pending);
        let weight = weight(&reservation);
        let key = self.slab.insert(reservation);
        self.by_id.insert(&id, key);
        let mut is_first = false;
        if live {
            self.live.insert((created_seq, key));
            let (had, _) = self.count(buyer, BuyerSeats::default(), weight);
            is_first = pending && had.holds == 0;
        } else {
            self.ended.push_back(id);
        }
        if pending {
            self.deadlines.insert((deadline, created_seq, key));
        }
        is_first
    }

    /// Changes a reservation through `change` and keeps every count and deadline right.
    pub(crate) fn update(&mut self, id: ReservationId, change: impl FnOnce(&mut Reservation)) {
        self.alter(id, change);
        self.forget_oldest();
    }

    fn alter(&mut self, id: ReservationId, change: impl FnOnce(&mut Reservation)) {
        let Some(key) = self.find(id) else { return };
        let Some(reservation) = self.slab[key].as_mut() else { return };
        let before = weight(reservation);
        let (was_live, old_deadline) = (reservation.is_live(), reservation.deadline());
        let was_pending = reservation.status == ReservationStatus::Pending;
        change(reservation);
        let after = weight(reservation);
        let (is_live, deadline, created_seq) = (reservation.is_live(), reservation.deadline(), reservation.created_seq);
        let pending = reservation.status == ReservationStatus::Pending;
        let buyer = reservation.buyer;
        if before != after {
            self.count(buyer, before, after);
        }
        match (was_live, is_live) {
            (true, false) => {
                self.live.remove(&(created_seq, key));
                self.ended.push_back(id);
            }
            (false, true) => {
                self.live.insert((created_seq, key));
                self.ended.remove(|ended| *ended == id);
            }
            (true, true) | (false, false) => {}
        }
        if (was_pending, old_deadline) != (pending, deadline) {
            if was_pending {
                self.deadlines.remove(&(old_deadline, created_seq, key));
            }
            if pending {
                self.deadlines.insert((deadline, created_seq, key));
            }
        }
    }

    /// The pending hold that ends next, and when.
    pub(crate) fn next_deadline(&self) -> Option<(Timestamp, ReservationId)> {
        let first = self.deadlines.first()?;
        let reservation = self.slab[first.2].as_ref()?;
        Some((first.0, reservation.id))
    }

    /// Drops ended reservations beyond the bound, the oldest first, though none whose money is open.
    fn forget_oldest(&mut self) {
        while self.ended.len() > ENDED_RESERVATIONS_KEPT {
            let Some(oldest) = self.ended.pop_front() else { break };
            if self.has_open_money(oldest) {
                self.ended.push_back(oldest);
                break;
            }
            let Some(key) = self.find(oldest) else { continue };
            self.by_id.remove(&oldest, |row| row == key);
            let Some(reservation) = self.slab.remove(key) else { continue };
            for payment in reservation.payments() {
                self.payments.remove(*payment);
            }
        }
    }

    /// Whether a charge or a refund of it is not settled.
    fn has_open_money(&self, id: ReservationId) -> bool {
        let payments = self.get(id).map(Reservation::payments).unwrap_or_default();
        payments.iter().filter_map(|payment| self.payments.get(*payment)).any(|row| match row.view.status {
            PaymentStatus::Charging | PaymentStatus::Refunded { settled: false, .. } => true,
            PaymentStatus::Opened
            | PaymentStatus::Captured
            | PaymentStatus::Failed(_)
            | PaymentStatus::Refunded { settled: true, .. } => false,
        })
    }

    pub(crate) fn payment(&self, id: PaymentId) -> Option<&PaymentRow> {
        self.payments.get(id)
    }

    /// All payments, in no order.
    pub(crate) fn payments(&self) -> impl Iterator<Item = &PaymentRow> {
        self.payments.iter()
    }

    /// The payment opened last for a reservation.
    pub(crate) fn last_payment(&self, id: ReservationId) -> Option<&PaymentRow> {
        self.payments.get(*self.get(id)?.payments().last()?)
    }

    pub(crate) fn open_payment(&mut self, row: PaymentRow) {
        self.attach(row);
        self.forget_oldest();
    }

    fn attach(&mut self, row: PaymentRow) {
        let (payment, charging, declined) = (row.view.id, row.charging_until, is_declined(&row));
        self.alter(row.view.reservation, |reservation| {
            let purchase = reservation.purchase_mut();
            purchase.payments.push(payment);
            purchase.charging_until = charging;
            purchase.declined = purchase.declined.saturating_add(u16::from(declined));
        });
        self.payments.insert(row);
    }

    /// Changes a payment through `change`; its reservation's deadline and its count of declined charges follow.
    pub(crate) fn update_payment(&mut self, id: PaymentId, change: impl FnOnce(&mut PaymentRow)) {
        let Some(row) = self.payments.get_mut(id) else { return };
        let was_declined = is_declined(row);
        change(row);
        let (reservation, until) = (row.view.reservation, row.charging_until);
        let declined = is_declined(row);
        self.update(reservation, |reservation| {
            if was_declined != declined {
                let purchase = reservation.purchase_mut();
                assert!(declined || purchase.declined > 0, "every declined charge was counted");
                purchase.declined = match declined {
                    true => purchase.declined.saturating_add(1),
                    false => purchase.declined.saturating_sub(1),
                };
            }
            if reservation.payments().last() == Some(&id) {
                reservation.purchase_mut().charging_until = until;
            }
        });
    }

    /// All payments, in the order of their opening.
    pub(crate) fn payment_rows(&self) -> Vec<PaymentRow> {
        let mut rows: Vec<_> = self.payments.iter().cloned().collect();
        rows.sort_by_key(|row| row.created_seq);
        rows
    }

    /// Live ones in the order of creation, then ended ones in the order of ending.
    pub(crate) fn rows(&self) -> Vec<ReservationRow> {
        let mut live: Vec<_> = self.live_ones().map(Reservation::row).collect();
        live.extend(self.ended.iter().filter_map(|id| self.get(*id)).map(Reservation::row));
        live
    }

    /// Live ones, the oldest first.
    pub(crate) fn live_ones(&self) -> impl Iterator<Item = &Reservation> {
        self.live.iter().filter_map(|(_, row)| self.slab[*row].as_ref())
    }

    /// The first one, behind the fact `after`, that is confirmed and has a ticket up to `last`; with the fact that made it.
    pub(crate) fn next_confirmed(&self, after: Option<Seq>, last: TicketSerial) -> Option<(Seq, ReservationId)> {
        let behind = (after.unwrap_or(Seq(0)), u32::MAX);
        let rows = self.live.after(&behind).filter_map(|(_, row)| self.slab[*row].as_ref());
        let mut confirmed = rows.filter(|row| row.status == ReservationStatus::Confirmed);
        let found = confirmed.find(|row| row.ticket().is_some_and(|ticket| ticket <= last))?;
        Some((found.created_seq, found.id))
    }

    /// From a snapshot's rows. Forgets nothing: what is forgotten next depends on facts alone.
    pub(crate) fn from_rows(rows: Vec<ReservationRow>, payments: Vec<PaymentRow>) -> Self {
        let mut all = Self::default();
        let (mut pending, rest): (Vec<_>, Vec<_>) =
            rows.into_iter().partition(|row| row.view.status == ReservationStatus::Pending);
        pending.sort_by_key(|row| (row.view.hold_expires_at, row.created_seq));
        for row in pending.into_iter().chain(rest) {
            all.insert(row);
        }
        payments.into_iter().for_each(|row| all.attach(row));
        all
    }

    /// How many buyers have seats, for checks.
    pub(crate) fn buyers(&self) -> usize {
        self.by_buyer.len()
    }
}

impl Keyed for PaymentRow {
    type Id = PaymentId;
    fn id(&self) -> PaymentId {
        self.view.id
    }
}

fn is_declined(row: &PaymentRow) -> bool {
    matches!(row.view.status, PaymentStatus::Failed(PaymentFailure::Declined(_)))
}

fn weight(reservation: &Reservation) -> BuyerSeats {
    if !reservation.is_live() {
        return BuyerSeats::default();
    }
    let pending = reservation.status == ReservationStatus::Pending;
    BuyerSeats { seats: u16::try_from(reservation.seats.len()).unwrap_or(u16::MAX), holds: u16::from(pending) }
}

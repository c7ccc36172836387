//! What is written in the journal, in a plain form: who holds which seat, who stands where, what was paid. Every committed
//! fact is checked against what was written before it, and whatever was answered must be found here.

use onsale_engine::id::{BuyerId, Ordinal, PaymentId, ReservationId, SeatIndex, Seq, Slot};
use onsale_engine::limits::{DECLINES_PER_HOLD, KEY_REMEMBERED_FOR};
use onsale_engine::sale::draw::{DrawHash, DrawSeed, cohort_root};
use onsale_engine::sale::{
    Entry, Fact, MoneyMoved, PaymentFailure, PaymentStatus, PlaceStatus, RememberedAnswer, ReservationStatus, Sale,
};
use onsale_engine::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Held {
    pub buyer: BuyerId,
    pub status: ReservationStatus,
    pub seats: Vec<SeatIndex>,
    pub amount: i64,
}

#[derive(Clone, Debug, Default)]
pub struct Paid {
    pub reservation: Option<ReservationId>,
    pub started: bool,
    pub captured: Option<i64>,
    pub failed: bool,
    pub declined: bool,
    pub confirmed: bool,
    pub refund_ordered: bool,
    pub refunded: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stands {
    Waiting(Ordinal),
    Active,
    Expired,
}

/// A cohort in the order of its arrival, and its root.
type Frozen = (DrawHash, Vec<(Ordinal, BuyerId)>);

#[derive(Default)]
pub struct Chronicle {
    pub owners: BTreeMap<SeatIndex, ReservationId>,
    /// Seats that operators, or the rules, have taken out of the sale one by one.
    blocked: BTreeSet<SeatIndex>,
    pub reservations: BTreeMap<ReservationId, Held>,
    pub payments: BTreeMap<PaymentId, Paid>,
    pub places: BTreeMap<BuyerId, Stands>,
    ordinals: BTreeSet<Ordinal>,
    /// Whose slot is which, until when holds are made with it, and how many were.
    slots: BTreeMap<BuyerId, (Slot, Timestamp, u16)>,
    holds_per_slot: u16,
    keys: BTreeMap<u128, Timestamp>,
    tickets: BTreeSet<u64>,
    /// The seed, and the cohort with its root once it is frozen.
    draw: Option<(DrawSeed, Option<Frozen>)>,
    drawn: bool,
    pub dues: Vec<Timestamp>,
    rate: usize,
    limit: Option<u64>,
    max_seats: usize,
    last: Option<(u64, Timestamp, u64)>,
    pub cancelled: bool,
    ends: Timestamp,
    /// Who had a ticket at the last postponement and is still to be notified.
    to_notify: BTreeSet<ReservationId>,
}

impl Chronicle {
    /// The last fact that was noted.
    pub fn seq(&self) -> Seq {
        Seq(self.last.map_or(0, |(seq, ..)| seq))
    }

    /// Whether the buyer waits or shops.
    pub fn is_in_room(&self, buyer: BuyerId) -> bool {
        matches!(self.places.get(&buyer), Some(Stands::Waiting(_) | Stands::Active))
    }

    pub fn note(&mut self, entry: &Entry) {
        if let Some((seq, at, epoch)) = self.last {
            assert_eq!(entry.seq.0, seq + 1, "no gaps");
            assert!(entry.at >= at && entry.epoch.0 >= epoch, "time and epoch never fall");
        }
        self.last = Some((entry.seq.0, entry.at, entry.epoch.0));
        match &entry.fact {
            Fact::Configured { config, .. } => {
                (self.rate, self.limit) = (config.admission.rate_per_second as usize, config.admission.active_limit);
                self.ends = config.sale_ends_at;
                self.max_seats = usize::from(config.max_seats_per_buyer);
                self.holds_per_slot = config.admission.max_holds_per_slot;
                self.blocked = config.blocked.iter().copied().collect();
            }
            Fact::Steered { steering, .. } => {
                (self.rate, self.limit) = (steering.rate_per_second as usize, steering.active_limit);
            }
            Fact::SaleCancelled { .. } => self.cancelled = true,
            Fact::Rescheduled { sale_ends_at, .. } => {
                self.ends = *sale_ends_at;
                let confirmed =
                    self.reservations.iter().filter(|(_, held)| held.status == ReservationStatus::Confirmed);
                self.to_notify = confirmed.map(|(id, _)| *id).collect();
            }
            Fact::HolderNotified { reservation, .. } => {
                assert!(self.to_notify.remove(reservation), "{reservation} is notified once, of a ticket of before");
                assert!(!self.cancelled, "nobody is notified of an event that was cancelled");
            }
            Fact::KeyRemembered { key, answer } => self.remember(key.scope, answer, entry.at),
            Fact::OrdinalsReserved { first, .. } => {
                assert!(self.ordinals.last().is_none_or(|last| last < first), "a block begins after the last");
            }
            Fact::DrawCommitted { seed, commitment } => {
                assert!(self.draw.is_none(), "a second seed");
                assert_eq!(seed.commitment(), *commitment);
                self.draw = Some((*seed, None));
            }
            Fact::CohortFrozen { root, size } => self.freeze(*root, *size),
            Fact::Drawn { seed } => self.draw_order(*seed),
            Fact::Restored { .. } => panic!("no journal was put back, so no ticket restores anything"),
            Fact::Entered { .. }
            | Fact::Left { .. }
            | Fact::Admitted { .. }
            | Fact::SlotExpired { .. }
            | Fact::PlaceExpired { .. } => self.move_place(&entry.fact),
            Fact::PaymentOpened { .. }
            | Fact::PaymentStarted { .. }
            | Fact::PaymentUnknown { .. }
            | Fact::PaymentCaptured { .. }
            | Fact::PaymentFailed { .. }
            | Fact::RefundOrdered { .. }
            | Fact::PaymentRefunded { .. }
            | Fact::OutcomeUnmatched { .. } => self.move_money(&entry.fact),
            fact => self.move_seats(fact),
        }
        if let Fact::SeatsHeld { buyer, slot: Some(slot), .. } = &entry.fact {
            self.use_slot(*buyer, *slot, entry.at);
        }
    }

    /// A slot makes holds until its time is over, whatever is pending, and only so many.
    fn use_slot(&mut self, buyer: BuyerId, slot: Slot, at: Timestamp) {
        assert_eq!(self.places.get(&buyer), Some(&Stands::Active), "{buyer} shops without a place");
        let (has, ends, made) = self.slots.get_mut(&buyer).expect("a slot");
        assert_eq!(*has, slot, "an old slot of {buyer}");
        assert!(at < *ends, "a hold at {at:?} with a slot that has ended at {ends:?}");
        *made += 1;
        assert!(*made <= self.holds_per_slot, "{made} holds with {slot:?}");
    }

    fn freeze(&mut self, root: DrawHash, size: u64) {
        let cohort: Vec<(Ordinal, BuyerId)> = self.line();
        let Some((_, frozen @ None)) = &mut self.draw else { panic!("frozen twice, or without a seed") };
        assert_eq!((root, size), (cohort_root(cohort.iter().map(|(_, buyer)| *buyer)), cohort.len() as u64));
        *frozen = Some((root, cohort));
    }

    /// Those of the cohort who still wait stand in the order of the lots, where the cohort stood.
    fn draw_order(&mut self, seed: DrawSeed) {
        assert!(!std::mem::replace(&mut self.drawn, true), "drawn twice");
        let Some((committed, Some((root, cohort)))) = &self.draw else { panic!("drawn before it was frozen") };
        assert_eq!(seed, *committed);
        let mut order: Vec<_> = cohort.iter().map(|(_, buyer)| (seed.lot(*root, *buyer), *buyer)).collect();
        order.sort_unstable();
        let moves: Vec<_> = cohort.iter().map(|(place, _)| *place).zip(order).collect();
        let arrived: BTreeMap<BuyerId, Ordinal> = cohort.iter().map(|(place, buyer)| (*buyer, *place)).collect();
        for (place, (_, buyer)) in moves {
            if self.places.get(&buyer) == Some(&Stands::Waiting(arrived[&buyer])) {
                self.places.insert(buyer, Stands::Waiting(place));
            }
        }
    }

    fn remember(&mut self, scope: u128, answer: &RememberedAnswer, at: Timestamp) {
        let before = self.keys.insert(scope, at);
        if let (Some(before), RememberedAnswer::Held { .. }) = (before, answer) {
            assert!(before + KEY_REMEMBERED_FOR <= at, "a key makes one reservation a day");
        }
    }

    fn take(&mut self, id: ReservationId, seats: &[SeatIndex]) {
        for seat in seats {
            assert!(!self.blocked.contains(seat), "{seat:?} is not for sale");
            let owner = self.owners.insert(*seat, id);
            assert_eq!(owner, None, "{seat:?} had an owner");
        }
        let buyer = self.reservations[&id].buyer;
        let has = self.owners.values().filter(|owner| self.reservations[owner].buyer == buyer).count();
        assert!(has <= self.max_seats, "{buyer} has {has} seats");
    }

    fn give_back(&mut self, id: ReservationId) {
        self.owners.retain(|_, owner| *owner != id);
    }

    fn move_seats(&mut self, fact: &Fact) {
        match fact {
            Fact::SeatsHeld { reservation, buyer, seats, amount, .. } => {
                let (status, seats) = (ReservationStatus::Pending, seats.to_vec());
                let held = Held { buyer: *buyer, status, seats: seats.clone(), amount: amount.0 };
                assert!(self.reservations.insert(*reservation, held).is_none(), "an id twice");
                self.take(*reservation, &seats);
            }
            Fact::HoldChanged { reservation, seats, amount } => {
                self.give_back(*reservation);
                self.take(*reservation, seats);
                let held = self.pending(*reservation);
                (held.seats, held.amount) = (seats.to_vec(), amount.0);
            }
            Fact::HoldReleased { reservation } | Fact::ReleasedByOperator { reservation, .. } => {
                self.end(*reservation, ReservationStatus::Cancelled);
            }
            Fact::HoldExpired { reservation } => self.end(*reservation, ReservationStatus::Expired),
            Fact::ReservationConfirmed { reservation, payment, seats, ticket } => {
                assert!(self.tickets.insert(ticket.0), "a ticket twice");
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(paid.captured.is_some() && !paid.confirmed, "paid once");
                paid.confirmed = true;
                self.give_back(*reservation);
                self.take(*reservation, seats);
                let held = self.reservations.get_mut(reservation).expect("a reservation");
                assert!(matches!(held.status, ReservationStatus::Pending | ReservationStatus::Expired));
                (held.status, held.seats) = (ReservationStatus::Confirmed, seats.to_vec());
                let buyer = held.buyer;
                if self.places.get(&buyer) == Some(&Stands::Active) {
                    self.places.remove(&buyer);
                }
            }
            Fact::ReservationCancelled { reservation, .. } | Fact::CancelledByOperator { reservation, .. } => {
                let held = self.reservations.get_mut(reservation).expect("a reservation");
                assert_eq!(held.status, ReservationStatus::Confirmed);
                held.status = ReservationStatus::Cancelled;
                self.give_back(*reservation);
            }
            Fact::SeatsBlocked { seats, .. } => {
                for seat in seats {
                    assert_eq!(self.owners.get(seat), None, "{seat:?} is somebody's");
                    assert!(self.blocked.insert(*seat), "{seat:?} was blocked before");
                }
            }
            Fact::SeatsUnblocked { seats, .. } => {
                seats.iter().for_each(|seat| assert!(self.blocked.remove(seat), "{seat:?} was not blocked"));
            }
            other => panic!("{other:?} moves no seats"),
        }
    }

    fn pending(&mut self, id: ReservationId) -> &mut Held {
        let held = self.reservations.get_mut(&id).expect("a reservation");
        assert_eq!(held.status, ReservationStatus::Pending, "{id:?}");
        held
    }

    fn end(&mut self, id: ReservationId, status: ReservationStatus) {
        self.pending(id).status = status;
        self.give_back(id);
    }

    fn move_money(&mut self, fact: &Fact) {
        match fact {
            Fact::PaymentOpened { payment, reservation, .. } => {
                let paid = Paid { reservation: Some(*reservation), ..Paid::default() };
                assert!(self.payments.insert(*payment, paid).is_none(), "an id twice");
            }
            Fact::PaymentStarted { payment, .. } => {
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(!std::mem::replace(&mut paid.started, true), "started once");
                let of = paid.reservation;
                let declined = self.payments.values().filter(|paid| paid.reservation == of && paid.declined).count();
                assert!(
                    declined < usize::from(DECLINES_PER_HOLD),
                    "{of:?} is charged after {declined} declined charges"
                );
            }
            Fact::PaymentUnknown { .. } => {}
            Fact::PaymentCaptured { payment, amount } => {
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(paid.captured.replace(amount.0).is_none(), "captured once");
                (paid.failed, paid.declined) = (false, false);
            }
            Fact::PaymentFailed { payment, reason } => {
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(paid.captured.is_none() && !paid.failed, "failed once, and not after money came");
                paid.failed = true;
                paid.declined = matches!(reason, PaymentFailure::Declined(_));
            }
            Fact::RefundOrdered { payment, .. } => {
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(paid.captured.is_some() && !paid.refund_ordered, "given back once");
                paid.refund_ordered = true;
            }
            Fact::PaymentRefunded { payment } => {
                let paid = self.payments.get_mut(payment).expect("a payment");
                assert!(paid.refund_ordered && !std::mem::replace(&mut paid.refunded, true));
            }
            Fact::OutcomeUnmatched { payment, moved } => {
                let paid = self.payments.get(payment);
                let accounted = match moved {
                    MoneyMoved::Captured { amount } => {
                        paid.is_some_and(|paid| paid.captured.is_none_or(|had| had == amount.0))
                    }
                    MoneyMoved::Refunded => paid.is_some_and(|paid| paid.refund_ordered),
                };
                assert!(!accounted, "{moved:?} of {paid:?} is accounted for");
            }
            other => panic!("{other:?} moves no money"),
        }
    }

    fn move_place(&mut self, fact: &Fact) {
        match fact {
            Fact::Entered { buyer, ordinal } => {
                assert!(self.ordinals.last().is_none_or(|last| last < ordinal), "an ordinal twice");
                self.ordinals.insert(*ordinal);
                assert!(!matches!(self.places.insert(*buyer, Stands::Waiting(*ordinal)), Some(Stands::Waiting(_))));
            }
            Fact::Left { buyer } => {
                self.places.remove(buyer);
            }
            Fact::Admitted { buyer, slot, due, expires_at } => {
                self.slots.insert(*buyer, (*slot, *expires_at, 0));
                assert!(self.draw.is_none() || self.drawn, "nobody is admitted before the draw");
                let first = self.waiting().first().copied();
                assert_eq!(first, Some(*buyer), "the first in line is admitted, once");
                let active = self.places.values().filter(|place| **place == Stands::Active).count() as u64;
                assert!(self.limit.is_none_or(|limit| active < limit), "{active} of {:?}", self.limit);
                assert_eq!(slot.0, self.dues.len() as u64 + 1);
                let before = self.dues.len().checked_sub(self.rate).map(|at| self.dues[at]);
                assert!(before.is_none_or(|before| due.since(before) >= Duration::from_secs(1)), "above the rate");
                assert!(self.dues.last().is_none_or(|last| last <= due));
                self.dues.push(*due);
                self.places.insert(*buyer, Stands::Active);
            }
            Fact::SlotExpired { buyer } => {
                assert_eq!(self.places.insert(*buyer, Stands::Expired), Some(Stands::Active));
                let holds =
                    self.reservations.values().any(|r| r.buyer == *buyer && r.status == ReservationStatus::Pending);
                assert!(!holds, "a slot never ends while its buyer has a pending hold");
            }
            Fact::PlaceExpired { buyer } => {
                assert!(matches!(self.places.insert(*buyer, Stands::Expired), Some(Stands::Waiting(_))));
            }
            other => panic!("{other:?} moves nobody"),
        }
    }

    pub fn waiting(&self) -> Vec<BuyerId> {
        self.line().into_iter().map(|(_, buyer)| buyer).collect()
    }

    fn line(&self) -> Vec<(Ordinal, BuyerId)> {
        let waiting = |(buyer, place): (&BuyerId, &Stands)| match place {
            Stands::Waiting(ordinal) => Some((*ordinal, *buyer)),
            Stands::Active | Stands::Expired => None,
        };
        let mut line: Vec<_> = self.places.iter().filter_map(waiting).collect();
        line.sort_unstable();
        line
    }

    /// A sale shows exactly what is written.
    pub fn agrees_with(&self, sale: &Sale, now: Timestamp) {
        for (id, held) in &self.reservations {
            let view = sale.reservation(*id).unwrap_or_else(|| panic!("{id:?} is lost"));
            assert_eq!((view.buyer, view.status), (held.buyer, held.status), "{id:?}");
            assert_eq!((view.seats.as_slice(), view.amount.0), (&held.seats[..], held.amount), "{id:?}");
        }
        for (id, paid) in &self.payments {
            let view = sale.payment(*id).unwrap_or_else(|| panic!("{id:?} is lost"));
            let expected = match view.status {
                PaymentStatus::Opened => !paid.started && !paid.failed && paid.captured.is_none(),
                PaymentStatus::Charging => paid.started && !paid.failed && paid.captured.is_none(),
                PaymentStatus::Captured => paid.captured.is_some() && !paid.refund_ordered,
                PaymentStatus::Failed(_) => paid.failed,
                PaymentStatus::Refunded { settled, .. } => paid.refund_ordered && settled == paid.refunded,
            };
            assert!(expected, "{:?} but {paid:?}", view.status);
        }
        let line = self.waiting();
        assert!(sale.waiting().eq(line.iter().copied()), "the line");
        if sale.steering().is_some_and(|view| view.steering.required) {
            for (buyer, stands) in &self.places {
                let status = sale.place(*buyer, now).map(|place| place.status);
                let same = match (stands, status) {
                    (
                        Stands::Waiting(_),
                        Some(PlaceStatus::PreQueue { rank: Some(rank) } | PlaceStatus::Waiting { rank }),
                    ) => line[rank as usize - 1] == *buyer,
                    (Stands::Waiting(_), Some(PlaceStatus::PreQueue { rank: None })) => {
                        self.draw.is_some() && !self.drawn
                    }
                    // The facts that say so come a moment later.
                    (Stands::Waiting(_), Some(PlaceStatus::Expired)) => self.cancelled || now >= self.ends,
                    (Stands::Active, Some(PlaceStatus::Active { .. } | PlaceStatus::Expired)) => true,
                    (Stands::Expired, Some(PlaceStatus::Expired) | None) => true,
                    (Stands::Waiting(_) | Stands::Active | Stands::Expired, _) => false,
                };
                assert!(same, "{buyer} {stands:?} but {status:?}");
            }
        }
    }
}

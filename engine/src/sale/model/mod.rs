//! A naive sale: plain maps, scans everywhere, written from the contract and not from the code. It says what a command
//! must lead to; where the contract leaves a choice (which block is best) it checks the one that was made.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::wildcard_enum_match_arm, reason = "tests fail by panicking")]

mod check;

use crate::id::{BuyerId, PaymentId, ReservationId, SeatIndex, Slot};
use crate::limits::{CHARGE_KEEPS_HOLD_FOR, EXPIRED_SHOWN_FOR, KEY_REMEMBERED_FOR, MAX_ADMISSION_LAG};
use crate::money::Amount;
use crate::sale::{
    ChangeHold, ChargeOutcome, ConfirmPayment, Fact, Hold, MoneyMoved, OpenPayment, PaymentFailure, PaymentStatus,
    PlaceStatus, RefundReason, RequestKey, ReservationStatus, SaleConfig, SeatBlocking, Selection, Steering,
};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

pub(in crate::sale) struct Seat {
    pub(in crate::sale) row: usize,
    pub(in crate::sale) column: usize,
    pub(in crate::sale) letter: char,
    /// None for one that is not for sale.
    pub(in crate::sale) price: Option<i64>,
}

#[derive(Clone, Debug)]
pub(in crate::sale) struct Reservation {
    pub(in crate::sale) buyer: BuyerId,
    pub(in crate::sale) seats: Vec<SeatIndex>,
    pub(in crate::sale) status: ReservationStatus,
    pub(in crate::sale) amount: i64,
    pub(in crate::sale) expires_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(in crate::sale) struct Payment {
    pub(in crate::sale) reservation: ReservationId,
    pub(in crate::sale) amount: i64,
    pub(in crate::sale) status: PaymentStatus,
    pub(in crate::sale) started: Option<Timestamp>,
    transaction: Option<Box<str>>,
    pub(in crate::sale) captured: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::sale) enum Place {
    Waiting { joined: u64 },
    Active { slot: Slot, expires_at: Timestamp, made: u16 },
    Expired { at: Timestamp },
}

#[derive(Clone, Debug)]
enum Answer {
    Reservation,
    Opened,
    Confirmed(PaymentId),
}

/// What time does next.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sale) enum Due {
    Hold(ReservationId),
    Slot(BuyerId),
    Admit(BuyerId),
    LineEnds(BuyerId),
    Clear,
}

/// The kind of a refusal, by the name of its variant.
pub(in crate::sale) type No = &'static str;

pub(in crate::sale) struct Model {
    pub(in crate::sale) seats: Vec<Seat>,
    pub(in crate::sale) rules: SaleConfig,
    pub(in crate::sale) steering: Steering,
    pub(in crate::sale) cancelled: bool,
    /// Seats that were taken out of the sale one by one.
    pub(in crate::sale) blocked: BTreeSet<SeatIndex>,
    pub(in crate::sale) reservations: BTreeMap<ReservationId, Reservation>,
    pub(in crate::sale) payments: BTreeMap<PaymentId, Payment>,
    pub(in crate::sale) places: BTreeMap<BuyerId, Place>,
    /// What no payment accounts for.
    pub(in crate::sale) unmatched: Vec<(PaymentId, MoneyMoved)>,
    keys: BTreeMap<u128, (u128, Timestamp, Answer)>,
    joined: u64,
    dues: Vec<Timestamp>,
    possible_since: Option<Timestamp>,
    /// When the last fact was written.
    pub(in crate::sale) last: Timestamp,
}

impl Model {
    pub(in crate::sale) fn new(rows: &[&str], rules: SaleConfig, now: Timestamp) -> Self {
        let mut letters = Vec::new();
        let mut seats = Vec::new();
        for (row, drawn) in rows.iter().enumerate() {
            for (column, letter) in drawn.chars().enumerate().filter(|(_, letter)| *letter != '_') {
                if !letters.contains(&letter) {
                    letters.push(letter);
                }
                let nth = letters.iter().position(|known| *known == letter).unwrap();
                seats.push(Seat { row, column, letter, price: rules.prices[nth].map(|price| price.0) });
            }
        }
        let steering = Steering::initial(&rules.admission);
        Self {
            seats,
            blocked: rules.blocked.iter().copied().collect(),
            rules,
            steering,
            cancelled: false,
            reservations: BTreeMap::new(),
            payments: BTreeMap::new(),
            places: BTreeMap::new(),
            unmatched: Vec::new(),
            keys: BTreeMap::new(),
            joined: 0,
            dues: Vec::new(),
            possible_since: None,
            last: now,
        }
    }

    // Seats.

    pub(in crate::sale) fn owner(&self, seat: SeatIndex) -> Option<&Reservation> {
        self.reservations.values().find(|r| r.is_live() && r.seats.contains(&seat))
    }

    fn free(&self) -> BTreeSet<SeatIndex> {
        (0..self.seats.len() as u32).map(SeatIndex).filter(|seat| !self.is_taken(*seat)).collect()
    }

    pub(in crate::sale) fn is_blocked(&self, seat: SeatIndex) -> bool {
        self.seats[seat.at()].price.is_none() || self.blocked.contains(&seat)
    }

    /// Whether nobody can have it.
    pub(in crate::sale) fn is_taken(&self, seat: SeatIndex) -> bool {
        self.owner(seat).is_some() || self.is_blocked(seat)
    }

    /// Free seats of a category.
    pub(in crate::sale) fn free_of(&self, letter: char) -> usize {
        self.free().iter().filter(|seat| self.seats[seat.at()].letter == letter).count()
    }

    fn side_by_side(&self, a: SeatIndex, b: SeatIndex) -> bool {
        let (a, b) = (&self.seats[a.at()], &self.seats[b.at()]);
        a.row == b.row && a.column.abs_diff(b.column) == 1 && a.letter == b.letter
    }

    pub(in crate::sale) fn is_block(&self, seats: &[SeatIndex]) -> bool {
        let mut seats = seats.to_vec();
        seats.sort_unstable();
        seats.windows(2).all(|pair| self.side_by_side(pair[0], pair[1]))
    }

    fn single(&self, free: &BTreeSet<SeatIndex>) -> BTreeSet<SeatIndex> {
        free.iter().copied().filter(|seat| !free.iter().any(|other| self.side_by_side(*seat, *other))).collect()
    }

    /// Seats left alone by taking `seats` and giving `own` back, that are not alone already.
    pub(in crate::sale) fn orphans(&self, seats: &[SeatIndex], own: &[SeatIndex]) -> BTreeSet<SeatIndex> {
        let before = self.free();
        let mut after = before.clone();
        after.extend(own);
        seats.iter().for_each(|seat| {
            after.remove(seat);
        });
        &self.single(&after) - &self.single(&before)
    }

    /// Every block of free seats of that size in a category.
    pub(in crate::sale) fn blocks(&self, letter: char, size: usize) -> Vec<Vec<SeatIndex>> {
        let free = self.free();
        let of = |first: u32| (first..first + size as u32).map(SeatIndex).collect::<Vec<_>>();
        let serves = |block: &Vec<SeatIndex>| {
            block.iter().all(|seat| free.contains(seat) && self.seats[seat.at()].letter == letter)
                && self.is_block(block)
        };
        if size == 0 { Vec::new() } else { (0..self.seats.len() as u32).map(of).filter(serves).collect() }
    }

    pub(in crate::sale) fn price(&self, seats: &[SeatIndex]) -> i64 {
        seats.iter().map(|seat| self.seats[seat.at()].price.unwrap()).sum()
    }

    fn has(&self, buyer: BuyerId) -> usize {
        self.reservations.values().filter(|r| r.buyer == buyer && r.is_live()).map(|r| r.seats.len()).sum()
    }

    fn holds(&self, buyer: BuyerId) -> bool {
        self.reservations.values().any(|r| r.buyer == buyer && r.status == ReservationStatus::Pending)
    }

    // Refusals, in the order of the contract.

    /// Whether a request with this key was answered, or why it must not be.
    fn recall(&self, key: Option<RequestKey>, now: Timestamp) -> Result<bool, No> {
        let Some((key, (body, at, answer))) = key.and_then(|key| Some((key, self.keys.get(&key.scope)?))) else {
            return Ok(false);
        };
        let refused = match answer {
            Answer::Reservation | Answer::Opened => false,
            Answer::Confirmed(payment) => matches!(
                self.payments[payment].status,
                PaymentStatus::Failed(_)
                    | PaymentStatus::Refunded { reason: RefundReason::AmountMismatch | RefundReason::TooLate, .. }
            ),
        };
        if refused || *at + KEY_REMEMBERED_FOR <= now {
            return Ok(false);
        }
        if *body == key.body { Ok(true) } else { Err("KeyReused") }
    }

    fn remember(&mut self, key: Option<RequestKey>, now: Timestamp, answer: Answer) {
        if let Some(key) = key {
            self.keys.insert(key.scope, (key.body, now, answer));
        }
    }

    fn may_shop(&self, buyer: BuyerId, shown: Option<Slot>, now: Timestamp) -> bool {
        match self.places.get(&buyer) {
            _ if !self.steering.required => true,
            Some(Place::Active { slot, expires_at, .. }) => shown == Some(*slot) && *expires_at > now,
            _ => false,
        }
    }

    /// Holds that the buyer has made with a slot that was needed.
    fn made(&self, buyer: BuyerId) -> u16 {
        match self.places.get(&buyer) {
            Some(Place::Active { made, .. }) if self.steering.required => *made,
            _ => 0,
        }
    }

    /// `Ok(true)` when the answer is an old one.
    pub(in crate::sale) fn may_hold(&self, hold: &Hold, now: Timestamp) -> Result<bool, No> {
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

    /// An operator's blocking and freeing.
    pub(in crate::sale) fn may_block(&self, change: &SeatBlocking) -> Result<(), No> {
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

    pub(in crate::sale) fn block(&mut self, change: &SeatBlocking) {
        let closed: Vec<SeatIndex> = change.block.iter().copied().filter(|seat| !self.is_blocked(*seat)).collect();
        self.blocked.extend(closed);
        self.blocked.retain(|seat| !change.unblock.contains(seat));
    }

    fn own(&self, buyer: BuyerId, id: ReservationId) -> Result<&Reservation, No> {
        self.reservations.get(&id).filter(|r| r.buyer == buyer).ok_or("ReservationNotFound")
    }

    fn charging(&self, id: ReservationId) -> Option<&Payment> {
        self.payments.values().find(|p| p.reservation == id && p.status == PaymentStatus::Charging)
    }

    pub(in crate::sale) fn may_change(&self, change: &ChangeHold, now: Timestamp) -> Result<(), No> {
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

    pub(in crate::sale) fn may_release(&self, buyer: BuyerId, id: ReservationId) -> Result<(), No> {
        match self.own(buyer, id)?.status {
            ReservationStatus::Confirmed => Err("NotPending"),
            ReservationStatus::Pending if self.charging(id).is_some() => Err("PaymentInProgress"),
            _ => Ok(()),
        }
    }

    pub(in crate::sale) fn may_cancel(&self, buyer: BuyerId, id: ReservationId, now: Timestamp) -> Result<(), No> {
        match self.own(buyer, id)?.status {
            ReservationStatus::Confirmed if now >= self.rules.cancellation_closes_at => Err("CancellationClosed"),
            ReservationStatus::Confirmed => Ok(()),
            _ => Err("NotCancellable"),
        }
    }

    /// Whether an administrator may end it; what has ended stays as it is.
    pub(in crate::sale) fn may_end(&self, id: ReservationId, only_paid: bool) -> Result<(), No> {
        match self.reservations.get(&id).ok_or("ReservationNotFound")?.status {
            ReservationStatus::Pending if only_paid => Err("NotCancellable"),
            ReservationStatus::Pending if self.charging(id).is_some() => Err("PaymentInProgress"),
            _ => Ok(()),
        }
    }

    pub(in crate::sale) fn may_open(&self, open: &OpenPayment, now: Timestamp) -> Result<bool, No> {
        if self.recall(open.key, now)? {
            return Ok(true);
        }
        let hold = self.own(open.buyer, open.reservation)?;
        let in_time = hold.expires_at > now || self.charging(open.reservation).is_some();
        if self.cancelled {
            return Err("SaleCancelled");
        }
        if hold.status != ReservationStatus::Pending || !in_time {
            return Err("NotPending");
        }
        if open.amount.0 != hold.amount {
            return Err("AmountMismatch");
        }
        if self.pending(open).is_none() && open.amount.0 > 0 && self.is_exhausted(open.reservation) {
            return Err("PaymentAttemptsExceeded");
        }
        Ok(false)
    }

    /// Whether five charges of it were declined.
    fn is_exhausted(&self, id: ReservationId) -> bool {
        let declined = |p: &&Payment| {
            p.reservation == id && matches!(p.status, PaymentStatus::Failed(PaymentFailure::Declined(_)))
        };
        self.payments.values().filter(declined).count() >= 5
    }

    pub(in crate::sale) fn may_confirm(&self, confirm: &ConfirmPayment, now: Timestamp) -> Result<bool, No> {
        if self.recall(confirm.key, now)? {
            return Ok(true);
        }
        let hold = self.own(confirm.buyer, confirm.reservation)?;
        let payment = self.payments.get(&confirm.payment).filter(|p| p.reservation == confirm.reservation);
        let payment = payment.ok_or("PaymentNotFound")?;
        let pending = hold.status == ReservationStatus::Pending;
        let is_cancelled = match &payment.status {
            PaymentStatus::Opened => self.cancelled,
            status => *status == PaymentStatus::Failed(PaymentFailure::SaleCancelled),
        };
        if is_cancelled {
            return Err("SaleCancelled");
        }
        let too_late = match &payment.status {
            PaymentStatus::Opened => !pending || hold.expires_at <= now,
            PaymentStatus::Failed(PaymentFailure::HoldEnded) => !pending,
            _ => false,
        };
        if too_late {
            return Err("HoldExpired");
        }
        if confirm.amount.0 != payment.amount {
            return Err("AmountMismatch");
        }
        let is_attempt = match &payment.status {
            PaymentStatus::Opened => true,
            PaymentStatus::Failed(PaymentFailure::Declined(_)) => {
                pending && payment.transaction.as_deref() != Some(&*confirm.transaction)
            }
            _ => false,
        };
        let is_attempt = is_attempt && payment.amount > 0;
        if is_attempt && self.is_exhausted(confirm.reservation) { Err("PaymentAttemptsExceeded") } else { Ok(false) }
    }

    /// `Ok(true)` when the place stands as it is.
    pub(in crate::sale) fn may_enter(&self, buyer: BuyerId, now: Timestamp) -> Result<bool, No> {
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

    // What happens.

    pub(in crate::sale) fn hold(&mut self, hold: &Hold, seats: Vec<SeatIndex>, now: Timestamp) {
        let (amount, expires_at) = (self.price(&seats), now + self.rules.hold);
        let status = ReservationStatus::Pending;
        let reservation = Reservation { buyer: hold.buyer, seats, status, amount, expires_at };
        self.reservations.insert(hold.reservation, reservation);
        if let (true, Some(Place::Active { made, .. })) = (self.steering.required, self.places.get_mut(&hold.buyer)) {
            *made += 1;
        }
        self.remember(hold.key, now, Answer::Reservation);
    }

    fn reservation(&mut self, id: ReservationId) -> &mut Reservation {
        self.reservations.get_mut(&id).unwrap()
    }

    fn payment(&mut self, id: PaymentId) -> &mut Payment {
        self.payments.get_mut(&id).unwrap()
    }

    fn opened(&self, id: ReservationId) -> Option<PaymentId> {
        let opened = |p: &Payment| p.reservation == id && p.status == PaymentStatus::Opened;
        self.payments.iter().find(|(_, p)| opened(p)).map(|(id, _)| *id)
    }

    fn fail_opened(&mut self, id: ReservationId, reason: PaymentFailure) {
        if let Some(payment) = self.opened(id) {
            self.payment(payment).status = PaymentStatus::Failed(reason);
        }
    }

    /// Whether anything changed.
    pub(in crate::sale) fn change(&mut self, change: &ChangeHold) -> bool {
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

    pub(in crate::sale) fn end(&mut self, id: ReservationId, status: ReservationStatus, reason: PaymentFailure) {
        self.reservation(id).status = status;
        self.fail_opened(id, reason);
    }

    pub(in crate::sale) fn refund(&mut self, id: ReservationId, reason: RefundReason) {
        self.reservation(id).status = ReservationStatus::Cancelled;
        let paid = |p: &&mut Payment| p.reservation == id && p.status == PaymentStatus::Captured;
        let payment = self.payments.values_mut().find(paid).unwrap();
        payment.status = PaymentStatus::Refunded { reason, settled: payment.captured == 0 };
    }

    fn pending(&self, open: &OpenPayment) -> Option<PaymentId> {
        let same = |p: &Payment| {
            let pending = matches!(p.status, PaymentStatus::Opened | PaymentStatus::Charging);
            p.reservation == open.reservation && pending && p.amount == open.amount.0
        };
        self.payments.iter().find(|(_, p)| same(p)).map(|(id, _)| *id)
    }

    /// The payment that is answered.
    pub(in crate::sale) fn open(&mut self, open: &OpenPayment, now: Timestamp) -> PaymentId {
        let id = self.pending(open).unwrap_or(open.payment);
        self.payments.entry(id).or_insert(Payment {
            reservation: open.reservation,
            amount: open.amount.0,
            status: PaymentStatus::Opened,
            started: None,
            transaction: None,
            captured: 0,
        });
        self.remember(open.key, now, Answer::Opened);
        id
    }

    pub(in crate::sale) fn confirm(&mut self, confirm: &ConfirmPayment, now: Timestamp) {
        let payment = self.payment(confirm.payment);
        if payment.status == PaymentStatus::Opened && payment.amount == 0 {
            let seats = self.reservations[&confirm.reservation].seats.clone();
            self.sell(confirm.payment, confirm.reservation, seats);
            self.remember(confirm.key, now, Answer::Confirmed(confirm.payment));
        } else if payment.status == PaymentStatus::Opened {
            payment.status = PaymentStatus::Charging;
            payment.started = Some(now);
            payment.transaction = Some(confirm.transaction.clone());
            self.remember(confirm.key, now, Answer::Confirmed(confirm.payment));
        }
    }

    /// What the provider says; `sold` are the seats that the sale has confirmed, to be checked.
    pub(in crate::sale) fn settle(&mut self, id: PaymentId, outcome: &ChargeOutcome, sold: Option<Vec<SeatIndex>>) {
        let payment = self.payments[&id].clone();
        let open = matches!(payment.status, PaymentStatus::Opened | PaymentStatus::Charging);
        match outcome {
            ChargeOutcome::Captured { amount } if open || matches!(payment.status, PaymentStatus::Failed(_)) => {
                self.payment(id).captured = amount.0;
                match self.buys(&payment, *amount, sold.as_deref()) {
                    Ok(()) => self.sell(id, payment.reservation, sold.unwrap()),
                    Err(reason) => {
                        assert_eq!(sold, None, "money that buys nothing");
                        let settled = amount.0 == 0;
                        self.payment(id).status = PaymentStatus::Refunded { reason, settled };
                    }
                }
            }
            // No card declines what costs nothing.
            ChargeOutcome::Declined { .. } | ChargeOutcome::NotCharged if payment.amount == 0 => assert_eq!(sold, None),
            ChargeOutcome::Declined { reason } if open => {
                self.payment(id).status = PaymentStatus::Failed(PaymentFailure::Declined(reason.clone()));
            }
            ChargeOutcome::NotCharged if open => {
                self.payment(id).status = PaymentStatus::Failed(PaymentFailure::NotCharged);
            }
            ChargeOutcome::Captured { amount } if amount.0 != payment.captured => {
                assert_eq!(sold, None);
                self.is_unmatched(id, MoneyMoved::Captured { amount: *amount });
            }
            _ => assert_eq!(sold, None),
        }
    }

    /// Written down once.
    pub(in crate::sale) fn is_unmatched(&mut self, id: PaymentId, moved: MoneyMoved) {
        if !self.unmatched.contains(&(id, moved)) {
            self.unmatched.push((id, moved));
        }
    }

    fn sell(&mut self, payment: PaymentId, id: ReservationId, seats: Vec<SeatIndex>) {
        self.payment(payment).status = PaymentStatus::Captured;
        let reservation = self.reservation(id);
        (reservation.status, reservation.seats) = (ReservationStatus::Confirmed, seats);
        let buyer = reservation.buyer;
        self.fail_opened(id, PaymentFailure::HoldEnded);
        if matches!(self.places.get(&buyer), Some(Place::Active { .. })) {
            self.places.remove(&buyer);
        }
    }

    /// Whether captured money buys its reservation, or why it is given back.
    fn buys(&self, payment: &Payment, amount: Amount, sold: Option<&[SeatIndex]>) -> Result<(), RefundReason> {
        let reservation = &self.reservations[&payment.reservation];
        if amount.0 != payment.amount {
            return Err(RefundReason::AmountMismatch);
        }
        if self.cancelled {
            return Err(RefundReason::SaleCancelled);
        }
        if amount.0 != reservation.amount {
            return Err(RefundReason::TooLate);
        }
        match reservation.status {
            ReservationStatus::Pending => {
                assert_eq!(sold, Some(&reservation.seats[..]));
                Ok(())
            }
            ReservationStatus::Expired => self.buys_late(reservation, sold),
            _ => Err(RefundReason::TooLate),
        }
    }

    fn buys_late(&self, reservation: &Reservation, sold: Option<&[SeatIndex]>) -> Result<(), RefundReason> {
        let (seats, limit) = (&reservation.seats, usize::from(self.rules.max_seats_per_buyer));
        if self.has(reservation.buyer) + seats.len() > limit {
            return Err(RefundReason::TooLate);
        }
        if seats.iter().all(|seat| !self.is_taken(*seat)) {
            assert_eq!(sold, Some(&seats[..]), "the same seats are free");
            return Ok(());
        }
        let letters: BTreeSet<char> = seats.iter().map(|seat| self.seats[seat.at()].letter).collect();
        let letter = seats.first().map(|seat| self.seats[seat.at()].letter).filter(|_| letters.len() == 1);
        let blocks = letter.map(|letter| self.blocks(letter, seats.len())).unwrap_or_default();
        if blocks.is_empty() {
            return Err(RefundReason::TooLate);
        }
        assert!(sold.is_some_and(|sold| blocks.iter().any(|block| block == sold)), "{sold:?} is no equal block");
        Ok(())
    }

    pub(in crate::sale) fn settle_refund(&mut self, id: PaymentId) {
        match self.payments.get_mut(&id).map(|payment| &mut payment.status) {
            Some(PaymentStatus::Refunded { settled, .. }) => *settled = true,
            _ => self.is_unmatched(id, MoneyMoved::Refunded),
        }
    }

    // The room.

    pub(in crate::sale) fn waiting(&self) -> Vec<BuyerId> {
        let joined = |(buyer, place): (&BuyerId, &Place)| match place {
            Place::Waiting { joined } => Some((*joined, *buyer)),
            _ => None,
        };
        let mut line: Vec<_> = self.places.iter().filter_map(joined).collect();
        line.sort_unstable();
        line.into_iter().map(|(_, buyer)| buyer).collect()
    }

    pub(in crate::sale) fn active(&self) -> u64 {
        self.places.values().filter(|place| matches!(place, Place::Active { .. })).count() as u64
    }

    pub(in crate::sale) fn admitted(&self) -> u64 {
        self.dues.len() as u64
    }

    pub(in crate::sale) fn join(&mut self, buyer: BuyerId) {
        self.joined += 1;
        self.places.insert(buyer, Place::Waiting { joined: self.joined });
    }

    pub(in crate::sale) fn place(&self, buyer: BuyerId, now: Timestamp) -> Option<PlaceStatus> {
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
    fn slot_ends(&self, expires_at: Timestamp) -> Timestamp {
        expires_at.min(self.rules.sale_ends_at)
    }

    /// To be called after everything that happens: since when could somebody be let in?
    pub(in crate::sale) fn note(&mut self, now: Timestamp) {
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
    fn admission_due(&self) -> Option<Timestamp> {
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

    // Time.

    /// Everything that time does next, and when.
    pub(in crate::sale) fn dues(&self, now: Timestamp) -> Vec<(Timestamp, Due)> {
        let mut dues = Vec::new();
        for (id, hold) in self.reservations.iter().filter(|(_, r)| r.status == ReservationStatus::Pending) {
            let charged = self.charging(*id).and_then(|p| p.started).map(|at| at + CHARGE_KEEPS_HOLD_FOR);
            dues.push((hold.expires_at.max(charged.unwrap_or(hold.expires_at)), Due::Hold(*id)));
        }
        for (buyer, place) in &self.places {
            if let Place::Active { expires_at, .. } = place
                && !self.holds(*buyer)
            {
                dues.push((self.slot_ends(*expires_at), Due::Slot(*buyer)));
            }
        }
        let head = self.waiting().first().copied();
        if let Some(head) = head.filter(|_| !self.cancelled) {
            dues.push((self.rules.sale_ends_at, Due::LineEnds(head)));
            let due = self.admission_due().filter(|due| *due < self.rules.sale_ends_at);
            let over = now >= self.rules.sale_ends_at;
            dues.extend(due.map(|due| (due, if over { Due::LineEnds(head) } else { Due::Admit(head) })));
        }
        let idle = |id: &ReservationId| self.reservations[id].is_live() && self.charging(*id).is_none();
        let idle_room = |place: (&BuyerId, &Place)| match place.1 {
            Place::Waiting { .. } => true,
            Place::Active { .. } => !self.holds(*place.0),
            Place::Expired { .. } => false,
        };
        if self.cancelled && (self.reservations.keys().any(idle) || self.places.iter().any(idle_room)) {
            dues.push((self.last, Due::Clear));
        }
        dues
    }

    /// One step of time, as the sale has taken it; it must be one of the earliest that are due.
    pub(in crate::sale) fn step(&mut self, facts: &[Fact], now: Timestamp) {
        let dues = self.dues(now);
        let Some(earliest) = dues.iter().map(|(at, _)| *at).min().filter(|at| *at <= now) else {
            assert!(facts.is_empty(), "{facts:?} but nothing is due");
            return;
        };
        let is_due = |due: Due| dues.contains(&(earliest, due));
        match &facts[0] {
            Fact::HoldExpired { reservation } => {
                assert!(is_due(Due::Hold(*reservation)), "{facts:?} of {dues:?}");
                self.end(*reservation, ReservationStatus::Expired, PaymentFailure::HoldEnded);
            }
            Fact::SlotExpired { buyer } => {
                assert!(is_due(Due::Slot(*buyer)) || is_due(Due::Clear), "{facts:?} of {dues:?}");
                self.places.insert(*buyer, Place::Expired { at: now });
            }
            Fact::PlaceExpired { buyer } => {
                assert!(is_due(Due::LineEnds(*buyer)) || is_due(Due::Clear), "{facts:?} of {dues:?}");
                assert!(matches!(self.places[buyer], Place::Waiting { .. }));
                self.places.insert(*buyer, Place::Expired { at: now });
            }
            Fact::Admitted { buyer, slot, due, expires_at } => {
                assert!(is_due(Due::Admit(*buyer)), "{facts:?} of {dues:?}");
                assert_eq!(*due, earliest.max(now - MAX_ADMISSION_LAG));
                assert_eq!((slot.0, *expires_at), (self.admitted() + 1, *due + self.rules.admission.token));
                self.dues.push(*due);
                self.places.insert(*buyer, Place::Active { slot: *slot, expires_at: *expires_at, made: 0 });
            }
            Fact::HoldReleased { reservation } => {
                assert!(is_due(Due::Clear) && self.charging(*reservation).is_none(), "{facts:?} of {dues:?}");
                self.end(*reservation, ReservationStatus::Cancelled, PaymentFailure::SaleCancelled);
            }
            Fact::ReservationCancelled { reservation, .. } => {
                assert!(is_due(Due::Clear), "{facts:?} of {dues:?}");
                self.refund(*reservation, RefundReason::SaleCancelled);
            }
            other => panic!("time does not do {other:?}"),
        }
    }
}

impl Reservation {
    pub(in crate::sale) fn is_live(&self) -> bool {
        matches!(self.status, ReservationStatus::Pending | ReservationStatus::Confirmed)
    }
}

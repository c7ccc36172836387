//! Deciding: a command and the state give facts or a reason why not. Only reads; each refusal is checked in the
//! order of [`Rejection`], and past the last check a command must succeed.

use crate::id::{BuyerId, Epoch, Ordinal, PaymentId, ReservationId, SeatIndex, Slot};
use crate::limits::POLLS_WAITED_FOR_LOST;
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::Sale;
use crate::sale::command::{ChangeHold, Command, Hold, Seats, Selection};
use crate::sale::config::{SaleConfig, SteeringChange};
use crate::sale::fact::{Fact, Facts, PaymentFailure, RememberedAnswer};
use crate::sale::holds::reservation::Reservation;
use crate::sale::rejection::{Closed, Rejection, ReservationState};
use crate::sale::reply::{PaymentStatus, PaymentView, Reply, ReservationStatus, ReservationView, SalePhase};
use crate::sale::seats::best_block::Asked;
use crate::sale::seats::ledger::Ledger;
use crate::sale::seats::unavailable::{no_block, not_free};
use crate::sale::snapshot::PlaceState;
use crate::time::Timestamp;
use smallvec::smallvec;
use std::sync::Arc;

/// What a command leads to.
#[derive(Debug)]
pub struct Decision {
    /// What happens; nothing for a command that changes nothing.
    pub facts: Facts,
    /// What to answer once that has happened.
    pub outcome: Outcome,
}

/// What to answer, looked up after the facts were applied.
#[derive(Debug)]
pub enum Outcome {
    /// There is nothing to say.
    Done,
    /// This reservation.
    Reservation(ReservationId),
    /// This payment.
    Payment(PaymentId),
    /// This buyer's place.
    Place(BuyerId),
    /// What operators steer.
    Steering,
    /// This reservation, as it was.
    Remembered(Box<ReservationView>),
    /// This payment, as it was.
    RememberedPayment(Box<PaymentView>),
}

impl Decision {
    pub(crate) fn done(facts: Facts) -> Self {
        Self { facts, outcome: Outcome::Done }
    }

    pub(crate) fn nothing(outcome: Outcome) -> Self {
        Self { facts: Facts::new(), outcome }
    }
}

impl Sale {
    /// Decides a command at `now`, for the owner of `epoch`.
    ///
    /// # Errors
    /// The first reason of [`Rejection`] that applies.
    pub fn decide(&self, command: &Command, now: Timestamp, epoch: Epoch) -> Result<Decision, Rejection> {
        match command {
            Command::Hold(hold) => self.hold(hold, now),
            Command::ChangeHold(change) => self.decide_change(change, now),
            Command::ReleaseHold { buyer, reservation } => self.release(*buyer, *reservation, now),
            Command::CancelReservation { buyer, reservation } => self.cancel(*buyer, *reservation, now),
            Command::CancelByOperator(cancel) => self.decide_operator_cancel(cancel, now),
            Command::OpenPayment(open) => self.decide_open_payment(open, now),
            Command::ConfirmPayment(confirm) => self.decide_confirm_payment(confirm, now),
            Command::Enter { buyer } => self.enter(*buyer, now, epoch),
            Command::Restore { buyer, ordinal } => self.restore(*buyer, *ordinal, now, epoch),
            Command::CommitDraw { seed } => {
                let fact = || Fact::DrawCommitted { seed: *seed, commitment: seed.commitment() };
                Ok(Decision::done(self.wants_seed().then(fact).into_iter().collect()))
            }
            Command::Leave { buyer } => {
                let left = self.room.place(*buyer).map(|_| Fact::Left { buyer: *buyer });
                Ok(Decision::done(left.into_iter().collect()))
            }
            Command::ExpireAbsent { buyer } => {
                let waits = self.room.place(*buyer).is_some_and(|place| place.state == PlaceState::Waiting);
                Ok(Decision::done(waits.then_some(Fact::PlaceExpired { buyer: *buyer }).into_iter().collect()))
            }
            Command::Tick => Ok(self.decide_tick(now)),
            Command::SettleCharge { payment, outcome } => self.decide_settlement(*payment, outcome),
            Command::SettleRefund { payment } => Ok(self.decide_refund(*payment)),
            Command::Configure { config, plan, by } => self.decide_configure(config, plan, *by, now),
            Command::Reconfigure { config, plan, seen, by } => {
                let config = self.with_later_blocking(config, plan, seen);
                self.decide_configure(&config, plan, *by, now)
            }
            Command::Steer { change, by } => self.steer(change, *by),
            Command::BlockSeats { change, by } => self.decide_blocking(change, *by),
            Command::Postpone(postpone) => self.decide_postpone(postpone, now),
            Command::MoveCancellation(to) => self.decide_move_cancellation(to),
            Command::CancelSale { by } => self.cancel_sale(*by),
            Command::Retire { by } => self.retire(*by),
        }
    }

    /// The answer to a decision whose facts have been applied.
    #[must_use]
    pub fn answer(&self, outcome: Outcome, now: Timestamp) -> Reply {
        match outcome {
            Outcome::Done => Reply::Done,
            Outcome::Reservation(id) => {
                self.reservation(id).map_or(Reply::Done, |view| Reply::Reservation(Box::new(view)))
            }
            Outcome::Payment(id) => self.payment(id).map_or(Reply::Done, |view| Reply::Payment(Box::new(view))),
            Outcome::Place(buyer) => self.place(buyer, now).map_or(Reply::Done, Reply::Place),
            Outcome::Steering => self.steering().map_or(Reply::Done, |view| Reply::Steering(Box::new(view))),
            Outcome::Remembered(view) => Reply::Reservation(view),
            Outcome::RememberedPayment(view) => Reply::Payment(view),
        }
    }

    /// The rules and the hall, or why there is no sale to speak of.
    pub(crate) fn on_sale(&self) -> Result<(&SaleConfig, &Ledger), Rejection> {
        match (self.phase, &self.config, &self.ledger) {
            (SalePhase::Scheduled | SalePhase::Cancelled, Some(config), Some(ledger)) => Ok((config, ledger)),
            _ => Err(Rejection::NoSale),
        }
    }

    /// Whether the times of the sale let holds be made now.
    fn check_open(&self, config: &SaleConfig, now: Timestamp) -> Result<(), Rejection> {
        if now >= config.sale_ends_at {
            return Err(Rejection::SaleClosed(Closed::Ended));
        }
        if now < config.sale_starts_at {
            return Err(Rejection::SaleNotOpen);
        }
        Ok(())
    }

    fn hold(&self, hold: &Hold, now: Timestamp) -> Result<Decision, Rejection> {
        if let Some(answer) = self.recall_hold(hold, now)? {
            return Ok(answer);
        }
        let (config, ledger) = self.on_sale()?;
        let quantity = match &hold.selection {
            Selection::These(seats) => {
                check_known(ledger, seats)?;
                seats.len()
            }
            Selection::Best { category, .. } if category.at() >= ledger.plan.categories().len() => {
                return Err(Rejection::CategoryNotFound);
            }
            Selection::Best { among, .. }
                if among.section.is_some_and(|section| section.at() >= ledger.plan.section_names()) =>
            {
                return Err(Rejection::SectionNotFound);
            }
            Selection::Best { quantity, .. } => usize::from(*quantity),
        };
        self.check_not_cancelled()?;
        let slot = self.check_slot(config, hold, now)?;
        self.check_open(config, now)?;
        if let Some(before) = self.reservations.get(hold.reservation) {
            return Err(Rejection::NotPending(self.state_of(before, now)));
        }
        self.check_limit(config, hold.buyer, quantity, 0)?;
        self.check_holds_made(config, hold.buyer, slot)?;
        let seats = match &hold.selection {
            Selection::These(seats) => {
                self.check_pairs(hold.buyer, seats, &[])?;
                self.check_seats(config, ledger, seats, &[])?;
                seats.clone()
            }
            Selection::Best { category, .. } if !config.is_for_sale(*category) => {
                return Err(Rejection::CategoryNotForSale);
            }
            Selection::Best { category, quantity, among } => ledger
                .best(*category, *quantity, *among, config.no_orphans)
                .ok_or_else(|| no_block(config, ledger, Asked::of(*category, *among), *quantity))?,
        };
        let (amount, expires_at) = (price(config, &ledger.plan, &seats), now + config.hold);
        let mut facts: Facts = smallvec![];
        if let Some(key) = hold.key {
            let answer = RememberedAnswer::Held {
                reservation: hold.reservation,
                seats: seats.clone(),
                amount,
                created_at: now,
                expires_at,
            };
            facts.push(Fact::KeyRemembered { key, answer });
        }
        let (reservation, buyer) = (hold.reservation, hold.buyer);
        facts.push(Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot });
        Ok(Decision { facts, outcome: Outcome::Reservation(reservation) })
    }

    /// The buyer's slot, where one is needed to make a hold. Its time ends that right also while a hold is pending: holds
    /// that were made one after the other would keep a slot for ever, and others out. Who shows the slot of a sale that has
    /// ended is not sent back to the line for another one.
    fn check_slot(&self, config: &SaleConfig, hold: &Hold, now: Timestamp) -> Result<Option<Slot>, Rejection> {
        let slot = hold.slot;
        if !self.steering.as_ref().is_some_and(|steering| steering.required) {
            return Ok(None);
        }
        match self.room.place(hold.buyer).map(|place| place.state) {
            Some(PlaceState::Active { slot: has, expires_at, .. }) if slot == Some(has) && now < expires_at => Ok(slot),
            Some(_) | None if slot.is_some() && now >= config.sale_ends_at => Err(Rejection::SaleClosed(Closed::Ended)),
            Some(_) | None => Err(Rejection::NoSlot),
        }
    }

    /// Whether one more hold may be made with the slot; there is no limit without one.
    fn check_holds_made(&self, config: &SaleConfig, buyer: BuyerId, slot: Option<Slot>) -> Result<(), Rejection> {
        let made = match self.room.place(buyer).map(|place| place.state) {
            Some(PlaceState::Active { holds_made, .. }) if slot.is_some() => holds_made,
            Some(_) | None => return Ok(()),
        };
        let limit = config.admission.max_holds_per_slot;
        if made < limit { Ok(()) } else { Err(Rejection::HoldLimitExceeded { limit }) }
    }

    fn check_limit(&self, config: &SaleConfig, buyer: BuyerId, quantity: usize, own: u16) -> Result<(), Rejection> {
        let has = self.reservations.buyer(buyer).seats - own;
        if usize::from(has) + quantity > usize::from(config.max_seats_per_buyer) {
            return Err(Rejection::SeatLimitExceeded { limit: config.max_seats_per_buyer, has });
        }
        Ok(())
    }

    /// Whether these seats can be taken by whoever gives `own` back.
    fn check_seats(
        &self,
        config: &SaleConfig,
        ledger: &Ledger,
        seats: &[SeatIndex],
        own: &[SeatIndex],
    ) -> Result<(), Rejection> {
        let taken: Seats = seats.iter().copied().filter(|seat| !ledger.is_free(*seat) && !own.contains(seat)).collect();
        if !taken.is_empty() {
            return Err(not_free(config, ledger, seats, own, taken));
        }
        if config.no_orphans {
            let orphans = ledger.orphans(seats, own);
            if !orphans.is_empty() && !may_leave_one(ledger, seats, own) {
                return Err(Rejection::OrphanSeat { orphans, alternative: instead(config, ledger, seats, own) });
            }
        }
        Ok(())
    }

    /// A buyer's own reservation.
    pub(crate) fn own(&self, buyer: BuyerId, id: ReservationId) -> Result<&Reservation, Rejection> {
        self.reservations.get(id).filter(|r| r.buyer == buyer).ok_or(Rejection::ReservationNotFound)
    }

    fn decide_change(&self, change: &ChangeHold, now: Timestamp) -> Result<Decision, Rejection> {
        let (config, ledger) = self.on_sale()?;
        let reservation = self.own(change.buyer, change.reservation)?;
        check_known(ledger, &change.seats)?;
        self.check_pending(reservation, now)?;
        self.check_limit(config, change.buyer, change.seats.len(), reservation.seats.len() as u16)?;
        self.check_pairs(change.buyer, &change.seats, &reservation.seats)?;
        self.check_seats(config, ledger, &change.seats, &reservation.seats)?;
        let outcome = Outcome::Reservation(reservation.id);
        let same = change.seats.len() == reservation.seats.len()
            && change.seats.iter().all(|seat| reservation.seats.contains(seat));
        if same {
            return Ok(Decision::nothing(outcome));
        }
        let amount = price(config, &ledger.plan, &change.seats);
        let mut facts: Facts =
            smallvec![Fact::HoldChanged { reservation: reservation.id, seats: change.seats.clone(), amount }];
        facts.extend(self.failed_with(reservation.id, PaymentFailure::HoldEnded));
        Ok(Decision { facts, outcome })
    }

    /// Whether a hold can still be changed or paid: pending, in time, and not being charged.
    pub(crate) fn check_pending(&self, reservation: &Reservation, now: Timestamp) -> Result<(), Rejection> {
        self.check_not_cancelled()?;
        if reservation.status == ReservationStatus::Expired {
            return Err(Rejection::HoldExpired(ReservationState::Expired));
        }
        if reservation.status != ReservationStatus::Pending {
            return Err(Rejection::NotPending(self.state_of(reservation, now)));
        }
        if self.is_charging(reservation.id) {
            return Err(Rejection::PaymentInProgress);
        }
        if reservation.hold_expires_at <= now {
            return Err(Rejection::HoldExpired(ReservationState::Expired));
        }
        Ok(())
    }

    pub(crate) fn is_charging(&self, id: ReservationId) -> bool {
        self.reservations.last_payment(id).is_some_and(|row| row.view.status == PaymentStatus::Charging)
    }

    fn release(&self, buyer: BuyerId, id: ReservationId, now: Timestamp) -> Result<Decision, Rejection> {
        let reservation = self.own(buyer, id)?;
        match reservation.status {
            ReservationStatus::Pending if self.is_charging(id) => Err(Rejection::PaymentInProgress),
            ReservationStatus::Pending => {
                let mut facts: Facts = smallvec![Fact::HoldReleased { reservation: id }];
                facts.extend(self.failed_with(id, PaymentFailure::HoldEnded));
                Ok(Decision::done(facts))
            }
            ReservationStatus::Confirmed => Err(Rejection::NotPending(self.state_of(reservation, now))),
            ReservationStatus::Cancelled | ReservationStatus::Expired => Ok(Decision::nothing(Outcome::Done)),
        }
    }

    fn enter(&self, buyer: BuyerId, now: Timestamp, epoch: Epoch) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        let outcome = Outcome::Place(buyer);
        let Some(steering) = &self.steering else { return Err(Rejection::NoSale) };
        if self.stands(config, buyer, now) {
            return Ok(Decision::nothing(outcome));
        }
        if config.admission.room_opens_at.is_some_and(|opens| now < opens) {
            return Err(Rejection::SaleNotOpen);
        }
        if let Some(closed) = self.closed(config, steering, now) {
            return Err(Rejection::SaleClosed(closed));
        }
        if !steering.required {
            return Ok(Decision::nothing(outcome));
        }
        if self.room.line().len() >= config.admission.capacity {
            return Err(Rejection::QueueFull);
        }
        let (mut facts, mut ordinal) = (Facts::new(), self.room.next_ordinal());
        facts.extend(self.freeze_due(now));
        if let Some((first, last)) = self.room.missing_block(epoch) {
            facts.push(Fact::OrdinalsReserved { first, last, epoch });
            ordinal = first;
        }
        facts.push(Fact::Entered { buyer, ordinal });
        Ok(Decision { facts, outcome })
    }

    /// A ticket whose ordinal is known is either beside the place that stands, or spent. One that is not known was
    /// issued by a journal that this one is an older copy of: it stood where it says.
    fn restore(&self, buyer: BuyerId, ordinal: Ordinal, now: Timestamp, epoch: Epoch) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        let outcome = Outcome::Place(buyer);
        let required = self.steering.as_ref().is_some_and(|steering| steering.required);
        if self.stands(config, buyer, now) || !required && self.phase == SalePhase::Scheduled {
            return Ok(Decision::nothing(outcome));
        }
        if !self.restores(ordinal) {
            return Err(Rejection::TicketSpent);
        }
        if self.room_is_over(config, now) {
            let cancelled = self.phase == SalePhase::Cancelled;
            return Err(Rejection::SaleClosed(if cancelled { Closed::Cancelled } else { Closed::Ended }));
        }
        let mut facts = Facts::new();
        let block = self.room.missing_block_past(ordinal, epoch);
        let starts_anew = block.is_some() && self.room.block_epoch() != epoch;
        let waits_until = self.room.lost_waits_until().filter(|_| !starts_anew).unwrap_or_else(|| {
            let lost = self.room.lost_up_to(ordinal, starts_anew);
            now + config.admission.poll_after(self.room.line().len() + lost) * POLLS_WAITED_FOR_LOST
        });
        facts.extend(block.map(|(first, last)| Fact::OrdinalsReserved { first, last, epoch }));
        facts.push(Fact::Restored { buyer, ordinal, waits_until });
        Ok(Decision { facts, outcome })
    }

    fn decide_configure(
        &self,
        config: &SaleConfig,
        plan: &Arc<Plan>,
        by: BuyerId,
        now: Timestamp,
    ) -> Result<Decision, Rejection> {
        match (self.phase, &self.config) {
            (SalePhase::Retired, _) => return Err(Rejection::NoSale),
            (SalePhase::Cancelled, _) => return Err(Rejection::SaleClosed(Closed::Cancelled)),
            (SalePhase::Scheduled, Some(before)) if now >= before.sale_starts_at => return Err(Rejection::SaleStarted),
            (SalePhase::Unconfigured | SalePhase::Scheduled, _) => {}
        }
        let fact = Fact::Configured { config: Arc::new(config.clone()), plan: Arc::clone(plan), by };
        Ok(Decision { facts: smallvec![fact], outcome: Outcome::Done })
    }

    fn steer(&self, change: &SteeringChange, by: BuyerId) -> Result<Decision, Rejection> {
        self.on_sale()?;
        if self.phase == SalePhase::Cancelled {
            return Err(Rejection::SaleClosed(Closed::Cancelled));
        }
        let before = self.steering.as_ref().ok_or(Rejection::NoSale)?;
        let steering = before.after(change);
        let facts = if steering == **before {
            Facts::new()
        } else {
            smallvec![Fact::Steered { steering, by, reason: change.reason.clone() }]
        };
        Ok(Decision { facts, outcome: Outcome::Steering })
    }

    fn cancel_sale(&self, by: BuyerId) -> Result<Decision, Rejection> {
        self.on_sale()?;
        let again = self.phase == SalePhase::Cancelled;
        let facts = if again { Facts::new() } else { smallvec![Fact::SaleCancelled { by }] };
        Ok(Decision { facts, outcome: Outcome::Steering })
    }

    fn retire(&self, by: BuyerId) -> Result<Decision, Rejection> {
        if self.phase == SalePhase::Retired {
            return Err(Rejection::NoSale);
        }
        if self.reservations.live() > 0 {
            return Err(Rejection::HasReservations);
        }
        Ok(Decision::done(smallvec![Fact::SaleRetired { by }]))
    }
}

/// Whether these are seats of the hall, and any at all: nothing is ever held of no seats.
pub(crate) fn check_known(ledger: &Ledger, seats: &[SeatIndex]) -> Result<(), Rejection> {
    let known = !seats.is_empty() && seats.iter().all(|seat| ledger.plan.has(*seat));
    known.then_some(()).ok_or(Rejection::SeatNotFound)
}

/// The nearest block that would succeed instead of these seats for whoever gives `own` back.
pub(crate) fn instead(config: &SaleConfig, ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> Option<Seats> {
    if !config.no_orphans {
        return ledger.alternative(seats, false);
    }
    let last = || ledger.alternative(seats, false).filter(|block| may_leave_one(ledger, block, own));
    block_without_orphans(ledger, seats, own).or_else(last)
}

/// A block may leave a single seat behind when no other could be sold, as the last ones of a hall.
fn may_leave_one(ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> bool {
    ledger.is_block(seats) && block_without_orphans(ledger, seats, own).is_none()
}

fn block_without_orphans(ledger: &Ledger, seats: &[SeatIndex], own: &[SeatIndex]) -> Option<Seats> {
    ledger.alternative(seats, true).filter(|block| ledger.orphans(block, own).is_empty())
}

/// What seats cost together. Prices are bounded, so the sum of one hold cannot overflow.
pub(crate) fn price(config: &SaleConfig, plan: &Plan, seats: &[SeatIndex]) -> Amount {
    let of = |seat: &SeatIndex| config.price_of(plan.seat_category(*seat)).unwrap_or_default();
    Amount(seats.iter().map(|seat| of(seat).0).sum())
}

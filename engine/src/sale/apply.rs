//! Applying facts: the only code that changes a sale. Cannot fail and decides nothing; replay runs this alone.

use crate::id::{BuyerId, PaymentId, ReservationId};
use crate::limits::CHARGE_KEEPS_HOLD_FOR;
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::command::Seats;
use crate::sale::draw::Draw;
use crate::sale::fact::{Entry, Fact, PaymentFailure};
use crate::sale::reply::{PaymentStatus, PaymentView, ReservationStatus, ReservationView, SalePhase};
use crate::sale::seats::ledger::{Ledger, SeatState};
use crate::sale::snapshot::{PaymentRow, ReservationRow, UnmatchedRow};
use crate::sale::{Sale, SaleConfig, Steering};
use std::sync::Arc;

impl Sale {
    /// Applies a fact. Facts come in the order of their positions; what does not fit the state changes nothing.
    pub fn apply(&mut self, entry: &Entry) {
        debug_assert_eq!(entry.seq, self.seq.next(), "facts without gaps");
        self.seq = entry.seq;
        self.at = entry.at;
        match &entry.fact {
            Fact::Configured { config, plan, by: _ } => self.configure(config, plan, entry),
            Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot } => {
                let view = ReservationView {
                    id: *reservation,
                    buyer: *buyer,
                    status: ReservationStatus::Pending,
                    seats: seats.clone(),
                    amount: *amount,
                    hold_expires_at: *expires_at,
                    created_at: entry.at,
                    confirmed_at: None,
                    ticket: None,
                    refund: None,
                };
                self.set_seats(seats, SeatState::Held);
                if self.reservations.insert(ReservationRow { born: entry.seq, view }) {
                    self.room.holds(*buyer, true);
                }
                if let Some(slot) = slot {
                    self.room.count_hold(*buyer, *slot);
                }
            }
            Fact::HoldChanged { reservation, seats, amount } => self.change_hold(*reservation, seats, *amount),
            Fact::HoldReleased { reservation } | Fact::ReleasedByOperator { reservation, by: _, reason: _ } => {
                self.end_hold(*reservation, ReservationStatus::Cancelled);
            }
            Fact::HoldExpired { reservation } => self.end_hold(*reservation, ReservationStatus::Expired),
            Fact::PaymentOpened { payment, reservation, amount } => {
                self.open_payment(entry, *payment, *reservation, *amount);
            }
            Fact::PaymentStarted { payment, transaction } => self.reservations.update_payment(*payment, |row| {
                row.view.status = PaymentStatus::Charging;
                row.transaction = Some(transaction.clone());
                row.charging_until = Some(entry.at + CHARGE_KEEPS_HOLD_FOR);
            }),
            Fact::PaymentUnknown { payment } => self.reservations.update_payment(*payment, |row| row.unknown = true),
            Fact::PaymentCaptured { payment, amount } => self.reservations.update_payment(*payment, |row| {
                row.view.status = PaymentStatus::Captured;
                row.view.paid_at = Some(entry.at);
                row.captured = *amount;
                (row.charging_until, row.unknown) = (None, false);
            }),
            Fact::PaymentFailed { payment, reason } => self.fail_payment(*payment, reason),
            Fact::ReservationConfirmed { reservation, payment: _, seats, ticket } => {
                self.tickets = ticket.0;
                self.confirm(*reservation, seats, entry);
            }
            Fact::ReservationCancelled { reservation, refund }
            | Fact::CancelledByOperator { reservation, refund, by: _, reason: _ } => {
                self.cancel_reservation(*reservation, *refund);
            }
            Fact::RefundOrdered { payment, amount: _, reason } => self.reservations.update_payment(*payment, |row| {
                row.view.status = PaymentStatus::Refunded { reason: *reason, settled: false };
            }),
            Fact::PaymentRefunded { payment } => self.reservations.update_payment(*payment, |row| {
                if let PaymentStatus::Refunded { settled, .. } = &mut row.view.status {
                    *settled = true;
                }
            }),
            Fact::OutcomeUnmatched { payment, moved } => {
                self.unmatched.push(UnmatchedRow { payment: *payment, moved: *moved });
            }
            Fact::OrdinalsReserved { first, last, epoch } => self.room.reserve(*first, *last, *epoch),
            Fact::Entered { buyer, ordinal } => self.room.enter(*buyer, *ordinal, entry.at),
            Fact::Restored { buyer, ordinal, waits_until } => {
                self.room.restore(*buyer, *ordinal, *waits_until, entry.at);
            }
            Fact::DrawCommitted { seed, commitment } => {
                self.draw = Some(Box::new(Draw::committed(*seed, *commitment)));
            }
            Fact::CohortFrozen { root, size: _ } => {
                if let Some(draw) = &mut self.draw {
                    draw.freeze(self.room.line(), *root);
                }
            }
            Fact::Drawn { seed } => {
                let line = self.room.line();
                if let Some(layout) = self.draw.as_mut().and_then(|draw| draw.draw(*seed, line)) {
                    self.spent = Some(Box::new(line.clone()));
                    self.room.lay_out(&layout);
                }
            }
            Fact::Left { buyer } => self.room.remove(*buyer),
            Fact::Admitted { buyer, slot, due, expires_at } => {
                let holds = self.reservations.buyer(*buyer).holds > 0;
                self.room.admit(*buyer, *slot, *due, *expires_at, holds);
            }
            Fact::SlotExpired { buyer } | Fact::PlaceExpired { buyer } => self.room.expire(*buyer, entry.at),
            Fact::Steered { steering, by: _, reason: _ } => self.steering = Some(Box::new(steering.clone())),
            Fact::SeatsBlocked { seats, by: _, reason: _ } => self.block_seats(seats),
            Fact::SeatsUnblocked { seats, by: _, reason: _ } => self.unblock_seats(seats),
            Fact::Rescheduled { .. } => self.reschedule(&entry.fact),
            Fact::HolderNotified { reservation, .. } => self.notified(*reservation),
            Fact::SaleCancelled { by: _ } => self.phase = SalePhase::Cancelled,
            Fact::SaleRetired { by: _ } => self.phase = SalePhase::Retired,
            Fact::KeyRemembered { key, answer } => self.keys.insert(*key, entry.at, answer.clone()),
        }
        self.note_possibility(entry);
    }

    fn configure(&mut self, config: &Arc<SaleConfig>, plan: &Arc<Plan>, entry: &Entry) {
        if self.phase == SalePhase::Unconfigured {
            self.made_at = entry.at;
            self.room.made_in(entry.epoch);
        }
        let initial = Steering::initial(&config.admission);
        self.steering = Some(Box::new(match self.steering.take() {
            Some(before) => {
                Steering { paused: before.paused, closed: before.closed, message: before.message, ..initial }
            }
            None => initial,
        }));
        self.config = Some(Arc::clone(config));
        // Rules are set while nobody has bought; they say all times again.
        self.schedule = None;
        self.phase = SalePhase::Scheduled;
        // The opening may have moved, and admission counts from it.
        self.room.possible_since = None;
        if self.plan().is_none_or(|before| before.hash() != plan.hash()) {
            self.ledger = Some(Box::new(Ledger::new(Arc::clone(plan))));
        }
        if let Some(ledger) = &mut self.ledger {
            ledger.follow_rules(config);
        }
    }

    pub(crate) fn set_seats(&mut self, seats: &[crate::id::SeatIndex], state: SeatState) {
        if let Some(ledger) = &mut self.ledger {
            ledger.set(seats, state);
        }
    }

    /// Runs `change` and tells the room whether the buyer then has a pending hold, if that changed.
    fn watching_holds(&mut self, buyer: BuyerId, change: impl FnOnce(&mut Self)) {
        let before = self.reservations.buyer(buyer).holds > 0;
        change(self);
        let after = self.reservations.buyer(buyer).holds > 0;
        if before != after {
            self.room.holds(buyer, after);
        }
    }

    fn change_hold(&mut self, id: ReservationId, seats: &Seats, amount: Amount) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let old = reservation.seats.clone();
        self.set_seats(&old, SeatState::Free);
        self.set_seats(seats, SeatState::Held);
        self.reservations.update(id, |reservation| {
            reservation.seats = seats.clone();
            reservation.amount = amount;
        });
    }

    fn end_hold(&mut self, id: ReservationId, status: ReservationStatus) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let (buyer, seats) = (reservation.buyer, reservation.seats.clone());
        self.set_seats(&seats, SeatState::Free);
        self.watching_holds(buyer, |sale| {
            sale.reservations.update(id, |reservation| reservation.status = status);
        });
    }

    fn open_payment(&mut self, entry: &Entry, payment: PaymentId, reservation: ReservationId, amount: Amount) {
        let Some(owner) = self.reservations.get(reservation).map(|r| r.buyer) else { return };
        let view = PaymentView {
            id: payment,
            reservation,
            buyer: owner,
            amount,
            status: PaymentStatus::Opened,
            created_at: entry.at,
            paid_at: None,
        };
        let born = entry.seq;
        let row =
            PaymentRow { born, view, transaction: None, charging_until: None, unknown: false, captured: Amount(0) };
        self.reservations.open_payment(row);
    }

    fn fail_payment(&mut self, payment: PaymentId, reason: &PaymentFailure) {
        self.reservations.update_payment(payment, |row| {
            row.view.status = PaymentStatus::Failed(reason.clone());
            (row.charging_until, row.unknown) = (None, false);
        });
    }

    fn confirm(&mut self, id: ReservationId, seats: &Seats, entry: &Entry) {
        let Some(buyer) = self.reservations.get(id).map(|r| r.buyer) else { return };
        self.set_seats(seats, SeatState::Sold);
        let ticket = crate::id::TicketSerial(self.tickets);
        self.watching_holds(buyer, |sale| {
            sale.reservations.update(id, |reservation| {
                reservation.status = ReservationStatus::Confirmed;
                reservation.seats = seats.clone();
                let later = reservation.later();
                later.confirmed_at = Some(entry.at);
                later.ticket = Some(ticket);
            });
        });
        let shops = |place: &crate::sale::PlaceRow| matches!(place.state, crate::sale::PlaceState::Active { .. });
        if self.room.place(buyer).is_some_and(shops) {
            self.room.remove(buyer);
        }
    }

    fn cancel_reservation(&mut self, id: ReservationId, refund: Amount) {
        let Some(reservation) = self.reservations.get(id) else { return };
        let seats = reservation.seats.clone();
        self.set_seats(&seats, SeatState::Free);
        self.reservations.update(id, |reservation| {
            reservation.status = ReservationStatus::Cancelled;
            reservation.later().refund = Some(refund);
        });
    }

    /// Since when admission has been possible without a break: its rate counts from there.
    fn note_possibility(&mut self, entry: &Entry) {
        if !self.admission_is_possible() {
            self.room.possible_since = None;
        } else if self.room.possible_since.is_none() {
            let opens = self.config.as_ref().map_or(entry.at, |config| config.sale_starts_at);
            self.room.possible_since = Some(entry.at.max(opens));
        }
    }

    /// Whether somebody could be admitted, the rate and the times of the sale aside.
    fn admission_is_possible(&self) -> bool {
        let Some(steering) = &self.steering else { return false };
        self.phase == SalePhase::Scheduled
            && steering.required
            && !steering.paused
            && !steering.closed
            && self.room.line().len() > 0
            && steering.active_limit.is_none_or(|limit| self.room.active() < limit)
            && self.counts().available > 0
    }
}

//! What facts mean to the tables that are written behind the journal: folds a batch into the final rows of it, so that
//! every storage writes each row once and no adapter decides what a fact does. Follows `Sale::apply` for reservations,
//! payments and seats; must never decide anything that a fact has not decided, and must never read a clock.

use crate::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, Seq, TicketSerial};
use crate::money::{Amount, Currency};
use crate::plan::Plan;
use crate::ports::search::{Counted, PaymentState};
use crate::sale::{
    Entry, Fact, PaymentStatus, PaymentView, RescheduleCause, ReservationStatus, ReservationView, Seats,
};
use crate::time::Timestamp;
use smallvec::SmallVec;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use crate::ports::notices::{Notice, Postponement, Subject};

/// How a seat stands, in API words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatStatus {
    /// Free.
    Available,
    /// Held, not yet paid.
    Held,
    /// Paid.
    Sold,
    /// Not for sale.
    Blocked,
}

/// A seat's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeatRecord {
    /// How it stands.
    pub status: SeatStatus,
    /// Whose it is, unless it is free or blocked.
    pub reservation: Option<ReservationId>,
}

/// A payment's row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRecord {
    /// The event.
    pub event: EventId,
    /// What its buyer sees.
    pub view: PaymentView,
    /// The provider's name for the transaction, once started.
    pub transaction: Option<Box<str>>,
    /// Whether the provider has failed to say what became of the charge.
    pub unknown: bool,
    /// What the provider took.
    pub captured: Amount,
}

/// Positions of facts in their event's journal: a reservation's story is read from there.
pub type Seqs = SmallVec<[Seq; 4]>;

/// A reservation's row after the batch.
#[derive(Clone, Debug)]
pub struct ReservationChange {
    /// The event.
    pub event: EventId,
    /// The row.
    pub view: ReservationView,
    /// Whether the tables have no such row yet.
    pub is_new: bool,
    /// Whether its seats are other ones than the tables have.
    pub has_new_seats: bool,
    /// The facts of the batch that changed it, in order.
    pub seqs: Seqs,
}

/// A payment's row after the batch.
#[derive(Clone, Debug)]
pub struct PaymentChange {
    /// The row.
    pub record: PaymentRecord,
    /// Whether the tables have no such row yet.
    pub is_new: bool,
    /// The facts of the batch that changed it, in order.
    pub seqs: Seqs,
}

/// What the tables hold before the batch.
pub trait Before {
    /// Why they could not be read.
    type Error;

    /// A reservation's row and its seats.
    ///
    /// # Errors
    /// When the tables could not be read.
    fn reservation(&mut self, id: ReservationId) -> Result<Option<ReservationView>, Self::Error>;

    /// A payment's row.
    ///
    /// # Errors
    /// When the tables could not be read.
    fn payment(&mut self, id: PaymentId) -> Result<Option<PaymentRecord>, Self::Error>;
}

/// Everything that a batch changes, each row once.
#[derive(Default)]
pub struct Changes {
    /// Reservations that are new or have changed.
    pub reservations: BTreeMap<ReservationId, ReservationChange>,
    /// Payments that are new or have changed.
    pub payments: BTreeMap<PaymentId, PaymentChange>,
    /// Seats that have changed.
    pub seats: BTreeMap<(EventId, SeatIndex), SeatRecord>,
    /// Events whose rules were set: before [`Self::seats`] are written, their seats that are in nobody's hands go, since the hall
    /// may be another one.
    pub cleared: BTreeSet<EventId>,
    /// Messages, in the order of the facts.
    pub notices: Vec<Notice>,
    /// Rules and plan of the sales that were configured.
    pub configured: BTreeMap<EventId, (Currency, Arc<Plan>)>,
    /// How many more rows, or fewer, there are of each kind.
    pub counts: BTreeMap<(EventId, Counted), i64>,
}

impl Changes {
    /// Folds one fact in. Facts of an event come in order and without gaps, from what the tables hold on.
    ///
    /// # Errors
    /// When `before` could not be read; the changes must be thrown away then.
    pub fn fold<B: Before>(&mut self, event: EventId, entry: &Entry, before: &mut B) -> Result<(), B::Error> {
        let mut one = Folding { changes: self, event, entry, before };
        one.fact()
    }
}

/// Which rows folding a fact in may ask [`Before`] for, so that a storage can read them for a whole batch at once.
#[must_use]
pub fn asked_for(fact: &Fact) -> (Option<ReservationId>, Option<PaymentId>) {
    match fact {
        Fact::HoldChanged { reservation, .. }
        | Fact::HoldReleased { reservation }
        | Fact::HoldExpired { reservation }
        | Fact::ReservationConfirmed { reservation, .. }
        | Fact::ReservationCancelled { reservation, .. }
        | Fact::HolderNotified { reservation, .. }
        | Fact::CancelledByOperator { reservation, .. }
        | Fact::ReleasedByOperator { reservation, .. }
        | Fact::PaymentOpened { reservation, .. } => (Some(*reservation), None),
        Fact::PaymentStarted { payment, .. }
        | Fact::PaymentUnknown { payment }
        | Fact::PaymentCaptured { payment, .. }
        | Fact::PaymentFailed { payment, .. }
        | Fact::RefundOrdered { payment, .. }
        | Fact::PaymentRefunded { payment } => (None, Some(*payment)),
        Fact::Configured { .. }
        | Fact::SeatsHeld { .. }
        | Fact::OutcomeUnmatched { .. }
        | Fact::OrdinalsReserved { .. }
        | Fact::Entered { .. }
        | Fact::Restored { .. }
        | Fact::DrawCommitted { .. }
        | Fact::CohortFrozen { .. }
        | Fact::Drawn { .. }
        | Fact::Left { .. }
        | Fact::Admitted { .. }
        | Fact::SlotExpired { .. }
        | Fact::PlaceExpired { .. }
        | Fact::Steered { .. }
        | Fact::SeatsBlocked { .. }
        | Fact::SeatsUnblocked { .. }
        | Fact::Rescheduled { .. }
        | Fact::SaleCancelled { .. }
        | Fact::SaleRetired { .. }
        | Fact::KeyRemembered { .. } => (None, None),
    }
}

struct Folding<'a, B> {
    changes: &'a mut Changes,
    event: EventId,
    entry: &'a Entry,
    before: &'a mut B,
}

impl<B: Before> Folding<'_, B> {
    fn fact(&mut self) -> Result<(), B::Error> {
        match &self.entry.fact {
            Fact::Configured { config, plan, by: _ } => {
                self.changes.configured.insert(self.event, (config.currency, Arc::clone(plan)));
                self.clear();
                self.set_seats(&config.seats_not_for_sale(plan), SeatStatus::Blocked, None);
                Ok(())
            }
            Fact::SeatsBlocked { seats, by: _, reason: _ } => {
                self.set_seats(seats, SeatStatus::Blocked, None);
                Ok(())
            }
            Fact::SeatsUnblocked { seats, by: _, reason: _ } => {
                self.set_seats(seats, SeatStatus::Available, None);
                Ok(())
            }
            Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot: _ } => {
                self.hold(*reservation, *buyer, seats, *amount, *expires_at);
                Ok(())
            }
            Fact::HoldChanged { reservation, seats, amount } => {
                self.reservation(*reservation, "reservation.changed", |view| {
                    (view.seats, view.amount) = (seats.clone(), *amount);
                })
            }
            Fact::HoldReleased { reservation } | Fact::ReleasedByOperator { reservation, .. } => {
                self.reservation(*reservation, "reservation.released", |view| {
                    view.status = ReservationStatus::Cancelled;
                })
            }
            Fact::HoldExpired { reservation } => self.reservation(*reservation, "reservation.expired", |view| {
                view.status = ReservationStatus::Expired;
            }),
            Fact::ReservationConfirmed { reservation, payment: _, seats, ticket } => {
                self.confirm(*reservation, seats, *ticket)
            }
            Fact::ReservationCancelled { reservation, refund }
            | Fact::CancelledByOperator { reservation, refund, .. } => {
                self.reservation(*reservation, "reservation.cancelled", |view| {
                    (view.status, view.refund) = (ReservationStatus::Cancelled, Some(*refund));
                })
            }
            Fact::PaymentOpened { payment, reservation, amount } => self.open_payment(*payment, *reservation, *amount),
            Fact::PaymentStarted { payment, transaction } => self.payment(*payment, "payment.started", |record| {
                record.view.status = PaymentStatus::Charging;
                record.transaction = Some(transaction.clone());
            }),
            Fact::PaymentUnknown { payment } => {
                self.payment(*payment, "payment.unknown", |record| record.unknown = true)
            }
            Fact::PaymentCaptured { payment, amount } => {
                let at = self.entry.at;
                self.payment(*payment, "payment.captured", |record| {
                    (record.view.status, record.view.paid_at) = (PaymentStatus::Captured, Some(at));
                    (record.captured, record.unknown) = (*amount, false);
                })
            }
            Fact::PaymentFailed { payment, reason } => self.payment(*payment, "payment.failed", |record| {
                (record.view.status, record.unknown) = (PaymentStatus::Failed(reason.clone()), false);
            }),
            Fact::RefundOrdered { payment, amount: _, reason } => {
                self.payment(*payment, "payment.refund_ordered", |record| {
                    record.view.status = PaymentStatus::Refunded { reason: *reason, settled: false };
                })
            }
            Fact::PaymentRefunded { payment } => self.payment(*payment, "payment.refunded", |record| {
                if let PaymentStatus::Refunded { settled, .. } = &mut record.view.status {
                    *settled = true;
                }
            }),
            Fact::Rescheduled { cancellation_closes_at, cause, reason, .. } => {
                self.reschedule(*cancellation_closes_at, cause, reason.as_deref());
                Ok(())
            }
            Fact::HolderNotified { reservation, starts_at, ends_at, cancellation_closes_at } => {
                let (starts_at, ends_at, cancellation_closes_at) = (*starts_at, *ends_at, *cancellation_closes_at);
                self.notify_holder(
                    *reservation,
                    Postponement { starts_at, ends_at, cancellation_closes_at, reason: None },
                )
            }
            Fact::OutcomeUnmatched { .. }
            | Fact::OrdinalsReserved { .. }
            | Fact::Entered { .. }
            | Fact::Restored { .. }
            | Fact::DrawCommitted { .. }
            | Fact::CohortFrozen { .. }
            | Fact::Drawn { .. }
            | Fact::Left { .. }
            | Fact::Admitted { .. }
            | Fact::SlotExpired { .. }
            | Fact::PlaceExpired { .. }
            | Fact::Steered { .. }
            | Fact::SaleCancelled { .. }
            | Fact::SaleRetired { .. }
            | Fact::KeyRemembered { .. } => Ok(()),
        }
    }

    fn reschedule(&mut self, cancellation_closes_at: Timestamp, cause: &RescheduleCause, reason: Option<&str>) {
        match *cause {
            RescheduleCause::TimeZone => {}
            RescheduleCause::Postponed { starts_at, ends_at, cancellable_until: _ } => {
                let reason = reason.map(Box::from);
                let to = Postponement { starts_at, ends_at, cancellation_closes_at, reason };
                self.notice("event.postponed", Subject::Event(self.event), Some(to));
            }
        }
    }

    /// Holders who have cancelled since are not notified of a postponement any more.
    fn notify_holder(&mut self, id: ReservationId, to: Postponement) -> Result<(), B::Error> {
        let view = match self.changes.reservations.get(&id) {
            Some(change) => Some(change.view.clone()),
            None => self.before.reservation(id)?,
        };
        if let Some(view) = view.filter(|view| view.status == ReservationStatus::Confirmed) {
            self.notice("reservation.postponed", Subject::Reservation(Box::new(view)), Some(to));
        }
        Ok(())
    }

    fn hold(&mut self, id: ReservationId, buyer: BuyerId, seats: &Seats, amount: Amount, expires_at: Timestamp) {
        let view = ReservationView {
            id,
            buyer,
            status: ReservationStatus::Pending,
            seats: seats.clone(),
            amount,
            hold_expires_at: expires_at,
            created_at: self.entry.at,
            confirmed_at: None,
            ticket: None,
            refund: None,
        };
        self.set_seats(seats, SeatStatus::Held, Some(id));
        self.notice("reservation.held", Subject::Reservation(Box::new(view.clone())), None);
        let seqs = Seqs::from_slice(&[self.entry.seq]);
        let change = ReservationChange { event: self.event, view, is_new: true, has_new_seats: true, seqs };
        self.changes.reservations.insert(id, change);
        self.count(Counted::Reservations(ReservationStatus::Pending), 1);
    }

    fn confirm(&mut self, id: ReservationId, seats: &Seats, ticket: TicketSerial) -> Result<(), B::Error> {
        let at = self.entry.at;
        self.reservation(id, "reservation.confirmed", |view| {
            view.status = ReservationStatus::Confirmed;
            view.seats = seats.clone();
            view.confirmed_at = Some(at);
            view.ticket = Some(ticket);
        })
    }

    /// Changes a reservation that the tables or this batch have; its seats follow.
    fn reservation(
        &mut self,
        id: ReservationId,
        kind: &'static str,
        change: impl FnOnce(&mut ReservationView),
    ) -> Result<(), B::Error> {
        if !self.changes.reservations.contains_key(&id) {
            let Some(view) = self.before.reservation(id)? else { return Ok(()) };
            let (event, seqs) = (self.event, Seqs::new());
            let change = ReservationChange { event, view, is_new: false, has_new_seats: false, seqs };
            self.changes.reservations.insert(id, change);
        }
        let Some(known) = self.changes.reservations.get_mut(&id) else { return Ok(()) };
        let (old_status, old_seats) = (known.view.status, known.view.seats.clone());
        change(&mut known.view);
        known.has_new_seats |= known.view.seats != old_seats;
        known.seqs.push(self.entry.seq);
        let view = known.view.clone();
        self.moved(Counted::Reservations(old_status), Counted::Reservations(view.status));
        if owned_seat_status(old_status).is_some() {
            self.set_seats(&old_seats, SeatStatus::Available, None);
        }
        if let Some(status) = owned_seat_status(view.status) {
            self.set_seats(&view.seats, status, Some(id));
        }
        self.notice(kind, Subject::Reservation(Box::new(view)), None);
        Ok(())
    }

    fn open_payment(&mut self, id: PaymentId, reservation: ReservationId, amount: Amount) -> Result<(), B::Error> {
        let owner = match self.changes.reservations.get(&reservation) {
            Some(change) => Some(change.view.buyer),
            None => self.before.reservation(reservation)?.map(|view| view.buyer),
        };
        let Some(buyer) = owner else { return Ok(()) };
        let view = PaymentView {
            id,
            reservation,
            buyer,
            amount,
            status: PaymentStatus::Opened,
            created_at: self.entry.at,
            paid_at: None,
        };
        self.notice("payment.opened", Subject::Payment(Box::new(view.clone())), None);
        let record = PaymentRecord { event: self.event, view, transaction: None, unknown: false, captured: Amount(0) };
        let seqs = Seqs::from_slice(&[self.entry.seq]);
        self.changes.payments.insert(id, PaymentChange { record, is_new: true, seqs });
        self.count(Counted::Payments(PaymentState::Pending), 1);
        Ok(())
    }

    /// Changes a payment that the tables or this batch have.
    fn payment(
        &mut self,
        id: PaymentId,
        kind: &'static str,
        change: impl FnOnce(&mut PaymentRecord),
    ) -> Result<(), B::Error> {
        if !self.changes.payments.contains_key(&id) {
            let Some(record) = self.before.payment(id)? else { return Ok(()) };
            self.changes.payments.insert(id, PaymentChange { record, is_new: false, seqs: Seqs::new() });
        }
        let Some(known) = self.changes.payments.get_mut(&id) else { return Ok(()) };
        let before = PaymentState::of(&known.record.view.status);
        change(&mut known.record);
        known.seqs.push(self.entry.seq);
        let view = known.record.view.clone();
        self.moved(Counted::Payments(before), Counted::Payments(PaymentState::of(&view.status)));
        self.notice(kind, Subject::Payment(Box::new(view)), None);
        Ok(())
    }

    /// Forgets the seats that are in nobody's hands.
    fn clear(&mut self) {
        let event = self.event;
        self.changes.cleared.insert(event);
        self.changes.seats.retain(|(other, _), row| *other != event || row.reservation.is_some());
    }

    fn set_seats(&mut self, seats: &[SeatIndex], status: SeatStatus, reservation: Option<ReservationId>) {
        for seat in seats {
            self.changes.seats.insert((self.event, *seat), SeatRecord { status, reservation });
        }
    }

    /// A row is counted under another kind from now on.
    fn moved(&mut self, from: Counted, to: Counted) {
        if from != to {
            self.count(from, -1);
            self.count(to, 1);
        }
    }

    fn count(&mut self, what: Counted, by: i64) {
        *self.changes.counts.entry((self.event, what)).or_default() += by;
    }

    fn notice(&mut self, kind: &'static str, subject: Subject, postponement: Option<Postponement>) {
        let Entry { seq, at, trace, fact, .. } = self.entry;
        let reason = fact.reason_of_operator().map(Box::from);
        let (event, seq, at, trace) = (self.event, *seq, *at, *trace);
        self.changes.notices.push(Notice { event, seq, at, trace, kind, subject, reason, postponement });
    }
}

/// How the seats of such a reservation stand; `None` when it has none any more.
fn owned_seat_status(status: ReservationStatus) -> Option<SeatStatus> {
    match status {
        ReservationStatus::Pending => Some(SeatStatus::Held),
        ReservationStatus::Confirmed => Some(SeatStatus::Sold),
        ReservationStatus::Cancelled | ReservationStatus::Expired => None,
    }
}

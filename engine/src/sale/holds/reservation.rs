//! One reservation as the sale keeps it: what every hold has lies together, what comes later, if ever, lies elsewhere. A hall of
//! millions of seats has millions of them, so they are small. Must never be what readers are given: that is the view.

use crate::id::{BuyerId, PaymentId, ReservationId, Seq, TicketSerial};
use crate::money::Amount;
use crate::sale::command::Seats;
use crate::sale::rejection::ReservationState;
use crate::sale::reply::{ReservationStatus, ReservationView};
use crate::sale::snapshot::ReservationRow;
use crate::time::Timestamp;

/// A reservation and what only the sale knows of it; see [`ReservationView`] for what members mean.
#[derive(Clone)]
pub(crate) struct Reservation {
    pub(crate) id: ReservationId,
    pub(crate) buyer: BuyerId,
    /// The fact that made it.
    pub(crate) born: Seq,
    pub(crate) seats: Seats,
    pub(crate) amount: Amount,
    pub(crate) hold_expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) status: ReservationStatus,
    later: Option<Box<Later>>,
}

/// Millions of them are written, each once, to memory that was never touched before.
const _: () = assert!(size_of::<Option<Reservation>>() <= 104);

/// What a hold comes to when it is paid.
#[derive(Clone, Default)]
pub(crate) struct Later {
    /// Every payment opened for it, the newest last.
    pub(crate) payments: Vec<PaymentId>,
    /// How many of them were declined.
    pub(crate) declined: u16,
    /// Until when a charge keeps the hold from expiring.
    pub(crate) charging_until: Option<Timestamp>,
    pub(crate) confirmed_at: Option<Timestamp>,
    pub(crate) ticket: Option<TicketSerial>,
    pub(crate) refund: Option<Amount>,
}

impl Reservation {
    pub(crate) fn new(row: ReservationRow) -> Self {
        let ReservationRow { born, view } = row;
        let ReservationView { id, buyer, status, seats, amount, hold_expires_at, created_at, .. } = view;
        let (confirmed_at, ticket, refund) = (view.confirmed_at, view.ticket, view.refund);
        let came_later = confirmed_at.is_some() || ticket.is_some() || refund.is_some();
        let later = came_later.then(|| Box::new(Later { confirmed_at, ticket, refund, ..Later::default() }));
        Self { id, buyer, born, seats, amount, hold_expires_at, created_at, status, later }
    }

    /// What its buyer sees.
    pub(crate) fn view(&self) -> ReservationView {
        let later = self.later.as_deref();
        ReservationView {
            id: self.id,
            buyer: self.buyer,
            status: self.status,
            seats: self.seats.clone(),
            amount: self.amount,
            hold_expires_at: self.hold_expires_at,
            created_at: self.created_at,
            confirmed_at: later.and_then(|later| later.confirmed_at),
            ticket: later.and_then(|later| later.ticket),
            refund: later.and_then(|later| later.refund),
        }
    }

    /// As a snapshot has it.
    pub(crate) fn row(&self) -> ReservationRow {
        ReservationRow { born: self.born, view: self.view() }
    }

    /// Every payment opened for it, the newest last.
    pub(crate) fn payments(&self) -> &[PaymentId] {
        self.later.as_ref().map(|later| later.payments.as_slice()).unwrap_or_default()
    }

    /// How many charges of it were declined, whatever seats it had then.
    pub(crate) fn declined(&self) -> u16 {
        self.later.as_ref().map_or(0, |later| later.declined)
    }

    pub(crate) fn ticket(&self) -> Option<TicketSerial> {
        self.later.as_ref()?.ticket
    }

    pub(crate) fn later(&mut self) -> &mut Later {
        self.later.get_or_insert_default()
    }

    /// How it stands, its sale aside.
    pub(crate) fn state(&self) -> ReservationState {
        ReservationState::new(self.status, self.later.as_ref().is_some_and(|later| later.refund.is_some()))
    }

    /// When the hold ends, a running charge considered.
    pub(crate) fn deadline(&self) -> Timestamp {
        let charging_until = self.later.as_ref().and_then(|later| later.charging_until);
        charging_until.map_or(self.hold_expires_at, |until| until.max(self.hold_expires_at))
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.status, ReservationStatus::Pending | ReservationStatus::Confirmed)
    }
}

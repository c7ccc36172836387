//! One reservation as the sale keeps it: what every hold has lies together, what only a paid one has lies behind a pointer. A
//! hall of millions of seats has millions of them, so they are small. Must never be given to readers: they get the view.

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
    pub(crate) created_seq: Seq,
    pub(crate) seats: Seats,
    pub(crate) amount: Amount,
    pub(crate) hold_expires_at: Timestamp,
    pub(crate) created_at: Timestamp,
    pub(crate) status: ReservationStatus,
    purchase: Option<Box<Purchase>>,
}

/// Millions of them are written, each once, to memory that was never touched before.
const _: () = assert!(size_of::<Option<Reservation>>() <= 104);

/// What a hold gets once its buyer begins to pay.
#[derive(Clone, Default)]
pub(crate) struct Purchase {
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
        let ReservationRow { created_seq, view } = row;
        let ReservationView { id, buyer, status, seats, amount, hold_expires_at, created_at, .. } = view;
        let (confirmed_at, ticket, refund) = (view.confirmed_at, view.ticket, view.refund);
        let is_purchase = confirmed_at.is_some() || ticket.is_some() || refund.is_some();
        let purchase = is_purchase.then(|| Box::new(Purchase { confirmed_at, ticket, refund, ..Purchase::default() }));
        Self { id, buyer, created_seq, seats, amount, hold_expires_at, created_at, status, purchase }
    }

    /// What its buyer sees.
    pub(crate) fn view(&self) -> ReservationView {
        let purchase = self.purchase.as_deref();
        ReservationView {
            id: self.id,
            buyer: self.buyer,
            status: self.status,
            seats: self.seats.clone(),
            amount: self.amount,
            hold_expires_at: self.hold_expires_at,
            created_at: self.created_at,
            confirmed_at: purchase.and_then(|purchase| purchase.confirmed_at),
            ticket: purchase.and_then(|purchase| purchase.ticket),
            refund: purchase.and_then(|purchase| purchase.refund),
        }
    }

    /// As a snapshot has it.
    pub(crate) fn row(&self) -> ReservationRow {
        ReservationRow { created_seq: self.created_seq, view: self.view() }
    }

    /// Every payment opened for it, the newest last.
    pub(crate) fn payments(&self) -> &[PaymentId] {
        self.purchase.as_ref().map(|purchase| purchase.payments.as_slice()).unwrap_or_default()
    }

    /// How many charges of it were declined, whatever seats it had then.
    pub(crate) fn declined(&self) -> u16 {
        self.purchase.as_ref().map_or(0, |purchase| purchase.declined)
    }

    pub(crate) fn ticket(&self) -> Option<TicketSerial> {
        self.purchase.as_ref()?.ticket
    }

    pub(crate) fn purchase_mut(&mut self) -> &mut Purchase {
        self.purchase.get_or_insert_default()
    }

    /// Its state, the phase of its sale aside.
    pub(crate) fn state(&self) -> ReservationState {
        ReservationState::new(self.status, self.purchase.as_ref().is_some_and(|purchase| purchase.refund.is_some()))
    }

    /// Until when a running charge keeps the hold.
    pub(crate) fn charging_until(&self) -> Option<Timestamp> {
        self.purchase.as_ref()?.charging_until
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self.status, ReservationStatus::Pending | ReservationStatus::Confirmed)
    }
}

//! The sale of one event: seat ledger and waiting room, owned together. `decide` only reads, `apply` only writes
//! and cannot fail; replay calls `apply` alone. Must never read a clock, a generator or the order of a hash map.

mod apply;
mod collections;
mod command;
mod config;
mod decide;
pub mod draw;
mod due;
mod fact;
mod holds;
mod idempotency;
pub mod invariants;
mod operators;
mod payments;
mod queue;
mod rejection;
mod reply;
mod seats;
mod snapshot;
mod summary;

pub use command::{
    Among, ChangeHold, ChargeOutcome, Command, ConfirmPayment, Hold, OpenPayment, OperatorCancel, RequestKey, Seats,
    Selection,
};
pub use config::{AdmissionConfig, SaleConfig, Steering, SteeringChange};
pub use fact::{Entry, Fact, Facts, MoneyMoved, PaymentFailure, RefundReason, RememberedAnswer};
pub use operators::postpone::{MoveCancellation, Postpone, RescheduleCause, Schedule};
pub use rejection::{Closed, Rejection, ReservationState, Unavailable};
pub use reply::{
    PaymentStatus, PaymentView, PlaceStatus, PlaceView, Reply, ReservationStatus, ReservationView, SalePhase,
    SeatCounts, SteeringView, Version,
};
pub use seats::blocking::SeatBlocking;
pub use snapshot::{
    CohortRow, DrawRow, KeyRow, LostRow, PaymentRow, PlaceRow, PlaceState, ReservationRow, RoomSnapshot, SaleSnapshot,
    UnmatchedRow,
};
pub use summary::SaleSummary;

use crate::id::{BuyerId, Ordinal, PaymentId, ReservationId, SeatIndex, Seq};
use crate::plan::Plan;
use crate::time::Timestamp;
use collections::lazy::Lazy;
use draw::Draw;
use holds::reservation::Reservation;
use holds::reservations::Reservations;
use idempotency::Keys;
use payments::unmatched::Unmatched;
use queue::line::Line;
use queue::waiting_room::Room;
use seats::ledger::{Ledger, SeatState};
use std::sync::Arc;

pub use decide::{Decision, Outcome};

/// One event's sale: the whole state that its journal describes.
#[derive(Clone)]
pub struct Sale {
    seq: Seq,
    at: Timestamp,
    phase: SalePhase,
    /// Shared by every copy of the sale, and by the fact that brought it.
    config: Option<Arc<SaleConfig>>,
    steering: Option<Box<Steering>>,
    ledger: Option<Box<Ledger>>,
    reservations: Lazy<Reservations>,
    keys: Lazy<Keys>,
    tickets: u64,
    room: Room,
    /// When the sale was made.
    made_at: Timestamp,
    draw: Option<Box<Draw>>,
    unmatched: Unmatched,
    /// The line as it was before the draw, until somebody drops it where nobody waits: that takes milliseconds.
    spent: Option<Box<Line>>,
    /// The last postponement.
    schedule: Option<Box<Schedule>>,
}

impl Default for Sale {
    fn default() -> Self {
        Self::new()
    }
}

impl Sale {
    /// A sale before its first fact.
    #[must_use]
    pub fn new() -> Self {
        Self {
            seq: Seq(0),
            at: Timestamp(i64::MIN),
            phase: SalePhase::Unconfigured,
            config: None,
            steering: None,
            ledger: None,
            reservations: Lazy::default(),
            keys: Lazy::default(),
            tickets: 0,
            room: Room::default(),
            made_at: Timestamp(0),
            draw: None,
            unmatched: Unmatched::default(),
            spent: None,
            schedule: None,
        }
    }

    /// The last fact applied.
    #[must_use]
    pub fn seq(&self) -> Seq {
        self.seq
    }

    /// When the last fact was decided; nothing is decided earlier.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The state of the sale itself.
    #[must_use]
    pub fn phase(&self) -> SalePhase {
        self.phase
    }

    /// The rules; none before the first fact.
    #[must_use]
    pub fn config(&self) -> Option<&SaleConfig> {
        self.config.as_deref()
    }

    pub(crate) fn shared_config(&self) -> Option<&Arc<SaleConfig>> {
        self.config.as_ref()
    }

    /// The hall; none before the first fact.
    #[must_use]
    pub fn plan(&self) -> Option<&Arc<Plan>> {
        self.ledger.as_ref().map(|ledger| &ledger.plan)
    }

    /// What operators see and steer; none before the first fact.
    #[must_use]
    pub fn steering(&self) -> Option<SteeringView> {
        Some(SteeringView {
            steering: self.steering.as_deref()?.clone(),
            waiting: self.room.line().len(),
            active: self.room.active(),
            admitted_total: self.room.admitted_total(),
        })
    }

    /// Seats by their state.
    #[must_use]
    pub fn counts(&self) -> SeatCounts {
        self.ledger.as_ref().map(|ledger| ledger.counts()).unwrap_or_default()
    }

    /// Seats by their state for each category, in the plan's order.
    #[must_use]
    pub fn category_counts(&self) -> Vec<SeatCounts> {
        self.ledger.as_ref().map(|ledger| ledger.category_counts().to_vec()).unwrap_or_default()
    }

    /// Held seats, in plan order; walks the hall.
    #[must_use]
    pub fn seats_held(&self) -> Vec<SeatIndex> {
        self.ledger.as_ref().map(|ledger| ledger.held().collect()).unwrap_or_default()
    }

    /// Sold seats, in plan order.
    #[must_use]
    pub fn seats_sold(&self) -> Vec<SeatIndex> {
        self.ledger.as_ref().map(|ledger| ledger.sold().collect()).unwrap_or_default()
    }

    /// Seats that are not for sale, in plan order.
    #[must_use]
    pub fn seats_blocked(&self) -> Vec<SeatIndex> {
        self.ledger.as_ref().map(|ledger| ledger.blocked().collect()).unwrap_or_default()
    }

    /// A reservation, unless it ended long ago.
    #[must_use]
    pub fn reservation(&self, id: ReservationId) -> Option<ReservationView> {
        self.reservations.get(id).map(Reservation::view)
    }

    /// A payment, unless its reservation ended long ago.
    #[must_use]
    pub fn payment(&self, id: PaymentId) -> Option<PaymentView> {
        self.reservations.payment(id).map(|row| row.view.clone())
    }

    /// The provider's name for a payment's transaction, once it was started.
    #[must_use]
    pub fn payment_transaction(&self, id: PaymentId) -> Option<&str> {
        self.reservations.payment(id)?.transaction.as_deref()
    }

    /// The payment of a reservation that is open or charging.
    #[must_use]
    pub fn pending_payment(&self, reservation: ReservationId) -> Option<PaymentView> {
        let row = self.reservations.last_payment(reservation)?;
        matches!(row.view.status, PaymentStatus::Opened | PaymentStatus::Charging).then(|| row.view.clone())
    }

    /// Payments whose charge (first) or refund (second) has not come to its end: what a reconciler asks about.
    #[must_use]
    pub fn open_money(&self) -> (Vec<PaymentRow>, Vec<PaymentRow>) {
        let rows = |wanted: fn(&PaymentStatus) -> bool| {
            let mut rows: Vec<_> =
                self.reservations.payments().filter(|row| wanted(&row.view.status)).cloned().collect();
            rows.sort_by_key(|row| row.born);
            rows
        };
        (
            rows(|status| *status == PaymentStatus::Charging),
            rows(|status| matches!(status, PaymentStatus::Refunded { settled: false, .. })),
        )
    }

    /// A payment with what the provider has to be told of it.
    #[must_use]
    pub fn payment_row(&self, id: PaymentId) -> Option<&PaymentRow> {
        self.reservations.payment(id)
    }

    /// Every payment of a reservation in memory with what the provider has to be told of it, the newest last.
    #[must_use]
    pub fn payments_of(&self, reservation: ReservationId) -> Vec<PaymentRow> {
        let payments = self.reservations.get(reservation).map(Reservation::payments).unwrap_or_default();
        payments.iter().filter_map(|payment| self.reservations.payment(*payment)).cloned().collect()
    }

    /// What was answered to an idempotency key, and the body that it came with.
    #[must_use]
    pub fn remembered(&self, scope: u128) -> Option<(u128, RememberedAnswer)> {
        self.keys.get(scope).map(|row| (row.key.body, row.answer.clone()))
    }

    /// Seats of a buyer's pending and confirmed reservations, as the limit counts them.
    #[must_use]
    pub fn seats_of_buyer(&self, buyer: BuyerId) -> u16 {
        self.reservations.buyer(buyer).seats
    }

    /// Whether seats are pending or confirmed.
    #[must_use]
    pub fn has_live_reservations(&self) -> bool {
        self.reservations.live() > 0
    }

    /// Whether the buyer waits or shops, so that another event must not let them in.
    #[must_use]
    pub fn is_in_room(&self, buyer: BuyerId) -> bool {
        self.room.place(buyer).is_some_and(|place| !matches!(place.state, PlaceState::Expired { .. }))
    }

    /// When the sale was made, in microseconds: it tells its lines apart from those of another journal of the event.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.made_at.0.cast_unsigned()
    }

    /// Whether an ordinal that a ticket names was issued by a journal that this one is an older copy of: it has neither
    /// a place here nor had one.
    #[must_use]
    pub fn restores(&self, ordinal: Ordinal) -> bool {
        ordinal.0 > 0 && !self.room.line().was_used(ordinal)
    }

    /// What the last facts have left behind that takes long to be dropped.
    pub(crate) fn take_spent(&mut self) -> Option<Box<Line>> {
        self.spent.take()
    }

    /// The draw, once its seed is committed to.
    #[must_use]
    pub fn draw(&self) -> Option<&Draw> {
        self.draw.as_deref()
    }

    /// Whether a draw is wanted that nobody has brought a seed for yet. There is one seed for good, whatever the rules
    /// are changed to.
    #[must_use]
    pub fn wants_seed(&self) -> bool {
        let wanted = self.config.as_ref().is_some_and(|config| config.admission.draw);
        wanted && self.phase == SalePhase::Scheduled && self.draw.is_none()
    }

    /// The buyer's place and where it stands in the line, whatever the time.
    #[must_use]
    pub fn place_row(&self, buyer: BuyerId) -> Option<PlaceRow> {
        self.room.place(buyer).map(|place| self.room.as_it_stands(place))
    }

    /// Every place as it is kept; walks the room, for copies.
    #[must_use]
    pub fn places(&self) -> Vec<PlaceRow> {
        self.room.snapshot().places
    }

    /// Every pending reservation, in no order; walks them, for copies.
    #[must_use]
    pub fn pending(&self) -> Vec<ReservationView> {
        let pending = self.reservations.iter().filter(|r| r.status == ReservationStatus::Pending);
        pending.map(Reservation::view).collect()
    }

    /// Everyone waiting, in order; walks the line, for starts and checks.
    pub fn waiting(&self) -> impl Iterator<Item = BuyerId> + '_ {
        self.room.line().iter().map(|(_, buyer)| buyer)
    }

    /// Everyone who waits or shops, in no order; for starts.
    #[must_use]
    pub fn everyone_in_room(&self) -> Vec<BuyerId> {
        let places = self.room.snapshot().places;
        places.iter().filter(|p| !matches!(p.state, PlaceState::Expired { .. })).map(|place| place.buyer).collect()
    }

    /// Where the buyer stands at `now`; an expired place is shown for ten minutes. When the sale is over so is every place,
    /// but that of a buyer whose hold is pending, though the facts that end them may come a moment later.
    #[must_use]
    pub fn place(&self, buyer: BuyerId, now: Timestamp) -> Option<PlaceView> {
        let config = self.config.as_deref()?;
        let required = self.steering.as_ref().is_some_and(|steering| steering.required);
        let total_in_queue = self.room.line().len();
        let place = self.room.place(buyer);
        let is_over = self.room_is_over(config, now);
        if !required {
            let ordinal = place.map(|place| place.ordinal);
            let expires_at = config.sale_ends_at;
            let shops = PlaceStatus::Active { slot: None, expires_at, may_hold: true };
            let status = if is_over { PlaceStatus::Expired } else { shops };
            return Some(PlaceView { buyer, ordinal, status, total_in_queue });
        }
        let place = place?;
        let rank = || self.room.line().rank(self.room.as_it_stands(place).ordinal);
        let status = match place.state {
            PlaceState::Waiting if is_over => PlaceStatus::Expired,
            PlaceState::Active { .. } if self.phase != SalePhase::Scheduled => PlaceStatus::Expired,
            PlaceState::Waiting if now < config.sale_starts_at || self.draw_is_pending() => {
                PlaceStatus::PreQueue { rank: (!config.admission.draw).then(rank) }
            }
            PlaceState::Waiting => PlaceStatus::Waiting { rank: rank() },
            PlaceState::Active { expires_at, .. } if self.slot_is_over(buyer, expires_at, now) => PlaceStatus::Expired,
            PlaceState::Active { slot, expires_at, .. } => {
                let expires_at = self.slot_ends_at(expires_at);
                PlaceStatus::Active { slot: Some(slot), expires_at, may_hold: now < expires_at }
            }
            PlaceState::Expired { at } if at + crate::limits::EXPIRED_TOLD_FOR <= now => return None,
            PlaceState::Expired { .. } => PlaceStatus::Expired,
        };
        let ordinal = match (place.state, &self.draw) {
            (PlaceState::Active { .. } | PlaceState::Expired { .. }, Some(draw)) => draw.arrival(place.ordinal),
            (PlaceState::Waiting, _) | (_, None) => place.ordinal,
        };
        let ordinal = Some(ordinal);
        Some(PlaceView { buyer, ordinal, status, total_in_queue })
    }

    /// The whole state as plain data.
    #[must_use]
    pub fn snapshot(&self) -> SaleSnapshot {
        SaleSnapshot {
            seq: self.seq,
            at: self.at,
            phase: self.phase,
            config: self.config.as_deref().cloned(),
            plan: self.plan().cloned(),
            steering: self.steering.as_deref().cloned(),
            tickets: self.tickets,
            reservations: self.reservations.rows(),
            payments: self.reservations.payment_rows(),
            keys: self.keys.rows(),
            room: self.room.snapshot(),
            made_at: self.made_at,
            draw: self.draw.as_ref().map(|draw| draw.row()),
            unmatched: self.unmatched.rows(),
            schedule: self.schedule.as_deref().cloned(),
        }
    }

    /// The sale that a snapshot describes.
    #[must_use]
    pub fn from_snapshot(snapshot: SaleSnapshot) -> Self {
        let reservations = match snapshot.reservations.is_empty() && snapshot.payments.is_empty() {
            true => Lazy::default(),
            false => Lazy::from(Reservations::from_rows(snapshot.reservations, snapshot.payments)),
        };
        let mut ledger = snapshot.plan.map(|plan| Box::new(Ledger::new(plan)));
        for reservation in reservations.iter().filter(|reservation| reservation.is_live()) {
            let confirmed = reservation.status == ReservationStatus::Confirmed;
            let state = if confirmed { SeatState::Sold } else { SeatState::Held };
            if let Some(ledger) = &mut ledger {
                ledger.set(&reservation.seats, state);
            }
        }
        if let (Some(ledger), Some(config)) = (&mut ledger, &snapshot.config) {
            ledger.follow_rules(config);
        }
        let draw = snapshot.draw.map(|row| Box::new(Draw::from_row(row)));
        let order = draw.as_ref().and_then(|draw| draw.order());
        let room = Room::from_snapshot(snapshot.room, order, |buyer| reservations.buyer(buyer).holds > 0);
        Self {
            seq: snapshot.seq,
            at: snapshot.at,
            phase: snapshot.phase,
            config: snapshot.config.map(Arc::new),
            steering: snapshot.steering.map(Box::new),
            ledger,
            reservations,
            keys: if snapshot.keys.is_empty() { Lazy::default() } else { Keys::from_rows(snapshot.keys).into() },
            tickets: snapshot.tickets,
            room,
            made_at: snapshot.made_at,
            draw,
            unmatched: Unmatched::from_rows(snapshot.unmatched),
            spent: None,
            schedule: snapshot.schedule.map(Box::new),
        }
    }
}

#[cfg(test)]
mod model;
#[cfg(test)]
mod stage;
#[cfg(test)]
mod tests;

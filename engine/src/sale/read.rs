//! What readers ask of a sale about seats, reservations, payments and steering; places are in `queue/status.rs`. Copies, or
//! borrows of what the sale has: must never change anything.

use crate::id::{BuyerId, PaymentId, ReservationId, SeatIndex};
use crate::sale::Sale;
use crate::sale::fact::RememberedAnswer;
use crate::sale::holds::reservation::Reservation;
use crate::sale::reply::{PaymentStatus, PaymentView, ReservationStatus, ReservationView, SeatCounts, SteeringView};
use crate::sale::snapshot::PaymentRow;

impl Sale {
    /// What operators see and steer; none before the first fact.
    #[must_use]
    pub fn steering(&self) -> Option<SteeringView> {
        Some(SteeringView {
            steering: self.steering.as_deref()?.clone(),
            waiting: self.waiting_room.line().len(),
            active: self.waiting_room.active(),
            admitted_total: self.waiting_room.admitted_total(),
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

    /// Held seats, in plan order; scans the hall.
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

    /// A payment with what the provider needs to know of it.
    #[must_use]
    pub fn payment_row(&self, id: PaymentId) -> Option<&PaymentRow> {
        self.reservations.payment(id)
    }

    /// Every payment of a reservation in memory, with what the provider needs to know, the newest last.
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

    /// Every pending reservation, in no order; O(reservations), for copies.
    #[must_use]
    pub fn pending(&self) -> Vec<ReservationView> {
        let pending = self.reservations.iter().filter(|r| r.status == ReservationStatus::Pending);
        pending.map(Reservation::view).collect()
    }
}

//! The whole state of a sale as plain data, in an order that does not depend on memory: what snapshots store, and what two sales
//! are compared by. Derived tables are left out; they are rebuilt. Must never leave out what a decision depends on.

use crate::id::{BuyerId, Epoch, Ordinal, PaymentId, Seq, Slot};
use crate::money::Amount;
use crate::plan::Plan;
use crate::sale::Sale;
use crate::sale::collections::lazy::Lazy;
use crate::sale::command::RequestKey;
use crate::sale::config::{SaleConfig, Steering};
use crate::sale::draw::{Draw, DrawHash, DrawSeed};
use crate::sale::fact::{MoneyMoved, RememberedAnswer};
use crate::sale::holds::reservations::Reservations;
use crate::sale::idempotency::Keys;
use crate::sale::operators::postpone::Schedule;
use crate::sale::payments::unmatched::Unmatched;
use crate::sale::queue::waiting_room::WaitingRoom;
use crate::sale::reply::{PaymentView, ReservationStatus, ReservationView, SalePhase};
use crate::sale::seats::ledger::{Ledger, SeatState};
use crate::time::Timestamp;
use std::sync::Arc;

/// The state after the fact `seq`. Plans are compared by their hash.
#[derive(Clone, Debug, PartialEq)]
pub struct SaleSnapshot {
    /// The last fact in it.
    pub seq: Seq,
    /// When that fact was decided.
    pub at: Timestamp,
    /// The state of the sale itself.
    pub phase: SalePhase,
    /// The rules; none before the first fact.
    pub config: Option<SaleConfig>,
    /// The hall; stored by its hash.
    pub plan: Option<Arc<Plan>>,
    /// What operators have steered; none before the first fact.
    pub steering: Option<Steering>,
    /// Tickets issued.
    pub tickets: u64,
    /// Pending and confirmed reservations, in the order of their making; then ended ones in the order of their ending.
    pub reservations: Vec<ReservationRow>,
    /// Payments, in the order of their opening.
    pub payments: Vec<PaymentRow>,
    /// Remembered idempotency keys, oldest first.
    pub keys: Vec<KeyRow>,
    /// The waiting room.
    pub room: WaitingRoomSnapshot,
    /// When the sale was made: it identifies the line among those of other journals of the event.
    pub made_at: Timestamp,
    /// The draw, once its seed is committed to.
    pub draw: Option<DrawRow>,
    /// Outcomes that no payment accounts for, oldest first.
    pub unmatched: Vec<UnmatchedRow>,
    /// The last postponement.
    pub schedule: Option<Schedule>,
}

/// An outcome that no payment accounts for, in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnmatchedRow {
    /// The payment that the provider names.
    pub payment: PaymentId,
    /// What it reports.
    pub moved: MoneyMoved,
}

/// The draw in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DrawRow {
    /// The seed.
    pub seed: DrawSeed,
    /// Its hash, as it was published.
    pub commitment: DrawHash,
    /// The buyers who came before the opening, from then on.
    pub cohort: Option<CohortRow>,
    /// Whether the order was drawn.
    pub drawn: bool,
}

/// A frozen cohort in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CohortRow {
    /// The root over it.
    pub root: DrawHash,
    /// Everyone, in the order of arrival.
    pub members: Vec<(Ordinal, BuyerId)>,
}

/// A reservation in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationRow {
    /// The fact that made it.
    pub created_seq: Seq,
    /// What its buyer sees.
    pub view: ReservationView,
}

/// A payment in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentRow {
    /// The fact that opened it.
    pub created_seq: Seq,
    /// What its buyer sees.
    pub view: PaymentView,
    /// The provider's name for the transaction, once started.
    pub transaction: Option<Box<str>>,
    /// Until when the charge keeps its hold from expiring, while charging.
    pub charging_until: Option<Timestamp>,
    /// Whether the provider has failed to say what became of the charge.
    pub unknown: bool,
    /// What the provider took.
    pub captured: Amount,
}

/// A remembered idempotency key in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRow {
    /// The key and the body.
    pub key: RequestKey,
    /// When it was answered.
    pub at: Timestamp,
    /// What was answered.
    pub answer: RememberedAnswer,
}

/// The waiting room in a snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitingRoomSnapshot {
    /// The next ordinal of the current block.
    pub next: u64,
    /// The last ordinal ever reserved.
    pub reserved: u64,
    /// Whose block it is.
    pub block_epoch: Epoch,
    /// Every ordinal that was ever used, as runs from first to last.
    pub used: Vec<(Ordinal, Ordinal)>,
    /// The first ordinal that an older journal may have lost.
    pub lost_from: u64,
    /// The lost ordinals that tickets have shown since the last start.
    pub lost: Option<LostRow>,
    /// How many were ever admitted.
    pub admitted_total: u64,
    /// When the admissions of the last second before the newest were due, oldest first.
    pub window: Vec<Timestamp>,
    /// Since when admission has been possible without a break, if it is.
    pub possible_since: Option<Timestamp>,
    /// Everyone in the line by ordinal, then everyone active by slot, then the expired in the order of expiry
    /// (those of one instant by their ids).
    pub places: Vec<PlaceRow>,
}

/// Ordinals that tickets show to have been issued, and that the journal does not know, in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRow {
    /// The last of them that a ticket has shown.
    pub top: Ordinal,
    /// How many of them have returned.
    pub returned: u64,
    /// Until when admission waits for the others.
    pub waits_until: Timestamp,
}

/// A place in a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlaceRow {
    /// Whose.
    pub buyer: BuyerId,
    /// Where the buyer joined.
    pub ordinal: Ordinal,
    /// Its state.
    pub state: PlaceState,
}

/// The state of a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceState {
    /// In the line.
    Waiting,
    /// Admitted.
    Active {
        /// The number of the admission.
        slot: Slot,
        /// When the slot ends: from then on no new hold is made with it.
        expires_at: Timestamp,
        /// Holds that were made with it, whatever became of them.
        holds_made: u16,
    },
    /// Over.
    Expired {
        /// Since when.
        at: Timestamp,
    },
}

impl Sale {
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
            room: self.waiting_room.snapshot(),
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
        let waiting_room =
            WaitingRoom::from_snapshot(snapshot.room, order, |buyer| reservations.buyer(buyer).holds > 0);
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
            waiting_room,
            made_at: snapshot.made_at,
            draw,
            unmatched: Unmatched::from_rows(snapshot.unmatched),
            replaced_line: None,
            schedule: snapshot.schedule.map(Box::new),
        }
    }
}

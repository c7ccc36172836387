//! The rules of a sale, set when it is made, and what an operator may steer while it runs. Must never hold defaults: they are
//! the server's.

use crate::id::SeatIndex;
use crate::limits::{POLL_MAX, POLL_MIN, POLLS_BEFORE_ABSENT, POLLS_PER_SECOND};
use crate::money::{Amount, Currency};
use crate::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;

/// The rules of one sale. A fact of its own: replay needs nothing else but the plan.
#[derive(Clone, Debug, PartialEq)]
pub struct SaleConfig {
    /// When holds and admissions begin.
    pub sale_starts_at: Timestamp,
    /// When holds, entries, admissions, places and slots end; a hold made before may be paid after it.
    pub sale_ends_at: Timestamp,
    /// From then on a confirmed reservation cannot be cancelled: midnight, venue time, of the day of the event,
    /// or later after a postponement.
    pub cancellation_closes_at: Timestamp,
    /// The currency of every amount of this sale.
    pub currency: Currency,
    /// The price of each category, in the plan's order; one without a price is not for sale.
    pub prices: Vec<Option<Amount>>,
    /// Seats that are not for sale whatever their category, in plan order, none of them twice; at most
    /// [`crate::limits::MAX_BLOCKED_SEATS`]. An operator's blocking and freeing changes it by facts of their own.
    pub blocked: Arc<[SeatIndex]>,
    /// Seats that one buyer may have pending or confirmed, 1 to [`crate::limits::MAX_SEATS_PER_HOLD`].
    pub max_seats_per_buyer: u16,
    /// How long a hold lasts.
    pub hold: Duration,
    /// Whether a hold may not leave a single free seat behind.
    pub no_orphans: bool,
    /// The waiting room.
    pub admission: AdmissionConfig,
}

/// The rules of a waiting room.
#[derive(Clone, Debug, PartialEq)]
pub struct AdmissionConfig {
    /// Whether holding seats needs a slot.
    pub required: bool,
    /// Buyers admitted per second at most.
    pub rate_per_second: u32,
    /// Buyers in the line (`PRE_QUEUE` and `WAITING`) at most.
    pub capacity: u64,
    /// Buyers shopping at the same time at most; `None` is no limit.
    pub active_limit: Option<u64>,
    /// How long a slot lasts.
    pub token: Duration,
    /// Holds that may be made with one slot, 1 to [`crate::limits::MAX_HOLDS_PER_SLOT`]: released and expired ones count, too,
    /// so that nobody keeps seats away from others by holding and releasing.
    pub max_holds_per_slot: u16,
    /// How long a waiting buyer may send no heartbeat.
    pub absent: Duration,
    /// Whether the buyers who come before the opening are put in a drawn order.
    pub draw: bool,
    /// When entering begins; `None` is at once.
    pub room_opens_at: Option<Timestamp>,
}

impl AdmissionConfig {
    /// How long a buyer should wait between status reads, so that a line of that length stays within the budget of reads. Whole
    /// seconds, at least one.
    #[must_use]
    pub fn poll_after(&self, total_in_queue: u64) -> Duration {
        let fair = Duration::from_secs(total_in_queue.div_ceil(POLLS_PER_SECOND)).clamp(POLL_MIN, POLL_MAX);
        let heartbeat = Duration::from_secs(self.absent.as_secs() / POLLS_BEFORE_ABSENT);
        fair.min(heartbeat).max(Duration::from_secs(1))
    }
}

/// What an operator steers: the whole of it after a change, so that a fact contains all that holds from then on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Steering {
    /// See [`AdmissionConfig::rate_per_second`].
    pub rate_per_second: u32,
    /// See [`AdmissionConfig::active_limit`].
    pub active_limit: Option<u64>,
    /// See [`AdmissionConfig::required`].
    pub required: bool,
    /// Nobody is admitted while it is set; the line stays.
    pub paused: bool,
    /// Nobody may enter and nobody is admitted; buyers with slots go on.
    pub closed: bool,
    /// Shown to everyone in the line.
    pub message: Option<Box<str>>,
}

/// A request to steer: what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SteeringChange {
    /// 1 to [`crate::limits::MAX_RATE_PER_SECOND`].
    pub rate_per_second: Option<u32>,
    /// `Some(None)` lifts the limit.
    pub active_limit: Option<Option<u64>>,
    /// Whether a slot is needed.
    pub required: Option<bool>,
    /// Whether admission is paused.
    pub paused: Option<bool>,
    /// Whether the line is closed.
    pub closed: Option<bool>,
    /// `Some(None)` takes the message away.
    pub message: Option<Option<Box<str>>>,
    /// Why, for the record; at most [`crate::limits::MAX_MESSAGE_BYTES`].
    pub reason: Option<Box<str>>,
}

impl Steering {
    /// What a sale starts with.
    #[must_use]
    pub fn initial(config: &AdmissionConfig) -> Self {
        Self {
            rate_per_second: config.rate_per_second,
            active_limit: config.active_limit,
            required: config.required,
            paused: false,
            closed: false,
            message: None,
        }
    }

    /// What would hold after `change`.
    #[must_use]
    pub fn after(&self, change: &SteeringChange) -> Self {
        Self {
            rate_per_second: change.rate_per_second.unwrap_or(self.rate_per_second),
            active_limit: change.active_limit.unwrap_or(self.active_limit),
            required: change.required.unwrap_or(self.required),
            paused: change.paused.unwrap_or(self.paused),
            closed: change.closed.unwrap_or(self.closed),
            message: change.message.clone().unwrap_or_else(|| self.message.clone()),
        }
    }
}

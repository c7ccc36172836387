//! Ports of what the nodes of one system share beside their storage: limits of requests, claims of buyers, the
//! catalogue's cache, notifications, and copies of the state of sales. All of it may be lost at any moment, and its
//! users can go on without: what an error leaves undone is done by the node's own means. No call waits longer than its
//! adapter's bound.

use crate::id::{BuyerId, EventId, Ordinal, ReservationId, Seq, Slot};
use crate::ports::accounts::Revocation;
use crate::ports::{Later, StoreError};
use crate::sale::SeatCounts;
use crate::time::Timestamp;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// How much may be asked: so many requests at once, all of which come back within the window, one by one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// Requests at once.
    pub requests: NonZeroU32,
    /// The time in which all of them come back.
    pub window: Duration,
}

impl Quota {
    /// The time in which one request comes back.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.window / self.requests.get()
    }
}

/// Whether one more request may be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Allowed,
    /// It may not, before so long.
    Refused {
        /// Until the next one may.
        retry_after: Duration,
    },
}

/// Limits that all nodes keep together.
pub trait SharedLimits: Send + Sync + 'static {
    /// Takes one request out of what `name` may ask.
    fn spend<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<Verdict, StoreError>>;
    /// Gives back one request that `name` was allowed.
    fn give_back<'a>(&'a self, name: &'a str, quota: Quota) -> Later<'a, Result<(), StoreError>>;
}

/// Which event has each buyer, for all nodes. What has happened to places brings the claims up to date through
/// [`Copies`].
pub trait SharedClaims: Send + Sync + 'static {
    /// Claims the buyer for `event` unless another event has them; `over` is one where they are known not to be any
    /// more. Answers whose they are now.
    fn claim(&self, buyer: BuyerId, event: EventId, over: Option<EventId>) -> Later<'_, Result<EventId, StoreError>>;
    /// The buyer is not in `event`: gives the claim back, unless another event has it.
    fn release(&self, buyer: BuyerId, event: EventId) -> Later<'_, Result<(), StoreError>>;
}

/// Something that the catalogue describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Described {
    /// An event.
    Event(EventId),
    /// A venue.
    Venue(Uuid),
    /// A hall.
    Hall(Uuid),
}

impl Described {
    /// Whether lists of events say something of it: they name events and their venues, and halls nowhere.
    #[must_use]
    pub fn is_in_event_lists(self) -> bool {
        match self {
            Self::Event(_) | Self::Venue(_) => true,
            Self::Hall(_) => false,
        }
    }
}

/// What the cache keeps a value under.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CacheKey {
    /// One thing of the catalogue.
    Thing(Described),
    /// One page of the list of events, by a digest of what was asked for.
    EventPage(u128),
}

impl From<Described> for CacheKey {
    fn from(thing: Described) -> Self {
        Self::Thing(thing)
    }
}

/// What was found in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// The value, as it was kept.
    Value(Vec<u8>),
    /// Nothing; the caller that receives this reads the value, and keeps it under this number.
    Read {
        /// For [`SharedCache::keep`].
        turn: u128,
    },
    /// Nothing yet; another one is reading it.
    Wait,
}

/// Pages of the list of events that all nodes keep together. Beyond them all pages are forgotten and read again: requests
/// for ever other pages cannot fill the cache. A page has at most a hundred events of about 1 KB.
pub const SHARED_EVENT_PAGES: usize = 200;

/// What nodes have read of the catalogue, so that one of them reads for all.
pub trait SharedCache: Send + Sync + 'static {
    /// Looks for it, and appoints the one who reads it when it is not there.
    fn find(&self, key: CacheKey) -> Later<'_, Result<Found, StoreError>>;
    /// Keeps what was read, unless it was forgotten since `turn` began; whether it was kept.
    fn keep<'a>(
        &'a self,
        key: CacheKey,
        turn: u128,
        value: &'a [u8],
        lives: Duration,
    ) -> Later<'a, Result<bool, StoreError>>;
    /// It has changed, or is new: forgets it, and every page of events if lists say something of it, and notifies every node.
    fn forget(&self, what: Described) -> Later<'_, Result<(), StoreError>>;
}

/// A notification to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notification {
    /// The catalogue has changed here.
    Changed(Described),
    /// An access token was revoked.
    Revoked(Revocation),
    /// Something may have been missed: what is remembered of it must be read again.
    Missed,
}

/// What receives notifications; it must not wait.
pub type Listener = Arc<dyn Fn(Notification) + Send + Sync>;

/// Notifications to every node. The truth is in the storage.
pub trait Notifications: Send + Sync + 'static {
    /// Notifies every node, this one too, of revoked tokens.
    fn notify_revoked<'a>(&'a self, revoked: &'a [Revocation]) -> Later<'a, Result<(), StoreError>>;
    /// Receives from now on, until the process ends.
    fn listen(&self, listener: Listener);
}

/// Where a buyer stands, for a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// In the line.
    Waiting(Ordinal),
    /// Let in, until then.
    Active(Slot, Timestamp),
    /// Neither.
    Gone,
}

/// A pending hold, for a copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeldSeats {
    /// Whose.
    pub buyer: BuyerId,
    /// The ids of its seats.
    pub seats: Vec<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// What a sale looks like, or what of it has changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SaleCopy {
    /// The event.
    pub event: EventId,
    /// Whether this is everything, and replaces what was there; else only what has changed.
    pub whole: bool,
    /// Whether the event was taken off the catalogue: nothing of it is kept.
    pub retired: bool,
    /// Whether its places claim their buyers, so that no other event lets them in.
    pub claims: bool,
    /// The last fact in it.
    pub seq: Seq,
    /// Seats by their state.
    pub counts: SeatCounts,
    /// Everyone in the line.
    pub waiting: u64,
    /// Everyone shopping.
    pub active: u64,
    /// Everyone ever let in.
    pub admitted_total: u64,
    /// Places.
    pub places: Vec<(BuyerId, Standing)>,
    /// Holds; `None` is none any more.
    pub holds: Vec<(ReservationId, Option<HeldSeats>)>,
}

/// Copies of lines, holds and counts for other nodes and tools, written behind by the owner of the event. They bring
/// the claims of the places in them up to date.
pub trait Copies: Send + Sync + 'static {
    /// Writes copies; answers the events whose copy was not whole before, and must be written whole.
    fn write<'a>(&'a self, copies: &'a [SaleCopy]) -> Later<'a, Result<Vec<EventId>, StoreError>>;
    /// Whether everything that this node has written since it asked last is still there. False at first.
    fn are_intact(&self) -> Later<'_, Result<bool, StoreError>>;
}

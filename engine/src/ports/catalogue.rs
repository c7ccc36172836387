//! Port of the catalogue: venues, halls with their plans, and the descriptive part of events. The live part of an
//! event (seats, admission, its times once on sale) is the sale's; the catalogue keeps a copy for lists.

use crate::id::{BuyerId, EventId, PlanHash};
use crate::money::{Amount, Currency};
use crate::plan::{Plan, Stage};
use crate::ports::shared::Described;
use crate::ports::{Later, StoreError, StoredAnswer};
use crate::sale::SaleConfig;
use crate::time::Timestamp;
use std::sync::Arc;
use uuid::Uuid;

/// A place that has halls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Venue {
    /// Its id.
    pub id: Uuid,
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: String,
    /// Its city.
    pub city: String,
    /// An IANA time zone, such as `Asia/Seoul`.
    pub time_zone: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A hall of a venue, with one plan for good: another plan is another hall.
#[derive(Clone, Debug, PartialEq)]
pub struct Hall {
    /// Its id.
    pub id: Uuid,
    /// Its venue.
    pub venue: Uuid,
    /// Its name.
    pub name: String,
    /// Its plan.
    pub plan: PlanHash,
    /// Its seats.
    pub capacity: u32,
    /// The names of its plan's categories, in order.
    pub categories: Vec<String>,
    /// Where its plan's stage is; none in halls that are older than stages.
    pub stage: Option<Stage>,
    /// What its author may want to look at.
    pub warnings: Vec<HallWarning>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// Something about a hall that is no mistake, but may surprise its author.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HallWarning {
    /// What it is, a stable word.
    pub code: String,
    /// The same for the author, with the first places.
    pub message: String,
    /// How often it occurs.
    pub count: u32,
}

/// An event as the catalogue keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id, unique also by its tag.
    pub id: EventId,
    /// Its title.
    pub title: String,
    /// Who performs.
    pub artist: String,
    /// More about it.
    pub description: Option<String>,
    /// Its hall.
    pub hall: Uuid,
    /// Its hall's venue.
    pub venue: Uuid,
    /// The venue's name when read.
    pub venue_name: String,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// The rules of its sale.
    pub sale: SaleConfig,
    /// The plan of its hall.
    pub plan: PlanHash,
    /// The administrator who made it.
    pub created_by: BuyerId,
    /// When it was made.
    pub created_at: Timestamp,
    /// Whether its sale was cancelled.
    pub cancelled: bool,
    /// The smallest and the largest price.
    pub price_range: (Amount, Amount),
}

/// What a list says of an event, but for what is live. Without the description and the seats that are blocked, of which an
/// event may have a lot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedEvent {
    /// Its id.
    pub id: EventId,
    /// Its title.
    pub title: String,
    /// Who performs.
    pub artist: String,
    /// The venue's name when read.
    pub venue_name: String,
    /// When it begins.
    pub starts_at: Timestamp,
    /// When its sale opens.
    pub sale_starts_at: Timestamp,
    /// When its sale ends.
    pub sale_ends_at: Timestamp,
    /// Whether its sale was cancelled.
    pub cancelled: bool,
    /// What its prices are in.
    pub currency: Currency,
    /// The smallest and the largest price.
    pub price_range: (Amount, Amount),
}

impl From<Event> for ListedEvent {
    fn from(event: Event) -> Self {
        Self {
            id: event.id,
            title: event.title,
            artist: event.artist,
            venue_name: event.venue_name,
            starts_at: event.starts_at,
            sale_starts_at: event.sale.sale_starts_at,
            sale_ends_at: event.sale.sale_ends_at,
            cancelled: event.cancelled,
            currency: event.sale.currency,
            price_range: event.price_range,
        }
    }
}

/// An event's state as lists filter it; computed when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStatus {
    /// Before the sale starts.
    Upcoming,
    /// Seats can be had.
    OnSale,
    /// Every seat that is for sale is sold.
    SoldOut,
    /// The sale is over.
    Ended,
    /// Cancelled by an operator.
    Cancelled,
}

/// The order of a list of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventOrder {
    /// By when the event begins.
    StartsAt,
    /// By when it was made.
    CreatedAt,
    /// By title.
    Title,
}

/// Which events, in which order.
#[derive(Clone, Debug)]
pub struct EventQuery {
    /// Only these, computed at `now` (sold out: from the projection).
    pub status: Option<EventStatus>,
    /// Part of title or artist, without case.
    pub text: Option<String>,
    /// Events that begin at or after this.
    pub from: Option<Timestamp>,
    /// Events that begin before this.
    pub to: Option<Timestamp>,
    /// Only this venue's.
    pub venue: Option<Uuid>,
    /// The order.
    pub order: EventOrder,
    /// Whether the last comes first.
    pub descending: bool,
    /// The page.
    pub page: Page,
    /// When it is read.
    pub now: Timestamp,
}

/// A page of a list, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Which page, from 0.
    pub number: u32,
    /// How many to a page, 1 to 100.
    pub size: u32,
}

/// A page of things and how many there are in all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed<T> {
    /// The page's things.
    pub items: Vec<T>,
    /// Things on all pages.
    pub total: u64,
}

/// Why something was not deleted or changed.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// A venue with halls, or a hall with events, is not deleted; or an event's tag is in use.
    #[error("still in use: {0}")]
    InUse(&'static str),
    /// The storage returned an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What an administrator changed of a thing of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogueChange {
    /// Its own id, which orders changes of one instant.
    pub id: Uuid,
    /// What was changed.
    pub thing: Described,
    /// When.
    pub at: Timestamp,
    /// By which administrator.
    pub by: BuyerId,
    /// What was done, a stable word.
    pub action: String,
    /// Every member that changed, as JSON: the server's own form.
    pub members: String,
}

/// Venues, halls, plans and events. Deletions are soft: reads and lists skip what is deleted.
pub trait Catalogue: Send + Sync + 'static {
    /// Makes a venue, and remembers the answer for its idempotency key in the same transaction.
    fn create_venue<'a>(
        &'a self,
        venue: &'a Venue,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>>;
    /// A venue.
    fn venue(&self, id: Uuid) -> Later<'_, Result<Option<Venue>, StoreError>>;
    /// Venues, newest first.
    fn venues(&self, page: Page) -> Later<'_, Result<Listed<Venue>, StoreError>>;
    /// Replaces a venue's members; false if there is none.
    fn update_venue<'a>(&'a self, venue: &'a Venue) -> Later<'a, Result<bool, StoreError>>;
    /// Deletes a venue without halls; false if there is none.
    fn delete_venue(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>>;

    /// Keeps a plan (its draft is what is stored, compressed) and makes a hall of it.
    fn create_hall<'a>(
        &'a self,
        hall: &'a Hall,
        plan: &'a Arc<Plan>,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>>;
    /// A hall.
    fn hall(&self, id: Uuid) -> Later<'_, Result<Option<Hall>, StoreError>>;
    /// A venue's halls, newest first.
    fn halls(&self, venue: Uuid, page: Page) -> Later<'_, Result<Listed<Hall>, StoreError>>;
    /// Renames a hall; false if there is none.
    fn rename_hall<'a>(&'a self, id: Uuid, name: &'a str) -> Later<'a, Result<bool, StoreError>>;
    /// Deletes a hall without events; false if there is none.
    fn delete_hall(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>>;

    /// Makes an event, and remembers the answer for its idempotency key in the same transaction.
    fn create_event<'a>(
        &'a self,
        event: &'a Event,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CatalogueError>>;
    /// An event.
    fn event(&self, id: EventId) -> Later<'_, Result<Option<Event>, StoreError>>;
    /// Events.
    fn events<'a>(&'a self, query: &'a EventQuery) -> Later<'a, Result<Listed<Event>, StoreError>>;
    /// Every event that is not deleted; read at start, so that each has its sale.
    fn all_events(&self) -> Later<'_, Result<Vec<Event>, StoreError>>;
    /// Replaces an event's members (also `cancelled`); false if there is none.
    fn update_event<'a>(&'a self, event: &'a Event) -> Later<'a, Result<bool, StoreError>>;
    /// Deletes an event; false if there is none.
    fn delete_event(&self, id: EventId) -> Later<'_, Result<bool, StoreError>>;

    /// The same catalogue, whose next write that does something keeps this change in its transaction.
    fn noting(&self, change: CatalogueChange) -> Arc<dyn Catalogue>;
    /// The changes that were kept of a thing, newest first, at most so many.
    fn changes(&self, thing: Described, limit: u32) -> Later<'_, Result<Vec<CatalogueChange>, StoreError>>;

    /// The answer remembered for an idempotency key, if it is younger than a day.
    fn recall(&self, scope: u128, now: Timestamp) -> Later<'_, Result<Option<StoredAnswer>, StoreError>>;
}

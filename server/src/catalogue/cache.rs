//! The cache of the catalogue: descriptions of events, venues and halls, and pages of the list of events. A popular event is read
//! thousands of times a second and changes once a day. One layer belongs to this process; where nodes share a Redis, a second
//! one with a longer lifetime belongs to all of them, and one node reads for all. A change invalidates both on every node. Must
//! never hold what is live (seats, admission and status come from the sale), and never be what a change is based on.

mod pages;

pub use pages::EventPage;

use crate::catalogue::cache::pages::{PageRequest, Pages};
use crate::config::CacheConfig;
use crate::idempotency::InFlight;
use onsale_adapters::described::Cached;
use onsale_engine::id::EventId;
use onsale_engine::ports::catalogue::{Catalogue, Event, EventQuery, Hall, Listed, ListedEvent, Venue};
use onsale_engine::ports::shared::{CacheKey, Described, Found, SharedCache};
use onsale_engine::ports::{Clock, StoreError};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Entries kept by this process; beyond them all are dropped and read again.
const THINGS: usize = 10_000;
/// Interval at which the shared layer is asked whether another node has read the entry.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// How long another node is waited for.
const READ_TIMEOUT: Duration = Duration::from_millis(2500);
/// How long all nodes remember that an entry does not exist.
const ABSENT_LIVES: Duration = Duration::from_secs(5);
/// Invalidations that wait to be sent; with more, shared entries may be stale until they expire.
const MOST_UNSENT: usize = 10_000;

/// See the module. Clones share their content.
#[derive(Clone)]
pub struct CatalogueCache(Arc<Inner>);

struct Inner {
    catalogue: Arc<dyn Catalogue>,
    clock: Arc<dyn Clock>,
    shared: Option<Arc<dyn SharedCache>>,
    config: CacheConfig,
    kept: Mutex<Kept>,
    reading: InFlight,
    unsent: Mutex<BTreeSet<Described>>,
    own_hits: AtomicU64,
    shared_hits: AtomicU64,
    reads: AtomicU64,
}

#[derive(Default)]
struct Kept {
    things: HashMap<Described, (Thing, Option<Instant>)>,
    pages: Pages,
    /// Grows with every change, so that what was read before one is not kept after it.
    changes: u64,
}

/// What is asked for.
#[derive(Clone)]
enum Wanted {
    Thing(Described),
    Page(Arc<PageRequest>),
}

impl Wanted {
    fn key(&self) -> CacheKey {
        match self {
            Self::Thing(what) => CacheKey::Thing(*what),
            Self::Page(request) => CacheKey::EventPage(request.key),
        }
    }

    /// Callers with the same scope wait for one of them.
    fn scope(&self) -> u128 {
        match self.key() {
            CacheKey::Thing(Described::Event(EventId(id)) | Described::Venue(id) | Described::Hall(id)) => id.as_u128(),
            CacheKey::EventPage(key) => key,
        }
    }

    /// Whether it is kept in the shared layer; not what is valid for one moment only.
    fn is_shared(&self) -> bool {
        match self {
            Self::Thing(_) => true,
            Self::Page(request) => request.not_before.is_none(),
        }
    }
}

/// Something described, or that there is no such thing; or a page of events.
#[derive(Clone)]
enum Thing {
    Event(Arc<Event>),
    Venue(Arc<Venue>),
    Hall(Arc<Hall>),
    Nothing,
    Page(Arc<EventPage>),
}

impl Thing {
    fn written(&self) -> Option<Vec<u8>> {
        match self {
            Self::Event(event) => event.written(),
            Self::Venue(venue) => venue.written(),
            Self::Hall(hall) => hall.written(),
            Self::Nothing => Some(Vec::new()),
            Self::Page(page) => page.written(),
        }
    }

    fn read(key: CacheKey, bytes: &[u8]) -> Option<Self> {
        let what = match key {
            CacheKey::EventPage(_) => return EventPage::read(bytes).map(|page| Self::Page(Arc::new(page))),
            CacheKey::Thing(_) if bytes.is_empty() => return Some(Self::Nothing),
            CacheKey::Thing(what) => what,
        };
        match what {
            Described::Event(_) => Event::read(bytes).map(|event| Self::Event(Arc::new(event))),
            Described::Venue(_) => Venue::read(bytes).map(|venue| Self::Venue(Arc::new(venue))),
            Described::Hall(_) => Hall::read(bytes).map(|hall| Self::Hall(Arc::new(hall))),
        }
    }
}

impl CatalogueCache {
    /// An empty cache in front of `catalogue`; `shared` is the layer of all nodes.
    #[must_use]
    pub fn new(
        catalogue: Arc<dyn Catalogue>,
        clock: Arc<dyn Clock>,
        shared: Option<Arc<dyn SharedCache>>,
        config: &CacheConfig,
    ) -> Self {
        Self(Arc::new(Inner {
            catalogue,
            clock,
            shared,
            config: config.clone(),
            kept: Mutex::default(),
            reading: InFlight::default(),
            unsent: Mutex::default(),
            own_hits: AtomicU64::new(0),
            shared_hits: AtomicU64::new(0),
            reads: AtomicU64::new(0),
        }))
    }

    /// An event, with its venue's present name; none if there is none.
    ///
    /// # Errors
    /// If it is not in memory and the catalogue does not answer.
    pub async fn event(&self, id: EventId) -> Result<Option<Arc<Event>>, StoreError> {
        let Thing::Event(event) = self.thing(Wanted::Thing(Described::Event(id))).await? else { return Ok(None) };
        let venue = self.venue(event.venue).await.ok().flatten();
        Ok(Some(match venue.filter(|venue| venue.name != event.venue_name) {
            Some(venue) => Arc::new(Event { venue_name: venue.name.clone(), ..Event::clone(&event) }),
            None => event,
        }))
    }

    /// A venue; none if there is none.
    ///
    /// # Errors
    /// See [`CatalogueCache::event`].
    pub async fn venue(&self, id: Uuid) -> Result<Option<Arc<Venue>>, StoreError> {
        match self.thing(Wanted::Thing(Described::Venue(id))).await? {
            Thing::Venue(venue) => Ok(Some(venue)),
            Thing::Event(_) | Thing::Hall(_) | Thing::Nothing | Thing::Page(_) => Ok(None),
        }
    }

    /// A hall; none if there is none.
    ///
    /// # Errors
    /// See [`CatalogueCache::event`].
    pub async fn hall(&self, id: Uuid) -> Result<Option<Arc<Hall>>, StoreError> {
        match self.thing(Wanted::Thing(Described::Hall(id))).await? {
            Thing::Hall(hall) => Ok(Some(hall)),
            Thing::Event(_) | Thing::Venue(_) | Thing::Nothing | Thing::Page(_) => Ok(None),
        }
    }

    /// A page of events: without what is live, which the caller adds.
    ///
    /// # Errors
    /// See [`CatalogueCache::event`].
    pub async fn event_page(&self, query: EventQuery) -> Result<Arc<EventPage>, StoreError> {
        match self.thing(Wanted::Page(Arc::new(PageRequest::new(query)))).await? {
            Thing::Page(page) => Ok(page),
            Thing::Event(_) | Thing::Venue(_) | Thing::Hall(_) | Thing::Nothing => {
                Err(StoreError("another thing under the key of a page".to_owned()))
            }
        }
    }

    /// To be called after something was made, changed or deleted: no node answers the old
    /// entry any more, unless Redis cannot be reached: then it is invalidated as soon as it can be.
    pub async fn changed(&self, what: Described) {
        self.forget(what);
        let Some(shared) = &self.0.shared else { return };
        if shared.forget(what).await.is_err() {
            let mut unsent = self.0.unsent.lock();
            if unsent.len() < MOST_UNSENT {
                unsent.insert(what);
            }
        }
    }

    /// Sends the invalidations that could not be sent before.
    pub async fn send_again(&self) {
        let unsent = std::mem::take(&mut *self.0.unsent.lock());
        for what in unsent {
            self.changed(what).await;
        }
    }

    /// This process forgets it; another one has changed it.
    pub fn forget(&self, what: Described) {
        let mut kept = self.0.kept.lock();
        kept.changes += 1;
        kept.things.remove(&what);
        if what.is_in_event_lists() {
            kept.pages.clear();
        }
    }

    /// This process forgets everything: it may have missed a change.
    pub fn forget_all(&self) {
        let mut kept = self.0.kept.lock();
        kept.changes += 1;
        kept.things.clear();
        kept.pages.clear();
    }

    /// Reads so far: those that memory answered, of this process or of all nodes, and those that it did not.
    #[must_use]
    pub fn reads(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.0.own_hits) + of(&self.0.shared_hits), of(&self.0.reads))
    }

    /// The hits among them that the shared layer answered.
    #[must_use]
    pub fn shared_hits(&self) -> u64 {
        self.0.shared_hits.load(Ordering::Relaxed)
    }

    async fn thing(&self, wanted: Wanted) -> Result<Thing, StoreError> {
        if let Some(thing) = self.0.here(&wanted) {
            self.0.own_hits.fetch_add(1, Ordering::Relaxed);
            return Ok(thing);
        }
        // One task of this process reads further, even if its caller goes away; the other callers wait for it.
        let cache = self.clone();
        let reading = tokio::spawn(Scope::carry_future(async move {
            let _turn = cache.0.reading.take(wanted.scope()).await;
            if let Some(thing) = cache.0.here(&wanted) {
                cache.0.own_hits.fetch_add(1, Ordering::Relaxed);
                return Ok(thing);
            }
            let (changes, read_at) = (cache.0.kept.lock().changes, Instant::now());
            let thing = cache.0.read_further(&wanted).await?;
            cache.0.keep_here(&wanted, &thing, changes, read_at);
            Ok(thing)
        }));
        reading.await.unwrap_or_else(|error| Err(StoreError(error.to_string())))
    }
}

impl Inner {
    fn here(&self, wanted: &Wanted) -> Option<Thing> {
        let (mut kept, now) = (self.kept.lock(), Instant::now());
        match wanted {
            Wanted::Thing(what) => {
                let (thing, until) = kept.things.get(what)?;
                until.is_none_or(|until| until > now).then(|| thing.clone())
            }
            Wanted::Page(request) => kept.pages.find(request, now).map(Thing::Page),
        }
    }

    /// Keeps what was asked for at `read_at`, unless something has changed since `changes` were counted.
    fn keep_here(&self, wanted: &Wanted, thing: &Thing, changes: u64, read_at: Instant) {
        // Alone, this process sees every change, and what does not exist may be created any moment.
        let is_alone = self.shared.is_none();
        let mut kept = self.kept.lock();
        if kept.changes != changes {
            return;
        }
        match (wanted, thing) {
            (Wanted::Thing(_), Thing::Nothing) if is_alone => {}
            (Wanted::Thing(what), _) => {
                if kept.things.len() >= THINGS {
                    kept.things.clear();
                }
                let until = (!is_alone).then(|| Instant::now() + self.config.own_ttl);
                kept.things.insert(*what, (thing.clone(), until));
            }
            (Wanted::Page(request), Thing::Page(page)) => {
                let lives = self.lives(thing);
                let until = Instant::now() + if is_alone { lives } else { lives.min(self.config.own_ttl) };
                kept.pages.keep(request.key, Arc::clone(page), read_at, until);
            }
            (Wanted::Page(_), Thing::Event(_) | Thing::Venue(_) | Thing::Hall(_) | Thing::Nothing) => {}
        }
    }

    /// Reads the shared layer, and the catalogue for all nodes when it is this one's turn.
    async fn read_further(&self, wanted: &Wanted) -> Result<Thing, StoreError> {
        let Some(shared) = self.shared.as_ref().filter(|_| wanted.is_shared()) else { return self.read(wanted).await };
        let (asked, key) = (Instant::now(), wanted.key());
        while asked.elapsed() < READ_TIMEOUT {
            match shared.find(key).await {
                Ok(Found::Value(bytes)) => match Thing::read(key, &bytes) {
                    Some(thing) => {
                        self.shared_hits.fetch_add(1, Ordering::Relaxed);
                        return Ok(thing);
                    }
                    // Of another version: for this one it is not there.
                    None => break,
                },
                Ok(Found::Read { turn }) => {
                    let thing = self.read(wanted).await?;
                    if let Some(bytes) = thing.written() {
                        // Not kept, it is read again.
                        let _ = shared.keep(key, turn, &bytes, self.lives(&thing)).await;
                    }
                    return Ok(thing);
                }
                Ok(Found::Wait) => tokio::time::sleep(ASK_AGAIN).await,
                Err(_) => break,
            }
        }
        self.read(wanted).await
    }

    async fn read(&self, wanted: &Wanted) -> Result<Thing, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let thing = match wanted {
            Wanted::Thing(Described::Event(id)) => self.catalogue.event(*id).await?.map(Arc::new).map(Thing::Event),
            Wanted::Thing(Described::Venue(id)) => self.catalogue.venue(*id).await?.map(Arc::new).map(Thing::Venue),
            Wanted::Thing(Described::Hall(id)) => self.catalogue.hall(*id).await?.map(Arc::new).map(Thing::Hall),
            Wanted::Page(request) => {
                let query = EventQuery { now: self.clock.now(), ..request.query.clone() };
                let Listed { items, total } = self.catalogue.events(&query).await?;
                let items = items.into_iter().map(ListedEvent::from).collect();
                Some(Thing::Page(Arc::new(Listed { items, total })))
            }
        };
        Ok(thing.unwrap_or(Thing::Nothing))
    }

    /// How long all nodes keep it; of a page, no longer than any of its events.
    fn lives(&self, thing: &Thing) -> Duration {
        let around = |opens_at| lives(&self.config, opens_at, self.clock.now());
        match thing {
            Thing::Event(event) => around(event.sale.sale_starts_at),
            Thing::Page(page) => {
                page.items.iter().map(|item| around(item.sale_starts_at)).min().unwrap_or(self.config.ttl)
            }
            Thing::Venue(_) | Thing::Hall(_) => self.config.ttl,
            Thing::Nothing => ABSENT_LIVES,
        }
    }
}

/// Around an opening everything is short-lived, and nothing that was kept before lives on into that time for longer.
fn lives(config: &CacheConfig, opens_at: Timestamp, now: Timestamp) -> Duration {
    let (begins, ends) = (opens_at - config.opening, opens_at + config.opening);
    if now >= ends { config.ttl } else { config.ttl.min(begins.since(now).max(config.opening_ttl)) }
}

#[cfg(test)]
mod tests;

//! The descriptive part of events, venues and halls in memory, because a popular event is read thousands of times a
//! second and changes once a day: a short layer of this process, and where nodes share something a longer one of all of
//! them, in which one reads for all. Whoever changes something says so, and every node forgets it. Must never hold
//! what is live: seats, admission and status come from the sale; and never be what a change is based on.

use crate::config::CacheConfig;
use crate::idempotency::InFlight;
use onsale_adapters::described::Cached;
use onsale_engine::id::EventId;
use onsale_engine::ports::catalogue::{Catalogue, Event, Hall, Venue};
use onsale_engine::ports::shared::{Described, Found, SharedCache};
use onsale_engine::ports::{Clock, StoreError};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use parking_lot::Mutex;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// Things kept by this process; beyond them all are let go and read again.
const THINGS: usize = 10_000;
/// How often it is asked again whether another one has read it.
const ASK_AGAIN: Duration = Duration::from_millis(10);
/// How long another one is waited for.
const PATIENCE: Duration = Duration::from_millis(2500);
/// How long it is remembered by all that there is no such thing.
const ABSENT_LIVES: Duration = Duration::from_secs(5);
/// Changes that wait to be told; with more, what nodes share may be as old as it lives.
const UNTOLD: usize = 10_000;

/// The things in memory. Clones are the same.
#[derive(Clone)]
pub struct Shelf(Arc<Inner>);

struct Inner {
    catalogue: Arc<dyn Catalogue>,
    clock: Arc<dyn Clock>,
    shared: Option<Arc<dyn SharedCache>>,
    config: CacheConfig,
    kept: Mutex<Kept>,
    reading: InFlight,
    untold: Mutex<BTreeSet<Described>>,
    own_hits: AtomicU64,
    shared_hits: AtomicU64,
    reads: AtomicU64,
}

#[derive(Default)]
struct Kept {
    things: HashMap<Described, (Thing, Option<Instant>)>,
    /// Grows with every change, so that what was read before one is not kept after it.
    changes: u64,
}

/// Something described, or that there is no such thing.
#[derive(Clone)]
enum Thing {
    Event(Arc<Event>),
    Venue(Arc<Venue>),
    Hall(Arc<Hall>),
    Nothing,
}

impl Thing {
    fn written(&self) -> Option<Vec<u8>> {
        match self {
            Self::Event(event) => event.written(),
            Self::Venue(venue) => venue.written(),
            Self::Hall(hall) => hall.written(),
            Self::Nothing => Some(Vec::new()),
        }
    }

    fn read(what: Described, bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self::Nothing);
        }
        match what {
            Described::Event(_) => Event::read(bytes).map(|event| Self::Event(Arc::new(event))),
            Described::Venue(_) => Venue::read(bytes).map(|venue| Self::Venue(Arc::new(venue))),
            Described::Hall(_) => Hall::read(bytes).map(|hall| Self::Hall(Arc::new(hall))),
        }
    }
}

impl Shelf {
    /// A shelf before `catalogue`; `shared` is what all nodes have read.
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
            untold: Mutex::default(),
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
        let Thing::Event(event) = self.thing(Described::Event(id)).await? else { return Ok(None) };
        let venue = self.venue(event.venue).await.ok().flatten();
        Ok(Some(match venue.filter(|venue| venue.name != event.venue_name) {
            Some(venue) => Arc::new(Event { venue_name: venue.name.clone(), ..Event::clone(&event) }),
            None => event,
        }))
    }

    /// A venue; none if there is none.
    ///
    /// # Errors
    /// See [`Shelf::event`].
    pub async fn venue(&self, id: Uuid) -> Result<Option<Arc<Venue>>, StoreError> {
        match self.thing(Described::Venue(id)).await? {
            Thing::Venue(venue) => Ok(Some(venue)),
            Thing::Event(_) | Thing::Hall(_) | Thing::Nothing => Ok(None),
        }
    }

    /// A hall; none if there is none.
    ///
    /// # Errors
    /// See [`Shelf::event`].
    pub async fn hall(&self, id: Uuid) -> Result<Option<Arc<Hall>>, StoreError> {
        match self.thing(Described::Hall(id)).await? {
            Thing::Hall(hall) => Ok(Some(hall)),
            Thing::Event(_) | Thing::Venue(_) | Thing::Nothing => Ok(None),
        }
    }

    /// To be called after something was changed or deleted: nobody reads what it was any more, but for what could not
    /// be told, which is told as soon as it can be.
    pub async fn changed(&self, what: Described) {
        self.forget(what);
        let Some(shared) = &self.0.shared else { return };
        if shared.forget(what).await.is_err() {
            let mut untold = self.0.untold.lock();
            if untold.len() < UNTOLD {
                untold.insert(what);
            }
        }
    }

    /// Tells what could not be told before.
    pub async fn tell_again(&self) {
        let untold = std::mem::take(&mut *self.0.untold.lock());
        for what in untold {
            self.changed(what).await;
        }
    }

    /// This process forgets it; another one has changed it.
    pub fn forget(&self, what: Described) {
        let mut kept = self.0.kept.lock();
        kept.changes += 1;
        kept.things.remove(&what);
    }

    /// This process forgets everything: it may have missed a change.
    pub fn forget_all(&self) {
        let mut kept = self.0.kept.lock();
        kept.changes += 1;
        kept.things.clear();
    }

    /// Reads so far: those that memory answered, of this process or of all nodes, and those that it did not.
    #[must_use]
    pub fn reads(&self) -> (u64, u64) {
        let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
        (of(&self.0.own_hits) + of(&self.0.shared_hits), of(&self.0.reads))
    }

    /// The hits among them that another layer than this process' own answered.
    #[must_use]
    pub fn shared_hits(&self) -> u64 {
        self.0.shared_hits.load(Ordering::Relaxed)
    }

    async fn thing(&self, what: Described) -> Result<Thing, StoreError> {
        if let Some(thing) = self.0.here(what) {
            self.0.own_hits.fetch_add(1, Ordering::Relaxed);
            return Ok(thing);
        }
        // One of this process looks further, to the end whatever becomes of who asked; the others wait for it.
        let shelf = self.clone();
        let looking = tokio::spawn(Scope::carry_future(async move {
            let scope = match what {
                Described::Event(EventId(id)) | Described::Venue(id) | Described::Hall(id) => id.as_u128(),
            };
            let _turn = shelf.0.reading.take(scope).await;
            if let Some(thing) = shelf.0.here(what) {
                shelf.0.own_hits.fetch_add(1, Ordering::Relaxed);
                return Ok(thing);
            }
            let changes = shelf.0.kept.lock().changes;
            let thing = shelf.0.look_further(what).await?;
            shelf.0.keep_here(what, &thing, changes);
            Ok(thing)
        }));
        looking.await.unwrap_or_else(|error| Err(StoreError(error.to_string())))
    }
}

impl Inner {
    fn here(&self, what: Described) -> Option<Thing> {
        let kept = self.kept.lock();
        let (thing, until) = kept.things.get(&what)?;
        until.is_none_or(|until| until > Instant::now()).then(|| thing.clone())
    }

    fn keep_here(&self, what: Described, thing: &Thing, changes: u64) {
        // Alone, this process hears of every change, and what is not there may be made any moment.
        let until = self.shared.as_ref().map(|_| Instant::now() + self.config.own_ttl);
        if until.is_none() && matches!(thing, Thing::Nothing) {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.changes == changes {
            if kept.things.len() >= THINGS {
                kept.things.clear();
            }
            kept.things.insert(what, (thing.clone(), until));
        }
    }

    /// Looks at what all nodes have read, and reads for all of them when it is this one's turn.
    async fn look_further(&self, what: Described) -> Result<Thing, StoreError> {
        let Some(shared) = &self.shared else { return self.read(what).await };
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            match shared.find(what).await {
                Ok(Found::Value(bytes)) => match Thing::read(what, &bytes) {
                    Some(thing) => {
                        self.shared_hits.fetch_add(1, Ordering::Relaxed);
                        return Ok(thing);
                    }
                    // Of another version: for this one it is not there.
                    None => break,
                },
                Ok(Found::Read { turn }) => {
                    let thing = self.read(what).await?;
                    if let Some(bytes) = thing.written() {
                        // Not kept, it is read again.
                        let _ = shared.keep(what, turn, &bytes, self.lives(&thing)).await;
                    }
                    return Ok(thing);
                }
                Ok(Found::Wait) => tokio::time::sleep(ASK_AGAIN).await,
                Err(_) => break,
            }
        }
        self.read(what).await
    }

    async fn read(&self, what: Described) -> Result<Thing, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let thing = match what {
            Described::Event(id) => self.catalogue.event(id).await?.map(|event| Thing::Event(Arc::new(event))),
            Described::Venue(id) => self.catalogue.venue(id).await?.map(|venue| Thing::Venue(Arc::new(venue))),
            Described::Hall(id) => self.catalogue.hall(id).await?.map(|hall| Thing::Hall(Arc::new(hall))),
        };
        Ok(thing.unwrap_or(Thing::Nothing))
    }

    /// How long all nodes keep it.
    fn lives(&self, thing: &Thing) -> Duration {
        match thing {
            Thing::Event(event) => lives(&self.config, event.sale.sale_starts_at, self.clock.now()),
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

//! Venues, halls, events and remembered answers in memory. Decides as the real catalogue does; plans are kept in a
//! [`FakePlans`].

use crate::fakes::plans::FakePlans;
use crate::id::EventId;
use crate::limits::KEY_REMEMBERED_FOR;
use crate::plan::Plan;
use crate::ports::catalogue::{
    Catalogue, CatalogueChange, CatalogueError, Event, EventOrder, EventQuery, EventStatus, Hall, Listed, Page, Venue,
};
use crate::ports::shared::Described;
use crate::ports::{Later, StoreError, StoredAnswer};
use crate::time::Timestamp;
use parking_lot::Mutex;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use tokio::sync::{OwnedRwLockWriteGuard, RwLock};
use uuid::Uuid;

/// A catalogue in memory; clones share it.
#[derive(Clone, Default)]
pub struct FakeCatalogue {
    tables: Arc<Mutex<Tables>>,
    plans: FakePlans,
    lists: Arc<Lists>,
    /// Kept with what is written next.
    change: Option<CatalogueChange>,
}

/// Reading of lists of events.
#[derive(Default)]
struct Lists {
    queries: AtomicU64,
    /// Shared by queries, taken alone by a test that makes them wait.
    gate: Arc<RwLock<()>>,
}

#[derive(Default)]
struct Tables {
    venues: BTreeMap<Uuid, Venue>,
    halls: BTreeMap<Uuid, Hall>,
    events: BTreeMap<EventId, Event>,
    tags: BTreeSet<u64>,
    sold_out: BTreeSet<EventId>,
    answers: BTreeMap<u128, StoredAnswer>,
    changes: Vec<CatalogueChange>,
}

impl FakeCatalogue {
    /// Where the plans of its halls are found.
    #[must_use]
    pub fn plans(&self) -> FakePlans {
        self.plans.clone()
    }

    /// From now on every seat of the event counts as sold.
    pub fn sell_out(&self, event: EventId) {
        self.tables.lock().sold_out.insert(event);
    }

    /// How many lists of events were read.
    #[must_use]
    pub fn list_queries(&self) -> u64 {
        self.lists.queries.load(atomic::Ordering::SeqCst)
    }

    /// Lists of events are answered only once this is dropped.
    pub async fn hold_lists(&self) -> OwnedRwLockWriteGuard<()> {
        Arc::clone(&self.lists.gate).write_owned().await
    }

    pub(super) fn remember(&self, answer: Option<&StoredAnswer>) -> Result<(), StoreError> {
        self.tables.lock().remember(answer)
    }
}

impl Tables {
    fn remember(&mut self, answer: Option<&StoredAnswer>) -> Result<(), StoreError> {
        let Some(answer) = answer else { return Ok(()) };
        if self.answers.get(&answer.scope).is_some_and(|kept| kept.at > answer.at - KEY_REMEMBERED_FOR) {
            return Err(StoreError("the key is in use".to_owned()));
        }
        self.answers.insert(answer.scope, answer.clone());
        Ok(())
    }

    fn status(&self, event: &Event, now: Timestamp) -> EventStatus {
        match () {
            () if event.cancelled => EventStatus::Cancelled,
            () if now < event.sale.sale_starts_at => EventStatus::Upcoming,
            () if now >= event.sale.sale_ends_at => EventStatus::Ended,
            () if self.sold_out.contains(&event.id) => EventStatus::SoldOut,
            () => EventStatus::OnSale,
        }
    }

    fn fits(&self, event: &Event, query: &EventQuery) -> bool {
        let text = query.text.as_ref().map(|text| text.to_lowercase());
        let has = |text: &String| [&event.title, &event.artist].iter().any(|part| part.to_lowercase().contains(text));
        query.venue.is_none_or(|venue| event.venue == venue)
            && query.from.is_none_or(|from| event.starts_at >= from)
            && query.to.is_none_or(|to| event.starts_at < to)
            && text.as_ref().is_none_or(has)
            && query.status.is_none_or(|status| self.status(event, query.now) == status)
    }

    /// As it is read: with its venue's name of now.
    fn read(&self, event: &Event) -> Event {
        let venue_name = self.venues.get(&event.venue).map_or_else(String::new, |venue| venue.name.clone());
        Event { venue_name, ..event.clone() }
    }
}

fn in_order(a: &Event, b: &Event, query: &EventQuery) -> Ordering {
    let order = match query.order {
        EventOrder::StartsAt => a.starts_at.cmp(&b.starts_at),
        EventOrder::CreatedAt => a.created_at.cmp(&b.created_at),
        EventOrder::Title => a.title.to_lowercase().cmp(&b.title.to_lowercase()),
    };
    let order = order.then(a.id.cmp(&b.id));
    if query.descending { order.reverse() } else { order }
}

fn page_of<T>(all: Vec<T>, page: Page) -> Listed<T> {
    let total = all.len() as u64;
    let skipped = page.number as usize * page.size as usize;
    Listed { items: all.into_iter().skip(skipped).take(page.size as usize).collect(), total }
}

fn newest_first<T>(mut all: Vec<T>, key: impl Fn(&T) -> (Timestamp, Uuid)) -> Vec<T> {
    all.sort_by_key(|item| std::cmp::Reverse(key(item)));
    all
}

impl Catalogue for FakeCatalogue {
    fn create_venue<'a>(
        &'a self,
        venue: &'a Venue,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            tables.remember(answer)?;
            tables.venues.insert(venue.id, venue.clone());
            tables.changes.extend(self.change.clone());
            Ok(())
        })
    }

    fn venue(&self, id: Uuid) -> Later<'_, Result<Option<Venue>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().venues.get(&id).cloned()) })
    }

    fn venues(&self, page: Page) -> Later<'_, Result<Listed<Venue>, StoreError>> {
        Box::pin(async move {
            let all = self.tables.lock().venues.values().cloned().collect();
            Ok(page_of(newest_first(all, |venue: &Venue| (venue.created_at, venue.id)), page))
        })
    }

    fn update_venue<'a>(&'a self, venue: &'a Venue) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let Some(known) = tables.venues.get_mut(&venue.id) else { return Ok(false) };
            *known = Venue { created_at: known.created_at, ..venue.clone() };
            tables.changes.extend(self.change.clone());
            Ok(true)
        })
    }

    fn delete_venue(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if tables.halls.values().any(|hall| hall.venue == id) {
                return Err(CatalogueError::InUse("halls"));
            }
            let deleted = tables.venues.remove(&id).is_some();
            tables.changes.extend(self.change.clone().filter(|_| deleted));
            Ok(deleted)
        })
    }

    fn create_hall<'a>(
        &'a self,
        hall: &'a Hall,
        plan: &'a Arc<Plan>,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if !tables.venues.contains_key(&hall.venue) {
                return Err(StoreError("no such venue".to_owned()));
            }
            tables.remember(answer)?;
            self.plans.keep(plan);
            tables.halls.insert(hall.id, hall.clone());
            tables.changes.extend(self.change.clone());
            Ok(())
        })
    }

    fn hall(&self, id: Uuid) -> Later<'_, Result<Option<Hall>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().halls.get(&id).cloned()) })
    }

    fn halls(&self, venue: Uuid, page: Page) -> Later<'_, Result<Listed<Hall>, StoreError>> {
        Box::pin(async move {
            let all = self.tables.lock().halls.values().filter(|hall| hall.venue == venue).cloned().collect();
            Ok(page_of(newest_first(all, |hall: &Hall| (hall.created_at, hall.id)), page))
        })
    }

    fn rename_hall<'a>(&'a self, id: Uuid, name: &'a str) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let Some(hall) = tables.halls.get_mut(&id) else { return Ok(false) };
            name.clone_into(&mut hall.name);
            tables.changes.extend(self.change.clone());
            Ok(true)
        })
    }

    fn delete_hall(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if tables.events.values().any(|event| event.hall == id) {
                return Err(CatalogueError::InUse("events"));
            }
            let deleted = tables.halls.remove(&id).is_some();
            tables.changes.extend(self.change.clone().filter(|_| deleted));
            Ok(deleted)
        })
    }

    fn create_event<'a>(
        &'a self,
        event: &'a Event,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CatalogueError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            if tables.tags.contains(&event.id.tag().0) {
                return Err(CatalogueError::InUse("event tag"));
            }
            if !tables.halls.contains_key(&event.hall) {
                return Err(StoreError("no such hall".to_owned()).into());
            }
            tables.remember(answer)?;
            tables.tags.insert(event.id.tag().0);
            tables.events.insert(event.id, event.clone());
            tables.changes.extend(self.change.clone());
            Ok(())
        })
    }

    fn event(&self, id: EventId) -> Later<'_, Result<Option<Event>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            Ok(tables.events.get(&id).map(|event| tables.read(event)))
        })
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Later<'a, Result<Listed<Event>, StoreError>> {
        Box::pin(async move {
            self.lists.queries.fetch_add(1, atomic::Ordering::SeqCst);
            let _open = self.lists.gate.read().await;
            let tables = self.tables.lock();
            let fitting = tables.events.values().filter(|event| tables.fits(event, query));
            let mut events: Vec<_> = fitting.map(|event| tables.read(event)).collect();
            events.sort_by(|a, b| in_order(a, b, query));
            Ok(page_of(events, query.page))
        })
    }

    fn all_events(&self) -> Later<'_, Result<Vec<Event>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let mut events: Vec<_> = tables.events.values().map(|event| tables.read(event)).collect();
            events.sort_by_key(|event| (event.created_at, event.id));
            Ok(events)
        })
    }

    fn update_event<'a>(&'a self, event: &'a Event) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let Some(known) = tables.events.get_mut(&event.id) else { return Ok(false) };
            *known = Event { created_at: known.created_at, created_by: known.created_by, ..event.clone() };
            tables.changes.extend(self.change.clone());
            Ok(true)
        })
    }

    fn delete_event(&self, id: EventId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let mut tables = self.tables.lock();
            let deleted = tables.events.remove(&id).is_some();
            tables.changes.extend(self.change.clone().filter(|_| deleted));
            Ok(deleted)
        })
    }

    fn noting(&self, change: CatalogueChange) -> Arc<dyn Catalogue> {
        Arc::new(Self { change: Some(change), ..self.clone() })
    }

    fn changes(&self, thing: Described, limit: u32) -> Later<'_, Result<Vec<CatalogueChange>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let mut found: Vec<_> = tables.changes.iter().filter(|change| change.thing == thing).cloned().collect();
            found.sort_by_key(|change| std::cmp::Reverse((change.at, change.id)));
            found.truncate(limit as usize);
            Ok(found)
        })
    }

    fn recall(&self, scope: u128, now: Timestamp) -> Later<'_, Result<Option<StoredAnswer>, StoreError>> {
        Box::pin(async move {
            let kept = self.tables.lock().answers.get(&scope).cloned();
            Ok(kept.filter(|answer| answer.at > now - KEY_REMEMBERED_FOR))
        })
    }
}

/// Every event, the newest first, as a list without filters asks for its first page.
#[must_use]
pub fn every_event(now: Timestamp) -> EventQuery {
    EventQuery {
        status: None,
        text: None,
        from: None,
        to: None,
        venue: None,
        order: EventOrder::CreatedAt,
        descending: true,
        page: Page { number: 0, size: 20 },
        now,
    }
}

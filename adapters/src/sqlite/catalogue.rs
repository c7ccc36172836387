//! Port `Catalogue` on SQLite: each kind of thing in its own file. Owns how the descriptive part of events is stored
//! and listed; must never touch the projections but to count what is sold.

mod changes;
mod done;
mod events;
mod halls;
mod listing;
mod venues;

use super::answers;
use super::library::{Failure, Library};
use super::plans::SqlitePlans;
use crate::plan_form;
use done::{Done, delete};
use onsale_engine::id::EventId;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{
    Catalogue, CatalogueChange, CatalogueError, Event, EventQuery, Hall, Listed, Page, Venue,
};
use onsale_engine::ports::shared::Described;
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use rusqlite::Transaction;
use std::sync::Arc;
use uuid::Uuid;

/// The catalogue of a data directory.
pub struct SqliteCatalogue {
    library: Arc<Library>,
    plans: Arc<SqlitePlans>,
    /// Kept with what is written next.
    change: Option<CatalogueChange>,
}

impl SqliteCatalogue {
    /// The catalogue in `library`; plans that it is given are shared through `plans`.
    #[must_use]
    pub fn new(library: Arc<Library>, plans: Arc<SqlitePlans>) -> Self {
        Self { library, plans, change: None }
    }

    /// Writes, and keeps the change with it where that did something.
    async fn write<T: Send + 'static>(
        &self,
        did: fn(&T) -> bool,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, StoreError> {
        let change = self.change.clone();
        let write = self.library.write(move |transaction| {
            let done = work(transaction)?;
            if let Some(change) = change.filter(|_| did(&done)) {
                changes::insert(transaction, &change)?;
            }
            Ok(done)
        });
        write.await
    }
}

impl Catalogue for SqliteCatalogue {
    fn create_venue<'a>(
        &'a self,
        venue: &'a Venue,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        let (venue, answer) = (venue.clone(), answer.cloned());
        Box::pin(self.write(
            |()| true,
            move |transaction| {
                venues::insert(transaction, &venue)?;
                answers::remember(transaction, answer.as_ref())
            },
        ))
    }

    fn venue(&self, id: Uuid) -> Later<'_, Result<Option<Venue>, StoreError>> {
        Box::pin(self.library.read(move |transaction| venues::one(transaction, id)))
    }

    fn venues(&self, page: Page) -> Later<'_, Result<Listed<Venue>, StoreError>> {
        Box::pin(self.library.read(move |transaction| venues::list(transaction, page)))
    }

    fn update_venue<'a>(&'a self, venue: &'a Venue) -> Later<'a, Result<bool, StoreError>> {
        let venue = venue.clone();
        Box::pin(self.write(|done| *done, move |transaction| venues::update(transaction, &venue)))
    }

    fn delete_venue(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(
            async move { self.write(Done::is_yes, move |transaction| venues::delete(transaction, id)).await?.answer() },
        )
    }

    fn create_hall<'a>(
        &'a self,
        hall: &'a Hall,
        plan: &'a Arc<Plan>,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        let (hall, plan, answer) = (hall.clone(), plan.clone(), answer.cloned());
        Box::pin(async move {
            let packing = plan.clone();
            let packed = tokio::task::spawn_blocking(Scope::carry(move || plan_form::pack(&packing))).await;
            let packed = packed
                .map_err(|error| StoreError(format!("the plan was lost: {error}")))?
                .map_err(|error| StoreError(error.to_string()))?;
            let capacity = plan.capacity();
            let made = self.write(
                |()| true,
                move |transaction| {
                    halls::insert(transaction, &hall, capacity, &packed)?;
                    answers::remember(transaction, answer.as_ref())
                },
            );
            made.await?;
            self.plans.share(&plan);
            Ok(())
        })
    }

    fn hall(&self, id: Uuid) -> Later<'_, Result<Option<Hall>, StoreError>> {
        Box::pin(self.library.read(move |transaction| halls::one(transaction, id)))
    }

    fn halls(&self, venue: Uuid, page: Page) -> Later<'_, Result<Listed<Hall>, StoreError>> {
        Box::pin(self.library.read(move |transaction| halls::list(transaction, venue, page)))
    }

    fn rename_hall<'a>(&'a self, id: Uuid, name: &'a str) -> Later<'a, Result<bool, StoreError>> {
        let name = name.to_owned();
        Box::pin(self.write(|done| *done, move |transaction| halls::rename(transaction, id, &name)))
    }

    fn delete_hall(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(
            async move { self.write(Done::is_yes, move |transaction| halls::delete(transaction, id)).await?.answer() },
        )
    }

    fn create_event<'a>(
        &'a self,
        event: &'a Event,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CatalogueError>> {
        let (event, answer) = (event.clone(), answer.cloned());
        Box::pin(async move {
            let made = self.write(Done::is_yes, move |transaction| {
                let done = events::insert(transaction, &event)?;
                if matches!(done, Done::Yes) {
                    answers::remember(transaction, answer.as_ref())?;
                }
                Ok(done)
            });
            made.await?.answer().map(|_| ())
        })
    }

    fn event(&self, id: EventId) -> Later<'_, Result<Option<Event>, StoreError>> {
        Box::pin(self.library.read(move |transaction| events::one(transaction, id)))
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Later<'a, Result<Listed<Event>, StoreError>> {
        let query = query.clone();
        Box::pin(self.library.read(move |transaction| events::list(transaction, &query)))
    }

    fn all_events(&self) -> Later<'_, Result<Vec<Event>, StoreError>> {
        Box::pin(self.library.read(events::all))
    }

    fn update_event<'a>(&'a self, event: &'a Event) -> Later<'a, Result<bool, StoreError>> {
        let event = event.clone();
        Box::pin(self.write(|done| *done, move |transaction| events::update(transaction, &event)))
    }

    fn delete_event(&self, id: EventId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(self.write(|done| *done, move |transaction| delete(transaction, "events", id.0)))
    }

    fn noting(&self, change: CatalogueChange) -> Arc<dyn Catalogue> {
        Arc::new(Self { library: Arc::clone(&self.library), plans: Arc::clone(&self.plans), change: Some(change) })
    }

    fn changes(&self, thing: Described, limit: u32) -> Later<'_, Result<Vec<CatalogueChange>, StoreError>> {
        Box::pin(self.library.read(move |transaction| changes::of(transaction, thing, limit)))
    }

    fn recall(&self, scope: u128, now: Timestamp) -> Later<'_, Result<Option<StoredAnswer>, StoreError>> {
        Box::pin(self.library.read(move |transaction| answers::recall(transaction, scope, now)))
    }
}

//! Port `Catalogue` on Postgres: each kind of thing in its own file. Owns how the descriptive part of events is stored
//! and listed; must never touch the projections but to count what is sold.

mod changes;
mod events;
mod halls;
mod venues;

use super::answers;
use super::database::Postgres;
use super::failure::Failure;
use super::plans::PostgresPlans;
use super::pool::Pool;
use super::session::Session;
use crate::plan_form;
use onsale_engine::id::EventId;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{
    Catalogue, CatalogueChange, CatalogueError, Event, EventQuery, Hall, Listed, Page, Venue,
};
use onsale_engine::ports::shared::Described;
use onsale_engine::ports::{Later, StoreError, StoredAnswer};
use onsale_engine::time::Timestamp;
use onsale_engine::trace::Scope;
use std::sync::Arc;
use uuid::Uuid;

/// The catalogue of a database.
pub struct PostgresCatalogue {
    database: Postgres,
    plans: Arc<PostgresPlans>,
    /// Kept with what is written next.
    change: Option<CatalogueChange>,
}

impl PostgresCatalogue {
    /// The catalogue in `database`; plans that it is given are shared through `plans`.
    #[must_use]
    pub fn new(database: &Postgres, plans: Arc<PostgresPlans>) -> Self {
        Self { database: database.clone(), plans, change: None }
    }

    /// Keeps the change, if one goes with what was written.
    async fn note(&self, session: &Session) -> Result<(), Failure> {
        match &self.change {
            Some(change) => changes::insert(session, change).await,
            None => Ok(()),
        }
    }

    fn pool(&self) -> &Pool {
        &self.database.inner.pool
    }

    /// Deletes a row softly unless a row of another table uses it.
    async fn delete_unused(
        &self,
        table: &'static str,
        (users, column): (&'static str, &'static str),
        id: Uuid,
    ) -> Result<bool, CatalogueError> {
        let deleted = async {
            let work = self.pool().begin().await?;
            // Locked against those who are about to use it.
            let lock = format!("SELECT 1 FROM {table} WHERE id = $1 AND deleted_at IS NULL FOR UPDATE");
            if work.query_opt(&lock, &[&id]).await?.is_none() {
                work.roll_back().await?;
                return Ok(Done::NoSuchThing);
            }
            let used = format!("SELECT 1 FROM {users} WHERE {column} = $1 AND deleted_at IS NULL LIMIT 1");
            if work.query_opt(&used, &[&id]).await?.is_some() {
                work.roll_back().await?;
                return Ok(Done::InUse(users));
            }
            delete(&work, table, id).await?;
            self.note(&work).await?;
            work.commit().await?;
            Ok::<_, Failure>(Done::Yes)
        };
        deleted.await.map_err(StoreError::from)?.answer()
    }
}

/// The outcome of a request to delete or create something.
enum Done {
    Yes,
    NoSuchThing,
    InUse(&'static str),
}

impl Done {
    fn answer(self) -> Result<bool, CatalogueError> {
        match self {
            Self::Yes => Ok(true),
            Self::NoSuchThing => Ok(false),
            Self::InUse(by) => Err(CatalogueError::InUse(by)),
        }
    }
}

/// Deletes a row softly; false if there is none.
async fn delete(session: &Session, table: &'static str, id: Uuid) -> Result<bool, Failure> {
    let sql = format!("UPDATE {table} SET deleted_at = clock_timestamp() WHERE id = $1 AND deleted_at IS NULL");
    Ok(session.execute(&sql, &[&id]).await? == 1)
}

impl Catalogue for PostgresCatalogue {
    fn create_venue<'a>(
        &'a self,
        venue: &'a Venue,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            venues::insert(&work, venue).await?;
            answers::remember(&work, answer).await?;
            self.note(&work).await?;
            Ok(work.commit().await?)
        })
    }

    fn venue(&self, id: Uuid) -> Later<'_, Result<Option<Venue>, StoreError>> {
        Box::pin(async move { Ok(venues::one(&*self.pool().turn().await?, id).await?) })
    }

    fn venues(&self, page: Page) -> Later<'_, Result<Listed<Venue>, StoreError>> {
        Box::pin(async move { Ok(venues::list(&*self.pool().turn().await?, page).await?) })
    }

    fn update_venue<'a>(&'a self, venue: &'a Venue) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let done = venues::update(&work, venue).await?;
            if done {
                self.note(&work).await?;
            }
            work.commit().await?;
            Ok(done)
        })
    }

    fn delete_venue(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(self.delete_unused("venues", ("halls", "venue_id"), id))
    }

    fn create_hall<'a>(
        &'a self,
        hall: &'a Hall,
        plan: &'a Arc<Plan>,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), StoreError>> {
        Box::pin(async move {
            let packing = plan.clone();
            let packed = tokio::task::spawn_blocking(Scope::carry(move || plan_form::pack(&packing))).await;
            let packed = packed
                .map_err(|error| StoreError(format!("the plan was lost: {error}")))?
                .map_err(|error| StoreError(error.to_string()))?;
            let work = self.pool().begin().await?;
            halls::insert(&work, hall, plan.capacity(), &packed).await?;
            answers::remember(&work, answer).await?;
            self.note(&work).await?;
            work.commit().await?;
            self.plans.share(plan);
            Ok(())
        })
    }

    fn hall(&self, id: Uuid) -> Later<'_, Result<Option<Hall>, StoreError>> {
        Box::pin(async move { Ok(halls::one(&*self.pool().turn().await?, id).await?) })
    }

    fn halls(&self, venue: Uuid, page: Page) -> Later<'_, Result<Listed<Hall>, StoreError>> {
        Box::pin(async move { Ok(halls::list(&*self.pool().turn().await?, venue, page).await?) })
    }

    fn rename_hall<'a>(&'a self, id: Uuid, name: &'a str) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let done = halls::rename(&work, id, name).await?;
            if done {
                self.note(&work).await?;
            }
            work.commit().await?;
            Ok(done)
        })
    }

    fn delete_hall(&self, id: Uuid) -> Later<'_, Result<bool, CatalogueError>> {
        Box::pin(self.delete_unused("halls", ("events", "hall_id"), id))
    }

    fn create_event<'a>(
        &'a self,
        event: &'a Event,
        answer: Option<&'a StoredAnswer>,
    ) -> Later<'a, Result<(), CatalogueError>> {
        Box::pin(async move {
            let made = async {
                let work = self.pool().begin().await?;
                if !events::insert(&work, event).await? {
                    work.roll_back().await?;
                    return Ok(Done::InUse("event tag"));
                }
                answers::remember(&work, answer).await?;
                self.note(&work).await?;
                work.commit().await?;
                Ok::<_, Failure>(Done::Yes)
            };
            made.await.map_err(StoreError::from)?.answer().map(drop)
        })
    }

    fn event(&self, id: EventId) -> Later<'_, Result<Option<Event>, StoreError>> {
        Box::pin(async move { Ok(events::one(&*self.pool().turn().await?, id).await?) })
    }

    fn events<'a>(&'a self, query: &'a EventQuery) -> Later<'a, Result<Listed<Event>, StoreError>> {
        Box::pin(async move { Ok(events::list(&*self.pool().turn().await?, query).await?) })
    }

    fn all_events(&self) -> Later<'_, Result<Vec<Event>, StoreError>> {
        Box::pin(async move { Ok(events::all(&*self.pool().turn().await?).await?) })
    }

    fn update_event<'a>(&'a self, event: &'a Event) -> Later<'a, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let done = events::update(&work, event).await?;
            if done {
                self.note(&work).await?;
            }
            work.commit().await?;
            Ok(done)
        })
    }

    fn delete_event(&self, id: EventId) -> Later<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let work = self.pool().begin().await?;
            let done = delete(&work, "events", id.0).await?;
            if done {
                self.note(&work).await?;
            }
            work.commit().await?;
            Ok(done)
        })
    }

    fn noting(&self, change: CatalogueChange) -> Arc<dyn Catalogue> {
        Arc::new(Self { database: self.database.clone(), plans: Arc::clone(&self.plans), change: Some(change) })
    }

    fn changes(&self, thing: Described, limit: u32) -> Later<'_, Result<Vec<CatalogueChange>, StoreError>> {
        Box::pin(async move { Ok(changes::of(&*self.pool().turn().await?, thing, limit).await?) })
    }

    fn recall(&self, scope: u128, now: Timestamp) -> Later<'_, Result<Option<StoredAnswer>, StoreError>> {
        Box::pin(async move { Ok(answers::recall(&*self.pool().turn().await?, scope, now).await?) })
    }
}

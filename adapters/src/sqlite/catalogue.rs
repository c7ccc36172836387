//! Port `Catalogue` on SQLite: each kind of thing in its own file. Owns how the descriptive part of events is stored
//! and listed; must never touch the projections but to count what is sold.

mod changes;
mod events;
mod halls;
mod venues;

use super::answers;
use super::library::{Failure, Library};
use super::plans::SqlitePlans;
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
use rusqlite::types::Value;
use rusqlite::{Row, Transaction, params_from_iter};
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

/// What came of a wish to delete or make something.
enum Done {
    Yes,
    NoSuchThing,
    InUse(&'static str),
}

impl Done {
    fn is_yes(&self) -> bool {
        matches!(self, Self::Yes)
    }

    fn answer(self) -> Result<bool, CatalogueError> {
        match self {
            Self::Yes => Ok(true),
            Self::NoSuchThing => Ok(false),
            Self::InUse(by) => Err(CatalogueError::InUse(by)),
        }
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

/// Which rows of a list, in which order.
struct Listing<'s> {
    /// Columns and tables.
    select: &'s str,
    /// The rows, with `?` for each of `values` in order.
    condition: &'s str,
    values: Vec<Value>,
    /// Complete: no two rows are equal in it.
    order: &'s str,
    page: Page,
}

impl Listing<'_> {
    fn read<T>(
        mut self,
        transaction: &Transaction<'_>,
        item: impl FnMut(&Row<'_>) -> Result<T, Failure>,
    ) -> Result<Listed<T>, Failure> {
        let (_, tables) = self.select.split_once(" FROM ").unwrap_or(("", self.select));
        let total: i64 = transaction
            .prepare_cached(&format!("SELECT count(*) FROM {tables} WHERE {}", self.condition))?
            .query_row(params_from_iter(&self.values), |row| row.get(0))?;
        let skipped = i64::from(self.page.number) * i64::from(self.page.size);
        self.values.extend([Value::Integer(i64::from(self.page.size)), Value::Integer(skipped)]);
        let items = transaction
            .prepare_cached(&format!(
                "SELECT {} WHERE {} ORDER BY {} LIMIT ? OFFSET ?",
                self.select, self.condition, self.order
            ))?
            .query_and_then(params_from_iter(&self.values), item)?
            .collect::<Result<Vec<_>, _>>()?;
        Ok(Listed { items, total: u64::try_from(total).unwrap_or(0) })
    }
}

/// Deletes a row softly; false if there is none.
fn delete(transaction: &Transaction<'_>, table: &'static str, id: Uuid) -> Result<bool, Failure> {
    let deleted = transaction
        .prepare_cached(&format!(
            "UPDATE {table} SET deleted_at = CAST(unixepoch('subsec') * 1000000 AS INTEGER)
             WHERE id = ?1 AND deleted_at IS NULL"
        ))?
        .execute([id.into_bytes()])?;
    Ok(deleted == 1)
}

/// Deletes a row softly unless a row of another table uses it.
fn delete_unused(
    transaction: &Transaction<'_>,
    table: &'static str,
    (users, column): (&'static str, &'static str),
    id: Uuid,
) -> Result<Done, Failure> {
    let is_used = transaction
        .prepare_cached(&format!("SELECT 1 FROM {users} WHERE {column} = ?1 AND deleted_at IS NULL"))?
        .exists([id.into_bytes()])?;
    if is_used {
        return Ok(Done::InUse(users));
    }
    Ok(if delete(transaction, table, id)? { Done::Yes } else { Done::NoSuchThing })
}

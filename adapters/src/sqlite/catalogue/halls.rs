//! Halls and the plans that they are made of, in SQLite. Every function is one step inside the caller's transaction.

use super::super::library::{Failure, uuid_at};
use super::done::{Done, delete_unused};
use super::listing::Listing;
use super::venues;
use crate::hall_form;
use onsale_engine::id::PlanHash;
use onsale_engine::ports::catalogue::{Hall, Listed, Page};
use onsale_engine::time::Timestamp;
use rusqlite::types::Value;
use rusqlite::{OptionalExtension, Row, Transaction};
use uuid::Uuid;

const SELECT: &str = "id, venue_id, name, plan, capacity, categories, created_at, stage, warnings FROM halls";

/// Keeps the plan, once for all halls that have it, and the hall.
pub(super) fn insert(
    transaction: &Transaction<'_>,
    hall: &Hall,
    seats: usize,
    packed_plan: &[u8],
) -> Result<(), Failure> {
    if !venues::exists(transaction, hall.venue)? {
        return Err(Failure::new("the venue has just been deleted"));
    }
    transaction
        .prepare_cached("INSERT INTO plans (hash, seats, body) VALUES (?1, ?2, ?3) ON CONFLICT (hash) DO NOTHING")?
        .execute((hall.plan.0, seats as i64, packed_plan))?;
    let categories = serde_json::to_string(&hall.categories).map_err(|error| Failure::new(error.to_string()))?;
    transaction
        .prepare_cached(
            "INSERT INTO halls (id, venue_id, name, plan, capacity, categories, created_at, stage, warnings)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
        )?
        .execute((
            hall.id.into_bytes(),
            hall.venue.into_bytes(),
            &hall.name,
            hall.plan.0,
            hall.capacity,
            categories,
            hall.created_at.0,
            hall_form::stage_text(hall.stage),
            hall_form::warnings_text(&hall.warnings),
        ))?;
    Ok(())
}

pub(super) fn one(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<Hall>, Failure> {
    transaction
        .prepare_cached(&format!("SELECT {SELECT} WHERE id = ?1 AND deleted_at IS NULL"))?
        .query_and_then([id.into_bytes()], hall)?
        .next()
        .transpose()
}

pub(super) fn list(transaction: &Transaction<'_>, venue: Uuid, page: Page) -> Result<Listed<Hall>, Failure> {
    let listing = Listing {
        select: SELECT,
        condition: "venue_id = ? AND deleted_at IS NULL",
        values: vec![Value::Blob(venue.as_bytes().to_vec())],
        order: "created_at DESC, id DESC",
        page,
    };
    listing.read(transaction, hall)
}

pub(super) fn rename(transaction: &Transaction<'_>, id: Uuid, name: &str) -> Result<bool, Failure> {
    let changed = transaction
        .prepare_cached("UPDATE halls SET name = ?2 WHERE id = ?1 AND deleted_at IS NULL")?
        .execute((id.into_bytes(), name))?;
    Ok(changed == 1)
}

pub(super) fn delete(transaction: &Transaction<'_>, id: Uuid) -> Result<Done, Failure> {
    delete_unused(transaction, "halls", ("events", "hall_id"), id)
}

/// The seats of a hall that is not deleted.
pub(super) fn capacity(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<u32>, Failure> {
    let capacity = transaction
        .prepare_cached("SELECT capacity FROM halls WHERE id = ?1 AND deleted_at IS NULL")?
        .query_row([id.into_bytes()], |row| row.get(0))
        .optional()?;
    Ok(capacity)
}

fn hall(row: &Row<'_>) -> Result<Hall, Failure> {
    let (categories, stage, warnings): (String, Option<String>, String) = (row.get(5)?, row.get(7)?, row.get(8)?);
    Ok(Hall {
        id: uuid_at(row, 0)?,
        venue: uuid_at(row, 1)?,
        name: row.get(2)?,
        plan: PlanHash(row.get(3)?),
        capacity: row.get(4)?,
        categories: serde_json::from_str(&categories)
            .map_err(|error| Failure::new(format!("the categories of a hall cannot be read: {error}")))?,
        stage: hall_form::read_stage(stage.as_deref()),
        warnings: hall_form::read_warnings(&warnings),
        created_at: Timestamp(row.get(6)?),
    })
}

//! Venues in SQLite. Every function is one step inside the caller's transaction.

use super::super::library::{Failure, uuid_at};
use super::done::{Done, delete_unused};
use super::listing::Listing;
use onsale_engine::ports::catalogue::{Listed, Page, Venue};
use onsale_engine::time::Timestamp;
use rusqlite::{OptionalExtension, Row, Transaction};
use uuid::Uuid;

const SELECT: &str = "id, name, address, city, time_zone, created_at FROM venues";

pub(super) fn insert(transaction: &Transaction<'_>, venue: &Venue) -> Result<(), Failure> {
    transaction
        .prepare_cached(
            "INSERT INTO venues (id, name, address, city, time_zone, created_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?
        .execute((
            venue.id.into_bytes(),
            &venue.name,
            &venue.address,
            &venue.city,
            &venue.time_zone,
            venue.created_at.0,
        ))?;
    Ok(())
}

pub(super) fn one(transaction: &Transaction<'_>, id: Uuid) -> Result<Option<Venue>, Failure> {
    let venue = transaction
        .prepare_cached(&format!("SELECT {SELECT} WHERE id = ?1 AND deleted_at IS NULL"))?
        .query_row([id.into_bytes()], venue)
        .optional()?;
    Ok(venue)
}

pub(super) fn list(transaction: &Transaction<'_>, page: Page) -> Result<Listed<Venue>, Failure> {
    let (condition, order) = ("deleted_at IS NULL", "created_at DESC, id DESC");
    Listing { select: SELECT, condition, values: Vec::new(), order, page }.read(transaction, |row| Ok(venue(row)?))
}

pub(super) fn update(transaction: &Transaction<'_>, venue: &Venue) -> Result<bool, Failure> {
    let changed = transaction
        .prepare_cached(
            "UPDATE venues SET name = ?2, address = ?3, city = ?4, time_zone = ?5 WHERE id = ?1 AND deleted_at IS NULL",
        )?
        .execute((venue.id.into_bytes(), &venue.name, &venue.address, &venue.city, &venue.time_zone))?;
    Ok(changed == 1)
}

pub(super) fn delete(transaction: &Transaction<'_>, id: Uuid) -> Result<Done, Failure> {
    delete_unused(transaction, "venues", ("halls", "venue_id"), id)
}

/// Whether there is such a venue, not deleted.
pub(super) fn exists(transaction: &Transaction<'_>, id: Uuid) -> Result<bool, Failure> {
    let mut statement = transaction.prepare_cached("SELECT 1 FROM venues WHERE id = ?1 AND deleted_at IS NULL")?;
    Ok(statement.exists([id.into_bytes()])?)
}

fn venue(row: &Row<'_>) -> rusqlite::Result<Venue> {
    Ok(Venue {
        id: uuid_at(row, 0)?,
        name: row.get(1)?,
        address: row.get(2)?,
        city: row.get(3)?,
        time_zone: row.get(4)?,
        created_at: Timestamp(row.get(5)?),
    })
}

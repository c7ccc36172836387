//! What administrators changed in the catalogue, in SQLite. Every function is one step inside the caller's transaction.

use super::super::library::{Failure, uuid_at};
use crate::status_names::described_word;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::catalogue::CatalogueChange;
use onsale_engine::ports::shared::Described;
use onsale_engine::time::Timestamp;
use rusqlite::Transaction;

pub(super) fn insert(transaction: &Transaction<'_>, change: &CatalogueChange) -> Result<(), Failure> {
    let CatalogueChange { id, thing, at, by, action, members } = change;
    let (word, thing) = described_word(*thing);
    let sql = "INSERT INTO catalogue_changes (id, thing, thing_id, at, by_id, action, members)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let row = (id.into_bytes(), word, thing.into_bytes(), at.0, by.0.into_bytes(), action, members);
    transaction.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(super) fn of(transaction: &Transaction<'_>, thing: Described, limit: u32) -> Result<Vec<CatalogueChange>, Failure> {
    let sql = "SELECT id, at, by_id, action, members FROM catalogue_changes WHERE thing = ?1 AND thing_id = ?2
        ORDER BY at DESC, id DESC LIMIT ?3";
    let (word, id) = described_word(thing);
    let mut statement = transaction.prepare_cached(sql)?;
    let found = statement.query_map((word, id.into_bytes(), limit), |row| {
        Ok(CatalogueChange {
            id: uuid_at(row, 0)?,
            thing,
            at: Timestamp(row.get(1)?),
            by: BuyerId(uuid_at(row, 2)?),
            action: row.get(3)?,
            members: row.get(4)?,
        })
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

//! What administrators changed in the catalogue, in Postgres. Every function is one step inside the caller's transaction.

use super::super::failure::Failure;
use super::super::session::Session;
use super::super::values::At;
use crate::status_names::described_word;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::catalogue::CatalogueChange;
use onsale_engine::ports::shared::Described;

pub(super) async fn insert(session: &Session, change: &CatalogueChange) -> Result<(), Failure> {
    let CatalogueChange { id, thing, at, by, action, members } = change;
    let (word, thing) = described_word(*thing);
    let sql = "INSERT INTO catalogue_changes (id, thing, thing_id, at, by_id, action, members)
        VALUES ($1, $2, $3, $4, $5, $6, $7)";
    session.execute(sql, &[id, &word, &thing, &At(*at), &by.0, action, members]).await?;
    Ok(())
}

pub(super) async fn of(session: &Session, thing: Described, limit: u32) -> Result<Vec<CatalogueChange>, Failure> {
    let sql = "SELECT id, at, by_id, action, members FROM catalogue_changes WHERE thing = $1 AND thing_id = $2
        ORDER BY at DESC, id DESC LIMIT $3";
    let (word, id) = described_word(thing);
    let rows = session.query(sql, &[&word, &id, &i64::from(limit)]).await?;
    let change = |row: &tokio_postgres::Row| CatalogueChange {
        id: row.get(0),
        thing,
        at: row.get::<_, At>(1).0,
        by: BuyerId(row.get(2)),
        action: row.get(3),
        members: row.get(4),
    };
    Ok(rows.iter().map(change).collect())
}

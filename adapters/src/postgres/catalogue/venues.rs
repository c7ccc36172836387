//! Venues in Postgres. Every function is one statement, inside the caller's transaction where there is one.

use super::super::failure::Failure;
use super::super::records::{listed, page_of};
use super::super::session::Session;
use super::super::values::At;
use onsale_engine::ports::catalogue::{Listed, Page, Venue};
use tokio_postgres::Row;
use uuid::Uuid;

const COLUMNS: &str = "id, name, address, city, time_zone, created_at";

pub(super) async fn insert(session: &Session, venue: &Venue) -> Result<(), Failure> {
    let Venue { id, name, address, city, time_zone, created_at } = venue;
    let sql = "INSERT INTO venues (id, name, address, city, time_zone, created_at) VALUES ($1, $2, $3, $4, $5, $6)";
    session.execute(sql, &[id, name, address, city, time_zone, &At(*created_at)]).await?;
    Ok(())
}

pub(super) async fn one(session: &Session, id: Uuid) -> Result<Option<Venue>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM venues WHERE id = $1 AND deleted_at IS NULL");
    Ok(session.query_opt(&sql, &[&id]).await?.map(|row| venue(&row, 0)))
}

pub(super) async fn list(session: &Session, page: Page) -> Result<Listed<Venue>, Failure> {
    let order = [("created_at", "DESC"), ("id", "DESC")];
    let sql = page_of(COLUMNS, "venues", "deleted_at IS NULL", &order, 1);
    let (size, skipped) = (i64::from(page.size), i64::from(page.number) * i64::from(page.size));
    listed(&session.query(&sql, &[&size, &skipped]).await?, |row| Ok(venue(row, 1)))
}

pub(super) async fn update(session: &Session, venue: &Venue) -> Result<bool, Failure> {
    let sql = "UPDATE venues SET name = $2, address = $3, city = $4, time_zone = $5
        WHERE id = $1 AND deleted_at IS NULL";
    let changed =
        session.execute(sql, &[&venue.id, &venue.name, &venue.address, &venue.city, &venue.time_zone]).await?;
    Ok(changed == 1)
}

/// Whether there is such a venue, not deleted; it stays so until the caller's transaction ends.
pub(super) async fn keep(session: &Session, id: Uuid) -> Result<bool, Failure> {
    let sql = "SELECT 1 FROM venues WHERE id = $1 AND deleted_at IS NULL FOR SHARE";
    Ok(session.query_opt(sql, &[&id]).await?.is_some())
}

fn venue(row: &Row, first: usize) -> Venue {
    Venue {
        id: row.get(first),
        name: row.get(first + 1),
        address: row.get(first + 2),
        city: row.get(first + 3),
        time_zone: row.get(first + 4),
        created_at: row.get::<_, At>(first + 5).0,
    }
}

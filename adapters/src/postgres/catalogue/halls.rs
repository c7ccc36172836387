//! Halls and the plans that they are made of, in Postgres. Every function is one step, inside the caller's transaction
//! where there is one.

use super::super::failure::Failure;
use super::super::records::{listed, page_of};
use super::super::session::Session;
use super::super::values::At;
use super::venues;
use crate::hall_form;
use onsale_engine::id::PlanHash;
use onsale_engine::ports::catalogue::{Hall, Listed, Page};
use tokio_postgres::Row;
use uuid::Uuid;

const COLUMNS: &str = "id, venue_id, name, plan, capacity, categories, created_at, stage, warnings";

/// Keeps the plan, once for all halls that have it, and the hall.
pub(super) async fn insert(session: &Session, hall: &Hall, seats: usize, packed_plan: &[u8]) -> Result<(), Failure> {
    if !venues::keep(session, hall.venue).await? {
        return Err(Failure::new("the venue has just been deleted"));
    }
    let hash = &hall.plan.0[..];
    let plan = "INSERT INTO plans (hash, seats, body) VALUES ($1, $2, $3) ON CONFLICT (hash) DO NOTHING";
    session.execute(plan, &[&hash, &(seats as i64), &packed_plan]).await?;
    let sql = "INSERT INTO halls (id, venue_id, name, plan, capacity, categories, created_at, stage, warnings)
        VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    let (capacity, created_at) = (i64::from(hall.capacity), At(hall.created_at));
    let (stage, warnings) = (hall_form::stage_text(hall.stage), hall_form::warnings_text(&hall.warnings));
    let Hall { id, venue, name, categories, .. } = hall;
    session.execute(sql, &[id, venue, name, &hash, &capacity, categories, &created_at, &stage, &warnings]).await?;
    Ok(())
}

pub(super) async fn one(session: &Session, id: Uuid) -> Result<Option<Hall>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM halls WHERE id = $1 AND deleted_at IS NULL");
    session.query_opt(&sql, &[&id]).await?.map(|row| hall(&row, 0)).transpose()
}

pub(super) async fn list(session: &Session, venue: Uuid, page: Page) -> Result<Listed<Hall>, Failure> {
    let order = [("created_at", "DESC"), ("id", "DESC")];
    let sql = page_of(COLUMNS, "halls", "venue_id = $1 AND deleted_at IS NULL", &order, 2);
    let (size, skipped) = (i64::from(page.size), i64::from(page.number) * i64::from(page.size));
    listed(&session.query(&sql, &[&venue, &size, &skipped]).await?, |row| hall(row, 1))
}

pub(super) async fn rename(session: &Session, id: Uuid, name: &str) -> Result<bool, Failure> {
    let sql = "UPDATE halls SET name = $2 WHERE id = $1 AND deleted_at IS NULL";
    Ok(session.execute(sql, &[&id, &name]).await? == 1)
}

fn hall(row: &Row, first: usize) -> Result<Hall, Failure> {
    Ok(Hall {
        id: row.get(first),
        venue: row.get(first + 1),
        name: row.get(first + 2),
        plan: plan_hash(row, first + 3)?,
        capacity: u32::try_from(row.get::<_, i64>(first + 4)).unwrap_or(u32::MAX),
        categories: row.get(first + 5),
        created_at: row.get::<_, At>(first + 6).0,
        stage: hall_form::read_stage(row.get(first + 7)),
        warnings: hall_form::read_warnings(row.get(first + 8)),
    })
}

pub(super) fn plan_hash(row: &Row, column: usize) -> Result<PlanHash, Failure> {
    let bytes: &[u8] = row.get(column);
    bytes.try_into().map(PlanHash).map_err(|_| Failure::new("the hash of a plan has another length"))
}

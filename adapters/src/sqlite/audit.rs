//! The projections' rows of one event as a whole, to be compared with the journal. Only reads.

use super::data_dir::DataDir;
use super::library::uuid_at;
use super::tables;
use crate::evidence::ProjectedRows;
use onsale_engine::id::{EventId, ReservationId, Seq};
use onsale_engine::ports::StoreError;
use rusqlite::{Connection, OptionalExtension};

/// Reads everything of an event; blocks.
pub(super) fn projected_rows(dir: &DataDir, event: EventId) -> Result<ProjectedRows, StoreError> {
    let connection = dir.library().map_err(|error| StoreError(error.to_string()))?;
    read(&connection, event).map_err(|error| StoreError(error.to_string()))
}

fn read(connection: &Connection, event: EventId) -> rusqlite::Result<ProjectedRows> {
    let sql = "SELECT seq FROM projection_checkpoints WHERE event_id = ?1";
    let checkpoint = connection.query_row(sql, [event.0.as_bytes()], |row| row.get::<_, i64>(0)).optional()?;
    let sql = "SELECT seat_id, status, reservation_id FROM seats WHERE event_id = ?1 ORDER BY seat_id";
    let mut statement = connection.prepare(sql)?;
    let seats = statement.query_map([event.0.as_bytes()], |row| {
        let owner: Option<[u8; 16]> = row.get(2)?;
        Ok((row.get(0)?, row.get(1)?, owner.map(|_| uuid_at(row, 2)).transpose()?.map(ReservationId)))
    })?;
    Ok(ProjectedRows {
        checkpoint: Seq(checkpoint.unwrap_or(0).cast_unsigned()),
        reservations: tables::reservations_of_event(connection, event)?,
        payments: tables::payments_of_event(connection, event)?,
        seats: seats.collect::<rusqlite::Result<_>>()?,
    })
}

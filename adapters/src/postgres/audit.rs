//! The projections' rows of one event as a whole, to be compared with the journal. Only reads.

use super::failure::Failure;
use super::rows::{self, PAYMENT, RESERVATION};
use super::session::Session;
use crate::evidence::ProjectedRows;
use onsale_engine::id::{EventId, ReservationId, Seq};
use uuid::Uuid;

/// Reads everything of an event, at one moment: a server may be working on it.
pub(super) async fn projected_rows(session: &Session, event: EventId) -> Result<ProjectedRows, Failure> {
    session.begin().await?;
    session.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY", &[]).await?;
    let read = read(session, event.0).await?;
    session.commit().await?;
    Ok(read)
}

async fn read(session: &Session, event: Uuid) -> Result<ProjectedRows, Failure> {
    let checkpoint = "SELECT seq FROM projection_checkpoints WHERE event_id = $1";
    let checkpoint = session.query_opt(checkpoint, &[&event]).await?.map_or(0, |row| row.get::<_, i64>(0));
    let sql = format!("SELECT {RESERVATION} FROM reservations AS r WHERE r.event_id = $1 ORDER BY r.id");
    let reservations = session.query(&sql, &[&event]).await?;
    let sql = format!("SELECT {PAYMENT} FROM payments AS p WHERE p.event_id = $1 ORDER BY p.id");
    let payments = session.query(&sql, &[&event]).await?;
    let sql = "SELECT seat_id, status, reservation_id FROM seats WHERE event_id = $1 ORDER BY seat_id";
    let seats = session.query(sql, &[&event]).await?;
    let owner = |row: &tokio_postgres::Row| row.get::<_, Option<Uuid>>(2).map(ReservationId);
    Ok(ProjectedRows {
        checkpoint: Seq(checkpoint.cast_unsigned()),
        reservations: reservations
            .iter()
            .map(|row| Ok(rows::reservation(row, 0)?.1))
            .collect::<Result<_, Failure>>()?,
        payments: payments.iter().map(|row| rows::payment(row, 0)).collect::<Result<_, Failure>>()?,
        seats: seats.iter().map(|row| (row.get(0), row.get(1), owner(row))).collect(),
    })
}

//! Port `Records` on Postgres: lists, and reservations that memory has let go, from the pool; from the replica where
//! there is one and it has caught up with what this node has projected. Only reads.

use super::database::Postgres;
use super::failure::Failure;
use super::pool::Pool;
use super::rows::{self, PAYMENT, RESERVATION};
use super::session::Params;
use onsale_engine::id::{BuyerId, EventId, PaymentId, ReservationId, Seq};
use onsale_engine::ports::catalogue::{Listed, Page};
use onsale_engine::ports::records::{Records, ReservationRecord};
use onsale_engine::ports::{Later, StoreError};
use onsale_engine::sale::PaymentView;
use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio_postgres::Row;
use tokio_postgres::types::PgLsn;

/// How far each event is projected; shared by who writes and who reads.
#[derive(Clone, Default)]
pub(super) struct Checkpoints(Arc<RwLock<HashMap<EventId, Seq>>>);

impl Checkpoints {
    pub(super) fn of(&self, event: EventId) -> Seq {
        self.0.read().get(&event).copied().unwrap_or_default()
    }

    pub(super) fn set(&self, event: EventId, seq: Seq) {
        self.0.write().insert(event, seq);
    }

    pub(super) fn extend(&self, known: impl Iterator<Item = (EventId, Seq)>) {
        self.0.write().extend(known);
    }
}

/// Reads the projections of a database.
pub struct PostgresRecords {
    database: Postgres,
    checkpoints: Checkpoints,
}

impl PostgresRecords {
    pub(super) fn new(database: &Postgres, checkpoints: Checkpoints) -> Self {
        Self { database: database.clone(), checkpoints }
    }

    /// From the replica if it is there and has caught up, else from the primary.
    pub(super) async fn read(&self, sql: &str, params: Params<'_>) -> Result<Vec<Row>, Failure> {
        if let Some(replica) = &self.database.inner.replica {
            match self.read_replica(replica, sql, params).await {
                Ok(Some(rows)) => return Ok(rows),
                Ok(None) => {}
                Err(Failure(error)) => tracing::debug!(error, "the replica did not answer; the primary is asked"),
            }
        }
        Ok(self.database.inner.pool.turn().await?.query(sql, params).await?)
    }

    /// None when the replica is behind what this node has projected.
    async fn read_replica(&self, pool: &Pool, sql: &str, params: Params<'_>) -> Result<Option<Vec<Row>>, Failure> {
        let turn = pool.turn().await?;
        let needed = PgLsn::from(self.database.inner.projected_lsn.load(Ordering::Acquire));
        let caught_up = "SELECT coalesce(pg_last_wal_replay_lsn() >= $1, true)";
        // In this order on one connection: what the first one has seen, the second sees.
        let needed: Params<'_> = &[&needed];
        let (caught_up, rows) = tokio::try_join!(turn.query(caught_up, needed), turn.query(sql, params))?;
        Ok(caught_up.first().is_some_and(|row| row.get(0)).then_some(rows))
    }

    async fn listed<T>(
        &self,
        sql: &str,
        (buyer, page): (BuyerId, Page),
        item: impl Fn(&Row) -> Result<T, Failure>,
    ) -> Result<Listed<T>, StoreError> {
        let (size, skipped) = (i64::from(page.size), i64::from(page.number) * i64::from(page.size));
        let rows = self.read(sql, &[&buyer.0, &size, &skipped]).await?;
        listed(&rows, item).map_err(StoreError::from)
    }
}

/// A page out of the rows of a statement that begins with the count of all, and then has nulls if the page is empty.
pub(super) fn listed<T>(rows: &[Row], item: impl Fn(&Row) -> Result<T, Failure>) -> Result<Listed<T>, Failure> {
    let total = rows.first().map_or(0, |row| row.get::<_, i64>(0));
    let there = rows.iter().filter(|row| row.get::<_, Option<uuid::Uuid>>(1).is_some());
    Ok(Listed { items: there.map(item).collect::<Result<_, _>>()?, total: total.cast_unsigned() })
}

/// A page and the count of all in one statement, so that both are of one moment.
pub(super) fn page_of(columns: &str, tables: &str, condition: &str, order: &[(&str, &str)], limit: usize) -> String {
    let inner: Vec<String> = order.iter().map(|(column, direction)| format!("{column} {direction}")).collect();
    let outer: Vec<String> = order
        .iter()
        .map(|(column, direction)| format!("page.{} {direction}", column.rsplit('.').next().unwrap_or(column)))
        .collect();
    format!(
        "SELECT counted.total, page.* FROM (SELECT count(*) AS total FROM {tables} WHERE {condition}) AS counted
         LEFT JOIN (SELECT {columns} FROM {tables} WHERE {condition} ORDER BY {} LIMIT ${limit} OFFSET ${}) AS page
         ON true ORDER BY {}",
        inner.join(", "),
        limit + 1,
        outer.join(", "),
    )
}

fn reservations_of_buyer() -> String {
    let order = [("r.created_at", "DESC"), ("r.id", "DESC")];
    page_of(RESERVATION, "reservations AS r", "r.user_id = $1", &order, 2)
}

fn payments_of_buyer() -> String {
    let order = [("p.created_at", "DESC"), ("p.id", "DESC")];
    page_of(PAYMENT, "payments AS p", "p.user_id = $1", &order, 2)
}

/// The statements of lists, as they are sent, for tests of their plans: reservations and payments of a buyer.
#[cfg(feature = "private-postgres")]
#[must_use]
pub fn listing_statements() -> [String; 2] {
    [reservations_of_buyer(), payments_of_buyer()]
}

impl Records for PostgresRecords {
    fn checkpoint(&self, event: EventId) -> Seq {
        self.checkpoints.of(event)
    }

    fn reservations(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let sql = reservations_of_buyer();
            let item = |row: &Row| {
                rows::reservation(row, 1).map(|(event, reservation)| ReservationRecord { event, reservation })
            };
            self.listed(&sql, (buyer, page), item).await
        })
    }

    fn reservation(&self, id: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let sql = format!("SELECT {RESERVATION} FROM reservations AS r WHERE r.id = $1");
            let found = self.read(&sql, &[&id.0]).await?;
            let found = found.first().map(|row| rows::reservation(row, 0)).transpose()?;
            Ok(found.map(|(event, reservation)| ReservationRecord { event, reservation }))
        })
    }

    fn payments(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>> {
        Box::pin(async move {
            let sql = payments_of_buyer();
            self.listed(&sql, (buyer, page), |row| rows::payment(row, 1).map(|record| record.view)).await
        })
    }

    fn payment(&self, id: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>> {
        Box::pin(async move {
            let sql = format!("SELECT {PAYMENT} FROM payments AS p WHERE p.id = $1");
            let found = self.read(&sql, &[&id.0]).await?;
            Ok(found.first().map(|row| rows::payment(row, 0)).transpose()?.map(|record| record.view))
        })
    }
}

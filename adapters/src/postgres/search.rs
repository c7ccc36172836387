//! Port `RecordSearch` on Postgres: what operators look up in the projections, from the pool or the replica as lists
//! are. Every statement reads as much of an index as it answers; a list's total is counted by the projector. Only reads.

use super::failure::Failure;
use super::records::{PostgresRecords, listed};
use super::rows::{self, PAYMENT, RESERVATION};
use super::values::At;
use crate::status_names;
use crate::stored::decode_seqs;
use onsale_engine::id::{BuyerId, EventId, ReservationId, Seq, TicketSerial};
use onsale_engine::ports::catalogue::{Listed, Page};
use onsale_engine::ports::records::ReservationRecord;
use onsale_engine::ports::rows::PaymentRecord;
use onsale_engine::ports::search::{ExportPart, Holdings, Named, PaymentState, RecordSearch, Search};
use onsale_engine::ports::{Later, StoreError};
use onsale_engine::sale::ReservationStatus;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

const BY_TICKET: &str = "SELECT id FROM reservations WHERE event_id = $1 AND ticket_number = $2";
const BY_SEATS: &str = "SELECT DISTINCT reservation_id FROM seats WHERE event_id = $1 AND seat_id = ANY ($2)
    AND reservation_id IS NOT NULL ORDER BY reservation_id";
const STORY: &str = "SELECT story FROM reservations WHERE id = $1
    UNION ALL SELECT story FROM payments WHERE reservation_id = $1";
const CONFIRMED: &str = "SELECT DISTINCT event_id FROM reservations WHERE user_id = $1 AND status = 'CONFIRMED'
    ORDER BY event_id";
const CHARGING: &str = "SELECT DISTINCT event_id FROM payments WHERE user_id = $1 AND stage IN ('CHARGING', 'UNKNOWN')
    ORDER BY event_id";

type Param = Box<dyn ToSql + Sync + Send>;

/// A table of records as searches name it.
#[derive(Clone, Copy)]
struct Records {
    /// With its alias.
    table: &'static str,
    alias: &'static str,
    columns: &'static str,
    counted_as: &'static str,
    names: [&'static str; 4],
}

const RESERVATIONS: Records = Records {
    table: "reservations AS r",
    alias: "r",
    columns: RESERVATION,
    counted_as: "RESERVATION",
    names: ["PENDING", "CONFIRMED", "CANCELLED", "EXPIRED"],
};
const PAYMENTS: Records = Records {
    table: "payments AS p",
    alias: "p",
    columns: PAYMENT,
    counted_as: "PAYMENT",
    names: ["PENDING", "SUCCESS", "FAILED", "REFUNDED"],
};

/// A statement and its parameters while it is put together.
#[derive(Default)]
struct Statement {
    params: Vec<Param>,
}

impl Statement {
    /// Adds a parameter; answers its name.
    fn param(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.params.push(Box::new(value));
        format!("${}", self.params.len())
    }

    fn ids(&mut self, ids: impl Iterator<Item = Uuid>) -> String {
        self.param(ids.collect::<Vec<Uuid>>())
    }
}

impl Records {
    /// A page of a search, newest first, behind the count of all.
    fn page(self, search: &Search<&'static str>, page: Page) -> (String, Vec<Param>) {
        let Self { table, alias, columns, .. } = self;
        let mut statement = Statement::default();
        let (size, skip) = (i64::from(page.size), i64::from(page.number) * i64::from(page.size));
        let narrowed = Self::narrowed(&mut statement, search);
        let (keys, total) = match &search.named {
            Some(named) => {
                let named = self.among(&mut statement, named);
                let condition = format!("FROM {table} WHERE ({named}){narrowed}");
                let keys = format!("SELECT {alias}.id, {alias}.created_at {condition}");
                (keys, format!("SELECT count(*) AS total {condition}"))
            }
            None => {
                // One read of an index for each status, each no longer than the page needs.
                let deepest = statement.param(skip.saturating_add(size));
                let event = search.event.map(|event| statement.param(event.0));
                let keys = self.branches(search.status, |word| {
                    let event = event.as_ref().map_or_else(String::new, |event| format!("event_id = {event} AND "));
                    format!("{event}status = '{word}' ORDER BY created_at DESC, id DESC LIMIT {deepest}")
                });
                let what = self.counted_as;
                let counts = format!("FROM record_counts WHERE what = '{what}'{narrowed}");
                (keys, format!("SELECT coalesce(sum(count), 0)::bigint AS total {counts}"))
            }
        };
        let (size, skip) = (statement.param(size), statement.param(skip));
        let sql = format!(
            "SELECT counted.total, page.* FROM ({total}) AS counted LEFT JOIN (
                 SELECT {columns} FROM (SELECT * FROM ({keys}) AS every
                     ORDER BY created_at DESC, id DESC LIMIT {size} OFFSET {skip}) AS one
                 JOIN {table} ON {alias}.id = one.id) AS page
             ON true ORDER BY page.created_at DESC, page.id DESC"
        );
        (sql, statement.params)
    }

    /// Keys of the statuses that are wanted, each read by itself.
    fn branches(self, status: Option<&'static str>, condition: impl Fn(&str) -> String) -> String {
        let wanted = status.as_ref().map_or(&self.names[..], std::slice::from_ref);
        let table = self.table;
        let branch = |word: &&str| format!("(SELECT id, created_at FROM {table} WHERE {})", condition(word));
        wanted.iter().map(branch).collect::<Vec<_>>().join(" UNION ALL ")
    }

    /// That a row is one of the named ones, each alternative with an index of its own.
    fn among(self, statement: &mut Statement, named: &Named) -> String {
        let buyers = statement.ids(named.buyers.iter().map(|id| id.0));
        let reservations = statement.ids(named.reservations.iter().map(|id| id.0));
        if self.alias == "r" {
            return format!("r.id = ANY ({reservations}) OR r.user_id = ANY ({buyers})");
        }
        let payments = statement.ids(named.payments.iter().map(|id| id.0));
        format!("p.id = ANY ({payments}) OR p.reservation_id = ANY ({reservations}) OR p.user_id = ANY ({buyers})")
    }

    fn narrowed(statement: &mut Statement, search: &Search<&'static str>) -> String {
        let event = search.event.map(|event| format!(" AND event_id = {}", statement.param(event.0)));
        let status = search.status.map(|word| format!(" AND status = '{word}'"));
        event.unwrap_or_default() + &status.unwrap_or_default()
    }
}

/// A piece of an export: of each status as much of the index as could be needed, the oldest of it.
fn export(part: &ExportPart) -> (String, Vec<Param>) {
    let mut statement = Statement::default();
    let event = statement.param(part.event.0);
    let (until, limit) = (statement.param(At(part.until)), statement.param(i64::from(part.limit)));
    let after = part.after.map(|(at, id)| {
        let (at, id) = (statement.param(At(at)), statement.param(id.0));
        format!(" AND (created_at, id) > ({at}, {id})")
    });
    let after = after.unwrap_or_default();
    let keys = RESERVATIONS.branches(part.status.map(status_names::reservation_status), |word| {
        format!(
            "event_id = {event} AND status = '{word}' AND created_at <= {until}{after}
             ORDER BY created_at, id LIMIT {limit}"
        )
    });
    let sql = format!(
        "SELECT {RESERVATION} FROM (SELECT * FROM ({keys}) AS every ORDER BY created_at, id LIMIT {limit}) AS one
         JOIN reservations AS r ON r.id = one.id ORDER BY r.created_at, r.id"
    );
    (sql, statement.params)
}

fn record((event, reservation): (EventId, onsale_engine::sale::ReservationView)) -> ReservationRecord {
    ReservationRecord { event, reservation }
}

impl PostgresRecords {
    async fn ask(&self, sql: &str, params: &[Param]) -> Result<Vec<Row>, Failure> {
        let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|param| &**param as &(dyn ToSql + Sync)).collect();
        self.read(sql, &params).await
    }

    async fn events(&self, sql: &str, buyer: BuyerId) -> Result<Vec<EventId>, Failure> {
        Ok(self.read(sql, &[&buyer.0]).await?.iter().map(|row| EventId(row.get(0))).collect())
    }
}

impl RecordSearch for PostgresRecords {
    fn find_reservations(
        &self,
        search: Search<ReservationStatus>,
        page: Page,
    ) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let Search { event, status, named } = search;
            let search = Search { event, status: status.map(status_names::reservation_status), named };
            let (sql, params) = RESERVATIONS.page(&search, page);
            let rows = self.ask(&sql, &params).await?;
            Ok(listed(&rows, |row| rows::reservation(row, 1).map(record))?)
        })
    }

    fn find_payments(
        &self,
        search: Search<PaymentState>,
        page: Page,
    ) -> Later<'_, Result<Listed<PaymentRecord>, StoreError>> {
        Box::pin(async move {
            let Search { event, status, named } = search;
            let search = Search { event, status: status.map(status_names::payment_state), named };
            let (sql, params) = PAYMENTS.page(&search, page);
            let rows = self.ask(&sql, &params).await?;
            Ok(listed(&rows, |row| rows::payment(row, 1))?)
        })
    }

    fn payments_of(&self, reservations: Vec<ReservationId>) -> Later<'_, Result<Vec<PaymentRecord>, StoreError>> {
        Box::pin(async move {
            let ids: Vec<Uuid> = reservations.iter().map(|id| id.0).collect();
            let sql = format!(
                "SELECT {PAYMENT} FROM payments AS p WHERE p.reservation_id = ANY ($1) ORDER BY p.created_at, p.id"
            );
            let rows = self.read(&sql, &[&ids]).await?;
            Ok(rows.iter().map(|row| rows::payment(row, 0)).collect::<Result<_, _>>()?)
        })
    }

    fn by_ticket(&self, event: EventId, ticket: TicketSerial) -> Later<'_, Result<Option<ReservationId>, StoreError>> {
        Box::pin(async move {
            let rows = self.read(BY_TICKET, &[&event.0, &ticket.0.cast_signed()]).await?;
            Ok(rows.first().map(|row| ReservationId(row.get(0))))
        })
    }

    fn by_seats(&self, event: EventId, seats: Vec<String>) -> Later<'_, Result<Vec<ReservationId>, StoreError>> {
        Box::pin(async move {
            let rows = self.read(BY_SEATS, &[&event.0, &seats]).await?;
            Ok(rows.iter().map(|row| ReservationId(row.get(0))).collect())
        })
    }

    fn story(&self, reservation: ReservationId) -> Later<'_, Result<Vec<Seq>, StoreError>> {
        Box::pin(async move {
            let mut seqs = Vec::new();
            for row in self.read(STORY, &[&reservation.0]).await? {
                seqs.extend(decode_seqs(row.get(0)).map_err(|error| StoreError(error.to_string()))?);
            }
            seqs.sort_unstable();
            Ok(seqs)
        })
    }

    fn export(&self, part: ExportPart) -> Later<'_, Result<Vec<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let (sql, params) = export(&part);
            let rows = self.ask(&sql, &params).await?;
            Ok(rows.iter().map(|row| rows::reservation(row, 0).map(record)).collect::<Result<_, _>>()?)
        })
    }

    fn holdings(&self, buyer: BuyerId) -> Later<'_, Result<Holdings, StoreError>> {
        Box::pin(async move {
            let (confirmed, charging) = (self.events(CONFIRMED, buyer).await?, self.events(CHARGING, buyer).await?);
            Ok(Holdings { confirmed, charging })
        })
    }
}

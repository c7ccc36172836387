//! Ports `Projection` and `Records` on SQLite: tables and outbox written behind the journal by one connection, read by
//! many. Rows and checkpoints move in one transaction; after a power cut the last of it may be gone and is projected
//! again. Must never decide what a fact means: the fold of the engine does.

use super::data_dir::DataDir;
use super::failure::{Stage, journal_error};
use super::library::{Library, uuid_at};
use super::open_error::OpenError;
use super::tables;
use crate::outbox_form;
use crate::status_names;
use onsale_engine::id::{BuyerId, EventId, PaymentId, PlanHash, ReservationId, Seq};
use onsale_engine::money::Currency;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{Listed, Page};
use onsale_engine::ports::records::{Records, ReservationRecord};
use onsale_engine::ports::rows::{Before, Changes, Notice, PaymentRecord};
use onsale_engine::ports::{Committed, JournalError, Later, OutboxMessage, Plans, Projection, StoreError};
use onsale_engine::sale::{PaymentView, ReservationView};
use onsale_engine::time::Timestamp;
use parking_lot::RwLock;
use rusqlite::{Connection, params};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// How long a published message stays.
const PUBLISHED_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often published messages are swept, in the time of the facts.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Pages kept in memory: buyers come in no order, so the indexes by buyer are touched everywhere.
const CACHE_KIB: i64 = 64 * 1024;
/// Messages removed at a time; more wait for the next batch.
const TIDY_AT_ONCE: usize = 2000;

/// Sales whose rules and hall are kept at hand: what is over must not keep its hall in memory.
const SALES_KEPT: usize = 256;

const UPSERT_SEAT: &str = "INSERT INTO seats (event_id, seat_id, status, reservation_id) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (event_id, seat_id) DO UPDATE SET status = excluded.status, reservation_id = excluded.reservation_id";
/// The seats of an event that are in nobody's hands.
const CLEAR_SEATS: &str = "DELETE FROM seats WHERE event_id = ?1 AND reservation_id IS NULL";
const INSERT_MESSAGE: &str = "INSERT INTO outbox_events (event_id, seq, topic, key, payload, created_at, traceparent)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
const UPSERT_CHECKPOINT: &str = "INSERT INTO projection_checkpoints (event_id, seq, plan, currency)
    VALUES (?1, ?2, ?3, ?4) ON CONFLICT (event_id) DO UPDATE
    SET seq = excluded.seq, plan = excluded.plan, currency = excluded.currency";
const TIDY: &str = "DELETE FROM outbox_events WHERE id IN
    (SELECT id FROM outbox_events WHERE published = 1 AND created_at < ?1 LIMIT ?2)";

/// Everything of an event, but what was published.
const FORGET: [&str; 7] = [
    "DELETE FROM reservation_seats WHERE reservation_id IN (SELECT id FROM reservations WHERE event_id = ?1)",
    "DELETE FROM reservations WHERE event_id = ?1",
    "DELETE FROM payments WHERE event_id = ?1",
    "DELETE FROM seats WHERE event_id = ?1",
    "DELETE FROM record_counts WHERE event_id = ?1",
    "DELETE FROM outbox_events WHERE event_id = ?1 AND published = 0",
    "DELETE FROM projection_checkpoints WHERE event_id = ?1",
];

/// How far each event is projected; shared by who writes and who reads.
type Checkpoints = Arc<RwLock<HashMap<EventId, Seq>>>;

/// What rows of a sale need that its facts do not repeat.
#[derive(Clone)]
struct SaleInfo {
    currency: Currency,
    plan: Arc<Plan>,
}

/// Writes the projections of a data directory. See the module.
pub struct SqliteProjection {
    connection: Connection,
    plans: Arc<dyn Plans>,
    checkpoints: Checkpoints,
    sales: HashMap<EventId, SaleInfo>,
    tidied_at: Option<Timestamp>,
    /// Whether a write failed, so that the tables may be further than `checkpoints` says.
    stale: bool,
    _dir: DataDir,
}

/// Reads the projections of a data directory.
pub struct SqliteRecords {
    pub(super) library: Arc<Library>,
    checkpoints: Checkpoints,
}

impl SqliteProjection {
    /// Opens the tables for writing, and for reading through `library`. There must be one writer at a time.
    ///
    /// # Errors
    /// [`OpenError::Database`].
    pub fn open(
        dir: &DataDir,
        library: Arc<Library>,
        plans: Arc<dyn Plans>,
    ) -> Result<(Self, SqliteRecords), OpenError> {
        let connection = dir.library()?;
        let prepare = || -> rusqlite::Result<HashMap<EventId, Seq>> {
            // What is lost by not syncing here is projected again.
            connection.pragma_update(None, "synchronous", "NORMAL")?;
            connection.pragma_update(None, "cache_size", -CACHE_KIB)?;
            checkpoints(&connection)
        };
        let checkpoints = prepare().map_err(|source| OpenError::Database { path: dir.path().to_owned(), source })?;
        connection.set_prepared_statement_cache_capacity(32);
        let checkpoints: Checkpoints = Arc::new(RwLock::new(checkpoints));
        let records = SqliteRecords { library, checkpoints: Arc::clone(&checkpoints) };
        let (sales, tidied_at, stale) = (HashMap::new(), None, false);
        Ok((Self { connection, plans, checkpoints, sales, tidied_at, stale, _dir: dir.clone() }, records))
    }

    /// After a failure: finds out what the tables hold.
    fn refresh(&mut self) -> Result<(), JournalError> {
        if self.stale {
            *self.checkpoints.write() =
                checkpoints(&self.connection).map_err(|error| journal_error(&error, Stage::Work))?;
            self.stale = false;
        }
        Ok(())
    }

    /// Folds what is new of a batch; answers the changes and where each event then stands.
    fn fold(&self, facts: &[Committed]) -> Result<(Changes, HashMap<EventId, Seq>, Timestamp), JournalError> {
        let mut changes = Changes::default();
        let mut reached: HashMap<EventId, Seq> = HashMap::new();
        let mut newest = Timestamp(i64::MIN);
        let mut before = Tables(&self.connection);
        for Committed { event, entries } in facts {
            let mut seq = match reached.get(event) {
                Some(seq) => *seq,
                None => self.checkpoints.read().get(event).copied().unwrap_or_default(),
            };
            for entry in entries.iter() {
                if entry.seq <= seq {
                    continue;
                }
                if entry.seq != seq.next() {
                    let reason = format!("event {event}: facts {} to {} are missing", seq.0 + 1, entry.seq.0 - 1);
                    return Err(JournalError::NotDone(reason));
                }
                changes.fold(*event, entry, &mut before).map_err(|error| journal_error(&error, Stage::Work))?;
                seq = entry.seq;
                newest = newest.max(entry.at);
                reached.insert(*event, seq);
            }
        }
        Ok((changes, reached, newest))
    }

    /// What the rows of these events need, from the batch itself, from memory or from the tables.
    fn find_sales(&mut self, changes: &Changes, reached: &HashMap<EventId, Seq>) -> Result<(), JournalError> {
        if self.sales.len() > SALES_KEPT {
            self.sales.clear();
        }
        for (event, (currency, plan)) in &changes.configured {
            self.sales.insert(*event, SaleInfo { currency: *currency, plan: Arc::clone(plan) });
        }
        for event in reached.keys() {
            if self.sales.contains_key(event) {
                continue;
            }
            let stored = self.connection.query_row(
                "SELECT currency, plan FROM projection_checkpoints WHERE event_id = ?1",
                [event.0.as_bytes()],
                |row| Ok((row.get::<_, String>(0)?, row.get::<_, [u8; 32]>(1)?)),
            );
            let (currency, hash) = stored.map_err(|error| journal_error(&error, Stage::Work))?;
            let lost = |what: String| JournalError::NotDone(format!("event {event}: {what}"));
            let currency = currency.parse().map_err(|error| lost(format!("{error}")))?;
            let plan = self.plans.plan(PlanHash(hash)).map_err(|error| lost(error.to_string()))?;
            let plan = plan.ok_or_else(|| lost(format!("the plan {} is not kept", PlanHash(hash))))?;
            self.sales.insert(*event, SaleInfo { currency, plan });
        }
        Ok(())
    }

    fn messages(&self, changes: &Changes) -> Result<Vec<(OutboxMessage, Timestamp)>, JournalError> {
        let message = |notice: &Notice| {
            let sale = self.sale(notice.event)?;
            let message = outbox_form::message(notice, sale.currency, &sale.plan);
            Ok((message.map_err(|error| JournalError::NotDone(error.to_string()))?, notice.at))
        };
        changes.notices.iter().map(message).collect()
    }

    fn sale(&self, event: EventId) -> Result<&SaleInfo, JournalError> {
        self.sales.get(&event).ok_or_else(|| JournalError::NotDone(format!("event {event} has no rules")))
    }

    fn write(&self, changes: &Changes, messages: &[(OutboxMessage, Timestamp)]) -> Result<(), JournalError> {
        let failed = |error| journal_error(&error, Stage::Work);
        let connection = &self.connection;
        for change in changes.reservations.values() {
            let sale = self.sale(change.event)?;
            tables::write_reservation(connection, change, sale.currency, &sale.plan).map_err(failed)?;
        }
        for change in changes.payments.values() {
            tables::write_payment(connection, change, self.sale(change.record.event)?.currency).map_err(failed)?;
        }
        for ((event, what), by) in changes.counts.iter().filter(|(_, by)| **by != 0) {
            tables::write_count(connection, *event, *what, *by).map_err(failed)?;
        }
        for event in &changes.cleared {
            let mut clear = connection.prepare_cached(CLEAR_SEATS).map_err(failed)?;
            clear.execute([event.0.as_bytes()]).map_err(failed)?;
        }
        let mut upsert = connection.prepare_cached(UPSERT_SEAT).map_err(failed)?;
        for ((event, seat), record) in &changes.seats {
            let plan = &self.sale(*event)?.plan;
            if plan.has(*seat) {
                let owner = record.reservation.as_ref().map(|id| id.0.as_bytes());
                let row =
                    params![event.0.as_bytes(), plan.seat_id(*seat), status_names::seat_status(record.status), owner];
                upsert.execute(row).map_err(failed)?;
            }
        }
        let mut insert = connection.prepare_cached(INSERT_MESSAGE).map_err(failed)?;
        for (OutboxMessage { topic, key, event, seq, trace, payload }, at) in messages {
            let traceparent = trace.map(|trace| trace.to_string());
            insert
                .execute(params![event.0.as_bytes(), seq.0.cast_signed(), topic, key, payload, at.0, traceparent])
                .map_err(failed)?;
        }
        Ok(())
    }

    fn write_checkpoints(&self, reached: &HashMap<EventId, Seq>) -> Result<(), JournalError> {
        let failed = |error| journal_error(&error, Stage::Work);
        let mut upsert = self.connection.prepare_cached(UPSERT_CHECKPOINT).map_err(failed)?;
        for (event, seq) in reached {
            let sale = self.sale(*event)?;
            let row = params![event.0.as_bytes(), seq.0.cast_signed(), &sale.plan.hash().0[..], sale.currency.code()];
            upsert.execute(row).map_err(failed)?;
        }
        Ok(())
    }

    /// Removes messages that were published long ago; answers whether all of them are gone.
    fn tidy(&self, now: Timestamp) -> Result<bool, JournalError> {
        let failed = |error| journal_error(&error, Stage::Work);
        let before = now - PUBLISHED_KEPT_FOR;
        let mut tidy = self.connection.prepare_cached(TIDY).map_err(failed)?;
        let removed = tidy.execute(params![before.0, TIDY_AT_ONCE as i64]).map_err(failed)?;
        Ok(removed < TIDY_AT_ONCE)
    }

    /// Runs `work` in a transaction and commits it.
    fn transact<T>(&self, work: impl FnOnce(&Self) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let run = |sql: &str, stage| {
            let done = self.connection.prepare_cached(sql).and_then(|mut statement| statement.execute([]));
            done.map_err(|error| journal_error(&error, stage))
        };
        if !self.connection.is_autocommit() {
            run("ROLLBACK", Stage::Work)?;
        }
        run("BEGIN IMMEDIATE", Stage::Work)?;
        let done = work(self).and_then(|value| run("COMMIT", Stage::Commit).map(|_| value));
        if done.is_err() && !self.connection.is_autocommit() {
            run("ROLLBACK", Stage::Work)?;
        }
        done
    }
}

fn checkpoints(connection: &Connection) -> rusqlite::Result<HashMap<EventId, Seq>> {
    let mut statement = connection.prepare("SELECT event_id, seq FROM projection_checkpoints")?;
    let rows =
        statement.query_map([], |row| Ok((EventId(uuid_at(row, 0)?), Seq(row.get::<_, i64>(1)?.cast_unsigned()))))?;
    rows.collect()
}

/// The tables as they are before a batch. Nobody else writes them, so they may be read ahead of the transaction.
struct Tables<'a>(&'a Connection);

impl Before for Tables<'_> {
    type Error = rusqlite::Error;

    fn reservation(&mut self, id: ReservationId) -> rusqlite::Result<Option<ReservationView>> {
        Ok(tables::reservation(self.0, id)?.map(|(_, view)| view))
    }

    fn payment(&mut self, id: PaymentId) -> rusqlite::Result<Option<PaymentRecord>> {
        tables::payment(self.0, id)
    }
}

impl Projection for SqliteProjection {
    fn checkpoint(&mut self, event: EventId) -> Result<Seq, JournalError> {
        self.refresh()?;
        Ok(self.checkpoints.read().get(&event).copied().unwrap_or_default())
    }

    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError> {
        self.refresh()?;
        Ok(self.checkpoints.read().iter().map(|(event, seq)| (*event, *seq)).collect())
    }

    fn project(&mut self, facts: &[Committed]) -> Result<(), JournalError> {
        self.refresh()?;
        let (changes, reached, newest) = self.fold(facts)?;
        if reached.is_empty() {
            return Ok(());
        }
        self.find_sales(&changes, &reached)?;
        let messages = self.messages(&changes)?;
        let untidy = self.tidied_at.is_none_or(|at| newest.since(at) >= TIDY_EVERY);
        let tidied = self.transact(|tables| {
            tables.write(&changes, &messages)?;
            tables.write_checkpoints(&reached)?;
            if untidy { tables.tidy(newest) } else { Ok(false) }
        });
        self.stale = tidied.is_err();
        if tidied? {
            self.tidied_at = Some(newest);
        }
        self.checkpoints.write().extend(reached);
        Ok(())
    }

    fn forget(&mut self, event: EventId) -> Result<(), JournalError> {
        self.refresh()?;
        let forgotten = self.transact(|tables| {
            for sql in FORGET {
                let done = tables.connection.execute(sql, [event.0.as_bytes()]);
                done.map_err(|error| journal_error(&error, Stage::Work))?;
            }
            Ok(())
        });
        self.stale = forgotten.is_err();
        forgotten?;
        self.checkpoints.write().remove(&event);
        Ok(())
    }
}

impl Records for SqliteRecords {
    fn checkpoint(&self, event: EventId) -> Seq {
        self.checkpoints.read().get(&event).copied().unwrap_or_default()
    }

    fn reservations(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let (items, total) = self
                .library
                .read(move |tables| Ok(tables::reservations_of(tables, buyer, page.size, offset(page))?))
                .await?;
            let items = items.into_iter().map(|(event, reservation)| ReservationRecord { event, reservation });
            Ok(Listed { items: items.collect(), total })
        })
    }

    fn reservation(&self, id: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let found = self.library.read(move |tables| Ok(tables::reservation(tables, id)?)).await?;
            Ok(found.map(|(event, reservation)| ReservationRecord { event, reservation }))
        })
    }

    fn payments(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>> {
        Box::pin(async move {
            let (items, total) = self
                .library
                .read(move |tables| Ok(tables::payments_of(tables, buyer, page.size, offset(page))?))
                .await?;
            Ok(Listed { items, total })
        })
    }

    fn payment(&self, id: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>> {
        Box::pin(async move {
            let found = self.library.read(move |tables| Ok(tables::payment(tables, id)?)).await?;
            Ok(found.map(|record| record.view))
        })
    }
}

pub(super) fn offset(page: Page) -> u64 {
    u64::from(page.number) * u64::from(page.size)
}

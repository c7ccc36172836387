//! Port `Projection` on Postgres: tables and outbox written behind the journal on a connection of its own. Rows and
//! checkpoints move in one transaction that has locked the checkpoints, so that a node that was taken for gone cannot
//! bring back what is old; it does not wait for the disk, because what a crash of the server takes is projected again.
//! Must never decide what a fact means: the fold of the engine does.

use super::connect::Connector;
use super::database::{OpenError, Postgres, transaction_silence};
use super::failure::{Failure, journal_error};
use super::records::Checkpoints;
use super::rows::{self, CountRows, PAYMENT, PaymentRows, RESERVATION, ReservationRows, SeatRows};
use super::session::{Params, Session};
use super::values::At;
use crate::outbox_form;
use onsale_engine::id::{EventId, PaymentId, PlanHash, ReservationId, Seq};
use onsale_engine::money::Currency;
use onsale_engine::plan::Plan;
use onsale_engine::ports::rows::{Before, Changes, Notice, PaymentRecord, asked_for};
use onsale_engine::ports::{Committed, JournalError, OutboxMessage, Plans, Projection};
use onsale_engine::sale::ReservationView;
use onsale_engine::time::Timestamp;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio_postgres::Error;
use tokio_postgres::types::PgLsn;
use uuid::Uuid;

/// How long a published message stays.
const PUBLISHED_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// How often published messages are swept, in the time of the facts.
const TIDY_EVERY: Duration = Duration::from_secs(3600);
/// Messages removed at a time; more wait for the next batch.
const TIDY_AT_ONCE: i64 = 2000;

/// Sales whose rules and hall are kept at hand: what is over must not keep its hall in memory.
const SALES_KEPT: usize = 256;

const ALL_CHECKPOINTS: &str = "SELECT event_id, seq FROM projection_checkpoints";
const CHECKPOINTS: &str = "SELECT event_id, seq, plan, currency FROM projection_checkpoints
    WHERE event_id = ANY ($1) ORDER BY event_id FOR UPDATE";
/// A checkpoint that another node has moved or made meanwhile is not ours to move.
const MOVE_CHECKPOINTS: &str = "INSERT INTO projection_checkpoints AS known (event_id, seq, plan, currency)
    SELECT * FROM UNNEST ($1::uuid[], $2::bigint[], $3::bytea[], $4::text[])
    ON CONFLICT (event_id) DO UPDATE SET seq = excluded.seq, plan = excluded.plan, currency = excluded.currency
    WHERE (known.event_id, known.seq) IN (SELECT * FROM UNNEST ($1::uuid[], $5::bigint[]))";
/// The seats of events that are in nobody's hands.
const CLEAR_SEATS: &str = "DELETE FROM seats WHERE event_id = ANY ($1) AND reservation_id IS NULL";
const TIDY: &str = "DELETE FROM outbox_events WHERE id IN
    (SELECT id FROM outbox_events WHERE published AND created_at < $1 ORDER BY created_at LIMIT $2)";

/// What rows of a sale need that its facts do not repeat.
#[derive(Clone)]
struct SaleInfo {
    currency: Currency,
    plan: Arc<Plan>,
}

/// A checkpoint as it is stored.
struct Stored {
    seq: Seq,
    plan: Vec<u8>,
    currency: String,
}

/// Everything of an event, but what was published, in one statement.
const FORGET: &str = "WITH gone AS (DELETE FROM reservations WHERE event_id = $1 RETURNING id),
    their_seats AS (DELETE FROM reservation_seats WHERE reservation_id IN (SELECT id FROM gone)),
    paid AS (DELETE FROM payments WHERE event_id = $1),
    taken AS (DELETE FROM seats WHERE event_id = $1),
    counted AS (DELETE FROM record_counts WHERE event_id = $1),
    waiting AS (DELETE FROM outbox_events WHERE event_id = $1 AND NOT published)
    DELETE FROM projection_checkpoints WHERE event_id = $1";

/// What the tables hold before a batch, of all that it concerns.
#[derive(Default)]
struct Known {
    checkpoints: HashMap<EventId, Stored>,
    reservations: HashMap<ReservationId, ReservationView>,
    payments: HashMap<PaymentId, PaymentRecord>,
}

impl Before for Known {
    type Error = Infallible;

    fn reservation(&mut self, id: ReservationId) -> Result<Option<ReservationView>, Infallible> {
        Ok(self.reservations.get(&id).cloned())
    }

    fn payment(&mut self, id: PaymentId) -> Result<Option<PaymentRecord>, Infallible> {
        Ok(self.payments.get(&id).cloned())
    }
}

/// Writes the projections of a database. See the module.
pub struct PostgresProjection {
    database: Postgres,
    connector: Connector,
    session: Option<Session>,
    plans: Arc<dyn Plans>,
    checkpoints: Checkpoints,
    sales: HashMap<EventId, SaleInfo>,
    tidied_at: Option<Timestamp>,
}

/// A batch, folded.
struct Folded {
    changes: Changes,
    /// Where each event stands before and after it.
    reached: HashMap<EventId, (Seq, Seq)>,
    newest: Timestamp,
}

impl PostgresProjection {
    /// The tables of `database` for writing, and what shows readers how far they are. There must be one writer in a
    /// process.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(database: &Postgres, plans: Arc<dyn Plans>) -> Result<(Self, super::PostgresRecords), OpenError> {
        let settings = [("synchronous_commit", "off".to_owned()), transaction_silence()];
        let connector = database.connector("projection", &settings)?;
        let checkpoints = Checkpoints::default();
        let records = super::PostgresRecords::new(database, checkpoints.clone());
        let (sales, tidied_at) = (HashMap::new(), None);
        let mut projection =
            Self { database: database.clone(), connector, session: None, plans, checkpoints, sales, tidied_at };
        projection.checkpoints().map_err(|error| OpenError::Unfit(error.to_string()))?;
        Ok((projection, records))
    }

    /// Uses the connection, a new one if the last has ended.
    fn with_session<T>(&mut self, work: impl AsyncFnOnce(&Session) -> Result<T, Error>) -> Result<T, JournalError> {
        self.connected()?;
        let Some(session) = &self.session else { return Err(JournalError::NotDone("no connection".into())) };
        let done = self.database.wait(work(session)).map_err(|error| journal_error(&error));
        if done.is_err() {
            self.session = None;
        }
        done
    }

    fn connected(&mut self) -> Result<(), JournalError> {
        if self.session.as_ref().is_none_or(Session::is_broken) {
            self.session = None;
            let connected = self.database.wait(self.connector.connect());
            self.session = Some(connected.map_err(|error| JournalError::NotDone(error.to_string()))?);
        }
        Ok(())
    }

    /// Folds what is new of a batch.
    fn fold(facts: &[Committed], known: &mut Known) -> Result<Folded, JournalError> {
        let mut folded = Folded { changes: Changes::default(), reached: HashMap::new(), newest: Timestamp(i64::MIN) };
        for Committed { event, entries } in facts {
            let before = known.checkpoints.get(event).map(|stored| stored.seq).unwrap_or_default();
            for entry in entries.iter() {
                let at = folded.reached.get(event).map_or(before, |(_, seq)| *seq);
                if entry.seq <= at {
                    continue;
                }
                if entry.seq != at.next() {
                    let reason = format!("event {event}: facts {} to {} are missing", at.0 + 1, entry.seq.0 - 1);
                    return Err(JournalError::NotDone(reason));
                }
                let Ok(()) = folded.changes.fold(*event, entry, known);
                folded.newest = folded.newest.max(entry.at);
                folded.reached.insert(*event, (before, entry.seq));
            }
        }
        Ok(folded)
    }

    /// What the rows of these events need, from the batch itself, from memory or from the tables.
    fn find_sales(&mut self, folded: &Folded, known: &Known) -> Result<(), JournalError> {
        if self.sales.len() > SALES_KEPT {
            self.sales.clear();
        }
        for (event, (currency, plan)) in &folded.changes.configured {
            self.sales.insert(*event, SaleInfo { currency: *currency, plan: Arc::clone(plan) });
        }
        for event in folded.reached.keys() {
            if self.sales.contains_key(event) {
                continue;
            }
            let lost = |what: String| JournalError::NotDone(format!("event {event}: {what}"));
            let stored = known.checkpoints.get(event).ok_or_else(|| lost("it has no rules".into()))?;
            let currency = stored.currency.parse().map_err(|error| lost(format!("{error}")))?;
            let hash = <[u8; 32]>::try_from(&*stored.plan).map(PlanHash);
            let hash = hash.map_err(|_| lost("its plan has no hash".into()))?;
            let plan = self.plans.plan(hash).map_err(|error| lost(error.to_string()))?;
            let plan = plan.ok_or_else(|| lost(format!("the plan {hash} is not kept")))?;
            self.sales.insert(*event, SaleInfo { currency, plan });
        }
        Ok(())
    }

    fn messages(&self, changes: &Changes) -> Result<Vec<(OutboxMessage, Timestamp)>, JournalError> {
        let message = |notice: &Notice| {
            let sale = sale(&self.sales, notice.event)?;
            let message = outbox_form::message(notice, sale.currency, &sale.plan);
            Ok((message.map_err(|error| JournalError::NotDone(error.to_string()))?, notice.at))
        };
        changes.notices.iter().map(message).collect()
    }

    /// Writes and commits; answers whether everything that is old is gone, or `None` when another node was here first.
    fn write(&mut self, folded: &Folded, untidy: bool) -> Result<Option<bool>, JournalError> {
        let messages = self.messages(&folded.changes)?;
        let (mut reservations, mut payments) = (ReservationRows::default(), PaymentRows::default());
        let (mut seats, mut moved) = (SeatRows::default(), Moved::default());
        let sales = &self.sales;
        for change in folded.changes.reservations.values() {
            let sale = sale(sales, change.event)?;
            reservations.push(change, sale.currency, &sale.plan);
        }
        for change in folded.changes.payments.values() {
            payments.push(change, sale(sales, change.record.event)?.currency);
        }
        for ((event, seat), record) in &folded.changes.seats {
            seats.push(*event, *seat, record, &sale(sales, *event)?.plan);
        }
        let mut counts = CountRows::default();
        for ((event, what), by) in folded.changes.counts.iter().filter(|(_, by)| **by != 0) {
            counts.push(*event, *what, *by);
        }
        for (event, (before, after)) in &folded.reached {
            moved.push(*event, *before, *after, sale(sales, *event)?);
        }
        let cleared: Vec<Uuid> = folded.changes.cleared.iter().map(|event| event.0).collect();
        let has_replica = self.database.inner.replica.is_some();
        let old = At(folded.newest - PUBLISHED_KEPT_FOR);
        let Some(session) = &self.session else { return Err(JournalError::NotDone("no connection".into())) };
        let work = async {
            let (count, ..) = tokio::try_join!(
                moved.write(session),
                reservations.write(session),
                reservations.write_seats(session),
                payments.write(session),
                write_seats(session, &cleared, &seats),
                counts.write(session),
                rows::write_messages(session, &messages),
            )?;
            if count != folded.reached.len() as u64 {
                session.roll_back().await?;
                return Ok(None);
            }
            let removed = if untidy { session.execute(TIDY, &[&old, &TIDY_AT_ONCE]).await? } else { 0 };
            session.commit().await?;
            let lsn = match has_replica {
                true => session.query_opt("SELECT pg_current_wal_insert_lsn()", &[]).await?,
                false => None,
            };
            Ok::<_, Error>(Some((untidy && removed < TIDY_AT_ONCE as u64, lsn.map(|row| row.get::<_, PgLsn>(0)))))
        };
        match self.database.wait(work) {
            Ok(Some((tidy, lsn))) => {
                if let Some(lsn) = lsn {
                    self.database.inner.projected_lsn.fetch_max(lsn.into(), Ordering::AcqRel);
                }
                Ok(Some(tidy))
            }
            Ok(None) => Ok(None),
            Err(error) => {
                self.session = None;
                Err(journal_error(&error))
            }
        }
    }
}

fn sale(sales: &HashMap<EventId, SaleInfo>, event: EventId) -> Result<&SaleInfo, JournalError> {
    sales.get(&event).ok_or_else(|| JournalError::NotDone(format!("event {event} has no rules")))
}

/// Checkpoints on their way, column by column.
#[derive(Default)]
struct Moved {
    events: Vec<Uuid>,
    befores: Vec<i64>,
    afters: Vec<i64>,
    plans: Vec<Vec<u8>>,
    currencies: Vec<String>,
}

impl Moved {
    fn push(&mut self, event: EventId, before: Seq, after: Seq, sale: &SaleInfo) {
        self.events.push(event.0);
        self.befores.push(before.0.cast_signed());
        self.afters.push(after.0.cast_signed());
        self.plans.push(sale.plan.hash().0.to_vec());
        self.currencies.push(sale.currency.code().to_owned());
    }

    async fn write(&self, session: &Session) -> Result<u64, Error> {
        let Self { events, befores, afters, plans, currencies } = self;
        session.execute(MOVE_CHECKPOINTS, &[events, afters, plans, currencies, befores]).await
    }
}

/// The seats of a batch, after those of the events in `cleared` are gone.
async fn write_seats(session: &Session, cleared: &Vec<Uuid>, seats: &SeatRows<'_>) -> Result<(), Error> {
    if !cleared.is_empty() {
        session.execute(CLEAR_SEATS, &[cleared]).await?;
    }
    seats.write(session).await
}

/// Begins a transaction, locks the checkpoints of a batch, and reads every row that folding it may ask for.
async fn begin(session: &Session, facts: &[Committed]) -> Result<Known, Failure> {
    let events: BTreeSet<Uuid> = facts.iter().map(|one| one.event.0).collect();
    let events: Vec<Uuid> = events.into_iter().collect();
    let (mut reservations, mut payments) = (HashSet::new(), HashSet::new());
    for entry in facts.iter().flat_map(|one| one.entries.iter()) {
        let (reservation, payment) = asked_for(&entry.fact);
        reservations.extend(reservation.map(|id| id.0));
        payments.extend(payment.map(|id| id.0));
    }
    let (reservations, payments) = (Vec::from_iter(reservations), Vec::from_iter(payments));
    let by_reservation = format!("SELECT {RESERVATION} FROM reservations AS r WHERE r.id = ANY ($1)");
    let by_payment = format!("SELECT {PAYMENT} FROM payments AS p WHERE p.id = ANY ($1)");
    // The lock first: what the other two read is then not being changed.
    let asked: Params<'_> = &[&events];
    let ((), checkpoints) = tokio::try_join!(session.begin(), session.query(CHECKPOINTS, asked))?;
    let found = async |sql: &str, ids: &Vec<Uuid>| match ids.is_empty() {
        true => Ok(Vec::new()),
        false => session.query(sql, &[ids]).await,
    };
    let (reservations, payments) =
        tokio::try_join!(found(&by_reservation, &reservations), found(&by_payment, &payments))?;
    let mut known = Known::default();
    for row in &checkpoints {
        let stored = Stored { seq: Seq(row.get::<_, i64>(1).cast_unsigned()), plan: row.get(2), currency: row.get(3) };
        known.checkpoints.insert(EventId(row.get(0)), stored);
    }
    for row in &reservations {
        let (_, view) = rows::reservation(row, 0)?;
        known.reservations.insert(view.id, view);
    }
    for row in &payments {
        let record = rows::payment(row, 0)?;
        known.payments.insert(record.view.id, record);
    }
    Ok(known)
}

impl Projection for PostgresProjection {
    fn checkpoint(&mut self, event: EventId) -> Result<Seq, JournalError> {
        let rows = self.with_session(async |session| {
            session.query("SELECT seq FROM projection_checkpoints WHERE event_id = $1", &[&event.0]).await
        })?;
        let seq = rows.first().map(|row| Seq(row.get::<_, i64>(0).cast_unsigned())).unwrap_or_default();
        self.checkpoints.set(event, seq);
        Ok(seq)
    }

    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError> {
        let rows = self.with_session(async |session| session.query(ALL_CHECKPOINTS, &[]).await)?;
        let known = rows.iter().map(|row| (EventId(row.get(0)), Seq(row.get::<_, i64>(1).cast_unsigned())));
        let known: Vec<_> = known.collect();
        self.checkpoints.extend(known.iter().copied());
        Ok(known)
    }

    fn project(&mut self, facts: &[Committed]) -> Result<(), JournalError> {
        self.connected()?;
        let Some(session) = &self.session else { return Err(JournalError::NotDone("no connection".into())) };
        let locked = self.database.wait(begin(session, facts));
        let folded = locked.map_err(|Failure(reason)| JournalError::NotDone(reason)).and_then(|mut known| {
            let folded = Self::fold(facts, &mut known)?;
            self.find_sales(&folded, &known)?;
            for (event, stored) in &known.checkpoints {
                self.checkpoints.set(*event, stored.seq);
            }
            Ok(folded)
        });
        let folded = match folded {
            Ok(folded) if !folded.reached.is_empty() => folded,
            nothing => {
                let ended = self.session.as_ref().map(|session| self.database.wait(session.roll_back()));
                if ended.is_none_or(|ended| ended.is_err()) {
                    self.session = None;
                }
                return nothing.map(drop);
            }
        };
        let untidy = self.tidied_at.is_none_or(|at| folded.newest.since(at) >= TIDY_EVERY);
        match self.write(&folded, untidy)? {
            Some(true) => self.tidied_at = Some(folded.newest),
            Some(false) => {}
            None => return Err(JournalError::NotDone("another node has written these facts meanwhile".to_owned())),
        }
        self.checkpoints.extend(folded.reached.into_iter().map(|(event, (_, seq))| (event, seq)));
        Ok(())
    }

    fn forget(&mut self, event: EventId) -> Result<(), JournalError> {
        self.with_session(async |session| session.execute(FORGET, &[&event.0]).await)?;
        self.checkpoints.set(event, Seq(0));
        Ok(())
    }
}

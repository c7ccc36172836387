//! Longer journals: how long an engine takes from its start until it is ready, with a snapshot and without one. The
//! tables written behind are taken to be up to date, as they are a moment after any load.

use super::{GrowthError, Row, Settings, Table, part};
use crate::in_process::rules;
use crate::scene::buyer;
use onsale_adapters::clock::SystemClock;
use onsale_adapters::sqlite::{DataDir, SqliteJournal, SqliteReader};
use onsale_engine::fakes::{FakePayments, FakePlans, small_plan};
use onsale_engine::id::{Epoch, EventId, ReservationId, SeatIndex, Seq};
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Clock, Committed, Journal, JournalEntry, JournalError, JournalReader, Plans, Projection};
use onsale_engine::runtime::{Engine, Ports, Settings as EngineSettings};
use onsale_engine::sale::{Command, Entry, Hold, Sale, Selection};
use onsale_engine::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use uuid::Uuid;

/// Seats of the hall.
const ROWS: usize = 1000;
const SEATS_PER_ROW: usize = 50;
/// Facts written at a time.
const BATCH: usize = 8192;
/// Facts after the snapshot.
const TAIL: u64 = 50_000;
/// How long an earlier engine's check of its whole journal is waited for.
const LOCK_TIMEOUT: Duration = Duration::from_secs(300);

/// Tables that are always up to date.
struct UpToDate(EventId, Seq);

impl Projection for UpToDate {
    fn checkpoint(&mut self, _: EventId) -> Result<Seq, JournalError> {
        Ok(self.1)
    }

    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError> {
        Ok(vec![(self.0, self.1)])
    }

    fn project(&mut self, _: &[Committed]) -> Result<(), JournalError> {
        Ok(())
    }

    fn forget(&mut self, _: EventId) -> Result<(), JournalError> {
        Ok(())
    }
}

/// A sale and its journal, as they grow.
struct Growing {
    event: EventId,
    plan: Arc<Plan>,
    sale: Sale,
    clock: SystemClock,
    /// Holds so far.
    holds: u64,
}

/// Seconds until ready: with a snapshot, and without.
pub(super) async fn measure(settings: &Settings) -> Result<(Table, Table), GrowthError> {
    let data = settings.dir.join("restart");
    let sizes = settings.rows.clone();
    let handle = Handle::current();
    let measured = tokio::task::spawn_blocking(move || grow(&data, &sizes, &handle));
    let (with, without) = measured.await.map_err(part)??;
    let table = |measured, stays, rows| Table { grows: "journal rows", measured, more_is_better: false, stays, rows };
    Ok((
        table("ms until ready, from a snapshot and 50,000 facts after it", true, with),
        table("ms until ready, without a snapshot", false, without),
    ))
}

fn grow(data: &Path, sizes: &[u64], tokio: &Handle) -> Result<(Vec<Row>, Vec<Row>), GrowthError> {
    let plan = small_plan(ROWS, SEATS_PER_ROW);
    let event = EventId(Uuid::now_v7());
    let mut growing = Growing { event, plan, sale: Sale::new(), clock: SystemClock::start(), holds: 0 };
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for &size in sizes {
        growing.write(data, size.saturating_sub(TAIL))?;
        let snapshot = growing.sale.snapshot();
        growing.write(data, size)?;
        without.push(Row { size, figure: growing.restart(data, tokio)? });
        growing.reader(&open(data)?)?.keep_snapshot(event, &snapshot).map_err(part)?;
        with.push(Row { size, figure: growing.restart(data, tokio)? });
        // The next size begins without one again.
        drop(open(data)?);
        for name in ["snapshots.db", "snapshots.db-wal", "snapshots.db-shm"] {
            let path = data.join(name);
            if path.exists() {
                std::fs::remove_file(path)?;
            }
        }
    }
    std::fs::remove_dir_all(data)?;
    Ok((with, without))
}

/// The data directory, as soon as nobody has it: an engine started from a snapshot checks what lies before it for a
/// while longer.
fn open(data: &Path) -> Result<DataDir, GrowthError> {
    let until = Instant::now() + LOCK_TIMEOUT;
    loop {
        match DataDir::open(data) {
            Ok(dir) => return Ok(dir),
            Err(error) if Instant::now() > until => return Err(part(error)),
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

impl Growing {
    fn reader(&self, dir: &DataDir) -> Result<SqliteReader, GrowthError> {
        let plans: Arc<dyn Plans> = Arc::new(FakePlans::of(std::slice::from_ref(&self.plan)));
        SqliteReader::open(dir, plans).map_err(part)
    }

    /// Milliseconds from the opening of the directory until the engine serves.
    fn restart(&self, data: &Path, tokio: &Handle) -> Result<f64, GrowthError> {
        drop(open(data)?);
        let began = Instant::now();
        let dir = DataDir::open(data).map_err(part)?;
        let ports = Ports {
            journal: Box::new(SqliteJournal::open(&dir).map_err(part)?),
            reader: Arc::new(self.reader(&dir)?),
            projection: Box::new(UpToDate(self.event, self.sale.seq())),
            payments: Arc::new(FakePayments::default()),
            clock: Arc::new(SystemClock::start()),
        };
        drop(dir);
        let engine = Engine::start(ports, EngineSettings::default(), tokio.clone()).map_err(part)?;
        let took = began.elapsed();
        let seq = engine.sale(self.event).map(|sale| sale.view().seq());
        if seq != Some(self.sale.seq()) {
            return Err(GrowthError::Part(format!("the engine stands at {seq:?}, not at {:?}", self.sale.seq())));
        }
        tokio.block_on(engine.stop());
        Ok(took.as_secs_f64() * 1e3)
    }

    /// Writes facts until the journal has `rows` of them.
    fn write(&mut self, data: &Path, rows: u64) -> Result<(), GrowthError> {
        if self.sale.seq().0 >= rows {
            return Ok(());
        }
        let dir = open(data)?;
        let mut journal = SqliteJournal::open(&dir).map_err(part)?;
        let epoch = journal.raise_epoch(self.event).map_err(part)?;
        let mut batch = Vec::with_capacity(BATCH);
        while self.sale.seq().0 < rows {
            let now = self.clock.now();
            while batch.len() < BATCH && self.sale.seq().0 < rows {
                let command = self.next_command(now);
                self.take(&command, now, epoch, &mut batch)?;
            }
            journal.append(&batch).map_err(part)?;
            batch.clear();
        }
        Ok(())
    }

    /// The rules first; then holds and releases, alternating.
    fn next_command(&mut self, now: Timestamp) -> Command {
        let Some(holds) = self.sale.seq().0.checked_sub(1) else {
            let config = Box::new(rules(now, &self.plan));
            return Command::Configure { config, plan: Arc::clone(&self.plan), by: buyer(u64::MAX) };
        };
        if holds % 2 == 1 {
            let reservation = self.reservation();
            self.holds += 1;
            return Command::ReleaseHold { buyer: buyer(self.holds - 1), reservation };
        }
        let first = self.holds.wrapping_mul(7919) % (self.plan.capacity() as u64 / 2) * 2;
        let seats = [SeatIndex(first as u32), SeatIndex(first as u32 + 1)];
        let selection = Selection::These(seats.as_slice().into());
        Command::Hold(Hold {
            reservation: self.reservation(),
            buyer: buyer(self.holds),
            selection,
            slot: None,
            key: None,
        })
    }

    /// The id of the running number; the same for a hold and its release.
    fn reservation(&self) -> ReservationId {
        ReservationId::new(self.event, self.holds, self.holds.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    fn take(
        &mut self,
        command: &Command,
        now: Timestamp,
        epoch: Epoch,
        batch: &mut Vec<JournalEntry>,
    ) -> Result<(), GrowthError> {
        let decision = self.sale.decide(command, now, epoch).map_err(|rejection| part(format!("{rejection:?}")))?;
        for fact in decision.facts {
            let entry = Entry { seq: self.sale.seq().next(), epoch, at: now, trace: None, fact };
            self.sale.apply(&entry);
            batch.push(JournalEntry { event: self.event, entry });
        }
        Ok(())
    }
}

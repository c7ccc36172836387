//! The engine in this process, on the real journal and the real tables of a directory: for figures without HTTP.

use onsale_adapters::clock::SystemClock;
use onsale_adapters::sqlite::{DataDir, Library, OpenError, SqliteJournal, SqliteProjection, SqliteReader};
use onsale_engine::fakes::{FakePayments, FakePlans, small_config};
use onsale_engine::id::{EventId, ReservationId, SeatIndex};
use onsale_engine::plan::Plan;
use onsale_engine::ports::{Clock, Plans};
use onsale_engine::runtime::{Engine, Ports, Refusal, SaleHandle, Settings, StartError};
use onsale_engine::sale::{Command, Hold, SaleConfig, Selection};
use onsale_engine::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use uuid::Uuid;

use crate::scene::buyer;

/// How long an answer is waited for.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Something went wrong in the engine.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The directory could not be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// It did not take what it should have taken.
    #[error("the engine refused: {0:?}")]
    Refused(Refusal),
    /// A task was lost.
    #[error(transparent)]
    Task(#[from] tokio::task::JoinError),
    /// What it says afterwards is not what was done.
    #[error("the figure does not count: {0}")]
    Wrong(String),
}

/// The engine's ports on a data directory.
///
/// # Errors
/// See [`OpenError`].
pub fn ports(dir: &Path, plans: &[Arc<Plan>]) -> Result<Ports, OpenError> {
    let dir = DataDir::open(dir)?;
    let plans: Arc<dyn Plans> = Arc::new(FakePlans::of(plans));
    let journal = SqliteJournal::open(&dir)?;
    let reader = SqliteReader::open(&dir, Arc::clone(&plans))?;
    let (projection, _) = SqliteProjection::open(&dir, Library::open(&dir)?, plans)?;
    Ok(Ports {
        journal: Box::new(journal),
        reader: Arc::new(reader),
        projection: Box::new(projection),
        payments: Arc::new(FakePayments::default()),
        clock: Arc::new(SystemClock::start()),
    })
}

/// An engine with one sale that is open.
pub struct House {
    /// The engine; stop it when done.
    pub engine: Engine,
    /// The sale.
    pub sale: Arc<SaleHandle>,
    clock: Arc<dyn Clock>,
    pairs: u64,
    next: Arc<AtomicU64>,
}

/// The rules of sales in this process: nobody waits, nothing expires meanwhile.
#[must_use]
pub fn rules(now: Timestamp, plan: &Plan) -> SaleConfig {
    let mut config = small_config(now - Duration::from_secs(1));
    config.prices = vec![config.prices[0]; plan.categories().len()];
    config.hold = Duration::from_secs(3600);
    config
}

/// Makes another event, whose sale is open.
///
/// # Errors
/// See [`EngineError`].
pub async fn open_sale(engine: &Engine, plan: &Arc<Plan>, now: Timestamp) -> Result<Arc<SaleHandle>, EngineError> {
    let sale = engine.open(EventId(Uuid::now_v7())).await.map_err(EngineError::Refused)?;
    let configure =
        Command::Configure { config: Box::new(rules(now, plan)), plan: Arc::clone(plan), by: buyer(u64::MAX) };
    sale.ask(configure, now + TIMEOUT).await.map_err(EngineError::Refused)?;
    Ok(sale)
}

impl House {
    /// Opens a sale of `plan` on these ports.
    ///
    /// # Errors
    /// See [`EngineError`].
    pub async fn open(ports: Ports, plan: &Arc<Plan>) -> Result<Self, EngineError> {
        let clock = Arc::clone(&ports.clock);
        let handle = Handle::current();
        let engine = tokio::task::spawn_blocking(move || Engine::start(ports, Settings::default(), handle)).await??;
        let sale = open_sale(&engine, plan, clock.now()).await?;
        let pairs = plan.capacity() as u64 / 2;
        Ok(Self { engine, sale, clock, pairs, next: Arc::default() })
    }

    /// Holds scattered pairs of seats so often with so many in flight, each answered after its commit; with
    /// `give_back` each is given back and answered again. Answers how long it took.
    ///
    /// # Errors
    /// See [`EngineError`]; also when the seats held afterwards are not as many as they must be.
    pub async fn holds(&self, times: u64, in_flight: u64, give_back: bool) -> Result<Duration, EngineError> {
        let before = u64::from(self.sale.view().counts().held);
        let first = self.next.fetch_add(times, Ordering::Relaxed);
        let turn = Arc::new(AtomicU64::new(first));
        let began = Instant::now();
        let tasks: Vec<_> = (0..in_flight.min(times))
            .map(|_| {
                let (sale, clock, turn) = (Arc::clone(&self.sale), Arc::clone(&self.clock), Arc::clone(&turn));
                let pairs = self.pairs;
                tokio::spawn(async move {
                    loop {
                        let n = turn.fetch_add(1, Ordering::Relaxed);
                        if n >= first + times {
                            return Ok::<(), Refusal>(());
                        }
                        let reservation = hold(&sale, pairs, n, clock.now()).await?;
                        if give_back {
                            let release = Command::ReleaseHold { buyer: buyer(n), reservation };
                            sale.ask(release, clock.now() + TIMEOUT).await?;
                        }
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await?.map_err(EngineError::Refused)?;
        }
        let spent = began.elapsed();
        let held = u64::from(self.sale.view().counts().held) - before;
        let expected = if give_back { 0 } else { times * 2 };
        if held == expected {
            Ok(spent)
        } else {
            Err(EngineError::Wrong(format!("{held} seats are held, not {expected}")))
        }
    }
}

impl House {
    /// Holds scattered pairs of seats, and gives each back, at a fixed rate for so long, whether or not earlier ones are
    /// answered. Answers for each hold how long it took from its scheduled moment, or why it was refused.
    pub async fn scheduled(&self, rate: u32, load: Duration) -> Vec<Result<Duration, Refusal>> {
        let (began, step) = (tokio::time::Instant::now(), Duration::from_secs(1) / rate);
        let mut tasks = Vec::new();
        loop {
            let n = self.next.fetch_add(1, Ordering::Relaxed);
            let due = began + step * u32::try_from(tasks.len()).unwrap_or(u32::MAX);
            if due.duration_since(began) >= load {
                break;
            }
            tokio::time::sleep_until(due).await;
            let (sale, clock, pairs) = (Arc::clone(&self.sale), Arc::clone(&self.clock), self.pairs);
            tasks.push(tokio::spawn(async move {
                let reservation = hold(&sale, pairs, n, clock.now()).await?;
                let took = due.elapsed();
                let release = Command::ReleaseHold { buyer: buyer(n), reservation };
                sale.ask(release, clock.now() + TIMEOUT).await.map(|_| took)
            }));
        }
        let mut answers = Vec::with_capacity(tasks.len());
        for task in tasks {
            answers.push(task.await.unwrap_or(Err(Refusal::Unserved)));
        }
        answers
    }
}

/// A number that visits every pair once before it comes to one again.
fn scattered(n: u64, pairs: u64) -> u64 {
    n.wrapping_mul(7919) % pairs
}

async fn hold(sale: &Arc<SaleHandle>, pairs: u64, n: u64, now: Timestamp) -> Result<ReservationId, Refusal> {
    let reservation = ReservationId::new(sale.event(), now.unix_millis(), n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let first = scattered(n, pairs) as u32 * 2;
    let selection = Selection::These([SeatIndex(first), SeatIndex(first + 1)].as_slice().into());
    let command = Command::Hold(Hold { reservation, buyer: buyer(n), selection, slot: None, key: None });
    sale.ask(command, now + TIMEOUT).await.map(|_| reservation)
}

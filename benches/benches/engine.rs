//! The whole engine in process: holds with 1,024 in flight, each answered after its commit, on a journal in memory
//! (what the actor and the hand-offs cost) and on the SQLite journal (each synced); and a round trip to the actor, beside a
//! bare channel that carries as many messages.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that goes wrong should stop")]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use onsale_benches::in_process;
use onsale_engine::fakes::{FakeJournal, FakePayments, FakeProjection, small_config, small_plan};
use onsale_engine::id::{BuyerId, EventId, ReservationId, SeatIndex};
use onsale_engine::ports::Clock;
use onsale_engine::runtime::{Engine, Ports, Refusal, SaleHandle, Settings};
use onsale_engine::sale::{Command, Hold, Rejection, Reply, Selection};
use onsale_engine::time::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use uuid::Uuid;

const IN_FLIGHT: u64 = 1024;
const CALLERS: u64 = 256;
const ROWS: usize = 20_000;
const SEATS: usize = 100;

struct WallClock(Instant, i64);

impl Clock for WallClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.1) + self.0.elapsed()
    }
}

fn clock() -> Arc<dyn Clock> {
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Arc::new(WallClock(Instant::now(), unix.as_micros() as i64))
}

fn buyer(n: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(n) << 64 | 0x8000_0000_0000_0000))
}

struct Stage {
    runtime: Runtime,
    engine: Engine,
    sale: Arc<SaleHandle>,
    clock: Arc<dyn Clock>,
    next: Arc<AtomicU64>,
}

fn stage(ports: impl FnOnce(Arc<dyn Clock>) -> Ports, event: EventId) -> Stage {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let clock = clock();
    let engine = Engine::start(ports(Arc::clone(&clock)), Settings::default(), runtime.handle().clone()).unwrap();
    let plan = small_plan(ROWS, SEATS);
    let mut config = small_config(clock.now() - Duration::from_secs(1));
    config.prices = vec![config.prices[0]; 2];
    config.hold = Duration::from_secs(3600);
    let sale = runtime.block_on(async {
        let sale = engine.open(event).await.unwrap();
        let configure = Command::Configure { config: Box::new(config), plan, by: buyer(1) };
        sale.ask(configure, clock.now() + Duration::from_secs(5)).await.unwrap();
        sale
    });
    Stage { runtime, engine, sale, clock, next: Arc::new(AtomicU64::new(0)) }
}

impl Stage {
    /// Holds two seats `rounds` times with 1,024 in flight.
    fn holds(&self, rounds: u64) -> Duration {
        let before = self.sale.view().counts().held;
        let first = self.next.fetch_add(rounds, Ordering::Relaxed);
        assert!((first + rounds) * 2 < (ROWS * SEATS) as u64, "the hall is large enough for the run");
        let (sale, clock) = (Arc::clone(&self.sale), Arc::clone(&self.clock));
        let spent = asked(&self.runtime, (IN_FLIGHT, rounds), move |n| {
            let (sale, now) = (Arc::clone(&sale), clock.now());
            async move { hold(&sale, first + n, now).await }
        });
        assert_eq!(u64::from(self.sale.view().counts().held - before), rounds * 2, "every hold is committed");
        spent
    }
}

/// The `pair`-th two seats for the n-th buyer.
fn hold_of(sale: &SaleHandle, (pair, n): (u64, u64), now: Timestamp) -> Command {
    let reservation = ReservationId::new(sale.event(), now.unix_millis(), n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let seats = [SeatIndex(pair as u32 * 2), SeatIndex(pair as u32 * 2 + 1)];
    let selection = Selection::These(seats.as_slice().into());
    Command::Hold(Hold { reservation, buyer: buyer(n), selection, slot: None, key: None })
}

async fn hold(sale: &Arc<SaleHandle>, n: u64, now: Timestamp) {
    let answer = sale.ask(hold_of(sale, (n, n), now), now + Duration::from_secs(5)).await.unwrap();
    assert!(matches!(answer.reply, Reply::Reservation(_)));
}

fn in_memory(clock: Arc<dyn Clock>) -> Ports {
    let journal = FakeJournal::default();
    Ports {
        reader: Arc::new(journal.clone()),
        journal: Box::new(journal),
        projection: Box::new(FakeProjection::default()),
        payments: Arc::new(FakePayments::default()),
        clock,
    }
}

fn on_memory(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    let event = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
    let on_stage = stage(in_memory, event);
    group.bench_function("1024 holds in flight, journal in memory", |bencher| {
        bencher.iter_custom(|rounds| on_stage.holds(rounds));
    });
    on_stage.runtime.block_on(on_stage.engine.stop());
    group.finish();
}

/// The whole engine on SQLite: every hold is synced before its answer, and the tables are written behind.
fn on_sqlite(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.throughput(Throughput::Elements(1));
    // Shorter, and a run has fewer holds than shall be in flight.
    group.warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(10));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let plan = small_plan(ROWS, SEATS);
    group.bench_function("1024 holds in flight, SQLite journal", |bencher| {
        bencher.iter_custom(|rounds| {
            // A fresh hall each time, so that none is sold out; only the holds are timed.
            let temporary = TempDir::with_prefix_in("onsale-bench-", env!("CARGO_TARGET_TMPDIR")).unwrap();
            runtime.block_on(async {
                let ports = in_process::ports(temporary.path(), std::slice::from_ref(&plan)).unwrap();
                let house = in_process::House::open(ports, &plan).await.unwrap();
                let spent = house.holds(rounds, IN_FLIGHT, false).await.unwrap();
                house.engine.stop().await;
                spent
            })
        });
    });
    group.finish();
}

/// Asks `rounds` times with so many callers, each of whom waits for an answer before the next question.
fn asked<F, A>(runtime: &Runtime, (callers, rounds): (u64, u64), ask: F) -> Duration
where
    F: Fn(u64) -> A + Clone + Send + 'static,
    A: Future<Output = ()> + Send,
{
    let began = Instant::now();
    runtime.block_on(async {
        let turn = Arc::new(AtomicU64::new(0));
        let tasks: Vec<_> = (0..callers.min(rounds))
            .map(|_| {
                let (ask, turn) = (ask.clone(), Arc::clone(&turn));
                tokio::spawn(async move {
                    loop {
                        let n = turn.fetch_add(1, Ordering::Relaxed);
                        if n >= rounds {
                            return;
                        }
                        ask(n).await;
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
    });
    began.elapsed()
}

/// To the actor and back: a hold of seats that are taken, which is refused at once and needs no commit.
fn round_trip(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round trip");
    group.throughput(Throughput::Elements(1));
    let on_stage = stage(in_memory, EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ac)));
    on_stage.runtime.block_on(hold(&on_stage.sale, 0, on_stage.clock.now()));
    let refused = {
        let (sale, clock) = (Arc::clone(&on_stage.sale), Arc::clone(&on_stage.clock));
        move |n| {
            let (sale, now) = (Arc::clone(&sale), clock.now());
            async move {
                let refusal =
                    sale.ask(hold_of(&sale, (0, n + 1), now), now + Duration::from_secs(5)).await.unwrap_err();
                assert!(matches!(refusal, Refusal::Rejected(Rejection::SeatUnavailable { .. })), "{refusal:?}");
            }
        }
    };
    group.bench_function(format!("actor, a refusal, {CALLERS} callers"), |bencher| {
        bencher.iter_custom(|rounds| asked(&on_stage.runtime, (CALLERS, rounds), refused.clone()));
    });
    on_stage.runtime.block_on(on_stage.engine.stop());
    group.finish();
}

/// The floor: as many messages through a bounded channel to one thread and back through a oneshot.
fn bare_channel(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("round trip");
    group.throughput(Throughput::Elements(1));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let (send, mut receive) = tokio::sync::mpsc::channel::<(u64, tokio::sync::oneshot::Sender<u64>)>(2048);
    std::thread::spawn(move || {
        while let Some((n, reply)) = receive.blocking_recv() {
            let _ = reply.send(n + 1);
        }
    });
    for callers in [CALLERS, IN_FLIGHT] {
        let send = send.clone();
        let ask = move |n| {
            let send = send.clone();
            async move {
                let (reply, answer) = tokio::sync::oneshot::channel();
                send.send((n, reply)).await.unwrap();
                assert_eq!(answer.await.unwrap(), n + 1);
            }
        };
        group.bench_function(format!("bare channel and oneshot, {callers} callers"), |bencher| {
            bencher.iter_custom(|rounds| asked(&runtime, (callers, rounds), ask.clone()));
        });
    }
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(10)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = engine; config = config(); targets = bare_channel, round_trip, on_memory, on_sqlite }
criterion_main!(engine);

//! What the domain costs, without threads or storage: holds in halls of three sizes, best seats, the line with
//! growing crowds. Fixed seeds; every workload asserts its outcome.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that goes wrong should stop")]

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{BuyerId, CategoryIndex, Epoch, EventId, Ordinal, ReservationId, SeatIndex};
use onsale_engine::plan::Plan;
use onsale_engine::sale::draw::DrawSeed;
use onsale_engine::sale::{Command, Entry, Fact, Hold, PlaceStatus, Sale, SaleConfig, Selection};
use onsale_engine::time::Timestamp;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const START: Timestamp = Timestamp::from_secs(1_780_000_000);
const EPOCH: Epoch = Epoch(1);
const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));

fn buyer(n: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(u128::from(n) << 64 | 0x8000_0000_0000_0000))
}

/// Applies what `command` leads to; answers how many facts that were.
fn run(sale: &mut Sale, command: &Command, now: Timestamp) -> usize {
    let decision = sale.decide(command, now, EPOCH).expect("taken");
    let count = decision.facts.len();
    for fact in decision.facts {
        let entry = Entry { seq: sale.seq().next(), epoch: EPOCH, at: now, trace: None, fact };
        sale.apply(&entry);
    }
    count
}

fn sale(plan: &Arc<Plan>, change: impl FnOnce(&mut SaleConfig)) -> Sale {
    let mut config = small_config(START);
    change(&mut config);
    let mut sale = Sale::new();
    let by = buyer(u64::MAX);
    run(
        &mut sale,
        &Command::Configure { config: Box::new(config), plan: Arc::clone(plan), by },
        START - Duration::from_secs(1),
    );
    sale
}

fn hold(n: u64, selection: Selection) -> Command {
    let reservation = ReservationId::new(EVENT, 1_780_000_000_000 + n / 1000, n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    Command::Hold(Hold { reservation, buyer: buyer(n), selection, slot: None, key: None })
}

/// Two seats side by side for buyer after buyer, at scattered places.
fn holds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hold");
    for (rows, seats) in [(3840, 15), (100_000, 50)] {
        let plan = small_plan(rows, seats);
        let pairs = (plan.capacity() / 2) as u64;
        group.bench_function(BenchmarkId::new("decide+apply", plan.capacity()), |bencher| {
            bencher.iter_custom(|rounds| {
                let (mut spent, mut left) = (Duration::ZERO, rounds);
                while left > 0 {
                    let mut sale = sale(&plan, |_| {});
                    let batch = left.min(pairs * 9 / 10);
                    let commands: Vec<Command> = (0..batch)
                        .map(|n| {
                            let pair = (n * 7919) % pairs;
                            let seats = [SeatIndex(pair as u32 * 2), SeatIndex(pair as u32 * 2 + 1)];
                            hold(n, Selection::These(seats.as_slice().into()))
                        })
                        .collect();
                    let began = std::time::Instant::now();
                    for command in &commands {
                        black_box(run(&mut sale, command, START));
                    }
                    spent += began.elapsed();
                    assert_eq!(u64::from(sale.counts().held), batch * 2);
                    left -= batch;
                }
                spent
            });
        });
    }
    group.finish();
}

/// The floor under `hold`: the same scattered pairs in a bare array.
fn bare_array(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("hold");
    for seats in [57_600_u64, 5_000_000] {
        group.bench_function(BenchmarkId::new("bare array", seats), |bencher| {
            let mut owners = vec![0_u32; seats as usize];
            let mut n = 0_u64;
            bencher.iter(|| {
                let at = ((n * 7919) % (seats / 2) * 2) as usize;
                n += 1;
                let free = owners[at] != n as u32 && owners[at + 1] != n as u32;
                owners[at] = n as u32;
                owners[at + 1] = n as u32;
                black_box(free)
            });
        });
    }
    group.finish();
}

/// The best four seats of a category whose front half is taken in a chequered way.
fn best_seats(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("best seats");
    for (rows, seats) in [(3840, 15), (100_000, 50)] {
        let plan = small_plan(rows, seats);
        let mut sale = sale(&plan, |config| config.max_seats_per_buyer = 4);
        let half = plan.capacity() / 4;
        for (n, seat) in (0..half).step_by(3).enumerate() {
            run(&mut sale, &hold(n as u64, Selection::These([SeatIndex(seat as u32)].as_slice().into())), START);
        }
        let request = hold(u64::MAX / 2, Selection::best(CategoryIndex(0), 4));
        group.bench_function(BenchmarkId::new("four together", plan.capacity()), |bencher| {
            bencher.iter(|| {
                let decision = sale.decide(black_box(&request), START, EPOCH).expect("there are some");
                assert_eq!(decision.facts.len(), 1);
                decision
            });
        });
    }
    group.finish();
}

fn waiting(crowd: u64, rate: u32) -> Sale {
    let plan = small_plan(100, 50);
    let mut sale = sale(&plan, |config| {
        config.admission.required = true;
        config.admission.capacity = 10_000_000;
        config.admission.rate_per_second = rate;
    });
    for n in 0..crowd {
        run(&mut sale, &Command::Enter { buyer: buyer(n) }, START - Duration::from_millis(500));
    }
    assert_eq!(sale.steering().expect("configured").waiting, crowd);
    sale
}

fn line(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("line");
    for crowd in [1_000, 50_000, 1_000_000] {
        let base = waiting(crowd, 100_000);
        group.bench_function(BenchmarkId::new("rank", crowd), |bencher| {
            let mut n = 0;
            bencher.iter(|| {
                n = (n + 7919) % crowd;
                let place = base.place(buyer(n), START).expect("waits");
                assert_eq!(place.status, PlaceStatus::Waiting { rank: n + 1 });
                place
            });
        });
        group.bench_function(BenchmarkId::new("enter", crowd), |bencher| {
            bencher.iter_batched_ref(
                || (base.clone(), crowd),
                |(sale, n)| {
                    for _ in 0..100 {
                        *n += 1;
                        black_box(run(sale, &Command::Enter { buyer: buyer(*n) }, START));
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("leave", crowd), |bencher| {
            bencher.iter_batched_ref(
                || base.clone(),
                |sale| {
                    for n in 0..100 {
                        assert_eq!(run(sale, &Command::Leave { buyer: buyer(n * (crowd / 100)) }, START), 1);
                    }
                },
                BatchSize::PerIteration,
            );
        });
        group.bench_function(BenchmarkId::new("tick", crowd), |bencher| {
            let mut sale = base.clone();
            let mut now = START;
            bencher.iter_custom(|rounds| {
                let mut spent = Duration::ZERO;
                for _ in 0..rounds {
                    if sale.steering().expect("configured").waiting == 0 {
                        (sale, now) = (base.clone(), START);
                    }
                    now = now + Duration::from_micros(10);
                    let began = std::time::Instant::now();
                    let facts = run(&mut sale, &Command::Tick, now);
                    spent += began.elapsed();
                    assert_eq!(facts, 1, "one admission each ten microseconds");
                }
                spent
            });
        });
    }
    group.finish();
}

/// The opening of a sale with a draw: freezing the cohort and putting it in its order, each of them one turn.
fn draw(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("draw");
    for crowd in [1_000, 50_000, 1_000_000] {
        let plan = small_plan(100, 50);
        let mut base = sale(&plan, |config| {
            config.admission.required = true;
            config.admission.capacity = 10_000_000;
            config.admission.draw = true;
        });
        run(&mut base, &Command::CommitDraw { seed: DrawSeed([7; 32]) }, START - Duration::from_secs(1));
        for n in 0..crowd {
            run(&mut base, &Command::Enter { buyer: buyer(n) }, START - Duration::from_millis(500));
        }
        group.bench_function(BenchmarkId::new("freeze and draw", crowd), |bencher| {
            bencher.iter_batched_ref(
                || base.clone(),
                |sale| {
                    assert_eq!(run(sale, &Command::Tick, START), 1, "frozen");
                    assert_eq!(run(sale, &Command::Tick, START), 1, "drawn");
                    assert!(sale.draw().and_then(|draw| draw.view().seed).is_some());
                },
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

/// Applies an already decided fact: what replay costs.
fn replay(criterion: &mut Criterion) {
    let plan = small_plan(3840, 15);
    let mut decided = sale(&plan, |_| {});
    let entries: Vec<Entry> = (0..20_000_u64)
        .map(|n| {
            let seats = [SeatIndex(n as u32 * 2), SeatIndex(n as u32 * 2 + 1)];
            let command = hold(n, Selection::These(seats.as_slice().into()));
            let fact = decided.decide(&command, START, EPOCH).expect("free").facts.remove(0);
            let entry = Entry { seq: decided.seq().next(), epoch: EPOCH, at: START, trace: None, fact };
            decided.apply(&entry);
            entry
        })
        .collect();
    let (base, mut group) = (sale(&plan, |_| {}), criterion.benchmark_group("replay"));
    group.throughput(criterion::Throughput::Elements(entries.len() as u64));
    group.bench_function("20000 holds", |bencher| {
        bencher.iter_batched_ref(
            || base.clone(),
            |sale| entries.iter().for_each(|entry| sale.apply(entry)),
            BatchSize::PerIteration,
        );
    });
    group.finish();
    assert!(matches!(entries[0].fact, Fact::SeatsHeld { .. }));
    black_box(Ordinal(0));
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
}

criterion_group! { name = domain; config = config(); targets = holds, bare_array, best_seats, line, draw, replay }
criterion_main!(domain);

//! More events: holds spread over all of them, over HTTP, and the memory that an idle one takes beyond its seats.

use super::house::House;
use super::seats::{CONNECTIONS, HoldAndGiveBack};
use super::{GrowthError, Row, Settings, TIMES, Table, median, part};
use crate::http1::drive;
use crate::in_process::{EngineError, open_sale};
use crate::scene::Hall;
use onsale_engine::id::EventId;
use onsale_engine::plan::Plan;
use onsale_server::app::App;
use stats_alloc::Stats;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Seats of each event: enough pairs that nobody meets.
const SEATS: u64 = 1000;
/// Seats of the hall that memory is compared with, so that what seats take can be subtracted.
const OTHER_SEATS: u64 = 4000;
/// Events made at the same time.
const TOGETHER: u64 = 64;
/// How often, and how many times, is checked whether memory is still freed, and how much of it counts as none.
const CHECK_EVERY: Duration = Duration::from_secs(1);
const CHECKS: u32 = 30;
const SETTLED: u64 = 20_000;

/// Holds with more and more events.
pub(super) async fn over_http(settings: &Settings) -> Result<Table, GrowthError> {
    let house = House::start(&settings.dir, "events").await?;
    let hall = house.scene.hall(SEATS).await?;
    let plan = plan_of(&house, &hall).await?;
    let times = settings.thousands * 1000;
    let (mut events, mut holds) = (Vec::new(), Vec::new());
    for &count in &settings.events {
        let more = count.saturating_sub(events.len() as u64);
        events.extend(make(&house.app, &plan, more).await?);
        let work = Arc::new(HoldAndGiveBack::new(&house.scene, &hall, events.clone()));
        let mut figures = Vec::new();
        for _ in 0..TIMES {
            house.catch_up().await?;
            let took = drive(house.address, CONNECTIONS, times, &work).await?;
            figures.push(times as f64 / took.as_secs_f64());
        }
        holds.push(Row { size: count, figure: median(figures) });
    }
    house.end().await?;
    let measured = "holds/s over HTTP spread over all, each given back";
    Ok(Table { grows: "events", measured, more_is_better: true, stays: true, rows: holds })
}

/// Bytes of an idle event without those of its seats, which are found with as many events in a larger hall: what
/// the process' allocator counts more when there are twice as many, so that what grows by doubling has doubled in between.
/// Whatever else the process allocates meanwhile counts, too.
///
/// # Errors
/// See [`GrowthError`]; also when what is allocated does not become steady.
pub async fn idle(dir: &Path, events: u64, counted: impl Fn() -> Stats) -> Result<Table, GrowthError> {
    let (mut seats, mut bytes) = (Vec::new(), Vec::new());
    for size in [SEATS, OTHER_SEATS] {
        let house = House::start(dir, "idle").await?;
        let hall = house.scene.hall(size).await?;
        let plan = plan_of(&house, &hall).await?;
        make(&house.app, &plan, events).await?;
        let before = settled(&house, &counted).await?;
        make(&house.app, &plan, events).await?;
        bytes.push(settled(&house, &counted).await?.saturating_sub(before) as f64 / events as f64);
        seats.push((hall.pairs() * 2) as f64);
        house.end().await?;
    }
    let each_seat = (bytes[1] - bytes[0]) / (seats[1] - seats[0]);
    let measured = "bytes of an idle event beyond its seats (target: under 4,096)";
    let rows = vec![Row { size: events, figure: bytes[0] - each_seat * seats[0] }];
    Ok(Table { grows: "events", measured, more_is_better: false, stays: false, rows })
}

/// What is allocated when tables are caught up and nothing more is given back.
async fn settled(house: &House, counted: &impl Fn() -> Stats) -> Result<u64, GrowthError> {
    house.catch_up().await?;
    let allocated = || {
        let stats = counted();
        stats.bytes_allocated.saturating_sub(stats.bytes_deallocated) as u64
    };
    let mut now = allocated();
    for _ in 0..CHECKS {
        tokio::time::sleep(CHECK_EVERY).await;
        let before = std::mem::replace(&mut now, allocated());
        if before.abs_diff(now) < SETTLED {
            return Ok(now);
        }
    }
    Err(GrowthError::Part("what is allocated does not become steady".into()))
}

/// The compiled plan of a hall: that of an event in it.
async fn plan_of(house: &House, hall: &Hall) -> Result<Arc<Plan>, GrowthError> {
    let event = EventId(house.scene.open_event(hall).await?.parse().map_err(part)?);
    let sale = house.app.engine.sale(event).ok_or_else(|| GrowthError::Part("the event has no sale".into()))?;
    let plan = sale.view().plan().map(Arc::clone);
    plan.ok_or_else(|| GrowthError::Part("the event has no hall".into()))
}

/// Makes so many sales, through the engine.
async fn make(app: &Arc<App>, plan: &Arc<Plan>, count: u64) -> Result<Vec<String>, GrowthError> {
    let mut made = Vec::new();
    let mut left = count;
    while left > 0 {
        let now = left.min(TOGETHER);
        let tasks: Vec<_> = (0..now)
            .map(|_| {
                let (app, plan) = (Arc::clone(app), Arc::clone(plan));
                tokio::spawn(async move {
                    let sale = open_sale(&app.engine, &plan, app.clock.now()).await?;
                    Ok::<_, EngineError>(sale.event().to_string())
                })
            })
            .collect();
        for task in tasks {
            made.push(task.await.map_err(part)??);
        }
        left -= now;
    }
    Ok(made)
}

//! More events: holds spread over all of them, over HTTP, and the memory that an idle one takes beyond its seats.

use super::house::House;
use super::seats::{CONNECTIONS, HoldAndGiveBack};
use super::{GrowthError, Row, Settings, TIMES, Table, median, part};
use crate::http1::drive;
use crate::in_process::{EngineError, rules};
use crate::machine::resident_bytes;
use crate::scene::{Hall, buyer};
use onsale_engine::id::EventId;
use onsale_engine::plan::Plan;
use onsale_engine::sale::Command;
use onsale_server::app::App;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Seats of each event: enough pairs that nobody meets.
const SEATS: u64 = 1000;
/// Seats of the hall that memory is compared with, so that what seats take can be told apart.
const OTHER_SEATS: u64 = 4000;
/// Events made at the same time.
const TOGETHER: u64 = 64;
/// When the allocator has given unused memory back.
const GIVEN_BACK_AFTER: Duration = Duration::from_secs(3);
const PATIENCE: Duration = Duration::from_secs(30);

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

/// Bytes of an idle event without those of its seats, which are told apart by as many events in a larger hall. To be
/// measured first in a process: what was freed before would be used again, and not be counted.
pub(super) async fn idle(settings: &Settings) -> Result<Table, GrowthError> {
    let house = House::start(&settings.dir, "idle").await?;
    let most = settings.events.iter().copied().max().unwrap_or(1).max(TOGETHER);
    let (mut seats, mut bytes) = (Vec::new(), Vec::new());
    for size in [SEATS, OTHER_SEATS] {
        let hall = house.scene.hall(size).await?;
        let plan = plan_of(&house, &hall).await?;
        // What is needed once, however many events there are.
        make(&house.app, &plan, TOGETHER).await?;
        let before = settled(&house).await?;
        make(&house.app, &plan, most).await?;
        bytes.push(settled(&house).await?.saturating_sub(before) as f64 / most as f64);
        seats.push((hall.pairs() * 2) as f64);
    }
    house.end().await?;
    let each_seat = ((bytes[1] - bytes[0]) / (seats[1] - seats[0])).max(0.0);
    let measured = "bytes of an idle event beyond its seats (target: under 4,096)";
    let rows = vec![Row { size: most, figure: bytes[0] - each_seat * seats[0] }];
    Ok(Table { grows: "events", measured, more_is_better: false, stays: false, rows })
}

/// Bytes in memory when tables are caught up and what they took has been given back.
async fn settled(house: &House) -> Result<u64, GrowthError> {
    house.catch_up().await?;
    tokio::time::sleep(GIVEN_BACK_AFTER).await;
    Ok(resident_bytes()?)
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
                    let sale = app.engine.open(EventId(Uuid::now_v7())).await?;
                    let config = Box::new(rules(app.clock.now(), &plan));
                    let configure = Command::Configure { config, plan, by: buyer(u64::MAX) };
                    sale.ask(configure, app.clock.now() + PATIENCE).await?;
                    Ok(sale.event().to_string())
                })
            })
            .collect();
        for task in tasks {
            made.push(task.await.map_err(part)?.map_err(EngineError::Refused)?);
        }
        left -= now;
    }
    Ok(made)
}

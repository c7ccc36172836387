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
const PATIENCE: Duration = Duration::from_secs(30);

/// Holds with more and more events; and bytes for each idle event beyond its seats.
pub(super) async fn over_http(settings: &Settings) -> Result<(Table, Table), GrowthError> {
    let house = House::start(&settings.dir, "events").await?;
    let hall = house.scene.hall(SEATS).await?;
    let plan = plan_of(&house, &hall).await?;
    let times = settings.thousands * 1000;
    let (mut events, mut holds, mut memory) = (Vec::new(), Vec::new(), Vec::new());
    for &count in &settings.events {
        let before = resident_bytes()?;
        let more = count.saturating_sub(events.len() as u64);
        events.extend(make(&house.app, &plan, more).await?);
        if more >= TOGETHER {
            let per_event = resident_bytes()?.saturating_sub(before) as f64 / more as f64;
            memory.push((count, per_event));
        }
        let work = Arc::new(HoldAndGiveBack::new(&house.scene, &hall, events.clone()));
        let mut figures = Vec::new();
        for _ in 0..TIMES {
            let took = drive(house.address, CONNECTIONS, times, &work).await?;
            figures.push(times as f64 / took.as_secs_f64());
        }
        holds.push(Row { size: count, figure: median(figures) });
    }
    let beyond = beyond_seats(&house, settings, memory).await?;
    house.end().await?;
    let table =
        |measured, more_is_better, stays, rows| Table { grows: "events", measured, more_is_better, stays, rows };
    Ok((
        table("holds/s over HTTP spread over all, each given back", true, true, holds),
        table("bytes of an idle event beyond its seats (target: under 4,096)", false, false, beyond),
    ))
}

/// Takes away what seats need: found from as many events with a larger hall.
async fn beyond_seats(house: &House, settings: &Settings, small: Vec<(u64, f64)>) -> Result<Vec<Row>, GrowthError> {
    let most = settings.events.iter().copied().max().unwrap_or(1).max(TOGETHER);
    let hall = house.scene.hall(OTHER_SEATS).await?;
    let plan = plan_of(house, &hall).await?;
    let before = resident_bytes()?;
    make(&house.app, &plan, most).await?;
    let large = resident_bytes()?.saturating_sub(before) as f64 / most as f64;
    let (few, many) = (SEATS as f64, (hall.pairs() * 2) as f64);
    let rows = small.into_iter().map(|(size, bytes)| {
        let each_seat = ((large - bytes) / (many - few)).max(0.0);
        Row { size, figure: bytes - each_seat * few }
    });
    Ok(rows.collect())
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

//! Longer lines: status reads of places all along them, over HTTP.

use super::house::House;
use super::seats::CONNECTIONS;
use super::{GrowthError, Row, Settings, TIMES, Table, median, part};
use crate::http1::{Connection, Work, drive, unexpected};
use crate::scene::{buyer, status_request};
use onsale_engine::id::EventId;
use onsale_engine::runtime::{Refusal, SaleHandle};
use onsale_engine::sale::Command;
use onsale_engine::time::Timestamp;
use onsale_server::app::App;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Seats of the hall; nobody buys any.
const SEATS: u64 = 1000;
/// Different tokens that read, whatever the crowd: a short line's buyers have several each, so that no line is
/// read with tokens that are cached more often.
const TOKENS: u64 = 50_000;
/// Buyers who enter at the same time.
const ENTERING: u64 = 4096;
const TIMEOUT: Duration = Duration::from_secs(10);

/// Reads one's place.
struct StatusReads(Vec<Vec<u8>>);

impl Work for StatusReads {
    async fn step(&self, connection: &mut Connection, n: u64) -> io::Result<()> {
        let answer = connection.call(&self.0[(n % TOKENS) as usize]).await?;
        if answer.status == 200 { Ok(()) } else { Err(unexpected(&answer, 200)) }
    }
}

/// Lines of several lengths behind one server, alternating.
pub(super) async fn over_http(settings: &Settings) -> Result<Table, GrowthError> {
    let house = House::start(&settings.dir, "crowd").await?;
    let hall = house.scene.hall(SEATS).await?;
    let (mut works, mut first) = (Vec::new(), 0);
    for crowd in &settings.crowds {
        let event = house.scene.queued_event(&hall).await?;
        fill(&house.app, &event, first, *crowd).await?;
        // Every stretch of the line is read; the step has no divisor in common with round numbers.
        let read = |n: u64| status_request(&event, &house.scene.token(buyer(first + n.wrapping_mul(7919) % crowd)));
        works.push(Arc::new(StatusReads((0..TOKENS).map(read).collect())));
        first += crowd;
    }
    let times = settings.thousands * 2000;
    let mut figures = vec![Vec::new(); works.len()];
    for _ in 0..TIMES {
        for (work, figures) in works.iter().zip(&mut figures) {
            let took = drive(house.address, CONNECTIONS, times, work).await?;
            figures.push(times as f64 / took.as_secs_f64());
        }
    }
    house.end().await?;
    let rows = settings.crowds.iter().zip(figures).map(|(size, figures)| Row { size: *size, figure: median(figures) });
    let rows = rows.collect();
    Ok(Table { grows: "waiting", measured: "status reads/s over HTTP", more_is_better: true, stays: true, rows })
}

/// Lets `count` buyers into the line of an event, through the engine.
async fn fill(app: &Arc<App>, event: &str, first: u64, count: u64) -> Result<(), GrowthError> {
    let event = EventId(event.parse().map_err(part)?);
    let sale = app.engine.sale(event).ok_or_else(|| GrowthError::Part("the event has no sale".into()))?;
    let next = Arc::new(AtomicU64::new(first));
    let tasks: Vec<_> = (0..ENTERING.min(count))
        .map(|_| {
            let (sale, next, clock) = (Arc::clone(&sale), Arc::clone(&next), Arc::clone(&app.clock));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= first + count {
                        return Ok::<(), Refusal>(());
                    }
                    enter(&sale, n, clock.now() + TIMEOUT).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(part)?.map_err(|refusal| GrowthError::Part(format!("{refusal:?}")))?;
    }
    Ok(())
}

async fn enter(sale: &Arc<SaleHandle>, n: u64, deadline: Timestamp) -> Result<(), Refusal> {
    sale.ask(Command::Enter { buyer: buyer(n) }, deadline).await.map(drop)
}

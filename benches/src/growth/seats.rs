//! Larger halls: holds of scattered pairs, each given back, over HTTP and in this process.

use super::house::House;
use super::{GrowthError, Row, Settings, TIMES, Table, median};
use crate::http1::{Connection, Work, drive, request, unexpected};
use crate::in_process;
use crate::scene::{Hall, Scene, buyer, hold_request};
use onsale_engine::fakes::small_plan;
use std::io;
use std::sync::Arc;

/// Connections.
pub(super) const CONNECTIONS: usize = 64;
/// Holds in flight in this process.
const IN_FLIGHT: u64 = 1024;
/// Buyers, round-robin; more than connections, so that none is at work twice.
const BUYERS: u64 = 4096;
/// Seats in a row of a hall in this process.
const SEATS_PER_ROW: u64 = 50;

/// Holds a pair and gives it back.
pub(super) struct HoldAndGiveBack {
    hall: Hall,
    events: Vec<String>,
    tokens: Vec<String>,
}

impl HoldAndGiveBack {
    pub(super) fn new(scene: &Scene, hall: &Hall, events: Vec<String>) -> Self {
        Self { hall: hall.clone(), events, tokens: (0..BUYERS).map(|n| scene.token(buyer(n))).collect() }
    }
}

impl Work for HoldAndGiveBack {
    async fn step(&self, connection: &mut Connection, n: u64) -> io::Result<()> {
        let token = &self.tokens[(n % BUYERS) as usize];
        let event = &self.events[(n % self.events.len() as u64) as usize];
        let pair = (n / self.events.len() as u64).wrapping_mul(7919) % self.hall.pairs();
        let answer = connection.call(&hold_request(&self.hall, event, pair, token)).await?;
        if answer.status != 201 {
            return Err(unexpected(&answer, 201));
        }
        let reservation = reservation_id(answer.body).ok_or_else(|| io::Error::other("a hold without an id"))?;
        let path = format!("/api/v1/reservations/hold/{reservation}");
        let answer = connection.call(&request("DELETE", &path, token)).await?;
        if answer.status == 204 { Ok(()) } else { Err(unexpected(&answer, 204)) }
    }
}

fn reservation_id(body: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let (_, rest) = text.split_once(r#""reservationId":""#)?;
    rest.split_once('"').map(|(id, _)| id.to_owned())
}

/// Halls behind one server, alternating.
pub(super) async fn over_http(settings: &Settings) -> Result<Table, GrowthError> {
    let house = House::start(&settings.dir, "halls").await?;
    let times = settings.thousands * 1000;
    let mut works = Vec::new();
    for seats in &settings.halls {
        let hall = house.scene.hall(*seats).await?;
        let event = house.scene.open_event(&hall).await?;
        works.push(Arc::new(HoldAndGiveBack::new(&house.scene, &hall, vec![event])));
    }
    let mut figures = vec![Vec::new(); works.len()];
    for _ in 0..TIMES {
        for (work, figures) in works.iter().zip(&mut figures) {
            house.catch_up().await?;
            let took = drive(house.address, CONNECTIONS, times, work).await?;
            figures.push(times as f64 / took.as_secs_f64());
        }
    }
    house.end().await?;
    Ok(table("holds/s over HTTP, each given back", &settings.halls, figures))
}

/// Halls of any size, each with an engine of its own on the SQLite journal.
pub(super) async fn in_process(settings: &Settings) -> Result<Table, GrowthError> {
    let times = settings.thousands * 4000;
    let mut figures = vec![Vec::new(); settings.large_halls.len()];
    for round in 0..TIMES {
        for (seats, figures) in settings.large_halls.iter().zip(&mut figures) {
            let plan = small_plan(seats.div_ceil(SEATS_PER_ROW) as usize, SEATS_PER_ROW as usize);
            let data = settings.dir.join(format!("large-{seats}-{round}"));
            let ports = in_process::ports(&data, std::slice::from_ref(&plan)).map_err(in_process::EngineError::from)?;
            let house = in_process::House::open(ports, &plan).await?;
            let took = house.holds(times, IN_FLIGHT, true).await?;
            figures.push(times as f64 / took.as_secs_f64());
            house.engine.stop().await;
            drop(house);
            std::fs::remove_dir_all(&data)?;
        }
    }
    Ok(table("holds/s in process, each given back, 1,024 in flight", &settings.large_halls, figures))
}

fn table(measured: &'static str, sizes: &[u64], figures: Vec<Vec<f64>>) -> Table {
    let rows = sizes.iter().zip(figures).map(|(size, figures)| Row { size: *size, figure: median(figures) });
    Table { grows: "seats", measured, more_is_better: true, stays: true, rows: rows.collect() }
}

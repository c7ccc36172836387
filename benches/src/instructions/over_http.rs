//! The hot path as its callers pay for it: a request's bytes in, an answer's bytes out. Everything of the server is the real
//! thing, the log and SQLite's directory too, but that the connection is in memory, the clock stands, and actors and journal
//! take their turns on this thread: callgrind counts a thread, and a turn is the same each time.

use super::{CountError, LINE, Outcomes, counted};
use crate::http1::{Connection, request_with};
use crate::process::JWT_SECRET;
use crate::scene::{Hall, buyer, event_json, hall_json, hold_request, slow_admission, status_request, venue_json};
use onsale_engine::fakes::FakeClock;
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::ports::Clock;
use onsale_engine::ports::accounts::Role;
use onsale_engine::runtime::{ByHand, Engine, NextStep};
use onsale_engine::sale::Command;
use onsale_engine::time::Timestamp;
use onsale_server::app::App;
use onsale_server::config::Config;
use onsale_server::http::{Limits, Listener, Pipeline, Router, Tuning, Workers};
use onsale_server::logging::{self, Log};
use onsale_server::{server, wiring};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::convert::Infallible;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use tokio::io::DuplexStream;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinHandle, yield_now};
use tokio_util::sync::CancellationToken;

/// When all of it happens.
const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);
/// From where the connection seems to come.
const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// Bytes that one side of the connection may be ahead of the other: more than any request or answer here.
const IN_MEMORY: usize = 64 * 1024;
/// The hall: 20,000 seats.
const ROWS: u64 = 200;
const SEATS_PER_ROW: u64 = 100;
/// Buyers who enter at the same time, and how long they wait.
const ENTERING: u64 = 500;
const TIMEOUT: Duration = Duration::from_secs(10);
/// A prime: it scatters pairs and places, each once, before one comes again.
const STEP: u64 = 7919;
/// Rounds before those that are counted: what is made at the first use is made.
const WARM_UP: u64 = 50;

/// A whole server on one thread, and a client's connection to it.
struct Desk {
    /// First, so that it is dropped first: a process that dies answers nobody.
    runtime: Runtime,
    hands: ByHand,
    connection: Connection<DuplexStream>,
    app: Arc<App>,
    admin: String,
    _serving: JoinHandle<()>,
    _log: Log,
    _data: TempDir,
}

/// Any error while the stage is set.
type Mistake = Box<dyn std::error::Error + Send + Sync>;

impl Desk {
    fn open() -> Result<Self, Mistake> {
        let runtime = Builder::new_current_thread().enable_time().build()?;
        let beside = std::env::current_exe()?;
        let data = tempfile::Builder::new()
            .prefix("onsale-instructions-")
            .tempdir_in(beside.parent().unwrap_or(Path::new(".")))?;
        let config = config(data.path())?;
        let log = logging::start(&config.log)?;
        let clock: Arc<dyn Clock> = Arc::new(FakeClock::at(NOW));
        let draining = CancellationToken::new();
        let tuning = Tuning {
            request_timeout: config.server.request_timeout,
            log_one_in: config.log.access_one_in,
            slow: config.log.slow,
        };
        let pipeline = Pipeline::new(Router::new(server::routes())?, Arc::clone(&clock), tuning, draining.clone());
        let pipeline = Arc::new(pipeline);
        let (app, hands) = runtime.block_on(wire(&config, clock, &pipeline, draining.clone()))?;
        pipeline.open(Arc::clone(&app));
        let limits = Limits {
            connections: 1,
            connections_per_address: 1,
            proxies: None,
            head: config.server.head_timeout,
            idle: config.server.idle_timeout,
        };
        let listener = Listener::new(pipeline, limits, Workers::start()?, draining);
        let (ours, theirs) = tokio::io::duplex(IN_MEMORY);
        let serving = runtime.spawn(async move { listener.serve(theirs, PEER).await });
        let admin = token(&app, buyer(u64::MAX), Role::Admin)?;
        let connection = Connection::over(ours);
        Ok(Self { runtime, hands, connection, app, admin, _serving: serving, _log: log, _data: data })
    }

    /// Sends a request; answers the status and, if it is wanted, the body.
    fn call<T>(&mut self, request: &[u8], read: impl FnOnce(u16, &[u8]) -> T) -> io::Result<T> {
        let Self { runtime, hands, connection, .. } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                answer = connection.call(request) => answer.map(|answer| read(answer.status, answer.body)),
                never = take_turns(hands) => match never {},
            }
        })
    }

    fn made(&mut self, path: &str, body: &Value) -> Result<String, Mistake> {
        let request = request_with("POST", path, &self.admin, &body.to_string());
        let (status, body) = self.call(&request, |status, body| (status, body.to_vec()))?;
        let json: Value = serde_json::from_slice(&body)?;
        match (status, json["id"].as_str()) {
            (201, Some(id)) => Ok(id.to_owned()),
            _ => Err(format!("{path}: {status}: {json}").into()),
        }
    }

    /// A hall, and an event in it that is on sale with these rules of admission.
    fn event(&mut self, admission: Value) -> Result<(Hall, String), Mistake> {
        let venue = self.made("/api/v1/venues", &venue_json())?;
        let hall = self.made(&format!("/api/v1/venues/{venue}/halls"), &hall_json(ROWS, SEATS_PER_ROW))?;
        let hall = Hall { id: hall, seats_per_row: SEATS_PER_ROW, rows: ROWS };
        let now = jiff::Timestamp::from_second(NOW.0.div_euclid(1_000_000))?;
        let event = self.made("/api/v1/events", &event_json(&hall, now, now, admission))?;
        Ok((hall, event))
    }

    /// A buyer's token, one that the server has seen before.
    fn known_token(&self, n: u64) -> Result<String, Mistake> {
        let token = token(&self.app, buyer(n), Role::User)?;
        self.app.tokens.verify(&token, NOW).map_err(|fault| format!("{fault:?}"))?;
        Ok(token)
    }

    /// Lets buyers into the line of an event, through the engine.
    fn fill(&mut self, event: &str, count: u64) -> Result<(), Mistake> {
        let sale = self.app.engine.sale(EventId(event.parse()?)).ok_or("the event has no sale")?;
        for first in (0..count).step_by(ENTERING as usize) {
            let numbers = first..count.min(first + ENTERING);
            let entering: Vec<_> = numbers
                .map(|n| {
                    let sale = Arc::clone(&sale);
                    let enter = async move { sale.ask(Command::Enter { buyer: buyer(n) }, NOW + TIMEOUT).await };
                    self.runtime.spawn(enter)
                })
                .collect();
            let all = async {
                for answer in entering {
                    answer.await?.map_err(|refusal| format!("{refusal:?}"))?;
                }
                Ok::<(), Mistake>(())
            };
            let hands = &mut self.hands;
            self.runtime.block_on(async {
                tokio::select! {
                    biased;
                    entered = all => entered,
                    never = take_turns(hands) => match never {},
                }
            })?;
        }
        Ok(())
    }

    /// Sends all requests, the first ones without being counted.
    fn send_all(
        mut self,
        path: &'static str,
        requests: &[Vec<u8>],
        is_right: impl Fn(u64, u16, &[u8]) -> bool,
    ) -> Result<(), CountError> {
        let mut send = |numbers: std::ops::Range<u64>| {
            let mut outcomes = Outcomes::default();
            for n in numbers {
                let read = |status: u16, body: &[u8]| {
                    let right = is_right(n, status, body);
                    (right, (!right).then(|| format!("{status}: {}", String::from_utf8_lossy(body))))
                };
                match self.call(&requests[n as usize], read) {
                    Ok((right, seen)) => outcomes.note(right, || seen.unwrap_or_default()),
                    Err(error) => outcomes.note(false, || error.to_string()),
                }
            }
            outcomes
        };
        let all = requests.len() as u64;
        let warm_up = WARM_UP.min(all / 2);
        send(0..warm_up).all(path, warm_up)?;
        counted(&mut || send(warm_up..all)).all(path, all - warm_up)
    }
}

/// Actors and the journal take their turns whenever everything else waits.
async fn take_turns(hands: &mut ByHand) -> Infallible {
    loop {
        for actor in hands.woken() {
            hands.turn(actor);
        }
        while hands.next_step() != NextStep::Nothing {
            hands.step();
        }
        yield_now().await;
    }
}

/// The application, as the server opens it, on an engine without threads.
async fn wire(
    config: &Config,
    clock: Arc<dyn Clock>,
    pipeline: &Pipeline,
    draining: CancellationToken,
) -> Result<(Arc<App>, ByHand), Mistake> {
    let handed = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&handed);
    let start = move |ports, settings, tokio: Handle| {
        let (engine, hands) = Engine::by_hand(ports, settings, tokio)?;
        *keep.lock() = Some(hands);
        Ok(engine)
    };
    let app = wiring::open_with(config, clock, Arc::clone(pipeline.metrics()), draining, start).await?;
    let hands = handed.lock().take().ok_or("the engine was not started")?;
    Ok((app, hands))
}

/// Every key as it is by default, but for where the data lie, the secret, and that nothing comes too late: under valgrind
/// everything takes fifty times as long.
fn config(dir: &Path) -> Result<Config, Mistake> {
    let file = dir.join("config.toml");
    std::fs::write(&file, "")?;
    let settings: [(&str, OsString); 5] = [
        ("ONSALE__STORAGE__PATH", dir.join("data").into()),
        ("ONSALE__AUTH__JWT_SECRET", JWT_SECRET.into()),
        ("ONSALE__SERVER__REQUEST_TIMEOUT_MS", "60000".into()),
        ("ONSALE__SERVER__HEAD_TIMEOUT_MS", "60000".into()),
        ("ONSALE__LOG__SLOW_MS", "0".into()),
    ];
    Ok(Config::load(Some(&file), settings.map(|(name, value)| (OsString::from(name), value)))?)
}

fn token(app: &App, buyer: BuyerId, role: Role) -> Result<String, Mistake> {
    let minted = app.tokens.mint(buyer, role, NOW).map_err(|problem| problem.detail().to_owned())?;
    Ok(minted.token)
}

/// A stage with an event, and its requests.
fn staged(
    path: &'static str,
    requests: impl FnOnce(&mut Desk) -> Result<Vec<Vec<u8>>, Mistake>,
) -> Result<(Desk, Vec<Vec<u8>>), CountError> {
    let stage = |mistake: Mistake| CountError::Stage(path, mistake.to_string());
    let mut desk = Desk::open().map_err(stage)?;
    let requests = requests(&mut desk).map_err(stage)?;
    Ok((desk, requests))
}

/// Two seats side by side for buyer after buyer.
pub(super) fn hold(path: &'static str, times: u64) -> Result<(), CountError> {
    let (desk, requests) = staged(path, |desk| {
        let (hall, event) = desk.event(json!({ "required": false }))?;
        let pair = |n: u64| n * STEP % hall.pairs();
        (0..times + WARM_UP).map(|n| Ok(hold_request(&hall, &event, pair(n), &desk.known_token(n)?))).collect()
    })?;
    desk.send_all(path, &requests, |_, status, body| status == 201 && contains(body, "\"status\":\"PENDING\""))
}

/// Seats that others have.
pub(super) fn refused_hold(path: &'static str, times: u64) -> Result<(), CountError> {
    let (desk, requests) = staged(path, |desk| {
        let (hall, event) = desk.event(json!({ "required": false }))?;
        let pairs = hall.pairs() / 2;
        let pair = |n: u64| n % pairs * STEP % hall.pairs();
        for n in 0..pairs.min(times + WARM_UP) {
            let request = hold_request(&hall, &event, pair(n), &desk.known_token(n)?);
            let status = desk.call(&request, |status, _| status)?;
            if status != 201 {
                return Err(format!("a hold was answered {status}").into());
            }
        }
        (0..times + WARM_UP).map(|n| Ok(hold_request(&hall, &event, pair(n), &desk.known_token(pairs + n)?))).collect()
    })?;
    desk.send_all(path, &requests, |_, status, body| status == 409 && contains(body, "SEAT_UNAVAILABLE"))
}

/// One's place, all along the line. The clock stands, so the first buyer is let in and nobody after.
pub(super) fn status(path: &'static str, times: u64) -> Result<(), CountError> {
    let place = |n: u64| n * STEP % LINE + 1;
    let (desk, requests) = staged(path, |desk| {
        let (_, event) = desk.event(slow_admission())?;
        desk.fill(&event, LINE + 1)?;
        (0..times + WARM_UP).map(|n| Ok(status_request(&event, &desk.known_token(place(n))?))).collect()
    })?;
    desk.send_all(path, &requests, |n, status, body| {
        status == 200 && contains(body, &format!("\"rank\":{},", place(n)))
    })
}

/// Costs little beside what it reads: it is counted, too.
fn contains(body: &[u8], text: &str) -> bool {
    std::str::from_utf8(body).is_ok_and(|body| body.contains(text))
}

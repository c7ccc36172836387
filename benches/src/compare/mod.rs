//! The server beside its ceiling: holds, refused holds and status reads over HTTP, sent by the same load tool
//! with the same requests, alternating, to the whole server and to a bare one that answers as many bytes. Every hold is
//! synced before its answer, and afterwards the seats held are counted.

pub mod ceiling;
pub mod open_loop;
pub mod report;
mod stage;
pub mod wrk;

use crate::machine;
use crate::process::ProcessError;
use crate::scene::{SEATS_PER_HOLD, SceneError};
use report::{OpenLoop, Report, Row};
use stage::{Running, Stage};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wrk::Seen;

/// Syncs that the disk is tried with.
const SYNCS: usize = 500;
/// How long a ceiling may take to listen.
const CEILING_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no comparison.
#[derive(Debug, thiserror::Error)]
pub enum CompareError {
    /// The load tool did not run.
    #[error("wrk: {0}")]
    Wrk(String),
    /// What was measured is not what should have been.
    #[error("the run does not count: {0}")]
    Wrong(String),
    /// The server did not do as it should.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The stage could not be set.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The operating system returned an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is compared, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's binary.
    pub onsale: PathBuf,
    /// This tool's own binary, for the ceilings.
    pub myself: PathBuf,
    /// Where data lie, on the disk that is to be measured.
    pub dir: PathBuf,
    /// Seconds of one run.
    pub seconds: u64,
    /// Rounds.
    pub rounds: usize,
    /// Numbers of connections.
    pub connections: Vec<usize>,
    /// What is sent.
    pub scenarios: Vec<Scenario>,
    /// Threads of the load tool.
    pub threads: usize,
    /// Buyers in the line whose places are read.
    pub crowd: u64,
    /// Holds a second of the open loop; 0 leaves it out.
    pub open_rate: u64,
    /// Seconds of the open loop.
    pub open_seconds: u64,
    /// Connections of the open loop.
    pub open_connections: usize,
    /// Holds a second that the halls have seats for.
    pub most_per_second: u64,
}

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scenario {
    /// Two free seats, different ones for every buyer: 201.
    Hold,
    /// Two seats that are taken: 409, with an alternative.
    RefusedHold,
    /// The status of a place in a long line: 200.
    Status,
}

impl Scenario {
    /// In the order in which they are measured: what writes comes last.
    const ALL: [Self; 3] = [Self::Status, Self::RefusedHold, Self::Hold];

    /// Its name in the table.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Hold => "hold",
            Self::RefusedHold => "refused hold",
            Self::Status => "waiting-room status",
        }
    }

    /// The least and the intended ratio to the ceiling.
    #[must_use]
    pub fn bar(self, connections: usize) -> Option<(f64, f64)> {
        match (self, connections) {
            (Self::Hold, 256) => Some((0.50, 0.80)),
            (Self::Hold, 64) => Some((0.35, 0.65)),
            (Self::Status, _) => Some((0.80, 0.97)),
            (Self::Hold | Self::RefusedHold, _) => None,
        }
    }

    fn script(self, stage: &Stage) -> &Path {
        match self {
            Self::Hold => &stage.scripts.hold,
            Self::RefusedHold => &stage.scripts.refused,
            Self::Status => &stage.scripts.status,
        }
    }

    fn sample(self, stage: &Stage) -> &Path {
        match self {
            Self::Hold => &stage.samples.hold,
            Self::RefusedHold => &stage.samples.refused,
            Self::Status => &stage.samples.status,
        }
    }

    /// Whether every answer was the one that was asked for.
    fn check(self, seen: &Seen) -> Result<(), CompareError> {
        let refused = match self {
            Self::Hold | Self::Status => 0,
            Self::RefusedHold => seen.requests,
        };
        if seen.broken == 0 && seen.refused == refused && seen.requests > 0 {
            return Ok(());
        }
        Err(CompareError::Wrong(format!(
            "{}: {seen:?}, but {refused} refusals and nothing broken were expected",
            self.name()
        )))
    }
}

/// A bare server in a process of its own; killed when dropped.
struct Ceiling {
    child: Child,
    port: u16,
}

impl Ceiling {
    fn start(settings: &Settings, scenario: Scenario, stage: &Stage) -> Result<Self, CompareError> {
        let port = crate::process::free_port()?;
        let mut command = Command::new(&settings.myself);
        command.arg("ceiling").arg("--port").arg(port.to_string()).arg("--sample").arg(scenario.sample(stage));
        if scenario != Scenario::Status {
            command.arg("--parses");
        }
        let ceiling = Self { child: command.stdin(Stdio::null()).spawn()?, port };
        let until = Instant::now() + CEILING_TIMEOUT;
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until {
                return Err(CompareError::Wrong("a ceiling does not listen".into()));
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(ceiling)
    }
}

impl Drop for Ceiling {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Measures everything and reports progress.
///
/// # Errors
/// See [`CompareError`]; a run that does not count ends the comparison.
pub async fn run(settings: &Settings, progress: &mut impl Write) -> Result<Report, CompareError> {
    wrk::check()?;
    let sync = machine::sync_latency(&settings.dir, SYNCS)?;
    writeln!(progress, "setting the stage: halls, events, {} waiting …", settings.crowd)?;
    let stage = Stage::make(settings).await?;
    let mut rows = rows(settings);
    let ceilings = ceilings(settings, &stage)?;
    let mut behind = 0.0;
    for round in 1..=settings.rounds {
        for &connections in &settings.connections {
            let server = stage.start().await?;
            for (scenario, ceiling) in &ceilings {
                let (scenario, name) = (*scenario, scenario.name());
                let bare = measure(settings, scenario, &stage, (ceiling.port, ceiling.child.id()), connections)?;
                let whole = measure(settings, scenario, &stage, (server.port, server.server.id()), connections)?;
                scenario.check(&whole)?;
                let (ours, theirs) = (whole.per_second(), bare.per_second());
                writeln!(
                    progress,
                    "round {round}, {connections} connections, {name}: {ours:.0} req/s, ceiling {theirs:.0} req/s, ratio {:.2}",
                    ours / theirs
                )?;
                if scenario == Scenario::Hold {
                    behind = server.scene.metric("onsale_projection_lag_facts").await?;
                    // Those in flight when the load tool stopped may be held without anybody having read the answer.
                    count(&stage, &server, whole.requests, whole.requests + connections as u64).await?;
                }
                if let Some(row) =
                    rows.iter_mut().find(|row| (row.scenario, row.connections) == (scenario, connections))
                {
                    row.onsale.push(whole);
                    row.ceiling.push(bare);
                }
            }
            server.end()?;
        }
    }
    drop(ceilings);
    let open_loop = if settings.open_rate > 0 { Some(open(settings, &stage, progress).await?) } else { None };
    Ok(Report { processor: machine::processor(), sync, rows, open_loop, behind })
}

/// An empty row for each scenario and number of connections, in the table's order.
fn rows(settings: &Settings) -> Vec<Row> {
    let sorted = Scenario::ALL.into_iter().rev().filter(|scenario| settings.scenarios.contains(scenario));
    let pairs =
        sorted.flat_map(|scenario| settings.connections.iter().map(move |connections| (scenario, *connections)));
    let row = |(scenario, connections)| Row { scenario, connections, onsale: Vec::new(), ceiling: Vec::new() };
    pairs.map(row).collect()
}

/// A ceiling for each scenario, in the order of measuring.
fn ceilings(settings: &Settings, stage: &Stage) -> Result<Vec<(Scenario, Ceiling)>, CompareError> {
    let wanted = Scenario::ALL.into_iter().filter(|scenario| settings.scenarios.contains(scenario));
    wanted.map(|scenario| Ok((scenario, Ceiling::start(settings, scenario, stage)?))).collect()
}

/// One run against the process that listens on a port.
fn measure(
    settings: &Settings,
    scenario: Scenario,
    stage: &Stage,
    (port, process): (u16, u32),
    connections: usize,
) -> Result<Seen, CompareError> {
    let before = machine::processor_time(process)?;
    let threads = settings.threads.min(connections);
    let mut seen = wrk::run(scenario.script(stage), port, threads, connections, settings.seconds)?;
    let spent = machine::processor_time(process)?.saturating_sub(before);
    seen.processor_micros = spent.as_secs_f64() * 1e6 / seen.requests.max(1) as f64;
    Ok(seen)
}

/// Counts seats: as many holds as were answered, all within bounds, and no invariant broken.
async fn count(stage: &Stage, server: &Running, at_least: u64, at_most: u64) -> Result<(), CompareError> {
    let mut held = 0;
    for event in &stage.events {
        held += server.scene.held(event).await?;
    }
    let holds = held / SEATS_PER_HOLD;
    if !(at_least..=at_most).contains(&holds) || held % SEATS_PER_HOLD != 0 {
        let message = format!("{at_least} to {at_most} holds were answered, but {held} seats are held");
        return Err(CompareError::Wrong(message));
    }
    match server.scene.metric("onsale_invariant_violations").await? {
        0.0 => Ok(()),
        broken => Err(CompareError::Wrong(format!("{broken} invariants do not hold"))),
    }
}

async fn open(settings: &Settings, stage: &Stage, progress: &mut impl Write) -> Result<OpenLoop, CompareError> {
    let Settings { open_rate, open_seconds, open_connections, .. } = settings;
    writeln!(progress, "open loop: {open_rate} holds a second for {open_seconds} s …")?;
    let server = stage.start().await?;
    let requests = stage.hold_requests(&server.scene, open_rate * open_seconds);
    let sent = requests.len() as u64;
    let paced = open_loop::run(server.address(), *open_connections, *open_rate, requests, 201).await?;
    if (paced.expected, paced.others) != (sent, 0) {
        return Err(CompareError::Wrong(format!(
            "of {sent} holds {} were made and {} refused",
            paced.expected, paced.others
        )));
    }
    count(stage, &server, sent, sent).await?;
    server.end()?;
    let at = |share| paced.latency.value_at_quantile(share);
    Ok(OpenLoop {
        rate: *open_rate,
        held: sent,
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        max: paced.latency.max(),
    })
}

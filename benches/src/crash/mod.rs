//! `kill -9` under load: drives a real server from many connections, kills it at a random moment, starts it again on
//! the same data, and checks it against everything that it had acknowledged. Must never read its memory.

mod check;
mod database;
mod fault;
mod load;
mod model;
mod report;
mod stage;
mod whole;

pub use check::Findings;
pub use database::Storage;
pub use fault::Fault;
pub use model::Acknowledged;
pub use report::{Report, Trial, Verified};

use crate::process::{Launch, ProcessError, Server, copy_dir};
use check::{Depth, check_buyer};
use database::Databases;
use fault::Outage;
use load::{Role, Work, work};
use model::Buyer;
use onsale_server::client::CallError;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use stage::Stage;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use whole::{Notes, check_line, check_notes, check_seats, write_notes};

/// After a crash of the database only missing renewals show that the killed server is gone: so long is waited for them.
const LEASE_MILLIS: &str = "2000";
/// Tasks that check buyers at the same time.
const CHECKERS: usize = 16;

/// How the test runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The binary.
    pub onsale: PathBuf,
    /// Where data and logs go; kept if something was found.
    pub dir: PathBuf,
    /// How often the server is killed.
    pub trials: u32,
    /// What every die is thrown from.
    pub seed: u64,
    /// Buyers at the same time.
    pub connections: usize,
    /// The shortest and the longest time under load.
    pub uptime_millis: (u64, u64),
    /// Where the server keeps its data; Postgres and Redis suffer in their own ways meanwhile.
    pub storage: Storage,
    /// Done to the data of a killed server before it starts again: for the test that losses are noticed.
    pub tamper: Option<fn(&Path)>,
}

/// Why the test could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum CrashError {
    /// The server could not be started, killed or asked.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// A server that should live did not answer.
    #[error("a living server did not answer: {0}")]
    Call(#[from] CallError),
    /// Something that is needed for the test was refused.
    #[error("refused: {0}")]
    Stage(String),
    /// A task of the test failed.
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The report could not be written.
    #[error("the report could not be written: {0}")]
    Io(#[from] io::Error),
}

/// Runs every trial, writing the table row by row.
///
/// # Errors
/// See [`CrashError`]; what was lost is no error but in the report.
pub async fn run(settings: &Settings, out: &mut (dyn Write + Send)) -> Result<Report, CrashError> {
    let mut launch = Launch::new(&settings.onsale, &settings.dir)?;
    let databases = match settings.storage {
        Storage::Embedded => None,
        Storage::Postgres => {
            let databases = tokio::task::spawn_blocking(Databases::start).await?;
            let (postgres, redis) = databases.make();
            launch = launch.with("ONSALE__STORAGE__KIND", "postgres").with("ONSALE__POSTGRES__URL", postgres);
            launch = launch.with("ONSALE__POSTGRES__LEASE_MS", LEASE_MILLIS).with("ONSALE__REDIS__URL", redis);
            Some(databases)
        }
    };
    let server = launch.start().await?;
    let stage = Stage::make(server.client.clone()).await?;
    let mut crash = Crash {
        settings,
        launch,
        databases,
        server: Some(server),
        stage: Arc::new(stage),
        rng: StdRng::seed_from_u64(settings.seed),
        buyers: Vec::new(),
        notes: Notes::default(),
    };
    let mut report = Report::new(settings.seed);
    report.head(out)?;
    for number in 1..=settings.trials {
        let trial = crash.trial(number).await?;
        trial.row(out)?;
        report.add(trial);
    }
    report.close(out)?;
    Ok(report)
}

struct Crash<'a> {
    settings: &'a Settings,
    launch: Launch,
    databases: Option<Databases>,
    server: Option<Server>,
    stage: Arc<Stage>,
    rng: StdRng,
    /// Everybody of the trials before.
    buyers: Vec<Buyer>,
    notes: Notes,
}

impl Crash<'_> {
    /// Load, kill, copy, restart, check.
    async fn trial(&mut self, number: u32) -> Result<Trial, CrashError> {
        let (shortest, longest) = self.settings.uptime_millis;
        let uptime = Duration::from_millis(self.rng.random_range(shortest..=longest));
        let crowd: Vec<_> = (0..self.settings.connections)
            .map(|worker| {
                let rng = StdRng::seed_from_u64(self.rng.random());
                tokio::spawn(work(Arc::clone(&self.stage), Role::of(worker), rng))
            })
            .collect();
        let (stage, notes) = (Arc::clone(&self.stage), self.notes.clone());
        let operator = tokio::spawn(async move { write_notes(&stage, notes).await });
        let outage = self.databases.as_ref().map(|_| Outage::of(number, &mut self.rng));
        self.interrupt(uptime, outage).await?;
        let mut all = Work::default();
        for worker in crowd {
            let work = worker.await?;
            all.buyers.extend(work.buyers);
            all.acknowledged.add(&work.acknowledged);
            all.lost.extend(work.lost);
            work.refused.into_iter().for_each(|(code, times)| *all.refused.entry(code).or_default() += times);
        }
        self.notes = operator.await?;
        let stopped = self.settings.dir.join(format!("stopped-{number}"));
        if self.databases.is_none() {
            copy_dir(&self.launch.data, &stopped)?;
        }
        if let Some(tamper) = self.settings.tamper {
            tamper(&self.launch.data);
        }
        let restarted = self.restart().await?;
        if let (Some(databases), Some(outage)) = (&self.databases, outage) {
            databases.after_the_start(outage.fault).await;
        }
        let verified = self.verify(&stopped);
        let unknown =
            all.buyers.iter().filter(|buyer| is_unknown(buyer)).count() + usize::from(self.notes.unknown.is_some());
        let mut found = self.check(number, all.buyers).await?;
        found.lost.extend(all.lost);
        let verified = verified.await??;
        if verified.is_good() && self.databases.is_none() {
            std::fs::remove_dir_all(&stopped)?;
        }
        Ok(Trial {
            number,
            fault: outage.map_or(Fault::None, |outage| outage.fault),
            uptime,
            acknowledged: all.acknowledged,
            refused: all.refused,
            unknown: unknown as u64,
            found,
            verified,
            ready_after: restarted,
        })
    }

    /// Lets the load run, lets Postgres or Redis suffer in the midst of it, and kills the server.
    async fn interrupt(&mut self, uptime: Duration, outage: Option<Outage>) -> Result<(), CrashError> {
        let before = outage.map_or(uptime, |outage| uptime.mul_f64(outage.after));
        tokio::time::sleep(before).await;
        if let (Some(databases), Some(outage)) = (&self.databases, outage) {
            databases.outage(outage).await;
        }
        tokio::time::sleep(uptime - before).await;
        if let Some(server) = self.server.take() {
            server.kill()?;
        }
        if let (Some(databases), Some(outage)) = (&self.databases, outage) {
            databases.before_the_start(outage.fault).await;
        }
        Ok(())
    }

    async fn restart(&mut self) -> Result<Duration, CrashError> {
        let server = self.launch.start().await?;
        let ready_after = server.ready_after;
        // Nobody of the crowd holds the stage any more; should one do, the old client reaches the same port.
        if let Some(stage) = Arc::get_mut(&mut self.stage) {
            stage.client = server.client.clone();
        }
        self.server = Some(server);
        Ok(ready_after)
    }

    /// The journal that the kill left behind, verified while the server already works on: a copy, or in the database.
    fn verify(&self, stopped: &Path) -> tokio::task::JoinHandle<Result<Verified, ProcessError>> {
        let (launch, stopped) = (self.launch.clone(), stopped.to_owned());
        let copied = self.databases.is_none();
        tokio::task::spawn_blocking(move || Ok(Verified::read(&launch.verify(copied.then_some(&*stopped))?)))
    }

    /// The buyers of this trial wholly, everybody in the last trial, and what must be true of all together.
    async fn check(&mut self, number: u32, buyers: Vec<Buyer>) -> Result<Findings, CrashError> {
        let (buyers, mut found) = self.check_buyers(buyers, Depth::WithRepeats).await?;
        if number == self.settings.trials {
            let everybody = std::mem::take(&mut self.buyers);
            let (everybody, more) = self.check_buyers(everybody, Depth::Reads).await?;
            self.buyers = everybody;
            found.add(more);
        }
        self.buyers.extend(buyers);
        check_seats(&self.stage, &self.buyers, &mut found).await?;
        check_line(&self.stage, &mut self.buyers, &mut found).await?;
        check_notes(&self.stage, &mut self.notes, &mut found).await?;
        if let Some(databases) = &self.databases {
            databases.check_copies(&self.stage, &mut found).await?;
        }
        Ok(found)
    }

    async fn check_buyers(&self, buyers: Vec<Buyer>, depth: Depth) -> Result<(Vec<Buyer>, Findings), CrashError> {
        let share = buyers.len().div_ceil(CHECKERS).max(1);
        let tasks: Vec<_> = buyers
            .chunks(share)
            .map(|share| {
                let (stage, mut share) = (Arc::clone(&self.stage), share.to_vec());
                tokio::spawn(async move {
                    let mut found = Findings::default();
                    for buyer in &mut share {
                        check_buyer(&stage, buyer, depth, &mut found).await?;
                    }
                    Ok::<_, CrashError>((share, found))
                })
            })
            .collect();
        let (mut checked, mut found) = (Vec::with_capacity(buyers.len()), Findings::default());
        for task in tasks {
            let (share, more) = task.await??;
            checked.extend(share);
            found.add(more);
        }
        Ok((checked, found))
    }
}

fn is_unknown(buyer: &Buyer) -> bool {
    buyer.in_flight.as_ref().is_some_and(|what| !matches!(what, model::InFlight::Read))
}

/// Refusals in one line, the most frequent first.
fn in_words(refused: &BTreeMap<String, u64>) -> String {
    let mut codes: Vec<_> = refused.iter().collect();
    codes.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    codes.iter().map(|(code, times)| format!("{code} {times}")).collect::<Vec<_>>().join(", ")
}

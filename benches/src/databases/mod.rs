//! What databases allow, and what of it is used: the journal beside the bare inserts of the same rows, and holds over
//! HTTP on Postgres beside the transactions that people write for it, on the same private cluster, and beside the script
//! that they write for Redis, in one run. How far the tables are behind meanwhile is shown.

mod holds;
mod journal;
mod lag;
mod lua;

use crate::compare::CompareError;
use crate::machine;
use crate::process::ProcessError;
use crate::scene::SceneError;
use onsale_adapters::private_postgres::{Durability, PrivatePostgres};
use onsale_engine::limits::FACTS_PER_BATCH;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// What may be committed together once the tables are as far behind as they may be: a batch of the journal.
const LAG_ROOM: u64 = FACTS_PER_BATCH as u64;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum DatabasesError {
    /// The database did not do as it should.
    #[error("the database: {0}")]
    Database(String),
    /// Redis did not do as it should.
    #[error("redis: {0}")]
    Redis(String),
    /// The load tool or what it measured.
    #[error(transparent)]
    Compare(#[from] CompareError),
    /// The server did not do as it should.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The stage could not be set.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// A task was lost.
    #[error("a task failed: {0}")]
    Task(#[from] tokio::task::JoinError),
    /// The operating system returned an error.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl From<tokio_postgres::Error> for DatabasesError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Database(format!("{error:?}"))
    }
}

/// What is measured, and for how long.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The server's binary.
    pub onsale: PathBuf,
    /// Where the server's files lie.
    pub dir: PathBuf,
    /// Seconds of one run.
    pub seconds: u64,
    /// Rounds; medians are reported.
    pub rounds: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Clients of pgbench, as people's servers have connections.
    pub clients: usize,
    /// Connections of the load tool, over HTTP and to Redis.
    pub connections: usize,
    /// Holds a second that the hall has seats for.
    pub most_per_second: u64,
    /// Facts that the tables may be behind before commits wait for them.
    pub lag_max: u64,
}

/// Measures everything and writes it as tables.
///
/// # Errors
/// See [`DatabasesError`].
pub async fn run(settings: &Settings, out: &mut (impl Write + Send)) -> Result<(), DatabasesError> {
    let sync = machine::sync_latency(&settings.dir, 200)?;
    let cluster = tokio::task::spawn_blocking(|| Arc::new(PrivatePostgres::start(Durability::Synced, &[]))).await?;
    let (processor, cores) = machine::processor();
    writeln!(out, "{processor}, {cores} cores; one sync of the disk takes {:?} (p50), {:?} (p99)", sync.p50, sync.p99)?;
    let (mut written, mut held) = (Vec::new(), Vec::new());
    for round in 1..=settings.rounds {
        let url = cluster.database(&format!("journal_{round}"));
        let (seconds, batch) = (settings.seconds, settings.batch);
        written.push(journal::measure(url, seconds, batch).await?);
        held.push(holds::measure(settings, &cluster, round).await?);
        writeln!(out, "round {round}: {:?} {:?}", written.last(), held.last())?;
    }
    report_journal(settings, &written, out)?;
    report_holds(settings, &held, out)
}

fn report_journal(settings: &Settings, rates: &[journal::Rates], out: &mut impl Write) -> io::Result<()> {
    let median_of = |of: fn(&journal::Rates) -> f64| median(rates.iter().map(of).collect());
    let (ours, unnest, copy) =
        (median_of(|rates| rates.journal), median_of(|rates| rates.unnest), median_of(|rates| rates.copy));
    writeln!(out, "\nfacts/s at {} rows a batch, one connection, each batch committed", settings.batch)?;
    writeln!(out, "| the journal | bare UNNEST | bare COPY | of UNNEST |")?;
    writeln!(out, "|---|---|---|---|\n| {ours:.0} | {unnest:.0} | {copy:.0} | {:.2} |", ours / unnest)
}

fn report_holds(settings: &Settings, rates: &[holds::Rates], out: &mut impl Write) -> Result<(), DatabasesError> {
    let median_of = |of: fn(&holds::Rates) -> f64| median(rates.iter().map(of).collect());
    let http = median_of(|rates| rates.http);
    let (clients, connections) = (settings.clients, settings.connections);
    writeln!(out, "\nholds/s, each on the disk before its answer; {connections} connections over HTTP and to Redis")?;
    writeln!(out, "| | holds/s | onsale's are so many times these | bar | goal | |")?;
    writeln!(out, "|---|--:|--:|--:|--:|---|")?;
    writeln!(out, "| onsale on Postgres, over HTTP | {http:.0} | | | | |")?;
    let mut floor = |name: String, floor: f64, bars: Option<(f64, f64)>| {
        let ratio = http / floor;
        let (bar, goal, met) = match bars {
            Some((bar, goal)) => (bar.to_string(), goal.to_string(), verdict(ratio, bar, goal)),
            None => (String::new(), String::new(), ""),
        };
        writeln!(out, "| {name} | {floor:.0} | {ratio:.2} | {bar} | {goal} | {met} |")
    };
    let row_lock = format!("`SELECT … FOR UPDATE`, pgbench, {clients} clients");
    floor(row_lock, median_of(|rates| rates.row_lock), Some((3.0, 8.0)))?;
    floor("its one-statement form, pgbench".to_owned(), median_of(|rates| rates.one_statement), None)?;
    let redis = "a Lua script in Redis, `appendfsync always`".to_owned();
    floor(redis, median_of(|rates| rates.redis_lua), Some((0.7, 1.5)))?;
    writeln!(
        out,
        "\nfacts that the tables were behind, every 0.5 s while holds came | and afterwards; one line a round"
    )?;
    for holds::Rates { lag, .. } in rates {
        let (peak, seconds) = (lag.peak(), lag.caught_up_after.as_secs_f64());
        writeln!(out, "{}\n  at most {peak}; caught up {seconds:.1} s after the load", lag.line())?;
    }
    let lag_max = settings.lag_max;
    writeln!(
        out,
        "(tables are throttled while holds are answered, until they are {lag_max} facts behind; then commits wait for them)"
    )?;
    let (most, peak) = (lag_max + LAG_ROOM, rates.iter().map(|rates| rates.lag.peak()).max().unwrap_or_default());
    if peak > most {
        return Err(DatabasesError::Database(format!("the tables were {peak} facts behind, more than {most}")));
    }
    Ok(())
}

fn verdict(ratio: f64, bar: f64, goal: f64) -> &'static str {
    match ratio {
        _ if ratio >= goal => "goal met",
        _ if ratio >= bar => "bar met",
        _ => "MISSED",
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

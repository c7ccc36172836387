//! What a database allows, and what of it is used: the journal beside the bare inserts of the same rows, and holds over
//! HTTP on Postgres beside the transactions that people write for it, on the same private cluster, in one run.

mod holds;
mod journal;

use crate::compare::CompareError;
use crate::machine;
use crate::process::ProcessError;
use crate::scene::SceneError;
use onsale_adapters::private_postgres::{Durability, PrivatePostgres};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub enum DatabasesError {
    /// The database did not do as it should.
    #[error("the database: {0}")]
    Database(String),
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
    /// The operating system said no.
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
    /// Rounds; medians are told.
    pub rounds: usize,
    /// Rows of a batch.
    pub batch: usize,
    /// Clients of pgbench, as people's servers have connections.
    pub clients: usize,
    /// Connections of the load tool.
    pub connections: usize,
    /// Holds a second that the hall has seats for.
    pub most_per_second: u64,
}

/// Measures everything and tells it as tables.
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
    let median_of = |of: &dyn Fn(&journal::Rates) -> f64| median(written.iter().map(of).collect());
    let [ours, unnest, copy] =
        [median_of(&|rates| rates.journal), median_of(&|rates| rates.unnest), median_of(&|rates| rates.copy)];
    writeln!(out, "\nfacts/s at {} rows a batch, one connection, each batch committed", settings.batch)?;
    writeln!(out, "| the journal | bare UNNEST | bare COPY | of UNNEST |")?;
    writeln!(out, "|---|---|---|---|\n| {ours:.0} | {unnest:.0} | {copy:.0} | {:.2} |", ours / unnest)?;
    let median_of = |of: &dyn Fn(&holds::Rates) -> f64| median(held.iter().map(of).collect());
    let (http, locked) = (median_of(&|rates| rates.http), median_of(&|rates| rates.row_lock));
    let (single, lag) = (median_of(&|rates| rates.one_statement), median_of(&|rates| rates.lag_facts));
    writeln!(out, "\nholds/s, each committed before its answer; pgbench with {} clients", settings.clients)?;
    writeln!(out, "| onsale, over HTTP | FOR UPDATE | one statement | of FOR UPDATE | bar | goal |")?;
    writeln!(
        out,
        "|---|---|---|---|---|---|\n| {http:.0} | {locked:.0} | {single:.0} | {:.1} | 3 | 8 |",
        http / locked
    )?;
    writeln!(out, "\nfacts that the tables were behind when the load ended: {lag:.0}")?;
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

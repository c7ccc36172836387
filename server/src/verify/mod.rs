//! `onsale verify`: checks a data directory offline, or a database. Reads every event's journal from genesis (chain, no gaps, every
//! fact readable), replays it, and compares the result with the invariants, the snapshots, and the tables.
//! Shares a directory's lock, so never beside a running server, but beside one on Postgres. Must never repair anything, nor
//! change a byte of what it checks.

mod draw;
mod event;
mod table;

use crate::config::{Config, StorageKind};
use onsale_adapters::Evidence;
use onsale_adapters::postgres::{OpenError as DatabaseError, Postgres, PostgresPlans, PostgresReader, Settings};
use onsale_adapters::sqlite::{DataDir, OpenError, SqlitePlans, SqliteReader};
use onsale_adapters::stored::describe_entry;
use onsale_engine::id::EventId;
use onsale_engine::ports::{Plans, ReadError};
use onsale_engine::sale::Entry;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};
use uuid::Uuid;

pub use draw::check_proof;
pub use event::{EventReport, Fault, UnmatchedOutcome};

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The directory or the database.
    pub place: String,
    /// Every event that has a journal.
    pub events: Vec<EventReport>,
    /// How long it took.
    pub took: Duration,
}

/// Why data could not be read; says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The directory was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The database was not opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The directory had no lock file, and has one now.
    #[error("a server was started on the directory meanwhile; stop it, and verify again")]
    Disturbed,
    /// The storage did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.events.iter().all(|event| event.faults.is_empty())
    }

    /// How many outcomes no payment accounts for. They are no faults of the data: it has them as they were reported.
    #[must_use]
    pub fn unmatched(&self) -> usize {
        self.events.iter().map(|event| event.unmatched.len()).sum()
    }
}

/// Where the data lies that is checked.
#[derive(Clone)]
pub enum Place {
    /// A data directory that no server works on.
    Directory(PathBuf),
    /// A database; a server may be working on it.
    Database(Box<Settings>),
}

impl Place {
    /// What is configured; none where a database is chosen without its URL, which no configuration allows.
    #[must_use]
    pub fn of(config: &Config) -> Option<Self> {
        match config.storage.kind {
            StorageKind::Embedded => Some(Self::Directory(config.storage.path.clone())),
            StorageKind::Postgres => config.postgres.settings().map(|settings| Self::Database(Box::new(settings))),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Directory(path) => path.display().to_string(),
            Self::Database(settings) => settings.url.name(),
        }
    }

    /// What is checked, and the directory that it lies in.
    fn open(&self) -> Result<(Box<dyn Evidence>, Option<DataDir>), VerifyError> {
        Ok(match self {
            Self::Directory(path) => {
                let dir = DataDir::open_read_only(path)?;
                let plans: Arc<dyn Plans> = SqlitePlans::open(&dir)?;
                (Box::new(SqliteReader::open(&dir, plans)?), Some(dir))
            }
            Self::Database(settings) => {
                let database = Postgres::open_existing((**settings).clone())?;
                let plans: Arc<dyn Plans> = PostgresPlans::new(&database);
                (Box::new(PostgresReader::open(&database, plans)?), None)
            }
        })
    }
}

/// Checks what lies at `place`, and hands every fact that is good to `each`. Blocks.
///
/// # Errors
/// See [`VerifyError`]. What is wrong with the data is no error but in the report.
pub fn verify(place: &Place, each: &mut dyn FnMut(EventId, &Entry)) -> Result<Report, VerifyError> {
    let started = Instant::now();
    let (reader, dir) = place.open()?;
    let events = reader.events()?;
    let events = events.into_iter().map(|event| event::check(&*reader, event, each)).collect();
    if dir.is_some_and(|dir| !dir.is_undisturbed()) {
        return Err(VerifyError::Disturbed);
    }
    Ok(Report { place: place.name(), events, took: started.elapsed() })
}

/// What is printed.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Output {
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// First print every fact, one JSON object per line.
    #[arg(long)]
    facts: bool,
    /// Print what each draw has published; fail if the named event has no draw. Default: no draw is printed.
    #[arg(long, value_name = "EVENT", num_args = 0..=1, require_equals = true)]
    draw: Option<Option<Uuid>>,
}

/// Checks a buyer's proof, as `GET /queue/proof` answers it, against nothing but itself. Ends with 0 when it holds, 1
/// when it does not, 2 when there is none in the file.
#[must_use]
pub fn run_proof(path: &Path) -> ExitCode {
    let (mut out, mut trouble) = (io::stdout().lock(), io::stderr());
    match check_proof(path) {
        Ok((proof, wrong)) if wrong.is_empty() => {
            let rank = proof.drawn_rank.map_or_else(|| "not drawn yet".to_owned(), |rank| format!("drawn {rank}."));
            let (buyer, index, draw) = (&proof.buyer_id, proof.index + 1, &proof.draw);
            let (cohort, root) = (draw.cohort.unwrap_or_default(), draw.root.as_deref().unwrap_or_default());
            let _ = writeln!(out, "{buyer} came {index}. of {cohort}, {rank} The proof holds for the root {root}");
            ExitCode::SUCCESS
        }
        Ok((_, wrong)) => {
            wrong.iter().for_each(|what| drop(writeln!(out, "{what}")));
            let _ = writeln!(out, "the proof does NOT hold");
            ExitCode::FAILURE
        }
        Err(error) => {
            let _ = writeln!(trouble, "onsale verify: {error}");
            ExitCode::from(2)
        }
    }
}

/// Checks what lies at `place` and prints a table, or one JSON object. Ends with 0 when nothing is wrong, 1
/// when something is, 2 when it could not be read.
#[must_use]
pub fn run(place: &Place, output: &Output) -> ExitCode {
    let done = checked(place, output, &mut io::BufWriter::new(io::stdout().lock()));
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale verify: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether everything is good, or why that is not known.
fn checked(place: &Place, output: &Output, out: &mut dyn Write) -> Result<bool, String> {
    let mut written = Ok(());
    let report = verify(place, &mut |event, entry| {
        if output.facts && written.is_ok() {
            written = writeln!(out, "{}", describe_entry(event, entry));
        }
    });
    let report = report.map_err(|error| error.to_string())?;
    let draws = output.draw.is_some();
    let printed = written.and_then(|()| print(&report, output.json, draws, out)).and_then(|()| out.flush());
    printed.map_err(|error| error.to_string())?;
    if let Some(event) = output.draw.flatten()
        && !report.events.iter().any(|one| one.event == EventId(event) && one.draw.is_some())
    {
        return Err(format!("there is no draw of event {event}"));
    }
    Ok(report.is_good())
}

fn print(report: &Report, as_json: bool, draws: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json { writeln!(out, "{}", table::json(report)) } else { table::print(report, draws, out) }
}

#[cfg(test)]
mod tests;

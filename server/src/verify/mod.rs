//! `onsale verify`: checks a data directory offline. Walks every event's journal from genesis (chain, no gaps, every
//! fact readable), replays it, and holds against it the invariants, the snapshots, and the tables written behind.
//! Takes the directory's lock, so never beside a running server; must never mend anything.

mod event;
mod table;

use onsale_adapters::sqlite::{DataDir, OpenError, SqlitePlans, SqliteReader};
use onsale_engine::ports::{JournalReader, Plans, ReadError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use event::{EventReport, Fault};

/// What was found in a data directory.
#[derive(Debug)]
pub struct Report {
    /// The directory.
    pub path: PathBuf,
    /// Every event that has a journal.
    pub events: Vec<EventReport>,
    /// How long it took.
    pub took: Duration,
}

/// Why a directory could not be looked at; says nothing of its content.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// It was not opened.
    #[error(transparent)]
    Open(#[from] OpenError),
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
}

/// Checks the data directory at `path`.
///
/// # Errors
/// See [`VerifyError`]. What is wrong with the data is no error but in the report.
pub fn verify(path: &Path) -> Result<Report, VerifyError> {
    let started = Instant::now();
    let dir = DataDir::open_existing(path)?;
    let plans: Arc<dyn Plans> = SqlitePlans::open(&dir)?;
    let reader = SqliteReader::open(&dir, plans)?;
    let events = reader.events()?;
    let events = events.into_iter().map(|event| event::check(&dir, &reader, event)).collect();
    Ok(Report { path: path.to_owned(), events, took: started.elapsed() })
}

/// Checks the data directory at `path` and prints a table, or one JSON object. Ends with 0 when nothing is wrong, 1
/// when something is, 2 when the directory could not be looked at.
#[must_use]
pub fn run(path: &Path, as_json: bool) -> ExitCode {
    let done = verify(path).map_err(|error| error.to_string()).and_then(|report| {
        let printed = print(&report, as_json, &mut io::stdout().lock());
        printed.map(|()| report.is_good()).map_err(|error| error.to_string())
    });
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale verify: {error}");
            ExitCode::from(2)
        }
    }
}

fn print(report: &Report, as_json: bool, out: &mut dyn Write) -> io::Result<()> {
    if as_json { writeln!(out, "{}", table::json(report)) } else { table::print(report, out) }
}

#[cfg(test)]
mod tests;

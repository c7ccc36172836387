//! `onsale-load`: puts the load of an on-sale on a server, checks what its buyers are answered, and ends with 1 when a
//! service level was missed.

use clap::Parser;
use onsale_benches::load::{Flags, LoadError, Progress, Report, Settings, page, run};
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of whatever was ended by an interrupt.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let settings = match Flags::parse().check() {
        Ok(settings) => settings,
        Err(mistakes) => {
            for mistake in mistakes {
                let _ = writeln!(io::stderr(), "onsale-load: {mistake}");
            }
            return ExitCode::from(2);
        }
    };
    match load(settings) {
        Ok(Report { interrupted: true, .. }) => ExitCode::from(INTERRUPTED),
        Ok(Report { met: true, .. }) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale-load: {error}");
            ExitCode::from(if matches!(error, LoadError::Interrupted) { INTERRUPTED } else { 2 })
        }
    }
}

fn load(settings: Settings) -> Result<Report, LoadError> {
    let (html, json) = (settings.html.clone(), settings.json.clone());
    let report = run(settings, &Progress::Reported, interrupted())?;
    report.print(&mut io::stdout().lock())?;
    if let Some(path) = json {
        write(&path, &serde_json::to_vec_pretty(&report).map_err(io::Error::from)?)?;
    }
    if let Some(path) = html {
        write(&path, page(&report).as_bytes())?;
    }
    Ok(report)
}

/// Waits for SIGINT or SIGTERM.
async fn interrupted() {
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

fn write(path: &Path, bytes: &[u8]) -> Result<(), LoadError> {
    let named = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    Ok(std::fs::write(path, bytes).map_err(named)?)
}

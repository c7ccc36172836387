//! `onsale backup` and `onsale restore`: copies of an embedded data directory, taken while a server works on it, and the
//! way back. Old backups are deleted by age. Must never delete one that this
//! command has not made.

use crate::verify;
use jiff::{SignedDuration, Timestamp};
use onsale_adapters::sqlite::{BackupError, Manifest, back_up, read_manifest, restore};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// Backups that are made by a timer.
const AUTOMATIC: &str = "automatic";
/// Days that backups are kept by their label; any other label is kept for ever.
const KEPT_DAYS: [(&str, u32); 2] = [(AUTOMATIC, 1), ("deployment", 7)];

/// Where a backup goes.
#[derive(Clone, Debug, clap::Args)]
pub struct BackupArgs {
    /// Data directory. Default: the configured one.
    #[arg(long, value_name = "DIR")]
    pub from: Option<PathBuf>,
    /// Directory of this backup; new or empty. Default: a new one under --into.
    #[arg(long, value_name = "DIR", required_unless_present = "into")]
    to: Option<PathBuf>,
    /// Directory of all backups: this one is named by its label and time, and old ones are deleted. Default: --to is used.
    #[arg(long, value_name = "DIR", conflicts_with = "to")]
    into: Option<PathBuf>,
    /// Label, 1 to 40 letters or digits: `automatic` is kept for 1 day, `deployment` for 7 days, any other for ever.
    #[arg(long, value_name = "LABEL", default_value = AUTOMATIC, value_parser = label)]
    label: String,
    /// Retention of backups with this label, in days (0 to 36500); the newest is never deleted. Default: by the label.
    #[arg(long, value_name = "DAYS", requires = "into", value_parser = clap::value_parser!(u32).range(0..=36_500))]
    keep_days: Option<u32>,
}

fn label(text: &str) -> Result<String, String> {
    let fits = (1..=40).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if fits { Ok(text.to_owned()) } else { Err("must be 1 to 40 letters or digits".to_owned()) }
}

/// Which backup goes where.
#[derive(Clone, Debug, clap::Args)]
pub struct RestoreArgs {
    /// Directory of the backup.
    #[arg(value_name = "BACKUP")]
    backup: PathBuf,
    /// Data directory to create; new or empty. Default: the configured one.
    #[arg(long, value_name = "DIR")]
    pub to: Option<PathBuf>,
}

/// Makes a backup of `from`, and lets old ones go.
#[must_use]
pub fn run(from: &Path, args: &BackupArgs) -> ExitCode {
    finished("backup", made(from, args, &mut io::stdout().lock()).map_err(|error| error.to_string()))
}

/// Restores a backup as the data directory `to`, and verifies what it holds.
#[must_use]
pub fn run_restore(to: &Path, args: &RestoreArgs) -> ExitCode {
    finished("restore", restored(to, &args.backup, &mut io::stdout().lock()))
}

fn finished(command: &str, outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale {command}: {error}");
            ExitCode::FAILURE
        }
    }
}

fn made(from: &Path, args: &BackupArgs, out: &mut dyn Write) -> Result<(), BackupError> {
    let started = Instant::now();
    let label = &args.label;
    let to = match (&args.to, &args.into) {
        (Some(to), _) => to.clone(),
        (None, into) => {
            let into = into.clone().unwrap_or_default();
            std::fs::create_dir_all(&into).map_err(|source| BackupError::File { path: into.clone(), source })?;
            into.join(format!("{label}-{}", Timestamp::now().strftime("%Y%m%dT%H%M%SZ")))
        }
    };
    let manifest = back_up(from, &to, label)?;
    let bytes: u64 = manifest.files.iter().map(|file| file.bytes).sum();
    let Manifest { events, facts, taken_at, .. } = &manifest;
    let (to_shown, took) = (to.display(), started.elapsed().as_millis());
    let _ = writeln!(out, "{to_shown}: {events} events, {facts} facts, {bytes} bytes, as of {taken_at}, in {took} ms");
    if let Some(into) = &args.into {
        let kept = args.keep_days.or_else(|| KEPT_DAYS.iter().find(|(known, _)| known == label).map(|(_, days)| *days));
        for old in kept.map(|days| outdated(into, label, days, &to)).unwrap_or_default() {
            std::fs::remove_dir_all(&old).map_err(|source| BackupError::File { path: old.clone(), source })?;
            let _ = writeln!(out, "{}: older than it is kept, removed", old.display());
        }
    }
    Ok(())
}

/// Backups of a label that are older than they are kept. What is not a whole backup of ours is none of our business.
fn outdated(into: &Path, label: &str, days: u32, newest: &Path) -> Vec<PathBuf> {
    let before = Timestamp::now().checked_sub(SignedDuration::from_hours(24 * i64::from(days)));
    let Ok(before) = before else { return Vec::new() };
    let Ok(entries) = std::fs::read_dir(into) else { return Vec::new() };
    let prefix = format!("{label}-");
    let ours = entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| {
        let named = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&prefix));
        let taken = || read_manifest(path).ok().filter(|manifest| manifest.label == label)?.taken_at.parse().ok();
        named && path != newest && taken().is_some_and(|taken: Timestamp| taken < before)
    });
    ours.collect()
}

fn restored(to: &Path, backup: &Path, out: &mut dyn Write) -> Result<(), String> {
    let started = Instant::now();
    let manifest = restore(backup, to).map_err(|error| error.to_string())?;
    let copied = started.elapsed().as_millis();
    let report =
        verify::verify(&verify::Place::Directory(to.to_owned()), &mut |_, _| {}).map_err(|error| error.to_string())?;
    let facts: u64 = report.events.iter().map(|event| event.rows).sum();
    let (to, took) = (to.display(), started.elapsed().as_millis());
    let Manifest { taken_at, events, .. } = &manifest;
    let _ = writeln!(
        out,
        "{to}: as of {taken_at}, {events} events, {facts} facts; copied in {copied} ms, verified after {took} ms"
    );
    if report.is_good() && facts == manifest.facts {
        return Ok(());
    }
    let faults = report
        .events
        .iter()
        .flat_map(|event| event.faults.iter().map(move |fault| format!("{}: {fault}", event.event)));
    Err(format!("what was restored does not verify: {}", faults.collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn backup(into: &Path, name: &str, label: &str, days_ago: i64) {
        let taken_at = (Timestamp::now() - SignedDuration::from_hours(24 * days_ago)).to_string();
        let (label, files) = (label.to_owned(), Vec::new());
        let manifest = Manifest { version: 1, label, taken_at, events: 0, facts: 0, files };
        std::fs::create_dir(into.join(name)).unwrap();
        std::fs::write(into.join(name).join("backup.json"), serde_json::to_vec(&manifest).unwrap()).unwrap();
    }

    #[test]
    fn only_old_backups_of_the_same_label_are_let_go_and_never_the_newest() {
        let into = tempfile::tempdir().unwrap();
        for (name, label, days_ago) in [
            ("automatic-1", "automatic", 3),
            ("automatic-2", "automatic", 2),
            ("automatic-3", "automatic", 0),
            ("automatic-new", "automatic", 5),
            ("automatic-other", "deployment", 5),
            ("deployment-1", "deployment", 5),
        ] {
            backup(into.path(), name, label, days_ago);
        }
        std::fs::create_dir(into.path().join("automatic-0")).unwrap();
        let mut old = outdated(into.path(), "automatic", 1, &into.path().join("automatic-new"));
        old.sort();
        assert_eq!(old, [into.path().join("automatic-1"), into.path().join("automatic-2")]);
        assert!(outdated(into.path(), "deployment", 7, Path::new("x")).is_empty());
    }
}

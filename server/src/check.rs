//! `onsale check`: whether a server would start here, as far as that can be known without starting one. Reads the
//! configuration and tries what it names; every finding has a line. Must never change data.

mod production;

use crate::config::{Config, ConfigError, StorageKind};
use crate::open_files;
use crate::wiring::open_redis;
use onsale_adapters::postgres::inspect;
use onsale_adapters::sqlite;
use std::io::{self, Write};
use std::net::TcpListener;
use std::path::Path;
use std::process::ExitCode;

/// Less room than this on the disk of the data is worth a word; a tenth of it is a problem: a journal that cannot grow
/// stops the sale.
const FREE_BYTES: u64 = 1 << 30;

/// What was found out about one thing.
#[derive(Debug, PartialEq, Eq)]
enum Finding {
    Good(String),
    Note(String),
    Bad(String),
}

/// Checks, prints a line for each finding, and ends with 0 when nothing is wrong, 1 when something is, 2 when the
/// configuration has mistakes or, for `production`, is not one to sell with.
#[must_use]
pub fn run(file: Option<&Path>, production: bool) -> ExitCode {
    let (mut out, mut err) = (io::stdout().lock(), io::stderr().lock());
    let config = match Config::load(file, std::env::vars_os()) {
        Ok(config) => config,
        Err(error @ ConfigError(..)) => {
            let _ = writeln!(err, "onsale: {error}");
            return ExitCode::from(2);
        }
    };
    let findings = findings(&config);
    for finding in &findings {
        let (word, text) = match finding {
            Finding::Good(text) => ("good", text),
            Finding::Note(text) => ("note", text),
            Finding::Bad(text) => ("BAD ", text),
        };
        let _ = writeln!(out, "{word}  {text}");
    }
    let problems = if production { production::problems(&config) } else { Vec::new() };
    for problem in &problems {
        let _ = writeln!(out, "BAD   {problem}");
    }
    if !problems.is_empty() {
        return ExitCode::from(2);
    }
    if findings.iter().any(|finding| matches!(finding, Finding::Bad(_))) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn findings(config: &Config) -> Vec<Finding> {
    let mut findings = vec![Finding::Good("the configuration has no mistakes".to_owned()), port(config)];
    let wanted = config.server.max_connections;
    let room = open_files::room_for_connections(wanted);
    if room < wanted {
        let text = format!("server.max_connections is {wanted}, the limit of open files leaves room for {room}");
        findings.push(Finding::Note(text));
    }
    match config.storage.kind {
        StorageKind::Embedded => findings.extend(storage(config)),
        StorageKind::Postgres => findings.extend(database(config)),
    }
    findings.extend(redis(config));
    if config.auth.jwt_secret.is_none() {
        let text = "auth.jwt_secret is left out: one is kept in the data directory, for one machine alone";
        findings.push(Finding::Note(text.to_owned()));
    }
    if let Some(directory) = &config.log.directory {
        findings.push(writable("log.directory", directory));
    }
    findings
}

fn port(config: &Config) -> Finding {
    let listen = config.server.listen;
    match TcpListener::bind(listen) {
        Ok(_) => Finding::Good(format!("server.listen: {listen} is free")),
        Err(error) => Finding::Bad(format!("server.listen: cannot listen on {listen}: {error}")),
    }
}

fn storage(config: &Config) -> Vec<Finding> {
    let path = &config.storage.path;
    let mut findings = vec![writable("storage.path", path)];
    match sqlite::inspect(path) {
        Ok(None) => findings.push(Finding::Note(format!("storage.path: {} has no data yet", path.display()))),
        Ok(Some(looked)) => {
            let text = format!("storage.path: {} has the journals of {} events", path.display(), looked.events);
            findings.push(Finding::Good(text));
            if looked.is_in_use {
                let text = format!("storage.path: {} is in use by another process", path.display());
                findings.push(Finding::Bad(text));
            }
        }
        Err(error) => findings.push(Finding::Bad(format!("storage.path: {error}"))),
    }
    match free_bytes(path) {
        Some(free) if free < FREE_BYTES => {
            let text = format!("storage.path: only {} MiB are free on its disk", free >> 20);
            findings.push(if free < FREE_BYTES / 10 { Finding::Bad(text) } else { Finding::Note(text) });
        }
        Some(free) => findings.push(Finding::Good(format!("storage.path: {} MiB are free on its disk", free >> 20))),
        None => {}
    }
    findings
}

fn database(config: &Config) -> Vec<Finding> {
    let Some(settings) = config.postgres.settings() else { return Vec::new() };
    let mut urls = vec![("postgres.url", settings.url)];
    urls.extend(settings.read_url.map(|url| ("postgres.read_url", url)));
    let asked = urls.into_iter().map(|(key, url)| match inspect(url.clone()) {
        Ok(version) => Finding::Good(format!("{key}: {} is PostgreSQL {version}", url.name())),
        Err(error) => Finding::Bad(format!("{key}: {}: {error}", url.name())),
    });
    asked.collect()
}

/// Redis, where nodes share one. Sales go on without it, so nobody there is no problem, but worth a word.
fn redis(config: &Config) -> Option<Finding> {
    let config = config.redis.as_ref()?;
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Some(Finding::Bad(format!("redis.url: {error}"))),
    };
    Some(match runtime.block_on(open_redis(Some(config))) {
        Err(mistake) => Finding::Bad(format!("redis.url: {mistake}")),
        Ok(Some(redis)) if redis.health().up => Finding::Good("redis.url: Redis answers".to_owned()),
        Ok(_) => Finding::Note("redis.url: Redis does not answer; a server would begin without it".to_owned()),
    })
}

/// Whether files can be made in a directory, or where it would be made.
fn writable(key: &str, path: &Path) -> Finding {
    let there = existing(path);
    match tempfile::tempfile_in(there) {
        Ok(_) => Finding::Good(format!("{key}: {} can be written", path.display())),
        Err(error) => Finding::Bad(format!("{key}: {} cannot be written: {error}", there.display())),
    }
}

/// The directory itself, or the nearest one above it that is there.
fn existing(path: &Path) -> &Path {
    let mut above = path.ancestors().filter(|path| !path.as_os_str().is_empty());
    above.find(|path| path.exists()).unwrap_or(Path::new("."))
}

fn free_bytes(path: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(existing(path)).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

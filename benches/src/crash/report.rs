//! The table that a crash test prints: a row for each trial, totals, and every loss by name.

use super::check::Findings;
use super::fault::Fault;
use super::in_words;
use super::model::Acknowledged;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::process::Output;
use std::time::{Duration, Instant};

/// Losses that are named; more are counted.
const NAMED: usize = 20;

/// What `onsale verify` said of the journal that a kill left behind.
#[derive(Clone, Debug)]
pub struct Verified {
    /// Rows of all events.
    pub rows: u64,
    /// What is wrong, if anything is.
    pub fault: Option<String>,
}

/// One kill and what came of it.
#[derive(Debug)]
pub struct Trial {
    /// From 1.
    pub number: u32,
    /// What happened to Postgres or Redis.
    pub fault: Fault,
    /// How long the load lasted.
    pub uptime: Duration,
    /// What was acknowledged.
    pub acknowledged: Acknowledged,
    /// What was refused, by code.
    pub refused: BTreeMap<String, u64>,
    /// Requests without an answer.
    pub unknown: u64,
    /// What was found wrong.
    pub found: Findings,
    /// What the journal says.
    pub verified: Verified,
    /// From the restart until ready.
    pub ready_after: Duration,
}

/// All trials.
#[derive(Debug)]
pub struct Report {
    seed: u64,
    started: Instant,
    /// In their order.
    pub trials: Vec<Trial>,
}

impl Verified {
    /// What a run of `onsale verify --json` says.
    pub(super) fn read(output: &Output) -> Self {
        let json: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let events = json.get("events").and_then(Value::as_array).cloned().unwrap_or_default();
        let rows = events.iter().filter_map(|event| event.get("rows")?.as_u64()).sum();
        let fault = (!output.status.success()).then(|| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("verify ended with {}: {json} {errors}", output.status)
        });
        Self { rows, fault }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.fault.is_none()
    }
}

const COLUMNS: [(&str, usize); 19] = [
    ("trial", 5),
    ("fault", 16),
    ("up ms", 6),
    ("enter", 6),
    ("leave", 6),
    ("hold", 6),
    ("change", 6),
    ("free", 5),
    ("pay", 5),
    ("decline", 7),
    ("cancel", 6),
    ("account", 7),
    ("log out", 7),
    ("unknown", 7),
    ("of them done", 12),
    ("lost", 5),
    ("oversold", 8),
    ("rows verified", 13),
    ("ready ms", 8),
];

fn line(out: &mut (dyn Write + Send), cells: [String; COLUMNS.len()]) -> io::Result<()> {
    let padded: Vec<String> = cells.iter().zip(COLUMNS).map(|(cell, (_, width))| format!("{cell:>width$}")).collect();
    writeln!(out, "{}", padded.join(" "))?;
    out.flush()
}

fn cells(
    (name, fault): (String, String),
    uptime: Duration,
    acknowledged: &Acknowledged,
    unknown: u64,
    found: &Findings,
    verified: String,
    ready_after: Duration,
) -> [String; COLUMNS.len()] {
    let a = acknowledged;
    let numbers =
        [a.entered, a.left, a.held, a.changed, a.released, a.paid, a.declined, a.cancelled, a.accounts, a.logged_out];
    let [entered, left, held, changed, released, paid, declined, cancelled, accounts, logged_out] =
        numbers.map(|n| n.to_string());
    [
        name,
        fault,
        uptime.as_millis().to_string(),
        entered,
        left,
        held,
        changed,
        released,
        paid,
        declined,
        cancelled,
        accounts,
        logged_out,
        unknown.to_string(),
        found.unknown_done.to_string(),
        found.lost.len().to_string(),
        found.oversold.len().to_string(),
        verified,
        ready_after.as_millis().to_string(),
    ]
}

impl Trial {
    /// Whether nothing was lost, nothing sold twice, and what is copied is what is so.
    #[must_use]
    pub fn is_good(&self) -> bool {
        let Findings { lost, oversold, stale, .. } = &self.found;
        lost.is_empty() && oversold.is_empty() && stale.is_empty() && self.verified.is_good()
    }

    pub(super) fn row(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let verified = if self.verified.is_good() { self.verified.rows.to_string() } else { "DAMAGED".into() };
        let name = (self.number.to_string(), self.fault.name().to_owned());
        let cells = cells(name, self.uptime, &self.acknowledged, self.unknown, &self.found, verified, self.ready_after);
        line(out, cells)?;
        let wrong = self.found.lost.iter().chain(&self.found.oversold).chain(&self.found.stale);
        let wrong = wrong.chain(&self.verified.fault);
        wrong.take(NAMED).try_for_each(|what| writeln!(out, "      ! {what}"))
    }
}

impl Report {
    pub(super) fn new(seed: u64) -> Self {
        Self { seed, started: Instant::now(), trials: Vec::new() }
    }

    pub(super) fn add(&mut self, trial: Trial) {
        self.trials.push(trial);
    }

    /// Whether every trial was good, and there was one.
    #[must_use]
    pub fn is_good(&self) -> bool {
        !self.trials.is_empty() && self.trials.iter().all(Trial::is_good)
    }

    /// What was acknowledged in all trials.
    #[must_use]
    pub fn acknowledged(&self) -> Acknowledged {
        let mut sum = Acknowledged::default();
        self.trials.iter().for_each(|trial| sum.add(&trial.acknowledged));
        sum
    }

    /// What each kind of fault came to, where there were any.
    fn by_fault(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let faults: BTreeSet<Fault> = self.trials.iter().map(|trial| trial.fault).collect();
        if faults.iter().all(|fault| *fault == Fault::None) {
            return Ok(());
        }
        let [trials, acknowledged, lost, oversold] = ["trials", "acknowledged", "lost", "oversold"];
        writeln!(out, "{:<18} {trials:>6} {acknowledged:>12} {lost:>5} {oversold:>8}", "fault")?;
        for fault in faults {
            let (mut trials, mut acknowledged, mut found) = (0, 0, Findings::default());
            for trial in self.trials.iter().filter(|trial| trial.fault == fault) {
                trials += 1;
                acknowledged += trial.acknowledged.total();
                found.add(trial.found.clone());
            }
            let (lost, oversold) = (found.lost.len(), found.oversold.len());
            writeln!(out, "{:<18} {trials:>6} {acknowledged:>12} {lost:>5} {oversold:>8}", fault.name())?;
        }
        Ok(())
    }

    pub(super) fn head(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        writeln!(out, "kill -9 under load, seed {}; acknowledged answers by kind, and what became of them", self.seed)?;
        line(out, COLUMNS.map(|(name, _)| name.to_owned()))
    }

    pub(super) fn close(&self, out: &mut (dyn Write + Send)) -> io::Result<()> {
        let mut found = Findings::default();
        let mut refused = BTreeMap::new();
        for trial in &self.trials {
            found.add(trial.found.clone());
            trial.refused.iter().for_each(|(code, times)| *refused.entry(code.clone()).or_default() += times);
        }
        let rows = self.trials.last().map_or(0, |trial| trial.verified.rows);
        let slowest = self.trials.iter().map(|trial| trial.ready_after).max().unwrap_or_default();
        let uptime = self.trials.iter().map(|trial| trial.uptime).sum();
        let unknown = self.trials.iter().map(|trial| trial.unknown).sum();
        line(
            out,
            cells(
                ("all".into(), String::new()),
                uptime,
                &self.acknowledged(),
                unknown,
                &found,
                rows.to_string(),
                slowest,
            ),
        )?;
        writeln!(out, "refused meanwhile: {}", in_words(&refused))?;
        self.by_fault(out)?;
        writeln!(
            out,
            "{}: {} acknowledged answers, {} kills, {} lost, {} oversold, every journal {}; {:.1} s",
            if self.is_good() { "GOOD" } else { "BAD" },
            self.acknowledged().total(),
            self.trials.len(),
            found.lost.len(),
            found.oversold.len(),
            if self.trials.iter().all(|trial| trial.verified.is_good()) { "verified" } else { "NOT verified" },
            self.started.elapsed().as_secs_f64(),
        )
    }
}

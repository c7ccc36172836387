//! Service levels: what was asked for, what was measured, and whether it was met.

use super::tally::{CallRow, Kind};
use serde::Serialize;

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// 95 of 100 who enter are answered within this, in milliseconds.
    pub entry_p95_ms: f64,
    /// 95 of 100 reads of each kind, in milliseconds.
    pub read_p95_ms: f64,
    /// Requests that may fail.
    pub errors: u64,
    /// Share of the rate that admissions must reach, in percent.
    pub held_percent: f64,
    /// MiB that the server may take; unlimited without it.
    pub memory_mib: Option<u64>,
}

/// One level.
#[derive(Clone, Debug, Serialize)]
pub struct Level {
    /// What it is about.
    pub name: String,
    /// What was asked for.
    pub asked: String,
    /// What was measured.
    pub measured: String,
    /// Whether it was met.
    pub met: bool,
    /// What was wrong, by name, where that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

impl Level {
    pub(super) fn new(name: &str, asked: impl Into<String>, measured: impl Into<String>, met: bool) -> Self {
        Self { name: name.to_owned(), asked: asked.into(), measured: measured.into(), met, faults: Vec::new() }
    }

    /// Something that must not be wrong even once.
    pub(super) fn none(name: &str, faults: &super::order::Faults) -> Self {
        let mut level = Self::new(name, "0 faults", format!("{} faults", faults.many), faults.many == 0);
        level.faults.clone_from(&faults.named);
        level
    }
}

/// The levels that every scenario has: latencies, and failures.
pub(super) fn common(rows: &[CallRow], limits: &Limits, failed: u64) -> Vec<Level> {
    let mut levels = Vec::new();
    for row in rows {
        let limit = match row.call.kind() {
            Kind::Entry => limits.entry_p95_ms,
            Kind::Read => limits.read_p95_ms,
            Kind::Other => continue,
        };
        let p95 = row.latency.p95_ms;
        levels.push(Level::new(
            &format!("{} p95", row.name),
            format!("< {limit} ms"),
            format!("{p95:.1} ms"),
            p95 < limit,
        ));
    }
    levels.push(Level::new("errors", format!("≤ {}", limits.errors), failed.to_string(), failed <= limits.errors));
    levels
}

//! What a run came to, as text, as JSON, and as a page. Must never say more than was measured.

use super::levels::Level;
use super::order::Pace;
use super::tally::{CallRow, Percentiles, Requests, Second, Times};
use serde::Serialize;
use std::io::{self, Write};

/// A whole run.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// What was done.
    pub scenario: String,
    /// The same in words: the crowd, and what was asked for.
    pub setting: Vec<(String, String)>,
    /// When it began, RFC 3339.
    pub began: String,
    /// How long it took.
    pub took_seconds: f64,
    /// Whether it was interrupted.
    pub interrupted: bool,
    /// Whether every level was met.
    pub met: bool,
    /// Service levels.
    pub levels: Vec<Level>,
    /// All requests of the crowd together.
    pub requests: Requests,
    /// Answers beside them: to requests that made the event and read it before and after. Probes are not counted.
    pub beside: u64,
    /// Every call.
    pub calls: Vec<CallRow>,
    /// How late requests left, by the load tool's own doing; it is in the latencies.
    pub lateness: Percentiles,
    /// Failures by kind.
    pub failures: Vec<Times>,
    /// How many may be let in a second, where there is a line.
    pub rate: Option<u64>,
    /// How fast people were let in, by their answers, where there is a line.
    pub pace: Option<Pace>,
    /// Refusals that are part of the game.
    pub refusals: Vec<Times>,
    /// Figures without a level.
    pub story: Vec<(String, String)>,
    /// Every second.
    pub seconds: Vec<Second>,
}

impl Report {
    /// As text, for a terminal.
    ///
    /// # Errors
    /// As `out` says.
    pub fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let interrupted = if self.interrupted { ", interrupted" } else { "" };
        writeln!(out, "\n{}: {:.1} s{interrupted}", self.scenario, self.took_seconds)?;
        for (name, value) in &self.setting {
            writeln!(out, "  {name}: {value}")?;
        }
        writeln!(
            out,
            "\n{:<14} {:>9} {:>8} {:>7} {:>10} {:>10} {:>10} {:>10}",
            "call", "done", "refused", "failed", "p50 ms", "p95 ms", "p99 ms", "most ms"
        )?;
        for row in &self.calls {
            let Percentiles { p50_ms, p95_ms, p99_ms, most_ms } = row.latency;
            writeln!(
                out,
                "{:<14} {:>9} {:>8} {:>7} {p50_ms:>10.2} {p95_ms:>10.2} {p99_ms:>10.2} {most_ms:>10.2}",
                row.name, row.done, row.refused, row.failed
            )?;
        }
        let Percentiles { p95_ms, p99_ms, most_ms, .. } = self.lateness;
        writeln!(out, "left late by p95 {p95_ms:.2} ms, p99 {p99_ms:.2} ms, most {most_ms:.2} ms (in the latencies)")?;
        for (title, rows) in [("failed", &self.failures), ("refused", &self.refusals)] {
            for row in rows {
                writeln!(out, "{title}: {} {} × {}", row.call, row.code, row.times)?;
            }
        }
        writeln!(out)?;
        for (name, value) in &self.story {
            writeln!(out, "{name}: {value}")?;
        }
        writeln!(out)?;
        for level in &self.levels {
            let met = if level.met { "met   " } else { "MISSED" };
            writeln!(out, "{met} {:<46} {:<14} {}", level.name, level.asked, level.measured)?;
            for fault in &level.faults {
                writeln!(out, "         ! {fault}")?;
            }
        }
        writeln!(out, "\n{}", if self.met { "EVERY LEVEL MET" } else { "A LEVEL WAS MISSED" })?;
        out.flush()
    }
}

//! The comparison's table and its JSON: medians of the rounds, their ratio, and the bars that they are held against.

use super::{Scenario, wrk::Seen};
use crate::machine::SyncLatency;
use serde_json::{Value, json};
use std::fmt::Write;

/// The rounds of one scenario at one number of connections.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was sent.
    pub scenario: Scenario,
    /// Over how many connections.
    pub connections: usize,
    /// What the server did, round by round.
    pub onsale: Vec<Seen>,
    /// What the ceiling did, round by round.
    pub ceiling: Vec<Seen>,
}

/// What came of the open loop.
#[derive(Clone, Copy, Debug)]
pub struct OpenLoop {
    /// Holds a second that were sent.
    pub rate: u64,
    /// Holds that were answered 201.
    pub held: u64,
    /// Latencies from the scheduled time, in microseconds.
    pub p50: u64,
    /// See `p50`.
    pub p99: u64,
    /// See `p50`.
    pub p999: u64,
    /// The longest.
    pub max: u64,
}

/// Everything.
#[derive(Clone, Debug)]
pub struct Report {
    /// The processor's name and cores.
    pub processor: (String, usize),
    /// The disk under the data.
    pub sync: SyncLatency,
    /// Scenario by scenario.
    pub rows: Vec<Row>,
    /// The open loop, if it ran.
    pub open_loop: Option<OpenLoop>,
    /// Committed facts that were not in the tables yet when the last run of holds ended.
    pub behind: f64,
}

impl Row {
    /// The median of the server's rounds, answers a second.
    #[must_use]
    pub fn onsale_per_second(&self) -> f64 {
        median(self.onsale.iter().map(Seen::per_second))
    }

    /// The median of the ceiling's rounds, answers a second.
    #[must_use]
    pub fn ceiling_per_second(&self) -> f64 {
        median(self.ceiling.iter().map(Seen::per_second))
    }

    /// The server beside its ceiling.
    #[must_use]
    pub fn ratio(&self) -> f64 {
        self.onsale_per_second() / self.ceiling_per_second().max(f64::MIN_POSITIVE)
    }

    /// Whether the ratio reaches the bar; `None` where there is none.
    #[must_use]
    pub fn is_met(&self) -> Option<bool> {
        self.scenario.bar(self.connections).map(|(bar, _)| self.ratio() >= bar)
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => 0.0,
        odd if odd % 2 == 1 => values[odd / 2],
        even => f64::midpoint(values[even / 2 - 1], values[even / 2]),
    }
}

impl Report {
    /// Whether every bar is reached.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.rows.iter().all(|row| row.is_met() != Some(false))
    }

    /// For people, in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        let (name, cores) = &self.processor;
        let (p50, p99) = (self.sync.p50.as_micros(), self.sync.p99.as_micros());
        let _ = writeln!(
            out,
            "{name}, {cores} cores, shared by server and load tool; fdatasync of 4 KiB: p50 {p50} µs, p99 {p99} µs.\n"
        );
        let _ = writeln!(
            out,
            "| scenario | connections | onsale, req/s | ceiling, req/s | ratio | bar | goal | bar met | p99, closed loop | processor, server / ceiling |"
        );
        let _ = writeln!(out, "|---|--:|--:|--:|--:|--:|--:|---|--:|--:|");
        for row in &self.rows {
            let (bar, goal) = match row.scenario.bar(row.connections) {
                Some((bar, goal)) => (format!("{bar:.2}"), format!("{goal:.2}")),
                None => ("–".into(), "–".into()),
            };
            let met = row.is_met().map_or("–", |met| if met { "yes" } else { "no" });
            let p99 = median(row.onsale.iter().map(|seen| seen.p99)) / 1000.0;
            let spent = |seen: &[Seen]| median(seen.iter().map(|seen| seen.processor_micros));
            let (ours, theirs) = (spent(&row.onsale), spent(&row.ceiling));
            let _ = writeln!(
                out,
                "| {} | {} | {:.0} | {:.0} | {:.2} | {bar} | {goal} | {met} | {p99:.1} ms | {ours:.1} / {theirs:.1} µs |",
                row.scenario.name(),
                row.connections,
                row.onsale_per_second(),
                row.ceiling_per_second(),
                row.ratio(),
            );
        }
        if let Some(open) = &self.open_loop {
            let ms = |micros: u64| micros as f64 / 1000.0;
            let _ = writeln!(
                out,
                "\nOpen loop, {} holds a second: {} held; from the scheduled moment to the answer p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms, longest {:.2} ms.",
                open.rate,
                open.held,
                ms(open.p50),
                ms(open.p99),
                ms(open.p999),
                ms(open.max),
            );
        }
        let _ = writeln!(
            out,
            "\nTables written behind: {:.0} facts behind at the end of the last run of holds.",
            self.behind
        );
        out
    }

    /// For programs.
    #[must_use]
    pub fn json(&self) -> Value {
        let seen = |seen: &Seen| {
            json!({ "requestsPerSecond": seen.per_second(), "requests": seen.requests, "refused": seen.refused,
                "p50Micros": seen.p50, "p99Micros": seen.p99, "processorMicrosPerRequest": seen.processor_micros })
        };
        let rows = self.rows.iter().map(|row| {
            json!({
                "scenario": row.scenario.name(), "connections": row.connections,
                "onsale": row.onsale.iter().map(seen).collect::<Vec<_>>(),
                "ceiling": row.ceiling.iter().map(seen).collect::<Vec<_>>(),
                "ratio": row.ratio(), "met": row.is_met(),
                "bar": row.scenario.bar(row.connections).map(|(bar, _)| bar),
                "goal": row.scenario.bar(row.connections).map(|(_, goal)| goal),
            })
        });
        let open = self.open_loop.map(|open| {
            json!({ "rate": open.rate, "held": open.held, "p50Micros": open.p50, "p99Micros": open.p99,
                "p999Micros": open.p999, "maxMicros": open.max })
        });
        json!({
            "processor": self.processor.0, "cores": self.processor.1,
            "syncP50Micros": self.sync.p50.as_micros() as u64, "syncP99Micros": self.sync.p99.as_micros() as u64,
            "rows": rows.collect::<Vec<_>>(), "openLoop": open, "projectionFactsBehind": self.behind,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(requests: u64) -> Seen {
        Seen { requests, micros: 1_000_000, broken: 0, refused: 0, p50: 1.0, p99: 2.0, processor_micros: 9.0 }
    }

    #[test]
    fn a_row_is_the_ratio_of_medians_beside_its_bar() {
        let onsale = [10, 100, 60].map(seen).to_vec();
        let row = Row { scenario: Scenario::Hold, connections: 256, onsale, ceiling: [100, 120].map(seen).to_vec() };
        assert_eq!((row.onsale_per_second(), row.ceiling_per_second()), (60.0, 110.0));
        assert_eq!(row.is_met(), Some(true));
        assert_eq!(Row { ceiling: vec![seen(121)], ..row.clone() }.is_met(), Some(false));
        assert_eq!(Row { scenario: Scenario::RefusedHold, ..row }.is_met(), None);
    }
}

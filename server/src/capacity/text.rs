//! A plan for a terminal: figures, and curves made of characters.

use super::outcome::{Outcome, Second};
use crate::config::Config;
use std::fmt::Write;
use std::time::Duration;

/// Columns of a curve.
const COLUMNS: usize = 72;
const BARS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A curve: its name, and what it shows of a second.
pub(super) type Curve = (&'static str, fn(&Second) -> u64);

/// What is plotted, here as in the page.
pub(super) const CURVES: [Curve; 4] = [
    ("people waiting", |second| second.waiting),
    ("people shopping", |second| second.active),
    ("seats sold", |second| second.sold),
    ("requests a second", Second::requests),
];

/// Hours, minutes and seconds, as far as there are any.
pub(super) fn shown(after: Option<Duration>) -> String {
    let Some(after) = after else { return "never".to_owned() };
    let seconds = after.as_secs();
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, _) => format!("{:.1} s", after.as_secs_f64()),
        (0, minutes, seconds) => format!("{minutes} min {seconds:02} s"),
        (hours, minutes, _) => format!("{hours} h {minutes:02} min"),
    }
}

pub(super) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

/// The figures, as pairs of what and how much.
pub(super) fn figures(outcome: &Outcome, config: &Config) -> Vec<(&'static str, String)> {
    let mut figures = vec![
        ("the line is empty after", shown(outcome.drained_after)),
        ("every seat is paid for after", shown(outcome.sold_out_after)),
        ("seats sold", format!("{} of {}", outcome.sold, outcome.seats)),
        ("let in", outcome.admitted.to_string()),
        ("refused because the line was full", outcome.refused_at_the_door.to_string()),
        ("left the line by themselves", outcome.left.to_string()),
        ("still in line when all was sold", outcome.left_without.to_string()),
        ("let in, and found no seat", outcome.went_without.to_string()),
        (
            "holds won, refused, never paid",
            format!("{}, {}, {}", outcome.holds_won, outcome.holds_refused, outcome.holds_expired),
        ),
        ("paid, and paid too late", format!("{}, {}", outcome.paid, outcome.paid_too_late)),
        ("most requests in a second", outcome.peak_requests().to_string()),
        ("requests in all", outcome.requests().to_string()),
        ("facts in the journal", outcome.facts.to_string()),
        ("log", mebibytes(outcome.log_bytes(config))),
    ];
    if let Some(bytes) = outcome.memory_bytes(config) {
        figures.push((
            "memory",
            format!(
                "{}, of it {} for one copy of the sale",
                mebibytes(bytes),
                mebibytes(outcome.sale_bytes.unwrap_or(0))
            ),
        ));
    }
    figures
}

/// Everything of one plan.
pub(super) fn plan(outcome: &Outcome, config: &Config) -> String {
    let mut out = String::new();
    for (what, value) in figures(outcome, config) {
        let _ = writeln!(out, "{what:36} {value}");
    }
    for (name, value) in CURVES {
        let values = squeezed(outcome.seconds(), value, COLUMNS);
        let most = values.iter().copied().max().unwrap_or(0);
        let bars: String = values.iter().map(|&value| BARS[(value * 8).div_ceil(most.max(1)) as usize]).collect();
        let _ = writeln!(out, "\n{name}, at most {most}\n{bars}");
    }
    let _ = writeln!(out, "0{:>1$}", shown(Some(Duration::from_secs(outcome.seconds().len() as u64))), COLUMNS - 1);
    out
}

/// The largest value in each of so many stretches.
pub(super) fn squeezed(seconds: &[Second], value: fn(&Second) -> u64, columns: usize) -> Vec<u64> {
    let stretch = seconds.len().div_ceil(columns).max(1);
    seconds.chunks(stretch).map(|stretch| stretch.iter().map(value).max().unwrap_or(0)).collect()
}

/// What each rate comes to, side by side.
pub(super) fn rates(outcomes: &[Outcome]) -> String {
    let mut out = String::from("    rate/s      line empty     all paid for   no seat   requests/s   shopping\n");
    for outcome in outcomes {
        let shopping = outcome.seconds().iter().map(|second| second.active).max().unwrap_or(0);
        let (rate, peak) = (outcome.rate, outcome.peak_requests());
        let (drained, sold_out) = (shown(outcome.drained_after), shown(outcome.sold_out_after));
        let without = outcome.went_without + outcome.left_without + outcome.refused_at_the_door;
        let _ = writeln!(out, "{rate:>10} {drained:>15} {sold_out:>16} {without:>9} {peak:>12} {shopping:>10}");
    }
    out
}

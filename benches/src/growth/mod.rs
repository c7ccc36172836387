//! What growth costs, as a table: larger halls, longer lines, more events, longer journals. Each row beside the smallest
//! of its kind; what grows should cost within a tenth of what is small, or there is a reason.

mod crowd;
mod events;
mod house;
mod restart;
mod seats;

pub use events::idle;

use crate::in_process::EngineError;
use crate::scene::SceneError;
use std::io::{self, Write};
use std::path::PathBuf;

/// Measurements of one figure; the median counts.
const TIMES: usize = 3;
/// How far a figure may be from the smallest one's.
const TOLERANCE: f64 = 0.10;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub enum GrowthError {
    /// The engine did not do as it should.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The stage could not be set.
    #[error(transparent)]
    Scene(#[from] SceneError),
    /// The operating system or a connection returned an error.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A part did not start, stop or answer.
    #[error("{0}")]
    Part(String),
}

/// Any error, as text.
fn part(error: impl std::fmt::Display) -> GrowthError {
    GrowthError::Part(error.to_string())
}

/// How much is measured.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where data lie, on the disk that is to be measured.
    pub dir: PathBuf,
    /// Seats, over HTTP; a template has a million at the most.
    pub halls: Vec<u64>,
    /// Seats, in this process.
    pub large_halls: Vec<u64>,
    /// Buyers who wait.
    pub crowds: Vec<u64>,
    /// Events.
    pub events: Vec<u64>,
    /// Rows of a journal that is started from.
    pub rows: Vec<u64>,
    /// What one figure is measured on, in thousands of holds or status reads.
    pub thousands: u64,
}

/// One figure.
#[derive(Clone, Debug)]
pub struct Row {
    /// How large the thing is.
    pub size: u64,
    /// The figure.
    pub figure: f64,
}

/// One kind of growth.
#[derive(Clone, Debug)]
pub struct Table {
    /// What grows.
    pub grows: &'static str,
    /// What is measured, with its unit.
    pub measured: &'static str,
    /// Whether a larger figure is a better one.
    pub more_is_better: bool,
    /// Whether it should stay the same; else the table is there to be seen.
    pub stays: bool,
    /// From small to large.
    pub rows: Vec<Row>,
}

impl Table {
    /// The figure of a row beside that of the smallest.
    #[must_use]
    pub fn ratio(&self, row: &Row) -> f64 {
        self.rows.first().map_or(1.0, |first| row.figure / first.figure)
    }

    /// Whether growing costs at most a tenth; growing may be cheaper.
    #[must_use]
    pub fn is_within(&self, row: &Row) -> bool {
        let ratio = self.ratio(row);
        if self.more_is_better { ratio >= 1.0 - TOLERANCE } else { ratio <= 1.0 + TOLERANCE }
    }

    /// For people, in Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut out =
            format!("| {} | {} | beside the smallest | within 10 % |\n|--:|--:|--:|---|\n", self.grows, self.measured);
        for row in &self.rows {
            let (size, figure) = (grouped(row.size), row.figure);
            let figure = if figure >= 1000.0 { grouped(figure.round() as u64) } else { format!("{figure:.1}") };
            let within = match (self.stays, self.is_within(row)) {
                (false, _) => "–",
                (true, true) => "yes",
                (true, false) => "no",
            };
            out.push_str(&format!("| {size} | {figure} | {:.2} | {within} |\n", self.ratio(row)));
        }
        out
    }
}

/// A number with commas between thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(0.0)
}

/// Measures everything; each table is written as soon as it is there.
///
/// # Errors
/// See [`GrowthError`].
pub async fn run(settings: &Settings, out: &mut impl Write) -> Result<Vec<Table>, GrowthError> {
    let mut tables = Vec::new();
    let mut write = |table: Table| -> io::Result<()> {
        writeln!(out, "{}", table.markdown())?;
        out.flush()?;
        tables.push(table);
        Ok(())
    };
    write(seats::over_http(settings).await?)?;
    write(seats::in_process(settings).await?)?;
    write(crowd::over_http(settings).await?)?;
    write(events::over_http(settings).await?)?;
    let (with, without) = restart::measure(settings).await?;
    write(with)?;
    write(without)?;
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_growing_costs() {
        let row = |size, figure| Row { size, figure };
        let rows = vec![row(1000, 50_000.0), row(1_000_000, 45_100.0), row(5_000_000, 44_000.0)];
        let mut table = Table { grows: "seats", measured: "holds/s", more_is_better: true, stays: true, rows };
        let within: Vec<bool> = table.rows.iter().map(|row| table.is_within(row)).collect();
        assert_eq!(within, [true, true, false]);
        assert!(table.markdown().contains("| 5,000,000 | 44,000 | 0.88 | no |"), "{}", table.markdown());
        table.more_is_better = false;
        assert!(table.rows.iter().all(|row| table.is_within(row)));
    }
}

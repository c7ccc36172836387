//! `onsale plan`: predicts an on-sale: how long people wait, and the load on machines. Runs the real engine in virtual
//! time on a hall, a crowd and the rules of an event; must never open a port or touch data.

mod crowd;
mod json;
mod outcome;
mod page;
mod simulation;
mod text;

pub use crowd::Crowd;
pub use outcome::{LOG_LINE_BYTES, METRICS_LINE_BYTES, Outcome, Second};

use crate::config::Config;
use crate::text::json_text;
use onsale_adapters::{FieldMistake, pretix, template};
use onsale_engine::limits::HOLDS_PER_SLOT;
use onsale_engine::money::{Amount, Currency};
use onsale_engine::plan::Plan;
use onsale_engine::sale::{AdmissionConfig, Sale, SaleConfig};
use serde_json::json;
use simulation::{OPENS, Simulation};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

/// The hall of a plan for which none is named.
const ARENA: &str = include_str!("../../../halls/arena.json");
/// Rows of a hall that is given by its number of seats.
const SEATS_IN_A_ROW: u32 = 50;

/// What is planned.
#[derive(Clone, Debug, clap::Args)]
pub struct PlanArgs {
    /// Hall: a pretix seating plan or a seat template, as JSON. Default: an arena of 16,254 seats.
    #[arg(long, value_name = "FILE", conflicts_with = "seats")]
    hall: Option<PathBuf>,
    /// Size of a plain hall with rows of fifty, instead of --hall, in seats (1 to 50000). Default: --hall is used.
    #[arg(long, value_name = "SEATS", value_parser = clap::value_parser!(u32).range(1..=50_000))]
    seats: Option<u32>,
    #[command(flatten)]
    crowd: Crowd,
    #[command(flatten)]
    rules: Rules,
    /// Other admission rates to compare with, in buyers per second, separated by commas (1 to 100000 each). Default: half, twice and
    /// five times the rate.
    #[arg(long, value_name = "PER_SECOND", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rates: Vec<u32>,
    /// File for an HTML page with plots. Default: not written.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Print JSON instead of text: the figures of each rate, and every second of the first one.
    #[arg(long)]
    json: bool,
}

/// The rules of the event, as `POST /events` takes them.
#[derive(Clone, Debug, clap::Args)]
pub struct Rules {
    /// Admission rate, in buyers per second (1 to 100000); `admission.ratePerSecond` of an event.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub rate: u32,
    /// Capacity of the waiting room, in places (1 to 10000000); `admission.capacity`.
    #[arg(long, value_name = "PLACES", default_value_t = 50_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub capacity: u64,
    /// Number of admitted buyers at the same time (1 to 10000000); `admission.activeLimit`. Default: no limit.
    #[arg(long, value_name = "BUYERS", value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    pub active_limit: Option<u64>,
    /// Time that an admitted buyer has, in seconds (1 to 86400); `admission.tokenSeconds`.
    #[arg(long, value_name = "SECONDS", default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub token_seconds: u64,
    /// Time that a hold lasts without payment, in seconds (1 to 3600); `holdSeconds`.
    #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub hold_seconds: u64,
}

/// Plans, and prints.
#[must_use]
pub fn run(args: &PlanArgs, config: &Config) -> ExitCode {
    match planned(args, config, &mut io::stdout().lock()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(io::stderr(), "onsale plan: {error}");
            ExitCode::FAILURE
        }
    }
}

fn planned(args: &PlanArgs, config: &Config, out: &mut dyn Write) -> Result<(), String> {
    let plan = hall(args)?;
    let Crowd { buyers, within, .. } = args.crowd;
    let seats = plan.capacity();
    let title = format!("{buyers} people within {within} s, {seats} seats, {} let in a second", args.rules.rate);
    let said = |error: io::Error| error.to_string();
    let mut first = simulate(&plan, &args.rules, &args.crowd, true);
    if !args.json {
        write!(out, "{title}\n\n{}", text::plan(&first, config)).map_err(said)?;
    }
    if !first.violations.is_empty() {
        return Err(format!("the engine broke its own rules: {}", first.violations.join("; ")));
    }
    let rate = args.rules.rate;
    let others = if args.rates.is_empty() { vec![(rate / 2).max(1), rate * 2, rate * 5] } else { args.rates.clone() };
    let others = others.into_iter().filter(|other| *other != rate);
    let others = others.map(|rate| simulate(&plan, &Rules { rate, ..args.rules.clone() }, &args.crowd, false));
    let mut outcomes: Vec<Outcome> = others.collect();
    first.violations.clear();
    outcomes.insert(0, first);
    let written = if args.json {
        writeln!(out, "{:#}", json::plan(&title, &outcomes, config))
    } else {
        write!(out, "\nwhat another rate would do\n{}", text::rates(&outcomes))
    };
    written.map_err(said)?;
    if let Some(file) = &args.html {
        let written = std::fs::write(file, page::page(&title, &outcomes, config));
        written.map_err(|error| format!("{}: {error}", file.display()))?;
        if !args.json {
            writeln!(out, "\nplots: {}", file.display()).map_err(said)?;
        }
    }
    Ok(())
}

/// Runs one on-sale in virtual time. Measuring asks the operating system for the memory that a copy of the sale takes.
#[must_use]
pub fn simulate(plan: &Arc<Plan>, rules: &Rules, crowd: &Crowd, is_measured: bool) -> Outcome {
    let mut bytes = None;
    // No money moves: any currency does.
    let Ok(currency) = "KRW".parse() else { return Outcome::new(0, rules.rate) };
    let mut outcome = Simulation::new(&sale_config(plan, rules, currency), plan, crowd).run(|sale| {
        if is_measured {
            bytes = size_of_a_copy(sale);
        }
    });
    outcome.sale_bytes = bytes;
    outcome
}

fn sale_config(plan: &Plan, rules: &Rules, currency: Currency) -> SaleConfig {
    let day = Duration::from_secs(24 * 3600);
    SaleConfig {
        sale_starts_at: OPENS,
        sale_ends_at: OPENS + 30 * day,
        cancellation_closes_at: OPENS + 60 * day,
        currency,
        prices: vec![Some(Amount(100_000)); plan.categories().len()],
        blocked: Arc::default(),
        max_seats_per_buyer: 4,
        hold: Duration::from_secs(rules.hold_seconds),
        no_orphans: false,
        admission: AdmissionConfig {
            required: true,
            rate_per_second: rules.rate,
            capacity: rules.capacity,
            active_limit: rules.active_limit,
            token: Duration::from_secs(rules.token_seconds),
            absent: Duration::from_secs(300),
            draw: false,
            room_opens_at: None,
            max_holds_per_slot: HOLDS_PER_SLOT,
        },
    }
}

/// What the process grows by when a sale is copied.
fn size_of_a_copy(sale: &Sale) -> Option<u64> {
    let before = resident_bytes()?;
    // Several, so that what the allocator had left over does not matter.
    let copies: Vec<Sale> = (0..4).map(|_| sale.clone()).collect();
    let grown = resident_bytes()?.saturating_sub(before);
    Some(grown / copies.len() as u64)
}

/// What the process has in memory; none where the operating system does not say.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024)
}

fn hall(args: &PlanArgs) -> Result<Arc<Plan>, String> {
    if let Some(seats) = args.seats {
        return plain_hall(seats);
    }
    match &args.hall {
        None => read_hall(ARENA.as_bytes(), Path::new("arena.json")),
        Some(file) => {
            let text = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            read_hall(&text, file)
        }
    }
}

/// A hall of one category in rows of fifty, the last one shorter.
///
/// # Errors
/// When it has more rows than a template may have.
pub fn plain_hall(seats: u32) -> Result<Arc<Plan>, String> {
    let (rows, per_row) = (seats.div_ceil(SEATS_IN_A_ROW), SEATS_IN_A_ROW.min(seats));
    let names: Vec<String> = (1..=rows).map(|row| format!("R{row}")).collect();
    let grades: serde_json::Map<String, serde_json::Value> =
        names.iter().map(|name| (name.clone(), json!("S"))).collect();
    let text = json!({ "rows": names, "seatsPerRow": per_row, "gradeMapping": grades }).to_string();
    read_hall(text.as_bytes(), Path::new("--seats"))
}

fn read_hall(text: &[u8], file: &Path) -> Result<Arc<Plan>, String> {
    let text = json_text(text).map_err(|error| format!("{} {error}", file.display()))?;
    // A mistake of JSON is one of the file, whatever it was meant to be.
    let document: serde_json::Value =
        serde_json::from_slice(text).map_err(|error| format!("{} is not JSON: {error}", file.display()))?;
    for member in ["seatTemplate", "seatingPlan"] {
        // The body of a request for a hall has it as a member.
        if let Some(inner) = document.get(member) {
            return read_hall(inner.to_string().as_bytes(), file);
        }
    }
    let is_template = document.get("rows").is_some();
    let imported = if is_template { template::import_plan(text, None) } else { pretix::import_plan(text, None) };
    imported.map(|imported| imported.plan).map_err(|found: Vec<FieldMistake>| {
        let found = found.into_iter().map(|mistake| format!("\n  {}: {}", mistake.field, mistake.message));
        format!("{} is no hall:{}", file.display(), found.collect::<String>())
    })
}

#[cfg(test)]
mod tests;

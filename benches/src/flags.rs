//! The command lines of the measuring binaries but `onsale-load`, whose flags are checked together in `load::flags`. Each flag says
//! its unit, bounds and default; `tests/it/help.rs` reads them. Must never start anything.

use crate::compare::Scenario;
use clap::builder::RangedU64ValueParser;
use clap::{Parser, Subcommand, ValueEnum};
use onsale_engine::limits::PROJECTION_LAG_MAX;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// A count between two bounds.
fn count(bounds: RangeInclusive<u64>) -> RangedU64ValueParser<usize> {
    RangedU64ValueParser::new().range(bounds)
}

fn whole(bounds: RangeInclusive<u64>) -> RangedU64ValueParser<u64> {
    RangedU64ValueParser::new().range(bounds)
}

/// Compare holds, refused holds and status reads over HTTP with a bare server that parses the same body and returns as many bytes.
/// Every hold is synced before its response. Needs `wrk` (Debian: apt-get install wrk).
///
/// Exit code 0 when every target is met, 1 when one is missed, 2 when nothing could be compared.
#[derive(Parser, Debug)]
#[command(name = "onsale-compare", version)]
pub struct CompareFlags {
    /// The bare server alone, unless the comparison is made.
    #[command(subcommand)]
    pub command: Option<ComparePart>,
    /// Duration of one run, in seconds (1 to 3600).
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = whole(1..=3600))]
    pub seconds: u64,
    /// Number of rounds, of which the table has the medians (1 to 1000).
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, value_parser = count(1..=1000))]
    pub rounds: usize,
    /// Numbers of connections, separated by commas (1 to 10000 each).
    #[arg(long, value_name = "CONNECTIONS", value_delimiter = ',', default_value = "64,256", value_parser = count(1..=10_000))]
    pub connections: Vec<usize>,
    /// Requests to measure, separated by commas.
    #[arg(long, value_name = "SCENARIOS", value_delimiter = ',', default_value = "hold,refused-hold,status")]
    pub scenarios: Vec<Scenario>,
    /// Number of threads of the load generator (1 to 64).
    #[arg(long, value_name = "THREADS", default_value_t = 2, value_parser = count(1..=64))]
    pub threads: usize,
    /// Number of buyers in the line whose status is read (2 to 1000000).
    #[arg(long, value_name = "BUYERS", default_value_t = 50_000, value_parser = whole(2..=1_000_000))]
    pub crowd: u64,
    /// Rate of the open loop, in holds per second; 0 skips it (0 to 1000000).
    #[arg(long, value_name = "PER_SECOND", default_value_t = 10_000, value_parser = whole(0..=1_000_000))]
    pub open_rate: u64,
    /// Duration of the open loop, in seconds (1 to 3600).
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole(1..=3600))]
    pub open_seconds: u64,
    /// Number of connections of the open loop (1 to 10000).
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 128, value_parser = count(1..=10_000))]
    pub open_connections: usize,
    /// Rate that the halls have seats for, in holds per second; increase it on a machine that sells them out (1 to 10000000).
    #[arg(long, value_name = "PER_SECOND", default_value_t = 100_000, value_parser = whole(1..=10_000_000))]
    pub most_per_second: u64,
    /// Server binary. Default: built in the profile of this binary.
    #[arg(long, value_name = "FILE")]
    pub onsale: Option<PathBuf>,
    /// Directory for temporary data. Default: the directory of this binary, so that it is on a real disk.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
    /// File for all measurements, as JSON. Default: not written.
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

/// The part of a comparison that runs alone.
#[derive(Subcommand, Debug)]
pub enum ComparePart {
    /// Run the bare server alone. The comparison starts it by itself.
    Ceiling {
        /// TCP port on 127.0.0.1 (1 to 65535).
        #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
        port: u16,
        /// File with the response body.
        #[arg(long, value_name = "FILE")]
        sample: PathBuf,
        /// Read and parse the body of a hold before each response.
        #[arg(long)]
        parses: bool,
    },
}

/// Kill a server under load with SIGKILL, start it again on the same data, and check that nothing it acknowledged is lost.
///
/// Exit code 0 when nothing is lost, 1 when something is, 2 when the trials could not be run.
#[derive(Parser, Debug)]
#[command(name = "onsale-crash", version)]
pub struct CrashFlags {
    /// Number of trials, each of which kills the server once (1 to 100000).
    #[arg(long, value_name = "TRIALS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub trials: u32,
    /// Seed of the random numbers, any whole number. The moment of a kill within the server's work remains random.
    #[arg(long, value_name = "SEED", default_value_t = 1)]
    pub seed: u64,
    /// Number of buyers at the same time (1 to 10000).
    #[arg(long, value_name = "BUYERS", default_value_t = 32, value_parser = count(1..=10_000))]
    pub connections: usize,
    /// Shortest time under load, in milliseconds (1 to 600000).
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 50, value_parser = whole(1..=600_000))]
    pub shortest_millis: u64,
    /// Longest time under load, in milliseconds; at least the shortest (1 to 600000).
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 1500, value_parser = whole(1..=600_000))]
    pub longest_millis: u64,
    /// Storage of the server. With `postgres`, a private PostgreSQL is stopped, crashed and paused during the run, and a private Redis
    /// stopped, restarted, wiped and paused: ten kinds of trial.
    #[arg(long, value_name = "STORAGE", value_enum, default_value_t = StorageName::Embedded)]
    pub storage: StorageName,
    /// Server binary. Default: built in the profile of this binary.
    #[arg(long, value_name = "FILE")]
    pub onsale: Option<PathBuf>,
    /// Directory in which data and logs are kept. Default: a temporary one, kept only after a failure.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Where the server keeps its data.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum StorageName {
    /// SQLite in a data directory.
    Embedded,
    /// A private PostgreSQL, and a private Redis.
    Postgres,
}

/// Measure what PostgreSQL and Redis allow and what onsale achieves with them, on private servers that sync every commit: the journal
/// compared with bare inserts, holds over HTTP compared with a row-lock transaction and with a Lua script.
///
/// Exit code 0 when every count is right, 1 otherwise.
#[derive(Parser, Debug)]
#[command(name = "onsale-databases", version)]
pub struct DatabasesFlags {
    /// Duration of one run, in seconds (1 to 3600).
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = whole(1..=3600))]
    pub seconds: u64,
    /// Number of rounds, of which the table has the medians (1 to 1000).
    #[arg(long, value_name = "ROUNDS", default_value_t = 3, value_parser = count(1..=1000))]
    pub rounds: usize,
    /// Size of a batch, in rows (1 to 100000).
    #[arg(long, value_name = "ROWS", default_value_t = 1000, value_parser = count(1..=100_000))]
    pub batch: usize,
    /// Number of clients of pgbench (1 to 1000).
    #[arg(long, value_name = "CLIENTS", default_value_t = 32, value_parser = count(1..=1000))]
    pub clients: usize,
    /// Number of connections of the load generator, over HTTP and to Redis (1 to 10000).
    #[arg(long, value_name = "CONNECTIONS", default_value_t = 256, value_parser = count(1..=10_000))]
    pub connections: usize,
    /// Rate that the hall has seats for, in holds per second (1 to 10000000).
    #[arg(long, value_name = "PER_SECOND", default_value_t = 60_000, value_parser = whole(1..=10_000_000))]
    pub most_per_second: u64,
    /// Lag of the tables at which commits wait for them, in facts (1 to 100000000). Lower values are reached sooner.
    #[arg(long, value_name = "FACTS", default_value_t = PROJECTION_LAG_MAX, value_parser = whole(1..=100_000_000))]
    pub lag_max: u64,
    /// Server binary. Default: built in the profile of this binary.
    #[arg(long, value_name = "FILE")]
    pub onsale: Option<PathBuf>,
}

/// Measure the memory of an idle event: start a server with many events at which nobody buys, add as many again, and print what each
/// of these takes beyond its seats.
#[derive(Parser, Debug)]
#[command(name = "onsale-footprint", version)]
pub struct FootprintFlags {
    /// Number of events to measure; the same number is created before them (1 to 1000000).
    #[arg(long, value_name = "EVENTS", default_value_t = 10_000, value_parser = whole(1..=1_000_000))]
    pub events: u64,
    /// Directory for temporary data. Default: the directory of this binary.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// Measure what growth costs: holds per second in larger halls and over more events, status reads per second in longer lines, the
/// time to start from longer journals. Takes several minutes and a few gigabytes of disk.
#[derive(Parser, Debug)]
#[command(name = "onsale-growth", version)]
pub struct GrowthFlags {
    /// Sizes of the halls over HTTP, in seats, separated by commas (10 to 1000000 each).
    #[arg(long, value_name = "SEATS", value_delimiter = ',', default_value = "5000,50000,500000,1000000", value_parser = whole(10..=1_000_000))]
    pub halls: Vec<u64>,
    /// Sizes of the halls in process, in seats, separated by commas (10 to 10000000 each).
    #[arg(long, value_name = "SEATS", value_delimiter = ',', default_value = "5000,50000,500000,5000000", value_parser = whole(10..=10_000_000))]
    pub large_halls: Vec<u64>,
    /// Lengths of the line, in buyers, separated by commas (1 to 10000000 each).
    #[arg(long, value_name = "BUYERS", value_delimiter = ',', default_value = "1000,10000,100000,1000000", value_parser = whole(1..=10_000_000))]
    pub crowds: Vec<u64>,
    /// Numbers of events, separated by commas (1 to 1000000 each).
    #[arg(long, value_name = "EVENTS", value_delimiter = ',', default_value = "1,100,10000", value_parser = whole(1..=1_000_000))]
    pub events: Vec<u64>,
    /// Length of the longest journal, in rows; a tenth and a hundredth of it are measured too (100 to 1000000000).
    #[arg(long, value_name = "ROWS", default_value_t = 10_000_000, value_parser = whole(100..=1_000_000_000))]
    pub rows: u64,
    /// Sample size of one figure, in thousands of holds; a smaller one is faster and less precise (1 to 100000).
    #[arg(long, value_name = "THOUSANDS", default_value_t = 50, value_parser = whole(1..=100_000))]
    pub thousands: u64,
    /// Directory for temporary data. Default: the directory of this binary, so that it is on a real disk.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

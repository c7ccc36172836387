//! The command line: every flag with its unit, and every mistake reported together. Must never start anything.

use super::levels::Limits;
use super::settings::{Made, Phase, Scenario, Settings, Share, Target, Transport};
use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use std::time::Duration;
use uuid::Uuid;

/// Streams that the server lets one HTTP/2 connection have, less some for other requests.
const STREAMS_PER_CONNECTION: usize = 480;
/// Sockets that are used round-robin, by default.
const SHARED_SOCKETS: usize = 15_000;
/// Connections of HTTP/2, by default.
const CONNECTIONS: usize = 256;
/// The most that a run may be asked for.
const MOST_BUYERS: u64 = 2_000_000;
const MOST_SECONDS: u64 = 6 * 3600;
const MOST_RATE: u64 = 100_000;
const MOST_PLACES: u64 = 10_000_000;
const MOST_SOCKETS: usize = 1_000_000;
const MOST_ERRORS: u64 = 1_000_000_000;
/// MiB: a TiB.
const MOST_MEMORY: u64 = 1_048_576;
/// Ten minutes.
const MOST_MILLIS: f64 = 600_000.0;

/// Put the load of an on-sale on a server and report what its buyers experienced. Requests leave on schedule whether or not earlier
/// ones were answered, and latency counts from the scheduled moment.
///
/// Exit code 0 when every service level was met, 1 when one was missed, 2 when the run could not be made, 130 when it was interrupted
/// (the report is written all the same).
#[derive(Parser, Debug)]
#[command(name = "onsale-load", version, max_term_width = 110)]
pub struct Flags {
    /// The kind of load.
    #[arg(value_enum)]
    scenario: Scenario,

    /// Base URL of a running server.
    #[arg(
        long,
        value_name = "URL",
        default_value = "http://127.0.0.1:8080",
        conflicts_with = "serve",
        help_heading = "Server"
    )]
    url: String,
    /// Start a server on new data, measure its memory, and check its journal afterwards.
    #[arg(long, help_heading = "Server")]
    serve: bool,
    /// With --serve: server binary. Default: built in the profile of this binary.
    #[arg(long, value_name = "FILE", requires = "serve", help_heading = "Server")]
    onsale: Option<PathBuf>,
    /// With --serve: directory in which data and log are kept; new or empty. Default: a temporary one.
    #[arg(long, value_name = "DIR", requires = "serve", help_heading = "Server")]
    dir: Option<PathBuf>,
    /// Process id of the running server on this machine, to measure its memory and processor time. Default: not measured.
    #[arg(long, value_name = "PID", conflicts_with = "serve", help_heading = "Server")]
    pid: Option<u32>,
    /// Secret that buyers' tokens are signed with, at least 32 bytes. Default: read from --data.
    #[arg(
        long,
        value_name = "SECRET",
        env = "ONSALE__AUTH__JWT_SECRET",
        hide_env_values = true,
        help_heading = "Server"
    )]
    secret: Option<String>,
    /// Data directory of the running server, to read the secret that it made. Default: --secret is used.
    #[arg(long, value_name = "DIR", conflicts_with = "serve", help_heading = "Server")]
    data: Option<PathBuf>,

    /// Id of an existing event. Default: a hall and an event are created, as an administrator.
    #[arg(long, value_name = "ID", conflicts_with = "serve", help_heading = "Event")]
    event: Option<Uuid>,
    /// Admission rate of the created event, in buyers per second (1 to 100000). Default: 10, for purchase 100.
    #[arg(long, value_name = "PER_SECOND", help_heading = "Event")]
    rate: Option<u64>,
    /// Capacity of the created event's waiting room, in places (1 to 10000000). Default: the number of buyers.
    #[arg(long, value_name = "PLACES", help_heading = "Event")]
    capacity: Option<u64>,
    /// Size of the created hall, in seats (2 to 1000000). Default: as the scenario needs.
    #[arg(long, value_name = "SEATS", help_heading = "Event")]
    seats: Option<u64>,
    /// queue: time from the first arrival to the opening of the sale, in seconds (0 to 21600). At 0 it is open from the start and buyers
    /// are admitted while others arrive; otherwise every rank is known exactly before the first admission. Default: two seconds after the
    /// last arrival.
    #[arg(long, value_name = "SECONDS", help_heading = "Event")]
    opens_after: Option<u64>,
    /// Time that a waiting buyer of the created event may be silent, in seconds (1 to 86400).
    #[arg(long, default_value_t = 30, value_name = "SECONDS", help_heading = "Event")]
    absent_after: u64,

    /// Number of buyers (1 to 2000000). Default: 50000 for queue, otherwise 2000.
    #[arg(long, value_name = "BUYERS", help_heading = "Crowd")]
    buyers: Option<u64>,
    /// Time over which they arrive evenly, in seconds (0 to 21600).
    #[arg(long, default_value_t = 10.0, value_name = "SECONDS", help_heading = "Crowd")]
    arrive: f64,
    /// queue: one event stream for each buyer instead of polling (with --transport http2).
    #[arg(long, help_heading = "Crowd")]
    streams: bool,
    /// queue: share of buyers who leave the line, in percent (0 to 100); half of them return to its end.
    #[arg(long, default_value_t = 3.0, value_name = "PERCENT", help_heading = "Crowd")]
    leave: f64,
    /// queue: share of buyers who are silent for longer than allowed and return to the end of the line, in percent (0 to 100).
    #[arg(long, default_value_t = 1.0, value_name = "PERCENT", help_heading = "Crowd")]
    silent: f64,
    /// Seed of the random numbers, any whole number.
    #[arg(long, value_name = "SEED", default_value_t = 1, help_heading = "Crowd")]
    seed: u64,
    /// catalogue: phases one after the other, each with its rate in requests per second (1 to 100000), an x, and its duration in seconds.
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "100x10,1000x10,5000x3",
        value_name = "RATExSECONDS",
        help_heading = "Crowd"
    )]
    phases: Vec<String>,
    /// queue: duration after the opening of the sale, in seconds (1 to 21600), unless everybody is admitted earlier. purchase: longest
    /// time that a buyer waits, in seconds.
    #[arg(long, default_value_t = 75, value_name = "SECONDS", help_heading = "Crowd")]
    seconds: u64,

    /// Protocol and use of connections.
    #[arg(long, value_name = "TRANSPORT", value_enum, default_value_t = Transport::Http2, help_heading = "Connections")]
    transport: Transport,
    /// Number of connections (1 to 1000000). Default: 256 for http2, 15000 for http1, one for each buyer for http1-each.
    #[arg(long, value_name = "CONNECTIONS", help_heading = "Connections")]
    connections: Option<usize>,
    /// Number of idle HTTP/1.1 sockets beside the traffic (0 to 1000000); each sends a small request once a minute.
    #[arg(long, default_value_t = 0, value_name = "SOCKETS", help_heading = "Connections")]
    idle_sockets: usize,

    /// 95th percentile allowed for entering the waiting room, in milliseconds (0 to 600000).
    #[arg(long, default_value_t = 100.0, value_name = "MILLISECONDS", help_heading = "Service levels")]
    entry_p95: f64,
    /// 95th percentile allowed for each kind of read, in milliseconds (0 to 600000).
    #[arg(long, default_value_t = 50.0, value_name = "MILLISECONDS", help_heading = "Service levels")]
    read_p95: f64,
    /// Number of requests that may fail (0 to 1000000000).
    #[arg(long, default_value_t = 0, value_name = "REQUESTS", help_heading = "Service levels")]
    errors: u64,
    /// queue: share of the admission rate that must be reached while people wait, in percent (0 to 100).
    #[arg(long, default_value_t = 99.0, value_name = "PERCENT", help_heading = "Service levels")]
    held_rate: f64,
    /// Memory allowed for the server at its peak, in MiB (1 to 1048576). Default: reported without a limit.
    #[arg(long, value_name = "MIB", help_heading = "Service levels")]
    memory: Option<u64>,

    /// File for the report as one HTML page with plots. Default: not written.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    html: Option<PathBuf>,
    /// File for the report as JSON. Default: not written.
    #[arg(long, value_name = "FILE", help_heading = "Report")]
    json: Option<PathBuf>,
}

/// Collects what is wrong.
struct Mistakes(Vec<String>);

impl Mistakes {
    fn unless(&mut self, good: bool, what: impl Into<String>) {
        if !good {
            self.0.push(what.into());
        }
    }
}

impl Flags {
    /// What is to be done.
    ///
    /// # Errors
    /// Every mistake, each by its flag.
    pub fn check(self) -> Result<Settings, Vec<String>> {
        let mut wrong = Mistakes(Vec::new());
        self.check_numbers(&mut wrong);
        let crowd = if self.scenario == Scenario::Queue { 50_000 } else { 2000 };
        let buyers = self.buyers.unwrap_or(crowd);
        let many = usize::try_from(buyers).unwrap_or(usize::MAX);
        let connections = self.connections.unwrap_or(match self.transport {
            Transport::Http2 => CONNECTIONS.min(many),
            Transport::Http1 => SHARED_SOCKETS.min(many),
            Transport::Http1Each => many,
        });
        self.check_connections(&mut wrong, many, connections);
        let target = self.target(&mut wrong);
        let phases: Vec<Phase> = self.phases.iter().filter_map(|text| phase(text, &mut wrong)).collect();
        let arrive = Duration::try_from_secs_f64(self.arrive).unwrap_or_default();
        let opens_after = match self.opens_after {
            Some(0) => None,
            Some(seconds) => Some(Duration::from_secs(seconds)),
            None => Some(arrive + Duration::from_secs(2)),
        };
        if !wrong.0.is_empty() {
            return Err(wrong.0);
        }
        Ok(Settings {
            scenario: self.scenario,
            target,
            pid: self.pid,
            secret: self.secret.map(String::into_bytes),
            event: self.event,
            made: Made {
                rate: self.rate.unwrap_or(if self.scenario == Scenario::Purchase { 100 } else { 10 }),
                capacity: self.capacity.unwrap_or(buyers),
                seats: self.seats,
                opens_after,
                absent_after: Duration::from_secs(self.absent_after),
            },
            buyers,
            arrive,
            streams: self.streams,
            leave: Share::percent(self.leave),
            silent: Share::percent(self.silent),
            seed: self.seed,
            phases,
            lasts: Duration::from_secs(self.seconds),
            transport: self.transport,
            connections,
            idle_sockets: self.idle_sockets,
            limits: Limits {
                entry_p95_ms: self.entry_p95,
                read_p95_ms: self.read_p95,
                errors: self.errors,
                held_percent: self.held_rate,
                memory_mib: self.memory,
            },
            html: self.html,
            json: self.json,
        })
    }

    fn check_numbers(&self, wrong: &mut Mistakes) {
        let buyers = self.buyers.unwrap_or(1);
        wrong.unless((1..=MOST_BUYERS).contains(&buyers), format!("--buyers: 1 to {MOST_BUYERS}"));
        wrong.unless(
            self.rate.is_none_or(|rate| (1..=MOST_RATE).contains(&rate)),
            format!("--rate: 1 to {MOST_RATE} a second"),
        );
        wrong.unless(
            self.capacity.is_none_or(|places| (1..=MOST_PLACES).contains(&places)),
            format!("--capacity: 1 to {MOST_PLACES}"),
        );
        let opens_in_time = self.opens_after.is_none_or(|seconds| seconds <= MOST_SECONDS);
        wrong.unless(opens_in_time, format!("--opens-after: 0 to {MOST_SECONDS} seconds"));
        wrong.unless(self.errors <= MOST_ERRORS, format!("--errors: 0 to {MOST_ERRORS}"));
        wrong.unless(
            self.memory.is_none_or(|memory| (1..=MOST_MEMORY).contains(&memory)),
            format!("--memory: 1 to {MOST_MEMORY} MiB"),
        );
        wrong.unless(self.seats.is_none_or(|seats| (2..=1_000_000).contains(&seats)), "--seats: 2 to 1000000");
        wrong.unless(self.arrive >= 0.0 && self.arrive <= MOST_SECONDS as f64, "--arrive: 0 to 21600 seconds");
        wrong.unless((1..=MOST_SECONDS).contains(&self.seconds), "--seconds: 1 to 21600");
        wrong.unless((1..=86_400).contains(&self.absent_after), "--absent-after: 1 to 86400 seconds");
        for (name, percent) in [("--leave", self.leave), ("--silent", self.silent), ("--held-rate", self.held_rate)] {
            wrong.unless((0.0..=100.0).contains(&percent), format!("{name}: 0 to 100 percent"));
        }
        wrong.unless(self.leave + self.silent <= 100.0, "--leave and --silent: together at most 100 percent");
        let waits = self.opens_after.map_or(self.arrive + 2.0, |seconds| seconds as f64);
        let notices = self.scenario != Scenario::Queue || self.silent <= 0.0 || waits < self.absent_after as f64;
        wrong.unless(
            notices,
            "--absent-after: longer than until the sale opens, or nobody may fall silent (--silent 0)",
        );
        for (name, millis) in [("--entry-p95", self.entry_p95), ("--read-p95", self.read_p95)] {
            wrong.unless((0.0..=MOST_MILLIS).contains(&millis), format!("{name}: 0 to {MOST_MILLIS} milliseconds"));
        }
    }

    fn check_connections(&self, wrong: &mut Mistakes, buyers: usize, connections: usize) {
        wrong.unless((1..=MOST_SOCKETS).contains(&connections), format!("--connections: 1 to {MOST_SOCKETS}"));
        wrong.unless(self.idle_sockets <= MOST_SOCKETS, format!("--idle-sockets: 0 to {MOST_SOCKETS}"));
        if self.transport == Transport::Http1Each {
            let own = self.connections.is_none_or(|many| many == buyers);
            wrong.unless(own, "--connections: http1-each has one for each buyer");
        }
        if self.streams {
            wrong.unless(self.scenario == Scenario::Queue, "--streams: only queue has them");
            wrong.unless(self.transport == Transport::Http2, "--streams: only over --transport http2");
            let needed = buyers.div_ceil(STREAMS_PER_CONNECTION);
            wrong.unless(connections >= needed, format!("--connections: {buyers} streams need at least {needed}"));
        }
        let files = connections.saturating_add(self.idle_sockets);
        let room = onsale_server::open_files::room_for_connections(files);
        wrong.unless(
            room >= files,
            format!(
                "--connections and --idle-sockets: {files} sockets, but the limit of open files leaves room for {room}"
            ),
        );
    }

    fn target(&self, wrong: &mut Mistakes) -> Target {
        let secret = self.secret.as_ref();
        wrong.unless(secret.is_none_or(|secret| secret.len() >= 32), "--secret: at least 32 bytes");
        if self.serve {
            return Target::Serve { onsale: self.onsale.clone(), dir: self.dir.clone() };
        }
        let uri = self.url.trim_end_matches('/').parse::<http::Uri>().ok().filter(|uri| {
            uri.scheme_str() == Some("http") && uri.authority().is_some() && matches!(uri.path(), "" | "/")
        });
        wrong.unless(uri.is_some(), "--url: http://HOST:PORT");
        let known = secret.is_some() || self.data.is_some();
        wrong.unless(known, "--secret (or ONSALE__AUTH__JWT_SECRET) or --data: buyers' tokens must be signed");
        Target::Running { url: self.url.trim_end_matches('/').to_owned(), data: self.data.clone() }
    }
}

fn phase(text: &str, wrong: &mut Mistakes) -> Option<Phase> {
    let read = text.split_once('x').and_then(|(rate, seconds)| {
        let (rate, seconds) = (rate.trim().parse().ok()?, seconds.trim().parse().ok()?);
        let good = (1..=MOST_RATE).contains(&rate) && (1..=MOST_SECONDS).contains(&seconds);
        good.then_some(Phase { rate, lasts: Duration::from_secs(seconds) })
    });
    wrong.unless(read.is_some(), format!("--phases: {text} is not RATExSECONDS, such as 1000x10"));
    read
}

impl std::fmt::Display for Scenario {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

impl std::fmt::Display for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.to_possible_value().as_ref().map_or("", |value| value.get_name()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use clap::CommandFactory;

    const SECRET: &str = "--secret=a secret that is long enough for anybody";

    fn check(flags: &[&str]) -> Result<Settings, Vec<String>> {
        Flags::try_parse_from(["onsale-load"].iter().chain(flags)).unwrap().check()
    }

    #[test]
    fn the_flags_are_well_formed() {
        Flags::command().debug_assert();
    }

    #[test]
    fn defaults_follow_the_scenario_and_the_transport() {
        let queue = check(&["queue", SECRET]).unwrap();
        assert_eq!((queue.buyers, queue.connections, queue.made.capacity), (50_000, 256, 50_000));
        assert_eq!(queue.made.opens_after, Some(Duration::from_secs(12)));
        let seats = check(&["seats", SECRET, "--transport", "http1", "--buyers=500", "--opens-after=0"]).unwrap();
        assert_eq!((seats.buyers, seats.connections, seats.made.opens_after), (500, 500, None));
        let each = check(&["purchase", SECRET, "--transport", "http1-each", "--buyers=40"]).unwrap();
        assert_eq!(each.connections, 40);
        let catalogue = check(&["catalogue", SECRET, "--phases", "7x3"]).unwrap();
        assert_eq!(catalogue.phases, [Phase { rate: 7, lasts: Duration::from_secs(3) }]);
    }

    #[test]
    fn every_mistake_is_reported_at_once() {
        let flags = [
            "queue",
            "--secret=short",
            "--rate=0",
            "--arrive=-1",
            "--leave=101",
            "--phases=fast",
            "--streams",
            "--transport=http1",
            "--url=ftp://a",
            "--absent-after=0",
        ];
        let wrong = check(&flags).unwrap_err().join("\n");
        for flag in ["--secret", "--rate", "--arrive", "--leave", "--phases", "--streams", "--url", "--absent-after"] {
            assert!(wrong.contains(flag), "{flag} is not in\n{wrong}");
        }
        assert!(check(&["queue"]).unwrap_err()[0].starts_with("--secret"));
        let few = check(&["queue", SECRET, "--streams", "--connections=10"]).unwrap_err();
        assert!(few[0].contains("need at least 105"), "{few:?}");
        let files = check(&["queue", SECRET, "--idle-sockets=100000000"]).unwrap_err();
        assert!(files.iter().any(|mistake| mistake.contains("open files")), "{files:?}");
    }
}

//! The configuration: every key with meaning, unit, default and what raising it costs. `config.toml` in the project's
//! root says the same, and a test holds the two together. Must never start anything, and never print a secret.

mod catalogue;
mod changes;
mod environment;
mod lines;
mod log_level;
mod postgres;
mod reader;
mod redis;

#[cfg(test)]
mod tests;

pub use catalogue::CatalogueConfig;
pub use changes::{Change, HIDDEN, LIVE, Origin, Reported, changes};
pub use postgres::{PostgresConfig, StorageConfig, StorageKind};
pub use reader::ConfigMistake;
pub use redis::{CacheConfig, RedisConfig};

use crate::accounts::{check_password, is_email};
use crate::limits::{FAMILIES, Family, Networks};
use crate::text::{FileMistake, read_file};
use onsale_engine::limits::{
    CHARGE_TIMEOUT_MAX, COMMIT_STALL, COMMIT_STALL_MAX, COMMIT_STALL_MIN, FACTS_PER_SNAPSHOT, PROJECTION_LAG_MAX,
    UNLOADED_AFTER,
};
use onsale_engine::ports::accounts::Role;
use onsale_engine::ports::shared::Quota;
use onsale_engine::text::composed;
use reader::{PREFIX, Reader};
use secrecy::SecretString;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The variable that makes the first administrator: `email:password`.
const BOOTSTRAP_ADMIN: &str = "ONSALE_BOOTSTRAP_ADMIN";
/// The file that is read from the working directory unless another is named.
pub const DEFAULT_FILE: &str = "config.toml";
/// The shortest secret for access tokens, in bytes.
const SECRET_BYTES: usize = 32;

/// All of it.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[storage]`
    pub storage: StorageConfig,
    /// `[postgres]`
    pub postgres: PostgresConfig,
    /// `[redis]`, where nodes share something; none with embedded storage.
    pub redis: Option<RedisConfig>,
    /// `[cache]`
    pub cache: CacheConfig,
    /// `[catalogue]`
    pub catalogue: CatalogueConfig,
    /// `[auth]`
    pub auth: AuthConfig,
    /// `[payment]`
    pub payment: PaymentConfig,
    /// `[rate_limit]`
    pub rate_limit: RateLimitConfig,
    /// `[log]`
    pub log: LogConfig,
    /// `[metrics]`
    pub metrics: MetricsConfig,
    /// `[engine]`
    pub engine: EngineConfig,
    /// The administrator to make before ready, unless the e-mail address has an account.
    pub bootstrap_admin: Option<BootstrapAdmin>,
    /// Every key as it was reported, to be compared when the file is read again.
    pub reported: Reported,
}

/// The port.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where to listen. Default 127.0.0.1:8080.
    pub listen: SocketAddr,
    /// How long a request may take before it is answered 504. Milliseconds, default 5000. Raising it lets callers
    /// wait longer and more requests pile up when something is slow.
    pub request_timeout: Duration,
    /// How long a stopping server waits for open requests. Milliseconds, default 10000. Raising it delays restarts.
    pub drain_timeout: Duration,
    /// How long a stopping server continues to answer while its readiness check already fails, so that
    /// load balancers send nobody any more. Milliseconds, default 0. Raising it delays restarts.
    pub leave: Duration,
    /// Connections at the same time; more are answered 503. Default 16384. Each costs a file descriptor and about
    /// 10 KiB; the process' limit of open files is raised for it, and where it may not be, fewer are taken.
    pub max_connections: usize,
    /// The same for each address of a client, an IPv6 one without its last 64 bits; more are answered 503. Default: a quarter
    /// of `max_connections`. Carriers and offices share one address, so that lowering it shuts people out; raising it lets one
    /// machine take more of the connections.
    pub max_connections_per_address: usize,
    /// Proxies in front of the server, which may have any number of connections: addresses or networks. Default none, and
    /// with `rate_limit.forwarded_hops` above 0 every client is taken for one. Naming too many lifts the limit for them.
    pub proxies: Networks,
    /// How long the head of a request may take, from its first byte, and for the first one from the connection's beginning.
    /// Milliseconds, default 10000. Raising it lets clients that send nothing whole keep connections for longer.
    pub head_timeout: Duration,
    /// How long a connection may be unused between requests, and an answer unread. Seconds, default 80, at least 75. Raising it
    /// keeps more sockets open.
    pub idle_timeout: Duration,
}

/// Accounts and tokens.
#[derive(Clone, Debug)]
pub struct AuthConfig {
    /// The secret that signs access tokens and everything that buyers carry, at least 32 bytes. Default: one that is made at the first start and kept
    /// in the data directory.
    pub jwt_secret: Option<SecretString>,
    /// Threads that hash passwords. Default 1. Raising it takes processors from the sale.
    pub hash_threads: usize,
    /// Passwords waiting to be hashed, fair between addresses; more are answered 503. Default 64. Raising it makes waves of log-ins wait
    /// longer instead of trying again.
    pub hash_queue: usize,
    /// How many numbers a client has to try at the most to solve a challenge. Default 100000, a fraction of a second in a
    /// browser. Raising it makes guessing dearer, and slow telephones wait longer.
    pub challenge_max_number: u64,
    /// Whether signing up takes a solved challenge. Default false. Turning it on slows scripts that make accounts, and
    /// every client has to solve one.
    pub challenge_signups: bool,
}

/// Who charges.
#[derive(Clone, Debug)]
pub struct PaymentConfig {
    /// The provider. Default `simulated`, the only one of this build.
    pub provider: PaymentProviderName,
    /// How long the provider is waited for before a payment is answered `PENDING`. Milliseconds, default 10000.
    pub timeout: Duration,
}

/// A provider by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentProviderName {
    /// The built-in one, which moves no money.
    Simulated,
}

/// Limits of requests.
#[derive(Clone, Debug)]
pub struct RateLimitConfig {
    /// Whether limits are kept. Default true.
    pub enabled: bool,
    /// Proxies in front of the server that add to `X-Forwarded-For`. Default 0: the peer of the connection is the client.
    pub forwarded_hops: usize,
    /// How much each family allows, by its number; as `"requests/seconds s"` in the file.
    pub quotas: [Quota; FAMILIES],
}

/// The log.
#[derive(Clone, Debug)]
pub struct LogConfig {
    /// A level for everything (`error`, `warn`, `info`, `debug`, `trace`, `off`), and levels for parts after it, as in
    /// `info,onsale::access=debug`; important lines are always written. Default `info`. `debug` writes a line for each request, which costs throughput.
    pub level: String,
    /// `json` (default), a line for each record, or `text`.
    pub format: LogFormat,
    /// Where the files `all.DATE.log` and `important.DATE.log` are written. Default none: everything goes to standard
    /// error. With it, standard error has the important lines only.
    pub directory: Option<PathBuf>,
    /// Whether the group may read these files, for an agent that ships them. Default false.
    pub group_readable: bool,
    /// Of how many buyers one has all requests logged at `info`; 0 is none. Default 100. Lowering it costs log volume.
    /// Failures, and changes to reservations and payments, are logged for every caller, up to a number a second.
    pub access_one_in: u32,
    /// Answers that take this long or longer are slow: their requests are logged for every caller, up to 20 a second; routes that hash passwords,
    /// read seating plans, or wait for a payment provider may take ten times as long. Milliseconds, default 250; 0 is never.
    /// Lowering it costs log volume.
    pub slow: Duration,
}

/// Metrics for CloudWatch; Prometheus' are always at `/metrics`.
#[derive(Clone, Debug)]
pub struct MetricsConfig {
    /// In which form they are published. Default `none`.
    pub cloudwatch: CloudWatchForm,
    /// Where StatsD datagrams go. Default 127.0.0.1:8125, the CloudWatch agent's.
    pub statsd_address: SocketAddr,
    /// How often. Seconds, default 60. Lowering it costs log volume.
    pub interval: Duration,
    /// What a scraper must send to read `/metrics` as `Authorization: Bearer …`. Default none: everybody may read them.
    pub token: Option<SecretString>,
    /// The value of the one dimension. Default `onsale`. Every other value is ten metrics more on the bill.
    pub service: String,
}

/// See [`MetricsConfig::cloudwatch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloudWatchForm {
    /// Not at all.
    None,
    /// As embedded-metric lines of the log.
    Emf,
    /// As StatsD datagrams.
    Statsd,
}

/// How a log record is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads that run the actors of events. Default 1: one is enough unless several on-sales are busy at once.
    pub arbiters: usize,
    /// Facts of one event after which a snapshot is taken. Default 200000. Raising it makes starts slower.
    pub snapshot_every: u64,
    /// Facts that may be committed and not yet in the tables. Default 500000. Raising it lets lists be older under a long
    /// load; lowering it lets the tables slow the sale sooner.
    pub projection_lag_max: u64,
    /// How long a commit may go without an answer before new commands are refused. Milliseconds, default 2000. Raising it
    /// lets more requests wait for a disk that has stopped for good.
    pub commit_stall: Duration,
    /// After how long an event leaves memory that is over and that nobody asks for. Seconds, default 120. Raising it keeps
    /// more events in memory; lowering it reads them from the disk more often.
    pub unload_after: Duration,
}

/// See [`Config::bootstrap_admin`].
#[derive(Clone, Debug)]
pub struct BootstrapAdmin {
    /// The address.
    pub email: String,
    /// The password.
    pub password: SecretString,
}

/// Why there is no configuration: everything that is wrong.
#[derive(Debug, thiserror::Error)]
#[error("the configuration has mistakes{}:{}", named(.1.as_deref()), list(.0))]
pub struct ConfigError(pub Vec<ConfigMistake>, pub Option<PathBuf>);

fn named(file: Option<&Path>) -> String {
    file.map(|file| format!(" ({})", file.display())).unwrap_or_default()
}

fn list(mistakes: &[ConfigMistake]) -> String {
    mistakes.iter().map(|mistake| format!("\n  {mistake}")).collect()
}

impl Config {
    /// Reads `file` (it must exist when it was named; `config.toml` need not), overridden by the environment.
    ///
    /// # Errors
    /// Every mistake of both.
    pub fn load(file: Option<&Path>, env: impl IntoIterator<Item = (OsString, OsString)>) -> Result<Self, ConfigError> {
        let path = file.unwrap_or(Path::new(DEFAULT_FILE));
        let (text, unread) = match read_file(path) {
            Ok(text) => (Some(text), None),
            Err(FileMistake::Io(error)) if error.kind() == std::io::ErrorKind::NotFound && file.is_none() => {
                (None, None)
            }
            Err(error) => {
                (None, Some(ConfigMistake { place: path.display().to_string(), line: None, reason: error.to_string() }))
            }
        };
        let read = Self::read(text.as_deref(), env, unread);
        // Lines are of a file that was read.
        read.map_err(|ConfigError(mistakes, _)| ConfigError(mistakes, text.map(|_| path.to_owned())))
    }

    /// Whether connections are counted by their address: not when all come through proxies that have no names.
    #[must_use]
    pub fn counts_by_address(&self) -> bool {
        self.rate_limit.forwarded_hops == 0 || !self.server.proxies.is_empty()
    }

    /// Reads the text of a file and the environment.
    fn read(
        file: Option<&str>,
        env: impl IntoIterator<Item = (OsString, OsString)>,
        unread: Option<ConfigMistake>,
    ) -> Result<Self, ConfigError> {
        let mut overrides = BTreeMap::new();
        let mut bootstrap = None;
        let (mut strange, mut others) = (Vec::new(), Vec::new());
        for (name, value) in env {
            let Some(name) = name.to_str() else { continue };
            if !name.starts_with(PREFIX) && name != BOOTSTRAP_ADMIN {
                others.push(name.to_owned());
                continue;
            }
            match value.into_string() {
                Err(_) => strange.push(name.to_owned()),
                Ok(value) if name == BOOTSTRAP_ADMIN => bootstrap = Some(value),
                Ok(value) => drop(overrides.insert(name.to_owned(), value)),
            }
        }
        let mut reader = Reader::new(file, overrides);
        if let Some(mistake) = unread {
            reader.mistake(mistake.place, mistake.reason);
        }
        for name in strange {
            reader.mistake(name, "must be UTF-8");
        }
        let config = Self::of(&mut reader, bootstrap.as_deref());
        for (name, meant) in environment::near_misses(&others, reader.known()) {
            reader.mistake(name, format!("is not read; did you mean {meant}?"));
        }
        let mistakes = reader.finish();
        if mistakes.is_empty() { Ok(config) } else { Err(ConfigError(mistakes, None)) }
    }

    fn of(reader: &mut Reader, bootstrap: Option<&str>) -> Self {
        let (server, storage) = (server(reader), postgres::storage(reader));
        let postgres = postgres::postgres(reader, storage.kind);
        Self {
            redis: redis::redis(reader).filter(|_| storage.kind == StorageKind::Postgres),
            cache: redis::cache(reader),
            catalogue: catalogue::catalogue(reader),
            server,
            storage,
            postgres,
            auth: auth(reader),
            payment: payment(reader),
            rate_limit: rate_limit(reader),
            log: log(reader),
            metrics: metrics(reader),
            engine: engine(reader),
            bootstrap_admin: bootstrap.filter(|text| !text.is_empty()).and_then(|text| bootstrap_admin(reader, text)),
            reported: reader.reported(),
        }
    }
}

fn server(reader: &mut Reader) -> ServerConfig {
    let default = SocketAddr::from(([127, 0, 0, 1], 8080));
    let millis = Duration::from_millis;
    let in_bounds = |number: &u64| match number {
        1..=1_000_000 => Ok(()),
        _ => Err("must be from 1 to 1000000".to_owned()),
    };
    let mut server = ServerConfig {
        listen: reader.value("server", "listen", default, |_| Ok(())),
        request_timeout: millis(reader.number("server", "request_timeout_ms", 5000, 100..=120_000)),
        drain_timeout: millis(reader.number("server", "drain_timeout_ms", 10_000, 0..=600_000)),
        leave: millis(reader.number("server", "leave_ms", 0, 0..=600_000)),
        max_connections: size(reader.number("server", "max_connections", 16_384, 1..=1_000_000)),
        max_connections_per_address: 0,
        proxies: reader.value("server", "proxies", Networks::default(), |_| Ok(())),
        head_timeout: millis(reader.number("server", "head_timeout_ms", 10_000, 100..=60_000)),
        idle_timeout: Duration::from_secs(reader.number("server", "idle_timeout_s", 80, 75..=3600)),
    };
    let per_address = reader.optional("server", "max_connections_per_address", in_bounds).map(size);
    server.max_connections_per_address = per_address.unwrap_or((server.max_connections / 4).max(1));
    server
}

fn auth(reader: &mut Reader) -> AuthConfig {
    let long_enough = |secret: &String| {
        let reason = || format!("must have at least {SECRET_BYTES} bytes, it has {}", secret.len());
        if secret.len() >= SECRET_BYTES { Ok(()) } else { Err(reason()) }
    };
    AuthConfig {
        jwt_secret: reader.optional("auth", "jwt_secret", long_enough).map(SecretString::from),
        hash_threads: size(reader.number("auth", "hash_threads", 1, 1..=64)),
        hash_queue: size(reader.number("auth", "hash_queue", 64, 1..=10_000)),
        challenge_max_number: reader.number("auth", "challenge_max_number", 100_000, 1000..=10_000_000),
        challenge_signups: reader.value("auth", "challenge_signups", false, |_| Ok(())),
    }
}

fn payment(reader: &mut Reader) -> PaymentConfig {
    let simulated = PaymentProviderName::Simulated;
    let longest = u64::try_from(CHARGE_TIMEOUT_MAX.as_millis()).unwrap_or(u64::MAX);
    PaymentConfig {
        provider: reader.word("payment", "provider", simulated, &[("simulated", Ok(simulated))]),
        timeout: Duration::from_millis(reader.number("payment", "timeout_ms", 10_000, 100..=longest)),
    }
}

fn rate_limit(reader: &mut Reader) -> RateLimitConfig {
    RateLimitConfig {
        enabled: reader.value("rate_limit", "enabled", true, |_| Ok(())),
        forwarded_hops: size(reader.number("rate_limit", "forwarded_hops", 0, 0..=10)),
        quotas: Family::ALL.map(|family| {
            reader.value("rate_limit", family.name(), family.default_quota(), |quota: &Quota| {
                let fits = quota.requests.get() <= 1_000_000 && (1..=86_400).contains(&quota.window.as_secs());
                if fits { Ok(()) } else { Err("must allow 1 to 1000000 requests in 1 to 86400 seconds".to_owned()) }
            })
        }),
    }
}

fn log(reader: &mut Reader) -> LogConfig {
    LogConfig {
        level: reader.value("log", "level", "info".to_owned(), |level: &String| log_level::check(level)),
        format: reader.word(
            "log",
            "format",
            LogFormat::Json,
            &[("json", Ok(LogFormat::Json)), ("text", Ok(LogFormat::Text))],
        ),
        directory: reader.optional("log", "directory", not_empty).map(PathBuf::from),
        group_readable: reader.value("log", "group_readable", false, |_| Ok(())),
        access_one_in: u32::try_from(reader.number("log", "access_one_in", 100, 0..=1_000_000)).unwrap_or(u32::MAX),
        slow: Duration::from_millis(reader.number("log", "slow_ms", 250, 0..=600_000)),
    }
}

fn metrics(reader: &mut Reader) -> MetricsConfig {
    let forms =
        [("none", Ok(CloudWatchForm::None)), ("emf", Ok(CloudWatchForm::Emf)), ("statsd", Ok(CloudWatchForm::Statsd))];
    let fits = |name: &String| match name.len() {
        1..=255 if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) => Ok(()),
        _ => Err("must be 1 to 255 letters, digits, hyphens, underscores or dots".to_owned()),
    };
    MetricsConfig {
        cloudwatch: reader.word("metrics", "cloudwatch", CloudWatchForm::None, &forms),
        statsd_address: reader.value("metrics", "statsd_address", SocketAddr::from(([127, 0, 0, 1], 8125)), |_| Ok(())),
        interval: Duration::from_secs(reader.number("metrics", "interval_s", 60, 1..=300)),
        token: reader.optional("metrics", "token", token).map(SecretString::from),
        service: reader.value("metrics", "service", "onsale".to_owned(), fits),
    }
}

#[allow(clippy::ptr_arg, reason = "as settings are checked")]
fn token(token: &String) -> Result<(), String> {
    let fits = (16..=256).contains(&token.len()) && token.bytes().all(|byte| (b' '..=b'~').contains(&byte));
    if fits { Ok(()) } else { Err("must have 16 to 256 printable ASCII characters".to_owned()) }
}

fn engine(reader: &mut Reader) -> EngineConfig {
    EngineConfig {
        arbiters: size(reader.number("engine", "arbiters", 1, 1..=64)),
        snapshot_every: reader.number("engine", "snapshot_every", FACTS_PER_SNAPSHOT, 1000..=100_000_000),
        projection_lag_max: reader.number("engine", "projection_lag_max", PROJECTION_LAG_MAX, 1000..=100_000_000),
        commit_stall: Duration::from_millis(reader.number(
            "engine",
            "commit_stall_ms",
            millis(COMMIT_STALL),
            millis(COMMIT_STALL_MIN)..=millis(COMMIT_STALL_MAX),
        )),
        unload_after: Duration::from_secs(reader.number(
            "engine",
            "unload_after_s",
            UNLOADED_AFTER.as_secs(),
            1..=86_400,
        )),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn bootstrap_admin(reader: &mut Reader, text: &str) -> Option<BootstrapAdmin> {
    let Some((email, password)) = text.split_once(':') else {
        reader.mistake(BOOTSTRAP_ADMIN, "must be email:password");
        return None;
    };
    let mut fits = true;
    if !is_email(email) {
        reader.mistake(BOOTSTRAP_ADMIN, "what stands before the colon must be an e-mail address");
        fits = false;
    }
    if let Err(mistake) = check_password(password, Role::Admin, email, "") {
        reader.mistake(BOOTSTRAP_ADMIN, format!("the password must be: {mistake}"));
        fits = false;
    }
    fits.then(|| BootstrapAdmin { email: composed(email).into_owned(), password: SecretString::from(password) })
}

#[allow(clippy::ptr_arg, reason = "as settings are checked")]
fn not_empty(path: &String) -> Result<(), String> {
    if path.is_empty() { Err("must not be empty".to_owned()) } else { Ok(()) }
}

fn begins(url: &str, schemes: &[&str]) -> Result<(), String> {
    let fits = url.is_empty() || schemes.iter().any(|scheme| url.starts_with(scheme) && url.len() > scheme.len());
    if fits { Ok(()) } else { Err(format!("must begin with {}", schemes.join(" or "))) }
}

fn size(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

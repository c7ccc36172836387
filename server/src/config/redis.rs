//! What nodes share beside their storage: where Redis is, and how long the catalogue is cached. Must never print a
//! URL, which may hold a password.

use super::begins;
use super::reader::Reader;
use onsale_adapters::redis::check_url;
use secrecy::SecretString;
use std::path::PathBuf;
use std::time::Duration;

/// Redis.
#[derive(Clone, Debug)]
pub struct RedisConfig {
    /// Where it is: `redis://`, `rediss://` (TLS) or `redis+unix://`, with an ACL user and password where there is one.
    pub url: SecretString,
    /// Certificates (PEM) that the server's is checked against. Default: the system's.
    pub ca_file: Option<PathBuf>,
    /// How long a request waits for an answer. Milliseconds, default 200. Raising it lets requests hang longer on a
    /// server that is slow.
    pub timeout: Duration,
    /// How long a pipeline of copies may take. Milliseconds, default 1000. Raising it lets copies be older.
    pub pipeline_timeout: Duration,
    /// How long a connection may take to be made. Milliseconds, default 250.
    pub connect_timeout: Duration,
    /// Connections for pipelines. Default 4. Each costs a socket here and there.
    pub pool_size: u32,
    /// How often a server that is away is tried. Milliseconds, default 200. Raising it leaves a node alone for longer.
    pub retry: Duration,
}

/// What is remembered of the catalogue: of lists of events always, of the rest where nodes share something.
#[derive(Clone, Debug)]
pub struct CacheConfig {
    /// How long all nodes remember it. Seconds, default 300.
    pub ttl: Duration,
    /// The same around an opening. Seconds, default 60.
    pub opening_ttl: Duration,
    /// How long before and after an opening that is. Seconds, default 600.
    pub opening: Duration,
    /// How long this process remembers it by itself. Milliseconds, default 1000.
    pub own_ttl: Duration,
}

pub(super) fn redis(reader: &mut Reader) -> Option<RedisConfig> {
    let millis = Duration::from_millis;
    let url = reader.optional("redis", "url", |url: &String| {
        begins(url, &["redis://", "rediss://", "redis+unix://", "unix://"])?;
        if url.is_empty() { Ok(()) } else { check_url(url).map_err(|mistake| mistake.to_string()) }
    });
    let config = RedisConfig {
        url: SecretString::from(url.clone().unwrap_or_default()),
        ca_file: reader
            .optional("redis", "ca_file", |_: &String| Ok(()))
            .filter(|path| !path.is_empty())
            .map(Into::into),
        timeout: millis(reader.number("redis", "timeout_ms", 200, 10..=10_000)),
        pipeline_timeout: millis(reader.number("redis", "pipeline_timeout_ms", 1000, 50..=60_000)),
        connect_timeout: millis(reader.number("redis", "connect_timeout_ms", 250, 10..=10_000)),
        pool_size: u32::try_from(reader.number("redis", "pool_size", 4, 1..=100)).unwrap_or(4),
        retry: millis(reader.number("redis", "retry_ms", 200, 10..=60_000)),
    };
    url.filter(|url| !url.is_empty()).map(|_| config)
}

pub(super) fn cache(reader: &mut Reader) -> CacheConfig {
    let secs = Duration::from_secs;
    CacheConfig {
        ttl: secs(reader.number("cache", "ttl_s", 300, 1..=86_400)),
        opening_ttl: secs(reader.number("cache", "opening_ttl_s", 60, 1..=86_400)),
        opening: secs(reader.number("cache", "opening_s", 600, 0..=86_400)),
        own_ttl: Duration::from_millis(reader.number("cache", "own_ttl_ms", 1000, 1..=60_000)),
    }
}

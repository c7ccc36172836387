//! `onsale check --production`: what may be right for development and is wrong in production. Only reads the configuration;
//! must never print a secret.

use crate::config::{Config, ConfigMistake, PaymentProviderName, StorageKind};
use onsale_adapters::postgres::DatabaseUrl;
use secrecy::{ExposeSecret, SecretString};
use std::collections::BTreeMap;

/// Secrets that stand in examples of this project.
const EXAMPLES: [&str; 2] =
    ["at least thirty-two bytes, and not these ones", "a secret for tests alone, 32 bytes and more"];
/// Words that generated secrets do not have.
const WORDS: [&str; 6] = ["secret", "password", "changeme", "change-me", "example", "onsale"];
/// Bits that the bytes of a secret must have by their frequencies: 32 random hexadecimal digits have some 115.
const LEAST_BITS: f64 = 96.0;

/// Every reason not to sell with this configuration, by key.
#[must_use]
pub fn problems(config: &Config) -> Vec<ConfigMistake> {
    let mut problems = Vec::new();
    let mut add =
        |place: &str, reason: String| problems.push(ConfigMistake { place: place.to_owned(), line: None, reason });
    for (key, secret) in
        [("auth.jwt_secret", &config.auth.jwt_secret), ("postgres.journal_key", &config.postgres.journal_key)]
    {
        if let Some(weakness) = secret.as_ref().and_then(weakness) {
            add(key, format!("{weakness}; make one with: openssl rand -base64 48"));
        }
    }
    let listen = config.server.listen;
    let is_public = !listen.ip().is_loopback();
    if is_public && config.rate_limit.forwarded_hops == 0 && config.server.proxies.is_empty() {
        let reason = format!(
            "{listen} is reached from beyond this machine without TLS; listen on a loopback address, or put a proxy with \
             TLS in front and name it by server.proxies and rate_limit.forwarded_hops"
        );
        add("server.listen", reason);
    }
    if is_public && config.metrics.token.is_none() {
        let reason =
            "/metrics is answered to everybody who reaches the public port; set a token that the scraper sends";
        add("metrics.token", reason.to_owned());
    }
    if !config.rate_limit.enabled {
        add("rate_limit.enabled", "limits are off: one script takes the server from everybody".to_owned());
    }
    match config.payment.provider {
        PaymentProviderName::Simulated => {
            add("payment.provider", "\"simulated\" moves no money: tickets would be given away".to_owned());
        }
    }
    if config.storage.kind == StorageKind::Postgres {
        for (key, url) in [("postgres.url", &config.postgres.url), ("postgres.read_url", &config.postgres.read_url)] {
            if url.as_ref().is_some_and(|url| !is_safe(url)) {
                let reason =
                    "somebody in between can pretend to be the database: sslmode=verify-full, with sslrootcert";
                add(key, reason.to_owned());
            }
        }
    }
    if let Some(redis) = &config.redis
        && !is_safe_redis(redis.url.expose_secret())
    {
        add("redis.url", "it is spoken to in plain text beyond this machine: rediss://".to_owned());
    }
    problems
}

fn is_safe(url: &DatabaseUrl) -> bool {
    url.is_verified() || url.is_local()
}

fn is_safe_redis(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("redis://") else { return true };
    let authority = rest.split(['/', '?']).next().unwrap_or("");
    let host = authority.rsplit('@').next().unwrap_or("");
    let name = match host.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or(""),
        None => host.split(':').next().unwrap_or(""),
    };
    name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
}

/// What is wrong with a secret, if it does not look as if it was drawn at random.
fn weakness(secret: &SecretString) -> Option<&'static str> {
    let secret = secret.expose_secret();
    let lower = secret.to_lowercase();
    let bytes = secret.as_bytes();
    if EXAMPLES.contains(&secret) {
        Some("it is the one of an example, which everybody can read")
    } else if bytes.len() < 32 {
        Some("it has fewer than 32 bytes")
    } else if WORDS.iter().any(|word| lower.contains(word)) || secret.split_whitespace().count() > 2 {
        Some("it is made of words")
    } else if repeats(bytes) || follows(bytes) {
        Some("it repeats itself, or counts on")
    } else if bits(bytes) < LEAST_BITS {
        Some("its bytes differ too little")
    } else {
        None
    }
}

/// Whether it is one piece several times.
fn repeats(bytes: &[u8]) -> bool {
    (1..=bytes.len() / 2).any(|piece| bytes.iter().zip(&bytes[piece..]).all(|(one, other)| one == other))
}

/// Whether most of its bytes are the ones after those before them.
fn follows(bytes: &[u8]) -> bool {
    let steps = bytes.windows(2).filter(|pair| pair[1] == pair[0].wrapping_add(1)).count();
    steps * 2 > bytes.len()
}

/// Shannon's entropy of the bytes' frequencies, for all of them.
fn bits(bytes: &[u8]) -> f64 {
    let mut counts: BTreeMap<u8, f64> = BTreeMap::new();
    bytes.iter().for_each(|byte| *counts.entry(*byte).or_default() += 1.0);
    let all = bytes.len() as f64;
    counts.values().map(|count| count * (all / count).log2()).sum()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use std::ffi::OsString;

    /// A configuration that nothing is wrong with, but that there is no provider beside the simulated one; and changes.
    fn problems_of(changes: &[(&str, &str)]) -> Vec<String> {
        let good = [
            ("AUTH__JWT_SECRET", "q8Zr1vX0m5TqYw3LkPj7sBnE9uHcGdRfAoVi2SxM"),
            ("SERVER__LISTEN", "127.0.0.1:8080"),
            ("STORAGE__KIND", "postgres"),
            ("POSTGRES__URL", "postgres://u:p@db.example/onsale?sslmode=verify-full"),
            ("REDIS__URL", "rediss://cache.example"),
        ];
        let all = good.iter().chain(changes);
        let env = all.map(|(key, value)| (OsString::from(format!("ONSALE__{key}")), OsString::from(value)));
        let config = Config::load(None, env).unwrap();
        let problems = problems(&config).into_iter().map(|problem| problem.place);
        problems.filter(|place| place != "payment.provider").collect()
    }

    #[test]
    fn a_careful_configuration_has_no_problem() {
        assert_eq!(problems_of(&[]), [""; 0]);
        let behind_a_proxy = [
            ("SERVER__LISTEN", "0.0.0.0:80"),
            ("RATE_LIMIT__FORWARDED_HOPS", "1"),
            ("METRICS__TOKEN", "a scraper's token"),
        ];
        assert_eq!(problems_of(&behind_a_proxy), [""; 0]);
    }

    #[test]
    fn weak_secrets_are_refused() {
        let weak = [
            "at least thirty-two bytes, and not these ones",
            "0123456789abcdef0123456789abcdef",
            "abcdefghijklmnopqrstuvwxyz0123456789",
            "this-is-my-very-own-Secret-for-tickets",
            "correct horse battery staple again",
            "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab",
            "aabbaabababbabaabbabaabbabababaababab",
        ];
        for secret in weak {
            assert_eq!(problems_of(&[("AUTH__JWT_SECRET", secret)]), ["auth.jwt_secret"], "{secret}");
            assert_eq!(problems_of(&[("POSTGRES__JOURNAL_KEY", secret)]), ["postgres.journal_key"], "{secret}");
        }
        for strong in ["9f86d081884c7d659a2feaa0c55ad015", "Zm9vYmFyZ2F6b25rMTIzNDU2Nzg5MGFiY2RlZmdoaWo="] {
            assert_eq!(problems_of(&[("AUTH__JWT_SECRET", strong)]), [""; 0], "{strong}");
        }
    }

    #[test]
    fn plain_text_beyond_the_machine_takes_a_proxy_and_open_metrics_take_a_token() {
        for listen in ["0.0.0.0:8080", "[::]:8080", "192.0.2.7:80"] {
            assert_eq!(problems_of(&[("SERVER__LISTEN", listen)]), ["server.listen", "metrics.token"], "{listen}");
        }
        assert_eq!(problems_of(&[("SERVER__LISTEN", "[::1]:8080")]), [""; 0]);
        let proxy = [("SERVER__LISTEN", "0.0.0.0:8080"), ("RATE_LIMIT__FORWARDED_HOPS", "1")];
        assert_eq!(problems_of(&proxy), ["metrics.token"]);
    }

    #[test]
    fn limits_that_are_off_are_refused() {
        assert_eq!(problems_of(&[("RATE_LIMIT__ENABLED", "false")]), ["rate_limit.enabled"]);
    }

    #[test]
    fn the_simulated_provider_is_refused() {
        let config = Config::load(None, []).unwrap();
        assert!(problems(&config).iter().any(|problem| problem.place == "payment.provider"));
    }

    #[test]
    fn a_database_beyond_the_machine_must_show_its_certificate() {
        for mode in ["", "?sslmode=disable", "?sslmode=prefer", "?sslmode=require"] {
            let far = format!("postgres://u:p@db.example/onsale{mode}");
            assert_eq!(problems_of(&[("POSTGRES__URL", &far)]), ["postgres.url"], "{mode}");
            assert_eq!(problems_of(&[("POSTGRES__READ_URL", &far)]), ["postgres.read_url"], "{mode}");
            for near in ["localhost", "127.0.0.1", "%2Frun%2Fpostgresql"] {
                let near = format!("postgres://u:p@{near}/onsale{mode}");
                assert_eq!(problems_of(&[("POSTGRES__URL", &near)]), [""; 0], "{near}");
            }
        }
        // What is not chosen is not checked.
        let embedded = [("STORAGE__KIND", "embedded"), ("POSTGRES__URL", "postgres://u:p@db.example/onsale")];
        assert_eq!(problems_of(&embedded), [""; 0]);
    }

    #[test]
    fn redis_beyond_the_machine_must_not_be_plain_text() {
        assert_eq!(problems_of(&[("REDIS__URL", "redis://u:p@cache.example:6379/0")]), ["redis.url"]);
        for near in ["redis://localhost", "redis://:p@127.0.0.1:6379/0", "redis://[::1]:6379", "rediss://cache.example"]
        {
            assert_eq!(problems_of(&[("REDIS__URL", near)]), [""; 0], "{near}");
        }
    }
}

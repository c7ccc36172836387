//! What differs between two readings of the configuration, and which of it may change while the server runs. Must never
//! keep or show a secret.

use super::Config;
use std::collections::BTreeMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

/// Keys that are in force as soon as they are read again, beside those of `[rate_limit]`; everything else waits for a
/// restart.
pub const LIVE: &[&str] = &[
    "log.access_one_in",
    "log.level",
    "log.slow_ms",
    "server.drain_timeout_ms",
    "server.leave_ms",
    "server.request_timeout_ms",
];

/// The value of each key as it may be printed, and its origin; secrets as a digest that only shows whether they changed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Reported(BTreeMap<String, Value>, BTreeMap<String, Origin>);

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was left out.
    Default,
    /// The file, in this line where it is known.
    File(Option<usize>),
    /// The environment, by the variable's name.
    Environment(String),
}

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Shown(String),
    Secret(u64),
}

impl Reported {
    /// `value` as the file would have it.
    pub(super) fn note(&mut self, section: &str, key: &str, value: String, origin: Origin) {
        // A limit of passwords is none itself.
        let reported =
            if section != "rate_limit" && is_secret(key) { Value::Secret(digest(&value)) } else { Value::Shown(value) };
        let name = format!("{section}.{key}");
        self.1.insert(name.clone(), origin);
        self.0.insert(name, reported);
    }

    /// Every key that has a value, in order, with it and where it comes from.
    pub fn values(&self) -> impl Iterator<Item = (&str, String, &Origin)> {
        self.0.iter().map(|(key, value)| {
            let origin = self.1.get(key).unwrap_or(&Origin::Default);
            (key.as_str(), shown(Some(value)), origin)
        })
    }

    /// Values of live keys as in `new`, all others as they are.
    pub fn take_live(&mut self, new: &Self) {
        self.0.retain(|key, _| !is_live(key));
        self.0.extend(new.0.iter().filter(|(key, _)| is_live(key)).map(|(key, value)| (key.clone(), value.clone())));
    }
}

impl fmt::Debug for Reported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reported(..)")
    }
}

fn is_live(key: &str) -> bool {
    LIVE.contains(&key) || (key.starts_with("rate_limit.") && key != "rate_limit.forwarded_hops")
}

/// Addresses of databases carry passwords.
fn is_secret(key: &str) -> bool {
    ["secret", "password", "url", "token", "_key"].iter().any(|part| key.contains(part))
}

/// Another number in every process.
fn digest(secret: &str) -> u64 {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    STATE.get_or_init(RandomState::new).hash_one(secret)
}

/// Stands for the value of a secret.
pub const HIDDEN: &str = "(secret)";

/// One key that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// As `section.key`.
    pub key: String,
    /// What it was.
    pub from: String,
    /// What it is.
    pub to: String,
    /// Whether it is in force now; otherwise it waits for a restart.
    pub is_live: bool,
}

/// What of `new` is not as in `old`.
#[must_use]
pub fn changes(old: &Reported, new: &Config) -> Vec<Change> {
    let mut keys: Vec<&String> = old.0.keys().chain(new.reported.0.keys()).collect();
    keys.sort_unstable();
    keys.dedup();
    let differing = keys.into_iter().filter(|key| old.0.get(*key) != new.reported.0.get(*key));
    let change = |key: &String| Change {
        key: key.clone(),
        from: shown(old.0.get(key)),
        to: shown(new.reported.0.get(key)),
        is_live: is_live(key),
    };
    differing.map(change).collect()
}

fn shown(value: Option<&Value>) -> String {
    match value {
        None => "(left out)".to_owned(),
        Some(Value::Secret(_)) => HIDDEN.to_owned(),
        Some(Value::Shown(value)) => value.clone(),
    }
}

//! Reading settings from a TOML table and the environment, gathering every mistake: wrong types, values out of bounds,
//! unknown keys, in either place. Must never stop at the first one.

use super::changes::{Origin, Reported};
use super::lines::Lines;
use crate::limits::Networks;
use crate::spelling;
use onsale_engine::ports::shared::Quota;
use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::Duration;
use toml::{Table, Value};

/// What keys in the environment begin with; section and key follow, joined by two underscores.
pub(super) const PREFIX: &str = "ONSALE__";

/// One mistake: where, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigMistake {
    /// A key as `section.key`, or the name of an environment variable, or the file.
    pub place: String,
    /// Its line in the file, from 1, where it stands there.
    pub line: Option<usize>,
    /// What is wrong with it.
    pub reason: String,
}

impl fmt::Display for ConfigMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}: {} (line {line})", self.place, self.reason),
            None => write!(f, "{}: {}", self.place, self.reason),
        }
    }
}

/// A value that a key may have.
pub(super) trait Setting: Sized + fmt::Debug {
    /// What is expected, for mistakes.
    const EXPECTED: &'static str;
    /// From the file.
    fn of_value(value: &Value) -> Option<Self>;
    /// From the environment.
    fn of_text(text: &str) -> Option<Self>;
    /// As the file would have it.
    fn shown(&self) -> String {
        format!("{self:?}")
    }
}

impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number";
    fn of_value(value: &Value) -> Option<Self> {
        value.as_integer().and_then(|number| Self::try_from(number).ok())
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";
    fn of_value(value: &Value) -> Option<Self> {
        value.as_bool()
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a string";
    fn of_value(value: &Value) -> Option<Self> {
        value.as_str().map(str::to_owned)
    }
    fn of_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

impl Setting for SocketAddr {
    const EXPECTED: &'static str = "an address and port, such as \"127.0.0.1:8080\"";
    fn shown(&self) -> String {
        format!("\"{self}\"")
    }
    fn of_value(value: &Value) -> Option<Self> {
        Self::of_text(value.as_str()?)
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Setting for Quota {
    const EXPECTED: &'static str = "requests per seconds, such as \"60/10s\"";
    fn shown(&self) -> String {
        format!("\"{}/{}s\"", self.requests, self.window.as_secs())
    }
    fn of_value(value: &Value) -> Option<Self> {
        Self::of_text(value.as_str()?)
    }
    fn of_text(text: &str) -> Option<Self> {
        let (requests, seconds) = text.strip_suffix('s')?.split_once('/')?;
        Some(Self { requests: requests.parse().ok()?, window: Duration::from_secs(seconds.parse().ok()?) })
    }
}

impl Setting for Networks {
    const EXPECTED: &'static str = "addresses or networks, such as \"10.0.0.0/8, 192.0.2.7\"";
    fn shown(&self) -> String {
        format!("\"{self}\"")
    }
    fn of_value(value: &Value) -> Option<Self> {
        Self::of_text(value.as_str()?)
    }
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

/// Where something is wrong. The parser's own words repeat the line, which may hold a secret.
fn place_of(text: &str, at: usize) -> String {
    let before = text.get(..at).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    format!("line {line}, column {column}")
}

/// A key's name in the environment.
pub(super) fn name_of(section: &str, key: &str) -> String {
    format!("{PREFIX}{}__{}", section.to_ascii_uppercase(), key.to_ascii_uppercase())
}

/// The two sources, and what was found wrong so far.
pub(super) struct Reader {
    file: Table,
    env: BTreeMap<String, String>,
    known: Vec<(&'static str, &'static str)>,
    reported: Reported,
    lines: Lines,
    mistakes: Vec<ConfigMistake>,
}

impl Reader {
    /// `file` is the text of the configuration, if there is one; `env` all of the environment that begins with
    /// [`PREFIX`].
    pub(super) fn new(file: Option<&str>, env: BTreeMap<String, String>) -> Self {
        let mut mistakes = Vec::new();
        let text = file.unwrap_or("");
        let file = text.parse::<Table>().unwrap_or_else(|error| {
            let reason = match error.span() {
                Some(span) => format!("is no TOML: {}", place_of(text, span.start)),
                None => "is no TOML".to_owned(),
            };
            mistakes.push(ConfigMistake { place: "the file".to_owned(), line: None, reason });
            Table::new()
        });
        Self { file, env, known: Vec::new(), reported: Reported::default(), lines: Lines::of(text), mistakes }
    }

    /// A key that is left out by default.
    pub(super) fn optional<T: Setting>(
        &mut self,
        section: &'static str,
        key: &'static str,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> Option<T> {
        self.known.push((section, key));
        let name = name_of(section, key);
        let found = match self.env.get(&name) {
            Some(text) => Some((T::of_text(text), name.clone(), Origin::Environment(name))),
            None => {
                let value = self.file.get(section).and_then(|section| section.as_table()?.get(key));
                let place = format!("{section}.{key}");
                value.map(|value| (T::of_value(value), place.clone(), Origin::File(self.lines.find(&place))))
            }
        };
        let (read, place, origin) = found?;
        let outcome = match read {
            Some(value) => {
                self.reported.note(section, key, value.shown(), origin);
                check(&value).map(|()| value)
            }
            None => Err(format!("must be {}", T::EXPECTED)),
        };
        outcome.map_err(|reason| self.mistake(place, reason)).ok()
    }

    /// A key with a default.
    pub(super) fn value<T: Setting>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        self.optional(section, key, check).unwrap_or_else(|| {
            self.reported.note(section, key, default.shown(), Origin::Default);
            default
        })
    }

    /// A whole number within bounds.
    pub(super) fn number(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: u64,
        bounds: RangeInclusive<u64>,
    ) -> u64 {
        self.value(section, key, default, |number| {
            let reason = || format!("must be from {} to {}", bounds.start(), bounds.end());
            if bounds.contains(number) { Ok(()) } else { Err(reason()) }
        })
    }

    /// A word out of a closed list.
    pub(super) fn word<T: Copy>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        words: &[(&str, Result<T, &str>)],
    ) -> T {
        let mut meaning = default;
        self.optional(section, key, |text: &String| match words.iter().find(|(word, _)| word == text) {
            Some((_, Ok(found))) => {
                meaning = *found;
                Ok(())
            }
            Some((_, Err(reason))) => Err((*reason).to_owned()),
            None => {
                let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Err(format!("must be one of {}", known.join(", ")))
            }
        });
        meaning
    }

    /// Whether a key's value was found wrong.
    pub(super) fn has_mistake(&self, section: &str, key: &str) -> bool {
        let (in_file, in_env) = (format!("{section}.{key}"), name_of(section, key));
        self.mistakes.iter().any(|mistake| mistake.place == in_file || mistake.place == in_env)
    }

    /// Adds a mistake that was found elsewhere.
    pub(super) fn mistake(&mut self, place: impl Into<String>, reason: impl Into<String>) {
        let place = place.into();
        let line = self.lines.find(&place);
        self.mistakes.push(ConfigMistake { place, line, reason: reason.into() });
    }

    /// Every key that has a value, with it.
    pub(super) fn reported(&mut self) -> Reported {
        std::mem::take(&mut self.reported)
    }

    /// Every key that was asked for, in order.
    pub(super) fn known(&self) -> &[(&'static str, &'static str)] {
        &self.known
    }

    /// All mistakes, those of keys that nobody asked for among them.
    pub(super) fn finish(mut self) -> Vec<ConfigMistake> {
        let known = |section: &str, key: &str| self.known.contains(&(section, key));
        let mut unknown = Vec::new();
        for (section, value) in &self.file {
            match value.as_table() {
                None => unknown.push((section.clone(), "unknown key: every key stands in a section".to_owned())),
                Some(_) if !self.known.iter().any(|(name, _)| name == section) => {
                    let hint = spelling::hint(spelling::nearest(section, self.known.iter().map(|(name, _)| *name)));
                    unknown.push((section.clone(), format!("unknown section{hint}")));
                }
                Some(keys) => {
                    let of_section = || self.known.iter().filter(|(name, _)| name == section).map(|(_, key)| *key);
                    let strange = keys.keys().filter(|key| !known(section, key));
                    unknown.extend(strange.map(|key| {
                        let hint = spelling::hint(spelling::nearest(key, of_section()));
                        (format!("{section}.{key}"), format!("unknown key{hint}"))
                    }));
                }
            }
        }
        for name in self.env.keys() {
            let lower = name.get(PREFIX.len()..).unwrap_or("").to_ascii_lowercase();
            let parts = lower.split_once("__");
            if !parts.is_some_and(|(section, key)| known(section, key)) || name.to_ascii_uppercase() != *name {
                let meant = super::environment::meant_by(name, &self.known);
                let hint = spelling::hint(meant.as_deref());
                unknown
                    .push((name.clone(), format!("unknown key: it must be ONSALE__SECTION__KEY in upper case{hint}")));
            }
        }
        unknown.into_iter().for_each(|(place, reason)| self.mistake(place, reason));
        self.mistakes
    }
}

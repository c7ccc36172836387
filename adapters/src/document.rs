//! Reading an author's JSON document member by member, so that one mistake does not hide the next: every cause is named by the
//! path of its first place, and by how many places it has. Texts are composed (NFC) as they are read. Owns paths and the list of
//! mistakes; must never decide what a document means.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt;

/// Something wrong with an author's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMistake {
    /// Where: a path such as `zones[0].rows[2].seats[5].category`; empty for the document itself.
    pub field: String,
    /// What is wrong, for the author.
    pub message: String,
}

/// Causes named at the most; how many more there are is said.
const MAX_CAUSES: usize = 90;
/// Places named of one cause.
const PLACES_NAMED: usize = 3;

/// A place in a document; lives on the stack and is only written out when there is a mistake.
#[derive(Clone, Copy)]
pub(crate) enum At<'p> {
    /// The document, by the name that the request gives it; may be empty.
    Root(&'p str),
    /// A member of an object.
    Member(&'p At<'p>, &'p str),
    /// A member whose name is the author's choice.
    Key(&'p At<'p>, &'p str),
    /// An item of an array.
    Item(&'p At<'p>, usize),
}

impl<'p> At<'p> {
    fn is_nameless(&self) -> bool {
        matches!(self, At::Root(""))
    }

    fn parent(&self) -> Option<&'p Self> {
        match *self {
            At::Root(_) => None,
            At::Member(parent, _) | At::Key(parent, _) | At::Item(parent, _) => Some(parent),
        }
    }

    /// The same for all places that differ in numbers and chosen names alone: there the same mistake has the same cause.
    fn pattern(&self) -> String {
        match self {
            At::Root(name) => (*name).to_owned(),
            At::Member(parent, name) => format!("{}.{name}", parent.pattern()),
            At::Key(parent, _) => format!("{}.*", parent.pattern()),
            At::Item(parent, _) => format!("{}[]", parent.pattern()),
        }
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root(name) => f.write_str(name),
            At::Member(parent, name) | At::Key(parent, name) if parent.is_nameless() => f.write_str(name),
            At::Member(parent, name) | At::Key(parent, name) => write!(f, "{parent}.{name}"),
            At::Item(parent, number) => write!(f, "{parent}[{number}]"),
        }
    }
}

/// What is wrong with a document that is not UTF-8 but UTF-16.
pub(crate) const UTF_16: &str = "is UTF-16; JSON must be saved as UTF-8";

/// A text in the composed form (NFC), in which equal texts have equal bytes.
pub(crate) fn composed(text: String) -> String {
    match onsale_engine::text::composed(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(composed) => composed,
    }
}

/// One cause, wherever it is a mistake.
struct Cause {
    field: String,
    message: String,
    /// Whether its places are named even if there is one alone.
    contradicts: bool,
    count: usize,
    places: Vec<String>,
}

impl Cause {
    fn mistake(self) -> FieldMistake {
        let Self { field, message, contradicts, count, places } = self;
        let more = if count > places.len() { ", …" } else { "" };
        let places = places.join(", ");
        let message = match count {
            1 if contradicts => format!("{message}: {places}"),
            1 => message,
            _ => format!("{message} ({count} times: {places}{more})"),
        };
        FieldMistake { field, message }
    }
}

/// Reads values out of a document and keeps what is wrong with them, by cause. Whatever cannot be read is answered as `None`
/// (an empty list), with its mistake noted.
#[derive(Default)]
pub(crate) struct Reader {
    causes: Vec<Cause>,
    /// Where each cause stands in `causes`, by the pattern of its places and its message.
    by_cause: HashMap<(String, String), usize>,
    /// Mistakes of causes that are not named any more.
    unnamed: usize,
    /// Every place of a mistake.
    places: HashSet<String>,
    /// Everything that a mistake lies within.
    around: HashSet<String>,
}

impl Reader {
    /// Notes a mistake.
    pub fn mistake(&mut self, at: At<'_>, message: impl Into<String>) {
        self.note(at, message.into(), None);
    }

    /// Notes that two places contradict each other; `what` names what they have in common.
    pub fn contradiction(&mut self, at: At<'_>, other: At<'_>, what: &str, message: impl Into<String>) {
        // What is at two places, and not which member of it.
        let thing = |at: At<'_>| if let At::Member(parent, _) = at { parent.to_string() } else { at.to_string() };
        let places = format!("{what:?} at {} and {}", thing(other), thing(at));
        self.note(at, message.into(), Some(places));
    }

    fn note(&mut self, at: At<'_>, message: String, contradiction: Option<String>) {
        let field = at.to_string();
        let mut above = at.parent();
        while let Some(parent) = above {
            self.around.insert(parent.to_string());
            above = parent.parent();
        }
        self.places.insert(field.clone());
        let key = (at.pattern(), message);
        let number = match self.by_cause.get(&key) {
            Some(&number) => number,
            None if self.causes.len() == MAX_CAUSES => {
                self.unnamed += 1;
                return;
            }
            None => {
                let (field, message, contradicts) = (field.clone(), key.1.clone(), contradiction.is_some());
                self.causes.push(Cause { field, message, contradicts, count: 0, places: Vec::new() });
                self.by_cause.insert(key, self.causes.len() - 1);
                self.causes.len() - 1
            }
        };
        let cause = &mut self.causes[number];
        cause.count += 1;
        if cause.places.len() < PLACES_NAMED {
            cause.places.push(contradiction.unwrap_or(field));
        }
    }

    /// Whether a mistake is known at `at` itself or at something that contains it.
    pub fn covers(&self, at: At<'_>) -> bool {
        let mut place = Some(&at);
        while let Some(here) = place {
            if self.places.contains(&here.to_string()) {
                return true;
            }
            place = here.parent();
        }
        false
    }

    /// Whether a mistake is known at `at` itself or at something inside of it.
    pub fn has_within(&self, at: At<'_>) -> bool {
        let path = at.to_string();
        self.places.contains(&path) || self.around.contains(&path)
    }

    /// What was read, or everything that is wrong: an entry for each cause, at its first place.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<FieldMistake>> {
        if self.causes.is_empty() {
            return Ok(value);
        }
        let mut mistakes: Vec<FieldMistake> = self.causes.into_iter().map(Cause::mistake).collect();
        if self.unnamed > 0 {
            let message = format!("and {} more mistakes, of other kinds", self.unnamed);
            mistakes.push(FieldMistake { field: String::new(), message });
        }
        Err(mistakes)
    }

    /// An object, its members still unread.
    pub fn object<'d, T: Deserialize<'d>>(&mut self, raw: Option<&'d RawValue>, at: At<'_>) -> Option<T> {
        self.value(raw, at, '{', "must be an object")
    }

    /// The items of an array, still unread.
    pub fn list<'d>(&mut self, raw: Option<&'d RawValue>, at: At<'_>) -> Vec<&'d RawValue> {
        self.value(raw, at, '[', "must be an array").unwrap_or_default()
    }

    /// A string of at most `max_bytes`, composed.
    pub fn text(&mut self, raw: Option<&RawValue>, at: At<'_>, max_bytes: usize) -> Option<String> {
        let text = composed(self.value(raw, at, '"', "must be a string")?);
        if text.len() > max_bytes {
            self.mistake(at, format!("must be at most {max_bytes} bytes"));
            return None;
        }
        Some(text)
    }

    /// A string of 1 to `max_bytes` that is not all white space.
    pub fn name(&mut self, raw: Option<&RawValue>, at: At<'_>, max_bytes: usize) -> Option<String> {
        let text = self.text(raw, at, max_bytes)?;
        if text.trim().is_empty() {
            self.mistake(at, "must not be empty");
            return None;
        }
        Some(text)
    }

    /// A number.
    pub fn number(&mut self, raw: Option<&RawValue>, at: At<'_>) -> Option<f64> {
        let is_number =
            raw.is_none_or(|raw| raw.get().starts_with(|first: char| first == '-' || first.is_ascii_digit()));
        if !is_number {
            self.mistake(at, "must be a number");
            return None;
        }
        self.value(raw, at, ANY, "must be a number")
    }

    fn value<'d, T: Deserialize<'d>>(
        &mut self,
        raw: Option<&'d RawValue>,
        at: At<'_>,
        opening: char,
        expected: &str,
    ) -> Option<T> {
        let Some(raw) = raw else {
            self.mistake(at, "is missing");
            return None;
        };
        if opening != ANY && !raw.get().starts_with(opening) {
            self.mistake(at, expected);
            return None;
        }
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake(at, format!("{expected}: {error}"));
                None
            }
        }
    }
}

/// Stands for "whatever it opens with".
const ANY: char = '\0';

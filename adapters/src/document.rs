//! Reading an author's JSON document member by member, so that one mistake does not hide the next: every mistake is
//! named by its path. Owns paths and the list of mistakes; must never decide what a document means.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::fmt;

/// Something wrong with an author's document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMistake {
    /// Where: a path such as `zones[0].rows[2].seats[5].category`; empty for the document itself.
    pub field: String,
    /// What is wrong, for the author.
    pub message: String,
}

/// Mistakes named at the most: a wholly wrong file need not be told seat by seat.
pub(crate) const MAX_MISTAKES: usize = 100;

/// A place in a document; lives on the stack and is only written out when there is a mistake.
#[derive(Clone, Copy)]
pub(crate) enum At<'p> {
    /// The document, by the name that the request gives it; may be empty.
    Root(&'p str),
    /// A member of an object.
    Member(&'p At<'p>, &'p str),
    /// An item of an array.
    Item(&'p At<'p>, usize),
}

impl At<'_> {
    fn is_nameless(&self) -> bool {
        matches!(self, At::Root(""))
    }
}

impl fmt::Display for At<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            At::Root(name) => f.write_str(name),
            At::Member(parent, name) if parent.is_nameless() => f.write_str(name),
            At::Member(parent, name) => write!(f, "{parent}.{name}"),
            At::Item(parent, number) => write!(f, "{parent}[{number}]"),
        }
    }
}

/// Reads values out of a document and keeps what is wrong with them. Whatever cannot be read is answered as `None`
/// (an empty list), with its mistake noted.
#[derive(Default)]
pub(crate) struct Reader {
    mistakes: Vec<FieldMistake>,
}

impl Reader {
    /// Notes a mistake.
    pub fn mistake(&mut self, at: At<'_>, message: impl Into<String>) {
        if !self.is_full() {
            self.mistakes.push(FieldMistake { field: at.to_string(), message: message.into() });
        }
    }

    /// Whether further mistakes would not be kept.
    pub fn is_full(&self) -> bool {
        self.mistakes.len() >= MAX_MISTAKES
    }

    /// Whether a mistake is known at `at` itself or at something that contains it.
    pub fn covers(&self, at: At<'_>) -> bool {
        let path = at.to_string();
        self.mistakes.iter().any(|known| is_within(&path, &known.field))
    }

    /// Whether a mistake is known at `at` itself or at something inside of it.
    pub fn has_within(&self, at: At<'_>) -> bool {
        let path = at.to_string();
        self.mistakes.iter().any(|known| is_within(&known.field, &path))
    }

    /// What was read, or everything that is wrong.
    pub fn finish<T>(self, value: T) -> Result<T, Vec<FieldMistake>> {
        if self.mistakes.is_empty() { Ok(value) } else { Err(self.mistakes) }
    }

    /// An object, its members still unread.
    pub fn object<'d, T: Deserialize<'d>>(&mut self, raw: Option<&'d RawValue>, at: At<'_>) -> Option<T> {
        self.value(raw, at, '{', "must be an object")
    }

    /// The items of an array, still unread.
    pub fn list<'d>(&mut self, raw: Option<&'d RawValue>, at: At<'_>) -> Vec<&'d RawValue> {
        self.value(raw, at, '[', "must be an array").unwrap_or_default()
    }

    /// A string of at most `max_bytes`.
    pub fn text(&mut self, raw: Option<&RawValue>, at: At<'_>, max_bytes: usize) -> Option<String> {
        let text: String = self.value(raw, at, '"', "must be a string")?;
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

fn is_within(path: &str, container: &str) -> bool {
    path.strip_prefix(container)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']) || container.is_empty())
}

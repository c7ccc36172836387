//! Reads a query string with types and collects mistakes like a body's. Must never stop at the first mistake.

use crate::http::extract::mistakes::Mistakes;
use crate::http::extract::object::{integer_message, read_id, text_mistake};
use crate::spelling;
use onsale_engine::ports::catalogue::Page;
use onsale_engine::text::composed;
use onsale_engine::time::Timestamp;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use uuid::Uuid;

/// The members of a query string; of repeated ones the first counts, unknown ones are ignored.
#[derive(Debug)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

/// The largest page.
const LARGEST_PAGE: i64 = 100;

impl<'a> Query<'a> {
    /// Takes a query string apart, in NFC; what is not UTF-8 after decoding is replaced.
    #[must_use]
    pub fn parse(text: &'a str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(k, v)| (text_of(k), text_of(v)))
                .collect(),
        )
    }

    /// A member as it is; an empty one counts as absent.
    #[must_use]
    pub fn value(&self, member: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name == member);
        found.map(|(_, value)| value.as_ref()).filter(|value| !value.is_empty())
    }

    /// Adds a mistake for every member that is not one of these: in an administrator's call that writes, `?dryrun=true` must not
    /// do the thing.
    pub fn refuse_unknown(&self, mistakes: &mut Mistakes, known: &[&str]) {
        for (name, _) in self.0.iter().filter(|(name, _)| !known.contains(&name.as_ref())) {
            let meant = spelling::nearest(name, known.iter().copied());
            mistakes.add(name.as_ref(), format!("unknown member of the query{}", spelling::hint(meant)));
        }
    }

    fn wrong<T>(mistakes: &mut Mistakes, member: &str, message: impl Into<String>) -> Option<T> {
        mistakes.add(member, message);
        None
    }

    /// An optional text of so many characters.
    pub fn text(&self, mistakes: &mut Mistakes, member: &str, chars: RangeInclusive<usize>) -> Option<&str> {
        let value = self.value(member)?;
        match text_mistake(value, &chars) {
            None => Some(value),
            Some(message) => Self::wrong(mistakes, member, message),
        }
    }

    /// An optional whole number within bounds.
    pub fn integer(&self, mistakes: &mut Mistakes, member: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        match self.value(member)?.parse::<i64>() {
            Ok(number) if bounds.contains(&number) => Some(number),
            Ok(_) | Err(_) => Self::wrong(mistakes, member, integer_message(&bounds)),
        }
    }

    /// An optional `true` or `false`.
    pub fn boolean(&self, mistakes: &mut Mistakes, member: &str) -> Option<bool> {
        let value = self.value(member)?;
        value.parse::<bool>().ok().or_else(|| Self::wrong(mistakes, member, "true or false"))
    }

    /// An optional UUID.
    pub fn id(&self, mistakes: &mut Mistakes, member: &str) -> Option<Uuid> {
        let value = self.value(member)?;
        read_id(value).or_else(|| Self::wrong(mistakes, member, "a UUID"))
    }

    /// A required UUID.
    pub fn required_id(&self, mistakes: &mut Mistakes, member: &str) -> Option<Uuid> {
        if self.value(member).is_none() {
            return Self::wrong(mistakes, member, "required");
        }
        self.id(mistakes, member)
    }

    /// An optional instant; a `+` that the caller forgot to encode is understood.
    pub fn time(&self, mistakes: &mut Mistakes, member: &str) -> Option<Timestamp> {
        let value = self.value(member)?;
        let time = crate::time::read_rfc3339(value).or_else(|| crate::time::read_rfc3339(&value.replace(' ', "+")));
        time.or_else(|| Self::wrong(mistakes, member, "an RFC 3339 time with an offset"))
    }

    /// An optional word out of a closed list.
    pub fn one_of<T: Copy>(&self, mistakes: &mut Mistakes, member: &str, words: &[(&str, T)]) -> Option<T> {
        let value = self.value(member)?;
        let found = words.iter().find(|(word, _)| *word == value).map(|&(_, meaning)| meaning);
        found.or_else(|| {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            Self::wrong(mistakes, member, format!("one of {}", known.join(", ")))
        })
    }

    /// `page` and `size`, with their defaults.
    pub fn page(&self, mistakes: &mut Mistakes) -> Page {
        let number = self.integer(mistakes, "page", 0..=10_000_000).unwrap_or(0);
        let size = self.integer(mistakes, "size", 1..=LARGEST_PAGE).unwrap_or(20);
        Page { number: u32::try_from(number).unwrap_or(0), size: u32::try_from(size).unwrap_or(20) }
    }
}

/// As what was meant: decoded, then composed.
fn text_of(text: &str) -> Cow<'_, str> {
    match decode(text) {
        Cow::Borrowed(text) => composed(text),
        Cow::Owned(text) => Cow::Owned(composed(&text).into_owned()),
    }
}

/// `%41` and `+` as forms write them.
fn decode(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte == b'%' || byte == b'+') {
        return Cow::Borrowed(text);
    }
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        let escaped = (byte == b'%').then(|| rest.get(..2)).flatten();
        let escaped = escaped.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let read = escaped.and_then(|digits| std::str::from_utf8(digits).ok());
        match read.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(value) => {
                out.push(value);
                rest = &rest[2..];
            }
            None => out.push(if byte == b'+' { b' ' } else { byte }),
        }
    }
    Cow::Owned(String::from_utf8_lossy(&out).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_decoded_and_typed() {
        let query = Query::parse("q=rock%20%26+roll&page=2&size=50&dryRun=true&from=2026-06-01T19:00:00+09:00&bad=%zz");
        let mut mistakes = Mistakes::default();
        assert_eq!(query.text(&mut mistakes, "q", 1..=100), Some("rock & roll"));
        assert_eq!(query.page(&mut mistakes), Page { number: 2, size: 50 });
        assert_eq!(query.boolean(&mut mistakes, "dryRun"), Some(true));
        assert_eq!(query.time(&mut mistakes, "from"), Some(Timestamp::from_secs(1_780_308_000)));
        assert_eq!(query.value("bad"), Some("%zz"));
        let decomposed = Query::parse("q=%E1%84%90%E1%85%B3%E1%86%A8%E1%84%89%E1%85%A5%E1%86%A8");
        assert_eq!(decomposed.value("q"), Some("특석"));
        assert!(mistakes.is_empty());
    }

    #[test]
    fn what_is_not_known_is_refused_where_that_is_asked_for() {
        let mut mistakes = Mistakes::default();
        Query::parse("dryRun=true").refuse_unknown(&mut mistakes, &["dryRun"]);
        assert!(mistakes.is_empty());
        Query::parse("dryrun=true&x=1").refuse_unknown(&mut mistakes, &["dryRun"]);
        let problem = mistakes.refuse();
        let actual: Vec<(&str, &str)> =
            problem.mistakes().iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        let expected =
            [("dryrun", "unknown member of the query; did you mean dryRun?"), ("x", "unknown member of the query")];
        assert_eq!(actual, expected);
    }

    #[test]
    fn every_mistake_is_reported() {
        let query = Query::parse("size=101&page=-1&eventId=7&status=GONE");
        let mut mistakes = Mistakes::default();
        query.page(&mut mistakes);
        query.required_id(&mut mistakes, "eventId");
        query.required_id(&mut mistakes, "venueId");
        query.one_of(&mut mistakes, "status", &[("ENDED", 1)]);
        let problem = mistakes.refuse();
        let actual: Vec<&str> = problem.mistakes().iter().map(|mistake| mistake.field.as_str()).collect();
        assert_eq!(actual, ["page", "size", "eventId", "venueId", "status"]);
    }
}

//! Reads the members of a JSON body one by one and collects every mistake with its path, wrong types included, so that a
//! caller learns all of them at once. Unknown members are ignored, or reported where the body is strict, as in
//! administrators' calls. Must never stop at the first mistake.
//!
//! ```
//! # use onsale_server::http::{Mistakes, Object};
//! # let value = serde_json::json!({ "name": "Hall", "rows": [{ "label": "A" }, {}] });
//! let mut mistakes = Mistakes::default();
//! let body = Object::root(&value, &mut mistakes);
//! let name = body.text(&mut mistakes, "name", 1..=100);
//! for row in body.objects(&mut mistakes, "rows", 1..=500) {
//!     row.text(&mut mistakes, "label", 1..=20);
//! }
//! assert_eq!(name, Some("Hall"));
//! assert_eq!(mistakes.check().unwrap_err().mistakes()[0].field, "rows[1].label");
//! ```

use crate::http::extract::mistakes::Mistakes;
use crate::http::extract::unknown_members::AskedMembers;
use onsale_engine::time::Timestamp;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::sync::Arc;
use uuid::Uuid;

/// A JSON object at some path of the body.
#[derive(Clone, Debug)]
pub struct Object<'a> {
    members: Option<&'a Map<String, Value>>,
    path: String,
    /// The members asked for so far; `None` in buyers' calls, where unknown members are ignored.
    asked: Option<Arc<AskedMembers>>,
}

impl<'a> Object<'a> {
    /// The body itself, which must be an object.
    pub fn root(value: &'a Value, mistakes: &mut Mistakes) -> Self {
        let members = value.as_object();
        if members.is_none() {
            mistakes.add("", "the body must be an object");
        }
        Self { members, path: String::new(), asked: None }
    }

    /// The body of an administrator's call: the members that are asked for are recorded, for [`Object::refuse_unknown`].
    pub fn strict_root(value: &'a Value, mistakes: &mut Mistakes) -> Self {
        let asked = Arc::new(AskedMembers::default());
        asked.object("");
        Self { asked: Some(asked), ..Self::root(value, mistakes) }
    }

    /// Adds a mistake for every member of `value` that was not asked for by now, at any depth: `value` is the body, or the patch
    /// that was merged into another. To be called when all has been read. Does nothing for a body that is not strict.
    pub fn refuse_unknown(&self, value: &Value, mistakes: &mut Mistakes) {
        if let Some(asked) = &self.asked {
            asked.refuse_others(value, mistakes);
        }
    }

    /// An object within this one.
    fn within(&self, members: Option<&'a Map<String, Value>>, path: String) -> Self {
        if let Some(asked) = &self.asked {
            asked.object(&path);
        }
        Self { members, path, asked: self.asked.clone() }
    }

    fn ask(&self, member: &str) {
        if let Some(asked) = &self.asked {
            asked.member(&self.path, member);
        }
    }

    /// The path of a member, for mistakes that only the caller can see.
    #[must_use]
    pub fn at(&self, member: &str) -> String {
        if self.path.is_empty() { member.to_owned() } else { format!("{}.{member}", self.path) }
    }

    /// A member as it is; `null` counts as absent.
    #[must_use]
    pub fn value(&self, member: &str) -> Option<&'a Value> {
        self.ask(member);
        self.members?.get(member).filter(|value| !value.is_null())
    }

    /// Whether a member is there, be it `null`: PATCH distinguishes "leave it" from "remove it" by this.
    #[must_use]
    pub fn has(&self, member: &str) -> bool {
        self.ask(member);
        self.members.is_some_and(|members| members.contains_key(member))
    }

    /// The names of the members, in the order of the map.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        if let Some(asked) = &self.asked {
            asked.every_member(&self.path);
        }
        self.members.into_iter().flat_map(|members| members.keys().map(String::as_str))
    }

    fn required(&self, mistakes: &mut Mistakes, member: &str) -> Option<&'a Value> {
        self.ask(member);
        // What is wrong with an object that is none was said when it was read.
        self.members?;
        let value = self.value(member);
        if value.is_none() {
            mistakes.add(self.at(member), "required");
        }
        value
    }

    fn wrong<T>(&self, mistakes: &mut Mistakes, member: &str, message: impl Into<String>) -> Option<T> {
        mistakes.add(self.at(member), message);
        None
    }

    /// A required string of so many characters, without control characters at its ends or inside.
    pub fn text(&self, mistakes: &mut Mistakes, member: &str, chars: RangeInclusive<usize>) -> Option<&'a str> {
        let value = self.required(mistakes, member)?;
        self.read_text(mistakes, member, value, &chars)
    }

    /// An optional string; absent and `null` are none.
    pub fn optional_text(
        &self,
        mistakes: &mut Mistakes,
        member: &str,
        chars: RangeInclusive<usize>,
    ) -> Option<&'a str> {
        let value = self.value(member)?;
        self.read_text(mistakes, member, value, &chars)
    }

    fn read_text(
        &self,
        mistakes: &mut Mistakes,
        member: &str,
        value: &'a Value,
        chars: &RangeInclusive<usize>,
    ) -> Option<&'a str> {
        let Some(text) = value.as_str() else { return self.wrong(mistakes, member, "a string") };
        if let Some(message) = text_mistake(text, chars) {
            return self.wrong(mistakes, member, message);
        }
        Some(text)
    }

    /// A required whole number within bounds.
    pub fn integer(&self, mistakes: &mut Mistakes, member: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let value = self.required(mistakes, member)?;
        self.read_integer(mistakes, member, value, &bounds)
    }

    /// An optional whole number within bounds; absent and `null` are none.
    pub fn optional_integer(&self, mistakes: &mut Mistakes, member: &str, bounds: RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(member)?;
        self.read_integer(mistakes, member, value, &bounds)
    }

    fn read_integer(
        &self,
        mistakes: &mut Mistakes,
        member: &str,
        value: &Value,
        bounds: &RangeInclusive<i64>,
    ) -> Option<i64> {
        match value.as_i64() {
            Some(number) if bounds.contains(&number) => Some(number),
            Some(_) | None => self.wrong(mistakes, member, integer_message(bounds)),
        }
    }

    /// A required `true` or `false`.
    pub fn boolean(&self, mistakes: &mut Mistakes, member: &str) -> Option<bool> {
        self.required(mistakes, member)?;
        self.optional_boolean(mistakes, member)
    }

    /// An optional `true` or `false`.
    pub fn optional_boolean(&self, mistakes: &mut Mistakes, member: &str) -> Option<bool> {
        let value = self.value(member)?;
        value.as_bool().or_else(|| self.wrong(mistakes, member, "true or false"))
    }

    /// A required UUID, of any version.
    pub fn id(&self, mistakes: &mut Mistakes, member: &str) -> Option<Uuid> {
        self.required(mistakes, member)?;
        self.optional_id(mistakes, member)
    }

    /// An optional UUID.
    pub fn optional_id(&self, mistakes: &mut Mistakes, member: &str) -> Option<Uuid> {
        let value = self.value(member)?;
        value.as_str().and_then(read_id).or_else(|| self.wrong(mistakes, member, "a UUID"))
    }

    /// A required instant.
    pub fn time(&self, mistakes: &mut Mistakes, member: &str) -> Option<Timestamp> {
        self.required(mistakes, member)?;
        self.optional_time(mistakes, member)
    }

    /// An optional instant.
    pub fn optional_time(&self, mistakes: &mut Mistakes, member: &str) -> Option<Timestamp> {
        let value = self.value(member)?;
        let time = value.as_str().and_then(crate::time::read_rfc3339);
        time.or_else(|| self.wrong(mistakes, member, "an RFC 3339 time with an offset"))
    }

    /// A required object; members of one that is missing or wrong are all absent, without further mistakes.
    pub fn object(&self, mistakes: &mut Mistakes, member: &str) -> Object<'a> {
        let members = match self.required(mistakes, member) {
            Some(Value::Object(members)) => Some(members),
            Some(_) => self.wrong(mistakes, member, "an object"),
            None => None,
        };
        self.within(members, self.at(member))
    }

    /// An optional object.
    pub fn optional_object(&self, mistakes: &mut Mistakes, member: &str) -> Option<Object<'a>> {
        let value = self.value(member)?;
        let members = value.as_object().or_else(|| self.wrong(mistakes, member, "an object"))?;
        Some(self.within(Some(members), self.at(member)))
    }

    /// A required list of objects; none when it is missing or wrong. What is no object in it is a mistake.
    pub fn objects(&self, mistakes: &mut Mistakes, member: &str, count: RangeInclusive<usize>) -> Vec<Object<'a>> {
        let list = self.list(mistakes, member, &count).unwrap_or_default();
        let at = self.at(member);
        let read = list.iter().enumerate().map(|(number, value)| {
            let path = format!("{at}[{number}]");
            let members = value.as_object();
            if members.is_none() {
                mistakes.add(path.clone(), "an object");
            }
            self.within(members, path)
        });
        read.collect()
    }

    /// A required list of strings; `None` when any of it is wrong.
    pub fn texts(
        &self,
        mistakes: &mut Mistakes,
        member: &str,
        count: RangeInclusive<usize>,
        chars: RangeInclusive<usize>,
    ) -> Option<Vec<&'a str>> {
        let list = self.list(mistakes, member, &count)?;
        let mut texts = Vec::with_capacity(list.len());
        for (number, value) in list.iter().enumerate() {
            let message = match value.as_str() {
                None => Some("a string".to_owned()),
                Some(text) => {
                    texts.push(text);
                    text_mistake(text, &chars)
                }
            };
            if let Some(message) = message {
                texts.pop();
                mistakes.add(format!("{}[{number}]", self.at(member)), message);
            }
        }
        (texts.len() == list.len()).then_some(texts)
    }

    fn list(&self, mistakes: &mut Mistakes, member: &str, count: &RangeInclusive<usize>) -> Option<&'a [Value]> {
        let value = self.required(mistakes, member)?;
        match value.as_array() {
            Some(list) if count.contains(&list.len()) => Some(list),
            Some(_) | None => self.wrong(mistakes, member, format!("a list of {} to {}", count.start(), count.end())),
        }
    }
}

/// The UUID that a text names in its hyphenated form.
#[must_use]
pub fn read_id(text: &str) -> Option<Uuid> {
    (text.len() == 36).then(|| Uuid::try_parse(text).ok()).flatten()
}

pub(super) fn integer_message(bounds: &RangeInclusive<i64>) -> String {
    format!("a whole number from {} to {}", bounds.start(), bounds.end())
}

/// What is wrong with a text, if anything. Line breaks and tabs may stand inside.
pub(super) fn text_mistake(text: &str, chars: &RangeInclusive<usize>) -> Option<String> {
    // Bytes bound characters from both sides, which spares counting most texts.
    let fits = if text.len() > chars.end().saturating_mul(4) { false } else { chars.contains(&text.chars().count()) };
    if !fits {
        return Some(format!("{} to {} characters", chars.start(), chars.end()));
    }
    if *chars.start() > 0 && text.trim().is_empty() {
        return Some("not blank".to_owned());
    }
    let control = text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    control.then(|| "no control characters".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(value: &Value, read: impl Fn(&Object<'_>, &mut Mistakes), expected: &[(&str, &str)]) {
        let mut mistakes = Mistakes::default();
        read(&Object::root(value, &mut mistakes), &mut mistakes);
        let actual: Vec<(&str, &str)> = mistakes.0.iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        assert_eq!(actual, expected);
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        check(
            &json!({ "name": 7, "count": 101, "on": "yes", "id": "x", "at": "noon", "inner": [], "list": [{}, 3] }),
            |body, m| {
                body.text(m, "name", 1..=10);
                body.text(m, "title", 1..=10);
                body.integer(m, "count", 1..=100);
                body.boolean(m, "on");
                body.id(m, "id");
                body.time(m, "at");
                body.object(m, "inner").text(m, "never", 1..=2);
                for item in body.objects(m, "list", 1..=5) {
                    item.text(m, "label", 1..=5);
                }
            },
            &[
                ("name", "a string"),
                ("title", "required"),
                ("count", "a whole number from 1 to 100"),
                ("on", "true or false"),
                ("id", "a UUID"),
                ("at", "an RFC 3339 time with an offset"),
                ("inner", "an object"),
                ("list[1]", "an object"),
                ("list[0].label", "required"),
            ],
        );
    }

    #[test]
    fn null_is_absent_for_optional_members_and_a_mistake_for_required_ones() {
        check(
            &json!({ "a": null, "b": null }),
            |body, m| {
                assert_eq!(body.optional_text(m, "a", 1..=5), None);
                assert!(body.has("a"));
                body.text(m, "b", 1..=5);
            },
            &[("b", "required")],
        );
    }

    #[test]
    fn numbers_must_be_whole_and_within_64_bits() {
        check(
            &json!({ "a": 1.5, "c": "1", "d": 2 }),
            |body, m| {
                body.integer(m, "a", 0..=9);
                body.integer(m, "c", 0..=9);
                assert_eq!(body.integer(m, "d", 0..=9), Some(2));
            },
            &[("a", "a whole number from 0 to 9"), ("c", "a whole number from 0 to 9")],
        );
    }

    #[test]
    fn lists_of_texts_name_the_wrong_item() {
        check(
            &json!({ "seatIds": ["A-1", 5, "", " "], "none": [] }),
            |body, m| {
                assert_eq!(body.texts(m, "seatIds", 1..=10, 1..=100), None);
                body.texts(m, "none", 1..=10, 1..=100);
            },
            &[
                ("seatIds[1]", "a string"),
                ("seatIds[2]", "1 to 100 characters"),
                ("seatIds[3]", "not blank"),
                ("none", "a list of 1 to 10"),
            ],
        );
    }

    #[test]
    fn what_a_strict_body_was_not_asked_for_is_named_at_every_level() {
        let body = json!({
            "title": "x", "titel": "y", "plan": { "anything": 1 }, "prices": { "VIP": 1, "any name": 2 },
            "admission": { "ratePerSecond": 5, "ratePerSec": 50, "far": null }, "list": [{ "label": "a" }, { "lable": "b" }],
        });
        let read = |body: &Object<'_>, m: &mut Mistakes| {
            body.text(m, "title", 1..=10);
            let _ = body.value("plan");
            let prices = body.object(m, "prices");
            assert_eq!(prices.names().count(), 2);
            if let Some(admission) = body.optional_object(m, "admission") {
                admission.optional_integer(m, "ratePerSecond", 1..=9);
            }
            for item in body.objects(m, "list", 1..=5) {
                item.optional_text(m, "label", 1..=5);
            }
        };
        let mut mistakes = Mistakes::default();
        let strict = Object::strict_root(&body, &mut mistakes);
        read(&strict, &mut mistakes);
        strict.refuse_unknown(&body, &mut mistakes);
        let actual: Vec<(&str, &str)> = mistakes.0.iter().map(|m| (m.field.as_str(), m.message.as_str())).collect();
        let expected = [
            ("admission.far", "unknown member"),
            ("admission.ratePerSec", "unknown member; did you mean ratePerSecond?"),
            ("list[1].lable", "unknown member; did you mean label?"),
            ("titel", "unknown member; did you mean title?"),
        ];
        assert_eq!(actual, expected);
        // A buyer's body is read all the same.
        let mut mistakes = Mistakes::default();
        let lenient = Object::root(&body, &mut mistakes);
        read(&lenient, &mut mistakes);
        lenient.refuse_unknown(&body, &mut mistakes);
        assert!(mistakes.is_empty());
    }

    #[test]
    fn a_body_that_is_no_object_is_one_mistake() {
        check(
            &json!([1]),
            |body, m| assert!(body.text(m, "a", 1..=2).is_none()),
            &[("", "the body must be an object")],
        );
    }
}

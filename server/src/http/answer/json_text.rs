//! JSON objects written member by member, for the most frequent answers: a place and a refusal. Names are
//! constants that need no escaping, and nothing is allocated but the text itself, which costs a third of what serializing a
//! struct does. Every other answer is a struct that is serialized. Must never write a name that needs escaping.

use serde_json::Value;

/// A member's name, ready to be written: [`member!`](crate::http::member) makes it.
#[derive(Clone, Copy)]
pub struct Name(pub &'static str);

/// The name of a member as it is written between the member before it and its value.
macro_rules! member {
    ($name:literal) => {
        $crate::http::Name(concat!(",\"", $name, "\":"))
    };
}
pub(crate) use member;

/// An object on its way to being text. Every member begins with a comma; the first one's becomes the brace.
pub struct ObjectText {
    out: Vec<u8>,
}

impl ObjectText {
    /// An object without members; `bytes` is what it is expected to take.
    #[must_use]
    pub fn with_capacity(bytes: usize) -> Self {
        Self { out: Vec::with_capacity(bytes) }
    }

    /// A text.
    pub fn text(&mut self, name: Name, text: &str) {
        self.begin(name);
        write_text(&mut self.out, text);
    }

    /// A text, or `null`.
    pub fn text_or_null(&mut self, name: Name, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.null(name),
        }
    }

    /// A whole number.
    pub fn number(&mut self, name: Name, number: u64) {
        self.begin(name);
        write_number(&mut self.out, number);
    }

    /// A whole number, or `null`.
    pub fn number_or_null(&mut self, name: Name, number: Option<u64>) {
        match number {
            Some(number) => self.number(name, number),
            None => self.null(name),
        }
    }

    /// `null`.
    pub fn null(&mut self, name: Name) {
        self.begin(name);
        self.out.extend_from_slice(b"null");
    }

    /// A list of objects.
    pub fn objects<T>(&mut self, name: Name, items: impl IntoIterator<Item = T>, mut write: impl FnMut(&mut Self, T)) {
        self.begin(name);
        self.out.push(b'[');
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                self.out.push(b',');
            }
            let start = self.out.len();
            write(self, item);
            close(&mut self.out, start);
        }
        self.out.push(b']');
    }

    /// Any value, under a name that is not known before.
    pub fn value(&mut self, name: &'static str, value: &Value) {
        self.out.extend_from_slice(b",\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
        // Writing a value into a `Vec` cannot fail.
        let _ = serde_json::to_writer(&mut self.out, value);
    }

    /// ASCII that needs no escaping, each byte of `code` changed on its way.
    pub(in crate::http) fn changed(&mut self, name: Name, prefix: &str, code: &str, change: impl Fn(u8) -> u8) {
        self.begin(name);
        self.out.push(b'"');
        self.out.extend_from_slice(prefix.as_bytes());
        let start = self.out.len();
        self.out.extend_from_slice(code.as_bytes());
        self.out[start..].iter_mut().for_each(|byte| *byte = change(*byte));
        self.out.push(b'"');
    }

    /// The whole object.
    #[must_use]
    pub fn end(mut self) -> Vec<u8> {
        close(&mut self.out, 0);
        self.out
    }

    fn begin(&mut self, Name(name): Name) {
        self.out.extend_from_slice(name.as_bytes());
    }
}

/// Ends the object that began at `start`.
fn close(out: &mut Vec<u8>, start: usize) {
    match out.get_mut(start) {
        Some(comma) => *comma = b'{',
        None => out.push(b'{'),
    }
    out.push(b'}');
}

/// Nearly every text needs no escaping, and is found not to by a loop without a branch.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let is_escaped = |byte: u8| (byte < 0x20) | (byte == b'"') | (byte == b'\\');
    if text.bytes().fold(false, |any, byte| any | is_escaped(byte)) {
        // Writing a string into a `Vec` cannot fail.
        let _ = serde_json::to_writer(out, text);
        return;
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

fn write_number(out: &mut Vec<u8>, number: u64) {
    // Writing a number into a `Vec` cannot fail.
    let _ = serde_json::to_writer(out, &number);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_reads_as_what_was_written() {
        let mut object = ObjectText::with_capacity(0);
        object.text(member!("plain"), "R1-1, Säule 東");
        object.text(member!("escaped"), "a\"b\\c\n\u{1}\u{7f}\u{2028}");
        object.text_or_null(member!("none"), None);
        object.number(member!("largest"), u64::MAX);
        object.number_or_null(member!("zero"), Some(0));
        object.objects(member!("list"), [1, 2], |object, number| object.number(member!("n"), number));
        object.objects(member!("empty"), [0; 0], |object, number| object.number(member!("n"), number));
        object.value("value", &json!([1, { "a": null }]));
        object.changed(member!("word"), "seats ", "NOT_AVAILABLE", |byte| {
            if byte == b'_' { b' ' } else { byte.to_ascii_lowercase() }
        });
        let read: Value = serde_json::from_slice(&object.end()).unwrap();
        let expected = json!({
            "plain": "R1-1, Säule 東",
            "escaped": "a\"b\\c\n\u{1}\u{7f}\u{2028}",
            "none": null,
            "largest": u64::MAX,
            "zero": 0,
            "list": [{ "n": 1 }, { "n": 2 }],
            "empty": [],
            "value": [1, { "a": null }],
            "word": "seats not available",
        });
        assert_eq!(read, expected);
        assert_eq!(ObjectText::with_capacity(2).end(), b"{}");
    }

    #[test]
    fn every_character_of_a_text_comes_back() {
        for character in (0..=0x2ff).chain([0x2028, 0xffff, 0x1_f3ab]).filter_map(char::from_u32) {
            let mut object = ObjectText::with_capacity(32);
            object.text(member!("t"), &format!("a{character}b"));
            let read: Value = serde_json::from_slice(&object.end()).unwrap();
            assert_eq!(read["t"], format!("a{character}b"));
        }
    }
}

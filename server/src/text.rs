//! Text as it comes in, from clients and from files: UTF-8 without a byte order mark, composed to NFC, so that equal
//! texts of two programs are equal. The one place for it; text from outside must never bypass it.

use bytes::{Buf, Bytes};
use onsale_engine::text::composed;
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::path::Path;

/// What some editors write before UTF-8.
const MARK: &[u8] = b"\xef\xbb\xbf";
/// Why bytes are no text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextMistake {
    /// They are UTF-16, as some spreadsheets and editors save.
    #[error("is UTF-16; save or send it as UTF-8")]
    Utf16,
    /// They are no UTF-8.
    #[error("is not UTF-8, from byte {0} on")]
    NotUtf8(usize),
}

/// Bytes that should be JSON, without a byte order mark, see [`onsale_engine::text::json_text`].
///
/// # Errors
/// [`TextMistake::Utf16`].
pub fn json_text(bytes: &[u8]) -> Result<&[u8], TextMistake> {
    onsale_engine::text::json_text(bytes).ok_or(TextMistake::Utf16)
}

/// The same bytes without a byte order mark.
#[must_use]
pub fn without_mark(mut bytes: Bytes) -> Bytes {
    if bytes.starts_with(MARK) {
        bytes.advance(MARK.len());
    }
    bytes
}

/// The text of a file, without a byte order mark.
///
/// # Errors
/// UTF-16, and anything else that is not UTF-8.
pub fn text_of(bytes: &[u8]) -> Result<&str, TextMistake> {
    let bytes = json_text(bytes)?;
    std::str::from_utf8(bytes).map_err(|error| TextMistake::NotUtf8(error.valid_up_to()))
}

/// Why a file that was named could not be read as text.
#[derive(Debug, thiserror::Error)]
pub enum FileMistake {
    /// It could not be read at all.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// It is no text.
    #[error("it {0}")]
    Text(#[from] TextMistake),
}

/// Reads a file as [`text_of`] does. It is as it was written: it may name other files, whose names must not be changed.
///
/// # Errors
/// See [`FileMistake`].
pub fn read_file(path: &Path) -> Result<String, FileMistake> {
    Ok(text_of(&std::fs::read(path)?)?.to_owned())
}

/// Reads a file in NFC. Escapes in it, such as JSON's, are composed by what reads them.
///
/// # Errors
/// See [`FileMistake`].
pub fn read_composed_file(path: &Path) -> Result<String, FileMistake> {
    Ok(composed(&read_file(path)?).into_owned())
}

/// A JSON value with every string and every name in NFC.
///
/// # Errors
/// A name that two members of one object have once both are composed: which of them was meant is unknown.
pub fn composed_json(value: Value) -> Result<Value, String> {
    Ok(match value {
        Value::String(text) => Value::String(owned(text)),
        Value::Array(items) => Value::Array(items.into_iter().map(composed_json).collect::<Result<_, _>>()?),
        Value::Object(members) if members.iter().all(|(name, value)| name.is_ascii() && is_plain(value)) => {
            Value::Object(members)
        }
        Value::Object(members) => {
            let mut all = Map::new();
            for (name, value) in members {
                let name = owned(name);
                if all.contains_key(&name) {
                    return Err(name);
                }
                all.insert(name, composed_json(value)?);
            }
            Value::Object(all)
        }
        other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other,
    })
}

/// Whether there is nothing to compose in it, at a glance.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => true,
        Value::String(text) => text.is_ascii(),
        Value::Array(items) => items.iter().all(is_plain),
        Value::Object(_) => false,
    }
}

fn owned(text: String) -> String {
    match composed(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(composed) => composed,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use serde_json::json;

    const NFD: &str = "\u{1110}\u{1173}\u{11a8}\u{1109}\u{1165}\u{11a8}";

    #[test]
    fn every_string_and_name_is_composed_and_nothing_else_changes() {
        let value = json!({ NFD: [NFD, { "a": NFD }, 1.5, null], "plain": { "x": [true, "y"] } });
        let expected = json!({ "특석": ["특석", { "a": "특석" }, 1.5, null], "plain": { "x": [true, "y"] } });
        assert_eq!(composed_json(value).unwrap(), expected);
        assert_eq!(composed_json(json!({ NFD: 1, "특석": 2 })).unwrap_err(), "특석");
    }

    #[test]
    fn a_mark_is_skipped_and_utf_16_is_named() {
        assert_eq!(text_of(b"\xef\xbb\xbf{}").unwrap(), "{}");
        assert_eq!(text_of(NFD.as_bytes()).unwrap(), NFD);
        let little: Vec<u8> = "{\"a\":1}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_be_bytes).collect();
        for bytes in [&little, &big] {
            assert_eq!(text_of(bytes), Err(TextMistake::Utf16));
            assert_eq!(json_text(bytes), Err(TextMistake::Utf16));
        }
        assert_eq!(text_of(b"ab\xff"), Err(TextMistake::NotUtf8(2)));
        assert_eq!(without_mark(Bytes::from_static(b"\xef\xbb\xbf[]")), "[]");
        assert_eq!(json_text(b"").unwrap(), b"");
        assert_eq!(json_text(b"1").unwrap(), b"1");
    }
}

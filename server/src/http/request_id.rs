//! Names of requests: `X-Request-Id`, the caller's own when it is sane, and the trace id of a W3C `traceparent`.

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// `X-Request-Id`.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest id that is taken from a caller.
const LONGEST: usize = 128;

/// The caller's id, if it is 1 to 128 characters of `A–Z a–z 0–9 . _ ~ : / + = @ -`, else a new UUID.
pub(super) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let own = headers.get(X_REQUEST_ID).filter(|value| is_sane(value.as_bytes()));
    own.cloned().unwrap_or_else(fresh)
}

/// A new id.
pub(super) fn fresh() -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unnamed"))
}

fn is_sane(id: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~:/+=@-".contains(byte);
    (1..=LONGEST).contains(&id.len()) && id.iter().all(known)
}

/// The trace id of `traceparent` (W3C Trace Context, 3.2): 32 lower-case hex digits, not all zero.
pub(super) fn trace_of(headers: &HeaderMap) -> Option<&str> {
    let text = headers.get("traceparent")?.to_str().ok()?;
    let mut parts = text.split('-');
    let (version, trace, parent, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let is_hex = |part: &str, length: usize| {
        part.len() == length && part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let fits = is_hex(version, 2)
        && version != "ff"
        && is_hex(trace, 32)
        && is_hex(parent, 16)
        && is_hex(flags, 2)
        && (version != "00" || parts.next().is_none());
    let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
    (fits && !zero(trace) && !zero(parent)).then_some(trace)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn a_sane_id_is_kept_and_any_other_replaced() {
        let check = |id: &str, kept: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(X_REQUEST_ID, id.parse().unwrap());
            assert_eq!(request_id(&headers) == id, kept, "{id}");
        };
        check("abc-123", true);
        check("0af7651916cd43dd8448eb211c80319c", true);
        check("", false);
        check("a b", false);
        check("<script>", false);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn a_traceparent_is_read_by_the_book() {
        let check = |text: &str, expected: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert("traceparent", text.parse().unwrap());
            assert_eq!(trace_of(&headers), expected, "{text}");
        };
        let trace = "0af7651916cd43dd8448eb211c80319c";
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Some(trace));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", Some(trace));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("nonsense", None);
    }
}

//! A trace context as the W3C defines it (Trace Context, <https://www.w3.org/TR/trace-context/>), and its text form `traceparent`.
//! Must never hold an id of zeros, which the specification does not allow.

use std::fmt;

/// The first version of `traceparent`: the form that is written, with nothing behind its four fields.
const VERSION: u8 = 0;
/// The version that no `traceparent` may have.
const FORBIDDEN_VERSION: u8 = 0xff;
/// The bit of the flags that says that the caller records the trace.
const SAMPLED: u8 = 1;
/// How long `traceparent` is up to its fourth field.
const LENGTH: usize = 55;

/// Which trace: 16 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId([u8; 16]);

impl TraceId {
    /// The smallest.
    pub const FIRST: Self = Self([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

    /// None of zeros.
    #[must_use]
    pub fn new(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which piece of work within a trace: 8 bytes, never all zero.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

impl SpanId {
    /// The smallest.
    pub const FIRST: Self = Self([0, 0, 0, 0, 0, 0, 0, 1]);

    /// None of zeros.
    #[must_use]
    pub fn new(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8; 8] {
        &self.0
    }
}

/// A place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace.
    pub trace: TraceId,
    /// The piece of work: a request.
    pub span: SpanId,
    /// Whether who began the trace records it.
    pub is_sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`. One of a later version is read by its first four fields; none comes of what is malformed, which
    /// counts as if it was not there.
    #[must_use]
    pub fn parse(traceparent: &str) -> Option<Self> {
        let text = traceparent.as_bytes();
        let (fields, rest) = text.split_at_checked(LENGTH)?;
        let [version] = hex(fields.get(..2)?)?;
        let is_whole = if version == VERSION { rest.is_empty() } else { rest.is_empty() || rest.starts_with(b"-") };
        let is_parted = [2, 35, 52].iter().all(|at| fields.get(*at) == Some(&b'-'));
        if version == FORBIDDEN_VERSION || !is_whole || !is_parted {
            return None;
        }
        let trace = TraceId::new(hex(fields.get(3..35)?)?)?;
        let span = SpanId::new(hex(fields.get(36..52)?)?)?;
        let [flags] = hex(fields.get(53..)?)?;
        Some(Self { trace, span, is_sampled: flags & SAMPLED != 0 })
    }
}

/// The bytes that lower-case hex digits stand for.
fn hex<const N: usize>(digits: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if digits.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// `bytes` in lower-case hexadecimal; a message of the outbox has two of them, so not by the formatter of numbers.
fn put_hex(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (byte, pair) in bytes.iter().zip(text.chunks_exact_mut(2)) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
}

fn write_ascii(text: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str(std::str::from_utf8(text).unwrap_or_default())
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 32];
        put_hex(&self.0, &mut text);
        write_ascii(&text, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0; 16];
        put_hex(&self.0, &mut text);
        write_ascii(&text, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// As `traceparent`.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let flags = if self.is_sampled { SAMPLED } else { 0 };
        let mut text = [b'-'; 55];
        put_hex(&[VERSION], &mut text[..2]);
        put_hex(&self.trace.0, &mut text[3..35]);
        put_hex(&self.span.0, &mut text[36..52]);
        put_hex(&[flags], &mut text[53..]);
        write_ascii(&text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    #[test]
    fn a_traceparent_is_read_by_the_specification() {
        let check = |text: &str, expected: Option<(&str, &str, bool)>| {
            let read = TraceContext::parse(text);
            let read = read.map(|context| (context.trace.to_string(), context.span.to_string(), context.is_sampled));
            let expected = expected.map(|(trace, span, sampled)| (trace.to_owned(), span.to_owned(), sampled));
            assert_eq!(read, expected, "{text:?}");
        };
        let span = "b7ad6b7169203331";
        let good = |sampled| Some((TRACE, span, sampled));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", good(true));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", good(false));
        // Flags that this version does not know are ignored.
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-fe", good(false));
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", good(true));
        // Later versions may have more fields.
        check("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", good(true));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-ever", good(true));
        check("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01what", None);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more", None);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-", None);
        check("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        // Zeros are no ids.
        check("00-00000000000000000000000000000000-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", None);
        // Digits are lower-case hex, fields have their lengths, hyphens part them.
        check("00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01", None);
        check("0x-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319-b7ad6b7169203331-01", None);
        check("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1", None);
        check("00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01", None);
        check("000af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", None);
        check("", None);
        check("nonsense", None);
        check(&"é".repeat(40), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        assert_eq!(TraceContext::parse(text).map(|it| it.to_string()).as_deref(), Some(text));
        let later =
            TraceContext::parse("42-0af7651916cd43dd8448eb211c80319c-00000000000000aa-03-x").map(|it| it.to_string());
        assert_eq!(later.as_deref(), Some("00-0af7651916cd43dd8448eb211c80319c-00000000000000aa-01"));
    }
}

//! The ids of a request: `X-Request-Id`, the caller's own if it is well formed, and the trace, the caller's if its W3C
//! `traceparent` is well formed. Must never accept an id that could break a log line or a header.

use http::{HeaderMap, HeaderName, HeaderValue};
use onsale_engine::trace::{Origin, RequestId, SpanId, TraceContext, TraceId};
use uuid::Uuid;

/// `X-Request-Id`.
pub(super) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The header that continues a caller's trace.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// The longest id accepted from a caller, in characters.
const MOST_CHARACTERS: usize = 128;

/// See the module.
pub(super) struct Identity {
    /// The answer's `X-Request-Id`.
    pub header: HeaderValue,
    /// Carried by everything that the request causes: commands, spans, log lines.
    pub origin: Origin,
}

impl Identity {
    /// That of a request with these headers.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let own = headers.get(X_REQUEST_ID).filter(|value| is_well_formed(value.as_bytes()));
        let (header, request) = match own.and_then(|value| Some((value.clone(), value.to_str().ok()?))) {
            Some((value, text)) => (value, RequestId::parse(text)),
            None => {
                let id = Uuid::new_v4();
                (written(id), RequestId::Hyphenated(id))
            }
        };
        let trace = trace(headers, &request);
        Self { header, origin: Origin { request: Some(request), trace: Some(trace) } }
    }
}

/// A new id, for an answer to bytes that could not be parsed as a request.
pub(in crate::http) fn fresh() -> HeaderValue {
    written(Uuid::new_v4())
}

fn written(id: Uuid) -> HeaderValue {
    let mut buffer = Uuid::encode_buffer();
    let text = id.hyphenated().encode_lower(&mut buffer);
    HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("unnamed"))
}

/// 1 to 128 characters of `A–Z a–z 0–9 . _ ~ : / + = @ -`.
fn is_well_formed(id: &[u8]) -> bool {
    let known = |byte: &u8| byte.is_ascii_alphanumeric() || b"._~:/+=@-".contains(byte);
    (1..=MOST_CHARACTERS).contains(&id.len()) && id.iter().all(known)
}

/// The request's own span in the caller's trace. Without one it begins a new trace, whose id is the request's id if that has the
/// same size; nobody records it, so it is not sampled.
fn trace(headers: &HeaderMap, request: &RequestId) -> TraceContext {
    let span = SpanId::new(rand::random()).unwrap_or(SpanId::FIRST);
    let mut parents = headers.get_all(TRACEPARENT).iter();
    let parent = match (parents.next(), parents.next()) {
        (Some(parent), None) => parent.to_str().ok().and_then(TraceContext::parse),
        // Several are invalid (Trace Context, 3.2).
        (_, _) => None,
    };
    match parent {
        Some(parent) => TraceContext { span, ..parent },
        None => {
            let trace = request.trace().or_else(|| TraceId::new(rand::random())).unwrap_or(TraceId::FIRST);
            TraceContext { trace, span, is_sampled: false }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

    fn identity(own: &[(&'static str, &str)]) -> Identity {
        let mut headers = HeaderMap::new();
        for (name, value) in own {
            headers.append(*name, value.parse().unwrap());
        }
        Identity::of(&headers)
    }

    #[test]
    fn a_well_formed_id_is_kept_and_any_other_replaced() {
        let check = |id: &str, kept: bool| {
            let Identity { header, origin } = identity(&[("x-request-id", id)]);
            assert_eq!(header == id, kept, "{id}");
            assert_eq!(origin.request.unwrap().to_string(), header, "the same where it is logged");
        };
        check("abc-123", true);
        check(TRACE, true);
        check("0AF76519-16cd-43dd-8448-eb211c80319c", true);
        check("", false);
        check("a b", false);
        check("<script>", false);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        assert_ne!(identity(&[]).header, identity(&[]).header);
    }

    #[test]
    fn a_trace_is_continued_or_begun() {
        let place = |own: &[(&'static str, &str)]| {
            let trace = identity(own).origin.trace.unwrap();
            (trace.trace.to_string(), trace.is_sampled, trace.span.to_string())
        };
        let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
        let other = "00-11111111111111111111111111111111-b7ad6b7169203331-01";
        let continued = place(&[("traceparent", parent), ("x-request-id", "mine")]);
        assert_eq!((continued.0.as_str(), continued.1), (TRACE, true));
        assert_ne!(continued.2, "b7ad6b7169203331", "the request has a span of its own");
        // A malformed trace is replaced by a new one, with the request's id if that fits.
        for broken in ["nonsense", "00-00000000000000000000000000000000-b7ad6b7169203331-01"] {
            let begun = place(&[("traceparent", broken), ("x-request-id", TRACE)]);
            assert_eq!((begun.0.as_str(), begun.1), (TRACE, false));
            assert_ne!(place(&[("traceparent", broken)]).0, TRACE);
        }
        assert_ne!(place(&[("traceparent", parent), ("traceparent", other)]).0, TRACE);
        assert_ne!(place(&[("x-request-id", "mine")]).0, place(&[("x-request-id", "mine")]).0);
        let ours = identity(&[]);
        let trace = ours.origin.trace.unwrap().trace.to_string();
        assert_eq!(ours.header.to_str().unwrap().replace('-', ""), trace, "one of them gives the other");
    }
}

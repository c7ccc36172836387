//! A request as handlers see it: path parameters, query, and a body that is read under its route's limit.
//! Must never read more of a body than the limit, nor trust its declared length.

use crate::http::extract::mistakes::Mistakes;
use crate::http::extract::object::read_id;
use crate::http::extract::query::Query;
use crate::http::problem::Problem;
use crate::text;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use serde_json::Value;
use smallvec::SmallVec;
use std::ops::Range;
use uuid::Uuid;

/// The ranges of path parameters in the path, in the order of the pattern.
pub(in crate::http) type Spans = SmallVec<[Range<u32>; 2]>;

/// A request.
pub struct Request {
    head: http::request::Parts,
    body: Source,
    names: &'static [&'static str],
    spans: Spans,
    limit: usize,
}

/// Where the body comes from.
pub(in crate::http) enum Source {
    /// The connection.
    Wire(Incoming),
    /// It is here already: tests, and handlers called from inside.
    Here(Bytes),
    /// It was taken.
    Taken,
}

/// A JSON body, and the bytes that it was read from (idempotency keys are bound to them).
#[derive(Debug)]
pub struct Json {
    /// Its value.
    pub value: Value,
    /// Its bytes.
    pub bytes: Bytes,
}

impl Request {
    pub(in crate::http) fn new(
        head: http::request::Parts,
        body: Source,
        names: &'static [&'static str],
        spans: Spans,
        limit: usize,
    ) -> Self {
        Self { head, body, names, spans, limit }
    }

    /// A request whose body is here already, for calling a handler from a test.
    #[must_use]
    pub fn here(head: http::request::Parts, body: Bytes, limit: usize) -> Self {
        Self::new(head, Source::Here(body), &[], Spans::new(), limit)
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.head.method
    }

    /// The path, without the query.
    #[must_use]
    pub fn path(&self) -> &str {
        self.head.uri.path()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// A header as text; one that is not visible ASCII counts as absent.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.headers.get(name)?.to_str().ok()
    }

    /// A parameter of the path by its name in the pattern; empty when the pattern has none of that name.
    #[must_use]
    pub fn param(&self, name: &str) -> &str {
        let at = self.names.iter().position(|known| *known == name);
        let span = at.and_then(|at| self.spans.get(at));
        span.and_then(|span| self.path().get(span.start as usize..span.end as usize)).unwrap_or("")
    }

    /// A parameter of the path that is a UUID.
    ///
    /// # Errors
    /// 404: a malformed id names nothing. Read the body before you ask, so that its mistakes come first.
    pub fn path_id(&self, name: &str) -> Result<Uuid, Problem> {
        read_id(self.param(name)).ok_or_else(Problem::not_found)
    }

    /// The query string.
    #[must_use]
    pub fn query(&self) -> Query<'_> {
        Query::parse(self.head.uri.query().unwrap_or(""))
    }

    /// The whole body; empty when there is none or it was taken before.
    ///
    /// # Errors
    /// 413 beyond the route's limit; 400 when the connection broke.
    pub async fn bytes(&mut self) -> Result<Bytes, Problem> {
        match std::mem::replace(&mut self.body, Source::Taken) {
            Source::Taken => Ok(Bytes::new()),
            Source::Here(bytes) if bytes.len() > self.limit => Err(too_large(self.limit)),
            Source::Here(bytes) => Ok(bytes),
            Source::Wire(incoming) => collect(incoming, self.limit).await,
        }
    }

    /// The body as JSON of any shape; [`crate::http::Object`] takes it apart.
    ///
    /// # Errors
    /// 415 when it is not declared as JSON, 413 beyond the limit, 400 `MALFORMED_JSON` when it is not JSON or absent.
    pub async fn json(&mut self) -> Result<Json, Problem> {
        let bytes = self.json_bytes().await?;
        Ok(Json { value: read_json(&bytes)?, bytes: text::without_mark(bytes) })
    }

    /// The bytes of a body that is declared as JSON, for readers that build no tree of it first. Its text is as received: only
    /// [`read_json`] composes it.
    ///
    /// # Errors
    /// 415 when it is not declared as JSON, 413 beyond the limit.
    pub async fn json_bytes(&mut self) -> Result<Bytes, Problem> {
        let absent = match &self.body {
            Source::Wire(incoming) => incoming.is_end_stream(),
            Source::Here(bytes) => bytes.is_empty(),
            Source::Taken => true,
        };
        if !absent && !is_json(&self.head.headers) {
            let detail = "the body must be JSON: Content-Type: application/json";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UNSUPPORTED_MEDIA_TYPE", detail));
        }
        self.bytes().await
    }

    /// The body as JSON if there is one; absent bodies are `None`, for calls where it is optional.
    ///
    /// # Errors
    /// See [`Request::json`].
    pub async fn json_if_any(&mut self) -> Result<Option<Json>, Problem> {
        let absent = match &self.body {
            Source::Wire(incoming) => incoming.is_end_stream(),
            Source::Here(bytes) => bytes.is_empty(),
            Source::Taken => true,
        };
        if absent { Ok(None) } else { self.json().await.map(Some) }
    }

    /// The caller's `Idempotency-Key`.
    ///
    /// # Errors
    /// 400 when it is not 1 to 255 visible ASCII characters.
    pub fn idempotency_key(&self) -> Result<Option<&str>, Problem> {
        let Some(value) = self.head.headers.get("idempotency-key") else { return Ok(None) };
        match value.to_str() {
            Ok(key) if (1..=255).contains(&key.len()) => Ok(Some(key)),
            Ok(_) | Err(_) => {
                let mut mistakes = Mistakes::default();
                mistakes.add("Idempotency-Key", "1 to 255 visible ASCII characters");
                Err(mistakes.refuse())
            }
        }
    }
}

/// JSON of any shape, its strings and names of members in NFC. A byte order mark before it is skipped.
///
/// # Errors
/// 400 `MALFORMED_JSON`, also for UTF-16, and for an object of which two members have the same name once both are composed.
pub fn read_json(bytes: &[u8]) -> Result<serde_json::Value, Problem> {
    let malformed = |detail: String| Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", detail);
    let bytes = text::json_text(bytes).map_err(|mistake| malformed(format!("the body {mistake}")))?;
    let value = serde_json::from_slice(bytes).map_err(|error| Problem::malformed_json(&error))?;
    text::composed_json(value).map_err(|name| malformed(format!("two members of an object have the name {name:?}")))
}

/// Whether the body is declared as JSON: `application/json` or `application/…+json`, with any parameters.
fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let kind = text.split(';').next().unwrap_or("").trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return true;
    }
    let kind = kind.to_ascii_lowercase();
    kind.starts_with("application/") && kind.ends_with("+json")
}

fn too_large(limit: usize) -> Problem {
    let detail = format!("the body may have at most {limit} bytes");
    Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "PAYLOAD_TOO_LARGE", detail).close()
}

/// Refuses a body with content. Whether a chunked body has any is known only when it is read.
///
/// # Errors
/// 400 for the first byte of content.
pub(in crate::http) async fn refuse_content(mut body: Incoming) -> Result<(), Problem> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken_off)?;
        if frame.into_data().is_ok_and(|data| !data.is_empty()) {
            let mut mistakes = Mistakes::default();
            mistakes
                .add("", "a DELETE takes no body, and nothing was done; what it concerns stands in its path and query");
            return Err(mistakes.refuse());
        }
    }
    Ok(())
}

fn broken_off(error: hyper::Error) -> Problem {
    tracing::debug!(%error, "the body broke off");
    Problem::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", "the body broke off").close()
}

async fn collect(mut body: Incoming, limit: usize) -> Result<Bytes, Problem> {
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large(limit));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(broken_off)?;
        let Ok(data) = frame.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(too_large(limit));
        }
        // Most bodies come in one frame, which is then not copied.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    /// A request with a body, for unit tests of handlers.
    pub(crate) fn request(uri: &str, headers: &[(&str, &str)], body: &str, limit: usize) -> Request {
        let mut builder = http::Request::builder().uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let (head, ()) = builder.body(()).unwrap().into_parts();
        Request::here(head, Bytes::copy_from_slice(body.as_bytes()), limit)
    }

    async fn check(headers: &[(&str, &str)], body: &str, expected: &str) {
        let actual = match request("/", headers, body, 20).json().await {
            Ok(json) => json.value.to_string(),
            Err(problem) => problem.code().to_owned(),
        };
        assert_eq!(actual, expected, "{headers:?} {body}");
    }

    #[tokio::test]
    async fn bodies_are_json_within_their_limit() {
        let json = ("content-type", "application/json; charset=utf-8");
        check(&[json], "{\"a\":1}", "{\"a\":1}").await;
        check(&[("Content-Type", "application/merge-patch+json")], "[]", "[]").await;
        check(&[("content-type", "text/plain")], "{}", "UNSUPPORTED_MEDIA_TYPE").await;
        check(&[], "{}", "UNSUPPORTED_MEDIA_TYPE").await;
        check(&[], "", "MALFORMED_JSON").await;
        check(&[json], "{\"a\":", "MALFORMED_JSON").await;
        check(&[json], "\"aaaaaaaaaaaaaaaaaaa\"", "PAYLOAD_TOO_LARGE").await;
    }

    #[test]
    fn idempotency_keys_are_visible_ascii() {
        let check = |key: &str| request("/", &[("idempotency-key", key)], "", 9).idempotency_key().map(|k| k.is_some());
        assert!(check("abc-1").unwrap());
        assert!(check("").is_err());
        assert!(check(&"k".repeat(256)).is_err());
        assert!(request("/", &[], "", 9).idempotency_key().unwrap().is_none());
    }
}

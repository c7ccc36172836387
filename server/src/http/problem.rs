//! Errors as clients see them: `application/problem+json` (RFC 9457) with the members that the HTTP contract asks for.
//! Owns codes, statuses and the wire form. Must never carry personal data or internals of the server in a detail.

use crate::http::answer::body::{Body, Response};
use crate::http::answer::json_text::{ObjectText, member};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, StatusCode, header};
use onsale_engine::time::Timestamp;
use serde_json::Value;
use std::borrow::Cow;

/// A refusal that becomes a response. Small, because it is in every handler's `Result`.
#[derive(Debug)]
pub struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    more: Option<Box<More>>,
}

/// What only some problems carry.
#[derive(Debug, Default)]
struct More {
    errors: Vec<FieldMistake>,
    members: Vec<(&'static str, Value)>,
    retry_after_seconds: Option<u32>,
    allow: Option<HeaderValue>,
    headers: Vec<(HeaderName, HeaderValue)>,
    close: bool,
    cause: Option<String>,
}

/// One mistake of a request: where, and what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMistake {
    /// A path, such as `zones[0].rows[2].seats[5].category`.
    pub field: String,
    /// What is wrong, for the caller.
    pub message: String,
}

impl Problem {
    /// A problem of any kind; `code` is stable and upper snake case. The named constructors below are preferred.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, detail: detail.into(), more: None }
    }

    /// 400 with every mistake named. [`crate::http::Mistakes`] is the usual way here.
    #[must_use]
    pub fn validation(errors: Vec<FieldMistake>) -> Self {
        let mut problem =
            Self::new(StatusCode::BAD_REQUEST, "VALIDATION_FAILED", "the request has mistakes, see errors");
        problem.more().errors = errors;
        problem
    }

    /// 400: the body is not JSON at all.
    #[must_use]
    pub fn malformed_json(reason: &serde_json::Error) -> Self {
        let detail = format!("the body is not JSON: line {}, column {}", reason.line(), reason.column());
        Self::new(StatusCode::BAD_REQUEST, "MALFORMED_JSON", detail)
    }

    /// 401: no, bad, expired or revoked bearer token.
    #[must_use]
    pub fn unauthenticated(detail: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "UNAUTHENTICATED", detail)
    }

    /// 401: no, bad or expired queue token.
    #[must_use]
    pub fn queue_token_invalid() -> Self {
        let detail = "this call needs a valid X-Queue-Token of this event and buyer";
        Self::new(StatusCode::UNAUTHORIZED, "QUEUE_TOKEN_INVALID", detail)
    }

    /// 403: the role does not allow it.
    #[must_use]
    pub fn forbidden() -> Self {
        Self::new(StatusCode::FORBIDDEN, "FORBIDDEN", "the role does not allow it")
    }

    /// 404: no such thing, or not the caller's.
    #[must_use]
    pub fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "NOT_FOUND", "no such thing")
    }

    /// 409 with a code of the contract.
    pub fn conflict(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, code, detail)
    }

    /// 422: the idempotency key came before with another body.
    #[must_use]
    pub fn key_reused() -> Self {
        let detail = "this Idempotency-Key was used with another request";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "IDEMPOTENCY_KEY_REUSED", detail)
    }

    /// 500: our mistake; the log has its cause under the trace id.
    #[must_use]
    pub fn internal() -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL", "an error of the server; the trace id finds it")
    }

    /// 503: too much work at once; certainly not done.
    #[must_use]
    pub fn overloaded() -> Self {
        Self::unavailable("OVERLOADED", "more is asked than can be answered; nothing was done", 1)
    }

    /// 503: the storage does not take writes; certainly not done.
    #[must_use]
    pub fn storage_unavailable() -> Self {
        Self::unavailable("STORAGE_UNAVAILABLE", "the storage does not answer; nothing was done", 2)
    }

    /// 503 with a code of the contract.
    #[must_use]
    pub fn unavailable(code: &'static str, detail: &'static str, retry_after_seconds: u32) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).retry_after(retry_after_seconds)
    }

    /// 504: the deadline passed; whether it was done is unknown.
    #[must_use]
    pub fn deadline_exceeded() -> Self {
        let detail = "the deadline passed; whether it was done is unknown, ask again with the same Idempotency-Key";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "DEADLINE_EXCEEDED", detail)
    }

    /// Adds a member beside the standard ones, such as `unavailableSeatIds`.
    #[must_use]
    pub fn with(mut self, member: &'static str, value: impl Into<Value>) -> Self {
        self.more().members.push((member, value.into()));
        self
    }

    /// Sets `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.more().retry_after_seconds = Some(seconds);
        self
    }

    /// Sets `Allow`, for 405.
    #[must_use]
    pub fn allow(mut self, methods: HeaderValue) -> Self {
        self.more().allow = Some(methods);
        self
    }

    /// Adds a header of its own.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.more().headers.push((name, value));
        self
    }

    /// Ends the connection after this answer (HTTP/1.1), because the rest of the request will not be read.
    #[must_use]
    pub fn close(mut self) -> Self {
        self.more().close = true;
        self
    }

    /// The cause, for the log alone; the line of this request carries it beside the trace id.
    #[must_use]
    pub fn because(mut self, cause: impl std::fmt::Display) -> Self {
        self.more().cause = Some(cause.to_string());
        self
    }

    /// The cause, for the log alone.
    #[must_use]
    pub fn cause(&self) -> Option<&str> {
        self.more.as_ref()?.cause.as_deref()
    }

    /// The status that it answers with.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// Its stable code.
    #[must_use]
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The mistakes that it names, for validation problems.
    #[must_use]
    pub fn mistakes(&self) -> &[FieldMistake] {
        self.more.as_ref().map_or(&[], |more| &more.errors)
    }

    /// Its detail.
    #[must_use]
    pub fn detail(&self) -> &str {
        &self.detail
    }

    fn more(&mut self) -> &mut More {
        self.more.get_or_insert_default()
    }

    /// The response, except for the headers that every response gets.
    #[must_use]
    pub fn into_response(self, trace_id: &str, now: Timestamp) -> Response {
        let mut response = Response::new(Body::full(Bytes::from(self.to_json(trace_id, now))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.status == StatusCode::UNAUTHORIZED && self.code == "UNAUTHENTICATED" {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        let Some(more) = self.more else { return response };
        if let Some(seconds) = more.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = more.allow {
            headers.insert(header::ALLOW, methods);
        }
        headers.extend(more.headers);
        if more.close {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    /// The body. Written member by member because refusals are the hot path of a sold-out sale.
    #[must_use]
    pub fn to_json(&self, trace_id: &str, now: Timestamp) -> Vec<u8> {
        let mut object = ObjectText::with_capacity(512);
        let kind = |byte: u8| if byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
        object.changed(member!("type"), "urn:onsale:problem:", self.code, kind);
        let (first, later) = self.code.split_at(self.code.len().min(1));
        let word = |byte: u8| if byte == b'_' { b' ' } else { byte.to_ascii_lowercase() };
        object.changed(member!("title"), first, later, word);
        object.number(member!("status"), u64::from(self.status.as_u16()));
        object.text(member!("detail"), &self.detail);
        object.text(member!("code"), self.code);
        object.text(member!("traceId"), trace_id);
        object.text(member!("timestamp"), &crate::time::rfc3339(now));
        if let Some(more) = &self.more {
            if !more.errors.is_empty() {
                object.objects(member!("errors"), &more.errors, |object, mistake| {
                    object.text(member!("field"), &mistake.field);
                    object.text(member!("message"), &mistake.message);
                });
            }
            for (name, content) in &more.members {
                object.value(name, content);
            }
        }
        object.end()
    }
}

impl From<onsale_engine::ports::StoreError> for Problem {
    fn from(error: onsale_engine::ports::StoreError) -> Self {
        Self::storage_unavailable().because(error)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn a_problem_has_every_member_of_the_contract() {
        let mistake = FieldMistake { field: "seatIds[1]".into(), message: "a string".into() };
        let json = Problem::validation(vec![mistake]).with("hint", "x\"y").to_json("trace-1", Timestamp::from_secs(0));
        let read: Value = serde_json::from_slice(&json).unwrap();
        let expected = serde_json::json!({
            "type": "urn:onsale:problem:validation-failed",
            "title": "Validation failed",
            "status": 400,
            "detail": "the request has mistakes, see errors",
            "code": "VALIDATION_FAILED",
            "traceId": "trace-1",
            "timestamp": "1970-01-01T00:00:00Z",
            "errors": [{ "field": "seatIds[1]", "message": "a string" }],
            "hint": "x\"y",
        });
        assert_eq!(read, expected);
    }

    #[test]
    fn unavailability_says_when_to_retry() {
        let response = Problem::overloaded().into_response("t", Timestamp::default());
        assert_eq!(response.status(), 503);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}

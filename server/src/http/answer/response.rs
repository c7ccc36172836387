//! The few ways to make a response. Must never box a body that is sent at once: it is the fast path.

use crate::http::answer::body::{Body, Response};
use crate::http::compression;
use crate::http::problem::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// `value` as JSON.
///
/// # Errors
/// 500, when `value` has no JSON form.
pub fn json<T: Serialize + ?Sized>(status: StatusCode, value: &T) -> Result<Response, Problem> {
    let mut bytes = Vec::with_capacity(512);
    match serde_json::to_writer(&mut bytes, value) {
        Ok(()) => Ok(json_bytes(status, Bytes::from(bytes))),
        Err(error) => Err(Problem::internal().because(error)),
    }
}

/// JSON that is written already.
#[must_use]
pub fn json_bytes(status: StatusCode, bytes: Bytes) -> Response {
    let mut response = Response::new(Body::full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, JSON);
    response
}

/// 200 with JSON that was written by hand.
#[must_use]
pub fn ok_text(json: Vec<u8>) -> Response {
    json_bytes(StatusCode::OK, Bytes::from(json))
}

/// 200 with JSON.
///
/// # Errors
/// See [`json`].
pub fn ok<T: Serialize + ?Sized>(value: &T) -> Result<Response, Problem> {
    json(StatusCode::OK, value)
}

/// 201 with JSON, and `Location`.
///
/// # Errors
/// See [`json`].
pub fn created<T: Serialize + ?Sized>(location: String, value: &T) -> Result<Response, Problem> {
    let mut response = json(StatusCode::CREATED, value)?;
    if let Ok(location) = HeaderValue::try_from(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

/// 204.
#[must_use]
pub fn no_content() -> Response {
    empty(StatusCode::NO_CONTENT)
}

/// A status without a body: 204, 304.
#[must_use]
pub fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// 200 with text of `content_type`.
#[must_use]
pub fn text(content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Body::full(body.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// JSON that is kept in both forms, such as a seat map: picks by `Accept-Encoding`, never compresses.
#[must_use]
pub fn json_in_two_forms(request: &HeaderMap, plain: &Bytes, gzipped: &Bytes) -> Response {
    let mut response = if compression::accepted(request) {
        let mut response = json_bytes(StatusCode::OK, gzipped.clone());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        json_bytes(StatusCode::OK, plain.clone())
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

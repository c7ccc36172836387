//! The last changes to a response, the same for every route. Must never change what it says.

use crate::http::answer::body::{Body, Response};
use bytes::Bytes;
use http::{HeaderValue, header};

/// Headers that restrain browsers and caches: no guessing of the content's type, and no storing of what is personal or a problem.
pub(super) fn protect(response: &mut Response, is_secret: bool) {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_secret {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Turns the answer to `GET` into the one to `HEAD`: the same headers, with the length, and no body.
pub(super) fn without_body(response: &mut Response) {
    let length = match response.body() {
        Body::Full(bytes) => bytes.as_ref().map_or(0, Bytes::len),
        Body::Stream(_) | Body::Watched(_) => 0,
    };
    if length > 0 {
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    *response.body_mut() = Body::empty();
}

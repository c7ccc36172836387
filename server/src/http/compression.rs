//! Gzip for whole JSON answers of 1 KiB or more. Streams and stored gzipped forms are left alone. Must never send a wrong
//! `Content-Length`: that is why this is no layer around the body.

use crate::http::answer::body::{Body, Response};
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, header};
use onsale_engine::trace::Scope;
use std::io::Write;

/// Answers shorter than this are sent as they are.
pub const COMPRESS_FROM_BYTES: usize = 1024;
/// Answers of this size or more are compressed on a blocking thread.
const COMPRESS_OFF_THREAD_FROM_BYTES: usize = 128 * 1024;

/// Whether the caller takes gzip: named with a weight above 0, or by `*` and not excluded (RFC 9110, 12.5.3).
#[must_use]
pub fn accepted(request: &HeaderMap) -> bool {
    let mut star = false;
    for line in request.get_all(header::ACCEPT_ENCODING) {
        for coding in line.to_str().unwrap_or("").split(',') {
            let mut parts = coding.split(';');
            let name = parts.next().unwrap_or("").trim();
            let refused = parts
                .filter_map(|part| part.trim().strip_prefix("q="))
                .any(|weight| weight.trim().parse::<f32>().is_ok_and(|weight| weight <= 0.0));
            if name.eq_ignore_ascii_case("gzip") || name.eq_ignore_ascii_case("x-gzip") {
                return !refused;
            }
            star |= name == "*" && !refused;
        }
    }
    star
}

/// The bytes, gzipped; `quality` 1 (fast) to 9 (small).
#[must_use]
pub fn compress(bytes: &[u8], quality: u32) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4 + 64), Compression::new(quality.min(9)));
    // Writing into a `Vec` cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().map(Bytes::from).unwrap_or_default()
}

/// Whether [`apply`] has anything to do: a long plain JSON answer.
#[must_use]
pub fn concerns(response: &Response) -> bool {
    response.body().bytes().is_some_and(|bytes| bytes.len() >= COMPRESS_FROM_BYTES)
        && !response.headers().contains_key(header::CONTENT_ENCODING)
        && !response.headers().contains_key(header::VARY)
}

/// Compresses an answer that [`concerns`] it, when the caller takes gzip; names the choice in `Vary` either way.
pub async fn apply(takes_gzip: bool, mut response: Response) -> Response {
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    let Some(bytes) = takes_gzip.then(|| response.body().bytes().cloned()).flatten() else { return response };
    let smaller = if bytes.len() < COMPRESS_OFF_THREAD_FROM_BYTES {
        compress(&bytes, 1)
    } else {
        tokio::task::spawn_blocking(Scope::carry(move || compress(&bytes, 4))).await.unwrap_or_default()
    };
    if !smaller.is_empty() {
        *response.body_mut() = Body::full(smaller);
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use std::io::Read;

    #[test]
    fn gzip_is_taken_only_when_it_is_accepted() {
        let check = |value: &str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, value.parse().unwrap());
            assert_eq!(accepted(&headers), expected, "{value}");
        };
        check("gzip, deflate, br", true);
        check("br", false);
        check("identity", false);
        check("*", true);
        check("*;q=0", false);
        check("gzip;q=0, *", false);
        check("gzip; q=0.5", true);
        assert!(!accepted(&HeaderMap::new()));
    }

    #[test]
    fn what_is_compressed_reads_back() {
        let text = "seat".repeat(1000);
        let small = compress(text.as_bytes(), 1);
        assert!(small.len() < text.len() / 10);
        let mut back = String::new();
        flate2::read::GzDecoder::new(small.as_ref()).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }
}

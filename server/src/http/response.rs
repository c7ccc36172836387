//! Answers: the body (bytes at once, or a stream) and the few ways to make one. Must never be boxed on the fast path.

use crate::http::activity::Busy;
use crate::http::guarded::Answering;
use crate::http::problem::Problem;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use http_body::{Frame, SizeHint};
use serde::Serialize;
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a handler answers.
pub type Response = http::Response<Body>;

/// A stream that cannot go on. Its connection, or its HTTP/2 stream, is ended in the middle, so that nobody takes a part of the
/// answer for the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer breaks off: {0}")]
pub struct Broken(pub String);

/// A boxed stream of a response.
pub type Frames = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Broken> + Send>>;

/// The body of a response.
pub enum Body {
    /// All of it at once; its length is known, so `Content-Length` is sent.
    Full(Option<Bytes>),
    /// Little by little.
    Stream(Frames),
    /// Either of them on an HTTP/2 connection, which has to know whether it is read.
    Watched(Box<Watched>),
}

impl Body {
    /// All of it at once.
    #[must_use]
    pub fn full(bytes: Bytes) -> Self {
        Self::Full((!bytes.is_empty()).then_some(bytes))
    }

    /// Nothing.
    #[must_use]
    pub fn empty() -> Self {
        Self::Full(None)
    }

    /// The same body, which tells its connection whether it is read, until it is sent.
    #[must_use]
    pub(super) fn watched(self, busy: Busy) -> Self {
        let is_empty = matches!(&self, Self::Full(None));
        if is_empty { self } else { Self::Watched(Box::new(Watched { body: self, busy: busy.sends() })) }
    }

    /// The same body, which keeps the sign that it is being sent as long as it is a stream.
    #[must_use]
    pub(super) fn answering(self, sign: Answering) -> Self {
        match self {
            Self::Stream(frames) => Self::Stream(Box::pin(Sent { frames, _sign: sign })),
            Self::Full(_) | Self::Watched(_) => self,
        }
    }

    /// The bytes, unless it is a stream.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match self {
            Self::Full(bytes) => bytes.as_ref(),
            Self::Stream(_) | Self::Watched(_) => None,
        }
    }
}

/// A stream on an HTTP/1 connection.
struct Sent {
    frames: Frames,
    _sign: Answering,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.get_mut().frames.as_mut().poll_frame(cx)
    }
}

/// A body and the sign that it is being sent.
pub struct Watched {
    body: Body,
    busy: Busy,
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match self.get_mut() {
            Self::Full(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(frames) => frames.as_mut().poll_frame(cx),
            Self::Watched(watched) => {
                watched.busy.note_asked();
                Pin::new(&mut watched.body).poll_frame(cx)
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(bytes) => bytes.is_none(),
            Self::Stream(frames) => frames.is_end_stream(),
            Self::Watched(watched) => watched.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            Self::Stream(frames) => frames.size_hint(),
            Self::Watched(watched) => watched.body.size_hint(),
        }
    }
}

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
    let mut response = if super::gzip::accepted(request) {
        let mut response = json_bytes(StatusCode::OK, gzipped.clone());
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        response
    } else {
        json_bytes(StatusCode::OK, plain.clone())
    };
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response
}

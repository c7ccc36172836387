//! The body of a response: bytes at once, or a stream. A stream keeps its connection in use until it is
//! sent; an HTTP/2 body also records whether it is read. Must never be boxed on the fast path.

use crate::http::connection::activity::Busy;
use crate::http::connection::deadline_io::Answering;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll};

/// What a handler answers.
pub type Response = http::Response<Body>;

/// A stream that cannot continue. Its connection, or its HTTP/2 stream, is aborted, so that a part of the answer is not taken for
/// the whole.
#[derive(Debug, thiserror::Error)]
#[error("the answer breaks off: {0}")]
pub struct Broken(pub String);

/// A boxed stream of a response.
pub type Frames = Pin<Box<dyn http_body::Body<Data = Bytes, Error = Broken> + Send>>;

/// The body of a response.
pub enum Body {
    /// All of it at once; its length is known, so `Content-Length` is sent.
    Full(Option<Bytes>),
    /// In pieces.
    Stream(Frames),
    /// Either of them on an HTTP/2 connection, which must know whether it is read.
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

    /// The same body, which records in its connection's activity whether it is read, until it is sent.
    #[must_use]
    pub(in crate::http) fn watched(self, busy: Busy) -> Self {
        let is_empty = matches!(&self, Self::Full(None));
        if is_empty { self } else { Self::Watched(Box::new(Watched { body: self, busy: busy.sends() })) }
    }

    /// The same body; a stream keeps `guard` until it is sent.
    #[must_use]
    pub(in crate::http) fn answering(self, guard: Answering) -> Self {
        match self {
            Self::Stream(frames) => Self::Stream(Box::pin(Sent { frames, _guard: guard })),
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
    _guard: Answering,
}

impl http_body::Body for Sent {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.get_mut().frames.as_mut().poll_frame(cx)
    }
}

/// A body on an HTTP/2 connection, and the request that it keeps open.
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

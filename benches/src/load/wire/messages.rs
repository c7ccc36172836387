//! What is sent and what comes back, and the bounds of connections that both transports share.

use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use std::io;
use std::time::Duration;

/// A connection that was unused for so long is not used again: the server may be closing it this moment.
pub(super) const STALE: Duration = Duration::from_secs(60);
/// Connections that are opened at the same time, so that the server's backlog is never full.
pub(super) const OPENING: usize = 64;

/// A request. Its parts are shared among buyers, so that a copy costs little.
#[derive(Clone, Debug)]
pub(in crate::load) struct Ask {
    pub method: Method,
    /// With scheme and authority.
    pub uri: Uri,
    pub bearer: Option<HeaderValue>,
    pub queue_token: Option<HeaderValue>,
    pub key: Option<HeaderValue>,
    pub if_none_match: Option<HeaderValue>,
    /// Whether a compressed answer is welcome; it is never decompressed.
    pub gzip: bool,
    /// JSON, or nothing.
    pub body: Bytes,
}

impl Ask {
    pub(in crate::load) fn new(method: Method, uri: Uri) -> Self {
        let (bearer, queue_token, key, if_none_match) = (None, None, None, None);
        Self { method, uri, bearer, queue_token, key, if_none_match, gzip: false, body: Bytes::new() }
    }

    pub(in crate::load) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(in crate::load) fn by(mut self, bearer: &HeaderValue) -> Self {
        self.bearer = Some(bearer.clone());
        self
    }

    pub(in crate::load) fn with_token(mut self, token: Option<&HeaderValue>) -> Self {
        self.queue_token = token.cloned();
        self
    }

    /// The headers, by their names in lower case.
    pub(super) fn headers(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> + '_ {
        let optional = [
            ("authorization", self.bearer.clone()),
            ("x-queue-token", self.queue_token.clone()),
            ("idempotency-key", self.key.clone()),
            ("if-none-match", self.if_none_match.clone()),
            ("accept-encoding", self.gzip.then(|| HeaderValue::from_static("gzip"))),
            ("content-type", (!self.body.is_empty()).then(|| HeaderValue::from_static("application/json"))),
        ];
        optional.into_iter().filter_map(|(name, value)| Some((name, value?)))
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub(in crate::load) struct Got {
    pub status: u16,
    pub etag: Option<HeaderValue>,
    pub body: Bytes,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(in crate::load) enum Lost {
    /// The connection could not be opened, or broke.
    Broken(String),
    /// There was none in time.
    Silent,
}

impl From<io::Error> for Lost {
    fn from(error: io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

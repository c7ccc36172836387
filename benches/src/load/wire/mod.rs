//! How requests reach the server: as HTTP/2 streams over some connections, or over HTTP/1.1 sockets. Everything runs on
//! one thread. Must never send a request twice, and never keep an answer back.

mod http1;
mod http2;
mod idle;

use crate::load::settings::Transport;
use bytes::Bytes;
use http::{HeaderValue, Method, Uri};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

pub(super) use http2::Stream;
pub(super) use idle::Idle;

/// How long an answer is waited for: longer than any deadline of the server.
const PATIENCE: Duration = Duration::from_secs(30);
/// A connection that was unused for so long is not used again: the server may be closing it this moment.
const STALE: Duration = Duration::from_secs(60);
/// Connections that are opened at the same time, so that the server's backlog is never full.
const OPENING: usize = 64;

/// A request. Its parts are shared among buyers, so that a copy costs little.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub method: Method,
    /// With scheme and authority.
    pub uri: Uri,
    pub bearer: Option<HeaderValue>,
    pub queue_token: Option<HeaderValue>,
    pub key: Option<HeaderValue>,
    pub if_none_match: Option<HeaderValue>,
    /// Whether a compressed answer is welcome; it is never looked into.
    pub gzip: bool,
    /// JSON, or nothing.
    pub body: Bytes,
}

impl Ask {
    pub(super) fn new(method: Method, uri: Uri) -> Self {
        let (bearer, queue_token, key, if_none_match) = (None, None, None, None);
        Self { method, uri, bearer, queue_token, key, if_none_match, gzip: false, body: Bytes::new() }
    }

    pub(super) fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(super) fn by(mut self, bearer: &HeaderValue) -> Self {
        self.bearer = Some(bearer.clone());
        self
    }

    pub(super) fn with_token(mut self, token: Option<&HeaderValue>) -> Self {
        self.queue_token = token.cloned();
        self
    }

    /// The headers, by their names in lower case.
    fn headers(&self) -> impl Iterator<Item = (&'static str, HeaderValue)> + '_ {
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
pub(super) struct Got {
    pub status: u16,
    pub etag: Option<HeaderValue>,
    pub body: Bytes,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Lost {
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

/// The way to the server.
pub(super) enum Wire {
    Http2(http2::Connections),
    Http1(http1::Sockets),
}

impl Wire {
    /// Opens every connection.
    pub(super) async fn open(address: SocketAddr, transport: Transport, connections: usize) -> io::Result<Self> {
        Ok(match transport {
            Transport::Http2 => Self::Http2(http2::Connections::open(address, connections).await?),
            Transport::Http1 => Self::Http1(http1::Sockets::open(address, connections, false).await?),
            Transport::Http1Each => Self::Http1(http1::Sockets::open(address, connections, true).await?),
        })
    }

    /// Sends a request of the buyer of that number and reads the whole answer.
    pub(super) async fn send(&self, buyer: usize, ask: &Ask) -> Result<Got, Lost> {
        let answer = async {
            match self {
                Self::Http2(connections) => connections.send(buyer, ask).await,
                Self::Http1(sockets) => sockets.send(buyer, ask).await,
            }
        };
        tokio::time::timeout(PATIENCE, answer).await.unwrap_or(Err(Lost::Silent))
    }

    /// Sends a request that is answered by events.
    pub(super) async fn follow(&self, buyer: usize, ask: &Ask) -> Result<(u16, Stream), Lost> {
        match self {
            Self::Http2(connections) => {
                let opened = tokio::time::timeout(PATIENCE, connections.follow(buyer, ask)).await;
                opened.unwrap_or(Err(Lost::Silent))
            }
            Self::Http1(_) => Err(Lost::Broken("event streams are for http2".into())),
        }
    }
}

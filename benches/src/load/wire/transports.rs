//! The way to the server over the transport that was asked for. Must never send a request twice.

use super::http1;
use super::http2::{self, Stream};
use super::messages::{Ask, Got, Lost};
use crate::load::settings::Transport;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer is waited for: longer than any deadline of the server.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// The way to the server.
pub(in crate::load) enum Wire {
    Http2(http2::Connections),
    Http1(http1::Sockets),
}

impl Wire {
    /// Opens every connection.
    pub(in crate::load) async fn open(
        address: SocketAddr,
        transport: Transport,
        connections: usize,
    ) -> io::Result<Self> {
        Ok(match transport {
            Transport::Http2 => Self::Http2(http2::Connections::open(address, connections).await?),
            Transport::Http1 => Self::Http1(http1::Sockets::open(address, connections, false).await?),
            Transport::Http1Each => Self::Http1(http1::Sockets::open(address, connections, true).await?),
        })
    }

    /// Sends a request of the buyer of that number and reads the whole answer.
    pub(in crate::load) async fn send(&self, buyer: usize, ask: &Ask) -> Result<Got, Lost> {
        let answer = async {
            match self {
                Self::Http2(connections) => connections.send(buyer, ask).await,
                Self::Http1(sockets) => sockets.send(buyer, ask).await,
            }
        };
        tokio::time::timeout(TIMEOUT, answer).await.unwrap_or(Err(Lost::Silent))
    }

    /// Sends a request that is answered by events.
    pub(in crate::load) async fn open_stream(&self, buyer: usize, ask: &Ask) -> Result<(u16, Stream), Lost> {
        match self {
            Self::Http2(connections) => {
                let opened = tokio::time::timeout(TIMEOUT, connections.open_stream(buyer, ask)).await;
                opened.unwrap_or(Err(Lost::Silent))
            }
            Self::Http1(_) => Err(Lost::Broken("event streams are for http2".into())),
        }
    }
}

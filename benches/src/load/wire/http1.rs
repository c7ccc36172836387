//! HTTP/1.1: sockets that are kept open and used round-robin, or one for each buyer. Sockets come from several source
//! addresses, because one has fewer than thirty thousand ports.

use super::messages::{Ask, Got, Lost, OPENING, STALE};
use crate::http1::Connection;
use bytes::Bytes;
use http::HeaderValue;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Instant;
use tokio::sync::{Mutex, Semaphore};

/// Sockets from one source address of 127.0.0.0/8.
const FROM_ONE_ADDRESS: usize = 20_000;

pub(in crate::load) struct Sockets {
    address: SocketAddr,
    kept: Kept,
}

/// A socket, its number (which says where it comes from), and when it was last used.
struct Spare {
    connection: Connection,
    number: usize,
    used: Instant,
}

enum Kept {
    /// The one that was unused for longest is the next.
    RoundRobin {
        spare: RefCell<VecDeque<Result<Spare, usize>>>,
        permits: Semaphore,
    },
    Each(Vec<Mutex<Option<Spare>>>),
}

impl Sockets {
    pub(super) async fn open(address: SocketAddr, many: usize, each: bool) -> io::Result<Self> {
        let mut open = Vec::with_capacity(many);
        while open.len() < many {
            let next = open.len()..many.min(open.len() + OPENING);
            let some: Vec<_> = next.map(|number| tokio::task::spawn_local(connect(address, number))).collect();
            for spare in some {
                open.push(spare.await.map_err(io::Error::other)??);
            }
        }
        let kept = if each {
            Kept::Each(open.into_iter().map(|spare| Mutex::new(Some(spare))).collect())
        } else {
            let permits = Semaphore::new(open.len());
            Kept::RoundRobin { spare: RefCell::new(open.into_iter().map(Ok).collect()), permits }
        };
        Ok(Self { address, kept })
    }

    pub(super) async fn send(&self, buyer: usize, ask: &Ask) -> Result<Got, Lost> {
        match &self.kept {
            Kept::RoundRobin { spare, permits } => {
                let permit = permits.acquire().await.map_err(io::Error::other)?;
                let next = spare.borrow_mut().pop_front();
                let Some(next) = next else { return Err(Lost::Broken("no socket is spare".into())) };
                let number = next.as_ref().map_or_else(|number| *number, |spare| spare.number);
                // Should this be given up half-way, the socket is gone, but its turn is not.
                let mut turn = Turn { spare, back: Some(Err(number)) };
                let (answer, used) = self.call(next.ok(), number, ask).await;
                turn.back = Some(used.ok_or(number));
                drop((turn, permit));
                answer
            }
            Kept::Each(sockets) => {
                let mut own = sockets[buyer % sockets.len()].lock().await;
                let (answer, used) = self.call(own.take(), buyer, ask).await;
                *own = used;
                answer
            }
        }
    }

    /// One request on one socket; the socket comes back unless it broke.
    async fn call(&self, spare: Option<Spare>, number: usize, ask: &Ask) -> (Result<Got, Lost>, Option<Spare>) {
        let mut spare = match spare.filter(|spare| spare.used.elapsed() < STALE) {
            Some(spare) => spare,
            None => match connect(self.address, number).await {
                Ok(spare) => spare,
                Err(error) => return (Err(error.into()), None),
            },
        };
        match spare.connection.call(&written(ask)).await {
            Ok(answer) => {
                let etag = etag_of(answer.head);
                let got = Got { status: answer.status, etag, body: Bytes::copy_from_slice(answer.body) };
                spare.used = Instant::now();
                (Ok(got), Some(spare))
            }
            Err(error) => (Err(error.into()), None),
        }
    }
}

/// Gives a socket its place in the turn back.
struct Turn<'a> {
    spare: &'a RefCell<VecDeque<Result<Spare, usize>>>,
    back: Option<Result<Spare, usize>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        if let Some(back) = self.back.take() {
            self.spare.borrow_mut().push_back(back);
        }
    }
}

/// Where the socket of that number comes from: the server's own address first, then others of 127.0.0.0/8.
pub(super) fn source(server: SocketAddr, number: usize) -> Option<IpAddr> {
    let nth = u8::try_from(number / FROM_ONE_ADDRESS).unwrap_or(u8::MAX);
    (server.ip().is_loopback() && server.is_ipv4() && nth > 0)
        .then(|| IpAddr::V4(Ipv4Addr::new(127, 0, 0, nth.saturating_add(1))))
}

async fn connect(address: SocketAddr, number: usize) -> io::Result<Spare> {
    let connection = Connection::open_from(source(address, number), address).await?;
    Ok(Spare { connection, number, used: Instant::now() })
}

/// The bytes of a request.
fn written(ask: &Ask) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(512 + ask.body.len());
    let path = ask.uri.path_and_query().map_or("/", |path| path.as_str());
    let host = ask.uri.authority().map_or("", |host| host.as_str());
    bytes.extend_from_slice(format!("{} {path} HTTP/1.1\r\nhost: {host}\r\n", ask.method).as_bytes());
    for (name, value) in ask.headers() {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !ask.body.is_empty() {
        bytes.extend_from_slice(format!("content-length: {}\r\n", ask.body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&ask.body);
    bytes
}

fn etag_of(head: &[u8]) -> Option<HeaderValue> {
    let text = std::str::from_utf8(head).ok()?;
    let mut lines = text.split("\r\n").filter_map(|line| line.split_once(':'));
    let (_, value) = lines.find(|(name, _)| name.eq_ignore_ascii_case("etag"))?;
    HeaderValue::from_str(value.trim()).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;
    use http::Method;

    #[test]
    fn a_request_is_written_whole() {
        let uri = "http://127.0.0.1:8080/api/v1/queue/enter?x=1".parse().unwrap();
        let ask = Ask::new(Method::POST, uri).with_body("{}").by(&HeaderValue::from_static("Bearer a"));
        let text = String::from_utf8(written(&ask)).unwrap();
        assert!(text.starts_with("POST /api/v1/queue/enter?x=1 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n"), "{text}");
        assert!(text.contains("authorization: Bearer a\r\n"), "{text}");
        assert!(text.ends_with("content-length: 2\r\n\r\n{}"), "{text}");
        assert_eq!(etag_of(b"HTTP/1.1 200 OK\r\nETag: W/\"a\"\r\n\r\n").unwrap(), "W/\"a\"");
    }

    #[test]
    fn sockets_beyond_one_address_come_from_the_next() {
        let server: SocketAddr = "127.0.0.1:8080".parse().unwrap();
        assert_eq!(source(server, FROM_ONE_ADDRESS - 1), None);
        assert_eq!(source(server, FROM_ONE_ADDRESS), Some("127.0.0.2".parse().unwrap()));
        assert_eq!(source(server, 2 * FROM_ONE_ADDRESS), Some("127.0.0.3".parse().unwrap()));
        assert_eq!(source("10.0.0.1:80".parse().unwrap(), FROM_ONE_ADDRESS), None);
    }
}

//! A bare HTTP/1.1 client for load tools: one keep-alive connection, requests as bytes that are written beforehand, as
//! little work for each as can be, so that what is measured is the server. Must never repeat a request.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// Bytes read at a time at the least.
const READ_BYTES: usize = 4096;
/// Bytes of an answer at the most; larger ones are not what these tools ask for.
const MOST_BYTES: usize = 64 << 20;

/// One keep-alive connection, over a socket of the operating system or one in memory.
pub struct Connection<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// A whole answer, borrowed from the connection that it came on.
pub struct Answer<'a> {
    /// The status.
    pub status: u16,
    /// Everything before the body, as it came.
    pub head: &'a [u8],
    /// The body.
    pub body: &'a [u8],
}

/// Where the parts of an answer lie in the buffer.
struct Head {
    status: u16,
    body_at: usize,
    body_bytes: usize,
}

impl Connection {
    /// Connects.
    ///
    /// # Errors
    /// As the operating system says.
    pub async fn open(address: SocketAddr) -> io::Result<Self> {
        Self::open_from(None, address).await
    }

    /// Connects from an address of this machine, or from whichever it likes.
    ///
    /// # Errors
    /// As the operating system says.
    pub async fn open_from(source: Option<IpAddr>, address: SocketAddr) -> io::Result<Self> {
        let stream = match source {
            Some(source) => {
                let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
                socket.bind(SocketAddr::new(source, 0))?;
                socket.connect(address).await?
            }
            None => TcpStream::connect(address).await?,
        };
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Over a stream that is open.
    pub fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    /// Lets go of the memory of the last answer: for a socket that is not used for a while.
    pub fn shrink(&mut self) {
        self.buffer = Vec::new();
    }

    /// Sends a whole request and reads the whole answer. Not cancel safe: throw the connection away then.
    ///
    /// # Errors
    /// When the connection breaks, or the answer is not one with a `Content-Length`.
    pub async fn call(&mut self, request: &[u8]) -> io::Result<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            self.read_more().await?;
            if let Some(head) = read_head(&self.buffer)? {
                break head;
            }
        };
        let end = head.body_at + head.body_bytes;
        while self.buffer.len() < end {
            self.read_more().await?;
        }
        let (front, body) = self.buffer[..end].split_at(head.body_at);
        Ok(Answer { status: head.status, head: front, body })
    }

    async fn read_more(&mut self) -> io::Result<()> {
        if self.buffer.len() >= MOST_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the answer is too long"));
        }
        self.buffer.reserve(READ_BYTES);
        if self.stream.read_buf(&mut self.buffer).await? == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the server closed the connection"));
        }
        Ok(())
    }
}

/// The head of an answer, once all of it is there.
fn read_head(bytes: &[u8]) -> io::Result<Option<Head>> {
    let strange = || io::Error::new(io::ErrorKind::InvalidData, "not an HTTP/1.1 answer with a Content-Length");
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(&bytes[..end]).map_err(|_| strange())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).ok_or_else(strange)?;
    let length = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let body_bytes = match (length, status) {
        (Some(bytes), _) => bytes,
        (None, 204 | 304) => 0,
        (None, _) => return Err(strange()),
    };
    Ok(Some(Head { status, body_at: end + 4, body_bytes }))
}

/// What is done again and again over many connections.
pub trait Work: Send + Sync + 'static {
    /// The `n`-th time, on one of the connections.
    fn step(&self, connection: &mut Connection, n: u64) -> impl Future<Output = io::Result<()>> + Send;
}

/// Does `work` for every number below `times`, over so many connections, each as fast as it is answered; answers how
/// long it took from the first request to the last answer.
///
/// # Errors
/// The first of any connection.
pub async fn drive<W: Work>(
    address: SocketAddr,
    connections: usize,
    times: u64,
    work: &Arc<W>,
) -> io::Result<Duration> {
    let mut open = Vec::with_capacity(connections);
    for _ in 0..connections {
        open.push(Connection::open(address).await?);
    }
    let next = Arc::new(AtomicU64::new(0));
    let began = Instant::now();
    let tasks: Vec<_> = open
        .into_iter()
        .map(|mut connection| {
            let (next, work) = (Arc::clone(&next), Arc::clone(work));
            tokio::spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= times {
                        return Ok::<(), io::Error>(());
                    }
                    work.step(&mut connection, n).await?;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.map_err(io::Error::other)??;
    }
    Ok(began.elapsed())
}

/// An error for an answer that was not the expected one.
#[must_use]
pub fn unexpected(answer: &Answer<'_>, expected: u16) -> io::Error {
    let body = String::from_utf8_lossy(&answer.body[..answer.body.len().min(300)]);
    io::Error::other(format!("{expected} was expected, but the answer is {}: {body}", answer.status))
}

/// A whole request without a body.
#[must_use]
pub fn request(method: &str, path: &str, bearer: &str) -> Vec<u8> {
    format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n\r\n").into_bytes()
}

/// A whole request with a JSON body.
#[must_use]
pub fn request_with(method: &str, path: &str, bearer: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {bearer}\r\n");
    format!("{head}Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]
    use super::*;

    #[test]
    fn the_head_of_an_answer_is_read_when_it_is_whole() {
        let whole = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nContent-Length: 2\r\n\r\n{}";
        let head = read_head(whole).unwrap().unwrap();
        assert_eq!((head.status, head.body_at, head.body_bytes), (201, whole.len() - 2, 2));
        assert!(read_head(&whole[..30]).unwrap().is_none());
        assert_eq!(read_head(b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n").unwrap().unwrap().body_bytes, 0);
        assert!(read_head(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
    }
}

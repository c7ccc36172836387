//! Prior-knowledge HTTP/2: buyers share connections, each request is a stream. A connection that has ended is opened
//! again when it is next needed.

use super::messages::{Ask, Got, Lost, OPENING};
use bytes::{Bytes, BytesMut};
use h2::RecvStream;
use h2::client::{Builder, SendRequest};
use http::{Request, Response, header};
use std::io;
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::sync::Mutex;

/// Bytes that one stream may have on its way: a seat map comes in few steps.
const STREAM_WINDOW: u32 = 1 << 20;
/// Bytes that one connection may have on its way.
const CONNECTION_WINDOW: u32 = 4 << 20;

pub(in crate::load) struct Connections {
    address: SocketAddr,
    open: Vec<Mutex<Option<SendRequest<Bytes>>>>,
}

/// The events of a stream as they come.
pub(in crate::load) struct Stream {
    body: RecvStream,
    buffer: BytesMut,
}

impl Connections {
    pub(super) async fn open(address: SocketAddr, many: usize) -> io::Result<Self> {
        let mut open = Vec::with_capacity(many);
        for _ in 0..many.div_ceil(OPENING) {
            let some = (0..OPENING.min(many - open.len())).map(|_| tokio::task::spawn_local(connect(address)));
            for connection in some.collect::<Vec<_>>() {
                open.push(Mutex::new(Some(connection.await.map_err(io::Error::other)??)));
            }
        }
        Ok(Self { address, open })
    }

    pub(super) async fn send(&self, buyer: usize, ask: &Ask) -> Result<Got, Lost> {
        let response = self.begin(buyer, ask).await?;
        let status = response.status().as_u16();
        let etag = response.headers().get(header::ETAG).cloned();
        let mut body = response.into_body();
        let mut whole = Bytes::new();
        while let Some(chunk) = body.data().await {
            let chunk = chunk.map_err(broken)?;
            let _ = body.flow_control().release_capacity(chunk.len());
            // Most answers are one frame.
            whole = if whole.is_empty() { chunk } else { [whole, chunk].concat().into() };
        }
        Ok(Got { status, etag, body: whole })
    }

    pub(super) async fn open_stream(&self, buyer: usize, ask: &Ask) -> Result<(u16, Stream), Lost> {
        let response = self.begin(buyer, ask).await?;
        let status = response.status().as_u16();
        Ok((status, Stream { body: response.into_body(), buffer: BytesMut::new() }))
    }

    /// Sends the request and waits for the head of the answer.
    async fn begin(&self, buyer: usize, ask: &Ask) -> Result<Response<RecvStream>, Lost> {
        let mut connection = self.connection(buyer).await?;
        let mut request = Request::new(());
        *request.method_mut() = ask.method.clone();
        *request.uri_mut() = ask.uri.clone();
        for (name, mut value) in ask.headers() {
            // What is secret is no buyer's second time soon: never in the table of repeated headers.
            value.set_sensitive(matches!(name, "authorization" | "x-queue-token"));
            request.headers_mut().insert(name, value);
        }
        let (response, mut sending) = connection.send_request(request, ask.body.is_empty()).map_err(broken)?;
        if !ask.body.is_empty() {
            sending.send_data(ask.body.clone(), true).map_err(broken)?;
        }
        response.await.map_err(broken)
    }

    /// The buyer's connection, ready for one more stream; opened again when it has ended.
    async fn connection(&self, buyer: usize) -> Result<SendRequest<Bytes>, Lost> {
        let mut slot = self.open[buyer % self.open.len()].lock().await;
        if let Some(open) = slot.take()
            && let Ok(ready) = open.ready().await
        {
            *slot = Some(ready.clone());
            return Ok(ready);
        }
        let ready = connect(self.address).await?.ready().await.map_err(broken)?;
        *slot = Some(ready.clone());
        Ok(ready)
    }
}

async fn connect(address: SocketAddr) -> io::Result<SendRequest<Bytes>> {
    let socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (send, connection) = Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(socket)
        .await
        .map_err(io::Error::other)?;
    // The next request on it reports its end.
    tokio::task::spawn_local(async move { drop(connection.await) });
    Ok(send)
}

fn broken(error: h2::Error) -> Lost {
    Lost::Broken(error.to_string())
}

impl Stream {
    /// The next event's data; `None` when the stream has ended. Comments and the like are skipped.
    pub(in crate::load) async fn next(&mut self) -> Result<Option<Bytes>, Lost> {
        loop {
            if let Some(event) = take_event(&mut self.buffer) {
                if let Some(data) = data_of(event) {
                    return Ok(Some(data));
                }
                continue;
            }
            let Some(chunk) = self.body.data().await else { return Ok(None) };
            let chunk = chunk.map_err(broken)?;
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.buffer.extend_from_slice(&chunk);
        }
    }
}

impl Stream {
    /// Whatever comes until its end: for an answer that is none of events.
    pub(in crate::load) async fn rest(&mut self) -> Bytes {
        while let Some(Ok(chunk)) = self.body.data().await {
            let _ = self.body.flow_control().release_capacity(chunk.len());
            self.buffer.extend_from_slice(&chunk);
        }
        self.buffer.split().freeze()
    }
}

/// A whole event, without the empty line that ends it. What is left needs no memory when it is nothing.
fn take_event(buffer: &mut BytesMut) -> Option<Bytes> {
    let end = buffer.windows(2).position(|two| two == b"\n\n")?;
    let event = buffer.split_to(end + 2).freeze();
    if buffer.is_empty() {
        *buffer = BytesMut::new();
    }
    Some(event.slice(..end))
}

fn data_of(event: Bytes) -> Option<Bytes> {
    let mut at = 0;
    for line in event.split(|byte| *byte == b'\n') {
        if line.starts_with(b"data: ") {
            return Some(event.slice(at + 6..at + line.len()));
        }
        at += line.len() + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_cut_out_of_whatever_comes() {
        let mut buffer = BytesMut::from(&b"retry: 2000\n\nid: 7\ndata: {\"a\":1}\n\n:\n\ndata: {"[..]);
        let mut found = Vec::new();
        while let Some(event) = take_event(&mut buffer) {
            found.push(data_of(event));
        }
        assert_eq!(found, [None, Some(Bytes::from_static(b"{\"a\":1}")), None]);
        buffer.extend_from_slice(b"}\n\n");
        assert_eq!(take_event(&mut buffer).and_then(data_of), Some(Bytes::from_static(b"{}")));
        assert!(buffer.is_empty());
    }
}

//! The ceiling: a bare hyper server that does nothing but what HTTP costs. It reads and parses the same body and
//! answers as many bytes with the same kind of headers as the sample that it is given; it knows no seat, no buyer and
//! no disk. One process answers one kind of request, whatever its path.

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket};

/// Connections that may wait to be accepted, as for the server.
const BACKLOG: u32 = 4096;

/// An answer of the server that is compared: what the ceiling answers too.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sample {
    /// The status.
    pub status: u16,
    /// The headers, without those that hyper writes itself.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// Headers that hyper adds to any answer.
const OWN: [&str; 2] = ["content-length", "date"];

impl Sample {
    /// The sample of a raw answer: its head as it came, and its body.
    #[must_use]
    pub fn of(status: u16, head: &[u8], body: &[u8]) -> Self {
        let head = String::from_utf8_lossy(head);
        let headers = head.split("\r\n").skip(1).filter_map(|line| line.split_once(": "));
        let headers = headers.filter(|(name, _)| !OWN.iter().any(|own| own.eq_ignore_ascii_case(name)));
        let headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        Self { status, headers, body: String::from_utf8_lossy(body).into_owned() }
    }
}

/// The body of a hold, as a bare server would read it.
#[derive(Deserialize)]
struct HoldBody<'a> {
    #[serde(borrow, rename = "eventId")]
    event_id: &'a str,
    #[serde(borrow, rename = "seatIds")]
    seat_ids: Vec<&'a str>,
}

/// What is answered every time.
struct Ready {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: Bytes,
    parses: bool,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the sample cannot be read or the port not be opened.
pub fn serve(port: u16, sample: &Path, parses: bool) -> io::Result<()> {
    let sample: Sample = serde_json::from_slice(&std::fs::read(sample)?)?;
    let ready = Arc::new(Ready::of(&sample, parses)?);
    // As the server's own runtime: one worker for each core.
    let runtime = tokio::runtime::Builder::new_multi_thread().thread_name("ceiling-http").enable_all().build()?;
    runtime.block_on(async {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(([127, 0, 0, 1], port).into())?;
        accept(socket.listen(BACKLOG)?, ready).await
    })
}

async fn accept(listener: TcpListener, ready: Arc<Ready>) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let ready = Arc::clone(&ready);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(&ready, request));
            // A connection that breaks has been ended by the load tool.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

impl Ready {
    fn of(sample: &Sample, parses: bool) -> io::Result<Self> {
        let headers = sample.headers.iter().map(|(name, value)| {
            let name = HeaderName::try_from(name).map_err(io::Error::other)?;
            Ok((name, HeaderValue::from_str(value).map_err(io::Error::other)?))
        });
        Ok(Self {
            status: StatusCode::from_u16(sample.status).map_err(io::Error::other)?,
            headers: headers.collect::<io::Result<_>>()?,
            body: Bytes::from(sample.body.clone()),
            parses,
        })
    }
}

async fn answer(ready: &Ready, request: Request<Incoming>) -> hyper::Result<Response<Full<Bytes>>> {
    let mut status = ready.status;
    if ready.parses {
        let body = request.into_body().collect().await?.to_bytes();
        let is_hold = serde_json::from_slice::<HoldBody<'_>>(&body)
            .is_ok_and(|hold| !hold.event_id.is_empty() && !hold.seat_ids.is_empty());
        if !is_hold {
            status = StatusCode::BAD_REQUEST;
        }
    }
    let mut response = Response::new(Full::new(ready.body.clone()));
    *response.status_mut() = status;
    response.headers_mut().extend(ready.headers.iter().cloned());
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_keeps_what_hyper_does_not_write_itself() {
        let head = b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\nContent-Length: 2\r\ndate: now\r\nx-a: b: c\r\n\r\n";
        let sample = Sample::of(201, head, b"{}");
        let expected = [("content-type", "application/json"), ("x-a", "b: c")];
        assert_eq!(sample.headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((sample.status, sample.body.as_str()), (201, "{}"));
    }
}

//! The port by itself, in this process: before anything is recovered, its bounds, and its drain.

use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use onsale_adapters::clock::SystemClock;
use onsale_server::http::{Front, Limits, Listener, Router, Stage, Tuning, Workers};
use onsale_server::server::{bind, routes};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

struct Port {
    address: SocketAddr,
    front: Arc<Front>,
    listener: Arc<Listener>,
    draining: CancellationToken,
}

/// A port whose application never comes.
fn open(limits: Limits) -> Port {
    let draining = CancellationToken::new();
    let router = Router::new(routes()).unwrap();
    let clock = Arc::new(SystemClock::start());
    let tuning = Tuning { request_timeout: Duration::from_secs(5), log_one_in: 0 };
    let front = Arc::new(Front::new(router, clock, tuning, draining.clone()));
    let listener = Arc::new(Listener::new(Arc::clone(&front), limits, Workers::start().unwrap(), draining.clone()));
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    let accepting = Arc::clone(&listener);
    tokio::spawn(async move { accepting.run(socket).await });
    Port { address, front, listener, draining }
}

const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

fn usual() -> Limits {
    Limits { connections: 100, idle: Duration::from_secs(80) }
}

async fn ask(port: &Port, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn before_everything_is_recovered_only_liveness_is_answered() {
    let port = open(usual());
    assert_eq!(port.front.stage(), Stage::Starting);
    let check = async |path: &str, expected: &str| {
        let answer =
            ask(&port, format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes()).await;
        let status = answer.lines().next().unwrap();
        assert!(status.starts_with(expected), "{path}: {answer}");
        assert_eq!(answer.contains("retry-after: 1"), expected.ends_with("503"), "{path}: {answer}");
    };
    check("/health/live", "HTTP/1.1 200").await;
    check("/health/ready", "HTTP/1.1 503").await;
    check("/api/v1/events", "HTTP/1.1 503").await;
    check("/api/v1/users/me", "HTTP/1.1 503").await;
}

#[tokio::test]
async fn an_unused_connection_is_closed_after_its_time_and_not_before() {
    let port = open(Limits { connections: 100, idle: Duration::from_millis(400) });
    // Silent from the start, silent after a request, and half a head: each is closed.
    for sent in [&b""[..], LIVE, b"GET / HT"] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(sent).await.unwrap();
        let began = Instant::now();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        assert!(began.elapsed() >= Duration::from_millis(390), "closed after {:?}", began.elapsed());
        assert_eq!(answer.starts_with(b"HTTP/1.1 200"), sent == LIVE);
    }
    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let uri = format!("http://{}/health/live", port.address);
    let request = Request::builder().uri(uri).body(Full::default()).unwrap();
    assert_eq!(client.request(request).await.unwrap().status(), StatusCode::OK);
    // Another thread is still saying goodbye to those that were closed.
    let until = Instant::now() + Duration::from_secs(10);
    while port.listener.open() != 1 {
        assert!(Instant::now() < until, "{} connections are open", port.listener.open());
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let until = Instant::now() + Duration::from_secs(10);
    while port.listener.open() > 0 {
        assert!(Instant::now() < until, "an unused HTTP/2 connection stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn an_http2_connection_that_says_nothing_or_half_of_it_is_closed() {
    let port = open(Limits { connections: 100, idle: Duration::from_millis(400) });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    // Nothing but the beginning, half of the preface, and half of a frame; pings are answered by none of them.
    for sent in [[&preface[..], &settings].concat(), preface[..9].to_vec(), [&preface[..], &settings[..4]].concat()] {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(&sent).await.unwrap();
        let began = Instant::now();
        let mut rest = Vec::new();
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        assert!(closed.is_ok(), "{} bytes keep a connection open", sent.len());
        assert!(began.elapsed() >= Duration::from_millis(390), "closed after {:?}", began.elapsed());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_takes_nothing_of_what_is_sent_is_given_up() {
    let port = open(Limits { connections: 100, idle: Duration::from_millis(400) });
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    let many = LIVE.repeat(1000);
    // Until both sides' buffers are full and the server cannot answer any more.
    while tokio::time::timeout(Duration::from_millis(200), stream.write_all(&many)).await.is_ok_and(|sent| sent.is_ok())
    {
    }
    let until = Instant::now() + Duration::from_secs(20);
    while port.listener.open() > 0 {
        assert!(Instant::now() < until, "a connection whose client takes nothing stays open");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    drop(stream);
}

#[tokio::test]
async fn beyond_the_limit_a_connection_is_refused_in_words() {
    let port = open(Limits { connections: 1, ..usual() });
    let mut first = TcpStream::connect(port.address).await.unwrap();
    first.write_all(LIVE).await.unwrap();
    let mut answer = [0; 12];
    first.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    let refused = ask(&port, b"").await;
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    let (head, body) = refused.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("retry-after: 1") && head.contains(&format!("content-length: {}", body.len())), "{head}");
    assert!(body.contains("\"code\":\"OVERLOADED\""), "{body}");
}

#[tokio::test]
async fn draining_closes_unused_connections_at_once_and_cuts_the_rest_off_at_its_deadline() {
    let port = open(usual());
    let mut idle = TcpStream::connect(port.address).await.unwrap();
    idle.write_all(LIVE).await.unwrap();
    let mut begun = [0; 12];
    idle.read_exact(&mut begun).await.unwrap();
    let mut stuck = TcpStream::connect(port.address).await.unwrap();
    stuck.write_all(b"GET /health/live HTTP/1.1\r\nhost: x").await.unwrap();
    let until = Instant::now() + Duration::from_secs(10);
    while port.listener.open() < 2 {
        assert!(Instant::now() < until);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    port.draining.cancel();
    assert_eq!(port.front.stage(), Stage::Draining);
    let began = Instant::now();
    port.listener.drain(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(port.listener.open(), 0);
    assert!(TcpStream::connect(port.address).await.is_err(), "nobody listens any more");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

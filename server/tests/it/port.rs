//! The port by itself, in this process: before anything is recovered, its bounds, and its drain.

use http::{Request, StatusCode};
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use onsale_adapters::clock::SystemClock;
use onsale_server::http::{Limits, Listener, Pipeline, Router, Stage, Tuning, Workers};
use onsale_server::limits::Networks;
use onsale_server::server::{bind, routes};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

struct Port {
    address: SocketAddr,
    pipeline: Arc<Pipeline>,
    listener: Arc<Listener>,
    draining: CancellationToken,
}

/// A port whose application never comes.
fn open(limits: Limits) -> Port {
    let draining = CancellationToken::new();
    let router = Router::new(routes()).unwrap();
    let clock = Arc::new(SystemClock::start());
    let tuning = Tuning { request_timeout: Duration::from_secs(5), log_one_in: 0, slow: Duration::ZERO };
    let pipeline = Arc::new(Pipeline::new(router, clock, tuning, draining.clone()));
    let listener = Arc::new(Listener::new(Arc::clone(&pipeline), limits, Workers::start().unwrap(), draining.clone()));
    let socket = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let address = socket.local_addr().unwrap();
    let accepting = Arc::clone(&listener);
    tokio::spawn(async move { accepting.run(socket).await });
    Port { address, pipeline, listener, draining }
}

const LIVE: &[u8] = b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n";

fn usual() -> Limits {
    let (head, idle) = (Duration::from_secs(10), Duration::from_secs(80));
    Limits { connections: 100, connections_per_address: 100, proxies: Some(Networks::default()), head, idle }
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
    assert_eq!(port.pipeline.stage(), Stage::Starting);
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
    let port = open(Limits { idle: Duration::from_millis(400), head: Duration::from_millis(400), ..usual() });
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
    let port = open(Limits { idle: Duration::from_millis(400), head: Duration::from_millis(400), ..usual() });
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

/// Sends the parts with pauses between them, then nothing; answers what came until the server closed, and how long it took.
async fn until_closed(port: &Port, parts: &[&[u8]]) -> (String, Duration) {
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    let began = Instant::now();
    for part in parts {
        // The server may have closed meanwhile.
        if stream.write_all(part).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let mut answer = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut answer)).await;
    // Closed, or reset by what it did not read any more.
    assert!(read.is_ok(), "{} parts keep a connection open", parts.len());
    (String::from_utf8_lossy(&answer).into_owned(), began.elapsed())
}

#[tokio::test]
async fn half_a_head_is_waited_for_only_so_long_however_it_trickles() {
    let head = Duration::from_millis(400);
    let port = open(Limits { head, ..usual() });
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let settings = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    let greeted = [&preface[..], &settings].concat();
    let half_frame = [&greeted[..], &[0, 0, 20, 1, 4, 0, 0, 0, 1, 0x82]].concat();
    let open_block = [&greeted[..], &[0, 0, 1, 1, 0, 0, 0, 0, 1, 0x82]].concat();
    let trickle: Vec<&[u8]> =
        std::iter::once(&b"GET / HTTP/1.1\r\nx: "[..]).chain(std::iter::repeat_n(&b"y"[..], 400)).collect();
    let goes_on = [0, 0, 5, 9, 0, 0, 0, 0, 1, 0, 1, b'x', 1, b'y'];
    let longer: Vec<&[u8]> = std::iter::once(&open_block[..]).chain(std::iter::repeat_n(&goes_on[..], 3)).collect();
    let slowly: Vec<&[u8]> = preface.chunks(1).take(20).collect();
    let cases: [(&str, &[&[u8]]); 11] = [
        ("nothing", &[]),
        ("a byte", &[b"P"]),
        ("three bytes", &[b"PRI"]),
        ("half a head", &[b"GET / HTTP/1.1\r\nhost: x\r\n"]),
        ("a trickling head", &trickle),
        ("half a preface", &[&preface[..9]]),
        ("a trickling preface", &slowly),
        ("no settings", &[preface]),
        ("half a frame", &[&half_frame]),
        ("an open block of headers", &[&open_block]),
        ("a block of headers that goes on", &longer),
    ];
    for (name, parts) in cases {
        let (answer, took) = until_closed(&port, parts).await;
        assert!(took >= head - Duration::from_millis(10) && took < Duration::from_secs(5), "{name}: {took:?}");
        assert_eq!(answer.starts_with("HTTP/1.1 408"), name.ends_with(" head"), "{name}: {answer}");
    }
    let late = &port.pipeline.metrics().connections.late_heads;
    assert_eq!(late.load(std::sync::atomic::Ordering::Relaxed), cases.len() as u64);
}

#[tokio::test]
async fn between_requests_a_connection_may_be_silent_and_the_next_head_has_its_own_time() {
    let head = Duration::from_millis(300);
    let port = open(Limits { head, ..usual() });
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    let mut answer = vec![0; 4096];
    for _ in 0..2 {
        stream.write_all(LIVE).await.unwrap();
        assert!(stream.read(&mut answer).await.unwrap() > 0);
        // Line ends before a head do not begin it.
        stream.write_all(b"\r\n").await.unwrap();
        tokio::time::sleep(head * 2).await;
    }
    stream.write_all(&LIVE[..9]).await.unwrap();
    let began = Instant::now();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert!(rest.starts_with("HTTP/1.1 408") && rest.contains("REQUEST_TIMEOUT"), "{rest}");
    assert!(began.elapsed() >= head - Duration::from_millis(10), "{:?}", began.elapsed());

    let client: Client<_, Full<bytes::Bytes>> = Client::builder(TokioExecutor::new()).http2_only(true).build_http();
    let connections = &port.pipeline.metrics().connections;
    for _ in 0..2 {
        let uri = format!("http://{}/health/live", port.address);
        let request = Request::builder().uri(uri).body(Full::default()).unwrap();
        assert_eq!(client.request(request).await.unwrap().status(), StatusCode::OK);
        tokio::time::sleep(head * 2).await;
    }
    assert_eq!(connections.open.load(std::sync::atomic::Ordering::Relaxed), 1, "the HTTP/2 connection is kept");
}

#[tokio::test]
async fn one_address_has_only_so_many_connections_unless_it_is_a_named_proxy() {
    let port = open(Limits { connections_per_address: 2, ..usual() });
    let begin = async |port: &Port| {
        let mut stream = TcpStream::connect(port.address).await.unwrap();
        stream.write_all(LIVE).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        (stream, String::from_utf8_lossy(&answer[9..]).into_owned())
    };
    let (first, second) = (begin(&port).await, begin(&port).await);
    assert_eq!((first.1.as_str(), second.1.as_str()), ("200", "200"));
    let refused = ask(&port, b"").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("OVERLOADED"), "{refused}");
    let counts = &port.pipeline.metrics().connections;
    assert_eq!(counts.refused_address.load(std::sync::atomic::Ordering::Relaxed), 1);
    // Another address has its own; one that was given up is free again.
    let other = tokio::net::TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.9:0".parse().unwrap()).unwrap();
    let mut other = other.connect(port.address).await.unwrap();
    other.write_all(LIVE).await.unwrap();
    let mut answer = [0; 12];
    other.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer[9..], b"200");
    drop(first);
    let until = Instant::now() + Duration::from_secs(10);
    while counts.open.load(std::sync::atomic::Ordering::Relaxed) > 2 {
        assert!(Instant::now() < until, "a closed connection still counts");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(begin(&port).await.1, "200");

    let proxied = open(Limits { connections_per_address: 2, proxies: Some("127.0.0.0/8".parse().unwrap()), ..usual() });
    let mut all = Vec::new();
    for _ in 0..5 {
        all.push(begin(&proxied).await);
    }
    assert!(all.iter().all(|(_, status)| status == "200"));
}

/// A request of HTTP/2 for the liveness check, on this stream.
fn http2_request(stream: u8) -> Vec<u8> {
    let path = b"/health/live";
    let block = [&[0x82, 0x86, 0x04, path.len() as u8], &path[..], &[0x01, 1, b'x']].concat();
    [&[0, 0, block.len() as u8, 1, 5, 0, 0, 0, stream][..], &block].concat()
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_its_http2_connection_whatever_else_is_asked() {
    let port = open(Limits { idle: Duration::from_millis(500), ..usual() });
    // No answer may have a body: the window of every stream is 0.
    let settings = [0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let mut stream = TcpStream::connect(port.address).await.unwrap();
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.unwrap();
    stream.write_all(&settings).await.unwrap();
    let began = Instant::now();
    for request in (1..=251).step_by(2) {
        if stream.write_all(&http2_request(request)).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        if port.listener.open() == 0 {
            break;
        }
    }
    assert!(began.elapsed() >= Duration::from_millis(490) && began.elapsed() < Duration::from_secs(5));
    let unread = &port.pipeline.metrics().connections.unread_answers;
    assert_eq!(unread.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[tokio::test]
async fn who_reads_too_slowly_is_given_up_though_something_is_read() {
    let port = open(Limits { idle: Duration::from_secs(2), ..usual() });
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(8 * 1024).unwrap();
    let mut stream = socket.connect(port.address).await.unwrap();
    let many = LIVE.repeat(1000);
    while tokio::time::timeout(Duration::from_millis(200), stream.write_all(&many)).await.is_ok_and(|sent| sent.is_ok())
    {
    }
    // Fast enough for the kernel, which sees a window that opens, and far too slow for an answer.
    let (until, mut some) = (Instant::now() + Duration::from_secs(20), [0; 1024]);
    while port.listener.open() > 0 {
        assert!(Instant::now() < until, "a connection whose client reads two KiB a second stays open");
        let _ = tokio::time::timeout(Duration::from_millis(400), stream.read(&mut some)).await;
        tokio::time::sleep(Duration::from_millis(400)).await;
    }
    let unread = &port.pipeline.metrics().connections.unread_answers;
    assert_eq!(unread.load(std::sync::atomic::Ordering::Relaxed), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn who_takes_nothing_of_what_is_sent_is_given_up() {
    let port = open(Limits { idle: Duration::from_millis(400), head: Duration::from_millis(400), ..usual() });
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
    assert_eq!(port.pipeline.stage(), Stage::Draining);
    let began = Instant::now();
    port.listener.drain(Duration::from_millis(300)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert_eq!(port.listener.open(), 0);
    assert!(TcpStream::connect(port.address).await.is_err(), "nobody listens any more");
    let mut rest = Vec::new();
    idle.read_to_end(&mut rest).await.unwrap();
}

//! Starting, stopping and crashing: one data directory, the checks of operators, the log.

use crate::harness::{SECRET, Server, run};
use crate::shop::Shop;
use onsale_adapters::sqlite::{DataDir, SqlitePlans, SqliteReader};
use onsale_engine::id::Seq;
use onsale_engine::money::Amount;
use onsale_engine::ports::{JournalReader, Plans};
use onsale_engine::sale::Sale;
use onsale_server::config::Config;
use onsale_server::server::{Server as InProcess, bind};
use serde_json::{Value, json};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

#[tokio::test]
async fn a_second_process_on_the_data_directory_is_refused_in_words() {
    let server = Server::start().await;
    let second = run(|command| {
        command.env("ONSALE__STORAGE__PATH", server.data_path()).env("ONSALE__SERVER__LISTEN", "127.0.0.1:0");
        command.env("ONSALE__AUTH__JWT_SECRET", SECRET);
    });
    let actual = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{actual}");
    assert!(actual.contains("in use by another process"), "{actual}");
    assert_eq!(server.status("/health/ready"), Some(200));
    server.stop().await;
}

#[tokio::test]
async fn a_port_that_is_taken_is_reported() {
    let server = Server::start().await;
    let data = tempfile::tempdir().unwrap();
    let second = run(|command| {
        command.current_dir(data.path()).env("ONSALE__SERVER__LISTEN", server.address().to_string());
    });
    let actual = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{actual}");
    assert!(actual.contains("cannot listen on 127.0.0.1"), "{actual}");
    server.stop().await;
}

#[tokio::test]
async fn readiness_and_metrics_say_how_it_is() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    shop.buy(&event, &shop.buyer(), &["A-1", "A-2"]).await;
    let get = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = server.raw(&request).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 200"), "{answer}");
        body.to_owned()
    };
    let ready: Value = serde_json::from_str(&get("/health/ready")).unwrap();
    assert_eq!(ready, json!({ "status": "UP", "degraded": [] }));
    let metrics = get("/metrics");
    for line in [
        "onsale_invariant_violations 0",
        "onsale_journal_up 1",
        "onsale_http_requests_total{method=\"POST\",route=\"/api/v1/payments/confirm\",status=\"2xx\"} 1",
        &format!("onsale_seats{{event=\"{event}\",state=\"sold\"}} 2"),
        &format!("onsale_seats{{event=\"{event}\",state=\"available\"}} 18"),
    ] {
        assert!(metrics.lines().any(|actual| actual == line), "{line} is not in\n{metrics}");
    }
    server.stop().await;
}

/// Breaks what the server keeps of its one event, behind its back: somebody has paid less than their seats cost.
fn break_the_snapshot(server: &Server) {
    let dir = DataDir::open_existing(server.data_path()).unwrap();
    let plans: Arc<dyn Plans> = SqlitePlans::open(&dir).unwrap();
    let reader = SqliteReader::open(&dir, plans).unwrap();
    let event = reader.events().unwrap()[0];
    let mut sale = Sale::new();
    reader.replay(event, Seq(0), &mut |entry| sale.apply(&entry)).unwrap();
    let mut wrong = sale.snapshot();
    wrong.payments[0].captured = Amount(1);
    reader.keep_snapshot(event, &wrong).unwrap();
}

#[tokio::test]
async fn a_violated_invariant_is_counted() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    shop.buy(&event, &shop.buyer(), &["A-1"]).await;
    server.terminate();
    server.ended().await;
    break_the_snapshot(&server);
    server.start_again().await;
    let metrics = server.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(metrics.lines().any(|actual| actual == "onsale_invariant_violations 1"), "{metrics}");
    server.stop().await;
}

#[tokio::test]
async fn a_stopping_server_ends_its_streams_and_finishes_what_it_does() {
    let mut server = Server::start().await;
    let shop = server.shop();
    // Nobody is let in, so the stream has nothing to say but its beginning.
    let waiting = json!({ "admission": { "required": true }, "saleStartsAt": crate::shop::in_days(1) });
    let event = shop.small_event(&waiting).await;
    let buyer = shop.buyer();
    shop.post("/queue/enter").by(&buyer).json(&json!({ "eventId": event })).send().await.expect(200);
    let mut stream = shop.get(&format!("/queue/stream?eventId={event}")).by(&buyer).stream().await;
    assert!(stream.next().await.is_some());
    server.terminate();
    assert_eq!(stream.next().await.unwrap().data["code"], "DRAINING");
    assert!(stream.next().await.is_none(), "the stream ends");
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{}", server.log());
}

#[tokio::test]
async fn what_was_answered_is_there_after_a_crash() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let held = shop.hold(&event, &buyer, &["B-5"]).await.expect(201);
    server.crash().await;
    let shop = server.shop();
    assert_eq!(shop.reservation(&buyer, &bought).await, bought);
    assert_eq!(shop.reservation(&buyer, &held).await, held);
    shop.hold(&event, &shop.buyer(), &["A-1", "A-2"]).await.refused(409, "SEAT_UNAVAILABLE");
    server.stop().await;
}

#[tokio::test]
async fn what_a_killed_server_leaves_behind_verifies() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    shop.buy(&event, &shop.buyer(), &["A-1", "A-2"]).await;
    shop.hold(&event, &shop.buyer(), &["B-1"]).await.expect(201);
    let data = server.data_path();
    let verify = || {
        run(|command| {
            command.args(["verify", "--json"]).arg(&data);
        })
    };
    assert_eq!(verify().status.code(), Some(2), "a running server owns the directory");
    server.kill();
    let output = verify();
    let actual: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{actual}");
    assert!(actual.to_string().contains(&event), "{actual}");
}

#[tokio::test]
async fn a_server_starts_and_stops_within_a_process_and_lets_go_of_its_directory() {
    let data = tempfile::tempdir().unwrap();
    let key = |name: &str, value: &str| (format!("ONSALE__{name}").into(), value.into());
    for _ in 0..3 {
        let env = [key("STORAGE__PATH", data.path().to_str().unwrap()), key("AUTH__JWT_SECRET", SECRET)];
        let config =
            Config::load(Some(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../config.toml"))), env).unwrap();
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut running = InProcess::start(config, socket).unwrap();
        running.ready().await.unwrap();
        let shop = Shop::new(&format!("http://{}", running.address()), SECRET);
        shop.small_event(&json!({})).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn without_a_configured_secret_one_is_made_and_kept() {
    let mut server = Server::with().without("AUTH__JWT_SECRET").start().await;
    let path = server.data_path().join("jwt_secret");
    let secret = std::fs::read_to_string(&path).unwrap();
    assert!(secret.len() >= 32);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let shop = Shop::new(&server.base(), &secret);
    shop.venue().await;
    assert!(!server.log().contains(&secret));
    server.crash().await;
    Shop::new(&server.base(), &secret).venue().await;
    server.stop().await;
}

#[tokio::test]
async fn the_log_is_json_with_the_request_id_and_without_personal_data() {
    let server = Server::with().key("LOG__LEVEL", "debug").start().await;
    let shop = server.shop();
    let body = json!({ "email": "private@example.org", "password": "very private", "name": "Private Person" });
    shop.post("/auth/signup").header("x-request-id", "find-me").json(&body).send().await.expect(201);
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let login = shop.post("/auth/login").header("traceparent", trace).json(&body).send().await.expect(200);
    let log = loop {
        let log = server.log();
        if log.contains("/api/v1/auth/login") && log.ends_with('\n') {
            break log;
        }
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    };
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let signup = lines.iter().find(|line| line["request_id"] == "find-me" && line["status"].is_u64()).unwrap();
    assert_eq!((&signup["path"], &signup["status"]), (&json!("/api/v1/auth/signup"), &json!(201)));
    assert!(lines.iter().any(|line| line["trace_id"] == "0af7651916cd43dd8448eb211c80319c"));
    for secret in ["private@example", "very private", "Private Person", login["accessToken"].as_str().unwrap()] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_container_asks_the_binary_itself_whether_it_serves() {
    let mut server = Server::start().await;
    let base = server.base();
    let asked = |arguments: &[&str]| {
        let output = run(|command| {
            command.arg("health").args(arguments);
        });
        let actual = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&actual).into_owned())
    };
    let (code, actual) = asked(&["--url", &base]);
    assert!(code == Some(0) && actual.contains("/health/ready: 200"), "{actual}");
    assert_eq!(asked(&["--url", &base, "--live"]).0, Some(0));
    assert_eq!(asked(&["--url", "localhost"]).0, Some(2), "no URL");
    server.terminate();
    server.ended().await;
    let (code, actual) = asked(&["--url", &base, "--timeout-ms", "500"]);
    assert!(code == Some(1) && actual.contains("/health/ready:"), "{actual}");
}

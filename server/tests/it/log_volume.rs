//! What a month of logs comes to at the planned load: bytes of each kind of line, measured on a real server, and how
//! often each is written.

use crate::harness::Server;
use onsale_server::capacity::{LOG_LINE_BYTES, METRICS_LINE_BYTES};
use serde_json::{Value, json};

/// What is free in a month.
const FREE_BYTES: u64 = 5_000_000_000;
/// What is logged of everything else: one buyer in so many, as by default.
const ONE_IN: u64 = 100;

/// The planned month: the catalogue is read a hundred times a second all the time, and there are eight on-sales of
/// 50,000 people, each let in at 36,000 an hour, who poll every five seconds until it is their turn.
struct Month {
    reads: u64,
    polls: u64,
    purchases: u64,
    failures: u64,
    metrics: u64,
}

const SECONDS: u64 = 30 * 24 * 3600;
const ON_SALES: u64 = 8;
const PEOPLE: u64 = 50_000;

fn planned() -> Month {
    let drain_seconds = PEOPLE / 10;
    Month {
        reads: 100 * SECONDS + ON_SALES * PEOPLE * 5,
        // On average half of them wait.
        polls: ON_SALES * (PEOPLE / 2) * drain_seconds / 5,
        // Everybody buys: a hold, a payment, its confirmation.
        purchases: ON_SALES * PEOPLE,
        // One request in ten thousand fails.
        failures: (100 * SECONDS + ON_SALES * (PEOPLE / 2) * drain_seconds / 5) / 10_000,
        metrics: SECONDS / 60,
    }
}

#[tokio::test]
async fn a_month_at_the_planned_load_is_within_what_is_free() {
    let setup = Server::with().key("METRICS__CLOUDWATCH", "emf").key("METRICS__INTERVAL_S", "1");
    let mut server = setup.key("LOG__ACCESS_ONE_IN", "1").key("SERVER__REQUEST_TIMEOUT_MS", "300").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 1 } })).await;
    let open = shop.event(&shop.small_hall(&["A", "B"], 400).await, &json!({})).await;
    let (first, second) = (shop.buyer(), shop.buyer());
    for buyer in [&first, &second] {
        shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await.expect(200);
        shop.get(&format!("/queue/status?eventId={event}")).by(buyer).send().await.expect(200);
        shop.get(&format!("/events/{event}")).by(buyer).send().await.expect(200);
    }
    shop.buy(&open, &first, &["A-1", "A-2"]).await;
    let stranger = rusqlite::Connection::open(server.data_path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(shop.hold_until_refused(&open, 'B').await.status >= 500);
    shop.hold(&open, &second, &["B-1"]).await.refused(503, "STORAGE_UNAVAILABLE");
    stranger.execute_batch("ROLLBACK").unwrap();
    server.terminate();
    assert!(server.ended().await.success());

    let log = server.log();
    let longest = |is_of: &dyn Fn(&Value) -> bool| {
        let lines = log.lines().filter(|line| is_of(&serde_json::from_str(line).unwrap()));
        lines.map(|line| line.len() as u64 + 1).max().unwrap()
    };
    let of = |path: &'static str, failed: bool| {
        longest(&move |line| line["path"] == path && (line["status"].as_u64().unwrap() >= 500) == failed)
    };
    let read = of("/api/v1/events/{id}", false);
    let poll = of("/api/v1/queue/status", false);
    let paths = ["/api/v1/payments", "/api/v1/payments/confirm", "/api/v1/queue/enter"];
    let purchase = paths.map(|path| of(path, false)).into_iter().max().unwrap();
    let failure = of("/api/v1/reservations/hold", true);
    let metrics = longest(&|line| line["_aws"].is_object());
    for (line, bytes) in [("read", read), ("poll", poll), ("failure", failure)] {
        assert!(bytes <= LOG_LINE_BYTES, "a {line} takes {bytes} bytes; plans count on {LOG_LINE_BYTES}");
    }
    assert!(metrics <= METRICS_LINE_BYTES, "metrics take {metrics} bytes; plans count on {METRICS_LINE_BYTES}");

    let month = planned();
    let bytes = month.reads / ONE_IN * read
        + month.polls / ONE_IN * poll
        + month.purchases * 3 * purchase
        + month.failures * failure
        + month.metrics * metrics;
    eprintln!("bytes of a read {read}, a poll {poll}, a change {purchase}, a failure {failure}, metrics {metrics}");
    eprintln!("a month: {bytes} bytes, {} % of what is free", bytes * 100 / FREE_BYTES);
    assert!(bytes < FREE_BYTES, "a month would be {bytes} bytes");
    // The bound on failures holds whatever happens: an hour of nothing but failures is not a month's logs.
    assert!(3600 * 100 * failure < FREE_BYTES / 10);
}

//! A journal that cannot be written to: what writes is refused or unknown, what reads goes on, and nothing that was
//! told turns out to be false.

use crate::harness::Server;
use crate::shop::PATIENCE;
use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_journal_is_stuck_writes_are_refused_and_reads_go_on() {
    let server = Server::with().key("SERVER__REQUEST_TIMEOUT_MS", "1000").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let waiting = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 100 } })).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    let bought = shop.buy(&event, &other, &["B-1"]).await;

    let stranger = Connection::open(server.data_path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    let hold = async || {
        let body = json!({ "eventId": event, "seatIds": ["A-1"] });
        shop.post("/reservations/hold").by(&buyer).key("k").json(&body).send().await
    };
    // Whoever was taken before it was noticed hears that it is unknown.
    hold().await.refused(504, "DEADLINE_EXCEEDED");
    // From then on it is certainly not done.
    let refused = shop.hold(&event, &other, &["A-2"]).await;
    refused.refused(503, "STORAGE_UNAVAILABLE");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let enter = json!({ "eventId": waiting });
    shop.post("/queue/enter").by(&other).json(&enter).send().await.refused(503, "STORAGE_UNAVAILABLE");
    let slower = json!({ "ratePerSecond": 1 });
    let path = format!("/admin/events/{event}/admission");
    shop.patch(&path).by(&shop.admin).json(&slower).send().await.refused(503, "STORAGE_UNAVAILABLE");
    // Reads tell what is committed, and no more than that.
    let seats = shop.seats(&event).await;
    assert_eq!(seats["seats"], json!({ "total": 20, "available": 19, "held": 0, "sold": 1 }));
    assert_eq!(shop.reservation(&other, &bought).await, bought);
    assert_eq!(shop.get(&format!("/events/{event}")).send().await.expect(200)["status"], "ON_SALE");

    stranger.execute_batch("ROLLBACK").unwrap();
    let began = Instant::now();
    let held = loop {
        let again = hold().await;
        if again.status == 201 {
            break again.json();
        }
        assert!(matches!(again.status, 503 | 504) && began.elapsed() < PATIENCE, "{again:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(shop.reservation(&buyer, &held).await, held, "asked again with its key, it is held once");
    let list = shop.get("/reservations").by(&buyer).send().await.expect(200);
    assert_eq!(list["totalElements"], 1);
    assert_eq!(shop.seats(&event).await["held"], json!(["A-1"]));
    server.stop().await;
}

//! A journal that cannot be written to: what writes is refused or unknown, what reads goes on, and nothing that was
//! answered turns out to be false.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, TIMEOUT};
use rusqlite::Connection;
use serde_json::json;
use std::time::{Duration, Instant};

#[tokio::test(flavor = "multi_thread")]
async fn while_the_journal_is_stuck_writes_are_refused_and_reads_go_on() {
    let mut server = Server::with().key("SERVER__REQUEST_TIMEOUT_MS", "1000").start().await;
    let shop = server.shop();
    let event = shop.event(&shop.small_hall(&["A", "B"], 400).await, &json!({})).await;
    let waiting = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 100 } })).await;
    let other = shop.buyer();
    let bought = shop.buy(&event, &other, &["B-1"]).await;

    let stranger = Connection::open(server.data_path().join("journal.db")).unwrap();
    stranger.execute_batch("BEGIN IMMEDIATE").unwrap();
    // The commit log takes facts until it is noticed that they cannot be filed.
    let (mut filed_later, began) = (Vec::new(), Instant::now());
    let unknown = loop {
        let (buyer, seat) = (shop.buyer(), format!("A-{}", filed_later.len() + 1));
        let actual = hold_with_key(&shop, &event, &buyer, &seat).await;
        if actual.status != 201 {
            // A request in progress right then is answered that it is unknown.
            actual.refused(504, "DEADLINE_EXCEEDED");
            break (buyer, seat);
        }
        assert!(began.elapsed() < TIMEOUT, "nothing is refused");
        filed_later.push((buyer, seat, actual.json()));
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    // From then on it is certainly not done.
    let refused = shop.hold(&event, &other, &["B-2"]).await;
    refused.refused(503, "STORAGE_UNAVAILABLE");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let enter = json!({ "eventId": waiting });
    shop.post("/queue/enter").by(&other).json(&enter).send().await.refused(503, "STORAGE_UNAVAILABLE");
    let slower = json!({ "ratePerSecond": 1 });
    let path = format!("/admin/events/{event}/admission");
    shop.patch(&path).by(&shop.admin).json(&slower).send().await.refused(503, "STORAGE_UNAVAILABLE");
    // Reads answer what is committed, and no more than that.
    let seats = shop.seats(&event).await;
    let held = filed_later.len();
    assert_eq!(seats["seats"], json!({ "total": 800, "available": 799 - held, "held": held, "sold": 1, "blocked": 0 }));
    for (buyer, _, reservation) in &filed_later {
        assert_eq!(shop.reservation(buyer, reservation).await, *reservation);
    }
    assert_eq!(shop.reservation(&other, &bought).await, bought);
    assert_eq!(shop.get(&format!("/events/{event}")).send().await.expect(200)["status"], "ON_SALE");

    stranger.execute_batch("ROLLBACK").unwrap();
    let began = Instant::now();
    let (buyer, seat) = unknown;
    let held = loop {
        let again = hold_with_key(&shop, &event, &buyer, &seat).await;
        if again.status == 201 {
            break again.json();
        }
        assert!(matches!(again.status, 503 | 504) && began.elapsed() < TIMEOUT, "{again:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(shop.reservation(&buyer, &held).await, held, "asked again with its key, it is held once");
    filed_later.push((buyer, seat, held));
    server.crash().await;
    let shop = server.shop();
    for (buyer, _, held) in &filed_later {
        assert_eq!(shop.reservation(buyer, held).await, *held);
        let list = shop.get("/reservations").by(buyer).send().await.expect(200);
        assert_eq!(list["totalElements"], 1);
    }
    let actual = shop.seats(&event).await;
    let sorted = |mut seats: Vec<String>| {
        seats.sort();
        seats
    };
    let seats: Vec<String> = serde_json::from_value(actual["held"].clone()).unwrap();
    assert_eq!(sorted(seats), sorted(filed_later.into_iter().map(|(_, seat, _)| seat).collect()));
    server.stop().await;
}

async fn hold_with_key(shop: &Shop, event: &str, buyer: &Person, seat: &str) -> Reply {
    let body = json!({ "eventId": event, "seatIds": [seat] });
    shop.post("/reservations/hold").by(buyer).key("k").json(&body).send().await
}

//! An event that is over and has left memory answers as if it had not.

use crate::harness::Server;
use crate::shop::{Shop, TIMEOUT, in_seconds};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How many events are in memory, and how many are not.
async fn events(shop: &Shop) -> (u64, u64) {
    let metrics = shop.probe("/metrics").await;
    let text = std::str::from_utf8(&metrics.body).unwrap();
    let of = |state: &str| {
        let name = format!("onsale_events{{state=\"{state}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).expect("a figure")
    };
    (of("loaded"), of("unloaded"))
}

async fn until_unloaded(shop: &Shop, expected: (u64, u64)) {
    let until = Instant::now() + TIMEOUT;
    while events(shop).await != expected {
        assert!(Instant::now() < until, "in memory and not: {:?}", events(shop).await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn listed<'a>(list: &'a Value, event: &str) -> &'a Value {
    list["items"].as_array().unwrap().iter().find(|item| item["id"] == event).expect("it is listed")
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_has_left_memory_answers_as_before() {
    let mut server = Server::with().key("ENGINE__UNLOAD_AFTER_S", "1").start().await;
    let shop = server.shop();
    let on_sale = shop.small_event(&json!({})).await;
    let event = shop.small_event(&json!({ "saleEndsAt": in_seconds(8), "blockedSeatIds": ["B-10"] })).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    let bought = shop.buy(&event, &buyer, &["A-1", "A-2"]).await;
    let reservation = format!("/reservations/{}", bought["reservationId"].as_str().unwrap());
    let before = shop.get(&reservation).by(&buyer).send().await.expect(200);
    let map = shop.get(&format!("/events/{event}/seats")).send().await.expect(200);
    until_unloaded(&shop, (1, 1)).await;

    let read = async || shop.get(&format!("/events/{event}")).send().await.expect(200);
    let over = read().await;
    assert_eq!(
        (&over["status"], &over["seats"]),
        (&json!("ENDED"), &json!({ "total": 20, "available": 17, "held": 0, "sold": 2, "blocked": 1 }))
    );
    assert_eq!(
        over["categories"][0],
        json!({ "name": "VIP", "price": 150_000, "total": 10, "available": 8, "blocked": 0 })
    );
    let list = shop.get("/events?size=100").send().await.expect(200);
    assert_eq!(
        (&listed(&list, &event)["status"], &listed(&list, &on_sale)["status"]),
        (&json!("ENDED"), &json!("ON_SALE"))
    );
    assert_eq!(shop.get(&format!("/events/{event}/seats")).send().await.expect(200), map);
    let stats = shop.get("/queue/admin/stats").by(&shop.admin).send().await.expect(200);
    assert!(stats[&event].is_object() && stats[&on_sale].is_object());
    let audit = shop.get(&format!("/admin/audit?eventId={event}")).by(&shop.admin).send().await.expect(200);
    assert_eq!(audit["items"][0]["action"], "RULES_SET");
    let own = shop.get("/reservations").by(&buyer).send().await.expect(200);
    assert_eq!(own["totalElements"], 1);
    let renamed =
        shop.patch(&format!("/events/{event}")).by(&shop.admin).json(&json!({ "title": "It was" })).send().await;
    assert_eq!((&renamed.expect(200)["title"], &read().await["seats"]), (&json!("It was"), &over["seats"]));
    assert_eq!(events(&shop).await, (1, 1), "none of it needs the event in memory");

    // A crash: what was unloaded is known without being read.
    server.kill();
    server.start_again().await;
    let shop = server.shop();
    assert_eq!(events(&shop).await, (1, 1));
    shop.get(&reservation).by(&other).send().await.refused(404, "NOT_FOUND");
    assert_eq!(shop.get(&reservation).by(&buyer).send().await.expect(200), before);
    shop.hold(&event, &other, &["B-1"]).await.refused(409, "SALE_CLOSED");
    shop.delete(&reservation).by(&buyer).send().await.expect(200);
    until_unloaded(&shop, (1, 1)).await;
    let over = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!(over["seats"]["sold"], 0, "given back, and unloaded again");
    assert_eq!(over["seats"]["blocked"], 1);
}

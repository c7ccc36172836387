//! The end of a sale, by its time or by an operator: who waits or shops is sent the reason at once, and may go elsewhere.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, Stream, TIMEOUT, in_seconds};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn event(shop: &Shop, changes: Value) -> String {
    let mut all = json!({ "admission": { "ratePerSecond": 100, "tokenSeconds": 86_400, "activeLimit": 1 } });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    shop.small_event(&all).await
}

async fn enter(shop: &Shop, event: &str, buyer: &Person) -> Reply {
    shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await
}

async fn status(shop: &Shop, event: &str, buyer: &Person) -> Reply {
    shop.get(&format!("/queue/status?eventId={event}")).by(buyer).send().await
}

async fn stream(shop: &Shop, event: &str, buyer: &Person) -> Stream {
    shop.get(&format!("/queue/stream?eventId={event}")).by(buyer).stream().await
}

async fn steer(shop: &Shop, event: &str, change: Value) {
    shop.patch(&format!("/admin/events/{event}/admission")).by(&shop.admin).json(&change).send().await.expect(200);
}

fn instant(text: &Value) -> jiff::Timestamp {
    text.as_str().unwrap().parse().unwrap()
}

/// The next event of a stream with this status.
async fn next(stream: &mut Stream, wanted: &str) -> Value {
    loop {
        let place = stream.next().await.expect("an open stream").data;
        if place["status"] == wanted {
            return place;
        }
    }
}

/// Enters another event, which works as soon as the first one has let go.
async fn goes_elsewhere(shop: &Shop, elsewhere: &str, buyer: &Person) {
    let began = Instant::now();
    loop {
        let entered = enter(shop, elsewhere, buyer).await;
        if entered.status == 200 {
            return;
        }
        entered.refused(409, "ALREADY_QUEUED_ELSEWHERE");
        assert!(began.elapsed() < Duration::from_secs(5), "still not let in");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_sale_ends_its_slots_and_places_end_and_their_buyers_may_go_elsewhere() {
    let server = Server::start().await;
    let shop = server.shop();
    let elsewhere = event(&shop, json!({ "admission": { "activeLimit": null } })).await;
    let ends = in_seconds(3);
    let over = event(&shop, json!({ "saleEndsAt": ends })).await;
    let (shops, waits) = (shop.buyer(), shop.buyer());
    let token = shop.admitted(&over, &shops).await;
    let place = status(&shop, &over, &shops).await.expect(200);
    assert!(instant(&place["tokenExpiresAt"]) <= ends.parse().unwrap(), "a slot ends with its sale: {place}");
    assert_eq!(enter(&shop, &over, &waits).await.expect(200)["status"], "WAITING");
    enter(&shop, &elsewhere, &shops).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    let mut streams = [stream(&shop, &over, &shops).await, stream(&shop, &over, &waits).await];
    for stream in &mut streams {
        let place = next(stream, "EXPIRED").await;
        assert_eq!((&place["notice"], &place["token"], &place["rank"]), (&json!("CLOSED"), &Value::Null, &Value::Null));
        // In whole milliseconds.
        let now = instant(&place["now"]) + jiff::SignedDuration::from_millis(1);
        assert!(now >= ends.parse().unwrap(), "{place} before {ends}");
    }
    for buyer in [&shops, &waits] {
        enter(&shop, &over, buyer).await.refused(409, "SALE_CLOSED");
        goes_elsewhere(&shop, &elsewhere, buyer).await;
    }
    let body = json!({ "eventId": over, "seatIds": ["A-1"] });
    let refused = shop.post("/reservations/hold").by(&shops).admitted(&token).json(&body).send().await;
    assert_eq!(refused.refused(409, "SALE_CLOSED")["reason"], "ENDED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_made_before_the_end_is_paid_after_it_and_then_lets_its_buyer_go() {
    let server = Server::start().await;
    let shop = server.shop();
    let elsewhere = event(&shop, json!({})).await;
    let over = event(&shop, json!({ "saleEndsAt": in_seconds(3), "holdSeconds": 600 })).await;
    let buyer = shop.buyer();
    let token = shop.admitted(&over, &buyer).await;
    let body = json!({ "eventId": over, "seatIds": ["A-1"] });
    let held = shop.post("/reservations/hold").by(&buyer).admitted(&token).json(&body).send().await.expect(201);
    let mut stream = stream(&shop, &over, &buyer).await;
    let mut place = next(&mut stream, "ACTIVE").await;
    while place["token"].is_string() {
        place = next(&mut stream, "ACTIVE").await;
    }
    assert_eq!(place["notice"], "CLOSED", "{place}");
    let again = shop.post("/reservations/hold").by(&buyer).admitted(&token).json(&body).send().await;
    again.refused(409, "SALE_CLOSED");
    enter(&shop, &elsewhere, &buyer).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    let opened = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &opened, "sim_ok").await.expect(200);
    assert_eq!(shop.reservation(&buyer, &held).await["status"], "CONFIRMED");
    goes_elsewhere(&shop, &elsewhere, &buyer).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_or_shops_is_sent_at_once_that_the_event_is_cancelled() {
    let server = Server::start().await;
    let shop = server.shop();
    let elsewhere = event(&shop, json!({ "admission": { "activeLimit": null } })).await;
    let cancelled = event(&shop, json!({})).await;
    let (shops, waits, early) = (shop.buyer(), shop.buyer(), shop.buyer());
    let token = shop.admitted(&cancelled, &shops).await;
    enter(&shop, &cancelled, &waits).await.expect(200);
    let mut streams = [stream(&shop, &cancelled, &shops).await, stream(&shop, &cancelled, &waits).await];
    for stream in &mut streams {
        assert!(stream.next().await.unwrap().data["notice"].is_null());
    }
    let began = Instant::now();
    shop.post(&format!("/admin/events/{cancelled}/cancel")).by(&shop.admin).send().await.expect(200);
    for stream in &mut streams {
        let place = next(stream, "EXPIRED").await;
        assert_eq!((&place["notice"], &place["token"]), (&json!("CANCELLED"), &Value::Null));
        assert!(place["message"].as_str().unwrap().contains("cancelled"));
    }
    assert!(began.elapsed() < Duration::from_secs(2), "sent after {:?}", began.elapsed());
    let body = json!({ "eventId": cancelled, "seatIds": ["A-1"] });
    for token in [token.as_str(), "none"] {
        let refused = shop.post("/reservations/hold").by(&shops).admitted(token).json(&body).send().await;
        refused.refused(409, "SALE_CANCELLED");
    }
    for buyer in [&shops, &waits] {
        assert_eq!(status(&shop, &cancelled, buyer).await.expect(200)["notice"], "CANCELLED");
        goes_elsewhere(&shop, &elsewhere, buyer).await;
    }
    assert_eq!(enter(&shop, &cancelled, &early).await.refused(409, "SALE_CLOSED")["reason"], "CANCELLED");
    server.stop().await;
}

/// Where no admission is required everybody has a place, and it ends there, too.
#[tokio::test(flavor = "multi_thread")]
async fn the_places_of_an_event_without_a_waiting_room_end_too() {
    let server = Server::start().await;
    let shop = server.shop();
    let open = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    assert_eq!(status(&shop, &open, &buyer).await.expect(200)["status"], "ACTIVE");
    shop.post(&format!("/admin/events/{open}/cancel")).by(&shop.admin).send().await.expect(200);
    let place = status(&shop, &open, &buyer).await.expect(200);
    assert_eq!(
        (&place["status"], &place["notice"], &place["token"]),
        (&json!("EXPIRED"), &json!("CANCELLED"), &Value::Null)
    );
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notice_says_why_nobody_is_let_in_and_a_stream_sends_it_at_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "maxSeatsPerBuyer": 20, "holdSeconds": 600 })).await;
    let (shops, waits) = (shop.buyer(), shop.buyer());
    let token = shop.admitted(&event, &shops).await;
    assert!(enter(&shop, &event, &waits).await.expect(200)["notice"].is_null());
    let mut stream = stream(&shop, &event, &waits).await;
    stream.next().await.unwrap();
    let mut until_notice = async |wanted: Value| {
        let began = Instant::now();
        loop {
            let place = stream.next().await.expect("an open stream").data;
            assert_eq!(place["status"], "WAITING");
            if place["notice"] == wanted {
                assert!(began.elapsed() < Duration::from_secs(2), "{wanted} after {:?}", began.elapsed());
                return place;
            }
            assert!(began.elapsed() < TIMEOUT, "never {wanted}: {place}");
        }
    };
    steer(&shop, &event, json!({ "paused": true })).await;
    until_notice(json!("PAUSED")).await;
    steer(&shop, &event, json!({ "closed": true })).await;
    until_notice(json!("CLOSED")).await;
    steer(&shop, &event, json!({ "closed": false, "paused": false })).await;
    until_notice(Value::Null).await;
    let all = json!({ "eventId": event, "seatIds": (1..=10).flat_map(|n| [format!("A-{n}"), format!("B-{n}")]).collect::<Vec<_>>() });
    let held = shop.post("/reservations/hold").by(&shops).admitted(&token).json(&all).send().await.expect(201);
    assert!(until_notice(json!("NO_FREE_SEATS")).await["message"].as_str().unwrap().contains("may come back"));
    let shopper = status(&shop, &event, &shops).await.expect(200);
    assert_eq!((&shopper["status"], &shopper["notice"]), (&json!("ACTIVE"), &Value::Null));
    let opened = shop.pay(&shops, &held).await.expect(201);
    shop.confirm(&shops, &opened, "sim_ok").await.expect(200);
    assert!(until_notice(json!("SOLD_OUT")).await["message"].as_str().unwrap().contains("all are sold"));
    server.stop().await;
}

//! Holding, changing, giving back: every refusal, keys, expiry, and the streams of seat changes.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, Stream, TIMEOUT, in_days, texts};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use uuid::Uuid;

async fn hold_with(shop: &Shop, buyer: &Person, body: &Value) -> Reply {
    shop.post("/reservations/hold").by(buyer).json(body).send().await
}

async fn change(shop: &Shop, buyer: &Person, held: &Value, seats: &[&str]) -> Reply {
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    shop.put(&path).by(buyer).json(&json!({ "newSeatIds": seats })).send().await
}

async fn release(shop: &Shop, buyer: &Person, held: &Value) -> Reply {
    shop.delete(&format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap())).by(buyer).send().await
}

fn seats_of(reservation: &Value) -> Vec<&str> {
    reservation["seats"].as_array().unwrap().iter().map(|seat| seat["seatId"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_has_its_refusals() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let asked = async |body: Value| hold_with(&shop, &buyer, &body).await;
    assert_eq!(asked(json!({})).await.mistakes(), ["eventId", "seatIds"]);
    assert_eq!(asked(json!({ "eventId": event, "seatIds": [] })).await.mistakes(), ["seatIds"]);
    assert_eq!(asked(json!({ "eventId": event, "seatIds": ["A-1", 7, "A-1"] })).await.mistakes(), ["seatIds[1]"]);
    assert_eq!(asked(json!({ "eventId": event, "seatIds": ["A-1", "A-2", "A-1"] })).await.mistakes(), ["seatIds[2]"]);
    let both = json!({ "eventId": event, "seatIds": ["A-1"], "category": "VIP", "quantity": 1 });
    assert_eq!(asked(both).await.mistakes(), ["seatIds"]);
    let none = json!({ "eventId": event, "category": "VIP", "quantity": 0 });
    assert_eq!(asked(none).await.mistakes(), ["quantity"]);
    assert_eq!(asked(json!({ "eventId": event, "quantity": 1 })).await.mistakes(), ["category"]);
    shop.post("/reservations/hold").by(&buyer).text("{\"").send().await.refused(400, "MALFORMED_JSON");
    shop.hold(&Uuid::new_v4().to_string(), &buyer, &["A-1"]).await.refused(404, "NOT_FOUND");
    let unknown = shop.hold(&event, &buyer, &["A-1", "Q-1"]).await.refused(404, "SEAT_NOT_FOUND");
    assert_eq!(unknown["unknownSeatIds"], json!(["Q-1"]));
    asked(json!({ "eventId": event, "category": "GOLD", "quantity": 1 })).await.refused(404, "NOT_FOUND");

    shop.hold(&event, &buyer, &["A-1", "A-2", "A-3"]).await.expect(201);
    let over = shop.hold(&event, &buyer, &["B-1", "B-2"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    assert_eq!((&over["limit"], &over["has"]), (&json!(4), &json!(3)));
    let taken = shop.hold(&event, &shop.buyer(), &["A-3", "A-4"]).await.refused(409, "SEAT_UNAVAILABLE");
    assert_eq!(taken["unavailableSeatIds"], json!(["A-3"]));
    let alternative = texts(&taken["alternative"]["seatIds"]);
    shop.hold(&event, &shop.buyer(), &alternative).await.expect(201);
    let none_left = json!({ "eventId": event, "category": "VIP", "quantity": 9 });
    asked(none_left.clone()).await.refused(409, "SEAT_LIMIT_EXCEEDED");

    let soon = shop.small_event(&json!({ "saleStartsAt": in_days(1) })).await;
    shop.hold(&soon, &buyer, &["A-1"]).await.refused(409, "SALE_NOT_OPEN");
    let over = shop.small_event(&json!({ "saleStartsAt": in_days(-2), "saleEndsAt": in_days(-1) })).await;
    shop.hold(&over, &buyer, &["A-1"]).await.refused(409, "SALE_CLOSED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_single_seat_is_left_behind_where_the_rule_holds() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "noOrphans": true })).await;
    let refused = shop.hold(&event, &shop.buyer(), &["A-2", "A-3"]).await.refused(409, "ORPHAN_SEAT");
    assert_eq!(refused["orphanSeatIds"], json!(["A-1"]));
    shop.hold(&event, &shop.buyer(), &texts(&refused["alternative"]["seatIds"])).await.expect(201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_key_holds_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 100 } })).await;
    let buyer = shop.buyer();
    let token = shop.admitted(&event, &buyer).await;
    let asked = async |key: &str, seat: &str, token: &str| {
        let body = json!({ "eventId": event, "seatIds": [seat] });
        shop.post("/reservations/hold").by(&buyer).key(key).admitted(token).json(&body).send().await
    };
    let (one, two) = tokio::join!(asked("k", "A-1", &token), asked("k", "A-1", &token));
    let held = one.expect(201);
    assert_eq!((two.expect(201), two.header("location")), (held.clone(), one.header("location")));
    assert_eq!(asked("k", "A-1", "none").await.expect(201), held, "given before any token is checked");
    asked("k", "A-2", &token).await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    // Only what was done is remembered.
    asked("l", "Q-1", &token).await.refused(404, "SEAT_NOT_FOUND");
    asked("l", "A-2", &token).await.expect(201);
    let stranger = shop.buyer();
    let token = shop.admitted(&event, &stranger).await;
    let body = json!({ "eventId": event, "seatIds": ["A-3"] });
    let other = shop.post("/reservations/hold").by(&stranger).key("k").admitted(&token).json(&body).send().await;
    assert_eq!(seats_of(&other.expect(201)), ["A-3"], "a key is its buyer's own");
    assert_eq!(asked(&"k".repeat(256), "A-1", "none").await.mistakes(), ["Idempotency-Key"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_wins_all_of_the_new_seats_or_keeps_the_old_ones() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    let held = shop.hold(&event, &buyer, &["A-1", "A-2"]).await.expect(201);
    shop.hold(&event, &other, &["A-4"]).await.expect(201);
    let refused = change(&shop, &buyer, &held, &["A-3", "A-4"]).await.refused(409, "SEAT_UNAVAILABLE");
    assert_eq!(refused["unavailableSeatIds"], json!(["A-4"]));
    assert_eq!(seats_of(&shop.reservation(&buyer, &held).await), ["A-1", "A-2"]);

    let payment = shop.pay(&buyer, &held).await.expect(201);
    let changed = change(&shop, &buyer, &held, &["A-2", "A-3", "B-1"]).await.expect(200);
    assert_eq!((seats_of(&changed), &changed["totalAmount"]), (vec!["A-2", "A-3", "B-1"], &json!(390_000)));
    assert_eq!(texts(&shop.seats(&event).await["held"]), ["A-2", "A-3", "A-4", "B-1"]);
    let path = format!("/payments/{}", payment["paymentId"].as_str().unwrap());
    let failed = shop.get(&path).by(&buyer).send().await.expect(200);
    assert_eq!((&failed["status"], failed["failure"].is_string()), (&json!("FAILED"), true));
    shop.confirm(&buyer, &payment, "sim_ok").await.refused(402, "PAYMENT_DECLINED");

    change(&shop, &buyer, &held, &["Q-1"]).await.refused(404, "SEAT_NOT_FOUND");
    change(&shop, &buyer, &held, &["B-1", "B-2", "B-3", "B-4", "B-5"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    change(&shop, &other, &held, &["B-5"]).await.refused(404, "NOT_FOUND");
    let nothing = json!({ "reservationId": Uuid::new_v4().to_string() });
    change(&shop, &buyer, &nothing, &["B-5"]).await.refused(404, "NOT_FOUND");
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    assert_eq!(shop.put(&path).by(&buyer).json(&json!({})).send().await.mistakes(), ["newSeatIds"]);
    release(&shop, &buyer, &held).await.expect(204);
    change(&shop, &buyer, &held, &["B-5"]).await.refused(409, "RESERVATION_NOT_PENDING");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_given_back_or_expired_frees_its_seats_and_stays_readable() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "holdSeconds": 1 })).await;
    let buyer = shop.buyer();
    let released = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    for _ in 0..2 {
        release(&shop, &buyer, &released).await.expect(204);
    }
    assert_eq!(shop.reservation(&buyer, &released).await["status"], "CANCELLED");
    let held = shop.hold(&event, &buyer, &["A-1", "A-2"]).await.expect(201);
    let began = Instant::now();
    while shop.reservation(&buyer, &held).await["status"] == "PENDING" {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let expired = shop.reservation(&buyer, &held).await;
    assert_eq!((&expired["status"], &expired["seats"]), (&json!("EXPIRED"), &held["seats"]));
    release(&shop, &buyer, &held).await.expect(204);
    shop.pay(&buyer, &held).await.refused(409, "RESERVATION_NOT_PENDING");
    assert_eq!(shop.seats(&event).await["seats"]["available"], 20);

    // Newest first, page by page, and nobody else's.
    let page = shop.get("/reservations?page=1&size=1").by(&buyer).send().await.expect(200);
    assert_eq!((&page["items"][0]["reservationId"], &page["totalElements"]), (&released["reservationId"], &json!(2)));
    assert_eq!(shop.get("/reservations").by(&shop.buyer()).send().await.expect(200)["items"], json!([]));
    assert_eq!(shop.get("/reservations?size=0").by(&buyer).send().await.mistakes(), ["size"]);
    for id in [held["reservationId"].as_str().unwrap(), &Uuid::new_v4().to_string(), "7"] {
        shop.get(&format!("/reservations/{id}")).by(&shop.buyer()).send().await.refused(404, "NOT_FOUND");
    }
    server.stop().await;
}

/// Reads a stream until every seat of `wanted` was sent; returns the last version, and the states that were sent.
async fn changes_of(stream: &mut Stream, wanted: &[&str]) -> (u64, BTreeMap<String, String>) {
    let mut seats = BTreeMap::new();
    loop {
        let event = stream.next().await.unwrap();
        let version = event.data["version"].as_u64().unwrap();
        assert_eq!(event.id, Some(version), "the version is the event's id");
        for change in event.data["changes"].as_array().unwrap() {
            let text = |member: &str| change[member].as_str().unwrap().to_owned();
            seats.insert(text("seatId"), text("status"));
        }
        if wanted.iter().all(|seat| seats.contains_key(*seat)) {
            return (version, seats);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn seat_changes_are_streamed_and_a_stream_goes_on_where_it_broke_off() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (buyer, path) = (shop.buyer(), format!("/events/{event}/seats/stream"));
    let sold = shop.buy(&event, &buyer, &["A-1"]).await;
    let mut stream = shop.get(&path).by(&buyer).stream().await;
    let (_, seats) = changes_of(&mut stream, &["A-1"]).await;
    assert_eq!(seats, BTreeMap::from([("A-1".into(), "SOLD".into())]), "what is not free, to begin with");

    let held = shop.hold(&event, &buyer, &["B-1", "B-2"]).await.expect(201);
    let (version, seats) = changes_of(&mut stream, &["B-1", "B-2"]).await;
    assert_eq!((&seats["B-1"], &seats["B-2"]), (&"HELD".to_owned(), &"HELD".to_owned()));
    let live = shop.seats(&event).await;
    assert_eq!(live["version"], version);
    release(&shop, &buyer, &held).await.expect(204);
    assert_eq!(changes_of(&mut stream, &["B-1", "B-2"]).await.1["B-1"], "AVAILABLE");
    drop(stream);

    // What came since the version that is named, and nothing else.
    let mut resumed = shop.get(&path).by(&buyer).header("last-event-id", &version.to_string()).stream().await;
    let (_, seats) = changes_of(&mut resumed, &["B-1", "B-2"]).await;
    assert_eq!(seats.len(), 2);
    let id = sold["reservationId"].as_str().unwrap();
    shop.delete(&format!("/reservations/{id}")).by(&buyer).send().await.expect(200);
    assert_eq!(changes_of(&mut resumed, &["A-1"]).await.1["A-1"], "AVAILABLE");
    let mut queried = shop.get(&format!("{path}?version={version}")).by(&buyer).stream().await;
    assert_eq!(changes_of(&mut queried, &["A-1", "B-1"]).await.1.len(), 3);

    // A version that is too old, or none of ours: all of the hall.
    let mut renewed = shop.get(&path).by(&buyer).header("last-event-id", "1").stream().await;
    assert_eq!(changes_of(&mut renewed, &["A-1"]).await.1.len(), 20);
    let mut strange = shop.get(&path).by(&buyer).header("last-event-id", "x").stream().await;
    assert_eq!(changes_of(&mut strange, &["A-1"]).await.1.len(), 20);
    assert_eq!(shop.get(&format!("{path}?version=x")).by(&buyer).send().await.mistakes(), ["version"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn live_seats_are_the_committed_ones_in_either_form() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 100).await;
    let event = shop.event(&hall, &json!({ "maxSeatsPerBuyer": 100 })).await;
    let buyer = shop.buyer();
    let before = shop.seats(&event).await["version"].as_u64().unwrap();
    let row = |name: &str| (1..=100).map(|seat| format!("{name}-{seat}")).collect::<Vec<String>>();
    let all = [row("A"), row("B")];
    for seats in &all {
        let seats: Vec<&str> = seats.iter().map(String::as_str).collect();
        shop.hold(&event, &shop.buyer(), &seats).await.expect(201);
    }
    let path = format!("/reservations/seats/{event}");
    let gzipped = shop.get(&path).by(&buyer).header("accept-encoding", "gzip").send().await;
    assert_eq!(gzipped.header("content-encoding"), "gzip");
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(gzipped.body.as_ref()), &mut unpacked).unwrap();
    let live: Value = serde_json::from_slice(&unpacked).unwrap();
    assert_eq!(live, shop.seats(&event).await);
    assert_eq!(live["held"], json!(all.concat()), "in the plan's order");
    assert!(live["version"].as_u64().unwrap() > before);
    let categories = json!([
        { "name": "VIP", "total": 100, "available": 0, "blocked": 0 },
        { "name": "S", "total": 100, "available": 0, "blocked": 0 },
    ]);
    assert_eq!(live["categories"], categories);
    shop.get("/reservations/seats/7").by(&buyer).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

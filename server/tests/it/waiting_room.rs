//! The waiting room: places, ranks, admission, tokens, streams, and every refusal.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, TIMEOUT, in_days, in_seconds};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// An event with a waiting room of these rules, on sale now but for `changes`.
async fn event(shop: &Shop, admission: Value, changes: Value) -> String {
    let mut all = json!({ "admission": admission });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    shop.small_event(&all).await
}

async fn enter(shop: &Shop, event: &str, buyer: &Person) -> Reply {
    shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await
}

async fn status(shop: &Shop, event: &str, buyer: &Person) -> Reply {
    shop.get(&format!("/queue/status?eventId={event}")).by(buyer).send().await
}

async fn leave(shop: &Shop, event: &str, buyer: &Person) {
    shop.delete(&format!("/queue/leave?eventId={event}")).by(buyer).send().await.expect(204);
}

async fn steer(shop: &Shop, event: &str, change: Value) {
    shop.patch(&format!("/admin/events/{event}/admission")).by(&shop.admin).json(&change).send().await.expect(200);
}

/// Asks until the place has this status.
async fn until(shop: &Shop, event: &str, buyer: &Person, wanted: &str) -> Value {
    let began = Instant::now();
    loop {
        let place = status(shop, event, buyer).await.expect(200);
        if place["status"] == wanted {
            return place;
        }
        assert!(began.elapsed() < TIMEOUT, "never {wanted}: {place}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn places_before_the_opening_are_first_come_first_served() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({}), json!({ "saleStartsAt": in_days(1) })).await;
    let buyers = [shop.buyer(), shop.buyer(), shop.buyer()];
    for (number, buyer) in buyers.iter().enumerate() {
        let place = enter(&shop, &event, buyer).await.expect(200);
        let members = ["eventId", "status", "rank", "totalInQueue", "token", "tokenExpiresAt"];
        let actual = Value::from_iter(members.map(|name| (name, place[name].clone())));
        let rank = number + 1;
        let expected = json!({ "eventId": event, "status": "PRE_QUEUE", "rank": rank, "totalInQueue": rank,
            "token": null, "tokenExpiresAt": null });
        assert_eq!(actual, expected);
        assert!(place["ticket"].as_str().unwrap().starts_with("pt_"));
        let wait = place["estimatedWaitSeconds"].as_u64().unwrap();
        assert!((86_000..=86_401).contains(&wait) && place["pollAfterSeconds"].as_u64().unwrap() >= 1);
        assert_eq!(enter(&shop, &event, buyer).await.expect(200)["ticket"], place["ticket"], "the same place");
    }
    leave(&shop, &event, &buyers[0]).await;
    leave(&shop, &event, &buyers[0]).await;
    status(&shop, &event, &buyers[0]).await.refused(404, "NOT_IN_QUEUE");
    let place = status(&shop, &event, &buyers[2]).await.expect(200);
    assert_eq!((&place["rank"], &place["totalInQueue"]), (&json!(2), &json!(2)), "nobody who has left is ahead");
    assert_eq!(enter(&shop, &event, &buyers[0]).await.expect(200)["rank"], 3, "who comes again joins at the end");
    let stats = shop.get("/queue/admin/stats").by(&shop.admin).send().await.expect(200);
    let expected = json!({ "waiting": 3, "active": 0, "admittedTotal": 0, "ratePerSecond": 10, "paused": false });
    assert_eq!(stats[&event], expected);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entering_has_its_refusals() {
    let server = Server::start().await;
    let shop = server.shop();
    let buyer = shop.buyer();
    let early = event(&shop, json!({ "roomOpensAt": in_days(1) }), json!({ "saleStartsAt": in_days(2) })).await;
    enter(&shop, &early, &buyer).await.refused(409, "SALE_NOT_OPEN");
    let over = event(&shop, json!({}), json!({ "saleStartsAt": in_days(-3), "saleEndsAt": in_days(-2) })).await;
    enter(&shop, &over, &buyer).await.refused(409, "SALE_CLOSED");
    let closed = event(&shop, json!({}), json!({})).await;
    steer(&shop, &closed, json!({ "closed": true })).await;
    enter(&shop, &closed, &buyer).await.refused(409, "SALE_CLOSED");

    let full = event(&shop, json!({ "capacity": 1 }), json!({ "saleStartsAt": in_days(1) })).await;
    enter(&shop, &full, &buyer).await.expect(200);
    let refused = enter(&shop, &full, &shop.buyer()).await;
    refused.refused(503, "QUEUE_FULL");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    let elsewhere = event(&shop, json!({}), json!({})).await;
    let refused = enter(&shop, &elsewhere, &buyer).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    assert_eq!(refused["eventId"], full, "where the buyer is");
    leave(&shop, &full, &buyer).await;
    enter(&shop, &elsewhere, &buyer).await.expect(200);

    // Who waits for an event that is deleted can leave it, and go elsewhere.
    shop.delete(&format!("/events/{elsewhere}")).by(&shop.admin).send().await.expect(204);
    status(&shop, &elsewhere, &buyer).await.refused(404, "NOT_FOUND");
    leave(&shop, &elsewhere, &buyer).await;
    enter(&shop, &full, &buyer).await.expect(200);
    let nowhere = format!("/queue/leave?eventId={}", Uuid::new_v4());
    shop.delete(&nowhere).by(&buyer).send().await.refused(404, "NOT_FOUND");
    assert_eq!(shop.delete("/queue/leave").by(&buyer).send().await.mistakes(), ["eventId"]);

    enter(&shop, &Uuid::new_v4().to_string(), &shop.buyer()).await.refused(404, "NOT_FOUND");
    assert_eq!(enter(&shop, "7", &buyer).await.mistakes(), ["eventId"]);
    assert_eq!(shop.get("/queue/status").by(&buyer).send().await.mistakes(), ["eventId"]);
    assert_eq!(shop.get("/queue/stream?eventId=x").by(&buyer).send().await.mistakes(), ["eventId"]);
    for path in ["status", "stream"] {
        let path = format!("/queue/{path}?eventId={full}");
        shop.get(&path).by(&shop.buyer()).send().await.refused(404, "NOT_IN_QUEUE");
        shop.get(&path).send().await.refused(401, "UNAUTHENTICATED");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_token_opens_its_own_event_to_its_own_buyer_until_the_slot_ends() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "ratePerSecond": 100 }), json!({})).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    let token = shop.admitted(&event, &buyer).await;
    let place = status(&shop, &event, &buyer).await.expect(200);
    assert_eq!(
        (&place["rank"], &place["estimatedWaitSeconds"], &place["token"]),
        (&json!(0), &Value::Null, &json!(token))
    );
    assert!(place["tokenExpiresAt"].is_string());
    let foreign = shop.admitted(&event, &other).await;

    let hold = async |token: Option<&str>, seat: &str| {
        let call = shop.post("/reservations/hold").by(&buyer).json(&json!({ "eventId": event, "seatIds": [seat] }));
        let call = match token {
            Some(token) => call.admitted(token),
            None => call,
        };
        call.send().await
    };
    for bad in [None, Some("qr_x"), Some(foreign.as_str()), Some("")] {
        hold(bad, "A-1").await.refused(401, "QUEUE_TOKEN_INVALID");
        for path in [format!("/reservations/seats/{event}"), format!("/events/{event}/seats/stream")] {
            let call = shop.get(&path).by(&buyer).admitted(bad.unwrap_or("none"));
            call.send().await.refused(401, "QUEUE_TOKEN_INVALID");
        }
    }
    // What does not exist comes before the token.
    hold(None, "Z-9").await.refused(404, "SEAT_NOT_FOUND");
    let held = hold(Some(&token), "A-1").await.expect(201);
    // The hold itself is the proof from here on.
    leave(&shop, &event, &buyer).await;
    hold(Some(&token), "A-2").await.refused(401, "QUEUE_TOKEN_INVALID");
    let payment = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_ok").await.expect(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_no_admission_is_required_everybody_is_in_and_counts_nowhere() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "required": false }), json!({})).await;
    let buyer = shop.buyer();
    let place = enter(&shop, &event, &buyer).await.expect(200);
    assert_eq!((&place["status"], &place["totalInQueue"]), (&json!("ACTIVE"), &json!(0)));
    assert!(place["token"].as_str().unwrap().starts_with("qr_"));
    shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let other = event_elsewhere(&shop).await;
    enter(&shop, &other, &buyer).await.expect(200);
    let stats = shop.get("/queue/admin/stats").by(&shop.admin).send().await.expect(200);
    assert_eq!((&stats[&event]["waiting"], &stats[&event]["active"]), (&json!(0), &json!(0)));
    server.stop().await;
}

async fn event_elsewhere(shop: &Shop) -> String {
    event(shop, json!({}), json!({})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_ends_by_time_but_never_while_seats_are_held() {
    let server = Server::start().await;
    let shop = server.shop();
    let rules = json!({ "tokenSeconds": 1, "ratePerSecond": 100 });
    let event = event(&shop, rules, json!({ "holdSeconds": 3 })).await;
    let (idle, busy) = (shop.buyer(), shop.buyer());
    let token = shop.admitted(&event, &busy).await;
    let body = json!({ "eventId": event, "seatIds": ["A-1"] });
    shop.post("/reservations/hold").by(&busy).admitted(&token).json(&body).send().await.expect(201);
    shop.admitted(&event, &idle).await;
    let place = until(&shop, &event, &idle, "EXPIRED").await;
    assert_eq!(
        (&place["rank"], &place["token"], &place["estimatedWaitSeconds"]),
        (&Value::Null, &Value::Null, &Value::Null)
    );
    assert_eq!(status(&shop, &event, &busy).await.expect(200)["status"], "ACTIVE");
    until(&shop, &event, &busy, "EXPIRED").await;
    assert_ne!(enter(&shop, &event, &idle).await.expect(200)["status"], "EXPIRED");
    server.stop().await;
}

/// From `tokenExpiresAt` on a pending hold keeps the place, without a token: no new hold, but reading, changing and paying.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_whose_time_is_over_makes_no_new_hold_while_one_is_pending() {
    let server = Server::start().await;
    let shop = server.shop();
    let rules = json!({ "tokenSeconds": 1, "ratePerSecond": 100, "activeLimit": 1 });
    let event = event(&shop, rules, json!({ "holdSeconds": 600 })).await;
    let (busy, next) = (shop.buyer(), shop.buyer());
    let token = shop.admitted(&event, &busy).await;
    let hold = async |seat: &str| {
        let body = json!({ "eventId": event, "seatIds": [seat] });
        shop.post("/reservations/hold").by(&busy).admitted(&token).json(&body).send().await
    };
    let held = hold("A-1").await.expect(201);
    let mut stream = shop.get(&format!("/queue/stream?eventId={event}")).by(&busy).stream().await;
    let actual = stream.next().await.unwrap().data;
    assert_eq!(actual["status"], "ACTIVE");
    enter(&shop, &event, &next).await.expect(200);
    // The token ends by time alone, without a fact.
    let mut place = actual;
    while place["token"].is_string() {
        place = stream.next().await.unwrap().data;
    }
    assert_eq!((&place["status"], &place["rank"], &place["token"]), (&json!("ACTIVE"), &json!(0), &Value::Null));
    assert!(place["tokenExpiresAt"].is_string());
    hold("A-2").await.refused(401, "QUEUE_TOKEN_INVALID");
    let seats = shop.get(&format!("/reservations/seats/{event}")).by(&busy).admitted(&token).send().await;
    assert_eq!(seats.expect(200)["held"], json!(["A-1"]), "reading goes on");
    assert_eq!(enter(&shop, &event, &busy).await.expect(200)["token"], Value::Null);
    assert_eq!(status(&shop, &event, &next).await.expect(200)["status"], "WAITING", "the slot is not given back yet");
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let changed = shop.put(&path).by(&busy).json(&json!({ "newSeatIds": ["A-3"] })).send().await.expect(200);
    let opened = shop.pay(&busy, &changed).await.expect(201);
    shop.confirm(&busy, &opened, "sim_ok").await.expect(200);
    until(&shop, &event, &next, "ACTIVE").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_is_good_for_so_many_holds() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "maxHoldsPerSlot": 2, "ratePerSecond": 100 }), json!({})).await;
    let shown = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!(shown["admission"]["maxHoldsPerSlot"], 2);
    let buyer = shop.buyer();
    let token = shop.admitted(&event, &buyer).await;
    let hold = async |key: &str| {
        let body = json!({ "eventId": event, "seatIds": ["A-1"] });
        shop.post("/reservations/hold").by(&buyer).admitted(&token).key(key).json(&body).send().await
    };
    for key in ["1", "2"] {
        let held = hold(key).await.expect(201);
        let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
        shop.delete(&path).by(&buyer).send().await.expect(204);
    }
    let refused = hold("3").await.refused(409, "HOLD_LIMIT_EXCEEDED");
    assert_eq!(refused["limit"], 2);
    hold("2").await.expect(201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sends_no_heartbeat_loses_the_place_and_an_open_stream_is_one() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "absentSeconds": 1 }), json!({ "saleStartsAt": in_days(1) })).await;
    let (silent, listening) = (shop.buyer(), shop.buyer());
    for buyer in [&silent, &listening] {
        enter(&shop, &event, buyer).await.expect(200);
    }
    let mut stream = shop.get(&format!("/queue/stream?eventId={event}")).by(&listening).stream().await;
    assert_eq!(stream.next().await.unwrap().data["rank"], 2);
    // The silent one ahead goes, which the stream shows. Asking for the silent one's status would be a sign of life.
    assert_eq!(stream.next().await.unwrap().data["rank"], 1);
    assert_eq!(status(&shop, &event, &silent).await.expect(200)["status"], "EXPIRED");
    // Longer than a silent buyer would be waited for.
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(status(&shop, &event, &listening).await.expect(200)["status"], "PRE_QUEUE");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_sends_the_place_at_once_and_every_change_of_it() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "ratePerSecond": 100 }), json!({})).await;
    steer(&shop, &event, json!({ "paused": true })).await;
    let (buyer, ahead) = (shop.buyer(), shop.buyer());
    enter(&shop, &event, &ahead).await.expect(200);
    enter(&shop, &event, &buyer).await.expect(200);
    let mut stream = shop.get(&format!("/queue/stream?eventId={event}")).by(&buyer).stream().await;
    let first = stream.next().await.unwrap().data;
    let mut same = status(&shop, &event, &buyer).await.expect(200);
    same["now"] = first["now"].clone();
    assert_eq!(first, same, "the same place as the status");
    assert_eq!((&first["status"], &first["estimatedWaitSeconds"]), (&json!("WAITING"), &Value::Null));
    assert_eq!(first["notice"], "PAUSED");
    let left = json!([{ "category": "VIP", "available": 10 }, { "category": "S", "available": 10 }]);
    assert_eq!(first["available"], left);

    let began = Instant::now();
    steer(&shop, &event, json!({ "message": "Back in a moment" })).await;
    let actual = stream.next().await.unwrap().data;
    assert_eq!(actual["message"], "Back in a moment");
    assert!(began.elapsed() < Duration::from_secs(1), "sent after {:?}", began.elapsed());

    // A changed rank waits for the poll interval.
    leave(&shop, &event, &ahead).await;
    let actual = stream.next().await.unwrap().data;
    assert_eq!((&actual["rank"], &actual["totalInQueue"]), (&json!(1), &json!(1)));
    assert!(began.elapsed() >= Duration::from_millis(1900), "sent after {:?}", began.elapsed());

    let began = Instant::now();
    steer(&shop, &event, json!({ "paused": false, "message": null })).await;
    let mut actual = stream.next().await.unwrap().data;
    while actual["status"] != "ACTIVE" {
        actual = stream.next().await.unwrap().data;
    }
    assert!(actual["token"].is_string() && actual["notice"].is_null() && actual.get("message").is_none());
    assert!(began.elapsed() < Duration::from_secs(1), "sent after {:?}", began.elapsed());
    leave(&shop, &event, &buyer).await;
    assert_eq!(stream.next().await.unwrap().data["code"], "SLOT_ENDED");
    assert!(stream.next().await.is_none(), "the place is gone, and so is the stream");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_than_the_active_limit_are_let_in() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, json!({ "ratePerSecond": 100, "activeLimit": 1 }), json!({})).await;
    let (first, second) = (shop.buyer(), shop.buyer());
    shop.admitted(&event, &first).await;
    let waiting = enter(&shop, &event, &second).await.expect(200);
    assert_eq!((&waiting["status"], &waiting["rank"]), (&json!("WAITING"), &json!(1)));
    // Time for thirty admissions, if there were room.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(status(&shop, &event, &second).await.expect(200)["status"], "WAITING");
    leave(&shop, &event, &first).await;
    until(&shop, &event, &second, "ACTIVE").await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_opening_lets_the_line_in_and_a_sold_out_hall_lets_nobody_in() {
    let server = Server::start().await;
    let shop = server.shop();
    let opens = json!({ "saleStartsAt": in_seconds(2), "maxSeatsPerBuyer": 20 });
    let event = event(&shop, json!({ "ratePerSecond": 100 }), opens).await;
    let buyer = shop.buyer();
    assert_eq!(enter(&shop, &event, &buyer).await.expect(200)["status"], "PRE_QUEUE");
    let place = until(&shop, &event, &buyer, "ACTIVE").await;
    let seats: Vec<String> =
        ["A", "B"].iter().flat_map(|row| (1..=10).map(move |seat| format!("{row}-{seat}"))).collect();
    let all = json!({ "eventId": event, "seatIds": seats });
    let token = place["token"].as_str().unwrap();
    let held = shop.post("/reservations/hold").by(&buyer).admitted(token).json(&all).send().await.expect(201);
    let late = shop.buyer();
    let place = enter(&shop, &event, &late).await.expect(200);
    assert_eq!((&place["status"], &place["estimatedWaitSeconds"]), (&json!("WAITING"), &Value::Null));
    assert!(place["message"].as_str().unwrap().contains("no free seats"));
    assert_eq!(place["notice"], "NO_FREE_SEATS");
    // Seats that come back are offered to the head of the line.
    let hold = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    shop.delete(&hold).by(&buyer).send().await.expect(204);
    until(&shop, &event, &late, "ACTIVE").await;
    server.stop().await;
}

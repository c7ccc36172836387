//! Requests that are sent again after the server was killed: who has a key receives the same answer, and who has
//! received a place, a token or a seat still has it.

use crate::harness::Server;
use crate::shop::{Call, Reply, Shop, confirmation, in_days};
use serde_json::{Value, json};

/// What is sent before and after, each with a key of its own.
struct Sent {
    path: &'static str,
    body: Value,
    answer: Reply,
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_request_after_a_crash_gets_the_same_answer() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let admin = shop.admin.clone();
    let call = |path: &'static str, body: &Value| -> Call { shop.post(path).by(&admin).key(path).json(body) };
    let mut sent: Vec<Sent> = Vec::new();
    let send = async |path: &'static str, body: Value, sent: &mut Vec<Sent>| {
        let answer = call(path, &body).send().await;
        let json = answer.json();
        sent.push(Sent { path, body, answer });
        json
    };
    send("/venues", json!({ "name": "House", "address": "1 Road", "city": "Seoul" }), &mut sent).await;
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let event = send("/events", Shop::event_body(&hall, &json!({})), &mut sent).await;
    let held = json!({ "eventId": event["id"], "category": "VIP", "quantity": 2 });
    let held = send("/reservations/hold", held, &mut sent).await;
    let open =
        json!({ "reservationId": held["reservationId"], "amount": held["totalAmount"], "paymentMethod": "CARD" });
    let opened = send("/payments", open, &mut sent).await;
    let paid = send("/payments/confirm", confirmation(&opened, "sim_ok"), &mut sent).await;
    assert_eq!(paid["status"], "SUCCESS");

    server.crash().await;
    for Sent { path, body, answer } in &sent {
        let again = call(path, body).send().await;
        let expected = (answer.status, &answer.body, answer.header("location"));
        assert_eq!((again.status, &again.body, again.header("location")), expected, "{path}");
    }
    assert_eq!(shop.get("/venues").send().await.expect(200)["totalElements"], 2);
    assert_eq!(shop.get("/events").send().await.expect(200)["totalElements"], 1);
    assert_eq!(shop.get("/reservations").by(&admin).send().await.expect(200)["totalElements"], 1);
    assert_eq!(shop.get("/payments").by(&admin).send().await.expect(200)["totalElements"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn places_tokens_and_seats_are_the_same_after_a_crash() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let room = json!({ "required": true, "ratePerSecond": 100, "activeLimit": 1 });
    let event = shop.small_event(&json!({ "admission": room })).await;
    let (shopping, waiting) = (shop.buyer(), [shop.buyer(), shop.buyer()]);
    let token = shop.admitted(&event, &shopping).await;
    for buyer in &waiting {
        shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await.expect(200);
    }
    let body = json!({ "eventId": event, "seatIds": ["A-1"] });
    let held = shop.post("/reservations/hold").by(&shopping).admitted(&token).json(&body).send().await.expect(201);
    let upcoming = shop.small_event(&json!({ "saleStartsAt": in_days(1) })).await;
    let read = async || {
        let mut actual = Vec::new();
        for buyer in [&shopping, &waiting[0], &waiting[1]] {
            let mut place = shop.get(&format!("/queue/status?eventId={event}")).by(buyer).send().await.expect(200);
            place["now"].take();
            actual.push(place);
        }
        let seats = shop.seats_of(&event, &shopping, &token).await;
        actual.push(json!([seats["held"], seats["seats"]]));
        actual.push(shop.reservation(&shopping, &held).await);
        actual.push(shop.get(&format!("/events/{upcoming}")).send().await.expect(200));
        actual
    };
    let before = read().await;
    assert_eq!((&before[0]["token"], &before[2]["rank"]), (&json!(token), &json!(2)));
    server.crash().await;
    assert_eq!(read().await, before);
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    shop.delete(&path).by(&shopping).send().await.expect(204);
    assert_eq!(shop.seats_of(&event, &shopping, &token).await["seats"]["available"], 20);
    server.stop().await;
}

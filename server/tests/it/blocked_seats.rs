//! Seats that are not for sale: categories without a price, seats that an event's rules block, and an operator who blocks and
//! frees seats while selling.

use crate::harness::{Server, Setup};
use crate::shop::{Reply, Shop, TIMEOUT, in_days, texts};
use onsale_adapters::private_postgres::TestDatabase;
use serde_json::{Value, json};
use std::time::Instant;
use uuid::Uuid;

/// A hall of five seats in a row: three of category A, two of category Crew.
const HALL: &str = include_str!("../cases/not-for-sale.json");

async fn hall(shop: &Shop) -> String {
    let plan: Value = serde_json::from_str(HALL).unwrap();
    shop.hall(&json!({ "seatingPlan": plan })).await
}

/// An event in that hall of which only category A has a price, but for `changes`.
async fn event(shop: &Shop, changes: &Value) -> String {
    let mut all = json!({ "prices": { "A": 50_000 } });
    all.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    shop.event(&hall(shop).await, &all).await
}

fn counts(available: u32, held: u32, sold: u32, blocked: u32) -> Value {
    let total = available + held + sold + blocked;
    json!({ "total": total, "available": available, "held": held, "sold": sold, "blocked": blocked })
}

async fn read(shop: &Shop, event: &str) -> Value {
    shop.get(&format!("/events/{event}")).send().await.expect(200)
}

async fn change(shop: &Shop, event: &str, query: &str, body: &Value) -> Reply {
    shop.patch(&format!("/admin/events/{event}/seats{query}")).by(&shop.admin).json(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_category_without_a_price_is_not_for_sale() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = hall(&shop).await;
    let made =
        shop.post("/events").by(&shop.admin).json(&Shop::event_body(&hall, &json!({ "prices": { "A": 50_000 } })));
    let made = made.send().await.expect(201);
    let event = made["id"].as_str().unwrap();
    let answer = read(&shop, event).await;
    assert_eq!(answer, made, "the answer of the POST is the GET's");
    assert_eq!(answer["seats"], counts(3, 0, 0, 2));
    assert_eq!((&answer["notForSale"], &answer["prices"]), (&json!(["Crew"]), &json!({ "A": 50_000 })));
    assert_eq!((&answer["minPrice"], &answer["maxPrice"]), (&json!(50_000), &json!(50_000)));
    let category = |name: &str, price: Value, total: u32, available: u32, blocked: u32| json!({ "name": name, "price": price, "total": total, "available": available, "blocked": blocked });
    assert_eq!(
        answer["categories"],
        json!([category("A", json!(50_000), 3, 3, 0), category("Crew", Value::Null, 2, 0, 2)])
    );
    let map = shop.get(&format!("/events/{event}/seats")).send().await.expect(200);
    assert_eq!((&map["categories"][0]["price"], &map["categories"][1]["price"]), (&json!(50_000), &Value::Null));
    let live = shop.seats(event).await;
    assert_eq!((&live["seats"], &live["blocked"]), (&counts(3, 0, 0, 2), &json!(["A4", "A5"])));

    let buyer = shop.buyer();
    let refused = shop.hold(event, &buyer, &["A3", "A4"]).await.refused(409, "SEAT_UNAVAILABLE");
    assert_eq!(refused["unavailableSeatIds"], json!(["A4"]));
    let best = async |category: &str, quantity: u32| {
        let body = json!({ "eventId": event, "category": category, "quantity": quantity });
        shop.post("/reservations/hold").by(&buyer).json(&body).send().await
    };
    let refused = best("Crew", 1).await.refused(409, "SEAT_UNAVAILABLE");
    assert!(refused["detail"].as_str().unwrap().contains("not for sale"), "{refused}");
    assert_eq!(best("A", 3).await.expect(201)["totalAmount"], 150_000);
    assert_eq!(read(&shop, event).await["status"], "ON_SALE", "held is not sold");
    server.stop().await;
}

/// All that is for sale is sold: in the event, and in the lists, which ask the tables.
#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sold_out_when_all_that_is_for_sale_is_sold() {
    sells_out(Server::with()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_sold_out_when_all_that_is_for_sale_is_sold_on_postgres() {
    sells_out(Server::with().postgres(TestDatabase::create().url())).await;
}

async fn sells_out(setup: Setup) {
    let server = setup.start().await;
    let shop = server.shop();
    let (some, none) =
        (event(&shop, &json!({})).await, event(&shop, &json!({ "blockedSeatIds": ["A1", "A2", "A3"] })).await);
    shop.buy(&some, &shop.buyer(), &["A1", "A2", "A3"]).await;
    let answer = read(&shop, &some).await;
    assert_eq!((&answer["status"], &answer["seats"]), (&json!("SOLD_OUT"), &counts(0, 0, 3, 2)));
    let answer = read(&shop, &none).await;
    assert_eq!((&answer["status"], &answer["seats"]), (&json!("ON_SALE"), &counts(0, 0, 0, 5)), "nothing was sold");
    for (status, expected) in [("SOLD_OUT", &some), ("ON_SALE", &none)] {
        let began = Instant::now();
        loop {
            let list = shop.get(&format!("/events?status={status}")).send().await.expect(200);
            if list["totalElements"] == 1 && list["items"][0]["id"] == **expected {
                break;
            }
            assert!(began.elapsed() < TIMEOUT, "{status}: {list}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_prices_and_blocked_seats_is_named() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = hall(&shop).await;
    let mistakes = async |changes: Value| {
        let call = shop.post("/events").by(&shop.admin).json(&Shop::event_body(&hall, &changes));
        call.send().await.mistakes()
    };
    assert_eq!(mistakes(json!({ "prices": {} })).await, ["prices"]);
    assert_eq!(mistakes(json!({ "prices": { "A": null } })).await, ["prices"]);
    assert_eq!(mistakes(json!({ "prices": { "A": 1, "VIP": 2 } })).await, ["prices.VIP"]);
    let wrong = json!({ "prices": { "A": 1 }, "blockedSeatIds": ["A1", "Z9", "A1"] });
    assert_eq!(mistakes(wrong).await, ["blockedSeatIds[2]"], "twice is wrong by itself");
    let wrong = json!({ "prices": { "A": 1, "B": 1 }, "blockedSeatIds": ["A1", "Z9", "Z8"] });
    assert_eq!(mistakes(wrong).await, ["prices.B", "blockedSeatIds[1]", "blockedSeatIds[2]"]);
    assert_eq!(mistakes(json!({ "prices": { "A": 1 }, "blockedSeatIds": "A1" })).await, ["blockedSeatIds"]);

    let later = event(&shop, &json!({ "saleStartsAt": in_days(1) })).await;
    let patch = |body: Value| shop.patch(&format!("/events/{later}")).by(&shop.admin).json(&body).send();
    assert_eq!(patch(json!({ "prices": { "A": null } })).await.mistakes(), ["prices"]);
    assert_eq!(patch(json!({ "blockedSeatIds": ["A9"] })).await.mistakes(), ["blockedSeatIds[0]"]);
    server.stop().await;
}

/// Before the opening a patch replaces the list that it names, and keeps everything else: also what an operator blocked.
#[tokio::test(flavor = "multi_thread")]
async fn a_patch_before_the_opening_keeps_what_it_does_not_name() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &json!({ "saleStartsAt": in_days(1), "blockedSeatIds": ["A1"] })).await;
    let path = format!("/events/{event}");
    let patch = async |shop: &Shop, body: Value| shop.patch(&path).by(&shop.admin).json(&body).send().await.expect(200);
    let blocked = async |shop: &Shop| texts(&shop.seats(&event).await["blocked"]).join(" ");
    assert_eq!(blocked(&shop).await, "A1 A4 A5");
    let answer = change(&shop, &event, "", &json!({ "block": ["A2"], "unblock": ["A1"], "reason": "a camera" })).await;
    assert_eq!(answer.expect(200)["seats"], counts(2, 0, 0, 3));
    let answer = patch(&shop, json!({ "maxSeatsPerBuyer": 2, "prices": { "Crew": 1000 } })).await;
    assert_eq!((&answer["notForSale"], &answer["seats"]), (&json!([]), &counts(4, 0, 0, 1)));
    assert_eq!(blocked(&shop).await, "A2");
    server.crash().await;
    let shop = server.shop();
    assert_eq!(blocked(&shop).await, "A2");
    patch(&shop, json!({ "prices": { "Crew": null }, "blockedSeatIds": ["A3"] })).await;
    assert_eq!(blocked(&shop).await, "A3 A4 A5");
    patch(&shop, json!({ "blockedSeatIds": null })).await;
    assert_eq!(blocked(&shop).await, "A4 A5");
    let other = shop.small_hall(&["A", "B"], 3).await;
    change(&shop, &event, "", &json!({ "block": ["A2"], "reason": "a camera" })).await.expect(200);
    let moved = shop.patch(&path).by(&shop.admin).json(&json!({ "hallId": other, "prices": { "S": 1 } })).send().await;
    assert_eq!(moved.mistakes(), ["blockedSeatIds[0]"], "what is blocked is not silently sold in another hall");
    let moved = patch(&shop, json!({ "hallId": other, "prices": { "S": 1 }, "blockedSeatIds": ["B-2"] })).await;
    assert_eq!((&moved["seats"], &moved["notForSale"]), (&counts(2, 0, 0, 4), &json!(["VIP"])));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_blocks_and_frees_seats_while_selling() {
    blocks_and_frees(Server::with()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_blocks_and_frees_seats_while_selling_on_postgres() {
    blocks_and_frees(Server::with().postgres(TestDatabase::create().url())).await;
}

async fn blocks_and_frees(setup: Setup) {
    let mut server = setup.start().await;
    let shop = server.shop();
    let event = event(&shop, &json!({})).await;
    let mut stream = shop.get(&format!("/events/{event}/seats/stream")).by(&shop.buyer()).stream().await;
    let first = stream.next().await.unwrap().data["changes"].clone();
    let seat = |id: &str, status: &str| json!({ "seatId": id, "status": status });
    assert_eq!(first, json!([seat("A4", "BLOCKED"), seat("A5", "BLOCKED")]));

    let camera = json!({ "block": ["A2", "A4"], "reason": "a camera" });
    let tried = change(&shop, &event, "?dryRun=true", &camera).await.expect(200);
    assert_eq!(shop.seats(&event).await["seats"], counts(3, 0, 0, 2), "a dry run changes nothing");
    let answer = change(&shop, &event, "", &camera).await.expect(200);
    assert_eq!(answer, tried, "and says what the change does");
    assert_eq!((&answer["eventId"], &answer["seats"]), (&json!(event), &counts(2, 0, 0, 3)));
    assert_eq!(stream.next().await.unwrap().data["changes"], json!([seat("A2", "BLOCKED")]), "at once");
    assert_eq!(change(&shop, &event, "", &camera).await.expect(200), answer, "again changes nothing");
    let buyer = shop.buyer();
    let refused = shop.hold(&event, &buyer, &["A1", "A2"]).await.refused(409, "SEAT_UNAVAILABLE");
    assert_eq!(refused["unavailableSeatIds"], json!(["A2"]));

    shop.hold(&event, &buyer, &["A1"]).await.expect(201);
    shop.buy(&event, &shop.buyer(), &["A3"]).await;
    let taken = json!({ "block": ["A3", "A1"], "unblock": ["A2"], "reason": "a camera" });
    for query in ["?dryRun=true", ""] {
        let refused = change(&shop, &event, query, &taken).await.refused(409, "SEAT_UNAVAILABLE");
        assert_eq!(refused["unavailableSeatIds"], json!(["A3", "A1"]), "all of it or nothing");
        let crew = json!({ "unblock": ["A2", "A5"], "reason": "seats for all" });
        let refused = change(&shop, &event, query, &crew).await.refused(409, "SEAT_NOT_FOR_SALE");
        assert_eq!(refused["seatIds"], json!(["A5"]));
    }
    assert_eq!(shop.seats(&event).await["seats"], counts(0, 1, 1, 3));
    server.crash().await;
    let shop = server.shop();
    assert_eq!(shop.seats(&event).await["blocked"], json!(["A2", "A4", "A5"]), "what was answered was committed");
    let answer = change(&shop, &event, "", &json!({ "unblock": ["A2"], "reason": "it is gone" })).await.expect(200);
    assert_eq!(answer["seats"], counts(1, 1, 1, 2));
    shop.hold(&event, &shop.buyer(), &["A2"]).await.expect(201);

    let audit = shop.get(&format!("/admin/audit?eventId={event}")).by(&shop.admin).send().await.expect(200);
    let answer: Vec<Value> = audit["items"].as_array().unwrap()[..2]
        .iter()
        .map(|item| json!([item["action"], item["reason"], item["changes"], item["by"].is_string()]))
        .collect();
    let member = |from: Value, to: Value| json!([{ "member": "blockedSeatIds", "from": from, "to": to }]);
    let freed = json!(["SEATS_UNBLOCKED", "it is gone", member(json!(["A2"]), Value::Null), true]);
    let blocked = json!(["SEATS_BLOCKED", "a camera", member(Value::Null, json!(["A2"])), true]);
    assert_eq!(answer, [freed, blocked], "A4 was not for sale before");
    let metrics = shop.probe("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains(&format!("onsale_seats{{event=\"{event}\",state=\"blocked\"}} 2\n")), "{metrics}");
    assert!(metrics.contains("onsale_invariant_violations 0\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_seats_is_refused_in_the_contracts_order() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop, &json!({})).await;
    let path = format!("/admin/events/{event}/seats");
    let good = json!({ "block": ["A1"], "reason": "a camera" });
    shop.patch(&path).json(&json!({})).send().await.refused(401, "UNAUTHENTICATED");
    shop.patch(&path).by(&shop.buyer()).json(&json!({})).send().await.refused(403, "FORBIDDEN");
    shop.patch(&path).by(&shop.admin).text("{").send().await.refused(400, "MALFORMED_JSON");
    let nowhere = Uuid::new_v4().to_string();
    let wrong = json!({ "block": ["A1", "A1"], "unblock": [7], "seats": [], "reason": null });
    let mistakes = change(&shop, &nowhere, "?dryRun=x", &wrong).await.mistakes();
    assert_eq!(mistakes, ["dryRun", "seats", "block[1]", "unblock[0]", "reason"]);
    assert_eq!(change(&shop, &event, "", &json!({ "reason": "x" })).await.mistakes(), ["block"]);
    let both = json!({ "block": ["A1"], "unblock": ["A1"], "reason": "x" });
    assert_eq!(change(&shop, &event, "", &both).await.mistakes(), ["unblock[0]"]);
    change(&shop, &nowhere, "", &good).await.refused(404, "NOT_FOUND");
    let unknown = json!({ "block": ["A1", "Z1"], "unblock": ["Z2", "A5"], "reason": "x" });
    let refused = change(&shop, &event, "", &unknown).await.refused(404, "SEAT_NOT_FOUND");
    assert_eq!(refused["unknownSeatIds"], json!(["Z1", "Z2"]));
    shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.admin).send().await.expect(200);
    for query in ["", "?dryRun=true"] {
        change(&shop, &event, query, &good).await.refused(409, "SALE_CLOSED");
    }
    assert_eq!(read(&shop, &event).await["seats"], counts(3, 0, 0, 2));
    server.stop().await;
}

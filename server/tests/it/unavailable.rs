//! Why seats cannot be had: the reason, the longest block, and other seats that can be had at once.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, texts};
use serde_json::{Value, json};

async fn best(shop: &Shop, event: &str, buyer: &Person, category: &str, quantity: u32) -> Reply {
    let body = json!({ "eventId": event, "category": category, "quantity": quantity });
    shop.post("/reservations/hold").by(buyer).json(&body).send().await
}

/// The reason and the longest block.
#[track_caller]
fn said(reply: &Reply) -> (Value, Value) {
    let problem = reply.refused(409, "SEAT_UNAVAILABLE");
    (problem["reason"].clone(), problem["longestBlock"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_block_sold_out_and_taken_are_three_reasons() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    for seat in ["A-2", "A-4", "A-6", "A-8", "A-9", "A-10"] {
        shop.hold(&event, &shop.buyer(), &[seat]).await.expect(201);
    }
    let buyer = shop.buyer();
    let refused = best(&shop, &event, &buyer, "VIP", 2).await;
    assert_eq!(said(&refused), (json!("NO_BLOCK"), json!(1)));
    assert_eq!(refused.json()["unavailableSeatIds"], json!([]));
    let apart = refused.json()["alternative"]["seatIds"].clone();
    assert_eq!(apart.as_array().unwrap().len(), 2);
    assert!(texts(&apart).iter().all(|seat| ["A-1", "A-3", "A-5", "A-7"].contains(seat)), "{apart}");

    let taken = shop.hold(&event, &buyer, &["A-2", "A-3"]).await;
    assert_eq!(said(&taken), (json!("TAKEN"), json!(1)));
    assert_eq!(taken.json()["unavailableSeatIds"], json!(["A-2"]));

    // What was offered can be had, and then there are two seats fewer.
    shop.hold(&event, &buyer, &texts(&apart)).await.expect(201);
    let other = shop.buyer();
    let refused = best(&shop, &event, &other, "VIP", 3).await;
    assert_eq!(said(&refused), (json!("NO_BLOCK"), json!(1)));
    assert!(refused.json().get("alternative").is_none(), "only two are left");
    let last = best(&shop, &event, &other, "VIP", 2).await.json()["alternative"]["seatIds"].clone();
    shop.hold(&event, &other, &texts(&last)).await.expect(201);
    for quantity in [1, 2] {
        let refused = best(&shop, &event, &shop.buyer(), "VIP", quantity).await;
        assert_eq!(said(&refused), (json!("SOLD_OUT"), json!(0)));
        assert!(refused.json().get("alternative").is_none());
    }
    // The hall is not sold out: other seats are free.
    assert_eq!(said(&shop.hold(&event, &shop.buyer(), &["A-1"]).await), (json!("TAKEN"), json!(0)));
    best(&shop, &event, &shop.buyer(), "S", 2).await.expect(201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hall_without_a_free_seat_is_sold_out_and_a_change_says_so_too() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "maxSeatsPerBuyer": 10 })).await;
    let (one, two) = (shop.buyer(), shop.buyer());
    let row = |letter: char| (1..=10).map(|seat| format!("{letter}-{seat}")).collect::<Vec<_>>();
    let held = shop.hold(&event, &one, &row('A').iter().map(String::as_str).collect::<Vec<_>>()).await.expect(201);
    shop.hold(&event, &two, &row('B').iter().map(String::as_str).collect::<Vec<_>>()).await.expect(201);
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    for reply in [
        shop.hold(&event, &shop.buyer(), &["A-1", "B-1"]).await,
        shop.put(&path).by(&one).json(&json!({ "newSeatIds": ["A-1", "B-1"] })).send().await,
    ] {
        assert_eq!(said(&reply), (json!("SOLD_OUT"), json!(0)));
        assert!(reply.json()["unavailableSeatIds"].as_array().unwrap().contains(&json!("B-1")));
    }
    server.stop().await;
}

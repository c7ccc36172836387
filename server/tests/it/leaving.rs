//! Leaving: an account with tickets of what is to come is not deleted by the way.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, in_days, in_seconds};
use serde_json::{Value, json};

async fn leave(shop: &Shop, person: &Person, query: &str) -> Reply {
    shop.delete(&format!("/users/me{query}")).by(person).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_tickets_stays_unless_it_is_meant() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (ada, _) = shop.signed_up("ada@example.org", "Ada Example").await;
    assert_eq!(leave(&shop, &ada, "?force=perhaps").await.mistakes(), ["force"]);
    // Own acknowledged changes count at once, and again and again.
    for seat in ["A-1", "A-2", "A-3"] {
        let bought = shop.buy(&event, &ada, &[seat]).await;
        let refused = leave(&shop, &ada, "").await.refused(409, "ACCOUNT_HAS_TICKETS");
        assert_eq!(refused["eventIds"], json!([event]));
        leave(&shop, &ada, "?force=false").await.refused(409, "ACCOUNT_HAS_TICKETS");
        let own = format!("/reservations/{}", bought["reservationId"].as_str().unwrap());
        shop.delete(&own).by(&ada).send().await.expect(200);
    }
    // What is only held is no ticket.
    shop.hold(&event, &ada, &["A-1"]).await.expect(201);
    assert_eq!(leave(&shop, &ada, "").await.status, 204);
    shop.get("/users/me").by(&ada).send().await.refused(401, "UNAUTHENTICATED");

    let (minji, minji_id) = shop.signed_up("minji@example.org", "김민지").await;
    let bought = shop.buy(&event, &minji, &["B-1"]).await;
    assert_eq!(leave(&shop, &minji, "?force=true").await.status, 204);
    let path = format!("/admin/reservations/{}", bought["reservationId"].as_str().unwrap());
    let kept = shop.get(&path).by(&shop.admin).send().await.expect(200);
    assert_eq!((&kept["status"], &kept["buyer"]), (&json!("CONFIRMED"), &json!({ "id": minji_id })));
    // The account that had the address is still found by it.
    let found = shop.get("/admin/reservations?q=minji@example.org").by(&shop.admin).send().await.expect(200);
    assert_eq!(found["totalElements"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_of_what_is_over_or_cancelled_keep_nobody() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let times = json!({
        "startsAt": in_days(-2), "endsAt": in_seconds(4), "saleStartsAt": in_days(-3), "saleEndsAt": in_seconds(3),
    });
    let (over, cancelled) = (shop.event(&hall, &times).await, shop.event(&hall, &json!({})).await);
    let (ada, _) = shop.signed_up("ada@example.org", "Ada Example").await;
    shop.buy(&over, &ada, &["A-1"]).await;
    shop.buy(&cancelled, &ada, &["A-1"]).await;
    let both = leave(&shop, &ada, "").await.refused(409, "ACCOUNT_HAS_TICKETS");
    assert_eq!(both["eventIds"].as_array().map(Vec::len), Some(2));
    shop.post(&format!("/admin/events/{cancelled}/cancel")).by(&shop.admin).send().await.expect(200);
    let until = tokio::time::Instant::now() + crate::shop::TIMEOUT;
    while leave(&shop, &ada, "").await.status == 409 {
        assert!(tokio::time::Instant::now() < until, "an event that has ended keeps the account");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    shop.get("/users/me").by(&ada).send().await.refused(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_leaves_while_a_charge_may_still_make_a_ticket() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (ada, _) = shop.signed_up("ada@example.org", "Ada Example").await;
    let held = shop.hold(&event, &ada, &["A-1"]).await.expect(201);
    let payment: Value = shop.pay(&ada, &held).await.expect(201);
    let confirming = {
        let (shop, ada, payment) = (shop.clone(), ada.clone(), payment.clone());
        tokio::spawn(async move { shop.confirm(&ada, &payment, "sim_timeout").await })
    };
    let listed = format!("/admin/payments?q={}", payment["paymentId"].as_str().unwrap());
    let until = tokio::time::Instant::now() + crate::shop::TIMEOUT;
    while shop.get(&listed).by(&shop.admin).send().await.expect(200)["items"][0]["state"] != "CHARGING" {
        assert!(tokio::time::Instant::now() < until, "it is not charged");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let refused = leave(&shop, &ada, "").await.refused(409, "ACCOUNT_HAS_TICKETS");
    assert!(refused["detail"].as_str().unwrap().contains("charged"), "{refused}");
    confirming.abort();
    assert_eq!(leave(&shop, &ada, "?force=true").await.status, 204);
}

//! Free tickets: confirmed without a charge, whatever the card, the provider or the limits of charges say.

use crate::harness::{Server, run};
use crate::shop::{Person, Reply, Shop, TIMEOUT, confirmation};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// An event whose first row is free.
async fn event(shop: &Shop) -> String {
    shop.small_event(&json!({ "prices": { "VIP": 0, "S": 90_000 } })).await
}

/// Confirms with these members of the body changed; `null` leaves one out.
async fn confirm(shop: &Shop, buyer: &Person, opened: &Value, changes: Value) -> Reply {
    let mut body = confirmation(opened, "sim_ok");
    for (name, value) in changes.as_object().unwrap() {
        body[name] = value.clone();
    }
    body.as_object_mut().unwrap().retain(|_, value| !value.is_null());
    shop.post("/payments/confirm").by(buyer).json(&body).send().await
}

async fn cancel(shop: &Shop, buyer: &Person, held: &Value) -> Value {
    let path = format!("/reservations/{}", held["reservationId"].as_str().unwrap());
    shop.delete(&path).by(buyer).send().await.expect(200)
}

async fn payment(shop: &Shop, buyer: &Person, opened: &Value) -> Value {
    let path = format!("/payments/{}", opened["paymentId"].as_str().unwrap());
    shop.get(&path).by(buyer).send().await.expect(200)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_of_zero_is_confirmed_without_a_transaction() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop).await;
    let transactions = [Value::Null, json!(""), json!("sim_decline"), json!("sim_timeout"), json!("sim_wrong_amount")];
    for (seat, transaction) in (1..).zip(transactions) {
        let buyer = shop.buyer();
        let held = shop.hold(&event, &buyer, &[&format!("A-{seat}")]).await.expect(201);
        assert_eq!(held["totalAmount"], 0);
        let opened = shop.pay(&buyer, &held).await.expect(201);
        assert_eq!((&opened["amount"], &opened["status"]), (&json!(0), &json!("PENDING")));
        let paid = confirm(&shop, &buyer, &opened, json!({ "transactionId": transaction })).await.expect(200);
        assert_eq!((&paid["status"], &paid["amount"]), (&json!("SUCCESS"), &json!(0)));
        assert!(paid["paidAt"].is_string() && paid.get("failure").is_none());
        assert_eq!(confirm(&shop, &buyer, &opened, json!({ "transactionId": null })).await.expect(200), paid);
        let reservation = shop.reservation(&buyer, &held).await;
        assert_eq!(reservation["status"], "CONFIRMED");
        assert!(reservation["ticketNumber"].is_string() && reservation["qrData"].is_string());
        shop.pay(&buyer, &held).await.refused(409, "RESERVATION_NOT_PENDING");
        let cancelled = cancel(&shop, &buyer, &held).await;
        assert_eq!((&cancelled["status"], &cancelled["refundAmount"]), (&json!("CANCELLED"), &json!(0)));
        let refunded = payment(&shop, &buyer, &opened).await;
        assert_eq!((&refunded["status"], &refunded["failure"]), (&json!("REFUNDED"), &json!("BUYER_CANCELLED")));
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_is_checked_like_any_amount() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop).await;
    let buyer = shop.buyer();
    let free = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let opened = shop.pay(&buyer, &free).await.expect(201);
    confirm(&shop, &buyer, &opened, json!({ "amount": 90_000 })).await.refused(400, "AMOUNT_MISMATCH");
    let missing = confirm(&shop, &buyer, &opened, json!({ "amount": 90_000, "transactionId": null })).await;
    assert_eq!(missing.mistakes(), ["transactionId"]);
    assert_eq!(confirm(&shop, &buyer, &opened, json!({ "paymentKey": "pk_x" })).await.mistakes(), ["paymentKey"]);
    let paid = shop.hold(&event, &buyer, &["B-1"]).await.expect(201);
    let charged = shop.pay(&buyer, &paid).await.expect(201);
    let nothing = confirm(&shop, &buyer, &charged, json!({ "amount": 0, "transactionId": null })).await;
    nothing.refused(400, "AMOUNT_MISMATCH");
    assert_eq!(payment(&shop, &buyer, &charged).await["status"], "PENDING");

    // From free to paid: the payment of nothing is over, and the next one is charged.
    let path = format!("/reservations/hold/{}", free["reservationId"].as_str().unwrap());
    let changed = shop.put(&path).by(&buyer).json(&json!({ "newSeatIds": ["B-2"] })).send().await.expect(200);
    assert_eq!(changed["totalAmount"], 90_000);
    let again = shop.pay(&buyer, &changed).await.expect(201);
    assert_ne!(again["paymentId"], opened["paymentId"]);
    shop.confirm(&buyer, &again, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
    // And back.
    let changed = shop.put(&path).by(&buyer).json(&json!({ "newSeatIds": ["A-2"] })).send().await.expect(200);
    let last = shop.pay(&buyer, &changed).await.expect(201);
    confirm(&shop, &buyer, &last, json!({ "transactionId": null })).await.expect(200);
    server.stop().await;
}

/// A provider whose circuit is open takes no payments, and is not asked for a free ticket.
#[tokio::test(flavor = "multi_thread")]
async fn an_unavailable_provider_does_not_keep_anybody_from_a_free_ticket() {
    let server = Server::with().key("PAYMENT__TIMEOUT_MS", "100").start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 60).await;
    let event = shop.event(&hall, &json!({ "prices": { "VIP": 0, "S": 90_000 } })).await;
    let mut failing = JoinSet::new();
    for number in 1..=40 {
        let (shop, event, buyer) = (shop.clone(), event.clone(), shop.buyer());
        failing.spawn(async move {
            let held = shop.hold(&event, &buyer, &[&format!("B-{number}")]).await.expect(201);
            let opened = shop.pay(&buyer, &held).await;
            if opened.status == 201 && shop.confirm(&buyer, &opened.json(), "sim_timeout").await.status == 202 {
                let began = Instant::now();
                while payment(&shop, &buyer, &opened.json()).await["status"] == "PENDING" {
                    assert!(began.elapsed() < TIMEOUT, "never settled");
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            }
        });
    }
    failing.join_all().await;
    let buyer = shop.buyer();
    let paid = shop.hold(&event, &buyer, &["B-50"]).await.expect(201);
    shop.pay(&buyer, &paid).await.refused(503, "PAYMENT_PROVIDER_UNAVAILABLE");
    let free = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let opened = shop.pay(&buyer, &free).await.expect(201);
    confirm(&shop, &buyer, &opened, json!({ "transactionId": null })).await.expect(200);
    server.stop().await;
}

/// The limit of declined charges is none for a free ticket.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_had_too_many_cards_declined_still_gets_a_free_ticket() {
    let server = Server::with().key("RATE_LIMIT__DECLINED", "2/3600s").start().await;
    let shop = server.shop();
    let event = event(&shop).await;
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["B-1"]).await.expect(201);
    let mut opened = Value::Null;
    for _ in 0..5 {
        opened = shop.pay(&buyer, &held).await.expect(201);
        if shop.confirm(&buyer, &opened, "sim_decline").await.status == 429 {
            break;
        }
    }
    shop.confirm(&buyer, &opened, "sim_ok").await.refused(429, "RATE_LIMITED");
    let free = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let opened = shop.pay(&buyer, &free).await.expect(201);
    confirm(&shop, &buyer, &opened, json!({ "transactionId": null })).await.expect(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_event_gives_free_tickets_back_and_is_verified() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = event(&shop).await;
    let (one, two) = (shop.buyer(), shop.buyer());
    let free = shop.hold(&event, &one, &["A-1"]).await.expect(201);
    let opened = shop.pay(&one, &free).await.expect(201);
    confirm(&shop, &one, &opened, json!({ "transactionId": null })).await.expect(200);
    let paid = shop.buy(&event, &two, &["A-2", "B-1"]).await;
    assert_eq!(paid["totalAmount"], 90_000);
    shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.admin).send().await.expect(200);
    let began = Instant::now();
    while shop.reservation(&one, &free).await["status"] != "CANCELLED"
        || shop.reservation(&two, &paid).await["status"] != "CANCELLED"
    {
        assert!(began.elapsed() < TIMEOUT, "it is not swept");
        // Asked again as a buyer would; there is nothing to wait for but the answer.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let refunded = payment(&shop, &one, &opened).await;
    assert_eq!((&refunded["status"], &refunded["failure"]), (&json!("REFUNDED"), &json!("SALE_CANCELLED")));
    let metrics = shop.probe("/metrics").await;
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(text.contains("onsale_invariant_violations 0"), "{text}");
    server.kill();
    let verified = run(|command| {
        command.arg("verify").arg(server.data_path());
    });
    assert!(verified.status.success(), "{verified:?}");
}

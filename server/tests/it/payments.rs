//! Paying: what the built-in provider decides, what is asked twice, what comes too late, and every refusal.

use crate::harness::Server;
use crate::shop::{Person, Shop, TIMEOUT, confirmation};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use uuid::Uuid;

/// A held reservation of one seat and its opened payment.
async fn opened(shop: &Shop, event: &str, buyer: &Person, seat: &str) -> (Value, Value) {
    let held = shop.hold(event, buyer, &[seat]).await.expect(201);
    let payment = shop.pay(buyer, &held).await.expect(201);
    (held, payment)
}

async fn payment(shop: &Shop, buyer: &Person, payment: &Value) -> Value {
    let id = payment["paymentId"].as_str().unwrap();
    shop.get(&format!("/payments/{id}")).by(buyer).send().await.expect(200)
}

/// Asks until the payment is settled.
async fn settled(shop: &Shop, buyer: &Person, opened: &Value) -> Value {
    let began = Instant::now();
    loop {
        let now = payment(shop, buyer, opened).await;
        if now["status"] != "PENDING" {
            return now;
        }
        assert!(began.elapsed() < TIMEOUT, "never settled: {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_payment_is_opened_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let (held, first) = opened(&shop, &event, &buyer, "A-1").await;
    let members = ["reservationId", "amount", "currency", "method", "status", "provider"];
    let actual = Value::from_iter(members.map(|name| (name, first[name].clone())));
    let expected = json!({ "reservationId": held["reservationId"], "amount": 150_000, "currency": "KRW",
        "method": "CARD", "status": "PENDING", "provider": "simulated" });
    assert_eq!(actual, expected);
    assert!(first["paymentKey"].as_str().unwrap().starts_with("pk_") && first["checkout"].is_object());
    assert_eq!(shop.pay(&buyer, &held).await.expect(201), first, "answered again");

    let open = async |buyer: &Person, body: Value| shop.post("/payments").by(buyer).json(&body).send().await;
    let body = |amount: Value, method: &str| json!({ "reservationId": held["reservationId"], "amount": amount, "paymentMethod": method });
    open(&buyer, body(json!(1), "CARD")).await.refused(400, "AMOUNT_MISMATCH");
    assert_eq!(open(&buyer, body(json!("x"), "CASH")).await.mistakes(), ["amount", "paymentMethod"]);
    assert_eq!(open(&buyer, json!({})).await.mistakes(), ["reservationId", "amount", "paymentMethod"]);
    open(&shop.buyer(), body(json!(150_000), "CARD")).await.refused(404, "NOT_FOUND");
    let nothing = json!({ "reservationId": Uuid::new_v4().to_string(), "amount": 1, "paymentMethod": "CARD" });
    open(&buyer, nothing).await.refused(404, "NOT_FOUND");
    let id = first["paymentId"].as_str().unwrap();
    shop.get(&format!("/payments/{id}")).by(&shop.buyer()).send().await.refused(404, "NOT_FOUND");
    shop.get("/payments/7").by(&buyer).send().await.refused(404, "NOT_FOUND");
    shop.get("/payments").send().await.refused(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmation_is_checked_and_gives_the_same_answer_again() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let (held, opened) = opened(&shop, &event, &buyer, "A-1").await;
    let confirm = async |buyer: &Person, changes: Value| {
        let mut body = confirmation(&opened, "sim_ok");
        body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        shop.post("/payments/confirm").by(buyer).json(&body).send().await
    };
    assert_eq!(confirm(&buyer, json!({ "paymentKey": "pk_x" })).await.mistakes(), ["paymentKey"]);
    let wrong = json!({ "paymentId": 7, "transactionId": "", "amount": -1 });
    assert_eq!(confirm(&buyer, wrong).await.mistakes(), ["paymentId", "transactionId", "amount"]);
    confirm(&buyer, json!({ "amount": 1 })).await.refused(400, "AMOUNT_MISMATCH");
    confirm(&buyer, json!({ "paymentId": Uuid::new_v4().to_string() })).await.refused(404, "NOT_FOUND");
    confirm(&buyer, json!({ "reservationId": Uuid::new_v4().to_string() })).await.refused(404, "NOT_FOUND");
    confirm(&shop.buyer(), json!({})).await.refused(404, "NOT_FOUND");
    assert_eq!(payment(&shop, &buyer, &opened).await["status"], "PENDING", "nothing was started");

    let (one, two) = tokio::join!(confirm(&buyer, json!({})), confirm(&buyer, json!({})));
    assert_eq!(one.expect(200), two.expect(200));
    assert_eq!(confirm(&buyer, json!({ "transactionId": "sim_decline" })).await.expect(200), one.json());
    shop.pay(&buyer, &held).await.refused(409, "RESERVATION_NOT_PENDING");
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let change = json!({ "newSeatIds": ["A-2"] });
    shop.put(&path).by(&buyer).json(&change).send().await.refused(409, "RESERVATION_NOT_PENDING");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_provider_declines_flickers_and_takes_the_wrong_amount() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let (held, first) = opened(&shop, &event, &buyer, "A-1").await;
    for _ in 0..2 {
        let declined = shop.confirm(&buyer, &first, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
        assert_eq!(declined["payment"]["status"], "FAILED");
    }
    assert_eq!(shop.reservation(&buyer, &held).await["status"], "PENDING", "the hold stays");
    let second = shop.pay(&buyer, &held).await.expect(201);
    assert_ne!(second["paymentId"], first["paymentId"]);
    shop.confirm(&buyer, &second, "sim_wrong_amount").await.refused(402, "PAYMENT_DECLINED");
    let refunded = settled(&shop, &buyer, &second).await;
    assert!(refunded["status"] == "REFUNDED" || refunded["status"] == "FAILED", "{refunded}");
    assert_eq!(refunded["failure"], "AMOUNT_MISMATCH");
    let third = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &third, "sim_flaky").await.expect(200);
    assert_eq!(shop.reservation(&buyer, &held).await["status"], "CONFIRMED");
    let list = shop.get("/payments").by(&buyer).send().await.expect(200);
    let ids: Vec<&Value> = list["items"].as_array().unwrap().iter().map(|payment| &payment["paymentId"]).collect();
    assert_eq!(ids, [&third["paymentId"], &second["paymentId"], &first["paymentId"]], "newest first");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_declined_charges_of_a_hold_are_the_last() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let mut last = Value::Null;
    for _ in 0..5 {
        last = shop.pay(&buyer, &held).await.expect(201);
        shop.confirm(&buyer, &last, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
    }
    shop.pay(&buyer, &held).await.refused(409, "PAYMENT_ATTEMPTS_EXCEEDED");
    shop.confirm(&buyer, &last, "sim_ok").await.refused(409, "PAYMENT_ATTEMPTS_EXCEEDED");
    shop.confirm(&buyer, &last, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let changed = shop.put(&path).by(&buyer).json(&json!({ "newSeatIds": ["A-2"] })).send().await.expect(200);
    shop.pay(&buyer, &changed).await.refused(409, "PAYMENT_ATTEMPTS_EXCEEDED");
    assert_eq!(shop.reservation(&buyer, &held).await["status"], "PENDING");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_does_not_answer_leaves_the_payment_pending_until_it_is_found() {
    let server = Server::with().key("PAYMENT__TIMEOUT_MS", "1500").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "holdSeconds": 1 })).await;
    let buyer = shop.buyer();
    let (held, opened) = opened(&shop, &event, &buyer, "A-1").await;
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let confirming = tokio::spawn({
        let (shop, buyer, opened) = (shop.clone(), buyer.clone(), opened.clone());
        async move { shop.confirm(&buyer, &opened, "sim_timeout").await }
    });
    // While it is charged the seats stay as they are, though the hold's time is over meanwhile.
    let began = Instant::now();
    loop {
        let refused = shop.put(&path).by(&buyer).json(&json!({ "newSeatIds": ["A-1"] })).send().await;
        if refused.status == 409 {
            refused.refused(409, "PAYMENT_IN_PROGRESS");
            break;
        }
        assert!(began.elapsed() < Duration::from_millis(500), "the charge has not begun");
    }
    shop.delete(&path).by(&buyer).send().await.refused(409, "PAYMENT_IN_PROGRESS");
    let unsettled = confirming.await.unwrap().expect(202);
    assert_eq!(unsettled["status"], "PENDING");
    assert!(unsettled["pollAfterSeconds"].as_u64().unwrap() > 0);
    let failed = settled(&shop, &buyer, &opened).await;
    assert_eq!((&failed["status"], &failed["failure"]), (&json!("FAILED"), &json!("NOT_CHARGED")));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_over_cannot_be_paid() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "holdSeconds": 1 })).await;
    let buyer = shop.buyer();
    let (held, opened) = opened(&shop, &event, &buyer, "A-1").await;
    // The one second of the hold has to pass.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    shop.confirm(&buyer, &opened, "sim_ok").await.refused(409, "HOLD_EXPIRED");
    shop.pay(&buyer, &held).await.refused(409, "RESERVATION_NOT_PENDING");
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let change = json!({ "newSeatIds": ["A-2"] });
    shop.put(&path).by(&buyer).json(&change).send().await.refused(409, "HOLD_EXPIRED");
    assert_eq!(settled(&shop, &buyer, &opened).await["failure"], "HOLD_ENDED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_make_payments_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let body = json!({ "reservationId": held["reservationId"], "amount": 150_000, "paymentMethod": "CARD" });
    let open = async |body: &Value| shop.post("/payments").by(&buyer).key("p").json(body).send().await;
    let opened = open(&body).await.expect(201);
    let confirm = async |transaction: &str| {
        let body = confirmation(&opened, transaction);
        shop.post("/payments/confirm").by(&buyer).key("c").json(&body).send().await
    };
    let paid = confirm("sim_ok").await.expect(200);
    assert_eq!(confirm("sim_ok").await.expect(200), paid);
    confirm("sim_ok_other").await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_eq!(open(&body).await.expect(201), opened, "as it was when it was opened");
    open(&json!({ "reservationId": held["reservationId"], "amount": 1, "paymentMethod": "CARD" }))
        .await
        .refused(422, "IDEMPOTENCY_KEY_REUSED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_that_fails_too_often_is_not_asked_any_more() {
    let server = Server::with().key("PAYMENT__TIMEOUT_MS", "100").start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 50).await;
    let event = shop.event(&hall, &json!({})).await;
    let mut failing = JoinSet::new();
    for number in 1..=40 {
        let (shop, event, buyer) = (shop.clone(), event.clone(), shop.buyer());
        failing.spawn(async move {
            let held = shop.hold(&event, &buyer, &[&format!("A-{number}")]).await.expect(201);
            let opening = shop.pay(&buyer, &held).await;
            if opening.status == 201 && shop.confirm(&buyer, &opening.json(), "sim_timeout").await.status == 202 {
                settled(&shop, &buyer, &opening.json()).await;
            }
        });
    }
    failing.join_all().await;
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["B-1"]).await.expect(201);
    let refused = shop.pay(&buyer, &held).await;
    refused.refused(503, "PAYMENT_PROVIDER_UNAVAILABLE");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
    // What is wrong or not there is answered before.
    let nothing = json!({ "reservationId": Uuid::new_v4().to_string(), "totalAmount": 1 });
    shop.pay(&buyer, &nothing).await.refused(404, "NOT_FOUND");
    server.stop().await;
}

//! Rate limits over HTTP: who is refused and who is not, what a refusal says, and that a stored answer comes first.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, confirmation};
use serde_json::json;
use tokio::task::JoinSet;

async fn sign_up(shop: &Shop, email: &str, key: &str, from: &str) -> Reply {
    let body = json!({ "email": email, "password": "a long password", "name": "Somebody" });
    shop.post("/auth/signup").header("x-forwarded-for", from).key(key).json(&body).send().await
}

async fn log_in(shop: &Shop, from: &str) -> Reply {
    let body = json!({ "email": "nobody@example.org", "password": "a long password" });
    shop.post("/auth/login").header("x-forwarded-for", from).json(&body).send().await
}

async fn hold(shop: &Shop, event: &str, buyer: &Person, seat: &str, key: &str) -> Reply {
    let body = json!({ "eventId": event, "seatIds": [seat] });
    shop.post("/reservations/hold").by(buyer).key(key).json(&body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_who_asks_too_often_is_refused_with_a_time_to_come_back_and_others_are_not() {
    let server = Server::with().key("RATE_LIMIT__HOLD", "2/3600s").key("RATE_LIMIT__STATUS", "2/3600s").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": false } })).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    // Without a bearer nobody is counted.
    shop.post("/reservations/hold").json(&json!({})).send().await.refused(401, "UNAUTHENTICATED");
    for seat in ["A-1", "A-2"] {
        shop.hold(&event, &buyer, &[seat]).await.expect(201);
    }
    let refused = shop.hold(&event, &buyer, &["A-3"]).await;
    refused.refused(429, "RATE_LIMITED");
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1700..=1800).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy"), "\"hold\";q=2;w=3600");
    assert_eq!(refused.header("ratelimit"), format!("\"hold\";r=0;t={wait}"));
    assert_eq!(shop.seats(&event).await["held"], json!(["A-1", "A-2"]), "a refusal does nothing");
    shop.hold(&event, &other, &["A-3"]).await.expect(201);

    // Another family is counted apart, and a read as any other call.
    let path = format!("/queue/status?eventId={event}");
    for _ in 0..2 {
        shop.get(&path).by(&buyer).send().await.expect(200);
    }
    shop.get(&path).by(&buyer).send().await.refused(429, "RATE_LIMITED");
    let metrics = server.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    for line in ["onsale_rate_limited_total{family=\"hold\"} 1\n", "onsale_rate_limited_total{family=\"status\"} 1\n"] {
        assert!(metrics.contains(line), "{metrics}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_answer_comes_before_any_limit() {
    let server = Server::with()
        .key("RATE_LIMIT__HOLD", "1/3600s")
        .key("RATE_LIMIT__PAYMENT", "2/3600s")
        .key("RATE_LIMIT__SIGNUP", "1/3600s")
        .start()
        .await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "A-1", "k1").await;
    let reservation = held.expect(201);
    hold(&shop, &event, &buyer, "A-2", "k2").await.refused(429, "RATE_LIMITED");
    for _ in 0..3 {
        assert_eq!(hold(&shop, &event, &buyer, "A-1", "k1").await.body, held.body);
    }
    hold(&shop, &event, &buyer, "A-2", "k1").await.refused(422, "IDEMPOTENCY_KEY_REUSED");

    let amount = json!({
        "reservationId": reservation["reservationId"], "amount": reservation["totalAmount"], "paymentMethod": "CARD",
    });
    let open = async |key: &str| shop.post("/payments").by(&buyer).key(key).json(&amount).send().await;
    let opened = open("p1").await.expect(201);
    let paying = confirmation(&opened, "sim_ok");
    let confirm = async |key: &str| shop.post("/payments/confirm").by(&buyer).key(key).json(&paying).send().await;
    let paid = confirm("c1").await;
    assert_eq!(paid.expect(200)["status"], "SUCCESS");
    open("p2").await.refused(429, "RATE_LIMITED");
    confirm("c2").await.refused(429, "RATE_LIMITED");
    assert_eq!(open("p1").await.expect(201)["paymentId"], opened["paymentId"]);
    assert_eq!(confirm("c1").await.body, paid.body);

    let made = sign_up(&shop, "one@example.org", "s1", "").await;
    made.expect(201);
    sign_up(&shop, "two@example.org", "s2", "").await.refused(429, "RATE_LIMITED");
    assert_eq!(sign_up(&shop, "one@example.org", "s1", "").await.body, made.body);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_with_each_request_does_not_put_off_counting() {
    let limited = |family: &str| Server::with().key(&format!("RATE_LIMIT__{family}"), "3/3600s");
    let server =
        limited("HOLD").key("RATE_LIMIT__SIGNUP", "3/3600s").key("RATE_LIMIT__PAYMENT", "3/3600s").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "A-1", "kept").await;
    held.expect(201);
    // Requests that go wrong before anything is looked up count as those without a key do.
    let wrong =
        [json!({}), json!({ "eventId": uuid::Uuid::new_v4(), "seatIds": ["A-1"] }), json!({ "eventId": event })];
    for (number, body) in wrong.iter().enumerate() {
        let key = format!("new {number}");
        let actual = shop.post("/reservations/hold").by(&buyer).key(&key).json(body).send().await;
        assert_eq!(actual.status == 429, number == 2, "{number}: {actual:?}");
    }
    shop.post("/reservations/hold").by(&buyer).key("broken").text("{").send().await.refused(429, "RATE_LIMITED");
    shop.post("/reservations/hold").by(&buyer).json(&json!({})).send().await.refused(429, "RATE_LIMITED");
    // The stored answer is still given, however often; another body under its key is still refused as that.
    for _ in 0..5 {
        assert_eq!(hold(&shop, &event, &buyer, "A-1", "kept").await.body, held.body);
    }
    hold(&shop, &event, &buyer, "A-2", "kept").await.refused(422, "IDEMPOTENCY_KEY_REUSED");

    // Payments and accounts alike.
    let nothing = json!({ "reservationId": uuid::Uuid::new_v4(), "amount": 1, "paymentMethod": "CARD" });
    for number in 0..5 {
        let actual = shop.post("/payments").by(&buyer).key(format!("p{number}").as_str()).json(&nothing).send().await;
        assert_eq!(actual.status, if number < 3 { 404 } else { 429 }, "{actual:?}");
    }
    for number in 0..5 {
        let key = format!("s{number}");
        let actual = shop.post("/auth/signup").key(&key).json(&json!({ "email": "nobody" })).send().await;
        assert_eq!(actual.status, if number < 3 { 400 } else { 429 }, "{actual:?}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gives_back_what_it_was_counted_for() {
    let server = Server::with().key("RATE_LIMIT__HOLD", "3/3600s").key("RATE_LIMIT__SIGNUP", "2/3600s").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "A-1", "k1").await;
    held.expect(201);
    for _ in 0..10 {
        assert_eq!(hold(&shop, &event, &buyer, "A-1", "k1").await.body, held.body);
    }
    hold(&shop, &event, &buyer, "A-2", "k2").await.expect(201);
    hold(&shop, &event, &buyer, "A-3", "k3").await.expect(201);
    hold(&shop, &event, &buyer, "A-4", "k4").await.refused(429, "RATE_LIMITED");
    let made = sign_up(&shop, "one@example.org", "s1", "").await;
    for _ in 0..5 {
        assert_eq!(sign_up(&shop, "one@example.org", "s1", "").await.body, made.body);
    }
    sign_up(&shop, "two@example.org", "s2", "").await.expect(201);
    sign_up(&shop, "three@example.org", "s3", "").await.refused(429, "RATE_LIMITED");
    let metrics = server.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(metrics.contains("onsale_rate_limited_total{family=\"hold\"} 1\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_yet_is_limited_by_address_which_only_our_proxies_forward() {
    let limited = || Server::with().key("RATE_LIMIT__LOGIN", "1/3600s");
    let server = limited().start().await;
    let shop = server.shop();
    log_in(&shop, "203.0.113.1").await.refused(401, "INVALID_CREDENTIALS");
    log_in(&shop, "203.0.113.2").await.refused(429, "RATE_LIMITED");
    // Buyers are limited by who they are, though all come from this address.
    shop.get("/users/me").by(&shop.buyer()).send().await.refused(404, "NOT_FOUND");
    server.stop().await;

    let server = limited().key("RATE_LIMIT__FORWARDED_HOPS", "1").start().await;
    let shop = server.shop();
    log_in(&shop, "203.0.113.1").await.refused(401, "INVALID_CREDENTIALS");
    log_in(&shop, "203.0.113.2").await.refused(401, "INVALID_CREDENTIALS");
    log_in(&shop, "198.51.100.7, 203.0.113.2").await.refused(429, "RATE_LIMITED");
    server.stop().await;

    let server = limited().key("RATE_LIMIT__ENABLED", "false").start().await;
    let shop = server.shop();
    for _ in 0..3 {
        log_in(&shop, "203.0.113.1").await.refused(401, "INVALID_CREDENTIALS");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_is_guessed_at_only_so_often() {
    let server = Server::with().key("RATE_LIMIT__PASSWORD", "3/3600s").start().await;
    let shop = server.shop();
    let try_one = async |email: &str, password: &str| {
        shop.post("/auth/login").json(&json!({ "email": email, "password": password })).send().await
    };
    for email in ["guessed@example.org", "other@example.org"] {
        sign_up(&shop, email, email, "").await.expect(201);
    }
    // Right ones never count, however often.
    for _ in 0..5 {
        try_one("guessed@example.org", "a long password").await.expect(200);
    }
    let open = try_one("guessed@example.org", "a long password").await.expect(200);
    let bearer = Person { token: open["accessToken"].as_str().unwrap().to_owned() };
    for email in ["guessed@example.org", "Guessed@Example.org", "gu\u{200b}essed@example.org"] {
        try_one(email, "not this one").await.refused(401, "INVALID_CREDENTIALS");
    }
    // Who is logged in may not guess on either, and is counted apart.
    let change = json!({ "currentPassword": "nor this one", "newPassword": "another password" });
    let change = async || shop.put("/users/me/password").by(&bearer).json(&change).send().await;
    for _ in 0..3 {
        change().await.refused(401, "INVALID_CREDENTIALS");
    }
    change().await.refused(429, "RATE_LIMITED");
    let refused = try_one("guessed@example.org", "a long password").await;
    refused.refused(429, "RATE_LIMITED");
    let wait: u32 = refused.header("retry-after").parse().unwrap();
    assert!((1100..=1200).contains(&wait), "{wait}");
    assert_eq!(refused.header("ratelimit-policy"), "\"password\";q=3;w=3600");
    // Others, and who is logged in, are none the wiser.
    try_one("other@example.org", "a long password").await.expect(200);
    shop.get("/users/me").by(&bearer).send().await.expect(200);
    // An address without an account is answered the same.
    for _ in 0..3 {
        try_one("none@example.org", "a long password").await.refused(401, "INVALID_CREDENTIALS");
    }
    try_one("None@example.org", "a long password").await.refused(429, "RATE_LIMITED");
    // Many guesses at once are no more guesses.
    sign_up(&shop, "third@example.org", "third", "").await.expect(201);
    let mut guessing = JoinSet::new();
    for n in 0..12 {
        let shop = shop.clone();
        guessing.spawn(async move {
            let body = json!({ "email": "third@example.org", "password": format!("guess number {n}") });
            shop.post("/auth/login").json(&body).send().await.status
        });
    }
    let answers = guessing.join_all().await;
    assert_eq!(answers.iter().filter(|status| **status == 401).count(), 3, "{answers:?}");
    assert_eq!(answers.iter().filter(|status| **status == 429).count(), 9, "{answers:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_who_behaves_meets_a_limit() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 1 } })).await;
    let buyer = shop.buyer();
    shop.post("/queue/enter").by(&buyer).json(&json!({ "eventId": event })).send().await.expect(200);
    // A page that polls too often: a minute of a poll each 100 ms, at once.
    for _ in 0..600 {
        shop.get(&format!("/queue/status?eventId={event}")).by(&buyer).send().await.expect(200);
    }
    for _ in 0..100 {
        shop.get("/events").send().await.expect(200);
    }
    server.stop().await;
}

/// Holds a seat, pays for it with that card, from that address.
async fn buy(shop: &Shop, event: &str, buyer: &Person, seat: &str, card: &str, from: &str) -> Reply {
    let held = shop.hold(event, buyer, &[seat]).await.expect(201);
    let opened = shop.pay(buyer, &held).await.expect(201);
    let paying = confirmation(&opened, card);
    shop.post("/payments/confirm").by(buyer).header("x-forwarded-for", from).json(&paying).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_many_cards_declined_starts_no_further_charge() {
    let server = Server::with()
        .key("RATE_LIMIT__DECLINED", "2/3600s")
        .key("RATE_LIMIT__DECLINED_ADDRESS", "4/3600s")
        .key("RATE_LIMIT__FORWARDED_HOPS", "1")
        .start()
        .await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": false } })).await;
    let (here, there) = ("203.0.113.1", "203.0.113.2");
    let thief = shop.buyer();
    buy(&shop, &event, &thief, "A-1", "sim_decline", here).await.refused(402, "PAYMENT_DECLINED");
    let held = shop.hold(&event, &thief, &["A-2"]).await.expect(201);
    let opened = shop.pay(&thief, &held).await.expect(201);
    for _ in 0..3 {
        // Repeated, it is the same decline.
        shop.confirm(&thief, &opened, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
    }
    // Two of the buyer, of whom one counts for this address: the other came past the proxy.
    let refused = buy(&shop, &event, &thief, "A-3", "sim_ok", there).await;
    refused.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("ratelimit-policy"), "\"declined\";q=2;w=3600");
    assert!((1700..=1800).contains(&refused.header("retry-after").parse::<u32>().unwrap()));
    // Others at that address pay, and each of their declines counts for it.
    for seat in ["B-1", "B-2", "B-3"] {
        buy(&shop, &event, &shop.buyer(), seat, "sim_decline", here).await.refused(402, "PAYMENT_DECLINED");
    }
    let refused = buy(&shop, &event, &shop.buyer(), "B-4", "sim_ok", here).await;
    refused.refused(429, "RATE_LIMITED");
    assert_eq!(refused.header("ratelimit-policy"), "\"declined_address\";q=4;w=3600");
    buy(&shop, &event, &shop.buyer(), "B-5", "sim_ok", there).await.expect(200);
    server.stop().await;
}

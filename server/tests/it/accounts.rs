//! Accounts over HTTP: signing up, sessions and their ends, one's own account.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop};
use serde_json::{Value, json};

const PASSWORD: &str = "correct horse battery";

async fn sign_up(shop: &Shop, email: &str) -> Reply {
    let body = json!({ "email": email, "password": PASSWORD, "name": "Example Person", "phone": "+82 10-0000-0000" });
    shop.post("/auth/signup").json(&body).send().await
}

async fn log_in(shop: &Shop, email: &str, password: &str) -> Reply {
    shop.post("/auth/login").json(&json!({ "email": email, "password": password })).send().await
}

async fn refresh(shop: &Shop, token: &Value) -> Reply {
    shop.post("/auth/refresh").json(&json!({ "refreshToken": token })).send().await
}

fn person(tokens: &Value) -> Person {
    Person { token: tokens["accessToken"].as_str().unwrap().to_owned() }
}

#[tokio::test]
async fn who_signs_up_can_log_in_and_read_their_account() {
    let server = Server::start().await;
    let shop = server.shop();
    let made = sign_up(&shop, "Someone@Example.org").await;
    assert_eq!(made.header("location"), "/api/v1/users/me");
    let made = made.expect(201);
    assert_eq!((&made["email"], &made["name"]), (&json!("Someone@Example.org"), &json!("Example Person")));
    assert_eq!(made.as_object().unwrap().len(), 3, "{made}");
    sign_up(&shop, "SOMEONE@example.ORG").await.refused(409, "EMAIL_TAKEN");

    let answer = log_in(&shop, "someone@EXAMPLE.org", PASSWORD).await;
    assert_eq!(answer.header("cache-control"), "no-store");
    let tokens = answer.expect(200);
    assert_eq!((&tokens["expiresIn"], &tokens["tokenType"]), (&json!(3600), &json!("Bearer")));
    let me = shop.get("/users/me").by(&person(&tokens)).send().await.expect(200);
    assert_eq!(me["id"], made["id"]);
    assert_eq!((&me["role"], &me["phone"]), (&json!("USER"), &json!("+82 10-0000-0000")));
    assert!(me["createdAt"].as_str().unwrap().ends_with('Z'));
    server.stop().await;
}

#[tokio::test]
async fn every_mistake_of_a_signup_is_named() {
    let server = Server::start().await;
    let shop = server.shop();
    let body = json!({ "email": "nobody", "password": "short", "phone": "call me", "captchaToken": 7 });
    let actual = shop.post("/auth/signup").json(&body).send().await.mistakes();
    assert_eq!(actual, ["email", "password", "name", "phone", "captchaToken"]);
    let body = json!({ "email": 1, "password": "p".repeat(129), "name": "n".repeat(101) });
    assert_eq!(shop.post("/auth/signup").json(&body).send().await.mistakes(), ["email", "password", "name"]);
    assert_eq!(shop.post("/auth/login").json(&json!({})).send().await.mistakes(), ["email", "password"]);
    assert_eq!(shop.post("/auth/refresh").json(&json!({})).send().await.mistakes(), ["refreshToken"]);
    shop.post("/auth/signup").json(&json!([])).send().await.refused(400, "VALIDATION_FAILED");
    server.stop().await;
}

#[tokio::test]
async fn a_password_is_none_that_everybody_has_and_none_that_everybody_knows() {
    let server = Server::start().await;
    let shop = server.shop();
    let sign_up = async |password: &str| {
        let body = json!({ "email": "some.body@example.org", "password": password, "name": "Example Person" });
        shop.post("/auth/signup").json(&body).send().await
    };
    for bad in [
        "PassWord1",
        "iloveyou1",
        "some.body",
        "Some.Body@example.org",
        "example person",
        "u\u{308}u\u{308}u\u{308}u\u{308}",
    ] {
        assert_eq!(sign_up(bad).await.mistakes(), ["password"], "{bad:?}");
    }
    sign_up("gru\u{308}n wie gras").await.expect(201);
    for form in ["gr\u{fc}n wie gras", "gru\u{308}n wie gras"] {
        log_in(&shop, "some.body@example.org", form).await.expect(200);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_password_that_was_hashed_in_another_form_is_hashed_again() {
    let mut server = Server::start().await;
    let (nfc, nfd) = ("gr\u{fc}n wie gras", "gru\u{308}n wie gras");
    sign_up(&server.shop(), "a@example.org").await.expect(201);
    server.kill();
    let library = rusqlite::Connection::open(server.data_path().join("library.db")).unwrap();
    let hash = argon2::PasswordHasher::hash_password(&argon2::Argon2::default(), nfd.as_bytes()).unwrap().to_string();
    assert_eq!(library.execute("UPDATE accounts SET password_hash = ?1", [&hash]).unwrap(), 1);
    server.start_again().await;
    let shop = server.shop();
    // All text is composed on its way in, so it does not matter any more in which form it comes.
    log_in(&shop, "a@example.org", "gr\u{fc}n wie grau").await.refused(401, "INVALID_CREDENTIALS");
    log_in(&shop, "a@example.org", nfc).await.expect(200);
    log_in(&shop, "a@example.org", nfd).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn spellings_that_look_alike_are_one_account() {
    let server = Server::start().await;
    let shop = server.shop();
    sign_up(&shop, "ada@example.org").await.expect(201);
    for alike in ["a\u{200b}da@example.org", "ａｄａ@example.org", "ADA\u{2060}@EXAMPLE.ORG"] {
        sign_up(&shop, alike).await.refused(409, "EMAIL_TAKEN");
        log_in(&shop, alike, PASSWORD).await.expect(200);
    }
    assert_eq!(sign_up(&shop, "a\u{ff20}da@example.org").await.mistakes(), ["email"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn seats_of_a_deleted_account_count_for_its_address() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "maxSeatsPerBuyer": 4 })).await;
    let logged_in = async |shop: &Shop, email: &str| {
        sign_up(shop, email).await.expect(201);
        person(&log_in(shop, email, PASSWORD).await.expect(200))
    };
    let first = logged_in(&shop, "ada@example.org").await;
    shop.buy(&event, &first, &["A-1", "A-2", "A-3"]).await;
    assert_eq!(shop.delete("/users/me?force=true").by(&first).send().await.status, 204);

    let again = logged_in(&shop, "A\u{200b}DA@example.org").await;
    let refused = shop.hold(&event, &again, &["B-1", "B-2"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    assert_eq!((&refused["limit"], &refused["has"]), (&json!(4), &json!(3)));
    let best = json!({ "eventId": event, "category": "S", "quantity": 2 });
    shop.post("/reservations/hold").by(&again).json(&best).send().await.refused(409, "SEAT_LIMIT_EXCEEDED");
    // Of two at once one fits.
    let (one, other) = tokio::join!(shop.hold(&event, &again, &["B-1"]), shop.hold(&event, &again, &["B-3"]));
    let mut actual = [one.status, other.status];
    actual.sort_unstable();
    assert_eq!(actual, [201, 409]);
    let held = if one.status == 201 { one.json() } else { other.json() };
    let path = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    let change = async |seats: &[&str]| shop.put(&path).by(&again).json(&json!({ "newSeatIds": seats })).send().await;
    change(&["B-5", "B-6"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    change(&["B-5"]).await.expect(200);
    // What was bought before is not shown to who may be somebody else.
    assert_eq!(shop.get("/reservations").by(&again).send().await.expect(200)["totalElements"], 1);

    server.crash().await;
    let shop = server.shop();
    shop.hold(&event, &again, &["B-7"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    assert_eq!(shop.delete("/users/me").by(&again).send().await.status, 204);
    let third = logged_in(&shop, "ada@example.org").await;
    shop.hold(&event, &third, &["B-7"]).await.refused(409, "SEAT_LIMIT_EXCEEDED");
    // Others, and other events, have nothing to do with it.
    shop.hold(&event, &shop.buyer(), &["B-7", "B-8"]).await.expect(201);
    let another = shop.small_event(&json!({ "maxSeatsPerBuyer": 4 })).await;
    shop.hold(&another, &third, &["A-1", "A-2", "A-3", "A-4"]).await.expect(201);
    // Nothing of the deleted ones is left but ids and hashes.
    server.kill();
    let library = rusqlite::Connection::open(server.data_path().join("library.db")).unwrap();
    let sql = "SELECT count(*) FROM accounts WHERE deleted_at IS NOT NULL AND email || email_key || name || password_hash = ''
        AND phone IS NULL";
    assert_eq!(library.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap(), 2);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_address_are_answered_alike() {
    let server = Server::start().await;
    let shop = server.shop();
    sign_up(&shop, "a@example.org").await.expect(201);
    let wrong = log_in(&shop, "a@example.org", "wrong password").await.refused(401, "INVALID_CREDENTIALS");
    let unknown = log_in(&shop, "b@example.org", PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    assert_eq!(wrong["detail"], unknown["detail"]);
    server.stop().await;
}

#[tokio::test]
async fn a_refresh_token_is_spent_by_its_use_and_its_reuse_ends_the_family() {
    let server = Server::start().await;
    let shop = server.shop();
    sign_up(&shop, "a@example.org").await.expect(201);
    let first = log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    let other_session = log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    let second = refresh(&shop, &first["refreshToken"]).await.expect(200);
    assert_ne!(second["refreshToken"], first["refreshToken"]);
    assert_ne!(second["accessToken"], first["accessToken"]);
    shop.get("/users/me").by(&person(&second)).send().await.expect(200);

    refresh(&shop, &first["refreshToken"]).await.refused(401, "REFRESH_TOKEN_REUSED");
    let ended = refresh(&shop, &second["refreshToken"]).await;
    assert_eq!(ended.status, 401, "the family has ended: {}", ended.json());
    refresh(&shop, &other_session["refreshToken"]).await.expect(200);
    refresh(&shop, &json!("unknown")).await.refused(401, "UNAUTHENTICATED");
    server.stop().await;
}

#[tokio::test]
async fn logging_out_ends_the_session_at_once_also_across_a_crash() {
    let mut server = Server::start().await;
    let shop = server.shop();
    sign_up(&shop, "a@example.org").await.expect(201);
    let tokens = log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    let me = person(&tokens);
    let gone = shop.post("/auth/logout").by(&me).send().await;
    assert_eq!((gone.status, gone.body.len()), (204, 0));
    let refused = shop.get("/users/me").by(&me).send().await;
    assert_eq!(refused.header("www-authenticate"), "Bearer");
    refused.refused(401, "UNAUTHENTICATED");
    refresh(&shop, &tokens["refreshToken"]).await.refused(401, "UNAUTHENTICATED");

    let minted = shop.buyer();
    assert_eq!(shop.post("/auth/logout").by(&minted).send().await.status, 204);
    server.crash().await;
    let shop = server.shop();
    shop.get("/users/me").by(&me).send().await.refused(401, "UNAUTHENTICATED");
    shop.get("/users/me").by(&minted).send().await.refused(401, "UNAUTHENTICATED");
    log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn ones_own_account_can_be_changed_and_deleted() {
    let server = Server::start().await;
    let shop = server.shop();
    shop.get("/users/me").by(&shop.buyer()).send().await.refused(404, "NOT_FOUND");
    shop.get("/users/me").send().await.refused(401, "UNAUTHENTICATED");
    sign_up(&shop, "a@example.org").await.expect(201);
    let me = person(&log_in(&shop, "a@example.org", PASSWORD).await.expect(200));

    let changed = shop.patch("/users/me").by(&me).json(&json!({ "name": "New Name" })).send().await.expect(200);
    assert_eq!((&changed["name"], &changed["phone"]), (&json!("New Name"), &json!("+82 10-0000-0000")));
    let cleared = shop.patch("/users/me").by(&me).json(&json!({ "phone": null })).send().await.expect(200);
    assert_eq!(cleared["phone"], Value::Null);
    assert_eq!(shop.get("/users/me").by(&me).send().await.expect(200), cleared);
    let wrong = json!({ "name": null, "phone": "x" });
    assert_eq!(shop.patch("/users/me").by(&me).json(&wrong).send().await.mistakes(), ["name", "phone"]);

    assert_eq!(shop.delete("/users/me").by(&me).send().await.status, 204);
    shop.get("/users/me").by(&me).send().await.refused(401, "UNAUTHENTICATED");
    log_in(&shop, "a@example.org", PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    sign_up(&shop, "a@example.org").await.expect(201);
    server.stop().await;
}

#[tokio::test]
async fn a_new_password_ends_every_other_session() {
    let server = Server::start().await;
    let shop = server.shop();
    sign_up(&shop, "a@example.org").await.expect(201);
    let here = log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    let there = log_in(&shop, "a@example.org", PASSWORD).await.expect(200);
    let path = "/users/me/password";
    let wrong = json!({ "currentPassword": "not it at all", "newPassword": "another password" });
    shop.put(path).by(&person(&here)).json(&wrong).send().await.refused(401, "INVALID_CREDENTIALS");
    let short = json!({ "currentPassword": PASSWORD, "newPassword": "short" });
    assert_eq!(shop.put(path).by(&person(&here)).json(&short).send().await.mistakes(), ["newPassword"]);
    let right = json!({ "currentPassword": PASSWORD, "newPassword": "another password" });
    assert_eq!(shop.put(path).by(&person(&here)).json(&right).send().await.status, 204);

    shop.get("/users/me").by(&person(&here)).send().await.expect(200);
    refresh(&shop, &here["refreshToken"]).await.expect(200);
    shop.get("/users/me").by(&person(&there)).send().await.refused(401, "UNAUTHENTICATED");
    refresh(&shop, &there["refreshToken"]).await.refused(401, "UNAUTHENTICATED");
    log_in(&shop, "a@example.org", PASSWORD).await.refused(401, "INVALID_CREDENTIALS");
    log_in(&shop, "a@example.org", "another password").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_signup_gets_the_first_answer() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let body = json!({ "email": "a@example.org", "password": PASSWORD, "name": "Example Person" });
    let ask = |shop: &Shop, body: &Value| shop.post("/auth/signup").key("key-1").json(body).send();
    let (first, second) = tokio::join!(ask(&shop, &body), ask(&shop, &body));
    let first = (first.expect(201), first.header("location").to_owned());
    assert_eq!(second.expect(201), first.0, "one of them waited for the other");
    let mut other = body.clone();
    other["name"] = json!("Somebody Else");
    ask(&shop, &other).await.refused(422, "IDEMPOTENCY_KEY_REUSED");

    server.crash().await;
    let again = ask(&server.shop(), &body).await;
    assert_eq!((again.expect(201), again.header("location").to_owned()), first);
    // A refusal is not remembered: the key may be used again.
    let shop = server.shop();
    let taken = shop.post("/auth/signup").key("key-2").json(&other).send().await;
    taken.refused(409, "EMAIL_TAKEN");
    other["email"] = json!("b@example.org");
    shop.post("/auth/signup").key("key-2").json(&other).send().await.expect(201);
    let blank = shop.post("/auth/signup").key("").json(&body).send().await;
    assert_eq!(blank.mistakes(), ["Idempotency-Key"]);
    server.stop().await;
}

#[tokio::test]
async fn the_first_administrator_comes_from_the_environment_and_is_made_once() {
    let setup = Server::with().env("ONSALE_BOOTSTRAP_ADMIN", "admin@example.org:first:password:long");
    let mut server = setup.start().await;
    let shop = server.shop();
    let admin = person(&log_in(&shop, "admin@example.org", "first:password:long").await.expect(200));
    assert_eq!(shop.get("/users/me").by(&admin).send().await.expect(200)["role"], "ADMIN");
    let venue = json!({ "name": "Example House", "address": "1 Example Road", "city": "Seoul" });
    shop.post("/venues").by(&admin).json(&venue).send().await.expect(201);
    let password = json!({ "currentPassword": "first:password:long", "newPassword": "second password" });
    let short = json!({ "currentPassword": "first:password:long", "newPassword": "fourteen lette" });
    assert_eq!(shop.put("/users/me/password").by(&admin).json(&short).send().await.mistakes(), ["newPassword"]);
    assert_eq!(shop.put("/users/me/password").by(&admin).json(&password).send().await.status, 204);

    server.crash().await;
    let shop = server.shop();
    log_in(&shop, "admin@example.org", "second password").await.expect(200);
    server.stop().await;
}

#[tokio::test]
async fn a_wave_of_log_ins_is_shed_beyond_the_queue() {
    let server = Server::with().key("AUTH__HASH_QUEUE", "1").start().await;
    let shop = server.shop();
    let asking: tokio::task::JoinSet<Reply> = (0..20)
        .map(|number| {
            let shop = shop.clone();
            async move { log_in(&shop, &format!("{number}@example.org"), PASSWORD).await }
        })
        .collect();
    let (mut shed, mut judged) = (0, 0);
    for reply in asking.join_all().await {
        if reply.status == 503 {
            assert_eq!(reply.header("retry-after"), "1");
            reply.refused(503, "OVERLOADED");
            shed += 1;
        } else {
            reply.refused(401, "INVALID_CREDENTIALS");
            judged += 1;
        }
    }
    assert!(shed > 0 && judged > 0, "{shed} shed, {judged} judged");
    server.stop().await;
}

//! What an operator does for one buyer: find the reservation by anything that the buyer knows of it, read its history, cancel and
//! refund it with a reason.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, in_days, in_seconds, texts};
use onsale_adapters::private_postgres::TestDatabase;
use serde_json::{Value, json};
use uuid::Uuid;

async fn look(shop: &Shop, path: &str) -> Value {
    let answer = shop.get(path).by(&shop.admin).send().await;
    assert_eq!(answer.header("cache-control"), "no-store");
    answer.expect(200)
}

/// The ids of what a list has, and how many there are.
fn ids(list: &Value, member: &str) -> (Vec<String>, u64) {
    let items = list["items"].as_array().unwrap();
    let ids = items.iter().map(|item| item[member].as_str().unwrap().to_owned()).collect();
    (ids, list["totalElements"].as_u64().unwrap())
}

fn id(reservation: &Value) -> String {
    reservation["reservationId"].as_str().unwrap().to_owned()
}

async fn refund(shop: &Shop, reservation: &str, body: &Value) -> Reply {
    shop.post(&format!("/admin/reservations/{reservation}/refund")).by(&shop.admin).json(body).send().await
}

async fn cancel(shop: &Shop, reservation: &str, body: &Value) -> Reply {
    shop.post(&format!("/admin/reservations/{reservation}/cancel")).by(&shop.admin).json(body).send().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_found_by_anything_its_buyer_knows() {
    by_anything_its_buyer_knows(Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_is_found_by_anything_its_buyer_knows_on_postgres() {
    let database = TestDatabase::create();
    by_anything_its_buyer_knows(Server::with().postgres(database.url()).start().await).await;
}

async fn by_anything_its_buyer_knows(server: Server) {
    let shop = server.shop();
    let (event, other) = (shop.small_event(&json!({})).await, shop.small_event(&json!({})).await);
    let (ada, ada_id) = shop.signed_up("Ada.Example@example.org", "Ada Lovelace").await;
    let (minji, minji_id) = shop.signed_up("minji@example.org", "김민지").await;
    let bought = shop.buy(&event, &ada, &["A-1", "A-2"]).await;
    let held = shop.hold(&event, &minji, &["B-1"]).await.expect(201);
    let elsewhere = shop.buy(&other, &ada, &["A-1"]).await;
    let anonymous = shop.buy(&event, &shop.buyer(), &["B-9"]).await;
    let payment = look(&shop, &format!("/admin/reservations/{}", id(&bought))).await["payments"][0].clone();

    let found = async |query: &str| ids(&look(&shop, &format!("/admin/reservations?{query}")).await, "reservationId");
    let one = |reservation: &Value| (vec![id(reservation)], 1);
    let nothing: (Vec<String>, u64) = (Vec::new(), 0);
    for q in
        [id(&bought), payment["paymentId"].as_str().unwrap().into(), bought["ticketNumber"].as_str().unwrap().into()]
    {
        assert_eq!(found(&format!("q={q}")).await, one(&bought), "{q}");
        assert_eq!(found(&format!("q={}", q.to_lowercase())).await, one(&bought), "{q}");
        assert_eq!(found(&format!("eventId={other}&q={q}")).await, nothing, "{q}");
    }
    let both = (vec![id(&elsewhere), id(&bought)], 2);
    for q in ["ADA.example@EXAMPLE.org", "ada.ex", "Ada", "ada%20love", &ada_id] {
        assert_eq!(found(&format!("q={q}")).await, both, "{q}");
        assert_eq!(found(&format!("eventId={event}&q={q}")).await, one(&bought), "{q}");
    }
    for q in ["minji@example.org", "%EA%B9%80%EB%AF%BC%EC%A7%80", "%EA%B9%80", &minji_id] {
        assert_eq!(found(&format!("q={q}")).await, one(&held), "{q}");
        assert_eq!(found(&format!("q={q}&status=CONFIRMED")).await, nothing, "{q}");
    }
    // Seats are those of an event: by id, and by what a ticket says.
    for (q, expected) in [("A-2", &bought), ("B-1", &held), ("b-9", &anonymous)] {
        assert_eq!(found(&format!("eventId={event}&q={q}")).await, one(expected), "{q}");
    }
    assert_eq!(found("q=A-2").await, nothing);
    assert_eq!(found("q=nobody@example.org").await, nothing);
    assert_eq!(found(&format!("q={}", Uuid::new_v4())).await, nothing);
    // By event and status, newest first, and in pages.
    let newest = vec![id(&anonymous), id(&held), id(&bought)];
    assert_eq!(found(&format!("eventId={event}")).await, (newest.clone(), 3));
    assert_eq!(found(&format!("eventId={event}&size=1&page=1")).await, (newest[1..2].to_vec(), 3));
    assert_eq!(found(&format!("eventId={event}&status=CONFIRMED")).await, (vec![id(&anonymous), id(&bought)], 2));
    assert_eq!(found(&format!("eventId={event}&status=EXPIRED")).await, nothing);
    assert_eq!(found("status=CONFIRMED&size=1").await, (vec![id(&anonymous)], 3));
    assert_eq!(found("size=100").await.1, 4);
    assert_eq!(found(&format!("eventId={}", Uuid::new_v4())).await, nothing);

    // What an item says.
    let list = look(&shop, &format!("/admin/reservations?q={}", id(&bought))).await;
    let item = &list["items"][0];
    assert_eq!(item["buyer"], json!({ "id": ada_id, "email": "Ada.Example@example.org", "name": "Ada Lovelace" }));
    let seat = &item["seats"][0];
    let place = ["section", "row", "number", "seatId", "price"].map(|member| seat[member].clone());
    assert_eq!(place, [json!(""), json!("A"), json!("1"), json!("A-1"), json!(150_000)]);
    for (member, value) in bought.as_object().unwrap().iter().filter(|(member, _)| *member != "seats") {
        assert_eq!(&item[member], value, "{member}: as its buyer sees it");
    }
    assert_eq!((&item["payments"][0]["status"], &item["payments"][0]["state"]), (&json!("SUCCESS"), &json!("SETTLED")));
    assert!(
        look(&shop, &format!("/admin/reservations?q={}", id(&anonymous))).await["items"][0]["buyer"]["email"].is_null()
    );

    // Payments by the same.
    let paid = async |query: &str| ids(&look(&shop, &format!("/admin/payments?{query}")).await, "paymentId");
    let its = (vec![payment["paymentId"].as_str().unwrap().to_owned()], 1);
    for q in
        [id(&bought), its.0[0].clone(), bought["ticketNumber"].as_str().unwrap().into(), "A-1".into(), "ada".into()]
    {
        assert_eq!(paid(&format!("eventId={event}&q={q}")).await, its, "{q}");
    }
    assert_eq!(paid(&format!("eventId={event}&status=SUCCESS")).await.1, 2);
    assert_eq!(paid("status=FAILED").await, nothing);
    let listed = look(&shop, &format!("/admin/payments?q={}", its.0[0])).await["items"][0].clone();
    let members = ["eventId", "amount", "currency", "transactionId"].map(|member| listed[member].clone());
    assert_eq!(members, [json!(event), json!(300_000), json!("KRW"), json!("sim_ok")]);
    assert_eq!(listed["buyer"]["name"], "Ada Lovelace");

    for path in ["/admin/reservations", "/admin/payments"] {
        let wrong = format!("{path}?eventId=7&status=GONE&size=101&page=-1&q={}", "x".repeat(201));
        let actual = shop.get(&wrong).by(&shop.admin).send().await.mistakes();
        assert_eq!(actual, ["eventId", "status", "q", "page", "size"]);
        shop.get(path).by(&ada).send().await.refused(403, "FORBIDDEN");
        shop.get(path).send().await.refused(401, "UNAUTHENTICATED");
    }
    server.stop().await;
}

/// What happened, by whom, in order.
fn steps(reservation: &Value) -> Vec<(String, String)> {
    let text = |step: &Value, member: &str| step[member].as_str().unwrap().to_owned();
    reservation["story"].as_array().unwrap().iter().map(|step| (text(step, "what"), text(step, "by"))).collect()
}

async fn admins_id(shop: &Shop, event: &str) -> String {
    let audit = look(shop, &format!("/admin/audit?eventId={event}")).await;
    audit["items"].as_array().unwrap().last().unwrap()["by"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_has_a_story_and_is_refunded_with_a_reason() {
    has_a_story_and_is_refunded(Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reservation_has_a_story_and_is_refunded_with_a_reason_on_postgres() {
    let database = TestDatabase::create();
    has_a_story_and_is_refunded(Server::with().postgres(database.url()).start().await).await;
}

async fn has_a_story_and_is_refunded(mut server: Server) {
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    let change = json!({ "newSeatIds": ["A-2", "A-3"] });
    let path = format!("/reservations/hold/{}", id(&held));
    let changed = shop.put(&path).by(&buyer).json(&change).send().await.expect(200);
    let payment = shop.pay(&buyer, &changed).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_decline_7").await.refused(402, "PAYMENT_DECLINED");
    let payment = shop.pay(&buyer, &changed).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_ok_8").await.expect(200);

    let one = format!("/admin/reservations/{}", id(&held));
    let before = look(&shop, &one).await;
    let expected = [
        ("HELD", "BUYER"),
        ("CHANGED", "BUYER"),
        ("PAYMENT_OPENED", "BUYER"),
        ("PAYMENT_STARTED", "BUYER"),
        ("PAYMENT_FAILED", "PROVIDER"),
        ("PAYMENT_OPENED", "BUYER"),
        ("PAYMENT_STARTED", "BUYER"),
        ("PAYMENT_CAPTURED", "PROVIDER"),
        ("CONFIRMED", "SYSTEM"),
    ];
    let expected = expected.map(|(what, by)| (what.to_owned(), by.to_owned()));
    assert_eq!(steps(&before), expected);
    let story = &before["story"];
    assert_eq!((&story[1]["seatIds"], &story[1]["amount"]), (&json!(["A-2", "A-3"]), &json!(300_000)));
    assert!(story[4]["code"].as_str().unwrap().starts_with("DECLINED:"), "{story}");
    assert_eq!(story[6]["transactionId"], "sim_ok_8");
    assert_eq!((&before["storyFrom"], &before["storyIsWhole"]), (&held["createdAt"], &json!(true)));
    assert_eq!(before["payments"].as_array().unwrap().len(), 2);

    // Mistakes, each by name; nothing is done.
    for (body, actual) in [
        (json!({}), vec!["reason"]),
        (json!({ "reason": "", "why": 1 }), vec!["why", "reason"]),
        (json!({ "reason": "r".repeat(501) }), vec!["reason"]),
        (json!({ "reason": "ill", "seatIds": [] }), vec!["seatIds"]),
        (json!({ "reason": "ill", "seatIds": ["A-2"] }), vec!["seatIds"]),
        (json!({ "reason": "ill", "seatIds": ["A-2", "B-1"] }), vec!["seatIds[1]"]),
        (json!({ "reason": "ill", "seatIds": ["A-2", "A-2"] }), vec!["seatIds[1]"]),
    ] {
        let mistakes = refund(&shop, &id(&held), &body).await.mistakes();
        assert!(actual.iter().all(|field| mistakes.iter().any(|mistake| mistake == field)), "{body}: {mistakes:?}");
    }
    assert_eq!(
        cancel(&shop, &id(&held), &json!({ "reason": "ill", "seatIds": ["A-2"] })).await.mistakes(),
        ["seatIds"]
    );
    let body = json!({ "reason": "the buyer is ill", "seatIds": ["A-3", "A-2"] });
    for (path, answer) in [(Uuid::new_v4().to_string(), "NOT_FOUND"), ("7".into(), "NOT_FOUND")] {
        refund(&shop, &path, &body).await.refused(404, answer);
        cancel(&shop, &path, &json!({ "reason": "ill" })).await.refused(404, answer);
        shop.get(&format!("/admin/reservations/{path}")).by(&shop.admin).send().await.refused(404, answer);
    }
    let as_buyer = shop.post(&format!("{one}/refund")).by(&buyer).json(&body).send().await;
    as_buyer.refused(403, "FORBIDDEN");
    assert_eq!(shop.reservation(&buyer, &held).await["status"], "CONFIRMED");

    // The refund, and once more.
    for _ in 0..2 {
        let refunded = refund(&shop, &id(&held), &body).await.expect(200);
        assert_eq!((&refunded["status"], &refunded["refundAmount"]), (&json!("CANCELLED"), &json!(300_000)));
        let last = &refunded["payments"][1];
        assert_eq!((&last["status"], &last["failure"]), (&json!("REFUNDED"), &json!("OPERATOR_CANCELLED")));
    }
    cancel(&shop, &id(&held), &json!({ "reason": "again" })).await.expect(200);
    let own = shop.reservation(&buyer, &held).await;
    assert_eq!((&own["status"], &own["refundAmount"]), (&json!("CANCELLED"), &json!(300_000)));
    let paid = shop.get("/payments").by(&buyer).send().await.expect(200);
    assert_eq!(paid["items"][0]["failure"], "OPERATOR_CANCELLED");
    assert_eq!(shop.seats(&event).await["sold"], json!([]));
    let admin = admins_id(&shop, &event).await;
    let after = look(&shop, &one).await;
    let cancelled = after["story"].as_array().unwrap().iter().find(|step| step["what"] == "CANCELLED").unwrap();
    let actual = ["by", "operatorId", "reason", "amount"].map(|member| cancelled[member].clone());
    assert_eq!(actual, [json!("OPERATOR"), json!(admin), json!("the buyer is ill"), json!(300_000)]);
    let ordered = after["story"].as_array().unwrap().iter().find(|step| step["what"] == "REFUND_ORDERED").unwrap();
    assert_eq!(ordered["code"], "OPERATOR_CANCELLED");
    let audit = look(&shop, &format!("/admin/audit?eventId={event}")).await;
    let action = &audit["items"][0];
    let actual = ["action", "reservationId", "reason", "by"].map(|member| action[member].clone());
    assert_eq!(actual, [json!("RESERVATION_CANCELLED"), json!(id(&held)), json!("the buyer is ill"), json!(admin)]);
    assert_eq!((&action["changes"], &audit["totalElements"]), (&json!([]), &json!(2)), "once, however often asked");

    // A crash forgets none of it.
    server.crash().await;
    let shop = server.shop();
    let again = look(&shop, &one).await;
    assert_eq!(steps(&again)[..steps(&after).len()], steps(&after)[..]);
    assert_eq!(again["status"], "CANCELLED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pending_hold_is_released_but_never_while_it_is_charged() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (one, two) = (shop.buyer(), shop.buyer());
    let (held, charged) =
        (shop.hold(&event, &one, &["A-1"]).await.expect(201), shop.hold(&event, &two, &["A-2"]).await.expect(201));
    let opened = shop.pay(&one, &held).await.expect(201);
    let why = json!({ "reason": "held by mistake" });
    refund(&shop, &id(&held), &why).await.refused(409, "NOT_CANCELLABLE");
    let released = cancel(&shop, &id(&held), &why).await.expect(200);
    assert_eq!((&released["status"], &released["refundAmount"]), (&json!("CANCELLED"), &Value::Null));
    assert_eq!(released["payments"][0]["failure"], "HOLD_ENDED");
    cancel(&shop, &id(&held), &why).await.expect(200);
    refund(&shop, &id(&held), &why).await.refused(409, "NOT_CANCELLABLE");
    shop.confirm(&one, &opened, "sim_ok").await.refused(409, "HOLD_EXPIRED");
    let story = look(&shop, &format!("/admin/reservations/{}", id(&held))).await;
    assert_eq!(steps(&story)[2], ("RELEASED".to_owned(), "OPERATOR".to_owned()));
    assert_eq!(look(&shop, &format!("/admin/audit?eventId={event}")).await["items"][0]["action"], "HOLD_RELEASED");

    // The provider does not answer for a while.
    let payment = shop.pay(&two, &charged).await.expect(201);
    let confirming = {
        let (shop, two, payment) = (shop.clone(), two.clone(), payment.clone());
        tokio::spawn(async move { shop.confirm(&two, &payment, "sim_timeout").await })
    };
    let listed = format!("/admin/payments?q={}", payment["paymentId"].as_str().unwrap());
    let until = tokio::time::Instant::now() + crate::shop::TIMEOUT;
    while look(&shop, &listed).await["items"][0]["state"] != "CHARGING" {
        assert!(tokio::time::Instant::now() < until, "it is not charged");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    cancel(&shop, &id(&charged), &why).await.refused(409, "PAYMENT_IN_PROGRESS");
    confirming.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_has_no_window_and_needs_no_event_in_memory() {
    let server = Server::with().key("ENGINE__UNLOAD_AFTER_S", "1").start().await;
    let shop = server.shop();
    // It is over in a few seconds, and its buyer may cancel no more.
    let times = json!({
        "startsAt": in_seconds(-60), "endsAt": in_seconds(6), "saleStartsAt": in_days(-1), "saleEndsAt": in_seconds(5),
    });
    let event = shop.small_event(&times).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let own = format!("/reservations/{}", id(&bought));
    shop.delete(&own).by(&buyer).send().await.refused(409, "CANCELLATION_CLOSED");
    let unloaded = async || {
        let metrics = shop.probe("/metrics").await;
        std::str::from_utf8(&metrics.body).unwrap().contains("onsale_events{state=\"unloaded\"} 1")
    };
    let until = tokio::time::Instant::now() + crate::shop::TIMEOUT;
    while !unloaded().await {
        assert!(tokio::time::Instant::now() < until, "it stays in memory");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let list = look(&shop, &format!("/admin/reservations?eventId={event}&q=A-1")).await;
    assert_eq!(ids(&list, "reservationId"), (vec![id(&bought)], 1));
    let read = look(&shop, &format!("/admin/reservations/{}", id(&bought))).await;
    assert_eq!((steps(&read).len(), &read["storyIsWhole"]), (5, &json!(true)));
    assert_eq!(texts(&json!([read["seats"][0]["seatId"]])), ["A-1"]);
    assert!(unloaded().await, "search does not read it into memory");
    let refunded = refund(&shop, &id(&bought), &json!({ "reason": "the show was cut short" })).await.expect(200);
    assert_eq!((&refunded["status"], &refunded["refundAmount"]), (&json!("CANCELLED"), &json!(150_000)));
    server.stop().await;
}

/// A buyer who is none of the operators' business: what is somebody else's stays theirs.
#[tokio::test(flavor = "multi_thread")]
async fn buyers_see_nothing_of_it() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let bought = shop.buy(&event, &shop.buyer(), &["A-1"]).await;
    let nosy: Person = shop.buyer();
    for path in [
        format!("/admin/reservations/{}", id(&bought)),
        format!("/admin/reservations?q={}", id(&bought)),
        format!("/admin/events/{event}/reservations.csv"),
    ] {
        shop.get(&path).by(&nosy).send().await.refused(403, "FORBIDDEN");
        shop.get(&path).send().await.refused(401, "UNAUTHENTICATED");
    }
    server.stop().await;
}

//! What administrators steer, and that nobody else may.

use crate::harness::Server;
use crate::shop::{TIMEOUT, texts};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn admission_is_steered_at_once_or_tried_dry() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": true, "activeLimit": 9 } })).await;
    let path = format!("/admin/events/{event}/admission");
    let steer =
        async |query: &str, body: Value| shop.patch(&format!("{path}{query}")).by(&shop.admin).json(&body).send().await;
    let read = async || shop.get(&format!("/events/{event}")).send().await.expect(200)["admission"].clone();
    let before = read().await;
    let change = json!({ "ratePerSecond": 55, "activeLimit": null, "paused": true, "message": "Soon" });
    let tried = steer("?dryRun=true", change.clone()).await.expect(200);
    assert_eq!(read().await, before, "a dry run changes nothing");
    let steered = steer("", change).await.expect(200);
    assert_eq!(steered, tried, "and says what the change does");
    let actual = ["ratePerSecond", "activeLimit", "paused", "message"].map(|name| steered[name].clone());
    assert_eq!(actual, [json!(55), Value::Null, json!(true), json!("Soon")]);
    let after = read().await;
    assert_eq!((&after["ratePerSecond"], &after["paused"]), (&json!(55), &json!(true)));
    let resumed =
        steer("?dryRun=false", json!({ "paused": false, "message": null, "required": false })).await.expect(200);
    assert_eq!(
        (&resumed["required"], &resumed["message"], &resumed["ratePerSecond"]),
        (&json!(false), &Value::Null, &json!(55))
    );
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.expect(201);

    let wrong = json!({ "ratePerSecond": 0, "activeLimit": 0, "closed": "no", "message": "x".repeat(501) });
    assert_eq!(
        steer("?dryRun=x", wrong).await.mistakes(),
        ["dryRun", "ratePerSecond", "activeLimit", "message", "closed"]
    );
    let nowhere = format!("/admin/events/{}/admission", Uuid::new_v4());
    shop.patch(&nowhere).by(&shop.admin).json(&json!({})).send().await.refused(404, "NOT_FOUND");
    for (call, status, code) in [
        (shop.patch(&path).by(&shop.buyer()).json(&json!({})), 403, "FORBIDDEN"),
        (shop.patch(&path).json(&json!({})), 401, "UNAUTHENTICATED"),
        (shop.get("/queue/admin/stats").by(&shop.buyer()), 403, "FORBIDDEN"),
        (shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.buyer()), 403, "FORBIDDEN"),
    ] {
        call.send().await.refused(status, code);
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_a_sale_ends_it_and_refunds_everyone() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let (paid, holding) = (shop.buyer(), shop.buyer());
    let bought = shop.buy(&event, &paid, &["A-1", "A-2"]).await;
    let held = shop.hold(&event, &holding, &["B-1"]).await.expect(201);
    let opened = shop.pay(&holding, &held).await.expect(201);
    let path = format!("/admin/events/{event}/cancel");
    for _ in 0..2 {
        let cancelled = shop.post(&path).by(&shop.admin).send().await.expect(200);
        assert_eq!((&cancelled["id"], &cancelled["status"]), (&json!(event), &json!("CANCELLED")));
    }
    let began = Instant::now();
    while shop.seats(&event).await["seats"]["available"] != 20 {
        assert!(began.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let over = shop.reservation(&paid, &bought).await;
    assert_eq!((&over["status"], &over["refundAmount"]), (&json!("CANCELLED"), &json!(300_000)));
    assert_eq!(shop.reservation(&holding, &held).await["status"], "CANCELLED");
    // The provider is asked after the seats are free.
    while shop.get("/payments").by(&paid).send().await.expect(200)["items"][0]["status"] != "REFUNDED" {
        assert!(began.elapsed() < TIMEOUT, "the refund is not written");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(texts(&shop.seats(&event).await["sold"]), [""; 0]);

    shop.hold(&event, &shop.buyer(), &["A-1"]).await.refused(409, "SALE_CANCELLED");
    shop.pay(&holding, &held).await.refused(409, "SALE_CANCELLED");
    shop.confirm(&holding, &opened, "sim_ok").await.refused(409, "SALE_CANCELLED");
    let enter = json!({ "eventId": event });
    shop.post("/queue/enter").by(&shop.buyer()).json(&enter).send().await.refused(409, "SALE_CLOSED");
    let steer =
        shop.patch(&format!("/admin/events/{event}/admission")).by(&shop.admin).json(&json!({ "paused": true }));
    steer.send().await.refused(409, "SALE_CLOSED");
    let nowhere = format!("/admin/events/{}/cancel", Uuid::new_v4());
    shop.post(&nowhere).by(&shop.admin).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn administrators_actions_are_listed_newest_first_with_who_and_why() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({ "admission": { "required": true } })).await;
    let path = format!("/admin/events/{event}/admission");
    let steer = async |shop: &crate::shop::Shop, query: &str, body: serde_json::Value| {
        shop.patch(&format!("{path}{query}")).by(&shop.admin).json(&body).send().await.expect(200);
    };
    steer(&shop, "", json!({ "paused": true, "reason": "the door is jammed" })).await;
    steer(&shop, "?dryRun=true", json!({ "ratePerSecond": 5 })).await;
    steer(&shop, "", json!({ "paused": false })).await;
    shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.admin).send().await.expect(200);
    server.crash().await;
    let shop = server.shop();
    let audit = format!("/admin/audit?eventId={event}");
    let actual = shop.get(&audit).by(&shop.admin).send().await.expect(200);
    assert_eq!((&actual["totalElements"], &actual["page"]), (&json!(4), &json!(0)), "{actual}");
    let actions: Vec<_> =
        actual["items"].as_array().unwrap().iter().map(|action| action["action"].as_str().unwrap()).collect();
    assert_eq!(actions, ["SALE_CANCELLED", "ADMISSION_STEERED", "ADMISSION_STEERED", "RULES_SET"]);
    let paused = &actual["items"][2];
    assert_eq!((&paused["reason"], &paused["after"]["paused"]), (&json!("the door is jammed"), &json!(true)));
    assert!(paused["by"].is_string() && paused["at"].is_string());
    let changed = |member: &str, to: bool| json!({ "member": member, "from": null, "to": to });
    assert_eq!(paused["changes"], json!([changed("closed", false), changed("paused", true)]));
    let second = shop.get(&format!("{audit}&page=1&size=3")).by(&shop.admin).send().await.expect(200);
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    shop.get(&audit).by(&shop.buyer()).send().await.refused(403, "FORBIDDEN");
    assert_eq!(shop.get("/admin/audit").by(&shop.admin).send().await.mistakes(), ["eventId"]);
    let nowhere = format!("/admin/audit?eventId={}", uuid::Uuid::new_v4());
    shop.get(&nowhere).by(&shop.admin).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test]
async fn the_audit_names_every_member_that_changed_also_of_prices_venues_and_halls() {
    let server = Server::start().await;
    let shop = server.shop();
    let venue = shop.venue().await;
    let seats = json!({ "rows": ["A", "B"], "seatsPerRow": 5, "gradeMapping": { "A": "VIP", "B": "S" } });
    let path = format!("/venues/{venue}/halls");
    let hall = json!({ "name": "Main", "seatTemplate": seats });
    let hall = shop.post(&path).by(&shop.admin).json(&hall).send().await.expect(201);
    let hall = hall["id"].as_str().unwrap();
    let changes = json!({ "saleStartsAt": crate::shop::in_days(1), "admission": { "required": true } });
    let event = shop.event(hall, &changes).await;
    let patch = async |path: String, body: serde_json::Value| {
        shop.patch(&path).by(&shop.admin).json(&body).send().await.expect(200);
    };
    patch(
        format!("/events/{event}"),
        json!({ "title": "Another", "prices": { "VIP": 1 }, "admission": { "tokenSeconds": 7 } }),
    )
    .await;
    patch(format!("/events/{event}"), json!({ "title": "Another" })).await;
    patch(format!("/admin/events/{event}/admission"), json!({ "ratePerSecond": 3 })).await;
    patch(format!("/venues/{venue}"), json!({ "city": "Busan", "address": "2 Example Road" })).await;
    patch(format!("/halls/{hall}"), json!({ "name": "Small" })).await;

    let changes = async |query: &str| -> Vec<String> {
        let audit = shop.get(&format!("/admin/audit?{query}")).by(&shop.admin).send().await.expect(200);
        let line = |item: &serde_json::Value| {
            let changes = item["changes"].as_array().unwrap().iter();
            let changes: Vec<String> = changes
                .map(|of| format!("{}: {} -> {}", of["member"].as_str().unwrap(), of["from"], of["to"]))
                .collect();
            assert!(item["by"].is_string() && item["at"].is_string());
            format!("{} {}", item["action"].as_str().unwrap(), changes.join(", "))
        };
        audit["items"].as_array().unwrap().iter().map(line).collect()
    };
    let of_event = changes(&format!("eventId={event}")).await;
    assert_eq!(of_event[0], "ADMISSION_STEERED closed: null -> false, paused: null -> false, ratePerSecond: 10 -> 3");
    let mut patched = of_event[1..3].to_vec();
    patched.sort();
    let title = "EVENT_CHANGED title: \"Evening of Examples\" -> \"Another\"";
    assert_eq!(patched, [title, "RULES_SET prices.VIP: 150000 -> 1, tokenSeconds: 600 -> 7"]);
    assert!(of_event[3].starts_with("RULES_SET ") && of_event[3].contains("prices.S: null -> 90000"), "{of_event:?}");
    assert_eq!(of_event.len(), 4);
    let of_venue = changes(&format!("venueId={venue}")).await;
    let moved = "address: \"1 Example Road\" -> \"2 Example Road\", city: \"Seoul\" -> \"Busan\"";
    assert_eq!(of_venue[0], format!("VENUE_CHANGED {moved}"));
    assert!(of_venue[1].starts_with("VENUE_MADE ") && of_venue.len() == 2, "{of_venue:?}");
    let of_hall = changes(&format!("hallId={hall}")).await;
    assert_eq!(of_hall[0], "HALL_CHANGED name: \"Main\" -> \"Small\"");
    assert!(of_hall[1].starts_with("HALL_MADE ") && of_hall.len() == 2, "{of_hall:?}");

    // What is deleted is recorded, too.
    for path in [format!("/events/{event}"), format!("/halls/{hall}"), format!("/venues/{venue}")] {
        assert_eq!(shop.delete(&path).by(&shop.admin).send().await.status, 204);
    }
    assert!(changes(&format!("eventId={event}")).await[0].starts_with("EVENT_DELETED"));
    assert!(changes(&format!("hallId={hall}")).await[0].starts_with("HALL_DELETED capacity: 10 -> null"));
    assert!(changes(&format!("venueId={venue}")).await[0].starts_with("VENUE_DELETED address: "));
    let nowhere = format!("/admin/audit?venueId={}", uuid::Uuid::new_v4());
    shop.get(&nowhere).by(&shop.admin).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

//! What comes in is read to the letter or refused: unknown members of administrators' calls, bodies that nobody reads, text in
//! other forms of Unicode and in other encodings.

use crate::harness::Server;
use crate::shop::{Shop, id_of};
use http::Method;
use onsale_server::http::Access;
use serde_json::{Value, json};
use uuid::Uuid;

/// 특석, taken apart, as some systems write it.
const APART: &str = "\u{1110}\u{1173}\u{11a8}\u{1109}\u{1165}\u{11a8}";
const TOGETHER: &str = "특석";

#[tokio::test(flavor = "multi_thread")]
async fn unknown_members_of_administrators_are_mistakes() {
    let server = Server::start().await;
    let shop = server.shop();
    let (admin, venue) = (&shop.admin, shop.venue().await);
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let event = shop.event(&hall, &json!({})).await;
    let refused = async |method: Method, path: &str, body: &Value, expected: &[&str]| {
        let call = match method {
            Method::PATCH => shop.patch(path),
            _ => shop.post(path),
        };
        let reply = call.by(admin).json(body).send().await;
        assert_eq!(reply.mistakes(), expected, "{path}");
        reply.json()["errors"][0]["message"].as_str().unwrap().to_owned()
    };
    let body =
        Shop::event_body(&hall, &json!({ "maxSeatPerBuyer": 2, "admission": { "ratePerSec": 5, "activeLimit": 1 } }));
    let actual = refused(Method::POST, "/events", &body, &["admission.ratePerSec", "maxSeatPerBuyer"]).await;
    assert_eq!(actual, "unknown member; did you mean ratePerSecond?");
    refused(Method::PATCH, &format!("/events/{event}"), &json!({ "titel": "x" }), &["titel"]).await;
    refused(Method::PATCH, &format!("/events/{event}"), &json!({ "admission": { "x": null } }), &["admission.x"]).await;
    let house = json!({ "name": "House", "address": "1 Road", "city": "Seoul", "timezone": "UTC" });
    let actual = refused(Method::POST, "/venues", &house, &["timezone"]).await;
    assert_eq!(actual, "unknown member; did you mean timeZone?");
    refused(Method::PATCH, &format!("/venues/{venue}"), &json!({ "zone": "UTC" }), &["zone"]).await;
    let seats = json!({ "rows": ["A"], "seatsPerRow": 1, "gradeMapping": { "A": "S" }, "seatPerRow": 2 });
    let hall_body = json!({ "name": "Hall", "seatTemplate": seats, "sead": 1 });
    refused(Method::POST, &format!("/venues/{venue}/halls"), &hall_body, &["sead", "seatTemplate.seatPerRow"]).await;
    refused(Method::PATCH, &format!("/halls/{hall}"), &json!({ "nam": "x" }), &["nam"]).await;
    let steer = format!("/admin/events/{event}/admission");
    refused(Method::PATCH, &steer, &json!({ "pause": true }), &["pause"]).await;
    refused(Method::PATCH, &format!("{steer}?dryrun=true"), &json!({ "paused": true }), &["dryrun"]).await;
    let read = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!((&read["admission"]["paused"], &read["maxSeatsPerBuyer"]), (&json!(false), &json!(4)));
    refused(Method::POST, &format!("/admin/events/{event}/cancel"), &json!({ "refund": false }), &["refund"]).await;

    // Buyers' clients may send more than is asked for.
    let hold = json!({ "eventId": event, "seatIds": ["A-1"], "note": "aisle" });
    shop.post("/reservations/hold").by(&shop.buyer()).json(&hold).send().await.expect(201);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_administrators_call_that_writes_names_a_member_that_it_does_not_know() {
    let server = Server::start().await;
    let shop = server.shop();
    let routes = onsale_server::server::routes();
    let writes = routes
        .iter()
        .filter(|route| route.access() == Access::Admin && ![Method::GET, Method::DELETE].contains(route.method()));
    let mut seen = 0;
    for route in writes {
        let path = route.path().replace("/api/v1", "");
        let id = Uuid::new_v4().to_string();
        let path = path.split('/').map(|part| if part.starts_with('{') { id.as_str() } else { part });
        let path = path.collect::<Vec<_>>().join("/");
        let call = match *route.method() {
            Method::PATCH => shop.patch(&path),
            Method::PUT => shop.put(&path),
            _ => shop.post(&path),
        };
        let reply = call.by(&shop.admin).json(&json!({ "noSuchMember": 1 })).send().await;
        assert!(reply.mistakes().contains(&"noSuchMember".to_owned()), "{path}: {}", reply.json());
        seen += 1;
    }
    assert!(seen >= 8, "only {seen} routes");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delete_with_a_body_does_nothing() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1", "A-2", "A-3", "A-4"]).await;
    let id = bought["reservationId"].as_str().unwrap();
    let path = format!("/reservations/{id}");
    let refused = shop.delete(&path).by(&buyer).json(&json!({ "seatIds": ["A-1"] })).send().await;
    assert_eq!(refused.mistakes(), [""]);
    shop.delete(&path).json(&json!({ "seatIds": ["A-1"] })).send().await.refused(401, "UNAUTHENTICATED");

    // Chunked, the length is not known before the body is read; an empty one is none.
    let raw = |chunks: &str| {
        let head = format!("DELETE /api/v1{path} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}", buyer.token);
        server.raw(&format!("{head}\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{chunks}")).unwrap()
    };
    assert!(raw("2\r\n{}\r\n0\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert_eq!(shop.reservation(&buyer, &bought).await["status"], "CONFIRMED");
    let answer = raw("0\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(shop.reservation(&buyer, &bought).await["status"], "CANCELLED");

    // Every route, with every caller and every body.
    for path in ["/queue/leave?eventId=x", "/users/me", "/reservations/hold/7", &format!("/events/{}", Uuid::new_v4())]
    {
        let refused = shop.delete(path).by(&shop.admin).header("content-type", "text/plain").body("x").send().await;
        assert_eq!(refused.mistakes(), [""], "{path}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn text_is_the_same_however_its_characters_are_composed() {
    let server = Server::start().await;
    let shop = server.shop();
    let seat = json!({ "seat_guid": APART, "seat_number": "1", "position": { "x": 0, "y": 0 }, "category": APART });
    let next = json!({ "seat_guid": "g2", "seat_number": "2", "position": { "x": 1, "y": 0 }, "category": APART });
    let plan = json!({
        "name": "Example hall", "categories": [{ "name": APART, "color": "#337ab7" }],
        "zones": [{ "name": "", "position": { "x": 0, "y": 0 },
            "rows": [{ "row_number": "1", "position": { "x": 0, "y": 0 }, "seats": [seat, next] }] }],
    });
    let hall = shop.hall(&json!({ "seatingPlan": plan })).await;
    // Escapes are composed like everything else.
    for price in [json!({ TOGETHER: 5 }), json!({ APART: 5 })] {
        let event = shop.event(&hall, &json!({ "prices": price, "title": APART })).await;
        let read = shop.get(&format!("/events/{event}")).send().await.expect(200);
        assert_eq!(read["title"], TOGETHER);
        for (buyer, category) in [(shop.buyer(), APART), (shop.buyer(), TOGETHER)] {
            let body = json!({ "eventId": event, "category": category, "quantity": 1 });
            let held = shop.post("/reservations/hold").by(&buyer).json(&body).send().await.expect(201);
            let hold = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
            shop.delete(&hold).by(&buyer).send().await.expect(204);
        }
        for (buyer, id) in [(shop.buyer(), APART), (shop.buyer(), TOGETHER)] {
            let held = shop.hold(&event, &buyer, &[id]).await.expect(201);
            let hold = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
            shop.delete(&hold).by(&buyer).send().await.expect(204);
        }
    }
    for q in ["%E1%84%90%E1%85%B3%E1%86%A8", "%ED%8A%B9"] {
        let found = shop.get(&format!("/events?q={q}")).send().await.expect(200);
        assert_eq!(found["totalElements"], 2, "{q}");
    }
    let twice = format!("{{\"name\":\"x\",\"{APART}\":1,\"{TOGETHER}\":2}}");
    shop.post("/venues").by(&shop.admin).text(&twice).send().await.refused(400, "MALFORMED_JSON");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_byte_order_mark_is_skipped_and_utf_16_is_named() {
    let server = Server::start().await;
    let shop = server.shop();
    let venue = "{\"name\":\"House\",\"address\":\"1 Road\",\"city\":\"Seoul\"}";
    let made = shop.post("/venues").by(&shop.admin).text(&format!("\u{feff}{venue}")).send().await.expect(201);
    let seats = "{\"rows\":[\"A\"],\"seatsPerRow\":1,\"gradeMapping\":{\"A\":\"S\"}}";
    let hall = format!("\u{feff}{{\"name\":\"Hall\",\"seatTemplate\":{seats}}}");
    let halls = format!("/venues/{}/halls", id_of(&made));
    shop.post(&halls).by(&shop.admin).text(&hall).send().await.expect(201);
    let wide: Vec<u8> = format!("\u{feff}{venue}").encode_utf16().flat_map(u16::to_le_bytes).collect();
    let call = shop.post("/venues").by(&shop.admin).header("content-type", "application/json").bytes(wide);
    let refused = call.send().await.refused(400, "MALFORMED_JSON");
    assert!(refused["detail"].as_str().unwrap().contains("UTF-16"), "{refused}");
    server.stop().await;
}

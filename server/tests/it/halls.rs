//! Halls as their authors draw them, and what buyers get of them: best seats by distance, kinds, pairs, sections, labels, previews.

use crate::harness::Server;
use crate::shop::Shop;
use serde_json::{Value, json};

/// A plan of these rows in one zone, all of category A.
fn plan(rows: Value) -> Value {
    json!({ "name": "Example", "categories": [{ "name": "A", "color": "#337ab7" }],
        "zones": [{ "name": "", "position": { "x": 0, "y": 0 }, "rows": rows }] })
}

fn row(label: &str, y: i64, seats: &[(&str, i64)]) -> Value {
    let seat = |(id, x): &(&str, i64)| json!({ "seat_guid": id, "seat_number": id, "position": { "x": x, "y": 0 }, "category": "A" });
    json!({ "row_number": label, "position": { "x": 0, "y": y }, "seats": seats.iter().map(seat).collect::<Vec<_>>() })
}

/// Seats 1 to 6 as they are numbered, drawn 5 3 1 2 4 6.
fn row_listed_by_number() -> Value {
    plan(json!([row("A", 0, &[("A1", 0), ("A2", 25), ("A3", -25), ("A4", 50), ("A5", -50), ("A6", 75)])]))
}

fn stalls_and_balcony() -> Value {
    let zone = |name: &str, y: i64| {
        let rows: Vec<Value> = ["A", "B", "C", "D"]
            .iter()
            .zip(1..)
            .map(|(label, number)| {
                let seats: Vec<Value> = (1..=4)
                    .map(|seat| {
                        json!({
                "seat_guid": format!("{name}-{number}-{seat}"), "seat_number": seat.to_string(),
                "position": { "x": 25 * seat, "y": 0 }, "category": "A" })
                    })
                    .collect();
                json!({ "row_number": label, "position": { "x": 0, "y": 30 * number }, "seats": seats })
            })
            .collect();
        json!({ "name": name, "position": { "x": 0, "y": y }, "rows": rows })
    };
    json!({ "name": "Example", "categories": [{ "name": "A" }], "zones": [zone("Balcony", 1000), zone("Stalls", 0)] })
}

async fn on_sale(shop: &Shop, hall: &Value, rules: Value) -> String {
    let hall = shop.hall(hall).await;
    let mut changes = json!({ "prices": { "A": 1000 }, "maxSeatsPerBuyer": 100 });
    changes.as_object_mut().unwrap().extend(rules.as_object().unwrap().clone());
    shop.event(&hall, &changes).await
}

/// The ids of the seats that the best of a request are, in order.
async fn best(shop: &Shop, event: &str, request: Value) -> Vec<String> {
    let mut body = json!({ "eventId": event, "category": "A" });
    body.as_object_mut().unwrap().extend(request.as_object().unwrap().clone());
    let held = shop.post("/reservations/hold").by(&shop.buyer()).json(&body).send().await.expect(201);
    held["seats"].as_array().unwrap().iter().map(|seat| seat["seatId"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn neighbours_are_those_who_are_drawn_side_by_side() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = on_sale(&shop, &json!({ "seatingPlan": row_listed_by_number() }), json!({ "noOrphans": true })).await;
    let map = shop.get(&format!("/events/{event}/seats")).send().await.expect(200);
    let seats = map["plan"]["sections"][0]["rows"][0]["seats"].as_array().unwrap();
    let ids: Vec<&str> = seats.iter().map(|seat| seat["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["A5", "A3", "A1", "A2", "A4", "A6"]);
    let hold = |ids: &[&str]| {
        let body = json!({ "eventId": event, "seatIds": ids });
        shop.post("/reservations/hold").by(&shop.buyer()).json(&body).send()
    };
    let refused = hold(&["A3"]).await.refused(409, "ORPHAN_SEAT");
    assert_eq!(refused["orphanSeatIds"], json!(["A5"]));
    hold(&["A3", "A5"]).await.expect(201);
    assert_eq!(best(&shop, &event, json!({ "quantity": 2 })).await, ["A1", "A2"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_are_nearest_to_the_stage_and_the_answer_says_which_one_was_assumed() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = format!("/venues/{}/halls", shop.venue().await);
    let make = |extra: Value| {
        let mut body = json!({ "name": "x", "seatingPlan": stalls_and_balcony() });
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        shop.post(&path).by(&shop.admin).json(&body).send()
    };
    let hall = make(json!({})).await.expect(201);
    assert_eq!(hall["stage"]["source"], "FACING");
    assert_eq!(shop.get(&format!("/halls/{}", hall["id"].as_str().unwrap())).send().await.expect(200), hall);
    let event =
        shop.event(hall["id"].as_str().unwrap(), &json!({ "prices": { "A": 1 }, "maxSeatsPerBuyer": 100 })).await;
    for (row, of) in (1..=4).map(|row| (row, "Stalls")).chain((1..=4).map(|row| (row, "Balcony"))) {
        let expected: Vec<String> = (1..=4).map(|seat| format!("{of}-{row}-{seat}")).collect();
        assert_eq!(best(&shop, &event, json!({ "quantity": 4 })).await, expected);
    }

    let given = make(json!({ "stage": { "x": 60, "y": 3000.5 } })).await.expect(201);
    assert_eq!(given["stage"], json!({ "x": 60.0, "y": 3000.5, "source": "GIVEN" }));
    let event = shop.event(given["id"].as_str().unwrap(), &json!({ "prices": { "A": 1 } })).await;
    assert_eq!(best(&shop, &event, json!({ "quantity": 1 })).await, ["Balcony-4-2"]);
    assert_eq!(make(json!({ "stage": { "x": "left" } })).await.mistakes(), ["stage.x", "stage.y"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_what_a_hall_would_be_and_keeps_nothing() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = format!("/venues/{}/halls", shop.venue().await);
    let mut plan = stalls_and_balcony();
    plan["zones"][1]["areas"] = json!([{ "shape": "rectangle", "position": { "x": 10, "y": -90 },
        "rectangle": { "width": 100, "height": 40 }, "text": { "text": "무대", "position": { "x": 0, "y": 0 } } }]);
    plan["zones"][1]["rows"][3]["row_number"] = json!("A");
    let body = json!({ "name": "x", "seatingPlan": plan });
    let preview = shop.post(&format!("{path}?dryRun=true")).by(&shop.admin).json(&body).send().await.expect(200);
    assert_eq!((&preview["capacity"], &preview["categories"]), (&json!(32), &json!(["A"])));
    assert_eq!(preview["stage"], json!({ "x": 60.0, "y": -70.0, "source": "AREA" }));
    assert_eq!(
        (&preview["warnings"][0]["code"], &preview["warnings"][0]["count"]),
        (&json!("DUPLICATE_LABEL"), &json!(4))
    );
    let blocks = preview["ranking"][0]["blocks"].as_array().unwrap();
    assert_eq!(
        (blocks.len(), &blocks[0]["from"], &blocks[7]["from"]),
        (8, &json!("Stalls-1-1"), &json!("Balcony-4-1"))
    );
    let columns = &preview["columns"];
    assert_eq!((&columns["version"], columns["dx"].as_array().unwrap().len()), (&json!(1), 32));
    assert_eq!(columns["shapes"][0]["text"], "무대");
    assert_eq!(columns["ids"].as_array().unwrap().len(), 2);
    assert_eq!(shop.get(&path).send().await.expect(200)["totalElements"], 0);
    let nowhere = format!("/venues/{}/halls?dryRun=true", uuid::Uuid::new_v4());
    shop.post(&nowhere).by(&shop.admin).json(&body).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_cause_is_one_mistake_and_names_both_places_of_a_repeated_id() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = format!("/venues/{}/halls", shop.venue().await);
    let send = |plan: Value| shop.post(&path).by(&shop.admin).json(&json!({ "name": "x", "seatingPlan": plan })).send();
    let twice = send(plan(json!([row("A", 0, &[("H-1", 0), ("H-2", 25)]), row("B", 30, &[("H-2", 0)])]))).await;
    assert_eq!(twice.mistakes(), ["zones[0].rows[1].seats[0].seat_guid"]);
    let body = twice.json();
    let message = body["errors"][0]["message"].as_str().unwrap();
    assert!(
        message.contains("zones[0].rows[0].seats[1]") && message.contains("zones[0].rows[1].seats[0]"),
        "{message}"
    );

    let mut wrong = plan(json!([]));
    let seats: Vec<Value> = (0..150)
        .map(|n| {
            json!({ "seat_guid": format!("s{n}"), "seat_number": "1",
        "position": { "x": n, "y": 0 }, "category": "B" })
        })
        .collect();
    wrong["zones"][0]["rows"] = json!([{ "row_number": "1", "seats": seats }]);
    let found = send(wrong).await;
    assert_eq!(found.mistakes(), ["zones[0].rows[0].seats[0].category"]);
    let body = found.json();
    assert!(body["errors"][0]["message"].as_str().unwrap().contains("150 times"), "{body}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_a_plan_are_composed_a_mark_is_skipped_and_utf_16_is_named() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = format!("/venues/{}/halls", shop.venue().await);
    let plan = json!({ "categories": [{ "name": "\u{1110}\u{1173}\u{11a8}\u{1109}\u{1165}\u{11a8}" }], "zones": [{ "position": { "x": 0, "y": 0 },
        "rows": [{ "row_number": "1", "seats": [{ "seat_guid": "\u{1100}\u{1161}", "seat_number": "1", "position": { "x": 0, "y": 0 },
            "category": "특석" }] }] }] });
    let text = json!({ "name": "x", "seatingPlan": plan }).to_string();
    let marked = shop.post(&path).by(&shop.admin).text(&format!("\u{feff}{text}")).send().await.expect(201);
    assert_eq!(marked["categories"], json!(["특석"]));
    // Every second byte is zero.
    let utf_16: String = json!({}).to_string().chars().flat_map(|c| [c, '\0']).collect();
    let refused = shop.post(&path).by(&shop.admin).text(&utf_16).send().await.refused(400, "MALFORMED_JSON");
    assert!(refused["detail"].as_str().unwrap().contains("UTF-16"), "{refused}");
    let event = shop.event(marked["id"].as_str().unwrap(), &json!({ "prices": { "특석": 1 } })).await;
    let map = shop.get(&format!("/events/{event}/seats")).send().await.expect(200);
    assert_eq!(map["plan"]["sections"][0]["rows"][0]["seats"][0]["id"], "가");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kinds_sections_and_pairs_are_asked_for_by_name() {
    let server = Server::start().await;
    let shop = server.shop();
    let mut drawn = stalls_and_balcony();
    let front = &mut drawn["zones"][1]["rows"][0]["seats"];
    front[0]["kind"] = json!("WHEELCHAIR");
    front[1]["kind"] = json!("COMPANION");
    (front[2]["pair"], front[3]["pair"]) = (json!("sofa"), json!("sofa"));
    drawn["zones"][1]["rows"][0]["row_label"] = json!("Reihe %s");
    drawn["zones"][1]["rows"][0]["seat_label"] = json!("Platz %s");
    let event = on_sale(&shop, &json!({ "seatingPlan": drawn }), json!({})).await;
    let map = shop.get(&format!("/events/{event}/seats")).send().await.expect(200);
    let first = map["plan"]["sections"][0]["rows"][0]["seats"].as_array().unwrap();
    let marks: Vec<_> = first.iter().map(|seat| (seat["kind"].as_str(), seat["pair"].as_str())).collect();
    assert_eq!(
        marks,
        [(Some("WHEELCHAIR"), None), (Some("COMPANION"), None), (None, Some("sofa")), (None, Some("sofa"))]
    );

    assert_eq!(best(&shop, &event, json!({ "quantity": 1 })).await, ["Stalls-2-2"]);
    assert_eq!(best(&shop, &event, json!({ "quantity": 1, "kind": "WHEELCHAIR" })).await, ["Stalls-1-1"]);
    assert_eq!(best(&shop, &event, json!({ "quantity": 1, "section": "Balcony" })).await, ["Balcony-1-2"]);
    let hold = |body: Value| {
        let mut whole = json!({ "eventId": event });
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        shop.post("/reservations/hold").by(&shop.buyer()).json(&whole).send()
    };
    let half = hold(json!({ "seatIds": ["Stalls-1-3"] })).await.refused(409, "SEATS_SOLD_IN_PAIRS");
    assert_eq!(half["missingSeatIds"], json!(["Stalls-1-4"]));
    assert_eq!(half["alternative"]["seatIds"], json!(["Stalls-1-3", "Stalls-1-4"]));
    let whole = hold(json!({ "category": "A", "quantity": 2 })).await.expect(201);
    assert_eq!(whole["seats"][0]["seatId"], "Stalls-1-3");
    assert_eq!(whole["seats"][0]["label"], "Stalls, Reihe A, Platz 3");
    hold(json!({ "category": "A", "quantity": 1, "section": "Boxes" })).await.refused(404, "NOT_FOUND");
    hold(json!({ "category": "A", "quantity": 2, "kind": "WHEELCHAIR" })).await.refused(409, "SEAT_UNAVAILABLE");
    assert_eq!(hold(json!({ "category": "A", "quantity": 1, "kind": "SOFA" })).await.mistakes(), ["kind"]);
    assert_eq!(hold(json!({ "seatIds": ["Stalls-2-1"], "section": "Stalls" })).await.mistakes(), ["seatIds"]);
    server.stop().await;
}

//! Venues, halls, events and the seat map, with every refusal that they know.

use crate::harness::Server;
use crate::shop::{Shop, in_days};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_lives_from_its_making_to_its_end() {
    let server = Server::start().await;
    let shop = server.shop();
    let body = json!({ "name": "House", "address": "1 Road", "city": "Seoul" });
    let made = shop.post("/venues").by(&shop.admin).json(&body).send().await;
    let venue = made.expect(201);
    let path = format!("/venues/{}", venue["id"].as_str().unwrap());
    assert_eq!(
        (made.header("location"), &venue["timeZone"]),
        (format!("/api/v1{path}").as_str(), &json!("Asia/Seoul"))
    );
    assert_eq!(shop.get(&path).send().await.expect(200), venue);
    let changed =
        shop.patch(&path).by(&shop.admin).json(&json!({ "timeZone": "Europe/Vienna" })).send().await.expect(200);
    assert_eq!((&changed["timeZone"], &changed["name"]), (&json!("Europe/Vienna"), &json!("House")));

    let hall =
        json!({ "name": "Main", "seatTemplate": { "rows": ["A"], "seatsPerRow": 2, "gradeMapping": { "A": "VIP" } } });
    let hall = shop.post(&format!("{path}/halls")).by(&shop.admin).json(&hall).send().await.expect(201);
    assert_eq!((&hall["capacity"], &hall["categories"], &hall["venueId"]), (&json!(2), &json!(["VIP"]), &venue["id"]));
    let halls = shop.get(&format!("{path}/halls")).send().await.expect(200);
    assert_eq!(halls, json!({ "items": [hall], "page": 0, "size": 20, "totalElements": 1 }));
    shop.delete(&path).by(&shop.admin).send().await.refused(409, "VENUE_HAS_HALLS");

    let (short, long) =
        (format!("/halls/{}", hall["id"].as_str().unwrap()), format!("{path}/halls/{}", hall["id"].as_str().unwrap()));
    for at in [&short, &long] {
        assert_eq!(shop.get(at).send().await.expect(200), hall);
    }
    shop.get(&format!("/venues/{}/halls/{}", Uuid::new_v4(), hall["id"].as_str().unwrap()))
        .send()
        .await
        .refused(404, "NOT_FOUND");
    let renamed = shop.patch(&long).by(&shop.admin).json(&json!({ "name": "Small" })).send().await.expect(200);
    assert_eq!(renamed["name"], "Small");
    shop.delete(&short).by(&shop.admin).send().await.expect(204);
    shop.delete(&short).by(&shop.admin).send().await.refused(404, "NOT_FOUND");
    shop.delete(&path).by(&shop.admin).send().await.expect(204);
    shop.get(&path).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_come_in_their_order_bearer_role_body_existence() {
    let server = Server::start().await;
    let shop = server.shop();
    let (buyer, admin) = (shop.buyer(), &shop.admin);
    let nowhere = format!("/venues/{}", Uuid::new_v4());
    shop.patch(&nowhere).text("{").send().await.refused(401, "UNAUTHENTICATED");
    shop.patch(&nowhere).by(&buyer).text("{").send().await.refused(403, "FORBIDDEN");
    shop.patch(&nowhere).by(admin).text("{").send().await.refused(400, "MALFORMED_JSON");
    assert_eq!(shop.patch(&nowhere).by(admin).json(&json!({ "name": "" })).send().await.mistakes(), ["name"]);
    shop.patch(&nowhere).by(admin).json(&json!({ "name": "x" })).send().await.refused(404, "NOT_FOUND");
    shop.patch("/venues/7").by(admin).json(&json!({ "name": "x" })).send().await.refused(404, "NOT_FOUND");
    let wrong = json!({ "name": 7, "timeZone": "Nowhere/Land" });
    assert_eq!(
        shop.post("/venues").by(admin).json(&wrong).send().await.mistakes(),
        ["name", "address", "city", "timeZone"]
    );
    assert_eq!(shop.post("/venues").by(admin).json(&json!([])).send().await.mistakes(), [""]);
    assert_eq!(shop.get("/venues?size=101&page=-1").send().await.mistakes(), ["page", "size"]);
    let patched = shop.patch("/venues").by(admin).json(&json!({})).send().await;
    patched.refused(405, "METHOD_NOT_ALLOWED");
    assert_eq!(patched.header("allow"), "GET, HEAD, POST");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_halls_mistakes_are_named_by_their_path() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = format!("/venues/{}/halls", shop.venue().await);
    let send = |body: Value| {
        let call = shop.post(&path).by(&shop.admin).json(&body);
        async move { call.send().await.mistakes() }
    };
    assert_eq!(send(json!({})).await, ["name", "seatTemplate"]);
    assert_eq!(send(json!({ "name": "x", "seatTemplate": {}, "seatingPlan": {} })).await, ["seatingPlan"]);
    let template = json!({ "rows": ["A", "B"], "seatsPerRow": 0, "gradeMapping": { "A": "VIP" } });
    let found = send(json!({ "name": "x", "seatTemplate": template })).await;
    assert!(found.contains(&"seatTemplate.seatsPerRow".to_owned()), "{found:?}");
    assert!(found.contains(&"seatTemplate.gradeMapping.B".to_owned()), "{found:?}");
    let seat = |id: &str, category: &str| json!({ "seat_guid": id, "seat_number": id, "position": { "x": 0, "y": 0 }, "category": category });
    let plan = json!({
        "categories": [{ "name": "VIP", "color": "#fff" }],
        "zones": [{ "rows": [{ "row_number": "A", "seats": [seat("1", "VIP"), seat("1", "VIP"), seat("2", "GONE")] }] }],
    });
    let found = send(json!({ "seatingPlan": plan })).await;
    assert_eq!(found, ["name", "zones[0].rows[0].seats[1].seat_guid", "zones[0].rows[0].seats[2].category"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_lives_from_its_making_to_its_end() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let later = json!({ "saleStartsAt": in_days(1), "description": "One night only" });
    let event = shop.event(&hall, &later).await;
    let path = format!("/events/{event}");
    let read = shop.get(&path).send().await.expect(200);
    assert_eq!(
        (&read["status"], &read["minPrice"], &read["maxPrice"]),
        (&json!("UPCOMING"), &json!(90_000), &json!(150_000))
    );
    assert_eq!(
        read["categories"][0],
        json!({ "name": "VIP", "price": 150_000, "total": 10, "available": 10, "blocked": 0 })
    );

    // Anything before the opening; what is wrong or unknown is reported.
    let change = |body: Value| shop.patch(&path).by(&shop.admin).json(&body).send();
    let dearer = change(json!({ "prices": { "VIP": 200_000 }, "admission": { "capacity": 7 } })).await.expect(200);
    assert_eq!(
        (&dearer["maxPrice"], &dearer["minPrice"], &dearer["admission"]["capacity"]),
        (&json!(200_000), &json!(90_000), &json!(7))
    );
    assert_eq!(dearer["admission"]["required"], false, "what a patch does not name stays");
    assert_eq!(
        change(json!({ "prices": { "B": 1 }, "endsAt": in_days(1) })).await.mistakes(),
        ["endsAt", "endsAt", "prices.B"]
    );
    assert_eq!(change(json!({ "holdSeconds": 3601, "title": null })).await.mistakes(), ["title", "holdSeconds"]);
    let unknown = change(json!({ "maxSeatPerBuyer": 2, "admission": { "ratePerSec": null } })).await;
    assert_eq!(unknown.mistakes(), ["admission.ratePerSec", "maxSeatPerBuyer"]);
    let hint = &unknown.json()["errors"][1]["message"];
    assert_eq!(hint, "unknown member; did you mean maxSeatsPerBuyer?");
    change(json!({ "hallId": Uuid::new_v4().to_string() })).await.refused(404, "NOT_FOUND");
    let bigger = shop.small_hall(&["A", "B", "C"], 10).await;
    let moved = change(json!({ "hallId": bigger })).await.expect(200);
    assert_eq!(moved["seats"]["total"], 30);

    // After it, text only.
    let opened = change(json!({ "saleStartsAt": in_days(-1) })).await.expect(200);
    assert_eq!(opened["status"], "ON_SALE");
    change(json!({ "prices": { "VIP": 1 } })).await.refused(409, "SALE_STARTED");
    change(json!({ "endsAt": in_days(40) })).await.refused(409, "SALE_STARTED");
    let actual = change(json!({ "title": "Night", "description": null })).await.expect(200);
    assert_eq!((&actual["title"], &actual["description"]), (&json!("Night"), &Value::Null));

    let held = shop.hold(&event, &shop.admin, &["A-1"]).await.expect(201);
    shop.delete(&path).by(&shop.admin).send().await.refused(409, "EVENT_HAS_RESERVATIONS");
    let hold = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap());
    shop.delete(&hold).by(&shop.admin).send().await.expect(204);
    shop.delete(&path).by(&shop.admin).send().await.expect(204);
    for call in [shop.get(&path), shop.get(&format!("{path}/seats")), shop.delete(&path).by(&shop.admin)] {
        call.send().await.refused(404, "NOT_FOUND");
    }
    shop.hold(&event, &shop.admin, &["A-1"]).await.refused(404, "NOT_FOUND");
    let listed = shop.get("/reservations").by(&shop.admin).send().await.expect(200);
    assert_eq!(listed["items"][0]["seats"][0]["seatId"], "A-1", "what is over stays listed");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_mistake_of_an_event_is_named_at_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let send = |changes: Value| {
        let call = shop.post("/events").by(&shop.admin).json(&Shop::event_body(&hall, &changes));
        async move { call.send().await }
    };
    let wrong = json!({
        "title": "", "endsAt": in_days(29), "saleEndsAt": in_days(28), "currency": "krw", "prices": { "VIP": -1, "C": 1 }, "holdSeconds": 0,
        "maxSeatsPerBuyer": 101, "admission": { "ratePerSecond": 100_001, "tokenSeconds": 0 },
    });
    let expected = [
        "title",
        "currency",
        "prices.VIP",
        "maxSeatsPerBuyer",
        "holdSeconds",
        "admission.ratePerSecond",
        "admission.tokenSeconds",
        "endsAt",
        "prices.C",
    ];
    let mut found = send(wrong).await.mistakes();
    found.sort_by_key(|field| expected.iter().position(|known| known == field));
    assert_eq!(found, expected);
    assert_eq!(send(json!({ "hallId": "x" })).await.mistakes(), ["hallId"]);
    send(json!({ "hallId": Uuid::new_v4().to_string() })).await.refused(404, "NOT_FOUND");
    assert_eq!(shop.post("/events").by(&shop.admin).json(&json!({})).send().await.mistakes().len(), 9);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_listed_filtered_and_sorted() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 1).await;
    let soon = shop
        .event(
            &hall,
            &json!({ "title": "Beta", "startsAt": in_days(10), "endsAt": in_days(11), "saleEndsAt": in_days(9) }),
        )
        .await;
    let upcoming = json!({ "title": "Alpha", "artist": "Quartet", "saleStartsAt": in_days(1) });
    let upcoming = shop.event(&hall, &upcoming).await;
    let ended =
        shop.event(&hall, &json!({ "title": "Gamma", "saleStartsAt": in_days(-9), "saleEndsAt": in_days(-8) })).await;
    let sold = shop.event(&hall, &json!({ "title": "Delta" })).await;
    shop.buy(&sold, &shop.buyer(), &["A-1", "B-1"]).await;
    let cancelled = shop.event(&hall, &json!({ "title": "Epsilon" })).await;
    shop.post(&format!("/admin/events/{cancelled}/cancel")).by(&shop.admin).send().await.expect(200);

    let ids = |list: Value| {
        list["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let list = async |query: &str| ids(shop.get(&format!("/events{query}")).send().await.expect(200));
    assert_eq!(list("").await, [&cancelled, &sold, &ended, &upcoming, &soon].map(Clone::clone), "newest first");
    assert_eq!(list("?sort=title&size=2").await, [upcoming.clone(), soon.clone()]);
    assert_eq!(list("?sort=startsAt&size=1").await, [soon.as_str()]);
    assert_eq!(list("?q=quart").await, [upcoming.as_str()]);
    assert_eq!(list(&format!("?to={}", in_days(20))).await, [soon.as_str()]);
    for (status, event) in
        [("ON_SALE", &soon), ("UPCOMING", &upcoming), ("ENDED", &ended), ("SOLD_OUT", &sold), ("CANCELLED", &cancelled)]
    {
        let read = shop.get(&format!("/events/{event}")).send().await.expect(200);
        assert_eq!(read["status"], status);
        eventually(async || list(&format!("?status={status}")).await, std::slice::from_ref(event)).await;
    }
    let page = shop.get("/events?page=2&size=2").send().await.expect(200);
    assert_eq!((&page["page"], &page["size"], &page["totalElements"]), (&json!(2), &json!(2), &json!(5)));
    assert_eq!(
        shop.get("/events?sort=price&status=X&venueId=7").send().await.mistakes(),
        ["sort", "status", "venueId"]
    );
    server.stop().await;
}

/// Reads of the catalogue's cache so far: hits and misses.
async fn cache_reads(shop: &Shop) -> [u64; 2] {
    let text = shop.probe("/metrics").await;
    let text = String::from_utf8(text.body.to_vec()).unwrap();
    ["hit", "miss"].map(|outcome| {
        let name = format!("onsale_cache_reads_total{{outcome=\"{outcome}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&*name)).unwrap().parse().unwrap()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_is_read_once_for_all_who_ask() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let [hits, misses] = cache_reads(&shop).await;
    let calls: Vec<_> = (0..100).map(|_| tokio::spawn(shop.get("/events").send())).collect();
    for call in calls {
        assert_eq!(call.await.unwrap().expect(200)["items"][0]["id"], event.as_str());
    }
    assert_eq!(cache_reads(&shop).await, [hits + 99, misses + 1]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_is_in_the_next_list() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 1).await;
    let venue = shop.get(&format!("/halls/{hall}")).send().await.expect(200)["venueId"].as_str().unwrap().to_owned();
    let list = async || shop.get("/events").send().await.expect(200);
    let first = async || list().await["items"][0].clone();
    assert_eq!(list().await["totalElements"], 0);

    let event = shop.event(&hall, &json!({ "title": "Evening", "saleStartsAt": in_days(1) })).await;
    assert_eq!((&first().await["id"], &first().await["status"]), (&json!(event), &json!("UPCOMING")));
    let path = format!("/events/{event}");
    let change = json!({ "title": "Night", "saleStartsAt": in_days(-1), "prices": { "VIP": 200_000 } });
    shop.patch(&path).by(&shop.admin).json(&change).send().await.expect(200);
    let night = first().await;
    assert_eq!((&night["title"], &night["maxPrice"]), (&json!("Night"), &json!(200_000)));
    assert_eq!(night["status"], "ON_SALE");
    shop.patch(&format!("/venues/{venue}")).by(&shop.admin).json(&json!({ "name": "Palace" })).send().await.expect(200);
    assert_eq!(first().await["venueName"], "Palace");
    let other = json!({ "startsAt": in_days(40), "endsAt": in_days(41), "reason": "Storm" });
    let postponed = format!("/admin/events/{event}/postpone");
    shop.post(&postponed).by(&shop.admin).json(&other).send().await.expect(200);
    let moved = first().await["startsAt"].clone();
    assert_ne!(moved, night["startsAt"]);
    assert_eq!(moved, shop.get(&path).send().await.expect(200)["startsAt"]);

    // What is live is the sale's, whatever is kept.
    shop.buy(&event, &shop.buyer(), &["A-1", "B-1"]).await;
    assert_eq!(first().await["status"], "SOLD_OUT");
    shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.admin).send().await.expect(200);
    assert_eq!(first().await["status"], "CANCELLED");
    assert_eq!(shop.get("/events?status=CANCELLED").send().await.expect(200)["totalElements"], 1);

    let gone = shop.event(&hall, &json!({ "title": "Gone" })).await;
    assert_eq!((list().await["totalElements"].clone(), first().await["id"].clone()), (json!(2), json!(gone)));
    shop.delete(&format!("/events/{gone}")).by(&shop.admin).send().await.expect(204);
    assert_eq!(list().await["totalElements"], 1);
    server.stop().await;
}

/// Lists by what the tables know of sales come a moment behind.
async fn eventually(read: impl AsyncFn() -> Vec<String>, expected: &[String]) {
    let began = Instant::now();
    loop {
        let found = read().await;
        if found == expected {
            return;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{found:?} instead of {expected:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn making_things_with_a_key_makes_them_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let venue = json!({ "name": "House", "address": "1 Road", "city": "Seoul" });
    let make = |body: &Value, key: &str| shop.post("/venues").by(&shop.admin).key(key).json(body).send();
    let (first, second) = tokio::join!(make(&venue, "k-1"), make(&venue, "k-1"));
    assert_eq!((first.expect(201), first.header("location")), (second.expect(201), second.header("location")));
    let other = json!({ "name": "Other", "address": "1 Road", "city": "Seoul" });
    make(&other, "k-1").await.refused(422, "IDEMPOTENCY_KEY_REUSED");
    assert_ne!(make(&venue, "k-2").await.expect(201), first.json());
    assert_eq!(make(&venue, &"k".repeat(256)).await.mistakes(), ["Idempotency-Key"]);
    assert_eq!(shop.get("/venues").send().await.expect(200)["totalElements"], 2);

    let body = Shop::event_body(&shop.small_hall(&["A", "B"], 2).await, &json!({}));
    let make = || shop.post("/events").by(&shop.admin).key("e-1").json(&body).send();
    let event = make().await.expect(201);
    assert_eq!(make().await.expect(201), event);
    assert_eq!(shop.get("/events").send().await.expect(200)["totalElements"], 1);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stadiums_map_comes_compressed_tagged_and_at_once() {
    let server = Server::start().await;
    let shop = server.shop();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../halls/stadium.json");
    let plan: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    let hall = shop.hall(&json!({ "seatingPlan": plan })).await;
    let categories = shop.get(&format!("/halls/{hall}")).send().await.expect(200)["categories"].clone();
    let price = |name: &Value| (name.as_str().unwrap().to_owned(), json!(1000));
    let prices: serde_json::Map<String, Value> = categories.as_array().unwrap().iter().map(price).collect();
    let event = shop.event(&hall, &json!({ "prices": prices })).await;

    let path = format!("/events/{event}/seats");
    let plain = shop.get(&path).send().await;
    let map = plain.expect(200);
    let sections = map["plan"]["sections"].as_array().unwrap();
    let seats =
        sections.iter().flat_map(|s| s["rows"].as_array().unwrap()).flat_map(|r| r["seats"].as_array().unwrap());
    assert_eq!(seats.count(), 56_670);
    let tag = plain.header("etag").to_owned();
    assert!(tag.starts_with("W/\""));

    // The best of a few, because other tests run beside this one.
    let mut best = Duration::MAX;
    let mut gzipped = plain.clone();
    for _ in 0..10 {
        let began = Instant::now();
        gzipped = shop.get(&path).header("accept-encoding", "gzip").send().await;
        best = best.min(began.elapsed());
    }
    assert!(best < Duration::from_millis(50), "a cached map took {best:?}");
    assert_eq!((gzipped.header("content-encoding"), gzipped.header("etag")), ("gzip", tag.as_str()));
    assert_eq!(gzipped.header("content-length"), gzipped.body.len().to_string());
    assert!(gzipped.header("vary").eq_ignore_ascii_case("accept-encoding"));
    assert!(gzipped.body.len() * 4 < plain.body.len());
    let mut unpacked = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(gzipped.body.as_ref()), &mut unpacked).unwrap();
    assert_eq!(unpacked, plain.body);

    let known = shop.get(&path).header("if-none-match", &tag).send().await;
    assert_eq!((known.status, known.body.len(), known.header("etag")), (304, 0, tag.as_str()));
    shop.get(&format!("/events/{}/seats", Uuid::new_v4())).send().await.refused(404, "NOT_FOUND");
    server.stop().await;
}

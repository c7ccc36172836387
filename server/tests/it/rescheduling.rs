//! Times of an event that change while it sells: its venue's zone is corrected, it is postponed. What its buyers may do then, what
//! the record and the outbox say, and what a crash in between leaves.

use crate::harness::Server;
use crate::shop::{Reply, Shop, TIMEOUT, id_of, in_days, in_seconds, zone_at_noon};
use onsale_adapters::private_postgres::TestDatabase;
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// A venue in a zone, a hall of it, and an event that begins at an hour of a day far away; the ids of all three.
async fn evening(shop: &Shop, zone: &str) -> (String, String, String) {
    let venue = json!({ "name": "House", "address": "1 Road", "city": "Example Town", "timeZone": zone });
    let venue = id_of(&shop.post("/venues").by(&shop.admin).json(&venue).send().await.expect(201));
    let hall =
        json!({ "name": "Hall", "seatTemplate": { "rows": ["A"], "seatsPerRow": 8, "gradeMapping": { "A": "S" } } });
    let hall =
        id_of(&shop.post(&format!("/venues/{venue}/halls")).by(&shop.admin).json(&hall).send().await.expect(201));
    let event = shop.event(&hall, &at("2041-06-02T10:00:00Z", "2041-06-02T13:00:00Z")).await;
    (venue, hall, event)
}

fn at(starts: &str, ends: &str) -> Value {
    json!({ "prices": { "S": 90_000 }, "startsAt": starts, "endsAt": ends, "saleEndsAt": starts })
}

async fn closes_at(shop: &Shop, event: &str) -> String {
    let read = shop.get(&format!("/events/{event}")).send().await.expect(200);
    read["cancellationClosesAt"].as_str().unwrap().to_owned()
}

async fn rezone(shop: &Shop, venue: &str, query: &str, body: &Value) -> Reply {
    shop.patch(&format!("/venues/{venue}{query}")).by(&shop.admin).json(body).send().await
}

async fn audit(shop: &Shop, query: &str) -> Vec<Value> {
    let read = shop.get(&format!("/admin/audit?{query}")).by(&shop.admin).send().await.expect(200);
    read["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_corrected_zone_moves_the_end_of_cancelling_and_freezes_nothing() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let (venue, hall, event) = evening(&shop, "UTC").await;
    // A second event of the venue, one that is over, and one that was cancelled.
    let later = shop.event(&hall, &at("2041-07-02T16:00:00Z", "2041-07-02T18:00:00Z")).await;
    let over = json!({ "startsAt": in_days(-3), "endsAt": in_days(-2), "saleStartsAt": in_days(-9), "saleEndsAt": in_days(-4), "prices": { "S": 1 } });
    let over = shop.event(&hall, &over).await;
    let over_closed = closes_at(&shop, &over).await;
    let cancelled = shop.event(&hall, &at("2041-08-02T16:00:00Z", "2041-08-02T18:00:00Z")).await;
    shop.post(&format!("/admin/events/{cancelled}/cancel")).by(&shop.admin).send().await.expect(200);
    assert_eq!(closes_at(&shop, &event).await, "2041-06-02T00:00:00Z");

    rezone(&shop, &venue, "", &json!({ "timeZone": "Asia/Seoul" })).await.expect(200);
    assert_eq!(closes_at(&shop, &event).await, "2041-06-01T15:00:00Z");
    assert_eq!(closes_at(&shop, &later).await, "2041-07-02T15:00:00Z");
    assert_eq!(closes_at(&shop, &over).await, over_closed);
    assert_eq!(closes_at(&shop, &cancelled).await, "2041-08-02T00:00:00Z");
    let moved = &audit(&shop, &format!("eventId={event}")).await[0];
    assert_eq!(
        (&moved["action"], &moved["changes"][0]["member"]),
        (&json!("CANCELLATION_MOVED"), &json!("cancellationClosesAt"))
    );

    // The sale is on, and its text can be changed; so can a whole body that changes nothing else.
    let path = format!("/events/{event}");
    shop.patch(&path).by(&shop.admin).json(&json!({ "title": "Night" })).send().await.expect(200);
    let same = json!({ "artist": "Others", "startsAt": "2041-06-02T19:00:00+09:00", "prices": { "S": 90_000 } });
    shop.patch(&path).by(&shop.admin).json(&same).send().await.expect(200);
    let other = json!({ "startsAt": "2041-06-02T11:00:00Z" });
    shop.patch(&path).by(&shop.admin).json(&other).send().await.refused(409, "SALE_STARTED");

    // Somebody has bought: not without force and a reason. What is so already is no change.
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let refused = rezone(&shop, &venue, "", &json!({ "timeZone": "UTC", "name": "Other" })).await;
    let problem = refused.refused(409, "VENUE_HAS_RESERVATIONS");
    assert_eq!(
        (&problem["eventCount"], &problem["events"][0]["id"], &problem["events"][0]["title"]),
        (&json!(1), &json!(event), &json!("Night"))
    );
    let read = shop.get(&format!("/venues/{venue}")).send().await.expect(200);
    assert_eq!((&read["timeZone"], &read["name"]), (&json!("Asia/Seoul"), &json!("House")));
    rezone(&shop, &venue, "", &json!({ "timeZone": "Asia/Seoul" })).await.expect(200);
    rezone(&shop, &venue, "", &json!({ "name": "House of Examples" })).await.expect(200);
    let body = json!({ "timeZone": "America/New_York" });
    assert_eq!(rezone(&shop, &venue, "?force=true", &body).await.mistakes(), ["reason"]);
    assert_eq!(rezone(&shop, &venue, "?forced=true", &body).await.mistakes(), ["forced"]);
    let body = json!({ "timeZone": "America/New_York", "reason": "it was never in Seoul" });
    rezone(&shop, &venue, "?force=true", &body).await.expect(200);
    assert_eq!(closes_at(&shop, &event).await, "2041-06-02T04:00:00Z");
    assert_eq!(closes_at(&shop, &later).await, "2041-07-02T04:00:00Z");
    let moved = &audit(&shop, &format!("eventId={event}")).await[0];
    assert_eq!((&moved["action"], &moved["reason"]), (&json!("CANCELLATION_MOVED"), &json!("it was never in Seoul")));
    let changed = &audit(&shop, &format!("venueId={venue}")).await[0];
    let members: Vec<&Value> = changed["changes"].as_array().unwrap().iter().map(|change| &change["member"]).collect();
    assert_eq!(members, ["force", "reason", "timeZone"]);

    // It is a fact: it holds after a crash, and the buyer's window follows it.
    server.crash().await;
    assert_eq!(closes_at(&shop, &event).await, "2041-06-02T04:00:00Z");
    let id = bought["reservationId"].as_str().unwrap();
    shop.delete(&format!("/reservations/{id}")).by(&buyer).send().await.expect(200);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_crash_leaves_undone_of_a_zone_the_next_start_finishes() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let (venue, hall, event) = evening(&shop, "UTC").await;
    let sold = shop.event(&hall, &at("2041-07-02T16:00:00Z", "2041-07-02T18:00:00Z")).await;
    shop.buy(&sold, &shop.buyer(), &["A-1"]).await;
    server.kill();
    // The venue's row is written, and no fact follows.
    let library = rusqlite::Connection::open(server.data_path().join("library.db")).unwrap();
    let changed = library.execute("UPDATE venues SET time_zone = 'Asia/Seoul'", []).unwrap();
    assert!(changed > 0);
    drop(library);
    server.start_again().await;
    assert_eq!(closes_at(&shop, &event).await, "2041-06-01T15:00:00Z");
    // Nobody said that those who have bought shall get other times.
    assert_eq!(closes_at(&shop, &sold).await, "2041-07-02T00:00:00Z");
    rezone(&shop, &venue, "", &json!({ "timeZone": "Asia/Seoul" })).await.refused(409, "VENUE_HAS_RESERVATIONS");
    let body = json!({ "timeZone": "Asia/Seoul" });
    rezone(&shop, &venue, "?force=true&reason=a+crash", &body).await.expect(200);
    assert_eq!(closes_at(&shop, &sold).await, "2041-07-02T15:00:00Z");
    server.stop().await;
}

/// Messages of the outbox of a kind, oldest first, once there are so many.
async fn messages(server: &Server, kind: &str, count: usize) -> Vec<Value> {
    let began = Instant::now();
    loop {
        let library = rusqlite::Connection::open(server.data_path().join("library.db")).unwrap();
        let mut read = library.prepare("SELECT topic, key, payload FROM outbox_events ORDER BY id").unwrap();
        let rows = read.query_map([], |row| {
            let payload: String = row.get(2)?;
            let (topic, key): (String, String) = (row.get(0)?, row.get(1)?);
            Ok(json!({ "topic": topic, "key": key, "message": serde_json::from_str::<Value>(&payload).unwrap() }))
        });
        let found: Vec<Value> =
            rows.unwrap().map(Result::unwrap).filter(|row| row["message"]["type"] == kind).collect();
        if found.len() >= count {
            return found;
        }
        assert!(began.elapsed() < TIMEOUT, "{} of {count} {kind}", found.len());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postponed_event_notifies_those_with_tickets_and_lets_them_cancel_for_a_while() {
    let mut server = Server::with().key("CATALOGUE__TIME_ZONE", &zone_at_noon()).start().await;
    let shop = server.shop();
    // It begins within the hour, at a venue where it is noon: the day of the event has begun, and nobody can cancel.
    let soon = json!({ "startsAt": in_seconds(3000), "endsAt": in_seconds(6000), "saleEndsAt": in_seconds(3000) });
    let event = shop.small_event(&soon).await;
    let (path, url) = (format!("/events/{event}"), format!("/admin/events/{event}/postpone"));
    let (buyer, holder) = (shop.buyer(), shop.buyer());
    let bought = shop.buy(&event, &buyer, &["A-1", "A-2"]).await;
    let held = shop.hold(&event, &holder, &["B-1"]).await.expect(201);
    let cancel = format!("/reservations/{}", bought["reservationId"].as_str().unwrap());
    shop.delete(&cancel).by(&buyer).send().await.refused(409, "CANCELLATION_CLOSED");

    let say = async |body: &Value| shop.post(&url).by(&shop.admin).json(body).send().await;
    let to = json!({ "startsAt": in_days(90), "endsAt": in_days(91), "saleEndsAt": in_days(89), "reason": "flood" });
    shop.post(&url).by(&buyer).json(&to).send().await.refused(403, "FORBIDDEN");
    let missing = say(&json!({ "startsAt": in_days(1) })).await;
    assert_eq!(missing.mistakes(), ["endsAt", "reason"]);
    let with = |name: &str, value: Value| {
        let mut body = to.clone();
        body[name] = value;
        body
    };
    assert_eq!(say(&with("endsAt", to["startsAt"].clone())).await.mistakes(), ["endsAt"]);
    assert_eq!(say(&with("saleEndsAt", json!(in_days(92)))).await.mistakes(), ["saleEndsAt"]);
    assert_eq!(say(&with("saleEndsAt", json!(in_days(-2)))).await.mistakes(), ["saleEndsAt"]);
    assert_eq!(say(&with("startsAt", json!(in_days(-1)))).await.mistakes(), ["startsAt"]);
    assert_eq!(say(&with("startAt", json!(1))).await.mistakes(), ["startAt"]);
    let nowhere = format!("/admin/events/{}/postpone", Uuid::new_v4());
    shop.post(&nowhere).by(&shop.admin).json(&to).send().await.refused(404, "NOT_FOUND");

    let postponed = say(&to).await.expect(200);
    let same = |name: &str| {
        let parse = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap().as_microsecond();
        assert_eq!(parse(&postponed[name]), parse(&to[name]), "{name}");
    };
    ["startsAt", "endsAt", "saleEndsAt"].into_iter().for_each(same);
    assert_eq!(shop.get(&path).send().await.expect(200)["startsAt"], postponed["startsAt"]);
    let closes: jiff::Timestamp = postponed["cancellationClosesAt"].as_str().unwrap().parse().unwrap();
    assert!(
        closes > jiff::Timestamp::now() + jiff::SignedDuration::from_hours(24 * 80),
        "midnight before the new date"
    );

    // Twice is once.
    assert_eq!(say(&to).await.expect(200)["cancellationClosesAt"], postponed["cancellationClosesAt"]);
    let actions = audit(&shop, &format!("eventId={event}")).await;
    assert_eq!(actions.iter().filter(|action| action["action"] == "EVENT_POSTPONED").count(), 1);
    assert_eq!((&actions[0]["reason"], &actions[0]["after"]["startsAt"]), (&json!("flood"), &postponed["startsAt"]));

    // One message of the event, and one for each ticket holder.
    let of_event = &messages(&server, "event.postponed", 1).await[0];
    assert_eq!((&of_event["topic"], &of_event["key"]), (&json!("event.events"), &json!(event)));
    assert_eq!(of_event["message"]["postponement"]["reason"], "flood");
    let of_holders = messages(&server, "reservation.postponed", 1).await;
    let message = &of_holders[0]["message"];
    assert_eq!((of_holders.len(), &message["reservation"]["reservationId"]), (1, &bought["reservationId"]));
    assert_eq!(message["postponement"]["startsAt"], of_event["message"]["postponement"]["startsAt"]);
    assert_eq!(message["postponement"]["cancellationClosesAt"], postponed["cancellationClosesAt"]);

    // The row says so, too, and after a crash nothing is said twice.
    let listed = shop.get(&format!("/events?from={}", in_days(80))).send().await.expect(200);
    assert_eq!(listed["items"][0]["startsAt"], postponed["startsAt"]);
    server.crash().await;
    assert_eq!(shop.get(&path).send().await.expect(200)["startsAt"], postponed["startsAt"]);
    assert_eq!(messages(&server, "reservation.postponed", 1).await.len(), 1);
    assert_eq!(messages(&server, "event.postponed", 1).await.len(), 1);

    // The hold continues, and who was informed may cancel.
    let payment = shop.pay(&holder, &held).await.expect(201);
    shop.confirm(&holder, &payment, "sim_ok").await.expect(200);
    assert_eq!(shop.delete(&cancel).by(&buyer).send().await.expect(200)["refundAmount"], 300_000);
    shop.post(&format!("/admin/events/{event}/cancel")).by(&shop.admin).send().await.expect(200);
    say(&with("endsAt", json!(in_days(93)))).await.refused(409, "SALE_CANCELLED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_that_has_ended_opens_again_and_a_lost_row_is_written_at_the_next_start() {
    let mut server = Server::with().key("CATALOGUE__POSTPONED_CANCELLATION_HOURS", "1").start().await;
    let shop = server.shop();
    let times =
        json!({ "saleStartsAt": in_days(-9), "saleEndsAt": in_days(-1), "startsAt": in_days(3), "endsAt": in_days(4) });
    let event = shop.small_event(&times).await;
    let path = format!("/events/{event}");
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.refused(409, "SALE_CLOSED");
    // Without saleEndsAt the sale stays as it is.
    let to = json!({ "startsAt": in_days(30), "endsAt": in_days(31), "reason": "the singer is ill" });
    let say = async |body: &Value| {
        shop.post(&format!("/admin/events/{event}/postpone")).by(&shop.admin).json(body).send().await
    };
    assert_eq!(say(&to).await.expect(200)["status"], "ENDED");
    let to = json!({ "startsAt": in_days(30), "endsAt": in_days(31), "saleEndsAt": in_days(29), "reason": "sold on" });
    let postponed = say(&to).await.expect(200);
    assert_eq!(postponed["status"], "ON_SALE");
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.expect(201);

    // As a crash between the fact and the row leaves it.
    server.kill();
    let library = rusqlite::Connection::open(server.data_path().join("library.db")).unwrap();
    assert_eq!(library.execute("UPDATE events SET starts_at = 1, ends_at = 2, sale_ends_at = 1", []).unwrap(), 1);
    drop(library);
    server.start_again().await;
    assert_eq!(shop.get(&path).send().await.expect(200)["startsAt"], postponed["startsAt"]);
    let listed = shop.get("/events?status=ON_SALE").send().await.expect(200);
    assert_eq!(listed["items"][0]["startsAt"], postponed["startsAt"]);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_both_and_returns_both() {
    let database = TestDatabase::create();
    let mut server = Server::with().postgres(database.url()).start().await;
    let shop = server.shop();
    let (venue, _, event) = evening(&shop, "UTC").await;
    rezone(&shop, &venue, "", &json!({ "timeZone": "Asia/Seoul" })).await.expect(200);
    assert_eq!(closes_at(&shop, &event).await, "2041-06-01T15:00:00Z");
    shop.buy(&event, &shop.buyer(), &["A-1"]).await;
    rezone(&shop, &venue, "", &json!({ "timeZone": "UTC" })).await.refused(409, "VENUE_HAS_RESERVATIONS");
    let to = json!({ "startsAt": "2042-06-02T10:00:00Z", "endsAt": "9999-12-31T23:59:59Z", "reason": "flood" });
    let url = format!("/admin/events/{event}/postpone");
    let postponed = shop.post(&url).by(&shop.admin).json(&to).send().await.expect(200);
    assert_eq!(postponed["cancellationClosesAt"], "2042-06-01T15:00:00Z");
    server.crash().await;
    let read = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!((&read["startsAt"], &read["endsAt"]), (&to["startsAt"], &to["endsAt"]));
    assert_eq!(read["cancellationClosesAt"], "2042-06-01T15:00:00Z");
    let actions: Vec<Value> = audit(&shop, &format!("eventId={event}")).await;
    let actions: Vec<&str> = actions.iter().filter_map(|action| action["action"].as_str()).collect();
    assert_eq!(actions, ["EVENT_POSTPONED", "CANCELLATION_MOVED", "RULES_SET"]);
    let began = Instant::now();
    let sql = "SELECT count(*) FROM outbox_events WHERE payload LIKE '%.postponed\"%'";
    while database.sql(sql).trim() != "2" {
        assert!(began.elapsed() < TIMEOUT, "one of the event, one of its ticket");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.stop().await;
}

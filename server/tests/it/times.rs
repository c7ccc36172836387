//! An event's times over HTTP: their order, the ends of the calendar, and the zone of a venue that names none.

use crate::harness::Server;
use crate::shop::{Shop, id_of, in_days};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_instant_of_the_calendar_is_a_time_like_any_other() {
    let mut server = Server::start().await;
    let shop = server.shop();
    const END: &str = "9999-12-31T23:59:59Z";
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let times = json!({
        "startsAt": "9999-12-31T23:59:58+00:00", "endsAt": END, "saleEndsAt": END,
        "admission": { "required": true, "ratePerSecond": 1000, "tokenSeconds": 86_400, "roomOpensAt": "0000-01-01T00:00:00Z" },
    });
    let event = shop.event(&hall, &times).await;
    let path = format!("/events/{event}");
    let read = shop.get(&path).send().await.expect(200);
    assert_eq!((&read["endsAt"], &read["saleEndsAt"], &read["status"]), (&json!(END), &json!(END), &json!("ON_SALE")));
    // In Seoul that is the year 10000, whose first midnight is still in 9999 of UTC.
    assert_eq!(read["cancellationClosesAt"], "9999-12-31T15:00:00Z");
    assert_eq!(read["admission"]["roomOpensAt"], "0000-01-01T00:00:00Z");
    let listed = shop.get(&format!("/events?from=9999-12-31T23:59:58Z&to={END}")).send().await.expect(200);
    assert_eq!(listed["totalElements"], 1);

    // Everything goes on as for any event: the slot, the hold, the payment, the cancellation, a crash.
    let buyer = shop.buyer();
    let token = shop.admitted(&event, &buyer).await;
    let hold = json!({ "eventId": event, "seatIds": ["A-1"] });
    let held = shop.post("/reservations/hold").by(&buyer).admitted(&token).json(&hold).send().await.expect(201);
    let payment = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_ok").await.expect(200);
    server.crash().await;
    assert_eq!(shop.get(&path).send().await.expect(200)["endsAt"], END);
    let id = held["reservationId"].as_str().unwrap();
    let cancelled = shop.delete(&format!("/reservations/{id}")).by(&buyer).send().await.expect(200);
    assert_eq!(cancelled["refundAmount"], 150_000);

    // Where admission is not required, the token lasts as long as the sale.
    let open = shop.event(&hall, &json!({ "endsAt": END, "saleEndsAt": "9999-12-31T23:59:60Z" })).await;
    let entered = shop.post("/queue/enter").by(&buyer).json(&json!({ "eventId": open })).send().await.expect(200);
    assert_eq!((&entered["status"], &entered["tokenExpiresAt"]), (&json!("ACTIVE"), &json!(END)));

    for wrong in ["9999-12-31T23:59:59-00:01", "10000-01-01T00:00:00Z", "2026-06-01T10:00:60Z", "2026-06-01", "soon"] {
        let body = Shop::event_body(&hall, &json!({ "endsAt": wrong }));
        let sent = shop.post("/events").by(&shop.admin).json(&body).send().await;
        assert_eq!(sent.mistakes(), ["endsAt"], "{wrong}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn times_are_in_order_whether_an_event_is_made_or_changed() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let good = json!({
        "saleStartsAt": in_days(2), "saleEndsAt": in_days(4), "startsAt": in_days(3), "endsAt": in_days(5),
        "admission": { "required": false, "roomOpensAt": in_days(1) },
    });
    let event = shop.event(&hall, &good).await;
    let room = |days: i64| json!({ "admission": { "required": false, "roomOpensAt": in_days(days) } });
    // What is changed, and the member that is then the mistake: of a new event, and of the change.
    let broken = [
        (room(3), "admission.roomOpensAt", "admission.roomOpensAt"),
        (json!({ "saleStartsAt": in_days(4) }), "saleEndsAt", "saleStartsAt"),
        (json!({ "saleEndsAt": good["saleStartsAt"] }), "saleEndsAt", "saleEndsAt"),
        (json!({ "saleEndsAt": in_days(6) }), "saleEndsAt", "saleEndsAt"),
        (json!({ "startsAt": good["endsAt"] }), "endsAt", "startsAt"),
        (json!({ "startsAt": in_days(1), "endsAt": in_days(3) }), "saleEndsAt", "endsAt"),
    ];
    for (change, of_new, of_change) in broken {
        let mut body = good.clone();
        body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let made = shop.post("/events").by(&shop.admin).json(&Shop::event_body(&hall, &body)).send().await;
        assert_eq!(made.mistakes(), [of_new], "{change}");
        let changed = shop.patch(&format!("/events/{event}")).by(&shop.admin).json(&change).send().await;
        assert_eq!(changed.mistakes(), [of_change], "{change}");
    }
    // Equal times where they may be, and a sale that ends with the event.
    let close = json!({ "saleEndsAt": good["endsAt"], "admission": { "roomOpensAt": good["saleStartsAt"] } });
    shop.patch(&format!("/events/{event}")).by(&shop.admin).json(&close).send().await.expect(200);

    for currency in ["XXX", "XTS", "ZZZ", "DEM"] {
        let body = Shop::event_body(&hall, &json!({ "currency": currency }));
        let made = shop.post("/events").by(&shop.admin).json(&body).send().await;
        assert_eq!(made.mistakes(), ["currency"], "{currency}");
    }
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_venue_that_names_no_zone_has_the_configured_one() {
    let server = Server::with().key("CATALOGUE__TIME_ZONE", "europe/vienna").start().await;
    let shop = server.shop();
    let body = json!({ "name": "House", "address": "1 Road", "city": "Example Town" });
    let venue = shop.post("/venues").by(&shop.admin).json(&body).send().await.expect(201);
    assert_eq!(venue["timeZone"], "Europe/Vienna");
    let path = format!("/venues/{}", id_of(&venue));
    assert_eq!(shop.get(&path).send().await.expect(200), venue);
    let hall =
        json!({ "name": "Hall", "seatTemplate": { "rows": ["A"], "seatsPerRow": 2, "gradeMapping": { "A": "S" } } });
    let hall = shop.post(&format!("{path}/halls")).by(&shop.admin).json(&hall).send().await.expect(201);
    let changes = json!({
        "prices": { "S": 1 }, "startsAt": "2031-06-01T18:00:00Z", "endsAt": "2031-06-01T21:00:00Z",
    });
    let event = shop.event(&id_of(&hall), &changes).await;
    let read: Value = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!(read["cancellationClosesAt"], "2031-05-31T22:00:00Z");
    server.stop().await;
}

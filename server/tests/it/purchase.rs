//! The whole way of one buyer through the theatre: waiting room, seats, payment, ticket, cancellation.

use crate::harness::Server;
use crate::shop::{Shop, in_days, texts};
use onsale_adapters::private_postgres::TestDatabase;
use serde_json::{Value, json};

fn theatre() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../halls/theatre.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

async fn event_in_the_theatre(shop: &Shop) -> Value {
    let hall = shop.hall(&json!({ "seatingPlan": theatre() })).await;
    let changes = json!({
        "prices": { "VIP": 150_000, "S": 120_000, "A": 90_000, "B": 60_000 },
        "admission": { "required": true, "ratePerSecond": 100 },
    });
    let made = shop.post("/events").by(&shop.admin).json(&Shop::event_body(&hall, &changes)).send().await;
    let event = made.expect(201);
    assert_eq!(made.header("location"), format!("/api/v1/events/{}", event["id"].as_str().unwrap()));
    event
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_goes_from_the_waiting_room_to_a_ticket() {
    from_the_waiting_room_to_a_ticket(Server::start().await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_buyer_goes_from_the_waiting_room_to_a_ticket_on_postgres() {
    let database = TestDatabase::create();
    from_the_waiting_room_to_a_ticket(Server::with().postgres(database.url()).start().await).await;
}

async fn from_the_waiting_room_to_a_ticket(server: Server) {
    let shop = server.shop();
    let event = event_in_the_theatre(&shop).await;
    let id = event["id"].as_str().unwrap();
    assert_eq!(event["seats"], json!({ "total": 494, "available": 494, "held": 0, "sold": 0, "blocked": 0 }));
    assert_eq!(shop.get(&format!("/events/{id}")).send().await.expect(200), event, "a 201 answers what its GET does");

    // The map of the hall, the waiting room, and what is free.
    let map = shop.get(&format!("/events/{id}/seats")).send().await.expect(200);
    assert_eq!(map["plan"]["sections"][0]["rows"][0]["seats"][0]["id"], "S-A-1");
    let buyer = shop.buyer();
    let token = shop.admitted(id, &buyer).await;
    let live = shop.get(&format!("/reservations/seats/{id}")).by(&buyer).admitted(&token).send().await.expect(200);
    assert_eq!((&live["held"], &live["sold"]), (&json!([]), &json!([])));

    // Two seats, exchanged for two others, paid.
    let wanted = json!({ "eventId": id, "seatIds": ["S-A-1", "S-A-2"] });
    let made = shop.post("/reservations/hold").by(&buyer).admitted(&token).json(&wanted).send().await;
    let held = made.expect(201);
    let reservation = held["reservationId"].as_str().unwrap();
    assert_eq!(made.header("location"), format!("/api/v1/reservations/{reservation}"));
    assert_eq!(
        (&held["status"], &held["totalAmount"], &held["currency"]),
        (&json!("PENDING"), &json!(300_000), &json!("KRW"))
    );
    assert_eq!(
        held["seats"][0],
        json!({ "seatId": "S-A-1", "label": "Stalls A-1", "category": "VIP", "price": 150_000 })
    );
    let change = json!({ "newSeatIds": ["S-A-2", "S-A-3"] });
    let changed =
        shop.put(&format!("/reservations/hold/{reservation}")).by(&buyer).json(&change).send().await.expect(200);
    assert_eq!(changed["holdExpiresAt"], held["holdExpiresAt"], "the expiry does not move");
    let payment = shop.pay(&buyer, &changed).await.expect(201);
    assert_eq!((&payment["status"], &payment["provider"]), (&json!("PENDING"), &json!("simulated")));
    let paid = shop.confirm(&buyer, &payment, "sim_ok_1").await.expect(200);
    assert_eq!((&paid["status"], paid["paidAt"].is_string()), (&json!("SUCCESS"), true));

    // The ticket, in the list at once, and the place is gone.
    let confirmed = shop.reservation(&buyer, &held).await;
    assert_eq!(confirmed["status"], "CONFIRMED");
    assert!(confirmed["ticketNumber"].is_string() && confirmed["qrData"].is_string());
    let list = shop.get("/reservations").by(&buyer).send().await.expect(200);
    assert_eq!(list, json!({ "items": [confirmed], "page": 0, "size": 20, "totalElements": 1 }));
    let payments = shop.get("/payments").by(&buyer).send().await.expect(200);
    assert_eq!((&payments["items"][0], &payments["totalElements"]), (&paid, &json!(1)));
    shop.get(&format!("/queue/status?eventId={id}")).by(&buyer).send().await.refused(404, "NOT_IN_QUEUE");
    let sold = shop.get(&format!("/events/{id}")).send().await.expect(200);
    assert_eq!(sold["seats"], json!({ "total": 494, "available": 492, "held": 0, "sold": 2, "blocked": 0 }));

    // Cancelled in time: the money is back and the seats are free, though they stay listed.
    let cancelled = shop.delete(&format!("/reservations/{reservation}")).by(&buyer).send().await.expect(200);
    let expected =
        json!({ "reservationId": reservation, "status": "CANCELLED", "refundAmount": 300_000, "currency": "KRW" });
    assert_eq!(cancelled, expected);
    let over = shop.reservation(&buyer, &held).await;
    assert_eq!(
        (&over["status"], &over["refundAmount"], &over["seats"]),
        (&json!("CANCELLED"), &json!(300_000), &confirmed["seats"])
    );
    shop.delete(&format!("/reservations/{reservation}")).by(&buyer).send().await.refused(409, "NOT_CANCELLABLE");
    let again = shop.confirm(&buyer, &payment, "sim_ok_1").await.expect(200);
    assert_eq!(again, paid, "repeating a confirmation gives the same answer");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_best_seats_lie_side_by_side_in_the_category_asked_for() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = event_in_the_theatre(&shop).await;
    let id = event["id"].as_str().unwrap();
    let buyer = shop.buyer();
    let token = shop.admitted(id, &buyer).await;
    let wanted = json!({ "eventId": id, "category": "VIP", "quantity": 4 });
    let held = shop.post("/reservations/hold").by(&buyer).admitted(&token).json(&wanted).send().await.expect(201);
    let seats = held["seats"].as_array().unwrap();
    assert!(seats.len() == 4 && seats.iter().all(|seat| seat["category"] == "VIP"));
    let labels: Vec<&str> = seats.iter().map(|seat| seat["label"].as_str().unwrap()).collect();
    let row = |label: &str| label.rsplit_once('-').unwrap().0.to_owned();
    assert!(labels.iter().all(|label| row(label) == row(labels[0])), "{labels:?}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_over_is_over_and_the_day_of_the_event_is_too_late_to_cancel() {
    let server = Server::start().await;
    let shop = server.shop();
    let ends = in_days(1);
    let today = json!({ "startsAt": in_days(0), "endsAt": ends, "saleEndsAt": ends });
    let event = shop.small_event(&today).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let id = bought["reservationId"].as_str().unwrap();
    shop.delete(&format!("/reservations/{id}")).by(&buyer).send().await.refused(409, "CANCELLATION_CLOSED");
    shop.delete(&format!("/reservations/hold/{id}")).by(&buyer).send().await.refused(409, "RESERVATION_NOT_PENDING");
    let stranger = shop.buyer();
    for path in [format!("/reservations/{id}"), format!("/reservations/hold/{id}")] {
        shop.delete(&path).by(&stranger).send().await.refused(404, "NOT_FOUND");
    }
    assert_eq!(texts(&shop.seats(&event).await["sold"]), ["A-1"]);
    server.stop().await;
}

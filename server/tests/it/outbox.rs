//! What other systems are sent of a purchase, held against what its buyer reads over HTTP: one name, one value.

use crate::harness::Server;
use rusqlite::Connection;
use serde_json::{Value, json};

/// Members that messages have beside the contract's: whose it is.
const BESIDE: [&str; 1] = ["userId"];
/// Members that only the buyer may read.
const PRIVATE: [&str; 1] = ["qrData"];

/// The last message of each type.
fn messages(server: &Server) -> Vec<Value> {
    let library = Connection::open(server.data_path().join("library.db")).unwrap();
    let mut statement = library.prepare("SELECT payload FROM outbox_events ORDER BY event_id, seq").unwrap();
    let payloads = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    payloads.map(|payload| serde_json::from_str(&payload.unwrap()).unwrap()).collect()
}

/// Every member of a message's thing is the contract's, with its value, and none of the contract's is missing.
fn assert_is_the_contracts(actual: &Value, read: &Value) {
    let members = |thing: &Value| thing.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    for name in members(actual).iter().filter(|name| !BESIDE.contains(&name.as_str()) && *name != "seats") {
        assert_eq!(actual[name], read[name], "{name}");
    }
    for name in members(read).iter().filter(|name| !PRIVATE.contains(&name.as_str())) {
        assert!(!actual[name].is_null(), "{name} is missing in {actual}");
    }
    for (actual, read) in
        actual["seats"].as_array().into_iter().flatten().zip(read["seats"].as_array().into_iter().flatten())
    {
        // The price stands in the total.
        let price = &read["price"];
        assert_eq!(
            actual,
            &json!({ "seatId": read["seatId"], "label": read["label"], "category": read["category"] }),
            "{price}"
        );
    }
}

#[tokio::test]
async fn a_purchase_is_published_in_the_words_of_the_contract() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1", "A-2"]).await;
    let id = bought["reservationId"].as_str().unwrap().to_owned();
    // Lists wait until the tables, and with them the messages, have the buyer's last change.
    shop.get("/reservations").by(&buyer).send().await.expect(200);
    let reservation = shop.get(&format!("/reservations/{id}")).by(&buyer).send().await.expect(200);
    let payments = shop.get("/payments").by(&buyer).send().await.expect(200);
    let all = messages(&server);
    let last =
        |kind: &str| all.iter().rfind(|message| message["type"] == kind).unwrap_or_else(|| panic!("{kind}: {all:?}"));
    let confirmed = &last("reservation.confirmed")["reservation"];
    assert_is_the_contracts(confirmed, &reservation);
    assert!(confirmed["ticketNumber"].as_str().unwrap().ends_with("-000001"), "{confirmed}");
    assert_eq!(confirmed["seats"].as_array().unwrap().len(), 2);
    assert_is_the_contracts(&last("payment.captured")["payment"], &payments["items"][0]);

    let given_back = shop.delete(&format!("/reservations/{id}")).by(&buyer).send().await;
    assert_eq!(given_back.status, 200);
    shop.get("/reservations").by(&buyer).send().await.expect(200);
    let reservation = shop.get(&format!("/reservations/{id}")).by(&buyer).send().await.expect(200);
    let all = messages(&server);
    let last =
        |kind: &str| all.iter().rfind(|message| message["type"] == kind).unwrap_or_else(|| panic!("{kind}: {all:?}"));
    assert_is_the_contracts(&last("reservation.cancelled")["reservation"], &reservation);
    assert!(all.iter().any(|message| message["payment"]["failure"] == "BUYER_CANCELLED"), "{all:?}");
    server.stop().await;
}

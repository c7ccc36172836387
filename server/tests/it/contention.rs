//! Three hundred buyers at once, over HTTP: for the same four seats, and for sets of seats that overlap. Nothing is
//! sold twice, who loses is sent what is free, and the counts add up.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, texts};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use tokio::task::JoinSet;

const BUYERS: usize = 300;

/// Everybody asks at once, each for the seats that `wanted` gives them.
async fn rush(shop: &Shop, event: &str, wanted: impl Fn(usize) -> Vec<String>) -> Vec<(Person, Vec<String>, Reply)> {
    let mut asking = JoinSet::new();
    for number in 0..BUYERS {
        let (shop, event, buyer, seats) = (shop.clone(), event.to_owned(), shop.buyer(), wanted(number));
        asking.spawn(async move {
            let ids: Vec<&str> = seats.iter().map(String::as_str).collect();
            let reply = shop.hold(&event, &buyer, &ids).await;
            (buyer, seats, reply)
        });
    }
    asking.join_all().await
}

/// Who won what: every seat at most once, refusals name only seats that are taken, and alternatives that are of the
/// size asked for.
fn winners(answers: &[(Person, Vec<String>, Reply)]) -> BTreeMap<String, Value> {
    let mut taken = BTreeMap::new();
    for (_, wanted, reply) in answers {
        if reply.status == 201 {
            let held = reply.expect(201);
            assert_eq!(held["seats"].as_array().unwrap().len(), wanted.len());
            for seat in held["seats"].as_array().unwrap() {
                let id = seat["seatId"].as_str().unwrap().to_owned();
                assert!(wanted.contains(&id));
                assert_eq!(taken.insert(id, held["reservationId"].clone()), None, "a seat in two hands");
            }
            continue;
        }
        let problem = reply.refused(409, "SEAT_UNAVAILABLE");
        let unavailable = texts(&problem["unavailableSeatIds"]);
        assert!(!unavailable.is_empty() && unavailable.iter().all(|id| wanted.iter().any(|seat| seat == id)));
        if let Some(alternative) = problem["alternative"].get("seatIds") {
            assert_eq!(texts(alternative).len(), wanted.len());
        }
    }
    taken
}

/// All published counts, against what was answered.
async fn check_counts(shop: &Shop, event: &str, held: &BTreeSet<String>, sold: &BTreeSet<String>, total: usize) {
    let seats = shop.seats(event).await;
    let seats_in = |member: &str| texts(&seats[member]).into_iter().map(str::to_owned).collect::<BTreeSet<_>>();
    assert_eq!((&seats_in("held"), &seats_in("sold")), (held, sold));
    let (held, sold) = (held.len(), sold.len());
    let counts = json!({ "total": total, "available": total - held - sold, "held": held, "sold": sold, "blocked": 0 });
    assert_eq!(seats["seats"], counts);
    let by_category: u64 =
        seats["categories"].as_array().unwrap().iter().map(|c| c["available"].as_u64().unwrap()).sum();
    assert_eq!(by_category as usize, total - held - sold);
    let whole = shop.get(&format!("/events/{event}")).send().await.expect(200);
    assert_eq!(whole["seats"], counts);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_buyers_for_the_same_four_seats() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let four = || ["A-1", "A-2", "A-3", "A-4"].map(str::to_owned).to_vec();
    let answers = rush(&shop, &event, |_| four()).await;
    let taken = winners(&answers);
    let won: Vec<_> = answers.iter().filter(|(_, _, reply)| reply.status == 201).collect();
    assert_eq!((won.len(), taken.len()), (1, 4));
    for (_, _, reply) in answers.iter().filter(|(_, _, reply)| reply.status == 409) {
        let problem = reply.json();
        assert_eq!(problem["unavailableSeatIds"], json!(four()));
        let free = texts(&problem["alternative"]["seatIds"]);
        assert!(free.len() == 4 && free.iter().all(|seat| !four().contains(&(*seat).to_owned())), "{free:?}");
    }
    check_counts(&shop, &event, &four().into_iter().collect(), &BTreeSet::new(), 20).await;

    let (winner, _, reply) = won[0];
    let payment = shop.pay(winner, &reply.json()).await.expect(201);
    shop.confirm(winner, &payment, "sim_ok").await.expect(200);
    check_counts(&shop, &event, &BTreeSet::new(), &four().into_iter().collect(), 20).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_buyers_for_overlapping_seats() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B", "C", "D"], 20).await;
    let event = shop.event(&hall, &json!({})).await;
    // Two to four seats side by side, begun anywhere: every set overlaps many others.
    let wanted = |number: usize| {
        let (row, first) = (["A", "B", "C", "D"][number % 4], number * 7 % 17 + 1);
        (first..first + 2 + number % 3).map(|seat| format!("{row}-{seat}")).collect::<Vec<_>>()
    };
    let answers = rush(&shop, &event, wanted).await;
    let taken = winners(&answers);
    assert!(taken.len() >= 40, "a hall of 80 seats is filled further than {}", taken.len());
    let held: BTreeSet<String> = taken.keys().cloned().collect();
    check_counts(&shop, &event, &held, &BTreeSet::new(), 80).await;

    // Every second winner pays at once, all together; the others give their seats back.
    let mut finishing = JoinSet::new();
    let won = answers.into_iter().filter(|(_, _, reply)| reply.status == 201);
    for (number, (buyer, seats, reply)) in won.enumerate() {
        let shop = shop.clone();
        finishing.spawn(async move {
            let held = reply.json();
            if number % 2 == 0 {
                let payment = shop.pay(&buyer, &held).await.expect(201);
                shop.confirm(&buyer, &payment, "sim_ok").await.expect(200);
                assert_eq!(shop.reservation(&buyer, &held).await["status"], "CONFIRMED");
                return seats;
            }
            let id = held["reservationId"].as_str().unwrap();
            shop.delete(&format!("/reservations/hold/{id}")).by(&buyer).send().await.expect(204);
            Vec::new()
        });
    }
    let sold: BTreeSet<String> = finishing.join_all().await.into_iter().flatten().collect();
    check_counts(&shop, &event, &BTreeSet::new(), &sold, 80).await;
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_buyers_for_the_best_seats_fill_the_hall_to_the_last_one() {
    let server = Server::start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let mut asking = JoinSet::new();
    for number in 0..BUYERS {
        let (shop, event, buyer) = (shop.clone(), event.clone(), shop.buyer());
        asking.spawn(async move {
            let category = if number % 2 == 0 { "VIP" } else { "S" };
            let body = json!({ "eventId": event, "category": category, "quantity": 2 });
            shop.post("/reservations/hold").by(&buyer).json(&body).send().await
        });
    }
    let answers = asking.join_all().await;
    let mut held = BTreeSet::new();
    for reply in &answers {
        if reply.status == 201 {
            for seat in reply.json()["seats"].as_array().unwrap() {
                assert!(held.insert(seat["seatId"].as_str().unwrap().to_owned()), "a seat in two hands");
            }
        } else {
            let problem = reply.refused(409, "SEAT_UNAVAILABLE");
            assert!(problem.get("alternative").is_none(), "nothing is left: {problem}");
        }
    }
    assert_eq!(held.len(), 20);
    check_counts(&shop, &event, &held, &BTreeSet::new(), 20).await;
    server.stop().await;
}

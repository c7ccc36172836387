//! The draw over HTTP: what is published when, everybody's proof, and that both hold offline and across crashes.

use crate::harness::{Server, run, write};
use crate::shop::{Person, Shop, TIMEOUT, in_days, in_seconds};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

async fn drawn_event(shop: &Shop, opens: &str) -> String {
    let admission = json!({ "required": true, "draw": true, "ratePerSecond": 1000 });
    shop.small_event(&json!({ "saleStartsAt": opens, "admission": admission })).await
}

async fn enter(shop: &Shop, event: &str, buyer: &Person) -> Value {
    shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await.expect(200)
}

async fn published(shop: &Shop, event: &str) -> Value {
    shop.get(&format!("/events/{event}/draw")).send().await.expect(200)
}

fn verify(how: &str, path: &Path) -> Output {
    run(|command| {
        command.args(["verify", how]).arg(path);
    })
}

async fn until_drawn(shop: &Shop, event: &str) -> Value {
    let began = Instant::now();
    loop {
        let draw = published(shop, event).await;
        if !draw["seed"].is_null() {
            return draw;
        }
        assert!(began.elapsed() < TIMEOUT, "never drawn: {draw}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_draw_is_bound_before_and_can_be_checked_after() {
    let mut server = Server::start().await;
    let shop = server.shop();
    let event = drawn_event(&shop, &in_seconds(4)).await;
    let detail = shop.get(&format!("/events/{event}")).send().await.expect(200);
    let before = published(&shop, &event).await;
    assert_eq!(detail["admission"]["drawCommitment"], before["commitment"]);
    assert_eq!(before["commitment"].as_str().unwrap().len(), 64);
    assert_eq!((&before["root"], &before["cohort"], &before["seed"]), (&Value::Null, &Value::Null, &Value::Null));
    let buyers: Vec<Person> = (0..12).map(|_| shop.buyer()).collect();
    for buyer in &buyers {
        assert_eq!(enter(&shop, &event, buyer).await["rank"], Value::Null);
    }
    let proof = format!("/queue/proof?eventId={event}");
    shop.get(&proof).by(&buyers[0]).send().await.refused(404, "NOT_FOUND");
    // The seed is the same after a crash, and the line too.
    server.crash().await;
    let shop = server.shop();
    assert_eq!(published(&shop, &event).await, before);

    let draw = until_drawn(&shop, &event).await;
    assert_eq!((&draw["commitment"], &draw["cohort"]), (&before["commitment"], &json!(12)));
    let mut ranks = Vec::new();
    let folder = tempfile::tempdir().unwrap();
    for buyer in &buyers {
        let proof = shop.get(&proof).by(buyer).send().await.expect(200);
        assert_eq!((&proof["root"], &proof["seed"]), (&draw["root"], &draw["seed"]));
        let file = write(folder.path(), "proof.json", &proof.to_string());
        let checked = verify("--proof", &file);
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stdout));
        ranks.push((proof["lot"].as_str().unwrap().to_owned(), proof["drawnRank"].as_u64().unwrap()));
    }
    ranks.sort();
    assert!(ranks.iter().map(|(_, rank)| *rank).eq(1..=12), "the lots in their order are the ranks: {ranks:?}");
    let late = shop.buyer();
    enter(&shop, &event, &late).await;
    shop.get(&proof).by(&late).send().await.refused(404, "NOT_IN_QUEUE");

    let forged = {
        let mut proof = shop.get(&proof).by(&buyers[3]).send().await.expect(200);
        proof["seed"] = "00".repeat(32).into();
        write(folder.path(), "forged.json", &proof.to_string())
    };
    let checked = verify("--proof", &forged);
    assert_eq!(checked.status.code(), Some(1), "{}", String::from_utf8_lossy(&checked.stdout));
    assert!(String::from_utf8_lossy(&checked.stdout).contains("not the one that was committed to"));

    server.crash().await;
    assert_eq!(published(&server.shop(), &event).await, draw, "and there is no second draw");
    server.kill();
    let data = server.data_path();
    let checked = verify(&format!("--draw={event}"), &data);
    let actual = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success() && actual.contains(draw["root"].as_str().unwrap()), "{actual}");
    let none = verify("--draw=00000000-0000-0000-0000-000000000000", &data);
    assert_eq!(none.status.code(), Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_made_event_shows_its_commitment_at_once_and_keeps_it() {
    let server = Server::start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 10).await;
    let admission = json!({ "draw": true });
    let body = Shop::event_body(&hall, &json!({ "saleStartsAt": in_days(1), "admission": admission }));
    let made = shop.post("/events").by(&shop.admin).json(&body).send().await.expect(201);
    let event = made["id"].as_str().unwrap();
    let commitment = made["admission"]["drawCommitment"].clone();
    assert_eq!(published(&shop, event).await["commitment"], commitment);
    for change in [json!({ "draw": false }), json!({ "draw": true }), json!({ "ratePerSecond": 7 })] {
        let path = format!("/events/{event}");
        shop.patch(&path).by(&shop.admin).json(&json!({ "admission": change })).send().await.expect(200);
    }
    assert_eq!(published(&shop, event).await["commitment"], commitment);

    let without = shop.event(&hall, &json!({ "saleStartsAt": in_days(1) })).await;
    shop.get(&format!("/events/{without}/draw")).send().await.refused(404, "NOT_FOUND");
    let detail = shop.get(&format!("/events/{without}")).send().await.expect(200);
    assert!(detail["admission"].get("drawCommitment").is_none());
    server.stop().await;
}

//! `onsale plan` beside a real on-sale: the same hall, rules and crowd, once in virtual time and once over sockets.

use crate::harness::{Server, run, write};
use crate::shop::{Person, Shop};
use onsale_server::capacity::{Crowd, Rules, plain_hall, simulate};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const BUYERS: u32 = 300;
const SEATS: u32 = 400;
const RATE: u32 = 15;
/// How far a prediction may be off.
const SHARE: f64 = 0.10;

fn crowd() -> Crowd {
    Crowd { buyers: BUYERS, within: 1.0, choose: 2.0, pay: 1.0, abandon: 0, leave: 0, wants: 2.0, seed: 3 }
}

/// One of the crowd, as `onsale plan` thinks of them: polls at the interval it is sent, chooses two seats, pays, or goes when all is sold.
async fn somebody(shop: Shop, event: String, comes_after: Duration, opened: Instant) -> Option<Duration> {
    // Part of what is measured: when they come, how long they choose and pay.
    tokio::time::sleep(comes_after).await;
    let buyer = shop.buyer();
    let mut place = shop.post("/queue/enter").by(&buyer).json(&json!({ "eventId": event })).send().await.expect(200);
    while place["status"] != "ACTIVE" {
        tokio::time::sleep(Duration::from_secs_f64(place["pollAfterSeconds"].as_f64().unwrap())).await;
        let actual = shop.get(&format!("/queue/status?eventId={event}")).by(&buyer).send().await;
        if actual.status != 200 || shop.get(&format!("/events/{event}")).send().await.json()["status"] == "SOLD_OUT" {
            return None;
        }
        place = actual.json();
    }
    let token = place["token"].as_str().unwrap().to_owned();
    // They choose.
    tokio::time::sleep(Duration::from_secs_f64(crowd().choose)).await;
    let Some(held) = best_two(&shop, &event, &buyer, &token).await else {
        shop.delete(&format!("/queue/leave?eventId={event}")).by(&buyer).send().await.expect(204);
        return None;
    };
    // They pay.
    tokio::time::sleep(Duration::from_secs_f64(crowd().pay)).await;
    let payment = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_ok").await.expect(200);
    Some(opened.elapsed())
}

async fn best_two(shop: &Shop, event: &str, buyer: &Person, token: &str) -> Option<Value> {
    for quantity in [2, 1] {
        let body = json!({ "eventId": event, "category": "S", "quantity": quantity });
        let held = shop.post("/reservations/hold").by(buyer).admitted(token).json(&body).send().await;
        if held.status == 201 {
            return Some(held.json());
        }
    }
    None
}

/// Until nobody waits, as an operator sees it.
async fn drained(shop: Shop, event: String, opened: Instant) -> Duration {
    // Before that, not everybody has come.
    tokio::time::sleep(Duration::from_secs(2)).await;
    loop {
        let stats = shop.get("/queue/admin/stats").by(&shop.admin).send().await.expect(200);
        if stats[&event]["waiting"] == 0 {
            return opened.elapsed();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_predicts_a_real_on_sale_within_a_tenth() {
    let rules = Rules { rate: RATE, capacity: 50_000, active_limit: None, token_seconds: 600, hold_seconds: 300 };
    // Enough seats for everybody: the line drains. Too few: they sell out.
    let draining = simulate(&plain_hall(2 * BUYERS + 100).unwrap(), &rules, &crowd(), false);
    let selling_out = simulate(&plain_hall(SEATS).unwrap(), &rules, &crowd(), false);
    let (planned_drain, planned_end) = (draining.drained_after.unwrap(), selling_out.sold_out_after.unwrap());

    let server = Server::with().key("RATE_LIMIT__ENABLED", "false").start().await;
    let shop = server.shop();
    let measure = async |seats: u32| {
        let rows: Vec<String> = (1..=seats / 50).map(|row| format!("R{row}")).collect();
        let grades: serde_json::Map<String, Value> = rows.iter().map(|row| (row.clone(), "S".into())).collect();
        let template = json!({ "rows": rows, "seatsPerRow": 50, "gradeMapping": grades });
        let hall = shop.hall(&json!({ "seatTemplate": template })).await;
        let admission = json!({ "required": true, "ratePerSecond": RATE });
        let changes = json!({ "prices": { "S": 1000 }, "admission": admission });
        let event = shop.event(&hall, &changes).await;
        let opened = Instant::now();
        let line = tokio::spawn(drained(shop.clone(), event.clone(), opened));
        let people: Vec<_> = (0..BUYERS)
            .map(|number| {
                let comes_after = Duration::from_secs_f64(f64::from(number) / f64::from(BUYERS));
                tokio::spawn(somebody(shop.clone(), event.clone(), comes_after, opened))
            })
            .collect();
        let mut last = Duration::ZERO;
        for person in people {
            last = last.max(person.await.unwrap().unwrap_or_default());
        }
        let sold = shop.get(&format!("/events/{event}")).send().await.expect(200)["seats"]["sold"].as_u64().unwrap();
        line.abort();
        (line.await.ok(), last, sold)
    };
    let ((measured_drain, _, _), (_, measured_end, sold)) = tokio::join!(measure(2 * BUYERS + 100), measure(SEATS));
    assert_eq!(sold, u64::from(SEATS));
    for (what, planned, measured) in
        [("drain", planned_drain, measured_drain.unwrap()), ("sell-out", planned_end, measured_end)]
    {
        let off = planned.as_secs_f64() / measured.as_secs_f64() - 1.0;
        eprintln!("{what}: planned {planned:.1?}, measured {measured:.1?}, {:+.1} %", off * 100.0);
        assert!(off.abs() <= SHARE, "{what}: planned {planned:?}, measured {measured:?}");
    }
    server.stop().await;
}

#[test]
fn the_command_prints_figures_curves_and_other_rates_and_writes_a_page() {
    let directory = tempfile::tempdir().unwrap();
    let page = directory.path().join("plan.html");
    let output = run(|command| {
        command.current_dir(directory.path()).args(["plan", "--seats", "500", "--buyers", "2000", "--rate", "20"]);
        command.args(["--rates", "10,40", "--html"]).arg(&page);
    });
    let actual = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{actual}");
    for part in
        ["2000 people within 10 s, 500 seats, 20 let in a second", "seats sold", "500 of 500", "█", "what another rate"]
    {
        assert!(actual.contains(part), "{part:?} is not in\n{actual}");
    }
    assert!(std::fs::read_to_string(page).unwrap().contains("<svg"));
    let output = run(|command| {
        command.current_dir(directory.path()).args(["plan", "--hall", "nowhere.json"]);
    });
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn the_same_plan_as_json_and_a_hall_file_that_is_none() {
    let output = run(|command| {
        command.args(["plan", "--seats", "200", "--buyers", "1000", "--within", "5", "--rate", "20", "--json"]);
    });
    let actual: Value = serde_json::from_slice(&output.stdout).unwrap();
    let first = &actual["rates"][0];
    assert_eq!((&first["ratePerSecond"], &first["seats"]), (&json!(20), &json!(200)));
    // Who wants two may leave a single seat behind.
    assert!((190..=200).contains(&first["seatsSold"].as_u64().unwrap()), "{first}");
    assert_eq!(actual["rates"].as_array().unwrap().len(), 4);
    assert!(actual["seconds"].as_array().unwrap().len() > 5 && first["memoryBytes"].is_u64(), "{first}");

    let scratch = tempfile::tempdir().unwrap();
    let refused = |text: &str| {
        let file = write(scratch.path(), "hall.json", text);
        let output = run(|command| {
            command.args(["plan", "--hall"]).arg(file);
        });
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(refused("{\"rows\": [").contains("hall.json is not JSON"), "{}", refused("{\"rows\": ["));
    let body =
        json!({ "name": "Main", "seatTemplate": { "rows": ["A"], "seatsPerRow": 0, "gradeMapping": { "A": "S" } } });
    assert!(refused(&body.to_string()).contains("seatTemplate.seatsPerRow"), "{}", refused(&body.to_string()));
}

//! The table of `docs/answers.md` over HTTP: every ending, every call. A buyer makes one call, so each cell has one of its own.

use crate::harness::Server;
use crate::shop::{Person, Reply, Shop, TIMEOUT, in_days, in_seconds};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

const DOCUMENT: &str = include_str!("../../../docs/answers.md");
const CALLS: [&str; 9] = ["enter", "place", "hold", "change", "release", "cancel", "open", "confirm", "payment"];

/// The rows of the first table, by ending.
fn documented() -> BTreeMap<String, Vec<String>> {
    let (_, table) = DOCUMENT.split_once("| ending |").unwrap();
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let (head, rows) = table.split_once('\n').unwrap();
    assert_eq!(cells(head), CALLS);
    let rows = rows.lines().skip(1).take_while(|line| line.starts_with('|')).map(cells);
    rows.map(|mut row| (row.remove(0), row)).collect()
}

/// Somebody who shops, holds a seat and has opened a payment.
#[derive(Clone)]
struct Visitor {
    number: usize,
    person: Person,
    token: String,
    held: Value,
    opened: Value,
}

/// An event, and a visitor for each call.
struct Story {
    shop: Shop,
    event: String,
    visitors: Vec<Visitor>,
}

impl Story {
    async fn begin(shop: &Shop, rules: Value) -> Self {
        let hall = shop.small_hall(&["A", "B", "C"], 20).await;
        let mut changes = json!({ "admission": { "ratePerSecond": 1000, "tokenSeconds": 600 }, "prices": { "VIP": 1000, "S": 1000 } });
        for (name, value) in rules.as_object().unwrap() {
            match changes[name].as_object_mut() {
                Some(members) => members.extend(value.as_object().unwrap().clone()),
                None => changes[name] = value.clone(),
            }
        }
        let event = shop.event(&hall, &changes).await;
        let mut story = Self { shop: shop.clone(), event, visitors: Vec::new() };
        for number in 1..=CALLS.len() {
            let person = shop.buyer();
            let token = shop.admitted(&story.event, &person).await;
            let held = story.hold(&person, &token, &format!("A-{number}")).await.expect(201);
            let opened = shop.pay(&person, &held).await.expect(201);
            story.visitors.push(Visitor { number, person, token, held, opened });
        }
        story
    }

    async fn hold(&self, person: &Person, token: &str, seat: &str) -> Reply {
        let body = json!({ "eventId": self.event, "seatIds": [seat] });
        self.shop.post("/reservations/hold").by(person).admitted(token).json(&body).send().await
    }

    async fn change(&self, visitor: &Visitor, row: char) -> Reply {
        let seats = json!({ "newSeatIds": [format!("{row}-{}", visitor.number)] });
        self.shop.put(&hold_path(visitor)).by(&visitor.person).json(&seats).send().await
    }

    /// Every visitor's payment is confirmed.
    async fn confirm_all(&self, transaction: &str, status: u16) {
        for visitor in &self.visitors {
            self.shop.confirm(&visitor.person, &visitor.opened, transaction).await.expect(status);
        }
    }

    async fn leave_all(&self) {
        for visitor in &self.visitors {
            let path = format!("/queue/leave?eventId={}", self.event);
            self.shop.delete(&path).by(&visitor.person).send().await.expect(204);
        }
    }

    async fn release_all(&self) {
        for visitor in &self.visitors {
            self.shop.delete(&hold_path(visitor)).by(&visitor.person).send().await.expect(204);
        }
    }

    /// Asks until every visitor's payment is this.
    async fn until_payments(&self, wanted: &str) {
        let began = Instant::now();
        for visitor in &self.visitors {
            loop {
                let path = format!("/payments/{}", visitor.opened["paymentId"].as_str().unwrap());
                let payment = payment_word(&self.shop.get(&path).by(&visitor.person).send().await);
                if payment == wanted {
                    break;
                }
                assert!(began.elapsed() < TIMEOUT, "never {wanted}: {payment}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    async fn steer(&self, change: Value) {
        let path = format!("/admin/events/{}/admission", self.event);
        self.shop.patch(&path).by(&self.shop.admin).json(&change).send().await.expect(200);
    }

    async fn cancel(&self) {
        let path = format!("/admin/events/{}/cancel", self.event);
        self.shop.post(&path).by(&self.shop.admin).send().await.expect(200);
    }

    async fn answer(&self, call: &str, visitor: &Visitor) -> String {
        let (shop, person) = (&self.shop, &visitor.person);
        let place = |reply: &Reply| place_word(reply, call == "place");
        match call {
            "enter" => {
                let body = json!({ "eventId": self.event });
                place(&shop.post("/queue/enter").by(person).json(&body).send().await)
            }
            "place" => place(&shop.get(&format!("/queue/status?eventId={}", self.event)).by(person).send().await),
            "hold" => word(&self.hold(person, &visitor.token, &format!("B-{}", visitor.number)).await),
            "change" => word(&self.change(visitor, 'C').await),
            "release" => word(&shop.delete(&hold_path(visitor)).by(person).send().await),
            "cancel" => {
                let path = format!("/reservations/{}", visitor.held["reservationId"].as_str().unwrap());
                word(&shop.delete(&path).by(person).send().await)
            }
            "open" => word(&shop.pay(person, &visitor.held).await),
            "confirm" => word(&shop.confirm(person, &visitor.opened, "sim_ok").await),
            _ => {
                let path = format!("/payments/{}", visitor.opened["paymentId"].as_str().unwrap());
                payment_word(&shop.get(&path).by(person).send().await)
            }
        }
    }

    /// Everybody makes their call; the answer is what is documented.
    #[track_caller]
    fn check(self, ending: &'static str, tried: &mut BTreeMap<&'static str, ()>) -> impl Future<Output = ()> {
        assert!(tried.insert(ending, ()).is_none(), "{ending} twice");
        async move {
            let expected = documented().remove(ending).unwrap_or_else(|| panic!("{ending} is not documented"));
            let mut answers = Vec::new();
            for (call, visitor) in CALLS.iter().zip(&self.visitors) {
                answers.push(self.answer(call, visitor).await);
            }
            assert_eq!(answers, expected, "{ending}");
        }
    }
}

fn hold_path(visitor: &Visitor) -> String {
    format!("/reservations/hold/{}", visitor.held["reservationId"].as_str().unwrap())
}

/// Status, code and reason.
fn word(reply: &Reply) -> String {
    let body = reply.json();
    let parts = ["code", "reason"].map(|name| body[name].as_str().unwrap_or_default().to_owned());
    let is_refused = reply.status >= 400;
    let parts = parts.iter().filter(|part| is_refused && !part.is_empty());
    parts.fold(reply.status.to_string(), |all, part| format!("{all} {part}"))
}

/// A place's status, whether it has a token, and what it says.
fn place_word(reply: &Reply, with_notice: bool) -> String {
    let body = reply.json();
    if reply.status != 200 {
        return word(reply);
    }
    assert!(body.as_object().unwrap().contains_key("notice") && body["now"].is_string(), "{body}");
    let without = if body["status"] == "ACTIVE" && body["token"].is_null() { " without token" } else { "" };
    let notice = body["notice"].as_str().filter(|_| with_notice).map(|word| format!(", {word}"));
    format!("200 {}{without}{}", body["status"].as_str().unwrap(), notice.unwrap_or_default())
}

fn payment_word(reply: &Reply) -> String {
    let body = reply.expect(200);
    let failure = body["failure"].as_str().map(|why| format!(" {why}")).unwrap_or_default();
    format!("{}{failure}", body["status"].as_str().unwrap())
}

/// Waits until an instant that was so many seconds ahead, and a moment more.
async fn pass(began: Instant, seconds: u64) {
    tokio::time::sleep_until((began + Duration::from_millis(seconds * 1000 + 200)).into()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ending_has_its_answers() {
    let server = Server::with().key("PAYMENT__TIMEOUT_MS", "3000").key("RATE_LIMIT__ENABLED", "false").start().await;
    let shop = server.shop();
    let mut tried = BTreeMap::new();
    Story::begin(&shop, json!({})).await.check("nothing", &mut tried).await;

    // A sale that is over by its time.
    let ends = |hold: u64| json!({ "saleEndsAt": in_seconds(12), "holdSeconds": hold });
    let began = Instant::now();
    let pending = Story::begin(&shop, ends(600)).await;
    let expired = Story::begin(&shop, ends(1)).await;
    let paid = Story::begin(&shop, ends(600)).await;
    paid.confirm_all("sim_ok", 200).await;
    pass(began, 14).await;
    pending.check("sale over, hold pending", &mut tried).await;
    expired.until_payments("FAILED HOLD_ENDED").await;
    expired.check("sale over, hold expired", &mut tried).await;
    paid.check("sale over, paid", &mut tried).await;

    // A room that an operator has closed.
    let inside = Story::begin(&shop, json!({})).await;
    inside.steer(json!({ "closed": true })).await;
    inside.check("room closed", &mut tried).await;
    let outside = Story::begin(&shop, json!({})).await;
    outside.leave_all().await;
    outside.steer(json!({ "closed": true })).await;
    outside.check("room closed, slot given up", &mut tried).await;

    // An event that was cancelled, or deleted.
    let pending = Story::begin(&shop, json!({})).await;
    pending.cancel().await;
    pending.until_payments("FAILED SALE_CANCELLED").await;
    pending.check("event cancelled, hold pending", &mut tried).await;
    let paid = Story::begin(&shop, json!({})).await;
    paid.confirm_all("sim_ok", 200).await;
    paid.cancel().await;
    paid.until_payments("REFUNDED SALE_CANCELLED").await;
    paid.check("event cancelled, paid", &mut tried).await;
    let deleted = Story::begin(&shop, json!({})).await;
    deleted.release_all().await;
    shop.delete(&format!("/events/{}", deleted.event)).by(&shop.admin).send().await.expect(204);
    deleted.check("event deleted, hold released", &mut tried).await;

    holds_and_payments(&shop, &mut tried).await;
    slots(&shop, &mut tried).await;
    assert!(documented().keys().map(String::as_str).eq(tried.keys().copied()), "every row was tried");
    server.stop().await;
}

/// A hold that is over or another one; a payment that came to nothing.
async fn holds_and_payments(shop: &Shop, tried: &mut BTreeMap<&'static str, ()>) {
    let expired = Story::begin(shop, json!({ "holdSeconds": 1 })).await;
    expired.until_payments("FAILED HOLD_ENDED").await;
    expired.check("hold expired", tried).await;
    let released = Story::begin(shop, json!({})).await;
    released.release_all().await;
    released.check("hold released", tried).await;
    let changed = Story::begin(shop, json!({})).await;
    for visitor in &changed.visitors {
        let seats = json!({ "newSeatIds": [format!("A-{}", visitor.number + 10)] });
        shop.put(&hold_path(visitor)).by(&visitor.person).json(&seats).send().await.expect(200);
    }
    changed.check("hold changed", tried).await;
    let declined = Story::begin(shop, json!({})).await;
    declined.confirm_all("sim_decline", 402).await;
    declined.check("payment declined", tried).await;

    for (ending, settled) in [("payment unknown", false), ("payment not charged", true)] {
        let story = Story::begin(shop, json!({})).await;
        let mut charges = tokio::task::JoinSet::new();
        for visitor in story.visitors.clone() {
            let shop = shop.clone();
            charges.spawn(async move { shop.confirm(&visitor.person, &visitor.opened, "sim_timeout").await.status });
        }
        if settled {
            charges.join_all().await;
            story.until_payments("FAILED NOT_CHARGED").await;
        } else {
            in_progress(&story).await;
        }
        story.check(ending, tried).await;
    }
}

/// Waits until everybody's charge has begun.
async fn in_progress(story: &Story) {
    let began = Instant::now();
    for visitor in &story.visitors {
        // To the same seat: a change that changes nothing, unless it is being paid.
        while story.change(visitor, 'A').await.status != 409 {
            assert!(began.elapsed() < TIMEOUT, "no charge has begun");
        }
    }
}

/// A slot that is over, given up, or used.
async fn slots(shop: &Shop, tried: &mut BTreeMap<&'static str, ()>) {
    let rules = |hold: u64| json!({ "admission": { "tokenSeconds": 3 }, "holdSeconds": hold });
    let pending = Story::begin(shop, rules(600)).await;
    let ended = Instant::now();
    pass(ended, 3).await;
    pending.check("slot over, hold pending", tried).await;
    let expired = Story::begin(shop, rules(1)).await;
    let ended = Instant::now();
    pass(ended, 3).await;
    expired.until_payments("FAILED HOLD_ENDED").await;
    expired.check("slot over, hold expired", tried).await;
    let left = Story::begin(shop, json!({ "saleEndsAt": in_days(1) })).await;
    left.leave_all().await;
    left.check("slot given up", tried).await;
    let cancelled = Story::begin(shop, json!({})).await;
    cancelled.confirm_all("sim_ok", 200).await;
    for visitor in &cancelled.visitors {
        let path = format!("/reservations/{}", visitor.held["reservationId"].as_str().unwrap());
        shop.delete(&path).by(&visitor.person).send().await.expect(200);
    }
    cancelled.check("paid and cancelled", tried).await;
}

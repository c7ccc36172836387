//! One request followed by its ids: from the line of its access through the charge that it orders to the message that other
//! systems get, also where a crash lies in between.

use crate::harness::{Server, Setup};
use crate::shop::{Person, Shop, TIMEOUT, confirmation};
use onsale_adapters::private_postgres::{Durability, PrivatePostgres, TestDatabase};
use rusqlite::Connection;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Traces of three callers.
const HOLDING: &str = "0af7651916cd43dd8448eb211c80319c";
const PAYING: &str = "1bf7651916cd43dd8448eb211c80319c";
const STUCK: &str = "2cf7651916cd43dd8448eb211c80319c";

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-b7ad6b7169203331-01")
}

fn lines(log: &str) -> Vec<Value> {
    log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The first line with these members, once it is there.
async fn line(server: &Server, members: Value) -> Value {
    let is_it = |line: &Value| members.as_object().unwrap().iter().all(|(name, value)| line[name] == *value);
    let log = server.log_when(|log| lines(log).iter().any(is_it)).await;
    lines(&log).into_iter().find(is_it).unwrap()
}

/// Whether a line belongs to all of these; none of them may be missing.
#[track_caller]
fn assert_belongs(line: &Value, request: &str, trace: &str, event: &str) {
    let ids = json!([line["request_id"], line["trace_id"], line["event_id"]]);
    assert_eq!(ids, json!([request, trace, event]), "{line}");
}

async fn hold(shop: &Shop, event: &str, buyer: &Person, request: &str, trace: &str) -> Value {
    let call = shop.post("/reservations/hold").by(buyer).header("x-request-id", request);
    let call = call.header("traceparent", &traceparent(trace));
    call.json(&json!({ "eventId": event, "seatIds": ["A-1"] })).send().await.expect(201)
}

async fn confirm(shop: &Shop, buyer: &Person, payment: &Value, transaction: &str) -> u16 {
    let call = shop.post("/payments/confirm").by(buyer).header("x-request-id", "paying");
    let call = call.header("traceparent", &traceparent(PAYING));
    call.json(&confirmation(payment, transaction)).send().await.status
}

fn access() -> Setup {
    Server::with().key("LOG__ACCESS_ONE_IN", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_charge_without_an_answer_is_logged_under_the_request_that_ordered_it() {
    let server = access().key("PAYMENT__TIMEOUT_MS", "300").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "holding", HOLDING).await;
    let payment = shop.pay(&buyer, &held).await.expect(201);
    confirm(&shop, &buyer, &payment, "sim_timeout").await;
    let late = line(&server, json!({ "message": "a charge was not answered in time" })).await;
    assert_belongs(&late, "paying", PAYING, &event);
    assert_eq!(late["payment"], payment["paymentId"]);
    let access = line(&server, json!({ "path": "/api/v1/payments/confirm" })).await;
    assert_belongs(&access, "paying", PAYING, &event);
    let access = line(&server, json!({ "path": "/api/v1/reservations/hold" })).await;
    assert_belongs(&access, "holding", HOLDING, &event);
    // Who sends neither has both in one.
    shop.get(&format!("/events/{event}")).send().await.expect(200);
    let own = line(&server, json!({ "path": "/api/v1/events/{id}" })).await;
    let request = own["request_id"].as_str().unwrap();
    assert_belongs(&own, request, &request.replace('-', ""), &event);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_it_sees_what_is_done_for_a_request_and_how_long_it_takes() {
    let server = Server::with().key("LOG__LEVEL", "debug").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "holding", HOLDING).await;
    let payment = shop.pay(&buyer, &held).await.expect(201);
    assert_eq!(confirm(&shop, &buyer, &payment, "sim_ok").await, 200);
    let end = async |members: Value| {
        let mut all = json!({ "message": "close", "trace_id": HOLDING });
        all.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        line(&server, all).await
    };
    let command = end(json!({ "span": "command", "command": "hold" })).await;
    assert_belongs(&command, "holding", HOLDING, &event);
    let commit = end(json!({ "span": "commit", "facts": 1 })).await;
    assert_belongs(&commit, "holding", HOLDING, &event);
    let request = end(json!({ "span": "request", "path": "/api/v1/reservations/hold", "method": "POST" })).await;
    assert_eq!(request["request_id"], "holding");
    assert!(request["time.busy"].is_string() && request["time.idle"].is_string(), "{request}");
    let paying = json!({ "span": "effect", "effect": "charge", "trace_id": PAYING, "payment": payment["paymentId"] });
    assert_belongs(&end(paying).await, "paying", PAYING, &event);
    let is_projection =
        |line: &Value| line["span"] == "projection" && line["facts"].is_u64() && line["event_id"] == event;
    server.log_when(|log| lines(log).iter().any(is_projection)).await;
    server.stop().await;
}

/// What was sent of each kind, and in which trace, of a server whose messages `read` finds.
type Messages = Vec<(String, Option<String>)>;

/// Of the first message of that type.
#[track_caller]
fn trace_of(messages: &Messages, kind: &str) -> Option<String> {
    let found = messages.iter().find(|(payload, _)| payload.contains(&format!("\"{kind}\"")));
    let (_, traceparent) = found.unwrap_or_else(|| panic!("{kind}: {messages:?}"));
    traceparent.as_ref().map(|traceparent| traceparent[3..35].to_owned())
}

/// Waits until the buyer's last change is in the tables, and with it its message.
async fn written(shop: &Shop, buyer: &Person) {
    shop.get("/payments").by(buyer).send().await.expect(200);
}

/// A purchase in two traces, and a charge of which the outcome is not known when the server is killed. Everything that was
/// written behind is lost with it; the messages are made again from the journal alone.
async fn is_continued(setup: Setup, read: impl Fn(&Server) -> Messages, lose: impl Fn(&Server)) {
    let mut server = setup.start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let held = hold(&shop, &event, &buyer, "holding", HOLDING).await;
    let payment = shop.pay(&buyer, &held).await.expect(201);
    let asking = tokio::spawn({
        let (shop, buyer, payment) = (shop.clone(), buyer.clone(), payment.clone());
        async move {
            let call = shop.post("/payments/confirm").by(&buyer).header("traceparent", &traceparent(PAYING));
            call.header("x-request-id", "paying").json(&confirmation(&payment, "sim_timeout")).send().await
        }
    });
    let began = Instant::now();
    loop {
        let id = payment["paymentId"].as_str().unwrap();
        let now = shop.get(&format!("/payments/{id}")).by(&buyer).send().await.expect(200);
        if now["state"] == "CHARGING" || trace_or_none(&read(&server), "payment.started").is_some() {
            break;
        }
        assert!(began.elapsed() < TIMEOUT, "it is never charged: {now}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    written(&shop, &buyer).await;
    let before = read(&server);
    assert_eq!(trace_of(&before, "reservation.held").as_deref(), Some(HOLDING));
    // Nobody waits for the charge any more when the server is killed in the middle of it.
    asking.abort();
    server.kill();
    lose(&server);
    server.start_again().await;
    let began = Instant::now();
    let after = loop {
        let after = read(&server);
        if trace_or_none(&after, "payment.failed").is_some() {
            break after;
        }
        assert!(began.elapsed() < TIMEOUT, "never settled: {after:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(trace_of(&after, "reservation.held").as_deref(), Some(HOLDING));
    assert_eq!(trace_of(&after, "payment.started").as_deref(), Some(PAYING));
    assert_eq!(trace_of(&after, "payment.failed").as_deref(), Some(PAYING), "what was asked after the crash");
    let opened = trace_of(&after, "payment.opened").unwrap();
    assert!(opened != HOLDING && opened != PAYING, "a request without a trace begins one");
    assert!(after.iter().flat_map(|(_, trace)| trace).all(|trace| trace.starts_with("00-") && trace.len() == 55));
    server.stop().await;
}

fn trace_or_none(messages: &Messages, kind: &str) -> Option<String> {
    let is_there = messages.iter().any(|(payload, _)| payload.contains(&format!("\"{kind}\"")));
    is_there.then(|| trace_of(messages, kind)).flatten()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_into_the_outbox_and_survives_a_crash() {
    let library = |server: &Server| Connection::open(server.data_path().join("library.db")).unwrap();
    let read = |server: &Server| {
        let library = library(server);
        let mut statement =
            library.prepare("SELECT payload, traceparent FROM outbox_events ORDER BY event_id, seq").unwrap();
        let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.collect::<Result<_, _>>().unwrap()
    };
    let lose = |server: &Server| library(server).execute_batch(LOSE).unwrap();
    is_continued(Server::with(), read, lose).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_is_continued_into_the_outbox_and_survives_a_crash_on_postgres() {
    let database = TestDatabase::create();
    let read = |_: &Server| {
        let rows = database
            .sql("SELECT payload || '|' || coalesce(traceparent, '') FROM outbox_events ORDER BY event_id, seq");
        let parted = rows.lines().filter_map(|row| row.rsplit_once('|'));
        let trace = |trace: &str| Some(trace.to_owned()).filter(|trace| !trace.is_empty());
        parted.map(|(payload, traced)| (payload.to_owned(), trace(traced))).collect()
    };
    let lose = |_: &Server| drop(database.sql(LOSE));
    is_continued(Server::with().postgres(database.url()), read, lose).await;
}

/// Everything that was written behind the journal.
const LOSE: &str =
    "DELETE FROM outbox_events; DELETE FROM seats; DELETE FROM reservation_seats; DELETE FROM reservations;
    DELETE FROM payments; DELETE FROM record_counts; DELETE FROM projection_checkpoints;";

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_is_logged_under_the_request_that_waits_for_it() {
    let postgres = PrivatePostgres::start(Durability::Synced, &[]);
    let setup = Server::with().postgres(&postgres.database("onsale")).key("SERVER__REQUEST_TIMEOUT_MS", "1000");
    let server = setup.start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    postgres.stop("fast");
    let call = shop.post("/reservations/hold").by(&buyer).header("x-request-id", "stuck");
    let call = call.header("traceparent", &traceparent(STUCK)).json(&json!({ "eventId": event, "seatIds": ["A-1"] }));
    call.send().await.refused(504, "DEADLINE_EXCEEDED");
    let failed = line(&server, json!({ "message": "the journal failed; the batch is tried again" })).await;
    assert_belongs(&failed, "stuck", STUCK, &event);
    let access = line(&server, json!({ "path": "/api/v1/reservations/hold" })).await;
    assert_belongs(&access, "stuck", STUCK, &event);
    postgres.start_again();
    server.stop().await;
}

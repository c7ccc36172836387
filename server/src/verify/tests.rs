//! What `onsale verify` finds: nothing in a directory that a server left behind, and each kind of damage by name.
#![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]

use super::{Fault, Output, Place, Report, VerifyError, checked, print};
use crate::app::App;
use crate::auth::{AccessTokens, Revoked};
use crate::client::{Answered, Call, Client};
use crate::config::Config;
use crate::server::{Running, Server, bind};
use onsale_adapters::sqlite::{DataDir, SqliteJournal, SqlitePlans, SqliteReader};
use onsale_engine::id::{BuyerId, ReservationId, Seq};
use onsale_engine::money::Amount;
use onsale_engine::ports::accounts::Role;
use onsale_engine::ports::{Journal, JournalEntry, JournalReader, Plans};
use onsale_engine::sale::{ChargeOutcome, Command, Entry, Fact, MoneyMoved, Sale};
use onsale_engine::time::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use uuid::Uuid;

const SECRET: &str = "an example secret of 32 bytes or more";

/// A server on a data directory.
async fn served(path: &Path) -> (Running, Arc<App>) {
    let env = [("ONSALE__STORAGE__PATH", path.to_str().unwrap()), ("ONSALE__AUTH__JWT_SECRET", SECRET)];
    let config = Config::load(None, env.map(|(name, value)| (name.into(), value.into()))).unwrap();
    let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let mut running = Server::start(config, socket).unwrap();
    let app = running.ready().await.unwrap();
    (running, app)
}

/// A data directory in which two seats were sold, one is held and one is not for sale.
async fn data() -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let (running, _) = served(temp.path()).await;
    sell(&Client::new(format!("http://{}", running.address()))).await;
    running.stop().await;
    wait_until_nobodys(temp.path());
    temp
}

/// A stopped server's last threads close their files a moment later; then the lock is free.
fn wait_until_nobodys(path: &Path) {
    let until = Instant::now() + Duration::from_secs(10);
    while let Err(error) = DataDir::open_existing(path) {
        assert!(Instant::now() < until, "{error}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn copy_of(data: &Path) -> tempfile::TempDir {
    let temp = tempfile::tempdir().unwrap();
    let entries = std::fs::read_dir(data).unwrap().map(Result::unwrap);
    for entry in entries.filter(|entry| entry.file_name() != "journal.reserve") {
        std::fs::copy(entry.path(), temp.path().join(entry.file_name())).unwrap();
    }
    temp
}

fn token(role: Role) -> String {
    let now = Timestamp(jiff::Timestamp::now().as_microsecond());
    AccessTokens::new(SECRET.as_bytes(), Revoked::default()).mint(BuyerId(Uuid::new_v4()), role, now).unwrap().token
}

async fn sell(client: &Client) {
    let (admin, buyer) = (token(Role::Admin), token(Role::User));
    let post = async |path: &str, body: Value, bearer: &str| -> Value {
        let answer: Answered = client.send(&Call::post(format!("/api/v1{path}"), &body).bearer(bearer)).await.unwrap();
        assert!(answer.is_success(), "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer.json()
    };
    let venue = post("/venues", json!({ "name": "V", "address": "1 Main Street", "city": "Seoul" }), &admin).await;
    let template = json!({ "rows": ["A"], "seatsPerRow": 6, "gradeMapping": { "A": "VIP" } });
    let halls = format!("/venues/{}/halls", venue["id"].as_str().unwrap());
    let hall = post(&halls, json!({ "name": "H", "seatTemplate": template }), &admin).await;
    let event = json!({
        "title": "T", "artist": "A", "hallId": hall["id"], "currency": "KRW", "prices": { "VIP": 1000 }, "blockedSeatIds": ["A-5"],
        "startsAt": "2099-06-01T19:00:00Z", "endsAt": "2099-06-01T21:00:00Z",
        "saleStartsAt": "2026-01-01T00:00:00Z", "saleEndsAt": "2099-05-01T00:00:00Z", "holdSeconds": 3600,
        "admission": { "required": false },
    });
    let event = post("/events", event, &admin).await["id"].clone();
    let hold = json!({ "eventId": event, "seatIds": ["A-1", "A-2"] });
    let held = post("/reservations/hold", hold, &buyer).await;
    let pay = json!({ "reservationId": held["reservationId"], "amount": 2000, "paymentMethod": "CARD" });
    let mut pay = post("/payments", pay, &buyer).await;
    pay["transactionId"] = "sim_ok".into();
    post("/payments/confirm", pay, &buyer).await;
    post("/reservations/hold", json!({ "eventId": event, "seatIds": ["A-4"] }), &buyer).await;
}

/// The same directory after a change to one of its files.
fn changed(data: &Path, file: &str, sql: &str) -> Report {
    let temp = copy_of(data);
    let rows = Connection::open(temp.path().join(file)).unwrap().execute(sql, []).unwrap();
    assert!(rows > 0, "{sql} changes nothing");
    verify(temp.path()).unwrap()
}

fn verify(path: &Path) -> Result<Report, VerifyError> {
    super::verify(&Place::Directory(path.to_owned()), &mut |_, _| {})
}

fn only_fault(report: &Report) -> &Fault {
    assert!(!report.is_good());
    let [event] = &report.events[..] else { unreachable!("one event") };
    let [fault] = &event.faults[..] else { unreachable!("one fault, not {:?}", event.faults) };
    fault
}

fn text(report: &Report, as_json: bool) -> String {
    let mut out = Vec::new();
    print(report, as_json, true, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[tokio::test]
async fn a_directory_that_a_server_left_is_good() {
    let data = data().await;
    let report = verify(data.path()).unwrap();
    assert!(report.is_good(), "{report:?}");
    let event = &report.events[0];
    assert_eq!((event.seats.total, event.seats.held, event.seats.sold, event.seats.blocked), (6, 1, 2, 1));
    assert_eq!((event.reservations, event.payments), (2, 1));
    assert_eq!((event.rows, event.checkpoint), (event.last_seq.0, event.last_seq));
    assert_eq!(event.chain_head.len(), 64);
    let table = text(&report, false);
    assert!(table.contains("verdict") && table.contains("everything is as it must be"), "{table}");
    let actual: Value = serde_json::from_str(&text(&report, true)).unwrap();
    assert_eq!((&actual["good"], &actual["events"][0]["seats"]["sold"]), (&json!(true), &json!(2)));
}

#[tokio::test]
async fn every_fact_can_be_read_by_a_human() {
    let data = data().await;
    let (mut out, output) = (Vec::new(), Output { json: true, facts: true, draw: None });
    assert_eq!(checked(&Place::Directory(data.path().to_owned()), &output, &mut out), Ok(true));
    let lines: Vec<Value> =
        out.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
    let (report, facts) = lines.split_last().unwrap();
    assert_eq!(report["events"][0]["rows"], facts.len());
    assert!(facts.iter().zip(1..).all(|(fact, seq)| fact["seq"] == seq), "{facts:?}");
}

#[tokio::test]
async fn damage_is_named() {
    let data = data().await;
    let check = |file: &str, sql: &str, expected: &str| {
        let report = changed(data.path(), file, sql);
        assert!(!report.is_good(), "after {sql} nothing is wrong");
        let table = text(&report, false);
        assert!(table.contains("BAD") && table.contains(expected), "after {sql}: {table}");
    };
    let rows = verify(data.path()).unwrap().events[0].rows;
    let journal = "journal.db";
    check(journal, "UPDATE journal SET at = at + 1 WHERE seq = 3", "row 3: it does not fit its chain");
    check(journal, "UPDATE journal SET body = zeroblob(3) WHERE seq = 1", "row 1: it does not fit its chain");
    check(journal, "DELETE FROM journal WHERE seq = 2", "row 2: it is missing");
    let cut = format!("DELETE FROM journal WHERE seq = {rows}");
    check(journal, &cut, &format!("said to hold row {rows}, but the journal ends with {}", rows - 1));
    let library = "library.db";
    check(library, "UPDATE seats SET status = 'AVAILABLE' WHERE seat_id = 'A-1'", "seat A-1 is");
    check(library, "UPDATE seats SET status = 'AVAILABLE' WHERE seat_id = 'A-5'", "must be (\"A-5\", \"BLOCKED\"");
    check(
        library,
        "INSERT INTO seats SELECT event_id, 'A-6', 'SOLD', NULL FROM seats LIMIT 1",
        "seat A-6 is there without",
    );
    check(library, "DELETE FROM payments", "is missing");
    check(library, "UPDATE reservations SET amount = 1 WHERE status = 'CONFIRMED'", "the tables differ: reservation");
    check(library, "UPDATE projection_checkpoints SET seq = seq - 1", "the tables differ");
}

#[tokio::test]
async fn a_damaged_row_hides_nothing_that_came_before_it() {
    let data = data().await;
    let report = changed(data.path(), "journal.db", "UPDATE journal SET kind = 200 WHERE seq = 3");
    let Fault::Row { seq, .. } = only_fault(&report) else { unreachable!("{report:?}") };
    assert_eq!((*seq, report.events[0].rows), (Seq(3), 2));
}

/// The sale asserts that no seat is in two hands before it changes; such a journal is listed, and does not end the check.
#[tokio::test]
async fn facts_that_contradict_each_other_are_a_fault_of_their_row() {
    let data = data().await;
    let dir = DataDir::open_existing(data.path()).unwrap();
    let reader = SqliteReader::open(&dir, SqlitePlans::open(&dir).unwrap()).unwrap();
    let event = reader.events().unwrap()[0];
    let (mut last, mut held) = (Seq(0), None);
    reader
        .replay(event, Seq(0), &mut |entry| {
            last = entry.seq;
            if matches!(entry.fact, Fact::SeatsHeld { .. }) {
                held.get_or_insert(entry.fact);
            }
        })
        .unwrap();
    let Some(Fact::SeatsHeld { buyer, seats, amount, expires_at, slot, .. }) = held else { unreachable!("a hold") };
    let reservation = ReservationId(Uuid::from_u128(7));
    let fact = Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot };
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let epoch = journal.raise_epoch(event).unwrap();
    let at = Timestamp(jiff::Timestamp::now().as_microsecond());
    journal.append(&[JournalEntry { event, entry: Entry { seq: last.next(), epoch, at, trace: None, fact } }]).unwrap();
    drop((journal, reader, dir));
    wait_until_nobodys(data.path());
    let report = verify(data.path()).unwrap();
    let Fault::Row { seq, reason } = only_fault(&report) else { unreachable!("{report:?}") };
    assert_eq!(*seq, last.next());
    assert!(reason.contains("contradicts the rows before it"), "{reason}");
}

#[tokio::test]
async fn a_snapshot_that_leads_elsewhere_is_reported() {
    let data = data().await;
    let dir = DataDir::open_existing(data.path()).unwrap();
    let plans: Arc<dyn Plans> = SqlitePlans::open(&dir).unwrap();
    let reader = SqliteReader::open(&dir, plans).unwrap();
    let event = reader.events().unwrap()[0];
    let mut sale = Sale::new();
    reader.replay(event, Seq(0), &mut |entry| sale.apply(&entry)).unwrap();
    reader.keep_snapshot(event, &sale.snapshot()).unwrap();
    drop((dir, reader));
    let good = verify(data.path()).unwrap();
    assert!(good.is_good() && good.events[0].snapshot == Some(sale.seq()), "{good:?}");

    let dir = DataDir::open_existing(data.path()).unwrap();
    let plans: Arc<dyn Plans> = SqlitePlans::open(&dir).unwrap();
    let reader = SqliteReader::open(&dir, plans).unwrap();
    let mut wrong = sale.snapshot();
    wrong.tickets += 1;
    reader.keep_snapshot(event, &wrong).unwrap();
    drop((dir, reader));
    let actual = only_fault(&verify(data.path()).unwrap()).to_string();
    assert!(actual.contains("the snapshot differs"), "{actual}");
}

/// Every file's bytes and when it was changed last.
fn state(data: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let files = std::fs::read_dir(data).unwrap().map(|file| file.unwrap().path());
    files
        .map(|path| (path.clone(), (std::fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap())))
        .collect()
}

/// What a process leaves that is killed before its last fact is in `journal.db`.
fn killed(data: &Path) -> tempfile::TempDir {
    let dir = DataDir::open_existing(data).unwrap();
    let reader = SqliteReader::open(&dir, SqlitePlans::open(&dir).unwrap()).unwrap();
    let event = reader.events().unwrap()[0];
    let last = Seq(reader.verify(event).unwrap());
    let mut journal = SqliteJournal::open(&dir).unwrap();
    let epoch = journal.raise_epoch(event).unwrap();
    let left = |seq| {
        let fact = Fact::Left { buyer: BuyerId(Uuid::from_u128(1)) };
        [JournalEntry {
            event,
            entry: Entry { seq, epoch, at: Timestamp(jiff::Timestamp::now().as_microsecond()), trace: None, fact },
        }]
    };
    journal.append(&left(last.next())).unwrap();
    reader.verify(event).unwrap();
    journal.pause_checkpointer(true);
    journal.append(&left(last.next().next())).unwrap();
    copy_of(data)
}

#[tokio::test]
async fn nothing_is_changed_also_of_what_a_killed_process_left() {
    let data = data().await;
    let good = verify(data.path()).unwrap();
    let killed = killed(data.path());
    assert!(killed.path().join("journal.log.0").exists() && killed.path().join("journal.db-wal").exists());
    wait_until_nobodys(data.path());
    for path in [data.path(), killed.path()] {
        let before = state(path);
        for (facts, draw) in [(false, None), (true, None), (false, Some(None))] {
            let output = Output { json: true, facts, draw };
            let mut out = Vec::new();
            assert_eq!(checked(&Place::Directory(path.to_owned()), &output, &mut out), Ok(true));
            let report: Value = serde_json::from_slice(out.split(|byte| *byte == b'\n').rev().nth(1).unwrap()).unwrap();
            assert_eq!(report["events"][0]["rows"], good.events[0].rows + 2);
        }
        assert!(before == state(path), "{:?} before, {:?} after", before.keys(), state(path).keys());
    }
}

/// What the provider says of money that no payment accounts for is no damage, but nobody overlooks it.
#[tokio::test]
async fn unmatched_outcomes_are_listed() {
    let temp = tempfile::tempdir().unwrap();
    let (running, app) = served(temp.path()).await;
    let client = Client::new(format!("http://{}", running.address()));
    sell(&client).await;
    let sale = app.engine.sales().into_iter().next().unwrap();
    let payment = sale.view().snapshot().payments[0].clone();
    let deadline = app.clock.now() + Duration::from_secs(60);
    for amount in [2000, 2001, 2001] {
        let outcome = ChargeOutcome::Captured { amount: Amount(amount) };
        sale.ask(Command::SettleCharge { payment: payment.view.id, outcome }, deadline).await.unwrap();
    }
    let metrics = client.send(&Call::get("/metrics")).await.unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("onsale_unmatched_outcomes_total 1\n"), "{metrics}");
    drop((sale, app));
    running.stop().await;
    wait_until_nobodys(temp.path());

    let report = verify(temp.path()).unwrap();
    assert!(report.is_good(), "{report:?}");
    let [outcome] = &report.events[0].unmatched[..] else { unreachable!("one, not {report:?}") };
    let moved = MoneyMoved::Captured { amount: Amount(2001) };
    assert_eq!((outcome.payment, outcome.moved), (payment.view.id, moved));
    let table = text(&report, false);
    let line = format!("unmatched outcome, payment {}: 2001 captured at ", payment.view.id);
    assert!(table.contains(&line) && table.contains("1 unmatched outcomes"), "{table}");
    let actual: Value = serde_json::from_str(&text(&report, true)).unwrap();
    assert_eq!(
        (&actual["unmatchedOutcomes"], &actual["events"][0]["unmatched"][0]["amount"]),
        (&json!(1), &json!(2001))
    );
}

#[test]
fn what_is_no_data_directory_or_is_in_use_is_reported() {
    let temp = tempfile::tempdir().unwrap();
    let message = |error: VerifyError| error.to_string();
    assert!(message(verify(temp.path()).unwrap_err()).contains("no data directory"));
    let path = temp.path().join("data");
    let _owner = DataDir::open(&path).unwrap();
    assert!(message(verify(&path).unwrap_err()).contains("in use"));
}

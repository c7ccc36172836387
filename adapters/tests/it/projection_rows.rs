//! What the tables themselves say on SQLite: seats in words, messages in order, and old messages gone.

use crate::projection::{Opened, Tables, assert_follows, committed};
use crate::story::{Story, buyer};
use crate::support::{Directory, event, trace};
use onsale_engine::fakes::small_plan;
use onsale_engine::id::SeatIndex;
use onsale_engine::sale::{ChargeOutcome, Command, OperatorCancel};
use rusqlite::Connection;
use serde_json::Value;
use std::collections::BTreeMap;
use std::time::Duration;

fn library(directory: &Directory) -> Connection {
    Connection::open(directory.path().join("library.db")).unwrap()
}

fn rows<T>(connection: &Connection, sql: &str, read: impl Fn(&rusqlite::Row<'_>) -> rusqlite::Result<T>) -> Vec<T> {
    let mut statement = connection.prepare(sql).unwrap();
    statement.query_map([], |row| read(row)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[tokio::test]
async fn seats_stand_as_in_the_sale() {
    for seed in 20..26 {
        let directory = Directory::new();
        let Opened { mut projection, records } = directory.open();
        let story = Story::random(event(1), seed, 300);
        for part in story.entries.chunks(33) {
            projection.project(&[committed(event(1), part)]).unwrap();
        }
        assert_follows(&*records, &story).await;
        let plan = small_plan(10, 20);
        let names = |seats: Vec<SeatIndex>| -> Vec<String> {
            let mut names: Vec<_> = seats.into_iter().map(|seat| plan.seat_id(seat).to_owned()).collect();
            names.sort();
            names
        };
        let library = library(&directory);
        let stored = |status: &str| {
            let sql = format!("SELECT seat_id FROM seats WHERE status = '{status}' ORDER BY seat_id");
            rows(&library, &sql, |row| row.get::<_, String>(0))
        };
        assert_eq!(stored("HELD"), names(story.sale.seats_held()), "seed {seed}");
        assert_eq!(stored("SOLD"), names(story.sale.seats_sold()), "seed {seed}");
        assert_eq!(stored("BLOCKED"), names(story.sale.seats_blocked()), "seed {seed}");
        let owned = "SELECT count(*) FROM seats WHERE (status IN ('AVAILABLE', 'BLOCKED')) <> (reservation_id IS NULL)";
        assert_eq!(rows(&library, owned, |row| row.get::<_, i64>(0)), [0]);
        let owners = "SELECT count(*) FROM seats s JOIN reservations r ON r.id = s.reservation_id
            WHERE r.status <> CASE s.status WHEN 'HELD' THEN 'PENDING' ELSE 'CONFIRMED' END";
        assert_eq!(rows(&library, owners, |row| row.get::<_, i64>(0)), [0]);
        let seats = "SELECT count(*) FROM reservation_seats rs JOIN seats s USING (seat_id)
            WHERE s.reservation_id = rs.reservation_id";
        let taken = i64::from(story.sale.counts().held + story.sale.counts().sold);
        assert_eq!(rows(&library, seats, |row| row.get::<_, i64>(0)), [taken]);
    }
}

#[tokio::test]
async fn messages_of_one_purchase_come_in_order() {
    let directory = Directory::new();
    let Opened { mut projection, .. } = directory.open();
    let mut story = Story::begin(event(1), 3);
    let reservation = story.hold(buyer(1), 2).unwrap();
    let payment = story.pay(reservation).unwrap();
    let amount = story.sale.payment(payment).unwrap().amount;
    assert!(story.execute(Command::SettleCharge { payment, outcome: ChargeOutcome::Captured { amount } }));
    assert!(story.execute(Command::CancelReservation { buyer: buyer(1), reservation }));
    assert!(story.execute(Command::SettleRefund { payment }));
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    let library = library(&directory);
    let sql = "SELECT seq, topic, key, payload, published, traceparent FROM outbox_events ORDER BY event_id, seq";
    let messages = rows(&library, sql, |row| {
        let (seq, topic, key): (u64, String, String) = (row.get::<_, i64>(0)? as u64, row.get(1)?, row.get(2)?);
        let payload: Value = serde_json::from_str(&row.get::<_, String>(3)?).unwrap();
        assert_eq!(row.get::<_, i64>(4)?, 0);
        assert_eq!(key, reservation.to_string());
        let traceparent: Option<String> = row.get(5)?;
        assert_eq!(traceparent, trace(seq).map(|trace| trace.to_string()), "of the fact {seq}");
        assert_eq!(
            (payload["seq"].as_u64().unwrap(), payload["eventId"].as_str().unwrap()),
            (seq, &*event(1).to_string())
        );
        let status = payload["reservation"]["status"].as_str().or(payload["payment"]["status"].as_str());
        Ok((topic, payload["type"].as_str().unwrap().to_owned(), status.unwrap().to_owned()))
    });
    let sent: Vec<_> = messages.iter().map(|(a, b, c)| (a.as_str(), b.as_str(), c.as_str())).collect();
    assert_eq!(
        sent,
        [
            ("reservation.events", "reservation.held", "PENDING"),
            ("payment.events", "payment.opened", "PENDING"),
            ("payment.events", "payment.started", "PENDING"),
            ("payment.events", "payment.captured", "SUCCESS"),
            ("reservation.events", "reservation.confirmed", "CONFIRMED"),
            ("reservation.events", "reservation.cancelled", "CANCELLED"),
            ("payment.events", "payment.refund_ordered", "REFUNDED"),
            ("payment.events", "payment.refunded", "REFUNDED"),
        ]
    );
    let words = rows(&library, "SELECT status, stage FROM payments", |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(words, [("REFUNDED".to_owned(), "REFUND_SETTLED".to_owned())]);
}

#[tokio::test]
async fn what_an_administrator_ends_is_published_with_the_reason() {
    let directory = Directory::new();
    let Opened { mut projection, .. } = directory.open();
    let mut story = Story::begin(event(1), 6);
    let (paid, held) = (story.hold(buyer(1), 1).unwrap(), story.hold(buyer(2), 1).unwrap());
    let payment = story.pay(paid).unwrap();
    let amount = story.sale.payment(payment).unwrap().amount;
    assert!(story.execute(Command::SettleCharge { payment, outcome: ChargeOutcome::Captured { amount } }));
    let before = story.entries.len();
    for reservation in [paid, held] {
        let (by, reason, only_paid) = (buyer(99), "case 4711".into(), false);
        assert!(story.execute(Command::CancelByOperator(OperatorCancel { reservation, by, reason, only_paid })));
    }
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    let sql = format!("SELECT payload FROM outbox_events WHERE seq > {before} ORDER BY seq");
    let messages = rows(&library(&directory), &sql, |row| {
        let payload: Value = serde_json::from_str(&row.get::<_, String>(0)?).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok([text(&payload["type"]), text(&payload["reason"]), text(&payload["payment"]["failure"])])
    });
    let expected = [
        ["reservation.cancelled", "case 4711", ""],
        ["payment.refund_ordered", "", "OPERATOR_CANCELLED"],
        ["reservation.released", "case 4711", ""],
    ];
    assert_eq!(messages, expected);
}

#[tokio::test]
async fn published_messages_go_after_a_week_and_others_stay() {
    let directory = Directory::new();
    let Opened { mut projection, .. } = directory.open();
    let mut story = Story::begin(event(1), 4);
    for _ in 0..3 {
        story.hold(buyer(1), 1).unwrap();
    }
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    let library = library(&directory);
    let unpublished = library.query_row("SELECT max(seq) FROM outbox_events", [], |row| row.get::<_, i64>(0)).unwrap();
    library.execute("UPDATE outbox_events SET published = 1 WHERE seq <> ?1", [unpublished]).unwrap();
    let known = story.entries.len();
    let left = |story: &Story| {
        let seqs = rows(&library, "SELECT seq FROM outbox_events ORDER BY seq", |row| row.get::<_, i64>(0));
        seqs.into_iter().filter(|seq| *seq <= story.entries[known - 1].seq.0 as i64).count()
    };
    story.pass(Duration::from_secs(6 * 24 * 3600));
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    assert_eq!(left(&story), 3);
    story.pass(Duration::from_secs(2 * 24 * 3600));
    assert!(story.execute(Command::CancelSale { by: buyer(9) }));
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    assert_eq!(left(&story), 1, "what was not published stays");
}

/// A library that lost its last transactions (it is not synced with every batch) is brought up to date again.
#[tokio::test]
async fn tables_from_an_older_day_catch_up() {
    let (directory, older) = (Directory::new(), Directory::new());
    let story = Story::random(event(1), 5, 200);
    let (early, late) = story.entries.split_at(60);
    let Opened { mut projection, records } = directory.open();
    projection.project(&[committed(event(1), early)]).unwrap();
    for file in ["library.db", "library.db-wal"] {
        std::fs::copy(directory.path().join(file), older.path().join(file)).unwrap();
    }
    projection.project(&[committed(event(1), late)]).unwrap();
    assert_follows(&*records, &story).await;
    let Opened { mut projection, records } = older.open();
    let checkpoint = projection.checkpoint(event(1)).unwrap();
    assert_eq!(checkpoint.0, 60);
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    assert_follows(&*records, &story).await;
    let statuses = rows(&library(&older), "SELECT status, count(*) FROM reservations GROUP BY status", |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?))
    });
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for row in story.sale.snapshot().reservations {
        *expected.entry(format!("{:?}", row.view.status).to_uppercase()).or_default() += 1;
    }
    assert_eq!(statuses.into_iter().collect::<BTreeMap<_, _>>(), expected);
}

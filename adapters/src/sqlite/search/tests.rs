//! That what operators look up is answered from indexes: SQLite's own plans of the statements as they are sent.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::sqlite::DataDir;
use onsale_engine::id::PaymentId;
use onsale_engine::time::Timestamp;

const EVENT: EventId = EventId(Uuid::from_u128(1));
const PAGE: Page = Page { number: 3, size: 20 };

/// No step of the plan scans a table of records.
fn assert_searches(connection: &Connection, sql: &str, params: Vec<Value>) {
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let plan = statement.query_map(params_from_iter(params), |row| row.get::<_, String>(3));
    let plan: Vec<String> = plan.unwrap().collect::<Result<_, _>>().unwrap();
    let scans = |step: &&String| {
        ["reservations", "payments", "seats"].iter().any(|table| step.contains(&format!("SCAN {table}")))
    };
    assert_eq!(plan.iter().find(scans), None, "{sql}\n{plan:#?}");
    assert!(plan.iter().any(|step| step.starts_with("SEARCH")), "{sql}\n{plan:#?}");
}

#[test]
fn no_search_and_no_export_scans_a_table() {
    let temp = tempfile::tempdir().unwrap();
    let connection = DataDir::open(temp.path()).unwrap().library().unwrap();
    let ids = || Uuid::from_u128(7);
    let named = Named {
        reservations: vec![ReservationId(ids()); 3],
        payments: vec![PaymentId(ids())],
        buyers: vec![BuyerId(ids()); 2],
    };
    for event in [None, Some(EVENT)] {
        for named in [None, Some(named.clone()), Some(Named { buyers: named.buyers.clone(), ..Named::default() })] {
            for (table, names) in [("reservations", &RESERVATION_WORDS), ("payments", &PAYMENT_WORDS)] {
                for status in [None, Some(names[1])] {
                    let search = Search { event, status, named: named.clone() };
                    let Statement { sql, params } = page_of(table, names, &search, PAGE);
                    let sql = format!("SELECT * FROM {table} WHERE {sql} ORDER BY created_at DESC, id DESC");
                    assert_searches(&connection, &sql, params);
                }
            }
        }
    }
    for status in [None, Some(ReservationStatus::Confirmed)] {
        for after in [None, Some((Timestamp(5), ReservationId(ids())))] {
            let part = ExportPart { event: EVENT, status, after, until: Timestamp(9), limit: 500 };
            let (sql, params) = export_statement(&part);
            let sql = format!("SELECT * FROM reservations WHERE {sql} ORDER BY created_at, id");
            assert_searches(&connection, &sql, params);
        }
    }
    let mut confirmed = connection.prepare(&format!("EXPLAIN QUERY PLAN {CONFIRMED}")).unwrap();
    let plan: String = confirmed.query_row([Value::Null], |row| row.get(3)).unwrap();
    assert!(plan.contains("reservations_by_user_created (user_id=?)"), "{plan}");
    let null = |count: usize| vec![Value::Null; count];
    for (sql, count) in [(BY_TICKET, 2), (BY_SEAT, 2), (STORY, 1), (CONFIRMED, 1), (CHARGING, 1)] {
        assert_searches(&connection, sql, null(count));
    }
}

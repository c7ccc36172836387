//! A million reservations: lists, searches and exports are answered from indexes, whatever lies in the tables.

use super::*;

/// A million reservations of 100,000 buyers, nearly all of one of 200 events, 200,000 messages (one in 200 unpublished), 300,000 seats,
/// 100,000 payments and 20,000 events.
const MILLION: &str = "
    INSERT INTO reservations SELECT gen_random_uuid(),
        md5((CASE WHEN n % 50 = 0 THEN n % 200 ELSE 7 END)::text)::uuid, md5((n % 100000)::text)::uuid,
        (ARRAY['PENDING','CONFIRMED','CANCELLED','EXPIRED'])[1 + n % 4], 1, 'KRW', now(),
        now() - n * interval '1 second', NULL, NULL, NULL FROM generate_series(1, 1000000) AS n;
    INSERT INTO seats SELECT md5((n % 200)::text)::uuid, 'seat ' || n,
        (ARRAY['AVAILABLE','HELD','SOLD'])[1 + n % 3], NULL FROM generate_series(1, 300000) AS n;
    INSERT INTO payments SELECT gen_random_uuid(), md5((n % 200)::text)::uuid, gen_random_uuid(),
        md5((n % 10000)::text)::uuid, 'SUCCESS', 'CAPTURED', 1, 1, 'KRW', NULL, now() - n * interval '1 second', now(),
        NULL, NULL, NULL FROM generate_series(1, 100000) AS n;
    INSERT INTO outbox_events (event_id, seq, topic, key, payload, created_at, published)
        SELECT md5((n % 200)::text)::uuid, n, 't', 'k', '{}', now() - n * interval '1 second', n % 200 <> 0
        FROM generate_series(1, 200000) AS n;
    INSERT INTO venues VALUES ('00000000-0000-0000-0000-000000000001', 'v', 'a', 'c', 'UTC', now(), NULL);
    INSERT INTO plans VALUES ('\\x00', 1, '\\x00');
    INSERT INTO halls VALUES ('00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', 'h',
        '\\x00', 1, '{}', now(), NULL);
    INSERT INTO events SELECT md5(n::text)::uuid, n, 't' || n, 't' || n, 'a', 't', NULL,
        '00000000-0000-0000-0000-000000000001', '00000000-0000-0000-0000-000000000001', '\\x00', 1,
        now(), now(), now(), now(), '{}', 1, 1, false, gen_random_uuid(), now() - n * interval '1 minute', NULL
        FROM generate_series(1, 20000) AS n;
    ANALYZE";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_reservations_are_listed_and_looked_up_from_indexes() {
    let (database, empty) = (Database::new(), Database::new());
    // The schema comes with the first opening.
    drop((database.open(), empty));
    database.sql(MILLION);
    listed_queries_use_their_indexes(&database);
    what_operators_look_up_reads_little(&database).await;
}

fn listed_queries_use_their_indexes(database: &Database) {
    let buyer = "md5('7')::uuid";
    let sale = "md5('7')::uuid";
    let [reservations, payments] = listing_statements();
    let of_buyer = |sql: String| sql.replace("$1", buyer).replace("$2", "20").replace("$3", "0");
    for (query, index) in [
        (of_buyer(reservations), "reservations_by_user_created"),
        (of_buyer(payments), "payments_by_user"),
        (format!("SELECT * FROM reservations WHERE user_id = {buyer} AND status = 'PENDING'"), "reservations_by_user"),
        (format!("SELECT seat_id FROM seats WHERE event_id = {sale} AND status = 'HELD'"), "seats_by_status"),
        (
            "SELECT * FROM outbox_events WHERE NOT published ORDER BY created_at LIMIT 100".to_owned(),
            "outbox_events_by_published",
        ),
        (
            format!("SELECT * FROM outbox_events WHERE event_id = {sale} AND NOT published ORDER BY seq LIMIT 100"),
            "outbox_events_waiting",
        ),
        (
            "SELECT * FROM events AS e JOIN venues AS v ON v.id = e.venue_id WHERE e.deleted_at IS NULL
             ORDER BY e.created_at DESC, e.id DESC LIMIT 20"
                .to_owned(),
            "events_by_created",
        ),
    ] {
        let plan: Vec<String> = database.sql(&format!("EXPLAIN {query}")).into_iter().flatten().collect();
        let plan = plan.join("\n");
        assert!(plan.contains(index), "{query}:\n{plan}");
        for table in ["reservations", "seats", "outbox_events", "payments"] {
            assert!(!plan.contains(&format!("Seq Scan on {table}")), "{query}:\n{plan}");
        }
    }
}

/// How often the tables of records were scanned, and how many entries of their indexes were read, as the server counts.
fn reads(database: &Database) -> (i64, i64) {
    let scans = "SELECT sum(seq_scan) FROM pg_stat_user_tables WHERE relname IN ('reservations', 'payments', 'seats')";
    let entries = "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('reservations', 'payments')";
    let number = |sql| database.sql(sql)[0][0].parse().unwrap();
    (number(scans), number(entries))
}

/// Operators' searches and exports, as often as it takes for a plan without its parameters to be thought of: what they read is
/// bounded by what they answer, whatever lies in the tables.
async fn what_operators_look_up_reads_little(database: &Database) {
    let opened = database.open();
    let id: uuid::Uuid = database.sql("SELECT md5('7')::uuid")[0][0].parse().unwrap();
    let records = PostgresProjection::open(&opened, plans()).unwrap().1;
    let before = reads(database);
    let rounds = 8;
    for _ in 0..rounds {
        let found = everything_looked_up(&records, EventId(id), BuyerId(id)).await;
        assert_eq!(found, 15 * 20 + 4 * 500, "all pages are full");
    }
    // The server reports what was read when the sessions end.
    drop((records, opened));
    database.until(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND application_name LIKE 'onsale%'",
        "0",
    );
    let after = reads(database);
    assert_eq!(after.0, before.0, "no table is scanned");
    let read = (after.1 - before.1) / rounds;
    assert!(read < 20_000, "{read} entries of indexes were read for 2,300 rows");
}

/// Pages of reservations and payments by everything that they can be looked up by, and some pieces of exports; how many
/// rows these were.
async fn everything_looked_up(records: &PostgresRecords, event: EventId, buyer: BuyerId) -> usize {
    let page = Page { number: 1, size: 20 };
    let mut found = 0;
    for event in [None, Some(event)] {
        for status in [None, Some(ReservationStatus::Pending), Some(ReservationStatus::Expired)] {
            let search = Search { event, status, named: None };
            found += records.find_reservations(search, page).await.unwrap().items.len();
        }
        for status in [None, Some(PaymentState::Success)] {
            let search = Search { event, status, named: None };
            found += records.find_payments(search, page).await.unwrap().items.len();
        }
        for size in [2, 4, 5, 4, 5] {
            let named = Some(Named { buyers: vec![buyer; 3], ..Named::default() });
            let search = Search { event, status: None, named };
            found += records.find_reservations(search, Page { number: 0, size }).await.unwrap().items.len();
        }
    }
    let named = Some(Named { buyers: vec![buyer], ..Named::default() });
    let of_buyer = records.find_payments(Search { event: None, status: None, named }, Page { number: 0, size: 10 });
    let payments = of_buyer.await.unwrap().items;
    found += 6 * payments.len();
    let (until, mut after) = (Timestamp::from_secs(4_000_000_000), None);
    for status in [None, None, None, Some(ReservationStatus::Confirmed)] {
        let piece = records.export(ExportPart { event, status, after, until, limit: 500 }).await.unwrap();
        after = piece.last().map(|record| (record.reservation.created_at, record.reservation.id));
        found += piece.len();
    }
    let ids: Vec<ReservationId> = payments.iter().map(|record| record.view.reservation).collect();
    records.payments_of(ids).await.unwrap();
    records.by_ticket(event, TicketSerial(7)).await.unwrap();
    records.by_seats(event, vec!["seat 7".into()]).await.unwrap();
    records.holdings(buyer).await.unwrap();
    found
}

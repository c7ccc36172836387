//! What only Postgres can show: several nodes on one database, schema and key, damage, plans of statements and how many
//! there are, certificates, and a replica that is not there.

mod indexes;

use crate::projection::{Opened as OpenedTables, Tables, committed};
use crate::story::{Story, buyer};
use crate::support::{Database, Opened, Storage, TIMEOUT, active, event, journal_entry, plans, read, trace};
use onsale_adapters::postgres::{
    DatabaseUrl, NodeLease, OpenError, Postgres, PostgresCatalogue, PostgresJournal, PostgresPlans, PostgresProjection,
    PostgresReader, PostgresRecords, Settings, listing_statements,
};
use onsale_adapters::private_postgres::{Durability, PrivatePostgres, TestDatabase};
use onsale_engine::fakes::every_event;
use onsale_engine::id::{BuyerId, EventId, ReservationId, Seq, TicketSerial};
use onsale_engine::ports::catalogue::{Catalogue, Page};
use onsale_engine::ports::records::Records;
use onsale_engine::ports::search::{ExportPart, Named, PaymentState, RecordSearch, Search};
use onsale_engine::ports::{Appended, Journal, JournalError, JournalReader, Projection, ReadError};
use onsale_engine::sale::{ReservationStatus, Sale};
use onsale_engine::time::Timestamp;
use std::process::Command;
use std::time::{Duration, Instant};

const LEASE: Duration = Duration::from_millis(1500);
const FIRST: Page = Page { number: 0, size: 50 };

fn node(database: &Database) -> Postgres {
    Postgres::open(Settings { lease: LEASE, ..database.settings() }).unwrap()
}

/// Waits as long as it takes; answers how long that was.
fn become_active(lease: &NodeLease) -> Duration {
    let started = Instant::now();
    lease.become_active(&|| started.elapsed() > LEASE * 10).unwrap();
    started.elapsed()
}

#[test]
fn a_node_that_ends_is_taken_over_from_at_once_and_never_while_it_lives() {
    let database = Database::new();
    let (first, second) = (node(&database), node(&database));
    let one = NodeLease::register(&first).unwrap();
    become_active(&one);
    let two = NodeLease::register(&second).unwrap();
    let started = Instant::now();
    let timeout = LEASE * 2;
    two.become_active(&|| started.elapsed() > timeout).unwrap_err();
    assert!(one.is_active() && !two.is_active(), "it lives");
    drop(one);
    assert!(become_active(&two) < LEASE, "its lock is free, its lease not over");
}

#[test]
fn what_an_owner_of_old_writes_is_fenced_and_it_cannot_raise_epochs() {
    let database = Database::new();
    let (first, second) = (node(&database), node(&database));
    let one = active(&first);
    let mut old = PostgresJournal::open(&first).unwrap();
    let epochs = [1, 2].map(|number| old.raise_epoch(event(number)).unwrap());
    old.append(&[journal_entry(event(1), epochs[0], 1), journal_entry(event(2), epochs[1], 1)]).unwrap();
    // Its lease ends though its process goes on, as when the process is paused.
    one.end();
    let two = NodeLease::register(&second).unwrap();
    become_active(&two);
    let mut new = PostgresJournal::open(&second).unwrap();
    let raised = new.raise_epoch(event(1)).unwrap();
    new.append(&[journal_entry(event(1), raised, 2)]).unwrap();
    // One fenced event does not hold up the other, which nobody has taken yet.
    let batch = [journal_entry(event(1), epochs[0], 2), journal_entry(event(2), epochs[1], 2)];
    assert_eq!(old.append(&batch).unwrap(), Appended { fenced: vec![event(1)] });
    let reader = PostgresReader::open(&second, plans()).unwrap();
    assert_eq!(read(&reader, event(1), 0).last().unwrap().epoch, raised);
    assert_eq!((reader.verify(event(1)).unwrap(), reader.verify(event(2)).unwrap()), (2, 2));
    assert!(matches!(old.raise_epoch(event(2)), Err(JournalError::Elsewhere)));
    drop((old, first));
}

#[test]
fn who_raises_an_epoch_waits_for_the_batch_that_is_under_way() {
    let database = Database::new();
    let first = node(&database);
    let _one = active(&first);
    let mut journal = PostgresJournal::open(&first).unwrap();
    let epoch = journal.raise_epoch(event(1)).unwrap();
    journal.append(&[journal_entry(event(1), epoch, 1)]).unwrap();
    // A batch whose statement holds the lease: it waits for a row that somebody else is about to write.
    let blocker =
        database.in_transaction(&format!("INSERT INTO journal VALUES ('{}', 2, {}, 0, 1, '', '')", event(1), epoch.0));
    let batch = std::thread::spawn(move || journal.append(&[journal_entry(event(1), epoch, 2)]));
    let waiting =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    database.until(waiting, "1");
    let raising = std::thread::spawn({
        let first = first.clone();
        move || PostgresJournal::open(&first).unwrap().raise_epoch(event(1)).unwrap()
    });
    database.until(waiting, "2");
    blocker.roll_back();
    assert_eq!(batch.join().unwrap().unwrap(), Appended::default(), "it was first");
    assert_eq!(raising.join().unwrap().0, epoch.0 + 1);
    assert_eq!(PostgresReader::open(&first, plans()).unwrap().verify(event(1)).unwrap(), 2);
}

/// A connection that was given up may come through after its batch was sent again.
#[test]
fn what_came_through_meanwhile_is_recognised_and_what_is_not_ours_is_fenced() {
    let database = Database::new();
    let opened = node(&database);
    let _lease = active(&opened);
    let (mut early, mut late) = (PostgresJournal::open(&opened).unwrap(), PostgresJournal::open(&opened).unwrap());
    let epochs = [1, 2, 3].map(|number| late.raise_epoch(event(number)).unwrap());
    let of = |number: usize, seq| journal_entry(event(number as u128), epochs[number - 1], seq);
    late.append(&[of(1, 1), of(2, 1), of(3, 1)]).unwrap();
    // It takes nothing for there that is written from here on.
    let mut strange = of(2, 2);
    strange.entry.at.0 += 1;
    early.append(&[of(1, 2), of(1, 3), strange.clone()]).unwrap();
    let batch = [of(1, 2), of(1, 3), of(1, 4), of(2, 2), of(3, 2)];
    assert_eq!(late.append(&batch).unwrap(), Appended { fenced: vec![event(2)] });
    let reader = PostgresReader::open(&opened, plans()).unwrap();
    assert_eq!([1, 2, 3].map(|number| reader.verify(event(number)).unwrap()), [4, 2, 2]);
    assert_eq!(read(&reader, event(2), 1), [strange.entry]);
    assert_eq!(late.append(&[of(1, 5), of(3, 3)]).unwrap(), Appended::default(), "it goes on");
}

#[test]
fn several_nodes_make_the_schema_together() {
    let database = TestDatabase::empty();
    let settings = Settings::new(database.database_url());
    let nodes: Vec<_> = (0..4)
        .map(|_| {
            let settings = settings.clone();
            std::thread::spawn(move || Postgres::open(settings).unwrap())
        })
        .collect();
    let nodes: Vec<_> = nodes.into_iter().map(|node| node.join().unwrap()).collect();
    assert_eq!(database.sql("SELECT count(*) FROM journal_key"), "1");
    assert_eq!(database.sql("SELECT count(DISTINCT version) = count(*) FROM refinery_schema_history"), "t");
    // All have the same key: what one writes, another can read.
    let _lease = active(&nodes[0]);
    let mut journal = PostgresJournal::open(&nodes[0]).unwrap();
    let epoch = journal.raise_epoch(event(1)).unwrap();
    journal.append(&[journal_entry(event(1), epoch, 1)]).unwrap();
    assert_eq!(PostgresReader::open(&nodes[3], plans()).unwrap().verify(event(1)).unwrap(), 1);
}

#[test]
fn a_journal_is_opened_with_its_own_key_only() {
    let database = TestDatabase::empty();
    let with = |key: Option<&[u8]>| {
        Postgres::open(Settings { journal_key: key.map(<[u8]>::to_vec), ..Settings::new(database.database_url()) })
    };
    let missing = Postgres::open_existing(Settings::new(database.database_url())).err().unwrap().to_string();
    assert!(missing.contains("no journal"), "{missing}");
    drop(with(Some(b"one secret of thirty-two bytes...")).unwrap());
    assert_eq!(database.sql("SELECT secret IS NULL FROM journal_key"), "t", "it is not kept");
    assert!(matches!(with(None), Err(OpenError::Key(_))));
    assert!(matches!(with(Some(b"another secret of thirty-two bytes")), Err(OpenError::Key(_))));
    with(Some(b"one secret of thirty-two bytes...")).unwrap();
}

#[test]
fn every_change_to_a_row_is_found_and_named() {
    let changes = [
        ("UPDATE journal SET at = at + 1 WHERE seq = 5 AND", 5),
        ("UPDATE journal SET epoch = epoch + 1 WHERE seq = 1 AND", 1),
        ("UPDATE journal SET kind = 4 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET kind = 99 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET kind = -1 WHERE seq = 20 AND", 20),
        ("UPDATE journal SET body = substr(body, 1, length(body) - 1) WHERE seq = 7 AND", 7),
        ("UPDATE journal SET chain = '' WHERE seq = 7 AND", 7),
        ("UPDATE journal SET seq = 30 WHERE seq = 8 AND", 8),
        ("DELETE FROM journal WHERE seq = 1 AND", 1),
        ("DELETE FROM journal WHERE seq = 12 AND", 12),
    ];
    let database = Database::new();
    let Opened { mut journal, reader } = Storage::open(&database);
    let events = || (1..).map(event);
    for of in events().take(changes.len() + 1) {
        let epoch = journal.raise_epoch(of).unwrap();
        let batch: Vec<_> = (1..=20).map(|seq| journal_entry(of, epoch, seq)).collect();
        journal.append(&batch).unwrap();
        assert_eq!(reader.verify(of).unwrap(), 20);
    }
    for ((change, expected), of) in changes.into_iter().zip(events()) {
        database.sql(&format!("{change} event_id = '{of}'"));
        let mut handed = 0;
        match reader.replay(of, Seq(0), &mut |_| handed += 1) {
            Err(ReadError::Damaged { event, seq, reason }) => {
                assert_eq!((event, seq, handed), (of, Seq(expected), expected - 1), "{change}: {reason}");
            }
            other => panic!("{change} was not found: {other:?}"),
        }
    }
    assert_eq!(reader.verify(event(changes.len() as u128 + 1)).unwrap(), 20, "others are whole");
}

#[test]
fn damaged_snapshots_are_skipped_and_a_short_journal_is_found_by_them() {
    let database = Database::new();
    let Opened { mut journal, reader } = Storage::open(&database);
    let epoch = journal.raise_epoch(event(1)).unwrap();
    let batch: Vec<_> = (1..=20).map(|seq| journal_entry(event(1), epoch, seq)).collect();
    journal.append(&batch).unwrap();
    let mut sale = Sale::new();
    for one in &batch {
        sale.apply(&one.entry);
        if [5, 10, 15].contains(&one.entry.seq.0) {
            reader.keep_snapshot(event(1), &sale.snapshot()).unwrap();
        }
    }
    let newest = || reader.snapshot(event(1)).unwrap().map(|snapshot| snapshot.seq.0);
    assert_eq!((newest(), database.sql("SELECT count(*) FROM snapshots")), (Some(15), vec![vec!["2".to_owned()]]));
    database.sql("DELETE FROM journal WHERE seq > 12");
    assert_eq!(newest(), Some(10), "the newer one does not fit what is left");
    assert!(matches!(reader.verify(event(1)), Err(ReadError::Damaged { seq: Seq(13), .. })));
    database.sql("UPDATE snapshots SET checksum = body WHERE seq = 10");
    assert_eq!(newest(), None);
}

/// Of two nodes that project the same event, the one that is behind changes nothing that is newer.
#[tokio::test]
async fn an_owner_of_old_cannot_bring_back_old_rows() {
    let database = Database::new();
    let OpenedTables { projection: mut old, .. } = Tables::open(&database);
    let OpenedTables { projection: mut new, records } = Tables::open(&database);
    let story = Story::random(event(1), 3, 300);
    let (early, late) = story.entries.split_at(40);
    old.project(&[committed(event(1), early)]).unwrap();
    new.project(&[committed(event(1), &story.entries)]).unwrap();
    old.project(&[committed(event(1), &late[..20])]).unwrap();
    assert_eq!(old.checkpoint(event(1)).unwrap(), story.sale.seq());
    crate::projection::assert_follows(&*records, &story).await;
}

/// As on SQLite: a message has the trace of its fact.
#[test]
fn messages_carry_the_traces_of_their_facts() {
    let database = Database::new();
    let OpenedTables { mut projection, records: _records } = Tables::open(&database);
    let story = Story::random(event(1), 3, 100);
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    let traced = database.sql("SELECT seq::text, coalesce(traceparent, '') FROM outbox_events ORDER BY seq");
    assert!(traced.len() > 20, "{traced:?}");
    for row in traced {
        let expected = trace(row[0].parse().unwrap()).map(|trace| trace.to_string()).unwrap_or_default();
        assert_eq!(row[1], expected, "of the fact {}", row[0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_list_is_one_statement_however_long_it_is() {
    let database = Database::new();
    database.sql("CREATE EXTENSION pg_stat_statements");
    let opened = database.open();
    let (mut projection, records) = PostgresProjection::open(&opened, plans()).unwrap();
    let mut story = Story::begin(event(1), 1);
    for _ in 0..40 {
        story.hold(buyer(0), 2).unwrap();
        story.pass(Duration::from_secs(310));
    }
    projection.project(&[committed(event(1), &story.entries)]).unwrap();
    let counted = "SELECT coalesce(sum(calls), 0) FROM pg_stat_statements
        WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database())
        AND query ~ 'reservation|payments|events AS e'";
    let statements = || database.sql(counted)[0][0].parse::<i64>().unwrap();
    let before = statements();
    let page = records.reservations(buyer(0), FIRST).await.unwrap();
    assert_eq!((page.items.len(), page.total), (40, 40));
    assert!(page.items.iter().all(|one| one.reservation.seats.len() == 2));
    assert_eq!(statements() - before, 1, "with all its seats");
    records.payments(buyer(0), FIRST).await.unwrap();
    let catalogue = PostgresCatalogue::new(&opened, PostgresPlans::new(&opened));
    catalogue.events(&every_event(Timestamp::from_secs(1_780_000_000))).await.unwrap();
    assert_eq!(statements() - before, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_come_from_the_replica_if_it_answers_and_from_the_primary_if_not() {
    let database = Database::new();
    let story = Story::random(event(1), 8, 200);
    let url = database.settings().url;
    let gone = DatabaseUrl::parse("postgres://onsale@127.0.0.1:1/nowhere").unwrap();
    for read_url in [url, gone] {
        let settings = Settings { read_url: Some(read_url), ..database.settings() };
        let opened = Postgres::open(settings).unwrap();
        let (mut projection, records) = PostgresProjection::open(&opened, plans()).unwrap();
        projection.project(&[committed(event(1), &story.entries)]).unwrap();
        crate::projection::assert_follows(&records, &story).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_is_read_when_it_has_what_this_node_has_written() {
    let primary = PrivatePostgres::start(Durability::Unsynced, &[]);
    let url = DatabaseUrl::parse(&primary.database("onsale")).unwrap();
    let replica = primary.replica();
    let read_url = Some(DatabaseUrl::parse(&replica.url("onsale")).unwrap());
    replica.until("postgres", "SELECT count(*) FROM pg_database WHERE datname = 'onsale'", "1");
    let opened = Postgres::open(Settings { read_url, ..Settings::new(url) }).unwrap();
    let (mut projection, records) = PostgresProjection::open(&opened, plans()).unwrap();
    let story = Story::random(event(1), 8, 200);
    let (early, late) = story.entries.split_at(100);
    let read = "SELECT coalesce(sum(idx_scan + seq_scan), 0) FROM pg_stat_user_tables WHERE relname = 'reservations'";
    let reads = || replica.sql("onsale", read).parse::<u64>().unwrap();
    projection.project(&[committed(event(1), early)]).unwrap();
    replica.until("onsale", "SELECT to_regclass('projection_checkpoints') IS NOT NULL", "t");
    replica.until("onsale", "SELECT seq FROM projection_checkpoints", "100");
    // From here on it stands still, and would answer less than what is known here.
    replica.sql("postgres", "SELECT pg_wal_replay_pause()");
    projection.project(&[committed(event(1), late)]).unwrap();
    crate::projection::assert_follows(&records, &story).await;
    replica.sql("postgres", "SELECT pg_wal_replay_resume()");
    let since = Instant::now();
    while reads() == 0 {
        crate::projection::assert_follows(&records, &story).await;
        assert!(since.elapsed() < TIMEOUT, "it has caught up and is not read");
    }
}

#[test]
fn certificates_are_checked_as_sslmode_says() {
    let dir = tempfile::tempdir().unwrap();
    let (key, certificate) = (dir.path().join("key.pem"), dir.path().join("certificate.pem"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]);
    openssl.args(["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let postgres = PrivatePostgres::start(Durability::Unsynced, &[]);
    postgres.use_certificate(&key, &certificate);
    let base = postgres.database("tls");
    let by_name = base.replace("127.0.0.1", "localhost");
    let roots = certificate.display();
    let open = |url: String| Postgres::open(Settings::new(DatabaseUrl::parse(&url).unwrap()));
    for (url, encrypted) in [
        (format!("{base}?sslmode=disable"), false),
        (format!("{base}?sslmode=prefer"), true),
        (format!("{base}?sslmode=require"), true),
        (format!("{by_name}?sslmode=verify-full&sslrootcert={roots}"), true),
    ] {
        let opened = open(url.clone()).unwrap_or_else(|error| panic!("{url}: {error}"));
        let _lease = NodeLease::register(&opened).unwrap();
        let sessions = "SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid)
            WHERE application_name = 'onsale node'";
        assert_eq!(postgres.sql("tls", sessions) == "t", encrypted, "{url}");
        drop((_lease, opened));
        postgres.until("tls", "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'onsale %'", "0");
    }
    let wrong_name = format!("{base}?sslmode=verify-full&sslrootcert={roots}");
    assert!(matches!(open(wrong_name), Err(OpenError::Connect(_))), "the certificate is another host's");
    assert!(matches!(open(format!("{by_name}?sslmode=verify-full")), Err(OpenError::Connect(_))), "nobody vouches");
}

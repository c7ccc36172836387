//! The server on Postgres in trouble: the database gone, silent or slow, and two servers on one database. What writes is
//! refused or unknown, what reads goes on, nothing that was answered turns out to be false, and one node at a time owns the
//! events.

use crate::harness::{Server, run};
use crate::shop::{Person, Shop, TIMEOUT};
use onsale_adapters::private_postgres::{Durability, PrivatePostgres, TestDatabase};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How soon a batch that waited is in, once the database is back.
const BACK_WITHIN: Duration = Duration::from_secs(2);

/// A server on a cluster of its own, and an event of which one buyer has a seat.
struct Scene {
    postgres: PrivatePostgres,
    server: Server,
    shop: Shop,
    event: String,
}

impl Scene {
    async fn set() -> Self {
        let postgres = PrivatePostgres::start(Durability::Synced, &[]);
        // So short that who is taken before it was noticed and who comes after it are distinguished within a second.
        let setup = Server::with().postgres(&postgres.database("onsale")).key("SERVER__REQUEST_TIMEOUT_MS", "1000");
        let setup = setup.key("ENGINE__COMMIT_STALL_MS", "250");
        let server = setup.start().await;
        let shop = server.shop();
        let event = shop.small_event(&json!({})).await;
        Self { postgres, server, shop, event }
    }

    /// Takes the database away with `take`, gives it back with `give`, and checks what the server answers meanwhile.
    async fn goes_and_comes_back(self, take: impl FnOnce(&PrivatePostgres), give: impl FnOnce(&PrivatePostgres)) {
        let Self { postgres, server, shop, event } = self;
        let (buyer, other) = (shop.buyer(), shop.buyer());
        let bought = shop.buy(&event, &other, &["B-1"]).await;
        // What the catalogue says of it is in memory from then on.
        shop.get(&format!("/events/{event}")).send().await.expect(200);
        take(&postgres);
        let hold = async || {
            let body = json!({ "eventId": event, "seatIds": ["A-1"] });
            shop.post("/reservations/hold").by(&buyer).key("k").json(&body).send().await
        };
        // A request from before it was noticed is answered that it is unknown.
        hold().await.refused(504, "DEADLINE_EXCEEDED");
        // From then on it is certainly not done.
        let refused = shop.hold(&event, &other, &["A-2"]).await;
        refused.refused(503, "STORAGE_UNAVAILABLE");
        assert!(refused.header("retry-after").parse::<u32>().unwrap() > 0);
        let began = Instant::now();
        let login = json!({ "email": "a@example.com", "password": "long enough" });
        let login = shop.post("/auth/login").json(&login).send().await;
        assert!(matches!(login.status, 503 | 504), "{login:?}");
        assert!(began.elapsed() < Duration::from_secs(2), "the request's deadline holds");
        // Reads answer what is committed, and no more than that.
        let seats = shop.seats(&event).await;
        assert_eq!(seats["seats"], json!({ "total": 20, "available": 19, "held": 0, "sold": 1, "blocked": 0 }));
        assert_eq!(shop.reservation(&other, &bought).await, bought);
        assert_eq!(shop.get(&format!("/events/{event}")).send().await.expect(200)["status"], "ON_SALE");
        let ready: Value = serde_json::from_str(server.raw(READY).unwrap().lines().last().unwrap()).unwrap();
        assert_eq!(ready["degraded"], json!(["JOURNAL"]));

        give(&postgres);
        let back = Instant::now();
        while server.status("/health/ready") != Some(200) || shop.seats(&event).await["held"] != json!(["A-1"]) {
            assert!(back.elapsed() < BACK_WITHIN, "the waiting batch is in soon:\n{}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let held = loop {
            let again = hold().await;
            if again.status == 201 {
                break again.json();
            }
            assert!(matches!(again.status, 503 | 504) && back.elapsed() < TIMEOUT, "{again:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(shop.reservation(&buyer, &held).await, held, "asked again with its key, it is held once");
        let list = loop {
            let list = shop.get("/reservations").by(&buyer).send().await;
            if list.status == 200 && list.json()["totalElements"] == 1 {
                break list.json();
            }
            assert!(back.elapsed() < TIMEOUT, "the tables catch up: {list:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(list["items"][0], held);
        let rows = postgres.sql("onsale", "SELECT count(*), count(DISTINCT seq), max(seq) FROM journal");
        let counted: Vec<&str> = rows.split('|').collect();
        assert!(counted[0] == counted[1] && counted[1] == counted[2], "each fact once: {rows}");
        server.stop().await;
    }
}

const READY: &str = "GET /health/ready HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_stopped_and_started_again_costs_nothing_that_was_answered() {
    let scene = Scene::set().await;
    scene.goes_and_comes_back(|postgres| postgres.stop("fast"), PrivatePostgres::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_costs_nothing_that_was_answered() {
    let scene = Scene::set().await;
    scene.goes_and_comes_back(|postgres| postgres.stop("immediate"), PrivatePostgres::start_again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_waited_for() {
    let scene = Scene::set().await;
    scene.goes_and_comes_back(PrivatePostgres::pause, PrivatePostgres::resume).await;
}

/// From now on every batch of the journal takes so long, without anything being gone or silent.
fn slow_down(database: &TestDatabase, seconds: f64) {
    database.sql(&format!(
        "CREATE OR REPLACE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM pg_sleep({seconds}); RETURN NULL; END';
        CREATE OR REPLACE TRIGGER slowly BEFORE INSERT ON journal FOR EACH STATEMENT EXECUTE FUNCTION slowly()"
    ));
}

/// Twenty buyers at once, each for a seat and with a key of their own; answers who got what, and how long the last waited.
async fn twenty(shop: &Shop, event: &str, buyers: &[Person], row: &str) -> (Vec<(u16, Value)>, Duration) {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for (number, buyer) in buyers.iter().cloned().enumerate() {
        let (shop, body) = (shop.clone(), json!({ "eventId": event, "seatIds": [format!("{row}-{}", number + 1)] }));
        asking.spawn(async move {
            let reply = shop.post("/reservations/hold").by(&buyer).key("k").json(&body).send().await;
            (reply.status, reply.json())
        });
    }
    (asking.join_all().await, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_database_makes_nobody_wait_beyond_their_deadline() {
    let database = TestDatabase::create();
    let setup = Server::with().postgres(database.url()).key("SERVER__REQUEST_TIMEOUT_MS", "1000");
    let server = setup.start().await;
    let shop = server.shop();
    let hall = shop.small_hall(&["A", "B"], 20).await;
    let event = shop.event(&hall, &json!({})).await;
    let buyers: Vec<Person> = (0..20).map(|_| shop.buyer()).collect();
    // Slower than any disk, and still in time: a crowd shares a batch or two.
    slow_down(&database, 0.1);
    let (answers, took) = twenty(&shop, &event, &buyers, "A").await;
    assert!(answers.iter().all(|(status, _)| *status == 201), "{answers:?}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    // Too slow: the deadline holds for those who were taken, the others are refused at once, and nothing is false.
    slow_down(&database, 1.5);
    let others: Vec<Person> = (0..20).map(|_| shop.buyer()).collect();
    let (answers, took) = twenty(&shop, &event, &others, "B").await;
    assert!(took < Duration::from_secs(2), "{took:?}");
    assert!(answers.iter().any(|(status, _)| *status == 504), "{answers:?}");
    for (status, body) in &answers {
        let code = body["code"].as_str();
        let is_honest = matches!(
            (status, code),
            (504, Some("DEADLINE_EXCEEDED")) | (503, Some("STORAGE_UNAVAILABLE" | "OVERLOADED"))
        );
        assert!(is_honest, "{status} {body}");
    }
    let asked = Instant::now();
    assert_eq!(shop.seats(&event).await["seats"]["total"], 40);
    assert!(asked.elapsed() < Duration::from_millis(500), "reads wait for nothing");
    database.sql("DROP TRIGGER slowly ON journal");
    let back = Instant::now();
    while shop.seats(&event).await["seats"]["held"] != 40 {
        twenty(&shop, &event, &others, "B").await;
        assert!(back.elapsed() < TIMEOUT, "asked again with their keys, all have their seats");
    }
    // Tables come behind: a list waits for them, but not for long.
    loop {
        let list = shop.get("/reservations").by(&others[0]).send().await.expect(200);
        if list["totalElements"] == 1 {
            assert_eq!(list["items"][0]["seats"][0]["seatId"], "B-1");
            break;
        }
        assert!(back.elapsed() < TIMEOUT, "{list}");
    }
    server.stop().await;
    let rows = database.sql("SELECT count(*) = max(seq), count(*) = count(DISTINCT seq) FROM journal");
    assert_eq!(rows, "t|t", "each fact once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stops_though_its_database_is_gone() {
    let Scene { postgres, server, shop, event } = Scene::set().await;
    postgres.stop("fast");
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.refused(504, "DEADLINE_EXCEEDED");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_is_there_again_at_once_and_verify_finds_nothing_wrong() {
    let database = TestDatabase::create();
    let mut server = Server::with().postgres(database.url()).start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1", "A-2"]).await;
    server.crash().await;
    let shop = server.shop();
    assert_eq!(shop.reservation(&buyer, &bought).await, bought);
    assert_eq!(shop.seats(&event).await["sold"], json!(["A-1", "A-2"]));
    let verified = run(|command| {
        command.args(["verify", "--json"]);
        command.envs([("ONSALE__STORAGE__KIND", "postgres"), ("ONSALE__POSTGRES__URL", database.url())]);
    });
    let actual = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(verified.status.success(), "beside a running server: {actual}");
    server.stop().await;
    database.sql("UPDATE journal SET at = at + 1 WHERE seq = 2");
    let verified = run(|command| {
        command.args(["verify"]);
        command.envs([("ONSALE__STORAGE__KIND", "postgres"), ("ONSALE__POSTGRES__URL", database.url())]);
    });
    let actual = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert_eq!(verified.status.code(), Some(1), "{actual}");
    assert!(actual.contains("seq 2") || actual.contains("row 2"), "the row is named: {actual}");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_one_serves_and_the_other_takes_over_when_it_is_gone() {
    let database = TestDatabase::create();
    let setup = || Server::with().postgres(database.url()).key("POSTGRES__LEASE_MS", "2000");
    let mut first = setup().start().await;
    let shop = first.shop();
    let event = shop.small_event(&json!({})).await;
    let buyer = shop.buyer();
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let second = setup().stand_by().await;
    assert_eq!(second.status("/health/ready"), Some(503), "it stands by");
    let began = Instant::now();
    first.kill();
    second.until_ready(true).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let shop = second.shop();
    assert_eq!(shop.reservation(&buyer, &bought).await, bought);
    shop.hold(&event, &buyer, &["A-2"]).await.expect(201);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_slept_through_its_lease_cannot_write_and_says_nothing_false() {
    let database = TestDatabase::create();
    let setup = || Server::with().postgres(database.url()).key("POSTGRES__LEASE_MS", "1000");
    let first = setup().start().await;
    let event = first.shop().small_event(&json!({})).await;
    let second = setup().stand_by().await;
    first.signal("STOP");
    second.until_ready(true).await;
    let (old, new) = (first.shop(), second.shop());
    let (buyer, other) = (new.buyer(), new.buyer());
    let bought = new.buy(&event, &buyer, &["A-1"]).await;
    first.signal("CONT");
    // A request to the old owner right then is fenced, later ones are not accepted.
    let refused = old.hold(&event, &other, &["A-1"]).await;
    assert!(
        matches!((refused.status, refused.json()["code"].as_str()), (503, Some("STORAGE_UNAVAILABLE"))),
        "{refused:?}"
    );
    let began = Instant::now();
    let path = format!("/reservations/seats/{event}");
    while old.get(&path).by(&other).send().await.status != 503 {
        assert!(began.elapsed() < TIMEOUT, "what it knows is old, and it knows that");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(new.seats(&event).await["sold"], json!(["A-1"]));
    assert_eq!(new.reservation(&buyer, &bought).await, bought);
    says_nothing_of_what_another_owns(&old, &new, &event).await;
    // When the new owner ends, the old one has the event back, with everything that happened meanwhile.
    second.stop().await;
    let began = Instant::now();
    while old.get(&path).by(&other).send().await.status != 200 {
        assert!(began.elapsed() < TIMEOUT, "{}", first.log());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(old.seats(&event).await["sold"], json!(["A-1", "B-1"]));
    old.hold(&event, &other, &["A-2"]).await.expect(201);
    first.stop().await;
}

/// `old` answers nothing about a live hold, its payment, and a new event: neither from its memory nor from the tables.
async fn says_nothing_of_what_another_owns(old: &Shop, new: &Shop, event: &str) {
    let buyer = new.buyer();
    let hold = new.hold(event, &buyer, &["B-1"]).await.expect(201);
    let (id, amount) = (hold["reservationId"].as_str().unwrap_or_default(), &hold["totalAmount"]);
    let order = json!({ "reservationId": id, "amount": amount, "paymentMethod": "CARD" });
    let payment = new.post("/payments").by(&buyer).json(&order).send().await.expect(201);
    let (payment_id, key) = (payment["paymentId"].as_str().unwrap_or_default(), &payment["paymentKey"]);
    let confirmation = json!({
        "reservationId": id, "paymentId": payment_id, "paymentKey": key, "transactionId": "sim_ok_1", "amount": amount
    });
    let later = new.small_event(&json!({})).await;
    let seats = json!({ "newSeatIds": ["B-2"] });
    for asked in [
        old.get(&format!("/reservations/{id}")).by(&buyer),
        old.put(&format!("/reservations/hold/{id}")).by(&buyer).json(&seats),
        old.delete(&format!("/reservations/hold/{id}")).by(&buyer),
        old.delete(&format!("/reservations/{id}")).by(&buyer),
        old.post("/payments").by(&buyer).json(&order),
        old.get(&format!("/payments/{payment_id}")).by(&buyer),
        old.post("/payments/confirm").by(&buyer).json(&confirmation),
        old.get(&format!("/events/{later}/seats")),
    ] {
        asked.send().await.refused(503, "STORAGE_UNAVAILABLE");
    }
    assert_eq!(new.reservation(&buyer, &hold).await["status"], "PENDING");
    new.post("/payments/confirm").by(&buyer).json(&confirmation).send().await.expect(200);
}

//! What every port `Catalogue` must do, run on SQLite, on Postgres and on the fake; and how plans are kept.

mod events;
mod plans;

use crate::support::Database;
use events::*;
use onsale_adapters::postgres::{PostgresCatalogue, PostgresPlans};
use onsale_adapters::sqlite::{DataDir, Library, SqliteCatalogue, SqlitePlans};
use onsale_adapters::{compile, pretix};
use onsale_engine::fakes::{FakeCatalogue, every_event, small_config, small_plan};
use onsale_engine::id::{BuyerId, EventId, PlanHash, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::plan::Plan;
use onsale_engine::ports::catalogue::{
    Catalogue, CatalogueChange, CatalogueError, Event, EventOrder, EventQuery, EventStatus, Hall, HallWarning, Listed,
    Page, Venue,
};
use onsale_engine::ports::shared::Described;
use onsale_engine::ports::{Plans, StoreError, StoredAnswer};
use onsale_engine::sale::SaleConfig;
use onsale_engine::time::Timestamp;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

const NOON: Timestamp = Timestamp::from_secs(1_780_000_000);
const HOUR: i64 = 3600;
const DAY: i64 = 24 * HOUR;
const ALL: Page = Page { number: 0, size: 100 };

fn after(secs: i64) -> Timestamp {
    Timestamp(NOON.0 + secs * 1_000_000)
}

fn id(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn plan() -> Arc<Plan> {
    compile(&small_plan(2, 3).draft()).unwrap()
}

fn venue(number: u128, created: i64) -> Venue {
    Venue {
        id: id(number),
        name: format!("Venue {number}"),
        address: "1 Olympic-ro".into(),
        city: "Seoul".into(),
        time_zone: "Asia/Seoul".into(),
        created_at: after(created),
    }
}

fn hall(number: u128, venue: u128) -> Hall {
    let plan = plan();
    Hall {
        id: id(number),
        venue: id(venue),
        name: format!("Hall {number}"),
        plan: plan.hash(),
        capacity: plan.capacity() as u32,
        categories: plan.categories().iter().map(|category| category.name.clone()).collect(),
        stage: plan.stage(),
        warnings: vec![HallWarning { code: "DUPLICATE_LABEL".into(), message: "\"A-1\"".into(), count: 1 }],
        created_at: after(number as i64),
    }
}

/// An event of hall 10 in venue 1, on sale from noon for a day, beginning `number` days after noon.
fn event(number: u128) -> Event {
    let sale = SaleConfig {
        no_orphans: true,
        prices: vec![Some(Amount(150_000)), None],
        blocked: [SeatIndex(1), SeatIndex(2), SeatIndex(5)].into(),
        admission: onsale_engine::sale::AdmissionConfig {
            required: true,
            active_limit: Some(7),
            room_opens_at: Some(after(-60)),
            max_holds_per_slot: 12,
            ..small_config(NOON).admission
        },
        ..small_config(NOON)
    };
    Event {
        id: EventId(id(number)),
        title: format!("Concert {number:03}"),
        artist: "The Minor Units".into(),
        description: Some("Two sets.".into()),
        hall: id(10),
        venue: id(1),
        venue_name: "Venue 1".into(),
        starts_at: after(number as i64 * DAY),
        ends_at: after(number as i64 * DAY + 2 * HOUR),
        sale,
        plan: plan().hash(),
        created_by: BuyerId(id(5)),
        created_at: after(number as i64),
        cancelled: false,
        price_range: (Amount(90_000), Amount(150_000)),
    }
}

fn all_events() -> EventQuery {
    EventQuery { descending: false, page: ALL, ..every_event(after(HOUR)) }
}

fn answer(scope: u128, at: Timestamp) -> StoredAnswer {
    StoredAnswer { scope, body: 77, status: 201, location: Some("/api/v1/x".into()), json: "{}".into(), at }
}

/// A catalogue, and what the projector would write of an event's seats: two are not for sale, or none is.
trait Backend: std::ops::Deref<Target: Catalogue> {
    /// Every seat that is for sale is sold.
    fn sell_out(&self, event: EventId);
    /// Every seat is blocked.
    fn block_all(&self, event: EventId);
}

struct Fake(FakeCatalogue);

struct OnSqlite {
    catalogue: SqliteCatalogue,
    dir: DataDir,
}

impl std::ops::Deref for Fake {
    type Target = FakeCatalogue;
    fn deref(&self) -> &FakeCatalogue {
        &self.0
    }
}

impl Backend for Fake {
    fn sell_out(&self, event: EventId) {
        self.0.sell_out(event);
    }

    fn block_all(&self, _: EventId) {}
}

impl std::ops::Deref for OnSqlite {
    type Target = SqliteCatalogue;
    fn deref(&self) -> &SqliteCatalogue {
        &self.catalogue
    }
}

impl Backend for OnSqlite {
    fn sell_out(&self, event: EventId) {
        self.write_seats(event, "SOLD");
    }

    fn block_all(&self, event: EventId) {
        self.write_seats(event, "BLOCKED");
    }
}

impl OnSqlite {
    fn write_seats(&self, event: EventId, sold: &str) {
        let library = self.dir.library().unwrap();
        for seat in 0..plan().capacity() {
            let status = if seat < 2 { "BLOCKED" } else { sold };
            library
                .execute(
                    "INSERT INTO seats (event_id, seat_id, status) VALUES (?1, ?2, ?3)",
                    (event.0.into_bytes(), format!("seat {seat}"), status),
                )
                .unwrap();
        }
    }
}

struct OnPostgres {
    catalogue: PostgresCatalogue,
    database: Database,
}

impl std::ops::Deref for OnPostgres {
    type Target = PostgresCatalogue;
    fn deref(&self) -> &PostgresCatalogue {
        &self.catalogue
    }
}

impl Backend for OnPostgres {
    fn sell_out(&self, event: EventId) {
        self.write_seats(event, "SOLD");
    }

    fn block_all(&self, event: EventId) {
        self.write_seats(event, "BLOCKED");
    }
}

impl OnPostgres {
    fn write_seats(&self, event: EventId, sold: &str) {
        let sql = format!(
            "INSERT INTO seats (event_id, seat_id, status) \
             SELECT '{event}', 'seat ' || n, CASE WHEN n < 3 THEN 'BLOCKED' ELSE '{sold}' END \
             FROM generate_series(1, {}) AS n",
            plan().capacity()
        );
        self.database.sql(&sql);
    }
}

fn postgres(database: Database) -> (OnPostgres, Arc<PostgresPlans>) {
    let opened = database.open();
    let plans = PostgresPlans::new(&opened);
    (OnPostgres { catalogue: PostgresCatalogue::new(&opened, plans.clone()), database }, plans)
}

fn sqlite(path: &Path) -> (OnSqlite, Arc<SqlitePlans>) {
    let dir = DataDir::open(path).unwrap();
    let plans = SqlitePlans::open(&dir).unwrap();
    let catalogue = SqliteCatalogue::new(Library::open(&dir).unwrap(), plans.clone());
    (OnSqlite { catalogue, dir }, plans)
}

macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod sqlite_catalogue {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                let temp = tempfile::tempdir().unwrap();
                super::$name(&super::sqlite(temp.path()).0).await;
            })+
        }
        mod postgres_catalogue {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name(&super::postgres(crate::support::Database::new()).0).await;
            })+
        }
        mod fake_catalogue {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Fake(super::FakeCatalogue::default())).await;
            })+
        }
    };
}

conformance!(
    venues_are_made_changed_listed_and_deleted,
    halls_belong_to_their_venue,
    what_is_in_use_is_not_deleted,
    an_event_comes_back_as_it_was_made_and_as_it_was_changed,
    tags_are_unique_also_among_the_deleted,
    lists_are_sorted_and_paged_without_gaps,
    lists_are_filtered,
    states_are_computed_when_read,
    answers_are_remembered_for_a_day_with_what_they_answer,
    a_change_is_kept_with_what_was_written_or_not_at_all,
);

async fn a_change_is_kept_with_what_was_written_or_not_at_all(catalogue: &impl Backend) {
    let change = |number: u128, thing: Described, action: &str| CatalogueChange {
        id: id(number),
        thing,
        at: after(number as i64),
        by: BuyerId(id(77)),
        action: action.to_owned(),
        members: "[]".to_owned(),
    };
    let of_venue = |number| change(number, Described::Venue(id(1)), "VENUE");
    catalogue.noting(of_venue(1)).create_venue(&venue(1, 0), None).await.unwrap();
    assert!(catalogue.noting(of_venue(2)).update_venue(&venue(1, 5)).await.unwrap());
    assert!(!catalogue.noting(of_venue(3)).update_venue(&venue(2, 5)).await.unwrap(), "there is none");
    catalogue
        .noting(change(4, Described::Hall(id(10)), "HALL"))
        .create_hall(&hall(10, 1), &plan(), None)
        .await
        .unwrap();
    let in_use = catalogue.noting(of_venue(5)).delete_venue(id(1)).await;
    assert!(matches!(in_use, Err(CatalogueError::InUse("halls"))));
    assert!(catalogue.noting(change(6, Described::Hall(id(10)), "GONE")).delete_hall(id(10)).await.unwrap());
    assert!(catalogue.noting(of_venue(7)).delete_venue(id(1)).await.unwrap());
    // What is written without one keeps none.
    catalogue.create_venue(&venue(3, 0), None).await.unwrap();
    let kept = catalogue.changes(Described::Venue(id(1)), 10).await.unwrap();
    assert_eq!(kept, [of_venue(7), of_venue(2), of_venue(1)], "newest first");
    assert_eq!(catalogue.changes(Described::Venue(id(1)), 2).await.unwrap(), kept[..2]);
    let of_hall = catalogue.changes(Described::Hall(id(10)), 10).await.unwrap();
    let words: Vec<&str> = of_hall.iter().map(|change| change.action.as_str()).collect();
    assert_eq!(words, ["GONE", "HALL"]);
    assert_eq!(catalogue.changes(Described::Event(EventId(id(1))), 10).await.unwrap(), [], "another kind of thing");
}

/// Venue 1 with hall 10.
async fn with_hall(catalogue: &impl Backend) {
    catalogue.create_venue(&venue(1, 0), None).await.unwrap();
    catalogue.create_hall(&hall(10, 1), &plan(), None).await.unwrap();
}

async fn listed(catalogue: &impl Backend, query: EventQuery) -> Vec<u128> {
    catalogue.events(&query).await.unwrap().items.iter().map(|event| event.id.0.as_u128()).collect()
}

async fn venues_are_made_changed_listed_and_deleted(catalogue: &impl Backend) {
    for (number, created) in [(1, 0), (2, 5), (3, 5), (4, 9)] {
        catalogue.create_venue(&venue(number, created), None).await.unwrap();
    }
    assert_eq!(catalogue.venue(id(2)).await.unwrap(), Some(venue(2, 5)));
    assert_eq!(catalogue.venue(id(9)).await.unwrap(), None);
    let newest_first = catalogue.venues(ALL).await.unwrap();
    assert_eq!(newest_first.items, [venue(4, 9), venue(3, 5), venue(2, 5), venue(1, 0)]);
    let second = catalogue.venues(Page { number: 1, size: 3 }).await.unwrap();
    assert_eq!(second, Listed { items: vec![venue(1, 0)], total: 4 });
    let changed = Venue { name: "Arena".into(), time_zone: "Europe/Berlin".into(), ..venue(2, 5) };
    assert!(catalogue.update_venue(&changed).await.unwrap());
    assert_eq!(catalogue.venue(id(2)).await.unwrap(), Some(changed));
    assert!(!catalogue.update_venue(&venue(9, 0)).await.unwrap());
    assert!(catalogue.delete_venue(id(2)).await.unwrap());
    assert!(!catalogue.delete_venue(id(2)).await.unwrap());
    assert!(!catalogue.update_venue(&venue(2, 5)).await.unwrap());
    assert_eq!(catalogue.venue(id(2)).await.unwrap(), None);
    assert_eq!(catalogue.venues(ALL).await.unwrap().total, 3);
}

async fn halls_belong_to_their_venue(catalogue: &impl Backend) {
    catalogue.create_venue(&venue(1, 0), None).await.unwrap();
    catalogue.create_venue(&venue(2, 0), None).await.unwrap();
    for (number, venue) in [(10, 1), (11, 1), (12, 2)] {
        catalogue.create_hall(&hall(number, venue), &plan(), None).await.unwrap();
    }
    assert_eq!(catalogue.hall(id(11)).await.unwrap(), Some(hall(11, 1)));
    let halls = catalogue.halls(id(1), ALL).await.unwrap();
    assert_eq!(halls, Listed { items: vec![hall(11, 1), hall(10, 1)], total: 2 });
    assert_eq!(catalogue.halls(id(1), Page { number: 1, size: 1 }).await.unwrap().items, [hall(10, 1)]);
    assert!(catalogue.rename_hall(id(11), "Blue").await.unwrap());
    assert_eq!(catalogue.hall(id(11)).await.unwrap().unwrap().name, "Blue");
    assert!(catalogue.delete_hall(id(11)).await.unwrap());
    assert!(!catalogue.delete_hall(id(11)).await.unwrap());
    assert!(!catalogue.rename_hall(id(11), "Red").await.unwrap());
    assert_eq!(catalogue.halls(id(1), ALL).await.unwrap().total, 1);
    let nowhere: Result<(), StoreError> = catalogue.create_hall(&hall(13, 9), &plan(), None).await;
    assert!(nowhere.is_err() && catalogue.hall(id(13)).await.unwrap().is_none());
}

async fn what_is_in_use_is_not_deleted(catalogue: &impl Backend) {
    with_hall(catalogue).await;
    catalogue.create_event(&event(100), None).await.unwrap();
    assert!(matches!(catalogue.delete_venue(id(1)).await, Err(CatalogueError::InUse("halls"))));
    assert!(matches!(catalogue.delete_hall(id(10)).await, Err(CatalogueError::InUse("events"))));
    assert!(catalogue.delete_event(EventId(id(100))).await.unwrap());
    assert!(!catalogue.delete_event(EventId(id(100))).await.unwrap());
    assert!(catalogue.delete_hall(id(10)).await.unwrap());
    assert!(catalogue.delete_venue(id(1)).await.unwrap());
    let homeless = catalogue.create_event(&event(101), None).await;
    assert!(matches!(homeless, Err(CatalogueError::Store(_))));
}

async fn answers_are_remembered_for_a_day_with_what_they_answer(catalogue: &impl Backend) {
    catalogue.create_venue(&venue(1, 0), Some(&answer(1, NOON))).await.unwrap();
    catalogue.create_hall(&hall(10, 1), &plan(), Some(&answer(2, NOON))).await.unwrap();
    catalogue.create_event(&event(100), Some(&answer(u128::MAX, NOON))).await.unwrap();
    for scope in [1, 2, u128::MAX] {
        assert_eq!(catalogue.recall(scope, after(DAY - 1)).await.unwrap(), Some(answer(scope, NOON)));
        assert_eq!(catalogue.recall(scope, after(DAY)).await.unwrap(), None);
    }
    assert_eq!(catalogue.recall(3, NOON).await.unwrap(), None);
    catalogue.create_venue(&venue(2, 0), Some(&answer(1, after(60)))).await.unwrap_err();
    assert_eq!(catalogue.venue(id(2)).await.unwrap(), None, "the key is in use: nothing is made");
    catalogue.create_venue(&venue(2, 0), Some(&answer(1, after(DAY)))).await.unwrap();
    assert_eq!(catalogue.recall(1, after(DAY + 1)).await.unwrap(), Some(answer(1, after(DAY))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lists_go_along_an_index() {
    let temp = tempfile::tempdir().unwrap();
    let (OnSqlite { dir, .. }, _) = sqlite(temp.path());
    let library = dir.library().unwrap();
    for (query, index) in [
        (
            "SELECT * FROM events WHERE deleted_at IS NULL ORDER BY created_at DESC, id DESC LIMIT 20",
            "events_by_created",
        ),
        ("SELECT * FROM events WHERE deleted_at IS NULL ORDER BY starts_at, id LIMIT 20", "events_by_start"),
        ("SELECT * FROM events WHERE deleted_at IS NULL ORDER BY title_key, id LIMIT 20", "events_by_title"),
        ("SELECT * FROM events WHERE deleted_at IS NULL AND venue_id = x'' ORDER BY starts_at, id", "events_by_venue"),
        (
            "SELECT * FROM halls WHERE venue_id = x'' AND deleted_at IS NULL ORDER BY created_at DESC, id DESC",
            "halls_by_venue",
        ),
        ("SELECT * FROM venues WHERE deleted_at IS NULL ORDER BY created_at DESC, id DESC", "venues_by_created"),
        ("SELECT count(*) FROM seats WHERE event_id = x'' AND (status = 'SOLD' OR status = 'BLOCKED')", "seats_gone"),
        ("SELECT id FROM outbox_events WHERE published = 1 AND created_at < 9 LIMIT 9", "outbox_events_published"),
        ("SELECT * FROM accounts WHERE email_key = 'a' AND deleted_at IS NULL", "accounts_by_email"),
    ] {
        let mut statement = library.prepare(&format!("EXPLAIN QUERY PLAN {query}")).unwrap();
        let steps = statement.query_map([], |row| row.get::<_, String>(3)).unwrap();
        let steps = steps.collect::<Result<Vec<_>, _>>().unwrap().join("; ");
        assert!(steps.contains(index) && !steps.contains("TEMP B-TREE"), "{query}: {steps}");
    }
}

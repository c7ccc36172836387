//! The shelf on fakes: who reads, who waits, what is forgotten.
#![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]

use super::*;
use onsale_adapters::private_redis::RedisServer;
use onsale_adapters::redis::{Redis, RedisSettings};
use onsale_engine::fakes::{FakeCatalogue, FakeClock, FakeShared};
use onsale_engine::ports::shared::{Heard, SharedNews};

const NOON: Timestamp = Timestamp::from_secs(1_780_000_000);

fn config() -> CacheConfig {
    let (secs, millis) = (Duration::from_secs, Duration::from_millis);
    CacheConfig { ttl: secs(300), opening_ttl: secs(60), opening: secs(600), own_ttl: millis(60_000) }
}

fn venue(name: &str) -> Venue {
    Venue {
        id: Uuid::from_u128(7),
        name: name.into(),
        address: "1 Road".into(),
        city: "Seoul".into(),
        time_zone: "Asia/Seoul".into(),
        created_at: NOON,
    }
}

/// A node: its shelf hears what the others tell.
fn node(catalogue: &Arc<FakeCatalogue>, shared: Option<&FakeShared>) -> Shelf {
    let cache = shared.map(|shared| Arc::new(shared.clone()) as Arc<dyn SharedCache>);
    let catalogue = Arc::clone(catalogue) as Arc<dyn Catalogue>;
    let shelf = Shelf::new(catalogue, Arc::new(FakeClock::at(NOON)), cache, &config());
    if let Some(shared) = shared {
        let hearing = shelf.clone();
        shared.listen(Arc::new(move |heard| match heard {
            Heard::Changed(what) => hearing.forget(what),
            Heard::Missed => hearing.forget_all(),
            Heard::Revoked(_) => {}
        }));
    }
    shelf
}

async fn catalogue() -> Arc<FakeCatalogue> {
    let catalogue = Arc::new(FakeCatalogue::default());
    catalogue.create_venue(&venue("House"), None).await.unwrap();
    catalogue
}

async fn name(shelf: &Shelf) -> Option<String> {
    shelf.venue(Uuid::from_u128(7)).await.unwrap().map(|venue| venue.name.clone())
}

fn reads(shelf: &Shelf) -> u64 {
    shelf.0.reads.load(Ordering::Relaxed)
}

#[tokio::test]
async fn a_thousand_readers_of_one_key_cause_one_read() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    let nodes = [node(&catalogue, Some(&shared)), node(&catalogue, Some(&shared))];
    for _ in 0..2 {
        a_thousand_readers(&nodes).await;
    }
    assert_eq!(reads(&nodes[0]) + reads(&nodes[1]), 1);
    // Expired, it is read once more.
    nodes.iter().for_each(Shelf::forget_all);
    shared.wipe();
    a_thousand_readers(&nodes).await;
    assert_eq!(reads(&nodes[0]) + reads(&nodes[1]), 2);
}

async fn a_thousand_readers(nodes: &[Shelf]) {
    let readers = (0..1000).map(|number| {
        let shelf = nodes[number % nodes.len()].clone();
        tokio::spawn(async move { name(&shelf).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap().as_deref(), Some("House"));
    }
}

/// A node with connections of its own to a real Redis.
async fn node_on(redis: &RedisServer, catalogue: &Arc<FakeCatalogue>) -> Shelf {
    let secs = Duration::from_secs;
    let redis = Redis::open(RedisSettings {
        url: redis.url(),
        ca_file: None,
        timeout: secs(5),
        pipeline_timeout: secs(10),
        connect_timeout: secs(5),
        pool_size: 2,
        retry_every: Duration::from_millis(20),
    });
    let redis = redis.unwrap();
    assert!(redis.wait_until_up(secs(30)).await, "redis does not answer");
    let catalogue = Arc::clone(catalogue) as Arc<dyn Catalogue>;
    Shelf::new(catalogue, Arc::new(FakeClock::at(NOON)), Some(Arc::new(redis)), &config())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_on_one_redis_read_a_key_once_whenever_it_has_expired() {
    let (catalogue, server) = (catalogue().await, RedisServer::start());
    let mut nodes = Vec::new();
    for _ in 0..4 {
        nodes.push(node_on(&server, &catalogue).await);
    }
    for expected in 1..=3 {
        a_thousand_readers(&nodes).await;
        assert_eq!(nodes.iter().map(reads).sum::<u64>(), expected);
        nodes.iter().for_each(Shelf::forget_all);
        for key in server.keys() {
            server.command(&format!("PEXPIRE {key} 1"));
        }
        let since = Instant::now();
        while !server.keys().is_empty() {
            assert!(since.elapsed() < Duration::from_secs(30), "{:?}", server.keys());
        }
    }
}

#[tokio::test]
async fn a_change_is_seen_on_every_node() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    let nodes = [node(&catalogue, Some(&shared)), node(&catalogue, Some(&shared))];
    for shelf in &nodes {
        assert_eq!(name(shelf).await.as_deref(), Some("House"));
    }
    catalogue.update_venue(&venue("Palace")).await.unwrap();
    assert_eq!(name(&nodes[1]).await.as_deref(), Some("House"), "nobody has told it yet");
    nodes[0].changed(Described::Venue(Uuid::from_u128(7))).await;
    for shelf in &nodes {
        assert_eq!(name(shelf).await.as_deref(), Some("Palace"));
    }
}

#[tokio::test]
async fn without_the_others_it_reads_by_itself_and_tells_them_later() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    let nodes = [node(&catalogue, Some(&shared)), node(&catalogue, Some(&shared))];
    assert_eq!(name(&nodes[1]).await.as_deref(), Some("House"));
    shared.go(true);
    assert_eq!(name(&nodes[0]).await.as_deref(), Some("House"));
    catalogue.update_venue(&venue("Palace")).await.unwrap();
    nodes[0].changed(Described::Venue(Uuid::from_u128(7))).await;
    assert_eq!(name(&nodes[0]).await.as_deref(), Some("Palace"));
    // It comes back with what it had, which nobody may read any more.
    shared.go(false);
    nodes[0].tell_again().await;
    for shelf in &nodes {
        assert_eq!(name(shelf).await.as_deref(), Some("Palace"));
    }
    assert!(nodes[0].0.untold.lock().is_empty());
}

#[tokio::test]
async fn alone_it_keeps_what_is_there_until_it_is_changed() {
    let catalogue = catalogue().await;
    let shelf = node(&catalogue, None);
    for _ in 0..3 {
        assert_eq!(name(&shelf).await.as_deref(), Some("House"));
    }
    assert_eq!(reads(&shelf), 1);
    let other = Uuid::from_u128(8);
    assert!(shelf.venue(other).await.unwrap().is_none());
    catalogue.create_venue(&Venue { id: other, ..venue("New") }, None).await.unwrap();
    assert_eq!(shelf.venue(other).await.unwrap().unwrap().name, "New", "that it is not there is not remembered");
    assert_eq!(shelf.reads(), (2, 3));
}

#[test]
fn around_an_opening_nothing_lives_long() {
    let check = |seconds_before: i64, expected: u64| {
        let opens_at = Timestamp(NOON.0 + seconds_before * 1_000_000);
        assert_eq!(lives(&config(), opens_at, NOON), Duration::from_secs(expected), "{seconds_before} s before");
    };
    check(86_400, 300);
    check(901, 300);
    check(800, 200);
    check(630, 60);
    check(600, 60);
    check(0, 60);
    check(-599, 60);
    check(-600, 300);
    check(-86_400, 300);
}

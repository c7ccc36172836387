//! The cache on fakes and a real Redis: who reads, who waits, what is forgotten.
#![allow(clippy::unwrap_used, reason = "a test may end on its first surprise")]

use super::*;
use onsale_adapters::private_redis::RedisServer;
use onsale_adapters::redis::{Redis, RedisSettings};
use onsale_engine::fakes::{FakeCatalogue, FakeClock, FakeShared, every_event, small_config, small_plan};
use onsale_engine::id::BuyerId;
use onsale_engine::money::Amount;
use onsale_engine::ports::catalogue::{EventStatus, Page};
use onsale_engine::ports::shared::{Notification, Notifications};

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

/// A node: its cache receives what the others send.
fn node(catalogue: &Arc<FakeCatalogue>, shared: Option<&FakeShared>) -> CatalogueCache {
    let cache = shared.map(|shared| Arc::new(shared.clone()) as Arc<dyn SharedCache>);
    let catalogue = Arc::clone(catalogue) as Arc<dyn Catalogue>;
    let cache = CatalogueCache::new(catalogue, Arc::new(FakeClock::at(NOON)), cache, &config());
    if let Some(shared) = shared {
        let receiving = cache.clone();
        shared.listen(Arc::new(move |notification| match notification {
            Notification::Changed(what) => receiving.forget(what),
            Notification::Missed => receiving.forget_all(),
            Notification::Revoked(_) => {}
        }));
    }
    cache
}

async fn catalogue() -> Arc<FakeCatalogue> {
    let catalogue = Arc::new(FakeCatalogue::default());
    catalogue.create_venue(&venue("House"), None).await.unwrap();
    catalogue
}

async fn name(cache: &CatalogueCache) -> Option<String> {
    cache.venue(Uuid::from_u128(7)).await.unwrap().map(|venue| venue.name.clone())
}

fn reads(cache: &CatalogueCache) -> u64 {
    cache.0.reads.load(Ordering::Relaxed)
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
    nodes.iter().for_each(CatalogueCache::forget_all);
    shared.wipe();
    a_thousand_readers(&nodes).await;
    assert_eq!(reads(&nodes[0]) + reads(&nodes[1]), 2);
}

async fn a_thousand_readers(nodes: &[CatalogueCache]) {
    let readers = (0..1000).map(|number| {
        let cache = nodes[number % nodes.len()].clone();
        tokio::spawn(async move { name(&cache).await })
    });
    for reader in readers.collect::<Vec<_>>() {
        assert_eq!(reader.await.unwrap().as_deref(), Some("House"));
    }
}

/// A node with connections of its own to a real Redis.
async fn node_on(redis: &RedisServer, catalogue: &Arc<FakeCatalogue>) -> CatalogueCache {
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
    CatalogueCache::new(catalogue, Arc::new(FakeClock::at(NOON)), Some(Arc::new(redis)), &config())
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
        nodes.iter().for_each(CatalogueCache::forget_all);
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
    for cache in &nodes {
        assert_eq!(name(cache).await.as_deref(), Some("House"));
    }
    catalogue.update_venue(&venue("Palace")).await.unwrap();
    assert_eq!(name(&nodes[1]).await.as_deref(), Some("House"), "no invalidation was sent yet");
    nodes[0].changed(Described::Venue(Uuid::from_u128(7))).await;
    for cache in &nodes {
        assert_eq!(name(cache).await.as_deref(), Some("Palace"));
    }
}

#[tokio::test]
async fn without_the_others_it_reads_by_itself_and_invalidates_theirs_later() {
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
    nodes[0].send_again().await;
    for cache in &nodes {
        assert_eq!(name(cache).await.as_deref(), Some("Palace"));
    }
    assert!(nodes[0].0.unsent.lock().is_empty());
}

#[tokio::test]
async fn alone_it_keeps_what_is_there_until_it_is_changed() {
    let catalogue = catalogue().await;
    let cache = node(&catalogue, None);
    for _ in 0..3 {
        assert_eq!(name(&cache).await.as_deref(), Some("House"));
    }
    assert_eq!(reads(&cache), 1);
    let other = Uuid::from_u128(8);
    assert!(cache.venue(other).await.unwrap().is_none());
    catalogue.create_venue(&Venue { id: other, ..venue("New") }, None).await.unwrap();
    assert_eq!(cache.venue(other).await.unwrap().unwrap().name, "New", "that it is not there is not remembered");
    assert_eq!(cache.reads(), (2, 3));
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

/// An event of the only hall, whose sale opens then.
async fn create_event(catalogue: &FakeCatalogue, number: u128, opens_at: Timestamp) -> Event {
    let (plan, hall) = (small_plan(1, 4), Uuid::from_u128(9));
    if catalogue.hall(hall).await.unwrap().is_none() {
        let hall = Hall {
            id: hall,
            venue: Uuid::from_u128(7),
            name: "Main".into(),
            plan: plan.hash(),
            capacity: 4,
            categories: vec!["VIP".into()],
            stage: None,
            warnings: Vec::new(),
            created_at: NOON,
        };
        catalogue.create_hall(&hall, &plan, None).await.unwrap();
    }
    let event = Event {
        id: EventId(Uuid::from_u128(number)),
        title: format!("Evening {number}"),
        artist: "Quartet".into(),
        description: None,
        hall,
        venue: Uuid::from_u128(7),
        venue_name: String::new(),
        starts_at: opens_at + Duration::from_secs(86_400),
        ends_at: opens_at + Duration::from_secs(90_000),
        sale: small_config(opens_at),
        plan: plan.hash(),
        created_by: BuyerId(Uuid::from_u128(1)),
        created_at: NOON,
        cancelled: false,
        price_range: (Amount(1), Amount(2)),
    };
    catalogue.create_event(&event, None).await.unwrap();
    event
}

/// Lists that were asked for at the same time, all of them while none was answered, and how many queries that took.
async fn a_hundred_lists(cache: &CatalogueCache, catalogue: &FakeCatalogue, query: &EventQuery) -> u64 {
    let (before, asked) = (catalogue.list_queries(), Arc::new(AtomicU64::new(0)));
    let held = catalogue.hold_lists().await;
    let readers = (0..100).map(|_| {
        let (cache, query, asked) = (cache.clone(), query.clone(), Arc::clone(&asked));
        tokio::spawn(async move {
            asked.fetch_add(1, Ordering::SeqCst);
            cache.event_page(query).await.unwrap().total
        })
    });
    let readers: Vec<_> = readers.collect();
    while asked.load(Ordering::SeqCst) < 100 || catalogue.list_queries() == before {
        tokio::task::yield_now().await;
    }
    drop(held);
    for reader in readers {
        assert_eq!(reader.await.unwrap(), 1);
    }
    catalogue.list_queries() - before
}

#[tokio::test]
async fn a_hundred_lists_at_once_cause_one_query() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    create_event(&catalogue, 1, NOON + Duration::from_secs(86_400)).await;
    for cache in [node(&catalogue, None), node(&catalogue, Some(&shared))] {
        assert_eq!(a_hundred_lists(&cache, &catalogue, &every_event(NOON)).await, 1);
        assert_eq!(cache.reads(), (99, 1));
        // And from then on none.
        assert_eq!(cache.event_page(every_event(NOON)).await.unwrap().total, 1);
        let second = EventQuery { page: Page { number: 1, size: 20 }, ..every_event(NOON) };
        assert!(cache.event_page(second).await.unwrap().items.is_empty(), "another page");
        assert_eq!(cache.reads(), (100, 2));
    }
}

#[tokio::test]
async fn what_is_filtered_by_status_is_read_together_and_never_kept() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    let event = create_event(&catalogue, 1, NOON).await;
    let on_sale = EventQuery { status: Some(EventStatus::OnSale), ..every_event(NOON) };
    for cache in [node(&catalogue, None), node(&catalogue, Some(&shared))] {
        // Who came after the first query had begun is answered by a second one.
        let queries = a_hundred_lists(&cache, &catalogue, &on_sale).await;
        assert!((1..=2).contains(&queries), "{queries} queries");
    }
    // No change of the catalogue announces that the last seat is sold.
    let cache = node(&catalogue, Some(&shared));
    assert_eq!(cache.event_page(on_sale.clone()).await.unwrap().total, 1);
    catalogue.sell_out(event.id);
    assert_eq!(cache.event_page(on_sale).await.unwrap().total, 0);
}

#[tokio::test]
async fn a_change_is_in_the_next_list_on_every_node() {
    let (catalogue, shared) = (catalogue().await, FakeShared::default());
    let nodes = [node(&catalogue, Some(&shared)), node(&catalogue, Some(&shared))];
    let far = NOON + Duration::from_secs(86_400);
    let mut event = create_event(&catalogue, 1, far).await;
    let seen = async || {
        let mut pages = Vec::new();
        for cache in &nodes {
            let page = cache.event_page(every_event(NOON)).await.unwrap();
            pages.push((page.total, page.items[0].title.clone(), page.items[0].venue_name.clone()));
        }
        assert_eq!(pages[0], pages[1]);
        pages.remove(0)
    };
    let expected = |total, title: &str, venue: &str| (total, title.to_owned(), venue.to_owned());
    assert_eq!(seen().await, expected(1, "Evening 1", "House"));

    event.title = "Night".into();
    assert!(catalogue.update_event(&event).await.unwrap());
    assert_eq!(seen().await, expected(1, "Evening 1", "House"), "no invalidation was sent yet");
    nodes[0].changed(Described::Event(event.id)).await;
    assert_eq!(seen().await, expected(1, "Night", "House"));

    let new = create_event(&catalogue, 2, far).await;
    nodes[1].changed(Described::Event(new.id)).await;
    assert_eq!(seen().await, expected(2, "Evening 2", "House"));

    catalogue.update_venue(&venue("Palace")).await.unwrap();
    nodes[0].changed(Described::Venue(Uuid::from_u128(7))).await;
    assert_eq!(seen().await, expected(2, "Evening 2", "Palace"));

    // A hall is in no list.
    let queries = catalogue.list_queries();
    nodes[0].changed(Described::Hall(Uuid::from_u128(9))).await;
    seen().await;
    assert_eq!(catalogue.list_queries(), queries);
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_kept_after_it() {
    let catalogue = catalogue().await;
    let mut event = create_event(&catalogue, 1, NOON).await;
    let cache = node(&catalogue, None);
    let held = catalogue.hold_lists().await;
    let early = tokio::spawn({
        let cache = cache.clone();
        async move { cache.event_page(every_event(NOON)).await.unwrap() }
    });
    while catalogue.list_queries() == 0 {
        tokio::task::yield_now().await;
    }
    cache.changed(Described::Event(event.id)).await;
    drop(held);
    early.await.unwrap();
    event.title = "Night".into();
    assert!(catalogue.update_event(&event).await.unwrap());
    assert_eq!(cache.event_page(every_event(NOON)).await.unwrap().items[0].title, "Night");
}

#[tokio::test]
async fn a_list_is_kept_for_less_time_around_an_opening() {
    let (catalogue, server) = (catalogue().await, RedisServer::start());
    let cache = node_on(&server, &catalogue).await;
    let kept_for = async |page: EventQuery, expected: u64| {
        cache.event_page(page).await.unwrap();
        let answer = server.command("PTTL onsale:cache:events");
        let millis: u64 = answer.trim_start_matches(':').trim().parse().unwrap();
        server.command("DEL onsale:cache:events");
        cache.forget_all();
        // Some time may have passed between the two commands.
        assert!((expected - 10..=expected).contains(&millis.div_ceil(1000)), "{millis} ms instead of {expected} s");
    };
    let day = Duration::from_secs(86_400);
    kept_for(every_event(NOON), 300).await;
    create_event(&catalogue, 1, NOON + day).await;
    kept_for(every_event(NOON), 300).await;
    create_event(&catalogue, 2, NOON + Duration::from_secs(5)).await;
    // One of two opens soon.
    kept_for(every_event(NOON), 60).await;
    let later = EventQuery { from: Some(NOON + day + Duration::from_secs(60)), ..every_event(NOON) };
    kept_for(later, 300).await;
    // Until the time around its opening begins.
    create_event(&catalogue, 3, NOON + Duration::from_secs(800)).await;
    let third = EventQuery { text: Some("evening 3".into()), ..every_event(NOON) };
    kept_for(third, 200).await;
}

#[tokio::test]
async fn alone_a_list_is_kept_for_its_time_too() {
    let catalogue = catalogue().await;
    create_event(&catalogue, 1, NOON + Duration::from_secs(86_400)).await;
    let config = CacheConfig { opening_ttl: Duration::from_millis(1), ..config() };
    let clock = Arc::new(FakeClock::at(NOON));
    let cache = CatalogueCache::new(Arc::clone(&catalogue) as Arc<dyn Catalogue>, clock, None, &config);
    for _ in 0..3 {
        assert_eq!(cache.event_page(every_event(NOON)).await.unwrap().total, 1);
    }
    assert_eq!(catalogue.list_queries(), 1);
    let soon = create_event(&catalogue, 2, NOON).await;
    cache.changed(Described::Event(soon.id)).await;
    let since = Instant::now();
    while catalogue.list_queries() < 3 {
        assert_eq!(cache.event_page(every_event(NOON)).await.unwrap().total, 2);
        assert!(since.elapsed() < Duration::from_secs(30), "it is kept for longer than a millisecond");
    }
}

#[tokio::test]
async fn what_redis_answers_is_a_hit() {
    let (catalogue, server) = (catalogue().await, RedisServer::start());
    create_event(&catalogue, 1, NOON).await;
    let (one, other) = (node_on(&server, &catalogue).await, node_on(&server, &catalogue).await);
    for cache in [&one, &other] {
        assert_eq!(cache.event_page(every_event(NOON)).await.unwrap().total, 1);
        assert_eq!(name(cache).await.as_deref(), Some("House"));
    }
    assert_eq!((one.reads(), one.shared_hits()), ((0, 2), 0), "it has read both");
    assert_eq!((other.reads(), other.shared_hits()), ((2, 0), 2), "Redis has answered both");
    other.event_page(every_event(NOON)).await.unwrap();
    assert_eq!((other.reads(), other.shared_hits()), ((3, 0), 2), "and its own memory the third");
    assert_eq!(catalogue.list_queries(), 1);
}

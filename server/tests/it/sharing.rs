//! Nodes that share a Redis, and what becomes of them when it is gone, paused, wiped, or back.

use crate::harness::SECRET;
use crate::shop::{Person, Shop, TIMEOUT, in_seconds};
use onsale_adapters::private_redis::RedisServer;
use onsale_engine::ports::shared::Quota;
use onsale_server::config::{Config, RedisConfig};
use onsale_server::limits::Family;
use onsale_server::server::{Running, Server, bind};
use serde_json::{Value, json};
use std::ffi::OsString;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A server in this process, with a storage of its own.
struct Node {
    running: Running,
    shop: Shop,
    _data: TempDir,
}

impl Node {
    async fn start(redis: &RedisServer) -> Self {
        Self::with(redis, |_| {}).await
    }

    async fn with(redis: &RedisServer, change: impl FnOnce(&mut Config)) -> Self {
        let data = tempfile::tempdir().unwrap();
        let env = [("ONSALE__STORAGE__PATH", data.path().to_str().unwrap()), ("ONSALE__AUTH__JWT_SECRET", SECRET)];
        let env = env.map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let mut config = Config::load(None, env).unwrap();
        let millis = Duration::from_millis;
        config.redis = Some(RedisConfig {
            url: redis.url().into(),
            ca_file: None,
            timeout: millis(200),
            pipeline_timeout: millis(2000),
            connect_timeout: millis(250),
            pool_size: 2,
            retry: millis(50),
        });
        change(&mut config);
        let socket = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let mut running = Server::start(config, socket).unwrap();
        running.ready().await.unwrap();
        let shop = Shop::new(&format!("http://{}", running.address()), SECRET);
        Self { running, shop, _data: data }
    }

    async fn stop(self) {
        self.running.stop().await;
    }

    /// What cannot be done as it should.
    async fn degraded(&self) -> Value {
        let ready = self.shop.probe("/health/ready").await;
        ready.expect(200)["degraded"].clone()
    }

    async fn metric(&self, name: &str) -> f64 {
        let text = self.shop.probe("/metrics").await;
        let text = String::from_utf8(text.body.to_vec()).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in {text}")).parse().unwrap()
    }
}

/// Asks until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let since = Instant::now();
    while !is_so().await {
        assert!(since.elapsed() < TIMEOUT, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn enter(shop: &Shop, event: &str, buyer: &Person) -> crate::shop::Reply {
    shop.post("/queue/enter").by(buyer).json(&json!({ "eventId": event })).send().await
}

/// An event whose waiting room lets nobody in.
async fn waiting_room(shop: &Shop) -> String {
    let event = shop.small_event(&json!({ "admission": { "required": true } })).await;
    let path = format!("/admin/events/{event}/admission");
    shop.patch(&path).by(&shop.admin).json(&json!({ "paused": true })).send().await.expect(200);
    event
}

fn line(redis: &RedisServer, event: &str) -> usize {
    redis.bulks(&format!("ZRANGE onsale:queue:{event} 0 -1")).len()
}

fn count(redis: &RedisServer, event: &str, field: &str) -> Option<String> {
    redis.bulks(&format!("HMGET onsale:counts:{event} {field}")).first().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_the_sale_goes_on_and_when_it_is_back_it_is_filled_again() {
    let mut redis = RedisServer::start();
    let node = Node::start(&redis).await;
    let shop = &node.shop;
    let (event, room) = (shop.small_event(&json!({})).await, waiting_room(shop).await);
    let (early, late, buyer) = (shop.buyer(), shop.buyer(), shop.buyer());
    enter(shop, &room, &early).await.expect(200);
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    shop.hold(&event, &buyer, &["A-2"]).await.expect(201);
    until("the copies", async || line(&redis, &room) == 1 && count(&redis, &event, "sold").as_deref() == Some("1"))
        .await;
    until("the hold", async || redis.bulks(&format!("HVALS onsale:holds:{event}")).len() == 1).await;
    assert_eq!((node.degraded().await, node.metric("onsale_redis_up").await), (json!([]), 1.0));

    redis.kill();
    until("noticed", async || node.degraded().await == json!(["redis"])).await;
    assert_eq!(node.metric("onsale_redis_up").await, 0.0);
    let other = shop.buyer();
    shop.buy(&event, &other, &["B-1"]).await;
    enter(shop, &room, &late).await.expect(200);
    enter(shop, &waiting_room(shop).await, &late).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    assert_eq!(shop.get(&format!("/events/{event}")).send().await.expect(200)["seats"]["sold"], 2);
    let out = shop.buyer();
    shop.post("/auth/logout").by(&out).send().await.expect(204);
    shop.get("/users/me").by(&out).send().await.refused(401, "UNAUTHENTICATED");

    redis.start_again();
    until("back", async || node.degraded().await == json!([])).await;
    until("filled", async || line(&redis, &room) == 2 && count(&redis, &event, "sold").as_deref() == Some("2")).await;
    until("claimed", async || redis.keys().iter().filter(|key| key.starts_with("onsale:claim:")).count() == 2).await;
    assert!(node.metric("onsale_redis_outages_total").await >= 1.0);
    assert_eq!(shop.reservation(&buyer, &bought).await, bought);
    shop.get("/users/me").by(&out).send().await.refused(401, "UNAUTHENTICATED");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wiped_it_loses_nothing_and_no_revoked_token_lives_again() {
    let redis = RedisServer::start();
    let node = Node::start(&redis).await;
    let shop = &node.shop;
    let (event, room) = (shop.small_event(&json!({})).await, waiting_room(shop).await);
    let (buyer, waiting, out) = (shop.buyer(), shop.buyer(), shop.buyer());
    let bought = shop.buy(&event, &buyer, &["A-1"]).await;
    let place = enter(shop, &room, &waiting).await.expect(200);
    shop.post("/auth/logout").by(&out).send().await.expect(204);
    shop.get(&format!("/events/{event}")).send().await.expect(200);
    until("the copies", async || line(&redis, &room) == 1).await;
    let generation = count(&redis, &room, "generation");
    redis.wipe();
    until("written whole again", async || line(&redis, &room) == 1 && count(&redis, &room, "generation") == generation)
        .await;
    let claim = redis.keys().into_iter().filter(|key| key.starts_with("onsale:claim:")).count();
    assert_eq!(claim, 1);
    shop.get("/users/me").by(&out).send().await.refused(401, "UNAUTHENTICATED");
    assert_eq!(shop.reservation(&buyer, &bought).await, bought);
    let again = shop.get(&format!("/queue/status?eventId={room}")).by(&waiting).send().await.expect(200);
    assert_eq!((&again["rank"], &again["ticket"]), (&place["rank"], &place["ticket"]));
    assert_eq!(shop.get(&format!("/events/{event}")).send().await.expect(200)["seats"]["sold"], 1);
    assert_eq!(node.degraded().await, json!([]));
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn paused_it_holds_no_request_up() {
    let mut redis = RedisServer::start();
    let node = Node::start(&redis).await;
    let shop = &node.shop;
    let (event, room) = (shop.small_event(&json!({})).await, waiting_room(shop).await);
    until("the copies", async || count(&redis, &event, "available").as_deref() == Some("20")).await;
    redis.pause();
    let mut slowest = Duration::ZERO;
    for seat in 1..=8 {
        let buyer = shop.buyer();
        let asked = Instant::now();
        shop.hold(&event, &buyer, &[&format!("A-{seat}")]).await.expect(201);
        slowest = slowest.max(asked.elapsed());
        let asked = Instant::now();
        enter(shop, &room, &buyer).await.expect(200);
        shop.get(&format!("/events/{event}")).send().await.expect(200);
        slowest = slowest.max(asked.elapsed());
    }
    // Two calls of Redis in one request at the most, each with its time-out; far below the request's own.
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    until("noticed", async || node.degraded().await == json!(["redis"])).await;
    redis.resume();
    until("back", async || node.degraded().await == json!([])).await;
    until("filled", async || line(&redis, &room) == 8 && count(&redis, &event, "held").as_deref() == Some("8")).await;
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_share_limits_claims_and_revocations() {
    let redis = RedisServer::start();
    let two = Quota { requests: 2.try_into().unwrap(), window: Duration::from_secs(3600) };
    let change = |config: &mut Config| {
        for family in [Family::Hold, Family::Password] {
            config.rate_limit.quotas[family as usize] = two;
        }
    };
    let (one, other) = (Node::with(&redis, change).await, Node::with(&redis, change).await);

    // Limits.
    let (here, there) = (one.shop.small_event(&json!({})).await, other.shop.small_event(&json!({})).await);
    let buyer = one.shop.buyer();
    one.shop.hold(&here, &buyer, &["A-1"]).await.expect(201);
    other.shop.hold(&there, &buyer, &["A-1"]).await.expect(201);
    let refused = one.shop.hold(&here, &buyer, &["A-2"]).await;
    refused.refused(429, "RATE_LIMITED");
    assert!(refused.header("retry-after").parse::<u32>().unwrap() > 1000);
    other.shop.hold(&there, &buyer, &["A-2"]).await.refused(429, "RATE_LIMITED");

    // Wrong passwords, of an address that neither knows.
    let guess = async |node: &Node| {
        let body = json!({ "email": "nobody@example.org", "password": "a guess" });
        node.shop.post("/auth/login").json(&body).send().await
    };
    guess(&one).await.refused(401, "INVALID_CREDENTIALS");
    guess(&other).await.refused(401, "INVALID_CREDENTIALS");
    guess(&one).await.refused(429, "RATE_LIMITED");
    guess(&one).await.refused(429, "RATE_LIMITED");

    // Claims.
    let (here, there) = (waiting_room(&one.shop).await, waiting_room(&other.shop).await);
    let buyer = one.shop.buyer();
    enter(&one.shop, &here, &buyer).await.expect(200);
    enter(&other.shop, &there, &buyer).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    enter(&one.shop, &here, &buyer).await.expect(200);
    one.shop.delete(&format!("/queue/leave?eventId={here}")).by(&buyer).send().await.expect(204);
    until("free again", async || enter(&other.shop, &there, &buyer).await.status == 200).await;
    enter(&one.shop, &here, &buyer).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");

    // The end of a sale gives its claims back.
    let rules = json!({ "admission": { "required": true, "tokenSeconds": 86_400 }, "saleEndsAt": in_seconds(3) });
    let ending = one.shop.small_event(&rules).await;
    let buyer = one.shop.buyer();
    one.shop.admitted(&ending, &buyer).await;
    enter(&other.shop, &there, &buyer).await.refused(409, "ALREADY_QUEUED_ELSEWHERE");
    until("free again", async || enter(&other.shop, &there, &buyer).await.status == 200).await;
    let place = one.shop.get(&format!("/queue/status?eventId={ending}")).by(&buyer).send().await.expect(200);
    assert_eq!((&place["status"], &place["notice"]), (&json!("EXPIRED"), &json!("CLOSED")));

    // Revocations: the other node's storage knows nothing of this one.
    let out = one.shop.buyer();
    other.shop.get(&format!("/queue/status?eventId={there}")).by(&out).send().await.refused(404, "NOT_IN_QUEUE");
    one.shop.post("/auth/logout").by(&out).send().await.expect(204);
    let path = format!("/queue/status?eventId={there}");
    until("received", async || other.shop.get(&path).by(&out).send().await.status == 401).await;
    one.stop().await;
    other.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_follow_what_happens_closely() {
    let redis = RedisServer::start();
    let node = Node::start(&redis).await;
    let shop = &node.shop;
    let room = shop.small_event(&json!({ "admission": { "required": true, "ratePerSecond": 100 } })).await;
    let buyers: Vec<Person> = (0..20).map(|_| shop.buyer()).collect();
    for buyer in &buyers {
        shop.admitted(&room, buyer).await;
    }
    until("all shop", async || count(&redis, &room, "active").as_deref() == Some("20")).await;
    assert_eq!(redis.command(&format!("HLEN onsale:active:{room}")), ":20\r\n");
    assert_eq!(line(&redis, &room), 0);
    shop.delete(&format!("/queue/leave?eventId={room}")).by(&buyers[0]).send().await.expect(204);
    until("one has left", async || count(&redis, &room, "active").as_deref() == Some("19")).await;
    assert_eq!(redis.command(&format!("HLEN onsale:active:{room}")), ":19\r\n");
    let lag = node.metric("onsale_redis_copy_lag_seconds").await;
    assert!(lag > 0.0 && lag < 5.0, "{lag}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_begins_without_redis_and_finds_it_later() {
    let mut redis = RedisServer::start();
    redis.kill();
    let node = Node::start(&redis).await;
    let event = node.shop.small_event(&json!({})).await;
    node.shop.buy(&event, &node.shop.buyer(), &["A-1"]).await;
    assert_eq!(node.degraded().await, json!(["redis"]));
    redis.start_again();
    until("found", async || node.degraded().await == json!([])).await;
    until("filled", async || count(&redis, &event, "sold").as_deref() == Some("1")).await;
    node.stop().await;
}

//! What the ports that nodes share must do, run on the fake and on Redis.

use onsale_adapters::private_redis::RedisServer;
use onsale_adapters::redis::{Redis, RedisSettings};
use onsale_engine::fakes::FakeShared;
use onsale_engine::id::{BuyerId, EventId, Ordinal, ReservationId, Seq, Slot};
use onsale_engine::ports::accounts::Revocation;
use onsale_engine::ports::shared::{
    CacheKey, Copies, Described, Found, HeldSeats, Notification, Notifications, Quota, SHARED_EVENT_PAGES, SaleCopy,
    SharedCache, SharedClaims, SharedLimits, Standing, Verdict,
};
use onsale_engine::sale::SeatCounts;
use onsale_engine::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

/// How long a test waits for anything.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// How tests reach a private Redis; nothing here is about speed.
pub fn settings(url: &str) -> RedisSettings {
    RedisSettings {
        url: url.to_owned(),
        ca_file: None,
        timeout: Duration::from_secs(5),
        pipeline_timeout: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
        pool_size: 2,
        retry_every: Duration::from_millis(20),
    }
}

pub async fn connect(settings: RedisSettings) -> Redis {
    let redis = Redis::open(settings).unwrap();
    assert!(redis.wait_until_up(TIMEOUT).await, "redis does not answer");
    redis
}

/// Something that nodes share, and can lose.
trait System {
    type Node: SharedLimits + SharedClaims + SharedCache + Notifications + Copies;
    async fn node(&self) -> Self::Node;
    fn wipe(&self);
}

impl System for FakeShared {
    type Node = Self;
    async fn node(&self) -> Self {
        self.clone()
    }
    fn wipe(&self) {
        FakeShared::wipe(self);
    }
}

impl System for RedisServer {
    type Node = Redis;
    async fn node(&self) -> Redis {
        connect(settings(&self.url())).await
    }
    fn wipe(&self) {
        RedisServer::wipe(self);
    }
}

macro_rules! conformance {
    ($($name:ident),+ $(,)?) => {
        mod on_the_fake {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&onsale_engine::fakes::FakeShared::default()).await;
            })+
        }
        mod on_redis {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&onsale_adapters::private_redis::RedisServer::start()).await;
            })+
        }
    };
}

conformance!(
    limits_are_kept_together,
    a_buyer_has_one_claim,
    one_reads_for_all,
    what_was_read_before_a_change_is_not_kept_after_it,
    what_is_cached_ends,
    pages_of_events_are_forgotten_with_every_event_and_venue,
    pages_of_events_are_bounded,
    notifications_reach_every_node,
    copies_are_written_whole_once_and_then_what_changes,
    a_lost_copy_is_asked_for_whole,
);

fn quota(requests: u32, seconds: u64) -> Quota {
    Quota { requests: requests.try_into().unwrap(), window: Duration::from_secs(seconds) }
}

pub fn event(number: u128) -> EventId {
    EventId(Uuid::from_u128(0xe000 + number))
}

pub fn buyer(number: u128) -> BuyerId {
    BuyerId(Uuid::from_u128(0xb000 + number))
}

async fn limits_are_kept_together(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    let quota = quota(3, 3600);
    for node in [&one, &other, &one] {
        assert_eq!(node.spend("hold:a", quota).await.unwrap(), Verdict::Allowed);
    }
    let Verdict::Refused { retry_after } = other.spend("hold:a", quota).await.unwrap() else { panic!("a fourth") };
    assert!((1190..=1200).contains(&retry_after.as_secs()), "{retry_after:?}");
    assert_eq!(other.spend("hold:b", quota).await.unwrap(), Verdict::Allowed);
    // What was given back on one node may be spent on another, once.
    one.give_back("hold:a", quota).await.unwrap();
    assert_eq!(other.spend("hold:a", quota).await.unwrap(), Verdict::Allowed);
    assert!(matches!(one.spend("hold:a", quota).await.unwrap(), Verdict::Refused { .. }));
    one.give_back("hold:nobody", quota).await.unwrap();
    system.wipe();
    assert_eq!(one.spend("hold:a", quota).await.unwrap(), Verdict::Allowed, "what is lost is counted from zero");
    // A short one comes back by itself.
    let short = Quota { requests: 1.try_into().unwrap(), window: Duration::from_millis(50) };
    assert_eq!(one.spend("enter:a", short).await.unwrap(), Verdict::Allowed);
    let since = Instant::now();
    while let Verdict::Refused { retry_after } = other.spend("enter:a", short).await.unwrap() {
        assert!(retry_after <= short.window && since.elapsed() < TIMEOUT);
        tokio::time::sleep(retry_after).await;
    }
}

async fn a_buyer_has_one_claim(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    assert_eq!(one.claim(buyer(1), event(1), None).await.unwrap(), event(1));
    assert_eq!(one.claim(buyer(1), event(1), None).await.unwrap(), event(1), "again is the same");
    assert_eq!(other.claim(buyer(1), event(2), None).await.unwrap(), event(1));
    assert_eq!(other.claim(buyer(2), event(2), None).await.unwrap(), event(2), "another buyer is free");
    // Only the event that has it gives it back.
    other.release(buyer(1), event(2)).await.unwrap();
    assert_eq!(other.claim(buyer(1), event(2), None).await.unwrap(), event(1));
    assert_eq!(other.claim(buyer(1), event(2), Some(event(3))).await.unwrap(), event(1));
    assert_eq!(other.claim(buyer(1), event(2), Some(event(1))).await.unwrap(), event(2), "known to be over");
    one.release(buyer(1), event(2)).await.unwrap();
    assert_eq!(one.claim(buyer(1), event(1), None).await.unwrap(), event(1));
    system.wipe();
    assert_eq!(one.claim(buyer(1), event(3), None).await.unwrap(), event(3));
}

async fn one_reads_for_all(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    let what = CacheKey::from(Described::Event(event(1)));
    let Found::Read { turn } = one.find(what).await.unwrap() else { panic!("nothing is there") };
    assert_eq!(other.find(what).await.unwrap(), Found::Wait);
    assert!(
        matches!(other.find(Described::Venue(Uuid::nil()).into()).await.unwrap(), Found::Read { .. }),
        "another thing"
    );
    assert!(!other.keep(what, turn.wrapping_add(1), b"x", TIMEOUT).await.unwrap(), "not its turn");
    assert!(one.keep(what, turn, b"\x00value\xff", TIMEOUT).await.unwrap());
    assert_eq!(other.find(what).await.unwrap(), Found::Value(b"\x00value\xff".to_vec()));
    other.forget(Described::Event(event(1))).await.unwrap();
    assert!(matches!(one.find(what).await.unwrap(), Found::Read { .. }));
}

async fn what_was_read_before_a_change_is_not_kept_after_it(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    let hall = Described::Hall(Uuid::from_u128(7));
    let what = CacheKey::from(hall);
    let Found::Read { turn: old } = one.find(what).await.unwrap() else { panic!("nothing is there") };
    other.forget(hall).await.unwrap();
    let Found::Read { turn: new } = other.find(what).await.unwrap() else { panic!("the old turn is over") };
    assert!(!one.keep(what, old, b"old", TIMEOUT).await.unwrap());
    assert!(other.keep(what, new, b"new", TIMEOUT).await.unwrap());
    assert_eq!(one.find(what).await.unwrap(), Found::Value(b"new".to_vec()));
}

async fn what_is_cached_ends(system: &impl System) {
    let node = system.node().await;
    for key in [Described::Venue(Uuid::from_u128(7)).into(), CacheKey::EventPage(7)] {
        ends(&node, key).await;
    }
}

async fn ends(node: &impl SharedCache, what: CacheKey) {
    let Found::Read { turn } = node.find(what).await.unwrap() else { panic!("nothing is there") };
    assert!(node.keep(what, turn, b"", Duration::from_millis(30)).await.unwrap());
    let since = Instant::now();
    // Nobody who is waited for for ever: a reader that says nothing loses its turn, too.
    loop {
        match node.find(what).await.unwrap() {
            Found::Value(value) => assert!(value.is_empty()),
            Found::Read { .. } if since.elapsed() < Duration::from_secs(1) => {}
            Found::Wait => {}
            Found::Read { .. } => break,
        }
        assert!(since.elapsed() < TIMEOUT);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn pages_of_events_are_forgotten_with_every_event_and_venue(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    let [first, second] = [CacheKey::EventPage(1), CacheKey::EventPage(u128::MAX)];
    let id = Uuid::from_u128(7);
    for change in [Described::Event(EventId(id)), Described::Venue(id)] {
        let Found::Read { turn } = one.find(first).await.unwrap() else { panic!("nothing is there") };
        assert_eq!(other.find(first).await.unwrap(), Found::Wait);
        let Found::Read { turn: late } = one.find(second).await.unwrap() else { panic!("another page") };
        assert!(!other.keep(first, late, b"x", TIMEOUT).await.unwrap(), "not its turn");
        assert!(one.keep(first, turn, b"\x00page\xff", TIMEOUT).await.unwrap());
        // Halls are in no list of events.
        other.forget(Described::Hall(id)).await.unwrap();
        assert_eq!(other.find(first).await.unwrap(), Found::Value(b"\x00page\xff".to_vec()));
        other.forget(change).await.unwrap();
        assert!(!one.keep(second, late, b"old", TIMEOUT).await.unwrap(), "it was read before the change");
        let Found::Read { turn } = other.find(first).await.unwrap() else { panic!("{change:?} is in lists") };
        assert!(other.keep(first, turn, b"new", TIMEOUT).await.unwrap());
        assert_eq!(one.find(first).await.unwrap(), Found::Value(b"new".to_vec()));
        system.wipe();
    }
}

async fn pages_of_events_are_bounded(system: &impl System) {
    let node = system.node().await;
    let key = |number: usize| CacheKey::EventPage(number as u128);
    let thing = CacheKey::from(Described::Event(event(1)));
    let read = async |key| {
        let Found::Read { turn } = node.find(key).await.unwrap() else { panic!("{key:?} is there") };
        assert!(node.keep(key, turn, b"x", TIMEOUT).await.unwrap());
    };
    read(thing).await;
    for number in 0..SHARED_EVENT_PAGES {
        read(key(number)).await;
    }
    assert_eq!(node.find(key(0)).await.unwrap(), Found::Value(b"x".to_vec()));
    // One more, and they begin again; what is no page stays.
    read(key(SHARED_EVENT_PAGES)).await;
    assert_eq!(node.find(key(SHARED_EVENT_PAGES)).await.unwrap(), Found::Value(b"x".to_vec()));
    assert!(matches!(node.find(key(0)).await.unwrap(), Found::Read { .. }));
    assert_eq!(node.find(thing).await.unwrap(), Found::Value(b"x".to_vec()));
}

/// Receives what a node receives.
fn listener(node: &impl Notifications) -> mpsc::UnboundedReceiver<Notification> {
    let (sender, receiver) = mpsc::unbounded_channel();
    node.listen(Arc::new(move |notification| {
        let _ = sender.send(notification);
    }));
    receiver
}

async fn receive(listener: &mut mpsc::UnboundedReceiver<Notification>) -> Notification {
    tokio::time::timeout(TIMEOUT, listener.recv()).await.expect("a notification in time").unwrap()
}

async fn notifications_reach_every_node(system: &impl System) {
    let (one, other) = (system.node().await, system.node().await);
    let mut listeners = [listener(&one), listener(&other)];
    let revocation = Revocation { access_id: Uuid::from_u128(7), until: Timestamp(1_780_000_000_000_001) };
    let change = Described::Event(event(1));
    // Until both listen, who knows.
    for listener in &mut listeners {
        let since = Instant::now();
        loop {
            one.forget(Described::Hall(Uuid::nil())).await.unwrap();
            if tokio::time::timeout(Duration::from_millis(20), listener.recv()).await.is_ok() {
                break;
            }
            assert!(since.elapsed() < TIMEOUT);
        }
    }
    one.notify_revoked(&[revocation]).await.unwrap();
    other.forget(change).await.unwrap();
    for listener in &mut listeners {
        let mut received = Vec::new();
        while received.len() < 2 {
            let notification = receive(listener).await;
            if notification != Notification::Missed
                && notification != Notification::Changed(Described::Hall(Uuid::nil()))
            {
                received.push(notification);
            }
        }
        assert_eq!(received, [Notification::Revoked(revocation), Notification::Changed(change)]);
    }
}

/// A copy of an event with a line, a shopper and a hold.
pub fn copy(number: u128, whole: bool) -> SaleCopy {
    let hold = HeldSeats { buyer: buyer(3), seats: vec!["A-1".into(), "A-2".into()], expires_at: Timestamp(7_000_000) };
    SaleCopy {
        event: event(number),
        whole,
        retired: false,
        claims: true,
        seq: Seq(10),
        counts: SeatCounts { total: 20, available: 18, held: 2, sold: 0, blocked: 0 },
        waiting: 2,
        active: 1,
        admitted_total: 1,
        places: vec![
            (buyer(1), Standing::Waiting(Ordinal(4))),
            (buyer(2), Standing::Waiting(Ordinal(3))),
            (buyer(3), Standing::Active(Slot(1), Timestamp(9_000_000))),
        ],
        holds: vec![(ReservationId(Uuid::from_u128(0x4e)), Some(hold))],
    }
}

/// Whether somebody is free for another event, seen through the claims.
async fn is_free(node: &impl SharedClaims, number: u128) -> bool {
    let probe = event(0xffff);
    let free = node.claim(buyer(number), probe, None).await.unwrap() == probe;
    node.release(buyer(number), probe).await.unwrap();
    free
}

async fn copies_are_written_whole_once_and_then_what_changes(system: &impl System) {
    let node = system.node().await;
    assert!(!node.are_intact().await.unwrap(), "nothing was there at first");
    assert!(node.are_intact().await.unwrap());
    assert_eq!(node.write(&[copy(1, true), copy(2, true)]).await.unwrap(), []);
    assert!(!is_free(&node, 1).await);
    let mut change = copy(1, false);
    change.places = vec![(buyer(1), Standing::Gone), (buyer(2), Standing::Active(Slot(2), Timestamp(9)))];
    change.holds = vec![(ReservationId(Uuid::from_u128(0x4e)), None)];
    assert_eq!(node.write(&[change]).await.unwrap(), []);
    // Its place in the second event is what the first wrote last; gone here, it is free only if it was ours.
    assert!(!is_free(&node, 2).await);
    let mut over = copy(2, false);
    over.places = vec![(buyer(1), Standing::Gone)];
    node.write(&[over]).await.unwrap();
    assert!(is_free(&node, 1).await);
    let retired = SaleCopy { retired: true, ..copy(1, true) };
    assert_eq!(node.write(&[retired]).await.unwrap(), []);
    assert_eq!(node.write(&[copy(1, false)]).await.unwrap(), [event(1)], "nothing is kept of what was retired");
}

async fn a_lost_copy_is_asked_for_whole(system: &impl System) {
    let node = system.node().await;
    assert_eq!(node.write(&[copy(1, false)]).await.unwrap(), [event(1)]);
    assert_eq!(node.write(&[copy(1, true)]).await.unwrap(), []);
    assert_eq!(node.write(&[copy(1, false)]).await.unwrap(), []);
    node.are_intact().await.unwrap();
    system.wipe();
    assert!(!node.are_intact().await.unwrap());
    assert_eq!(node.write(&[copy(1, false)]).await.unwrap(), [event(1)]);
}

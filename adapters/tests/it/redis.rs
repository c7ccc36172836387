//! What only a real Redis can show: the algorithm against a naive one, what lies under which key and for how long, and
//! servers that are gone, paused, restarted, spoken to over TLS, or strict about who may do what.

use crate::shared::{TIMEOUT, buyer, connect, copy, event, settings};
use onsale_adapters::private_redis::RedisServer;
use onsale_adapters::redis::{Redis, RedisSettings, check_url};
use onsale_engine::ports::shared::{
    CacheKey, Copies, Described, Found, Notification, Notifications, Quota, SharedCache, SharedClaims, SharedLimits,
    Standing,
};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

fn quota(requests: u32, window: Duration) -> Quota {
    Quota { requests: requests.try_into().unwrap(), window }
}

#[tokio::test]
async fn limits_decide_as_a_bucket_of_tokens_does_by_the_servers_clock() {
    let server = RedisServer::start();
    let redis = connect(settings(&server.url())).await;
    let mut random = StdRng::seed_from_u64(7);
    for (number, quota) in
        [quota(1, Duration::from_millis(5)), quota(7, Duration::from_millis(40)), quota(50, Duration::from_millis(900))]
            .into_iter()
            .enumerate()
    {
        let (full, per_micro) =
            (f64::from(quota.requests.get()), f64::from(quota.requests.get()) / quota.window.as_micros() as f64);
        let (mut tokens, mut at, mut allowed, mut refused) = (full, None, 0, 0);
        for step in 0..400 {
            let (wait, now) = redis.spend_at(&format!("test:{number}"), quota).await.unwrap();
            let passed = now - at.replace(now).unwrap_or(now);
            tokens = (tokens + passed as f64 * per_micro).min(full);
            // The script rounds to a microsecond.
            let rounding = 2.0 * per_micro * f64::from(step + 1);
            if (tokens - 1.0).abs() > rounding {
                assert_eq!(wait == 0, tokens >= 1.0, "{quota:?}, step {step}: {tokens} tokens, wait {wait}");
            }
            if wait == 0 {
                tokens -= 1.0;
                allowed += 1;
            } else {
                let until = (1.0 - tokens) / per_micro;
                assert!(
                    (wait as f64 - until).abs() <= 3.0 + rounding / per_micro,
                    "{quota:?}: answered {wait}, is {until}"
                );
                refused += 1;
            }
            if random.random_ratio(1, 8) {
                tokio::time::sleep(Duration::from_millis(random.random_range(0..4))).await;
            }
        }
        assert!(allowed > 0 && refused > 0, "{quota:?}: {allowed} allowed, {refused} refused");
    }
}

#[tokio::test]
async fn every_key_is_ours_and_ends_by_itself() {
    let server = RedisServer::start();
    let redis = connect(settings(&server.url())).await;
    redis.are_intact().await.unwrap();
    redis.write(&[copy(1, true)]).await.unwrap();
    redis.claim(buyer(9), event(1), None).await.unwrap();
    redis.spend("hold:x", quota(2, Duration::from_secs(60))).await.unwrap();
    let what = CacheKey::from(Described::Event(event(1)));
    redis.find(Described::Hall(Uuid::nil()).into()).await.unwrap();
    let Found::Read { turn } = redis.find(what).await.unwrap() else { panic!("nothing is there") };
    redis.keep(what, turn, b"{}", Duration::from_secs(300)).await.unwrap();
    redis.find(CacheKey::EventPage(1)).await.unwrap();
    let Found::Read { turn } = redis.find(CacheKey::EventPage(2)).await.unwrap() else { panic!("nothing is there") };
    redis.keep(CacheKey::EventPage(2), turn, b"{}", Duration::from_secs(300)).await.unwrap();
    let keys = server.keys();
    let kinds: std::collections::BTreeSet<&str> = keys.iter().filter_map(|key| key.split(':').nth(1)).collect();
    let expected = ["active", "cache", "claim", "counts", "holds", "limit", "node", "queue"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected, "docs/redis.md names these");
    for key in &keys {
        assert!(key.starts_with("onsale:"), "{key}");
        let lives: i64 = server.command(&format!("TTL {key}")).trim_start_matches(':').trim().parse().unwrap();
        assert!((0..=3600).contains(&lives), "{key} lives {lives} s");
    }
}

#[tokio::test]
async fn a_copy_says_what_its_readers_need() {
    let server = RedisServer::start();
    let redis = connect(settings(&server.url())).await;
    redis.write(&[copy(1, true)]).await.unwrap();
    let id = event(1);
    let line = server.bulks(&format!("ZRANGE onsale:queue:{id} 0 -1 WITHSCORES"));
    assert_eq!(line, [&buyer(2).to_string(), "3", &buyer(1).to_string(), "4"]);
    let active = server.bulks(&format!("HGETALL onsale:active:{id}"));
    assert_eq!(active, [&buyer(3).to_string(), r#"{"expiresAt":"1970-01-01T00:00:09Z","slot":1}"#]);
    let holds = server.bulks(&format!("HVALS onsale:holds:{id}"));
    let held = format!(r#"{{"buyerId":"{}","expiresAt":"1970-01-01T00:00:07Z","seatIds":["A-1","A-2"]}}"#, buyer(3));
    assert_eq!(holds, [held]);
    let counts =
        server.bulks(&format!("HMGET onsale:counts:{id} total available held sold blocked waiting active version"));
    assert_eq!(counts, ["20", "18", "2", "0", "0", "2", "1", "10"]);

    let mut change = copy(1, false);
    change.places = vec![(buyer(2), Standing::Gone), (buyer(3), Standing::Gone)];
    change.holds = Vec::new();
    redis.write(&[change]).await.unwrap();
    assert_eq!(server.bulks(&format!("ZRANGE onsale:queue:{id} 0 -1")), [buyer(1).to_string()]);
    assert_eq!(server.command(&format!("EXISTS onsale:active:{id}")), ":0\r\n");
    // Written whole again, nothing of what was there is left.
    let mut whole = copy(1, true);
    (whole.places, whole.holds) = (vec![(buyer(2), Standing::Waiting(onsale_engine::id::Ordinal(9)))], Vec::new());
    redis.write(&[whole]).await.unwrap();
    assert_eq!(server.bulks(&format!("ZRANGE onsale:queue:{id} 0 -1")), [buyer(2).to_string()]);
    let left: Vec<String> = server.keys().into_iter().filter(|key| !key.contains(":claim:")).collect();
    assert_eq!(left, [format!("onsale:counts:{id}"), format!("onsale:queue:{id}")]);
}

#[tokio::test]
async fn a_big_line_is_copied_whole() {
    let server = RedisServer::start();
    let redis = connect(settings(&server.url())).await;
    let mut big = copy(1, true);
    big.places = (0..5000).map(|n| (buyer(n), Standing::Waiting(onsale_engine::id::Ordinal(n as u64)))).collect();
    redis.write(&[big]).await.unwrap();
    assert_eq!(server.command(&format!("ZCARD onsale:queue:{}", event(1))), ":5000\r\n");
    assert_eq!(server.command(&format!("ZSCORE onsale:queue:{} {}", event(1), buyer(4321))), "$4\r\n4321\r\n");
}

/// Tight, as a server has them.
fn tight(server: &RedisServer) -> RedisSettings {
    let (timeout, connect_timeout) = (Duration::from_millis(300), Duration::from_millis(300));
    RedisSettings { timeout, connect_timeout, pipeline_timeout: Duration::from_secs(1), ..settings(&server.url()) }
}

async fn until(redis: &Redis, up: bool) {
    let since = Instant::now();
    while redis.health().up != up {
        assert!(since.elapsed() < TIMEOUT, "it does not become {up}: {:?}", redis.health());
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_server_that_is_gone_is_noticed_and_used_again_when_it_is_back() {
    let mut server = RedisServer::start();
    let redis = connect(tight(&server)).await;
    let (sender, mut listener) = tokio::sync::mpsc::unbounded_channel();
    redis.listen(std::sync::Arc::new(move |notification| {
        let _ = sender.send(notification);
    }));
    assert_eq!(listener.recv().await, Some(Notification::Missed));
    redis.claim(buyer(1), event(1), None).await.unwrap();
    redis.write(&[copy(1, true)]).await.unwrap();
    server.kill();
    let asked = Instant::now();
    redis.claim(buyer(1), event(2), None).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    until(&redis, false).await;
    // Nobody waits for what is known to be gone.
    let asked = Instant::now();
    for _ in 0..100 {
        redis.claim(buyer(1), event(2), None).await.unwrap_err();
        redis.write(&[copy(1, false)]).await.unwrap_err();
    }
    assert!(asked.elapsed() < Duration::from_millis(250), "{:?}", asked.elapsed());
    server.start_again();
    until(&redis, true).await;
    assert_eq!(redis.claim(buyer(1), event(2), None).await.unwrap(), event(2));
    assert_eq!(redis.write(&[copy(1, false)]).await.unwrap(), [event(1)]);
    assert!(!redis.are_intact().await.unwrap());
    assert!(redis.health().outages >= 1);
    // A subscriber is notified that it may have missed something, and receives again.
    assert_eq!(tokio::time::timeout(TIMEOUT, listener.recv()).await.unwrap(), Some(Notification::Missed));
    let since = Instant::now();
    loop {
        redis.forget(Described::Event(event(1))).await.unwrap();
        let notification = tokio::time::timeout(Duration::from_millis(50), listener.recv()).await;
        if notification == Ok(Some(Notification::Changed(Described::Event(event(1))))) {
            break;
        }
        assert!(since.elapsed() < TIMEOUT);
    }
}

#[tokio::test]
async fn a_server_that_is_paused_holds_nobody_up() {
    let mut server = RedisServer::start();
    let redis = connect(tight(&server)).await;
    redis.write(&[copy(1, true)]).await.unwrap();
    redis.are_intact().await.unwrap();
    server.pause();
    let asked = Instant::now();
    let callers = (0..50).map(|number| {
        let redis = redis.clone();
        tokio::spawn(async move { redis.spend(&format!("hold:{number}"), quota(1, TIMEOUT)).await.is_err() })
    });
    for caller in callers.collect::<Vec<_>>() {
        assert!(caller.await.unwrap(), "nobody answered");
    }
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    until(&redis, false).await;
    let asked = Instant::now();
    redis.spend("hold:x", quota(1, TIMEOUT)).await.unwrap_err();
    assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
    server.resume();
    until(&redis, true).await;
    redis.spend("hold:x", quota(1, TIMEOUT)).await.unwrap();
    assert!(redis.are_intact().await.unwrap(), "it has lost nothing");
}

#[tokio::test]
async fn a_restart_is_noticed_also_by_who_did_not_ask_meanwhile() {
    let dir = tempfile::tempdir().unwrap();
    let mut server = RedisServer::with(dir, &["--save", "3600 1", "--dbfilename", "kept.rdb"], None);
    let redis = connect(settings(&server.url())).await;
    redis.are_intact().await.unwrap();
    redis.write(&[copy(1, true)]).await.unwrap();
    assert!(redis.are_intact().await.unwrap());
    // It comes back with an old copy that still seems whole.
    server.command("SAVE");
    server.kill();
    server.start_again();
    let since = Instant::now();
    let intact = loop {
        match redis.are_intact().await {
            Ok(intact) => break intact,
            Err(_) => assert!(since.elapsed() < TIMEOUT),
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    assert_eq!(server.command(&format!("EXISTS onsale:counts:{}", event(1))), ":1\r\n");
    assert!(!intact, "what it kept may be old");
}

/// What the documentation has operators grant the server's user.
const ACL: &str = "on >a-long-password ~onsale:* &onsale:* +@read +@write +@connection +@pubsub +@scripting +@transaction -@dangerous +info +time";

#[tokio::test]
async fn a_user_of_an_acl_needs_no_more_than_is_documented() {
    let documented = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/redis.md")).unwrap();
    assert!(documented.contains(&ACL.replace(" >a-long-password", " >PASSWORD")), "docs/redis.md says otherwise");
    let server = RedisServer::start();
    assert_eq!(server.command(&format!("ACL SETUSER onsale {ACL}")), "+OK\r\n");
    let url = format!("{}?user=onsale&pass=a-long-password", server.url());
    let redis = connect(settings(&url)).await;
    redis.are_intact().await.unwrap();
    redis.write(&[copy(1, true)]).await.unwrap();
    assert_eq!(redis.write(&[copy(1, false)]).await.unwrap(), []);
    redis.claim(buyer(1), event(2), Some(event(1))).await.unwrap();
    redis.release(buyer(1), event(2)).await.unwrap();
    redis.spend("hold:x", quota(1, TIMEOUT)).await.unwrap();
    let Found::Read { turn } = redis.find(Described::Event(event(1)).into()).await.unwrap() else { panic!("empty") };
    redis.keep(Described::Event(event(1)).into(), turn, b"x", TIMEOUT).await.unwrap();
    redis.forget(Described::Event(event(1))).await.unwrap();
    let (sender, mut listener) = tokio::sync::mpsc::unbounded_channel();
    redis.listen(std::sync::Arc::new(move |notification| {
        let _ = sender.send(notification);
    }));
    assert_eq!(tokio::time::timeout(TIMEOUT, listener.recv()).await.unwrap(), Some(Notification::Missed));
    // Somebody with the wrong password gets nowhere.
    let wrong = Redis::open(settings(&format!("{}?user=onsale&pass=wrong", server.url()))).unwrap();
    assert!(!wrong.wait_until_up(Duration::from_millis(300)).await);
}

#[tokio::test]
async fn tls_is_spoken_and_the_certificate_checked() {
    let dir = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let certificate = file("cert.pem", &made.cert.pem());
    let key = file("key.pem", &made.signing_key.serialize_pem());
    let stranger = file("other.pem", &other.cert.pem());
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (port_text, certificate_text) = (port.to_string(), certificate.to_str().unwrap().to_owned());
    let arguments = [
        "--tls-port",
        &port_text,
        "--tls-cert-file",
        &certificate_text,
        "--tls-key-file",
        key.to_str().unwrap(),
        "--tls-ca-cert-file",
        &certificate_text,
        "--tls-auth-clients",
        "no",
    ];
    let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let server = RedisServer::with(dir, &arguments, Some(port));
    let url = format!("rediss://localhost:{port}");
    let redis = connect(RedisSettings { ca_file: Some(certificate), ..settings(&url) }).await;
    redis.spend("hold:x", quota(1, TIMEOUT)).await.unwrap();
    redis.write(&[copy(1, true)]).await.unwrap();
    assert!(server.keys().contains(&"onsale:limit:hold:x".to_owned()));
    // Neither a stranger's certificate nor the system's authorities vouch for it.
    for ca_file in [Some(stranger), None] {
        let redis = Redis::open(RedisSettings { ca_file, ..settings(&url) }).unwrap();
        assert!(!redis.wait_until_up(Duration::from_millis(300)).await);
    }
}

#[test]
fn a_url_that_cannot_be_read_is_reported_without_its_password() {
    for good in ["redis://localhost", "rediss://user:pass@host:6380/1", "redis+unix:///run/redis.sock?db=1"] {
        check_url(good).unwrap();
    }
    for bad in ["redis://user:secret@host:port", "http://secret", "rediss://user:secret@host/x"] {
        let error = check_url(bad).unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }
}

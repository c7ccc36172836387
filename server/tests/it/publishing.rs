//! What a server publishes of itself: metrics in three forms, from one catalogue, and the two logs.

use crate::harness::Server;
use crate::shop::Shop;
use onsale_server::metrics::catalogue::{CLOUDWATCH, FREE_METRICS, PROMETHEUS};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::UdpSocket;
use std::path::Path;

/// What was sent, by its sender.
#[derive(Debug, Default, PartialEq)]
struct Sent {
    requests: u64,
    failed: u64,
    holds: (u64, u64),
    payments: (u64, u64),
    entered: u64,
}

/// One of everything that is counted.
async fn small_load(shop: &Shop) -> Sent {
    let event = shop.small_event(&json!({})).await;
    let waiting = json!({ "admission": { "required": true }, "saleStartsAt": crate::shop::in_days(1) });
    let later = shop.small_event(&waiting).await;
    // Venue, hall, event, twice.
    let mut sent = Sent { requests: 6, ..Sent::default() };
    for _ in 0..3 {
        let enter = json!({ "eventId": later });
        shop.post("/queue/enter").by(&shop.buyer()).json(&enter).send().await.expect(200);
    }
    (sent.entered, sent.requests) = (3, sent.requests + 3);
    let buyer = shop.buyer();
    let held = shop.hold(&event, &buyer, &["A-1"]).await.expect(201);
    shop.hold(&event, &shop.buyer(), &["A-1"]).await.refused(409, "SEAT_UNAVAILABLE");
    (sent.holds, sent.requests) = ((1, 1), sent.requests + 2);
    let payment = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_decline").await.refused(402, "PAYMENT_DECLINED");
    let payment = shop.pay(&buyer, &held).await.expect(201);
    shop.confirm(&buyer, &payment, "sim_ok").await.expect(200);
    (sent.payments, sent.requests) = ((1, 1), sent.requests + 4);
    for _ in 0..4 {
        shop.get(&format!("/events/{event}")).send().await.expect(200);
        sent.requests += 1;
    }
    sent
}

#[tokio::test]
async fn prometheus_is_sent_what_the_catalogue_has_and_nothing_else() {
    let server = Server::start().await;
    small_load(&server.shop()).await;
    let actual = server.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let types = actual.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let actual: BTreeSet<&str> = types.collect();
    let catalogue: Vec<String> =
        PROMETHEUS.iter().map(|family| format!("{} {}", family.name, family.kind.word())).collect();
    assert_eq!(actual, catalogue.iter().map(String::as_str).collect());
    server.stop().await;
}

/// Sum and number of samples of every metric in embedded-metric lines, and every name with its dimensions.
fn embedded(log: &str) -> (BTreeMap<String, (f64, u64)>, BTreeSet<String>) {
    let (mut sums, mut names) = (BTreeMap::new(), BTreeSet::new());
    for line in log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        for directive in line["_aws"]["CloudWatchMetrics"].as_array().into_iter().flatten() {
            assert_eq!(directive["Namespace"], "Onsale");
            for metric in directive["Metrics"].as_array().unwrap() {
                let name = metric["Name"].as_str().unwrap();
                for dimensions in directive["Dimensions"].as_array().unwrap() {
                    let values = dimensions.as_array().unwrap().iter().map(|name| &line[name.as_str().unwrap()]);
                    names.insert(format!("{name} {:?}", values.collect::<Vec<_>>()));
                }
                let (sum, samples): &mut (f64, u64) = sums.entry(name.to_owned()).or_default();
                match line[name].as_f64() {
                    Some(value) => (*sum, *samples) = (*sum + value, *samples + 1),
                    None => {
                        let (values, counts) = (&line[name]["Values"], &line[name]["Counts"]);
                        for (value, count) in values.as_array().unwrap().iter().zip(counts.as_array().unwrap()) {
                            let count = count.as_u64().unwrap();
                            (*sum, *samples) = (*sum + value.as_f64().unwrap() * count as f64, *samples + count);
                        }
                    }
                }
            }
        }
    }
    (sums, names)
}

#[tokio::test]
async fn embedded_metrics_are_ten_at_most_and_count_what_was_sent() {
    let setup = Server::with().key("METRICS__CLOUDWATCH", "emf").key("METRICS__INTERVAL_S", "1");
    let mut server = setup.start().await;
    let sent = small_load(&server.shop()).await;
    server.status("/health/live");
    server.terminate();
    assert!(server.ended().await.success());
    let (sums, names) = embedded(&server.log());
    assert_eq!(names.len(), FREE_METRICS, "{names:?}");
    assert_eq!(sums.keys().map(String::as_str).collect::<BTreeSet<_>>(), CLOUDWATCH.iter().map(|m| m.name).collect());
    assert_eq!(sums["ResponseTime"].1, sent.requests, "probes are not counted");
    assert_eq!(sums["ErrorRate"], (0.0, sent.requests));
    assert_eq!(sums["WaitingRoomTime"].1, sent.entered);
    assert_eq!(sums["HoldSuccess"], (sent.holds.0 as f64, sent.holds.0 + sent.holds.1));
    assert_eq!(sums["PaymentSuccess"], (sent.payments.0 as f64, sent.payments.0 + sent.payments.1));
    assert!(sums["PeopleWaiting"].0 >= sent.entered as f64);
    assert!(sums["DatabaseConnections"].0 >= 5.0, "{sums:?}");
}

#[tokio::test]
async fn statsd_datagrams_count_the_same() {
    let listener = UdpSocket::bind("127.0.0.1:0").unwrap();
    listener.set_read_timeout(Some(crate::shop::TIMEOUT)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let setup = Server::with().key("METRICS__CLOUDWATCH", "statsd").key("METRICS__INTERVAL_S", "1");
    let mut server = setup.key("METRICS__STATSD_ADDRESS", &address).key("METRICS__SERVICE", "other").start().await;
    let sent = small_load(&server.shop()).await;
    server.terminate();
    assert!(server.ended().await.success());
    listener.set_nonblocking(true).unwrap();
    let (mut counts, mut buffer): (BTreeMap<String, f64>, _) = (BTreeMap::new(), [0; 2048]);
    while let Ok(bytes) = listener.recv(&mut buffer) {
        for line in std::str::from_utf8(&buffer[..bytes]).unwrap().lines() {
            let (name, rest) = line.split_once(':').unwrap();
            assert!(rest.ends_with("|#Service:other"), "{line}");
            let rate =
                rest.split('|').find_map(|part| part.strip_prefix('@')).map_or(1.0, |rate| rate.parse().unwrap());
            *counts.entry(name.to_owned()).or_default() += 1.0 / rate;
        }
    }
    assert_eq!(counts["ResponseTime"].round() as u64, sent.requests, "{counts:?}");
    assert_eq!(counts["PaymentSuccess"].round() as u64, 2);
    assert!(counts.len() <= FREE_METRICS);
}

fn file(directory: &Path, name: &str) -> String {
    let files = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let named = files.filter(|path| path.file_name().unwrap().to_string_lossy().starts_with(name));
    named.map(|path| std::fs::read_to_string(path).unwrap()).collect()
}

#[tokio::test]
async fn there_are_two_logs_and_neither_says_who_somebody_is() {
    let logs = tempfile::tempdir().unwrap();
    let setup = Server::with().key("LOG__DIRECTORY", logs.path().to_str().unwrap()).key("METRICS__CLOUDWATCH", "emf");
    let mut server = setup.key("LOG__ACCESS_ONE_IN", "1").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let body = json!({ "email": "private@example.org", "password": "very private", "name": "Private Person" });
    shop.post("/auth/signup").json(&body).send().await.expect(201);
    let bought = shop.buy(&event, &shop.buyer(), &["A-1"]).await;
    shop.get(&format!("/events/{event}?q=private-search")).header("x-request-id", "a-read").send().await.expect(200);
    server.terminate();
    assert!(server.ended().await.success());
    let (all, important) = (file(logs.path(), "all."), file(logs.path(), "important."));
    let parsed: Vec<Value> = all.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |path: &str| {
        let found = parsed.iter().find(|line| line["path"] == path && line["method"] != "DELETE");
        found.unwrap_or_else(|| panic!("no line of {path} in\n{all}"))
    };
    let hold = of("/api/v1/reservations/hold");
    assert_eq!((&hold["event_id"], &hold["status"]), (&json!(event), &json!(201)));
    assert!(hold["request_id"].is_string() && hold["trace_id"].is_string() && hold["buyer_id"].is_string());
    assert_eq!(of("/api/v1/payments/confirm")["event_id"], event);
    assert_eq!(of("/api/v1/events/{id}")["request_id"], "a-read");
    assert!(all.contains("\"_aws\""));
    // What administrators did, the start and the end; no buyer's requests.
    assert!(important.contains("/api/v1/venues") && important.contains("\"ready\"") && important.contains("stopped"));
    assert!(!important.contains("/reservations/hold") && important.len() < all.len());
    let messages = |log: &str| {
        let lines = log.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| (line["message"].clone(), line["path"].clone())).collect::<Vec<_>>()
    };
    assert_eq!(messages(&important), messages(&server.log()), "standard error has the important ones too");
    let secret = [bought["ticketNumber"].as_str().unwrap(), "private@example", "very private", "Private Person"];
    for word in secret.into_iter().chain(["private-search", "127.0.0.1:5"]) {
        assert!(!all.contains(word) && !important.contains(word), "{word} is in a log");
    }
}

#[tokio::test]
async fn of_reads_one_buyers_in_so_many_are_logged_and_all_changes() {
    let server = Server::with().key("LOG__ACCESS_ONE_IN", "8").start().await;
    let shop = server.shop();
    let event = shop.small_event(&json!({})).await;
    let seats = ["A-1", "A-2", "A-3", "A-4", "A-5", "A-6", "A-7", "A-8", "A-9", "A-10", "B-1", "B-2"];
    for seat in seats {
        let buyer = shop.buyer();
        shop.hold(&event, &buyer, &[seat]).await.expect(201);
        for _ in 0..5 {
            shop.get("/reservations").by(&buyer).send().await.expect(200);
        }
    }
    // Logged after all that was read before.
    shop.hold(&event, &shop.buyer(), &["B-3"]).await.expect(201);
    let lines = |log: &str, method: &str| {
        let path = if method == "POST" { "/reservations/hold\"" } else { "/reservations\"" };
        log.lines().filter(|line| line.contains(path) && line.contains(method)).map(str::to_owned).collect::<Vec<_>>()
    };
    let log = server.log_when(|log| lines(log, "POST").len() == seats.len() + 1).await;
    let reads = lines(&log, "GET");
    assert!(reads.len() % 5 == 0 && reads.len() < 12 * 5, "whole buyers, and not all of them: {}", reads.len());
    server.stop().await;
}

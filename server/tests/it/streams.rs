//! Event streams and the rights to them: how many a buyer may have open, and what ends them.

use crate::harness::{SECRET, Server};
use crate::shop::{Person, Stream};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The next event that is an end, whatever comes before.
async fn end(stream: &mut Stream) -> Value {
    loop {
        let event = stream.next().await.expect("a stream says why it ends").data;
        if event.get("code").is_some() {
            assert!(stream.next().await.is_none(), "nothing comes after the end");
            return event["code"].clone();
        }
    }
}

/// Somebody whose token lives so long.
fn short_lived(seconds: u64) -> Person {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let claims = json!({ "sub": Uuid::new_v4().to_string(), "role": "USER", "iat": now, "exp": now + seconds });
    let key = jsonwebtoken::EncodingKey::from_secret(SECRET.as_bytes());
    Person { token: jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap() }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_fifth_stream_of_a_buyer_ends_the_oldest_whatever_its_kind_and_event() {
    let server = Server::start().await;
    let shop = server.shop();
    let queued = shop.small_event(&json!({ "admission": { "required": true } })).await;
    let open = shop.small_event(&json!({})).await;
    let (buyer, other) = (shop.buyer(), shop.buyer());
    for person in [&buyer, &other] {
        shop.post("/queue/enter").by(person).json(&json!({ "eventId": queued })).send().await.expect(200);
    }
    let line = format!("/queue/stream?eventId={queued}");
    let seats = format!("/events/{open}/seats/stream");
    let mut foreign = shop.get(&line).by(&other).stream().await;
    let mut streams = Vec::new();
    for path in [&line, &seats, &seats, &line] {
        streams.push(shop.get(path).by(&buyer).stream().await);
    }
    let mut fifth = shop.get(&seats).by(&buyer).stream().await;
    assert_eq!(end(&mut streams[0]).await, "REPLACED");
    // The others go on: what happens is sent to all of them.
    shop.hold(&open, &shop.buyer(), &["A-1"]).await.expect(201);
    let (before, after) = streams.split_at_mut(2);
    for stream in [&mut before[1], &mut after[0], &mut fifth] {
        let mut changes = json!([]);
        while changes[0]["seatId"] != "A-1" {
            changes = stream.next().await.unwrap().data["changes"].clone();
        }
    }
    let mut sixth = shop.get(&line).by(&buyer).stream().await;
    assert_eq!(end(&mut streams[1]).await, "REPLACED", "a seat stream makes room for one of a line");
    assert!(foreign.next().await.is_some(), "others have their own");
    assert!(sixth.next().await.is_some());
    // One that was closed makes room, too.
    drop(streams.remove(2));
    let metrics = server.raw("GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    assert!(metrics.contains("onsale_streams_ended_total{code=\"REPLACED\"} 2\n"), "{metrics}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_with_the_token_and_the_slot_at_the_next_heartbeat() {
    let server = Server::start().await;
    let shop = server.shop();
    let queued =
        shop.small_event(&json!({ "admission": { "required": true, "activeLimit": 1, "ratePerSecond": 100 } })).await;
    let open = shop.small_event(&json!({})).await;
    let enters = async |person: &Person| {
        shop.post("/queue/enter").by(person).json(&json!({ "eventId": queued })).send().await.expect(200);
    };
    let line = format!("/queue/stream?eventId={queued}");
    let seats = format!("/events/{open}/seats/stream");

    // Somebody with a slot watches the seats, and gives the slot up.
    let shopping = shop.buyer();
    let slot = shop.admitted(&queued, &shopping).await;
    let watched = format!("/events/{queued}/seats/stream");
    let mut slotted = shop.get(&watched).by(&shopping).admitted(&slot).stream().await;
    let (expiring, leaving, staying) = (short_lived(4), shop.buyer(), shop.buyer());
    for person in [&expiring, &leaving, &staying] {
        enters(person).await;
    }
    let mut ending: Vec<(Stream, &str)> = Vec::new();
    for path in [&line, &seats] {
        ending.push((shop.get(path).by(&expiring).stream().await, "TOKEN_ENDED"));
        ending.push((shop.get(path).by(&leaving).stream().await, "TOKEN_ENDED"));
    }
    let mut kept = [shop.get(&line).by(&staying).stream().await, shop.get(&seats).by(&staying).stream().await];
    let began = Instant::now();
    shop.post("/auth/logout").by(&leaving).send().await.expect(204);
    shop.delete(&format!("/queue/leave?eventId={queued}")).by(&shopping).send().await.expect(204);
    // Seats change all the time: a stream that is never silent has no comments, and is checked all the same.
    let busy = tokio::spawn({
        let (shop, open) = (shop.clone(), open.clone());
        async move {
            loop {
                let buyer = shop.buyer();
                let held = shop.hold(&open, &buyer, &["A-1"]).await.json();
                let hold = format!("/reservations/hold/{}", held["reservationId"].as_str().unwrap_or(""));
                tokio::time::sleep(Duration::from_millis(300)).await;
                shop.delete(&hold).by(&buyer).send().await;
            }
        }
    });
    for (stream, code) in &mut ending {
        assert_eq!(end(stream).await, *code);
    }
    assert_eq!(end(&mut slotted).await, "SLOT_ENDED");
    assert!(began.elapsed() < Duration::from_secs(25), "ended after {:?}", began.elapsed());
    busy.abort();
    for stream in &mut kept {
        assert!(stream.next().await.unwrap().data.get("code").is_none(), "rights that go on end nothing");
    }
    server.stop().await;
}

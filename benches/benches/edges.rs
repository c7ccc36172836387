//! What a request costs at its edges, without a socket: bearer tokens (known and new), queue tokens, the body of a hold
//! read and a reservation written. Fixed inputs; every workload asserts its outcome.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, reason = "a bench that goes wrong should stop")]

use criterion::{Criterion, criterion_group, criterion_main};
use onsale_benches::process::JWT_SECRET;
use onsale_benches::scene::{Hall, buyer};
use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{EventId, ReservationId, SeatIndex, Slot};
use onsale_engine::money::Amount;
use onsale_engine::ports::accounts::Role;
use onsale_engine::sale::{ReservationStatus, ReservationView};
use onsale_engine::time::Timestamp;
use onsale_server::auth::{AccessTokens, Revoked, TokenSigner};
use onsale_server::reservations::{ReservationJson, Terms};
use serde::Deserialize;
use std::hint::black_box;
use std::time::Duration;
use uuid::Uuid;

const NOW: Timestamp = Timestamp::from_secs(1_780_000_000);
const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
/// More tokens than are remembered, so that each is a new one when its turn comes.
const TOKENS: u64 = 300_000;

fn access_tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("access token");
    let tokens = AccessTokens::new(JWT_SECRET.as_bytes(), Revoked::default());
    let known = tokens.mint(buyer(7), Role::User, NOW).unwrap().token;
    group.bench_function("known", |bencher| {
        bencher.iter(|| {
            let caller = tokens.verify(black_box(&known), NOW).unwrap();
            assert_eq!(caller.buyer, buyer(7));
        });
    });
    let many: Vec<String> = (0..TOKENS).map(|n| tokens.mint(buyer(n), Role::User, NOW).unwrap().token).collect();
    group.bench_function("new", |bencher| {
        let mut n = 0;
        bencher.iter(|| {
            let caller = tokens.verify(black_box(&many[n as usize]), NOW).unwrap();
            assert_eq!(caller.buyer, buyer(n));
            n = (n + 1) % TOKENS;
        });
    });
    group.finish();
}

fn queue_tokens(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("queue token");
    let signer = TokenSigner::new(JWT_SECRET.as_bytes());
    let token = signer.queue_token(EVENT, buyer(7), Slot(9), NOW);
    group.bench_function("sealed", |bencher| {
        bencher.iter(|| assert_eq!(signer.queue_token(EVENT, black_box(buyer(7)), Slot(9), NOW).len(), token.len()));
    });
    group.bench_function("checked", |bencher| {
        bencher.iter(|| {
            let read = signer.read_queue_token(black_box(&token), EVENT, buyer(7));
            assert_eq!(read, Some((Slot(9), NOW)));
        });
    });
    group.finish();
}

#[derive(Deserialize)]
struct HoldBody<'a> {
    #[serde(borrow, rename = "eventId")]
    event_id: &'a str,
    #[serde(borrow, rename = "seatIds")]
    seat_ids: Vec<&'a str>,
}

fn json(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("json");
    let hall = Hall { id: String::new(), seats_per_row: 50, rows: 100 };
    let body = hall.hold_body(&EVENT.to_string(), 77);
    group.bench_function("a hold read as any value", |bencher| {
        bencher.iter(|| {
            let value: serde_json::Value = serde_json::from_slice(black_box(body.as_bytes())).unwrap();
            assert_eq!(value["seatIds"].as_array().map(Vec::len), Some(2));
        });
    });
    group.bench_function("a hold read in place, the floor", |bencher| {
        bencher.iter(|| {
            let hold: HoldBody<'_> = serde_json::from_slice(black_box(body.as_bytes())).unwrap();
            assert_eq!((hold.event_id.len(), hold.seat_ids.len()), (36, 2));
        });
    });
    let (plan, signer) = (small_plan(100, 50), TokenSigner::new(JWT_SECRET.as_bytes()));
    let terms = Terms::new(EVENT, &plan, &small_config(NOW));
    let view = ReservationView {
        id: ReservationId::new(EVENT, NOW.unix_millis(), 7),
        buyer: buyer(7),
        status: ReservationStatus::Pending,
        seats: [SeatIndex(10), SeatIndex(11)].into_iter().collect(),
        amount: Amount(300_000),
        hold_expires_at: NOW + Duration::from_secs(300),
        created_at: NOW,
        confirmed_at: None,
        ticket: None,
        refund: None,
    };
    let length = serde_json::to_vec(&ReservationJson::new(&view, &terms, &signer)).unwrap().len();
    group.bench_function("a reservation written", |bencher| {
        bencher.iter(|| {
            let mut out = Vec::with_capacity(512);
            serde_json::to_writer(&mut out, &ReservationJson::new(black_box(&view), &terms, &signer)).unwrap();
            assert_eq!(out.len(), length);
        });
    });
    group.finish();
}

fn config() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = edges; config = config(); targets = access_tokens, queue_tokens, json }
criterion_main!(edges);

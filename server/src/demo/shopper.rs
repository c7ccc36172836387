//! One of the crowd, from the waiting room to the ticket or home without one. Speaks HTTP only, and does what people do:
//! waits its turn, wants the front seats, takes what is offered instead, changes its mind, pays with a card that fails.

use super::stage::{Stage, text};
use super::tally::Tally;
use crate::client::{Answered, Call};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// How often a buyer tries to get seats before giving up.
const TRIES: usize = 6;
/// How often an unknown payment is asked about again.
const PAYMENT_TRIES: usize = 30;
/// The categories, the more wanted ones more often.
const CATEGORIES: [&str; 10] = ["VIP", "VIP", "R", "R", "R", "S", "S", "S", "A", "B"];

/// What a buyer will do, thrown beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ways {
    makes_an_account: bool,
    leaves_the_line: bool,
    wants_the_front: bool,
    changes_seats: bool,
    lets_go_once: bool,
    abandons_the_hold: bool,
    cancels: bool,
    card: Card,
}

/// How the card behaves.
#[derive(Clone, Copy, Debug)]
enum Card {
    Good,
    /// Declined first; then another card.
    Declined,
    /// The provider fails once.
    Flaky,
}

impl Ways {
    pub(super) fn throw(rng: &mut StdRng, makes_an_account: bool) -> Self {
        let mut chance = |percent: u32| rng.random_range(0..100) < percent;
        Self {
            makes_an_account,
            leaves_the_line: chance(3),
            wants_the_front: chance(35),
            changes_seats: chance(12),
            lets_go_once: chance(8),
            abandons_the_hold: chance(3),
            cancels: chance(6),
            card: match chance(10) {
                true => Card::Declined,
                false if chance(8) => Card::Flaky,
                false => Card::Good,
            },
        }
    }
}

pub(super) struct Shopper {
    stage: Arc<Stage>,
    tally: Arc<Tally>,
    rng: StdRng,
    ways: Ways,
    bearer: String,
    queue_token: String,
}

/// Seats that a buyer has.
struct Held {
    id: String,
    amount: i64,
    seats: u64,
}

impl Held {
    fn read(answer: &Answered) -> Option<Self> {
        let json = answer.json();
        let seats = json.get("seats")?.as_array()?.len() as u64;
        Some(Self { id: text(&json, "reservationId").to_owned(), amount: json.get("totalAmount")?.as_i64()?, seats })
    }
}

impl Shopper {
    pub(super) fn new(stage: Arc<Stage>, tally: Arc<Tally>, mut rng: StdRng, ways: Ways) -> Self {
        let buyer = uuid::Builder::from_random_bytes(rng.random()).into_uuid();
        let bearer = stage.mint(buyer);
        Self { stage, tally, rng, ways, bearer, queue_token: String::new() }
    }

    /// All of it; what came of it is counted.
    pub(super) async fn go(mut self) {
        if self.shop().await.is_none() {
            self.tally.without.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// `None` for a buyer who goes home without a ticket.
    async fn shop(&mut self) -> Option<()> {
        if self.ways.makes_an_account {
            self.make_an_account().await?;
        }
        self.wait_for_the_turn().await?;
        self.think(200..1500).await;
        let mut held = self.hold().await?;
        if self.ways.changes_seats {
            self.think(300..1500).await;
            held = self.change(held).await;
        }
        if self.ways.lets_go_once {
            self.send(Call::delete(format!("/api/v1/reservations/hold/{}", held.id))).await?;
            held = self.hold().await?;
        }
        self.think(500..3000).await;
        if self.ways.abandons_the_hold {
            return None;
        }
        self.pay(&held).await?;
        self.bought(&held);
        if self.ways.cancels {
            self.think(500..2000).await;
            self.cancel(&held).await;
        }
        Some(())
    }

    async fn send(&self, call: Call) -> Option<Answered> {
        let call = call.bearer(&self.bearer);
        let began = Instant::now();
        let answer = self.stage.client.send(&call).await;
        self.tally.count(began.elapsed(), &answer);
        answer.ok()
    }

    /// Like `send`, for what may be asked again: 503 and 504 are, with the same key.
    async fn send_surely(&mut self, call: Call) -> Option<Answered> {
        let call = call.key(Uuid::now_v7().to_string());
        for pause in [200, 400, 800, 1600] {
            match self.send(call.clone()).await {
                Some(answer) if !matches!(answer.status, 503 | 504) => return Some(answer),
                Some(_) | None => self.think(pause..2 * pause).await,
            }
        }
        self.send(call).await
    }

    async fn think(&mut self, millis: std::ops::Range<u64>) {
        tokio::time::sleep(Duration::from_millis(self.rng.random_range(millis))).await;
    }

    async fn make_an_account(&mut self) -> Option<()> {
        let email = format!("buyer-{:016x}@example.com", self.rng.random::<u64>());
        let password = format!("password {:016x}", self.rng.random::<u64>());
        let body = json!({ "email": email, "password": password, "name": "A buyer" });
        self.send(Call::post("/api/v1/auth/signup", &body)).await.filter(|answer| answer.status == 201)?;
        let body = json!({ "email": email, "password": password });
        let answer = self.send(Call::post("/api/v1/auth/login", &body)).await?;
        self.bearer = text(&answer.json(), "accessToken").to_owned();
        Some(())
    }

    /// Enters, and polls at the interval that it is sent, until it is let in.
    async fn wait_for_the_turn(&mut self) -> Option<()> {
        let event = self.stage.event.clone();
        let enter = Call::post("/api/v1/queue/enter", &json!({ "eventId": event }));
        let status = Call::get(format!("/api/v1/queue/status?eventId={event}"));
        let mut answer = self.send_surely(enter.clone()).await?;
        loop {
            let place = answer.json();
            match text(&place, "status") {
                "ACTIVE" => {
                    self.queue_token = text(&place, "token").to_owned();
                    return Some(());
                }
                "PRE_QUEUE" | "WAITING" if self.ways.leaves_the_line && self.stage.is_open() => {
                    self.send(Call::delete(format!("/api/v1/queue/leave?eventId={event}"))).await?;
                    return None;
                }
                "PRE_QUEUE" | "WAITING" => {
                    let seconds = place.get("pollAfterSeconds").and_then(Value::as_u64).unwrap_or(5);
                    // A little apart from each other, as real clients are.
                    self.think(seconds * 900..seconds * 1100 + 1).await;
                    answer = self.send(status.clone()).await?;
                }
                "EXPIRED" => answer = self.send(enter.clone()).await?,
                _ if matches!(answer.status, 503 | 504) => {
                    self.think(500..1500).await;
                    answer = self.send(enter.clone()).await?;
                }
                _ => return None,
            }
        }
    }

    /// Reads the seats, then takes some: in front, or the best of a category; or what is offered instead.
    async fn hold(&mut self) -> Option<Held> {
        let event = self.stage.event.clone();
        let live = Call::get(format!("/api/v1/reservations/seats/{event}")).queue_token(Some(&self.queue_token));
        self.send(live).await?;
        let mut body = if self.ways.wants_the_front {
            json!({ "eventId": event, "seatIds": self.front_seats() })
        } else {
            self.best_seats()
        };
        for _ in 0..TRIES {
            let call = Call::post("/api/v1/reservations/hold", &body).queue_token(Some(&self.queue_token));
            let answer = self.send_surely(call).await?;
            match (answer.status, answer.json().pointer("/alternative/seatIds")) {
                (201, _) => return Held::read(&answer),
                (409, Some(offered)) if self.rng.random_bool(0.6) => {
                    body = json!({ "eventId": event, "seatIds": offered });
                }
                (409, _) => body = self.best_seats(),
                _ => return None,
            }
            self.think(200..1200).await;
        }
        None
    }

    fn best_seats(&mut self) -> Value {
        let category = CATEGORIES[self.rng.random_range(0..CATEGORIES.len())];
        json!({ "eventId": self.stage.event, "category": category, "quantity": self.rng.random_range(1..=4) })
    }

    /// Some seats side by side where everybody wants to sit.
    fn front_seats(&mut self) -> Vec<String> {
        let many = self.rng.random_range(1..=3).min(self.stage.front.len());
        let first = self.rng.random_range(0..=self.stage.front.len() - many);
        self.stage.front[first..first + many].to_vec()
    }

    /// Other seats, if they are free; else it keeps its own.
    async fn change(&mut self, held: Held) -> Held {
        let body = json!({ "newSeatIds": self.front_seats() });
        let answer = self.send(Call::put(format!("/api/v1/reservations/hold/{}", held.id), &body)).await;
        answer.filter(|answer| answer.status == 200).and_then(|answer| Held::read(&answer)).unwrap_or(held)
    }

    async fn pay(&mut self, held: &Held) -> Option<()> {
        match self.ways.card {
            Card::Good => self.pay_with(held, "sim_ok").await,
            Card::Flaky => self.pay_with(held, "sim_flaky").await,
            Card::Declined => {
                if self.pay_with(held, "sim_decline").await.is_some() {
                    return Some(());
                }
                self.think(500..2000).await;
                self.pay_with(held, "sim_ok").await
            }
        }
    }

    async fn pay_with(&mut self, held: &Held, script: &str) -> Option<()> {
        let body = json!({ "reservationId": held.id, "amount": held.amount, "paymentMethod": "CARD" });
        let opened =
            self.send_surely(Call::post("/api/v1/payments", &body)).await.filter(|it| it.status == 201)?.json();
        let body = json!({
            "reservationId": held.id, "paymentId": opened["paymentId"], "paymentKey": opened["paymentKey"],
            "transactionId": format!("{script}_{:016x}", self.rng.random::<u64>()), "amount": held.amount,
        });
        for _ in 0..PAYMENT_TRIES {
            let answer = self.send_surely(Call::post("/api/v1/payments/confirm", &body)).await?;
            match answer.status {
                200 => return Some(()),
                202 => self.think(500..1000).await,
                _ => return None,
            }
        }
        None
    }

    fn bought(&self, held: &Held) {
        self.tally.bought.fetch_add(1, Ordering::Relaxed);
        self.tally.seats.fetch_add(held.seats, Ordering::Relaxed);
        self.tally.revenue.fetch_add(held.amount, Ordering::Relaxed);
    }

    /// A cancelled ticket counts no more.
    async fn cancel(&mut self, held: &Held) {
        let answer = self.send(Call::delete(format!("/api/v1/reservations/{}", held.id))).await;
        if answer.is_some_and(|answer| answer.status == 200) {
            self.tally.bought.fetch_sub(1, Ordering::Relaxed);
            self.tally.cancelled.fetch_add(1, Ordering::Relaxed);
            self.tally.seats.fetch_sub(held.seats, Ordering::Relaxed);
            self.tally.revenue.fetch_sub(held.amount, Ordering::Relaxed);
        }
    }
}

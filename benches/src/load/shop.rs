//! Buyers who buy: they fight for the same few seats, or pay with cards that fail, or go the whole way from the line to
//! the ticket. Each is a task while it shops. No seat and no ticket may be had by two.

use super::error::LoadError;
use super::field::{Answer, Field, TICK};
use super::findings::Findings;
use super::levels::Level;
use super::order::{Faults, Joined, Order};
use super::place::{Place, Stand};
use super::settings::Scenario;
use super::tally::Call;
use super::venue::{EventRequest, Rules, prepare};
use super::wire::{Ask, Got};
use http::{HeaderValue, Method};
use rand::rngs::StdRng;
use rand::seq::IteratorRandom;
use rand::{Rng, SeedableRng};
use serde::Deserialize;
use serde_json::{Value, json};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

/// Seats that the crowd of `seats` fights for.
const FEW_SEATS: u64 = 200;
/// Seats that one buyer wants at once.
const SEATS_AT_ONCE: usize = 2;
/// How often a buyer tries to get seats, and how often a payment is asked about.
const TRIES: usize = 4;
const PAYMENT_TRIES: usize = 30;
const SECOND: u64 = 1_000_000;
/// Refusals that are part of the game.
const TAKEN: [&str; 2] = ["SEAT_UNAVAILABLE", "SEAT_LIMIT_EXCEEDED"];
const DECLINED: [&str; 1] = ["PAYMENT_DECLINED"];

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Reservation {
    reservation_id: String,
    status: String,
    seats: Vec<Seat>,
    total_amount: i64,
    ticket_number: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Seat {
    seat_id: String,
}

struct Shop {
    field: Rc<Field>,
    rules: Rules,
    seats: Vec<String>,
    event: String,
    rng: RefCell<StdRng>,
    /// Who has which seat, as answered.
    owners: RefCell<HashMap<String, String>>,
    tickets: RefCell<HashSet<String>>,
    order: RefCell<Order>,
    faults: RefCell<Faults>,
    waiting: Cell<u64>,
    through: Cell<u64>,
    bought: Cell<u64>,
    without: Cell<u64>,
    seats_sold: Cell<u64>,
}

/// One buyer under way: the number, and the queue token.
struct Buyer {
    who: usize,
    bearer: HeaderValue,
    token: Option<HeaderValue>,
}

pub(super) async fn run(field: &Rc<Field>) -> Result<Findings, LoadError> {
    let (settings, buyers) = (&field.settings, field.settings.buyers);
    let (rules, _) = prepare(field, || match settings.scenario {
        Scenario::Purchase => EventRequest::queued(field, buyers * 2 + 100, EventRequest::open(0).opens),
        Scenario::Payments => EventRequest::open(buyers * 2 + 100),
        Scenario::Seats | Scenario::Queue | Scenario::Catalogue => EventRequest::open(FEW_SEATS),
    })
    .await?;
    let event = field.event.borrow().clone();
    let seats = seat_ids(field, &event).await?;
    let shop = Rc::new(Shop {
        field: Rc::clone(field),
        rules,
        seats,
        event,
        rng: RefCell::new(StdRng::seed_from_u64(settings.seed)),
        owners: RefCell::default(),
        tickets: RefCell::default(),
        order: RefCell::default(),
        faults: RefCell::default(),
        waiting: Cell::new(0),
        through: Cell::new(0),
        bought: Cell::new(0),
        without: Cell::new(0),
        seats_sold: Cell::new(0),
    });
    field.begin();
    let started = Rc::new(Cell::new(0));
    let each = |number, due| {
        let (shop, started) = (Rc::clone(&shop), Rc::clone(&started));
        started.set(started.get() + 1);
        async move { shop.comes(number as usize, due).await }
    };
    field.arrive(buyers, 0, settings.arrive, each).await;
    while shop.through.get() < started.get() && !field.stopped.get() {
        tokio::time::sleep(TICK).await;
    }
    field.settle(Duration::from_secs(5)).await;
    shop.findings().await
}

async fn seat_ids(field: &Field, event: &str) -> Result<Vec<String>, LoadError> {
    let failed = |why: String| LoadError::Target(format!("the seat map of {event}: {why}"));
    let map = field.wire.send(0, &field.get(&format!("/api/v1/events/{event}/seats"))).await;
    let map = map.map_err(|lost| failed(format!("{lost:?}")))?;
    field.beside.set(field.beside.get() + 1);
    let map: Value = serde_json::from_slice(&map.body).map_err(|error| failed(error.to_string()))?;
    let list = |value: &Value, name: &str| value.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let sections = list(&map["plan"], "sections");
    let rows = sections.iter().flat_map(|section| list(section, "rows"));
    let seats = rows.flat_map(|row| list(&row, "seats"));
    let ids: Vec<String> = seats.filter_map(|seat| Some(seat.get("id")?.as_str()?.to_owned())).collect();
    if ids.is_empty() { Err(failed("no seats".into())) } else { Ok(ids) }
}

impl Shop {
    async fn comes(&self, who: usize, due: u64) {
        let mut buyer = Buyer { who, bearer: self.field.bearer(who), token: None };
        let done = match self.field.settings.scenario {
            Scenario::Seats => self.fights(&buyer, due).await,
            Scenario::Payments => self.buys(&buyer, due).await,
            Scenario::Purchase | Scenario::Queue | Scenario::Catalogue => match self.waits(&mut buyer, due).await {
                Some(()) => self.buys(&buyer, self.field.now()).await,
                None => None,
            },
        };
        let count = if done.is_some() { &self.bought } else { &self.without };
        count.set(count.get() + 1);
        self.through.set(self.through.get() + 1);
        self.show();
    }

    fn show(&self) {
        self.field.crowd.set((self.waiting.get(), self.order.borrow().admissions()));
    }

    fn chance(&self, percent: u32) -> bool {
        self.rng.borrow_mut().random_range(0..100) < percent
    }

    async fn send(&self, call: Call, buyer: &Buyer, due: u64, ask: Ask, game: &[&str]) -> Answer {
        let ask = ask.by(&buyer.bearer).with_token(buyer.token.as_ref());
        self.field.call(call, buyer.who, due, &ask, game).await
    }

    fn wrong(&self, what: impl FnOnce() -> String) {
        self.faults.borrow_mut().add(what);
    }

    /// Enters and polls until let in; `None` for a buyer who waits longer than any should.
    async fn waits(&self, buyer: &mut Buyer, due: u64) -> Option<()> {
        let (asked, until) = (self.field.now(), due + self.field.settings.lasts.as_micros() as u64);
        let enter = self.field.post("/api/v1/queue/enter", format!(r#"{{"eventId":"{}"}}"#, self.event));
        let Answer::Good(mut got) = self.send(Call::Enter, buyer, due, enter, &[]).await else { return None };
        let joined = Joined { asked, answered: self.field.now(), rank: None };
        self.waiting.set(self.waiting.get() + 1);
        let mut before = None;
        let mut known = self.order.borrow().known();
        let let_in = loop {
            let (stand, place) = match Place::read(&got.body) {
                Ok(read) => read,
                Err(why) => {
                    self.wrong(|| why);
                    break None;
                }
            };
            match stand {
                Stand::Active => match place.ends() {
                    Ok(ends) => {
                        self.order.borrow_mut().admitted(buyer.who as u32, joined, ends, true);
                        break HeaderValue::from_str(place.token.as_deref().unwrap_or_default()).ok();
                    }
                    Err(why) => {
                        self.wrong(|| why);
                        break None;
                    }
                },
                Stand::PreQueue | Stand::Waiting => {
                    self.order.borrow_mut().waits(buyer.who as u32, &joined, before, place.rank, known);
                    before = place.rank;
                }
                Stand::Expired => {
                    self.wrong(|| format!("buyer {} has polled in time and is EXPIRED", buyer.who));
                    break None;
                }
            }
            let pause = place.poll_after_seconds * SECOND;
            let next = self.field.now() + self.rng.borrow_mut().random_range(pause * 9 / 10..=pause * 11 / 10);
            if next > until || self.field.stopped.get() {
                break None;
            }
            self.show();
            tokio::time::sleep(Duration::from_micros(next.saturating_sub(self.field.now()))).await;
            known = self.order.borrow().known();
            let status = self.field.get(&format!("/api/v1/queue/status?eventId={}", self.event));
            match self.send(Call::Status, buyer, next, status, &[]).await {
                Answer::Good(answer) => got = answer,
                Answer::Refused | Answer::Failed => break None,
            }
        };
        self.waiting.set(self.waiting.get() - 1);
        buyer.token = let_in;
        buyer.token.is_some().then_some(())
    }

    /// Wants two of the few seats; some change their mind afterwards.
    async fn fights(&self, buyer: &Buyer, due: u64) -> Option<()> {
        let mut due = due;
        for _ in 0..TRIES {
            let body = json!({ "eventId": self.event, "seatIds": self.some_seats() }).to_string();
            let ask = self.field.post("/api/v1/reservations/hold", body);
            let answer = self.send(Call::Hold, buyer, due, ask, &TAKEN).await;
            due = self.field.now();
            let held = match answer {
                Answer::Good(got) => self.takes(&got)?,
                Answer::Refused => continue,
                Answer::Failed => return None,
            };
            if self.chance(20) {
                self.gives_back(&held);
                let ask = Ask::new(Method::DELETE, self.hold_uri(&held));
                self.send(Call::Release, buyer, due, ask, &[]).await;
                return None;
            }
            if self.chance(20) {
                self.gives_back(&held);
                let body = json!({ "newSeatIds": self.some_seats() }).to_string();
                let ask = Ask::new(Method::PUT, self.hold_uri(&held)).with_body(body);
                match self.send(Call::Change, buyer, due, ask, &TAKEN).await {
                    Answer::Good(got) => drop(self.takes(&got)?),
                    Answer::Refused => self.owns(&held),
                    Answer::Failed => return None,
                }
            }
            return Some(());
        }
        None
    }

    fn hold_uri(&self, held: &Reservation) -> http::Uri {
        self.field.uri(&format!("/api/v1/reservations/hold/{}", held.reservation_id))
    }

    fn some_seats(&self) -> Vec<&str> {
        let mut rng = self.rng.borrow_mut();
        self.seats.iter().map(String::as_str).choose_multiple(&mut *rng, SEATS_AT_ONCE)
    }

    /// Reads what was got, and that nobody else has it.
    fn takes(&self, got: &Got) -> Option<Reservation> {
        match serde_json::from_slice::<Reservation>(&got.body) {
            Ok(held) => {
                self.owns(&held);
                Some(held)
            }
            Err(error) => {
                self.wrong(|| format!("not a reservation: {error}"));
                None
            }
        }
    }

    fn owns(&self, held: &Reservation) {
        let mut owners = self.owners.borrow_mut();
        for seat in &held.seats {
            let before = owners.insert(seat.seat_id.clone(), held.reservation_id.clone());
            if let Some(other) = before.filter(|other| *other != held.reservation_id) {
                self.wrong(|| format!("seat {} is had by {other} and {}", seat.seat_id, held.reservation_id));
            }
        }
    }

    /// From the moment when it is asked for, anybody may have them.
    fn gives_back(&self, held: &Reservation) {
        let mut owners = self.owners.borrow_mut();
        held.seats.iter().for_each(|seat| drop(owners.remove(&seat.seat_id)));
    }

    /// Best seats of a category that has some, paid, and the ticket.
    async fn buys(&self, buyer: &Buyer, due: u64) -> Option<()> {
        let live = self.field.get(&format!("/api/v1/reservations/seats/{}", self.event));
        if let Answer::Failed = self.send(Call::Live, buyer, due, live, &[]).await {
            return None;
        }
        let mut held = None;
        for at in 0..TRIES.min(self.rules.prices.len().max(1) * 2) {
            let (category, _) = self.rules.prices.get((buyer.who + at) % self.rules.prices.len().max(1))?;
            let quantity = 1 + (buyer.who + at) % SEATS_AT_ONCE;
            let body = json!({ "eventId": self.event, "category": category, "quantity": quantity }).to_string();
            let mut ask = self.field.post("/api/v1/reservations/hold", body);
            ask.key = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()).ok();
            match self.send(Call::Hold, buyer, self.field.now(), ask, &TAKEN).await {
                Answer::Good(got) => {
                    held = Some(self.takes(&got)?);
                    break;
                }
                Answer::Refused => {}
                Answer::Failed => return None,
            }
        }
        let held = held?;
        let card = self.rng.borrow_mut().random_range(0..100);
        if card < 10 && self.pays(buyer, &held, "sim_decline").await.is_some() {
            self.wrong(|| format!("{} was paid with a card that is declined", held.reservation_id));
        }
        self.pays(buyer, &held, if card < 20 { "sim_flaky" } else { "sim_ok" }).await?;
        self.has_ticket(buyer, &held).await
    }

    async fn pays(&self, buyer: &Buyer, held: &Reservation, card: &str) -> Option<()> {
        let id = &held.reservation_id;
        let body = json!({ "reservationId": id, "amount": held.total_amount, "paymentMethod": "CARD" }).to_string();
        let ask = self.field.post("/api/v1/payments", body);
        let Answer::Good(opened) = self.send(Call::Pay, buyer, self.field.now(), ask, &[]).await else { return None };
        let opened: Value = serde_json::from_slice(&opened.body).ok()?;
        let transaction = format!("{card}_{:032x}", self.rng.borrow_mut().random::<u128>());
        let body = json!({
            "reservationId": id, "paymentId": opened["paymentId"], "paymentKey": opened["paymentKey"],
            "transactionId": transaction, "amount": held.total_amount,
        })
        .to_string();
        let confirm = self.field.post("/api/v1/payments/confirm", body);
        for _ in 0..PAYMENT_TRIES {
            match self.send(Call::Confirm, buyer, self.field.now(), confirm.clone(), &DECLINED).await {
                Answer::Good(got) if got.status == 200 => {
                    if self.chance(10) {
                        self.same_again(buyer, &confirm, &got).await;
                    }
                    return Some(());
                }
                Answer::Good(_) => tokio::time::sleep(Duration::from_millis(500)).await,
                Answer::Refused | Answer::Failed => return None,
            }
        }
        self.wrong(|| format!("the payment of {id} is not settled"));
        None
    }

    /// A confirmation that is repeated is answered alike, and charges nobody again.
    async fn same_again(&self, buyer: &Buyer, confirm: &Ask, first: &Got) {
        let answer = self.send(Call::Confirm, buyer, self.field.now(), confirm.clone(), &[]).await;
        if let Answer::Good(got) = answer
            && got.body != first.body
        {
            self.wrong(|| format!("a repeated confirmation of buyer {} is answered otherwise", buyer.who));
        }
    }

    async fn has_ticket(&self, buyer: &Buyer, held: &Reservation) -> Option<()> {
        let ask = self.field.get(&format!("/api/v1/reservations/{}", held.reservation_id));
        let Answer::Good(got) = self.send(Call::Ticket, buyer, self.field.now(), ask, &[]).await else { return None };
        let paid: Reservation = serde_json::from_slice(&got.body).ok()?;
        self.owns(&paid);
        let ticket = paid.ticket_number.filter(|_| paid.status == "CONFIRMED");
        let Some(ticket) = ticket else {
            self.wrong(|| format!("{} was paid and is {} without a ticket", paid.reservation_id, paid.status));
            return None;
        };
        self.seats_sold.set(self.seats_sold.get() + paid.seats.len() as u64);
        if !self.tickets.borrow_mut().insert(ticket.clone()) {
            self.wrong(|| format!("ticket {ticket} was given twice"));
        }
        Some(())
    }

    async fn findings(&self) -> Result<Findings, LoadError> {
        let settings = &self.field.settings;
        let own_event = settings.event.is_none() && !self.field.stopped.get();
        let is_fight = settings.scenario == Scenario::Seats;
        let event = self.field.scene.read_event(&self.event).await?;
        let count = |name: &str| event["seats"][name].as_u64().unwrap_or_default();
        let (seats, counted) = if is_fight {
            (self.owners.borrow().len() as u64, count("held"))
        } else {
            (self.seats_sold.get(), count("sold"))
        };
        if own_event && seats != counted {
            self.wrong(|| format!("buyers have {seats} seats, the event says {counted}"));
        }
        let mut levels = vec![Level::none("no seat, ticket or charge twice", &self.faults.borrow())];
        let some = self.bought.get() > 0;
        levels.push(Level::new("somebody was served", "> 0", self.bought.get().to_string(), some));
        let (mut rate, mut pace_read, mut let_in) = (None, None, None);
        if settings.scenario == Scenario::Purchase {
            rate = Some(self.rules.rate);
            let mut order = self.order.borrow_mut();
            order.close(self.rules.rate, false);
            levels.push(Level::none("the line is kept", &order.sequence));
            levels.push(Level::none("the rate is never exceeded", &order.window));
            // Here people may come more slowly than they may be let in.
            let pace = order.pace(None);
            pace_read = Some(pace);
            let_in = Some(("let in, as told".to_owned(), format!("{} at {:.2}/s", pace.admitted, pace.rate)));
        }
        let served = if is_fight { "have seats" } else { "have tickets" };
        let story = [
            (served, self.bought.get().to_string()),
            ("went home without", self.without.get().to_string()),
            ("tickets", self.tickets.borrow().len().to_string()),
            ("seats", counted.to_string()),
        ];
        let story = let_in.into_iter().chain(story.map(|(name, value)| (name.to_owned(), value))).collect();
        Ok(Findings { levels, story, ranks: Vec::new(), rate, pace: pace_read })
    }
}

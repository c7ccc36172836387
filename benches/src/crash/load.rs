//! The crowd that is interrupted: shoppers, people who stand in a slow line, newcomers who make accounts, and people who
//! log out. Each writes down only what was answered whole, and what the request was that got no answer.

use super::model::{Account, Acknowledged, Booking, Buyer, Entered, InFlight, Keyed, Place, seat_ids, text};
use super::stage::Stage;
use onsale_server::client::{Answered, Call, CallError};
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The most seats asked for at once.
const MOST_SEATS: usize = 4;
/// Seats at the start of the plan that chosen holds fight for.
const HOT_SEATS: usize = 400;
/// Places that one worker takes in the slow line before it only reads them.
const LINE_PER_WORKER: usize = 40;
/// How long an admitted buyer waits before asking again.
pub(super) const POLL: Duration = Duration::from_millis(10);

/// How long a buyer waits who was answered that nothing can be written.
const REFUSED_PAUSE: Duration = Duration::from_millis(50);

/// Why a buyer stops.
enum Stop {
    /// The server is gone.
    Down,
    /// Its answer leaves open what happened (5xx but 503): nothing more is asked for this buyer.
    Unclear,
}

/// What one worker did until the server died.
#[derive(Default)]
pub(super) struct Work {
    pub buyers: Vec<Buyer>,
    pub acknowledged: Acknowledged,
    /// Refusals, by code.
    pub refused: BTreeMap<String, u64>,
    /// What was acknowledged and not so any more while the server still ran.
    pub lost: Vec<String>,
}

/// One of the crowd's parts.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    Shopper,
    Waiter,
    Newcomer,
    Leaver,
}

impl Role {
    /// The role of the n-th worker: one newcomer, one who logs out, one in five waits in the slow line, the others
    /// shop.
    pub(super) fn of(worker: usize) -> Self {
        match worker {
            0 => Self::Newcomer,
            2 => Self::Leaver,
            _ if worker % 5 == 1 => Self::Waiter,
            _ => Self::Shopper,
        }
    }
}

/// Works until the server dies.
pub(super) async fn work(stage: Arc<Stage>, role: Role, rng: StdRng) -> Work {
    let mut worker = Worker { stage, rng, work: Work::default() };
    loop {
        let stopped = match role {
            Role::Shopper => worker.shop().await,
            Role::Waiter => worker.wait_in_line().await,
            Role::Newcomer => worker.sign_up().await,
            Role::Leaver => worker.log_out().await,
        };
        if matches!(stopped, Err(Stop::Down)) {
            return worker.work;
        }
    }
}

struct Worker {
    stage: Arc<Stage>,
    rng: StdRng,
    work: Work,
}

impl Worker {
    /// Sends a request for a buyer; what it was stays written down until it is answered clearly.
    async fn send(&mut self, buyer: &mut Buyer, what: InFlight, call: &Call) -> Result<Answered, Stop> {
        buyer.in_flight = Some(what);
        match self.stage.client.send(call).await {
            Ok(answer) if answer.status >= 500 && answer.status != 503 => {
                self.count_refusal(&answer);
                Err(Stop::Unclear)
            }
            Ok(answer) => {
                buyer.in_flight = None;
                if !answer.is_success() {
                    self.count_refusal(&answer);
                }
                if answer.status == 503 {
                    tokio::time::sleep(REFUSED_PAUSE).await;
                }
                Ok(answer)
            }
            Err(CallError::NotSent(_)) => {
                buyer.in_flight = None;
                Err(Stop::Down)
            }
            Err(CallError::Unknown(_)) => Err(Stop::Down),
        }
    }

    /// Like `send`, for a request with a key: a success is remembered with its bytes.
    async fn send_keyed(&mut self, buyer: &mut Buyer, what: InFlight, call: &Call) -> Result<Answered, Stop> {
        let answer = self.send(buyer, what, call).await?;
        if answer.is_success() && answer.status != 202 {
            buyer.keyed.push(Keyed { call: call.clone(), status: answer.status, body: answer.body.clone() });
        }
        Ok(answer)
    }

    fn count_refusal(&mut self, answer: &Answered) {
        *self.work.refused.entry(answer.code()).or_default() += 1;
    }

    fn new_key(&mut self) -> String {
        format!("key-{:032x}", self.rng.random::<u128>())
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    /// A new buyer enters the quick event and goes as far as the dice say.
    async fn shop(&mut self) -> Result<(), Stop> {
        let mut buyer = Buyer::new(self.stage.mint(&mut self.rng), &self.stage.quick);
        let done = self.shop_as(&mut buyer).await;
        self.work.buyers.push(buyer);
        done
    }

    async fn shop_as(&mut self, buyer: &mut Buyer) -> Result<(), Stop> {
        self.enter(buyer).await?;
        while buyer.place == Place::InLine {
            tokio::time::sleep(POLL).await;
            self.read_place(buyer).await?;
        }
        for _ in 0..self.rng.random_range(1..=3) {
            let Some(id) = self.hold(buyer).await? else { continue };
            if self.chance(25) {
                self.change(buyer, &id).await?;
            }
            if self.chance(30) {
                self.release(buyer, &id).await?;
                continue;
            }
            if self.chance(90) {
                self.pay(buyer, &id).await?;
            }
            return Ok(());
        }
        if self.chance(50) { self.leave(buyer).await } else { Ok(()) }
    }

    async fn enter(&mut self, buyer: &mut Buyer) -> Result<(), Stop> {
        let call = Call::post("/api/v1/queue/enter", &json!({ "eventId": buyer.event })).bearer(&buyer.bearer);
        let asked = Instant::now();
        buyer.entered = None;
        let answer = self.send(buyer, InFlight::Enter, &call).await?;
        if answer.status == 200 {
            self.work.acknowledged.entered += 1;
            buyer.entered = Some(Entered { asked, answered: Instant::now() });
            take_place(buyer, &answer.json());
        }
        Ok(())
    }

    async fn read_place(&mut self, buyer: &mut Buyer) -> Result<(), Stop> {
        let call = Call::get(format!("/api/v1/queue/status?eventId={}", buyer.event)).bearer(&buyer.bearer);
        let answer = self.send(buyer, InFlight::Read, &call).await?;
        if answer.status == 200 {
            take_place(buyer, &answer.json());
        }
        Ok(())
    }

    async fn leave(&mut self, buyer: &mut Buyer) -> Result<(), Stop> {
        let call = Call::delete(format!("/api/v1/queue/leave?eventId={}", buyer.event)).bearer(&buyer.bearer);
        let answer = self.send(buyer, InFlight::Leave, &call).await?;
        if answer.status == 204 {
            self.work.acknowledged.left += 1;
            buyer.place = Place::Gone;
        }
        Ok(())
    }

    /// Best seats together, or chosen ones where everybody wants to sit.
    async fn hold(&mut self, buyer: &mut Buyer) -> Result<Option<String>, Stop> {
        let body = if self.chance(60) {
            let category = self.stage.categories.choose(&mut self.rng).cloned().unwrap_or_default();
            json!({ "eventId": buyer.event, "category": category, "quantity": self.rng.random_range(1..=MOST_SEATS) })
        } else {
            json!({ "eventId": buyer.event, "seatIds": self.some_seats() })
        };
        let Place::Active(token) = buyer.place.clone() else { return Ok(None) };
        let key = self.new_key();
        let call =
            Call::post("/api/v1/reservations/hold", &body).bearer(&buyer.bearer).queue_token(Some(&token)).key(key);
        let answer = self.send_keyed(buyer, InFlight::Hold(call.clone()), &call).await?;
        let Some((id, booking)) = Booking::read(&answer.json()).filter(|_| answer.status == 201) else {
            return Ok(None);
        };
        self.work.acknowledged.held += 1;
        buyer.bookings.insert(id.clone(), booking);
        Ok(Some(id))
    }

    fn some_seats(&mut self) -> Vec<String> {
        let among = if self.chance(50) { HOT_SEATS.min(self.stage.seats.len()) } else { self.stage.seats.len() };
        let many = self.rng.random_range(1..=MOST_SEATS);
        let chosen = (0..among).choose_multiple(&mut self.rng, many);
        chosen.into_iter().map(|at| self.stage.seats[at].clone()).collect()
    }

    async fn change(&mut self, buyer: &mut Buyer, id: &str) -> Result<(), Stop> {
        let seats = self.some_seats();
        let call =
            Call::put(format!("/api/v1/reservations/hold/{id}"), &json!({ "newSeatIds": seats })).bearer(&buyer.bearer);
        let what = InFlight::Change { reservation: id.to_owned(), seats };
        let answer = self.send(buyer, what, &call).await?;
        if let Some((_, booking)) = Booking::read(&answer.json()).filter(|_| answer.status == 200) {
            self.work.acknowledged.changed += 1;
            buyer.bookings.insert(id.to_owned(), booking);
        }
        Ok(())
    }

    async fn release(&mut self, buyer: &mut Buyer, id: &str) -> Result<(), Stop> {
        let call = Call::delete(format!("/api/v1/reservations/hold/{id}")).bearer(&buyer.bearer);
        let answer = self.send(buyer, InFlight::Release { reservation: id.to_owned() }, &call).await?;
        if answer.status == 204 {
            self.work.acknowledged.released += 1;
            if let Some(booking) = buyer.bookings.get_mut(id) {
                booking.set("status", "CANCELLED");
            }
        }
        Ok(())
    }

    /// Opens a payment and confirms it, perhaps after a declined card; some cancel afterwards.
    async fn pay(&mut self, buyer: &mut Buyer, id: &str) -> Result<(), Stop> {
        if self.chance(20) {
            self.pay_with(buyer, id, "sim_decline").await?;
            if self.chance(50) {
                return Ok(());
            }
        }
        let script = if self.chance(10) { "sim_flaky" } else { "sim_ok" };
        let Some(payment) = self.pay_with(buyer, id, script).await? else { return Ok(()) };
        if self.chance(50) {
            self.read_reservation(buyer, id).await?;
        }
        if self.chance(50) {
            self.cancel(buyer, id, &payment).await?;
        }
        Ok(())
    }

    /// The payment, if it was successful.
    async fn pay_with(&mut self, buyer: &mut Buyer, id: &str, script: &str) -> Result<Option<String>, Stop> {
        let Some(amount) = buyer.bookings.get(id).map(Booking::amount) else { return Ok(None) };
        let body = json!({ "reservationId": id, "amount": amount, "paymentMethod": "CARD" });
        let key = self.new_key();
        let call = Call::post("/api/v1/payments", &body).bearer(&buyer.bearer).key(key);
        let what = InFlight::OpenPayment { reservation: id.to_owned(), call: call.clone() };
        let answer = self.send_keyed(buyer, what, &call).await?;
        if answer.status != 201 {
            return Ok(None);
        }
        let opened = answer.json();
        let payment = text(&opened, "paymentId").to_owned();
        buyer.payments.insert(payment.clone(), lasting_members(&opened));
        let body = json!({
            "reservationId": id, "paymentId": payment, "paymentKey": text(&opened, "paymentKey"),
            "transactionId": format!("{script}_{}", self.new_key()), "amount": amount,
        });
        let key = self.new_key();
        let call = Call::post("/api/v1/payments/confirm", &body).bearer(&buyer.bearer).key(key);
        let what = InFlight::Confirm { reservation: id.to_owned(), payment: payment.clone(), call: call.clone() };
        let answer = self.send_keyed(buyer, what.clone(), &call).await?;
        match answer.status {
            200 => {
                self.work.acknowledged.paid += 1;
                settle_paid(buyer, id, &answer.json());
                Ok(Some(payment))
            }
            402 => {
                self.work.acknowledged.declined += 1;
                set_payment(buyer, &payment, "FAILED");
                Ok(None)
            }
            202 => {
                buyer.in_flight = Some(what);
                Err(Stop::Unclear)
            }
            _ => Ok(None),
        }
    }

    /// Reads the reservation: from then on its ticket is known.
    async fn read_reservation(&mut self, buyer: &mut Buyer, id: &str) -> Result<(), Stop> {
        let call = Call::get(format!("/api/v1/reservations/{id}")).bearer(&buyer.bearer);
        let answer = self.send(buyer, InFlight::Read, &call).await?;
        if let Some((_, booking)) = Booking::read(&answer.json()).filter(|_| answer.status == 200) {
            buyer.bookings.insert(id.to_owned(), booking);
        }
        Ok(())
    }

    async fn cancel(&mut self, buyer: &mut Buyer, id: &str, payment: &str) -> Result<(), Stop> {
        let call = Call::delete(format!("/api/v1/reservations/{id}")).bearer(&buyer.bearer);
        let what = InFlight::Cancel { reservation: id.to_owned(), payment: payment.to_owned() };
        let answer = self.send(buyer, what, &call).await?;
        if answer.status == 200 {
            self.work.acknowledged.cancelled += 1;
            settle_cancelled(buyer, id, payment, &answer.json());
        }
        Ok(())
    }

    /// Somebody joins the slow line, or one who stands there leaves or polls.
    async fn wait_in_line(&mut self) -> Result<(), Stop> {
        let own = self.work.buyers.len();
        let full = own >= LINE_PER_WORKER;
        if own > 0 && (full || self.chance(30)) {
            let at = self.rng.random_range(0..own);
            let mut buyer = self.work.buyers[at].clone();
            let done = match buyer.place {
                // Who left without a clear answer may be gone by now: what they ask next would hide that they asked.
                _ if buyer.in_flight.is_some() => {
                    tokio::time::sleep(POLL).await;
                    Ok(())
                }
                Place::InLine if self.chance(40) => self.leave(&mut buyer).await,
                Place::InLine | Place::Active(_) => self.read_place(&mut buyer).await,
                Place::Nowhere | Place::Gone => self.enter(&mut buyer).await,
            };
            self.work.buyers[at] = buyer;
            return done;
        }
        let mut buyer = Buyer::new(self.stage.mint(&mut self.rng), &self.stage.slow);
        let done = self.enter(&mut buyer).await;
        self.work.buyers.push(buyer);
        done
    }

    /// Somebody makes an account and logs in.
    async fn sign_up(&mut self) -> Result<(), Stop> {
        let email = format!("buyer-{:032x}@example.com", self.rng.random::<u128>());
        let password = format!("password {:016x}", self.rng.random::<u64>());
        let mut buyer = Buyer::new(String::new(), &self.stage.quick);
        buyer.account = Some(Account { email: email.clone(), password: password.clone(), stands: false });
        let body = json!({ "email": email, "password": password, "name": "A buyer" });
        let call = Call::post("/api/v1/auth/signup", &body).key(self.new_key());
        let answer = self.send_keyed(&mut buyer, InFlight::SignUp(call.clone()), &call).await;
        if answer.as_ref().is_ok_and(|answer| answer.status == 201) {
            self.work.acknowledged.accounts += 1;
            if let Some(account) = &mut buyer.account {
                account.stands = true;
            }
        }
        self.work.buyers.push(buyer);
        answer.map(|_| ())
    }

    /// Somebody has their token revoked; one that was revoked before is tried.
    async fn log_out(&mut self) -> Result<(), Stop> {
        let mut buyer = Buyer::new(self.stage.mint(&mut self.rng), &self.stage.quick);
        buyer.logs_out = true;
        let call = Call::post("/api/v1/auth/logout", &json!({})).bearer(&buyer.bearer);
        let answer = self.send(&mut buyer, InFlight::LogOut, &call).await;
        let acknowledged = answer.as_ref().is_ok_and(|answer| answer.status == 204);
        self.work.acknowledged.logged_out += u64::from(acknowledged);
        // Refused, or never sent, it is nothing to remember.
        if acknowledged || buyer.in_flight.is_some() {
            self.work.buyers.push(buyer);
        }
        answer?;
        if let Some(gone) = self.work.buyers.iter().filter(|buyer| buyer.in_flight.is_none()).choose(&mut self.rng) {
            let mut gone = gone.clone();
            let call = Call::get("/api/v1/users/me").bearer(&gone.bearer);
            let answer = self.send(&mut gone, InFlight::Read, &call).await?;
            if answer.status < 500 && answer.status != 401 {
                self.work.lost.push(format!("a token that was revoked answers {} {}", answer.status, answer.code()));
            }
        }
        tokio::time::sleep(POLL).await;
        Ok(())
    }
}

/// Takes over what an answer says of the place.
pub(super) fn take_place(buyer: &mut Buyer, place: &Value) {
    buyer.place = match text(place, "status") {
        "ACTIVE" => Place::Active(text(place, "token").to_owned()),
        "PRE_QUEUE" | "WAITING" => Place::InLine,
        _ => Place::Gone,
    };
}

/// A payment was acknowledged: it and its reservation are from now on what they are then, and the slot has ended.
pub(super) fn settle_paid(buyer: &mut Buyer, reservation: &str, payment: &Value) {
    buyer.payments.insert(text(payment, "paymentId").to_owned(), lasting_members(payment));
    if let Some(booking) = buyer.bookings.get_mut(reservation) {
        booking.set("status", "CONFIRMED");
    }
    buyer.place = Place::Gone;
}

/// A cancellation was acknowledged.
pub(super) fn settle_cancelled(buyer: &mut Buyer, reservation: &str, payment: &str, answer: &Value) {
    if let Some(booking) = buyer.bookings.get_mut(reservation) {
        booking.set("status", "CANCELLED");
        booking.set("refundAmount", answer.get("refundAmount").cloned().unwrap_or_default());
        // The ticket keeps its number, but opens no door any more.
        booking.members.remove("qrData");
    }
    set_payment(buyer, payment, "REFUNDED");
}

pub(super) fn set_payment(buyer: &mut Buyer, payment: &str, status: &str) {
    if let Some(members) = buyer.payments.get_mut(payment) {
        members.insert("status".into(), status.into());
    }
}

/// The members of a payment's answer that every later answer has too.
pub(super) fn lasting_members(answer: &Value) -> serde_json::Map<String, Value> {
    let lasting = ["paymentId", "reservationId", "amount", "currency", "method", "status", "createdAt", "paidAt"];
    let members = answer.as_object().into_iter().flatten();
    members
        .filter(|(name, _)| lasting.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// What a read of seats says is taken: held, then sold.
pub(super) fn taken_seats(answer: &Value) -> (Vec<String>, Vec<String>) {
    let list = |member: &str| {
        let seats = answer.get(member).and_then(Value::as_array).into_iter().flatten();
        seats.filter_map(|seat| Some(seat.as_str()?.to_owned())).collect()
    };
    (list("held"), list("sold"))
}

/// Seats of a plan, in its order.
pub(super) fn plan_seats(answer: &Value) -> Vec<String> {
    let sections = answer.pointer("/plan/sections").and_then(Value::as_array).into_iter().flatten();
    let rows = sections.filter_map(|section| section.get("rows")?.as_array()).flatten();
    rows.filter_map(|row| row.get("seats")?.as_array()).flatten().map(|seat| text(seat, "id").to_owned()).collect()
}

/// The seats of an answer, sorted: orders of seats are compared apart from it.
pub(super) fn sorted_seats(answer: &Value) -> Vec<String> {
    let mut seats = seat_ids(answer);
    seats.sort_unstable();
    seats
}

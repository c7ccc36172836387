//! What a restarted server is checked against: everything that was acknowledged is there, what had no answer is there
//! wholly or not at all, and asking again with the same key gives the same bytes.

use super::CrashError;
use super::load::{lasting_members, set_payment, settle_cancelled, settle_paid, sorted_seats, take_place};
use super::model::{Booking, Buyer, InFlight, Keyed, Place, differing_member, text};
use super::stage::Stage;
use onsale_server::client::{Answered, Call};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long an unknown charge may take to be settled after a restart.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(20);
/// How often it is asked about.
const SETTLE_POLL: Duration = Duration::from_millis(50);

/// What is wrong after a restart, and what became of requests without an answer.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Acknowledged, and not there or otherwise now.
    pub lost: Vec<String>,
    /// Seats in two hands, and counts that do not add up.
    pub oversold: Vec<String>,
    /// What Redis has otherwise than the server, long after the load has ended.
    pub stale: Vec<String>,
    /// Requests without an answer that turned out done.
    pub unknown_done: u64,
    /// Requests without an answer that turned out not done.
    pub unknown_not_done: u64,
}

impl Findings {
    /// Takes over another one's.
    pub fn add(&mut self, other: Self) {
        self.lost.extend(other.lost);
        self.oversold.extend(other.oversold);
        self.stale.extend(other.stale);
        self.unknown_done += other.unknown_done;
        self.unknown_not_done += other.unknown_not_done;
    }

    fn settled(&mut self, done: bool) {
        if done {
            self.unknown_done += 1;
        } else {
            self.unknown_not_done += 1;
        }
    }
}

/// How closely a buyer is checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Also every request with a key is repeated.
    WithRepeats,
    /// What stands is read.
    Reads,
}

/// Checks one buyer, and settles what was unknown.
pub(super) async fn check_buyer(
    stage: &Stage,
    buyer: &mut Buyer,
    depth: Depth,
    found: &mut Findings,
) -> Result<(), CrashError> {
    let mut check = Check { stage, buyer, found };
    if check.buyer.account.is_some() {
        return check.account().await;
    }
    if check.buyer.logs_out {
        return check.logged_out().await;
    }
    check.settle_confirm().await?;
    let (reservations, payments) =
        (check.list("reservations", "reservationId").await?, check.list("payments", "paymentId").await?);
    check.bookings(&reservations).await?;
    check.payments(&payments);
    check.money(&reservations, &payments);
    check.place().await?;
    check.settle_rest(&reservations, &payments).await?;
    check.buyer.in_flight = None;
    if depth == Depth::WithRepeats {
        check.repeats().await?;
    }
    Ok(())
}

type Listed = BTreeMap<String, Value>;

struct Check<'a> {
    stage: &'a Stage,
    buyer: &'a mut Buyer,
    found: &'a mut Findings,
}

impl Check<'_> {
    async fn send(&self, call: &Call) -> Result<Answered, CrashError> {
        Ok(self.stage.client.send(call).await?)
    }

    async fn get(&self, path: &str) -> Result<Answered, CrashError> {
        self.send(&Call::get(path).bearer(&self.buyer.bearer)).await
    }

    fn lost(&mut self, what: impl Into<String>) {
        self.found.lost.push(what.into());
    }

    /// Everything of a buyer's list, by id.
    async fn list(&mut self, of: &str, id: &str) -> Result<Listed, CrashError> {
        let answer = self.get(&format!("/api/v1/{of}?size=100")).await?;
        if answer.status != 200 {
            self.lost(format!("the list of {of} answers {}", answer.code()));
        }
        let json = answer.json();
        let items = json.get("items").and_then(Value::as_array).into_iter().flatten();
        Ok(items.map(|item| (text(item, id).to_owned(), item.clone())).collect())
    }

    /// A charge without an answer is asked about again, with its key, until it is settled.
    async fn settle_confirm(&mut self) -> Result<(), CrashError> {
        let Some(InFlight::Confirm { reservation, payment, call }) = self.buyer.in_flight.clone() else {
            return Ok(());
        };
        let until = Instant::now() + SETTLE_TIMEOUT;
        loop {
            let answer = self.send(&call).await?;
            match answer.status {
                200 => settle_paid(self.buyer, &reservation, &answer.json()),
                402 => set_payment(self.buyer, &payment, "FAILED"),
                202 | 503 | 504 if Instant::now() < until => {
                    tokio::time::sleep(SETTLE_POLL).await;
                    continue;
                }
                _ => self.lost(format!("payment {payment} repeated with its key answers {}", answer.code())),
            }
            self.found.settled(answer.status == 200);
            return Ok(());
        }
    }

    /// Every acknowledged reservation, in the list and by itself, and none that nobody asked for.
    async fn bookings(&mut self, listed: &Listed) -> Result<(), CrashError> {
        for (id, booking) in self.buyer.bookings.clone() {
            let alone = self.get(&format!("/api/v1/reservations/{id}")).await?;
            if alone.status != 200 {
                self.lost(format!("reservation {id} answers {}", alone.code()));
                continue;
            }
            let alone = alone.json();
            if listed.get(&id) != Some(&alone) {
                self.lost(format!("reservation {id} is listed otherwise than it reads: {:?}", listed.get(&id)));
            }
            if let Some(difference) = self.booking_difference(&id, &booking, &alone) {
                self.lost(format!("reservation {id}: {difference}"));
            }
        }
        let may_be_new = matches!(self.buyer.in_flight, Some(InFlight::Hold(_)));
        let new: Vec<_> = listed.keys().filter(|id| !self.buyer.bookings.contains_key(*id)).cloned().collect();
        if new.len() > usize::from(may_be_new) {
            self.lost(format!("reservations that were never asked for: {new:?}"));
        }
        Ok(())
    }

    /// How a reservation differs from what was answered, unless the request in flight explains it.
    fn booking_difference(&mut self, id: &str, booking: &Booking, actual: &Value) -> Option<String> {
        let difference = booking.differs_from(actual)?;
        let mut other = booking.clone();
        match self.buyer.in_flight.clone() {
            Some(InFlight::Change { reservation, seats }) if reservation == id => {
                let mut asked = seats;
                asked.sort_unstable();
                if sorted_seats(actual) != asked {
                    return Some(difference);
                }
                other.members.remove("seats");
                other.members.remove("totalAmount");
            }
            Some(InFlight::Release { reservation }) if reservation == id => other.set("status", "CANCELLED"),
            Some(InFlight::Cancel { reservation, .. }) if reservation == id => {
                other.set("status", "CANCELLED");
                other.members.remove("qrData");
            }
            _ => return Some(difference),
        }
        other.differs_from(actual)
    }

    fn payments(&mut self, listed: &Listed) {
        for (id, members) in self.buyer.payments.clone() {
            let Some(actual) = listed.get(&id) else {
                self.lost(format!("payment {id} is not there"));
                continue;
            };
            let refunded = |members: &Map<String, Value>| {
                let mut members = members.clone();
                members.insert("status".into(), "REFUNDED".into());
                members
            };
            let difference = match &self.buyer.in_flight {
                Some(InFlight::Cancel { payment, .. }) if *payment == id => {
                    differing_member(&members, actual).and_then(|_| differing_member(&refunded(&members), actual))
                }
                _ => differing_member(&members, actual),
            };
            if let Some(difference) = difference {
                self.lost(format!("payment {id}: {difference}"));
            }
        }
        let may_be_new = matches!(self.buyer.in_flight, Some(InFlight::OpenPayment { .. }));
        let new = listed.keys().filter(|id| !self.buyer.payments.contains_key(*id)).count();
        if new > usize::from(may_be_new) {
            self.lost(format!("{new} payments that were never asked for"));
        }
    }

    /// What is confirmed is paid exactly once, and nothing else is.
    fn money(&mut self, reservations: &Listed, payments: &Listed) {
        for (id, reservation) in reservations {
            let paid: Vec<i64> = payments
                .values()
                .filter(|payment| text(payment, "reservationId") == id && text(payment, "status") == "SUCCESS")
                .filter_map(|payment| payment.get("amount")?.as_i64())
                .collect();
            let amount = reservation.get("totalAmount").and_then(Value::as_i64).unwrap_or_default();
            let owed = if text(reservation, "status") == "CONFIRMED" { vec![amount] } else { Vec::new() };
            if paid != owed {
                self.lost(format!("reservation {id} is {} and paid by {paid:?}", text(reservation, "status")));
            }
        }
    }

    async fn place(&mut self) -> Result<(), CrashError> {
        let answer = self.get(&format!("/api/v1/queue/status?eventId={}", self.buyer.event)).await?;
        let place = answer.json();
        let (is_in, status) = (answer.status == 200, text(&place, "status"));
        let (enters, leaves) = match &self.buyer.in_flight {
            Some(InFlight::Enter) => (true, false),
            Some(InFlight::Leave) => (false, true),
            _ => (false, false),
        };
        let fits = match &self.buyer.place {
            Place::Nowhere | Place::Gone => !is_in || enters,
            Place::InLine => leaves || matches!(status, "PRE_QUEUE" | "WAITING" | "ACTIVE"),
            Place::Active(token) => (leaves && !is_in) || (status == "ACTIVE" && text(&place, "token") == token),
        };
        if !fits {
            let was = self.buyer.place.clone();
            self.lost(format!("a place that was {was:?} now answers {}", String::from_utf8_lossy(&answer.body)));
        }
        if enters || leaves {
            self.found.settled(is_in == enters);
        }
        match is_in {
            true => take_place(self.buyer, &place),
            false => self.buyer.place = Place::Gone,
        }
        Ok(())
    }

    /// Settles what had no answer: takes over what is there, and repeats what has a key.
    async fn settle_rest(&mut self, reservations: &Listed, payments: &Listed) -> Result<(), CrashError> {
        match self.buyer.in_flight.clone() {
            Some(InFlight::Hold(call)) => {
                let there = reservations.keys().find(|id| !self.buyer.bookings.contains_key(*id)).cloned();
                let answer = self.repeat_unknown(&call, there.as_deref(), "reservationId").await?;
                if let Some((id, booking)) = Booking::read(&answer.json()).filter(|_| answer.status == 201) {
                    self.buyer.bookings.insert(id, booking);
                }
            }
            Some(InFlight::OpenPayment { reservation, call }) => {
                let there = payments.keys().find(|id| !self.buyer.payments.contains_key(*id)).cloned();
                let answer = self.repeat_unknown(&call, there.as_deref(), "paymentId").await?;
                if answer.status == 201 {
                    let payment = answer.json();
                    if text(&payment, "reservationId") != reservation {
                        self.lost(format!("a payment of {reservation} was opened for another reservation: {payment}"));
                    }
                    self.buyer.payments.insert(text(&payment, "paymentId").to_owned(), lasting_members(&payment));
                }
            }
            Some(InFlight::Change { reservation, .. } | InFlight::Release { reservation }) => {
                self.take_over(&reservation, reservations);
            }
            Some(InFlight::Cancel { reservation, payment }) => {
                if let Some(actual) = self.take_over(&reservation, reservations)
                    && text(&actual, "status") == "CANCELLED"
                {
                    settle_cancelled(self.buyer, &reservation, &payment, &actual);
                }
            }
            Some(
                InFlight::Confirm { .. }
                | InFlight::Enter
                | InFlight::Leave
                | InFlight::Read
                | InFlight::SignUp(_)
                | InFlight::LogOut,
            )
            | None => {}
        }
        Ok(())
    }

    /// The reservation as it is now becomes the expected one.
    fn take_over(&mut self, id: &str, listed: &Listed) -> Option<Value> {
        let actual = listed.get(id)?.clone();
        let (_, now) = Booking::read(&actual)?;
        let before = self.buyer.bookings.insert(id.to_owned(), now);
        self.found.settled(before.is_some_and(|before| before.differs_from(&actual).is_some()));
        Some(actual)
    }

    /// Repeats a request whose outcome was unknown: if it was done, the answer is about that very thing.
    async fn repeat_unknown(&mut self, call: &Call, there: Option<&str>, id: &str) -> Result<Answered, CrashError> {
        self.found.settled(there.is_some());
        let answer = self.send(call).await?;
        let json = answer.json();
        match there {
            Some(there) if answer.status != 201 || text(&json, id) != there => {
                self.lost(format!("{there} was made, but its request repeated answers {} {json}", answer.status));
            }
            None if !matches!(answer.status, 201 | 409 | 401) => {
                self.lost(format!("a request that was not done answers {} {json} when repeated", answer.status));
            }
            Some(_) | None => {}
        }
        Ok(answer)
    }

    /// Every request with a key that was answered gives the same bytes again.
    async fn repeats(&mut self) -> Result<(), CrashError> {
        for Keyed { call, status, body } in self.buyer.keyed.clone() {
            let again = self.send(&call).await?;
            if (again.status, &again.body) != (status, &body) {
                let (was, is) = (String::from_utf8_lossy(&body), String::from_utf8_lossy(&again.body));
                self.lost(format!("repeated with its key, {status} {was} became {} {is}", again.status));
            }
        }
        Ok(())
    }

    /// A token that was revoked stays so; where there was no answer, it is the one or the other from now on.
    async fn logged_out(&mut self) -> Result<(), CrashError> {
        let answer = self.get("/api/v1/users/me").await?;
        if self.buyer.in_flight.take().is_some() {
            self.found.settled(answer.status == 401);
            self.buyer.logs_out = answer.status == 401;
        } else if answer.status != 401 {
            self.lost(format!("a token that was revoked answers {} {}", answer.status, answer.code()));
        }
        Ok(())
    }

    /// An account that was made logs in; one without an answer is made by asking again.
    async fn account(&mut self) -> Result<(), CrashError> {
        let Some(account) = self.buyer.account.clone() else { return Ok(()) };
        let log_in = json!({ "email": account.email, "password": account.password });
        let mut answer = self.send(&Call::post("/api/v1/auth/login", &log_in)).await?;
        if let Some(InFlight::SignUp(call)) = self.buyer.in_flight.take() {
            self.found.settled(answer.status == 200);
            let again = self.send(&call).await?;
            if again.status != 201 {
                self.lost(format!("signing up again with the same key answers {}", again.code()));
            }
            answer = self.send(&Call::post("/api/v1/auth/login", &log_in)).await?;
        } else if !account.stands {
            return Ok(());
        }
        if answer.status != 200 {
            self.lost(format!("an account that was made cannot log in: {}", answer.code()));
            return Ok(());
        }
        self.buyer.bearer = text(&answer.json(), "accessToken").to_owned();
        let me = self.get("/api/v1/users/me").await?;
        if text(&me.json(), "email") != account.email {
            self.lost(format!("{} reads itself as {}", account.email, me.code()));
        }
        if let Some(account) = &mut self.buyer.account {
            account.stands = true;
        }
        self.repeats().await
    }
}

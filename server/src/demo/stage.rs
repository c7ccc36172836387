//! The setting of a demo: the arena, an event whose sale opens soon, tokens, and the texts around it.

use super::tally::Tally;
use super::{ADMIN, DemoError};
use crate::app::App;
use crate::client::{Call, Client};
use onsale_engine::id::{BuyerId, EventId};
use onsale_engine::ports::accounts::Role;
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use uuid::Uuid;

/// The hall's seating plan; in the binary, so that a demo needs no files.
const ARENA: &str = include_str!("../../../halls/arena.json");
/// Within how many seconds everybody shall be let in: the rate of admission follows from it.
const LET_IN_WITHIN_SECONDS: u32 = 40;
/// How long a hold lasts in a demo, so that abandoned ones are seen to expire.
const HOLD_SECONDS: u32 = 60;

/// The stage of a demo.
pub(super) struct Stage {
    pub client: Client,
    pub event: String,
    /// Ids of the seats that everybody wants, in the order of the plan.
    pub front: Vec<String>,
    pub opens_at: Instant,
    admin: String,
    app: Arc<App>,
}

/// What an operator sees.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub waiting: u64,
    pub active: u64,
    pub available: u64,
    pub held: u64,
    pub sold: u64,
}

/// Makes venue, hall and event as an administrator does.
pub(super) async fn make(app: &Arc<App>, client: Client, opens_in: Duration, buyers: u32) -> Result<Stage, DemoError> {
    let log_in = json!({ "email": ADMIN.0, "password": ADMIN.1 });
    let admin = ask(&client, &Call::post("/api/v1/auth/login", &log_in)).await?;
    let admin = text(&admin, "accessToken").to_owned();
    let post = async |path: &str, body: Value| ask(&client, &Call::post(path, &body).bearer(&admin)).await;
    let venue = json!({ "name": "Onsale Arena", "address": "1 Main Street", "city": "Seoul" });
    let venue = post("/api/v1/venues", venue).await?;
    let plan: Value = serde_json::from_str(ARENA).map_err(io::Error::other)?;
    let hall = json!({ "name": "Arena", "seatingPlan": plan });
    let hall = post(&format!("/api/v1/venues/{}/halls", text(&venue, "id")), hall).await?;
    let opens_at = Instant::now() + opens_in;
    let event = post("/api/v1/events", event(text(&hall, "id"), opens_in, buyers)).await?;
    let event = text(&event, "id").to_owned();
    let map = ask(&client, &Call::get(format!("/api/v1/events/{event}/seats"))).await?;
    Ok(Stage { client, event, front: front_seats(&map), opens_at, admin, app: Arc::clone(app) })
}

fn event(hall: &str, opens_in: Duration, buyers: u32) -> Value {
    let now = jiff::Timestamp::now();
    let at = |seconds: u64| (now + Duration::from_secs(seconds)).to_string();
    let day = 24 * 3600;
    json!({
        "title": "The First Night", "artist": "The Examples", "hallId": hall, "currency": "KRW",
        "startsAt": at(60 * day), "endsAt": at(60 * day + 3 * 3600),
        "saleStartsAt": (now + opens_in).to_string(), "saleEndsAt": at(50 * day),
        "prices": { "VIP": 198_000, "R": 165_000, "S": 132_000, "A": 99_000, "B": 77_000 },
        "maxSeatsPerBuyer": 4, "holdSeconds": HOLD_SECONDS,
        "admission": { "ratePerSecond": buyers.div_ceil(LET_IN_WITHIN_SECONDS).max(5), "tokenSeconds": 600 },
    })
}

/// The seats of the first sections of the plan, where everybody wants to sit.
fn front_seats(map: &Value) -> Vec<String> {
    let sections = map.pointer("/plan/sections").and_then(Value::as_array).into_iter().flatten().take(2);
    let rows = sections.filter_map(|section| section.get("rows")?.as_array()).flatten();
    rows.filter_map(|row| row.get("seats")?.as_array()).flatten().map(|seat| text(seat, "id").to_owned()).collect()
}

/// Asks for something that must be given.
async fn ask(client: &Client, call: &Call) -> Result<Value, DemoError> {
    let answer = client.send(call).await?;
    if answer.is_success() {
        return Ok(answer.json());
    }
    let answer = String::from_utf8_lossy(&answer.body).into_owned();
    Err(DemoError::Refused { what: format!("{} {}", call.method(), call.path()), answer })
}

/// A text member, empty where there is none.
pub(super) fn text<'a>(json: &'a Value, member: &str) -> &'a str {
    json.get(member).and_then(Value::as_str).unwrap_or_default()
}

impl Stage {
    /// A bearer token for a buyer of that id, minted with the secret as load generators do.
    pub(super) fn mint(&self, buyer: Uuid) -> String {
        let minted = self.app.tokens.mint(BuyerId(buyer), Role::User, self.app.clock.now());
        minted.map(|minted| minted.token).unwrap_or_default()
    }

    /// What an operator sees now.
    pub(super) async fn look(&self) -> Result<Seen, DemoError> {
        let stats = ask(&self.client, &Call::get("/api/v1/queue/admin/stats").bearer(&self.admin)).await?;
        let event = ask(&self.client, &Call::get(format!("/api/v1/events/{}", self.event))).await?;
        let room = |member: &str| number(&stats, &format!("/{}/{member}", self.event));
        let seats = |member: &str| number(&event, &format!("/seats/{member}"));
        Ok(Seen {
            waiting: room("waiting"),
            active: room("active"),
            available: seats("available"),
            held: seats("held"),
            sold: seats("sold"),
        })
    }

    /// Says what there is to see, and how.
    pub(super) fn announce(&self, out: &mut dyn Write, buyers: u32, opens_in: Duration, data: &Path) -> io::Result<()> {
        let (base, event, admin) = (self.client.base(), &self.event, &self.admin);
        let buyer = self.mint(Uuid::now_v7());
        writeln!(out, "onsale demo: the arena, {buyers} buyers, the sale opens in {} s", opens_in.as_secs())?;
        writeln!(out, "serving on {base}, data in {}", data.display())?;
        writeln!(out, "administrator {} with the password {}\n", ADMIN.0, ADMIN.1)?;
        writeln!(out, "in another terminal:\n")?;
        writeln!(out, "  BASE={base}/api/v1\n  EVENT={event}\n  ADMIN={admin}\n  BUYER={buyer}\n")?;
        for line in [
            "curl -s $BASE/events/$EVENT",
            "curl -s $BASE/queue/admin/stats -H \"Authorization: Bearer $ADMIN\"",
            "curl -s $BASE/queue/enter -H \"Authorization: Bearer $BUYER\" -H 'Content-Type: application/json' \
             -d '{\"eventId\": \"'$EVENT'\"}'",
            "curl -s $BASE/queue/status?eventId=$EVENT -H \"Authorization: Bearer $BUYER\"",
            "curl -s -X PATCH $BASE/admin/events/$EVENT/admission -H \"Authorization: Bearer $ADMIN\" \
             -H 'Content-Type: application/json' -d '{\"ratePerSecond\": 50}'",
        ] {
            writeln!(out, "  {line}")?;
        }
        writeln!(out, "  curl -s {base}/metrics\n")?;
        out.flush()
    }

    /// Says what came of it.
    pub(super) async fn sum_up(&self, out: &mut dyn Write, tally: &Tally) -> Result<(), DemoError> {
        let seen = self.look().await?;
        let (times, of) = (tally.times(), |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed));
        writeln!(
            out,
            "\n{} buyers: {} with tickets for {} seats, {} cancelled theirs, {} left without",
            of(&tally.done),
            of(&tally.bought),
            of(&tally.seats),
            of(&tally.cancelled),
            of(&tally.without)
        )?;
        writeln!(
            out,
            "seats: {} sold, {} held, {} available; revenue ₩{}",
            seen.sold,
            seen.held,
            seen.available,
            grouped(tally.revenue.load(Ordering::Relaxed))
        )?;
        writeln!(
            out,
            "{} requests: p50 {:.1} ms, p95 {:.1} ms, longest {:.0} ms; refused: {}",
            tally.requests(),
            times.p50,
            times.p95,
            times.max,
            tally.refused_in_words()
        )?;
        Ok(())
    }

    /// What is not as it must be: the engine's own invariants, and what the buyers were answered against what it counts.
    pub(super) fn what_does_not_add_up(&self, app: &App, tally: &Tally) -> Vec<String> {
        let event = Uuid::try_parse(&self.event).map(EventId).unwrap_or(EventId(Uuid::nil()));
        let Some(handle) = app.engine.sale(event) else { return vec!["the event has no sale".to_owned()] };
        let sale = handle.copy();
        let mut broken = sale.check_invariants();
        let (sold, answered) = (u64::from(sale.counts().sold), tally.seats.load(Ordering::Relaxed));
        if sold < answered {
            broken.push(format!("buyers were answered {answered} seats, {sold} are sold"));
        }
        broken
    }

    /// Whether the sale has opened.
    pub(super) fn is_open(&self) -> bool {
        Instant::now() >= self.opens_at
    }
}

fn number(json: &Value, pointer: &str) -> u64 {
    json.pointer(pointer).and_then(Value::as_u64).unwrap_or_default()
}

/// An amount with its thousands apart.
pub(super) fn grouped(amount: i64) -> String {
    let digits = amount.unsigned_abs().to_string();
    let mut grouped = String::with_capacity(digits.len() * 4 / 3 + 1);
    if amount < 0 {
        grouped.push('-');
    }
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_stand_apart() {
        for (amount, expected) in [(0, "0"), (999, "999"), (1000, "1,000"), (-1_234_567, "-1,234,567")] {
            assert_eq!(grouped(amount), expected);
        }
    }

    #[test]
    fn an_event_opens_at_the_time_that_is_given() {
        let event = event("hall", Duration::from_secs(30), 300);
        let at = |member: &str| text(&event, member).parse::<jiff::Timestamp>().unwrap_or_default();
        assert_eq!(event["admission"]["ratePerSecond"], 8);
        assert!(at("saleStartsAt") < at("saleEndsAt") && at("saleEndsAt") < at("startsAt"));
        assert!(at("saleStartsAt") > jiff::Timestamp::now());
    }
}

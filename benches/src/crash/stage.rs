//! The stage of a crash test: a hall, an event whose line moves at once, one whose line hardly moves, and the tokens
//! of those who come. Made once over HTTP; what is on it must survive every crash.

use super::CrashError;
use super::load::{POLL, plan_seats};
use super::model::text;
use crate::process::JWT_SECRET;
use jiff::ToSpan;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::Role;
use onsale_engine::time::Timestamp;
use onsale_server::auth::{AccessTokens, Revoked};
use onsale_server::client::{Answered, Call, Client};
use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Rows and seats in a row of the hall: enough that it is not sold out while the test runs.
const ROWS: usize = 300;
const SEATS_PER_ROW: usize = 200;
/// How long being let in may take where the line moves at once.
const LET_IN_TIMEOUT: Duration = Duration::from_secs(10);

/// What the crowd works on.
pub(super) struct Stage {
    pub client: Client,
    /// The event whose line moves at once.
    pub quick: String,
    /// The event whose line hardly moves.
    pub slow: String,
    /// Ids of the hall's seats.
    pub seats: Vec<String>,
    /// Names of the hall's categories.
    pub categories: Vec<String>,
    /// An administrator's bearer token.
    pub admin: String,
    /// Somebody who was let into the quick event at the beginning, and stays: bearer and queue token.
    pub observer: (String, String),
    tokens: AccessTokens,
}

impl Stage {
    /// Makes venue, hall and events.
    pub(super) async fn make(client: Client) -> Result<Self, CrashError> {
        let tokens = AccessTokens::new(JWT_SECRET.as_bytes(), Revoked::default());
        let admin = mint(&tokens, BuyerId(uuid::Uuid::new_v4()), Role::Admin);
        let made = async |path: String, body: Value| -> Result<Value, CrashError> {
            let answer = client.send(&Call::post(path, &body).bearer(&admin)).await;
            let answer = answer.map_err(|error| CrashError::Stage(error.to_string()))?;
            if answer.status == 201 { Ok(answer.json()) } else { Err(refused(&answer)) }
        };
        let venue = json!({ "name": "Crash Hall", "address": "1 Main Street", "city": "Seoul" });
        let venue = made("/api/v1/venues".into(), venue).await?;
        let hall = made(format!("/api/v1/venues/{}/halls", text(&venue, "id")), hall()).await?;
        let hall_id = text(&hall, "id");
        let quick = made("/api/v1/events".into(), event("Quick", hall_id, 100_000)).await?;
        let slow = made("/api/v1/events".into(), event("Slow", hall_id, 1)).await?;
        let quick = text(&quick, "id").to_owned();
        let map = client.send(&Call::get(format!("/api/v1/events/{quick}/seats"))).await;
        let seats = plan_seats(&map.map_err(|error| CrashError::Stage(error.to_string()))?.json());
        if seats.len() != ROWS * SEATS_PER_ROW {
            return Err(CrashError::Stage(format!("the seat map has {} seats", seats.len())));
        }
        let observer = let_in(&client, mint(&tokens, BuyerId(uuid::Uuid::new_v4()), Role::User), &quick).await?;
        let categories = ["VIP", "R", "S"].map(str::to_owned).to_vec();
        Ok(Self { slow: text(&slow, "id").to_owned(), client, quick, seats, categories, admin, observer, tokens })
    }

    /// A new buyer's bearer token.
    pub(super) fn mint(&self, rng: &mut StdRng) -> String {
        let buyer = uuid::Builder::from_random_bytes(rng.random()).into_uuid();
        mint(&self.tokens, BuyerId(buyer), Role::User)
    }
}

fn mint(tokens: &AccessTokens, buyer: BuyerId, role: Role) -> String {
    let now = Timestamp(jiff::Timestamp::now().as_microsecond());
    tokens.mint(buyer, role, now).map(|minted| minted.token).unwrap_or_default()
}

/// Enters, and waits for the queue token.
async fn let_in(client: &Client, bearer: String, event: &str) -> Result<(String, String), CrashError> {
    let enter = Call::post("/api/v1/queue/enter", &json!({ "eventId": event })).bearer(&bearer);
    let status = Call::get(format!("/api/v1/queue/status?eventId={event}")).bearer(&bearer);
    let until = Instant::now() + LET_IN_TIMEOUT;
    let mut answer = client.send(&enter).await?;
    while answer.status == 200 && Instant::now() < until {
        let place = answer.json();
        if text(&place, "status") == "ACTIVE" {
            return Ok((bearer, text(&place, "token").to_owned()));
        }
        tokio::time::sleep(POLL).await;
        answer = client.send(&status).await?;
    }
    Err(refused(&answer))
}

fn refused(answer: &Answered) -> CrashError {
    CrashError::Stage(format!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)))
}

fn hall() -> Value {
    let rows: Vec<String> = (1..=ROWS).map(|row| format!("R{row}")).collect();
    let grade = |at: usize| match at * 10 / ROWS {
        0..2 => "VIP",
        2..5 => "R",
        _ => "S",
    };
    let grades: serde_json::Map<String, Value> =
        rows.iter().enumerate().map(|(at, row)| (row.clone(), grade(at).into())).collect();
    json!({ "name": "Main", "seatTemplate": { "rows": rows, "seatsPerRow": SEATS_PER_ROW, "gradeMapping": grades } })
}

/// An event that is on sale now; nothing of it expires while the test runs.
fn event(title: &str, hall: &str, rate: u32) -> Value {
    let at = |hours: i64| (jiff::Timestamp::now() + hours.hours()).to_string();
    json!({
        "title": title, "artist": "The Crashers", "hallId": hall, "currency": "KRW",
        "startsAt": at(24 * 30), "endsAt": at(24 * 30 + 3), "saleStartsAt": at(-1), "saleEndsAt": at(24 * 20),
        "prices": { "VIP": 150_000, "R": 99_000, "S": 66_000 },
        "maxSeatsPerBuyer": 8, "holdSeconds": 3600,
        "admission": {
            "required": true, "ratePerSecond": rate, "capacity": 1_000_000, "tokenSeconds": 86_400, "absentSeconds": 86_400,
            "maxHoldsPerSlot": 10_000,
        },
    })
}

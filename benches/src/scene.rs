//! What load is put on: halls of any size from a template, events in them that are on sale, numbered buyers with
//! tokens, and the requests that they send. Everything is a function of its numbers, so that runs are alike.

use crate::http1::{request, request_with};
use crate::process::JWT_SECRET;
use jiff::ToSpan;
use onsale_engine::id::BuyerId;
use onsale_engine::ports::accounts::Role;
use onsale_engine::time::Timestamp;
use onsale_server::auth::{AccessTokens, Revoked};
use onsale_server::client::{Call, Client};
use serde_json::{Map, Value, json};
use std::sync::atomic::{AtomicU64, Ordering};
use uuid::Uuid;

/// Where seats are held.
pub const HOLD_PATH: &str = "/api/v1/reservations/hold";
/// Seats in one hold.
pub const SEATS_PER_HOLD: u64 = 2;
/// Seats that one buyer may have of an event: two holds.
pub const SEATS_PER_BUYER: u64 = 4;
/// The most seats in a row of a template, and the most rows.
pub const MOST_SEATS_PER_ROW: u64 = 1000;

/// Something could not be put on the stage.
#[derive(Debug, thiserror::Error)]
#[error("the scene could not be set: {0}")]
pub struct SceneError(pub String);

/// Makes halls, events and tokens on one server.
pub struct Scene {
    client: Client,
    tokens: AccessTokens,
    admin: String,
    answers: AtomicU64,
}

/// A hall of `rows` rows, `R1` to `R…`, each with as many seats.
#[derive(Clone, Debug)]
pub struct Hall {
    /// Its id.
    pub id: String,
    /// Seats in a row; even, so that holds are pairs.
    pub seats_per_row: u64,
    /// Rows.
    pub rows: u64,
}

impl Hall {
    /// Holds of two seats that the hall has room for.
    #[must_use]
    pub fn pairs(&self) -> u64 {
        self.rows * self.seats_per_row / SEATS_PER_HOLD
    }

    /// The body of the hold of the `n`-th pair of seats.
    #[must_use]
    pub fn hold_body(&self, event: &str, n: u64) -> String {
        let in_row = self.seats_per_row / SEATS_PER_HOLD;
        let (row, seat) = (n / in_row % self.rows + 1, n % in_row * SEATS_PER_HOLD + 1);
        format!(r#"{{"eventId":"{event}","seatIds":["R{row}-{seat}","R{row}-{}"]}}"#, seat + 1)
    }
}

/// The buyer of that number.
#[must_use]
pub fn buyer(n: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(
        u128::from(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | 0x8000_0000_0000_0000 | u128::from(n),
    ))
}

/// The whole request of a hold.
#[must_use]
pub fn hold_request(hall: &Hall, event: &str, n: u64, bearer: &str) -> Vec<u8> {
    request_with("POST", HOLD_PATH, bearer, &hall.hold_body(event, n))
}

/// The whole request of a status read.
#[must_use]
pub fn status_request(event: &str, bearer: &str) -> Vec<u8> {
    request("GET", &status_path(event), bearer)
}

/// Where a buyer's place is read.
#[must_use]
pub fn status_path(event: &str) -> String {
    format!("/api/v1/queue/status?eventId={event}")
}

/// The body of a venue.
pub(crate) fn venue_json() -> Value {
    json!({ "name": "Load Hall", "address": "1 Main Street", "city": "Seoul" })
}

/// The body of a hall of so many rows; a quarter of them is dearer.
pub(crate) fn hall_json(rows: u64, seats_per_row: u64) -> Value {
    let names: Vec<String> = (1..=rows).map(|row| format!("R{row}")).collect();
    let grade = |at: usize| if at * 4 < names.len() { "VIP" } else { "S" };
    let grades: Map<String, Value> =
        names.iter().enumerate().map(|(at, name)| (name.clone(), grade(at).into())).collect();
    let template = json!({ "rows": names, "seatsPerRow": seats_per_row, "gradeMapping": grades });
    json!({ "name": "Main", "seatTemplate": template })
}

/// The body of an event a month from `now`, whose sale opens then, with these rules of admission.
pub(crate) fn event_json(hall: &Hall, now: jiff::Timestamp, opens: jiff::Timestamp, admission: Value) -> Value {
    let at = |hours: i64| (now + hours.hours()).to_string();
    json!({
        "title": "Load", "artist": "The Loaders", "hallId": hall.id, "currency": "KRW",
        "startsAt": at(24 * 30), "endsAt": at(24 * 30 + 3), "saleStartsAt": opens.to_string(), "saleEndsAt": at(24 * 20),
        "prices": if hall.rows > 1 { json!({ "VIP": 150_000, "S": 66_000 }) } else { json!({ "VIP": 150_000 }) },
        "maxSeatsPerBuyer": SEATS_PER_BUYER, "holdSeconds": 3600, "admission": admission,
    })
}

/// Rules of admission under which a line hardly moves.
pub(crate) fn slow_admission() -> Value {
    json!({ "required": true, "ratePerSecond": 1, "capacity": 10_000_000, "tokenSeconds": 86_400, "absentSeconds": 86_400 })
}

impl Scene {
    /// A stage on the server behind `client`, which must sign with [`JWT_SECRET`].
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self::signed(client, JWT_SECRET.as_bytes())
    }

    /// A stage on the server behind `client`, which signs with `secret`.
    #[must_use]
    pub fn signed(client: Client, secret: &[u8]) -> Self {
        let tokens = AccessTokens::new(secret, Revoked::default());
        let admin = mint(&tokens, buyer(u64::MAX), Role::Admin);
        Self { client, tokens, admin, answers: AtomicU64::new(0) }
    }

    /// A buyer's bearer token; all of them have the same length.
    #[must_use]
    pub fn token(&self, buyer: BuyerId) -> String {
        mint(&self.tokens, buyer, Role::User)
    }

    /// A hall of at least `seats` seats.
    ///
    /// # Errors
    /// [`SceneError`].
    pub async fn hall(&self, seats: u64) -> Result<Hall, SceneError> {
        let seats_per_row = seats.isqrt().next_multiple_of(SEATS_PER_HOLD).clamp(SEATS_PER_HOLD, MOST_SEATS_PER_ROW);
        let rows = seats.div_ceil(seats_per_row);
        let venue = self.made("/api/v1/venues", &venue_json()).await?;
        let hall = hall_json(rows, seats_per_row);
        let hall = self.made(&format!("/api/v1/venues/{}/halls", id(&venue)), &hall).await?;
        Ok(Hall { id: id(&hall), seats_per_row, rows })
    }

    /// An event that is on sale now, without an admission to wait for.
    ///
    /// # Errors
    /// [`SceneError`].
    pub async fn open_event(&self, hall: &Hall) -> Result<String, SceneError> {
        self.event(hall, opened(), json!({ "required": false })).await
    }

    /// An event that is on sale now, with a line that hardly moves.
    ///
    /// # Errors
    /// [`SceneError`].
    pub async fn queued_event(&self, hall: &Hall) -> Result<String, SceneError> {
        self.event(hall, opened(), slow_admission()).await
    }

    /// An event whose sale opens then, with these rules of admission.
    ///
    /// # Errors
    /// [`SceneError`].
    pub async fn event(&self, hall: &Hall, opens: jiff::Timestamp, admission: Value) -> Result<String, SceneError> {
        let event = event_json(hall, jiff::Timestamp::now(), opens, admission);
        Ok(id(&self.made("/api/v1/events", &event).await?))
    }

    async fn made(&self, path: &str, body: &Value) -> Result<Value, SceneError> {
        let answer = self.client.send(&Call::post(path, body).bearer(&self.admin)).await;
        let answer = answer.map_err(|error| SceneError(format!("{path}: {error}")))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        if answer.status == 201 {
            return Ok(answer.json());
        }
        Err(SceneError(format!("{path}: {}: {}", answer.status, String::from_utf8_lossy(&answer.body))))
    }

    /// An event, as anybody may read it.
    ///
    /// # Errors
    /// [`SceneError`], also when there is no such event.
    pub async fn read_event(&self, event: &str) -> Result<Value, SceneError> {
        let answer = self.client.send(&Call::get(format!("/api/v1/events/{event}"))).await;
        let answer = answer.map_err(|error| SceneError(format!("event {event}: {error}")))?;
        self.answers.fetch_add(1, Ordering::Relaxed);
        if answer.status == 200 {
            Ok(answer.json())
        } else {
            Err(SceneError(format!("event {event}: {}", answer.code())))
        }
    }

    /// Seats of an event that are held, as anybody may read.
    ///
    /// # Errors
    /// [`SceneError`].
    pub async fn held(&self, event: &str) -> Result<u64, SceneError> {
        let json = self.read_event(event).await?;
        json["seats"]["held"].as_u64().ok_or_else(|| SceneError(format!("event {event} has no seats: {json}")))
    }

    /// How many answers the stage itself got, but for those of [`Scene::metric`].
    #[must_use]
    pub fn answers(&self) -> u64 {
        self.answers.load(Ordering::Relaxed)
    }

    /// A gauge or counter without labels, by its name.
    ///
    /// # Errors
    /// [`SceneError`] also when there is none of that name.
    pub async fn metric(&self, name: &str) -> Result<f64, SceneError> {
        let answer = self.client.send(&Call::get("/metrics")).await;
        let answer = answer.map_err(|error| SceneError(format!("metrics: {error}")))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok());
        value.ok_or_else(|| SceneError(format!("there is no metric {name}")))
    }
}

fn mint(tokens: &AccessTokens, buyer: BuyerId, role: Role) -> String {
    let now = Timestamp(jiff::Timestamp::now().as_microsecond());
    tokens.mint(buyer, role, now).map(|minted| minted.token).unwrap_or_default()
}

/// When a sale has opened that is on now.
fn opened() -> jiff::Timestamp {
    jiff::Timestamp::now() - 1.hour()
}

fn id(made: &Value) -> String {
    made["id"].as_str().unwrap_or_default().to_owned()
}

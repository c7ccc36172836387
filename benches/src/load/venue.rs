//! The event that the load is for: found, or made in a hall of its own. Must never change an event that it has not made.

use super::error::LoadError;
use super::field::Field;
use crate::scene::Hall;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

/// The rules of the event, as anybody may read them.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub rate: u64,
    /// How long a queue token lives, in microseconds.
    pub token_micros: i64,
    pub absent_after: Duration,
    /// When the sale opens.
    pub opens: Timestamp,
    /// Whether the order of those who come before the opening is drawn.
    pub is_drawn: bool,
    /// Categories, each with its price.
    pub prices: Vec<(String, i64)>,
}

/// The event to be created.
pub(super) struct EventRequest {
    pub seats: u64,
    pub opens: Timestamp,
    pub admission: Value,
}

impl EventRequest {
    /// An event of which everybody waits for their turn.
    pub(super) fn queued(field: &Field, seats: u64, opens: Timestamp) -> Self {
        let (made, absent) = (&field.settings.made, field.settings.made.absent_after.as_secs());
        let admission = json!({
            "required": true, "ratePerSecond": made.rate, "capacity": made.capacity, "tokenSeconds": 3600,
            "absentSeconds": absent,
        });
        Self { seats, opens, admission }
    }

    /// An event that anybody may shop at.
    pub(super) fn open(seats: u64) -> Self {
        let opens = Timestamp::now() - jiff::SignedDuration::from_hours(1);
        Self { seats, opens, admission: json!({ "required": false }) }
    }
}

/// Finds the event that was named, or makes one; the hall is known only of one that was made.
pub(super) async fn prepare(
    field: &Field,
    request: impl FnOnce() -> EventRequest,
) -> Result<(Rules, Option<Hall>), LoadError> {
    let (event, hall) = match field.settings.event {
        Some(event) => (event.to_string(), None),
        None => {
            let request = request();
            let hall = field.scene.hall(field.settings.made.seats.unwrap_or(request.seats)).await?;
            (field.scene.event(&hall, request.opens, request.admission).await?, Some(hall))
        }
    };
    let json = field.scene.read_event(&event).await?;
    let rules = read_rules(&json).ok_or_else(|| LoadError::Target(format!("event {event} is answered as {json}")))?;
    *field.event.borrow_mut() = event;
    Ok((rules, hall))
}

fn read_rules(event: &Value) -> Option<Rules> {
    let admission = event.get("admission")?;
    let number = |name: &str| admission.get(name).and_then(Value::as_u64);
    let price = |category: &Value| Some((category.get("name")?.as_str()?.to_owned(), category.get("price")?.as_i64()?));
    Some(Rules {
        rate: number("ratePerSecond")?,
        token_micros: i64::try_from(number("tokenSeconds")?).ok()? * 1_000_000,
        absent_after: Duration::from_secs(number("absentSeconds")?),
        opens: event.get("saleStartsAt")?.as_str()?.parse().ok()?,
        is_drawn: admission.get("draw").and_then(Value::as_bool).unwrap_or(false),
        prices: event.get("categories")?.as_array()?.iter().filter_map(price).collect(),
    })
}

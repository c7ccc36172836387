//! A place as its buyer reads it: JSON, an honest estimate of the wait, and how soon to ask again. Pure; must never
//! look anything up but what it is given.

use crate::auth::Seals;
use crate::time::rfc3339;
use onsale_engine::id::{EventId, Slot};
use onsale_engine::sale::{AdmissionConfig, PlaceStatus, PlaceView, Sale};
use onsale_engine::time::Timestamp;
use serde::Serialize;

/// What everyone in one waiting room has in common.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// The event.
    pub event: EventId,
    /// When admissions begin.
    pub opens_at: Timestamp,
    /// Buyers let in per second.
    pub rate_per_second: u32,
    /// Whether nobody is let in for now: paused, closed, or nothing to sell.
    pub held_up: bool,
    /// What an operator, or the state of the seats, has to say.
    pub message: Option<Box<str>>,
    /// The room's rules.
    pub rules: AdmissionConfig,
    /// What tells this line from one of another journal: tickets name it.
    pub incarnation: u64,
}

impl Room {
    /// The waiting room of a sale that has its rules.
    #[must_use]
    pub fn of(event: EventId, sale: &Sale) -> Option<Self> {
        let (config, steering) = (sale.config()?, sale.steering()?.steering);
        let counts = sale.counts();
        let sold_out = (counts.available == 0).then(|| {
            let rest = if counts.held > 0 { "some are being paid for and may come back" } else { "all are sold" };
            format!("There are no free seats right now: {rest}. Your place is kept.").into_boxed_str()
        });
        Some(Self {
            event,
            opens_at: config.sale_starts_at,
            rate_per_second: steering.rate_per_second,
            held_up: steering.paused || steering.closed || sold_out.is_some(),
            message: steering.message.or(sold_out),
            rules: config.admission.clone(),
            incarnation: sale.incarnation(),
        })
    }

    /// How soon a buyer should ask again, so that all of them together stay within the budget of reads.
    #[must_use]
    pub fn poll_after_seconds(&self, total_in_queue: u64) -> u64 {
        self.rules.poll_after(total_in_queue).as_secs()
    }
}

/// A place in every answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PlaceJson<'a> {
    event_id: String,
    status: &'static str,
    rank: Option<u64>,
    estimated_wait_seconds: Option<u64>,
    total_in_queue: u64,
    token: Option<String>,
    token_expires_at: Option<String>,
    ticket: Option<String>,
    poll_after_seconds: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

impl<'a> PlaceJson<'a> {
    /// Writes a place down.
    #[must_use]
    pub fn new(place: &PlaceView, room: &'a Room, seals: &Seals, now: Timestamp) -> Self {
        let total = place.total_in_queue;
        let (status, rank, wait, until) = match place.status {
            PlaceStatus::PreQueue { rank } => {
                // A drawn order is not known yet: half of the line is as likely as anything.
                let wait = estimate(room, rank.unwrap_or(total.div_ceil(2)), now);
                ("PRE_QUEUE", rank, wait, None)
            }
            PlaceStatus::Waiting { rank } => ("WAITING", Some(rank), estimate(room, rank, now), None),
            PlaceStatus::Active { slot, expires_at } => ("ACTIVE", Some(0), None, Some((slot, expires_at))),
            PlaceStatus::Expired => ("EXPIRED", None, None, None),
        };
        let in_line = matches!(status, "PRE_QUEUE" | "WAITING");
        Self {
            event_id: room.event.to_string(),
            status,
            rank,
            estimated_wait_seconds: wait,
            total_in_queue: total,
            token: until.map(|(slot, ends)| seals.queue_token(room.event, place.buyer, slot.unwrap_or(Slot(0)), ends)),
            token_expires_at: until.map(|(_, ends)| rfc3339(ends)),
            ticket: place.ordinal.map(|ordinal| seals.place_ticket(room.event, place.buyer, ordinal, room.incarnation)),
            poll_after_seconds: room.poll_after_seconds(total),
            message: room.message.as_deref().filter(|_| in_line),
        }
    }
}

/// Until somebody of that rank is let in at the steered rate; none while nobody is let in.
fn estimate(room: &Room, rank: u64, now: Timestamp) -> Option<u64> {
    let until_opening = room.opens_at.since(now).as_micros().div_ceil(1_000_000);
    let in_line = rank.div_ceil(u64::from(room.rate_per_second.max(1)));
    (!room.held_up).then(|| u64::try_from(until_opening).unwrap_or(u64::MAX).saturating_add(in_line))
}

#[cfg(test)]
pub(in crate::queue) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{BuyerId, Ordinal};
    use serde_json::{Value, json};
    use std::time::Duration;
    use uuid::Uuid;

    const NOW: Timestamp = Timestamp::from_secs(1_780_308_000);

    pub(in crate::queue) fn rules() -> AdmissionConfig {
        AdmissionConfig {
            required: true,
            rate_per_second: 10,
            capacity: 50_000,
            active_limit: None,
            token: Duration::from_secs(600),
            absent: Duration::from_secs(300),
            draw: false,
            room_opens_at: None,
        }
    }

    fn room() -> Room {
        Room {
            event: EventId(Uuid::from_u128(1)),
            opens_at: Timestamp::from_secs(1_780_308_060),
            rate_per_second: 10,
            held_up: false,
            message: None,
            rules: rules(),
            incarnation: 0,
        }
    }

    fn shown(status: PlaceStatus, room: &Room, now: Timestamp) -> Value {
        let buyer = BuyerId(Uuid::from_u128(2));
        let place = PlaceView { buyer, ordinal: Some(Ordinal(7)), status, total_in_queue: 95 };
        let seals = Seals::new(b"an example secret of 32 bytes or more");
        serde_json::to_value(PlaceJson::new(&place, room, &seals, now)).unwrap()
    }

    #[test]
    fn every_status_tells_what_the_contract_says() {
        let check = |status: PlaceStatus, now: Timestamp, expected: Value| {
            let told = shown(status, &room(), now);
            let members = ["status", "rank", "estimatedWaitSeconds", "tokenExpiresAt"];
            assert_eq!(Value::from_iter(members.map(|name| (name, told[name].clone()))), expected);
            assert_eq!(told["token"].is_null(), told["tokenExpiresAt"].is_null());
            assert!(told["ticket"].as_str().unwrap().starts_with("pt_"));
        };
        let later = NOW + Duration::from_secs(100);
        let told = |status: &str, rank: Value, wait: Value, until: Value| json!({ "status": status, "rank": rank, "estimatedWaitSeconds": wait, "tokenExpiresAt": until });
        let none = || Value::Null;
        check(PlaceStatus::PreQueue { rank: Some(21) }, NOW, told("PRE_QUEUE", json!(21), json!(63), none()));
        check(PlaceStatus::PreQueue { rank: None }, NOW, told("PRE_QUEUE", none(), json!(65), none()));
        check(PlaceStatus::Waiting { rank: 21 }, later, told("WAITING", json!(21), json!(3), none()));
        let active = PlaceStatus::Active { slot: Some(Slot(3)), expires_at: Timestamp::from_secs(1_780_308_600) };
        check(active, later, told("ACTIVE", json!(0), none(), json!("2026-06-01T10:10:00Z")));
        check(PlaceStatus::Expired, later, told("EXPIRED", none(), none(), none()));
    }

    #[test]
    fn nobody_is_told_a_time_while_nobody_is_let_in() {
        let paused = Room { held_up: true, message: Some("Back at ten".into()), ..room() };
        let told = shown(PlaceStatus::Waiting { rank: 1 }, &paused, NOW);
        assert_eq!((&told["estimatedWaitSeconds"], &told["message"]), (&Value::Null, &json!("Back at ten")));
        assert!(shown(PlaceStatus::Waiting { rank: 1 }, &room(), NOW).get("message").is_none());
    }

    #[test]
    fn polling_stays_within_its_budget_and_within_the_silence_allowed() {
        let check = |total: u64, absent: u64, expected: u64| {
            let rules = AdmissionConfig { absent: Duration::from_secs(absent), ..rules() };
            let room = Room { rules, ..room() };
            assert_eq!(room.poll_after_seconds(total), expected, "{total} waiting, {absent} s of silence");
        };
        check(0, 300, 2);
        check(20_000, 300, 2);
        check(50_000, 300, 5);
        check(1_000_000, 300, 15);
        check(1_000_000, 9, 3);
        check(50_000, 1, 1);
    }
}

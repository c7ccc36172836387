//! A place as its buyer reads it: JSON, an honest estimate of the wait, and how soon to ask again. Pure; must never
//! look anything up but what it is given.

use crate::auth::TokenSigner;
use crate::http::{ObjectText, member};
use crate::queue::notice::{Notice, Notices};
use crate::queue::pace::Paces;
use crate::time::{rfc3339, rfc3339_millis};
use onsale_engine::id::{EventId, Slot};
use onsale_engine::plan::Plan;
use onsale_engine::sale::{AdmissionConfig, PlaceStatus, PlaceView, Sale, SteeringView};
use onsale_engine::time::Timestamp;
use smallvec::SmallVec;
use std::sync::Arc;
use uuid::Uuid;

/// Where there is no limit, pauses make a line this many times slower at the most, in estimates.
const SLOWEST_SHARE: u64 = 10;

/// Free seats in each category.
pub type Left = SmallVec<[u32; 8]>;

/// What everyone in one waiting room has in common.
#[derive(Clone, Debug)]
pub struct Room {
    /// The event.
    pub event: EventId,
    /// When admissions begin.
    pub opens_at: Timestamp,
    /// When everything ends.
    pub ends_at: Timestamp,
    /// Buyers let in per second.
    pub rate_per_second: u32,
    /// Whether nobody is let in for now: paused, closed, or nothing to sell.
    pub held_up: bool,
    /// What an operator, or the state of the sale, has to say.
    pub message: Option<Box<str>>,
    /// The same in words for pages.
    pub notices: Notices,
    /// The room's rules.
    pub rules: AdmissionConfig,
    /// Buyers shopping at the same time at the most, as it is steered.
    pub active_limit: Option<u64>,
    /// Admissions in a thousand seconds, as they were measured of late.
    pub pace: Option<u64>,
    /// Free seats in each category, in the plan's order.
    pub left: Left,
    /// The hall, which names the categories.
    pub plan: Option<Arc<Plan>>,
    /// Distinguishes this line from one of another journal: tickets name it.
    pub incarnation: u64,
}

impl Room {
    /// The waiting room of a sale that has its rules.
    #[must_use]
    pub fn of(event: EventId, sale: &Sale, paces: &Paces, now: Timestamp) -> Option<Self> {
        let (config, SteeringView { steering, waiting, admitted_total, .. }) = (sale.config()?, sale.steering()?);
        let pace = paces.of(event);
        pace.note(now, admitted_total, waiting > 0 && now >= config.sale_starts_at);
        let notices = Notices::of(sale, &steering, now);
        let own = steering.message.filter(|_| notices.over.is_none());
        Some(Self {
            event,
            opens_at: config.sale_starts_at,
            ends_at: config.sale_ends_at,
            rate_per_second: steering.rate_per_second,
            held_up: steering.paused || notices.waiting.is_some(),
            message: own.or_else(|| notices.sentence().map(Box::from)),
            notices,
            rules: config.admission.clone(),
            active_limit: steering.active_limit,
            pace: pace.per_thousand_seconds(),
            left: sale.category_counts().iter().map(|counts| counts.available).collect(),
            plan: sale.plan().cloned(),
            incarnation: sale.incarnation(),
        })
    }

    /// How soon a buyer should ask again, so that all of them together stay within the budget of reads.
    #[must_use]
    pub fn poll_after_seconds(&self, total_in_queue: u64) -> u64 {
        self.rules.poll_after(total_in_queue).as_secs()
    }
}

/// Bytes that a place is expected to take.
const PLACE_BYTES: usize = 768;

/// A place in every answer.
#[derive(Debug)]
pub struct PlaceJson<'a> {
    room: &'a Room,
    status: &'static str,
    rank: Option<u64>,
    estimated_wait_seconds: Option<u64>,
    total_in_queue: u64,
    token: Option<String>,
    token_expires_at: Option<Timestamp>,
    ticket: Option<String>,
    notice: Option<&'static str>,
    /// The server's clock, for countdowns.
    now: Timestamp,
    message: Option<&'a str>,
}

impl<'a> PlaceJson<'a> {
    /// Writes a place down.
    #[must_use]
    pub fn new(place: &PlaceView, room: &'a Room, signer: &TokenSigner, now: Timestamp) -> Self {
        let total = place.total_in_queue;
        let (status, rank, wait, until) = match place.status {
            PlaceStatus::PreQueue { rank } => {
                // A drawn order is not known yet: half of the line is as likely as anything.
                let wait = estimate(room, rank.unwrap_or(total.div_ceil(2)), now);
                ("PRE_QUEUE", rank, wait, None)
            }
            PlaceStatus::Waiting { rank } => ("WAITING", Some(rank), estimate(room, rank, now), None),
            PlaceStatus::Active { slot, expires_at, may_hold } => {
                ("ACTIVE", Some(0), None, Some((slot, expires_at, may_hold)))
            }
            PlaceStatus::Expired => ("EXPIRED", None, None, None),
        };
        let notice = room.notices.to(&place.status);
        // A message for the line is none for shoppers.
        let says = matches!(status, "PRE_QUEUE" | "WAITING") || notice.is_some();
        Self {
            room,
            status,
            rank,
            estimated_wait_seconds: wait,
            total_in_queue: total,
            // A token that makes no hold any more is not shown; who has it goes on reading with it.
            token: until
                .filter(|(_, _, may_hold)| *may_hold)
                .map(|(slot, ends, _)| signer.queue_token(room.event, place.buyer, slot.unwrap_or(Slot(0)), ends)),
            token_expires_at: until.map(|(_, ends, _)| ends),
            ticket: place
                .ordinal
                .map(|ordinal| signer.place_ticket(room.event, place.buyer, ordinal, room.incarnation)),
            notice: notice.map(Notice::word),
            now,
            message: room.message.as_deref().filter(|_| says),
        }
    }

    /// The answer's text.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        let mut object = ObjectText::with_capacity(PLACE_BYTES);
        let mut event = Uuid::encode_buffer();
        object.text(member!("eventId"), self.room.event.0.hyphenated().encode_lower(&mut event));
        object.text(member!("status"), self.status);
        object.number_or_null(member!("rank"), self.rank);
        object.number_or_null(member!("estimatedWaitSeconds"), self.estimated_wait_seconds);
        object.number(member!("totalInQueue"), self.total_in_queue);
        object.text_or_null(member!("token"), self.token.as_deref());
        object.text_or_null(member!("tokenExpiresAt"), self.token_expires_at.map(rfc3339).as_deref());
        object.text_or_null(member!("ticket"), self.ticket.as_deref());
        object.number(member!("pollAfterSeconds"), self.room.poll_after_seconds(self.total_in_queue));
        if let Some(plan) = &self.room.plan {
            object.objects(
                member!("available"),
                plan.categories().iter().zip(&self.room.left),
                |object, (category, left)| {
                    object.text(member!("category"), &category.name);
                    object.number(member!("available"), u64::from(*left));
                },
            );
        }
        object.text_or_null(member!("notice"), self.notice);
        object.text(member!("now"), &rfc3339_millis(self.now));
        if let Some(message) = self.message {
            object.text(member!("message"), message);
        }
        object.end()
    }
}

/// Until somebody of that rank is let in; none while nobody is let in, for nobody knows how long that lasts.
fn estimate(room: &Room, rank: u64, now: Timestamp) -> Option<u64> {
    let until_opening = room.opens_at.since(now).as_micros().div_ceil(1_000_000);
    let in_line = rank.saturating_mul(1000).div_ceil(expected_pace(room));
    (!room.held_up).then(|| u64::try_from(until_opening).unwrap_or(u64::MAX).saturating_add(in_line))
}

/// Admissions to be expected in a thousand seconds: as they were measured, but never more than is steered. Until
/// something is measured the steered rate counts. Below, it is what the limit lets in if everyone inside takes all of
/// their time: a slot returns by then.
fn expected_pace(room: &Room) -> u64 {
    let steered = u64::from(room.rate_per_second.max(1)) * 1000;
    let token = room.rules.token.as_secs().max(1);
    let slowest = match room.active_limit {
        Some(limit) => (limit.saturating_mul(1000) / token).max(1),
        None => steered / SLOWEST_SHARE,
    };
    let slowest = slowest.min(steered);
    room.pace.map_or(steered, |measured| measured.clamp(slowest, steered))
}

#[cfg(test)]
pub(in crate::queue) mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;
    use onsale_engine::id::{BuyerId, Ordinal};
    use serde_json::{Value, json};
    use std::time::Duration;

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
            max_holds_per_slot: 30,
        }
    }

    fn room() -> Room {
        Room {
            event: EventId(Uuid::from_u128(1)),
            opens_at: Timestamp::from_secs(1_780_308_060),
            ends_at: Timestamp::from_secs(1_780_400_000),
            rate_per_second: 10,
            held_up: false,
            message: None,
            notices: Notices::default(),
            rules: rules(),
            active_limit: None,
            pace: None,
            left: Left::default(),
            plan: None,
            incarnation: 0,
        }
    }

    fn shown(status: PlaceStatus, room: &Room, now: Timestamp) -> Value {
        let buyer = BuyerId(Uuid::from_u128(2));
        let place = PlaceView { buyer, ordinal: Some(Ordinal(7)), status, total_in_queue: 95 };
        let signer = TokenSigner::new(b"an example secret of 32 bytes or more");
        serde_json::from_slice(&PlaceJson::new(&place, room, &signer, now).to_json()).unwrap()
    }

    #[test]
    fn every_status_has_what_the_contract_says() {
        let check = |status: PlaceStatus, now: Timestamp, expected: Value| {
            let actual = shown(status, &room(), now);
            let members = ["status", "rank", "estimatedWaitSeconds", "tokenExpiresAt"];
            assert_eq!(Value::from_iter(members.map(|name| (name, actual[name].clone()))), expected);
            let may_hold = matches!(status, PlaceStatus::Active { may_hold: true, .. });
            assert_eq!(actual["token"].as_str().is_some_and(|token| token.starts_with("qr_")), may_hold);
            assert!(actual["ticket"].as_str().unwrap().starts_with("pt_"));
        };
        let later = NOW + Duration::from_secs(100);
        let answer = |status: &str, rank: Value, wait: Value, until: Value| json!({ "status": status, "rank": rank, "estimatedWaitSeconds": wait, "tokenExpiresAt": until });
        let none = || Value::Null;
        check(PlaceStatus::PreQueue { rank: Some(21) }, NOW, answer("PRE_QUEUE", json!(21), json!(63), none()));
        check(PlaceStatus::PreQueue { rank: None }, NOW, answer("PRE_QUEUE", none(), json!(65), none()));
        check(PlaceStatus::Waiting { rank: 21 }, later, answer("WAITING", json!(21), json!(3), none()));
        for may_hold in [true, false] {
            let expires_at = Timestamp::from_secs(1_780_308_600);
            let active = PlaceStatus::Active { slot: Some(Slot(3)), expires_at, may_hold };
            check(active, later, answer("ACTIVE", json!(0), none(), json!("2026-06-01T10:10:00Z")));
        }
        check(PlaceStatus::Expired, later, answer("EXPIRED", none(), none(), none()));
    }

    #[test]
    fn no_time_is_estimated_while_nobody_is_let_in() {
        let paused = Room { held_up: true, message: Some("Back at ten".into()), ..room() };
        let actual = shown(PlaceStatus::Waiting { rank: 1 }, &paused, NOW);
        assert_eq!((&actual["estimatedWaitSeconds"], &actual["message"]), (&Value::Null, &json!("Back at ten")));
        assert!(shown(PlaceStatus::Waiting { rank: 1 }, &room(), NOW).get("message").is_none());
    }

    #[test]
    fn a_place_says_why_it_is_over_and_what_time_it_is() {
        let over = Notices { waiting: Some(Notice::Paused), over: Some(Notice::Cancelled), ..Notices::default() };
        let cancelled = Room { message: Some("The event was cancelled.".into()), notices: over, ..room() };
        let json = shown(PlaceStatus::Expired, &cancelled, NOW);
        assert_eq!((&json["notice"], &json["message"]), (&json!("CANCELLED"), &json!("The event was cancelled.")));
        assert_eq!(json["now"], "2026-06-01T10:00:00.000Z");
        let expired = shown(PlaceStatus::Expired, &room(), NOW + Duration::from_micros(1_234_567));
        assert_eq!((&expired["notice"], &expired["now"]), (&Value::Null, &json!("2026-06-01T10:00:01.234Z")));
        let paused = Notices { waiting: Some(Notice::Paused), ..Notices::default() };
        let json = shown(PlaceStatus::Waiting { rank: 1 }, &Room { notices: paused, ..room() }, NOW);
        assert_eq!(json["notice"], "PAUSED");
    }

    #[test]
    fn the_estimate_is_what_was_measured_and_never_better_than_what_is_steered() {
        let open = Room { opens_at: NOW, ..room() };
        let check = |room: &Room, expected: u64| {
            let actual = shown(PlaceStatus::Waiting { rank: 600 }, room, NOW);
            assert_eq!(actual["estimatedWaitSeconds"], expected, "{:?} {:?}", room.pace, room.active_limit);
        };
        check(&open, 60);
        check(&Room { pace: Some(5_000), ..open.clone() }, 120);
        check(&Room { pace: Some(90_000), ..open.clone() }, 60);
        // After a long pause nothing was measured but the pause: it will not be as slow as that.
        check(&Room { pace: Some(0), ..open.clone() }, 600);
        // Thirty at a time for ten minutes each: one in twenty seconds, if everyone takes all of their time.
        let limited = Room { active_limit: Some(30), ..open };
        check(&Room { pace: Some(0), ..limited.clone() }, 12_000);
        check(&Room { pace: Some(2_000), ..limited }, 300);
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

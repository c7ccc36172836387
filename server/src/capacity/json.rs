//! A plan as JSON, for scripts: the figures of each rate, and the seconds of the first. Durations are whole seconds after the
//! opening, or null for never; sizes are bytes. Must have the same figures as the text.

use super::outcome::{Outcome, Second};
use crate::config::Config;
use serde_json::{Value, json};
use std::time::Duration;

/// The document of one plan: the rate that was asked for first, then the others.
pub(super) fn plan(title: &str, outcomes: &[Outcome], config: &Config) -> Value {
    let seconds = outcomes.first().map(Outcome::seconds).unwrap_or_default();
    json!({
        "title": title,
        "rates": outcomes.iter().map(|outcome| figures(outcome, config)).collect::<Vec<_>>(),
        "seconds": seconds.iter().map(second).collect::<Vec<_>>(),
    })
}

fn figures(outcome: &Outcome, config: &Config) -> Value {
    let seconds = |after: Option<Duration>| after.map(|after| after.as_secs());
    json!({
        "ratePerSecond": outcome.rate,
        "seats": outcome.seats,
        "lineEmptyAfterSeconds": seconds(outcome.drained_after),
        "soldOutAfterSeconds": seconds(outcome.sold_out_after),
        "seatsSold": outcome.sold,
        "admitted": outcome.admitted,
        "refusedForAFullRoom": outcome.refused_at_the_door,
        "leftTheLine": outcome.left,
        "inLineWhenSoldOut": outcome.left_without,
        "admittedWithoutSeats": outcome.went_without,
        "holdsWon": outcome.holds_won,
        "holdsRefused": outcome.holds_refused,
        "holdsExpired": outcome.holds_expired,
        "paid": outcome.paid,
        "paidTooLate": outcome.paid_too_late,
        "peakRequestsPerSecond": outcome.peak_requests(),
        "peakPeople": outcome.peak_people(),
        "requests": outcome.requests(),
        "facts": outcome.facts,
        "logBytes": outcome.log_bytes(config),
        "memoryBytes": outcome.memory_bytes(config),
    })
}

fn second(second: &Second) -> Value {
    let Second { entered, polls, holds, payments, waiting, active, sold } = *second;
    json!({
        "entered": entered, "polls": polls, "holds": holds, "payments": payments, "waiting": waiting,
        "active": active, "sold": sold, "requests": second.requests(),
    })
}

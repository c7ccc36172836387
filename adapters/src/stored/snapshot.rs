//! The stored form of a sale's snapshot. Its integrity is its keeper's matter; this only refuses what it cannot read.

use super::wire::{Input, Stored};
use super::{DecodeError, find_plan, parts};
use onsale_engine::id::PlanHash;
use onsale_engine::ports::Plans;
use onsale_engine::sale::SaleSnapshot;
use onsale_engine::time::Timestamp;
use serde_json::{Map, Value};

/// The version that is written.
const VERSION: u8 = 4;
/// The one before seats could be kept out of a sale, and events postponed.
const THIRD: u8 = 3;
/// The one before slots had a limit of holds and outcomes could be unmatched.
const SECOND: u8 = 2;
/// The one before draws and tickets.
const FIRST: u8 = 1;

/// The stored form of a snapshot.
#[must_use]
pub fn encode_snapshot(snapshot: &SaleSnapshot) -> Vec<u8> {
    let SaleSnapshot { seq, at, phase, config, plan, steering, tickets, .. } = snapshot;
    let SaleSnapshot { reservations, payments, keys, room, made_at, draw, unmatched, schedule, .. } = snapshot;
    let mut out = vec![VERSION];
    seq.put(&mut out);
    at.put(&mut out);
    phase.put(&mut out);
    config.put(&mut out);
    plan.as_ref().map(|plan| plan.hash()).put(&mut out);
    steering.put(&mut out);
    tickets.put(&mut out);
    reservations.put(&mut out);
    payments.put(&mut out);
    keys.put(&mut out);
    room.put(&mut out);
    made_at.put(&mut out);
    draw.put(&mut out);
    unmatched.put(&mut out);
    schedule.put(&mut out);
    out
}

/// Reads a snapshot back.
///
/// # Errors
/// [`DecodeError`]; any bytes are answered, none panic.
pub fn decode_snapshot(bytes: &[u8], plans: &dyn Plans) -> Result<SaleSnapshot, DecodeError> {
    let mut input = Input::new(bytes);
    let version = match input.byte()? {
        known @ (FIRST | SECOND | THIRD | VERSION) => known,
        other => return Err(DecodeError::malformed(format!("a snapshot of version {other} is not known"))),
    };
    if version < THIRD {
        input.is_before_hold_limits();
    }
    if version < VERSION {
        input.is_before_blocking();
    }
    let input = &mut input;
    let (seq, at, phase, config) =
        (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?, Stored::take(input)?);
    let hash: Option<PlanHash> = Stored::take(input)?;
    let (steering, tickets, reservations) = (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?);
    let (payments, keys) = (Stored::take(input)?, Stored::take(input)?);
    let (room, made_at, draw) = match version {
        FIRST => (parts::take_first_room(input)?, Timestamp(0), None),
        _ => (Stored::take(input)?, Stored::take(input)?, Stored::take(input)?),
    };
    let unmatched = if version >= THIRD { Stored::take(input)? } else { Vec::new() };
    let schedule = if version >= VERSION { Stored::take(input)? } else { None };
    input.end()?;
    let plan = hash.map(|hash| find_plan(plans, hash)).transpose()?;
    Ok(SaleSnapshot {
        seq,
        at,
        phase,
        config,
        plan,
        steering,
        tickets,
        reservations,
        payments,
        keys,
        room,
        made_at,
        draw,
        unmatched,
        schedule,
    })
}

/// Describes a snapshot as JSON, to be read by people.
#[must_use]
pub fn describe_snapshot(snapshot: &SaleSnapshot) -> Value {
    let SaleSnapshot { seq, at, phase, config, plan, steering, tickets, .. } = snapshot;
    let SaleSnapshot { reservations, payments, keys, room, made_at, draw, unmatched, schedule, .. } = snapshot;
    let members = [
        ("seq", seq.describe()),
        ("at", at.describe()),
        ("phase", phase.describe()),
        ("config", config.describe()),
        ("plan", plan.as_ref().map(|plan| plan.hash()).describe()),
        ("steering", steering.describe()),
        ("tickets", tickets.describe()),
        ("reservations", reservations.describe()),
        ("payments", payments.describe()),
        ("keys", keys.describe()),
        ("room", room.describe()),
        ("made_at", made_at.describe()),
        ("draw", draw.describe()),
        ("unmatched", unmatched.describe()),
        ("schedule", schedule.describe()),
    ];
    Value::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}

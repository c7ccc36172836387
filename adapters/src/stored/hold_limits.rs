//! The stored form of what has grown since slots have a limit of holds: as before, and one member more at the end. What was
//! written before is read with the value that it had no word for.

use super::DecodeError;
use super::wire::{Input, Stored};
use onsale_engine::limits::HOLDS_PER_SLOT;
use onsale_engine::sale::{AdmissionConfig, PlaceState};
use serde_json::{Value, json};

impl Stored for AdmissionConfig {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { required, rate_per_second, capacity, active_limit, token, absent, draw, room_opens_at, .. } = self;
        let Self { max_holds_per_slot, .. } = self;
        required.put(out);
        rate_per_second.put(out);
        capacity.put(out);
        active_limit.put(out);
        token.put(out);
        absent.put(out);
        draw.put(out);
        room_opens_at.put(out);
        max_holds_per_slot.put(out);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            required: Stored::take(input)?,
            rate_per_second: Stored::take(input)?,
            capacity: Stored::take(input)?,
            active_limit: Stored::take(input)?,
            token: Stored::take(input)?,
            absent: Stored::take(input)?,
            draw: Stored::take(input)?,
            room_opens_at: Stored::take(input)?,
            max_holds_per_slot: input.since_hold_limits(HOLDS_PER_SLOT)?,
        })
    }

    fn describe(&self) -> Value {
        json!({
            "required": self.required,
            "rate_per_second": self.rate_per_second,
            "capacity": self.capacity,
            "active_limit": self.active_limit,
            "token": self.token.describe(),
            "absent": self.absent.describe(),
            "draw": self.draw,
            "room_opens_at": self.room_opens_at.describe(),
            "max_holds_per_slot": self.max_holds_per_slot,
        })
    }
}

const WAITING: u8 = 1;
const ACTIVE: u8 = 2;
const EXPIRED: u8 = 3;

impl Stored for PlaceState {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Waiting => out.push(WAITING),
            Self::Active { slot, expires_at, holds_made } => {
                out.push(ACTIVE);
                slot.put(out);
                expires_at.put(out);
                holds_made.put(out);
            }
            Self::Expired { at } => {
                out.push(EXPIRED);
                at.put(out);
            }
        }
    }

    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        match input.byte()? {
            WAITING => Ok(Self::Waiting),
            ACTIVE => Ok(Self::Active {
                slot: Stored::take(input)?,
                expires_at: Stored::take(input)?,
                holds_made: input.since_hold_limits(0)?,
            }),
            EXPIRED => Ok(Self::Expired { at: Stored::take(input)? }),
            other => Err(DecodeError::malformed(format!("no PlaceState has the number {other}"))),
        }
    }

    fn describe(&self) -> Value {
        match self {
            Self::Waiting => Value::from("Waiting"),
            Self::Active { slot, expires_at, holds_made } => {
                json!({ "Active": { "slot": slot.describe(), "expires_at": expires_at.describe(), "holds_made": holds_made } })
            }
            Self::Expired { at } => json!({ "Expired": { "at": at.describe() } }),
        }
    }
}

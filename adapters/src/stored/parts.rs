//! The stored form of what facts and snapshots consist of: ids, amounts, instants, rules, views. A struct is its
//! members in order; an enum is the number of its variant and then that variant's members. Numbers and orders are for
//! good: what changes gets a new version of the fact's or snapshot's form.

use super::DecodeError;
use super::wire::{Input, Stored, put_varint};
use onsale_engine::id::{
    BuyerId, Epoch, EventId, Ordinal, PaymentId, PlanHash, ReservationId, SeatIndex, Seq, Slot, TicketSerial,
};
use onsale_engine::money::{Amount, Currency};
use onsale_engine::sale::draw::{DrawHash, DrawSeed};
use onsale_engine::sale::{
    CohortRow, DrawRow, KeyRow, LostRow, MoneyMoved, PaymentFailure, PaymentRow, PaymentStatus, PaymentView, PlaceRow,
    RefundReason, RememberedAnswer, RequestKey, RescheduleCause, ReservationRow, ReservationStatus, ReservationView,
    SalePhase, Schedule, Seats, Steering, UnmatchedRow, WaitingRoomSnapshot,
};
use onsale_engine::time::Timestamp;
use serde_json::{Map, Value};
use std::time::Duration;
use uuid::Uuid;

macro_rules! uuids {
    ($($type:ident),*) => {$(
        impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(self.0.as_bytes());
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Ok(Self(Uuid::from_bytes(input.array()?)))
            }
            fn describe(&self) -> Value {
                Value::from(self.to_string())
            }
        }
    )*};
}
uuids!(BuyerId, ReservationId, PaymentId);

macro_rules! numbers {
    ($($type:ident),*) => {$(
        impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                self.0.put(out);
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                Ok(Self(Stored::take(input)?))
            }
            fn describe(&self) -> Value {
                Value::from(self.0)
            }
        }
    )*};
}
numbers!(SeatIndex, Ordinal, Slot, Seq, Epoch, TicketSerial, Amount);

impl Stored for Timestamp {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0.to_be_bytes());
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self(i64::from_be_bytes(input.array()?)))
    }
    fn describe(&self) -> Value {
        crate::rfc3339::write(*self).map_or_else(|| Value::from(self.0), Value::from)
    }
}

impl Stored for Duration {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, u64::try_from(self.as_micros()).unwrap_or(u64::MAX));
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self::from_micros(input.varint()?))
    }
    fn describe(&self) -> Value {
        Value::from(format!("{self:?}"))
    }
}

impl Stored for Currency {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.code().as_bytes());
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let code = input.take(3)?;
        let currency = std::str::from_utf8(code).ok().and_then(|code| code.parse().ok());
        currency.ok_or_else(|| DecodeError::malformed("not a currency"))
    }
    fn describe(&self) -> Value {
        Value::from(self.code())
    }
}

impl Stored for PlanHash {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self(input.array()?))
    }
    fn describe(&self) -> Value {
        Value::from(self.to_string())
    }
}

impl Stored for DrawHash {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self(input.array()?))
    }
    fn describe(&self) -> Value {
        Value::from(self.to_string())
    }
}

impl Stored for DrawSeed {
    fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self(input.array()?))
    }
    /// A seed is a secret until it is drawn, and a description may be printed at any time: only its hash is described.
    fn describe(&self) -> Value {
        Value::from(format!("committed to by {}", self.commitment()))
    }
}

/// Two of a kind.
impl<A: Stored, B: Stored> Stored for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok((A::take(input)?, B::take(input)?))
    }
    fn describe(&self) -> Value {
        Value::from_iter([self.0.describe(), self.1.describe()])
    }
}

impl Stored for Seats {
    fn put(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u64);
        self.iter().for_each(|seat| seat.put(out));
    }
    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        let length = input.length()?;
        (0..length).map(|_| SeatIndex::take(input)).collect()
    }
    fn describe(&self) -> Value {
        self.iter().map(Stored::describe).collect()
    }
}

/// What a member is called in the readable form: its name, or the one that it had when the first samples were written.
macro_rules! key {
    ($member:ident) => {
        stringify!($member)
    };
    ($member:ident $key:literal) => {
        $key
    };
}

/// Members in their stored order; the struct patterns name every member, so that none can be forgotten.
macro_rules! structs {
    ($($type:ident { $($member:ident $(= $key:literal)?),* $(,)? })*) => {$(
        impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                let Self { $($member),* } = self;
                $($member.put(out);)*
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                $(let $member = Stored::take(input)?;)*
                Ok(Self { $($member),* })
            }
            fn describe(&self) -> Value {
                let Self { $($member),* } = self;
                let mut members = Map::new();
                $(members.insert(key!($member $($key)?).to_owned(), $member.describe());)*
                Value::Object(members)
            }
        }
    )*};
}

/// Variants under their stored numbers.
macro_rules! enums {
    ($($type:ident { $($number:literal $variant:ident $(($only:ident))? $({ $($member:ident),* })?,)* })*) => {$(
        impl Stored for $type {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $(($only))? $({ $($member),* })? => {
                        out.push($number);
                        $($only.put(out);)?
                        $($($member.put(out);)*)?
                    })*
                }
            }
            fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
                match input.byte()? {
                    $($number => {
                        $(let $only = Stored::take(input)?;)?
                        $($(let $member = Stored::take(input)?;)*)?
                        Ok(Self::$variant $(($only))? $({ $($member),* })?)
                    })*
                    other => Err(DecodeError::malformed(format!(concat!("no ", stringify!($type), " has the number {}"), other))),
                }
            }
            fn describe(&self) -> Value {
                match self {
                    $(Self::$variant $(($only))? $({ $($member),* })? => {
                        #[allow(unused_mut, reason = "most variants have no members")]
                        let mut members = Map::new();
                        $(members.insert("is".to_owned(), $only.describe());)?
                        $($(members.insert(stringify!($member).to_owned(), $member.describe());)*)?
                        described_variant(stringify!($variant), members)
                    })*
                }
            }
        }
    )*};
}

/// A variant without members is its name, another is its name and its members.
fn described_variant(variant: &str, members: Map<String, Value>) -> Value {
    if members.is_empty() {
        return Value::from(variant);
    }
    Value::Object(Map::from_iter([(variant.to_owned(), Value::Object(members))]))
}

structs! {
    Steering { rate_per_second, active_limit, required, paused, closed, message }
    RequestKey { scope, body }
    ReservationView {
        id, buyer, status, seats, amount, hold_expires_at, created_at, confirmed_at, ticket, refund,
    }
    PaymentView { id, reservation, buyer, amount, status, created_at, paid_at }
    ReservationRow { created_seq = "born", view }
    PaymentRow { created_seq = "born", view, transaction, charging_until, unknown, captured }
    KeyRow { key, at, answer }
    WaitingRoomSnapshot {
        next, reserved, block_epoch, admitted_total, window, possible_since, places, used, lost_from, lost,
    }
    LostRow { top, returned = "heard", waits_until }
    UnmatchedRow { payment, moved }
    Schedule { starts_at, ends_at, cancellable_until, last_ticket, next }
    CohortRow { root, members }
    DrawRow { seed, commitment, cohort, drawn }
    PlaceRow { buyer, ordinal, state }
}

enums! {
    RememberedAnswer {
        1 Held { reservation, seats, amount, created_at, expires_at },
        2 PaymentOpened { payment },
        3 PaymentConfirmed { payment },
    }
    PaymentFailure {
        1 Declined(reason),
        2 NotCharged,
        3 AmountMismatch,
        4 HoldEnded,
        5 SaleCancelled,
    }
    RefundReason {
        1 BuyerCancelled,
        2 SaleCancelled,
        3 AmountMismatch,
        4 TooLate,
        5 OperatorCancelled,
    }
    ReservationStatus {
        1 Pending,
        2 Confirmed,
        3 Cancelled,
        4 Expired,
    }
    PaymentStatus {
        1 Opened,
        2 Charging,
        3 Captured,
        4 Failed(reason),
        5 Refunded { reason, settled },
    }
    SalePhase {
        1 Unconfigured,
        2 Scheduled,
        3 Cancelled,
        4 Retired,
    }
    RescheduleCause {
        1 TimeZone,
        2 Postponed { starts_at, ends_at, cancellable_until },
    }
    MoneyMoved {
        1 Captured { amount },
        2 Refunded,
    }
}

/// A room as the first version of snapshots has it: whatever was issued counts as used.
pub(super) fn take_first_room(input: &mut Input<'_>) -> Result<WaitingRoomSnapshot, DecodeError> {
    let (next, reserved, block_epoch) = (u64::take(input)?, Stored::take(input)?, Stored::take(input)?);
    let (admitted_total, window) = (Stored::take(input)?, Stored::take(input)?);
    let (possible_since, places): (_, Vec<PlaceRow>) = (Stored::take(input)?, Stored::take(input)?);
    let used = if next > 1 { vec![(Ordinal(1), Ordinal(next - 1))] } else { Vec::new() };
    let (lost_from, lost) = (0, None);
    Ok(WaitingRoomSnapshot {
        next,
        reserved,
        block_epoch,
        admitted_total,
        window,
        possible_since,
        places,
        used,
        lost_from,
        lost,
    })
}

/// Adds the event, for descriptions of whole entries.
pub(super) fn describe_event(event: EventId) -> Value {
    Value::from(event.to_string())
}

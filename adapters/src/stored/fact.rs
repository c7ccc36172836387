//! The stored form of facts: a kind, which the journal keeps in a column of its own, and a body.
//! Kinds and the order of members are for good; a changed fact gets a new version byte beside the old one.

use super::wire::{Input, Stored};
use super::{DecodeError, find_plan, parts};
use onsale_engine::id::{EventId, PlanHash};
use onsale_engine::ports::Plans;
use onsale_engine::sale::{Entry, Fact, SaleConfig};
use serde_json::{Map, Value};
use std::sync::Arc;

/// The version that facts are written in, but for those below.
const VERSION: u8 = 1;
/// The version of facts that have grown once: [`Fact::Steered`] by its reason, [`Fact::SeatsHeld`] by its slot; and of
/// [`Fact::Configured`] since slots have a limit of holds.
const GROWN: u8 = 2;
/// The version of [`Fact::Configured`] since seats can be kept out of a sale.
const WITH_BLOCKING: u8 = 3;

/// The list of all facts: number, name and members in stored order. Patterns name every member, so that a new
/// member or a new fact does not compile until its stored form is decided.
macro_rules! facts {
    ($($number:literal $variant:ident $name:literal { $($member:ident),* })*) => {
        /// Which fact a body holds.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum FactKind {
            /// See [`Fact::Configured`].
            Configured = 1,
            $(
                #[doc = concat!("See [`Fact::", stringify!($variant), "`].")]
                $variant = $number,
            )*
        }

        impl FactKind {
            /// Every kind, by number.
            pub const ALL: &[Self] = &[Self::Configured, $(Self::$variant),*];

            /// The kind of a fact.
            #[must_use]
            pub fn of(fact: &Fact) -> Self {
                match fact {
                    Fact::Configured { .. } => Self::Configured,
                    $(Fact::$variant { .. } => Self::$variant,)*
                }
            }

            /// The kind of that stored number.
            #[must_use]
            pub fn from_number(number: u8) -> Option<Self> {
                match number {
                    1 => Some(Self::Configured),
                    $($number => Some(Self::$variant),)*
                    _ => None,
                }
            }

            /// What it is called where humans read it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::Configured => "configured",
                    $(Self::$variant => $name,)*
                }
            }
        }

        fn put_members(fact: &Fact, out: &mut Vec<u8>) {
            match fact {
                Fact::Configured { config, plan, by } => {
                    config.put(out);
                    plan.hash().put(out);
                    by.put(out);
                }
                $(Fact::$variant { $($member),* } => {
                    $($member.put(out);)*
                })*
            }
        }

        fn take_members(kind: FactKind, input: &mut Input<'_>, plans: &dyn Plans) -> Result<Fact, DecodeError> {
            match kind {
                FactKind::Configured => {
                    let (config, hash, by) = (SaleConfig::take(input)?, PlanHash::take(input)?, Stored::take(input)?);
                    input.end()?;
                    Ok(Fact::Configured { config: Arc::new(config), plan: find_plan(plans, hash)?, by })
                }
                $(FactKind::$variant => {
                    $(let $member = Stored::take(input)?;)*
                    input.end()?;
                    Ok(Fact::$variant { $($member),* })
                })*
            }
        }

        /// Describes a fact as JSON, to be read by people: its members under their names, seats by their index.
        #[must_use]
        pub fn describe_fact(fact: &Fact) -> Value {
            let mut members = Map::new();
            match fact {
                Fact::Configured { config, plan, by } => {
                    members.insert("config".to_owned(), config.describe());
                    members.insert("plan".to_owned(), plan.hash().describe());
                    members.insert("by".to_owned(), by.describe());
                }
                $(Fact::$variant { $($member),* } => {
                    $(members.insert(stringify!($member).to_owned(), $member.describe());)*
                })*
            }
            Value::Object(members)
        }
    };
}

facts! {
    2 SeatsHeld "seats_held" { reservation, buyer, seats, amount, expires_at, slot }
    3 HoldChanged "hold_changed" { reservation, seats, amount }
    4 HoldReleased "hold_released" { reservation }
    5 HoldExpired "hold_expired" { reservation }
    6 PaymentOpened "payment_opened" { payment, reservation, amount }
    7 PaymentStarted "payment_started" { payment, transaction }
    8 PaymentUnknown "payment_unknown" { payment }
    9 PaymentCaptured "payment_captured" { payment, amount }
    10 PaymentFailed "payment_failed" { payment, reason }
    11 ReservationConfirmed "reservation_confirmed" { reservation, payment, seats, ticket }
    12 ReservationCancelled "reservation_cancelled" { reservation, refund }
    13 RefundOrdered "refund_ordered" { payment, amount, reason }
    14 PaymentRefunded "payment_refunded" { payment }
    15 OrdinalsReserved "ordinals_reserved" { first, last, epoch }
    16 Entered "entered" { buyer, ordinal }
    17 Left "left" { buyer }
    18 Admitted "admitted" { buyer, slot, due, expires_at }
    19 SlotExpired "slot_expired" { buyer }
    20 PlaceExpired "place_expired" { buyer }
    21 Steered "steered" { steering, by, reason }
    22 SaleCancelled "sale_cancelled" { by }
    23 SaleRetired "sale_retired" { by }
    24 KeyRemembered "key_remembered" { key, answer }
    25 DrawCommitted "draw_committed" { seed, commitment }
    26 CohortFrozen "cohort_frozen" { root, size }
    27 Drawn "drawn" { seed }
    28 Restored "restored" { buyer, ordinal, waits_until }
    29 OutcomeUnmatched "outcome_unmatched" { payment, moved }
    31 SeatsBlocked "seats_blocked" { seats, by, reason }
    32 SeatsUnblocked "seats_unblocked" { seats, by, reason }
    33 Rescheduled "rescheduled" { sale_ends_at, cancellation_closes_at, cause, by, reason }
    34 HolderNotified "holder_notified" { reservation, starts_at, ends_at, cancellation_closes_at }
    35 CancelledByOperator "cancelled_by_operator" { reservation, refund, by, reason }
    36 ReleasedByOperator "released_by_operator" { reservation, by, reason }
}

impl FactKind {
    /// The number that is stored.
    #[must_use]
    pub fn number(self) -> u8 {
        self as u8
    }

    fn version(self) -> u8 {
        if self == Self::Configured {
            WITH_BLOCKING
        } else if matches!(self, Self::Steered | Self::SeatsHeld) {
            GROWN
        } else {
            VERSION
        }
    }
}

/// Appends the body of a fact; for the hot path, where `out` is used again and again.
pub fn encode_fact_into(fact: &Fact, out: &mut Vec<u8>) -> FactKind {
    let kind = FactKind::of(fact);
    out.push(kind.version());
    put_members(fact, out);
    kind
}

/// The stored form of a fact.
#[must_use]
pub fn encode_fact(fact: &Fact) -> (FactKind, Vec<u8>) {
    let mut body = Vec::with_capacity(96);
    (encode_fact_into(fact, &mut body), body)
}

/// Reads a fact back. Plans are stored by their hash and found in `plans`.
///
/// # Errors
/// [`DecodeError`]; any bytes are answered, none panic.
pub fn decode_fact(kind: FactKind, body: &[u8], plans: &dyn Plans) -> Result<Fact, DecodeError> {
    let mut input = Input::new(body);
    match input.byte()? {
        version if version == kind.version() => take_members(kind, &mut input, plans),
        VERSION if kind == FactKind::Steered => {
            let (steering, by) = (Stored::take(&mut input)?, Stored::take(&mut input)?);
            input.end()?;
            Ok(Fact::Steered { steering, by, reason: None })
        }
        VERSION if kind == FactKind::Configured => {
            input.is_before_hold_limits();
            input.is_before_blocking();
            take_members(kind, &mut input, plans)
        }
        GROWN if kind == FactKind::Configured => {
            input.is_before_blocking();
            take_members(kind, &mut input, plans)
        }
        VERSION if kind == FactKind::SeatsHeld => {
            let (reservation, buyer) = (Stored::take(&mut input)?, Stored::take(&mut input)?);
            let (seats, amount) = (Stored::take(&mut input)?, Stored::take(&mut input)?);
            let expires_at = Stored::take(&mut input)?;
            input.end()?;
            Ok(Fact::SeatsHeld { reservation, buyer, seats, amount, expires_at, slot: None })
        }
        other => Err(DecodeError::malformed(format!("a {} of version {other} is not known", kind.name()))),
    }
}

/// Describes an entry as JSON, to be read by people.
#[must_use]
pub fn describe_entry(event: EventId, entry: &Entry) -> Value {
    let mut members = Map::new();
    members.insert("event".to_owned(), parts::describe_event(event));
    members.insert("seq".to_owned(), entry.seq.describe());
    members.insert("epoch".to_owned(), entry.epoch.describe());
    members.insert("at".to_owned(), entry.at.describe());
    if let Some(trace) = entry.trace {
        members.insert("traceparent".to_owned(), Value::from(trace.to_string()));
    }
    members.insert("kind".to_owned(), Value::from(FactKind::of(&entry.fact).name()));
    members.insert("fact".to_owned(), describe_fact(&entry.fact));
    Value::Object(members)
}

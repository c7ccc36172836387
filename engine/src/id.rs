//! The names of things: newtypes, so that a buyer can never be passed where a seat is meant.
//! Must never generate randomness: the caller that makes an id passes the random bits.

use std::fmt;
use uuid::Uuid;

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

uuid_id! {
    /// The concert on sale. Ours are version 7; the low 40 bits are its [`EventTag`].
    EventId
}
uuid_id! {
    /// A buyer; also an administrator, where the record says who did something. Any version.
    BuyerId
}
uuid_id! {
    /// Seats taken together by one buyer. Carries its event's [`EventTag`].
    ReservationId
}
uuid_id! {
    /// One attempt to pay for a reservation. Carries its event's [`EventTag`].
    PaymentId
}

/// The low 40 bits of an event's id, which its reservations and payments carry too, so that any node routes
/// them without a look-up. The catalogue keeps tags unique.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EventTag(pub u64);

const TAG_MASK: u128 = (1 << 40) - 1;

fn tag_of(id: Uuid) -> EventTag {
    EventTag((id.as_u128() & TAG_MASK) as u64)
}

/// A version 7 UUID of `unix_millis` whose low 40 bits are `tag`, the remaining 34 random bits from `random`.
fn tagged_v7(unix_millis: u64, random: u64, tag: EventTag) -> Uuid {
    let [a, b, c, d, e, f, g, h] = random.to_be_bytes();
    let bits = Uuid::from_u128(
        (u128::from(unix_millis & 0xffff_ffff_ffff) << 80)
            | u128::from_be_bytes([0, 0, 0, 0, 0, 0, a, b, c, d, e, 0, 0, 0, 0, 0])
            | u128::from(tag.0),
    );
    let _ = (f, g, h);
    let mut bytes = bits.into_bytes();
    bytes[6] = (bytes[6] & 0x0f) | 0x70;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    Uuid::from_bytes(bytes)
}

impl EventId {
    /// The tag that this event's reservations and payments carry.
    #[must_use]
    pub fn tag(self) -> EventTag {
        tag_of(self.0)
    }
}

impl ReservationId {
    /// A new id, sortable by `unix_millis`, that carries the tag of `event`. `random` must be fresh.
    #[must_use]
    pub fn new(event: EventId, unix_millis: u64, random: u64) -> Self {
        Self(tagged_v7(unix_millis, random, event.tag()))
    }

    /// The tag of the event that this reservation belongs to, if it is one of ours.
    #[must_use]
    pub fn tag(self) -> EventTag {
        tag_of(self.0)
    }
}

impl PaymentId {
    /// A new id, sortable by `unix_millis`, that carries the tag of `event`. `random` must be fresh.
    #[must_use]
    pub fn new(event: EventId, unix_millis: u64, random: u64) -> Self {
        Self(tagged_v7(unix_millis, random, event.tag()))
    }

    /// The tag of the event that this payment belongs to, if it is one of ours.
    #[must_use]
    pub fn tag(self) -> EventTag {
        tag_of(self.0)
    }
}

/// A seat's place in its plan's dense tables, in plan order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SeatIndex(pub u32);

/// A price category's place in its plan's list.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct CategoryIndex(pub u16);

/// The sections of one name, as their place in their plan's list of such names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SectionIndex(pub u32);

/// Seats of one category and kind that blocks are chosen from, as their place in their plan's list of pools.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct PoolIndex(pub u32);

impl SectionIndex {
    /// As an index into a table.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl PoolIndex {
    /// As an index into a table.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl SeatIndex {
    /// The seat at this index of a table; plans have at most [`crate::limits::MAX_SEATS`] seats, which 32 bits exceed.
    #[must_use]
    pub fn from_at(at: usize) -> Self {
        Self(at as u32)
    }

    /// As an index into a table.
    #[must_use]
    pub fn at(self) -> usize {
        self.0 as usize
    }
}

impl CategoryIndex {
    /// As an index into a table.
    #[must_use]
    pub fn at(self) -> usize {
        usize::from(self.0)
    }
}

/// Where a buyer joined the line of one event: lower is nearer. Never issued twice.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Ordinal(pub u64);

/// The number of an admission: the n-th buyer let in has slot n, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Slot(pub u64);

/// The position of a fact in its event's journal, from 1, without gaps. 0 is "nothing yet".
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Seq(pub u64);

impl Seq {
    /// The position after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Which ownership of an event wrote a fact; raised at every start and rebuild, so that an old owner is fenced.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Epoch(pub u64);

/// The content hash of a seating plan.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PlanHash(pub [u8; 32]);

impl fmt::Display for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for PlanHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlanHash({self})")
    }
}

/// The serial number of a ticket within its event, from 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct TicketSerial(pub u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_carries_its_events_tag_and_is_a_version_7_uuid() {
        let event = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
        let id = ReservationId::new(event, 1_780_000_000_000, 0xfeed_beef_dead_cafe);
        assert_eq!(id.tag(), event.tag());
        assert_eq!(id.0.get_version_num(), 7);
        assert_eq!(id.0.get_variant(), uuid::Variant::RFC4122);
        assert_ne!(id, ReservationId::new(event, 1_780_000_000_000, 0xfeed_beef_00ad_cafe));
    }
}

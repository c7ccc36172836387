//! What a buyer has been answered: the record that a restarted server is checked against. One request of a buyer is in flight
//! at a time, so at a crash at most one outcome of each buyer is unknown.

use onsale_server::client::Call;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::time::Instant;

/// Where a buyer stood by the last answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing was acknowledged.
    Nowhere,
    /// In the line, or let in without having received that.
    InLine,
    /// Let in, with this queue token.
    Active(String),
    /// Left, or confirmed a reservation: the place is gone.
    Gone,
}

/// A reservation as it was last acknowledged.
#[derive(Clone, Debug)]
pub(super) struct Booking {
    /// Members that its answer must still have.
    pub members: Map<String, Value>,
    /// Ids of its seats.
    pub seats: Vec<String>,
}

/// A request with a key, and what was answered to it.
#[derive(Clone, Debug)]
pub(super) struct Keyed {
    pub call: Call,
    pub status: u16,
    pub body: bytes::Bytes,
}

/// The request whose answer a buyer waits for.
#[derive(Clone, Debug)]
pub(super) enum InFlight {
    /// A read, or a log-in: nothing of it can be lost.
    Read,
    Enter,
    Leave,
    Hold(Call),
    Change {
        reservation: String,
        seats: Vec<String>,
    },
    Release {
        reservation: String,
    },
    OpenPayment {
        reservation: String,
        call: Call,
    },
    Confirm {
        reservation: String,
        payment: String,
        call: Call,
    },
    Cancel {
        reservation: String,
        payment: String,
    },
    SignUp(Call),
    LogOut,
}

/// An account that was made, or may have been.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub email: String,
    pub password: String,
    /// Whether its making was acknowledged.
    pub stands: bool,
}

/// When a buyer asked to enter and was answered: orders those who did not overlap.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entered {
    pub asked: Instant,
    pub answered: Instant,
}

/// A buyer and everything that was acknowledged to them.
#[derive(Clone, Debug)]
pub(super) struct Buyer {
    pub bearer: String,
    pub event: String,
    pub place: Place,
    pub entered: Option<Entered>,
    pub bookings: BTreeMap<String, Booking>,
    pub payments: BTreeMap<String, Map<String, Value>>,
    pub keyed: Vec<Keyed>,
    pub in_flight: Option<InFlight>,
    pub account: Option<Account>,
    /// Whether all they do is to have their token revoked.
    pub logs_out: bool,
}

/// Acknowledged answers by kind.
#[derive(Clone, Copy, Debug, Default)]
pub struct Acknowledged {
    /// Places entered.
    pub entered: u64,
    /// Places left.
    pub left: u64,
    /// Seats held.
    pub held: u64,
    /// Holds changed.
    pub changed: u64,
    /// Holds released.
    pub released: u64,
    /// Reservations paid and confirmed.
    pub paid: u64,
    /// Payments declined.
    pub declined: u64,
    /// Reservations cancelled.
    pub cancelled: u64,
    /// Accounts made.
    pub accounts: u64,
    /// Tokens revoked.
    pub logged_out: u64,
}

impl Acknowledged {
    /// All together.
    #[must_use]
    pub fn total(&self) -> u64 {
        let Self { entered, left, held, changed, released, paid, declined, cancelled, accounts, logged_out } = self;
        entered + left + held + changed + released + paid + declined + cancelled + accounts + logged_out
    }

    /// Adds another one's figures.
    pub fn add(&mut self, other: &Self) {
        self.entered += other.entered;
        self.left += other.left;
        self.held += other.held;
        self.changed += other.changed;
        self.released += other.released;
        self.paid += other.paid;
        self.declined += other.declined;
        self.cancelled += other.cancelled;
        self.accounts += other.accounts;
        self.logged_out += other.logged_out;
    }
}

impl Buyer {
    pub(super) fn new(bearer: String, event: &str) -> Self {
        Self {
            bearer,
            event: event.to_owned(),
            place: Place::Nowhere,
            entered: None,
            bookings: BTreeMap::new(),
            payments: BTreeMap::new(),
            keyed: Vec::new(),
            in_flight: None,
            account: None,
            logs_out: false,
        }
    }
}

impl Booking {
    /// The booking in an answer; `None` when it is no reservation.
    pub(super) fn read(answer: &Value) -> Option<(String, Self)> {
        let members = answer.as_object()?.clone();
        let id = members.get("reservationId")?.as_str()?.to_owned();
        let seats = seat_ids(answer);
        Some((id, Self { members, seats }))
    }

    pub(super) fn status(&self) -> &str {
        self.members.get("status").and_then(Value::as_str).unwrap_or_default()
    }

    pub(super) fn set(&mut self, member: &str, value: impl Into<Value>) {
        self.members.insert(member.to_owned(), value.into());
    }

    pub(super) fn amount(&self) -> i64 {
        self.members.get("totalAmount").and_then(Value::as_i64).unwrap_or_default()
    }

    /// The member of `self` that `actual` does not have as it was answered; `None` when it has all of them.
    pub(super) fn differs_from(&self, actual: &Value) -> Option<String> {
        differing_member(&self.members, actual)
    }
}

/// The first of the `expected` members that `actual` has otherwise or not at all.
pub(super) fn differing_member(expected: &Map<String, Value>, actual: &Value) -> Option<String> {
    expected.iter().find_map(|(member, value)| {
        let has = actual.get(member);
        (has != Some(value)).then(|| format!("{member} was {value}, is {}", has.unwrap_or(&Value::Null)))
    })
}

/// The seats that a reservation's answer lists.
pub(super) fn seat_ids(answer: &Value) -> Vec<String> {
    let seats = answer.get("seats").and_then(Value::as_array).into_iter().flatten();
    seats.filter_map(|seat| Some(seat.get("seatId")?.as_str()?.to_owned())).collect()
}

/// A text member of an answer, empty when it is not there.
pub(super) fn text<'a>(answer: &'a Value, member: &str) -> &'a str {
    answer.get(member).and_then(Value::as_str).unwrap_or_default()
}

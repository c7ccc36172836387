//! A naive sale: plain maps, scans everywhere, written from the contract and not from the code. It says what a command
//! must lead to; where the contract leaves a choice (which block is best) it checks the one that was made.

mod check;
mod holds;
mod payments;
mod queue;
mod seats;
mod time;

use crate::id::{BuyerId, PaymentId, ReservationId, SeatIndex, Slot};
use crate::limits::KEY_REMEMBERED_FOR;
use crate::sale::{MoneyMoved, PaymentStatus, RefundReason, RequestKey, ReservationStatus, SaleConfig, Steering};
use crate::time::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

struct Seat {
    row: usize,
    column: usize,
    letter: char,
    /// None for one that is not for sale.
    price: Option<i64>,
}

#[derive(Clone, Debug)]
struct Reservation {
    buyer: BuyerId,
    seats: Vec<SeatIndex>,
    status: ReservationStatus,
    amount: i64,
    expires_at: Timestamp,
}

#[derive(Clone, Debug)]
struct Payment {
    reservation: ReservationId,
    amount: i64,
    status: PaymentStatus,
    started: Option<Timestamp>,
    transaction: Option<Box<str>>,
    captured: i64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Waiting { joined: u64 },
    Active { slot: Slot, expires_at: Timestamp, made: u16 },
    Expired { at: Timestamp },
}

#[derive(Clone, Debug)]
enum Answer {
    Reservation,
    Opened,
    Confirmed(PaymentId),
}

/// What time does next.
#[derive(Clone, Debug, PartialEq)]
enum Due {
    Hold(ReservationId),
    Slot(BuyerId),
    Admit(BuyerId),
    LineEnds(BuyerId),
    Clear,
}

/// The kind of a refusal, by the name of its variant.
type No = &'static str;

struct Model {
    seats: Vec<Seat>,
    rules: SaleConfig,
    steering: Steering,
    cancelled: bool,
    /// Seats that were taken out of the sale one by one.
    blocked: BTreeSet<SeatIndex>,
    reservations: BTreeMap<ReservationId, Reservation>,
    payments: BTreeMap<PaymentId, Payment>,
    places: BTreeMap<BuyerId, Place>,
    /// What no payment accounts for.
    unmatched: Vec<(PaymentId, MoneyMoved)>,
    keys: BTreeMap<u128, (u128, Timestamp, Answer)>,
    joined: u64,
    dues: Vec<Timestamp>,
    possible_since: Option<Timestamp>,
    /// When the last fact was written.
    last: Timestamp,
}

impl Model {
    fn new(rows: &[&str], rules: SaleConfig, now: Timestamp) -> Self {
        let mut letters = Vec::new();
        let mut seats = Vec::new();
        for (row, drawn) in rows.iter().enumerate() {
            for (column, letter) in drawn.chars().enumerate().filter(|(_, letter)| *letter != '_') {
                if !letters.contains(&letter) {
                    letters.push(letter);
                }
                let nth = letters.iter().position(|known| *known == letter).unwrap();
                seats.push(Seat { row, column, letter, price: rules.prices[nth].map(|price| price.0) });
            }
        }
        let steering = Steering::initial(&rules.admission);
        Self {
            seats,
            blocked: rules.blocked.iter().copied().collect(),
            rules,
            steering,
            cancelled: false,
            reservations: BTreeMap::new(),
            payments: BTreeMap::new(),
            places: BTreeMap::new(),
            unmatched: Vec::new(),
            keys: BTreeMap::new(),
            joined: 0,
            dues: Vec::new(),
            possible_since: None,
            last: now,
        }
    }

    /// Whether a request with this key was answered, or why it must not be.
    fn recall(&self, key: Option<RequestKey>, now: Timestamp) -> Result<bool, No> {
        let Some((key, (body, at, answer))) = key.and_then(|key| Some((key, self.keys.get(&key.scope)?))) else {
            return Ok(false);
        };
        let refused = match answer {
            Answer::Reservation | Answer::Opened => false,
            Answer::Confirmed(payment) => matches!(
                self.payments[payment].status,
                PaymentStatus::Failed(_)
                    | PaymentStatus::Refunded { reason: RefundReason::AmountMismatch | RefundReason::TooLate, .. }
            ),
        };
        if refused || *at + KEY_REMEMBERED_FOR <= now {
            return Ok(false);
        }
        if *body == key.body { Ok(true) } else { Err("KeyReused") }
    }

    fn remember(&mut self, key: Option<RequestKey>, now: Timestamp, answer: Answer) {
        if let Some(key) = key {
            self.keys.insert(key.scope, (key.body, now, answer));
        }
    }
}

impl Reservation {
    fn is_live(&self) -> bool {
        matches!(self.status, ReservationStatus::Pending | ReservationStatus::Confirmed)
    }
}

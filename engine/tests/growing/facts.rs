//! A sale that grows to a million places, keys and payments, one fact at a time; a watcher sees what each one takes. Owns
//! the facts, and must never measure anything.

use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{BuyerId, Epoch, EventId, Ordinal, PaymentId, ReservationId, SeatIndex};
use onsale_engine::money::Amount;
use onsale_engine::sale::{Entry, Fact, RememberedAnswer, RequestKey, Sale};
use onsale_engine::time::Timestamp;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

const START: Timestamp = Timestamp::from_secs(1_780_000_000);
const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));

/// What there may be a million of.
pub const GROWING: [&str; 3] = ["places", "keys", "payments"];

/// Well spread, as random ids are.
fn spread(number: u64) -> u128 {
    u128::from(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(number)
}

fn buyer(number: u64) -> BuyerId {
    BuyerId(Uuid::from_u128(spread(number)))
}

/// The facts that add the `number`th of `what`.
fn facts(what: &str, number: u64) -> Vec<Fact> {
    let payment = PaymentId(Uuid::from_u128(spread(number)));
    match what {
        "places" => vec![Fact::Entered { buyer: buyer(number), ordinal: Ordinal(number + 1) }],
        "keys" => {
            let key = RequestKey { scope: spread(number), body: 7 };
            vec![Fact::KeyRemembered { key, answer: RememberedAnswer::PaymentOpened { payment } }]
        }
        _ => {
            let reservation = ReservationId(Uuid::from_u128(spread(number)));
            let seats = [SeatIndex(number as u32)].into_iter().collect();
            let (amount, expires_at) = (Amount(1000), START + Duration::from_secs(300));
            let held = Fact::SeatsHeld { reservation, buyer: buyer(number), seats, amount, expires_at, slot: None };
            vec![held, Fact::PaymentOpened { payment, reservation, amount }]
        }
    }
}

/// Grows a sale to `count` of `what`; `watch` is handed each fact but the first, to be applied by calling it.
pub fn grow(what: &str, count: u64, mut watch: impl FnMut(&mut dyn FnMut())) -> Sale {
    let mut sale = Sale::new();
    let seats = if what == "payments" { count } else { 50 };
    let (config, plan) = (Arc::new(small_config(START)), small_plan(seats.div_ceil(50) as usize, 50));
    let configured = Fact::Configured { config, plan, by: BuyerId(EVENT.0) };
    sale.apply(&Entry { seq: sale.seq().next(), epoch: Epoch(1), at: START, trace: None, fact: configured });
    for fact in (0..count).flat_map(|number| facts(what, number)) {
        let entry = Entry { seq: sale.seq().next(), epoch: Epoch(1), at: START, trace: None, fact };
        watch(&mut || sale.apply(&entry));
    }
    sale
}

//! The hot path without threads, storage or HTTP: what the sale itself and the stored form of its facts cost.

use super::{CountError, LINE, Outcomes, counted};
use crate::scene::buyer;
use onsale_adapters::stored::encode_fact_into;
use onsale_engine::fakes::{small_config, small_plan};
use onsale_engine::id::{Epoch, EventId, ReservationId, SeatIndex};
use onsale_engine::sale::{Command, Entry, Hold, PlaceStatus, Rejection, Sale, SaleConfig, Selection};
use onsale_engine::time::Timestamp;
use std::time::Duration;
use uuid::Uuid;

const START: Timestamp = Timestamp::from_secs(1_780_000_000);
const EPOCH: Epoch = Epoch(1);
const EVENT: EventId = EventId(Uuid::from_u128(0x0190_0000_0000_7abc_8def_0123_4567_89ab));
/// The hall: 57,600 seats.
const ROWS: usize = 3840;
const SEATS_PER_ROW: usize = 15;
const PAIRS: u64 = (ROWS * SEATS_PER_ROW / 2) as u64;
/// A prime: it scatters pairs and places, each once, before one comes again.
const STEP: u64 = 7919;

/// Decides, applies and encodes; `out` is used again and again.
fn take(sale: &mut Sale, command: &Command, now: Timestamp, out: &mut Vec<u8>) -> Result<(), Rejection> {
    let decision = sale.decide(command, now, EPOCH)?;
    for fact in decision.facts {
        let entry = Entry { seq: sale.seq().next(), epoch: EPOCH, at: now, trace: None, fact };
        sale.apply(&entry);
        encode_fact_into(&entry.fact, out);
    }
    Ok(())
}

fn sale(path: &'static str, change: impl FnOnce(&mut SaleConfig)) -> Result<Sale, CountError> {
    let mut config = small_config(START);
    change(&mut config);
    let plan = small_plan(ROWS, SEATS_PER_ROW);
    let (mut sale, by) = (Sale::new(), buyer(u64::MAX));
    let configure = Command::Configure { config: Box::new(config), plan, by };
    set(path, &mut sale, &configure, START - Duration::from_secs(1))?;
    Ok(sale)
}

/// Part of setting the stage.
fn set(path: &'static str, sale: &mut Sale, command: &Command, now: Timestamp) -> Result<(), CountError> {
    take(sale, command, now, &mut Vec::new()).map_err(|refused| CountError::Stage(path, format!("{refused:?}")))
}

fn hold_of(n: u64, pair: u64) -> Command {
    let reservation = ReservationId::new(EVENT, START.unix_millis(), n.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let seats = [SeatIndex(pair as u32 * 2), SeatIndex(pair as u32 * 2 + 1)];
    let selection = Selection::These(seats.as_slice().into());
    Command::Hold(Hold { reservation, buyer: buyer(n), selection, slot: None, key: None })
}

/// Two seats side by side for buyer after buyer: decided, applied, encoded as the journal stores it.
pub(super) fn hold(path: &'static str, times: u64) -> Result<(), CountError> {
    let mut sale = sale(path, |_| {})?;
    let commands: Vec<Command> = (0..times).map(|n| hold_of(n, n * STEP % PAIRS)).collect();
    let mut out = Vec::with_capacity(4096);
    let outcomes = counted(&mut || {
        let mut outcomes = Outcomes::default();
        for command in &commands {
            out.clear();
            let taken = take(&mut sale, command, START, &mut out);
            outcomes.note(taken.is_ok() && !out.is_empty(), || format!("{taken:?}"));
        }
        outcomes
    });
    outcomes.all(path, times)?;
    let held = u64::from(sale.counts().held);
    Outcomes { right: held / 2, wrong: None }.all(path, times)
}

/// Seats that others have.
pub(super) fn refused_hold(path: &'static str, times: u64) -> Result<(), CountError> {
    let mut sale = sale(path, |_| {})?;
    let pairs = times.min(PAIRS / 2);
    for n in 0..pairs {
        set(path, &mut sale, &hold_of(n, n * STEP % PAIRS), START)?;
    }
    let commands: Vec<Command> = (0..times).map(|n| hold_of(times + n, n % pairs * STEP % PAIRS)).collect();
    let outcomes = counted(&mut || {
        let mut outcomes = Outcomes::default();
        for command in &commands {
            let refused = sale.decide(command, START, EPOCH);
            let is_right = matches!(refused, Err(Rejection::SeatUnavailable { .. }));
            outcomes.note(is_right, || format!("{:?}", refused.map(|decision| decision.facts.len())));
        }
        outcomes
    });
    outcomes.all(path, times)
}

/// One's place, all along the line.
pub(super) fn place(path: &'static str, times: u64) -> Result<(), CountError> {
    let mut sale = sale(path, |config| {
        config.admission.required = true;
        config.admission.capacity = 10_000_000;
    })?;
    for n in 0..LINE {
        set(path, &mut sale, &Command::Enter { buyer: buyer(n) }, START - Duration::from_millis(500))?;
    }
    let outcomes = counted(&mut || {
        let mut outcomes = Outcomes::default();
        for n in 0..times {
            let n = n * STEP % LINE;
            let place = sale.place(buyer(n), START);
            let is_right = place.as_ref().is_some_and(|place| place.status == PlaceStatus::Waiting { rank: n + 1 });
            outcomes.note(is_right, || format!("{place:?}"));
        }
        outcomes
    });
    outcomes.all(path, times)
}

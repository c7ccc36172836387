//! The stored form of a sale's rules beside its event: one versioned JSON document. It changes only with its
//! version, and every earlier version stays readable; samples are kept in the tests.

use onsale_engine::id::SeatIndex;
use onsale_engine::limits::{HOLDS_PER_SLOT, MAX_BLOCKED_SEATS};
use onsale_engine::money::Amount;
use onsale_engine::sale::{AdmissionConfig, SaleConfig};
use onsale_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// The version that is written.
const VERSION: u32 = 3;
/// The one before seats could be kept out of a sale.
const SECOND: u32 = 2;
/// The one before slots had a limit of holds, which is then the contract's.
const FIRST: u32 = 1;

/// Why a stored form cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("the rules of a sale cannot be kept or read: {0}")]
pub(crate) struct SaleFormError(String);

/// Times and durations in microseconds, amounts in minor units.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredSale {
    version: u32,
    sale_starts_at: i64,
    sale_ends_at: i64,
    cancellation_closes_at: i64,
    currency: String,
    /// `null` is a category that is not for sale, since version 3.
    prices: Vec<Option<i64>>,
    /// Runs of blocked seats in plan order, each by its first and its last, since version 3.
    #[serde(default)]
    blocked: Vec<(u32, u32)>,
    max_seats_per_buyer: u16,
    hold: u64,
    no_orphans: bool,
    admission: StoredAdmission,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StoredAdmission {
    required: bool,
    rate_per_second: u32,
    capacity: u64,
    active_limit: Option<u64>,
    token: u64,
    absent: u64,
    draw: bool,
    room_opens_at: Option<i64>,
    /// Since version 2.
    max_holds_per_slot: Option<u16>,
}

pub(crate) fn write(sale: &SaleConfig) -> Result<String, SaleFormError> {
    let stored = StoredSale {
        version: VERSION,
        sale_starts_at: sale.sale_starts_at.0,
        sale_ends_at: sale.sale_ends_at.0,
        cancellation_closes_at: sale.cancellation_closes_at.0,
        currency: sale.currency.code().to_owned(),
        prices: sale.prices.iter().map(|price| price.map(|price| price.0)).collect(),
        blocked: runs(&sale.blocked),
        max_seats_per_buyer: sale.max_seats_per_buyer,
        hold: micros(sale.hold),
        no_orphans: sale.no_orphans,
        admission: StoredAdmission {
            required: sale.admission.required,
            rate_per_second: sale.admission.rate_per_second,
            capacity: sale.admission.capacity,
            active_limit: sale.admission.active_limit,
            token: micros(sale.admission.token),
            absent: micros(sale.admission.absent),
            draw: sale.admission.draw,
            room_opens_at: sale.admission.room_opens_at.map(|at| at.0),
            max_holds_per_slot: Some(sale.admission.max_holds_per_slot),
        },
    };
    serde_json::to_string(&stored).map_err(|error| SaleFormError(error.to_string()))
}

pub(crate) fn read(text: &str) -> Result<SaleConfig, SaleFormError> {
    let damaged = |reason: &str| SaleFormError(reason.to_owned());
    let stored: StoredSale = serde_json::from_str(text).map_err(|error| damaged(&error.to_string()))?;
    let max_holds_per_slot = match (stored.version, stored.admission.max_holds_per_slot) {
        (VERSION | SECOND, Some(limit)) => limit,
        (VERSION | SECOND, None) => return Err(damaged("no maxHoldsPerSlot")),
        (FIRST, _) => HOLDS_PER_SLOT,
        _ => return Err(damaged("they are of a later version")),
    };
    Ok(SaleConfig {
        sale_starts_at: Timestamp(stored.sale_starts_at),
        sale_ends_at: Timestamp(stored.sale_ends_at),
        cancellation_closes_at: Timestamp(stored.cancellation_closes_at),
        currency: stored.currency.parse().map_err(|_| damaged("no currency"))?,
        prices: stored.prices.into_iter().map(|price| price.map(Amount)).collect(),
        blocked: seats(&stored.blocked).ok_or_else(|| damaged("its blocked seats are no runs"))?,
        max_seats_per_buyer: stored.max_seats_per_buyer,
        hold: Duration::from_micros(stored.hold),
        no_orphans: stored.no_orphans,
        admission: AdmissionConfig {
            required: stored.admission.required,
            rate_per_second: stored.admission.rate_per_second,
            capacity: stored.admission.capacity,
            active_limit: stored.admission.active_limit,
            token: Duration::from_micros(stored.admission.token),
            absent: Duration::from_micros(stored.admission.absent),
            draw: stored.admission.draw,
            room_opens_at: stored.admission.room_opens_at.map(Timestamp),
            max_holds_per_slot,
        },
    })
}

/// Neighbours taken together: seats are mostly blocked by the row or the block.
fn runs(seats: &[SeatIndex]) -> Vec<(u32, u32)> {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for seat in seats {
        match runs.last_mut() {
            Some((_, last)) if *last + 1 == seat.0 => *last = seat.0,
            Some(_) | None => runs.push((seat.0, seat.0)),
        }
    }
    runs
}

/// `None` if there are more than may be blocked, or they are not in order.
fn seats(runs: &[(u32, u32)]) -> Option<Arc<[SeatIndex]>> {
    let in_order = runs.iter().all(|(first, last)| first <= last) && runs.windows(2).all(|two| two[0].1 < two[1].0);
    let count: u64 = runs.iter().map(|(first, last)| u64::from(last.saturating_sub(*first)) + 1).sum();
    let fits = in_order && count <= MAX_BLOCKED_SEATS as u64;
    fits.then(|| runs.iter().flat_map(|(first, last)| *first..=*last).map(SeatIndex).collect())
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    /// Version 1, as it was first written.
    const SAMPLE: &str = r#"{"version":1,"saleStartsAt":1780000000000000,"saleEndsAt":1790000000000000,"cancellationClosesAt":1789000000000000,"currency":"KRW","prices":[150000,99000],"maxSeatsPerBuyer":4,"hold":300000000,"noOrphans":true,"admission":{"required":true,"ratePerSecond":10,"capacity":50000,"activeLimit":500,"token":600000000,"absent":300000000,"draw":false,"roomOpensAt":1779990000000000}}"#;

    /// Version 2: with the limit of holds.
    const SECOND_FORM: &str = r#"{"version":2,"saleStartsAt":1780000000000000,"saleEndsAt":1790000000000000,"cancellationClosesAt":1789000000000000,"currency":"KRW","prices":[150000,99000],"maxSeatsPerBuyer":4,"hold":300000000,"noOrphans":true,"admission":{"required":true,"ratePerSecond":10,"capacity":50000,"activeLimit":500,"token":600000000,"absent":300000000,"draw":false,"roomOpensAt":1779990000000000,"maxHoldsPerSlot":7}}"#;

    /// Version 3: with categories and seats that are not for sale.
    const THIRD_FORM: &str = r#"{"version":3,"saleStartsAt":1780000000000000,"saleEndsAt":1790000000000000,"cancellationClosesAt":1789000000000000,"currency":"KRW","prices":[150000,null],"blocked":[[3,5],[9,9]],"maxSeatsPerBuyer":4,"hold":300000000,"noOrphans":true,"admission":{"required":true,"ratePerSecond":10,"capacity":50000,"activeLimit":500,"token":600000000,"absent":300000000,"draw":false,"roomOpensAt":1779990000000000,"maxHoldsPerSlot":7}}"#;

    #[test]
    fn version_3_is_read_and_written_as_ever() {
        let sale = read(THIRD_FORM).unwrap();
        assert_eq!(sale.prices, [Some(Amount(150_000)), None]);
        assert_eq!(sale.blocked.iter().map(|seat| seat.0).collect::<Vec<_>>(), [3, 4, 5, 9]);
        assert_eq!(write(&sale).unwrap(), THIRD_FORM);
        for runs in ["[[5,3]]", "[[3,5],[5,6]]", "[[0,4294967295]]"] {
            assert!(read(&THIRD_FORM.replace("[[3,5],[9,9]]", runs)).is_err(), "{runs}");
        }
    }

    #[test]
    fn version_2_is_still_read() {
        let sale = read(SECOND_FORM).unwrap();
        assert_eq!(sale.admission.max_holds_per_slot, 7);
        assert_eq!((sale.prices.len(), sale.prices.iter().all(Option::is_some), sale.blocked.len()), (2, true, 0));
        assert!(read(&SECOND_FORM.replace(",\"maxHoldsPerSlot\":7", "")).is_err());
    }

    #[test]
    fn version_1_is_still_read() {
        let sale = read(SAMPLE).unwrap();
        assert_eq!(sale.admission.max_holds_per_slot, 30);
        assert_eq!(sale.prices, [Some(Amount(150_000)), Some(Amount(99_000))]);
        assert_eq!(sale.admission.active_limit, Some(500));
        assert_eq!(sale.hold, Duration::from_secs(300));
    }

    #[test]
    fn what_it_cannot_know_is_refused() {
        for wrong in [SAMPLE.replace("\"version\":1", "\"version\":4"), SAMPLE.replace("KRW", "won"), "{}".into()] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}

//! The stored form of a sale's rules beside its event: one versioned JSON document. It changes only with its
//! version, and every earlier version stays readable; samples are kept in the tests.

use onsale_engine::limits::HOLDS_PER_SLOT;
use onsale_engine::money::Amount;
use onsale_engine::sale::{AdmissionConfig, SaleConfig};
use onsale_engine::time::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The version that is written.
const VERSION: u32 = 2;
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
    prices: Vec<i64>,
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
        prices: sale.prices.iter().map(|price| price.0).collect(),
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
        (VERSION, Some(limit)) => limit,
        (VERSION, None) => return Err(damaged("no maxHoldsPerSlot")),
        (FIRST, _) => HOLDS_PER_SLOT,
        _ => return Err(damaged("they are of a later version")),
    };
    Ok(SaleConfig {
        sale_starts_at: Timestamp(stored.sale_starts_at),
        sale_ends_at: Timestamp(stored.sale_ends_at),
        cancellation_closes_at: Timestamp(stored.cancellation_closes_at),
        currency: stored.currency.parse().map_err(|_| damaged("no currency"))?,
        prices: stored.prices.into_iter().map(Amount).collect(),
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
    const SECOND: &str = r#"{"version":2,"saleStartsAt":1780000000000000,"saleEndsAt":1790000000000000,"cancellationClosesAt":1789000000000000,"currency":"KRW","prices":[150000,99000],"maxSeatsPerBuyer":4,"hold":300000000,"noOrphans":true,"admission":{"required":true,"ratePerSecond":10,"capacity":50000,"activeLimit":500,"token":600000000,"absent":300000000,"draw":false,"roomOpensAt":1779990000000000,"maxHoldsPerSlot":7}}"#;

    #[test]
    fn version_2_is_read_and_written_as_ever() {
        let sale = read(SECOND).unwrap();
        assert_eq!(sale.admission.max_holds_per_slot, 7);
        assert_eq!(write(&sale).unwrap(), SECOND);
        assert!(read(&SECOND.replace(",\"maxHoldsPerSlot\":7", "")).is_err());
    }

    #[test]
    fn version_1_is_still_read() {
        let sale = read(SAMPLE).unwrap();
        assert_eq!(sale.admission.max_holds_per_slot, 30);
        assert_eq!(sale.prices, [Amount(150_000), Amount(99_000)]);
        assert_eq!(sale.admission.active_limit, Some(500));
        assert_eq!(sale.hold, Duration::from_secs(300));
    }

    #[test]
    fn what_it_cannot_know_is_refused() {
        for wrong in [SAMPLE.replace("\"version\":1", "\"version\":3"), SAMPLE.replace("KRW", "won"), "{}".into()] {
            assert!(read(&wrong).is_err(), "{wrong}");
        }
    }
}

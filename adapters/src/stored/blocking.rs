//! The stored form of what has grown since seats can be kept out of a sale: a category may have no price, and rules name
//! seats that are blocked. What was written before is read with every category priced and no seat blocked.

use super::DecodeError;
use super::wire::{Input, Stored, put_varint};
use onsale_engine::id::SeatIndex;
use onsale_engine::money::Amount;
use onsale_engine::sale::SaleConfig;
use serde_json::{Value, json};

impl Stored for SaleConfig {
    fn put(&self, out: &mut Vec<u8>) {
        let Self { sale_starts_at, sale_ends_at, cancellation_closes_at, currency, prices, blocked, .. } = self;
        let Self { max_seats_per_buyer, hold, no_orphans, admission, .. } = self;
        sale_starts_at.put(out);
        sale_ends_at.put(out);
        cancellation_closes_at.put(out);
        currency.put(out);
        prices.put(out);
        max_seats_per_buyer.put(out);
        hold.put(out);
        no_orphans.put(out);
        admission.put(out);
        put_seats(blocked, out);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            sale_starts_at: Stored::take(input)?,
            sale_ends_at: Stored::take(input)?,
            cancellation_closes_at: Stored::take(input)?,
            currency: Stored::take(input)?,
            prices: take_prices(input)?,
            max_seats_per_buyer: Stored::take(input)?,
            hold: Stored::take(input)?,
            no_orphans: Stored::take(input)?,
            admission: Stored::take(input)?,
            blocked: if input.knows_blocking() { take_seats(input)?.into() } else { [].into() },
        })
    }

    fn describe(&self) -> Value {
        json!({
            "sale_starts_at": self.sale_starts_at.describe(),
            "sale_ends_at": self.sale_ends_at.describe(),
            "cancellation_closes_at": self.cancellation_closes_at.describe(),
            "currency": self.currency.describe(),
            "prices": self.prices.describe(),
            "max_seats_per_buyer": self.max_seats_per_buyer,
            "hold": self.hold.describe(),
            "no_orphans": self.no_orphans,
            "admission": self.admission.describe(),
            "blocked": self.blocked.iter().map(Stored::describe).collect::<Value>(),
        })
    }
}

fn take_prices(input: &mut Input<'_>) -> Result<Vec<Option<Amount>>, DecodeError> {
    if input.knows_blocking() {
        return Stored::take(input);
    }
    let prices: Vec<Amount> = Stored::take(input)?;
    Ok(prices.into_iter().map(Some).collect())
}

fn put_seats(seats: &[SeatIndex], out: &mut Vec<u8>) {
    put_varint(out, seats.len() as u64);
    seats.iter().for_each(|seat| seat.put(out));
}

fn take_seats(input: &mut Input<'_>) -> Result<Vec<SeatIndex>, DecodeError> {
    let length = input.length()?;
    (0..length).map(|_| SeatIndex::take(input)).collect()
}

/// The seats of a fact that may name thousands.
impl Stored for Box<[SeatIndex]> {
    fn put(&self, out: &mut Vec<u8>) {
        put_seats(self, out);
    }

    fn take(input: &mut Input<'_>) -> Result<Self, DecodeError> {
        take_seats(input).map(Vec::into_boxed_slice)
    }

    fn describe(&self) -> Value {
        self.iter().map(Stored::describe).collect()
    }
}

//! Money in the minor units of one currency (KRW has no minor digits: 150000 is ₩150,000). Must never round.

use crate::iso4217;
use std::fmt;
use std::str::FromStr;

/// An amount in minor units. Within one sale there is one currency, so amounts add without naming it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Amount(pub i64);

impl Amount {
    /// The largest amount accepted as a price: sums of whole halls stay far inside `i64`.
    pub const MAX_PRICE: Self = Self(1_000_000_000_000);

    /// The sum, or `None` beyond 64 bits.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }
}

/// An ISO 4217 currency code: three upper-case letters.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Currency([u8; 3]);

/// A currency code was not three upper-case letters.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a currency is three upper-case letters (ISO 4217)")]
pub struct BadCurrency;

impl Currency {
    /// The code, such as `KRW`.
    #[must_use]
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or("???")
    }

    /// How many digits its minor unit has: 0 for `KRW`, 2 for `EUR`. `None` for a code of no currency that is in use, which
    /// an event of before may still have.
    #[must_use]
    pub fn minor_digits(&self) -> Option<u8> {
        iso4217::minor_digits(self.code())
    }
}

impl FromStr for Currency {
    type Err = BadCurrency;
    fn from_str(text: &str) -> Result<Self, BadCurrency> {
        match <[u8; 3]>::try_from(text.as_bytes()) {
            Ok(code) if code.iter().all(u8::is_ascii_uppercase) => Ok(Self(code)),
            Ok(_) | Err(_) => Err(BadCurrency),
        }
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Currency({})", self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn currencies_in_use_have_a_minor_unit_and_no_other_code_does() {
        let digits = |code: &str| code.parse::<Currency>().ok().and_then(|currency| currency.minor_digits());
        let found = ["KRW", "JPY", "EUR", "USD", "KWD"].map(digits);
        assert_eq!(found, [Some(0), Some(0), Some(2), Some(2), Some(3)]);
        for code in ["XXX", "XTS", "XAU", "XDR", "CHE", "DEM", "BGN", "HRK", "ZZZ", "AAA", "krw"] {
            assert_eq!(digits(code), None, "{code}");
        }
    }
}

//! How the domain's instants are written in Postgres: `timestamptz`, which counts the same microseconds from the year
//! 2000. Must never lose one.

use bytes::BytesMut;
use onsale_engine::time::Timestamp;
use std::error::Error;
use tokio_postgres::types::{FromSql, IsNull, ToSql, Type, accepts, to_sql_checked};

/// Microseconds from 1970 to 2000.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// An instant as a parameter or a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At(pub(super) Timestamp);

impl ToSql for At {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        // The two ends of the range are Postgres' infinities.
        out.extend_from_slice(&self.0.0.saturating_sub(EPOCH_MICROS).to_be_bytes());
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

impl<'a> FromSql<'a> for At {
    fn from_sql(_: &Type, raw: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        let micros = i64::from_be_bytes(raw.try_into()?);
        Ok(Self(Timestamp(micros.saturating_add(EPOCH_MICROS))))
    }

    accepts!(TIMESTAMPTZ);
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn instants_come_back_to_the_microsecond() {
        for micros in [0, -1, 1_780_000_000_123_456, EPOCH_MICROS, -EPOCH_MICROS] {
            let mut bytes = BytesMut::new();
            At(Timestamp(micros)).to_sql(&Type::TIMESTAMPTZ, &mut bytes).unwrap();
            assert_eq!(At::from_sql(&Type::TIMESTAMPTZ, &bytes).unwrap(), At(Timestamp(micros)));
        }
    }
}

//! Instants as text: RFC 3339 in UTC, from the first to the last instant that four digits of a year can name. Must never
//! answer an instant other than the one it was given.

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::fmt::temporal::{DateTimePrinter, Pieces};
use onsale_engine::time::Timestamp;

/// 0000-01-01T00:00:00Z.
pub const FIRST: Timestamp = Timestamp::from_secs(-62_167_219_200);
/// 9999-12-31T23:59:59.999999Z.
pub const LAST: Timestamp = Timestamp(253_402_300_799_999_999);

/// Microseconds of a day without leap seconds.
const DAY: i64 = 86_400_000_000;
/// Where a leap second stands in `2016-12-31T23:59:60Z`.
const SECONDS: std::ops::Range<usize> = 16..19;

fn epoch() -> DateTime {
    date(1970, 1, 1).at(0, 0, 0, 0)
}

/// RFC 3339 in UTC, with as many fractional digits as are needed: `2026-06-01T10:00:00Z`. `None` outside [`FIRST`] and
/// [`LAST`].
#[must_use]
pub fn write(at: Timestamp) -> Option<String> {
    if !(FIRST..=LAST).contains(&at) {
        return None;
    }
    // The library's instants end a day before its calendar does, so that every offset can be added to them.
    if let Ok(instant) = jiff::Timestamp::from_microsecond(at.0) {
        let mut out = String::with_capacity(28);
        // Printing into a `String` cannot fail.
        let _ = DateTimePrinter::new().print_timestamp(&instant, &mut out);
        return Some(out);
    }
    let civil = epoch().checked_add(SignedDuration::from_micros(at.0)).ok()?;
    Some(format!("{civil}Z"))
}

/// The instant that an RFC 3339 text with any offset names, to the microsecond; `None` when it is none, or when no four
/// digits name its year in UTC. A leap second (`23:59:60` in UTC) is read as the second before it, since the clocks that it
/// is compared with have none; `:60` anywhere else is no time.
#[must_use]
pub fn read(text: &str) -> Option<Timestamp> {
    let pieces = Pieces::parse(text).ok()?;
    let (time, offset) = (pieces.time()?, pieces.to_numeric_offset()?);
    let civil = DateTime::from_parts(pieces.date(), time);
    let micros = i64::try_from(civil.duration_since(epoch()).as_micros()).ok()?;
    let at = Timestamp(micros.checked_sub(i64::from(offset.seconds()).checked_mul(1_000_000)?)?);
    let is_leap = text.get(SECONDS) == Some(":60");
    let may_leap = at.0.rem_euclid(DAY) >= DAY - 1_000_000;
    ((FIRST..=LAST).contains(&at) && (may_leap || !is_leap)).then_some(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<&str>) {
        assert_eq!(read(text).map(|at| write(at).unwrap_or_default()).as_deref(), expected, "{text}");
    }

    #[test]
    fn times_are_read_with_any_offset_and_written_in_utc() {
        check("2026-06-01T19:00:00+09:00", Some("2026-06-01T10:00:00Z"));
        check("2026-06-01t10:00:00z", Some("2026-06-01T10:00:00Z"));
        check("2026-06-01T10:00:00.125-00:00", Some("2026-06-01T10:00:00.125Z"));
        check("1969-12-31T23:59:59.5Z", Some("1969-12-31T23:59:59.5Z"));
        for wrong in ["2026-06-01", "2026-06-01T10:00:00", "2026-06-31T10:00:00Z", "2026-06-01T24:00:00Z", "", "now"] {
            check(wrong, None);
        }
    }

    #[test]
    fn the_calendars_first_and_last_instants_are_times() {
        assert_eq!(write(FIRST).as_deref(), Some("0000-01-01T00:00:00Z"));
        assert_eq!(write(LAST).as_deref(), Some("9999-12-31T23:59:59.999999Z"));
        assert_eq!((write(Timestamp(LAST.0 + 1)), write(Timestamp(FIRST.0 - 1))), (None, None));
        assert_eq!((write(Timestamp(i64::MAX)), write(Timestamp(i64::MIN))), (None, None));
        check("0000-01-01T00:00:00Z", Some("0000-01-01T00:00:00Z"));
        check("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z"));
        check("9999-12-31T23:59:59+00:00", Some("9999-12-31T23:59:59Z"));
        check("9999-12-31T23:59:59.999999Z", Some("9999-12-31T23:59:59.999999Z"));
        check("9999-12-31T23:59:59+23:59", Some("9999-12-31T00:00:59Z"));
        check("9999-12-30T22:00:00.999999Z", Some("9999-12-30T22:00:00.999999Z"));
        check("9999-12-30T22:00:01Z", Some("9999-12-30T22:00:01Z"));
        // In UTC these are in the years 10000 and -1.
        check("9999-12-31T23:59:59-00:01", None);
        check("0000-01-01T00:00:00+00:01", None);
        check("10000-01-01T00:00:00Z", None);
        check("-0001-12-31T23:59:59Z", None);
    }

    #[test]
    fn a_leap_second_is_the_second_before_it_and_stands_nowhere_else() {
        check("2016-12-31T23:59:60Z", Some("2016-12-31T23:59:59Z"));
        check("2017-01-01T08:59:60+09:00", Some("2016-12-31T23:59:59Z"));
        check("9999-12-31T23:59:60Z", Some("9999-12-31T23:59:59Z"));
        check("2016-12-31T23:59:60+09:00", None);
        check("2016-12-31T10:20:60Z", None);
        check("2016-12-31T23:59:61Z", None);
    }
}

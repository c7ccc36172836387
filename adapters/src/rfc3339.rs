//! Instants as text: RFC 3339 in UTC, from the first to the last instant that four digits of a year can name. Must never
//! answer an instant other than the one it was given.

use jiff::SignedDuration;
use jiff::civil::{DateTime, date};
use jiff::fmt::temporal::Pieces;
use onsale_engine::time::Timestamp;
use std::cell::Cell;

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
    written(at, None)
}

/// The same with three fractional digits; what is finer is cut off.
#[must_use]
pub fn write_millis(at: Timestamp) -> Option<String> {
    written(at, Some(3))
}

/// The library knows the calendar; the time of a day is four divisions, and every answer of a sale has an instant or two.
fn written(at: Timestamp, digits: Option<usize>) -> Option<String> {
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    text[..10].copy_from_slice(&date_text(at.0.div_euclid(DAY))?);
    let micros = at.0.rem_euclid(DAY);
    let seconds = micros / 1_000_000;
    put_digits(&mut text[11..13], seconds / 3600);
    put_digits(&mut text[14..16], seconds / 60 % 60);
    put_digits(&mut text[17..19], seconds % 60);
    put_digits(&mut text[20..26], micros % 1_000_000);
    let digits = digits.unwrap_or_else(|| 6 - text[20..26].iter().rev().take_while(|digit| **digit == b'0').count());
    let end = if digits == 0 { 19 } else { 20 + digits };
    text[end] = b'Z';
    std::str::from_utf8(&text[..=end]).ok().map(str::to_owned)
}

/// The date of the `day`-th day since 1970-01-01. The last one asked for is kept by each thread.
fn date_text(day: i64) -> Option<[u8; 10]> {
    thread_local! {
        static LAST_DAY: Cell<(i64, [u8; 10])> = const { Cell::new((0, *b"1970-01-01")) };
    }
    let (kept, text) = LAST_DAY.get();
    if kept == day {
        return Some(text);
    }
    if !(FIRST.0.div_euclid(DAY)..=LAST.0.div_euclid(DAY)).contains(&day) {
        return None;
    }
    let date = epoch().checked_add(SignedDuration::from_hours(day * 24)).ok()?.date();
    let mut text = *b"0000-00-00";
    put_digits(&mut text[..4], i64::from(date.year()));
    put_digits(&mut text[5..7], i64::from(date.month()));
    put_digits(&mut text[8..], i64::from(date.day()));
    LAST_DAY.set((day, text));
    Some(text)
}

/// The last digits of a number that is not negative.
fn put_digits(text: &mut [u8], mut number: i64) {
    for digit in text.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
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

    /// Every day of ten years around, the days of leap years and the ends of the calendar, at odd times.
    #[test]
    fn instants_are_written_as_the_library_writes_them() {
        let days = (16_000..24_000).chain([-719_162, -1, 0, 1, 59, 60, 11_016, 11_017, 2_932_000]);
        for (number, day) in days.enumerate() {
            let time = [0, 1, 999, 1_000, 120_000, 3_599_999_999, 43_200_000_000, DAY - 1][number % 8];
            let at = Timestamp(day * DAY + time);
            let expected = jiff::Timestamp::from_microsecond(at.0).map(|instant| instant.to_string());
            assert_eq!(write(at), expected.ok(), "{at:?}");
            let millis = jiff::Timestamp::from_microsecond(at.0).map(|instant| format!("{instant:.3}"));
            assert_eq!(write_millis(at), millis.ok(), "{at:?}");
        }
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

//! Instants at the boundary: RFC 3339 in and out, zones, and midnights at a venue. Must never reach the domain with a time
//! zone.

use jiff::tz::TimeZone;
use onsale_adapters::rfc3339;
use onsale_engine::time::Timestamp;

/// Microseconds of a day without a change of the clocks.
const DAY: i64 = 86_400_000_000;

/// RFC 3339 in UTC, with as many fractional digits as are needed: `2026-06-01T10:00:00Z`. What lies past the last instant of
/// the calendar, such as a deadline counted from it, is shown as that instant.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    rfc3339::write(at).or_else(|| rfc3339::write(at.clamp(rfc3339::FIRST, rfc3339::LAST))).unwrap_or_default()
}

/// The same in milliseconds, for clocks that are set by it.
#[must_use]
pub fn rfc3339_millis(at: Timestamp) -> String {
    rfc3339::write_millis(at.clamp(rfc3339::FIRST, rfc3339::LAST)).unwrap_or_default()
}

/// The instant that an RFC 3339 text with any offset names, see [`rfc3339::read`]; `None` when it is none.
#[must_use]
pub fn read_rfc3339(text: &str) -> Option<Timestamp> {
    rfc3339::read(text)
}

/// The zone of an IANA name, whatever its case; `None` for what names no place, such as `Etc/Unknown`.
#[must_use]
pub fn zone(name: &str) -> Option<TimeZone> {
    TimeZone::get(name).ok().filter(|zone| zone.iana_name().is_some() && !zone.is_unknown())
}

/// The first instant of the day, by the clocks of `zone`, on which `at` falls.
#[must_use]
pub fn midnight_before(at: Timestamp, zone: &TimeZone) -> Timestamp {
    let near = at.clamp(whole(jiff::Timestamp::MIN), whole(jiff::Timestamp::MAX)).0;
    let instant = jiff::Timestamp::from_microsecond(near).unwrap_or_default();
    if near == at.0
        && let Ok(day) = instant.to_zoned(zone.clone()).start_of_day()
    {
        return Timestamp(day.timestamp().as_microsecond());
    }
    // In the last hours of the year 9999 the library's instants have ended; the clocks do not change any more.
    let offset = i64::from(zone.to_offset(instant).seconds()) * 1_000_000;
    let local = at.0.saturating_add(offset);
    Timestamp((local - local.rem_euclid(DAY)).saturating_sub(offset))
}

fn whole(at: jiff::Timestamp) -> Timestamp {
    Timestamp::from_secs(at.as_second())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may fail by panicking")]
    use super::*;

    #[test]
    fn a_deadline_past_the_calendar_is_shown_as_its_last_instant() {
        assert_eq!(rfc3339(Timestamp(i64::MAX)), "9999-12-31T23:59:59.999999Z");
        assert_eq!(rfc3339(Timestamp(i64::MIN)), "0000-01-01T00:00:00Z");
        let at = read_rfc3339("9999-12-31T23:59:59Z").unwrap();
        assert_eq!(rfc3339(at + std::time::Duration::from_secs(300)), "9999-12-31T23:59:59.999999Z");
    }

    #[test]
    fn midnight_is_the_venues() {
        let check = |name: &str, at: &str, expected: &str| {
            let midnight = midnight_before(read_rfc3339(at).unwrap(), &zone(name).unwrap());
            assert_eq!(rfc3339(midnight), expected, "{name} {at}");
        };
        // 19:00 on the 1st of June in Seoul: that day began at 15:00 UTC the day before.
        check("Asia/Seoul", "2026-06-01T10:00:00Z", "2026-05-31T15:00:00Z");
        check("America/New_York", "2026-06-01T01:00:00Z", "2026-05-31T04:00:00Z");
        // A day that begins at one o'clock, because the clocks go forward at midnight.
        check("America/Sao_Paulo", "2018-11-04T20:00:00Z", "2018-11-04T03:00:00Z");
        // The ends of the calendar, on either side of UTC.
        check("UTC", "9999-12-31T23:59:59Z", "9999-12-31T00:00:00Z");
        check("Asia/Seoul", "9999-12-31T23:59:59Z", "9999-12-31T15:00:00Z");
        check("America/New_York", "9999-12-31T23:59:59Z", "9999-12-31T05:00:00Z");
        check("Pacific/Kiritimati", "9999-12-31T09:59:59Z", "9999-12-30T10:00:00Z");
        check("UTC", "0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z");
        check("America/New_York", "0000-01-02T12:00:00Z", "0000-01-02T04:56:02Z");
    }

    #[test]
    fn zones_are_found_whatever_their_case() {
        assert_eq!(zone("asia/seoul").unwrap().iana_name(), Some("Asia/Seoul"));
        assert!(zone("Mars/Olympus").is_none() && zone("Etc/Unknown").is_none() && zone("").is_none());
        assert!(zone("UTC").is_some() && zone("Etc/UTC").is_some());
    }
}

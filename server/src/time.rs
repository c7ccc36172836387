//! Instants at the edge: RFC 3339 in and out, and the process' clock. Must never reach the domain with a time zone.

use jiff::fmt::temporal::DateTimePrinter;
use onsale_engine::time::Timestamp;

/// RFC 3339 in UTC, with as many fractional digits as are needed: `2026-06-01T10:00:00Z`.
#[must_use]
pub fn rfc3339(at: Timestamp) -> String {
    let mut out = String::with_capacity(28);
    let instant = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    // Printing into a `String` cannot fail.
    let _ = DateTimePrinter::new().print_timestamp(&instant, &mut out);
    out
}

/// The same in milliseconds, for clocks that are set by it.
#[must_use]
pub fn rfc3339_millis(at: Timestamp) -> String {
    let mut out = String::with_capacity(28);
    let instant = jiff::Timestamp::from_microsecond(at.0).unwrap_or_default();
    // Printing into a `String` cannot fail.
    let _ = DateTimePrinter::new().precision(Some(3)).print_timestamp(&instant, &mut out);
    out
}

/// The instant that an RFC 3339 text with any offset names; `None` when it is none.
#[must_use]
pub fn read_rfc3339(text: &str) -> Option<Timestamp> {
    let instant: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(instant.as_microsecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_any_offset_and_written_in_utc() {
        let at = read_rfc3339("2026-06-01T19:00:00+09:00");
        assert_eq!(at.map(rfc3339).as_deref(), Some("2026-06-01T10:00:00Z"));
        assert_eq!(at, read_rfc3339("2026-06-01T10:00:00Z"));
        assert_eq!(read_rfc3339("2026-06-01"), None);
        assert_eq!(read_rfc3339("2026-06-01T10:00:00"), None);
    }
}

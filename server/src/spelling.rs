//! Suggestions for misspelt names: "did you mean …?". Must never act on the guess.

/// How alike two names must be, from 0 to 1 (Jaro-Winkler, which weighs the beginning). `ratePerSec` and `ratePerSecond` are
/// at 0.95, `venueId` and `hallId` at 0.73.
const ALIKE: f64 = 0.88;

/// The known name that is most like `name`, letters' case and what joins its words aside; `None` when none is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = plain(name);
    let scored = known.into_iter().map(|known| (strsim::jaro_winkler(&wanted, &plain(known)), known));
    let best = scored.filter(|(alike, _)| *alike >= ALIKE).max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.map(|(_, known)| known)
}

/// Letters and digits alone, in lower case.
#[must_use]
pub fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// `; did you mean …?`, or nothing.
#[must_use]
pub fn hint(meant: Option<&str>) -> String {
    meant.map(|meant| format!("; did you mean {meant}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["maxSeatsPerBuyer", "ratePerSecond", "saleStartsAt", "startsAt", "hallId", "title"];
        let check = |name: &str, expected: Option<&str>| assert_eq!(nearest(name, known), expected, "{name}");
        check("maxSeatPerBuyer", Some("maxSeatsPerBuyer"));
        check("max_seats_per_buyer", Some("maxSeatsPerBuyer"));
        check("ratePerSec", Some("ratePerSecond"));
        check("saleStartAt", Some("saleStartsAt"));
        check("startAt", Some("startsAt"));
        check("titel", Some("title"));
        check("venueId", None);
        check("nothing", None);
        check("", None);
    }
}

//! The order of an event's times: one table, for making, changing and postponing an event alike. Must never be applied to times
//! that a change does not touch: events that were made before a rule stay readable and changeable.

use crate::http::{Mistakes, Object};
use onsale_engine::time::Timestamp;

/// One rule: the earlier time, whether the two may be equal, the later one, and which of them is named as the mistake.
struct Rule {
    earlier: &'static str,
    may_be_equal: bool,
    later: &'static str,
    blamed: &'static str,
}

/// `roomOpensAt ≤ saleStartsAt < saleEndsAt ≤ endsAt`, and `startsAt < endsAt`. A sale may go on while the event does.
const RULES: [Rule; 4] = [
    Rule { earlier: STARTS, may_be_equal: false, later: ENDS, blamed: ENDS },
    Rule { earlier: SALE_STARTS, may_be_equal: false, later: SALE_ENDS, blamed: SALE_ENDS },
    Rule { earlier: SALE_ENDS, may_be_equal: true, later: ENDS, blamed: SALE_ENDS },
    Rule { earlier: ROOM_OPENS, may_be_equal: true, later: SALE_STARTS, blamed: ROOM_OPENS },
];

const STARTS: &str = "startsAt";
const ENDS: &str = "endsAt";
const SALE_STARTS: &str = "saleStartsAt";
const SALE_ENDS: &str = "saleEndsAt";
const ROOM_OPENS: &str = "admission.roomOpensAt";

/// The times of one event, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    /// When it begins.
    pub starts_at: Option<Timestamp>,
    /// When it ends.
    pub ends_at: Option<Timestamp>,
    /// When its sale opens.
    pub sale_starts_at: Option<Timestamp>,
    /// When its sale ends.
    pub sale_ends_at: Option<Timestamp>,
    /// When its waiting room opens.
    pub room_opens_at: Option<Timestamp>,
}

impl Times {
    /// The times that a body names. A time that is wrong by itself is left out: that mistake was found where it was read.
    #[must_use]
    pub fn named_in(body: &Object<'_>) -> Self {
        let mut quiet = Mistakes::default();
        let room = body.optional_object(&mut quiet, "admission");
        Self {
            starts_at: body.optional_time(&mut quiet, STARTS),
            ends_at: body.optional_time(&mut quiet, ENDS),
            sale_starts_at: body.optional_time(&mut quiet, SALE_STARTS),
            sale_ends_at: body.optional_time(&mut quiet, SALE_ENDS),
            room_opens_at: room.and_then(|room| room.optional_time(&mut quiet, "roomOpensAt")),
        }
    }

    fn of(&self, member: &str) -> Option<Timestamp> {
        match member {
            STARTS => self.starts_at,
            ENDS => self.ends_at,
            SALE_STARTS => self.sale_starts_at,
            SALE_ENDS => self.sale_ends_at,
            ROOM_OPENS => self.room_opens_at,
            _ => None,
        }
    }

    /// Adds a mistake for every rule that is broken, of those with a time that `before` had otherwise. Where one of the two
    /// times is as before, the other one is the mistake.
    pub fn check(&self, before: Option<&Self>, mistakes: &mut Mistakes) {
        for Rule { earlier, may_be_equal, later, blamed } in RULES {
            let (Some(first), Some(second)) = (self.of(earlier), self.of(later)) else { continue };
            let has_changed = |member: &str| before.is_none_or(|before| before.of(member) != self.of(member));
            let holds = first < second || (may_be_equal && first == second);
            let at = match (has_changed(earlier), has_changed(later)) {
                _ if holds => continue,
                (false, false) => continue,
                (true, true) => blamed,
                (true, false) => earlier,
                (false, true) => later,
            };
            let message = match (at == earlier, may_be_equal) {
                (true, true) => format!("not later than {later}"),
                (true, false) => format!("earlier than {later}"),
                (false, true) => format!("not earlier than {earlier}"),
                (false, false) => format!("later than {earlier}"),
            };
            mistakes.add(at, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Room, sale's start and end, event's start and end: in this order all rules hold with room between.
    fn times(room: i64, opens: i64, closes: i64, starts: i64, ends: i64) -> Times {
        let at = |secs: i64| Some(Timestamp::from_secs(secs));
        Times {
            starts_at: at(starts),
            ends_at: at(ends),
            sale_starts_at: at(opens),
            sale_ends_at: at(closes),
            room_opens_at: at(room),
        }
    }

    fn check(times: Times, before: Option<Times>, expected: &[(&str, &str)]) {
        let mut mistakes = Mistakes::default();
        times.check(before.as_ref(), &mut mistakes);
        let problem = mistakes.refuse();
        let found: Vec<(&str, &str)> =
            problem.mistakes().iter().map(|found| (found.field.as_str(), found.message.as_str())).collect();
        assert_eq!(found, expected, "{times:?}");
    }

    #[test]
    fn every_pair_is_checked_alone_and_at_its_border() {
        check(times(1, 2, 3, 4, 5), None, &[]);
        // roomOpensAt ≤ saleStartsAt
        check(times(2, 2, 3, 4, 5), None, &[]);
        check(times(3, 2, 6, 4, 7), None, &[("admission.roomOpensAt", "not later than saleStartsAt")]);
        // saleStartsAt < saleEndsAt
        check(times(1, 3, 3, 4, 5), None, &[("saleEndsAt", "later than saleStartsAt")]);
        check(times(1, 4, 3, 4, 5), None, &[("saleEndsAt", "later than saleStartsAt")]);
        // saleEndsAt ≤ endsAt
        check(times(1, 2, 5, 4, 5), None, &[]);
        check(times(1, 2, 6, 4, 5), None, &[("saleEndsAt", "not later than endsAt")]);
        // startsAt < endsAt
        check(times(1, 2, 3, 5, 5), None, &[("endsAt", "later than startsAt")]);
        check(times(1, 2, 3, 6, 5), None, &[("endsAt", "later than startsAt")]);
        // What is not a rule: a sale that opens, and ends, while the event goes on.
        check(times(4, 4, 5, 3, 6), None, &[]);
    }

    #[test]
    fn a_time_that_is_not_known_breaks_no_rule() {
        check(Times::default(), None, &[]);
        check(Times { room_opens_at: None, ..times(9, 2, 3, 4, 5) }, None, &[]);
        check(Times { ends_at: None, ..times(1, 2, 9, 8, 5) }, None, &[]);
    }

    #[test]
    fn what_was_broken_before_is_no_mistake_of_a_change_that_does_not_touch_it() {
        let before = times(1, 2, 9, 4, 5);
        check(before, Some(before), &[]);
        check(Times { room_opens_at: None, ..before }, Some(before), &[]);
        // The one that the change names is blamed.
        check(
            Times { ends_at: Some(Timestamp::from_secs(8)), ..before },
            Some(before),
            &[("endsAt", "not earlier than saleEndsAt")],
        );
        let good = times(1, 2, 3, 4, 5);
        check(Times { starts_at: good.ends_at, ..good }, Some(good), &[("startsAt", "earlier than endsAt")]);
        let opens = Times { sale_starts_at: Some(Timestamp::from_secs(0)), ..good };
        check(opens, Some(good), &[("saleStartsAt", "not earlier than admission.roomOpensAt")]);
    }
}

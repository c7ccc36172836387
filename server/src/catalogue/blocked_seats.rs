//! `blockedSeatIds` of an event: the seats that are not for sale whatever their category, by their ids in the hall's plan. Reads
//! them, and translates between ids and the plan's seats. Must never decide what is for sale: that is for the sale's rules.

use crate::http::{Mistakes, Object};
use onsale_engine::id::SeatIndex;
use onsale_engine::limits::MAX_BLOCKED_SEATS;
use onsale_engine::plan::Plan;
use std::collections::HashSet;
use std::sync::Arc;

/// The member of an event.
pub const MEMBER: &str = "blockedSeatIds";
/// Characters of a seat's id.
const ID_CHARS: std::ops::RangeInclusive<usize> = 1..=100;

/// The ids that the body names, none of them twice; none for a body that does not name any. `None` when something is wrong.
pub fn read(body: &Object<'_>, mistakes: &mut Mistakes) -> Option<Vec<String>> {
    match body.value(MEMBER) {
        None => Some(Vec::new()),
        Some(_) => {
            list(body, mistakes, MEMBER, MAX_BLOCKED_SEATS).map(|ids| ids.into_iter().map(str::to_owned).collect())
        }
    }
}

/// A list of seat ids, none of them twice.
pub fn list<'a>(body: &Object<'a>, mistakes: &mut Mistakes, member: &str, most: usize) -> Option<Vec<&'a str>> {
    let ids = body.texts(mistakes, member, 0..=most, ID_CHARS)?;
    let (mut seen, mut twice) = (HashSet::with_capacity(ids.len()), false);
    for (number, id) in ids.iter().enumerate() {
        if !seen.insert(*id) {
            mistakes.add(format!("{}[{number}]", body.at(member)), "the same seat twice");
            twice = true;
        }
    }
    (!twice).then_some(ids)
}

/// Names every seat that the hall does not have. Ignores values that are wrong by themselves.
pub fn check(body: &Object<'_>, plan: &Plan, mistakes: &mut Mistakes) {
    let mut quiet = Mistakes::default();
    let Some(ids) = read(body, &mut quiet) else { return };
    for (number, _) in ids.iter().enumerate().filter(|(_, id)| plan.seat(id).is_none()) {
        mistakes.add(format!("{}[{number}]", body.at(MEMBER)), "the hall has no such seat");
    }
}

/// The seats of these ids in plan order; `None` when the plan does not have one of them.
#[must_use]
pub fn seats(ids: &[impl AsRef<str>], plan: &Plan) -> Option<Arc<[SeatIndex]>> {
    let mut seats = ids.iter().map(|id| plan.seat(id.as_ref())).collect::<Option<Vec<_>>>()?;
    seats.sort_unstable();
    Some(seats.into())
}

/// The ids of these seats.
#[must_use]
pub fn ids<'a>(seats: &[SeatIndex], plan: &'a Plan) -> Vec<&'a str> {
    seats.iter().filter(|seat| plan.has(**seat)).map(|seat| plan.seat_id(*seat)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use onsale_engine::fakes::small_plan;
    use serde_json::{Value, json};

    fn mistakes_of(body: &Value) -> Vec<String> {
        let mut mistakes = Mistakes::default();
        let body = Object::root(body, &mut mistakes);
        read(&body, &mut mistakes);
        check(&body, &small_plan(2, 3), &mut mistakes);
        mistakes.refuse().mistakes().iter().map(|mistake| mistake.field.clone()).collect()
    }

    #[test]
    fn every_seat_that_is_wrong_is_named() {
        let check = |ids: Value, expected: &[&str]| assert_eq!(mistakes_of(&json!({ MEMBER: ids })), expected);
        check(json!(["A-1", "B-3"]), &[]);
        check(json!([]), &[]);
        check(Value::Null, &[]);
        check(json!("A-1"), &[MEMBER]);
        check(json!(["A-1", 7]), &["blockedSeatIds[1]"]);
        check(json!(["A-1", "A-2", "A-1"]), &["blockedSeatIds[2]"]);
        check(json!(["Z-1", "A-2", "A-4"]), &["blockedSeatIds[0]", "blockedSeatIds[2]"]);
        check(vec!["A-1"; MAX_BLOCKED_SEATS + 1].into(), &[MEMBER]);
    }

    #[test]
    fn ids_become_seats_in_plan_order_and_ids_again() {
        let plan = small_plan(2, 3);
        let found = seats(&["B-1", "A-2"], &plan);
        assert_eq!(found.as_deref(), Some([SeatIndex(1), SeatIndex(3)].as_slice()));
        assert_eq!(ids(&found.unwrap_or_default(), &plan), ["A-2", "B-1"]);
        assert_eq!(seats(&["Z-1"], &plan), None);
    }
}

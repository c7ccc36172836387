//! The mistakes of a draft, all at once: each cause with every place of it. Must never change a draft.

use super::draft::{MistakePlace, PlanDraft, PlanMistake, PlanPath, SeatDraft};
use crate::limits::{MAX_CATEGORIES, MAX_SEATS};
use hashbrown::HashMap;

/// Bytes of a seat's id.
const MAX_ID_BYTES: usize = 100;

/// The mistakes found so far, by cause.
#[derive(Default)]
pub(super) struct Mistakes<'a> {
    found: Vec<PlanMistake>,
    /// Where each cause stands in `found`.
    by_cause: HashMap<(&'static str, String), usize>,
    /// Where each id was first given.
    ids: HashMap<&'a str, PlanPath>,
}

impl Mistakes<'_> {
    pub(super) fn add(&mut self, member: &'static str, message: impl Into<String>, place: MistakePlace) {
        let message = message.into();
        let number = *self.by_cause.entry((member, message)).or_insert_with_key(|(member, message)| {
            self.found.push(PlanMistake { member, message: message.clone(), places: Vec::new() });
            self.found.len() - 1
        });
        self.found[number].places.push(place);
    }

    fn of_plan(&mut self, member: &'static str, message: impl Into<String>) {
        self.add(member, message, MistakePlace::at(None));
    }

    pub(super) fn check(self) -> Result<(), Vec<PlanMistake>> {
        if self.found.is_empty() { Ok(()) } else { Err(self.found) }
    }
}

/// Every mistake of a draft by itself, apart from how its seats lie.
pub(super) fn check(draft: &PlanDraft) -> Result<(), Vec<PlanMistake>> {
    let mut mistakes = Mistakes::default();
    categories(draft, &mut mistakes);
    if draft.stage.is_some_and(|stage| !(stage.x.is_finite() && stage.y.is_finite())) {
        mistakes.of_plan("stage", "finite numbers");
    }
    let known: HashMap<&str, ()> = draft.categories.iter().map(|category| (category.name.as_str(), ())).collect();
    let mut count = 0_usize;
    for (section, zone) in draft.sections.iter().enumerate() {
        for (row, line) in zone.rows.iter().enumerate() {
            for (number, seat) in line.seats.iter().enumerate() {
                count += 1;
                if count > MAX_SEATS {
                    mistakes.of_plan("zones", format!("at most {MAX_SEATS} seats"));
                    return mistakes.check();
                }
                self::seat(seat, Some((section, Some((row, Some(number))))), &known, &mut mistakes);
            }
        }
    }
    if count == 0 {
        mistakes.of_plan("zones", "at least one seat");
    }
    mistakes.check()
}

fn categories(draft: &PlanDraft, mistakes: &mut Mistakes<'_>) {
    if draft.categories.is_empty() {
        mistakes.of_plan("categories", "at least one category");
    }
    if draft.categories.len() > MAX_CATEGORIES {
        mistakes.of_plan("categories", format!("at most {MAX_CATEGORIES} categories"));
    }
    for (number, category) in draft.categories.iter().enumerate() {
        if category.name.is_empty() {
            mistakes.of_plan("categories", format!("category {number} has no name"));
        }
        if draft.categories[..number].iter().any(|earlier| earlier.name == category.name) {
            mistakes.of_plan("categories", format!("two categories are named {:?}", category.name));
        }
    }
}

fn seat<'a>(seat: &'a SeatDraft, at: PlanPath, known: &HashMap<&str, ()>, mistakes: &mut Mistakes<'a>) {
    if !known.contains_key(seat.category.as_str()) {
        mistakes.add("category", format!("no category is named {:?}", seat.category), MistakePlace::at(at));
    }
    if seat.id.is_empty() || seat.id.len() > MAX_ID_BYTES {
        mistakes.add("seat_guid", format!("1 to {MAX_ID_BYTES} bytes"), MistakePlace::at(at));
    }
    if !(seat.x.is_finite() && seat.y.is_finite()) {
        mistakes.add("position", "finite numbers", MistakePlace::at(at));
    }
    let first = *mistakes.ids.entry(seat.id.as_str()).or_insert(at);
    if first != at {
        let other = Some((first, seat.id.clone()));
        mistakes.add("seat_guid", "two seats have one id", MistakePlace { at, other });
    }
}

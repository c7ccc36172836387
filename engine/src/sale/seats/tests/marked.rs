//! Halls with marked seats: wheelchairs, companions, a restricted view, pairs; and the best seats in them. Must never assert.

use crate::plan::{PlanDraft, SeatKind};
use crate::sale::tests::stage::Stage;
use crate::sale::{Among, Rejection, Selection, Unavailable};

/// A hall as it is drawn, changed, and on sale without a limit for each buyer that a test would meet.
pub(super) fn on_sale(rows: &[&str], change: impl FnOnce(&mut PlanDraft)) -> Stage {
    let mut draft = crate::sale::tests::stage::drawn(rows);
    change(&mut draft);
    let mut stage = Stage::of(&draft).rules(|config| config.max_seats_per_buyer = 100);
    stage.at("10:00:00");
    stage
}

/// Row `row`'s seats from `first` on, as many as there are letters: `w`heelchair, `c`ompanion, `r`estricted view, `p`air.
pub(super) fn mark(draft: &mut PlanDraft, row: usize, first: usize, letters: &str) {
    let seats = &mut draft.sections[0].rows[row].seats;
    for (at, letter) in letters.chars().enumerate() {
        let seat = &mut seats[first - 1 + at];
        match letter {
            'w' => seat.kind = SeatKind::Wheelchair,
            'c' => seat.kind = SeatKind::Companion,
            'r' => seat.kind = SeatKind::RestrictedView,
            _ => seat.pair = Some(format!("pair {}", at / 2)),
        }
    }
}

/// The best seats, or why there are none.
pub(super) fn best(stage: &mut Stage, buyer: u128, quantity: u16, among: Among) -> Result<Vec<String>, Unavailable> {
    let category = stage.sale.plan().unwrap().category("V").unwrap();
    match stage.buyer(buyer).tries(Selection::Best { category, quantity, among }) {
        Ok(view) => Ok(stage.names(&view.seats)),
        Err(Rejection::SeatUnavailable { reason, .. }) => Err(reason),
        Err(other) => panic!("{other:?}"),
    }
}

pub(super) fn of_kind(kind: SeatKind) -> Among {
    Among { kind: Some(kind), section: None }
}

//! What must hold is asserted in release builds, too: a journal that is not sound ends in a panic, from which the runtime rebuilds,
//! and never in a wrong count.

use crate::id::Seq;
use crate::sale::tests::stage::{Stage, buyer};
use crate::sale::{Entry, Fact, Sale};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Applies facts, at positions from `first` on, to a copy of the sale, and returns the words of the panic.
fn panic_of(stage: &Stage, first: u64, facts: Vec<Fact>) -> Option<String> {
    let mut sale: Sale = stage.sale.clone();
    let applied = catch_unwind(AssertUnwindSafe(|| {
        for (seq, fact) in (first..).zip(facts) {
            let last = stage.journal.last().unwrap().clone();
            sale.apply(&Entry { seq: Seq(seq), fact, ..last });
        }
    }));
    let panic = applied.err()?;
    let words = panic.downcast_ref::<String>().cloned();
    Some(words.or_else(|| panic.downcast_ref::<&str>().map(|&words| words.to_owned())).unwrap())
}

fn on_sale() -> Stage {
    let mut stage = Stage::theatre();
    stage.at("10:00:00");
    stage
}

#[test]
fn a_fact_out_of_its_place_is_not_applied() {
    let stage = on_sale();
    let next = stage.sale.seq().0 + 1;
    let left = || vec![Fact::Left { buyer: buyer(1) }];
    assert_eq!(panic_of(&stage, next, left()), None);
    for seq in [next - 1, next + 1] {
        assert!(panic_of(&stage, seq, left()).unwrap().contains("facts without gaps"), "{seq} after {}", next - 1);
    }
}

#[test]
fn a_seat_is_never_in_two_hands() {
    let mut stage = on_sale();
    stage.buyer(1).holds(["A-1", "A-2"]);
    let held = stage.journal.last().unwrap().fact.clone();
    let words = panic_of(&stage, stage.sale.seq().0 + 1, vec![held]);
    assert!(words.unwrap().contains("in two hands"));
}

#[test]
fn a_slot_and_a_ticket_are_given_once() {
    let mut stage = Stage::with_room();
    stage.at("09:30:00").buyer(1).enters();
    stage.at("10:00:00");
    let hold = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).pays(hold);
    let repeated = |stage: &Stage, is: fn(&Fact) -> bool| {
        let fact = stage.journal.iter().map(|entry| &entry.fact).find(|fact| is(fact)).unwrap().clone();
        panic_of(stage, stage.sale.seq().0 + 1, vec![fact]).unwrap()
    };
    assert!(repeated(&stage, |fact| matches!(fact, Fact::Admitted { .. })).contains("no slot is given twice"));
    assert!(
        repeated(&stage, |fact| matches!(fact, Fact::ReservationConfirmed { .. })).contains("no ticket is given twice")
    );
}

#[test]
fn a_hold_that_has_ended_does_not_end_again() {
    let mut stage = on_sale();
    let reservation = stage.buyer(1).holds(["A-1"]);
    stage.buyer(1).releases(reservation);
    let again = vec![Fact::HoldReleased { reservation }];
    assert!(panic_of(&stage, stage.sale.seq().0 + 1, again).unwrap().contains("in two hands"));
}

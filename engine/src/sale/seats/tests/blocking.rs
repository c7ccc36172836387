//! Seats that are not for sale: categories without a price, blocked seats, and an operator who blocks and frees them while the
//! sale goes on.

use crate::id::{CategoryIndex, SeatIndex};
use crate::limits::MAX_BLOCKED_SEATS;
use crate::sale::tests::stage::{Stage, admin};
use crate::sale::{
    Closed, Command, Fact, Rejection, Reply, Sale, SaleConfig, SeatBlocking, SeatCounts, Selection, Unavailable,
};

const NOTHING: [&str; 0] = [];

/// Five seats, two of them of a category that has no price.
fn with_crew() -> Stage {
    Stage::hall(&["AAACC"]).rules(|config| config.prices[1] = None)
}

fn counts(available: u32, held: u32, sold: u32, blocked: u32) -> SeatCounts {
    SeatCounts { total: available + held + sold + blocked, available, held, sold, blocked }
}

impl Stage {
    fn blocks(&mut self, block: &[&str], unblock: &[&str]) -> Result<Reply, Rejection> {
        let seats = |ids: &[&str]| ids.iter().map(|id| self.seat(id)).collect();
        let change = SeatBlocking { block: seats(block), unblock: seats(unblock), reason: "a camera".into() };
        self.submit(&Command::BlockSeats { change: Box::new(change), by: admin() })
    }

    fn last_fact(&self) -> &Fact {
        &self.journal.last().expect("a fact").fact
    }
}

#[test]
fn a_category_without_a_price_is_not_for_sale() {
    let mut stage = with_crew();
    stage.at("10:00:00").shows("A", "...xx");
    assert_eq!(stage.sale.counts(), counts(3, 0, 0, 2));
    assert_eq!(stage.sale.category_counts(), [counts(3, 0, 0, 0), counts(0, 0, 0, 2)]);
    stage.buyer(1).cannot_hold(["A-3", "A-4"]).taken(["A-4"]).try_instead(["A-2", "A-3"]);
    let crew = Selection::best(CategoryIndex(1), 1);
    assert_eq!(stage.buyer(1).tries(crew), Err(Rejection::CategoryNotForSale));
    stage.buyer(1).holds(["A-1", "A-2", "A-3"]);
    assert_eq!(stage.sale.counts(), counts(0, 3, 0, 2));
    stage.restarts().shows("A", "hhhxx");
}

#[test]
fn all_that_is_for_sale_is_sold_out() {
    let check = |counts: SeatCounts, expected: bool| assert_eq!(counts.is_sold_out(), expected, "{counts:?}");
    check(counts(0, 0, 3, 2), true);
    check(counts(0, 0, 3, 0), true);
    check(counts(1, 0, 2, 2), false);
    check(counts(0, 1, 2, 2), false);
    check(counts(0, 0, 0, 5), false);
    check(counts(0, 0, 0, 0), false);
}

#[test]
fn the_rules_may_block_single_seats_and_a_change_before_the_opening_frees_them() {
    let blocked = |seats: &[u32]| seats.iter().copied().map(SeatIndex).collect();
    let mut stage = with_crew().rules(|config| config.blocked = blocked(&[0, 3]));
    stage.shows("A", "x..xx");
    stage.reconfigures(|config| config.prices[1] = Some(crate::money::Amount(5))).unwrap();
    stage.shows("A", "x..x.");
    stage.reconfigures(|config| config.blocked = blocked(&[4])).unwrap();
    stage.shows("A", "....x");
    stage.reconfigures(|config| config.blocked = blocked(&[])).unwrap();
    stage.shows("A", ".....");
}

#[test]
fn an_operator_blocks_and_frees_while_selling() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-3"]);
    stage.blocks(&["A-5", "A-4"], &[]).unwrap();
    let seats = [stage.seat("A-4"), stage.seat("A-5")].into();
    assert_eq!(*stage.last_fact(), Fact::SeatsBlocked { seats, by: admin(), reason: "a camera".into() });
    stage.shows("A", "..hxx.....");
    stage.buyer(2).cannot_hold(["A-5", "A-6"]).taken(["A-5"]).try_instead(["A-6", "A-7"]);
    stage.buyer(2).gets_best("V", ["A-6", "A-7"]);
    let before = stage.journal.len();
    stage.blocks(&["A-4"], &["A-6", "B-1"]).unwrap();
    assert_eq!(stage.journal.len(), before, "what is as it shall be changes nothing");
    stage.blocks(&["A-1"], &["A-4"]).unwrap();
    assert_eq!(stage.journal.len(), before + 2);
    stage.shows("A", "x.h.xhh...");
    stage.buyer(1).releases(hold);
    stage.shows("A", "x...xhh...");
    stage.restarts().shows("A", "x...xhh...");
    assert_eq!(stage.sale.counts(), counts(26, 2, 0, 2));
}

#[test]
fn what_is_held_or_sold_is_not_blocked_and_then_nothing_is() {
    let mut stage = Stage::theatre();
    stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let sold = stage.buyer(2).holds(["A-2"]);
    stage.buyer(2).pays(sold);
    let taken = stage.seats(&["A-2", "A-1"]);
    let refusal = stage.blocks(&["A-3", "A-2", "A-1"], &[]);
    let reason = Unavailable::Taken;
    let expected = Rejection::SeatUnavailable { reason, taken, longest_block: 0, alternative: None };
    assert_eq!(refusal.unwrap_err(), expected);
    stage.shows("A", "hs........");
}

#[test]
fn a_category_without_a_price_is_not_freed_seat_by_seat() {
    let mut stage = with_crew();
    let seats = stage.seats(&["A-4"]);
    let refusal = stage.blocks(&["A-1"], &["A-4"]);
    assert_eq!(refusal.unwrap_err(), Rejection::SeatsNotForSale { seats });
    stage.blocks(&["A-4", "A-1"], &[]).unwrap();
    assert!(matches!(stage.last_fact(), Fact::SeatsBlocked { seats, .. } if **seats == [SeatIndex(0)]));
}

#[test]
fn refusals_come_in_their_order() {
    let mut stage = with_crew();
    stage.at("10:00:00").buyer(1).holds(["A-1"]);
    assert_eq!(stage.blocks(&["A-1", "Z-1"], &["A-4"]).unwrap_err(), Rejection::SeatNotFound);
    assert_eq!(stage.blocks(&["A-1"], &["Z-1"]).unwrap_err(), Rejection::SeatNotFound);
    assert!(matches!(stage.blocks(&["A-1"], &["A-4"]).unwrap_err(), Rejection::SeatsNotForSale { .. }));
    stage.submit(&Command::CancelSale { by: admin() }).unwrap();
    assert_eq!(stage.blocks(&["A-1"], &["A-4"]).unwrap_err(), Rejection::SaleClosed(Closed::Cancelled));
    stage.timers_ring();
    let change = SeatBlocking { block: [SeatIndex(0)].into(), unblock: [].into(), reason: "x".into() };
    let command = Command::BlockSeats { change: Box::new(change), by: admin() };
    assert!(matches!(Sale::new().decide(&command, stage.now, crate::id::Epoch(1)), Err(Rejection::NoSale)));
}

#[test]
fn no_more_are_blocked_one_by_one_than_may_be() {
    let row = "A".repeat(MAX_BLOCKED_SEATS + 2);
    let mut stage =
        Stage::hall(&[&row]).rules(|config| config.blocked = (1..MAX_BLOCKED_SEATS as u32).map(SeatIndex).collect());
    stage.blocks(&["A-1"], &[]).unwrap();
    let limit = MAX_BLOCKED_SEATS as u32;
    let last = format!("A-{}", MAX_BLOCKED_SEATS + 1);
    assert_eq!(stage.blocks(&[&last], &[]).unwrap_err(), Rejection::BlockLimitExceeded { limit });
    stage.blocks(&[&last], &["A-1"]).unwrap();
}

#[test]
fn a_change_of_the_rules_before_the_opening_keeps_what_an_operator_has_blocked() {
    let mut stage = Stage::theatre();
    stage.blocks(&["A-5"], &[]).unwrap();
    stage.reconfigures(|config| config.max_seats_per_buyer = 2).unwrap();
    stage.shows("A", "....x.....");
    stage.blocks(&[], &["A-5"]).unwrap();
    stage.reconfigures(|config| config.max_seats_per_buyer = 3).unwrap();
    stage.shows("A", "..........");
}

/// Who changes the rules has read them a moment ago.
#[test]
fn what_an_operator_does_between_reading_and_changing_the_rules_stays() {
    let blocked = |seats: &[u32]| seats.iter().copied().map(SeatIndex).collect();
    let mut stage = Stage::hall(&["AAAAAAAA"]).rules(|config| config.blocked = blocked(&[0, 1, 2]));
    let read = stage.sale.config().unwrap().clone();
    stage.blocks(&["A-6"], &["A-1"]).unwrap();
    let mut config = Box::new(SaleConfig { max_seats_per_buyer: 2, ..read.clone() });
    let plan = std::sync::Arc::clone(stage.sale.plan().unwrap());
    let change = |config: Box<SaleConfig>| Command::Reconfigure {
        config,
        plan: plan.clone(),
        seen: read.blocked.clone(),
        by: admin(),
    };
    stage.submit(&change(config.clone())).unwrap();
    stage.shows("A", ".xx..x..");
    config.blocked = blocked(&[0, 2, 7]);
    stage.submit(&change(config)).unwrap();
    stage.shows("A", "..x..x.x");
}

#[test]
fn a_blocked_neighbour_counts_as_taken() {
    let mut stage = Stage::hall(&["VVVVVVVVVV"]).rules(|config| config.no_orphans = true);
    stage.at("10:00:00").blocks(&["A-5"], &[]).unwrap();
    stage.buyer(1).cannot_hold(["A-2", "A-3"]).orphans(["A-1", "A-4"]);
    stage.buyer(1).holds(["A-3", "A-4"]);
}

#[test]
fn money_that_comes_late_buys_no_blocked_seat() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-5", "A-6"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.at("10:07:00");
    stage.blocks(&["A-5"], &[]).unwrap();
    stage.captures(payment);
    assert_eq!(stage.seats_of(hold).len(), 2);
    assert!(!stage.seats_of(hold).contains(&"A-5".to_owned()), "an equal block: {:?}", stage.seats_of(hold));
}

/// Who waits is let in when a seat is brought back, and not before.
#[test]
fn nobody_is_admitted_while_all_that_is_free_is_blocked() {
    let mut stage = with_crew().rules(|config| config.admission.required = true);
    stage.blocks(&["A-1", "A-2", "A-3"], &NOTHING).unwrap();
    stage.buyer(1).enters();
    stage.at("10:10:00");
    assert_eq!(
        (stage.active(), stage.sale.next_deadline()),
        (0, Some(crate::sale::tests::stage::time("12:00:00"))),
        "the end alone"
    );
    stage.blocks(&[], &["A-2"]).unwrap();
    stage.at("10:10:01");
    assert_eq!(stage.active(), 1);
}

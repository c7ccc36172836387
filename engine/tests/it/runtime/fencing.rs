//! An owner that was fenced says nothing that rests on facts which are in no journal, and one buyer is in one event
//! whatever becomes of their connection.

use super::house::{House, OPENING, buyer, until};
use onsale_engine::runtime::{Refusal, SaleHandle};
use onsale_engine::sale::{Command, Fact, RequestKey, SaleConfig};
use std::sync::Arc;
use std::time::Duration;

fn later(config: &mut SaleConfig) {
    config.admission.required = true;
    config.sale_starts_at = OPENING + Duration::from_secs(60);
}

fn enter(house: &House, sale: &Arc<SaleHandle>, who: u64) -> Result<(), Refusal> {
    house.run(sale.ask(Command::Enter { buyer: buyer(who) }, house.soon())).map(drop)
}

#[test]
fn a_repeat_with_a_key_does_not_confirm_a_hold_that_was_fenced() {
    let house = House::open();
    let rival = house.rival();
    let Command::Hold(mut hold) = house.hold_of(1, &[3]) else { panic!("a hold") };
    hold.key = Some(RequestKey { scope: 7, body: 7 });
    house.journal.hang();
    let first = house.asking(Command::Hold(hold.clone()));
    until("a write hangs", || house.journal.hanging_writes() == 1);
    // Decided on the sale that runs ahead, so it finds the answer and adds no fact.
    let repeat = house.asking(Command::Hold(hold));
    until("both are taken", || house.sale.in_flight() == 2);
    house.journal.release();
    assert_eq!(house.run(first).unwrap().unwrap_err(), Refusal::StorageUnavailable, "certainly not done");
    let answer = house.run(repeat).unwrap();
    assert!(matches!(answer, Err(Refusal::StorageUnavailable | Refusal::Unserved)), "{answer:?}");
    assert_eq!(house.holds_written(), 0);
    house.run(rival.stop());
}

#[test]
fn a_second_entry_does_not_confirm_a_place_that_was_fenced() {
    let house = House::with(later);
    let rival = house.rival();
    house.journal.hang();
    let first = house.asking(Command::Enter { buyer: buyer(1) });
    until("a write hangs", || house.journal.hanging_writes() == 1);
    let second = house.asking(Command::Enter { buyer: buyer(1) });
    until("both are taken", || house.sale.in_flight() == 2);
    house.journal.release();
    for answer in [house.run(first).unwrap(), house.run(second).unwrap()] {
        assert!(matches!(answer, Err(Refusal::StorageUnavailable | Refusal::Unserved)), "{answer:?}");
    }
    assert_eq!(house.written(|fact| matches!(fact, Fact::Entered { .. })), 0);
    until("the claim is given back", || house.engine.claims().of(buyer(1)).is_none());
    house.run(rival.stop());
}

#[test]
fn what_a_fenced_owner_knows_is_old_until_it_owns_the_event_again() {
    let house = House::open();
    house.hold(1, &[3]);
    house.journal.set_unreadable(true);
    house.engine.lose(house.sale.event());
    assert!(house.sale.is_elsewhere(), "at once, not when it could not be had back");
    assert_eq!(house.ask(house.hold_of(2, &[4])).unwrap_err(), Refusal::Unserved);
    house.journal.set_unreadable(false);
    until("it is owned again", || !house.sale.is_elsewhere());
    until("and serves", || house.ask(house.hold_of(2, &[4])).is_ok());
}

#[test]
fn an_entry_whose_caller_hung_up_claims_the_buyer_until_its_outcome_is_known() {
    let house = House::with(later);
    let other = house.another(2, later);
    house.journal.hang();
    let cancelled = house.asking(Command::Enter { buyer: buyer(1) });
    until("a write hangs", || house.journal.hanging_writes() == 1);
    cancelled.abort();
    assert!(house.run(cancelled).unwrap_err().is_cancelled());
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere), "the place may still come to be");
    house.journal.release();
    until("it has come to be", || house.place(1).is_some());
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere));
    house.ask(Command::Leave { buyer: buyer(1) }).unwrap();
    enter(&house, &other, 1).unwrap();
}

#[test]
fn of_two_entries_in_flight_the_one_that_is_given_up_does_not_give_up_the_others_claim() {
    let house = House::with(later);
    let other = house.another(2, later);
    house.journal.hang();
    let stays = house.asking(Command::Enter { buyer: buyer(1) });
    until("a write hangs", || house.journal.hanging_writes() == 1);
    let expired = house.asking_for(Duration::ZERO, Command::Enter { buyer: buyer(1) });
    assert_eq!(house.run(expired).unwrap().unwrap_err(), Refusal::DeadlineExceeded);
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere));
    house.journal.release();
    house.run(stays).unwrap().unwrap();
    assert_eq!(enter(&house, &other, 1), Err(Refusal::QueuedElsewhere));
}

#[test]
fn many_lost_events_do_not_take_a_thread_each() {
    let house = House::open();
    let others: Vec<_> = (2..=60).map(|number| house.another(number, |_| ())).collect();
    house.journal.set_unreadable(true);
    for sale in &others {
        house.engine.lose(sale.event());
        house.engine.lose(sale.event());
    }
    until("each was tried", || house.engine.health().rebuilds == others.len() as u64);
    let names = std::fs::read_dir("/proc/self/task").unwrap().filter_map(|task| {
        let name = std::fs::read_to_string(task.ok()?.path().join("comm")).ok()?;
        Some(name.trim().to_owned())
    });
    let rebuilding = names.filter(|name| name.starts_with("onsale-rebuild")).count();
    assert!(rebuilding <= onsale_engine::limits::REBUILDS_AT_ONCE * 2, "{rebuilding} threads");
    house.journal.set_unreadable(false);
    until("all are owned again", || others.iter().all(|sale| !sale.is_elsewhere()));
    assert_eq!(house.engine.health().rebuilds, others.len() as u64, "each once, though it was lost twice");
}

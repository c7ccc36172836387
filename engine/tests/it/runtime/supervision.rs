//! A thread that everything rests on does not end unnoticed, and a commit that stalls costs waiting, not refusals.

use super::house::{House, until};
use onsale_engine::runtime::{JournalHealth, Refusal};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn a_panic_on_the_journals_thread_ends_the_process_and_answers_nobody() {
    let house = House::open();
    house.journal.panic_after_write();
    let waiting = house.asking_for(Duration::from_millis(300), house.hold_of(1, &[3]));
    until("the process is asked to end", || house.fatal.load(Ordering::SeqCst) == 1);
    assert_eq!(house.engine.health().journal, JournalHealth::Fatal);
    assert_eq!(house.holds_written(), 1, "it is committed, so no answer may say that it was not done");
    assert_eq!(house.run(waiting).unwrap().unwrap_err(), Refusal::DeadlineExceeded);
    assert_eq!(house.ask(house.hold_of(2, &[4])).unwrap_err(), Refusal::StorageUnavailable);
    house.stop();
}

#[test]
fn a_panic_of_the_projector_ends_the_process() {
    let house = House::open();
    house.projection.panic_next();
    house.hold(1, &[3]);
    until("the process is asked to end", || house.fatal.load(Ordering::SeqCst) == 1);
    assert_eq!(house.engine.health().journal, JournalHealth::Fatal, "and readiness says so");
}

#[test]
fn a_commit_that_stalls_for_a_second_refuses_nobody() {
    let house = House::open();
    let first = house.hang_on(&[3]);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.engine.health().journal, JournalHealth::Good);
    let others: Vec<_> = (0..20).map(|who| house.asking(house.hold_of(u64::from(who), &[10 + who]))).collect();
    until("all are taken", || house.sale.in_flight() == 21);
    house.journal.release();
    for waiting in others.into_iter().chain([first]) {
        house.run(waiting).unwrap().unwrap();
    }
}

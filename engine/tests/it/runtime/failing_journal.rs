//! Answers leave after their commit, and no caller receives a wrong answer from a journal that fails.

use super::house::{House, reservation, until};
use onsale_engine::id::SeatIndex;
use onsale_engine::runtime::{JournalHealth, Refusal};
use onsale_engine::sale::{Command, Fact, Rejection};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[test]
fn an_answer_leaves_after_the_commit_that_it_rests_on() {
    let house = House::open();
    let waiting = house.hang_on(&[3]);
    assert!(!waiting.is_finished(), "it is not answered");
    assert_eq!(house.sale.view().seats_held(), [], "and nobody sees it");
    house.journal.release();
    let view = reservation(house.run(waiting).unwrap().unwrap());
    assert_eq!(house.sale.view().reservation(view.id).as_ref(), Some(&view), "what is answered is seen");
    assert_eq!(house.holds_written(), 1);
}

#[test]
fn what_comes_while_a_batch_is_committed_goes_into_the_next_one_together() {
    let house = House::open();
    let first = house.hang_on(&[3]);
    let before = house.journal.appends();
    let others: Vec<_> = (0..20).map(|who| house.asking(house.hold_of(u64::from(who), &[10 + who]))).collect();
    until("all are taken", || house.sale.in_flight() == 21);
    house.journal.release();
    for waiting in others.into_iter().chain([first]) {
        assert!(house.run(waiting).unwrap().is_ok());
    }
    let batches = house.journal.appends() - before;
    assert!((1..=4).contains(&batches), "{batches} batches for twenty");
}

#[test]
fn a_repeat_of_a_command_in_flight_joins_its_batch() {
    let house = House::open();
    let first = house.hang_on(&[3]);
    let open = house.asking(Command::Leave { buyer: super::house::buyer(1) });
    until("both are taken", || house.sale.in_flight() == 2);
    assert!(!open.is_finished(), "what changes nothing rests on what was decided before it");
    house.journal.release();
    assert!(house.run(open).unwrap().is_ok() && house.run(first).unwrap().is_ok());
}

#[test]
fn a_refusal_promises_nothing_and_leaves_at_once() {
    let house = House::open();
    let first = house.hang_on(&[3]);
    let refused = house.ask(house.hold_of(1, &[3, 4])).unwrap_err();
    assert!(matches!(refused, Refusal::Rejected(Rejection::SeatUnavailable { .. })), "{refused:?}");
    assert!(!first.is_finished());
}

#[test]
fn a_batch_that_was_not_done_is_tried_again() {
    let house = House::open();
    house.journal.fail_not_done(2);
    let waiting = house.asking(house.hold_of(1, &[3]));
    until("the journal fails", || house.engine.health().journal == JournalHealth::Failing);
    let refused = house.ask(house.hold_of(2, &[4])).unwrap_err();
    assert_eq!(refused, Refusal::StorageUnavailable, "certainly not done");
    assert_eq!(house.sale.view().seats_held(), [], "reads go on");
    assert!(house.run(waiting).unwrap().is_ok());
    assert_eq!((house.holds_written(), house.engine.health().journal), (1, JournalHealth::Good));
    house.hold(2, &[4]);
}

#[test]
fn a_lost_answer_is_found_out() {
    for happened in [true, false] {
        let house = House::open();
        house.journal.lose_answer(happened);
        house.hold(1, &[3]);
        assert_eq!(house.holds_written(), 1, "once, whether it had happened ({happened}) or not");
        house.hold(2, &[4]);
        assert_eq!(house.sale.view().seats_held(), [SeatIndex(3), SeatIndex(4)]);
    }
}

#[test]
fn a_silent_journal_takes_nothing_new_and_leaves_the_waiting_ones_unknown() {
    let house = House::open();
    let patient = house.hang_on(&[3]);
    let waiting = house.asking_for(Duration::from_millis(100), house.hold_of(1, &[4]));
    until("both are taken", || house.sale.in_flight() == 2);
    // A refusal leaves at once and in order: when it is received, the one before it has been decided.
    assert!(matches!(house.ask(house.hold_of(2, &[3])), Err(Refusal::Rejected(_))));
    house.clock.advance(Duration::from_millis(1999));
    assert_eq!(house.engine.health().journal, JournalHealth::Good, "not yet");
    house.clock.advance(Duration::from_millis(1));
    assert_eq!(house.engine.health().journal, JournalHealth::Failing);
    assert_eq!(house.ask(house.hold_of(2, &[5])).unwrap_err(), Refusal::StorageUnavailable, "certainly not done");
    assert_eq!(house.run(waiting).unwrap().unwrap_err(), Refusal::DeadlineExceeded, "nobody knows");
    assert_eq!(house.sale.view().counts().available, 50, "reads go on");
    house.journal.release();
    assert!(house.run(patient).unwrap().is_ok());
    until("what was decided is written", || house.sale.view().counts().held == 2);
    assert_eq!(house.engine.health().journal, JournalHealth::Good);
    house.hold(2, &[5]);
}

#[test]
fn while_the_journal_fails_no_hold_expires_and_nobody_is_let_in() {
    let house = House::with(|config| {
        config.admission.required = true;
        config.sale_starts_at = super::house::OPENING + Duration::from_secs(60);
    });
    house.ask(Command::Enter { buyer: super::house::buyer(1) }).unwrap();
    house.journal.hang();
    let waiting = house.asking(Command::Enter { buyer: super::house::buyer(2) });
    until("a write hangs", || house.journal.hanging_writes() == 1);
    house.clock.advance(Duration::from_secs(70));
    assert_eq!(house.ask(Command::Enter { buyer: super::house::buyer(3) }).unwrap_err(), Refusal::StorageUnavailable);
    assert_eq!(house.entries().len(), 3, "nothing is written meanwhile");
    house.journal.release();
    assert!(house.run(waiting).unwrap().is_ok());
    until("everyone is let in", || {
        house.clock.advance(Duration::from_millis(50));
        house.is_active(1) && house.is_active(2)
    });
}

#[test]
fn a_lost_storage_answers_nobody() {
    let house = House::open();
    house.journal.fail_fatally();
    let waiting = house.asking_for(Duration::from_millis(200), house.hold_of(1, &[3]));
    until("the process is asked to end", || house.fatal.load(Ordering::SeqCst) == 1);
    assert_eq!(house.engine.health().journal, JournalHealth::Fatal);
    assert_eq!(house.ask(house.hold_of(2, &[4])).unwrap_err(), Refusal::StorageUnavailable);
    let answer = house.run(waiting).unwrap();
    assert!(matches!(answer, Err(Refusal::DeadlineExceeded | Refusal::StorageUnavailable)), "{answer:?}");
    assert_eq!(house.written(|fact| matches!(fact, Fact::SeatsHeld { .. })), 0);
}

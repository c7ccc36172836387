//! Too much of everything: permits bound what is in flight, operators are never shed, a stop loses nothing.

use super::house::{House, buyer, event, until};
use onsale_engine::id::SeatIndex;
use onsale_engine::limits::IN_FLIGHT_PER_SALE;
use onsale_engine::ports::records::Records;
use onsale_engine::runtime::Refusal;
use onsale_engine::sale::{Command, SteeringChange};
use std::collections::BTreeSet;

#[test]
fn beyond_the_permits_the_answer_is_overloaded_at_once() {
    let house = House::open();
    let first = house.hang_on(&[3]);
    let crowd: Vec<_> =
        (1..IN_FLIGHT_PER_SALE as u64).map(|who| house.asking(Command::Leave { buyer: buyer(who) })).collect();
    until("every permit is taken", || house.sale.in_flight() == IN_FLIGHT_PER_SALE);
    assert_eq!(house.ask(Command::Leave { buyer: buyer(1) }).unwrap_err(), Refusal::Overloaded);
    let change = SteeringChange { paused: Some(true), ..SteeringChange::default() };
    let operator = house.asking(Command::Steer { change, by: buyer(1000) });
    until("an operator is taken nevertheless", || house.sale.in_flight() == IN_FLIGHT_PER_SALE + 1);
    house.journal.release();
    assert!(house.run(operator).unwrap().is_ok() && house.run(first).unwrap().is_ok());
    for waiting in crowd {
        assert!(house.run(waiting).unwrap().is_ok());
    }
    until("every permit is back", || house.sale.in_flight() == 0);
    house.hold(1, &[4]);
}

#[test]
fn commands_during_a_commit_share_the_next_one() {
    let house = House::open();
    let before = house.journal.appends();
    // Seven rounds of seven holds: one whose commit hangs, two that the actor takes at once, four that it puts off.
    for round in 0..7_u32 {
        let seat = |number: u32| [7 * round + number];
        let mut holds = Vec::new();
        house.journal.hang();
        for number in 0..7 {
            let who = u64::from(7 * round + number);
            holds.push(house.asking(house.hold_of(who, &seat(number))));
            until("it is taken", || house.sale.in_flight() == holds.len() && house.journal.hanging_writes() == 1);
        }
        house.journal.release();
        assert!(holds.into_iter().all(|hold| house.run(hold).unwrap().is_ok()));
    }
    let appends = house.journal.appends() - before;
    assert!((14..=17).contains(&appends), "{appends} commits for 14 crowds");
}

#[test]
fn of_three_hundred_who_want_the_same_seats_one_wins() {
    let house = House::open();
    let crowd: Vec<_> = (0..300).map(|who| house.asking(house.hold_of(who, &[3, 4, 5, 6]))).collect();
    let won = crowd.into_iter().map(|waiting| house.run(waiting).unwrap()).filter(Result::is_ok).count();
    assert_eq!(won, 1);
    assert_eq!(house.sale.view().seats_held(), [3, 4, 5, 6].map(SeatIndex));
}

#[test]
fn of_overlapping_requests_no_seat_is_given_twice() {
    let house = House::open();
    let crowd: Vec<_> = (0..300_u64)
        .map(|who| {
            let first = (who * 7 % 47) as u32;
            house.asking(house.hold_of(who, &[first, first + 1, first + 2]))
        })
        .collect();
    let mut given = BTreeSet::new();
    for waiting in crowd {
        if let Ok(answer) = house.run(waiting).unwrap() {
            let view = super::house::reservation(answer);
            assert!(view.seats.iter().all(|seat| given.insert(*seat)), "{:?} again", view.seats);
        }
    }
    assert!(house.sale.view().seats_held().into_iter().eq(given));
}

#[test]
fn a_stop_finishes_what_is_in_flight_and_loses_nothing() {
    let house = House::open();
    let crowd: Vec<_> = (0..50_u32).map(|seat| house.asking(house.hold_of(u64::from(seat), &[seat]))).collect();
    house.stop();
    let mut answered = 0;
    for waiting in crowd {
        match house.run(waiting).unwrap() {
            Ok(answer) => {
                let view = super::house::reservation(answer);
                let journaled =
                    house.entries().iter().any(|entry| format!("{:?}", entry.fact).contains(&view.id.to_string()));
                assert!(journaled, "answered and not written");
                answered += 1;
            }
            Err(refusal) => assert!(matches!(refusal, Refusal::Unserved | Refusal::StorageUnavailable), "{refusal:?}"),
        }
    }
    assert_eq!(house.holds_written(), answered, "refused means certainly not done");
    let last = house.entries().last().unwrap().seq;
    assert_eq!(Records::checkpoint(&house.projection, event(1)), last, "and everything is written behind");
    assert_eq!(house.ask(house.hold_of(1, &[3])).unwrap_err(), Refusal::Unserved);
}

#[test]
fn a_request_past_its_deadline_is_refused_unprocessed() {
    let house = House::open();
    let late = house.run(house.sale.ask(house.hold_of(1, &[3]), onsale_engine::time::Timestamp(0)));
    assert_eq!(late.unwrap_err(), Refusal::DeadlineExceeded);
    house.hold(2, &[4]);
    assert_eq!(house.holds_written(), 1);
}

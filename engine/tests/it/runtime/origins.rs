//! Which request follows from which: facts keep the trace of the command that they were decided for, and charges and refunds
//! belong to the request that ordered them, also after a crash.

use super::house::{House, until};
use onsale_engine::sale::{Command, Fact};
use onsale_engine::trace::{Origin, RequestId, Scope, TraceContext};

/// A request of that name; each has a trace of its own.
fn origin(name: &str) -> Origin {
    let trace = name.bytes().fold(1_u128, |number, byte| number.wrapping_mul(257) + u128::from(byte));
    let trace = TraceContext::parse(&format!("00-{trace:032x}-b7ad6b7169203331-01"));
    Origin { request: Some(RequestId::parse(name)), trace }
}

/// Asks as part of that request.
fn ask(house: &House, name: &str, command: Command) -> onsale_engine::runtime::Answer {
    let asking = house.sale.ask(command, house.soon());
    house.run(Scope { origin: origin(name), event: None }.around(asking)).unwrap()
}

/// The traces of the facts of that kind.
fn traces(house: &House, is_wanted: impl Fn(&Fact) -> bool) -> Vec<Option<TraceContext>> {
    let entries = house.journal.entries(house.sale.event());
    entries.iter().filter(|entry| is_wanted(&entry.fact)).map(|entry| entry.trace).collect()
}

#[test]
fn a_charge_and_what_comes_back_from_it_belong_to_the_request_that_ordered_it() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    let answer = ask(&house, "confirming", house.confirm_of(&payment));
    house.run(answer.settlement.unwrap()).unwrap();
    let expected = Scope::new(origin("confirming"), house.sale.event());
    assert_eq!(house.payments.scopes(), [("charge", expected.clone())]);
    let of = |is_wanted: fn(&Fact) -> bool| traces(&house, is_wanted);
    let trace = origin("confirming").trace;
    assert_eq!(of(|fact| matches!(fact, Fact::PaymentStarted { .. })), [trace]);
    assert_eq!(of(|fact| matches!(fact, Fact::PaymentCaptured { .. } | Fact::ReservationConfirmed { .. })), [trace; 2]);
    assert_eq!(of(|fact| matches!(fact, Fact::SeatsHeld { .. })), [None], "that was asked outside of a request");

    let reservation = payment.reservation;
    ask(&house, "cancelling", Command::CancelReservation { buyer: payment.buyer, reservation });
    until("it is refunded", || house.payments.refund_calls(payment.id) == 1);
    let expected = Scope::new(origin("cancelling"), house.sale.event());
    assert_eq!(house.payments.scopes().last(), Some(&("refund", expected)));
}

#[test]
fn what_time_does_belongs_to_no_request() {
    let house = House::open();
    ask(&house, "holding", house.hold_of(1, &[3]));
    house.clock.advance(std::time::Duration::from_secs(301));
    house.hold(2, &[4]);
    until("it has expired", || house.written(|fact| matches!(fact, Fact::HoldExpired { .. })) == 1);
    assert_eq!(traces(&house, |fact| matches!(fact, Fact::SeatsHeld { .. })), [origin("holding").trace, None]);
    assert_eq!(traces(&house, |fact| matches!(fact, Fact::HoldExpired { .. })), [None]);
}

/// The journal keeps the trace, not the id that the caller gave the request.
#[test]
fn a_charge_that_is_asked_about_after_a_crash_has_the_trace_that_ordered_it() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    house.payments.will_hang();
    ask(&house, "confirming", house.confirm_of(&payment));
    until("it is charged", || house.payments.charge_calls(payment.id) == 1);
    let house = house.crash();
    until("it is asked about", || house.payments.scopes().iter().any(|(call, _)| *call == "find"));
    let trace = origin("confirming").trace;
    let (_, scope) = house.payments.scopes().into_iter().rfind(|(call, _)| *call == "find").unwrap();
    assert_eq!(scope.origin.trace, trace);
    assert_eq!(scope.event, Some(house.sale.event()));
    until("it is settled", || house.written(|fact| matches!(fact, Fact::PaymentFailed { .. })) == 1);
    assert_eq!(traces(&house, |fact| matches!(fact, Fact::PaymentFailed { .. })), [trace]);
}

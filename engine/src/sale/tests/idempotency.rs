//! Idempotency keys: a repeated request gets the same answer, and another one under its key is refused; for a day.

use crate::sale::tests::stage::Stage;
use crate::sale::{PaymentFailure, PaymentStatus, Rejection, ReservationStatus, Selection};

fn on_sale() -> Stage {
    let mut stage = Stage::theatre()
        .rules(|config| config.sale_ends_at = config.sale_ends_at + crate::limits::KEY_REMEMBERED_FOR * 2);
    stage.at("10:00:00");
    stage
}

#[test]
fn the_same_hold_again_is_the_same_reservation() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).with_key(7, 1).holds(["A-1", "A-2"]);
    let seq = stage.sale.seq();
    assert_eq!(stage.at("10:01:00").buyer(1).with_key(7, 1).holds(["A-1", "A-2"]), hold);
    assert_eq!(stage.sale.seq(), seq);
    assert_eq!(
        stage.buyer(1).with_key(8, 1).cannot_hold(["A-1"]).rejection.to_owned(),
        stage.buyer(1).cannot_hold(["A-1"]).rejection
    );
    assert_ne!(stage.buyer(2).with_key(7, 1).holds(["A-3"]), hold, "a key is its buyer's");
}

#[test]
fn it_is_answered_as_it_was_even_when_it_has_ended() {
    let mut stage = on_sale();
    let mut one = stage.buyer(1).with_key(7, 1);
    let these = Selection::These(one.stage.seats(&["A-1"]));
    let first = one.tries(these.clone()).unwrap();
    stage.at("10:30:00").buyer(2).holds(["A-1"]);
    let mut again = stage.buyer(1).with_key(7, 1);
    assert_eq!(again.tries(these).unwrap(), first);
    assert_eq!(stage.status(first.id), ReservationStatus::Expired);
}

#[test]
fn another_body_is_refused() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).with_key(7, 1).holds(["A-1"]);
    stage.buyer(1).with_key(7, 2).cannot_hold(["A-2"]).because(Rejection::KeyReused);
    let payment = stage.buyer(1).with_key(8, 1).opens_payment(hold);
    stage.buyer(1).with_key(8, 2).cannot_open_payment(hold, 100).because(Rejection::KeyReused);
    stage.buyer(1).with_key(9, 1).confirms(payment);
    stage.buyer(1).with_key(9, 2).cannot_confirm(payment).because(Rejection::KeyReused);
}

#[test]
fn a_stored_answer_is_given_before_any_token_or_limit_is_checked() {
    let mut stage = Stage::with_room();
    stage.buyer(1).enters();
    let hold = stage.at("10:00:00").buyer(1).with_key(7, 1).holds(["A-1"]);
    stage.buyer(1).leaves();
    assert_eq!(stage.buyer(1).without_token().with_key(7, 1).holds(["A-1"]), hold);
    stage.at("12:00:00");
    assert_eq!(stage.buyer(1).without_token().with_key(7, 1).holds(["A-1"]), hold);
}

#[test]
fn a_refusal_is_not_remembered() {
    let mut stage = on_sale();
    let other = stage.buyer(2).holds(["A-1"]);
    stage.buyer(1).with_key(7, 1).cannot_hold(["A-1"]).taken(["A-1"]);
    stage.buyer(2).releases(other);
    stage.buyer(1).with_key(7, 1).holds(["A-1"]);
}

#[test]
fn an_opened_payment_is_answered_again_as_it_was_opened() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).with_key(7, 1).opens_payment(hold);
    let opened = stage.sale.payment(payment).unwrap();
    stage.buyer(1).confirms(payment);
    stage.captures(payment);
    assert_eq!(
        stage.buyer(1).with_key(7, 1).opens(hold, opened.amount),
        Ok(opened),
        "where a new one would be refused"
    );
}

#[test]
fn a_confirmation_is_answered_again() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    assert_eq!(stage.buyer(1).with_key(7, 1).confirms(payment), PaymentStatus::Charging);
    assert_eq!(stage.buyer(1).with_key(7, 1).confirms(payment), PaymentStatus::Charging);
    stage.captures(payment);
    assert_eq!(stage.buyer(1).with_key(7, 1).confirms(payment), PaymentStatus::Captured);
}

#[test]
fn a_declined_confirmation_frees_its_key() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).with_key(7, 1).confirms(payment);
    stage.declines(payment);
    let failed = PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into()));
    assert_eq!(stage.buyer(1).with_key(7, 1).confirms(payment), failed);
    let second = stage.buyer(1).opens_payment(hold);
    assert_eq!(stage.buyer(1).with_key(7, 2).confirms(second), PaymentStatus::Charging);
    stage.captures(second);
    assert_eq!(stage.buyer(1).with_key(7, 2).confirms(second), PaymentStatus::Captured);
    stage.buyer(1).with_key(7, 1).cannot_confirm(payment).because(Rejection::KeyReused);
}

#[test]
fn after_a_day_the_key_is_free() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).with_key(7, 1).holds(["A-1"]);
    stage.at("33:59:59.999999");
    assert_eq!(stage.buyer(1).with_key(7, 1).holds(["A-1"]), hold);
    stage.buyer(1).with_key(7, 2).cannot_hold(["A-1"]).because(Rejection::KeyReused);
    stage.at("34:00:00");
    let scope = crate::sale::tests::stage::buyer(1).0.as_u128() << 64 | 7;
    assert_ne!(stage.buyer(1).with_key(7, 2).holds(["A-1"]), hold);
    assert_eq!(stage.sale.remembered(scope).unwrap().0, 2);
    assert_eq!(stage.sale.snapshot().keys.len(), 1, "and the old answer is forgotten");
}

#[test]
fn so_does_one_that_took_another_amount() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).with_key(7, 1).confirms(payment);
    stage.provider_says(payment, crate::sale::ChargeOutcome::Captured { amount: crate::money::Amount(1) });
    let second = stage.buyer(1).opens_payment(hold);
    assert_eq!(stage.buyer(1).with_key(7, 2).confirms(second), PaymentStatus::Charging);
}

#[test]
fn a_key_outlives_its_reservation() {
    let mut stage = on_sale();
    let hold = stage.buyer(1).with_key(7, 1).holds(["A-1"]);
    let payment = stage.buyer(1).with_key(8, 1).opens_payment(hold);
    stage.buyer(1).releases(hold);
    stage.churns(crate::limits::ENDED_RESERVATIONS_KEPT + 1);
    assert!(stage.sale.reservation(hold).is_none() && stage.sale.payment(payment).is_none());
    assert_eq!(stage.buyer(1).with_key(7, 1).holds(["A-1"]), hold, "no second hold is made");
    stage.shows("A", "..........");
}

//! An administrator cancels one reservation in its buyer's stead: at any time, with a reason, and harmlessly again.

use crate::id::ReservationId;
use crate::money::Amount;
use crate::sale::tests::stage::{Stage, admin};
use crate::sale::{
    Command, Fact, OperatorCancel, PaymentFailure, PaymentStatus, RefundReason, Rejection, Reply, ReservationState,
    ReservationStatus,
};

fn cancel(stage: &mut Stage, reservation: ReservationId, only_paid: bool) -> Result<Reply, Rejection> {
    let reason = "the buyer is ill".into();
    stage.submit(&Command::CancelByOperator(OperatorCancel { reservation, by: admin(), reason, only_paid }))
}

fn last_facts(stage: &Stage, count: usize) -> Vec<Fact> {
    stage.journal[stage.journal.len() - count..].iter().map(|entry| entry.fact.clone()).collect()
}

#[test]
fn a_confirmed_reservation_is_refunded_long_after_its_buyer_could() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    let payment = stage.buyer(1).pays(hold);
    stage.at("20:00:00").buyer(1).cannot_cancel(hold).because(Rejection::CancellationClosed);
    let Ok(Reply::Reservation(view)) = cancel(&mut stage, hold, true) else { panic!("it is refunded") };
    assert_eq!((view.status, view.refund), (ReservationStatus::Cancelled, Some(Amount(200))));
    let (by, reason) = (admin(), "the buyer is ill".into());
    assert_eq!(
        last_facts(&stage, 2),
        [
            Fact::CancelledByOperator { reservation: hold, refund: Amount(200), by, reason },
            Fact::RefundOrdered { payment, amount: Amount(200), reason: RefundReason::OperatorCancelled },
        ]
    );
    stage.shows("A", "..........");
    assert_eq!(stage.sale.open_money().1.len(), 1, "the provider is still to be asked");
    let seq = stage.sale.seq();
    for only_paid in [true, false] {
        cancel(&mut stage, hold, only_paid).unwrap();
    }
    assert_eq!(stage.sale.seq(), seq, "once more changes nothing");
    stage.refunds(payment);
    let settled = PaymentStatus::Refunded { reason: RefundReason::OperatorCancelled, settled: true };
    assert_eq!(stage.payment(payment), settled);
}

#[test]
fn a_pending_hold_is_released_but_not_refunded() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    assert_eq!(cancel(&mut stage, hold, true), Err(Rejection::NotCancellable(ReservationState::Pending)));
    let Ok(Reply::Reservation(view)) = cancel(&mut stage, hold, false) else { panic!("it is released") };
    assert_eq!((view.status, view.refund), (ReservationStatus::Cancelled, None));
    assert_eq!(stage.payment(payment), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    assert!(matches!(last_facts(&stage, 2)[..], [Fact::ReleasedByOperator { .. }, Fact::PaymentFailed { .. }]));
    stage.shows("A", "..........");
    cancel(&mut stage, hold, false).unwrap();
    let released = Rejection::NotCancellable(ReservationState::Released);
    assert_eq!(cancel(&mut stage, hold, true), Err(released), "nothing was ever paid");
    stage.buyer(1).cannot_confirm(payment).because(Rejection::HoldExpired(ReservationState::Released));
    stage.buyer(1).releases(hold);
    stage.buyer(2).holds(["A-1"]);
}

#[test]
fn a_charge_that_is_under_way_is_waited_for() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    assert_eq!(cancel(&mut stage, hold, false), Err(Rejection::PaymentInProgress));
    assert_eq!(cancel(&mut stage, hold, true), Err(Rejection::NotCancellable(ReservationState::Pending)));
    stage.captures(payment);
    cancel(&mut stage, hold, false).unwrap();
    let owed = PaymentStatus::Refunded { reason: RefundReason::OperatorCancelled, settled: false };
    assert_eq!(stage.payment(payment), owed);
}

#[test]
fn what_ended_by_itself_stays_as_it_is_and_nobodys_is_not_found() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.at("10:05:00");
    cancel(&mut stage, hold, false).unwrap();
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
    let unknown = ReservationId(stage.next());
    assert_eq!(cancel(&mut stage, unknown, false), Err(Rejection::ReservationNotFound));
}

#[test]
fn what_was_free_asks_no_provider_to_give_anything_back() {
    let mut stage =
        Stage::theatre().rules(|config| config.prices.iter_mut().for_each(|price| *price = Some(Amount(0))));
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).opens_payment(hold);
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured);
    let Ok(Reply::Reservation(view)) = cancel(&mut stage, hold, true) else { panic!("it is cancelled") };
    assert_eq!((view.status, view.refund), (ReservationStatus::Cancelled, Some(Amount(0))));
    let settled = PaymentStatus::Refunded { reason: RefundReason::OperatorCancelled, settled: true };
    assert_eq!(stage.payment(payment), settled);
    assert!(stage.sale.open_money().1.is_empty());
    stage.shows("A", "..........");
}

#[test]
fn in_a_cancelled_sale_an_operator_may_be_faster_than_the_sweep() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    let payment = stage.buyer(1).pays(hold);
    stage.cancels_the_sale();
    cancel(&mut stage, hold, true).unwrap();
    stage.timers_ring().restarts().shows("A", "..........");
    let owed = PaymentStatus::Refunded { reason: RefundReason::OperatorCancelled, settled: false };
    assert_eq!(stage.payment(payment), owed);
}

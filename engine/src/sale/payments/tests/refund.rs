//! A buyer's cancellation of a confirmed reservation, within its window.

use crate::money::Amount;
use crate::sale::tests::stage::Stage;
use crate::sale::{PaymentStatus, RefundReason, Rejection, ReservationState, ReservationStatus};

fn refunded(reason: RefundReason) -> PaymentStatus {
    PaymentStatus::Refunded { reason, settled: false }
}

#[test]
fn a_buyer_cancels_and_is_refunded() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    let payment = stage.buyer(1).pays(hold);
    assert_eq!(stage.buyer(1).cancels(hold), Amount(200));
    stage.shows("A", "..........");
    assert_eq!(
        (stage.status(hold), stage.payment(payment)),
        (ReservationStatus::Cancelled, refunded(RefundReason::BuyerCancelled))
    );
    assert_eq!(stage.sale.open_money().1.len(), 1);
    stage.refunds(payment);
    assert_eq!(stage.sale.open_money().1.len(), 0);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Cancelled));
    stage.buyer(2).holds(["A-1", "A-2"]);
}

#[test]
fn only_what_is_confirmed_and_only_until_the_day_of_the_event() {
    let mut stage = Stage::theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    stage.buyer(1).cannot_cancel(hold).because(Rejection::NotCancellable(ReservationState::Pending));
    stage.buyer(1).pays(hold);
    stage.at("18:00:00").buyer(1).cannot_cancel(hold).because(Rejection::CancellationClosed);
    stage.at("17:59:59.999999").buyer(1).cancels(hold);
}

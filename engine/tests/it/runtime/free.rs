//! Free tickets through the runtime: a buyer who confirms is answered at once, and no provider is asked, not even for a refund.

use super::house::{House, buyer, event, payment_of, until};
use onsale_engine::fakes::FakeJournal;
use onsale_engine::money::Amount;
use onsale_engine::sale::{Command, Fact, PaymentStatus, PaymentView, RefundReason, ReservationStatus};

fn house() -> House {
    House::with(|config| config.prices[0] = Some(Amount(0)))
}

/// Buyer 1 takes a free seat.
fn taken(house: &House) -> PaymentView {
    let payment = house.open_payment(&house.hold(1, &[3]));
    let answer = house.ask(house.confirm_of(&payment)).expect("a confirmation");
    assert!(answer.settlement.is_none(), "there is no charge to wait for");
    payment_of(answer)
}

#[test]
fn a_free_ticket_is_answered_at_once_and_asks_no_provider() {
    let house = house();
    let payment = taken(&house);
    assert_eq!((payment.status, payment.amount), (PaymentStatus::Captured, Amount(0)));
    assert_eq!(house.sale.view().reservation(payment.reservation).unwrap().status, ReservationStatus::Confirmed);
    house.ask(Command::CancelReservation { buyer: buyer(1), reservation: payment.reservation }).unwrap();
    // What was ordered of a provider before this one was ordered of it, too.
    let paid = house.buy(2, &[40]);
    house.ask(Command::CancelReservation { buyer: buyer(2), reservation: paid.reservation }).unwrap();
    until("the paid one is refunded", || house.payments.refund_calls(paid.id) == 1);
    assert_eq!((house.payments.charge_calls(payment.id), house.payments.refund_calls(payment.id)), (0, 0));
    assert_eq!(house.written(|fact| matches!(fact, Fact::PaymentStarted { .. })), 1);
    let house = house.crash();
    let status = house.sale.view().payment(payment.id).unwrap().status;
    assert_eq!(status, PaymentStatus::Refunded { reason: RefundReason::BuyerCancelled, settled: true });
}

#[test]
fn a_refund_of_nothing_that_was_ordered_before_is_settled_without_a_provider() {
    let house = house();
    let payment = taken(&house);
    house.ask(Command::CancelReservation { buyer: buyer(1), reservation: payment.reservation }).unwrap();
    let mut snapshot = house.sale.view().snapshot();
    let (reason, settled) = (RefundReason::BuyerCancelled, false);
    let row = snapshot.payments.iter_mut().find(|row| row.view.id == payment.id).unwrap();
    row.view.status = PaymentStatus::Refunded { reason, settled };
    let before = FakeJournal::default();
    before.begin_with(event(1), snapshot);
    let later = house.on(before);
    until("it is settled", || later.sale.view().open_money().1.is_empty());
    assert_eq!(later.payments.refund_calls(payment.id), 0);
}

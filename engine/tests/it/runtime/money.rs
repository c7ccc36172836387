//! Charges and refunds: outside work starts after the fact that orders it is durable, comes back as a command, and is
//! never done twice.

use super::house::{House, VIP, buyer, payment_of, until};
use onsale_engine::id::PaymentId;
use onsale_engine::limits::RECONCILED_AT_ONCE;
use onsale_engine::money::Amount;
use onsale_engine::runtime::Settings;
use onsale_engine::sale::{
    ChargeOutcome, Command, Fact, MoneyMoved, PaymentFailure, PaymentStatus, RefundReason, ReservationStatus,
};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_confirming_buyer_receives_the_outcome() {
    let house = House::open();
    let bought = house.buy(1, &[3, 4]);
    assert_eq!((bought.status, bought.amount), (PaymentStatus::Captured, Amount(2 * VIP.0)));
    assert_eq!(house.sale.view().reservation(bought.reservation).unwrap().status, ReservationStatus::Confirmed);
    assert_eq!(house.payments.balance(), 2 * VIP.0);
}

#[test]
fn nothing_is_charged_before_the_order_is_durable() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    house.journal.hang();
    let waiting = house.asking(house.confirm_of(&payment));
    until("a write hangs", || house.journal.hanging_writes() == 1);
    assert_eq!(house.payments.charge_calls(payment.id), 0);
    house.journal.release();
    let answer = house.run(waiting).unwrap().unwrap();
    house.run(answer.settlement.unwrap()).unwrap();
    assert_eq!(house.payments.charge_calls(payment.id), 1);
}

#[test]
fn an_order_that_never_became_durable_charges_nobody() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    house.journal.hang();
    let waiting = house.asking(house.confirm_of(&payment));
    until("a write hangs", || house.journal.hanging_writes() == 1);
    let journal = house.journal.crashed();
    assert!(!journal.entries(house.sale.event()).iter().any(|entry| matches!(entry.fact, Fact::PaymentStarted { .. })));
    assert_eq!(house.payments.charge_calls(payment.id), 0);
    drop(waiting);
}

#[test]
fn asking_again_while_charging_receives_the_same_outcome() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    house.payments.will_hang();
    let first = house.ask(house.confirm_of(&payment)).unwrap();
    let again = house.ask(house.confirm_of(&payment)).unwrap();
    assert_eq!(again.reply, first.reply);
    let outcomes = [first, again].map(|answer| house.run(answer.settlement.unwrap()).unwrap());
    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(house.payments.charge_calls(payment.id), 1);
    let third = payment_of(house.ask(house.confirm_of(&payment)).unwrap());
    assert_eq!(third.status, outcomes[0].status);
}

#[test]
fn a_decline_is_reported() {
    let house = House::open();
    house.payments.will_answer(ChargeOutcome::Declined { reason: "no_funds".into() });
    let refused = house.buy(1, &[3]);
    assert_eq!(refused.status, PaymentStatus::Failed(PaymentFailure::Declined("no_funds".into())));
    assert_eq!(house.sale.view().reservation(refused.reservation).unwrap().status, ReservationStatus::Pending);
    assert_eq!(house.payments.balance(), 0);
}

#[test]
fn money_taken_in_silence_is_found() {
    let house = House::open();
    house.payments.will_take_in_silence();
    let bought = house.buy(1, &[3]);
    assert_eq!(bought.status, PaymentStatus::Captured);
    assert_eq!(house.written(|fact| matches!(fact, Fact::PaymentUnknown { .. })), 1);
    assert_eq!(house.payments.balance(), VIP.0);
}

#[test]
fn a_provider_that_never_answers_is_given_up_and_asked() {
    let house = House::open();
    house.payments.will_hang();
    let refused = house.buy(1, &[3]);
    assert_eq!(refused.status, PaymentStatus::Failed(PaymentFailure::NotCharged));
    assert_eq!(house.payments.balance(), 0);
}

#[test]
fn another_amount_goes_back() {
    let house = House::open();
    house.payments.will_answer(ChargeOutcome::Captured { amount: Amount(1) });
    let refused = house.buy(1, &[3]);
    assert!(matches!(refused.status, PaymentStatus::Refunded { reason: RefundReason::AmountMismatch, .. }));
    until("it is back", || house.payments.balance() == 0);
    until("and the sale knows", || house.sale.view().open_money().1.is_empty());
    assert_eq!(house.payments.refund_calls(refused.id), 1);
}

/// Money that the provider has moved and that no payment accounts for is written down once, counted, and there after a crash.
#[test]
fn an_outcome_that_no_payment_accounts_for_is_kept() {
    let house = House::open();
    let bought = house.buy(1, &[3]);
    let says = |payment, amount| Command::SettleCharge {
        payment,
        outcome: ChargeOutcome::Captured { amount: Amount(amount) },
    };
    let nobodys = PaymentId(house.uuid());
    house.ask(says(bought.id, VIP.0)).unwrap();
    assert_eq!(house.engine.health().unmatched_outcomes, 0, "a repeat is none");
    for _ in 0..3 {
        house.ask(says(bought.id, VIP.0 + 1)).unwrap();
        house.ask(says(nobodys, 5)).unwrap();
    }
    assert_eq!(house.engine.health().unmatched_outcomes, 2);
    assert_eq!(house.written(|fact| matches!(fact, Fact::OutcomeUnmatched { .. })), 2);
    let house = house.crash();
    house.ask(says(nobodys, 5)).unwrap();
    let listed: Vec<_> = house.sale.view().unmatched().iter().map(|row| (row.payment, row.moved)).collect();
    let captured = |amount| MoneyMoved::Captured { amount: Amount(amount) };
    assert_eq!(listed, [(bought.id, captured(VIP.0 + 1)), (nobodys, captured(5))]);
}

#[test]
fn a_refund_is_repeated_until_it_is_done() {
    let house = House::open();
    let bought = house.buy(1, &[3]);
    house.payments.will_fail_refunds(1);
    house.ask(Command::CancelReservation { buyer: buyer(1), reservation: bought.reservation }).unwrap();
    until("it is back", || house.payments.given_back(bought.id) == Some(VIP));
    until("and the sale knows", || house.written(|fact| matches!(fact, Fact::PaymentRefunded { .. })) == 1);
    assert_eq!(house.payments.refund_calls(bought.id), 2);
}

#[test]
fn a_refund_ordered_before_a_crash_is_done_after_it() {
    let house = House::open();
    let bought = house.buy(1, &[3]);
    house.payments.will_fail_refunds(1);
    house.ask(Command::CancelReservation { buyer: buyer(1), reservation: bought.reservation }).unwrap();
    until("it is tried", || house.payments.refund_calls(bought.id) == 1);
    let house = house.crash();
    until("it is back", || house.payments.balance() == 0);
    until("and the sale knows", || house.sale.view().open_money().1.is_empty());
}

#[test]
fn outcomes_that_come_while_the_journal_fails_wait_for_it() {
    let house = House::open();
    let payment = house.open_payment(&house.hold(1, &[3]));
    let answer = {
        house.payments.will_hang();
        house.ask(house.confirm_of(&payment)).unwrap()
    };
    house.journal.fail_not_done(2);
    let settled = house.run(answer.settlement.unwrap()).unwrap();
    assert!(matches!(settled.status, PaymentStatus::Failed(PaymentFailure::NotCharged)));
    house.hold(2, &[4]);
}

#[test]
fn a_cancelled_sale_gives_everything_back() {
    let house = House::open();
    let bought: Vec<_> = (0..8).map(|who| house.buy(who, &[who as u32])).collect();
    house.hold(20, &[20]);
    house.ask(Command::CancelSale { by: buyer(1000) }).unwrap();
    until("everything is back", || house.payments.balance() == 0);
    until("and the sale knows", || {
        !house.sale.view().has_live_reservations() && house.sale.view().open_money().1.is_empty()
    });
    assert!(bought.iter().all(|payment| house.payments.refund_calls(payment.id) == 1));
}

#[test]
fn a_hold_expires_when_its_time_is_over() {
    let house = House::open();
    let hold = house.hold(1, &[3]);
    house.clock.advance(Duration::from_secs(299));
    assert_eq!(house.hold(2, &[4]).status, ReservationStatus::Pending);
    assert_eq!(house.sale.view().reservation(hold.id).unwrap().status, ReservationStatus::Pending);
    house.clock.advance(Duration::from_secs(1));
    until("it expires", || house.sale.view().reservation(hold.id).unwrap().status == ReservationStatus::Expired);
}

/// Two halls of fifty seats, each seat sold to somebody else.
fn sold_out_twice() -> (House, Vec<onsale_engine::id::PaymentId>) {
    let mut house = House::with_settings(Settings::default(), Arc::default(), |config| config.no_orphans = false);
    let mut payments: Vec<_> = (0..50).map(|seat| house.buy(u64::from(seat), &[seat]).id).collect();
    let first = Arc::clone(&house.sale);
    house.sale = house.another(2, |config| config.no_orphans = false);
    payments.extend((0..50).map(|seat| house.buy(u64::from(seat), &[seat]).id));
    house.sale = first;
    (house, payments)
}

#[test]
fn cancelling_a_sold_out_event_asks_for_a_bounded_number_of_refunds_at_once() {
    let (house, payments) = sold_out_twice();
    assert!(payments.len() > RECONCILED_AT_ONCE);
    house.payments.keep_refunds_waiting();
    for sale in house.engine.sales() {
        house.run(sale.ask(Command::CancelSale { by: buyer(1000) }, house.soon())).unwrap();
    }
    let ordered = |sale: u128| {
        let entries = house.journal.entries(super::house::event(sale));
        entries.iter().filter(|entry| matches!(entry.fact, Fact::RefundOrdered { .. })).count()
    };
    until("all refunds are ordered", || ordered(1) + ordered(2) == payments.len());
    until("as many as may be are under way", || house.payments.refunds_at_once().0 == RECONCILED_AT_ONCE);
    // A buyer who pays meanwhile does not wait behind them.
    let other = house.another(3, |_| ());
    let mut house = house;
    house.sale = other;
    assert_eq!(house.buy(7, &[3]).status, PaymentStatus::Captured);
    house.payments.release_refunds();
    until("all are refunded", || payments.iter().all(|payment| house.payments.given_back(*payment).is_some()));
    assert_eq!(house.payments.refunds_at_once().1, RECONCILED_AT_ONCE, "never more at once");
    assert!(payments.iter().all(|payment| house.payments.refund_calls(*payment) == 1));
}

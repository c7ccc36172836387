//! Nothing to pay: a free ticket is confirmed without a charge, no card declines it, and a refund of nothing is settled when it
//! is ordered.

use crate::id::{PaymentId, ReservationId, TicketSerial};
use crate::money::Amount;
use crate::sale::tests::stage::{Stage, admin};
use crate::sale::{
    ChargeOutcome, Command, Entry, Fact, MoneyMoved, PaymentFailure, PaymentStatus, RefundReason, Rejection,
    ReservationStatus,
};

/// A theatre whose V seats are free.
fn theatre() -> Stage {
    Stage::theatre().rules(|config| config.prices[0] = Some(Amount(0)))
}

/// Buyer 1 holds two free seats.
fn holding() -> (Stage, ReservationId) {
    let mut stage = theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1", "A-2"]);
    (stage, hold)
}

fn refunded(reason: RefundReason, settled: bool) -> PaymentStatus {
    PaymentStatus::Refunded { reason, settled }
}

fn charges(stage: &Stage) -> usize {
    let orders = |entry: &&Entry| matches!(entry.fact, Fact::PaymentStarted { .. });
    stage.journal.iter().filter(orders).count()
}

/// Opens and confirms: the payment.
fn taken(stage: &mut Stage, hold: ReservationId) -> PaymentId {
    let payment = stage.buyer(1).opens_payment(hold);
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured);
    payment
}

#[test]
fn a_free_ticket_is_confirmed_without_a_charge_and_by_whole_facts() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    let before = stage.journal.len();
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured);
    let facts: Vec<Fact> = stage.journal[before..].iter().map(|entry| entry.fact.clone()).collect();
    let seats = stage.seats(&["A-1", "A-2"]);
    let sold = Fact::ReservationConfirmed { reservation: hold, payment, seats, ticket: TicketSerial(1) };
    assert_eq!(facts, [Fact::PaymentCaptured { payment, amount: Amount(0) }, sold], "one command, and no charge");
    stage.shows("A", "ss........");
    assert_eq!(stage.sale.payment(payment).unwrap().paid_at, Some(stage.now));
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured, "asking again is answered alike");
    assert_eq!((charges(&stage), stage.sale.open_money()), (0, (Vec::new(), Vec::new())));
    stage.buyer(1).cannot_open_payment(hold, 0);
}

#[test]
fn a_slot_ends_with_its_free_ticket() {
    let mut stage = Stage::with_room().rules(|config| config.prices[0] = Some(Amount(0)));
    stage.buyer(1).enters();
    let hold = stage.at("10:00:00").buyer(1).holds(["A-1"]);
    taken(&mut stage, hold);
    assert_eq!((stage.buyer(1).place(), stage.active()), (None, 0));
}

#[test]
fn no_card_declines_a_free_ticket() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    let seq = stage.sale.seq();
    stage.declines(payment).provider_says(payment, ChargeOutcome::NotCharged);
    stage.provider_says(payment, ChargeOutcome::Unknown);
    assert_eq!((stage.sale.seq(), stage.payment(payment)), (seq, PaymentStatus::Opened), "a provider has no say");
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured);
}

#[test]
fn as_many_declined_charges_as_may_be_do_not_keep_anybody_from_a_free_ticket() {
    let mut stage = theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["B-1"]);
    for _ in 0..crate::limits::DECLINES_PER_HOLD {
        let payment = stage.buyer(1).starts_paying(hold);
        stage.declines(payment);
    }
    stage.buyer(1).cannot_open_payment(hold, 200).because(Rejection::PaymentAttemptsExceeded);
    stage.buyer(1).changes(hold, ["A-1"]);
    taken(&mut stage, hold);
    stage.shows("A", "s.........").shows("B", "..........");
}

#[test]
fn a_hold_that_is_changed_between_free_and_paid_is_paid_as_it_is_now() {
    let (mut stage, hold) = holding();
    let free = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).changes(hold, ["B-1"]);
    assert_eq!(stage.payment(free), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    stage.buyer(1).cannot_open_payment(hold, 0).because(Rejection::AmountMismatch);
    let paid = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(paid, hold, 0).because(Rejection::AmountMismatch);
    stage.buyer(1).changes(hold, ["A-1"]);
    assert_eq!(stage.payment(paid), PaymentStatus::Failed(PaymentFailure::HoldEnded));
    let payment = stage.buyer(1).opens_payment(hold);
    stage.buyer(1).cannot_confirm_with(payment, hold, 200).because(Rejection::AmountMismatch);
    assert_eq!(stage.buyer(1).confirms(payment), PaymentStatus::Captured);
    // Free and paid seats together are charged.
    let both = stage.buyer(1).holds(["A-2", "B-2"]);
    assert_eq!(stage.reservation(both).amount, Amount(200));
    stage.buyer(1).pays(both);
    assert_eq!(charges(&stage), 1);
}

#[test]
fn a_refund_of_nothing_is_settled_when_it_is_ordered() {
    let (mut stage, hold) = holding();
    let payment = taken(&mut stage, hold);
    assert_eq!(stage.buyer(1).cancels(hold), Amount(0));
    assert_eq!(stage.payment(payment), refunded(RefundReason::BuyerCancelled, true));
    assert_eq!((stage.status(hold), stage.sale.open_money().1.len()), (ReservationStatus::Cancelled, 0));
    stage.shows("A", "..........");
    let seq = stage.sale.seq();
    stage.refunds(payment).captures(payment);
    assert_eq!(stage.sale.seq(), seq, "repeats are harmless");
}

#[test]
fn a_cancelled_sale_gives_free_tickets_back_too() {
    let (mut stage, free) = holding();
    let (paid, pending) = (stage.buyer(2).holds(["B-1"]), stage.buyer(3).holds(["A-5"]));
    let (first, second) = (taken(&mut stage, free), stage.buyer(2).pays(paid));
    let third = stage.buyer(3).opens_payment(pending);
    stage.submit(&Command::CancelSale { by: admin() }).unwrap();
    stage.timers_ring().shows("A", "..........").shows("B", "..........");
    assert_eq!(stage.payment(first), refunded(RefundReason::SaleCancelled, true));
    assert_eq!(stage.payment(second), refunded(RefundReason::SaleCancelled, false));
    assert_eq!(stage.payment(third), PaymentStatus::Failed(PaymentFailure::SaleCancelled));
    assert_eq!(stage.sale.open_money().1.len(), 1, "the provider is asked for the paid one alone");
    assert_eq!(stage.sale.next_deadline(), None);
}

#[test]
fn money_that_a_free_ticket_does_not_ask_for_is_given_back() {
    let (mut stage, hold) = holding();
    let first = stage.buyer(1).opens_payment(hold);
    stage.provider_says(first, ChargeOutcome::Captured { amount: Amount(7) }).shows("A", "hh........");
    assert_eq!(stage.payment(first), refunded(RefundReason::AmountMismatch, false));
    let second = taken(&mut stage, hold);
    stage.provider_says(second, ChargeOutcome::Captured { amount: Amount(9) });
    let moved = MoneyMoved::Captured { amount: Amount(9) };
    assert_eq!(stage.sale.unmatched().iter().map(|row| (row.payment, row.moved)).next(), Some((second, moved)));
}

#[test]
fn nothing_taken_for_a_paid_ticket_buys_nothing_and_needs_no_refund() {
    let mut stage = theatre();
    let hold = stage.at("10:00:00").buyer(1).holds(["B-1"]);
    let payment = stage.buyer(1).starts_paying(hold);
    stage.provider_says(payment, ChargeOutcome::Captured { amount: Amount(0) }).shows("B", "h.........");
    assert_eq!(stage.payment(payment), refunded(RefundReason::AmountMismatch, true));
    assert_eq!(stage.sale.open_money(), (Vec::new(), Vec::new()));
    stage.buyer(1).pays(hold);
}

#[test]
fn a_free_hold_expires_like_any_other() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.at("10:05:00").shows("A", "..........");
    stage.buyer(1).cannot_confirm(payment);
    assert_eq!(stage.status(hold), ReservationStatus::Expired);
}

/// Journals of before have charges of nothing, whose outcome may come after a start.
#[test]
fn a_charge_of_nothing_that_was_begun_before_is_confirmed_whatever_the_card() {
    let (mut stage, hold) = holding();
    let payment = stage.buyer(1).opens_payment(hold);
    stage.happens(Fact::PaymentStarted { payment, transaction: "sim_decline".into() });
    assert_eq!(stage.sale.open_money().0.len(), 1, "it is asked about");
    stage.restarts().declines(payment).shows("A", "ss........");
    assert_eq!(stage.payment(payment), PaymentStatus::Captured);
}

//! Stories of the simulated provider: one for each start of a transaction's name.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use onsale_engine::id::{BuyerId, EventId};
use std::task::{Context, Waker};
use uuid::Uuid;

fn charge(number: u64, transaction: &str) -> Charge {
    Charge {
        payment: PaymentId::new(EventId(Uuid::from_u128(7)), 1_780_000_000_000, number << 32),
        buyer: BuyerId(Uuid::from_u128(9)),
        transaction: transaction.into(),
        amount: Amount(150_000),
        currency: "KRW".parse().unwrap(),
    }
}

fn captured(amount: i64) -> ChargeOutcome {
    ChargeOutcome::Captured { amount: Amount(amount) }
}

#[tokio::test]
async fn a_payment_is_charged_once_and_given_back_once_however_often_it_is_asked() {
    let provider = Simulated::new();
    let charge = charge(1, "sim_ok_123");
    for _ in 0..3 {
        assert_eq!(provider.charge(&charge).await.unwrap(), captured(150_000));
        assert_eq!(provider.find(&charge).await.unwrap(), captured(150_000));
    }
    for _ in 0..3 {
        provider.refund(&charge).await.unwrap();
    }
    let money = Amount(150_000);
    assert_eq!(provider.totals(), Totals { captured: money, refunded: money, charges: 1, refunds: 1 });
    assert_eq!(
        provider.charge(&charge).await.unwrap(),
        captured(150_000),
        "a repeat after the refund answers the same"
    );
    assert_eq!(provider.totals().charges, 1);
}

#[tokio::test]
async fn refusals_take_nothing_and_name_their_reason() {
    let provider = Simulated::new();
    for (transaction, reason) in
        [("sim_decline_1", "CARD_DECLINED"), ("tx-77", "UNKNOWN_TRANSACTION"), ("", "UNKNOWN_TRANSACTION")]
    {
        let charge = charge(2, transaction);
        let declined = ChargeOutcome::Declined { reason: reason.into() };
        assert_eq!(provider.charge(&charge).await.unwrap(), declined);
        assert_eq!(provider.find(&charge).await.unwrap(), declined);
        provider.refund(&charge).await.unwrap();
    }
    assert_eq!(provider.totals(), Totals::default());
}

#[tokio::test]
async fn a_timeout_never_answers_and_was_not_charged() {
    let provider = Simulated::new();
    let charge = charge(3, "sim_timeout");
    let mut answer = provider.charge(&charge);
    for _ in 0..3 {
        assert!(answer.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert_eq!(provider.find(&charge).await.unwrap(), ChargeOutcome::NotCharged);
    assert_eq!(provider.totals(), Totals::default());
}

#[tokio::test]
async fn a_flaky_one_fails_once_for_each_payment() {
    let provider = Simulated::new();
    for number in [4, 5] {
        let charge = charge(number, "sim_flaky");
        provider.charge(&charge).await.unwrap_err();
        assert_eq!(provider.charge(&charge).await.unwrap(), captured(150_000));
        assert_eq!(provider.charge(&charge).await.unwrap(), captured(150_000));
    }
    assert_eq!(provider.totals().charges, 2);
}

#[tokio::test]
async fn a_wrong_amount_is_given_back_whole() {
    let provider = Simulated::new();
    let charge = charge(6, "sim_wrong_amount");
    assert_eq!(provider.charge(&charge).await.unwrap(), captured(150_001));
    provider.refund(&charge).await.unwrap();
    assert_eq!(provider.totals().captured, provider.totals().refunded);
}

#[tokio::test]
async fn after_a_restart_the_same_is_said_and_the_books_balance() {
    let (ok, flaky) = (charge(7, "sim_ok"), charge(8, "sim_flaky"));
    let restarted = Simulated::new();
    assert_eq!(restarted.find(&flaky).await.unwrap(), captured(150_000));
    restarted.refund(&ok).await.unwrap();
    let totals = restarted.totals();
    assert_eq!((totals.captured, totals.refunded), (Amount(300_000), Amount(150_000)));
}

//! What every payment provider must do, run on the simulated one, bare and guarded, and on the fake.

use onsale_adapters::breaker::guarded;
use onsale_adapters::clock::SystemClock;
use onsale_adapters::simulated::Simulated;
use onsale_engine::fakes::FakePayments;
use onsale_engine::id::{BuyerId, EventId, PaymentId};
use onsale_engine::money::Amount;
use onsale_engine::ports::{Charge, PaymentProvider};
use onsale_engine::sale::ChargeOutcome;
use std::sync::Arc;
use uuid::Uuid;

fn charge(number: u64, transaction: &str, amount: i64) -> Charge {
    Charge {
        payment: PaymentId::new(EventId(Uuid::from_u128(7)), 1_780_000_000_000, number << 32),
        buyer: BuyerId(Uuid::from_u128(9)),
        transaction: transaction.into(),
        amount: Amount(amount),
        currency: "KRW".parse().unwrap(),
    }
}

/// A provider that takes `sim_ok…`, and what it has taken and not given back.
type Provider = (Arc<dyn PaymentProvider>, Box<dyn Fn() -> i64 + Send + Sync>);

fn providers() -> Vec<Provider> {
    let bare = Arc::new(Simulated::new());
    let inner = Arc::new(Simulated::new());
    let fake = FakePayments::default();
    let balance = |simulated: &Arc<Simulated>| -> Box<dyn Fn() -> i64 + Send + Sync> {
        let simulated = simulated.clone();
        Box::new(move || simulated.totals().captured.0 - simulated.totals().refunded.0)
    };
    vec![
        (bare.clone(), balance(&bare)),
        (guarded(inner.clone(), Arc::new(SystemClock::start())), balance(&inner)),
        (Arc::new(fake.clone()), Box::new(move || fake.balance())),
    ]
}

#[tokio::test]
async fn the_same_payment_is_charged_once_and_found_as_charged() {
    for (provider, balance) in providers() {
        let charge = charge(1, "sim_ok", 5000);
        let captured = ChargeOutcome::Captured { amount: Amount(5000) };
        assert_eq!(provider.charge(&charge).await.unwrap(), captured, "{}", provider.name());
        assert_eq!(provider.charge(&charge).await.unwrap(), captured);
        assert_eq!(provider.find(&charge).await.unwrap(), captured);
        assert_eq!(balance(), 5000, "{}", provider.name());
        assert!(!provider.is_unavailable());
    }
}

#[tokio::test]
async fn many_calls_at_once_for_one_payment_are_one_charge() {
    for (provider, balance) in providers() {
        let calls = (0..32).map(|_| {
            let provider = provider.clone();
            tokio::spawn(async move { provider.charge(&charge(1, "sim_ok", 5000)).await.unwrap() })
        });
        for call in calls.collect::<Vec<_>>() {
            assert_eq!(call.await.unwrap(), ChargeOutcome::Captured { amount: Amount(5000) });
        }
        assert_eq!(balance(), 5000, "{}", provider.name());
    }
}

#[tokio::test]
async fn money_is_given_back_once_and_only_if_it_was_taken() {
    for (provider, balance) in providers() {
        let (paid, other) = (charge(1, "sim_ok", 5000), charge(2, "sim_ok", 300));
        provider.charge(&paid).await.unwrap();
        provider.charge(&other).await.unwrap();
        provider.refund(&paid).await.unwrap();
        provider.refund(&paid).await.unwrap();
        assert_eq!(balance(), 300, "{}", provider.name());
        provider.refund(&charge(3, "sim_decline", 70)).await.unwrap();
        assert_eq!(balance(), 300, "{}", provider.name());
    }
}

#[tokio::test]
async fn a_charge_that_was_found_not_to_be_stays_so() {
    for (provider, balance) in providers() {
        let silent = charge(1, "sim_timeout", 5000);
        assert_eq!(provider.find(&silent).await.unwrap(), ChargeOutcome::NotCharged, "{}", provider.name());
        assert_eq!(provider.find(&silent).await.unwrap(), ChargeOutcome::NotCharged);
        provider.refund(&silent).await.unwrap();
        assert_eq!(balance(), 0, "{}", provider.name());
    }
}

//! Stories of the circuit breaker and the retries, over a provider whose answers are scripted.
#![allow(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::simulated::Simulated;
use onsale_engine::id::{BuyerId, EventId, PaymentId};
use onsale_engine::money::Amount;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Waker};
use uuid::Uuid;

#[derive(Default)]
struct Scripted {
    /// Calls that still fail; `usize::MAX` is all.
    failures: AtomicUsize,
    calls: AtomicUsize,
    hangs: AtomicUsize,
}

impl Scripted {
    fn fail(&self, calls: usize) {
        self.failures.store(calls, Ordering::SeqCst);
    }

    async fn answer(&self) -> Result<ChargeOutcome, ProviderError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        if self.hangs.load(Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        let fails = self.failures.load(Ordering::SeqCst);
        if fails == 0 {
            return Ok(ChargeOutcome::Captured { amount: Amount(1) });
        }
        self.fail(if fails == usize::MAX { fails } else { fails - 1 });
        Err(ProviderError("scripted to fail".into()))
    }
}

impl PaymentProvider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }
    fn charge<'a>(&'a self, _: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(self.answer())
    }
    fn find<'a>(&'a self, _: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(self.answer())
    }
    fn refund<'a>(&'a self, _: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async { self.answer().await.map(|_| ()) })
    }
}

#[derive(Default)]
struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_secs(self.0.load(Ordering::SeqCst))
    }
}

struct Scene {
    provider: Arc<Scripted>,
    clock: Arc<SetClock>,
    breaker: Breaker,
    charge: Charge,
}

fn scene() -> Scene {
    let (provider, clock) = (Arc::new(Scripted::default()), Arc::new(SetClock::default()));
    let breaker = Breaker::new(provider.clone(), clock.clone());
    let charge = Charge {
        payment: PaymentId::new(EventId(Uuid::from_u128(7)), 0, 1),
        buyer: BuyerId(Uuid::from_u128(9)),
        transaction: "t".into(),
        amount: Amount(1),
        currency: "KRW".parse().unwrap(),
    };
    Scene { provider, clock, breaker, charge }
}

impl Scene {
    async fn charges(&self, count: usize) -> usize {
        let mut good = 0;
        for _ in 0..count {
            good += usize::from(self.breaker.charge(&self.charge).await.is_ok());
        }
        good
    }

    fn calls(&self) -> usize {
        self.provider.calls.load(Ordering::SeqCst)
    }

    fn pass(&self, secs: i64) {
        self.clock.0.fetch_add(secs, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn it_opens_at_half_of_the_calls_and_not_before_twenty() {
    let scene = scene();
    assert_eq!(scene.charges(9).await, 9);
    scene.provider.fail(usize::MAX);
    assert_eq!(scene.charges(10).await, 0);
    assert!(!scene.breaker.is_unavailable(), "19 calls are too few");
    scene.provider.fail(1);
    scene.charges(1).await;
    assert!(scene.breaker.is_unavailable(), "11 of 20 failed");
    assert_eq!((scene.charges(5).await, scene.calls()), (0, 20), "nothing is let through");
}

#[tokio::test]
async fn it_counts_the_last_hundred_calls_only() {
    let scene = scene();
    scene.charges(100).await;
    scene.provider.fail(usize::MAX);
    scene.charges(49).await;
    assert!(!scene.breaker.is_unavailable());
    scene.charges(1).await;
    assert!(scene.breaker.is_unavailable());
}

#[tokio::test]
async fn after_a_minute_one_call_decides() {
    let scene = scene();
    scene.provider.fail(usize::MAX);
    scene.charges(20).await;
    scene.pass(59);
    assert!(scene.breaker.is_unavailable());
    scene.pass(1);
    assert!(!scene.breaker.is_unavailable(), "or nobody would try");
    assert_eq!((scene.charges(3).await, scene.calls()), (0, 21), "the trial failed: open again");
    scene.pass(60);
    scene.provider.fail(0);
    assert_eq!((scene.charges(3).await, scene.calls()), (3, 24), "the trial went well: closed");
}

#[tokio::test]
async fn only_one_trial_is_out_at_a_time_and_a_dropped_one_has_failed() {
    let scene = scene();
    scene.provider.fail(usize::MAX);
    scene.charges(20).await;
    scene.pass(60);
    scene.provider.hangs.store(1, Ordering::SeqCst);
    let mut trial = scene.breaker.charge(&scene.charge);
    assert!(trial.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert!(scene.breaker.is_unavailable());
    assert_eq!((scene.charges(2).await, scene.calls()), (0, 21));
    drop(trial);
    scene.pass(59);
    assert!(scene.breaker.is_unavailable(), "a minute again, from when the trial was given up");
}

#[tokio::test]
async fn calls_given_up_count_as_failed_and_questions_are_let_through() {
    let scene = scene();
    scene.provider.hangs.store(1, Ordering::SeqCst);
    for _ in 0..20 {
        let mut call = scene.breaker.charge(&scene.charge);
        assert!(call.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    assert!(scene.breaker.is_unavailable());
    scene.provider.hangs.store(0, Ordering::SeqCst);
    assert!(scene.breaker.find(&scene.charge).await.is_ok());
    assert!(scene.breaker.refund(&scene.charge).await.is_err());
}

#[tokio::test]
async fn a_charge_is_tried_three_times() {
    let scene = scene();
    let retrying = Retrying::new(scene.provider.clone());
    scene.provider.fail(2);
    assert!(retrying.charge(&scene.charge).await.is_ok());
    scene.provider.fail(3);
    retrying.charge(&scene.charge).await.unwrap_err();
    assert_eq!(scene.calls(), 6);
}

#[tokio::test]
async fn a_failure_repaired_by_a_retry_does_not_count_against_the_provider() {
    let scene = scene();
    let simulated = Arc::new(Simulated::new());
    let guarded = guarded(simulated.clone(), scene.clock.clone());
    let flaky = (0..40_u64).map(|number| {
        let payment = PaymentId::new(EventId(Uuid::from_u128(7)), 0, number << 32);
        let charge = Charge { payment, transaction: "sim_flaky".into(), ..scene.charge.clone() };
        let guarded = guarded.clone();
        tokio::spawn(async move { guarded.charge(&charge).await })
    });
    for call in flaky.collect::<Vec<_>>() {
        assert!(matches!(call.await.unwrap(), Ok(ChargeOutcome::Captured { .. })));
    }
    assert_eq!(simulated.totals().charges, 40);
    assert!(!guarded.is_unavailable());
}

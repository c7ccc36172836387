//! A payment provider that behaves as a test sets it, and records what it took, so that a double charge is seen.

use crate::id::PaymentId;
use crate::money::Amount;
use crate::ports::{Charge, Later, PaymentProvider, ProviderError};
use crate::sale::ChargeOutcome;
use crate::trace::Scope;
use hashbrown::HashMap;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::Notify;

/// What the fake shall do when it is asked to charge.
#[derive(Clone, Debug)]
enum Scripted {
    Answer(ChargeOutcome),
    /// Takes the money, but the answer is lost.
    TakenInSilence,
    /// Takes nothing and does not answer.
    Silence,
    /// Never answers; the caller must give up.
    Hang,
}

#[derive(Default)]
struct Inner {
    script: VecDeque<Scripted>,
    charge_calls: HashMap<PaymentId, u32>,
    refund_calls: HashMap<PaymentId, u32>,
    taken: HashMap<PaymentId, Amount>,
    given_back: HashMap<PaymentId, Amount>,
    /// Payments that were found not charged: that promise binds later charges.
    closed: HashMap<PaymentId, ChargeOutcome>,
    failing_refunds: u32,
    refunds: AtOnce,
    scopes: Vec<(&'static str, Scope)>,
}

/// Refunds that are being made.
#[derive(Default)]
struct AtOnce {
    waiting: bool,
    now: usize,
    most: usize,
}

/// A provider with a script; clones share it. Without a script every charge succeeds. A payment that was charged is
/// not charged again, whatever the script says: the payment's id is the idempotency key.
#[derive(Clone, Default)]
pub struct FakePayments {
    inner: Arc<Mutex<Inner>>,
    unavailable: Arc<AtomicBool>,
    released: Arc<Notify>,
}

impl FakePayments {
    /// Answers the next new charge so. [`ChargeOutcome::Captured`] takes that amount.
    pub fn will_answer(&self, outcome: ChargeOutcome) {
        self.inner.lock().script.push_back(Scripted::Answer(outcome));
    }

    /// Takes the next charge's money and loses the answer.
    pub fn will_take_in_silence(&self) {
        self.inner.lock().script.push_back(Scripted::TakenInSilence);
    }

    /// Does not answer the next charge, and takes nothing unless asked again.
    pub fn will_be_silent(&self) {
        self.inner.lock().script.push_back(Scripted::Silence);
    }

    /// Never answers the next charge.
    pub fn will_hang(&self) {
        self.inner.lock().script.push_back(Scripted::Hang);
    }

    /// Does not answer the next `times` refunds.
    pub fn will_fail_refunds(&self, times: u32) {
        self.inner.lock().failing_refunds = times;
    }

    /// Lets no refund come to its end until [`FakePayments::release_refunds`].
    pub fn keep_refunds_waiting(&self) {
        self.inner.lock().refunds.waiting = true;
    }

    /// Lets refunds come to their end again.
    pub fn release_refunds(&self) {
        self.inner.lock().refunds.waiting = false;
        self.released.notify_waiters();
    }

    /// How many refunds are being made, and the most that ever were at once.
    #[must_use]
    pub fn refunds_at_once(&self) -> (usize, usize) {
        let inner = self.inner.lock();
        (inner.refunds.now, inner.refunds.most)
    }

    /// Opens or closes the circuit breaker.
    pub fn set_unavailable(&self, unavailable: bool) {
        self.unavailable.store(unavailable, Ordering::SeqCst);
    }

    /// How often a payment was to be charged.
    #[must_use]
    pub fn charge_calls(&self, payment: PaymentId) -> u32 {
        self.inner.lock().charge_calls.get(&payment).copied().unwrap_or(0)
    }

    /// How often a payment was to be refunded.
    #[must_use]
    pub fn refund_calls(&self, payment: PaymentId) -> u32 {
        self.inner.lock().refund_calls.get(&payment).copied().unwrap_or(0)
    }

    /// What was taken for a payment, given back or not.
    #[must_use]
    pub fn taken(&self, payment: PaymentId) -> Option<Amount> {
        self.inner.lock().taken.get(&payment).copied()
    }

    /// What was given back of a payment.
    #[must_use]
    pub fn given_back(&self, payment: PaymentId) -> Option<Amount> {
        self.inner.lock().given_back.get(&payment).copied()
    }

    /// Every call so far, and what its work belonged to.
    #[must_use]
    pub fn scopes(&self) -> Vec<(&'static str, Scope)> {
        self.inner.lock().scopes.clone()
    }

    /// All that was taken and not given back.
    #[must_use]
    pub fn balance(&self) -> i64 {
        let inner = self.inner.lock();
        let sum = |amounts: &HashMap<PaymentId, Amount>| amounts.values().map(|amount| amount.0).sum::<i64>();
        sum(&inner.taken) - sum(&inner.given_back)
    }
}

/// A refund that is being made; also over when its caller gives up.
struct Refund<'a>(&'a Mutex<Inner>);

impl<'a> Refund<'a> {
    fn begin(inner: &'a Mutex<Inner>) -> Self {
        let refunds = &mut inner.lock().refunds;
        refunds.now += 1;
        refunds.most = refunds.most.max(refunds.now);
        Self(inner)
    }
}

impl Drop for Refund<'_> {
    fn drop(&mut self) {
        self.0.lock().refunds.now -= 1;
    }
}

fn unanswered() -> ProviderError {
    ProviderError("a test made the fake not answer".to_owned())
}

impl PaymentProvider for FakePayments {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let next = {
                let mut inner = self.inner.lock();
                inner.scopes.push(("charge", Scope::current()));
                *inner.charge_calls.entry(charge.payment).or_default() += 1;
                if let Some(amount) = inner.taken.get(&charge.payment) {
                    return Ok(ChargeOutcome::Captured { amount: *amount });
                }
                if let Some(outcome) = inner.closed.get(&charge.payment) {
                    return Ok(outcome.clone());
                }
                let next = inner.script.pop_front();
                let next = next.unwrap_or(Scripted::Answer(ChargeOutcome::Captured { amount: charge.amount }));
                match &next {
                    Scripted::Answer(ChargeOutcome::Captured { amount }) => {
                        inner.taken.insert(charge.payment, *amount);
                    }
                    Scripted::Answer(outcome @ (ChargeOutcome::Declined { .. } | ChargeOutcome::NotCharged)) => {
                        inner.closed.insert(charge.payment, outcome.clone());
                    }
                    Scripted::TakenInSilence => {
                        inner.taken.insert(charge.payment, charge.amount);
                    }
                    Scripted::Answer(ChargeOutcome::Unknown) | Scripted::Silence | Scripted::Hang => {}
                }
                next
            };
            match next {
                Scripted::Answer(outcome) => Ok(outcome),
                Scripted::TakenInSilence | Scripted::Silence => Err(unanswered()),
                Scripted::Hang => std::future::pending().await,
            }
        })
    }

    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let mut inner = self.inner.lock();
            inner.scopes.push(("find", Scope::current()));
            if let Some(amount) = inner.taken.get(&charge.payment) {
                return Ok(ChargeOutcome::Captured { amount: *amount });
            }
            Ok(inner.closed.entry(charge.payment).or_insert(ChargeOutcome::NotCharged).clone())
        })
    }

    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let released = self.released.notified();
            let _refund = Refund::begin(&self.inner);
            let waits = self.inner.lock().refunds.waiting;
            if waits {
                released.await;
            }
            let mut inner = self.inner.lock();
            inner.scopes.push(("refund", Scope::current()));
            *inner.refund_calls.entry(charge.payment).or_default() += 1;
            if inner.failing_refunds > 0 {
                inner.failing_refunds -= 1;
                return Err(unanswered());
            }
            if let Some(amount) = inner.taken.get(&charge.payment).copied() {
                inner.given_back.insert(charge.payment, amount);
            }
            Ok(())
        })
    }

    fn is_unavailable(&self) -> bool {
        self.unavailable.load(Ordering::SeqCst)
    }
}

//! What stands around a payment provider: quick retries, and a circuit breaker that stops asking a provider which
//! does not answer. Owns when a provider is asked; must never invent an outcome, so that a refused call is an
//! error like any other: unknown, and safe to repeat.

use backon::{ExponentialBuilder, Retryable};
use onsale_engine::ports::{Charge, Clock, Later, PaymentProvider, ProviderError};
use onsale_engine::sale::ChargeOutcome;
use onsale_engine::time::Timestamp;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// The last calls that the breaker counts.
const WINDOW: usize = 100;
/// Fewer calls than this never open it.
const MIN_CALLS: usize = 20;
/// The share of failures that opens it, in percent.
const FAILURE_PERCENT: usize = 50;
/// How long it stays open before one call may try again.
const OPEN_FOR: Duration = Duration::from_secs(60);
/// Repeats of a charge that ended in an error.
const RETRIES: usize = 2;
/// The pause before the first repeat; it doubles, give or take, and stays far below the caller's 10 s.
const RETRY_PAUSE: Duration = Duration::from_millis(50);

const _: () = assert!(MIN_CALLS <= WINDOW && WINDOW <= 128 && FAILURE_PERCENT <= 100);

/// The provider as the engine should use it: retried quickly, behind a circuit breaker.
#[must_use]
pub fn guarded(provider: Arc<dyn PaymentProvider>, clock: Arc<dyn Clock>) -> Arc<dyn PaymentProvider> {
    // The retries are inside, so that a failure which a retry repairs does not count against the provider.
    Arc::new(Breaker::new(Arc::new(Retrying::new(provider)), clock))
}

/// A provider whose charges and refunds are repeated twice, quickly, when they end in an error: the payment's id
/// makes it the same call. Dropping a call ends its repeats.
pub struct Retrying {
    inner: Arc<dyn PaymentProvider>,
}

impl Retrying {
    /// Repeats what `inner` fails.
    #[must_use]
    pub fn new(inner: Arc<dyn PaymentProvider>) -> Self {
        Self { inner }
    }
}

fn pauses() -> ExponentialBuilder {
    ExponentialBuilder::default().with_min_delay(RETRY_PAUSE).with_max_times(RETRIES).with_jitter()
}

impl PaymentProvider for Retrying {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move { (|| self.inner.charge(charge)).retry(pauses()).await })
    }

    /// Not repeated: reconciliation asks again anyway.
    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        self.inner.find(charge)
    }

    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async move { (|| self.inner.refund(charge)).retry(pauses()).await })
    }

    fn is_unavailable(&self) -> bool {
        self.inner.is_unavailable()
    }
}

/// A provider behind a circuit breaker: it opens when half of the last 100 calls failed (20 at the least), lets
/// nothing through for 60 s, then one call, which closes or reopens it. A call that is dropped unanswered (the
/// caller's timeout) has failed. Questions about earlier charges ([`PaymentProvider::find`]) are counted, yet
/// always let through: they settle what is unknown, and they are few.
pub struct Breaker {
    inner: Arc<dyn PaymentProvider>,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

enum State {
    Closed(Recent),
    Open {
        until: Timestamp,
    },
    /// One call is out; it decides.
    Probing,
}

/// How the latest calls ended, one bit each, the newest lowest; a set bit is a failure.
#[derive(Clone, Copy, Default)]
struct Recent {
    bits: u128,
    calls: usize,
}

impl Recent {
    fn add(&mut self, failed: bool) {
        self.bits = (self.bits << 1 | u128::from(failed)) & ((1 << WINDOW) - 1);
        self.calls = (self.calls + 1).min(WINDOW);
    }

    fn is_bad(self) -> bool {
        let failures = self.bits.count_ones() as usize;
        self.calls >= MIN_CALLS && failures * 100 >= self.calls * FAILURE_PERCENT
    }
}

/// A call that is out. Dropped without an outcome it has failed.
struct Call<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    failed: bool,
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.breaker.ended(self.is_probe, self.failed);
    }
}

impl Breaker {
    /// A closed breaker in front of `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn PaymentProvider>, clock: Arc<dyn Clock>) -> Self {
        Self { inner, clock, state: Mutex::new(State::Closed(Recent::default())) }
    }

    /// Lets a call through, or not.
    fn admit(&self) -> Result<Call<'_>, ProviderError> {
        let mut state = self.state.lock();
        let is_probe = match *state {
            State::Closed(_) => false,
            State::Open { until } if self.clock.now() >= until => true,
            State::Open { .. } | State::Probing => {
                return Err(ProviderError(format!(
                    "{} is not called for a while: its circuit breaker is open",
                    self.inner.name()
                )));
            }
        };
        if is_probe {
            *state = State::Probing;
        }
        Ok(Call { breaker: self, is_probe, failed: true })
    }

    fn ended(&self, is_probe: bool, failed: bool) {
        let mut state = self.state.lock();
        let opens = match &mut *state {
            State::Closed(recent) => {
                recent.add(failed);
                recent.is_bad()
            }
            // Late ends of calls from before it opened say nothing new.
            State::Open { .. } | State::Probing if !is_probe => return,
            State::Open { .. } | State::Probing => failed,
        };
        if opens {
            tracing::warn!(provider = self.inner.name(), "the payment provider's circuit breaker opens");
            *state = State::Open { until: self.clock.now() + OPEN_FOR };
        } else if is_probe {
            tracing::info!(provider = self.inner.name(), "the payment provider's circuit breaker closes");
            *state = State::Closed(Recent::default());
        }
    }

    async fn watch<T>(
        &self,
        mut call: Call<'_>,
        answer: Later<'_, Result<T, ProviderError>>,
    ) -> Result<T, ProviderError> {
        let answer = answer.await;
        call.failed = answer.is_err();
        answer
    }
}

impl PaymentProvider for Breaker {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn charge<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let call = self.admit()?;
            self.watch(call, self.inner.charge(charge)).await
        })
    }

    fn find<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<ChargeOutcome, ProviderError>> {
        Box::pin(async move {
            let call = Call { breaker: self, is_probe: false, failed: true };
            self.watch(call, self.inner.find(charge)).await
        })
    }

    fn refund<'a>(&'a self, charge: &'a Charge) -> Later<'a, Result<(), ProviderError>> {
        Box::pin(async move {
            let call = self.admit()?;
            self.watch(call, self.inner.refund(charge)).await
        })
    }

    /// True while it is open, and while its one trial call is out.
    fn is_unavailable(&self) -> bool {
        let is_open = match *self.state.lock() {
            State::Closed(_) => false,
            State::Open { until } => self.clock.now() < until,
            State::Probing => true,
        };
        is_open || self.inner.is_unavailable()
    }
}

#[cfg(test)]
mod tests;

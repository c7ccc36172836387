//! Effects: charges and refunds that a committed fact has ordered, and the reconciler that asks about those whose
//! outcome nobody knows. Results come back as commands on a lane that is never shed. Must never start before the
//! fact is durable, and never decide what an outcome means.

use crate::id::PaymentId;
use crate::limits::CHARGE_TIMEOUT_MAX;
use crate::money::Currency;
use crate::ports::{Charge, PaymentProvider};
use crate::runtime::handle::SaleHandle;
use crate::sale::{ChargeOutcome, Command, Fact, PaymentRow, Sale};
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// The first pause of a reconciler between two questions; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One piece of outside work.
pub(crate) struct Effect {
    sale: Arc<SaleHandle>,
    charge: Charge,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Charge,
    Find,
    Refund,
}

/// Who does outside work.
pub(crate) struct Effects {
    provider: Arc<dyn PaymentProvider>,
    tokio: tokio::runtime::Handle,
    timeout: Duration,
    stopped: Arc<AtomicBool>,
    running: Arc<Mutex<HashSet<Work>>>,
}

/// A payment, and whether its refund is meant: each is worked on once at a time, also when its sale is rebuilt meanwhile. Twice
/// would tell the sale of the same money twice, perhaps when it has forgotten the payment.
type Work = (PaymentId, bool);

/// A piece of work that is being done: until this is dropped, also by a panic of the provider.
struct Doing {
    work: Work,
    running: Arc<Mutex<HashSet<Work>>>,
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.running.lock().remove(&self.work);
    }
}

impl Effects {
    pub(crate) fn new(provider: Arc<dyn PaymentProvider>, tokio: tokio::runtime::Handle, timeout: Duration) -> Self {
        let (timeout, running) = (timeout.min(CHARGE_TIMEOUT_MAX), Arc::default());
        Self { provider, tokio, timeout, stopped: Arc::default(), running }
    }

    /// Where outside work is done, and answers are given.
    pub(crate) fn tokio(&self) -> &tokio::runtime::Handle {
        &self.tokio
    }

    /// Notes the outside work that a committed fact orders; `view` is the state with the fact in it.
    pub(crate) fn ordered_by(&self, sale: &Arc<SaleHandle>, view: &Sale, fact: &Fact, effects: &mut Vec<Effect>) {
        if let Fact::PaymentStarted { payment, .. } = fact {
            effects.extend(effect(sale, view, view.payment_row(*payment), Kind::Charge));
        }
        if let Fact::RefundOrdered { payment, .. } = fact {
            effects.extend(effect(sale, view, view.payment_row(*payment), Kind::Refund));
        }
    }

    /// Asks about every charge and repeats every refund that has not come to its end: after a start or a rebuild.
    pub(crate) fn reconcile(&self, sale: &Arc<SaleHandle>) {
        let effects: Vec<Effect> = {
            let view = sale.copy();
            let (charges, refunds) = view.open_money();
            let find = charges.iter().filter_map(|row| effect(sale, &view, Some(row), Kind::Find));
            find.chain(refunds.iter().filter_map(|row| effect(sale, &view, Some(row), Kind::Refund))).collect()
        };
        effects.into_iter().for_each(|effect| self.order(effect));
    }

    /// Starts a piece of work, unless it is being done.
    pub(crate) fn order(&self, effect: Effect) {
        let work = (effect.charge.payment, effect.kind == Kind::Refund);
        if !self.running.lock().insert(work) {
            return;
        }
        let doing = Doing { work, running: Arc::clone(&self.running) };
        let (provider, timeout, stopped) = (Arc::clone(&self.provider), self.timeout, Arc::clone(&self.stopped));
        self.tokio.spawn(async move {
            match effect.kind {
                Kind::Charge => {
                    let outcome = charge(&*provider, &effect.charge, timeout).await;
                    let unknown = outcome == ChargeOutcome::Unknown;
                    effect.settle(outcome);
                    if unknown {
                        find(&*provider, &effect, timeout, &stopped).await;
                    }
                }
                Kind::Find => find(&*provider, &effect, timeout, &stopped).await,
                Kind::Refund => refund(&*provider, &effect, timeout, &stopped).await,
            }
            drop(doing);
        });
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
    }
}

impl Effect {
    fn settle(&self, outcome: ChargeOutcome) {
        self.tell(Command::SettleCharge { payment: self.charge.payment, outcome });
    }

    /// To the route that the event has now: it may be another one than when the work began.
    fn tell(&self, command: Command) {
        let route = self.sale.core.sale(self.sale.event());
        route.as_ref().unwrap_or(&self.sale).tell(command);
    }
}

fn effect(sale: &Arc<SaleHandle>, view: &Sale, row: Option<&PaymentRow>, kind: Kind) -> Option<Effect> {
    let row = row?;
    let currency: Currency = view.config()?.currency;
    let charge = Charge {
        payment: row.view.id,
        buyer: row.view.buyer,
        transaction: row.transaction.clone().unwrap_or_default(),
        amount: row.view.amount,
        currency,
    };
    Some(Effect { sale: Arc::clone(sale), charge, kind })
}

async fn charge(provider: &dyn PaymentProvider, charge: &Charge, timeout: Duration) -> ChargeOutcome {
    match tokio::time::timeout(timeout, provider.charge(charge)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(error)) => {
            tracing::warn!(payment = %charge.payment, %error, "a charge has no outcome yet");
            ChargeOutcome::Unknown
        }
        Err(_) => {
            tracing::warn!(payment = %charge.payment, ?timeout, "a charge was not answered in time");
            ChargeOutcome::Unknown
        }
    }
}

/// Asks until the provider knows.
async fn find(provider: &dyn PaymentProvider, effect: &Effect, timeout: Duration, stopped: &AtomicBool) {
    let mut pause = FIRST_PAUSE;
    while !stopped.load(Ordering::Acquire) {
        match tokio::time::timeout(timeout, provider.find(&effect.charge)).await {
            Ok(Ok(ChargeOutcome::Unknown)) | Ok(Err(_)) | Err(_) => {}
            Ok(Ok(outcome)) => return effect.settle(outcome),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Repeats until the money is back.
async fn refund(provider: &dyn PaymentProvider, effect: &Effect, timeout: Duration, stopped: &AtomicBool) {
    let mut pause = FIRST_PAUSE;
    while !stopped.load(Ordering::Acquire) {
        if let Ok(Ok(())) = tokio::time::timeout(timeout, provider.refund(&effect.charge)).await {
            return effect.tell(Command::SettleRefund { payment: effect.charge.payment });
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

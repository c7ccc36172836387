//! Effects: charges and refunds that a committed fact has ordered, and the reconciler that asks about charges whose
//! outcome nobody knows. Results come back as commands on a lane that is never shed, so the calls that may be under way
//! at once are bounded, and each result keeps its slot until the actor has taken it. Must never start before the fact
//! is durable, and never decide what an outcome means.

use crate::id::PaymentId;
use crate::limits::{CHARGE_TIMEOUT_MAX, CHARGES_AT_ONCE, RECONCILED_AT_ONCE};
use crate::money::{Amount, Currency};
use crate::ports::{Charge, PaymentProvider};
use crate::runtime::handle::SaleHandle;
use crate::runtime::origins::Origins;
use crate::sale::{ChargeOutcome, Command, Entry, Fact, PaymentRow, Sale};
use crate::trace::{Origin, Scope};
use hashbrown::HashSet;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::Instrument;

/// The first pause of a reconciler between two questions; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// One piece of outside work.
pub(crate) struct Effect {
    sale: Arc<SaleHandle>,
    /// The request that ordered it.
    origin: Origin,
    charge: Charge,
    kind: Kind,
    /// Whether the payment took no money, so that a refund gives none back and no provider is asked for it.
    took_nothing: bool,
    /// How long the next attempt waits after one that got no answer.
    pause: Duration,
    /// From the moment at which it was ordered.
    doing: Option<Doing>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Charge,
    Find,
    Refund,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Charge => "charge",
            Self::Find => "find",
            Self::Refund => "refund",
        }
    }
}

/// Who does outside work.
pub(crate) struct Effects {
    runtime: tokio::runtime::Handle,
    work: Arc<Work>,
}

/// What the tasks share.
struct Work {
    provider: Arc<dyn PaymentProvider>,
    timeout: Duration,
    /// Buyers wait for charges, so refunds of a whole cancelled event must not stand in front of them.
    charges: Arc<Semaphore>,
    /// Slots for refunds and for questions about charges, which nobody waits for.
    reconciled: Arc<Semaphore>,
    queue: Mutex<Queue>,
    changed: Notify,
    stopped: AtomicBool,
    running: Arc<Mutex<HashSet<Running>>>,
}

/// Refunds and questions that wait for a slot: plain data, so that sixty thousand of them are no more than a list.
#[derive(Default)]
struct Queue {
    ready: VecDeque<Effect>,
    /// Attempts that got no answer, by when they are made again.
    later: BTreeMap<(Instant, u64), Effect>,
    serial: u64,
}

impl Queue {
    /// The next effect to begin, or when there is one.
    fn next(&mut self, now: Instant) -> Result<Effect, Option<Instant>> {
        if let Some(entry) = self.later.first_entry()
            && entry.key().0 <= now
        {
            return Ok(entry.remove());
        }
        self.ready.pop_front().ok_or_else(|| self.later.keys().next().map(|(at, _)| *at))
    }

    fn postpone(&mut self, mut effect: Effect, now: Instant) {
        let at = now + effect.pause;
        effect.pause = (effect.pause * 2).min(LONGEST_PAUSE);
        self.serial += 1;
        self.later.insert((at, self.serial), effect);
    }
}

/// A payment, and whether its refund is meant: each is worked on once at a time, also when its sale is rebuilt meanwhile. Twice
/// would report the same money to the sale twice, perhaps when it has forgotten the payment.
type Running = (PaymentId, bool);

/// A piece of work that is being done: until this is dropped, also by a panic of the provider.
struct Doing {
    work: Running,
    running: Arc<Mutex<HashSet<Running>>>,
}

impl Drop for Doing {
    fn drop(&mut self) {
        self.running.lock().remove(&self.work);
    }
}

impl Effects {
    pub(crate) fn new(provider: Arc<dyn PaymentProvider>, tokio: tokio::runtime::Handle, timeout: Duration) -> Self {
        let work = Arc::new(Work {
            provider,
            timeout: timeout.min(CHARGE_TIMEOUT_MAX),
            charges: Arc::new(Semaphore::new(CHARGES_AT_ONCE)),
            reconciled: Arc::new(Semaphore::new(RECONCILED_AT_ONCE)),
            queue: Mutex::default(),
            changed: Notify::new(),
            stopped: AtomicBool::new(false),
            running: Arc::default(),
        });
        tokio.spawn(Arc::clone(&work).reconcile_queued());
        Self { runtime: tokio, work }
    }

    /// Where outside work is done.
    pub(crate) fn runtime(&self) -> &tokio::runtime::Handle {
        &self.runtime
    }

    /// Asks about every charge and repeats every refund that has not come to its end: after a start or a rebuild.
    pub(crate) fn reconcile(&self, sale: &Arc<SaleHandle>) {
        let effects: Vec<Effect> = {
            let view = sale.copy();
            let (charges, refunds) = view.open_money();
            let traces = sale.money_traces.lock();
            let of = |row: &PaymentRow, kind| effect(sale, &view, Some(row), (kind, traces.of(row.view.id)));
            let find = charges.iter().filter_map(|row| of(row, Kind::Find));
            find.chain(refunds.iter().filter_map(|row| of(row, Kind::Refund))).collect()
        };
        effects.into_iter().for_each(|effect| self.order(effect));
    }

    /// Starts a piece of work as soon as there is a slot for it, unless it is being done.
    pub(crate) fn order(&self, mut effect: Effect) {
        let work = (effect.charge.payment, effect.kind == Kind::Refund);
        if !self.work.running.lock().insert(work) {
            return;
        }
        effect.doing = Some(Doing { work, running: Arc::clone(&self.work.running) });
        match effect.kind {
            Kind::Charge => {
                let (scope, span) = effect.begin();
                drop(self.runtime.spawn(scope.around(Arc::clone(&self.work).charge(effect)).instrument(span)));
            }
            Kind::Find | Kind::Refund => self.work.enqueue(effect),
        }
    }

    pub(crate) fn stop(&self) {
        self.work.stopped.store(true, Ordering::SeqCst);
        self.work.reconciled.close();
        self.work.changed.notify_one();
        *self.work.queue.lock() = Queue::default();
    }
}

impl Work {
    /// Charges once. A charge that found no slot while its buyer waited is not made: the provider is asked instead,
    /// and its answer that nothing was charged is binding.
    async fn charge(self: Arc<Self>, mut effect: Effect) {
        let slot = tokio::time::timeout(self.timeout, Arc::clone(&self.charges).acquire_owned()).await;
        let outcome = match slot {
            Ok(Ok(slot)) => {
                let outcome = charge(&*self.provider, &effect.charge, self.timeout).await;
                effect.settle(outcome.clone(), slot);
                outcome
            }
            Ok(Err(_)) | Err(_) => {
                tracing::warn!(payment = %effect.charge.payment, "too many charges are under way; this one is not made");
                ChargeOutcome::Unknown
            }
        };
        if outcome == ChargeOutcome::Unknown {
            effect.kind = Kind::Find;
            self.enqueue(effect);
        }
    }

    fn enqueue(&self, effect: Effect) {
        self.change_queue(|queue| queue.ready.push_back(effect));
    }

    fn change_queue(&self, change: impl FnOnce(&mut Queue)) {
        {
            let mut queue = self.queue.lock();
            // Under the lock: what comes after the end is let go of, and its sale with it.
            if self.stopped.load(Ordering::SeqCst) {
                return;
            }
            change(&mut queue);
        }
        self.changed.notify_one();
    }

    /// Begins what waits in the queue, a bounded number at once, until the engine stops.
    async fn reconcile_queued(self: Arc<Self>) {
        while let Ok(slot) = Arc::clone(&self.reconciled).acquire_owned().await {
            let Some(effect) = self.next().await else { return };
            let (scope, span) = effect.begin();
            tokio::spawn(scope.around(Arc::clone(&self).attempt(effect, slot)).instrument(span));
        }
    }

    async fn next(&self) -> Option<Effect> {
        while !self.stopped.load(Ordering::SeqCst) {
            let next = self.queue.lock().next(Instant::now());
            match next {
                Ok(effect) => return Some(effect),
                Err(Some(at)) => {
                    // Either way the queue is checked again.
                    let _ = tokio::time::timeout_at(at, self.changed.notified()).await;
                }
                Err(None) => self.changed.notified().await,
            }
        }
        None
    }

    /// Asks the provider once; without an answer the slot is free for others until the next attempt.
    async fn attempt(self: Arc<Self>, effect: Effect, slot: OwnedSemaphorePermit) {
        let payment = effect.charge.payment;
        if effect.kind == Kind::Refund && effect.took_nothing {
            return effect.enqueue(Command::SettleRefund { payment }, slot);
        }
        if effect.kind == Kind::Refund {
            let refunded = tokio::time::timeout(self.timeout, self.provider.refund(&effect.charge)).await;
            if let Ok(Ok(())) = refunded {
                return effect.enqueue(Command::SettleRefund { payment }, slot);
            }
        } else {
            let found = tokio::time::timeout(self.timeout, self.provider.find(&effect.charge)).await;
            if let Ok(Ok(outcome)) = found
                && outcome != ChargeOutcome::Unknown
            {
                return effect.settle(outcome, slot);
            }
        }
        drop(slot);
        self.change_queue(|queue| queue.postpone(effect, Instant::now()));
    }
}

/// Notes the outside work that a committed fact orders; `view` is the state with the fact in it.
pub(crate) fn ordered_by(
    sale: &Arc<SaleHandle>,
    view: &Sale,
    (entry, origins): (&Entry, &Origins),
    effects: &mut Vec<Effect>,
) {
    if let Fact::PaymentStarted { payment, .. } = &entry.fact {
        let origin = origins.of(entry);
        effects.extend(effect(sale, view, view.payment_row(*payment), (Kind::Charge, origin)));
    }
    // A refund of nothing was settled when it was ordered.
    if let Fact::RefundOrdered { payment, amount, .. } = &entry.fact
        && *amount != Amount(0)
    {
        let origin = origins.of(entry);
        effects.extend(effect(sale, view, view.payment_row(*payment), (Kind::Refund, origin)));
    }
}

impl Effect {
    /// What an attempt belongs to.
    fn begin(&self) -> (Scope, tracing::Span) {
        let (origin, event) = (&self.origin, self.sale.event());
        let span = tracing::debug_span!(
            "effect",
            effect = self.kind.name(),
            payment = %self.charge.payment,
            request_id = origin.request.as_ref().map(tracing::field::display),
            trace_id = origin.trace.map(|trace| tracing::field::display(trace.trace)),
            event_id = %event,
        );
        (Scope::new(origin.clone(), event), span)
    }

    fn settle(&self, outcome: ChargeOutcome, slot: OwnedSemaphorePermit) {
        self.enqueue(Command::SettleCharge { payment: self.charge.payment, outcome }, slot);
    }

    /// To the route that the event has now: it may be another one than when the work began.
    fn enqueue(&self, command: Command, slot: OwnedSemaphorePermit) {
        let route = self.sale.shared.routes.get(self.sale.event());
        route.as_ref().unwrap_or(&self.sale).enqueue_outcome(command, self.origin.clone(), slot);
    }
}

fn effect(
    sale: &Arc<SaleHandle>,
    view: &Sale,
    row: Option<&PaymentRow>,
    (kind, origin): (Kind, Origin),
) -> Option<Effect> {
    let row = row?;
    let currency: Currency = view.config()?.currency;
    let charge = Charge {
        payment: row.view.id,
        buyer: row.view.buyer,
        transaction: row.transaction.clone().unwrap_or_default(),
        amount: row.view.amount,
        currency,
    };
    let took_nothing = row.captured == Amount(0);
    Some(Effect { sale: Arc::clone(sale), origin, charge, kind, took_nothing, pause: FIRST_PAUSE, doing: None })
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

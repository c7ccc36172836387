//! What a command is answered, who waits for it, and what it holds until its outcome is known: a permit, and the buyer's claim.
//! Must never report to a caller that nothing was done while it may be committed.

use crate::id::{BuyerId, EventId, Seq};
use crate::runtime::claims::{Claims, HeldClaim};
use crate::sale::{PaymentView, Rejection, Reply};
use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The answer to a command that was taken; what it says is committed.
#[derive(Debug)]
pub struct Answer {
    /// What it says.
    pub reply: Reply,
    /// For a payment that is being charged: resolves when its outcome is committed. Cancel safe; if it ends without
    /// a value the actor was rebuilt, and the read view has the outcome.
    pub settlement: Option<oneshot::Receiver<PaymentView>>,
    /// The last fact that it rests on.
    pub seq: Seq,
}

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The sale refuses.
    Rejected(Rejection),
    /// The buyer waits or shops in another event.
    QueuedElsewhere,
    /// Too many commands are in flight; certainly not done.
    Overloaded,
    /// The journal takes nothing; certainly not done.
    StorageUnavailable,
    /// The deadline passed; unknown whether done.
    DeadlineExceeded,
    /// The event is damaged, quarantined, or another node's, or the engine is stopping; certainly not done.
    Unserved,
}

/// Who waits for an answer, and what the command holds until its outcome is known: a permit, and the buyer's claim if it
/// asks for a place.
pub(crate) struct ReplyTo {
    caller: Caller,
    /// The runtime in which somebody waits.
    pub(crate) home: Option<Handle>,
    claim: Option<HeldClaim>,
    permit: Permit,
}

/// Commands of a sale that are taken and not yet answered.
#[derive(Default)]
pub(crate) struct InFlight(AtomicUsize);

impl InFlight {
    pub(crate) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

/// One of them; given back when dropped.
pub(crate) struct Permit(Arc<InFlight>);

impl Permit {
    /// None if there are so many already.
    pub(crate) fn take(in_flight: &Arc<InFlight>, at_most: usize) -> Option<Self> {
        if in_flight.0.fetch_add(1, Ordering::SeqCst) >= at_most {
            in_flight.0.fetch_sub(1, Ordering::Release);
            return None;
        }
        Some(Self(Arc::clone(in_flight)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Release);
    }
}

thread_local! {
    static COMMITS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this is a thread that commits batches.
pub(crate) fn commits_on_this_thread() {
    COMMITS.set(true);
}

/// Where the answer goes. Dropped without one, the caller is answered that nothing was done; so while the journal's thread
/// unwinds from a panic it is never dropped: what it was about may be committed.
struct Caller(Option<oneshot::Sender<Result<Answer, Refusal>>>);

impl Drop for Caller {
    fn drop(&mut self) {
        if std::thread::panicking() && COMMITS.get() {
            std::mem::forget(self.0.take());
        }
    }
}

impl ReplyTo {
    /// For somebody who waits in the runtime that this is called in.
    pub(super) fn new(
        sender: oneshot::Sender<Result<Answer, Refusal>>,
        claim: Option<HeldClaim>,
        permit: Permit,
    ) -> Self {
        Self { caller: Caller(Some(sender)), home: Handle::try_current().ok(), claim, permit }
    }

    pub(crate) fn send(self, answer: Result<Answer, Refusal>) {
        let Self { mut caller, claim, permit, .. } = self;
        drop((claim, permit));
        // The caller may be gone; what is done stays done.
        if let Some(sender) = caller.0.take() {
            let _ = sender.send(answer);
        }
    }

    /// Claims the buyer for the command, unless it has done so before it was submitted; false if another event has them.
    pub(crate) fn claims(&mut self, claims: &Arc<Claims>, buyer: BuyerId, event: EventId) -> bool {
        if self.claim.is_none() {
            self.claim = HeldClaim::take(claims, buyer, event);
        }
        self.claim.is_some()
    }
}

//! What a command is answered, who waits for it, and what it holds until its outcome is known: a permit, and the buyer's claim.
//! Must never tell a caller that nothing was done while it may be committed.

use crate::id::{BuyerId, Seq};
use crate::runtime::handle::SaleHandle;
use crate::runtime::journal::is_journals_thread;
use crate::sale::{PaymentView, Rejection, Reply};
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The answer to a command that was taken; what it says is committed.
#[derive(Debug)]
pub struct Answer {
    /// What it says.
    pub reply: Reply,
    /// For a payment that is being charged: resolves when its outcome is committed. Cancel safe; if it ends without
    /// a value the actor was rebuilt, and the read view tells.
    pub settlement: Option<oneshot::Receiver<PaymentView>>,
    /// The last fact that it rests on.
    pub seq: Seq,
}

/// Why a command was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The sale says no.
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

/// One of the commands that a sale may have in flight; given back when dropped.
pub(crate) struct Permit(pub(super) Arc<SaleHandle>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.command_ends();
    }
}

/// Where the answer goes. Dropped without one, the caller is told that nothing was done; so while the journal's thread
/// unwinds from a panic it is never dropped: what it was about may be committed.
struct Caller(Option<oneshot::Sender<Result<Answer, Refusal>>>);

impl Drop for Caller {
    fn drop(&mut self) {
        if std::thread::panicking() && is_journals_thread() {
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
    pub(crate) fn claims(&mut self, buyer: BuyerId) -> bool {
        if self.claim.is_none() {
            self.claim = HeldClaim::take(&self.permit.0, buyer);
        }
        self.claim.is_some()
    }
}

/// The claim of a buyer for a command that asks for a place. The command holds it, not the caller who waits: dropped when
/// the command's outcome is known, whether anybody waits or not.
pub(crate) struct HeldClaim {
    sale: Arc<SaleHandle>,
    buyer: BuyerId,
}

impl HeldClaim {
    /// None if another event has the buyer.
    pub(super) fn take(sale: &Arc<SaleHandle>, buyer: BuyerId) -> Option<Self> {
        sale.core.claims.take(buyer, sale.event()).then(|| Self { sale: Arc::clone(sale), buyer })
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        if self.sale.core.claims.finish(self.buyer, self.sale.event()) {
            self.sale.release_everywhere(self.buyer);
        }
    }
}

//! Submitting a command to a sale: refused at once where nothing would come of it, else claimed for, put into its lane, and waited
//! for. Must never take a command that a stopped, damaged or lost sale would not carry out.

use crate::id::BuyerId;
use crate::id::EventId;
use crate::limits::IN_FLIGHT_PER_SALE;
use crate::runtime::answer::{Answer, Permit, Refusal, ReplyTo};
use crate::runtime::claims::HeldClaim;
use crate::runtime::find::{Found, find, load};
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::lanes::Envelope;
use crate::runtime::service::Service;
use crate::sale::Command;
use crate::time::Timestamp;
use crate::trace::Origin;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl SaleHandle {
    /// Asks the sale for something and waits for the answer, which leaves after the commit that it rests on.
    /// Cancel safe in that a command that was taken is carried out though nobody receives its answer.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn ask(self: &Arc<Self>, command: Command, deadline: Timestamp) -> Result<Answer, Refusal> {
        let timeout = deadline.since(self.shared.clock.now()).max(Duration::from_millis(1));
        let answer = tokio::time::timeout(timeout, self.submit(command, deadline)).await;
        answer.unwrap_or(Err(Refusal::DeadlineExceeded))
    }

    /// The same for somebody who watches the time: a command that is not begun by the deadline is refused, but one that was
    /// is waited for however long its commit takes. Drop it when the time is over.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn submit(self: &Arc<Self>, command: Command, deadline: Timestamp) -> Result<Answer, Refusal> {
        // Before anything is answered from what is known here: it is old when another node owns the event.
        if !matches!(self.service(), Service::Serving | Service::Rebuilding | Service::Unloaded)
            || self.shared.is_stopping()
        {
            return Err(Refusal::Unserved);
        }
        let (Command::Enter { buyer } | Command::Restore { buyer, .. }) = command else {
            return self.enqueue(command, None, deadline).await;
        };
        let required = self.read().steering().is_some_and(|view| view.steering.required);
        if !required {
            return self.enqueue(command, None, deadline).await;
        }
        let claim = HeldClaim::take(&self.shared.claims, buyer, self.event()).ok_or(Refusal::QueuedElsewhere)?;
        match self.claim_everywhere(buyer).await {
            true => self.enqueue(command, Some(claim), deadline).await,
            false => Err(Refusal::QueuedElsewhere),
        }
    }

    /// Claims the buyer among all nodes; when they cannot be asked, this node's own claim decides.
    async fn claim_everywhere(&self, buyer: BuyerId) -> bool {
        let Some(claims) = self.shared.claims.everywhere() else { return true };
        if self.read().is_in_room(buyer) {
            return true;
        }
        let here = self.event();
        let mut holder = claims.claim(buyer, here, None).await.unwrap_or(here);
        // A claim outlives its place when what ended the place could not be sent. Of our own events we know better.
        if holder != here && is_known_absent(&self.shared, holder, buyer) {
            holder = claims.claim(buyer, here, Some(holder)).await.unwrap_or(here);
        }
        holder == here
    }

    async fn enqueue(
        self: &Arc<Self>,
        command: Command,
        claim: Option<HeldClaim>,
        deadline: Timestamp,
    ) -> Result<Answer, Refusal> {
        match self.service() {
            Service::Unloaded => {
                drop(claim);
                return self.submit_when_loaded(command, deadline).await;
            }
            Service::Serving | Service::Rebuilding if !self.shared.is_stopping() => {}
            Service::Serving | Service::Rebuilding | Service::Quarantined | Service::Damaged | Service::Elsewhere => {
                return Err(Refusal::Unserved);
            }
        }
        if !self.shared.journal.is_writable(self.shared.clock.now()) {
            return Err(Refusal::StorageUnavailable);
        }
        let for_operators = is_for_operators(&command);
        let at_most = if for_operators { usize::MAX } else { IN_FLIGHT_PER_SALE };
        let permit = Permit::take(&self.in_flight, at_most).ok_or(Refusal::Overloaded)?;
        // An actor that goes closes the route first and then looks at what is in flight: one of the two sees the other.
        if self.is_unloaded() {
            drop((permit, claim));
            return self.submit_when_loaded(command, deadline).await;
        }
        let (sender, receiver) = oneshot::channel();
        let reply = Some(ReplyTo::new(sender, claim, permit));
        let envelope = Envelope { command, reply, deadline, origin: Origin::current(), slot: None };
        if for_operators {
            self.lanes.operators.push(envelope);
            self.wake();
        } else {
            self.lanes.buyers.push(envelope);
            self.shared.gate.submitted(self);
        }
        // Dropped unanswered: its turn was lost before the journal had it, or it was fenced. Not done.
        receiver.await.unwrap_or(Err(Refusal::StorageUnavailable))
    }

    /// The sale has left memory since this route was found: loads it, and submits there.
    fn submit_when_loaded<'a>(
        self: &'a Arc<Self>,
        command: Command,
        deadline: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let sale = load(&self.shared, self.event()).await?.ok_or(Refusal::Unserved)?;
            sale.submit(command, deadline).await
        })
    }
}

/// Whether it is known that the buyer neither waits nor shops at an event of ours.
fn is_known_absent(shared: &Shared, event: EventId, buyer: BuyerId) -> bool {
    match find(shared, event) {
        Some(Found::Loaded(sale)) => !sale.view().is_in_room(buyer),
        Some(Found::Unloaded(_)) => true,
        None => false,
    }
}

/// Whether a command has the lane of operators, which is never shed.
fn is_for_operators(command: &Command) -> bool {
    matches!(
        command,
        Command::Configure { .. }
            | Command::Reconfigure { .. }
            | Command::Steer { .. }
            | Command::BlockSeats { .. }
            | Command::Postpone(_)
            | Command::MoveCancellation(_)
            | Command::CancelSale { .. }
            | Command::CancelByOperator(_)
            | Command::Retire { .. }
    )
}

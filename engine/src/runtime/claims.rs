//! One event at a time for each buyer: who waits or shops where. A claim is taken before the command that asks for a place is
//! submitted, is held by that command until its outcome is known, and stands from the commit of its place until that place is
//! over. Must never be given up while a command that may still be committed rests on it, whether or not anybody waits for the
//! answer: a buyer who hangs up before the commit would get places at two events.

use crate::id::{BuyerId, EventId};
use crate::ports::shared::SharedClaims;
use crate::shared_map::SharedMap;
use dashmap::mapref::entry::Entry;
use std::sync::{Arc, OnceLock};
use tokio::runtime::Handle;

/// A buyer's claim; there is one as long as commands are in flight on it or a place stands.
#[derive(Debug)]
struct Claim {
    event: EventId,
    /// Commands in flight that may still give the buyer a place there.
    in_flight: u32,
    /// Whether a committed place stands.
    stands: bool,
}

/// Which event each buyer is in.
#[derive(Default)]
pub struct Claims {
    here: SharedMap<BuyerId, Claim>,
    /// Those of all nodes, where they are shared, and the runtime from which they are released.
    everywhere: OnceLock<(Arc<dyn SharedClaims>, Handle)>,
}

impl Claims {
    /// Claims the buyer for a command at `event`; false if another event has them. Each claim taken is ended by
    /// [`Claims::finish`].
    fn take(&self, buyer: BuyerId, event: EventId) -> bool {
        match self.here.entry(buyer) {
            Entry::Occupied(mut taken) => {
                let claim = taken.get_mut();
                let is_same = claim.event == event;
                claim.in_flight += u32::from(is_same);
                is_same
            }
            Entry::Vacant(free) => {
                free.insert(Claim { event, in_flight: 1, stands: false });
                true
            }
        }
    }

    /// The outcome of a command that had claimed the buyer is known; true when nothing claims them any more.
    fn finish(&self, buyer: BuyerId, event: EventId) -> bool {
        self.end(buyer, event, |claim| claim.in_flight = claim.in_flight.saturating_sub(1))
    }

    /// A place of the buyer at `event` is committed.
    pub(crate) fn confirm(&self, buyer: BuyerId, event: EventId) {
        match self.here.entry(buyer) {
            Entry::Occupied(mut taken) if taken.get().event == event => taken.get_mut().stands = true,
            // What is committed is the truth, whatever was claimed.
            Entry::Occupied(mut taken) => *taken.get_mut() = Claim { event, in_flight: 0, stands: true },
            Entry::Vacant(free) => drop(free.insert(Claim { event, in_flight: 0, stands: true })),
        }
    }

    /// The buyer's place at `event` is over; true when nothing claims them any more.
    fn release(&self, buyer: BuyerId, event: EventId) -> bool {
        self.end(buyer, event, |claim| claim.stands = false)
    }

    fn end(&self, buyer: BuyerId, event: EventId, change: impl FnOnce(&mut Claim)) -> bool {
        let Entry::Occupied(mut taken) = self.here.entry(buyer) else { return true };
        let claim = taken.get_mut();
        if claim.event != event {
            return false;
        }
        change(claim);
        let is_over = claim.in_flight == 0 && !claim.stands;
        if is_over {
            taken.remove();
        }
        is_over
    }

    /// From now on claims are shared with other nodes. Once only.
    pub(crate) fn share(&self, claims: Arc<dyn SharedClaims>, runtime: &Handle) {
        let _ = self.everywhere.set((claims, runtime.clone()));
    }

    /// Those of all nodes, where they are shared.
    pub(crate) fn everywhere(&self) -> Option<&Arc<dyn SharedClaims>> {
        self.everywhere.get().map(|(claims, _)| claims)
    }

    /// The buyer's place at `event` is over, here and among all nodes.
    pub(crate) fn end_place(&self, buyer: BuyerId, event: EventId) {
        if self.release(buyer, event) {
            self.release_everywhere(buyer, event);
        }
    }

    /// Gives the claim back among all nodes: the buyer is not in the event any more. A copy of everything that is about to be written
    /// says only who is there, so it would not do that.
    fn release_everywhere(&self, buyer: BuyerId, event: EventId) {
        let Some((claims, runtime)) = self.everywhere.get() else { return };
        let claims = Arc::clone(claims);
        runtime.spawn(async move {
            let _ = claims.release(buyer, event).await;
        });
    }

    /// The event that the buyer is in.
    #[must_use]
    pub fn of(&self, buyer: BuyerId) -> Option<EventId> {
        self.here.get(&buyer).map(|claim| claim.event)
    }
}

/// The claim of a buyer for a command that asks for a place. The command holds it, not the caller who waits: dropped when
/// the command's outcome is known, whether anybody waits or not.
pub(crate) struct HeldClaim {
    claims: Arc<Claims>,
    buyer: BuyerId,
    event: EventId,
}

impl HeldClaim {
    /// None if another event has the buyer.
    pub(crate) fn take(claims: &Arc<Claims>, buyer: BuyerId, event: EventId) -> Option<Self> {
        claims.take(buyer, event).then(|| Self { claims: Arc::clone(claims), buyer, event })
    }
}

impl Drop for HeldClaim {
    fn drop(&mut self) {
        if self.claims.finish(self.buyer, self.event) {
            self.claims.release_everywhere(self.buyer, self.event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const HERE: EventId = EventId(Uuid::from_u128(1));
    const THERE: EventId = EventId(Uuid::from_u128(2));
    const WHO: BuyerId = BuyerId(Uuid::from_u128(7));

    #[test]
    fn a_claim_lasts_as_long_as_a_command_or_a_place() {
        let claims = Claims::default();
        assert!(claims.take(WHO, HERE) && claims.take(WHO, HERE) && !claims.take(WHO, THERE));
        assert!(!claims.finish(WHO, HERE), "the other command is still in flight");
        claims.confirm(WHO, HERE);
        assert!(!claims.finish(WHO, HERE), "its place stands");
        assert!(claims.take(WHO, HERE), "asked for once more");
        assert!(!claims.release(WHO, HERE), "the place is over, and a command is in flight");
        assert!(!claims.take(WHO, THERE));
        assert!(claims.finish(WHO, HERE));
        assert!(claims.take(WHO, THERE));
        assert!(!claims.release(WHO, HERE) && claims.of(WHO) == Some(THERE), "another event's claim is not touched");
    }
}

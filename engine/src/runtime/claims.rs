//! One event at a time for each buyer: who waits or shops where. A claim is taken before the command that asks for a place is
//! submitted, is held by that command until its outcome is known, and stands from the commit of its place until that place is
//! over. Must never be given up while a command that may still be committed rests on it, whether or not anybody waits for the
//! answer: a buyer who hangs up before the commit would get places at two events.

use crate::id::{BuyerId, EventId};
use crate::runtime::engine::Core;
use crate::runtime::handle::SaleHandle;
use crate::sale::{Fact, Sale};
use crate::shared_map::SharedMap;
use dashmap::mapref::entry::Entry;

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
#[derive(Debug, Default)]
pub struct Claims(SharedMap<BuyerId, Claim>);

impl Claims {
    /// Claims the buyer for a command at `event`; false if another event has them. Each claim taken is ended by
    /// [`Claims::finish`].
    pub(crate) fn take(&self, buyer: BuyerId, event: EventId) -> bool {
        match self.0.entry(buyer) {
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
    pub(crate) fn finish(&self, buyer: BuyerId, event: EventId) -> bool {
        self.end(buyer, event, |claim| claim.in_flight = claim.in_flight.saturating_sub(1))
    }

    /// A place of the buyer at `event` is committed.
    pub(crate) fn confirm(&self, buyer: BuyerId, event: EventId) {
        match self.0.entry(buyer) {
            Entry::Occupied(mut taken) if taken.get().event == event => taken.get_mut().stands = true,
            // What is committed is the truth, whatever was claimed.
            Entry::Occupied(mut taken) => *taken.get_mut() = Claim { event, in_flight: 0, stands: true },
            Entry::Vacant(free) => drop(free.insert(Claim { event, in_flight: 0, stands: true })),
        }
    }

    /// The buyer's place at `event` is over; true when nothing claims them any more.
    pub(crate) fn release(&self, buyer: BuyerId, event: EventId) -> bool {
        self.end(buyer, event, |claim| claim.stands = false)
    }

    fn end(&self, buyer: BuyerId, event: EventId, change: impl FnOnce(&mut Claim)) -> bool {
        let Entry::Occupied(mut taken) = self.0.entry(buyer) else { return true };
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

    /// The event that the buyer is in.
    #[must_use]
    pub fn of(&self, buyer: BuyerId) -> Option<EventId> {
        self.0.get(&buyer).map(|claim| claim.event)
    }
}

/// Keeps the claim of one event per buyer, and who was heard, in step with a committed fact.
pub(super) fn follow_place(core: &Core, sale: &SaleHandle, view: &Sale, fact: &Fact) {
    let gone = match fact {
        Fact::Entered { buyer, .. } | Fact::Restored { buyer, .. } => {
            core.claims.confirm(*buyer, sale.event());
            return;
        }
        Fact::Left { buyer } | Fact::SlotExpired { buyer } | Fact::PlaceExpired { buyer } => Some(*buyer),
        Fact::ReservationConfirmed { reservation, .. } => view.reservation(*reservation).map(|view| view.buyer),
        Fact::Admitted { buyer, .. } => {
            sale.unhear(*buyer);
            return;
        }
        Fact::Configured { .. }
        | Fact::SeatsHeld { .. }
        | Fact::HoldChanged { .. }
        | Fact::HoldReleased { .. }
        | Fact::HoldExpired { .. }
        | Fact::PaymentOpened { .. }
        | Fact::PaymentStarted { .. }
        | Fact::PaymentUnknown { .. }
        | Fact::PaymentCaptured { .. }
        | Fact::PaymentFailed { .. }
        | Fact::ReservationCancelled { .. }
        | Fact::CancelledByOperator { .. }
        | Fact::ReleasedByOperator { .. }
        | Fact::RefundOrdered { .. }
        | Fact::PaymentRefunded { .. }
        | Fact::OutcomeUnmatched { .. }
        | Fact::OrdinalsReserved { .. }
        | Fact::DrawCommitted { .. }
        | Fact::CohortFrozen { .. }
        | Fact::Drawn { .. }
        | Fact::Steered { .. }
        | Fact::SeatsBlocked { .. }
        | Fact::SeatsUnblocked { .. }
        | Fact::Rescheduled { .. }
        | Fact::HolderNotified { .. }
        | Fact::SaleCancelled { .. }
        | Fact::SaleRetired { .. }
        | Fact::KeyRemembered { .. } => None,
    };
    if let Some(buyer) = gone.filter(|buyer| !view.is_in_room(*buyer)) {
        if core.claims.release(buyer, sale.event()) {
            sale.release_everywhere(buyer);
        }
        sale.unhear(buyer);
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

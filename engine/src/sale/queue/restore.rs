//! Restoring a place from a buyer's ticket, after the journal was put back as an older copy: a ticket whose ordinal is unknown
//! here was issued by the lost part, so its buyer stood where it says. Admission then waits until all lost places up to the
//! last one shown have returned, at most [`POLLS_WAITED_FOR_LOST`] poll intervals. Must never give back a place that was given
//! up: the ordinals that were ever used are kept.

use crate::id::{BuyerId, Epoch, Ordinal};
use crate::limits::POLLS_WAITED_FOR_LOST;
use crate::sale::Sale;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts};
use crate::sale::queue::waiting_room::WaitingRoom;
use crate::sale::rejection::{Closed, Rejection};
use crate::sale::reply::SalePhase;
use crate::sale::snapshot::LostRow;
use crate::time::Timestamp;

impl Sale {
    /// A known ordinal belongs to a place that stands, or is spent. An unknown one was issued by a journal of which this is an
    /// older copy.
    pub(crate) fn decide_restore(
        &self,
        buyer: BuyerId,
        ordinal: Ordinal,
        now: Timestamp,
        epoch: Epoch,
    ) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        let outcome = Outcome::Place(buyer);
        let required = self.steering.as_ref().is_some_and(|steering| steering.required);
        if self.stands(config, buyer, now) || !required && self.phase == SalePhase::Scheduled {
            return Ok(Decision::nothing(outcome));
        }
        if !self.restores(ordinal) {
            return Err(Rejection::TicketSpent);
        }
        if self.waiting_room_is_over(config, now) {
            let cancelled = self.phase == SalePhase::Cancelled;
            return Err(Rejection::SaleClosed(if cancelled { Closed::Cancelled } else { Closed::Ended }));
        }
        let mut facts = Facts::new();
        let block = self.waiting_room.missing_block_past(ordinal, epoch);
        let is_new_epoch = block.is_some() && self.waiting_room.block_epoch() != epoch;
        let waits_until = self.waiting_room.lost_waits_until().filter(|_| !is_new_epoch).unwrap_or_else(|| {
            let lost = self.waiting_room.lost_up_to(ordinal, is_new_epoch);
            let in_line = self.waiting_room.line().len().saturating_add(lost);
            now + config.admission.poll_after(in_line).saturating_mul(POLLS_WAITED_FOR_LOST)
        });
        facts.extend(block.map(|(first, last)| Fact::OrdinalsReserved { first, last, epoch }));
        facts.push(Fact::Restored { buyer, ordinal, waits_until });
        Ok(Decision { facts, outcome })
    }

    /// Whether an ordinal that a ticket names was issued by a journal that this one is an older copy of: it has neither
    /// a place here nor had one.
    #[must_use]
    pub fn restores(&self, ordinal: Ordinal) -> bool {
        ordinal.0 > 0 && !self.waiting_room.line().was_used(ordinal)
    }
}

impl WaitingRoom {
    /// A ticket has put a buyer back. Until `waits_until` nobody behind the lost places is admitted, unless all of them have
    /// returned before.
    pub(crate) fn restore(&mut self, buyer: BuyerId, ordinal: Ordinal, waits_until: Timestamp, at: Timestamp) {
        self.enter(buyer, ordinal, at);
        if ordinal.0 >= self.lost_from {
            let lost = self.crowd.lost.get_or_insert(LostRow { top: ordinal, returned: 0, waits_until });
            (lost.top, lost.returned) = (lost.top.max(ordinal), lost.returned.saturating_add(1));
        }
    }

    /// Until when admission waits for what tickets have shown to be lost, if they have.
    pub(crate) fn lost_waits_until(&self) -> Option<Timestamp> {
        self.crowd.lost.map(|lost| lost.waits_until)
    }

    /// How many ordinals before this one may be lost; `is_new_epoch` if it is the first one shown since a start.
    pub(crate) fn lost_up_to(&self, ordinal: Ordinal, is_new_epoch: bool) -> u64 {
        ordinal.0.saturating_sub(if is_new_epoch { self.next } else { self.lost_from })
    }

    /// How many ordinals up to the last one that a ticket has shown have not returned.
    pub(crate) fn missing(&self) -> u64 {
        self.crowd
            .lost
            .map_or(0, |lost| lost.top.0.saturating_add(1).saturating_sub(self.lost_from).saturating_sub(lost.returned))
    }

    /// Until when the head of the line has to wait because a lost buyer may stand before it.
    pub(crate) fn head_waits_until(&self) -> Option<Timestamp> {
        let lost = self.crowd.lost.filter(|_| self.missing() > 0)?;
        self.crowd.line.head().filter(|(head, _)| head.0 >= self.lost_from).map(|_| lost.waits_until)
    }
}

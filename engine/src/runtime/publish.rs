//! Publishing a committed batch: its facts come into the read views, and what they order is noted. What was fenced is dropped, and
//! nobody is answered by it. Must never show half of a decision, nor anything that is not committed.

use crate::ports::Appended;
use crate::runtime::claims::Claims;
use crate::runtime::decisions::{Batch, Decisions};
use crate::runtime::deliver::{Deliveries, Published};
use crate::runtime::effects::{Effect, Effects, ordered_by};
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::rebuild_queue::RebuildQueue;
use crate::runtime::service::Service;
use crate::runtime::unmatched::UnmatchedOutcomes;
use crate::sale::{Entry, Fact, Sale};
use std::sync::Arc;

/// Brings committed facts into the read views.
pub(crate) struct Publisher {
    pub(crate) shared: Arc<Shared>,
    pub(crate) effects: Arc<Effects>,
    pub(crate) rebuilds: Arc<RebuildQueue>,
    pub(crate) unmatched: Arc<UnmatchedOutcomes>,
}

impl Publisher {
    /// Brings a committed batch into the read views; what was fenced is dropped.
    pub(crate) fn publish(&self, batch: Batch, appended: &Appended) -> Published {
        let Batch { turns, rows, ends } = batch;
        let mut rows = rows.into_iter();
        let (mut deliveries, mut committed, mut start) = (Deliveries::default(), Vec::with_capacity(turns.len()), 0);
        for (turn, end) in turns.into_iter().zip(ends) {
            let entries: Arc<[Entry]> = rows.by_ref().take(end - start).map(|row| row.entry).collect();
            start = end;
            if appended.fenced.contains(&turn.sale.event()) {
                if turn.is_current() {
                    self.rebuilds.fenced(&turn.sale);
                }
                self.drop_stale(turn);
                continue;
            }
            self.show(&turn, &entries, &mut deliveries.effects);
            deliveries.answers.extend(turn.answers);
            deliveries.settled.extend(turn.settled);
            if !entries.is_empty() {
                committed.push((turn.sale, entries));
            }
        }
        Published { deliveries, committed }
    }

    /// A turn whose facts are in no journal: who waits for it is answered that nothing was done. If it took an outcome of a
    /// charge with it, the actor that was rebuilt meanwhile may have asked for that too early, so it is asked again.
    pub(crate) fn drop_stale(&self, turn: Decisions) {
        let sale = Arc::clone(&turn.sale);
        drop(turn);
        if sale.service() == Service::Serving {
            let effects = Arc::clone(&self.effects);
            self.shared.background.run(move || effects.reconcile(&sale));
        }
    }

    /// Brings committed facts into the read view, and notes what they order.
    /// Readers come in between where there are many, but not between the facts of one decision.
    fn show(&self, turn: &Decisions, entries: &[Entry], effects: &mut Vec<Effect>) {
        let (sale, cuts, mut shown) = (&turn.sale, &turn.cuts, 0);
        for end in cuts.iter().copied().chain([entries.len()]) {
            let piece = entries.get(shown..end).unwrap_or_default();
            shown = end;
            if piece.is_empty() {
                continue;
            }
            let (seq, spent) = sale.publish(|view| {
                for entry in piece {
                    view.apply(entry);
                    ordered_by(sale, view, (entry, &turn.origins), effects);
                }
                for entry in piece {
                    track_place(&self.shared.claims, sale, view, &entry.fact);
                }
                (view.seq(), view.take_replaced_line())
            });
            if let Some(spent) = spent {
                self.shared.background.discard(spent);
            }
            sale.read_view().moved(seq);
        }
        self.unmatched.note(sale.event(), entries, &turn.origins);
        sale.read_view().publish_places(entries);
    }
}

/// Keeps the claim of one event per buyer, and when who was seen last, in step with a committed fact.
fn track_place(claims: &Claims, sale: &SaleHandle, view: &Sale, fact: &Fact) {
    let gone = match fact {
        Fact::Entered { buyer, .. } | Fact::Restored { buyer, .. } => {
            claims.confirm(*buyer, sale.event());
            return;
        }
        Fact::Left { buyer } | Fact::SlotExpired { buyer } | Fact::PlaceExpired { buyer } => Some(*buyer),
        Fact::ReservationConfirmed { reservation, .. } => view.reservation(*reservation).map(|view| view.buyer),
        Fact::Admitted { buyer, .. } => {
            sale.forget_heartbeat(*buyer);
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
        claims.end_place(buyer, sale.event());
        sale.forget_heartbeat(buyer);
    }
}

//! Projections in memory, with their reading side. Folds facts as the real ones do; where they lie is all that differs.

use crate::id::{BuyerId, EventId, PaymentId, ReservationId, SeatIndex, Seq};
use crate::plan::Plan;
use crate::ports::catalogue::{Listed, Page};
use crate::ports::records::{Records, ReservationRecord};
use crate::ports::rows::{Before, Changes, Notice, PaymentRecord, SeatRecord};
use crate::ports::{Committed, JournalError, Later, Projection, StoreError};
use crate::sale::{PaymentView, ReservationView};
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

#[derive(Default)]
pub(super) struct Tables {
    checkpoints: BTreeMap<EventId, Seq>,
    pub(super) reservations: BTreeMap<ReservationId, (EventId, ReservationView)>,
    pub(super) payments: BTreeMap<PaymentId, PaymentRecord>,
    pub(super) seats: BTreeMap<(EventId, SeatIndex), SeatRecord>,
    pub(super) stories: BTreeMap<ReservationId, Vec<Seq>>,
    pub(super) plans: BTreeMap<EventId, Arc<Plan>>,
    notices: Vec<Notice>,
    failing: usize,
    panics: bool,
    pause: Duration,
}

/// Projections in memory; clones share them. Also their [`Records`].
#[derive(Clone, Default)]
pub struct FakeProjection {
    pub(super) tables: Arc<Mutex<Tables>>,
}

impl FakeProjection {
    /// The next `times` writes are certainly not done.
    pub fn fail_not_done(&self, times: usize) {
        self.tables.lock().failing = times;
    }

    /// The next write panics.
    pub fn panic_next(&self) {
        self.tables.lock().panics = true;
    }

    /// From now on every fact takes so long to write.
    pub fn take_for_each_fact(&self, pause: Duration) {
        self.tables.lock().pause = pause;
    }

    /// A seat's row; none if it was never held.
    #[must_use]
    pub fn seat(&self, event: EventId, seat: SeatIndex) -> Option<SeatRecord> {
        self.tables.lock().seats.get(&(event, seat)).copied()
    }

    /// What other systems would be sent, in order.
    #[must_use]
    pub fn notices(&self) -> Vec<Notice> {
        self.tables.lock().notices.clone()
    }
}

impl Before for &Tables {
    type Error = Infallible;

    fn reservation(&mut self, id: ReservationId) -> Result<Option<ReservationView>, Infallible> {
        Ok(self.reservations.get(&id).map(|(_, view)| view.clone()))
    }

    fn payment(&mut self, id: PaymentId) -> Result<Option<PaymentRecord>, Infallible> {
        Ok(self.payments.get(&id).cloned())
    }
}

impl Tables {
    fn project(&mut self, facts: &[Committed]) -> Result<(), JournalError> {
        assert!(!std::mem::take(&mut self.panics), "a test made the fake fail");
        let mut changes = Changes::default();
        let mut checkpoints = self.checkpoints.clone();
        for Committed { event, entries } in facts {
            let checkpoint = checkpoints.entry(*event).or_default();
            for entry in entries.iter() {
                if entry.seq <= *checkpoint {
                    continue;
                }
                if entry.seq != checkpoint.next() {
                    return Err(JournalError::NotDone(format!("{event}: a gap after {}", checkpoint.0)));
                }
                let Ok(()) = changes.fold(*event, entry, &mut &*self);
                *checkpoint = entry.seq;
            }
        }
        self.checkpoints = checkpoints;
        self.plans.extend(changes.configured.into_iter().map(|(event, (_, plan))| (event, plan)));
        let of_reservations = changes.reservations.values().map(|change| (change.view.id, &change.seqs));
        let of_payments = changes.payments.values().map(|change| (change.record.view.reservation, &change.seqs));
        for (id, seqs) in of_reservations.chain(of_payments) {
            let story = self.stories.entry(id).or_default();
            story.extend_from_slice(seqs);
            story.sort_unstable();
        }
        self.reservations.extend(changes.reservations.into_iter().map(|(id, new)| (id, (new.event, new.view))));
        self.payments.extend(changes.payments.into_iter().map(|(id, new)| (id, new.record)));
        self.seats.retain(|(event, _), row| !changes.cleared.contains(event) || row.reservation.is_some());
        self.seats.extend(changes.seats);
        self.notices.extend(changes.notices);
        Ok(())
    }
}

impl Projection for FakeProjection {
    fn checkpoint(&mut self, event: EventId) -> Result<Seq, JournalError> {
        Ok(Records::checkpoint(self, event))
    }

    fn checkpoints(&mut self) -> Result<Vec<(EventId, Seq)>, JournalError> {
        Ok(self.tables.lock().checkpoints.iter().map(|(event, seq)| (*event, *seq)).collect())
    }

    fn project(&mut self, facts: &[Committed]) -> Result<(), JournalError> {
        let pause = self.tables.lock().pause;
        let count: usize = facts.iter().map(|committed| committed.entries.len()).sum();
        std::thread::sleep(pause.saturating_mul(u32::try_from(count).unwrap_or(u32::MAX)));
        let mut tables = self.tables.lock();
        if tables.failing > 0 {
            tables.failing -= 1;
            return Err(JournalError::NotDone("a test made the fake fail".to_owned()));
        }
        tables.project(facts)
    }

    fn forget(&mut self, event: EventId) -> Result<(), JournalError> {
        let mut tables = self.tables.lock();
        tables.checkpoints.remove(&event);
        let known = std::mem::take(&mut tables.stories);
        let others =
            known.into_iter().filter(|(id, _)| tables.reservations.get(id).is_some_and(|(of, _)| *of != event));
        tables.stories = others.collect();
        tables.reservations.retain(|_, (of, _)| *of != event);
        tables.payments.retain(|_, record| record.event != event);
        tables.seats.retain(|(of, _), _| *of != event);
        tables.notices.retain(|notice| notice.event != event);
        Ok(())
    }
}

pub(super) fn paged<T>(mut items: Vec<T>, page: Page) -> Listed<T> {
    let total = items.len() as u64;
    let start = (page.number as usize).saturating_mul(page.size as usize).min(items.len());
    items.drain(..start);
    items.truncate(page.size as usize);
    Listed { items, total }
}

impl Records for FakeProjection {
    fn checkpoint(&self, event: EventId) -> Seq {
        self.tables.lock().checkpoints.get(&event).copied().unwrap_or_default()
    }

    fn reservations(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let own = tables.reservations.values().filter(|(_, view)| view.buyer == buyer);
            let mut own: Vec<_> = own.map(|(event, view)| (*event, view.clone())).collect();
            own.sort_by_key(|(_, view)| std::cmp::Reverse((view.created_at, view.id)));
            let own = own.into_iter().map(|(event, reservation)| ReservationRecord { event, reservation });
            Ok(paged(own.collect(), page))
        })
    }

    fn reservation(&self, id: ReservationId) -> Later<'_, Result<Option<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let found = self.tables.lock().reservations.get(&id).cloned();
            Ok(found.map(|(event, reservation)| ReservationRecord { event, reservation }))
        })
    }

    fn payments(&self, buyer: BuyerId, page: Page) -> Later<'_, Result<Listed<PaymentView>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let own = tables.payments.values().map(|record| &record.view).filter(|view| view.buyer == buyer);
            let mut own: Vec<_> = own.cloned().collect();
            own.sort_by_key(|view| std::cmp::Reverse((view.created_at, view.id)));
            Ok(paged(own, page))
        })
    }

    fn payment(&self, id: PaymentId) -> Later<'_, Result<Option<PaymentView>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().payments.get(&id).map(|record| record.view.clone())) })
    }
}

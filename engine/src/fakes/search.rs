//! What operators look up, in memory: the plainest reading of the port, which the real ones are compared with.

use super::projection::{FakeProjection, Tables, paged};
use crate::id::{BuyerId, EventId, ReservationId, Seq, TicketSerial};
use crate::ports::catalogue::{Listed, Page};
use crate::ports::records::ReservationRecord;
use crate::ports::rows::{PaymentRecord, SeatStatus};
use crate::ports::search::{ExportPart, Holdings, Named, PaymentState, RecordSearch, Search};
use crate::ports::{Later, StoreError};
use crate::sale::{PaymentStatus, ReservationStatus};
use std::cmp::Reverse;

fn is_wanted<S: PartialEq>(search: &Search<S>, event: EventId, status: &S, is_named: impl Fn(&Named) -> bool) -> bool {
    search.event.is_none_or(|only| only == event)
        && search.status.as_ref().is_none_or(|only| only == status)
        && search.named.as_ref().is_none_or(is_named)
}

impl Tables {
    fn records(&self) -> Vec<ReservationRecord> {
        let all = self.reservations.values();
        let mut all: Vec<_> = all
            .map(|(event, reservation)| ReservationRecord { event: *event, reservation: reservation.clone() })
            .collect();
        all.sort_by_key(|record| (record.reservation.created_at, record.reservation.id));
        all
    }
}

impl RecordSearch for FakeProjection {
    fn find_reservations(
        &self,
        search: Search<ReservationStatus>,
        page: Page,
    ) -> Later<'_, Result<Listed<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let mut found = self.tables.lock().records();
            found.retain(|ReservationRecord { event, reservation }| {
                is_wanted(&search, *event, &reservation.status, |named| {
                    named.reservations.contains(&reservation.id) || named.buyers.contains(&reservation.buyer)
                })
            });
            found.reverse();
            Ok(paged(found, page))
        })
    }

    fn find_payments(
        &self,
        search: Search<PaymentState>,
        page: Page,
    ) -> Later<'_, Result<Listed<PaymentRecord>, StoreError>> {
        Box::pin(async move {
            let mut found: Vec<_> = self.tables.lock().payments.values().cloned().collect();
            found.retain(|PaymentRecord { event, view, .. }| {
                is_wanted(&search, *event, &PaymentState::of(&view.status), |named| {
                    named.payments.contains(&view.id)
                        || named.reservations.contains(&view.reservation)
                        || named.buyers.contains(&view.buyer)
                })
            });
            found.sort_by_key(|record| Reverse((record.view.created_at, record.view.id)));
            Ok(paged(found, page))
        })
    }

    fn payments_of(&self, reservations: Vec<ReservationId>) -> Later<'_, Result<Vec<PaymentRecord>, StoreError>> {
        Box::pin(async move {
            let mut found: Vec<_> = self.tables.lock().payments.values().cloned().collect();
            found.retain(|record| reservations.contains(&record.view.reservation));
            found.sort_by_key(|record| (record.view.created_at, record.view.id));
            Ok(found)
        })
    }

    fn by_ticket(&self, event: EventId, ticket: TicketSerial) -> Later<'_, Result<Option<ReservationId>, StoreError>> {
        Box::pin(async move {
            let has = |record: &ReservationRecord| record.event == event && record.reservation.ticket == Some(ticket);
            let found = self.tables.lock().records().into_iter().find(has);
            Ok(found.map(|record| record.reservation.id))
        })
    }

    fn by_seats(&self, event: EventId, seats: Vec<String>) -> Later<'_, Result<Vec<ReservationId>, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let Some(plan) = tables.plans.get(&event) else { return Ok(Vec::new()) };
            let of_event = tables.seats.iter().filter(|((of, _), _)| *of == event);
            let taken = of_event.filter(|(_, record)| record.status != SeatStatus::Available);
            let named = taken.filter(|((_, seat), _)| seats.iter().any(|id| plan.seat_id(*seat) == id));
            let mut found: Vec<_> = named.filter_map(|(_, record)| record.reservation).collect();
            found.sort_unstable();
            found.dedup();
            Ok(found)
        })
    }

    fn story(&self, reservation: ReservationId) -> Later<'_, Result<Vec<Seq>, StoreError>> {
        Box::pin(async move { Ok(self.tables.lock().stories.get(&reservation).cloned().unwrap_or_default()) })
    }

    fn export(&self, part: ExportPart) -> Later<'_, Result<Vec<ReservationRecord>, StoreError>> {
        Box::pin(async move {
            let mut found = self.tables.lock().records();
            found.retain(|ReservationRecord { event, reservation }| {
                *event == part.event
                    && part.status.is_none_or(|only| only == reservation.status)
                    && part.after.is_none_or(|after| (reservation.created_at, reservation.id) > after)
                    && reservation.created_at <= part.until
            });
            found.truncate(part.limit as usize);
            Ok(found)
        })
    }

    fn holdings(&self, buyer: BuyerId) -> Later<'_, Result<Holdings, StoreError>> {
        Box::pin(async move {
            let tables = self.tables.lock();
            let own = tables.reservations.values().filter(|(_, view)| view.buyer == buyer);
            let confirmed = own.filter(|(_, view)| view.status == ReservationStatus::Confirmed);
            let own = tables.payments.values().filter(|record| record.view.buyer == buyer);
            let charging = own.filter(|record| record.view.status == PaymentStatus::Charging);
            let distinct = |mut events: Vec<EventId>| {
                events.sort_unstable();
                events.dedup();
                events
            };
            Ok(Holdings {
                confirmed: distinct(confirmed.map(|(event, _)| *event).collect()),
                charging: distinct(charging.map(|record| record.event).collect()),
            })
        })
    }
}

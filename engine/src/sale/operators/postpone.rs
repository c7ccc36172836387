//! Postponing an event, and moving the end of cancelling with the venue's time zone. A postponement lets ticket holders cancel
//! for a while, and notifies each of them with a fact of its own. Must never know a time zone: midnights come in with the
//! command.

use crate::id::{BuyerId, ReservationId, Seq, TicketSerial};
use crate::sale::Sale;
use crate::sale::decide::{Decision, Outcome};
use crate::sale::fact::{Fact, Facts};
use crate::sale::rejection::Rejection;
use crate::sale::reply::SalePhase;
use crate::time::Timestamp;
use smallvec::smallvec;
use std::sync::Arc;
use std::time::Duration;

/// See [`crate::sale::Command::Postpone`].
#[derive(Clone, Debug)]
pub struct Postpone {
    /// When the event begins now.
    pub starts_at: Timestamp,
    /// When it ends now.
    pub ends_at: Timestamp,
    /// When its sale ends now.
    pub sale_ends_at: Timestamp,
    /// Midnight, venue time, of the new day of the event.
    pub midnight: Timestamp,
    /// How long, from now on, tickets can be cancelled at least; not beyond the new start.
    pub cancellable_for: Duration,
    /// The administrator.
    pub by: BuyerId,
    /// Why, for the record and for ticket holders; at most [`crate::limits::MAX_MESSAGE_BYTES`].
    pub reason: Box<str>,
}

/// See [`crate::sale::Command::MoveCancellation`].
#[derive(Clone, Debug)]
pub struct MoveCancellation {
    /// Midnight, by the clocks that the venue has now, of the day of the event.
    pub midnight: Timestamp,
    /// Whether it is moved although seats are pending or confirmed.
    pub even_if_bought: bool,
    /// The administrator.
    pub by: BuyerId,
    /// Why, for the record; at most [`crate::limits::MAX_MESSAGE_BYTES`].
    pub reason: Option<Box<str>>,
}

/// Why times of a sale were changed while its other rules stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RescheduleCause {
    /// The venue has another time zone than before.
    TimeZone,
    /// The event was postponed.
    Postponed {
        /// When it begins now.
        starts_at: Timestamp,
        /// When it ends now.
        ends_at: Timestamp,
        /// Until when its tickets can be cancelled for this reason alone.
        cancellable_until: Timestamp,
    },
}

/// The last postponement of an event, until its rules are set again, which is possible only while nobody has bought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// When it begins.
    pub starts_at: Timestamp,
    /// When it ends.
    pub ends_at: Timestamp,
    /// Until when its tickets can be cancelled for this reason alone.
    pub cancellable_until: Timestamp,
    /// The last ticket that was issued by then: holders of it and of earlier ones are notified.
    pub last_ticket: TicketSerial,
    /// The reservation that is notified next, behind the fact that made it; none when all are.
    pub next: Option<(Seq, ReservationId)>,
}

impl Sale {
    /// The last postponement; none for an event that begins as planned.
    #[must_use]
    pub fn schedule(&self) -> Option<&Schedule> {
        self.schedule.as_deref()
    }

    pub(crate) fn decide_postponement(&self, postpone: &Postpone, now: Timestamp) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        self.check_not_cancelled()?;
        let Postpone { starts_at, ends_at, sale_ends_at, midnight, .. } = *postpone;
        let is_so = self.schedule.as_ref().is_some_and(|has| (has.starts_at, has.ends_at) == (starts_at, ends_at));
        if is_so && config.sale_ends_at == sale_ends_at {
            return Ok(Decision::nothing(Outcome::Done));
        }
        let cancellable_until = (now + postpone.cancellable_for).min(starts_at);
        let fact = Fact::Rescheduled {
            sale_ends_at,
            cancellation_closes_at: midnight.max(cancellable_until).min(starts_at),
            cause: RescheduleCause::Postponed { starts_at, ends_at, cancellable_until },
            by: postpone.by,
            reason: Some(postpone.reason.clone()),
        };
        Ok(Decision::done(smallvec![fact]))
    }

    pub(crate) fn decide_cancellation_move(&self, to: &MoveCancellation) -> Result<Decision, Rejection> {
        let (config, _) = self.on_sale()?;
        self.check_not_cancelled()?;
        let closes_at = self.cancellation_by(to.midnight);
        if closes_at == config.cancellation_closes_at {
            return Ok(Decision::nothing(Outcome::Done));
        }
        if self.has_live_reservations() && !to.even_if_bought {
            return Err(Rejection::HasReservations);
        }
        let fact = Fact::Rescheduled {
            sale_ends_at: config.sale_ends_at,
            cancellation_closes_at: closes_at,
            cause: RescheduleCause::TimeZone,
            by: to.by,
            reason: to.reason.clone(),
        };
        Ok(Decision::done(smallvec![fact]))
    }

    /// When cancelling ends for an event whose day begins at `midnight`, a postponement considered.
    #[must_use]
    pub fn cancellation_by(&self, midnight: Timestamp) -> Timestamp {
        self.schedule.as_ref().map_or(midnight, |has| midnight.max(has.cancellable_until).min(has.starts_at))
    }

    pub(crate) fn apply_reschedule(&mut self, fact: &Fact) {
        let Fact::Rescheduled { sale_ends_at, cancellation_closes_at, cause, .. } = fact else { return };
        if let Some(config) = &mut self.config {
            let config = Arc::make_mut(config);
            (config.sale_ends_at, config.cancellation_closes_at) = (*sale_ends_at, *cancellation_closes_at);
        }
        if let RescheduleCause::Postponed { starts_at, ends_at, cancellable_until } = *cause {
            let last_ticket = TicketSerial(self.tickets);
            let next = self.reservations.next_confirmed(None, last_ticket);
            self.schedule = Some(Box::new(Schedule { starts_at, ends_at, cancellable_until, last_ticket, next }));
        }
    }

    /// The postponement, while a ticket holder was not notified of it. One holder for each fact, so that each turn and each
    /// transaction behind it is small, however many there are.
    fn next_to_notify(&self) -> Option<&Schedule> {
        self.schedule.as_deref().filter(|has| has.next.is_some() && self.phase == SalePhase::Scheduled)
    }

    /// At once, while a ticket holder was not notified yet.
    pub(crate) fn next_notification(&self) -> Option<Timestamp> {
        self.next_to_notify().map(|_| self.at)
    }

    pub(crate) fn notify_one(&self) -> Option<Facts> {
        let has = self.next_to_notify()?;
        let (_, reservation) = has.next?;
        let cancellation_closes_at = self.config.as_ref()?.cancellation_closes_at;
        let (starts_at, ends_at) = (has.starts_at, has.ends_at);
        Some(smallvec![Fact::HolderNotified { reservation, starts_at, ends_at, cancellation_closes_at }])
    }

    pub(crate) fn apply_notification(&mut self, reservation: ReservationId) {
        let Some(has) = &mut self.schedule else { return };
        if let Some((made_by, _)) = has.next.filter(|(_, next)| *next == reservation) {
            has.next = self.reservations.next_confirmed(Some(made_by), has.last_ticket);
        }
    }
}

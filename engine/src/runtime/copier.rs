//! The copier: keeps copies of lines, holds and counts for other nodes and tools in step with committed facts, a few
//! milliseconds behind. It notes *whom* facts concern and writes how things stand when it comes to it, so a copy may
//! be late but converges; what was lost is written whole. Must never hold up the journal.

use crate::id::{BuyerId, EventId, ReservationId};
use crate::limits::{COPIED_AGAIN_AFTER, COPY_HANDOFF, COPY_NOTES, FACTS_PER_LOCK};
use crate::ports::shared::{Copies, HeldSeats, SaleCopy, SharedClaims, Standing};
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::supervision::panic_message;
use crate::sale::{
    Entry, Fact, PlaceRow, PlaceState, ReservationStatus, ReservationView, Sale, SalePhase, SaleSummary,
};
use futures_util::FutureExt;
use hashbrown::{HashMap, HashSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long the first of several hand-offs waits for others: one journey for all of them.
const GATHER: Duration = Duration::from_millis(4);
/// How often it is made sure that nothing was lost, and how soon a failed write is tried again.
const LOOK: Duration = Duration::from_millis(500);
/// Copies of events that are not in memory, a few hundred bytes each, that are written in one journey.
const UNLOADED_AT_ONCE: usize = 64;

/// What a node shares with others, as far as the engine uses it.
#[derive(Clone)]
pub struct Sharing {
    /// Which event has each buyer.
    pub claims: Arc<dyn SharedClaims>,
    /// Copies for readers.
    pub copies: Arc<dyn Copies>,
}

/// How far copies are behind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CopyHealth {
    /// Copies were written so many times.
    pub writes: u64,
    /// Copies could not be written so many times.
    pub failures: u64,
    /// Events were written whole so many times.
    pub whole: u64,
    /// From the commit of the oldest fact of the last write until it was in the copy.
    pub lag: Duration,
}

/// Facts that were committed, and when.
struct Handed {
    event: EventId,
    entries: Arc<[Entry]>,
    at: Instant,
}

/// The front of the copier.
pub(crate) struct CopierFront {
    queue: mpsc::Sender<Handed>,
    skipped: AtomicBool,
    writes: AtomicU64,
    failures: AtomicU64,
    whole: AtomicU64,
    lag_micros: AtomicU64,
}

impl CopierFront {
    /// Enqueues committed facts; when the copier is behind, it will write everything again.
    pub(crate) fn enqueue(&self, event: EventId, entries: &Arc<[Entry]>) {
        let handed = Handed { event, entries: Arc::clone(entries), at: Instant::now() };
        if self.queue.try_send(handed).is_err() {
            self.skipped.store(true, Ordering::Release);
        }
    }

    pub(crate) fn health(&self) -> CopyHealth {
        CopyHealth {
            writes: self.writes.load(Ordering::Relaxed),
            failures: self.failures.load(Ordering::Relaxed),
            whole: self.whole.load(Ordering::Relaxed),
            lag: Duration::from_micros(self.lag_micros.load(Ordering::Relaxed)),
        }
    }
}

/// Makes the front and the copier; nothing is copied before the copier runs.
pub(crate) fn make(copies: Arc<dyn Copies>) -> (Arc<CopierFront>, Copier) {
    let (queue, handed) = mpsc::channel(COPY_HANDOFF);
    let front = Arc::new(CopierFront {
        queue,
        skipped: AtomicBool::new(false),
        writes: AtomicU64::new(0),
        failures: AtomicU64::new(0),
        whole: AtomicU64::new(0),
        lag_micros: AtomicU64::new(0),
    });
    let noted = Noted::default();
    let copier = Copier { front: Arc::clone(&front), copies, handed, noted, away: true };
    (front, copier)
}

/// Whom the facts since the last write concern.
#[derive(Default)]
struct Noted {
    /// Everything of every event.
    all: bool,
    events: HashMap<EventId, Concerned>,
    since: Option<Instant>,
}

/// What of one event has to be written.
#[derive(Default)]
struct Concerned {
    whole: bool,
    buyers: HashSet<BuyerId>,
    holds: HashSet<ReservationId>,
}

/// The copier's task.
pub(crate) struct Copier {
    front: Arc<CopierFront>,
    copies: Arc<dyn Copies>,
    handed: mpsc::Receiver<Handed>,
    noted: Noted,
    /// The last attempt failed: nothing is written before it was made sure that something can be.
    away: bool,
}

impl Copier {
    /// Writes behind until the engine stops. What panics is begun again, with everything to be written: copies may be lost, and
    /// no sale ends for them.
    pub(crate) async fn run(mut self, shared: Arc<Shared>) {
        while let Err(panic) = AssertUnwindSafe(self.copy(&shared)).catch_unwind().await {
            tracing::error!(panic = panic_message(&*panic), "writing copies panicked; it is begun again");
            self.failed();
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn copy(&mut self, shared: &Shared) {
        let (mut look_at, mut again_at) = (Instant::now(), Instant::now() + COPIED_AGAIN_AFTER);
        while !shared.is_stopping() {
            // What was found lost by the last write is written at once.
            let wake_at = if self.noted.events.is_empty() || self.away { look_at } else { Instant::now() };
            tokio::select! {
                first = self.handed.recv() => {
                    self.note(shared, first);
                    tokio::time::sleep(GATHER).await;
                }
                () = tokio::time::sleep_until(wake_at) => {}
            }
            while let Ok(handed) = self.handed.try_recv() {
                self.note(shared, Some(handed));
            }
            self.noted.all |= self.front.skipped.swap(false, Ordering::AcqRel);
            let now = Instant::now();
            if now >= again_at {
                again_at = now + COPIED_AGAIN_AFTER;
                self.noted.all = true;
            }
            if now >= look_at {
                look_at = now + LOOK;
                match self.copies.are_intact().await {
                    Ok(intact) => (self.away, self.noted.all) = (false, self.noted.all || !intact),
                    Err(_) => self.failed(),
                }
            }
            if !self.away {
                self.write(shared).await;
            }
        }
    }

    /// Nothing is known of what was written: everything is written again when it can be.
    fn failed(&mut self) {
        self.front.failures.fetch_add(1, Ordering::Relaxed);
        self.away = true;
        self.noted = Noted { all: true, ..Noted::default() };
    }

    fn note(&mut self, shared: &Shared, handed: Option<Handed>) {
        let Some(Handed { event, entries, at }) = handed else { return };
        if self.noted.all {
            return;
        }
        self.noted.since.get_or_insert(at);
        let concerned = self.noted.events.entry(event).or_default();
        let Some(sale) = shared.routes.get(event) else { return };
        let view = sale.view();
        for entry in entries.iter() {
            concerned.note(&view, &entry.fact);
        }
    }

    async fn write(&mut self, shared: &Shared) {
        let noted = std::mem::take(&mut self.noted);
        if noted.all {
            // One by one, so that no more than one whole line lies in memory.
            for sale in shared.routes.all() {
                let copy = whole(sale).await;
                if !self.send(&[copy]).await {
                    return;
                }
            }
            for some in shared.unloaded.all().chunks(UNLOADED_AT_ONCE) {
                let copies: Vec<SaleCopy> = some.iter().map(|(event, summary)| of_unloaded(*event, summary)).collect();
                if !self.send(&copies).await {
                    return;
                }
            }
            return;
        }
        let mut copies = Vec::with_capacity(noted.events.len());
        for (event, concerned) in &noted.events {
            let Some(sale) = shared.routes.get(*event) else { continue };
            copies.push(if concerned.whole { whole(sale).await } else { part(&sale, concerned) });
        }
        if !copies.is_empty()
            && self.send(&copies).await
            && let Some(since) = noted.since
        {
            let lag = u64::try_from(since.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.front.lag_micros.store(lag, Ordering::Relaxed);
        }
    }

    /// Sends copies; false when it failed, and then everything is noted.
    async fn send(&mut self, copies: &[SaleCopy]) -> bool {
        match self.copies.write(copies).await {
            Ok(lost) => {
                let whole = copies.iter().filter(|copy| copy.whole).count() as u64;
                self.front.writes.fetch_add(1, Ordering::Relaxed);
                self.front.whole.fetch_add(whole, Ordering::Relaxed);
                for event in lost {
                    self.noted.since.get_or_insert_with(Instant::now);
                    self.noted.events.entry(event).or_default().whole = true;
                }
                true
            }
            Err(error) => {
                tracing::debug!(%error, "copies were not written");
                self.failed();
                false
            }
        }
    }
}

impl Concerned {
    fn note(&mut self, view: &Sale, fact: &Fact) {
        if self.whole {
            return;
        }
        match fact {
            Fact::Entered { buyer, .. }
            | Fact::Restored { buyer, .. }
            | Fact::Left { buyer }
            | Fact::Admitted { buyer, .. }
            | Fact::SlotExpired { buyer }
            | Fact::PlaceExpired { buyer } => drop(self.buyers.insert(*buyer)),
            Fact::SeatsHeld { reservation, .. }
            | Fact::HoldChanged { reservation, .. }
            | Fact::HoldReleased { reservation }
            | Fact::HoldExpired { reservation }
            | Fact::ReservationCancelled { reservation, .. }
            | Fact::CancelledByOperator { reservation, .. }
            | Fact::ReleasedByOperator { reservation, .. } => drop(self.holds.insert(*reservation)),
            Fact::ReservationConfirmed { reservation, .. } => {
                self.holds.insert(*reservation);
                self.buyers.extend(view.reservation(*reservation).map(|view| view.buyer));
            }
            // The order of the line, whether places claim their buyers, or whether there is a sale at all, may be different.
            Fact::Configured { .. }
            | Fact::Drawn { .. }
            | Fact::Steered { .. }
            | Fact::SaleCancelled { .. }
            | Fact::SaleRetired { .. } => {
                self.whole = true;
            }
            Fact::PaymentOpened { .. }
            | Fact::PaymentStarted { .. }
            | Fact::PaymentUnknown { .. }
            | Fact::PaymentCaptured { .. }
            | Fact::PaymentFailed { .. }
            | Fact::RefundOrdered { .. }
            | Fact::PaymentRefunded { .. }
            | Fact::OutcomeUnmatched { .. }
            | Fact::OrdinalsReserved { .. }
            | Fact::DrawCommitted { .. }
            | Fact::CohortFrozen { .. }
            | Fact::SeatsBlocked { .. }
            | Fact::SeatsUnblocked { .. }
            | Fact::Rescheduled { .. }
            | Fact::HolderNotified { .. }
            | Fact::KeyRemembered { .. } => {}
        }
        self.whole |= self.buyers.len() + self.holds.len() > COPY_NOTES;
    }
}

/// What stands, without places and holds.
fn counts(event: EventId, view: &Sale, whole: bool) -> SaleCopy {
    let steering = view.steering();
    SaleCopy {
        event,
        whole,
        retired: matches!(view.phase(), SalePhase::Unconfigured | SalePhase::Retired),
        claims: steering.as_ref().is_some_and(|view| view.steering.required),
        seq: view.seq(),
        counts: view.counts(),
        waiting: steering.as_ref().map_or(0, |view| view.waiting),
        active: steering.as_ref().map_or(0, |view| view.active),
        admitted_total: steering.as_ref().map_or(0, |view| view.admitted_total),
        places: Vec::new(),
        holds: Vec::new(),
    }
}

/// The whole copy of an event that is not in memory: nobody waits, shops or holds anything there.
fn of_unloaded(event: EventId, summary: &SaleSummary) -> SaleCopy {
    SaleCopy {
        event,
        whole: true,
        retired: matches!(summary.phase, SalePhase::Unconfigured | SalePhase::Retired),
        claims: summary.steering.required,
        seq: summary.seq,
        counts: summary.counts(),
        waiting: 0,
        active: 0,
        admitted_total: summary.admitted_total,
        places: Vec::new(),
        holds: Vec::new(),
    }
}

/// Everything, walked on a copy of the sale and where it holds up nobody. What happens meanwhile is noted, and written next.
async fn whole(sale: Arc<SaleHandle>) -> SaleCopy {
    let event = sale.event();
    let walk = move || walk(event, &sale.copy());
    match tokio::task::spawn_blocking(walk).await {
        Ok(copy) => copy,
        Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
        // The runtime ends, and this task with it.
        Err(_) => std::future::pending().await,
    }
}

fn walk(event: EventId, view: &Sale) -> SaleCopy {
    let mut copy = counts(event, view, true);
    if !copy.retired {
        copy.places = view.places().iter().map(|place| (place.buyer, standing(place))).collect();
        copy.places.retain(|(_, standing)| *standing != Standing::Gone);
        copy.holds = view.pending().iter().map(|hold| (hold.id, held(view, hold))).collect();
    }
    copy
}

/// What was noted, a few looks at a time: readers and the journal's thread come in between.
fn part(sale: &SaleHandle, concerned: &Concerned) -> SaleCopy {
    let mut copy = counts(sale.event(), &sale.view(), false);
    let (buyers, holds): (Vec<_>, Vec<_>) = (concerned.buyers.iter().collect(), concerned.holds.iter().collect());
    for some in buyers.chunks(FACTS_PER_LOCK) {
        let view = sale.view();
        let stands = |buyer: BuyerId| view.place_row(buyer).as_ref().map_or(Standing::Gone, standing);
        copy.places.extend(some.iter().map(|buyer| (**buyer, stands(**buyer))));
    }
    for some in holds.chunks(FACTS_PER_LOCK) {
        let view = sale.view();
        let stands = |id: ReservationId| view.reservation(id).and_then(|hold| held(&view, &hold));
        copy.holds.extend(some.iter().map(|id| (**id, stands(**id))));
    }
    copy
}

fn standing(place: &PlaceRow) -> Standing {
    match place.state {
        PlaceState::Waiting => Standing::Waiting(place.ordinal),
        PlaceState::Active { slot, expires_at, .. } => Standing::Active(slot, expires_at),
        PlaceState::Expired { .. } => Standing::Gone,
    }
}

fn held(view: &Sale, hold: &ReservationView) -> Option<HeldSeats> {
    let plan = view.plan().filter(|_| hold.status == ReservationStatus::Pending)?;
    let seats = hold.seats.iter().map(|seat| plan.seat_id(*seat).to_owned()).collect();
    Some(HeldSeats { buyer: hold.buyer, seats, expires_at: hold.hold_expires_at })
}

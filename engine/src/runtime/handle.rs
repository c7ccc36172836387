//! The route to one sale, and what all of them share: its lanes, its permits, its committed read view. Lives as long as the event
//! is served; the actor behind it may be rebuilt without anybody noticing. Must never decide.

use crate::id::{BuyerId, Epoch, EventId, Seq};
use crate::ports::Clock;
use crate::runtime::answer::{InFlight, Refusal};
use crate::runtime::background::Background;
use crate::runtime::claims::Claims;
use crate::runtime::heartbeats::Heartbeats;
use crate::runtime::journal_status::JournalStatus;
use crate::runtime::lanes::{Envelope, Lanes};
use crate::runtime::mailbox::Mailbox;
use crate::runtime::origins::MoneyTraces;
use crate::runtime::place_changes::PlaceChanges;
use crate::runtime::probe::Probe;
use crate::runtime::read_view::{ReadView, Reading};
use crate::runtime::routes::Routes;
use crate::runtime::sale_info::SaleInfo;
use crate::runtime::service::{Ownership, Service};
use crate::runtime::unloaded::Unloaded;
use crate::runtime::wake::{BegunTurn, CommitGate, WakeState, Wakeable};
use crate::sale::draw::prepare::Prepared;
use crate::sale::{Command, Sale, SalePhase};
use crate::time::Timestamp;
use crate::trace::Origin;
use parking_lot::{Mutex, RwLock};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use tokio::sync::{OwnedSemaphorePermit, watch};

/// What the routes of all sales share: what it takes to submit a command, and to publish what came of it.
pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) stopping: AtomicBool,
    pub(crate) journal: Arc<JournalStatus>,
    pub(crate) gate: Arc<CommitGate<SaleHandle>>,
    pub(crate) claims: Arc<Claims>,
    pub(crate) routes: Routes<SaleHandle>,
    pub(crate) unloaded: Arc<Unloaded>,
    pub(crate) background: Background,
    pub(crate) probe: Probe,
}

impl Shared {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// The route to one sale.
pub struct SaleHandle {
    event: EventId,
    pub(crate) shared: Arc<Shared>,
    view: ReadView,
    pub(crate) lanes: Lanes,
    pub(crate) in_flight: Arc<InFlight>,
    wake_state: WakeState,
    mailbox: RwLock<Option<Box<dyn Mailbox>>>,
    pub(crate) ownership: Ownership,
    heartbeats: Heartbeats,
    pub(crate) damage: Mutex<Option<String>>,
    /// Of what was read from the journal last.
    pub(crate) money_traces: Mutex<MoneyTraces>,
    /// What was worked out beside the sale since the actor's last turn; nothing came of it in the inner `None`.
    pub(crate) prepared: Mutex<Option<Option<Prepared>>>,
    pub(crate) snapshot_at: AtomicU64,
    /// Whether a snapshot is ordered and not begun.
    pub(crate) snapshot_waits: AtomicBool,
    /// At how many sweeps in a row nobody had asked for the event.
    quiet: AtomicU8,
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) panic_next: AtomicBool,
}

impl SaleHandle {
    pub(crate) fn new(event: EventId, shared: Arc<Shared>, sale: Sale) -> Self {
        Self {
            event,
            shared,
            view: ReadView::new(sale),
            lanes: Lanes::default(),
            in_flight: Arc::default(),
            wake_state: WakeState::new(),
            mailbox: RwLock::new(None),
            ownership: Ownership::new(),
            heartbeats: Heartbeats::default(),
            damage: Mutex::new(None),
            money_traces: Mutex::default(),
            prepared: Mutex::new(None),
            snapshot_at: AtomicU64::new(0),
            snapshot_waits: AtomicBool::new(false),
            quiet: AtomicU8::new(0),
            #[cfg(any(test, feature = "fakes"))]
            panic_next: AtomicBool::new(false),
        }
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> EventId {
        self.event
    }

    /// The committed state, under a short read lock: never hold it over an `.await`.
    #[must_use]
    pub fn view(&self) -> impl Deref<Target = Sale> + '_ {
        self.read()
    }

    pub(crate) fn read(&self) -> Reading<'_> {
        self.view.read(&self.shared.probe)
    }

    /// The committed state as it is now, to be walked without its lock: a clone that shares what neither changes.
    #[must_use]
    pub fn copy(&self) -> Sale {
        self.read().clone()
    }

    /// Changes the committed state, and what is known of it without its lock.
    pub(crate) fn publish<T>(&self, change: impl FnOnce(&mut Sale) -> T) -> T {
        self.view.publish(&self.shared.probe, change)
    }

    pub(crate) fn read_view(&self) -> &ReadView {
        &self.view
    }

    /// The committed state of the sale itself, its rules and its hall, without a lock; none before its first fact.
    #[must_use]
    pub fn info(&self) -> Option<Arc<SaleInfo>> {
        self.view.info()
    }

    /// The committed state of the sale itself, without a lock.
    #[must_use]
    pub fn phase(&self) -> SalePhase {
        self.view.phase()
    }

    /// The position of the last committed fact, as it moves.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Seq> {
        self.view.follow(&self.shared.probe)
    }

    /// Follows whose places change from now on.
    #[must_use]
    pub fn place_changes(&self) -> PlaceChanges {
        self.view.follow_places()
    }

    /// A waiting buyer polled at `now`, or keeps a stream open.
    pub fn heartbeat(&self, buyer: BuyerId, now: Timestamp) {
        self.heartbeats.note(buyer, now);
    }

    pub(crate) fn last_seen(&self, buyer: BuyerId) -> Option<Timestamp> {
        self.heartbeats.last_seen(buyer)
    }

    pub(crate) fn forget_heartbeat(&self, buyer: BuyerId) {
        self.heartbeats.forget(buyer);
    }

    /// Whether another node owns the event: what the view says is old then.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.service() == Service::Elsewhere
    }

    /// Whether the view is the truth: it has every committed fact of the event. It is not while another node owns the event,
    /// nor when its journal is damaged.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !matches!(self.service(), Service::Elsewhere | Service::Damaged) && self.ownership.view_is_current()
    }

    /// Whether the sale has left memory behind this route.
    pub(crate) fn is_unloaded(&self) -> bool {
        self.service() == Service::Unloaded
    }

    pub(crate) fn service(&self) -> Service {
        self.ownership.service()
    }

    pub(crate) fn set_service(&self, service: Service) {
        self.ownership.set(service);
        if !service.takes_commands() {
            self.lanes.refuse_all(&Refusal::Unserved);
            self.drop_outcomes_if_given_up();
        }
    }

    /// Moves from one state to another; false, and nothing changed, when it was not in the first.
    pub(crate) fn change_service(&self, from: Service, to: Service) -> bool {
        let changed = self.ownership.change(from, to);
        if changed && !self.service().takes_commands() {
            self.lanes.refuse_all(&Refusal::Unserved);
            self.lanes.outcomes.clear();
        }
        changed
    }

    /// Puts the result of an effect into its lane, which is never shed while the sale is served or will be again. Where it
    /// is not before the next start, which asks again, the result is dropped, so that its slot is free for others.
    pub(crate) fn enqueue_outcome(&self, command: Command, origin: Origin, slot: OwnedSemaphorePermit) {
        let deadline = Timestamp(i64::MAX);
        let envelope = Envelope { command, reply: None, deadline, origin, slot: Some(slot) };
        self.lanes.outcomes.push(envelope);
        self.drop_outcomes_if_given_up();
        self.wake();
    }

    fn drop_outcomes_if_given_up(&self) {
        if self.service().is_given_up() {
            self.lanes.outcomes.clear();
        }
    }

    /// Makes sure that the actor has a turn, which finds what was put into a lane before.
    pub(crate) fn wake(&self) {
        Wakeable::wake(self);
    }

    /// The actor begins its turn: from now on a wake counts for the next one.
    pub(crate) fn turn_begins(&self) -> BegunTurn {
        self.wake_state.turn_begins()
    }

    pub(crate) fn set_mailbox(&self, mailbox: Option<Box<dyn Mailbox>>) {
        let serves = mailbox.is_some();
        let before = std::mem::replace(&mut *self.mailbox.write(), mailbox);
        self.wake_state.mailbox_changes();
        drop(before);
        if serves {
            self.wake();
        }
    }

    pub(crate) fn has_mailbox(&self) -> bool {
        self.mailbox.read().is_some()
    }

    /// Stops the actor if nothing waits for it and its sale is at `seq`; the epoch that nobody writes with from then on,
    /// none when it goes on. Blocks until the actor is gone.
    pub(crate) fn release(&self, seq: Seq) -> Option<Epoch> {
        let (reply, released) = std::sync::mpsc::sync_channel(1);
        self.mailbox.read().as_ref()?.release(seq, reply);
        released.recv().ok()
    }

    /// Somebody asks for the event: it stays in memory.
    pub(crate) fn touch(&self) {
        // Read first: a line of the cache that is only read is shared by all who ask.
        if self.quiet.load(Ordering::Relaxed) != 0 {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }

    /// At how many sweeps in a row, this one among them, nobody had asked for the event since the sweep before.
    pub(crate) fn count_quiet_sweep(&self) -> u8 {
        let before = self.quiet.load(Ordering::Relaxed);
        self.quiet.store(before.saturating_add(1), Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// Commands that are taken and not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.count()
    }

    /// Makes the actor panic in its next turn.
    #[cfg(any(test, feature = "fakes"))]
    pub fn panic_in_next_turn(&self) {
        self.panic_next.store(true, Ordering::Release);
        self.wake();
    }
}

impl Wakeable for SaleHandle {
    fn wake_state(&self) -> &WakeState {
        &self.wake_state
    }

    fn post_wake(&self) {
        if let Some(mailbox) = &*self.mailbox.read() {
            mailbox.wake();
        }
    }
}

impl std::fmt::Debug for SaleHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SaleHandle({})", self.event)
    }
}

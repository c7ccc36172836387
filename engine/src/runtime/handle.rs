//! The route to one sale: its lanes, its permits, its committed read view. Lives as long as the event is served; the
//! actor behind it may be rebuilt without anybody noticing. Must never decide.

use crate::id::{BuyerId, Epoch, EventId, Seq};
use crate::limits::IN_FLIGHT_PER_SALE;
use crate::runtime::actor::Post;
use crate::runtime::answer::{Answer, HeldClaim, Permit, Refusal, ReplyTo};
use crate::runtime::engine::Core;
use crate::runtime::lanes::{Envelope, Lanes};
use crate::runtime::origins::MoneyTraces;
use crate::runtime::place_changes::PlaceFeed;
use crate::runtime::probe::{Begun, Work};
use crate::runtime::service::{Ownership, Service};
use crate::runtime::standing::{Posted, Standing};
use crate::runtime::wake::{BegunTurn, WakeState, Wakeable};
use crate::sale::draw::prepare::{Preparation, Prepared};
use crate::sale::{Command, Sale, SalePhase};
use crate::shared_map::SharedMap;
use crate::time::Timestamp;
use crate::trace::Origin;
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use std::future::Future;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, oneshot, watch};

/// A read lock of the view.
struct Reading<'a> {
    view: RwLockReadGuard<'a, Sale>,
    _held: Begun<'a>,
}

impl Deref for Reading<'_> {
    type Target = Sale;

    fn deref(&self) -> &Sale {
        &self.view
    }
}

/// The route to one sale.
pub struct SaleHandle {
    event: EventId,
    pub(crate) core: Arc<Core>,
    view: RwLock<Sale>,
    standing: Posted,
    /// Where the last committed position is told, once somebody has asked to hear of it.
    committed: OnceLock<watch::Sender<Seq>>,
    pub(crate) places: PlaceFeed,
    pub(crate) lanes: Lanes,
    in_flight: AtomicUsize,
    wake_state: WakeState,
    post: RwLock<Option<Post>>,
    pub(super) service: AtomicU8,
    /// Another owner has raised the epoch since the view was read from the journal.
    pub(super) view_is_old: AtomicBool,
    pub(super) ownership: Mutex<Ownership>,
    heard: OnceLock<SharedMap<BuyerId, Timestamp>>,
    pub(crate) damage: Mutex<Option<String>>,
    /// Of what was read from the journal last.
    pub(crate) money_traces: Mutex<MoneyTraces>,
    /// What was worked out beside the sale since the actor's last turn; nothing came of it in the inner `None`.
    prepared: Mutex<Option<Option<Prepared>>>,
    pub(crate) snapshot_at: std::sync::atomic::AtomicU64,
    /// Whether a snapshot is ordered and not begun.
    pub(crate) snapshot_waits: AtomicBool,
    /// At how many looks in a row nobody had asked for the event.
    quiet: AtomicU8,
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) panic_next: AtomicBool,
}

impl SaleHandle {
    pub(crate) fn new(event: EventId, core: Arc<Core>, sale: Sale) -> Self {
        Self {
            event,
            core,
            committed: OnceLock::new(),
            standing: Posted::of(&sale),
            view: RwLock::new(sale),
            places: PlaceFeed::default(),
            lanes: Lanes::default(),
            in_flight: AtomicUsize::new(0),
            wake_state: WakeState::new(),
            post: RwLock::new(None),
            service: AtomicU8::new(Service::Serving as u8),
            view_is_old: AtomicBool::new(false),
            ownership: Mutex::default(),
            heard: OnceLock::new(),
            damage: Mutex::new(None),
            money_traces: Mutex::default(),
            prepared: Mutex::new(None),
            snapshot_at: std::sync::atomic::AtomicU64::new(0),
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

    fn read(&self) -> Reading<'_> {
        let view = self.view.read();
        Reading { view, _held: self.core.probe.begin(Work::Read) }
    }

    /// The committed state as it is now, to be walked without its lock: a clone that shares what neither changes.
    #[must_use]
    pub fn copy(&self) -> Sale {
        self.read().clone()
    }

    /// Works something out beside the sale and puts it into the committed state, and before the actor's next turn.
    pub(crate) fn work_out(self: &Arc<Self>, work: Preparation) {
        let handle = Arc::clone(self);
        self.core.in_background(move || {
            let prepared = catch_unwind(AssertUnwindSafe(|| work.compute())).ok();
            if let Some(prepared) = &prepared {
                handle.show(|view| view.prepare(prepared.clone()));
            }
            *handle.prepared.lock() = Some(prepared);
            handle.wake();
        });
    }

    /// What [`SaleHandle::work_out`] has come to, if it is done.
    pub(crate) fn take_prepared(&self) -> Option<Option<Prepared>> {
        self.prepared.lock().take()
    }

    /// Changes the committed state, and what is known of it without its lock.
    pub(crate) fn show<T>(&self, change: impl FnOnce(&mut Sale) -> T) -> T {
        let mut view = self.view.write();
        let _held = self.core.probe.begin(Work::Write);
        let told = change(&mut view);
        self.standing.follow(&view);
        told
    }

    /// The committed state of the sale itself, its rules and its hall, without a lock; none before its first fact.
    #[must_use]
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.read()
    }

    /// The committed state of the sale itself, without a lock.
    #[must_use]
    pub fn phase(&self) -> SalePhase {
        self.standing.phase()
    }

    /// Whether another node owns the event: what the view says is old then.
    #[must_use]
    pub fn is_elsewhere(&self) -> bool {
        self.service() == Service::Elsewhere
    }

    /// The position of the last committed fact, as it moves.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<Seq> {
        let committed = self.committed.get_or_init(|| watch::Sender::new(Seq(0)));
        // Before the sender was there nobody told it anything.
        let seq = self.read().seq();
        committed.send_if_modified(|told| {
            let is_news = *told < seq;
            *told = seq.max(*told);
            is_news
        });
        committed.subscribe()
    }

    /// The read view has moved to `seq`.
    pub(crate) fn view_moved(&self, seq: Seq) {
        if let Some(committed) = self.committed.get() {
            committed.send_replace(seq);
        }
    }

    /// A waiting buyer polled at `now`, or keeps a stream open.
    pub fn heard(&self, buyer: BuyerId, now: Timestamp) {
        self.heard.get_or_init(|| SharedMap::with_hasher_and_shard_amount(Default::default(), 16)).insert(buyer, now);
    }

    pub(crate) fn last_heard(&self, buyer: BuyerId) -> Option<Timestamp> {
        self.heard.get()?.get(&buyer).map(|at| *at)
    }

    pub(crate) fn unhear(&self, buyer: BuyerId) {
        if let Some(heard) = self.heard.get() {
            heard.remove(&buyer);
        }
    }

    /// Asks the sale for something and waits for the answer, which leaves after the commit that it rests on.
    /// Cancel safe in that a command that was taken is carried out though nobody hears of it.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn ask(self: &Arc<Self>, command: Command, deadline: Timestamp) -> Result<Answer, Refusal> {
        let patience = deadline.since(self.core.clock.now()).max(Duration::from_millis(1));
        let answer = tokio::time::timeout(patience, self.ask_patiently(command, deadline)).await;
        answer.unwrap_or(Err(Refusal::DeadlineExceeded))
    }

    /// The same for somebody who watches the time: a command that is not begun by the deadline is refused, but one that was
    /// is waited for however long its commit takes. Drop it when the time is over.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn ask_patiently(self: &Arc<Self>, command: Command, deadline: Timestamp) -> Result<Answer, Refusal> {
        // Before anything is answered from what is known here: it is old when another node owns the event.
        if !matches!(self.service(), Service::Serving | Service::Rebuilding | Service::Unloaded)
            || self.core.is_stopping()
        {
            return Err(Refusal::Unserved);
        }
        let (Command::Enter { buyer } | Command::Restore { buyer, .. }) = command else {
            return self.send(command, None, deadline).await;
        };
        let required = self.read().steering().is_some_and(|view| view.steering.required);
        if !required {
            return self.send(command, None, deadline).await;
        }
        let claim = HeldClaim::take(self, buyer).ok_or(Refusal::QueuedElsewhere)?;
        match self.claim_everywhere(buyer).await {
            true => self.send(command, Some(claim), deadline).await,
            false => Err(Refusal::QueuedElsewhere),
        }
    }

    /// Claims the buyer among all nodes; when they cannot be asked, this node's own claim decides.
    async fn claim_everywhere(&self, buyer: BuyerId) -> bool {
        let Some(copier) = self.core.copier.get() else { return true };
        if self.read().is_in_room(buyer) {
            return true;
        }
        let mut holder = copier.claims.claim(buyer, self.event, None).await.unwrap_or(self.event);
        // A claim outlives its place when what ended the place could not be told. Of our own events we know better.
        if holder != self.event && self.core.is_known_absent(holder, buyer) {
            holder = copier.claims.claim(buyer, self.event, Some(holder)).await.unwrap_or(self.event);
        }
        holder == self.event
    }

    /// Tells the other nodes that the buyer is not in the event any more. A copy of everything that is about to be written
    /// says only who is there, so it would not tell them.
    pub(crate) fn release_everywhere(&self, buyer: BuyerId) {
        if self.core.copier.get().is_none() {
            return;
        }
        let (core, event) = (Arc::clone(&self.core), self.event);
        self.core.effects.tokio().spawn(async move {
            if let Some(copier) = core.copier.get() {
                let _ = copier.claims.release(buyer, event).await;
            }
        });
    }

    async fn send(
        self: &Arc<Self>,
        command: Command,
        claim: Option<HeldClaim>,
        deadline: Timestamp,
    ) -> Result<Answer, Refusal> {
        match self.service() {
            Service::Unloaded => {
                drop(claim);
                return self.ask_loaded(command, deadline).await;
            }
            Service::Serving | Service::Rebuilding if !self.core.is_stopping() => {}
            Service::Serving | Service::Rebuilding | Service::Quarantined | Service::Damaged | Service::Elsewhere => {
                return Err(Refusal::Unserved);
            }
        }
        let now = self.core.clock.now();
        if !self.core.journal.is_writable(now) {
            return Err(Refusal::StorageUnavailable);
        }
        let for_operators = matches!(
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
        );
        if self.in_flight.fetch_add(1, Ordering::SeqCst) >= IN_FLIGHT_PER_SALE && !for_operators {
            self.in_flight.fetch_sub(1, Ordering::Release);
            return Err(Refusal::Overloaded);
        }
        let permit = Permit(Arc::clone(self));
        // An actor that goes closes the route first and then looks at what is in flight: one of the two sees the other.
        if self.is_unloaded() {
            drop((permit, claim));
            return self.ask_loaded(command, deadline).await;
        }
        let (sender, receiver) = oneshot::channel();
        let reply = Some(ReplyTo::new(sender, claim, permit));
        let envelope = Envelope { command, reply, deadline, origin: Origin::current(), slot: None };
        if for_operators {
            self.lanes.operators.push(envelope);
            self.wake();
        } else {
            self.lanes.buyers.push(envelope);
            self.core.journal.gate.submitted(self);
        }
        // Dropped unanswered: its turn was lost before the journal had it, or it was fenced. Not done.
        receiver.await.unwrap_or(Err(Refusal::StorageUnavailable))
    }

    /// Whether the view is the truth: it has every committed fact of the event. It is not while another node owns the event,
    /// nor when its journal is damaged.
    #[must_use]
    pub fn is_readable(&self) -> bool {
        !matches!(self.service(), Service::Elsewhere | Service::Damaged) && !self.view_is_old.load(Ordering::Acquire)
    }

    /// The sale has left memory since this route was found: loads it, and asks there.
    fn ask_loaded<'a>(
        self: &'a Arc<Self>,
        command: Command,
        deadline: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<Answer, Refusal>> + Send + 'a>> {
        Box::pin(async move {
            let sale = self.core.load(self.event).await?.ok_or(Refusal::Unserved)?;
            sale.ask_patiently(command, deadline).await
        })
    }

    /// Somebody asks for the event: it stays in memory.
    pub(crate) fn touch(&self) {
        // Read first: a line of the cache that is only read is shared by all who ask.
        if self.quiet.load(Ordering::Relaxed) != 0 {
            self.quiet.store(0, Ordering::Relaxed);
        }
    }

    /// At how many looks in a row, this one among them, nobody had asked for the event since the look before.
    pub(crate) fn look_if_quiet(&self) -> u8 {
        let before = self.quiet.load(Ordering::Relaxed);
        self.quiet.store(before.saturating_add(1), Ordering::Relaxed);
        before.saturating_add(1)
    }

    /// Stops the actor if nothing waits for it and its sale is at `seq`; the epoch that nobody writes with from then on,
    /// none when it goes on. Blocks until the actor is gone.
    pub(crate) fn release(&self, seq: Seq) -> Option<Epoch> {
        let (reply, released) = std::sync::mpsc::sync_channel(1);
        self.post.read().as_ref()?.release(seq, reply);
        released.recv().ok()
    }

    /// For the actor: from here on commands go elsewhere, those that came before are in flight. False when the event was
    /// lost meanwhile.
    pub(crate) fn close(&self) -> bool {
        let (from, to) = (Service::Serving as u8, Service::Unloaded as u8);
        self.service.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }

    /// For the actor, which has found something to do all the same.
    pub(crate) fn reopen(self: &Arc<Self>) {
        self.set_service(Service::Serving);
        let was_lost = self.post.read().is_none();
        if was_lost { self.core.rebuild(self) } else { self.wake() }
    }

    /// Whether the sale has left memory behind this route.
    pub(crate) fn is_unloaded(&self) -> bool {
        self.service() == Service::Unloaded
    }

    /// Puts the result of an effect into its lane, which is never shed while the sale is served or will be again. Where it
    /// is not before the next start, which asks again, the result is dropped, so that its slot is free for others.
    pub(crate) fn tell(&self, command: Command, origin: Origin, slot: OwnedSemaphorePermit) {
        let deadline = Timestamp(i64::MAX);
        let envelope = Envelope { command, reply: None, deadline, origin, slot: Some(slot) };
        self.lanes.outcomes.push(envelope);
        self.drop_outcomes_if_lost();
        self.wake();
    }

    pub(super) fn drop_outcomes_if_lost(&self) {
        if matches!(self.service(), Service::Quarantined | Service::Damaged) {
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

    pub(crate) fn set_post(&self, post: Option<Post>) {
        let serves = post.is_some();
        *self.post.write() = post;
        self.wake_state.mailbox_changes();
        if serves {
            self.wake();
        }
    }

    /// Answers everybody in the lanes of buyers and operators.
    pub(crate) fn refuse_all(&self, refusal: &Refusal) {
        while let Some(envelope) = self.lanes.buyers.pop().or_else(|| self.lanes.operators.pop()) {
            if let Some(reply) = envelope.reply {
                reply.send(Err(refusal.clone()));
            }
        }
    }

    /// A command of this sale has its outcome.
    pub(super) fn command_ends(&self) {
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// Commands that are taken and not yet answered.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
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
        if let Some(post) = &*self.post.read() {
            post.wake();
        }
    }
}

impl std::fmt::Debug for SaleHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SaleHandle({})", self.event)
    }
}

//! The actor of one event: owns its [`Sale`], which runs ahead of the journal, and takes one turn for each wake.
//! A turn handles everything that waits in the lanes; one message is one turn, so a burst costs one wake-up. Must never wait.

use crate::id::{BuyerId, Epoch, EventId, PaymentId, Seq};
use crate::limits::{COMMANDS_PER_TURN, DRAWN_IN_A_TURN, STEPS_PER_TURN};
use crate::ports::JournalEntry;
use crate::runtime::answer::{Answer, Refusal, ReplyTo};
use crate::runtime::batch::OpenBatch;
use crate::runtime::decisions::Decisions;
use crate::runtime::handle::{SaleHandle, Shared};
use crate::runtime::lanes::Envelope;
use crate::runtime::rebuild_queue::RebuildQueue;
use crate::runtime::service::Service;
use crate::runtime::timekeeper::Timekeeper;
use crate::sale::draw::DrawSeed;
use crate::sale::{Command, Decision, Entry, Fact, Facts, PaymentStatus, PaymentView, Reply, Sale};
use crate::time::Timestamp;
use crate::trace::{Entered, Origin, Scope};
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;
use tracing::span::EnteredSpan;

/// When an actor that found the journal failing looks again.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// A sale of so many facts is dropped at once where it ends.
const DROPPED_AT_ONCE: u64 = 4096;

/// Answers when it is dropped.
struct Released {
    epoch: Epoch,
    reply: mpsc::SyncSender<Epoch>,
}

impl Drop for Released {
    fn drop(&mut self) {
        let _ = self.reply.try_send(self.epoch);
    }
}

/// What every actor is handed.
pub(crate) struct TurnContext {
    pub(crate) batch: Arc<OpenBatch>,
    pub(crate) timekeeper: Arc<Timekeeper>,
    pub(crate) rebuilds: Arc<RebuildQueue>,
    pub(crate) draw_seed: Arc<dyn Fn(EventId) -> DrawSeed + Send + Sync>,
}

/// The actor of one event.
pub(crate) struct SaleActor {
    context: Arc<TurnContext>,
    handle: Arc<SaleHandle>,
    sale: Sale,
    epoch: Epoch,
    /// When to check whether a waiting buyer was seen.
    absences: BTreeSet<(Timestamp, BuyerId)>,
    /// Nobody's absence counts from earlier: the start, or the end of an outage of ours.
    present_from: Timestamp,
    outage: bool,
    /// Who waits for a charge to settle.
    waiters: HashMap<PaymentId, Vec<oneshot::Sender<PaymentView>>>,
    armed: Option<Timestamp>,
    /// Whether something is worked out beside the sale for its draw, and whether buyers have to wait for it.
    preparing: Option<bool>,
    /// False once that has failed: then the next turn does it.
    prepares: bool,
    /// Last, so that it is dropped when the actor holds the route no more.
    released: Option<Released>,
}

/// A sale with a crowd takes long to be dropped, and other events share the thread. A short history has no crowd.
impl Drop for SaleActor {
    fn drop(&mut self) {
        if self.sale.seq().0 <= DROPPED_AT_ONCE {
            return;
        }
        self.handle.shared.background.discard((std::mem::take(&mut self.sale), std::mem::take(&mut self.absences)));
    }
}

impl SaleActor {
    pub(crate) fn new(context: Arc<TurnContext>, handle: Arc<SaleHandle>, sale: Sale, epoch: Epoch) -> Self {
        let present_from = handle.shared.clock.now();
        let absences = match sale.config() {
            Some(config) => sale.waiting().map(|buyer| (present_from + config.admission.absent, buyer)).collect(),
            None => BTreeSet::new(),
        };
        Self {
            context,
            handle,
            sale,
            epoch,
            absences,
            present_from,
            outage: false,
            waiters: HashMap::new(),
            armed: None,
            preparing: None,
            prepares: true,
            released: None,
        }
    }

    /// Takes a turn; false when it has panicked, and the actor must not be used again.
    pub(crate) fn is_woken(&mut self) -> bool {
        let turn = std::panic::catch_unwind(AssertUnwindSafe(|| self.turn()));
        if turn.is_err() {
            self.handle.set_mailbox(None);
            self.context.rebuilds.rebuild(&self.handle);
        }
        turn.is_ok()
    }

    /// The event shall leave memory: it does if the sale is at `seq` and nothing waits, and then the actor must not be used again.
    pub(crate) fn is_released(&mut self, seq: Seq, reply: mpsc::SyncSender<Epoch>) -> bool {
        let handle = &self.handle;
        // From here on commands go elsewhere, those that came before are in flight. Not when the event was lost meanwhile.
        if !handle.ownership.change(Service::Serving, Service::Unloaded) {
            return false;
        }
        let waits = handle.in_flight() > 0 || !handle.lanes.outcomes.is_empty();
        if waits || self.sale.seq() != seq {
            self.reopen();
            return false;
        }
        handle.set_mailbox(None);
        self.context.timekeeper.set(handle.event(), None);
        self.released = Some(Released { epoch: self.epoch, reply });
        true
    }

    /// There is something to do all the same.
    fn reopen(&self) {
        self.handle.set_service(Service::Serving);
        if self.handle.has_mailbox() { self.handle.wake() } else { self.context.rebuilds.rebuild(&self.handle) }
    }

    /// The sale as the actor has it, ahead of the journal.
    #[cfg(any(test, feature = "fakes"))]
    pub(crate) fn sale(&self) -> (&Arc<SaleHandle>, &Sale) {
        (&self.handle, &self.sale)
    }

    /// Handles what waits: outcomes first, then time, operators, and buyers up to a bound.
    fn turn(&mut self) {
        let handle = Arc::clone(&self.handle);
        let shared: &Shared = &handle.shared;
        let begun = handle.turn_begins();
        #[cfg(any(test, feature = "fakes"))]
        assert!(!handle.panic_next.swap(false, std::sync::atomic::Ordering::AcqRel), "a test asked for a panic");
        // Another actor has taken its place, or will: what waits is for that one.
        if !handle.ownership.is_owned_by(self.epoch) {
            return self.context.batch.turn_ends(begun, None);
        }
        let now = shared.clock.now().max(self.sale.at());
        if !shared.journal.is_writable(now) {
            self.outage = true;
            handle.lanes.refuse_all(&Refusal::StorageUnavailable);
            self.context.batch.turn_ends(begun, None);
            self.arm(Some(now + LOOK_AGAIN), now);
            return;
        }
        if std::mem::take(&mut self.outage) {
            self.present_from = now;
        }
        self.take_prepared();
        let mut turn = Decisions::of(&handle, self.epoch);
        let mut has_outcomes = false;
        while let Some(envelope) = handle.lanes.outcomes.pop() {
            has_outcomes = true;
            self.handle_command(envelope, now, &mut turn);
        }
        self.pass_time(now, &mut turn);
        while let Some(envelope) = handle.lanes.operators.pop() {
            self.handle_command(envelope, now, &mut turn);
        }
        self.bring_seed(now, &mut turn);
        let buyers_wait = self.preparing == Some(true);
        let bound = if buyers_wait { 0 } else { COMMANDS_PER_TURN };
        for _ in 0..bound {
            let Some(envelope) = handle.lanes.buyers.pop() else { break };
            self.handle_command(envelope, now, &mut turn);
        }
        // Also where an outcome changes nothing: if the actor was fenced meanwhile it is asked for again (see `drop_stale`).
        let came_of_it = has_outcomes || !turn.is_empty();
        self.context.batch.turn_ends(begun, came_of_it.then_some(turn));
        let absence = self.absences.first().map(|(at, _)| *at);
        let next = self.sale.next_deadline().into_iter().chain(absence).min();
        // What is worked out wakes the actor itself.
        self.arm(next.filter(|_| self.preparing.is_none()), now);
        if !buyers_wait && !handle.lanes.buyers.is_empty() {
            handle.wake();
        }
    }

    fn handle_command(&mut self, envelope: Envelope, now: Timestamp, turn: &mut Decisions) {
        let Envelope { command, mut reply, deadline, origin, slot: _slot } = envelope;
        let (_scope, _span) = self.begin(&command, &origin);
        if deadline < now {
            if let Some(reply) = reply {
                reply.send(Err(Refusal::DeadlineExceeded));
            }
            return;
        }
        match self.sale.decide(&command, now, self.epoch) {
            Ok(decision) => {
                // Admission may have become required since the command was submitted, without a claim.
                if let Command::Enter { buyer } | Command::Restore { buyer, .. } = &command
                    && !decision.facts.is_empty()
                    && let Some(mut waiting) = reply.take()
                {
                    if !waiting.claims(&self.handle.shared.claims, *buyer, self.handle.event()) {
                        return waiting.send(Err(Refusal::QueuedElsewhere));
                    }
                    reply = Some(waiting);
                }
                self.carry_out(decision, reply, (now, &origin), turn);
            }
            // A refusal promises nothing, so it leaves at once.
            Err(rejection) => match reply {
                Some(reply) => reply.send(Err(Refusal::Rejected(rejection))),
                // An outcome by which no money has moved; one by which it has is never rejected.
                None => tracing::warn!(?command, ?rejection, "an outcome has no payment"),
            },
        }
    }

    /// What is done and logged from here on belongs to a command.
    fn begin(&self, command: &Command, origin: &Origin) -> (Entered, EnteredSpan) {
        let scope = Scope::new(origin.clone(), self.handle.event());
        (scope.enter(), tracing::debug_span!("command", command = command.name()).entered())
    }

    /// Applies the facts to the running sale and hands them, with the answer, to the turn.
    fn carry_out(
        &mut self,
        decision: Decision,
        reply: Option<ReplyTo>,
        (now, origin): (Timestamp, &Origin),
        turn: &mut Decisions,
    ) {
        let Decision { facts, outcome } = decision;
        self.record(facts, (now, origin), turn);
        let Some(reply) = reply else { return };
        let answer = self.sale.answer(outcome, now);
        let charging = match &answer {
            Reply::Payment(payment) => (payment.status == PaymentStatus::Charging).then_some(payment.id),
            Reply::Done | Reply::Reservation(_) | Reply::Place(_) | Reply::Steering(_) => None,
        };
        let settlement = charging.map(|payment| self.wait_for(payment));
        turn.answers.push((reply, Answer { reply: answer, settlement, seq: self.sale.seq() }));
    }

    fn record(&mut self, facts: Facts, (now, origin): (Timestamp, &Origin), turn: &mut Decisions) {
        let first = turn.rows.len();
        if !facts.is_empty() {
            turn.origins.note(origin);
        }
        for fact in facts {
            let entry = Entry { seq: self.sale.seq().next(), epoch: self.epoch, at: now, trace: origin.trace, fact };
            self.sale.apply(&entry);
            turn.rows.push(JournalEntry { event: self.handle.event(), entry });
        }
        turn.decision_ends();
        if let Some(spent) = self.sale.take_replaced_line() {
            self.handle.shared.background.discard(spent);
        }
        for at in first..turn.rows.len() {
            self.track(at, now, turn);
        }
    }

    /// What the actor itself keeps beside the sale: whose absence to watch, and who waits for a payment. Called when
    /// all facts of a decision are applied, so that a payment is answered as it stands after them.
    fn track(&mut self, row: usize, now: Timestamp, turn: &mut Decisions) {
        if let Fact::Entered { buyer, .. } | Fact::Restored { buyer, .. } = &turn.rows[row].entry.fact
            && let Some(config) = self.sale.config()
        {
            self.absences.insert((now + config.admission.absent, *buyer));
            // An earlier place of this buyer may still be watched: a buyer who comes back is seen from this moment on.
            self.handle.heartbeat(*buyer, now);
        }
        if let Fact::PaymentCaptured { payment, .. } | Fact::PaymentFailed { payment, .. } = &turn.rows[row].entry.fact
        {
            self.settle_later(*payment, turn);
        }
    }

    /// A draw is bound to its seed in the turn, and so in the commit, that ordered it: nobody comes in between.
    fn bring_seed(&mut self, now: Timestamp, turn: &mut Decisions) {
        if !self.sale.wants_seed() {
            return;
        }
        let seed = (self.context.draw_seed)(self.handle.event());
        if let Ok(decision) = self.sale.decide(&Command::CommitDraw { seed }, now, self.epoch) {
            self.record(decision.facts, (now, &Origin::NONE), turn);
        }
    }

    fn settle_later(&mut self, payment: PaymentId, turn: &mut Decisions) {
        let Some(waiters) = self.waiters.remove(&payment) else { return };
        let Some(view) = self.sale.payment(payment) else { return };
        turn.settled.extend(waiters.into_iter().map(|waiter| (waiter, view.clone())));
    }

    fn wait_for(&mut self, payment: PaymentId) -> oneshot::Receiver<PaymentView> {
        let (sender, receiver) = oneshot::channel();
        let waiters = self.waiters.entry(payment).or_default();
        waiters.retain(|waiter| !waiter.is_closed());
        waiters.push(sender);
        receiver
    }

    /// Takes the steps that are due, up to a bound, and gives up places of buyers who are gone.
    fn pass_time(&mut self, now: Timestamp, turn: &mut Decisions) {
        for _ in 0..STEPS_PER_TURN {
            if self.awaits_draw(now) {
                return;
            }
            match self.sale.decide(&Command::Tick, now, self.epoch) {
                Ok(decision) if !decision.facts.is_empty() => self.record(decision.facts, (now, &Origin::NONE), turn),
                Ok(_) | Err(_) => break,
            }
        }
        for _ in 0..STEPS_PER_TURN {
            let Some((at, buyer)) = self.absences.first().copied().filter(|(at, _)| *at <= now) else { break };
            self.absences.remove(&(at, buyer));
            self.check_absence(buyer, now, turn);
        }
    }

    fn take_prepared(&mut self) {
        match self.handle.take_prepared() {
            Some(Some(prepared)) => self.sale.prepare(prepared),
            Some(None) => self.prepares = false,
            None => return,
        }
        self.preparing = None;
    }

    /// Whether the draw of a large crowd waits for what is worked out beside the sale. No time passes for the sale then.
    fn awaits_draw(&mut self, now: Timestamp) -> bool {
        if self.preparing.is_none()
            && self.prepares
            && let Some(work) = self.sale.preparation(now, DRAWN_IN_A_TURN)
        {
            self.preparing = Some(work.freezes());
            self.handle.work_out(work);
        }
        self.preparing.is_some()
    }

    fn check_absence(&mut self, buyer: BuyerId, now: Timestamp, turn: &mut Decisions) {
        let Some(absent) = self.sale.config().map(|config| config.admission.absent) else { return };
        let Ok(decision) = self.sale.decide(&Command::ExpireAbsent { buyer }, now, self.epoch) else { return };
        if decision.facts.is_empty() {
            return;
        }
        let seen = self.handle.last_seen(buyer).unwrap_or(self.present_from).max(self.present_from);
        if seen + absent <= now {
            self.record(decision.facts, (now, &Origin::NONE), turn);
        } else {
            self.absences.insert((seen + absent, buyer));
        }
    }

    fn arm(&mut self, at: Option<Timestamp>, now: Timestamp) {
        let fired = self.armed.is_some_and(|armed| armed <= now);
        if at != self.armed || fired {
            self.context.timekeeper.set(self.handle.event(), at);
            self.armed = at;
        }
    }
}

//! An engine without threads, for tests: the holder of its [`ByHand`] decides what happens next, and other things happen
//! between any two steps. The steps are those that the threads take; only waiting is left out. Must never do what no thread
//! could do at that moment.

use crate::id::{Epoch, EventId, Seq};
use crate::ports::{Appended, JournalError, JournalReader};
use crate::runtime::actor::Host;
use crate::runtime::background::Background;
use crate::runtime::batch::ControlMessage;
use crate::runtime::commit::{Attempt, JournalThread};
use crate::runtime::decisions::Batch;
use crate::runtime::deliver::Published;
use crate::runtime::engine::Engine;
use crate::runtime::handle::SaleHandle;
use crate::runtime::mailbox;
use crate::runtime::parts::{Parts, Works};
use crate::runtime::rebuild::Raising;
use crate::runtime::settings::{Ports, Settings, StartError};
use crate::runtime::snapshots;
use crate::runtime::turn::SaleActor;
use crate::sale::{Command, Sale};
use crate::time::Timestamp;
use crate::trace::Origin;
use crossbeam::channel::Receiver;
use parking_lot::Mutex;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, mpsc};
use tokio::sync::Semaphore;

/// Actors and their unread wakes.
#[derive(Clone, Default)]
pub(crate) struct Mailboxes(Arc<Mutex<BTreeMap<u64, Mailbox>>>);

struct Mailbox {
    /// Gone while it takes its turn.
    actor: Option<SaleActor>,
    wakes: u32,
    /// Whether there is an address of it.
    is_addressed: bool,
}

/// The address of an actor; one that has none any more ends when it has read its wakes.
struct Address {
    mailboxes: Mailboxes,
    number: u64,
}

impl mailbox::Mailbox for Address {
    fn wake(&self) {
        if let Some(mailbox) = self.mailboxes.0.lock().get_mut(&self.number) {
            mailbox.wakes += 1;
        }
    }

    /// Nothing leaves memory there.
    fn release(&self, _: Seq, _: mpsc::SyncSender<Epoch>) {}
}

impl Drop for Address {
    fn drop(&mut self) {
        let mut all = self.mailboxes.0.lock();
        let Some(mailbox) = all.get_mut(&self.number) else { return };
        mailbox.is_addressed = false;
        let gone = if mailbox.wakes == 0 && mailbox.actor.is_some() { all.remove(&self.number) } else { None };
        drop(all);
        drop(gone);
    }
}

impl Host for Mailboxes {
    fn start(&self, actor: SaleActor) -> Box<dyn mailbox::Mailbox> {
        let mut all = self.0.lock();
        let number = all.last_key_value().map_or(0, |(last, _)| last + 1);
        all.insert(number, Mailbox { actor: Some(actor), wakes: 0, is_addressed: true });
        Box::new(Address { mailboxes: self.clone(), number })
    }

    fn stop(&self) {
        self.clear();
    }
}

impl Mailboxes {
    fn clear(&self) {
        let all = std::mem::take(&mut *self.0.lock());
        drop(all);
    }

    fn woken(&self) -> Vec<u64> {
        self.0.lock().iter().filter(|(_, mailbox)| mailbox.wakes > 0).map(|(number, _)| *number).collect()
    }

    fn turn(&self, number: u64) {
        let taken = self.0.lock().get_mut(&number).and_then(|mailbox| {
            mailbox.wakes = mailbox.wakes.checked_sub(1)?;
            mailbox.actor.take()
        });
        let Some(mut actor) = taken else { return };
        let goes_on = actor.is_woken();
        let mut all = self.0.lock();
        let mut gone = Some(actor);
        if let Some(mailbox) =
            all.get_mut(&number).filter(|mailbox| goes_on && (mailbox.is_addressed || mailbox.wakes > 0))
        {
            mailbox.actor = gone.take();
        } else {
            all.remove(&number);
        }
        drop(all);
        drop(gone);
    }

    fn each(&self, mut visit: impl FnMut(&SaleActor)) {
        self.0.lock().values().filter_map(|mailbox| mailbox.actor.as_ref()).for_each(&mut visit);
    }
}

/// Where the journal is with its work.
enum Stage {
    Idle,
    Gathered(Batch),
    Committing(Batch),
    Appended(Batch, Appended),
    Published(Published),
    /// The storage is lost.
    Ended,
}

/// What the journal does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Nothing: nothing was handed in.
    Nothing,
    /// Takes turns that were handed in.
    Take,
    /// Begins an attempt to append them, if there are facts.
    Begin,
    /// Appends them: facts become durable, or not.
    Append,
    /// Brings them into the read views.
    Publish,
    /// Answers.
    Deliver,
    /// Raises an epoch.
    Raise,
}

/// The work of an engine's threads, in somebody's hands. Dropped, the process has died; end the tokio runtime first, or
/// callers see their answers dropped.
pub struct ByHand {
    parts: Arc<Parts>,
    mailboxes: Mailboxes,
    journal: JournalThread,
    stage: Stage,
    orders: VecDeque<ControlMessage>,
    raising: Option<Raising>,
    snapshots: Receiver<Arc<SaleHandle>>,
}

impl Engine {
    /// As [`Engine::start`], without threads. Tables are brought up to date at the start and are not written to afterwards.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn by_hand(
        ports: Ports,
        settings: Settings,
        tokio: tokio::runtime::Handle,
    ) -> Result<(Self, ByHand), StartError> {
        let mailboxes = Mailboxes::default();
        let mut works = None;
        let host = Arc::new(mailboxes.clone());
        let engine = Self::start_on(host, Background::new(tokio, false), ports, settings, |_, all| {
            works = Some(all);
            Ok(())
        })?;
        let Some(Works { journal, ordered, .. }) = works else {
            return Err(StartError::Storage("the start was not finished".to_owned()));
        };
        let parts = Arc::clone(&engine.parts);
        let (stage, orders) = (Stage::Idle, VecDeque::new());
        Ok((engine, ByHand { parts, mailboxes, journal, stage, orders, raising: None, snapshots: ordered }))
    }
}

impl ByHand {
    /// A route and an actor for an event without facts, at once.
    ///
    /// # Errors
    /// The journal's, when the epoch could not be raised.
    pub fn open(&mut self, event: EventId) -> Result<Arc<SaleHandle>, JournalError> {
        let epoch = self.journal.storage.raise_epoch(event)?;
        Ok(self.parts.serving.serve_new(event, epoch))
    }

    /// Actors that have an unread wake, oldest actor first; also of those that were replaced meanwhile.
    #[must_use]
    pub fn woken(&self) -> Vec<u64> {
        self.mailboxes.woken()
    }

    /// One of them takes a turn.
    pub fn turn(&self, actor: u64) {
        self.mailboxes.turn(actor);
    }

    /// Every actor's sale, as it runs ahead of the journal.
    pub fn each_actor(&self, mut visit: impl FnMut(EventId, &Sale)) {
        self.mailboxes.each(|actor| {
            let (handle, sale) = actor.sale();
            visit(handle.event(), sale);
        });
    }

    /// What the journal does next.
    #[must_use]
    pub fn next_step(&self) -> NextStep {
        match &self.stage {
            Stage::Idle if !self.orders.is_empty() => NextStep::Raise,
            Stage::Idle if self.parts.batch.has_something() => NextStep::Take,
            Stage::Idle | Stage::Ended => NextStep::Nothing,
            Stage::Gathered(_) => NextStep::Begin,
            Stage::Committing(_) => NextStep::Append,
            Stage::Appended(..) => NextStep::Publish,
            Stage::Published(_) => NextStep::Deliver,
        }
    }

    /// The journal takes its next step. An append that fails is begun again by the step after.
    pub fn step(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Ended) {
            Stage::Idle => self.step_when_idle(),
            Stage::Gathered(batch) if !batch.has_rows() => Stage::Appended(batch, Appended::default()),
            Stage::Gathered(batch) => {
                self.journal.begin_attempt(&batch);
                Stage::Committing(batch)
            }
            Stage::Committing(batch) => match self.journal.attempt(&batch) {
                Attempt::Done(appended) => Stage::Appended(batch, appended),
                Attempt::Failed => Stage::Gathered(batch),
                Attempt::Lost => Stage::Ended,
            },
            Stage::Appended(batch, appended) => Stage::Published(self.journal.publish(batch, &appended)),
            Stage::Published(published) => {
                self.journal.deliver(published);
                Stage::Idle
            }
            Stage::Ended => Stage::Ended,
        };
    }

    fn step_when_idle(&mut self) -> Stage {
        if let Some(order) = self.orders.pop_front() {
            return if self.journal.carry_out(order) { Stage::Idle } else { Stage::Ended };
        }
        let (turns, orders) = self.parts.batch.take_now();
        self.orders.extend(orders);
        self.journal.gather(turns).map_or(Stage::Idle, Stage::Gathered)
    }

    /// Wakes every event whose time has come.
    pub fn ring_timers(&self) {
        for event in self.parts.timekeeper.due(self.parts.shared.clock.now()) {
            if let Some(handle) = self.parts.shared.routes.get(event) {
                handle.wake();
            }
        }
    }

    /// When the next event is to be woken.
    #[must_use]
    pub fn next_timer(&self) -> Option<Timestamp> {
        self.parts.timekeeper.next()
    }

    /// Goes on with the rebuild that was begun, if its epoch is raised, or begins the next; false when there is nothing to do
    /// about rebuilds.
    pub fn rebuild(&mut self) -> bool {
        match self.raising.take() {
            Some(raising) => {
                self.raising = self.parts.rebuilder.end_by_hand(raising);
                self.raising.is_none()
            }
            None if self.parts.rebuilder.queue.waiting() == 0 => false,
            None => {
                self.raising = self.parts.rebuilder.begin_by_hand();
                true
            }
        }
    }

    /// Takes a snapshot that was ordered; false when none was.
    pub fn take_snapshot(&self) -> bool {
        let ordered = self.snapshots.try_recv();
        let reader: &dyn JournalReader = &*self.parts.serving.reader;
        ordered.map(|sale| snapshots::take(&sale, reader)).is_ok()
    }

    /// A provider reports an outcome of its own accord, as a webhook does.
    pub fn report(&self, event: EventId, outcome: Command) {
        let slot = Arc::new(Semaphore::new(1)).try_acquire_owned();
        if let (Some(handle), Ok(slot)) = (self.parts.shared.routes.get(event), slot) {
            handle.enqueue_outcome(outcome, Origin::NONE, slot);
        }
    }
}

impl Drop for ByHand {
    fn drop(&mut self) {
        self.parts.shared.routes.clear();
        self.mailboxes.clear();
    }
}

impl std::fmt::Debug for ByHand {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ByHand({:?}, woken {:?})", self.next_step(), self.woken())
    }
}

//! The engine: starts and stops everything, and keeps the routes.

use crate::id::{BuyerId, Epoch, EventId, EventTag};
use crate::limits::{REBUILDS_AT_ONCE, STOP_WAITS};
use crate::ports::{Clock, JournalReader, ReadError};
use crate::runtime::actor::Host;
use crate::runtime::answer::Refusal;
use crate::runtime::arbiters::Arbiters;
use crate::runtime::claims::Claims;
use crate::runtime::copier::CopierFront;
use crate::runtime::effects::Effects;
use crate::runtime::handle::SaleHandle;
use crate::runtime::health::{Health, JournalHealth};
use crate::runtime::journal::{JournalFront, JournalThread};
use crate::runtime::probe::Probe;
use crate::runtime::projector::{Projector, ProjectorFront};
use crate::runtime::rebuild::Rebuilds;
use crate::runtime::service::Service;
use crate::runtime::settings::{Ports, Settings, StartError};
use crate::runtime::snapshots::{self, Snapshots};
use crate::runtime::start::Recovered;
use crate::runtime::supervision::{OnFatal, supervised};
use crate::runtime::timekeeper::Timekeeper;
use crate::runtime::unloaded::{Found, Unloaded};
use crate::runtime::unmatched::UnmatchedOutcomes;
use crate::sale::draw::DrawSeed;
use crate::sale::{Sale, SaleSummary};
use crate::shared_map::SharedMap;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// What every part of a running engine shares.
pub(crate) struct Core {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) journal: JournalFront,
    pub(crate) projector: ProjectorFront,
    pub(crate) snapshots: Snapshots,
    pub(crate) effects: Effects,
    pub(crate) timekeeper: Timekeeper,
    pub(crate) claims: Claims,
    pub(crate) unmatched: UnmatchedOutcomes,
    pub(crate) draw_seed: Arc<dyn Fn(EventId) -> DrawSeed + Send + Sync>,
    pub(crate) copier: OnceLock<Arc<CopierFront>>,
    pub(crate) probe: Probe,
    /// Events that have no route, because they are not in memory.
    pub(crate) unloaded: Unloaded,
    routes: SharedMap<EventId, Arc<SaleHandle>>,
    pub(super) tags: SharedMap<EventTag, EventId>,
    pub(super) reader: Arc<dyn JournalReader>,
    host: Host,
    pub(super) rebuilds: Rebuilds,
    stopping: AtomicBool,
    on_fatal: OnFatal,
    pub(super) behind: Arc<dyn Fn() + Send + Sync>,
}

/// A running engine; clones are the same one.
#[derive(Clone)]
pub struct Engine {
    pub(crate) core: Arc<Core>,
    threads: Arc<Threads>,
}

/// What threads work through.
pub(super) struct Works {
    pub(super) journal: JournalThread,
    pub(super) projector: Projector,
    pub(super) handed: crossbeam::channel::Receiver<crate::ports::Committed>,
    pub(super) ordered: crossbeam::channel::Receiver<Arc<SaleHandle>>,
    pub(super) unloaded_after: Duration,
}

#[derive(Default)]
struct Threads {
    journal: Mutex<Option<JoinHandle<()>>>,
    projector: Mutex<Option<JoinHandle<()>>>,
    timekeeper: Mutex<Option<JoinHandle<()>>>,
    snapshots: Mutex<Option<JoinHandle<()>>>,
    rebuilds: Mutex<Vec<JoinHandle<()>>>,
    unloader: Mutex<Option<JoinHandle<()>>>,
}

impl Engine {
    /// Recovers every event, catches the projections up, and serves. Blocks until then; must not be called on a
    /// tokio worker.
    ///
    /// # Errors
    /// See [`StartError`]. A damaged journal is no error of the start: its event is not served.
    pub fn start(ports: Ports, settings: Settings, tokio: tokio::runtime::Handle) -> Result<Self, StartError> {
        let host = Host::Arbiters(Arbiters::start(settings.arbiters)?);
        Self::start_on(host, ports, settings, tokio, |engine, works| engine.spawn_threads(works))
    }

    /// Starts with its actors on `host`; `begin` gets what would each have a thread.
    pub(super) fn start_on(
        host: Host,
        ports: Ports,
        settings: Settings,
        tokio: tokio::runtime::Handle,
        begin: impl FnOnce(&Self, Works) -> std::io::Result<()>,
    ) -> Result<Self, StartError> {
        let Ports { mut journal, reader, projection, payments, clock } = ports;
        let (projector, handed) = ProjectorFront::new(settings.projection_lag_max);
        let (snapshots, ordered) = Snapshots::new(settings.snapshot_every);
        let core = Arc::new(Core {
            clock,
            journal: JournalFront::new(settings.commit_stall),
            projector,
            snapshots,
            effects: Effects::new(payments, tokio, settings.charge_timeout),
            timekeeper: Timekeeper::default(),
            claims: Claims::default(),
            unmatched: UnmatchedOutcomes::default(),
            draw_seed: settings.draw_seed,
            copier: OnceLock::new(),
            probe: Probe::default(),
            unloaded: Unloaded::default(),
            routes: SharedMap::default(),
            tags: SharedMap::default(),
            reader: Arc::clone(&reader),
            host,
            rebuilds: Rebuilds::default(),
            stopping: AtomicBool::new(false),
            on_fatal: settings.on_fatal,
            behind: settings.behind,
        });
        let others = Arc::clone(&core);
        let may_rest = move || others.projector.may_rest(others.journal.is_busy(others.clock.now()));
        let mut projector = Projector::new(projection, Arc::clone(&reader), &core.projector, Box::new(may_rest));
        let (recovered, mut unverified) = core.recover_events(&mut *journal, &mut projector)?;
        let engine = Self { core: Arc::clone(&core), threads: Arc::default() };
        let journal = JournalThread { core: Arc::clone(&core), storage: journal };
        begin(&engine, Works { journal, projector, handed, ordered, unloaded_after: settings.unloaded_after })?;
        for Recovered { handle, sale, epoch, from_snapshot } in recovered {
            core.serve(&handle, sale, epoch, 0);
            if from_snapshot {
                unverified.push(handle.event());
            }
        }
        core.verify_behind(unverified)?;
        Ok(engine)
    }

    fn spawn_threads(&self, works: Works) -> std::io::Result<()> {
        let Works { mut journal, projector, handed, ordered, unloaded_after } = works;
        let fatal = self.core.fatal_call();
        journal.storage.on_fatal(Arc::clone(&fatal));
        *self.threads.journal.lock() = Some(supervised("onsale-journal", &fatal, move || journal.run())?);
        let core = Arc::clone(&self.core);
        let run = move || {
            (core.behind)();
            projector.run(&handed, &core.projector);
        };
        *self.threads.projector.lock() = Some(supervised("onsale-projector", &fatal, run)?);
        let core = Arc::clone(&self.core);
        let run = move || {
            core.timekeeper.run(&core.clock, |event| {
                if let Some(handle) = core.routes.get(&event) {
                    handle.wake();
                }
            });
        };
        *self.threads.timekeeper.lock() = Some(supervised("onsale-time", &fatal, run)?);
        let (reader, behind) = (Arc::clone(&self.core.reader), Arc::clone(&self.core.behind));
        let run = move || {
            behind();
            snapshots::run(&ordered, &*reader);
        };
        *self.threads.snapshots.lock() = Some(supervised("onsale-snapshots", &fatal, run)?);
        for number in 0..REBUILDS_AT_ONCE {
            let core = Arc::clone(&self.core);
            let thread = supervised(format!("onsale-rebuild-{number}"), &fatal, move || core.run_rebuilds())?;
            self.threads.rebuilds.lock().push(thread);
        }
        let core = Arc::clone(&self.core);
        let run = move || {
            (core.behind)();
            core.unload_quiet(unloaded_after);
        };
        *self.threads.unloader.lock() = Some(supervised("onsale-unload", &fatal, run)?);
        Ok(())
    }

    /// The route to an event's sale, if that is in memory.
    #[must_use]
    pub fn sale(&self, event: EventId) -> Option<Arc<SaleHandle>> {
        let sale = self.core.sale(event).filter(|sale| !sale.is_unloaded());
        if let Some(sale) = &sale {
            sale.touch();
        }
        sale
    }

    /// The route to an event's sale, which is read into memory again if it has left it; none if there is no such event.
    /// Costs what [`Engine::sale`] does for one that is in memory. Cancel safe.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`] and [`Refusal::Unserved`].
    pub async fn load(&self, event: EventId) -> Result<Option<Arc<SaleHandle>>, Refusal> {
        match self.sale(event) {
            Some(sale) => Ok(Some(sale)),
            None => self.core.load(event).await,
        }
    }

    /// The event that a reservation's or a payment's id names.
    #[must_use]
    pub fn event_of(&self, tag: EventTag) -> Option<EventId> {
        self.core.tags.get(&tag).map(|event| *event)
    }

    /// What is known of an event; one that is not in memory stays outside, and one that is does not count as asked for.
    #[must_use]
    pub fn find(&self, event: EventId) -> Option<Found> {
        self.core.find(event)
    }

    /// Whether another node is known to have taken an event that is not in memory here: its summary may be old.
    #[must_use]
    pub fn is_unloaded_elsewhere(&self, event: EventId) -> bool {
        self.core.is_unloaded_elsewhere(event)
    }

    /// Every event that is not in memory.
    #[must_use]
    pub fn unloaded(&self) -> Vec<(EventId, Arc<SaleSummary>)> {
        self.core.unloaded.all()
    }

    /// Takes an event out of memory if it is over, has nothing pending and nobody uses it, as happens by itself when it is
    /// quiet; whether it did. Blocks.
    ///
    /// # Errors
    /// See [`ReadError`]; the event stays in memory then.
    pub fn unload(&self, event: EventId) -> Result<bool, ReadError> {
        self.core.unload(event)
    }

    /// The route of every event that is in memory.
    #[must_use]
    pub fn sales(&self) -> Vec<Arc<SaleHandle>> {
        self.core.sales()
    }

    /// A route and an actor for an event that has no facts yet; the same one when it has a route already.
    ///
    /// # Errors
    /// [`Refusal::StorageUnavailable`] and [`Refusal::Unserved`].
    pub async fn open(&self, event: EventId) -> Result<Arc<SaleHandle>, Refusal> {
        if let Some(handle) = self.load(event).await? {
            return Ok(handle);
        }
        if self.core.is_stopping() {
            return Err(Refusal::Unserved);
        }
        let core = Arc::clone(&self.core);
        let raised = tokio::task::spawn_blocking(move || core.journal.raise_epoch(event)).await;
        let epoch = match raised {
            Ok(Ok(epoch)) => epoch,
            Ok(Err(_)) | Err(_) => return Err(Refusal::StorageUnavailable),
        };
        Ok(self.core.serve_new(event, epoch))
    }

    /// Which event each buyer is in.
    #[must_use]
    pub fn claims(&self) -> &Claims {
        &self.core.claims
    }

    /// Another node has taken the event: it is not served until it can be had back.
    pub fn lose(&self, event: EventId) {
        match self.core.find(event) {
            Some(Found::Loaded(handle)) => self.core.fenced(&handle),
            Some(Found::Unloaded(_)) => self.core.unloaded.lose(event),
            None => {}
        }
    }

    /// How long one holder keeps others waiting.
    #[cfg(feature = "fakes")]
    #[must_use]
    pub fn probe(&self) -> &Probe {
        &self.core.probe
    }

    /// Changes whenever the tables that are written behind may have moved.
    #[must_use]
    pub fn tables_moved(&self) -> tokio::sync::watch::Receiver<()> {
        self.core.projector.moves()
    }

    /// How the engine is.
    #[must_use]
    pub fn health(&self) -> Health {
        let core = &self.core;
        let mut health = Health {
            journal: core.journal.health(core.clock.now()),
            damaged: Vec::new(),
            quarantined: Vec::new(),
            elsewhere: Vec::new(),
            facts: core.journal.facts.load(Ordering::Relaxed),
            batches: core.journal.batches.load(Ordering::Relaxed),
            projection_lag: core.projector.lag(),
            rebuilds: core.rebuilds.count(),
            unmatched_outcomes: core.unmatched.count(),
            loaded: core.routes.len(),
            unloaded: core.unloaded.count(),
            loads: core.unloaded.loaded(),
        };
        for route in &core.routes {
            match route.service() {
                Service::Damaged => {
                    health.damaged.push((route.event(), route.damage.lock().clone().unwrap_or_default()));
                }
                Service::Quarantined => health.quarantined.push(route.event()),
                Service::Elsewhere => health.elsewhere.push(route.event()),
                Service::Serving | Service::Rebuilding | Service::Unloaded => {}
            }
        }
        health
    }

    /// Takes no more commands, lets those in flight finish, and writes everything out.
    pub async fn stop(&self) {
        let core = &self.core;
        core.stopping.store(true, Ordering::Release);
        core.unloaded.stop();
        let _ = tokio::time::timeout(STOP_WAITS, core.unloaded.end_loads()).await;
        let until = tokio::time::Instant::now() + STOP_WAITS;
        let busy = || core.routes.iter().any(|route| route.in_flight() > 0);
        while busy()
            && core.journal.health(core.clock.now()) == JournalHealth::Good
            && tokio::time::Instant::now() < until
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        core.effects.stop();
        let (core, threads) = (Arc::clone(core), Arc::clone(&self.threads));
        let stop = move || {
            join(&threads.unloader);
            core.timekeeper.stop();
            core.host.stop();
            core.rebuilds.stop();
            core.journal.stop();
            join(&threads.journal);
            threads.rebuilds.lock().drain(..).for_each(|thread| drop(thread.join()));
            core.projector.close();
            join(&threads.projector);
            core.snapshots.close();
            join(&threads.snapshots);
            join(&threads.timekeeper);
            core.forget_routes();
        };
        let _ = tokio::task::spawn_blocking(stop).await;
    }
}

fn join(thread: &Mutex<Option<JoinHandle<()>>>) {
    if let Some(thread) = thread.lock().take() {
        let _ = thread.join();
    }
}

impl Core {
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    pub(crate) fn sale(&self, event: EventId) -> Option<Arc<SaleHandle>> {
        self.routes.get(&event).map(|handle| Arc::clone(&handle))
    }

    pub(crate) fn sales(&self) -> Vec<Arc<SaleHandle>> {
        self.routes.iter().map(|route| Arc::clone(&route)).collect()
    }

    pub(super) fn route(self: &Arc<Self>, event: EventId, committed: Sale) -> Arc<SaleHandle> {
        let seq = committed.seq().0;
        let handle = Arc::new(SaleHandle::new(event, Arc::clone(self), committed));
        handle.snapshot_at.store(seq, Ordering::Relaxed);
        self.put_route(&handle);
        handle
    }

    pub(super) fn put_route(&self, handle: &Arc<SaleHandle>) {
        self.routes.insert(handle.event(), Arc::clone(handle));
        self.tags.insert(handle.event().tag(), handle.event());
    }

    pub(super) fn take_route(&self, event: EventId) {
        self.routes.remove(&event);
    }

    /// The events in memory that nobody has asked for at so many looks in a row, this one among them.
    pub(super) fn events_quiet_for(&self, looks: u8) -> Vec<EventId> {
        let quiet = self.routes.iter().filter(|route| route.look_if_quiet() >= looks);
        quiet.map(|route| route.event()).collect()
    }

    /// Whether it is known that the buyer neither waits nor shops at an event of ours.
    pub(super) fn is_known_absent(&self, event: EventId, buyer: BuyerId) -> bool {
        match self.find(event) {
            Some(Found::Loaded(sale)) => !sale.view().is_in_room(buyer),
            Some(Found::Unloaded(_)) => true,
            None => false,
        }
    }

    /// A route and an actor for an event without facts.
    pub(super) fn serve_new(self: &Arc<Self>, event: EventId, epoch: Epoch) -> Arc<SaleHandle> {
        let handle = self.route(event, Sale::new());
        self.serve(&handle, Sale::new(), epoch, 0);
        handle
    }

    /// Lets go of routes, which hold the core as the core holds them.
    pub(super) fn forget_routes(&self) {
        self.routes.clear();
    }

    /// Starts the actor behind a route, and what its state asks for outside; false when the event was lost to another owner
    /// since `losses` were counted.
    pub(super) fn serve(self: &Arc<Self>, handle: &Arc<SaleHandle>, sale: Sale, epoch: Epoch, losses: u64) -> bool {
        if !handle.own(epoch, losses) {
            return false;
        }
        for buyer in sale.everyone_in_room() {
            self.claims.confirm(buyer, handle.event());
        }
        handle.set_service(Service::Serving);
        self.host.start(handle, sale, epoch);
        self.effects.reconcile(handle);
        true
    }

    /// Drops something large where nobody waits for it.
    pub(crate) fn discard(&self, large: impl Send + 'static) {
        self.in_background(move || drop(large));
    }

    /// Does something long beside the threads that answer; as a task where a test drives the engine by hand.
    pub(crate) fn in_background(&self, work: impl FnOnce() + Send + 'static) {
        let tokio = self.effects.tokio();
        match &self.host {
            Host::Arbiters(_) => drop(tokio.spawn_blocking(work)),
            #[cfg(any(test, feature = "fakes"))]
            Host::ByHand(_) => drop(tokio.spawn(async move { work() })),
        }
    }

    pub(super) fn damaged(self: &Arc<Self>, event: EventId, what: &str) {
        tracing::error!(event_id = %event, what, "the journal is damaged; the event is not served");
        let handle = match self.routes.get(&event).map(|handle| Arc::clone(&handle)) {
            Some(handle) => handle,
            None => self.route(event, Sale::new()),
        };
        *handle.damage.lock() = Some(what.to_owned());
        handle.set_post(None);
        handle.set_service(Service::Damaged);
        self.unloaded.forget(event);
    }

    /// [`Core::fatal`], for threads.
    pub(super) fn fatal_call(self: &Arc<Self>) -> OnFatal {
        let core = Arc::downgrade(self);
        Arc::new(move |reason| {
            if let Some(core) = core.upgrade() {
                core.fatal(reason);
            }
        })
    }

    /// The storage is lost, or a thread that everything rests on: the process must end.
    pub(crate) fn fatal(&self, reason: &str) {
        self.journal.ends_fatally();
        tracing::error!(reason, "nothing more can be committed, and nothing more is answered");
        (self.on_fatal)(reason);
    }

    /// The journal takes facts again after a failure: every actor looks at its lanes.
    pub(crate) fn journal_recovered(&self) {
        for route in &self.routes {
            route.wake();
        }
    }
}
